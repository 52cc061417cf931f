package sweeper_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// buffer is a log that a test can read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// started is a daemon that runs in this process.
type started struct {
	stop   context.CancelFunc
	reload chan struct{}
	ended  chan error
	log    *buffer
}

// start runs a daemon over the policies in a file of the bundle's own.
func (b *bundle) start(t *testing.T, cfg sweeper.Config) *started {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	d := &started{stop: stop, reload: make(chan struct{}, 1), ended: make(chan error, 1), log: &buffer{}}
	cfg.HTTPAddr = sweeper.HTTPOff
	log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { d.ended <- sweeper.Run(ctx, cfg, log, sweeper.RunOptions{Now: time.Now, Reload: d.reload}) }()
	t.Cleanup(func() {
		d.end(t)
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", d.log)
		}
	})
	return d
}

// end stops the daemon and waits for it.
func (d *started) end(t *testing.T) {
	t.Helper()
	d.stop()
	if err, open := <-d.ended; open {
		close(d.ended)
		if err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	}
}

// daemon is setup with the policies in a file that daemons read.
func daemon(t *testing.T, ddl, policies string, env ...string) *bundle {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	write(t, path, policies)
	return setup(t, ddl, policies, append(env, "SWEEPER_POLICIES="+path)...)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// due makes categories due as of an hour ago.
func (b *bundle) due(t *testing.T, where string) {
	t.Helper()
	b.db.Exec(t, `update sweeper.schedules set next_due = date_trunc('second', now()) - interval '1 hour' where `+where)
}

// until waits until a query says true.
func (b *bundle) until(t *testing.T, what, sql string, args ...any) {
	t.Helper()
	pgtest.Eventually(t, what, func() bool { return b.text(t, sql, args...) == "true" })
}

// TestSchedule has daemons come and go: a slot that was missed runs once, one
// that ran does not run again, each leaves its row, and a category that is
// disabled none.
func TestSchedule(t *testing.T) {
	t.Parallel()
	b := daemon(t, events+`create table app.none (id int primary key, at timestamptz); create table app.more (id int primary key, at timestamptz); insert into app.more select i, '2010-01-01' from generate_series(1, 10) i`, fiveYear+`  nothing: {table: app.none, start_from: at, delete: {after: P90Y}, schedule: {every: 1h}}
  observed: {table: app.more, start_from: at, delete: {after: P5Y}, mode: observe}
  off: {table: app.more, start_from: at, delete: {after: P50Y}, enabled: false}
`)
	b.fill(t, 0, 1000)
	first := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 3 and bool_and(next_due > now()) from sweeper.schedules`)
	if got := b.text(t, `select string_agg(expression || ' ' || timezone, ', ' order by category) from sweeper.schedules`); got != "0 3 * * * UTC, every 1h0m0s UTC, 0 3 * * * UTC" {
		t.Errorf("stored: %s", got)
	}
	first.end(t)
	if got := b.text(t, `select count(*) from sweeper.runs`); got != "0" {
		t.Errorf("%s runs before anything was due", got)
	}

	b.due(t, "true")
	second := b.start(t, b.cfg)
	b.until(t, "all have run", `select count(*) = 3 from sweeper.runs where finished_at is not null`)
	b.until(t, "the log has it", `select count(*) = 3 from sweeper.purges`)
	second.end(t)
	third := b.start(t, b.cfg)
	b.until(t, "the slot is read", `select active from pg_replication_slots where slot_name = $1`, b.db.Slot())
	third.end(t)
	got := b.text(t, `select string_agg(concat_ws(' ', category, state, reason, actor, deleted), ', ' order by category) from sweeper.runs`)
	if want := "events succeeded retention_cron sweeper 1000, nothing succeeded retention_cron sweeper 0, observed observed retention_cron sweeper 0"; got != want {
		t.Errorf("runs: %s\nwant: %s", got, want)
	}
	if got := b.text(t, `select bool_and(next_due > now() and last_due < now()) and count(*) = 3 from sweeper.schedules`); got != "true" {
		t.Error("the schedules did not move on")
	}
	if got := b.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete' and reason = 'retention_cron' and actor = 'sweeper'`); got != "1000" {
		t.Errorf("%s rows in the log", got)
	}
	if got := b.text(t, `select bool_and(next_run_at > now()) from sweeper.policy_status where enabled`); got != "true" {
		t.Error("policy_status does not show the next run")
	}
	b.checkLog(t)
}

