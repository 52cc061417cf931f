package purgelog

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

const entrySQL = `select seq, logged_at, committed_at, (commit_lsn - '0/0')::bigint, xid, source, kind, reason, category, relation, partition, tenant,
	subject_digest, cutoff, basis, actor, reference, request_id, run_id, policy_sha256, row_count, columns,
	objects_removed, rows_root, leaf_hash, chain_hash from sweeper.purge_log `

func scanEntry(row pgx.CollectableRow) (proof.Entry, error) {
	var e proof.Entry
	err := row.Scan(&e.Seq, &e.LoggedAt, &e.CommittedAt, &e.CommitLSN, &e.XID, &e.Source, &e.Kind, &e.Reason, &e.Category, &e.Relation, &e.Partition, &e.Tenant,
		&e.SubjectDigest, &e.Cutoff, &e.Basis, &e.Actor, &e.Reference, &e.RequestID, &e.RunID, &e.PolicySHA256, &e.RowCount, &e.Columns,
		&e.ObjectsRemoved, &e.RowsRoot, &e.LeafHash, &e.ChainHash)
	return e, err
}

// Tail reads the last n entries, oldest first.
func Tail(ctx context.Context, conn *pgx.Conn, n int) ([]proof.Entry, error) {
	rows, err := conn.Query(ctx, entrySQL+`order by seq desc limit $1`, n)
	if err != nil {
		return nil, pg.Wrap("read the purge log", err)
	}
	entries, err := pgx.CollectRows(rows, scanEntry)
	slices.Reverse(entries)
	return entries, pg.Wrap("read the purge log", err)
}
