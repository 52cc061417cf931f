package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

var verifyGroup = group{
	lines: []string{"verify-entries", "verify-commitments"},
	measure: func(ctx context.Context, b *bench) error {
		if err := b.template(ctx, "quiet", quietDDL); err != nil {
			return err
		}
		if err := b.verify(ctx, "verify-entries", "entries", b.rows/2, b.rows/2, 0, atLeast(300_000)); err != nil {
			return err
		}
		return b.verify(ctx, "verify-commitments", "row commitments", 5*b.rows, b.rows/2000, 10_000, atLeast(1e6))
	},
}

// verify measures log verify of a log of so many entries, each of so many row
// commitments.
func (b *bench) verify(ctx context.Context, name, what string, size, entries, rows int, t target) error {
	if !b.wants(name) {
		return nil
	}
	s, err := b.site(ctx, "quiet", quietOnly)
	if err != nil {
		return err
	}
	conn, err := pg.Connect(ctx, b.server.URL(s.name, pgserver.Superuser), "bench")
	if err != nil {
		return err
	}
	err = fillLog(ctx, conn, entries, rows)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	if _, err := s.exec(ctx, "vacuum (analyze) sweeper.purge_log, sweeper.purge_rows"); err != nil {
		return err
	}
	took, err := b.median(func() (float64, error) { return s.sweeper(ctx, "log", "verify") })
	if err != nil {
		return err
	}
	b.add(name, float64(size)/took, what+"/s", fmt.Sprintf("the whole command on a log of %d entries with %d rows each, %.2f s", entries, rows, took), t)
	return s.drop(ctx)
}

// fillLog writes a whole log of so many entries, each of so many row commitments.
func fillLog(ctx context.Context, conn *pgx.Conn, entries, rows int) error {
	var now time.Time
	if err := conn.QueryRow(ctx, "select now()").Scan(&now); err != nil {
		return err
	}
	var tree proof.Tree
	var chain [32]byte
	committer := proof.NewCommitter([]byte(strings.Repeat("k", 32)))
	texts := func(s string) *string { return &s }
	run, xid, count := [16]byte{1}, int64(0), int64(rows)
	var roots [][]byte
	var r proof.Rows
	const perPart = 2000
	perEntry := (rows + perPart - 1) / perPart
	part := func(n int) ([]any, error) { // one after the other: what is made is not kept
		i, k := n/perEntry, n%perEntry
		var commitments []byte
		for at := k * perPart; at < min(rows, (k+1)*perPart); at++ {
			c := committer.Commit([]byte{byte(i), byte(i >> 8), byte(at), byte(at >> 8), byte(at >> 16)})
			r.Add(c)
			commitments = append(commitments, c[:]...)
		}
		if k == perEntry-1 {
			root := r.Root()
			roots = append(roots, root[:])
			r.Reset()
		}
		return []any{int64(i), now, k, commitments}, nil
	}
	entry := func(i int) ([]any, error) {
		e := proof.Entry{
			Seq: int64(i), LoggedAt: now, CommittedAt: &now, CommitLSN: uint64(i) << 12, XID: &xid, Source: "7/bench", Kind: "delete",
			Reason: texts("retention_cron"), Category: texts("events"), Relation: texts("app.events"), Cutoff: &now, Basis: texts("contract"),
			Actor: texts("schedule"), RunID: &run, PolicySHA256: chain[:], RowCount: &count,
		}
		if i == 0 {
			e.Kind = proof.KindGenesis
		}
		if rows > 0 {
			e.RowsRoot = roots[i]
		}
		leaf, err := e.Leaf()
		if err != nil {
			return nil, err
		}
		hash := proof.HashLeaf(leaf)
		policy := append([]byte(nil), chain[:]...)
		tree.Append(hash)
		chain = proof.Chain(chain, hash)
		return []any{
			e.Seq, e.LoggedAt, e.CommittedAt, e.CommitLSN, e.XID, e.Source, e.Kind, e.Reason, e.Category, e.Relation, e.Cutoff, e.Basis, e.Actor,
			e.RunID, policy, e.RowCount, e.RowsRoot, hash[:], append([]byte(nil), chain[:]...),
		}, nil
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"sweeper", "purge_rows"}, []string{"seq", "logged_at", "part", "commitments"}, pgx.CopyFromSlice(entries*perEntry, part)); err != nil {
		return err
	}
	columns := strings.Fields("seq logged_at committed_at commit_lsn xid source kind reason category relation cutoff basis actor run_id policy_sha256 row_count rows_root leaf_hash chain_hash")
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"sweeper", "purge_log"}, columns, pgx.CopyFromSlice(entries, entry)); err != nil {
		return err
	}
	root := tree.Root()
	_, err := conn.Exec(ctx, `insert into sweeper.log_head (size, chain_hash, hashes, root, updated_at) values ($1, $2, $3, $4, $5)`,
		int64(entries), chain[:], slices.Concat(tree.Hashes()...), root[:], now)
	return err
}