// TestWindow has a slot come due outside of the hours: it waits and does not
// vanish.
func TestWindow(t *testing.T) {
	t.Parallel()
	b := daemon(t, events, fiveYear)
	b.fill(t, 0, 10)
	closed := b.cfg
	closed.Window = time.Now().UTC().Add(2*time.Hour).Format("15:04") + "-" + time.Now().UTC().Add(3*time.Hour).Format("15:04")
	first := b.start(t, closed)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	looked := b.text(t, `select clock_timestamp()`)
	b.until(t, "the daemon has looked at it", `select exists (select from pg_stat_activity where application_name ~ '^sweeper/[0-9a-f]{8}$'
		and datname = current_database() and query like '%sweeper.schedules%' and state = 'idle' and query_start > $1::text::timestamptz)`, looked)
	first.end(t)
	if got := b.text(t, `select count(*) || ' ' || bool_and(next_due < now()) from sweeper.runs right join sweeper.schedules using (category) where run_id is not null or next_due is not null`); got != "1 true" {
		t.Errorf("outside of the window: %s", got)
	}
	if got := b.text(t, `select count(*) from sweeper.runs`); got != "0" {
		t.Errorf("%s runs outside of the window", got)
	}
	b.start(t, b.cfg)
	b.until(t, "it runs in the end", `select count(*) = 1 from sweeper.runs where state = 'succeeded'`)
}

// gate has every purge of app.events wait for the test: for its lock on 4711.
const gate = `
	create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$;
	create trigger wait before delete on app.events for each statement execute function app.wait()`

// patient lets a batch wait at the gate for as long as the test wants.
var patient = []string{"SWEEPER_LOCK_TIMEOUT=5m", "SWEEPER_STATEMENT_TIMEOUT=10m", "SWEEPER_BATCH_ROWS=100"}

// atGate waits until a batch of the daemon stands at the gate, and tells its pid.
func (b *bundle) atGate(t *testing.T) string {
	t.Helper()
	const sql = `select min(pid) from pg_locks where locktype = 'advisory' and objid = 4711 and not granted and database = (select oid from pg_database where datname = current_database())`
	pgtest.Eventually(t, "a batch is in flight", func() bool { return b.text(t, sql) != "" })
	return b.text(t, sql)
}

