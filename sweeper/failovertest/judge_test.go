package failovertest_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// gap is what the log says was never logged: transactions whose commit lies
// between the two.
type gap struct{ from, to pglogrepl.LSN }

// slack is how far before its commit a transaction may have been noticed.
const slack = 64 << 10

var boundsForm = regexp.MustCompile(`(?:from|up to LSN) ([0-9A-F]+/[0-9A-F]+) (?:to|and goes on with \S+ at LSN) ([0-9A-F]+/[0-9A-F]+)`)

// verdict is what the judge found.
type verdict struct {
	gaps     []gap
	logged   int // transactions of the witness in the log
	unlogged int // and in a gap
}

// judge holds all that the server has, rows, stamps and what the application's
// triggers noticed, against its purge log. Every purge stands in it exactly
// once or lies within the bounds of a gap, nothing went early, nothing of the
// held subject was touched, and the chain is whole.
func (s *site) judge(t *testing.T) verdict {
	t.Helper()
	v := verdict{gaps: s.gaps(t)}
	s.judgeRows(t)
	s.judgeEntries(t, &v)
	s.judgeReports(t)
	pgtest.CheckLog(t, s.admin)
	return v
}

// gaps reads the gaps that have bounds.
func (s *site) gaps(t *testing.T) []gap {
	t.Helper()
	rows, _ := s.admin.Query(t.Context(), `select reference from sweeper.purge_log where kind = 'gap' order by seq`)
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var all []gap
	for _, text := range texts {
		found := boundsForm.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		from, err := pglogrepl.ParseLSN(found[1])
		if err != nil {
			t.Fatal(err)
		}
		to, err := pglogrepl.ParseLSN(found[2])
		if err != nil || to <= from {
			t.Fatalf("the gap %q has no bounds (%v)", text, err)
		}
		all = append(all, gap{from, to})
	}
	return all
}

// judgeRows: all that is due has gone, nothing early, nothing that is held.
func (s *site) judgeRows(t *testing.T) {
	t.Helper()
	for what, sql := range due {
		if got := s.text(t, sql); got != "0" {
			t.Errorf("%s %s", got, what)
		}
	}
	const ours = ` from app.witness w where exists (select from sweeper.batches b where b.xid::text::bigint = w.xid and b.fact = 'stamp')`
	for what, sql := range map[string]string{
		"rows of the held subject were touched": `select count(*)` + ours + ` and who = 'held'`,
		"rows went early": `select count(*)` + ours + ` and start + case when relation = 'app.events' then interval '1 year' when op = 'DELETE' then interval '5 years'
			else interval '90 days' end > noticed`,
		"rows were deleted twice": `select count(*) from (select from app.witness where op = 'DELETE' group by relation, id having count(*) > 1) x`,
	} {
		if got := s.text(t, sql); got != "0" {
			t.Errorf("%s %s", got, what)
		}
	}
	if s.text(t, `select count(*) > 0`+ours) != "true" {
		t.Error("nothing was purged; the test shows nothing")
	}
}

