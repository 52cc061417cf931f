package modeltest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// last has one more sweep do what is left, and returns how it ended, and the
// server's clock before it.
func (s *site) last() (pgtest.Ending, string) {
	s.t.Helper()
	began := s.text(`select clock_timestamp()`)
	p := s.start([]string{"SWEEPER_APPROVE=auto", "SWEEPER_ROWS_PER_SECOND=0"}, "sweep")
	p.MustEnd(s.t)
	return p.End(), began
}

// judged replays what the witness saw, and holds tables, runs and log against it.
func (s *site) judged(e pgtest.Ending, began string) *truth {
	s.t.Helper()
	w := newTruth(s.world, secret())
	w.replay(s.witness.Changes(s.t, "include-timestamp", "1"))
	s.checkRows(w)
	partial := s.checkRuns(w, began)
	if want := map[bool]int{true: 1}[partial]; e.Signal != 0 || e.Code != want {
		w.problem("the last sweep ended with %s, want exit code %d", e, want)
	}
	s.checkLog(w)
	s.checkPurges(w)
	return w
}

// checkRows: the tables hold what the write-ahead log has left in them, to the
// byte.
func (s *site) checkRows(w *truth) {
	s.t.Helper()
	for _, name := range s.order {
		t := s.tables[name]
		columns := sorted(t.types)
		list := make([]string, len(columns))
		for i, c := range columns {
			list[i] = fmt.Sprintf("case when %[1]s is not null then format('%%s', %[1]s) end", c) // as the witness writes it
		}
		rows, _ := s.app.Query(s.t.Context(), fmt.Sprintf("select tableoid::regclass::text, array[%s] from app.%s", strings.Join(list, ", "), name))
		var leaf string
		var values []*string
		found := 0
		_, err := pgx.ForEachRow(rows, []any{&leaf, &values}, func() error {
			found++
			got := map[string]string{}
			for i, v := range values {
				if v != nil {
					got[columns[i]] = *v
				}
			}
			r := w.state.rows[name][t.keyOf(got)]
			if r == nil || "app."+r.leaf != leaf || !maps.Equal(r.v, got) {
				w.problem("row %s of %s is %v; the write-ahead log showed no change since %+v", t.keyOf(got), leaf, got, r)
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
		if found != len(w.state.rows[name]) {
			w.problem("%s has %d rows, the write-ahead log leaves %d", name, found, len(w.state.rows[name]))
		}
	}
}

// checkRuns: what the last sweep counted is what the judge counts, and nothing
// is left that could go. partial: something is blocked.
func (s *site) checkRuns(w *truth, began string) (partial bool) {
	s.t.Helper()
	rows, _ := s.app.Query(s.t.Context(), `select category, state, as_of, held, blocked, remaining, not_started, coalesce(stop_reason, '') from sweeper.runs
		where started_at > $1::text::timestamptz`, began)
	type last struct {
		Category, State                    string
		AsOf                               time.Time
		Held, Blocked, Remaining, NotBegun int
		Reason                             string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[last])
	if err != nil {
		s.t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range all {
		names[r.Category] = true
		c := s.now.byName(r.Category)
		j := &judge{set: s.now, state: w.state, holds: w.holds, windows: w.windows, asOf: r.AsOf, at: time.Now(), secret: w.secret}
		want, got := j.sort(c), tally{r.Held, r.Blocked, r.Remaining, r.NotBegun}
		state := "succeeded"
		switch {
		case c.observe:
			state = "observed"
			if len(s.now.over(c.table)) > 1 { // it has counted before the other one has purged
				got = want
			}
		case want.blocked > 0:
			state, partial = "partial", true
		}
		if want != got || state != r.State {
			w.problem("the last run of %s is %s with %+v (%s), the model has %s with %+v", r.Category, r.State, got, r.Reason, state, want)
		}
		if left := want.remaining - want.blocked; left > 0 && !c.observe {
			w.problem("%d due rows of %s are left: %s", left, r.Category, strings.Join(j.left(c), "; "))
		}
		w.seen["rows held in the end"] += want.held
		w.seen["rows blocked in the end"] += want.blocked
		w.seen["rows not begun in the end"] += want.notStarted
	}
	for _, c := range s.now.categories {
		if names[c.name] != !c.disabled {
			w.problem("the last sweep ran category %s: %t", c.name, names[c.name])
		}
	}
	return partial
}

// left names rows that are due and still there.
func (j *judge) left(c *category) (names []string) {
	for _, disposition := range []string{"delete", "redact"} {
		if disposition == "delete" && c.delete == nil || disposition == "redact" && c.redact == nil {
			continue
		}
		for _, key := range j.state.keys(c.table) {
			if r := j.state.rows[c.table][key]; c.selects(r) && j.stateOf(c, r, disposition) == "due" && len(names) < 5 {
				names = append(names, fmt.Sprintf("%s of %s (%s) %v", key, r.leaf, disposition, r.v))
			}
		}
	}
	return names
}

// checkLog: each purge stands in the log exactly once, with its rows, and the
// log is whole.
func (s *site) checkLog(w *truth) {
	s.t.Helper()
	rows, _ := s.app.Query(s.t.Context(), `select xid::text, kind, coalesce(relation, '') || coalesce('/' || partition, ''), coalesce(row_count, case kind when 'hold' then 0 else -1 end), coalesce(reason, ''), coalesce(category, ''), coalesce(run_id::text, '')
		from sweeper.purge_log where kind not in ('genesis', 'coverage')`)
	entries := map[string]int{}
	var xid, kind, leaf, reason, category, run string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&xid, &kind, &leaf, &n, &reason, &category, &run}, func() error {
		entries[logged(xid, kind, leaf, n, reason, category, run)]++
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	differ(w, "entry", w.entries, entries)
	differ(w, "row commitment", w.commitments, pgtest.LogCommitments(s.t, s.app, "true"))
	for _, p := range pgtest.LogProblems(s.t, s.app) {
		w.problem("%s", p)
	}
}

// enabled are the names of the categories that run in the end.
func (s *site) enabled() (names []string) {
	for _, c := range s.now.categories {
		if !c.disabled {
			names = append(names, c.name)
		}
	}
	return names
}

// differ tells what of want and got is too much and too little.
func differ[K comparable](w *truth, what string, want, got map[K]int) {
	told := 0
	for _, k := range slices.Concat(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got))) {
		if got[k] != want[k] && told < 5 {
			told++
			w.problem("%s %v stands in the log %d times, want %d", what, k, got[k], want[k])
		}
	}
}

// checkPurges: purges has one row for each run that ended and each of its
// tenants, with the sums that the log has; and so have the runs.
func (s *site) checkPurges(w *truth) {
	s.t.Helper()
	const ended = `with ended as (select run_id from sweeper.batches where fact = 'run_end'),
		reports as (select b.* from sweeper.batches b join ended using (run_id) where b.fact = 'report'),
		want as (select run_id, x.tenant from reports cross join lateral jsonb_to_recordset(tenants) x(tenant text) where tenants is not null group by 1, 2
			union select distinct run_id, null::text from reports where tenants is null
			union all select run_id, null from ended where run_id not in (select run_id from reports)),
		got as (select run_id, tenant from sweeper.purges) `
	for what, sql := range map[string]string{
		"runs are finished and have no end among the stamps, or the other way round": `select count(*) from sweeper.runs
			where (finished_at is not null) <> (run_id in (select run_id from sweeper.batches where fact = 'run_end'))`,
		// One that was killed is ended by the next of its category, which a disabled one has not got.
		"runs have no end":                       fmt.Sprintf(`select count(*) from sweeper.runs where state = 'running' and category = any ('{%s}')`, strings.Join(s.enabled(), ",")),
		"runs ended more than once":              `select count(*) - count(distinct run_id) from sweeper.batches where fact = 'run_end'`,
		"runs and tenants are missing in purges": ended + `select count(*) from (select * from want except all select * from got) x`,
		"rows of purges are too many":            ended + `select count(*) from (select * from got except all select * from want) x`,
		"runs have other sums in purges than in the log": `select count(*) from (select run_id, sum(rows_deleted + rows_redacted) as n from sweeper.purges group by 1 having bool_and(rows_deleted is not null)) p
			where n <> (select coalesce(sum(row_count), 0) from sweeper.purge_log l where l.run_id = p.run_id and kind in ('delete', 'redact', 'drop_partition'))`,
		"runs count other rows than the log": `select count(*) from sweeper.runs r where state <> 'running' and deleted + redacted + children <>
			(select coalesce(sum(row_count), 0) from sweeper.purge_log l where l.run_id = r.run_id and kind in ('delete', 'redact', 'drop_partition'))`,
		"runs count rows that went along as their own, or the other way round": `select count(*) from sweeper.runs r join sweeper.governed g using (category)
			cross join lateral (select coalesce(sum(row_count) filter (where kind <> 'redact' and relation = g.relation_name), 0) as deleted, coalesce(sum(row_count) filter (where kind = 'redact' and relation = g.relation_name), 0) as redacted
				from sweeper.purge_log l where l.run_id = r.run_id and kind in ('delete', 'redact', 'drop_partition')) l
			where state <> 'running' and (r.deleted, r.redacted) <> (l.deleted, l.redacted)`,
		"runs count other partitions than the log": `select count(*) from sweeper.runs r where state <> 'running' and partitions_dropped <>
			(select count(*) from sweeper.purge_log l where l.run_id = r.run_id and kind in ('drop_partition', 'detach_partition'))`,
		"runs that wait or observe have purged": `select count(*) from sweeper.runs where state in ('awaiting_approval', 'observed') and deleted + redacted + children + partitions_dropped > 0`,
	} {
		if got := s.text(sql); got != "0" {
			w.problem("%s %s", got, what)
		}
	}
}
