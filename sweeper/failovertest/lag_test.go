package failovertest_test

import "testing"

// cut has the standby stop to follow.
func (s *site) cut(t *testing.T) {
	t.Helper()
	conn := dial(t, s.servers[1-s.primary])
	for _, sql := range []string{`alter system set primary_conninfo = ''`, `select pg_reload_conf()`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("run %q on the standby: %v", sql, err)
		}
	}
	if s.followed() { // else the log would wait for the standby
		s.exec(t, `alter system reset synchronized_standby_slots`)
		s.exec(t, `select pg_reload_conf()`)
	}
	// A receiver that is being restarted is away for a moment, too.
	away := 0
	waitFor(t, "the standby has stopped to follow", func() bool {
		var receivers int
		if err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_wal_receiver`).Scan(&receivers); err != nil {
			t.Fatalf("look at the standby's receiver: %v", err)
		}
		if receivers > 0 || s.text(t, `select count(*) from pg_stat_replication where application_name = 'walreceiver'`) != "0" {
			away = 0
		}
		away++
		return away > 20
	})
}

// TestStandbyLags promotes a standby that lacks what was purged, logged and
// anchored last. Without a delay the anchor is ahead of it, and nothing is purged
// until the fork; with a delay longer than the lag it is not, and the log goes on
// by itself, or behind the gap of the new slot.
func TestStandbyLags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, delay string }{{"no delay", "0s"}, {"a delay longer than the lag", "10m"}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.anchor(t)
			s.install(t)
			l := s.begin(t)
			p := s.start(t, "run")
			s.grown(t, p, 100)
			s.addStandby(t)
			s.slotFollows(t)
			p.stop(t) // a slot is confirmed too late to follow within the time of a test
			s.env = append(s.env, "SWEEPER_CONFIRM_DELAY="+test.delay)
			p = s.start(t, "run")
			s.grown(t, p, 50)
			s.cut(t)
			size := s.text(t, `select count(*) from sweeper.purge_log`)
			s.grown(t, p, 300)
			if test.delay == "0s" {
				s.anchoredBeyond(t, size)
			}
			said := len(p.Stderr.String())
			if err := s.servers[s.primary].Crash(); err != nil {
				t.Fatal(err)
			}
			s.promote(t)
			if was := s.text(t, `select count(*) <= $1::text::bigint from sweeper.purge_log`, size); was != "true" {
				t.Fatal("the standby has what it should lack; the test shows nothing")
			}
			at := s.moment(t)
			if !s.followed() {
				s.must(t, "install")
			}
			if test.delay == "0s" {
				p.says(t, "run: sweeper log fork", said)
				s.feed(t, 50)
				s.nothingPurged(t, at)
				at = s.moment(t)
				s.must(t, "log", "fork", "--actor", "test", "--reason", "the promoted standby lacked the end")
			}
			measured.add(t, s.series("promotion of a standby that lags, "+test.name), s.again(t, p, at))
			s.finish(t, l, p)
			v := s.judge(t)
			t.Logf("%d transactions in the log, %d in the gaps %v", v.logged, v.unlogged, v.gaps)
			s.must(t, "log", "verify")
		})
	}
}
