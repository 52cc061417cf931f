package purge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestScattered goes by blocks where the rows of a table lie in another order
// than that of their starts, and most are due; else by starts. Whichever way,
// what is due goes and nothing else does.
func TestScattered(t *testing.T) {
	t.Parallel()
	const rows = 6000
	for name, k := range map[string]struct {
		order, after string
		due          int
		limits       string
		blocks       bool
	}{
		"scattered":                     {"md5(i::text)", "analyze app.events", 4000, "", true},
		"scattered, in partitions":      {"md5(i::text)", "analyze app.events", 4000, "", true},
		"in order":                      {"i", "analyze app.events", 4000, "", false},
		"nothing is known of the order": {"md5(i::text)", "select", 4000, "", false},
		"few are due":                   {"md5(i::text)", "analyze app.events", 30, "", false},
		"the oldest go, and no more":    {"md5(i::text)", "analyze app.events", 4000, ", limits: {max_rows_per_run: 500, max_share: 1}", false},
		"scattered, at a rate":          {"md5(i::text)", "analyze app.events", 4000, ", limits: {rows_per_second: 100000, max_share: 1}", true},
		"no statistics are kept":        {"md5(i::text)", "alter table app.events alter column at set statistics 0; analyze app.events", 4000, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ddl := `create schema app; create table app.events (id int, at timestamptz, who text, note text, primary key (id)); create index on app.events (at);`
			if strings.Contains(name, "partitions") {
				ddl = `create schema app; create table app.events (id int, at timestamptz, who text, note text, primary key (id)) partition by hash (id); create index on app.events (at);
					create table app.a partition of app.events for values with (modulus 2, remainder 0); create table app.b partition of app.events for values with (modulus 2, remainder 1); grant select on app.a, app.b to public;`
			}
			b := setup(t, fmt.Sprintf(`%s insert into app.events select i, case when i <= %d then '2015-01-01'::timestamptz + i * interval '1 minute' else '2025-12-01'::timestamptz + i * interval '1 minute' end, 'u', repeat('x', 300) from generate_series(1, %d) i order by %s; %s`,
				ddl, k.due, rows, k.order, k.after), "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}"+k.limits+"}\n")
			var log buffer
			o := b.run(t, in2026, func(o *purge.Options) { o.BatchRows = 100 }, logTo(&log))["events"]
			want := int64(k.due)
			if strings.Contains(k.limits, "max_rows_per_run") {
				want = 500
			}
			if o.Deleted != want {
				t.Errorf("got %+v", o)
			}
			if got := b.text(t, `select concat_ws(' ', count(*), min(id)) from app.events`); got != fmt.Sprintf("%d %d", rows-want, want+1) {
				t.Errorf("left are %s: want %d from the oldest on", got, rows-want)
			}
			if got := strings.Contains(log.String(), "so the step goes by blocks"); got != k.blocks {
				t.Errorf("goes by blocks: %t", got)
			}
		})
	}
}
