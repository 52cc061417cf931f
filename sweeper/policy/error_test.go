package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestErrorLayout holds the whole text of errors: place, reason, source line and
// the caret under the first character of what is wrong.
func TestErrorLayout(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ source, want string }{
		"plain": {
			category("delete: {after: 5 yeers}"),
			`
p.yaml:6:21: "5 yeers" is not a period; write e.g. P5Y, "18 months", "90 days"
      delete: {after: 5 yeers}
                      ^`,
		},
		"after a mark that combines and a wide character": {
			category(`delete: {"ключ": "e` + "\u0301" + `", "表": x, after: P5}`),
			`
p.yaml:6:14: unknown key "ключ"; known here: after
      delete: {"ключ": "é", "表": x, after: P5}
               ^
p.yaml:6:28: unknown key "表"; known here: after
      delete: {"ключ": "é", "表": x, after: P5}
                            ^
p.yaml:6:43: "P5" is not a period; write e.g. P5Y, "18 months", "90 days"
      delete: {"ключ": "é", "表": x, after: P5}
                                            ^`,
		},
		"after a tab": {
			category("delete:\t{after:\t5}"),
			"\np.yaml:6:21: a unit is missing: \"5 years\"? \"5 days\"?\n      delete:\t{after:\t5}\n             \t       \t^",
		},
		"after lines of every kind": {
			"\ufeff# ü\r\n" + strings.ReplaceAll(category("notes: |", "  é: [", "  \t*x", "description: >-", "  folded", "", "  text", `basis: "two`, `  lines"`, "mode: no"), "\n", "\r\n"),
			`
p.yaml:4:3: "c" needs at least one of restrict, redact, delete
    c:
    ^
p.yaml:16:11: unknown value "no"; known here: enforce, observe
      mode: no
            ^`,
		},
		"what a terminal would act upon": {
			category("notes: é\x1b[2J"),
			"\np.yaml:6:13: control character U+001B; remove it\n      notes: é\ufffd[2J\n              ^",
		},
		"a long line": {
			category("notes: " + many("é", 300) + " \u202e" + many("é", 300)),
			"\np.yaml:6:313: invisible character U+202E; remove it\n  …" + many("é", 79) + " \ufffd" + many("é", 79) + "…\n  " + many(" ", 81) + "^",
		},
		"no line to show": {
			"",
			"\np.yaml:1:1: empty; write \"version: 1\" and at least one category",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]File{{Path: "p.yaml", Source: []byte(tt.source)}}, Defaults{})
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), err.Error()); diff != "" {
				t.Errorf("%s\n%s", diff, err)
			}
		})
	}
}

func TestFail(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Path: "p.yaml", Source: []byte("timezone: Europe/Berlin\n" + category(
		"where: [{column: é, op: eq, value: 1}]",
		"redact:", "  after: P1D", `  columns: {email: "null"}`, "  set: {state: gone}", "delete: {after: P5Y}"))}}, Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"table":                "p.yaml:5:12: x\n      table: a.b\n             ^",
		"where.0.column":       "p.yaml:7:22: x\n      where: [{column: é, op: eq, value: 1}]\n                       ^",
		"where.0.value":        "p.yaml:7:40: x\n      where: [{column: é, op: eq, value: 1}]\n                                         ^",
		"redact.columns.email": "p.yaml:10:17: x\n        columns: {email: \"null\"}\n                  ^",
		"redact.set.state":     "p.yaml:11:13: x\n        set: {state: gone}\n              ^",
		"timezone":             "p.yaml:1:11: x\n  timezone: Europe/Berlin\n            ^",
		"schedule":             "p.yaml:4:3: x\n    c:\n    ^",
	} {
		if got := set.Categories[0].Fail(key, "%s", "x").Error(); got != want {
			t.Errorf("Fail(%q):\n%s\nwant:\n%s", key, got, want)
		}
	}
}

// TestNearest holds which slips are recognised.
func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"delete", "redact", "table", "tenant", "where"}
	for word, want := range map[string]string{
		"delte": "delete", "redcat": "redact", "tabel": "table", "tenat": "tenant", "WHERE": "where",
		"retention": "delete", "retentoin": "delete", "zzz": "", "": "", many("x", 1000): "",
	} {
		if got := meant(word, known); got != want {
			t.Errorf("meant(%.20q) = %q, want %q", word, got, want)
		}
	}
}

// TestFailInsideChildren holds that the catalogue's errors about children find
// their place at any depth: a column that is a key where the key stands, the
// rest where its value stands.
func TestFailInsideChildren(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Path: "p.yaml", Source: []byte(category("delete: {after: P5Y}",
		"children:", "  - table: a.d", "    match: {up: id}", "    action: redact", "    columns: {n: zero, m: {json: {$.a: remove}}}", "    set: {s: 1}",
		"    children:", "      - {table: a.e, match: {d: id}, on: redact, action: redact, columns: {k: zero}, objects: {column: o, bucket: b}}"))}}, Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"children.0.table":                     "p.yaml:8:16",
		"children.0.match.up":                  "p.yaml:9:21",
		"children.0.columns.n":                 "p.yaml:11:19",
		"children.0.set.s":                     "p.yaml:12:15",
		"children.0.children.0.table":          "p.yaml:14:21",
		"children.0.children.0.columns.k":      "p.yaml:14:80",
		"children.0.children.0.objects.column": "p.yaml:14:108",
		"children.1.table":                     "p.yaml:3:3",
	} {
		if got := set.Categories[0].Fail(key, "x").Position.String(); got != want {
			t.Errorf("Fail(%q) is at %s, want %s", key, got, want)
		}
	}
}

// TestManyCategoriesOverOneTable holds that comparing each with each stays cheap.
func TestManyCategoriesOverOneTable(t *testing.T) {
	t.Parallel()
	const n = 1000
	var b strings.Builder
	b.WriteString("version: 1\ncategories:\n")
	for i := range n {
		fmt.Fprintf(&b, "  c%d: {table: s.t, start_from: at, where: [{column: k, op: eq, value: v%d}], redact: {after: P1D, columns: {a: zero, b: {set: %d}}}, delete: {after: P5Y}}\n", i, i, i)
	}
	begin := time.Now()
	set, err := Parse([]File{{Path: "p.yaml", Source: []byte(b.String())}}, Defaults{})
	if err != nil || len(set.Categories) != n {
		t.Fatalf("%d categories, %v", len(set.Categories), err)
	}
	if w := set.Warnings(); len(w) > 0 {
		t.Errorf("%d warnings, the first %v", len(w), w[0])
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %s", took)
	} else {
		t.Logf("%d categories over one table in %s", n, took)
	}
}
