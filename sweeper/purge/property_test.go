package purge_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// zones have clock changes by an hour, by half an hour, none at all, a day that
// is missing, and an odd distance from UTC.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"}

// edges are the days around which starts are drawn: clock changes of the zones,
// the day that Apia left out, leap days, ends of months and years.
var edges = []string{
	"2023-03-26", "2023-10-29", "2023-03-12", "2023-11-05", "2023-04-02", "2023-10-01", "2011-12-29", "2011-12-31", "2010-09-26",
	"2020-02-29", "2024-02-29", "2023-02-28", "2023-01-31", "2023-05-31", "2022-08-30", "2023-12-31", "2024-01-01", "2016-06-30",
}

// drawn are starts of a type in a zone, as SQL.
func drawn(r *rand.Rand, typ, zone string, n int) []string {
	odd := map[string][]string{
		"timestamptz": {"NULL", "'infinity'", "'-infinity'", "'2999-01-01'", "'294276-12-31 00:00:00+00'"},
		"timestamp":   {"NULL", "'infinity'", "'-infinity'", "'2999-01-01'", "'294276-12-31'"},
		"date":        {"NULL", "'infinity'", "'-infinity'", "'2999-01-01'", "'5874897-01-01'"},
	}[typ]
	if per := perSecond[typ]; per != 0 {
		odd = []string{"NULL", "0", "-1", "9223372036854775807", "-9223372036854775808", fmt.Sprint(4102444800 * per), fmt.Sprint(631152000*per - 1), "1700000000", "4000000000"}
		if typ == "s" {
			odd = odd[:7]
		}
	}
	starts := make([]string, n)
	for i := range starts {
		if r.IntN(8) == 0 {
			starts[i] = odd[r.IntN(len(odd))]
			continue
		}
		at, _ := time.Parse(time.DateOnly, edges[r.IntN(len(edges))])
		at = at.Add(time.Duration(r.Int64N(int64(30 * time.Hour))))
		if r.IntN(3) == 0 {
			at = at.Truncate(30 * time.Minute)
		}
		starts[i] = startOf(typ, at.Format("2006-01-02 15:04:05.000000"), zone)
	}
	return starts
}

func drawnPeriod(r *rand.Rand) policy.Period {
	p := policy.Period{Years: r.IntN(4), Months: r.IntN(14), Days: r.IntN(40)}
	if r.IntN(3) == 0 {
		p.Weeks = r.IntN(5)
	}
	return p
}

// TestDueIsWhatPostgreSQLSays draws starts and periods, and judges by instants
// at which rows become due, or a microsecond to either side. In every type,
// zone and walk exactly those rows go whose start plus retention is not after
// the as-of, by the formula computed beside the sweep.
func TestDueIsWhatPostgreSQLSays(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"timestamptz", "timestamp", "date", "s", "ms", "us"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			dueByFormula(t, rand.New(rand.NewPCG(seed, 1)), typ)
		})
	}
}

