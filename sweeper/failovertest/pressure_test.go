package failovertest_test

import "testing"

// TestStandbyThatReplaysNothingIsWaitedFor has the standby receive everything and
// replay nothing: the daemon purges no further, says why, and goes on when the
// standby does.
func TestStandbyThatReplaysNothingIsWaitedFor(t *testing.T) {
	t.Parallel()
	const overdue = `insert into app.events (at, who) values ('2012-01-01', 'late')`
	left := due["due rows are left in app.events"]
	s := newSite(t)
	s.install(t)
	s.addStandby(t)
	s.env = append(s.env, "SWEEPER_MAX_REPLICA_LAG=1s")
	p := s.start(t, "run")
	s.feed(t, 100)
	p.eventually(t, "what is due is gone", func() bool { return s.text(t, left) == "0" })

	standby := dial(t, s.servers[1-s.primary])
	if _, err := standby.Exec(t.Context(), `select pg_wal_replay_pause()`); err != nil {
		t.Fatal(err)
	}
	waits := `select count(*) from sweeper.run_progress where waits_for = 'replica_lag' and why like 'standby walreceiver is % behind, more than SWEEPER_MAX_REPLICA_LAG allows'`
	p.eventually(t, "a run waits with rows that are due", func() bool {
		s.exec(t, overdue) // what is purged meanwhile makes WAL that is not replayed
		return s.text(t, waits) != "0" && s.text(t, left) != "0"
	})
	p.says(t, "purging waits", 0)
	before := s.text(t, `select count(*) from sweeper.batches where fact = 'report'`)
	since := s.moment(t)
	p.eventually(t, "two seconds have passed", func() bool {
		return s.text(t, `select clock_timestamp() > '`+since+`'::timestamptz + interval '2 s'`) == "true"
	})
	if after := s.text(t, `select count(*) from sweeper.batches where fact = 'report'`); after != before {
		t.Errorf("%s batches before the wait, %s in it", before, after)
	}
	if _, err := standby.Exec(t.Context(), `select pg_wal_replay_resume()`); err != nil {
		t.Fatal(err)
	}
	p.eventually(t, "what is due is gone again", func() bool { return s.text(t, left) == "0" })
	if got := s.text(t, `select count(*) > 0 and bool_and(ended_at > began_at) from sweeper.run_waits where cause = 'replica_lag'`); got != "true" {
		t.Error("the wait is not noted")
	}
	p.stop(t)
	if v := s.judge(t); len(v.gaps) > 0 {
		t.Errorf("the log has gaps: %v", v.gaps)
	}
}
