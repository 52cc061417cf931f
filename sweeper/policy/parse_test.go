package policy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const everything = `
version: 1
timezone: Europe/Berlin
controller: Example Ltd
processor: Tester & Söhne
region: EU
categories:
  second:
    table: App.Events
    start_from: created at
    delete: {after: unlimited}
  first:
    description: |
      Two
      lines
    notes: 'it''s'
    basis: gdpr
    table: '"KYC"."a.b ""c"""'
    subject: id
    tenant: Workspace
    where:
      - {column: e, op: in, value: [1, 2.5, true, abc, "5", 1e3, 2024-01-01, -7, yes, "null"]}
      - {column: b, op: ne, value: ""}
      - {column: c, op: is_null}
    start_from: {event: relationship_end, column: ended_at}
    redact:
      after: 90 days
      columns:
        z: "null"
        a: zero
        m: keep
        v: {set: 5}
        h: {hmac: "x-%s@invalid"}
      set: {state: redacted, n: false}
    delete: {after: 1 year 6 months}
    partitions: rows
    manifest: none
    schedule: {every: 90m}
    limits: {max_share: 0}
    evidence: batch
    mode: observe
    enabled: false
`

func TestParse(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Path: "p.yaml", Source: []byte(everything)}}, Defaults{Timezone: "Asia/Tokyo"})
	if err != nil {
		t.Fatal(err)
	}
	if set.Controller != "Example Ltd" || set.Processor != "Tester & Söhne" || set.Region != "EU" {
		t.Errorf("texts %q %q %q", set.Controller, set.Processor, set.Region)
	}
	want := []Category{
		{
			Name: "first", Description: "Two\nlines\n", Notes: "it's", Basis: "gdpr", Timezone: "Europe/Berlin",
			Table: `"KYC"."a.b ""c"""`, Schema: "KYC", Relation: `a.b "c"`, Subject: "id", Tenant: "Workspace",
			Where: []Condition{
				{"e", "in", []any{int64(1), 2.5, true, "abc", "5", 1000.0, "2024-01-01", int64(-7), "yes", "null"}},
				{"b", "ne", []any{""}},
				{"c", "is_null", nil},
			},
			Start: Start{Column: "ended_at", Event: "relationship_end"},
			Redact: &Redact{
				After: Period{Days: 90},
				Columns: []Redaction{
					{Column: "z", Strategy: Null},
					{Column: "a", Strategy: Zero},
					{Column: "m", Strategy: Keep},
					{Column: "v", Strategy: SetValue, Value: int64(5)},
					{Column: "h", Strategy: HMAC, Format: "x-%s@invalid"},
				},
				Set: []Assignment{{"state", "redacted"}, {"n", false}},
			},
			Delete: &Period{Years: 1, Months: 6}, Partitions: "rows", Manifest: "none", Evidence: "batch",
			Schedule: Schedule{Every: 90 * time.Minute}, Review: "none", Mode: "observe",
		},
		{
			Name: "second", Timezone: "Europe/Berlin", Table: "App.Events", Schema: "App", Relation: "Events",
			Start: Start{Column: "created at"}, Unlimited: true, Manifest: "count", Evidence: "batch",
			Schedule: Schedule{Cron: "0 3 * * *"}, Review: "none", Limits: Limits{MaxShare: 0.2}, Mode: "enforce", Enabled: true,
		},
	}
	if diff := cmp.Diff(want, set.Categories, cmpopts.IgnoreFields(Category{}, "At", "Ats")); diff != "" {
		t.Error(diff)
	}
}

