package policy

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/pgsweeper/sweeper/policies"
)

// grammar is the schema twice: compiled, and as it is written, to look up which
// keys are known where.
type grammar struct {
	compiled *jsonschema.Schema
	raw      any
}

var loadGrammar = sync.OnceValue(func() grammar { return compile("policy.schema.json", policies.Schema) })

// compile panics on a schema that does not compile: it is part of the binary.
func compile(name string, source []byte) grammar {
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, raw); err != nil {
		panic(err)
	}
	return grammar{compiled: c.MustCompile(name), raw: raw}
}

// judgeStructure reports where root does not have the form of the schema. It
// comes last: what the readers already reported is not said twice.
func (r *reader) judgeStructure(root *node) {
	err := loadGrammar().compiled.Validate(root.plain())
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		r.translate(root, invalid)
	}
	if err != nil && len(r.problems) == 0 {
		r.fail("", root.at, "the file does not have the form of the policy language")
	}
}

// verdict is one leaf of a validation error on its way to a sentence.
type verdict struct {
	r    *reader
	path string
	n    *node
	name string // what the sentence calls n
}

func (v verdict) fail(path string, at place, format string, args ...any) {
	v.r.problems = append(v.r.problems, problem{path: path, at: at, reason: fmt.Sprintf(format, args...), structure: true})
}

// translate turns the leaves of a validation error into problems.
func (r *reader) translate(root *node, e *jsonschema.ValidationError) {
	v := verdict{r, strings.Join(e.InstanceLocation, "."), root.find(e.InstanceLocation), "the file"}
	if last := len(e.InstanceLocation) - 1; last >= 0 {
		v.name = quote(e.InstanceLocation[last])
		if _, err := strconv.Atoi(e.InstanceLocation[last]); err == nil && last > 0 {
			v.name = "an item of " + quote(e.InstanceLocation[last-1])
		}
	}
	if v.keys(e) || v.value(e) || v.size(e) {
		return
	}
	for _, cause := range e.Causes {
		r.translate(root, cause)
	}
	if len(e.Causes) == 0 {
		v.fail(v.path, v.n.at, "%s does not have the form that the language gives it", v.name)
	}
}

// keys judges which keys a mapping has.
func (v verdict) keys(e *jsonschema.ValidationError) bool {
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := knownKeys(e.SchemaURL)
		for _, p := range k.Properties {
			v.fail(join(v.path, p), v.n.keyPlace(p), "%s", unknown("key", p, known))
		}
	case *kind.Required:
		for _, p := range k.Missing {
			v.fail(join(v.path, p), v.n.at, "%s is missing in %s", quote(p), v.name)
		}
	case *kind.DependentRequired:
		for _, p := range k.Missing {
			v.fail(join(v.path, p), v.n.at, "%s needs %s beside it", quote(k.Prop), quote(p))
		}
	case *kind.AnyOf:
		v.fail(v.path+".*", v.n.at, "%s needs at least one of %s", v.name, strings.Join(alternatives(e), ", "))
	case *kind.PropertyNames:
		// The readers judge every name; the place of this error is not reliable,
		// the validator reuses its memory.
	case *kind.MaxProperties:
		v.fail(v.path, v.n.at, "%s takes one key, not %d", v.name, k.Got)
	default:
		return false
	}
	return true
}

// value judges what stands at one place.
func (v verdict) value(e *jsonschema.ValidationError) bool {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		got := kindName(k.Got)
		if k.Got == "number" && slices.Equal(k.Want, []string{"integer"}) {
			got = v.n.describe()
		}
		v.fail(v.path, v.n.at, "%s takes %s, not %s", v.name, kindNames(k.Want), got)
	case *kind.Enum:
		v.fail(v.path, v.n.at, "%s", badChoice(v.n, k.Want))
	case *kind.Pattern:
		v.fail(v.path, v.n.at, "%s does not have the form that %s takes", quote(k.Got), v.name)
	case *kind.FalseSchema:
		v.fail(v.path, v.n.at, "%s cannot stand here; remove it", v.name)
	default:
		return false
	}
	return true
}

// size judges how much stands there.
func (v verdict) size(e *jsonschema.ValidationError) bool {
	switch k := e.ErrorKind.(type) {
	case *kind.MinProperties, *kind.MinItems, *kind.MinLength:
		v.fail(v.path, v.n.at, "%s is empty; give it a value or remove it", v.name)
	case *kind.MaxLength:
		v.fail(v.path, v.n.at, "%s has %d characters; the limit is %d", v.name, k.Got, k.Want)
	case *kind.UniqueItems:
		twice := v.n.items[k.Duplicates[1]]
		v.fail(v.path, twice.at, "%s is listed twice", twice.describe())
	case *kind.Minimum:
		v.fail(v.path, v.n.at, "%s is at least %s, not %s", v.name, k.Want.RatString(), v.n.describe())
	case *kind.Maximum:
		v.fail(v.path, v.n.at, "%s is at most %s, not %s", v.name, k.Want.RatString(), v.n.describe())
	default:
		return false
	}
	return true
}

// knownKeys returns the keys that the object schema at location names.
func knownKeys(location string) []string {
	_, fragment, _ := strings.Cut(location, "#")
	at := loadGrammar().raw
	for _, step := range strings.Split(strings.TrimPrefix(fragment, "/"), "/") {
		if step, err := url.PathUnescape(step); err == nil && step != "" {
			m, _ := at.(map[string]any)
			at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		}
	}
	object, _ := at.(map[string]any)
	properties, _ := object["properties"].(map[string]any)
	keys := make([]string, 0, len(properties))
	for k := range properties {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// unknown complains about word, with the nearest of what is known or all of it.
func unknown(what, word string, known []string) string {
	if near := meant(word, known); near != "" {
		return fmt.Sprintf("unknown %s %s; did you mean %s?", what, quote(word), quote(near))
	}
	return fmt.Sprintf("unknown %s %s; known here: %s", what, quote(word), strings.Join(known, ", "))
}

func badChoice(n *node, want []any) string {
	known := make([]string, len(want))
	for i, w := range want {
		known[i] = fmt.Sprint(w)
	}
	if word, ok := n.value.(string); ok && n.kind == scalar {
		return unknown("value", word, known)
	}
	return fmt.Sprintf("%s cannot stand here; write one of %s", n.describe(), strings.Join(known, ", "))
}

// alternatives returns the keys of which a failed anyOf wants one.
func alternatives(e *jsonschema.ValidationError) []string {
	var keys []string
	for _, cause := range e.Causes {
		if k, ok := cause.ErrorKind.(*kind.Required); ok {
			keys = append(keys, k.Missing[0])
		}
	}
	return keys
}

// kindName names a JSON type as a person calls it.
func kindName(jsonType string) string {
	switch jsonType {
	case "null":
		return "an empty value"
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "boolean":
		return "true or false"
	case "string":
		return "a text"
	case "integer":
		return "a whole number"
	}
	return "a " + jsonType
}

func kindNames(types []string) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = kindName(t)
	}
	return strings.Join(names, " or ")
}

// describe names what a node holds without repeating it at length.
func (n *node) describe() string {
	switch n.kind {
	case mapping:
		return "a mapping"
	case list:
		return "a list"
	}
	switch v := n.value.(type) {
	case nil:
		return "an empty value"
	case string:
		return quote(v)
	default:
		return fmt.Sprint(v)
	}
}

// keyPlace returns where key stands in the mapping, else where the mapping is.
func (n *node) keyPlace(key string) place {
	if e := n.get(key); e != nil {
		return e.at
	}
	return n.at
}
