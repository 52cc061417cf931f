package purgelog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// lookBack is how much older than the last entry before a gap a report may be
// that fell into it: more than any lag of the log.
const lookBack = 30 * 24 * time.Hour

// reconcile is a gap that the reports in sweeper.batches are still to be
// compared with. Which of them fell into the gap can be told only when the log
// has come up to lsn: what was committed behind the gap is then logged, and
// what the snapshot shows and is not logged never will be.
type reconcile struct {
	lsn      uint64
	since    time.Time
	snapshot string
}

// compareLater has the reports that are there now compared, once the log has
// come as far as the server's write-ahead log is now.
func (l *Log) compareLater(ctx context.Context) error {
	r := &reconcile{since: l.committed.loggedAt.Add(-lookBack)}
	if was := l.pending.reconcile; was != nil && was.since.Before(r.since) {
		r.since = was.since
	}
	// The snapshot is older than the position, so that all it shows lies before.
	err := l.tx.QueryRow(ctx, `select pg_current_snapshot()::text, pg_current_wal_insert_lsn()`).Scan(&r.snapshot, &r.lsn)
	l.pending.reconcile = r
	return pg.Wrap("note a gap of the purge log", err)
}

// compare says in the log what was reported in a gap and never logged, and adds
// the summaries of runs whose end fell into it.
func (l *Log) compare(ctx context.Context) error {
	if err := l.reported(ctx, nil); err != nil {
		return err
	}
	rows, err := l.tx.Query(ctx, `select `+factColumns+` from sweeper.batches b
		where b.fact = 'run_end' and b.at >= $1 and pg_visible_in_snapshot(b.xid, $2::text::pg_snapshot)
		  and not exists (select from sweeper.purges p where p.run_id = b.run_id and p.category = b.category)
		order by b.batch_id`, l.pending.reconcile.since, l.pending.reconcile.snapshot)
	if err != nil {
		return pg.Wrap("look for runs that ended in a gap", err)
	}
	ends, err := pgx.CollectRows(rows, scanFact)
	if err != nil {
		return pg.Wrap("look for runs that ended in a gap", err)
	}
	l.pending.reconcile = nil
	for _, end := range ends {
		a := &appending{Log: l, tx: Tx{XID: uint32(end.xid), CommitLSN: l.pending.applied, CommittedAt: end.at}}
		if err := a.purges(ctx, &end.stamp); err != nil {
			return err
		}
	}
	return nil
}

// fact is a row of sweeper.batches as the table has it.
type fact struct {
	stamp
	at time.Time
}

const factColumns = `b.xid::text::bigint, b.at, b.fact, coalesce(b.kind, ''), b.reason, b.category, b.relation, b.partition, b.tenant, b.basis, b.actor, b.reference,
	b.cutoff, b.started_at, b.run_id, b.request_id, b.policy_sha256, b.row_count`

func scanFact(row pgx.CollectableRow) (fact, error) {
	var f fact
	err := row.Scan(&f.xid, &f.at, &f.fact, &f.kind, &f.reason, &f.category, &f.relation, &f.partition, &f.tenant, &f.basis, &f.actor, &f.reference,
		&f.cutoff, &f.startedAt, &f.runID, &f.requestID, &f.policy, &f.rowCount)
	return f, err
}

// reportedSQL gives what transactions say of themselves that the log does not
// know: their stamps first, which attribute the rest.
const reportedSQL = `
	with said as (
	  select b.* from sweeper.batches b
	   where b.at >= $1 and pg_visible_in_snapshot(b.xid, $2::text::pg_snapshot) and b.fact <> 'run_end' and ($3::uuid is null or b.run_id = $3)),
	known as (
	  select l.xid from sweeper.purge_log l where l.logged_at >= $1 and l.xid is not null and ($3::uuid is null or l.run_id = $3))
	select ` + factColumns + ` from said b where not exists (select from known k where k.xid = b.xid::text::bigint)
	 order by b.xid::text::bigint, b.batch_id`

// reported appends what was reported in the gap and not logged, of one run or,
// without one, of all: an entry of kind gap for each transaction, relation and
// kind, with the count that was reported.
func (l *Log) reported(ctx context.Context, run *[16]byte) error {
	if err := l.write(ctx); err != nil {
		return err
	}
	r := l.pending.reconcile
	rows, err := l.tx.Query(ctx, reportedSQL, r.since, r.snapshot, run)
	if err != nil {
		return pg.Wrap("compare a gap with the reports", err)
	}
	facts, err := pgx.CollectRows(rows, scanFact)
	if err != nil {
		return pg.Wrap("compare a gap with the reports", err)
	}
	var by *fact   // the stamp of the transaction
	var told *fact // the last stamp that no report has followed yet
	for i := range facts {
		f := &facts[i]
		if by != nil && by.xid != f.xid {
			if told != nil {
				err = l.unwitnessed(told, told)
			}
			by, told = nil, nil
		}
		switch f.fact {
		case "stamp":
			by, told = f, f
			continue
		case "report":
			told = nil
		}
		if err == nil {
			err = l.unwitnessed(f, by)
		}
		if err != nil {
			return err
		}
	}
	if told != nil {
		return l.unwitnessed(told, told)
	}
	return nil
}

// unwitnessed appends the entry of one report, with the attribution of its stamp.
func (l *Log) unwitnessed(f, by *fact) error {
	at, xid, what := f.at, int64(f.xid), f.kind
	e := proof.Entry{Kind: "gap", CommitLSN: l.pending.applied, CommittedAt: &at, Relation: f.relation, Partition: f.partition}
	if by == nil {
		by = f
	}
	by.attribute(&e)
	if what == "" || f.fact == "hold" || f.fact == "vacuum" {
		what = f.fact
	}
	e.XID, e.RowCount, e.Tenant = &xid, f.rowCount, f.tenant
	reference := fmt.Sprintf("%s: reported by the batches, not witnessed in the write-ahead log", what)
	if f.fact == "stamp" {
		reference = fmt.Sprintf("%s: announced by a stamp without a report, not witnessed in the write-ahead log", what)
	}
	e.Reference = &reference
	return l.append(e)
}