func dueByFormula(t *testing.T, r *rand.Rand, typ string) {
	const rounds, rows = 3, 60
	ddl, policies := "create schema app;", "version: 1\ncategories:\n"
	zone := map[string]string{}
	var tables []string
	for i, z := range zones {
		for _, walk := range []string{"index", "blocks", "partitions"} {
			name := fmt.Sprintf("%s%d", walk, i)
			tables = append(tables, name)
			zone[name] = z
			ddl += tableOf(name, walk, typ)
			policies += fmt.Sprintf("  %s: {table: app.%s, subject: who, start_from: at, delete: {after: P1Y}}\n", name, name)
		}
	}
	b := setupWith(t, ddl, policies, func(c *policy.Category) {
		inUnit(typ)(c)
		c.Timezone = zone[c.Name]
	})
	dropped := int64(0)
	owner := b.db.Role(t, "owner", "nologin")
	b.db.Exec(t, fmt.Sprintf(`grant %s to sweeper_owner; grant all on schema app to %[1]s`, owner))
	for range rounds {
		var fill strings.Builder
		for _, name := range tables {
			if strings.HasPrefix(name, "partitions") { // leaves went in the last round
				fmt.Fprintf(&fill, "drop table app.%s; set role %s; %s reset role;", name, owner, tableOf(name, "partitions", typ))
			}
		}
		due := map[string]string{}
		for i := range b.set.Categories {
			c := &b.set.Categories[i]
			*c.Delete = drawnPeriod(r)
			fmt.Fprintf(&fill, "truncate app.%s; insert into app.%[1]s (id, at) values ", c.Name)
			whole := strings.HasPrefix(c.Name, "partitions")
			for j, start := range drawn(r, typ, c.Timezone, rows) {
				if whole && (start == "NULL" || !strings.Contains(start, "20")) { // the key takes no NULL, and -infinity keeps the oldest partition
					start = startOf(typ, "2022-05-31 23:59:59.999999", c.Timezone)
				}
				if j > 0 {
					fill.WriteString(", ")
				}
				fmt.Fprintf(&fill, "('r%d', %s)", j, start)
			}
			fill.WriteString(";\n")
			due[c.Name] = fmt.Sprintf("timezone('%[1]s', %[2]s + interval '%[3]s')", c.Timezone, strings.ReplaceAll(wallOf(typ), "$1", "'"+c.Timezone+"'"), c.Delete.Interval())
		}
		b.db.Exec(t, fill.String())
		b.set.SHA256[0]++ // other windows are another set
		b.install(t)
		computable := "true"
		if perSecond[typ] == 0 {
			computable = "(at is null or at < '2999-01-01' and at > '-infinity')" // others have no due instant
		}
		of := tables[r.IntN(len(tables))]
		asOf := pgtest.QueryOne[*time.Time](t, b.admin, fmt.Sprintf(`select d from (select case when %s then %s end as d from app.%s) s where d < now() - interval '1 day' order by hashtext(d::text || $1) limit 1`,
			computable, due[of], of), fmt.Sprint(r.Uint32()))
		if asOf == nil {
			continue
		}
		judged := asOf.Add(time.Duration(r.IntN(3)-1) * time.Microsecond)
		want := map[string]string{}
		for _, name := range tables {
			want[name] = b.text(t, fmt.Sprintf(`select string_agg(id, ' ' order by id) from app.%s where (case when %s then %s <= '%s' else false end) is not true`,
				name, computable, due[name], judged.UTC().Format(time.RFC3339Nano)))
		}
		for name, o := range b.run(t, judged) {
			if got := b.text(t, `select string_agg(id, ' ' order by id) from app.`+name); got != want[name] {
				t.Errorf("%s in %s, as of %s: left are\n%s, want\n%s\n%s", name, zone[name], judged, got, want[name], due[name])
			}
			if o.State != purge.Succeeded {
				t.Errorf("%s: %s %s", name, o.State, o.StopReason)
			}
			dropped += o.PartitionsDropped
		}
	}
	if dropped == 0 {
		t.Error("no partition went whole, so nothing was told of them")
	}
}

// tableOf is a table for a walk, with partitions that cut through the edges.
func tableOf(name, walk, typ string) string {
	ddl := fmt.Sprintf("create table app.%s (id text, at %s, who text, primary key (id));", name, columnOf(typ))
	switch walk {
	case "index":
		return ddl + fmt.Sprintf("create index on app.%s (at);", name)
	case "partitions":
		ddl = fmt.Sprintf("create table app.%s (id text, at %s, who text, primary key (id, at)) partition by range (at);", name, columnOf(typ))
		from := "minvalue"
		for i, day := range []string{"2011-12-30", "2016-07-01", "2022-08-31", "2023-02-01", "2023-03-12", "2023-04-02", "2023-10-01", "2023-10-30", "2023-12-31", ""} {
			to := "maxvalue"
			if day != "" {
				to = boundOf(typ, day)
			}
			ddl += fmt.Sprintf("create table app.%s_%d partition of app.%[1]s for values from (%[3]s) to (%[4]s);", name, i, from, to)
			from = to
		}
	}
	return ddl
}
