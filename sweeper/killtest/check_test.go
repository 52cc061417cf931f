package killtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// verdict is what a check found, for the table of kills.
type verdict struct {
	purged, drops, duplicates, losses int64
}

// check holds tables and log against what the witness saw, after the last
// sweep has ended and the application too.
func (s *site) check(t *testing.T, l *load) verdict {
	t.Helper()
	s.quiet(t)
	w := s.witness(t)
	for _, p := range w.problems {
		t.Error(p)
	}
	s.checkRows(t, w, l)
	v := verdict{purged: w.purged, drops: w.drops}
	v.duplicates, v.losses = s.checkLog(t, w)
	s.checkPurges(t)
	return v
}

// quiet waits until nothing is left of the processes that were killed: no lock
// of ours, no open transaction.
func (s *site) quiet(t *testing.T) {
	t.Helper()
	pgtest.Eventually(t, "no advisory lock and no transaction of a dead process is left", func() bool {
		return s.text(t, `select (select count(*) from pg_locks where locktype = 'advisory' and classid = 1398228304 and database = (select oid from pg_database where datname = current_database()))
			+ (select count(*) from pg_stat_activity where datname = current_database() and application_name like 'sweeper%' and (state like 'idle in transaction%' or xact_start is not null))`) == "0"
	})
}

