package policy

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// line is a line of a file. What it takes to find a place in it is worked out
// once: a file may be a single line of a mebibyte.
type line struct {
	text  string
	width int // characters

	// Where the line has tabs: its characters, and the columns of those that are
	// no tab.
	chars   []rune
	columns []int
}

func newLine(text string) line {
	l := line{text: text, width: utf8.RuneCountInString(text)}
	if !strings.Contains(text, "\t") {
		return l
	}
	l.chars = []rune(text)
	for i, c := range l.chars {
		if c != '\t' {
			l.columns = append(l.columns, i+1)
		}
	}
	return l
}

// nearby is how far from where the lexer says a token is looked for.
const nearby = 64

// placeOf returns where a token stands. The lexer leaves out tabs between tokens
// when it counts columns, so in a line that has any the token is looked for.
func (r *reader) placeOf(t *token.Token) place {
	at := place{t.Position.Line, t.Position.Column}
	if at.line < 1 || at.line > len(r.lines) {
		return at
	}
	l := r.lines[at.line-1]
	first, _ := utf8.DecodeRuneInString(t.Value)
	switch t.Type {
	case token.DoubleQuoteType:
		first = '"'
	case token.SingleQuoteType:
		first = '\''
	}
	if at.column < 1 || at.column > len(l.columns) || strings.TrimSpace(string(first)) == "" {
		return at
	}
	from := l.columns[at.column-1] - 1
	to := min(len(l.chars), from+nearby)
	if i := slices.Index(l.chars[from:to], first); i >= 0 {
		at.column = from + i + 1
	}
	return at
}
