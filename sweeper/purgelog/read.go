package purgelog

import (
	"context"
	"fmt"
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

// Verification is what Verify found.
type Verification struct {
	Entries int64 // checked
	Rows    int64 // row commitments checked
	// Entries of these kinds; a log that has them may be whole.
	Mismatches, Gaps int64
	Root             [32]byte
	Problems         []proof.Problem // none: the log is whole
}

// mostProblems is how many problems are told; one break can touch every later
// entry.
const mostProblems = 20

// Verify recomputes the whole log from its rows, in one snapshot: leaf hashes,
// chain, tree, row commitments, and the head they must lead to.
func Verify(ctx context.Context, conn *pgx.Conn, progress func(done, total int64)) (Verification, error) {
	var v Verification
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return v, pg.Wrap("verify the purge log", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// Row security that hides entries must be an error, not a shorter log.
	if _, err := tx.Exec(ctx, `set local row_security = off`); err != nil {
		return v, pg.Wrap("verify the purge log", err)
	}
	head, err := readHead(ctx, tx)
	if err != nil {
		return v, err
	}
	verifier := proof.NewVerifier()
	if err := v.entries(ctx, tx, verifier, head.Size, progress); err != nil {
		return v, err
	}
	if err := v.rows(ctx, tx); err != nil {
		return v, err
	}
	v.add(verifier.Compare(head)...)
	v.Root = verifier.Tree().Root()
	return v, nil
}

func readHead(ctx context.Context, tx pgx.Tx) (proof.Head, error) {
	var h proof.Head
	err := tx.QueryRow(ctx, `select size, chain_hash, hashes, root from sweeper.log_head`).Scan(&h.Size, &h.ChainHash, &h.Hashes, &h.Root)
	return h, pg.Wrap("read the head of the purge log (it begins with the first sweep)", err)
}

func (v *Verification) add(found ...proof.Problem) {
	room := max(0, mostProblems-len(v.Problems))
	v.Problems = append(v.Problems, found[:min(room, len(found))]...)
}

func (v *Verification) entries(ctx context.Context, tx pgx.Tx, verifier *proof.Verifier, total int64, progress func(done, total int64)) error {
	rows, err := tx.Query(ctx, entrySQL+`order by seq, logged_at`)
	if err != nil {
		return pg.Wrap("read the purge log", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return pg.Wrap("read the purge log", err)
		}
		v.add(verifier.Add(&e)...)
		v.Entries++
		switch e.Kind {
		case "mismatch":
			v.Mismatches++
		case "gap":
			v.Gaps++
		}
		if progress != nil && v.Entries%1000 == 0 {
			progress(v.Entries, total)
		}
	}
	return pg.Wrap("read the purge log", rows.Err())
}

// rows compares the row commitments of each entry with its root and count.
func (v *Verification) rows(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		select l.seq, l.row_count, l.rows_root, r.commitments
		  from sweeper.purge_log l left join sweeper.purge_rows r using (seq, logged_at)
		 where l.rows_root is not null order by l.seq, r.part`)
	if err != nil {
		return pg.Wrap("read row commitments", err)
	}
	defer rows.Close()
	var at struct {
		seq, count int64
		root       []byte
		rows       proof.Rows
	}
	at.seq = -1
	check := func() {
		if at.seq < 0 {
			return
		}
		if root := at.rows.Root(); at.rows.Count() != at.count || string(root[:]) != string(at.root) {
			v.add(proof.Problem{Seq: at.seq, Text: fmt.Sprintf("the %d row commitments do not give the entry's count and root", at.rows.Count())})
		}
		v.Rows += at.rows.Count()
	}
	for rows.Next() {
		var seq int64
		var count *int64
		var root, commitments []byte
		if err := rows.Scan(&seq, &count, &root, &commitments); err != nil {
			return pg.Wrap("read row commitments", err)
		}
		if seq != at.seq {
			check()
			at.seq, at.count, at.root = seq, -1, append(at.root[:0], root...)
			if count != nil {
				at.count = *count
			}
			at.rows.Reset()
		}
		for ; len(commitments) >= 32; commitments = commitments[32:] {
			at.rows.Add([32]byte(commitments[:32]))
		}
	}
	check()
	return pg.Wrap("read row commitments", rows.Err())
}
