package sweeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
)

// TestForgedStamps has the purging role write what it likes into
// sweeper.batches, in transactions that do something else. Each is a mismatch,
// rows that go under such a stamp are out of policy, and nothing else is lost.
func TestForgedStamps(t *testing.T) {
	t.Parallel()
	const (
		stamp  = `insert into sweeper.batches (fact, kind, reason, category, relation, run_id, policy_sha256) select 'stamp', 'delete', 'manual', 'events', 'app.events', gen_random_uuid(), policy_sha256 from sweeper.policy_versions; `
		report = `insert into sweeper.batches (fact, kind, category, relation, row_count) values ('report', 'delete', 'events', 'app.events', 3); `
		purge  = `delete from app.events where id < 4; `
		young  = "delete out_of_policy app.events 3; "
	)
	for name, c := range map[string]struct{ sql, want string }{
		"nothing purged, nothing reported": {stamp, "mismatch manual app.events 0 the transaction wrote a stamp and no report"},
		"nothing purged":                   {stamp + report, "mismatch manual app.events 0 the transaction reported 3 rows"},
		"a wrong count":                    {stamp + `delete from app.events where id < 6; ` + report, "delete manual app.events 5; mismatch manual app.events 5 the transaction reported 3 rows"},
		"another table": {
			strings.ReplaceAll(stamp, "app.events", "app.notes") + purge + strings.ReplaceAll(report, "app.events", "app.notes"),
			young + "mismatch manual app.events 3 the transaction wrote a stamp and did not name this table; mismatch manual app.notes 0 the transaction reported 3 rows",
		},
		"twice":              {stamp + stamp + purge + report, "delete manual app.events 3; mismatch a second stamp in one transaction"},
		"behind the work":    {purge + stamp + report, young + "mismatch a stamp behind the first rows of its transaction"},
		"unknown category":   {strings.ReplaceAll(stamp, "'events'", "'nobody'") + purge + report, young + "mismatch a stamp of a category or a policy that was never registered"},
		"unknown policy":     {strings.ReplaceAll(stamp, " policy_sha256 from", ` '\x17'::bytea from`) + purge + report, young + "mismatch a stamp of a category or a policy that was never registered"},
		"no policy":          {strings.ReplaceAll(stamp, " policy_sha256 from", ` null from`) + purge + report, young + "mismatch a stamp of a category or a policy that was never registered"},
		"a whole partition":  {strings.ReplaceAll(stamp, "'delete'", "'drop_partition'") + strings.ReplaceAll(report, "'delete'", "'drop_partition'"), "mismatch a stamp of a partition that no installed function wrote; mismatch a report of a partition that no installed function wrote"},
		"somebody's DROP":    {`insert into sweeper.batches (fact, kind, relation, partition) values ('ddl', 'drop_partition', 'app.logs', 'app.logs_1')`, "mismatch a note of a statement that no installed function wrote"},
		"the end of a run":   {`insert into sweeper.batches (fact, reason, category, run_id) select 'run_end', reason, category, run_id from sweeper.runs limit 1`, "mismatch manual the run had ended before"},
		"a stamp left alone": {purge, "delete out_of_policy app.events 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, threeTables, threePolicies)
			b.sweep(t)
			b.db.Exec(t, `insert into app.events select i, now(), 'u' from generate_series(1, 10) i`)
			from := b.text(t, `select max(seq) + 1 from sweeper.purge_log`)
			forger := b.db.Conn(t, "sweeper_daemon")
			if _, err := forger.Exec(t.Context(), "begin; "+c.sql+"; commit"); err != nil {
				t.Fatal(err)
			}
			if _, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now}); err != nil {
				t.Fatal(err)
			}
			if got := b.text(t, `select string_agg(concat_ws(' ', kind, reason, relation, row_count, reference), '; ' order by seq) from sweeper.purge_log where seq >= $1`, from); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
