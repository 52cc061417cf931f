package sweeper_test

import (
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestTwoPassesOverARow redacts rows and deletes them later: the two entries of each
// have the same commitment, by which they are known to be of one row.
func TestTwoPassesOverARow(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string]string{
		"plain":           `create table app.events (id int primary key, at timestamptz, mail text);`,
		"several columns": `create table app.events (org text default 'a "b"', id int, at timestamptz, mail text, primary key (org, id));`,
		"partitioned": `create table app.events (org text default 'x', id int, at timestamptz, mail text, primary key (org, id)) partition by hash (id);
			create table app.e0 partition of app.events for values with (modulus 2, remainder 0); create table app.e1 partition of app.events for values with (modulus 2, remainder 1);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "create schema app;"+ddl+`insert into app.events (id, at, mail) select i, now() - interval '2 years', 'm' || i from generate_series(1, 50) i`,
				"version: 1\ncategories:\n  events: {table: app.events, start_from: at, redact: {after: P1Y, columns: {mail: \"null\"}}, delete: {after: P5Y}}\n")
			if o := b.sweep(t)["events"]; o.State != purge.Succeeded || o.Redacted != 50 {
				t.Fatalf("%+v", o)
			}
			b.db.Exec(t, `update app.events set at = $1`, time.Now().AddDate(-6, 0, 0))
			if o := b.sweep(t)["events"]; o.State != purge.Succeeded || o.Deleted != 50 {
				t.Fatalf("%+v", o)
			}
			const rows = `select e.kind, substr(r.commitments, n * 32 + 1, 32) as row from sweeper.purge_log e join sweeper.purge_rows r using (seq)
				cross join generate_series(0, length(r.commitments) / 32 - 1) n where e.kind in ('redact', 'delete')`
			if got := b.text(t, `with r as (`+rows+`) select count(*) || ' ' || count(distinct row) || ' ' || (select count(*) from (select from r group by row having array_agg(kind order by kind) = '{delete,redact}') both_of)
				from r`); got != "100 50 50" {
				t.Errorf("commitments, different ones, those of both entries: %s", got)
			}
		})
	}
}
