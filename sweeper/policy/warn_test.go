package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// warned returns the first line of each warning about source, without its file.
func warned(t *testing.T, source string) []string {
	t.Helper()
	set, err := Parse([]File{{Path: "p.yaml", Source: []byte(source)}}, Defaults{AllowRawSQL: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, w := range set.Warnings() {
		first, _, _ := strings.Cut(w.Error(), "\n")
		all = append(all, first)
	}
	return all
}

const notYet = "is valid, but this version does not apply it: install, sweep and run refuse the policies until it does"

func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]bad{
		"nothing to say": {category("delete: {after: P5Y}", "basis: kept as long as the contract says"), nil},
		"a basis that is no id": {
			category("delete: {after: P5Y}", "basis: kyc_law"),
			[]string{`p.yaml:7:12: "kyc_law" is no id of regulations.yaml, so it is taken as free text and no minimum is checked`},
		},
		"an override without a regulation": {
			category("delete: {after: P5Y}", "basis: some law", "override: {reason: a, approver: b}"),
			[]string{"p.yaml:8:5: override is not used: the basis is no regulation with a minimum; remove it"},
		},
		"an override for nothing": {
			startingFrom("{column: at, event: relationship_end}", "delete: {after: P5Y}", "basis: uk_mlr", "override: {reason: a, approver: b}"),
			[]string{`p.yaml:8:5: override is not used: the window is within what "uk_mlr" asks for; remove it`},
		},
		"an override that is used": {
			startingFrom("{column: at, event: relationship_end}", "delete: {after: P4Y}", "basis: uk_mlr", "override: {reason: the supervisor agreed, approver: Ann}"),
			[]string{`p.yaml:8:5: delete.after P4Y is shorter than the P5Y that "uk_mlr" asks for (SI 2017/692 reg. 40) for a start on 2024-01-01; overridden because of "the supervisor agreed", approved by "Ann"`},
		},
		"an override of a maximum": {
			startingFrom("{column: at, event: last_interaction}", "delete: {after: P4Y}", "basis: bipa", "override: {reason: a court asks for it, approver: Ann}"),
			[]string{`p.yaml:8:5: delete.after P4Y is longer than the P3Y that "bipa" allows (740 ILCS 14/15(a)) for a start on 2024-01-01; overridden because of "a court asks for it", approved by "Ann"`},
		},
		"an event without name": {
			category("delete: {after: P5Y}", "basis: aml_eu"),
			[]string{`p.yaml:5:17: start_from does not name its event, and "aml_eu" counts from relationship_end, transaction_date; write start_from: {column: at, event: relationship_end}`},
		},
		"another event": {
			startingFrom("{column: at, event: sign_up}", "delete: {after: P5Y}", "basis: aml_eu"),
			[]string{`p.yaml:5:37: "sign_up" is none of the events that "aml_eu" counts from: relationship_end, transaction_date`},
		},
		"a ground without periods": {startingFrom("{column: at, event: sign_up}", "delete: {after: P1D}", "basis: gdpr"), nil},
		"redacted before the minimum": {
			startingFrom("{column: at, event: relationship_end}", "redact: {after: P90D, columns: {a: zero}}", "delete: {after: P5Y}", "basis: uk_mlr"),
			[]string{`p.yaml:6:21: redact.after P90D comes before the P5Y that "uk_mlr" asks for (SI 2017/692 reg. 40) have passed, for a start on 2024-01-01; redact only what it does not want kept`},
		},
		"redacted and never deleted": {
			startingFrom("{column: at, event: relationship_end}", "redact: {after: P4Y, columns: {a: zero}}", "basis: uk_mlr"),
			[]string{`p.yaml:6:21: redact.after P4Y comes before the P5Y that "uk_mlr" asks for (SI 2017/692 reg. 40) have passed, for a start on 2024-01-01; redact only what it does not want kept`},
		},
		"tenants without a floor": {
			startingFrom("{column: at, event: relationship_end}", "delete: {after: P5Y}", "basis: uk_mlr", "tenant: t"),
			[]string{`p.yaml:8:13: a tenant's own window may go under the P5Y that "uk_mlr" asks for; write window: {min: P5Y}`},
		},
		"tenants with a low floor": {
			startingFrom("{column: at, event: relationship_end}", "delete: {after: P5Y}", "basis: uk_mlr", "tenant: t", "window: {min: P3M}"),
			[]string{`p.yaml:9:19: window.min P3M lets a tenant's own window go under the P5Y that "uk_mlr" asks for; write window: {min: P5Y}`},
		},
		"tenants with a floor": {startingFrom("{column: at, event: relationship_end}", "delete: {after: P5Y}", "basis: uk_mlr", "tenant: t", "window: {min: P5Y}"), nil},
		"below two years": {
			startingFrom("{column: at, event: log_date}", "delete: {after: P12M}", "basis: pci_dss"),
			[]string{"p.yaml:6:21: delete.after P12M is below 24 months, which is short for data that is kept by law (below_regulated_minimum); look at it again with your counsel"},
		},
		"two years":             {startingFrom("{column: at, event: log_date}", "delete: {after: P24M}", "basis: pci_dss"), nil},
		"below two years, free": {category("delete: {after: P12M}", "basis: consent"), nil},
		"the longest wins": {
			bothOver("start_from: at, delete: {after: P1Y}", "start_from: {column: at, event: end}, delete: {after: P2Y}"),
			[]string{"p.yaml:3:51: categories a and b have the same rows, and the longest window wins: they go after the P2Y of b, not the P1Y of a"},
		},
		"the longest wins in part": {
			bothOver("start_from: at, delete: {after: P3Y}", "start_from: at, where: [{column: s, op: eq, value: 1}], delete: {after: P2Y}"),
			[]string{"p.yaml:4:91: categories a and b have rows in common, and the longest window wins: they go after the P3Y of a, not the P2Y of b"},
		},
		"the longest depends": {
			bothOver("start_from: at, delete: {after: P1M}", "start_from: at, delete: {after: P30D}"),
			[]string{"p.yaml:4:51: categories a (P1M) and b (P30D) have the same rows; which of the windows is longer, and wins, depends on the start"},
		},
		"the same window": {bothOver("start_from: at, delete: {after: P12M}", "start_from: at, delete: {after: P1Y}"), nil},
		"other starts":    {bothOver("start_from: at, delete: {after: P1Y}", "start_from: done, delete: {after: P2Y}"), nil},
		"where in any order": {
			bothOver("start_from: at, where: [{column: s, op: in, value: [1, 2]}, {column: t, op: not_null}], delete: {after: P1Y}",
				"start_from: at, where: [{column: t, op: not_null}, {column: s, op: in, value: [2, 1]}], delete: {after: P2Y}"),
			[]string{"p.yaml:3:123: categories a and b have the same rows, and the longest window wins: they go after the P2Y of b, not the P1Y of a"},
		},
		"other rows": {
			bothOver("start_from: at, where: [{column: s, op: in, value: [1, 2]}], delete: {after: P1Y}", "start_from: at, where: [{column: s, op: not_in, value: [2, 1, 3]}], delete: {after: P2Y}"),
			nil,
		},
		"raw SQL may be anything": {bothOver("start_from: at, where_sql: a, delete: {after: P1Y}", "start_from: at, where_sql: b, delete: {after: P2Y}"), nil},
		"unlimited beside delete": {
			bothOver("start_from: at, delete: {after: P1Y}", "delete: {after: unlimited}"),
			[]string{"p.yaml:3:51: categories a and b have the same rows, and b keeps them for ever: a never deletes those"},
		},
		"no delete beside delete": {bothOver("start_from: at, delete: {after: P1Y}", "start_from: at, redact: {after: P1D, columns: {x: zero}}"), nil},
		"disabled beside delete":  {bothOver("start_from: at, delete: {after: P1Y}", "delete: {after: unlimited}, enabled: false"), nil},
		"kept and redacted": {
			bothOver("start_from: at, redact: {after: P1D, columns: {x: zero}}", "start_from: at, redact: {after: P1D, columns: {x: keep, y: zero}}"),
			[]string{`p.yaml:3:66: column "x" is redacted here, and category b over the same table keeps it: rows of both lose it`},
		},
		"child with a longer life": {
			"version: 1\ncategories:\n  p: {table: x.p, start_from: at, delete: {after: P1Y}, children: [{table: x.c, match: {p: id}}]}\n  c: {table: x.c, start_from: at, delete: {after: P2Y}}\n",
			[]string{
				"p.yaml:3:76: category c keeps x.c P2Y, longer than the P1Y after which it would go as a child: rows with such children are blocked until then",
			},
		},
		"child for ever": {
			"version: 1\ncategories:\n  p: {table: x.p, start_from: at, delete: {after: P1Y}, children: [{table: x.b, match: {p: id}, children: [{table: x.c, match: {b: id}}]}]}\n  c: {table: x.c, delete: {after: unlimited}}\n",
			[]string{
				"p.yaml:3:116: category c keeps x.c for ever, longer than the P1Y after which it would go as a child: rows with such children are blocked until then",
			},
		},
		"keys of a later version": {
			category("restrict: {after: P1D, columns: [a]}", "notify: {before: P1D}", "review: required", "bulk_filter: [a]", "limits: {max_rows_per_run: 1, max_share: 0, rows_per_second: 0, max_dead_share: 0.1}",
				"partitions: detach", "manifest: digest", "evidence: row", "delete: {after: P5Y}"),
			[]string{
				`p.yaml:7:5: "notify" ` + notYet, `p.yaml:8:13: "review: required" ` + notYet,
				`p.yaml:9:5: "bulk_filter" ` + notYet,
			},
		},
		"keys at what they are anyway": {
			category("delete: {after: P5Y}", "review: none", "limits: {max_rows_per_run: 0, rows_per_second: 0.0, max_dead_share: 0}", "partitions: rows", "manifest: none", "evidence: batch"),
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, warned(t, tt.source)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestApplicable holds that all that this version does not apply is refused at
// its place, at any depth, and that later has no line that finds nothing.
func TestApplicable(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Path: "whole.yaml", Source: whole(t)}}, Defaults{AllowRawSQL: true})
	if err != nil {
		t.Fatal(err)
	}
	got := reasons(t, set.Applicable())
	for i, line := range got {
		short, ok := strings.CutSuffix(line, " is part of the policy language but this version does not apply it; remove it")
		if !ok {
			t.Error(line)
		}
		got[i] = short
	}
	want := []string{
		`whole.yaml:39:9: "objects"`, `whole.yaml:55:5: "notify"`,
		`whole.yaml:56:13: "review: required"`, `whole.yaml:57:5: "bulk_filter"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(later) != len(want) {
		t.Errorf("%d keys are listed and %d are found", len(later), len(want))
	}
	plain, err := Parse([]File{{Path: "p.yaml", Source: []byte(everything)}}, Defaults{})
	if err != nil || plain.Applicable() != nil {
		t.Errorf("a set that is applied as a whole: %v, %v", err, plain.Applicable())
	}
}

// TestObjectsOfGrandchildren holds that the gate looks below children of
// children.
func TestObjectsOfGrandchildren(t *testing.T) {
	t.Parallel()
	got := warned(t, category("delete: {after: P5Y}", "children:", "  - table: x.c", "    match: {a: id}", "    children:",
		"      - {table: x.d, match: {b: id}, objects: {column: k, bucket: b}}"))
	want := []string{`p.yaml:11:42: "objects" ` + notYet}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRawSQL holds what where_sql may be once it is allowed.
func TestRawSQL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"a = 1"`:                              "",
		`|` + "\n      a = 1\n      and b = 2": "",
		`""`:                                   `p.yaml:7:16: "where_sql" is empty; give it a value or remove it`,
		`"  "`:                                 `p.yaml:7:16: "where_sql" is blank; give it a value or remove it`,
		`"a\0"`:                                "p.yaml:7:16: control character U+0000 in where_sql; PostgreSQL cannot hold it",
		`"a = 'x\u202e'"`:                      `p.yaml:7:16: invisible character U+202E in "where_sql"; remove it`,
	} {
		set, err := Parse([]File{{Path: "p.yaml", Source: []byte(category("delete: {after: P5Y}", "where_sql: "+text))}}, Defaults{AllowRawSQL: true})
		if got := strings.Join(reasons(t, err), "\n"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if err == nil && !strings.HasPrefix(set.Categories[0].WhereSQL, "a = 1") {
			t.Errorf("%s is read as %q", text, set.Categories[0].WhereSQL)
		}
	}
}
