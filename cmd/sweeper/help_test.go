package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// leavesDDL is one table of eight leaves, which go by rows, and who tells which
// process wrote which stamp.
const leavesDDL = `
	create schema app;
	create table app.events (id bigint, at timestamptz, region int, primary key (id, region)) partition by list (region);
	do $$ begin for i in 0 .. 7 loop execute format('create table app.e%s partition of app.events for values in (%s)', i, i); end loop; end $$;
	insert into app.events select i, now() - interval '1 year', i % 8 from generate_series(1, 2400) i;
	create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$;
	create trigger wait before delete on app.events for each statement execute function app.wait();
	create table app.who (application text, xid xid8)`

const (
	leavesRows   = "2400"
	leavesPolicy = "version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P30D}}\n"
)

const whoDDL = `
	create function app.note() returns trigger language plpgsql security definer as $$ begin
		if new.fact = 'stamp' then insert into app.who values (current_setting('application_name'), new.xid); end if;
		return new;
	end $$;
	create trigger note after insert on sweeper.batches for each row execute function app.note()`

// sharing is a fleet of two: the first has a run, and the second helps with it.
// Each has batches in flight.
type sharing struct {
	*fleet
	owner, helper         *process
	ownerName, helperName string
}

func newLeaves(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{site: installed(t, leavesDDL, leavesPolicy)}
	f.env = append(f.env, patient...)
	f.admin, f.gate = f.db.Conn(t, ""), f.db.Conn(t, "")
	f.db.Exec(t, whoDDL)
	return f
}

func newSharing(t *testing.T, extra ...string) *sharing {
	t.Helper()
	f := newLeaves(t)
	s := &sharing{fleet: f}
	s.owner, s.ownerName = f.holder(t)
	s.helper = f.process(t, []string{"run"}, extra...)
	s.helperName = s.helper.instance(t)
	f.until(t, "the second daemon has a batch in flight", waitsSQL, s.helperName)
	return s
}

// batches is how many batches a process has committed.
func (s *sharing) batches(t *testing.T, name string) string {
	t.Helper()
	return s.text(t, `select count(*) from app.who where application = 'sweeper/' || $1`, name)
}

// whole checks that every row went, stands in the log once, and was counted.
func (s *sharing) whole(t *testing.T) {
	t.Helper()
	s.until(t, "the log has all", `select sum(row_count) = `+leavesRows+` and (select count(*) from sweeper.runs) = (select count(distinct run_id) from sweeper.purges) from sweeper.purge_log where kind = 'delete'`)
	if got := s.text(t, `select concat_ws(' ', sum(row_count), count(*) = count(distinct (xid, partition)), (select count(*) from app.events), (select sum(deleted) from sweeper.runs))
		from sweeper.purge_log where kind = 'delete' and reason = 'retention_cron'`); got != leavesRows+" t 0 "+leavesRows {
		t.Errorf("rows logged, each once, rows left, rows counted by the runs: %s", got)
	}
	if got := s.text(t, `select count(*) from sweeper.batches b join sweeper.runs r using (run_id) where b.fact = 'stamp' and ((b.actor, b.reason, b.policy_sha256) is distinct from (r.actor, r.reason, r.policy_sha256) or b.cutoff is null)`); got != "0" {
		t.Errorf("%s stamps say something else than their run", got)
	}
	pgtest.CheckLog(t, s.admin)
	if got := s.text(t, `select string_agg(kind, ' ') from sweeper.purge_log where kind in ('mismatch', 'gap')`); got != "" {
		t.Errorf("the log has %s", got)
	}
}

// TestTwoProcessesShareTheSteps has both at work on one category. The run is the
// first one's, and counts the rows of both.
func TestTwoProcessesShareTheSteps(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	s.lift(t)
	s.until(t, "the run has an end", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, s.ownerName)
	s.whole(t)
	first, second := s.batches(t, s.ownerName), s.batches(t, s.helperName)
	t.Logf("the owner has %s batches, the helper %s", first, second)
	if first == "0" || second == "0" {
		t.Error("one of them did nothing")
	}
	if got := s.text(t, `select concat_ws(' ', count(*), sum(deleted)) from sweeper.runs`); got != "1 "+leavesRows {
		t.Errorf("runs and their rows: %s", got)
	}
	if got := s.text(t, `select count(*) from pg_stat_activity where datname = current_database() and usename = 'sweeper_daemon' and application_name = 'sweeper/' || $1`, s.helperName); len(got) != 1 || got > "6" {
		t.Errorf("the helper has %s connections", got)
	}
	if said := s.helper.said(); !strings.Contains(said, "helped with a run") {
		t.Errorf("the helper said\n%s", said)
	}
}

// TestHelperIsKilled kills the helper with batches in flight: the owner does
// what it left.
func TestHelperIsKilled(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	s.helper.signal(t, syscall.SIGKILL)
	s.helper.end()
	s.lift(t)
	s.until(t, "the run has an end", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, s.ownerName)
	s.whole(t)
	if got := s.batches(t, s.helperName); got != "0" {
		t.Errorf("%s batches of the dead were committed", got)
	}
	s.until(t, "nothing is left of the dead", `select count(*) = 0 from pg_stat_activity where datname = current_database() and application_name like 'sweeper/' || $1 || '%'`, s.helperName)
}

