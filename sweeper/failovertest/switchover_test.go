package failovertest_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

// TestPrimaryAndStandbyChangePlaces shuts the primary down in peace in the midst
// of a sweep, promotes the standby, and has the old primary follow it. Nothing
// is lost; where slots do not follow, the new slot leaves a gap all the same.
func TestPrimaryAndStandbyChangePlaces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install(t)
	l := s.begin(t)
	p := s.start(t, "run")
	s.grown(t, p, 50)
	s.addStandby(t)
	for range inARow(t) {
		s.slotFollows(t)
		s.feed(t, 1000)
		before := s.text(t, `select count(*) from sweeper.purge_log where run_id is not null`)
		p.eventually(t, "a sweep is under way", func() bool {
			return s.text(t, `select count(*) > $1::text::bigint + 10 from sweeper.purge_log where run_id is not null`, before) == "true"
		})
		old := s.servers[s.primary]
		if err := old.Halt(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.promote(t)
		at := s.moment(t)
		if !s.followed() {
			s.must(t, "install")
		}
		measured.add(t, s.series("switchover"), s.again(t, p, at))
		s.exec(t, `select pg_create_physical_replication_slot($1, true) where not exists (select from pg_replication_slots where slot_name = $1)`, physical)
		settings := s.standbySettings()
		settings["primary_conninfo"], settings["primary_slot_name"] = s.servers[s.primary].URL("postgres", pgserver.Superuser), physical
		if err := old.Follow(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
		// What the old primary had of slots stands in the way of the new one's,
		// unless the server has taken it for a copy of that already.
		conn, copied := dial(t, old), ""
		if s.followed() {
			copied = " and not synced"
		}
		for _, slot := range []string{"sweeper", physical, busy} {
			if _, err := conn.Exec(t.Context(), `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active`+copied, slot); err != nil {
				t.Fatalf("drop slot %s on the old primary: %v", slot, err)
			}
		}
		s.follows(t)
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
