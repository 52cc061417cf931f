package failovertest_test

import (
	"strconv"
	"testing"
	"time"
)

// fail has the primary crash in the midst of a sweep, never to come back, and
// the standby take its place.
func (s *site) fail(t *testing.T, p *process) {
	t.Helper()
	before := s.text(t, `select count(*) from sweeper.purge_log`)
	s.feed(t, 1500)
	p.eventually(t, "a sweep is under way", func() bool {
		return s.text(t, `select count(*) > $1::text::bigint + 10 from sweeper.purge_log`, before) == "true"
	})
	if err := s.servers[s.primary].Crash(); err != nil {
		t.Fatal(err)
	}
	s.promote(t)
}

// moment is the server's clock.
func (s *site) moment(t *testing.T) string {
	t.Helper()
	return s.text(t, `select clock_timestamp()`)
}

// again waits for the first purge after a moment that stands in the log, and
// tells how many seconds after it that was.
func (s *site) again(t *testing.T, p *process, since string) float64 {
	t.Helper()
	took := ""
	p.eventually(t, "the log has a purge of the new primary", func() bool {
		took = s.text(t, `select extract(epoch from min(logged_at) - $1::text::timestamptz) from sweeper.purge_log where run_id is not null and kind in ('delete', 'redact', 'drop_partition') and committed_at > $1::text::timestamptz`, since)
		return took != ""
	})
	n, err := strconv.ParseFloat(took, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestStandbyIsPromoted has the primary die in mid-sweep. Where slots follow to
// the standby the log goes on without a gap; elsewhere nothing is purged until
// an install, and the log says what it did not see. The daemon finds the new
// primary by itself.
func TestStandbyIsPromoted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install(t)
	l := s.begin(t)
	p := s.start(t, "run")
	s.feed(t, 100)
	for range inARow(t) {
		s.addStandby(t)
		s.slotFollows(t)
		said := len(p.Stderr.String())
		s.fail(t, p)
		promoted := s.moment(t)
		if !s.followed() {
			p.says(t, "slot sweeper does not exist", said)
			s.nothingPurged(t, promoted)
			promoted = s.moment(t)
			s.must(t, "install")
		}
		measured.add(t, s.series("promotion"), s.again(t, p, promoted))
	}
	s.finish(t, l, p)
	v := s.judge(t)
	want := inARow(t)
	if s.followed() {
		want = 0
	}
	if len(v.gaps) != want {
		t.Errorf("the log has %d gaps, want %d: %v", len(v.gaps), want, v.gaps)
	}
	t.Logf("%d transactions in the log, %d in a gap", v.logged, v.unlogged)
}

// series names figures by what the servers can do.
func (s *site) series(what string) string {
	if s.followed() {
		return what + ", the slot follows"
	}
	return what + ", from the install on"
}

// busy is a slot that moves all the time, so that the standby looks for news of
// slots every 200 ms and not every 30 s.
const busy = "busy"

// slotFollows waits until the standby has the slot, where it can have it. The
// slot has to move past the place where the standby began: for that it is read,
// and the primary says now and then which transactions are open.
func (s *site) slotFollows(t *testing.T) {
	t.Helper()
	if !s.followed() {
		return
	}
	conn := dial(t, s.servers[1-s.primary])
	const slot = `select concat_ws(' ', slot_name, restart_lsn, confirmed_flush_lsn, catalog_xmin) from pg_replication_slots where slot_name = 'sweeper'`
	s.exec(t, `select pg_create_logical_replication_slot($1, 'test_decoding', failover => true) where not exists (select from pg_replication_slots where slot_name = $1)`, busy)
	began := time.Now()
	here := s.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = 'sweeper'`)
	const there = `select count(*) from pg_replication_slots where slot_name = 'sweeper' and synced and not temporary and invalidation_reason is null and confirmed_flush_lsn >= $1::text::pg_lsn`
	for ask(t, conn, there, here) != "1" { // of a server that comes back the slot may be old, and about to be taken for lost
		if time.Since(began) > time.Minute {
			t.Fatalf("the standby has not got the slot within a minute: %q, the primary has %q", ask(t, conn, slot), s.text(t, slot))
		}
		s.exec(t, `select pg_log_standby_snapshot()`)
		s.exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, busy)
		s.exec(t, `select pg_sleep(0.1)`)
	}
	s.exec(t, `select pg_drop_replication_slot($1)`, busy)
	t.Logf("the standby has the slot after %s: %q, the primary %q", time.Since(began).Round(time.Millisecond), ask(t, conn, slot), s.text(t, slot))
}

// nothingPurged watches for 3 s of the server's clock that no batch begins.
func (s *site) nothingPurged(t *testing.T, since string) {
	t.Helper()
	for s.text(t, `select clock_timestamp() > $1::text::timestamptz + interval '3 seconds'`, since) != "true" {
		s.exec(t, `select pg_sleep(0.1)`)
	}
	if got := s.text(t, `select count(*) from sweeper.batches where fact = 'stamp' and at > $1::text::timestamptz`, since); got != "0" {
		t.Errorf("%s batches purged with nobody to witness them", got)
	}
}
