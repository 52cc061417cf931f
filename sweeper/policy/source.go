package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxBytes is the size of a file up to which it is looked at.
	maxBytes = 1 << 20
	// maxShown bounds what one file may report: a file of the wrong kind is wrong
	// everywhere.
	maxShown = 100
)

// place is a line and a column of a file, both from 1; the column in characters.
type place struct{ line, column int }

// problem is an error on its way: path tells what it is about, so that the
// structure and the meaning of one thing are not both complained about.
type problem struct {
	path      string
	at        place
	reason    string
	structure bool
	judgement bool // the thing was read, and is not allowed
}

// reader reads one file and collects what is wrong with it.
type reader struct {
	path     string
	defaults Defaults
	lines    []line
	problems []problem
}

// fail notes that what stands at path, in the place at, is wrong.
func (r *reader) fail(path string, at place, format string, args ...any) {
	r.problems = append(r.problems, problem{path: path, at: at, reason: fmt.Sprintf(format, args...)})
}

// judge notes that what stands at path is not allowed, though it can be read and
// compared with the rest.
func (r *reader) judge(path string, at place, format string, args ...any) {
	r.fail(path, at, format, args...)
	r.problems[len(r.problems)-1].judgement = true
}

// position makes a place public; one outside the file becomes the nearest inside.
func (r *reader) position(at place) Position {
	p := Position{File: r.path, Line: max(1, min(at.line, len(r.lines))), Column: max(1, at.column)}
	if len(r.lines) > 0 {
		p.Source = r.lines[p.Line-1].text
		p.Column = min(p.Column, r.lines[p.Line-1].width+1)
	}
	return p
}

// errors returns the problems in the order of the file, each thing once.
func (r *reader) errors() []*Error {
	judged := make(map[string]bool)
	for _, p := range r.problems {
		if !p.structure {
			judged[p.path] = true
		}
	}
	slices.SortStableFunc(r.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	seen := make(map[problem]bool)
	var errs []*Error
	for i, p := range r.problems {
		same := problem{at: p.at, reason: p.reason}
		if p.structure && judged[p.path] || seen[same] {
			continue
		}
		seen[same] = true
		if len(errs) == maxShown {
			errs[maxShown-1].Reason += fmt.Sprintf(" (and up to %d more errors in this file)", len(r.problems)-i)
			break
		}
		errs = append(errs, &Error{Position: r.position(p.at), Reason: p.reason})
	}
	return errs
}

// clean checks the bytes of a file and returns its text with line ends as \n and
// without byte order mark; ok is false where it is not worth looking further.
func (r *reader) clean(source []byte) (text string, ok bool) {
	if len(source) > maxBytes {
		r.fail("", place{1, 1}, "%s", tooLarge(int64(len(source))))
		return "", false
	}
	text = string(bytes.TrimPrefix(source, []byte("\ufeff")))
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		r.lines = append(r.lines, newLine(l))
		column := 0
		for offset, c := range l {
			column++
			at := place{i + 1, column}
			switch {
			case c == utf8.RuneError && !strings.HasPrefix(l[offset:], "\ufffd"):
				r.fail("", at, "not UTF-8 at byte %d of the line; save the file as UTF-8", offset+1)
			case c != '\t' && (c < ' ' || c >= 0x7f && c < 0xa0), c == '\ufeff', direction(c):
				r.fail("", at, "%s; remove it", describe(c))
			default:
				continue
			}
			return "", false
		}
	}
	return text, true
}

func tooLarge(size int64) string {
	return fmt.Sprintf("%d bytes; the limit is 1 MiB (%d bytes), split the file", size, maxBytes)
}

// joinErrors makes one error of many, nil of none.
func joinErrors(errs []*Error) error {
	all := make([]error, len(errs))
	for i, e := range errs {
		all[i] = e
	}
	return errors.Join(all...)
}
