package policy

import (
	"testing"

	diff "github.com/google/go-cmp/cmp"
)

// TestShortened compares windows both ways: there is nothing that only grows or
// only shrinks by its place in the file, its unit or its words.
func TestShortened(t *testing.T) {
	t.Parallel()
	days := func(n int) Period { return Period{Days: n} }
	category := func(windows string) *Category {
		set := parsed(t, "p.yaml", "version: 1\ncategories:\n  c: {table: a.b, start_from: at, "+windows+"}\n")
		return &set.Categories[0]
	}
	const n = ", columns: {n: zero}}"
	for name, tt := range map[string]struct {
		a, b        string
		there, back []Shortening // from a to b, and from b to a
	}{
		"the same":           {"delete: {after: P5Y}", "delete: {after: 60 months}", nil, nil},
		"shorter":            {"delete: {after: P91D}", "delete: {after: P90D}", []Shortening{{"delete.after", "P91D", days(90)}}, nil},
		"shorter in leap":    {"delete: {after: P1Y}", "delete: {after: P365D}", []Shortening{{"delete.after", "P1Y", days(365)}}, nil},
		"either":             {"delete: {after: P1M}", "delete: {after: P30D}", []Shortening{{"delete.after", "P1M", days(30)}}, []Shortening{{"delete.after", "P30D", Period{Months: 1}}}},
		"redacted earlier":   {"redact: {after: P9D" + n, "redact: {after: P8D" + n, []Shortening{{"redact.after", "P9D", days(8)}}, nil},
		"other columns":      {"redact: {after: P9D" + n, "redact: {after: P9D, columns: {n: zero, m: zero}}", nil, nil},
		"hidden earlier":     {"delete: {after: P9D}, restrict: {after: P2D, columns: [m]}", "delete: {after: P9D}, restrict: {after: P1D, columns: [m]}", nil, nil},
		"one for the other":  {"redact: {after: P9D" + n, "delete: {after: P9D}", []Shortening{{"delete.after", "not given", days(9)}}, []Shortening{{"redact.after", "not given", days(9)}}},
		"for ever":           {"delete: {after: unlimited}", "delete: {after: P90Y}", []Shortening{{"delete.after", "unlimited", Period{Years: 90}}}, nil},
		"of a lock's bounds": {"delete: {after: P9D}, window: {min: P5D}", "delete: {after: P9D}, window: {min: P4D}", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := category(tt.a), category(tt.b)
			if d := diff.Diff(tt.there, Shortened(a, b)); d != "" {
				t.Error(d)
			}
			if d := diff.Diff(tt.back, Shortened(b, a)); d != "" {
				t.Errorf("back: %s", d)
			}
		})
	}
}
