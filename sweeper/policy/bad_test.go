package policy

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// category wraps lines of one category "c" into a file; "table" and "start_from"
// are on lines 4 and 5, so that the given ones begin on line 6.
func category(lines ...string) string {
	return "version: 1\ncategories:\n  c:\n    table: a.b\n    start_from: at\n    " + strings.Join(lines, "\n    ") + "\n"
}

// reasons returns the first line of each error, which every one of them must be.
func reasons(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var lines []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() { //nolint:errorlint // Parse promises a join
		var pe *Error
		if !errors.As(e, &pe) {
			t.Fatalf("error is %T, want *policy.Error: %v", e, e)
		}
		if pe.Line < 1 || pe.Column < 1 {
			t.Errorf("error without a place: %v", pe)
		}
		first, _, _ := strings.Cut(e.Error(), "\n")
		lines = append(lines, first)
	}
	return lines
}

func TestBadInputs(t *testing.T) {
	t.Parallel()
	inputs := maps.Clone(badYAML)
	maps.Copy(inputs, badNames)
	maps.Copy(inputs, badMeaning)
	maps.Copy(inputs, badLanguage)
	maps.Copy(inputs, badChildren)
	maps.Copy(inputs, badTogether)
	if want := len(badYAML) + len(badNames) + len(badMeaning) + len(badLanguage) + len(badChildren) + len(badTogether); len(inputs) != want {
		t.Fatalf("%d inputs under %d names", want, len(inputs))
	}
	for name, tt := range inputs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := Parse([]File{{Path: "p.yaml", Source: []byte(tt.source)}}, Defaults{})
			got := reasons(t, err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%.300q):\n%s", tt.source, diff)
			}
			if len(set.Categories) != 0 || len(set.Files) != 0 {
				t.Errorf("Parse gave errors and a set of %d categories", len(set.Categories))
			}
		})
	}
}

type bad struct {
	source string
	want   []string
}

func many(line string, n int) string { return strings.Repeat(line, n) }

// withTable puts line in the place of the table.
func withTable(line string) string {
	return strings.Replace(category("delete: {after: P5Y}"), "table: a.b", line, 1)
}

// deepMapping nests n mappings.
func deepMapping(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(many(" ", i) + "a:\n")
	}
	return b.String()
}
