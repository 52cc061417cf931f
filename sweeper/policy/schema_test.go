package policy

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/policies"
)

// TestSchemaDescribesEveryKey holds that an editor has something to say about
// each key.
func TestSchemaDescribesEveryKey(t *testing.T) {
	t.Parallel()
	var schema any
	if err := json.Unmarshal(policies.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v any, conditional bool)
	walk = func(path string, v any, conditional bool) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for k, inner := range m {
			if k == "properties" && !conditional {
				for name, p := range inner.(map[string]any) {
					if s, _ := p.(map[string]any)["description"].(string); s == "" {
						t.Errorf("%s/%s has no description", path, name)
					}
				}
			}
			walk(path+"/"+k, inner, conditional || k == "if" || k == "then")
		}
	}
	walk("", schema, false)
}

// whole is the sample of every key of the language.
func whole(t testing.TB) []byte {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "whole.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// wholeTree is the sample as plain values, in which keys can be left out.
func wholeTree(t *testing.T) map[string]any {
	t.Helper()
	r := &reader{}
	text, _ := r.clean(whole(t))
	return r.parse(text).plain().(map[string]any)
}

// known follows value through the schema and calls visit for each key that the
// schema names, with its path inside its definition: in is what holds the key.
func known(schema map[string]any, path string, at map[string]any, value any, visit func(path, key string, in map[string]any)) {
	for at["$ref"] != nil {
		path = strings.TrimPrefix(at["$ref"].(string), "#/$defs/")
		at = schema["$defs"].(map[string]any)[path].(map[string]any)
	}
	switch value := value.(type) {
	case map[string]any:
		properties, _ := at["properties"].(map[string]any)
		rest, _ := at["additionalProperties"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if inner, ok := properties[key].(map[string]any); ok {
				visit(join(path, key), key, value)
				known(schema, join(path, key), inner, value[key], visit)
			} else if rest != nil {
				known(schema, join(path, "*"), rest, value[key], visit)
			}
		}
	case []any:
		if items, ok := at["items"].(map[string]any); ok {
			for _, item := range value {
				known(schema, path, items, item, visit)
			}
		}
	}
}

// allPaths lists every key that a definition names, by its path inside it.
func allPaths(path string, at map[string]any, into map[string]bool) {
	properties, _ := at["properties"].(map[string]any)
	for key, inner := range properties {
		into[join(path, key)] = true
		allPaths(join(path, key), inner.(map[string]any), into)
	}
	for key, below := range map[string]string{"additionalProperties": join(path, "*"), "items": path} {
		if inner, ok := at[key].(map[string]any); ok {
			allPaths(below, inner, into)
		}
	}
}

// allKeys lists every key that a schema names, without its conditions.
func allKeys(v any, into map[string]bool) {
	m, _ := v.(map[string]any)
	for k, inner := range m {
		switch k {
		case "if", "then", "examples", "enum", "default":
		case "properties":
			for name, p := range inner.(map[string]any) {
				into[name] = true
				allKeys(p, into)
			}
		case "anyOf", "allOf":
		default:
			allKeys(inner, into)
		}
	}
}

// TestSchemaAndLoaderAgree holds that the schema lets the whole language pass,
// that the sample has each of its keys, and that the loader reads each: without
// it the file means something else, or is refused.
func TestSchemaAndLoaderAgree(t *testing.T) {
	t.Parallel()
	var schema map[string]any
	if err := json.Unmarshal(policies.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	load := func(tree any) (Set, error) {
		source, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		set, err := Parse([]File{{Path: "whole.json", Source: source}}, Defaults{AllowRawSQL: true})
		set.SHA256, set.Files = [32]byte{}, nil
		for i := range set.Categories {
			set.Categories[i].At, set.Categories[i].Ats, set.Categories[i].NotApplied = Position{}, nil, nil
		}
		return set, err
	}
	tree := wholeTree(t)
	want, err := load(tree)
	if err != nil {
		t.Fatal(err)
	}
	seen, missing := make(map[string]bool), make(map[string]bool)
	allPaths("", schema, missing)
	for name, definition := range schema["$defs"].(map[string]any) {
		allPaths(name, definition.(map[string]any), missing)
	}
	known(schema, "", schema, tree, func(path, key string, in map[string]any) {
		value := in[key]
		delete(missing, path)
		delete(in, key)
		got, err := load(tree)
		in[key] = value
		if err != nil || !reflect.DeepEqual(want, got) {
			seen[path] = true
		} else if !seen[path] {
			seen[path] = false // unless it is read elsewhere
		}
	})
	for at, read := range seen {
		if !read {
			t.Errorf("the loader does not read %s", at)
		}
	}
	if len(seen) < 70 {
		t.Errorf("only %d keys were tried", len(seen))
	}
	if len(missing) > 0 {
		t.Errorf("the sample does not have %v", slices.Sorted(maps.Keys(missing)))
	}
}

// TestLoaderReadsNoKeyBesideTheSchema looks for keys that a reader asks for and
// the schema would refuse.
func TestLoaderReadsNoKeyBesideTheSchema(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, source := range [][]byte{policies.Schema, policies.RegulationsSchema} {
		var schema any
		if err := json.Unmarshal(source, &schema); err != nil {
			t.Fatal(err)
		}
		allKeys(schema, names)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			literal, isLiteral := call.Args[0].(*ast.BasicLit)
			if ok && isLiteral && method.Sel.Name == "get" {
				key, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				if asked++; !names[key] {
					t.Errorf("%s reads %q, which the schema does not know", name, key)
				}
			}
			return true
		})
	}
	if asked < 50 {
		t.Errorf("only %d keys are asked for: has get another name now?", asked)
	}
}