// TestSoftStop stops a daemon with a batch in flight: that one ends, no other
// begins, the log takes it in, and the slot stays due for the next daemon.
func TestSoftStop(t *testing.T) {
	t.Parallel()
	b := daemon(t, events+gate, fiveYear, patient...)
	b.fill(t, 0, 1000)
	keeper := b.db.Conn(t, "")
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	b.atGate(t)
	d.stop()
	b.until(t, "the process shows that it lives", `select max(state_change) > now() - interval '4 seconds' from pg_stat_activity where application_name ~ '^sweeper/[0-9a-f]{8}$' and datname = current_database()`)
	select {
	case err := <-d.ended:
		t.Fatalf("it did not wait for the batch in flight: %v", err)
	default:
	}
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4711)::text`)
	d.end(t)
	if got := b.text(t, `select state || ' ' || deleted from sweeper.runs`); got != "stopped 100" {
		t.Errorf("run: %s", got)
	}
	if got := b.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete'`); got != "100" {
		t.Errorf("%s rows are in the log when it has ended", got)
	}
	if got := b.text(t, `select confirmed_flush_lsn >= (select max(commit_lsn) from sweeper.purge_log) and not active from pg_replication_slots where slot_name = $1`, b.db.Slot()); got != "true" {
		t.Error("what is logged is not acknowledged")
	}
	b.start(t, b.cfg)
	b.until(t, "the slot is done", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and deleted = 900`)
	b.until(t, "the log has all", `select sum(row_count) = 1000 and count(*) = count(distinct xid) from sweeper.purge_log where kind = 'delete'`)
	b.checkLog(t)
}

// TestGrace has a batch that does not end: it is cut off when the grace is over.
func TestGrace(t *testing.T) {
	t.Parallel()
	b := daemon(t, events+gate, fiveYear, append(patient, "SWEEPER_SHUTDOWN_GRACE=200ms")...)
	b.fill(t, 0, 1000)
	keeper := b.db.Conn(t, "")
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	b.atGate(t)
	d.end(t)
	if got := b.text(t, `select state || ' ' || deleted || ' ' || (select count(*) from app.events) from sweeper.runs`); got != "stopped 0 1000" {
		t.Errorf("run: %s", got)
	}
	if got := b.text(t, `select next_due < now() from sweeper.schedules`); got != "true" {
		t.Error("the slot is forgotten")
	}
}

// TestReplicas has three daemons and six categories that are due at once: all
// take part, none overlaps, each slot runs once.
func TestReplicas(t *testing.T) {
	t.Parallel()
	ddl, policies := "create schema app;", "version: 1\ncategories:\n"
	for i := range 6 {
		ddl += fmt.Sprintf("create table app.t%d (id int primary key, at timestamptz); insert into app.t%[1]d select i, '2010-01-01' from generate_series(1, 500) i;", i)
		policies += fmt.Sprintf("  c%d: {table: app.t%[1]d, start_from: at, delete: {after: P5Y}}\n", i)
	}
	b := daemon(t, ddl, policies, "SWEEPER_BATCH_ROWS=100", "SWEEPER_ROWS_PER_SECOND=1000", "SWEEPER_WORKERS=1")
	var all []*started
	for range 3 {
		all = append(all, b.start(t, b.cfg))
	}
	b.until(t, "all stand ready", `select count(distinct application_name) = 3 from pg_stat_activity where application_name ~ '^sweeper/[0-9a-f]{8}$' and datname = current_database()
		and exists (select from pg_replication_slots where slot_name = $1 and active)`, b.db.Slot())
	// Each looks at its schedules within 5 s, so that all know of the moment before it comes.
	b.db.Exec(t, `update sweeper.schedules set next_due = date_trunc('second', clock_timestamp()) + interval '7 s'`)
	b.until(t, "all slots have run", `select count(*) = 6 from sweeper.runs where state = 'succeeded' and deleted = 500`)
	// One that ends waits for its own runs to be in the log, not for the others'.
	b.until(t, "the log has all", `select count(*) = 6 from sweeper.purges`)
	for _, d := range all {
		d.end(t)
	}
	got := b.text(t, `select concat_ws(' ', count(*), count(distinct category), count(distinct instance)) from sweeper.runs`)
	if got != "6 6 3" {
		t.Errorf("runs, categories, processes: %s", got)
	}
	// Three processes at 1000 rows/s: 3000 rows take close to 3 s, whatever their number.
	if got := b.text(t, `select extract(epoch from max(finished_at) - min(started_at)) >= 2.4 from sweeper.runs`); got != "true" {
		t.Errorf("3000 rows took %s s", b.text(t, `select extract(epoch from max(finished_at) - min(started_at)) from sweeper.runs`))
	}
	if got := b.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete'`); got != "3000" {
		t.Errorf("%s rows in the log", got)
	}
	b.checkLog(t)
}

