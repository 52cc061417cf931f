package policy

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is one value of a file: a mapping, a list, or a scalar that is string,
// int64, float64, bool or nil. A nil *node stands for what was not written.
type node struct {
	at    place // of a scalar, its first character; else the key above it
	kind  kindOf
	value any
	pairs []entry
	items []*node
}

type entry struct {
	key string
	at  place
	val *node
}

type kindOf int

const (
	scalar kindOf = iota
	mapping
	list
	broken // was reported already
)

// parse turns text into nodes; nil when it reported an error instead.
func (r *reader) parse(text string) (root *node) {
	defer func() {
		// The parser is other people's code on hostile input.
		if p := recover(); p != nil {
			r.fail("", place{1, 1}, "not valid YAML: the parser gave up (%s)", syntax(fmt.Sprint(p)))
			root = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	g := guard{r: r}
	if !g.check(tokens) {
		return nil
	}
	if !g.content {
		r.fail("", place{1, 1}, `empty; write "version: 1" and at least one category`)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.failSyntax(err)
		return nil
	}
	return r.document(file)
}

// failSyntax takes the parser's error apart: its own text draws the file around
// the place, in time that grows with the square of a line.
func (r *reader) failSyntax(err error) {
	e, ok := err.(interface { //nolint:errorlint // the parser returns it bare
		GetToken() *token.Token
		GetMessage() string
	})
	if !ok {
		r.fail("", place{1, 1}, "not valid YAML: %s", syntax(err.Error()))
		return
	}
	at := place{1, 1}
	if t := e.GetToken(); t != nil && t.Position != nil {
		at = r.placeOf(t)
	}
	r.fail("", at, "not valid YAML: %s", syntax(e.GetMessage()))
}

func (r *reader) document(file *ast.File) *node {
	var root *node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		n := r.convert("", d.Body, place{1, 1}, 0)
		if root != nil {
			r.fail("", r.begin(d.Body, place{1, 1}), "only one document per file; move what follows to a file of its own")
			return nil
		}
		root = n
	}
	return root
}

// convert makes a node of what stands at path under the key at above.
func (r *reader) convert(path string, n ast.Node, above place, depth int) *node {
	if depth > maxDepth {
		r.fail(path, above, "nested deeper than %d levels", maxDepth)
		return &node{at: above, kind: broken}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.convertMapping(path, n.Values, above, depth)
	case *ast.MappingValueNode:
		return r.convertMapping(path, []*ast.MappingValueNode{n}, above, depth)
	case *ast.SequenceNode:
		out := &node{at: above, kind: list}
		for i, v := range n.Values {
			at := r.begin(v, above)
			item := r.convert(join(path, fmt.Sprint(i)), v, at, depth+1)
			out.items = append(out.items, item)
		}
		return out
	default:
		return r.convertScalar(path, n, above)
	}
}

func (r *reader) convertMapping(path string, values []*ast.MappingValueNode, above place, depth int) *node {
	out := &node{at: above, kind: mapping}
	first := make(map[string]place, len(values))
	for _, v := range values {
		at := r.begin(v.Key, above)
		key, inner := v.Key.String(), ""
		text, ok := v.Key.(*ast.StringNode)
		if ok {
			key = text.Value
		}
		inner = join(path, key)
		if !ok {
			r.fail(inner, at, "%s is not a text; quote the key", quote(key))
		}
		if before, twice := first[key]; twice {
			r.fail(inner, at, "%s is given twice (first at line %d)", quote(key), before.line)
			continue
		}
		first[key] = at
		out.pairs = append(out.pairs, entry{key, at, r.convert(inner, v.Value, at, depth+1)})
	}
	return out
}

// begin returns where n begins. The token of a block text stands under its
// header, a mapping's at its first colon, and what is not written has none.
func (r *reader) begin(n ast.Node, fallback place) place {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return r.begin(v.Values[0].Key, fallback)
		}
	case *ast.MappingValueNode:
		return r.begin(v.Key, fallback)
	case *ast.LiteralNode:
		if v.Start != nil && v.Start.Position != nil {
			return r.placeOf(v.Start)
		}
	}
	if n == nil {
		return fallback
	}
	t := n.GetToken()
	if t == nil || t.Position == nil || t.Type == token.ImplicitNullType || t.Position.Column < 1 {
		return fallback
	}
	return r.placeOf(t)
}

// entries returns the pairs of a mapping, none of anything else.
func (n *node) entries() []entry {
	if n == nil {
		return nil
	}
	return n.pairs
}

// get returns the entry of key, or nil.
func (n *node) get(key string) *entry {
	for i := range n.entries() {
		if n.pairs[i].key == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// find returns the node at a path of keys and indexes, and the key above it.
func (n *node) find(path []string) *node {
	for _, step := range path {
		if n.kind == list {
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i < 0 || i >= len(n.items) {
				return n
			}
			n = n.items[i]
			continue
		}
		e := n.get(step)
		if e == nil {
			return n
		}
		n = e.val
	}
	return n
}

// plain returns the node as the values that a JSON Schema judges.
func (n *node) plain() any {
	switch n.kind {
	case mapping:
		m := make(map[string]any, len(n.pairs))
		for _, e := range n.pairs {
			if e.val.kind != broken {
				m[e.key] = e.val.plain()
			}
		}
		return m
	case list:
		items := make([]any, len(n.items))
		for i, v := range n.items {
			items[i] = v.plain()
		}
		return items
	}
	return n.value
}

// join adds a key to a dotted path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return strings.Join([]string{path, key}, ".")
}