// TestOwnerIsKilled kills the owner while both have batches in flight: the
// helper's are committed, and counted in a run that has ended. It does the rest
// in a run of its own.
func TestOwnerIsKilled(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	s.owner.signal(t, syscall.SIGKILL)
	s.owner.end()
	s.until(t, "the helper looks after the dead", `select count(*) = 0 from pg_stat_activity where datname = current_database() and application_name = 'sweeper/' || $1`, s.ownerName)
	s.lift(t)
	s.until(t, "the helper finishes", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, s.helperName)
	s.whole(t)
	if got := s.text(t, `select concat_ws(' ', state, stop_reason, deleted > 0, deleted = (select sum(row_count) from sweeper.batches b where b.run_id = r.run_id and fact = 'report')) from sweeper.runs r where instance = $1`, s.ownerName); got != "failed the process ended t t" {
		t.Errorf("the run of the dead: %s", got)
	}
	if got := s.batches(t, s.ownerName); got != "0" {
		t.Errorf("%s batches of the dead were committed", got)
	}
}

// TestHelperIsFrozen stops the helper with batches in flight for longer than the
// owner waits, and wakes it up when the run has ended: it writes nothing.
func TestHelperIsFrozen(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	s.helper.signal(t, syscall.SIGSTOP)
	s.lift(t)
	s.until(t, "the run has an end", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, s.ownerName)
	if said := s.owner.said(); !strings.Contains(said, "its sessions are ended") {
		t.Errorf("the owner said\n%s", said)
	}
	s.helper.signal(t, syscall.SIGCONT)
	s.until(t, "it stands by", livesSQL, s.helperName)
	s.whole(t)
	s.helper.signal(t, syscall.SIGTERM)
	if status := s.helper.end(); status.ExitStatus() != exitDone {
		t.Errorf("the helper ended with %v", status)
	}
	if got := s.batches(t, s.helperName); got != "0" {
		t.Errorf("%s batches of the frozen one were committed", got)
	}
}

// TestHelperIsStopped asks a helper to end: it ends its batches, and leaves the
// rest to the owner.
func TestHelperIsStopped(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	s.until(t, "both workers of the helper have a batch in flight", `select count(*) = 2 from pg_stat_activity
		where application_name = 'sweeper/' || $1 and datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'`, s.helperName)
	s.helper.signal(t, syscall.SIGTERM)
	pgtest.Eventually(t, "it has heard the signal", func() bool { return strings.Contains(s.helper.said(), "sweeper is asked to end") })
	s.lift(t)
	if status := s.helper.end(); status.ExitStatus() != exitDone {
		t.Errorf("the helper ended with %v", status)
	}
	s.until(t, "the run has an end", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, s.ownerName)
	s.whole(t)
	if got := s.batches(t, s.helperName); got != "2" {
		t.Errorf("the helper has %s batches, want the two that were in flight", got)
	}
}

// TestHelperHasOtherPolicies changes the policies of the helper: it leaves the
// run, which goes on by the former ones.
func TestHelperHasOtherPolicies(t *testing.T) {
	t.Parallel()
	path := policyFile(t, leavesPolicy)
	s := newSharing(t, "SWEEPER_POLICIES="+path)
	if err := os.WriteFile(path, []byte(leavesPolicy+"# other bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.helper.signal(t, syscall.SIGHUP)
	s.until(t, "it waits for the batches in flight", `select exists (select from pg_locks where locktype = 'advisory' and classid = 1398228304 and objid = 1 and not granted
		and database = (select oid from pg_database where datname = current_database()))`)
	s.lift(t)
	s.shut(t)
	pgtest.Eventually(t, "it has read them", func() bool { return strings.Contains(s.helper.said(), "policies reloaded") })
	s.lift(t)
	s.until(t, "the run has an end", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and instance = $1`, s.ownerName)
	s.whole(t)
	if got := s.batches(t, s.helperName); got < "2" || got > "4" || len(got) != 1 {
		t.Errorf("the helper has %s batches, want the two that were in flight and at most the next two", got)
	}
}

// TestSweepIsHelped has a daemon help with the run of a sweep.
func TestSweepIsHelped(t *testing.T) {
	t.Parallel()
	s := &sharing{fleet: newLeaves(t)}
	s.shut(t)
	s.helper = s.process(t, []string{"run"})
	s.helperName = s.helper.instance(t)
	s.until(t, "the daemon reads the slot", readsSQL, s.helperName)
	s.owner = s.process(t, []string{"sweep"})
	s.until(t, "the daemon has a batch in flight", waitsSQL, s.helperName)
	s.lift(t)
	if status := s.owner.end(); status.ExitStatus() != exitDone {
		t.Errorf("the sweep ended with %v", status)
	}
	if got := s.text(t, `select concat_ws(' ', count(*), min(state), sum(deleted), (select sum(row_count) from sweeper.purge_log where kind = 'delete' and reason = 'manual')) from sweeper.runs`); got != "1 succeeded "+leavesRows+" "+leavesRows {
		t.Errorf("got %s", got)
	}
	if s.batches(t, s.helperName) == "0" {
		t.Error("the daemon did nothing")
	}
}
