package policy

import (
	"math"
	"regexp"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

var (
	plainInteger = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)$`)
	plainNumber  = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$`)
	// numberLike is what some reader of YAML takes for a number: 0123, 0x1f, 1_000,
	// +5, .5, 5., .inf. Readers differ about the value, so it is refused.
	numberLike = regexp.MustCompile(`^[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$`)
)

// convertScalar resolves a scalar by the core schema of YAML 1.2 from its own
// text: the parser's idea of numbers turns 0123 into 83 and 1e3 into a text.
func (r *reader) convertScalar(path string, n ast.Node, above place) *node {
	out := &node{at: r.begin(n, above)}
	if literal, ok := n.(*ast.LiteralNode); ok {
		out.value = literal.Value.Value
		return out
	}
	t := n.GetToken()
	if _, null := n.(*ast.NullNode); null || t == nil {
		return out
	}
	if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
		out.value = t.Value
		return out
	}
	if _, text := n.(ast.ScalarNode); !text {
		r.fail(path, out.at, "not valid YAML here; write a text, a number, a list or a mapping")
		out.kind = broken
		return out
	}
	var ok bool
	if out.value, ok = resolve(t.Value); !ok {
		r.fail(path, out.at, `%s may be read as more than one number; write it plainly, or quote it if it is a text`, quote(t.Value))
		out.kind, out.value = broken, nil
	}
	return out
}

// resolve returns the value of an unquoted scalar; false for an ambiguous number.
func resolve(text string) (any, bool) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil, true
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	}
	if plainInteger.MatchString(text) {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && text != "-0"
	}
	if plainNumber.MatchString(text) {
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil && !math.IsInf(f, 0)
	}
	return text, !numberLike.MatchString(text)
}