// TestFileForms holds that what an editor adds does not matter.
func TestFileForms(t *testing.T) {
	t.Parallel()
	plain := category("delete: {after: P5Y}")
	for name, source := range map[string]string{
		"byte order mark": "\ufeff" + plain,
		"CRLF":            strings.ReplaceAll(plain, "\n", "\r\n"),
		"header":          "# c\n---\n" + plain + "...\n",
		"no last newline": strings.TrimSuffix(plain, "\n"),
		"comments":        "# c\n\n" + strings.ReplaceAll(plain, "\n", " # *x &y !z\n"),
		"JSON":            `{"version": 1, "categories": {"c": {"table": "a.b", "start_from": "at", "delete": {"after": "P5Y"}}}}`,
		"version as 1.0":  strings.Replace(plain, "version: 1", "version: 1.0", 1),
		"twenty levels":   plain + "    notes: \"" + many("[", 30) + "\"\n",
	} {
		set, err := Parse([]File{{Path: "p.yaml", Source: []byte(source)}}, Defaults{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c := set.Categories[0]; c.Name != "c" || c.Relation != "b" || c.Timezone != "UTC" || *c.Delete != (Period{Years: 5}) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	one := func(name, extra string) []byte {
		return []byte(extra + "version: 1\ncategories:\n  " + name + ": {table: a.b, start_from: at, delete: {after: P1D}}\n")
	}
	set, err := Parse([]File{{"x/b.yaml", one("b", "region: EU\n")}, {"y/a.yaml", one("z", "timezone: Asia/Tokyo\nregion: EU\n")}}, Defaults{Timezone: "Europe/Rome"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range set.Categories {
		got = append(got, c.Name+" "+c.Timezone)
	}
	if diff := cmp.Diff([]string{"b Europe/Rome", "z Asia/Tokyo"}, got); diff != "" {
		t.Error(diff)
	}
	_, err = Parse([]File{{"x/b.yaml", one("kyc", "region: EU\n")}, {"y/a.yaml", one("kyc", "region: US\n")}, {"a/c.yaml", one("Bad", "")}}, Defaults{})
	want := []string{
		`a/c.yaml:3:3: category name "Bad": write a lower-case letter, then lower-case letters, digits and _, at most 63`,
		`x/b.yaml:1:9: region is "US" at y/a.yaml:1:9; give it once`,
		`x/b.yaml:4:3: category "kyc" is already defined at y/a.yaml:4:3`,
	}
	if diff := cmp.Diff(want, reasons(t, err)); diff != "" {
		t.Error(diff)
	}
	_, err = Parse(nil, Defaults{Timezone: "Local"})
	if want := `SWEEPER_TIMEZONE: unknown time zone "Local"; write an IANA name, e.g. "Europe/Berlin"`; err == nil || err.Error() != want {
		t.Errorf("bad default zone: %v, want %s", err, want)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	a, b := []byte(category("delete: {after: P5Y}")), bytes.Replace([]byte(category("delete: {after: P5Y}")), []byte("  c:"), []byte("  d:"), 1)
	sum := func(files ...File) string {
		set, err := Parse(files, Defaults{})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", set.SHA256)
	}
	base := sum(File{"x/a.yaml", a}, File{"x/b.yaml", b})
	if got := sum(File{"q/b.yaml", b}, File{"y/a.yaml", a}); got != base {
		t.Error("the hash depends on the folder or the order")
	}
	if got := sum(File{"x/a.yaml", a}, File{"x/b.yaml", append(b[:len(b):len(b)], '\n')}); got == base {
		t.Error("the hash does not see a byte more")
	}
	if got := sum(File{"x/a.yaml", a}); got == base {
		t.Error("the hash does not see a file less")
	}
	if want := "f78d"; sum(File{"a", a})[:4] != want {
		t.Errorf("the hash of a fixed source is %s, want %s…: policy versions on record would no longer match", sum(File{"a", a}), want)
	}
}

func TestTenThousandCategories(t *testing.T) {
	t.Parallel()
	var files []File
	for f := range 5 {
		var b strings.Builder
		b.WriteString("version: 1\ncategories:\n")
		for i := range 2000 {
			fmt.Fprintf(&b, "  c%d_%d:\n    table: s.t%d\n    start_from: {column: at, event: end}\n    where: [{column: a, op: in, value: [1, x]}]\n"+
				"    redact: {after: P90D, columns: {z: zero}}\n    delete: {after: P5Y}\n", f, i, i)
		}
		files = append(files, File{Path: fmt.Sprintf("%d.yaml", f), Source: []byte(b.String())})
	}
	begin := time.Now()
	set, err := Parse(files, Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Categories) != 10_000 {
		t.Errorf("%d categories", len(set.Categories))
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %s", took)
	} else {
		t.Logf("10 000 categories in %s", took)
	}
}

// TestManyErrors holds that a file of the wrong kind does not flood.
func TestManyErrors(t *testing.T) {
	t.Parallel()
	_, err := Parse([]File{{"p.yaml", []byte("version: 1\n" + many("a: *b\n", 10_000))}}, Defaults{})
	got := reasons(t, err)
	if len(got) != maxShown || !strings.Contains(got[maxShown-1], "more errors in this file") {
		t.Errorf("%d errors, the last %q", len(got), got[len(got)-1])
	}
}

// TestAliasBomb holds that nine levels of nine aliases cost nothing.
func TestAliasBomb(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("version: 1\na: &a [x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c <= 'z'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s*%c]\n", c, c, many(fmt.Sprintf("*%c, ", c-1), 8), c-1)
	}
	_, err := Parse([]File{{"p.yaml", []byte(b.String())}}, Defaults{})
	got := reasons(t, err)
	if len(got) != 51 || !strings.HasPrefix(got[0], "p.yaml:2:4: anchors are not allowed") || !strings.HasPrefix(got[2], "p.yaml:3:8: aliases are not allowed") {
		t.Errorf("%d errors: %q", len(got), got)
	}
}

// TestProcessAndPurge holds that what is done with may go at once, and that a
// category may do nothing but hide.
func TestProcessAndPurge(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Path: "p.yaml", Source: []byte(bothOver(
		"start_from: sent_at, redact: {after: P0D, columns: {n: zero}}, delete: {after: P0D}", "start_from: sent_at, restrict: {after: P0D, columns: [n]}"))}}, Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := set.Categories[0], set.Categories[1]
	if *a.Delete != (Period{}) || a.Redact.After != (Period{}) || Posture(a.Delete) != "Below floor" {
		t.Errorf("at once: %v %v", a.Delete, a.Redact)
	}
	if b.Restrict == nil || b.Restrict.After != (Period{}) || b.Delete != nil || b.Redact != nil || Posture(b.Delete) != "Unlimited" {
		t.Errorf("hidden: %+v", b)
	}
}
