package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

// bench is one run of this command: its server, the binary it measures, and
// what it found.
type bench struct {
	rows, runs  int
	dir, output string
	pace        string
	chosen      *regexp.Regexp
	server      *pgserver.Server
	admin       *pgx.Conn
	work        string // folder of the binary and the policies
	sites       int
	open        []*site
	lines       []line
}

// settings are those of a server that one would put on this much memory, and
// is asked to keep what it commits. Autovacuum and checkpoints would come at
// another moment in each run.
var settings = map[string]string{
	"shared_buffers": "3GB", "max_wal_size": "24GB", "checkpoint_timeout": "1h", "autovacuum": "off", "max_slot_wal_keep_size": "-1",
	"track_commit_timestamp": "on",
}

func (b *bench) start(ctx context.Context) (err error) {
	b.server, err = pgserver.Start(ctx, pgserver.Options{Dir: b.dir, Durable: true, Settings: settings, Sources: []pgserver.Source{pgserver.Binaries, pgserver.Download}})
	if err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp(b.dir, "sweeper-bench-"); err != nil {
		return err
	}
	if b.admin, err = pgx.Connect(ctx, b.server.URL("postgres", pgserver.Superuser)); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.binary(), "./cmd/sweeper").CombinedOutput(); err != nil {
		return fmt.Errorf("build sweeper: %w: %s", err, out)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(os.Stderr, "PostgreSQL %s, %d cores, %s, fsync on, autovacuum off, load %s\n", b.server.Version(), runtime.NumCPU(), runtime.GOARCH, strings.TrimSpace(string(load)))
	return nil
}

func (b *bench) stop(ctx context.Context) error {
	return errors.Join(b.admin.Close(ctx), b.server.Stop(ctx), os.RemoveAll(b.work))
}

func (b *bench) binary() string { return filepath.Join(b.work, "sweeper") }

// template makes a database that sites are copied from, once. Each of the
// statements is a transaction of its own.
func (b *bench) template(ctx context.Context, name string, ddl ...string) (err error) {
	var there bool
	if err := b.admin.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, name).Scan(&there); err != nil || there {
		return err
	}
	fmt.Fprintf(os.Stderr, "loading %s\n", name)
	if _, err := b.admin.Exec(ctx, `create database `+name); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.server.URL(name, pgserver.Superuser))
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Close(context.WithoutCancel(ctx))
		if err != nil { // half of it is not to be taken for the whole
			_, dropped := b.admin.Exec(context.WithoutCancel(ctx), `drop database `+name+` with (force)`)
			err = errors.Join(err, dropped)
		}
	}()
	for _, sql := range slices.Concat([]string{`create extension if not exists pg_prewarm`}, ddl, []string{`vacuum (freeze, analyze)`}) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// site is a database of its own, fresh from a template and warm.
type site struct {
	b     *bench
	name  string
	slot  string
	admin *pgx.Conn
	env   []string
}

// site copies a template. Without policies sweeper is not installed in it.
func (b *bench) site(ctx context.Context, template, policies string, env ...string) (*site, error) {
	b.sites++
	s := &site{b: b, name: fmt.Sprintf("site%d", b.sites)}
	s.slot = s.name
	if _, err := b.admin.Exec(ctx, fmt.Sprintf(`create database %s template %s`, s.name, template)); err != nil {
		return nil, fmt.Errorf("copy %s: %w", template, err)
	}
	var err error
	if s.admin, err = pgx.Connect(ctx, b.server.URL(s.name, pgserver.Superuser)); err != nil {
		return nil, err
	}
	b.open = append(b.open, s)
	if policies != "" {
		file := filepath.Join(b.work, s.name+".yaml")
		if err := os.WriteFile(file, []byte(policies), 0o600); err != nil {
			return nil, err
		}
		s.env = append([]string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "SWEEPER_DATABASE_URL=" + b.server.URL(s.name, "sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + b.server.URL(s.name, "sweeper_logger"),
			"SWEEPER_INSTALL_URL=" + b.server.URL(s.name, pgserver.Superuser), "SWEEPER_POLICIES=" + file, "SWEEPER_SLOT=" + s.slot,
			"SWEEPER_HMAC_KEY=" + strings.Repeat("01", 32), "SWEEPER_APPROVE=auto", "SWEEPER_HTTP_ADDR=off", "SWEEPER_LOG_LEVEL=warn",
		}, env...)
		if _, err := s.sweeper(ctx, "install"); err != nil {
			return nil, err
		}
	}
	return s, s.warm(ctx)
}

// warm reads the database into memory and leaves nothing to write.
func (s *site) warm(ctx context.Context) error {
	if _, err := s.admin.Exec(ctx, `select pg_prewarm(c.oid) from pg_class c where relkind in ('r', 'i') and relnamespace = 'bench'::regnamespace`); err != nil {
		return fmt.Errorf("warm %s: %w", s.name, err)
	}
	_, err := s.admin.Exec(ctx, `checkpoint`)
	return err
}

// drop removes the site with its slots.
func (s *site) drop(ctx context.Context) error {
	s.b.open = slices.DeleteFunc(s.b.open, func(other *site) bool { return other == s })
	_, err := s.admin.Exec(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database() and not active`)
	err = errors.Join(err, s.admin.Close(ctx))
	_, dropped := s.b.admin.Exec(ctx, `drop database `+s.name+` with (force)`)
	return errors.Join(err, dropped)
}

// clear removes the sites that a failed measurement left, once their processes
// have let go of their slots.
func (b *bench) clear(ctx context.Context) error {
	var errs []error
	for _, s := range slices.Clone(b.open) {
		if s.admin.IsClosed() {
			var err error
			if s.admin, err = pgx.Connect(ctx, b.server.URL(s.name, pgserver.Superuser)); err != nil {
				return err
			}
		}
		_, err := s.admin.Exec(ctx, `select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where database = current_database() and active`)
		errs = append(errs, err, s.drop(ctx))
	}
	return errors.Join(errs...)
}

// exec runs statements and tells how long they took, in seconds.
func (s *site) exec(ctx context.Context, sql string, args ...any) (float64, error) {
	began := time.Now()
	if _, err := s.admin.Exec(ctx, sql, args...); err != nil {
		return 0, fmt.Errorf("run %q: %w", first(sql, 80), err)
	}
	return time.Since(began).Seconds(), nil
}

// sweeper runs the command and tells how long it took, in seconds.
func (s *site) sweeper(ctx context.Context, args ...string) (float64, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, s.b.binary(), args...)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("sweeper %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return time.Since(began).Seconds(), nil
}

// number is the one value of a query.
func (s *site) number(ctx context.Context, sql string) (float64, error) {
	var v float64
	if err := s.admin.QueryRow(ctx, "select ("+sql+")::float8").Scan(&v); err != nil {
		return 0, fmt.Errorf("read %q: %w", first(sql, 80), err)
	}
	return v, nil
}

// median runs something as often as was asked for and takes the median.
func (b *bench) median(run func() (float64, error)) (float64, error) {
	var all []float64
	for range b.runs {
		v, err := run()
		if err != nil {
			return 0, err
		}
		all = append(all, v)
	}
	return middle(all), nil
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// percentile of values, from 0 to 1.
func percentile(all []float64, p float64) float64 {
	slices.Sort(all)
	return all[min(len(all)-1, int(p*float64(len(all))))]
}

func first(s string, n int) string { return s[:min(n, len(s))] }
