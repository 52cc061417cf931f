package policy

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Position is a place in a file. Line and Column count from 1, the column in
// characters; both are 0 where there is no such place (a file that is missing).
type Position struct {
	File         string
	Line, Column int
	Source       string // the whole line, without its end
}

// String returns file:line:column, or the file alone.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one thing that is wrong with a policy, at its place.
type Error struct {
	Position
	Reason string // one sentence: what is wrong, and what to write instead
}

// Error returns "file:line:column: reason", and below it the source line with a
// caret under the column.
func (e *Error) Error() string {
	head := e.Reason
	if at := e.Position.String(); at != "" {
		head = at + ": " + e.Reason
	}
	if e.Line == 0 || strings.TrimSpace(e.Source) == "" {
		return head
	}
	source, caret := excerpt(e.Source, e.Column)
	return head + "\n  " + source + "\n  " + caret
}

// Fail returns an error at the place of key inside the category, or at the
// category's name where that key was not written. Stages that know more than the
// file, such as the catalogue, report through it.
func (c Category) Fail(key, format string, args ...any) *Error {
	at, ok := c.Ats[key]
	if !ok {
		at = c.At
	}
	return &Error{Position: at, Reason: fmt.Sprintf(format, args...)}
}

// excerptWidth is how many characters of a long line are shown.
const excerptWidth = 160

// excerpt returns the part of line around column, harmless to a terminal, and a
// second line of the same width with a caret.
func excerpt(line string, column int) (source, caret string) {
	runes := []rune(line)
	at := max(0, min(column-1, len(runes)))
	var s, c strings.Builder
	from, to := 0, len(runes)
	if len(runes) > excerptWidth {
		from = max(0, min(at-excerptWidth/2, len(runes)-excerptWidth))
		to = from + excerptWidth
	}
	if from > 0 {
		s.WriteString("…")
		c.WriteString(" ")
	}
	for i, r := range runes[from:to] {
		if r != '\t' && hidden(r) {
			r = utf8.RuneError
		}
		s.WriteRune(r)
		if from+i < at {
			c.WriteString(blank(r))
		}
	}
	if to < len(runes) {
		s.WriteString("…")
	}
	return s.String(), c.String() + "^"
}

// blank returns what takes as much room as r: a tab for a tab, nothing for a
// mark that combines, two spaces for a wide character.
func blank(r rune) string {
	switch {
	case r == '\t':
		return "\t"
	case unicode.In(r, unicode.Mn, unicode.Me):
		return ""
	case unicode.Is(wide, r):
		return "  "
	}
	return " "
}

// byPlace orders errors as they stand in the files.
func byPlace(a, b *Error) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}