// judgeEntries: what the triggers noticed stands in the log once, with its rows.
func (s *site) judgeEntries(t *testing.T, v *verdict) {
	t.Helper()
	type purge struct {
		xid          int64
		relation, op string
	}
	type noticed struct {
		rows int64
		ids  []int64
		lsn  pglogrepl.LSN
	}
	rows, _ := s.admin.Query(t.Context(), `select xid, relation, case op when 'DELETE' then 'delete' else 'redact' end, count(*), array_agg(id), min(lsn)::text from app.witness w
		where op = 'DELETE' or exists (select from sweeper.batches b where b.xid::text::bigint = w.xid and b.fact = 'stamp') group by 1, 2, 3`)
	want := map[purge]noticed{}
	var p purge
	var n noticed
	var text string
	if _, err := pgx.ForEachRow(rows, []any{&p.xid, &p.relation, &p.op, &n.rows, &n.ids, &text}, func() (err error) {
		if n.lsn, err = pglogrepl.ParseLSN(text); err != nil {
			return err
		}
		want[p] = n
		n.ids = nil
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows, _ = s.admin.Query(t.Context(), `select xid, relation, kind, row_count from sweeper.purge_log where kind in ('delete', 'redact') and relation in ('app.events', 'app.people')`)
	got := map[purge]int{}
	problems := 0
	problem := func(format string, args ...any) {
		if problems++; problems <= 8 {
			t.Errorf(format, args...)
		}
	}
	var count int64
	if _, err := pgx.ForEachRow(rows, []any{&p.xid, &p.relation, &p.op, &count}, func() error {
		got[p]++
		if count != want[p].rows {
			problem("the log has %d rows of the %s of %s in transaction %d, noticed were %d", count, p.op, p.relation, p.xid, want[p].rows)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	commitments := map[[32]byte]int{}
	committer := newCommitter()
	for p, n := range want {
		switch {
		case got[p] > 1:
			problem("the %s of %s in transaction %d stands in the log %d times", p.op, p.relation, p.xid, got[p])
		case got[p] == 0 && !v.holds(n.lsn):
			problem("the %s of %d rows of %s in transaction %d at %s is neither in the log nor in a gap of %v", p.op, n.rows, p.relation, p.xid, n.lsn, v.gaps)
		case got[p] == 0:
			v.unlogged++
			continue
		}
		v.logged++
		for _, id := range n.ids {
			commitments[committer.Commit(identity(p.relation, id))]++
		}
	}
	s.judgeCommitments(t, commitments)
}

// holds tells whether a gap holds a transaction that was noticed at an LSN.
func (v *verdict) holds(lsn pglogrepl.LSN) bool {
	for _, g := range v.gaps {
		if lsn+slack >= g.from && lsn < g.to {
			return true
		}
	}
	return false
}

// judgeCommitments: the log commits to exactly the rows that were noticed.
// Those of app.shots that went one by one are noticed by nobody.
func (s *site) judgeCommitments(t *testing.T, want map[[32]byte]int) {
	t.Helper()
	got := pgtest.LogCommitments(t, s.admin, `l.kind in ('delete', 'redact') and l.relation in ('app.events', 'app.people')`)
	more, missing := 0, 0
	for c, n := range want {
		missing += max(0, n-got[c])
	}
	for c, n := range got {
		more += max(0, n-want[c])
	}
	if more+missing > 0 {
		t.Errorf("the log has %d row commitments too many and lacks %d", more, missing)
	}
}

// judgeReports: what the batches reported stands in the log with the same
// count, or as an entry that says that it was not witnessed.
func (s *site) judgeReports(t *testing.T) {
	t.Helper()
	const sql = `with reported as (
			select xid::text::bigint as xid, kind, sum(row_count) as rows from sweeper.batches where fact = 'report' and run_id is not null group by 1, 2),
		logged as (
			select xid, kind, sum(row_count) as rows from sweeper.purge_log where run_id is not null and kind in ('delete', 'redact', 'drop_partition', 'detach_partition') group by 1, 2)
		select concat_ws(' ', coalesce(r.xid, l.xid), coalesce(r.kind, l.kind), r.rows, l.rows) from reported r full join logged l on l.xid = r.xid and l.kind = r.kind
		 where r.rows is distinct from l.rows and not (l.xid is null and exists (select from sweeper.purge_log g where g.kind = 'gap' and g.xid is null))`
	rows, _ := s.admin.Query(t.Context(), sql)
	wrong, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 {
		t.Errorf("reports and log differ in %d transactions (transaction, kind, rows reported, rows logged): %s", len(wrong), strings.Join(wrong[:min(5, len(wrong))], "; "))
	}
	if got := s.text(t, `select count(*) from sweeper.purge_log where kind = 'mismatch'`); got != "0" && len(s.gaps(t)) == 0 {
		t.Errorf("the log has %s mismatches and no gap", got)
	}
}

func newCommitter() *proof.Committer {
	secret := make([]byte, len(key)/2)
	for i := range secret {
		secret[i] = byte(i)
	}
	return proof.NewCommitter(secret)
}

// identity is what the log commits to: relation and key.
func identity(relation string, id int64) []byte {
	text := proof.AppendField(nil, []byte(relation))
	return proof.AppendField(proof.AppendField(text, []byte("id")), []byte(fmt.Sprint(id)))
}
