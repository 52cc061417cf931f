package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// gateDDL has every purge of app.events wait for the test: for its lock on 4711.
const gateDDL = eventsDDL + `;
	create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$;
	create trigger wait before delete on app.events for each statement execute function app.wait()`

// patient lets a batch wait at the gate for as long as the test wants.
var patient = []string{"SWEEPER_LOCK_TIMEOUT=5m", "SWEEPER_STATEMENT_TIMEOUT=10m", "SWEEPER_BATCH_ROWS=100"}

// fleet is a site with daemons and a gate.
type fleet struct {
	*site
	admin *pgx.Conn
	gate  *pgx.Conn
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{site: installed(t, gateDDL, eventsPolicy)}
	f.env = append(f.env, patient...)
	f.admin, f.gate = f.db.Conn(t, ""), f.db.Conn(t, "")
	return f
}

func (f *fleet) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	if s := pgtest.QueryOne[*string](t, f.admin, "select ("+sql+")::text", args...); s != nil {
		return *s
	}
	return ""
}

func (f *fleet) until(t *testing.T, what, sql string, args ...any) {
	t.Helper()
	pgtest.Eventually(t, what, func() bool { return f.text(t, sql, args...) == "true" })
}

func (f *fleet) shut(t *testing.T) {
	t.Helper()
	pgtest.QueryOne[string](t, f.gate, `select pg_advisory_lock(4711)::text`)
}

func (f *fleet) lift(t *testing.T) {
	t.Helper()
	pgtest.QueryOne[string](t, f.gate, `select pg_advisory_unlock(4711)::text`)
}

const (
	readsSQL = `select exists (select from pg_replication_slots s join pg_stat_activity a on a.pid = s.active_pid
		where s.slot_name = current_database() and a.application_name = 'sweeper/' || $1 || ' log')`
	waitsSQL = `select exists (select from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.objid = 4711 and not l.granted
		and a.datname = current_database() and a.application_name = 'sweeper/' || $1)`
	livesSQL = `select exists (select from pg_stat_activity where datname = current_database() and application_name = 'sweeper/' || $1)`
)

// holder starts a daemon that reads the slot and has a batch in flight.
func (f *fleet) holder(t *testing.T, extra ...string) (*process, string) {
	t.Helper()
	f.shut(t)
	p := f.process(t, []string{"run"}, extra...)
	name := p.instance(t)
	f.until(t, "the first daemon reads the slot", readsSQL, name)
	f.until(t, "the schedule is stored", `select count(*) = 1 from sweeper.schedules`)
	f.db.Exec(t, `update sweeper.schedules set next_due = now() - interval '1 hour'`)
	f.until(t, "its batch is in flight", waitsSQL, name)
	return p, name
}

// heir starts a daemon that stands by.
func (f *fleet) heir(t *testing.T) string {
	t.Helper()
	name := f.process(t, []string{"run"}).instance(t)
	f.until(t, "the second daemon stands by", livesSQL, name)
	return name
}

// takes waits until the heir reads the slot and has a batch in flight, and
// returns how long that took.
func (f *fleet) takes(t *testing.T, heir string) (log, category time.Duration) {
	t.Helper()
	began := time.Now()
	pgtest.EventuallyWithin(t, time.Minute, "the second daemon takes over", func() bool {
		if log == 0 && f.text(t, readsSQL, heir) == "true" {
			log = time.Since(began)
		}
		if category == 0 && f.text(t, waitsSQL, heir) == "true" {
			category = time.Since(began)
		}
		return log > 0 && category > 0
	})
	t.Logf("slot and log taken over after %.1f s, the category after %.1f s", log.Seconds(), category.Seconds())
	if log > 30*time.Second || category > 30*time.Second {
		t.Error("that is more than 30 s")
	}
	return log, category
}

// finishes opens the gate and checks that the heir did the whole work, once.
func (f *fleet) finishes(t *testing.T, first, heir string) {
	t.Helper()
	f.lift(t)
	f.until(t, "the second daemon finishes", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, heir)
	f.until(t, "the log has it", `select count(distinct run_id) = 2 from sweeper.purges`)
	f.whole(t, first)
}

// whole checks that every row went and is logged once, and that the first
// daemon did none of it.
func (f *fleet) whole(t *testing.T, first string) {
	t.Helper()
	got := f.text(t, `select concat_ws(' ', state, stop_reason, deleted, (select count(*) from sweeper.batches b where b.run_id = r.run_id and fact <> 'run_end')) from sweeper.runs r where instance = $1`, first)
	if got != "failed the process ended 0 0" {
		t.Errorf("the first daemon's run: %s", got)
	}
	got = f.text(t, `select concat_ws(' ', sum(row_count), count(*) = count(distinct xid), 1000 - (select count(*) from app.events)) from sweeper.purge_log where kind = 'delete' and reason = 'retention_cron'`)
	if want := fmt.Sprintf("%d t %[1]d", eventsDue); got != want {
		t.Errorf("rows logged, each once, rows gone: %s, want %s", got, want)
	}
	pgtest.CheckLog(t, f.admin)
	if got := f.text(t, `select string_agg(kind, ' ') from sweeper.purge_log where kind in ('mismatch', 'gap')`); got != "" {
		t.Errorf("the log has %s", got)
	}
}

