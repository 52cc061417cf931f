package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

var update = flag.Bool("update", false, "write testdata/*.sql anew")

// TestGolden holds every statement that sample policies are turned into, over a
// catalogue that is written by hand.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"kyc", "minimal"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sample := filepath.Join("..", "..", "policies", name+".yaml")
			set, err := policy.Load(policy.Defaults{}, sample)
			if err != nil {
				t.Fatal(err)
			}
			p, err := plan.Build(set, fixture(), plan.Options{AsOf: asOf, BatchRows: 10000, Publication: "sweeper", HMACKey: []byte("0123456789abcdef0123456789abcdef")})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".sql"), render(p))
		})
	}
}

// TestGoldenConditions holds the statements of what the samples do not use: an
// integer start, one in another table, tenants' windows, raw SQL, and every
// redaction.
func TestGoldenConditions(t *testing.T) {
	t.Parallel()
	start := policy.Start{Column: "at", Unit: "ms"}
	elsewhere := policy.Start{Column: "ended", From: &policy.Elsewhere{
		Table: "kyc.relations", Schema: "kyc", Relation: "relations", Match: []policy.Match{{Other: "applicant_id", Own: "id"}}, Pick: "min",
	}}
	base := func(name, relation string, start policy.Start) policy.Category {
		return policy.Category{Name: name, Timezone: "Europe/Berlin", Table: "kyc." + relation, Schema: "kyc", Relation: relation, Start: start, Delete: &policy.Period{Years: 5}, Manifest: "count", Mode: "enforce", Enabled: true}
	}
	epochs, applicants := base("epochs", "epochs", start), base("applicants", "applicants", elsewhere)
	epochs.Tenant, epochs.WhereSQL = "workspace_id", "status <> 'open' OR status IS NULL"
	applicants.Redact = &policy.Redact{After: policy.Period{Days: 90}, Columns: []policy.Redaction{
		{Column: "born", Strategy: policy.Truncate, Unit: "year"},
		{Column: "seen_at", Strategy: policy.Truncate, Unit: "hour"},
		{Column: "phone", Strategy: policy.Mask, KeepLast: 2},
		{Column: "profile", Strategy: policy.JSON, Paths: []policy.JSONPath{
			{Steps: []policy.Step{{Member: "passport"}}, Action: "remove"}, {Steps: []policy.Step{{Member: "notes"}, {Each: true}, {Member: "text"}}, Action: "null"},
		}},
	}}
	epochs.Restrict = &policy.Restrict{After: policy.Period{Months: 1}, Columns: []string{"status"}}
	cat := &catalog.Catalog{Tables: map[catalog.Name]*catalog.Table{}}
	for _, t := range []*catalog.Table{
		table(1000, "kyc.epochs", []string{"id"}, "id int8", "at int8", "workspace_id text", "status text"),
		table(2000, "kyc.applicants", []string{"id"}, "id uuid", "born date", "seen_at timestamptz", "phone text", "profile jsonb"),
		table(3000, "kyc.relations", nil, "applicant_id uuid", "ended date"),
	} {
		cat.Tables[t.Name] = t
	}
	index(cat.Tables[catalog.Name{Schema: "kyc", Relation: "epochs"}], "at")
	p, err := plan.Build(policy.Set{Categories: []policy.Category{applicants, epochs}}, cat, plan.Options{AsOf: asOf, BatchRows: 10000, Publication: "sweeper", Windows: []plan.Window{
		{Category: "epochs", Tenant: "north", Retention: policy.Period{Years: 7}}, {Category: "epochs", Tenant: "south", Retention: policy.Period{Months: 3}}, {Category: "others", Tenant: "south", Retention: policy.Period{Days: 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "conditions.sql"), render(p))
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./sweeper/plan -run TestGolden -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what is planned (refresh it with -update, and read the difference):\n%s", path, diff)
	}
}

// render writes a plan as SQL: one statement a block, with what it is above and
// its fixed parameters below.
func render(p *plan.Plan) string {
	var b strings.Builder
	for i, level := range p.Levels {
		for _, c := range level {
			fmt.Fprintf(&b, "-- category %s of %s, level %d\n\n", c.Policy.Name, c.Table.Text, i)
			for _, count := range c.Counts {
				for _, part := range count.Parts {
					statement(&b, "count for "+count.Disposition, 0, part.Query)
				}
			}
			if c.Restricted != nil {
				for _, part := range c.Restricted.Parts {
					statement(&b, "count for "+c.Restricted.Disposition, 0, part.Query)
				}
			}
			for _, s := range c.Steps {
				steps(&b, s)
			}
		}
	}
	return b.String()
}

func steps(b *strings.Builder, s plan.Step) {
	what := fmt.Sprintf("%s of %s", s.Kind, s.Relation)
	if s.Partition != "" {
		what += ", partition " + s.Partition
	}
	what += ", walk " + s.Walk
	statement(b, what+": probe", 0, s.Probe)
	statement(b, what+": drop", 5, s.Drop)
	statement(b, what+": first", 0, s.First)
	statement(b, what+": next", 3, s.Next)
	run := 1 // is a parameter of the statements that report themselves
	if s.Total.SQL != "" {
		run = 0
	}
	statement(b, what+": batch", 2+run, s.Batch)
	statement(b, what+": lock", map[string]int{plan.WalkStart: 4, plan.WalkBlocks: 2}[s.Walk], s.Lock)
	statement(b, what+": taken", 2, s.Taken)
	statement(b, what+": split", 5, s.Split)
	statement(b, what+": part", 4+run, s.Part)
	statement(b, what+": total", 2, s.Total)
	statement(b, what+": scattered", 1, s.Scattered)
	if s.Heap != nil {
		if s.Heap.Batch.SQL != "" { // of which Lock says the same
			statement(b, what+", scattered: batch", 2+run, s.Heap.Batch)
		} else {
			statement(b, what+", scattered: lock", 2, s.Heap.Lock)
		}
	}
	if s.Rows != nil {
		steps(b, *s.Rows)
	}
}

func statement(b *strings.Builder, what string, varying int, q plan.Query) {
	if q.SQL == "" {
		return
	}
	fmt.Fprintf(b, "-- %s\n%s;\n", what, lines(q.SQL))
	for i, arg := range q.Args {
		value := fmt.Sprintf("'%v'", arg)
		switch arg.(type) {
		case []byte:
			value = "(a key)"
		case *plan.KeysVersion:
			value = "(the version of the set of held keys)"
		case *plan.KeysBits:
			value = "(the bits of that set)"
		}
		fmt.Fprintf(b, "--   $%d = %s\n", varying+i+1, value)
	}
	b.WriteString("\n")
}

// lines breaks SQL before the words that people look for, indented by the
// parentheses around them. Between two words that only the eye tells apart from
// conditions (JOIN … ON … AND) it breaks too.
func lines(sql string) string {
	var b strings.Builder
	depth := 0
	for i := range len(sql) {
		switch sql[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ' ':
			if word, _, _ := strings.Cut(sql[i+1:], " "); slices.Contains([]string{"WHERE", "AND", "OR", "FROM", "JOIN", "RETURNING"}, word) {
				b.WriteString("\n" + strings.Repeat("  ", depth+1))
				continue
			}
		}
		b.WriteByte(sql[i])
	}
	return b.String()
}
