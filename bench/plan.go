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
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

// The policies of the two tables: of `days` the oldest 100 partitions are due,
// of `rows` a tenth of the rows.
const planPolicies = `version: 1
categories:
  days:
    table: bench.days
    tenant: tenant
    subject: who
    start_from: at
    delete: {after: P%dD}
  rows:
    table: bench.rows
    tenant: tenant
    subject: who
    start_from: at
    delete: {after: P900D}
`

const rowsDDL = `
	create table bench.rows (id bigint primary key, at timestamptz, tenant text not null, who text not null, note text);
	insert into bench.rows
	  select i, case when i %% 50 = 0 then null when i %% 50 = 1 then now() + i * interval '1 second' else now() - interval '1000 days' * (i::float8 / %[1]d) end,
	         't' || i %% 100, 'u' || i %% 100000, repeat('x', 100)
	    from generate_series(1, %[1]d) i;
	create index on bench.rows (at)`

// planBench is one measurement of `plan`.
type planBench struct {
	partitions, rows, runs int
	dir                    string // parent of the server's folder
	keep                   bool
	work                   string // of the binary and the policies
	env                    []string
	admin                  *pgx.Conn
}

func benchPlan(ctx context.Context, args []string) (err error) {
	b := &planBench{}
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	flags.IntVar(&b.partitions, "partitions", 10000, "daily partitions of the one table, of which 100 are due")
	flags.IntVar(&b.rows, "rows", 10_000_000, "rows of the other table, of which a tenth is due")
	flags.IntVar(&b.runs, "runs", 5, "runs of which the median is printed")
	flags.StringVar(&b.dir, "dir", "", "where the server's folder is made")
	flags.BoolVar(&b.keep, "keep", false, "leave the server running")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// max_locks_per_transaction stays as it comes: that is part of the question.
	server, err := pgserver.Start(ctx, pgserver.Options{Dir: b.dir, Keep: b.keep, Settings: map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB"}})
	if err != nil {
		return err
	}
	defer func() {
		if !b.keep {
			err = errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if b.work, err = os.MkdirTemp(b.dir, "bench-plan-"); err != nil {
		return err
	}
	defer func() {
		if !b.keep {
			err = errors.Join(err, os.RemoveAll(b.work))
		}
	}()
	if b.admin, err = pgx.Connect(ctx, server.URL("postgres", pgserver.Superuser)); err != nil {
		return err
	}
	defer func() { _ = b.admin.Close(context.WithoutCancel(ctx)) }()
	if err := b.load(ctx); err != nil {
		return err
	}
	b.env = append(os.Environ(), "SWEEPER_DATABASE_URL="+server.URL("postgres", "sweeper_daemon"), "SWEEPER_REPLICATION_URL="+server.URL("postgres", "sweeper_logger"),
		"SWEEPER_INSTALL_URL="+server.URL("postgres", pgserver.Superuser), "SWEEPER_POLICIES="+filepath.Join(b.work, "policies.yaml"),
		"SWEEPER_HMAC_KEY="+strings.Repeat("01", 32))
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(b.work, "sweeper"), "./cmd/sweeper").CombinedOutput(); err != nil {
		return fmt.Errorf("build sweeper: %w: %s", err, out)
	}
	if _, err := b.sweeper(ctx, "install"); err != nil {
		return err
	}
	if _, err := b.admin.Exec(ctx, `grant bench_owner to sweeper_owner`); err != nil {
		return err
	}
	if b.keep {
		fmt.Fprintf(os.Stderr, "server %s, binary and policies in %s\n", server.URL("postgres", pgserver.Superuser), b.work)
	}
	return b.measure(ctx)
}

// load makes the two tables.
func (b *planBench) load(ctx context.Context) error {
	policies := fmt.Sprintf(planPolicies, b.partitions-110) // 10 lie ahead
	if err := os.WriteFile(filepath.Join(b.work, "policies.yaml"), []byte(policies), 0o600); err != nil {
		return err
	}
	_, err := b.admin.Exec(ctx, `create role bench_owner nologin; create schema bench authorization bench_owner; set role bench_owner;
		create table bench.days (id bigint, at timestamptz not null, tenant text not null, who text not null, primary key (id, at)) partition by range (at);
		create index on bench.days (at)`)
	// Partitions come before today's midnight, and 10 after it. In parts: each
	// transaction may lock only so many.
	for from := -b.partitions + 10; from < 10 && err == nil; from += 50 {
		var sql strings.Builder
		for day := from; day < min(from+50, 10); day++ {
			name := fmt.Sprintf("bench.days_%05d", day+b.partitions)
			date := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, day)
			fmt.Fprintf(&sql, "create table %s partition of bench.days for values from ('%s') to ('%s'); ", name, date.Format(time.RFC3339), date.AddDate(0, 0, 1).Format(time.RFC3339))
			if day < 0 {
				fmt.Fprintf(&sql, "insert into %s select i, timestamptz '%s' + i * interval '10 minutes', 't' || i %% 100, 'u' || i from generate_series(0, 99) i; ", name, date.Format(time.RFC3339))
			}
		}
		_, err = b.admin.Exec(ctx, sql.String())
	}
	if err != nil {
		return fmt.Errorf("make bench.days: %w", err)
	}
	if _, err := b.admin.Exec(ctx, `analyze bench.days`); err != nil {
		return fmt.Errorf("analyze bench.days: %w", err)
	}
	if _, err := b.admin.Exec(ctx, fmt.Sprintf(rowsDDL, b.rows)); err != nil {
		return fmt.Errorf("make bench.rows: %w", err)
	}
	if _, err := b.admin.Exec(ctx, `vacuum (analyze) bench.rows`); err != nil {
		return fmt.Errorf("vacuum bench.rows: %w", err)
	}
	_, err = b.admin.Exec(ctx, `reset role; checkpoint`)
	return err
}

// sweeper runs a command line and tells how long it took.
func (b *planBench) sweeper(ctx context.Context, args ...string) (float64, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, filepath.Join(b.work, "sweeper"), args...)
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("sweeper %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return time.Since(began).Seconds(), nil
}

// query runs a bare statement on a connection of its own, connecting included,
// as psql would, and tells how long it took.
func (b *planBench) query(ctx context.Context, sql string) (float64, error) {
	began := time.Now()
	conn, err := pgx.ConnectConfig(ctx, b.admin.Config())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return 0, err
	}
	return time.Since(began).Seconds(), nil
}

func (b *planBench) measure(ctx context.Context) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "WHAT\tSIZE\tSECONDS\tRATIO\tAGAINST")
	for _, one := range []struct{ category, size, peer, name string }{
		{"days", fmt.Sprintf("%d partitions", b.partitions), `select i.inhrelid, c.relname, pg_get_expr(c.relpartbound, c.oid)
			from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'bench.days'::regclass`, "names and bounds read from pg_inherits"},
		{"rows", fmt.Sprintf("%d rows", b.rows), `select count(*) from bench.rows`, "select count(*)"},
	} {
		peer, err := b.median(func() (float64, error) { return b.query(ctx, one.peer) })
		if err != nil {
			return err
		}
		line(out, one.name, one.size, peer, peer, "")
		for _, verb := range [][]string{{"plan", "--category", one.category, "-o", "json"}, {"forecast", "--category", one.category, "-o", "json"}} {
			took, err := b.median(func() (float64, error) { return b.sweeper(ctx, verb...) })
			if err != nil {
				return err
			}
			line(out, "sweeper "+strings.Join(verb[:3], " "), one.size, took, peer, one.name)
		}
	}
	return out.Flush()
}

func line(out io.Writer, what, size string, took, peer float64, name string) {
	_, _ = fmt.Fprintf(out, "%s\t%s\t%.3f\t%.2f\t%s\n", what, size, took, took/peer, name)
}

func (b *planBench) median(run func() (float64, error)) (float64, error) {
	var all []float64
	for range b.runs {
		took, err := run()
		if err != nil {
			return 0, err
		}
		all = append(all, took)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