// TestKilled kills the daemon that holds everything.
func TestKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p, first := f.holder(t)
	heir := f.heir(t)
	p.signal(t, syscall.SIGKILL)
	p.end()
	if log, category := f.takes(t, heir); log > 10*time.Second || category > 10*time.Second {
		t.Error("a process that is gone is noticed at once")
	}
	f.finishes(t, first, heir)
}

// TestFrozen stops the daemon that holds everything, and wakes it up when
// another one has taken over: it finds its connections closed, writes nothing,
// and stands by from then on.
func TestFrozen(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p, first := f.holder(t)
	heir := f.heir(t)
	p.signal(t, syscall.SIGSTOP)
	f.takes(t, heir)
	f.until(t, "nothing of the frozen one is left", `select count(*) = 0 from pg_stat_activity where application_name like 'sweeper/' || $1 || '%'`, first)
	p.signal(t, syscall.SIGCONT)
	f.until(t, "it stands by", livesSQL, first)
	f.finishes(t, first, heir)
	if f.text(t, readsSQL, heir) != "true" || f.text(t, `select count(distinct instance) from sweeper.runs`) != "2" {
		t.Error("the first daemon took something back")
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.end(); status.ExitStatus() != exitDone {
		t.Errorf("the first daemon ended with %v", status)
	}
}

// TestLostNetwork has the network of the daemon that holds everything go
// silent, and come back when another one has taken over.
func TestLostNetwork(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	network, env := f.through(t)
	p, first := f.holder(t, env...)
	heir := f.heir(t)
	network.silence(true)
	f.takes(t, heir)
	network.silence(false)
	f.until(t, "it stands by", livesSQL, first)
	f.finishes(t, first, heir)
	for _, line := range []string{"waiting for the database", "database is back"} { // each part of it says so in its own time
		pgtest.Eventually(t, "it says: "+line, func() bool { return strings.Contains(p.said(), line) })
	}
}

// TestSignals has one signal end a daemon after the batch in flight, and two at
// once.
func TestSignals(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p, _ := f.holder(t)
	p.signal(t, syscall.SIGTERM)
	pgtest.Eventually(t, "it has heard the signal", func() bool { return strings.Contains(p.said(), "sweeper is asked to end") })
	p.signal(t, syscall.SIGTERM)
	if status := p.end(); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("two signals: %v", status)
	}
	f.lift(t)
	f.until(t, "the server has let go", `select count(*) = 0 from pg_stat_activity where application_name like 'sweeper/%' and datname = current_database()`)

	p, _ = f.holder(t)
	p.signal(t, syscall.SIGTERM)
	pgtest.Eventually(t, "it has heard the signal", func() bool { return strings.Contains(p.said(), "sweeper is asked to end") })
	f.lift(t)
	if status := p.end(); status.ExitStatus() != exitDone {
		t.Errorf("one signal: %v", status)
	}
	// The batch that was in flight when the first process died went with it, or had its commit.
	if got := f.text(t, `select sum(row_count) = 1000 - (select count(*) from app.events) and count(*) = count(distinct xid) from sweeper.purge_log where kind = 'delete'`); got != "true" {
		t.Error("what went is not what is logged")
	}
	if got := f.text(t, `select state from sweeper.runs order by started_at desc limit 1`); got != "stopped" {
		t.Errorf("the run is %s", got)
	}
}

// TestSweepSignalled stops a sweep with a batch in flight: that one ends, and
// the log has it.
func TestSweepSignalled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.shut(t)
	p := f.process(t, []string{"sweep"})
	f.until(t, "a batch is in flight", `select exists (select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted and database = (select oid from pg_database where datname = current_database()))`)
	p.signal(t, syscall.SIGTERM)
	pgtest.Eventually(t, "it has heard", func() bool { return strings.Contains(p.said(), "asked to end") })
	f.lift(t)
	if status := p.end(); status.ExitStatus() != exitFailed {
		t.Errorf("it ended with %v", status)
	}
	got := f.text(t, `select state || ' ' || deleted || ' ' || (select sum(row_count) from sweeper.purge_log where kind = 'delete') from sweeper.runs`)
	if got != "stopped 100 100" {
		t.Errorf("got %s", got)
	}
}

// TestHangup has a daemon read its policies again.
func TestHangup(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := f.process(t, []string{"run"})
	f.until(t, "the schedule is stored", `select count(*) = 1 from sweeper.schedules`)
	p.signal(t, syscall.SIGHUP)
	pgtest.Eventually(t, "it has read them", func() bool { return strings.Contains(p.said(), "policies reloaded") })
	p.signal(t, syscall.SIGINT)
	if status := p.end(); status.ExitStatus() != exitDone {
		t.Errorf("it ended with %v", status)
	}
}