// checkRows: the tables hold what they must, every due row has gone, and no
// row that was refreshed or held.
func (s *site) checkRows(t *testing.T, w *truth, l *load) {
	t.Helper()
	for _, table := range tables {
		rows, _ := s.admin.Query(t.Context(), fmt.Sprintf(`select id, %s from %s`, table.keeps, table.name))
		var id int64
		var keep string
		there := map[int64]string{}
		if _, err := pgx.ForEachRow(rows, []any{&id, &keep}, func() error {
			there[id] = keep
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for id, r := range w.rows[table.name] {
			if keep, ok := there[id]; !ok || keep != r.email {
				t.Errorf("row %d of %s: it is there: %t, with %q; the write-ahead log showed no change since %q", id, table.name, ok, keep, r.email)
			}
		}
		if len(there) != len(w.rows[table.name]) {
			t.Errorf("%s has %d rows, the write-ahead log leaves %d", table.name, len(there), len(w.rows[table.name]))
		}
		for id, want := range l.safe[table.name] {
			if got, ok := there[id]; !w.left[table.name][id] && (!ok || got != want) {
				t.Errorf("row %d of %s was refreshed or held, and was purged (there: %t, %q for %q)", id, table.name, ok, got, want)
			}
		}
	}
	for what, sql := range due {
		if got := s.text(t, sql); got != "0" {
			t.Errorf("%s %s", got, what)
		}
	}
	if got := s.text(t, `select count(*) from app.people where who = 'held' and (name is null or email like 'redacted-%')`); got != "0" {
		t.Errorf("%s rows of the held subject were touched", got)
	}
}

// due counts what must be gone in the end.
var due = map[string]string{
	"due rows are left in app.events": `select count(*) from app.events where at + interval '1 year' <= now() and who not in (select subject from sweeper.legal_holds)`,
	"due rows are left in app.shots":  `select count(*) from app.shots where at + interval '1 year' <= now() and who not in (select subject from sweeper.legal_holds)`,
	"due rows are left in app.marks":  `select count(*) from app.marks where at + interval '1 year' <= now() and who not in (select subject from sweeper.legal_holds)`,
	"due rows are left in app.people": `select count(*) from app.people where at + interval '5 years' <= now() and who not in (select subject from sweeper.legal_holds)`,
	"due people are not redacted": `select count(*) from app.people where at + interval '90 days' <= now() and (name is not null or email not like 'redacted-%')
		and who not in (select subject from sweeper.legal_holds)`,
}

// checkLog: each purge stands in the log exactly once, with its rows, and the
// log is whole.
func (s *site) checkLog(t *testing.T, w *truth) (duplicates, losses int64) {
	t.Helper()
	rows, _ := s.admin.Query(t.Context(), `select xid::text, kind, coalesce(partition, relation, ''), coalesce(row_count, 0), coalesce(reason, '') from sweeper.purge_log where kind not in ('genesis', 'vacuum', 'coverage')`)
	entries := map[string]int{}
	var xid, kind, leaf, reason string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&xid, &kind, &leaf, &n, &reason}, func() error {
		entries[logged(xid, kind, leaf, n, reason)]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	more, missing := differ(t, "entry", w.entries, entries)

	duplicates, losses = differ(t, "row commitment", w.commitments, pgtest.LogCommitments(t, s.admin, "true"))

	// A vacuum purges nothing, and its facts are as many as its entries.
	if got := s.text(t, `select count(*) || ' of ' || (select count(*) from sweeper.batches where fact = 'vacuum') from sweeper.purge_log where kind = 'vacuum'`); got != "0 of 0" {
		t.Logf("vacuums in the log: %s", got)
	}
	if got := s.text(t, `select (select count(*) from sweeper.purge_log where kind = 'vacuum') = (select count(*) from sweeper.batches where fact = 'vacuum')`); got != "true" {
		t.Error("the log has more or fewer vacuums than there were")
	}

	pgtest.CheckLog(t, s.admin)
	if got := s.text(t, `select min(seq) = 0 and max(seq) = count(*) - 1 and count(*) = (select size from sweeper.log_head) and count(*) filter (where kind = 'genesis') = 1 from sweeper.purge_log`); got != "true" {
		t.Error("the sequence of the log is not contiguous from one genesis on")
	}
	return duplicates + more, losses + missing
}

// differ tells what of want and got is too much and too little.
func differ[K comparable](t *testing.T, what string, want, got map[K]int) (more, missing int64) {
	t.Helper()
	told := 0
	tell := func(k K) {
		if told++; told <= 5 {
			t.Errorf("%s %v stands in the log %d times, want %d", what, k, got[k], want[k])
		}
	}
	for k, n := range want {
		if got[k] < n {
			missing += int64(n - got[k])
			tell(k)
		}
	}
	for k, n := range got {
		if n > want[k] {
			more += int64(n - want[k])
			tell(k)
		}
	}
	return more, missing
}

// checkPurges: purges has one row for each run that ended and each of its
// tenants, with the sums that the log has.
func (s *site) checkPurges(t *testing.T) {
	t.Helper()
	if got := s.text(t, `select string_agg(concat_ws(' ', category, state, stop_reason), '; ') from sweeper.runs
		where (finished_at is not null) <> (run_id in (select run_id from sweeper.batches where fact = 'run_end'))`); got != "" {
		t.Errorf("runs are finished and have no end among the stamps, or the other way round: %s", got)
	}
	if got := s.text(t, `select count(*) || ' of ' || (select count(*) from sweeper.runs) from sweeper.runs where state = 'running'`); !strings.HasPrefix(got, "0 ") {
		t.Errorf("%s runs have no end", got)
	}
	if got := s.text(t, `select sum(deleted + redacted) = (select sum(row_count) from sweeper.purge_log where run_id is not null) and
		sum(partitions_dropped) = (select count(*) from sweeper.purge_log where kind = 'drop_partition') from sweeper.runs`); got != "true" {
		t.Error("the runs' own counts differ from the log's")
	}
	const ended = `with ended as (select run_id from sweeper.batches where fact = 'run_end'),
		reports as (select b.* from sweeper.batches b join ended using (run_id) where b.fact = 'report'),
		want as (select run_id, x.tenant from reports cross join lateral jsonb_to_recordset(tenants) x(tenant text) where tenants is not null group by 1, 2
			union all select distinct run_id, null::text from reports where tenants is null
			union all select run_id, null from ended where run_id not in (select run_id from reports)),
		got as (select run_id, tenant from sweeper.purges) `
	for what, sql := range map[string]string{
		"runs ended more than once":              `select count(*) - count(distinct run_id) from sweeper.batches where fact = 'run_end'`,
		"runs and tenants are missing in purges": ended + `select count(*) from (select * from want except all select * from got) x`,
		"rows of purges are too many":            ended + `select count(*) from (select * from got except all select * from want) x`,
		"runs have other sums in purges than in the log": `select count(*) from (select run_id, sum(rows_deleted + rows_redacted) as n from sweeper.purges group by 1) p
			where n <> (select coalesce(sum(row_count), 0) from sweeper.purge_log l where l.run_id = p.run_id and kind in ('delete', 'redact', 'drop_partition'))`,
	} {
		if got := s.text(t, sql); got != "0" {
			t.Errorf("%s %s", got, what)
		}
	}
}
