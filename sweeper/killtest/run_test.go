package killtest_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// daemons are two processes that share the work. All are armed alike; one that
// has died is replaced at once.
type daemons struct {
	s   *site
	env []string
	two [2]*pgtest.Process
	all []*pgtest.Process // the dead too
}

func (s *site) daemons(t *testing.T, env ...string) *daemons {
	t.Helper()
	d := &daemons{s: s, env: env}
	for i := range d.two {
		d.replace(t, i)
	}
	return d
}

func (d *daemons) replace(t *testing.T, i int) {
	t.Helper()
	d.two[i] = d.s.start(t, d.env, "run")
	d.all = append(d.all, d.two[i])
}

// died returns the next of the two that has ended, and how.
func (d *daemons) died(t *testing.T) (int, pgtest.Ending) {
	t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-d.two[0].Done:
		return 0, d.two[0].End()
	case <-d.two[1].Done:
		return 1, d.two[1].End()
	case <-timer.C:
		t.Fatalf("neither process has died within a minute: %s and %s", &d.two[0].Stderr, &d.two[1].Stderr)
	}
	return 0, pgtest.Ending{}
}

// stop asks both to end, which they do in peace.
func (d *daemons) stop(t *testing.T) {
	t.Helper()
	for _, v := range d.two {
		v.Signal(syscall.SIGTERM)
	}
	for _, v := range d.two {
		if !v.EndWithin(40 * time.Second) {
			t.Fatalf("a process does not end after SIGTERM: %s", &v.Stderr)
		}
		if e := v.End(); e.Code != 0 || e.Signal != 0 {
			t.Errorf("a process ended after SIGTERM with %s", e)
		}
	}
}

// TestRunIsKilledAt has two processes die at the same point again and again.
func TestRunIsKilledAt(t *testing.T) {
	t.Parallel()
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install(t)
			l := s.begin(t)
			d := s.daemons(t, fmt.Sprintf("SWEEPER_FAILPOINT=%s:kill:%d", point, 1+rand.N(2)))
			for kill := range inARow(t) {
				s.feed(t)
				i, e := d.died(t)
				if !e.At(point) {
					t.Fatalf("a process that nobody killed ended with %s", e)
				}
				if kill%2 == 1 { // else its place is taken while the server still works for the dead
					d.two[1-i].EndWithin(rand.N(time.Second))
				}
				d.replace(t, i)
			}
			s.finish(t, l, d, "run, "+point, inARow(t))
		})
	}
}

// TestRunIsKilledInHelp kills processes in a batch of a run of another process,
// with which they help. The runs take long, so that there is time to help.
func TestRunIsKilledInHelp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(t, strings.ReplaceAll(policies, "every: 1s", "every: 1h")) // so that nobody has a run of its own
	s.install(t)
	l := s.begin(t)
	d := s.daemons(t, "SWEEPER_ROWS_PER_SECOND=100", fmt.Sprintf("SWEEPER_FAILPOINT=purge.in_help:kill:%d", 1+rand.N(2)))
	pgtest.Eventually(t, "the schedules are stored", func() bool {
		return s.text(t, `select count(*) from sweeper.schedules`) == itoa(len(tables))
	})
	for range inARow(t) {
		s.mark(t, 1200) // 12 s, lest a busy machine be done before the other process is there
		s.exec(t, `update sweeper.schedules set next_due = now() where category = 'marks'`)
		i, e := d.died(t)
		if !e.At("purge.in_help") {
			t.Fatalf("a process that nobody killed ended with %s", e)
		}
		d.replace(t, i)
	}
	s.write(t, policies)
	s.finish(t, l, d, "run, helper in a batch", inARow(t))
}

