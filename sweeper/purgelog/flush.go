package purgelog

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/failpoint"
	"github.com/pgsweeper/sweeper/sweeper/pg"
)

var (
	entryColumns = []string{
		"seq", "logged_at", "committed_at", "commit_lsn", "xid", "source", "kind", "reason", "category", "relation", "partition", "tenant",
		"subject_digest", "cutoff", "basis", "actor", "reference", "request_id", "run_id", "policy_sha256", "row_count", "columns",
		"objects_removed", "rows_root", "leaf_hash", "chain_hash",
	}
	partColumns = []string{"seq", "logged_at", "part", "commitments"}
)

// write sends what is pending into the open transaction.
func (l *Log) write(ctx context.Context) error {
	if err := l.copyParts(ctx); err != nil {
		return err
	}
	n, err := l.tx.CopyFrom(ctx, pgx.Identifier{"sweeper", "purge_log"}, entryColumns, pgx.CopyFromSlice(len(l.entries), func(i int) ([]any, error) {
		e := &l.entries[i]
		return []any{
			e.Seq, e.LoggedAt, e.CommittedAt, e.CommitLSN, e.XID, e.Source, e.Kind, e.Reason, e.Category, e.Relation, e.Partition, e.Tenant,
			e.SubjectDigest, e.Cutoff, e.Basis, e.Actor, e.Reference, e.RequestID, e.RunID, e.PolicySHA256, e.RowCount, e.Columns,
			e.ObjectsRemoved, e.RowsRoot, e.LeafHash, e.ChainHash,
		}, nil
	}))
	if err != nil {
		return pg.Wrap("append to the purge log", err)
	}
	// A trigger that returns NULL swallows rows without an error.
	if n != int64(len(l.entries)) {
		return fmt.Errorf("append to the purge log: %d of %d entries were taken; look for triggers and rules on sweeper.purge_log", n, len(l.entries))
	}
	err = l.markGone(ctx)
	l.entries = l.entries[:0]
	return err
}

func (l *Log) copyParts(ctx context.Context) error {
	if len(l.parts) == 0 {
		return nil
	}
	n, err := l.tx.CopyFrom(ctx, pgx.Identifier{"sweeper", "purge_rows"}, partColumns, pgx.CopyFromRows(l.parts))
	if err != nil {
		return pg.Wrap("append row commitments", err)
	}
	if n != int64(len(l.parts)) {
		return fmt.Errorf("append row commitments: %d of %d parts were taken; look for triggers and rules on sweeper.purge_rows", n, len(l.parts))
	}
	l.parts = l.parts[:0]
	return nil
}

// Flush makes durable what is pending and returns the LSN that may then be
// acknowledged. After an error the log must be opened anew.
func (l *Log) Flush(ctx context.Context) (applied uint64, err error) {
	if l.tx == nil {
		return l.committed.applied, nil
	}
	if err := l.write(ctx); err != nil {
		return 0, err
	}
	if err := l.moveHead(ctx); err != nil {
		return 0, err
	}
	var r reconcile
	if l.pending.reconcile != nil {
		r = *l.pending.reconcile
	}
	tag, err := l.tx.Exec(ctx, `
		insert into sweeper.log_progress as p (source, system_id, slot, applied_lsn, updated_at, timeline, publications, looked_lsn, reconcile_lsn, reconcile_since, reconcile_snapshot)
		values ($1, $2, $3, $4, $5, nullif($7, 0), $8, nullif($9::pg_lsn, '0/0'), case when $10 then $11::pg_lsn end, case when $10 then $12::timestamptz end, case when $10 then $13::text::pg_snapshot end)
		on conflict (source) do update set applied_lsn = excluded.applied_lsn, updated_at = excluded.updated_at, timeline = excluded.timeline, publications = excluded.publications,
		       looked_lsn = excluded.looked_lsn, reconcile_lsn = excluded.reconcile_lsn, reconcile_since = excluded.reconcile_since, reconcile_snapshot = excluded.reconcile_snapshot
		 where p.applied_lsn = $6`, l.source, l.o.SystemID, l.o.Slot, l.pending.applied, l.now, l.committed.applied,
		l.pending.timeline, l.o.Publications, l.pending.looked, l.pending.reconcile != nil, r.lsn, r.since, r.snapshot)
	if err != nil {
		return 0, pg.Wrap("move the progress of the purge log", err)
	}
	if tag.RowsAffected() != 1 {
		return 0, fmt.Errorf("move the progress of the purge log: somebody else has moved it; end the other writer")
	}
	failpoint.Hit("log.in_append")
	if err := l.tx.Commit(ctx); err != nil {
		return 0, pg.Wrap("commit to the purge log", err)
	}
	l.tx, l.rows, l.committed = nil, 0, l.pending
	if l.now.After(l.ensured) {
		return l.committed.applied, l.ensurePartitions(ctx)
	}
	return l.committed.applied, nil
}

// moveHead writes the head, over the one that this log has written or read: to
// write over what somebody else has made of it would hide that.
func (l *Log) moveHead(ctx context.Context) error {
	former, next := l.committed, l.pending
	was, root := former.tree.Root(), next.tree.Root()
	sql := `insert into sweeper.log_head (size, chain_hash, hashes, root, updated_at) values ($1, $2, $3, $4, $5)`
	args := []any{int64(next.tree.Size()), next.chain[:], slices.Concat(next.tree.Hashes()...), root[:], l.now}
	if former.tree.Size() > 0 {
		sql = `update sweeper.log_head set size = $1, chain_hash = $2, hashes = $3, root = $4, updated_at = $5
			where (size, chain_hash, hashes, root) = ($6, $7, $8, $9)`
		args = append(args, int64(former.tree.Size()), former.chain[:], slices.Concat(former.tree.Hashes()...), was[:])
	}
	tag, err := l.tx.Exec(ctx, sql, args...)
	if err != nil {
		return pg.Wrap("move the head of the purge log", err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%w (log_head is not what was written there last, so somebody else has changed it)", ErrBroken)
	}
	return nil
}

// Advance moves the progress over WAL that holds nothing for the log. It is
// made durable by the next Flush.
func (l *Log) Advance(ctx context.Context, lsn uint64) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	l.pending.applied = max(l.pending.applied, lsn)
	return nil
}