// TestReload changes the policies under a daemon: a broken set and one that does
// not fit change nothing and are said once, a good one is in force as a whole.
func TestReload(t *testing.T) {
	t.Parallel()
	b := daemon(t, events, fiveYear)
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules`)
	said := func(text string, n int) func() bool {
		return func() bool { return strings.Count(d.log.String(), text) == n }
	}
	ask := func(text string) {
		write(t, b.cfg.Policies, text)
		d.reload <- struct{}{}
	}
	ask("version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: never}}\n")
	pgtest.Eventually(t, "the broken set is refused", said("policies not reloaded", 1))
	ask(strings.ReplaceAll(fiveYear, "app.events", "app.missing"))
	pgtest.Eventually(t, "the set that does not fit is refused", said("policies not reloaded", 2))
	if log := d.log.String(); !strings.Contains(log, "policies.yaml:3:") || !strings.Contains(log, "app.missing does not exist") {
		t.Errorf("the reasons are missing in\n%s", log)
	}
	if got := b.text(t, `select string_agg(category || expression || (next_due is not null), ' ') from sweeper.schedules`); got != "events0 3 * * *true" {
		t.Errorf("a broken set changed the schedules to %s", got)
	}
	b.fill(t, 0, 10)
	b.due(t, "true")
	b.until(t, "the former set is in force", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and deleted = 10`)

	// As Kubernetes swaps a ConfigMap: the folder behind a link is another one.
	ask(strings.ReplaceAll(fiveYear, "P5Y}", "P4Y}, schedule: {every: 2h}"))
	pgtest.Eventually(t, "the good set is taken", said("policies reloaded: those on disk can be used again, and are in force", 1))
	b.until(t, "its schedule is stored", `select count(*) = 1 from sweeper.schedules where expression = 'every 2h0m0s' and next_due > now()`)
	d.reload <- struct{}{}
	pgtest.Eventually(t, "a good set that follows a good one is nothing new", said(`"policies reloaded"`, 1))
	b.due(t, "true")
	b.until(t, "it runs", `select count(*) = 2 from sweeper.runs`)
	if got := b.text(t, `select count(distinct policy_sha256) || ' ' || (select count(*) from sweeper.policy_versions) from sweeper.runs`); got != "2 2" {
		t.Errorf("policy sets that ran, and versions: %s", got)
	}
}

// TestReloadUnasked has the folder behind a link swapped, as Kubernetes does it
// with a ConfigMap.
func TestReloadUnasked(t *testing.T) {
	t.Parallel()
	b := daemon(t, events, fiveYear)
	dir := t.TempDir()
	for name, text := range map[string]string{"..v1": fiveYear, "..v2": strings.ReplaceAll(fiveYear, "P5Y}", "P4Y}, schedule: {every: 2h}")} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "policies.yaml"), text)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link(filepath.Join("..data", "policies.yaml"), "policies.yaml")
	b.cfg.Policies = dir
	b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules where expression = '0 3 * * *'`)
	link("..v2", "..data")
	b.until(t, "the other folder is in force", `select count(*) = 1 from sweeper.schedules where expression = 'every 2h0m0s'`)
}

// TestBrokenAtStart has nothing to fall back to.
func TestBrokenAtStart(t *testing.T) {
	t.Parallel()
	b := daemon(t, events, fiveYear)
	for _, text := range []string{"version: 2\n", strings.ReplaceAll(fiveYear, "app.events", "app.missing")} {
		write(t, b.cfg.Policies, text)
		b.cfg.HTTPAddr = sweeper.HTTPOff
		err := sweeper.Run(t.Context(), b.cfg, b.log, sweeper.RunOptions{Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), "policies.yaml:") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestDatabaseGoesAway ends every session of a daemon, again and again: it comes
// back each time, and every row goes and is logged once.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	b := daemon(t, events, fiveYear, "SWEEPER_BATCH_ROWS=100")
	b.fill(t, 0, 20_000)
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	for cut := range 3 {
		b.until(t, "a part has gone", `select count(*) < $1 from app.events`, 20_000-cut*3000)
		b.text(t, `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'sweeper/%' and datname = current_database()`)
	}
	b.until(t, "all have gone", `select count(*) = 1 from sweeper.runs where state = 'succeeded'`)
	b.until(t, "the log has all", `select sum(row_count) = 20000 and count(*) = count(distinct xid) from sweeper.purge_log where kind = 'delete'`)
	b.checkLog(t)
	if got := b.text(t, `select count(*) from sweeper.runs where state = 'running'`); got != "0" {
		t.Errorf("%s runs are left over", got)
	}
	if log := d.log.String(); strings.Count(log, "waiting for the database") > 4 || !strings.Contains(log, "database is back") {
		t.Errorf("the log says\n%s", log)
	}
}
