package sweeper_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper"
)

// TestForecastAgrees has random starts, many near the ends of months and of
// summer time, and compares with a condition that the test writes itself.
func TestForecastAgrees(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"alone":        "",
		"with others":  "  longer: {table: app.events, start_from: at, where: [{column: id, op: lt, value: 300}], delete: {after: P1Y9M}}\n",
		"with windows": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text, note text, unread text, org text); create index on app.events (at)`,
				"version: 1\ntimezone: Europe/Berlin\ncategories:\n  events: {table: app.events, subject: who, tenant: org, start_from: at, redact: {after: P6M, columns: {note: \"null\"}}, delete: {after: P1Y1M}}\n"+more)
			if name == "with windows" {
				b.db.Exec(t, "select sweeper.set_tenant_retention('events', 'short', '3 months', 'test', 'contract'); select sweeper.set_tenant_retention('events', 'long', '3 years', 'test', 'contract')")
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 2))
			var sql strings.Builder
			for i := range 900 {
				at := time.Date(2024, 1, 1, 0, random.IntN(3*365*24*60), 0, 0, time.UTC)
				if i%3 == 0 {
					at = time.Date(2024, time.Month(1+random.IntN(36)), 1, -3, random.IntN(6*60), 0, 0, time.UTC)
				}
				fmt.Fprintf(&sql, "%s(%d, '%s', 'u%d', %s, '%s')", map[bool]string{true: ", "}[i > 0], i, at.Format(time.RFC3339), i%5, map[bool]string{true: "null", false: "'x'"}[i%7 == 0], []string{"short", "long", "none"}[i%3])
			}
			b.db.Exec(t, "insert into app.events (id, at, who, note, org) values "+sql.String()+", (1000, null, 'u1', 'x', 'none'), (1001, '-infinity', 'u1', 'x', 'none'), (1002, 'infinity', 'u1', 'x', null); select sweeper.apply_hold('u1', 'case', 'test')")
			asOf := time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)
			got, err := sweeper.Forecast(t.Context(), b.cfg, b.set, asOf, 9)
			if err != nil {
				t.Fatal(err)
			}
			want := 9 * 2
			if more != "" {
				want = 9 * 3
			}
			if len(got) != want {
				t.Fatalf("%d rows, want %d", len(got), want)
			}
			for i := range 9 {
				for _, f := range got {
					if f.Category != "events" || !f.Month.Equal(got[i].Month) {
						continue
					}
					if diff := cmp.Diff(b.falling(t, f, asOf, more != "", name == "with windows"), f); diff != "" {
						t.Errorf("%s of %s:\n%s", f.Disposition, f.Month, diff)
					}
				}
			}
			if got[0].Month.Format("2006-01-02 15:04 MST") != "2026-03-01 00:00 CET" || got[8].Month.Format("2006-01") != "2026-11" {
				t.Errorf("from %s to %s", got[0].Month, got[8].Month)
			}
		})
	}
}

// falling counts what falls due in the month of f by plain SQL.
func (b *bundle) falling(t *testing.T, f sweeper.FallingDue, asOf time.Time, others, windows bool) sweeper.FallingDue {
	t.Helper()
	dueAt := func(period string) string {
		return fmt.Sprintf("(at at time zone 'Europe/Berlin' + interval '%s') at time zone 'Europe/Berlin'", period)
	}
	due, rest := dueAt("1 year 1 month"), "true"
	if others {
		due = fmt.Sprintf("case when id < 300 then greatest(%s, %s) else %s end", due, dueAt("1 year 9 months"), due)
	}
	own := dueAt("6 months")
	if windows {
		due = fmt.Sprintf("case org when 'short' then %s when 'long' then %s else %s end", dueAt("3 months"), dueAt("3 years"), due)
		own = fmt.Sprintf("least(%s, case org when 'short' then %s end)", own, dueAt("3 months"))
	}
	if f.Disposition == "redact" {
		due, rest = own, "note is not null and not "+due+" <= $1::timestamptz"
	}
	f.Rows, f.Overdue, f.Held = 0, 0, 0
	from := f.Month
	if asOf.Sub(f.Month) > 0 {
		from = time.Time{} // overdue rows count in the first month
	}
	err := b.admin.QueryRow(t.Context(), fmt.Sprintf(`select count(*), count(*) filter (where due <= $1), count(*) filter (where who = 'u1')
		from (select %s as due, who from app.events where isfinite(at) and %s) s where due >= $2 and due < $3`, due, rest), asOf, from, f.Month.AddDate(0, 1, 0)).Scan(&f.Rows, &f.Overdue, &f.Held)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
