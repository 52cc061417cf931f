package policy

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

const (
	// maxDepth is how deep mappings and lists may be nested; the language needs 8,
	// and 2 more for each level of children of children.
	maxDepth = 20
	// maxKeys bounds the keys of one block mapping: the parser takes time that
	// grows with their square.
	maxKeys = 20_000
)

// level is one open block mapping or list while tokens go by.
type level struct {
	indent int // twice the column, plus one for a list: "- " may stand under its key
	keys   int
}

// refusal is one kind of token on one line; a line of them is one mistake.
type refusal struct {
	kind token.Type
	line int
}

// guard judges the tokens of a file before a parser sees them: what could make a
// tree explode or is no part of the language is refused here.
type guard struct {
	r       *reader
	levels  []level
	flow    int  // open { and [
	content bool // something other than comments and a header went by
	header  bool // a "---" went by
	refused map[refusal]bool
}

// check reports what is refused and returns whether the tokens may be parsed.
func (g *guard) check(tokens token.Tokens) bool {
	g.refused = make(map[refusal]bool)
	for _, t := range tokens {
		at := g.r.placeOf(t)
		if !g.structure(t, at) {
			return false
		}
		if goesOn(t) {
			g.r.fail("", at, `not valid YAML: text goes on after the closing quote; put single quotes around the whole`)
			return false
		}
		if g.deep(t, at) {
			return false
		}
	}
	return len(g.r.problems) == 0
}

// structure refuses what YAML has and policies do not; false: look no further.
func (g *guard) structure(t *token.Token, at place) bool {
	switch t.Type {
	case token.InvalidType:
		g.r.fail("", at, "not valid YAML: %s", syntax(t.Error))
		return false
	case token.DocumentHeaderType:
		if g.content || g.header {
			g.r.fail("", at, "only one document per file; move what follows to a file of its own")
			return false
		}
		g.header = true
		return true
	case token.DocumentEndType, token.CommentType:
		return true
	}
	g.content = true
	if why, ok := refusals[t.Type]; ok && !g.refused[refusal{t.Type, at.line}] {
		g.refused[refusal{t.Type, at.line}] = true
		g.r.fail("", at, "%s", why)
	}
	return true
}

// refusals says of tokens that YAML has and policies do not what to do.
var refusals = map[token.Type]string{
	token.AnchorType:     `anchors are not allowed; write the value out, or quote a text that begins with "&"`,
	token.AliasType:      `aliases are not allowed; write the value out, or quote a text that begins with "*"`,
	token.TagType:        `tags are not allowed; remove it, or quote a text that begins with "!"`,
	token.MergeKeyType:   "merge keys are not allowed; write the keys out",
	token.MappingKeyType: `keys written with "?" are not allowed; write "key: value"`,
	token.DirectiveType:  `YAML directives are not allowed; remove it, or quote a text that begins with "%"`,
}

// deep follows the nesting and tells whether it went over a limit.
func (g *guard) deep(t *token.Token, at place) bool {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		g.flow++
	case token.MappingEndType, token.SequenceEndType:
		g.flow = max(0, g.flow-1)
	case token.SequenceEntryType:
		if g.flow == 0 {
			g.open(2*at.column + 1)
		}
	case token.MappingValueType:
		if g.flow == 0 && t.Prev != nil {
			g.open(2 * t.Prev.Position.Column)
		}
	default:
		return false
	}
	if len(g.levels)+g.flow > maxDepth {
		g.r.fail("", at, "nested deeper than %d levels", maxDepth)
		return true
	}
	if n := len(g.levels); n > 0 && g.levels[n-1].keys > maxKeys {
		g.r.fail("", at, "more than %d keys in one mapping; split the file", maxKeys)
		return true
	}
	return false
}

// goesOn tells whether t is text that follows a quoted one on the same line.
func goesOn(t *token.Token) bool {
	p := t.Prev
	return p != nil && p.Position.Line == t.Position.Line &&
		(p.Type == token.DoubleQuoteType || p.Type == token.SingleQuoteType) &&
		(t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType || t.Type == token.StringType)
}

func (g *guard) open(indent int) {
	for n := len(g.levels); n > 0 && g.levels[n-1].indent > indent; n-- {
		g.levels = g.levels[:n-1]
	}
	if n := len(g.levels); n == 0 || g.levels[n-1].indent < indent {
		g.levels = append(g.levels, level{indent: indent})
	}
	g.levels[len(g.levels)-1].keys++
}

// syntax trims what the parser says to one plain line.
func syntax(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	message = strings.ReplaceAll(message, "'\t'", "a tab")
	if strings.Contains(message, "found character a tab") {
		return "found a tab; indent with spaces"
	}
	return strings.Map(func(c rune) rune {
		if hidden(c) {
			return -1
		}
		return c
	}, message)
}
