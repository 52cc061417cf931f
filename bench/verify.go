package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

const verifyPolicy = "version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P30D}}\n"

// verifyBench measures `log verify` on two logs: one of many entries, and one of
// many row commitments.
type verifyBench struct {
	entries, commitments, runs int
	work                       string
	server                     *pgserver.Server
}

func benchVerify(ctx context.Context, args []string) (err error) {
	b := &verifyBench{}
	var dir string
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.IntVar(&b.entries, "entries", 1_000_000, "entries of the one log")
	flags.IntVar(&b.commitments, "commitments", 10_000_000, "row commitments of the other, in entries of 10000")
	flags.IntVar(&b.runs, "runs", 5, "runs of which the median is printed")
	flags.StringVar(&dir, "dir", "", "where the server's folder is made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b.server, err = pgserver.Start(ctx, pgserver.Options{Dir: dir, Settings: map[string]string{"shared_buffers": "512MB", "max_wal_size": "8GB"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Stop(context.WithoutCancel(ctx))) }()
	if b.work, err = os.MkdirTemp(dir, "bench-verify-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if err := os.WriteFile(filepath.Join(b.work, "policies.yaml"), []byte(verifyPolicy), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(b.work, "sweeper"), "./cmd/sweeper").CombinedOutput(); err != nil {
		return fmt.Errorf("build sweeper: %w: %s", err, out)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOG\tSIZE\tMEDIAN\tPER SECOND\tPEAK MEMORY")
	for _, one := range []struct {
		name          string
		entries, rows int
		size          int
	}{{"entries", b.entries, 0, b.entries}, {"commitments", b.commitments / 10_000, 10_000, b.commitments}} {
		if err := b.measure(ctx, w, one.name, one.entries, one.rows, one.size); err != nil {
			return err
		}
	}
	return w.Flush()
}

// measure makes a log in a database of its own and verifies it.
func (b *verifyBench) measure(ctx context.Context, w io.Writer, name string, entries, rows, size int) error {
	admin, err := pgx.Connect(ctx, b.server.URL("postgres", pgserver.Superuser))
	if err == nil {
		_, err = admin.Exec(ctx, "create database "+name)
		_ = admin.Close(ctx)
	}
	if err != nil {
		return err
	}
	conn, err := pg.Connect(ctx, b.server.URL(name, pgserver.Superuser), "bench")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `create schema app; create table app.events (id bigint primary key, at timestamptz)`); err != nil {
		return err
	}
	env := append(os.Environ(), "SWEEPER_DATABASE_URL="+b.server.URL(name, "sweeper_daemon"), "SWEEPER_INSTALL_URL="+b.server.URL(name, pgserver.Superuser),
		"SWEEPER_SLOT=bench_"+name, "SWEEPER_POLICIES="+filepath.Join(b.work, "policies.yaml"))
	run := func(args ...string) (time.Duration, int64, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(b.work, "sweeper"), args...)
		cmd.Env = env
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, 0, fmt.Errorf("sweeper %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return time.Since(began), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss, nil
	}
	if _, _, err := run("install"); err != nil {
		return err
	}
	if err := fillLog(ctx, conn, entries, rows); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "vacuum analyze sweeper.purge_log, sweeper.purge_rows"); err != nil {
		return err
	}
	var took []time.Duration
	var peak int64
	for range b.runs {
		d, rss, err := run("log", "verify")
		if err != nil {
			return err
		}
		took, peak = append(took, d), max(peak, rss)
	}
	slices.Sort(took)
	median := took[len(took)/2]
	_, err = fmt.Fprintf(w, "%s\t%d\t%v\t%.0f\t%d MiB\n", name, size, median.Round(time.Millisecond), float64(size)/median.Seconds(), peak>>10)
	return err
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
