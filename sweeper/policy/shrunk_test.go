package policy

import (
	"cmp"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
)

// locked is a category with a lock, the keys on lines of their own.
func locked(changed map[string]string) string {
	lines := []string{
		"table: a.b", "where: [{column: s, op: in, value: [x, y]}, {column: t, op: not_null}]", "start_from: {column: at, event: end}",
		"redact: {after: P90D, columns: {n: zero, k: keep}}", "delete: {after: P5Y}", "window: {min: P1Y}", "lock: true", "enabled: true", "mode: enforce",
	}
	var b strings.Builder
	b.WriteString("version: 1\ntimezone: UTC\ncategories:\n  c:\n")
	for _, l := range lines {
		key, _, _ := strings.Cut(l, ":")
		if other, ok := changed[key]; ok {
			l = other
		}
		b.WriteString("    " + l + "\n")
	}
	return strings.Replace(b.String(), "timezone: UTC", "timezone: "+cmp.Or(changed["timezone"], "UTC"), 1)
}

func parsed(t *testing.T, path, source string) Set {
	t.Helper()
	set, err := Parse([]File{{Path: path, Source: []byte(source)}}, Defaults{AllowRawSQL: true})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestShrunk(t *testing.T) {
	t.Parallel()
	before := parsed(t, "old.yaml", locked(nil))
	for name, tt := range map[string]struct {
		changed map[string]string
		want    []string
	}{
		"nothing":         {nil, nil},
		"a longer window": {map[string]string{"delete": "delete: {after: P6Y}", "redact": "redact: {after: P91D, columns: {n: zero, k: keep}}", "window": "window: {min: P2Y}"}, nil},
		"no end":          {map[string]string{"delete": "delete: {after: unlimited}", "redact": "notes: x"}, nil},
		"other words":     {map[string]string{"start_from": "start_from: {column: at, event: farewell}", "delete": "delete: {after: 60 months}"}, nil},
		"where in another order": {
			map[string]string{"where": "where: [{column: t, op: not_null}, {column: s, op: in, value: [y, x]}]"},
			nil,
		},
		"shorter": {
			map[string]string{"delete": "delete: {after: P4Y}"},
			[]string{`new.yaml:9:21: category "c" is locked: delete.after was P5Y and may grow, and P4Y is shorter for a start on 2024-01-01`},
		},
		"shorter at few starts": {
			map[string]string{"delete": "delete: {after: P1826D}"},
			[]string{`new.yaml:9:21: category "c" is locked: delete.after was P5Y and may grow, and P1826D is shorter for a start on 2024-01-01`},
		},
		"longer at most starts": {map[string]string{"delete": "delete: {after: P1827D}"}, nil},
		"no delete": {
			map[string]string{"delete": "notes: x", "redact": "redact: {after: P2Y, columns: {n: zero}}"},
			[]string{`new.yaml:4:3: category "c" is locked: delete was given, which also keeps the rows from other categories; write delete: {after: P5Y}, or unlimited`},
		},
		"redacted earlier and more": {
			map[string]string{"redact": "redact: {after: P89D, columns: {n: zero, k: zero}, set: {z: 1}}"},
			[]string{
				`new.yaml:8:21: category "c" is locked: redact.after was P90D and may grow, and P89D is shorter for a start on 2024-01-01`,
				`new.yaml:8:46: category "c" is locked: column "k" was not overwritten; keep it`,
				`new.yaml:8:62: category "c" is locked: column "z" was not overwritten; keep it`,
			},
		},
		"a lower floor": {
			map[string]string{"window": "window: {min: P364D}"},
			[]string{`new.yaml:10:19: category "c" is locked: window.min was P1Y and may grow, and P364D is shorter for a start on 2024-01-01`},
		},
		"no floor": {
			map[string]string{"window": "notes: x"},
			[]string{`new.yaml:4:3: category "c" is locked: window.min was P1Y; write that, or a longer one`},
		},
		"unlocked": {
			map[string]string{"lock": "lock: false"},
			[]string{`new.yaml:11:11: category "c" is locked: lock cannot be taken away; write lock: true`},
		},
		"lock left out": {
			map[string]string{"lock": "notes: x"},
			[]string{`new.yaml:4:3: category "c" is locked: lock cannot be taken away; write lock: true`},
		},
		"disabled and observed": {
			map[string]string{"enabled": "enabled: false", "mode": "mode: observe"},
			[]string{
				`new.yaml:12:14: category "c" is locked: it cannot be disabled; write enabled: true`,
				`new.yaml:13:11: category "c" is locked: it cannot be turned to observe; write mode: enforce`,
			},
		},
		"other rows": {
			map[string]string{"table": "table: a.c", "where": "where: [{column: s, op: in, value: [x]}, {column: t, op: not_null}]", "timezone": "Asia/Tokyo", "start_from": "start_from: other"},
			[]string{
				`new.yaml:2:11: category "c" is locked: its time zone was UTC, and days begin at other times in Asia/Tokyo; write that`,
				`new.yaml:5:12: category "c" is locked: its table was a.b; write that`,
				`new.yaml:6:5: category "c" is locked: where cannot change; write what it was`,
				`new.yaml:7:17: category "c" is locked: what retention is counted from cannot change; write what it was`,
			},
		},
		"wider": {
			map[string]string{"where": "where: [{column: t, op: not_null}]"},
			[]string{`new.yaml:6:5: category "c" is locked: where cannot change; write what it was`},
		},
		"narrowed by SQL": {
			map[string]string{"mode": "where_sql: a"},
			[]string{`new.yaml:13:16: category "c" is locked: where_sql cannot change; write what it was`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := diff.Diff(tt.want, heads(Shrunk(before, parsed(t, "new.yaml", locked(tt.changed))))); d != "" {
				t.Error(d)
			}
		})
	}
}

// heads are the first lines of errors.
func heads(errs []*Error) []string {
	var all []string
	for _, e := range errs {
		first, _, _ := strings.Cut(e.Error(), "\n")
		all = append(all, first)
	}
	return all
}

func TestShrunkForGood(t *testing.T) {
	t.Parallel()
	const late = "redact: {after: P2Y, columns: {n: zero}}"
	free := "version: 1\ncategories:\n  d: {table: a.b, start_from: at, delete: {after: P1D}}\n"
	for name, tt := range map[string]struct {
		before, after string
		want          []string
	}{
		"gone":               {locked(nil), free, []string{`old.yaml:4:3: category "c" is locked and gone; bring it back`}},
		"free ones may go":   {free, locked(nil), nil},
		"free ones may fall": {strings.Replace(free, "P1D", "P9D", 1), free, nil},
		"unlimited": {
			locked(map[string]string{"delete": "delete: {after: unlimited}", "redact": late}), locked(map[string]string{"redact": late}),
			[]string{`new.yaml:9:21: category "c" is locked: delete.after was unlimited, which keeps the rows from every category; write that`},
		},
		"never deleted": {
			locked(map[string]string{"delete": "notes: x", "redact": late}), locked(map[string]string{"redact": late}),
			[]string{`new.yaml:9:21: category "c" is locked: it never deleted; remove delete`},
		},
		"never redacted": {
			locked(map[string]string{"redact": "notes: x"}), locked(nil),
			[]string{`new.yaml:8:5: category "c" is locked: it did not redact; remove redact`},
		},
		"a lock is new":          {locked(map[string]string{"lock": "lock: false"}), locked(map[string]string{"delete": "delete: {after: P1Y}"}), nil},
		"was disabled all along": {locked(map[string]string{"enabled": "enabled: false"}), locked(map[string]string{"enabled": "enabled: false"}), nil},
	} {
		got := heads(Shrunk(parsed(t, "old.yaml", tt.before), parsed(t, "new.yaml", tt.after)))
		if d := diff.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestFormerPoliciesStayReadable holds that a lock outlives a catalogue of
// regulations that asks for more than it did.
func TestFormerPoliciesStayReadable(t *testing.T) {
	t.Parallel()
	short := locked(map[string]string{"delete": "delete: {after: P4Y}", "mode": "basis: uk_mlr"}) +
		"  d: {table: a.b, start_from: at, redact: {after: P1D, columns: {n: {set: x}}}}\n"
	if _, err := Parse([]File{{Path: "p.yaml", Source: []byte(short)}}, Defaults{}); len(reasons(t, err)) != 2 {
		t.Errorf("today it is refused for its basis and for two redactions of one column: %v", err)
	}
	former, err := Parse([]File{{Path: "p.yaml", Source: []byte(short)}}, Defaults{Former: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`new.yaml:9:21: category "c" is locked: delete.after was P4Y and may grow, and P3Y is shorter for a start on 2024-01-01`}
	if d := diff.Diff(want, heads(Shrunk(former, parsed(t, "new.yaml", locked(map[string]string{"delete": "delete: {after: P3Y}"}))))); d != "" {
		t.Error(d)
	}
}