// TestRunIsKilledInReload kills processes that have checked a new set of
// policies and not yet put it in force.
func TestRunIsKilledInReload(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install(t)
	l := s.begin(t)
	d := s.daemons(t, "SWEEPER_LOG_LEVEL=info", "SWEEPER_FAILPOINT=reload.checked:kill:2") // the first is at the start
	for kill := range inARow(t) {
		s.feed(t)
		pgtest.Eventually(t, "a process hears signals", func() bool { return strings.Contains(d.two[kill%2].Stderr.String(), "sweeper starts") })
		s.write(t, fmt.Sprintf("%s# change %d\n", policies, kill))
		d.two[kill%2].Signal(syscall.SIGHUP)
		i, e := d.died(t)
		if !e.At("reload.checked") {
			t.Fatalf("a process that nobody killed ended with %s", e)
		}
		d.replace(t, i)
	}
	s.finish(t, l, d, "run, reload.checked", inARow(t))
	if got := s.text(t, `select files::text like '%change ' || $1 || '%' from sweeper.policy_versions order by first_run_at desc limit 1`, itoa(inARow(t)-1)); got != "true" {
		t.Error("the last set of policies was never in force")
	}
}

// TestRunIsKilledAtRandom kills one of two processes at any moment.
func TestRunIsKilledAtRandom(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install(t)
	l := s.begin(t)
	d := s.daemons(t)
	kills := 2 * inARow(t)
	for range kills {
		s.feed(t)
		i := rand.N(2)
		d.two[i].EndWithin(rand.N(1500 * time.Millisecond))
		if e, killed := d.two[i].Kill(); !killed {
			t.Fatalf("a process that nobody killed ended with %s", e)
		}
		d.replace(t, i)
	}
	s.finish(t, l, d, "run, random moments", kills)
}

// TestServerCrashesUnderRun has the server crash under two processes, which
// wait for it and go on by themselves.
func TestServerCrashesUnderRun(t *testing.T) {
	t.Parallel()
	s, server := ownServer(t)
	s.install(t)
	l := s.begin(t)
	d := s.daemons(t)
	for range inARow(t) {
		s.feed(t)
		d.two[0].EndWithin(rand.N(1500 * time.Millisecond))
		if err := server.Crash(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.connect(t)
	}
	s.finish(t, l, d, "run, server crash", inARow(t))
}

// finish has the application stop and two processes that nobody kills do the
// rest, ends these, and checks.
func (s *site) finish(t *testing.T, l *load, d *daemons, series string, kills int) {
	t.Helper()
	l.end()
	if d.env != nil {
		d.env = nil
		for i := range d.two {
			d.two[i].Kill() // or its point did
			d.replace(t, i)
		}
	}
	s.feed(t)
	for what, sql := range due {
		d.soon(t, "no "+what, func() bool { return s.text(t, sql) == "0" })
	}
	d.soon(t, "every run of the dead has an end", func() bool {
		return s.text(t, `select count(*) from sweeper.runs r where state = 'running' and exists (select from sweeper.runs n where n.category = r.category and n.started_at > r.started_at)`) == "0"
	})
	d.stop(t)
	s.conclude(t, l, series, kills, len(d.all))
}

// soon returns when cond holds. When it takes a minute, it tells how things are.
func (d *daemons) soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			for _, state := range []string{
				`select string_agg(concat_ws(' ', category, state, instance, started_at, finished_at, stop_reason), e'\n') from (select * from sweeper.runs order by started_at desc limit 12) r`,
				`select string_agg(concat_ws(' ', category, next_due, last_due), e'\n') from sweeper.schedules`,
				`select string_agg(concat_ws(' ', pid, application_name, state, state_change, wait_event, query), e'\n') from pg_stat_activity where datname = current_database()`,
				`select string_agg(concat_ws(' ', pid, mode, granted, locktype, relation::regclass, classid, objid), e'\n') from pg_locks where database = (select oid from pg_database where datname = current_database()) and (locktype = 'advisory' or not granted)`,
			} {
				t.Log(d.s.text(t, state))
			}
			t.Fatalf("wait until %s: not so after a minute; the processes said: %s and %s", what, &d.two[0].Stderr, &d.two[1].Stderr)
		}
	}
}
