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

// Subject reads the entries that have one of the digests of a subject, oldest
// first.
func Subject(ctx context.Context, conn *pgx.Conn, digests [][]byte) ([]proof.Entry, error) {
	rows, err := conn.Query(ctx, entrySQL+`where subject_digest = any ($1) order by seq`, digests)
	if err != nil {
		return nil, pg.Wrap("search the purge log", err)
	}
	entries, err := pgx.CollectRows(rows, scanEntry)
	return entries, pg.Wrap("search the purge log", err)
}

// Search reads the entries that have a commitment to a row of a relation, by the
// id of the row, with any of the keys; oldest first.
func Search(ctx context.Context, conn *pgx.Conn, id []byte, relation string, keys [][]byte) ([]proof.Entry, error) {
	var all []proof.Entry
	for _, key := range keys {
		commitment := proof.NewCommitter(key).Commit(id)
		// A commitment is as long as a hash: one that straddles two others is none.
		rows, err := conn.Query(ctx, entrySQL+`l where relation = $1
			and exists (select from sweeper.purge_rows r where r.seq = l.seq and position($2::bytea in r.commitments) % 32 = 1) order by seq`, relation, commitment[:])
		if err != nil {
			return nil, pg.Wrap("search the purge log", err)
		}
		entries, err := pgx.CollectRows(rows, scanEntry)
		if err != nil {
			return nil, pg.Wrap("search the purge log", err)
		}
		all = append(all, entries...)
	}
	return all, nil
}
