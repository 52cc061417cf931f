package killtest_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestInstallIsKilled kills installs: in the transaction, of which nothing may
// stay, and behind it, before the slot is made. The next install does the rest.
func TestInstallIsKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.feed(t)
	before := s.text(t, `select count(*) from app.events`)
	for _, stage := range []struct{ point, left string }{{"install.in_transaction", "f/0/f"}, {"install.committed", "t/3/f"}} {
		for range inARow(t) {
			if e := s.start(t, []string{"SWEEPER_FAILPOINT=" + stage.point + ":kill"}, "install").end(); !e.at(stage.point) {
				t.Fatalf("install ended with %s", e)
			}
			s.quiet(t)
			if got := s.text(t, `select concat_ws('/', to_regnamespace('sweeper') is not null, (select count(*) from pg_publication), exists (select from pg_replication_slots where slot_name = $1))`, s.slot); got != stage.left {
				t.Fatalf("after a kill at %s there are schema, publications, slot: %s, want %s", stage.point, got, stage.left)
			}
			// Without the roles, which the server's other databases share, it cannot even connect.
			if e := s.start(t, nil, "sweep").end(); e.code != 2 && !strings.Contains(e.stderr, "does not exist (SQLSTATE 28000)") {
				t.Errorf("a sweep without a finished install ended with %s", e)
			}
		}
	}
	s.install(t)
	if e := s.start(t, nil, "install").end(); e.code != 0 || !strings.Contains(e.stderr, "nothing to do") {
		t.Errorf("one more install ended with %s", e)
	}
	if got := s.text(t, `select count(*) from app.events`); got != before {
		t.Errorf("%s rows of %s are left before the first sweep", got, before)
	}
	s.conclude(t, s.begin(t), "install", 2*inARow(t), 2*inARow(t)+2)
}

// TestInstallIsKilledAtRandom kills installs at any moment, on a database that
// has nothing yet, and once more after that.
func TestInstallIsKilledAtRandom(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.feed(t)
	kills := 0
	for i := range 2 * inARow(t) {
		v := s.start(t, nil, "install")
		v.endWithin(rand.N(250 * time.Millisecond))
		if e, killed := v.kill(); killed {
			kills++
		} else if e.code != 0 {
			t.Errorf("install %d ended with %s", i, e)
		}
		if got := s.text(t, `select (to_regnamespace('sweeper') is null) = (not exists (select from pg_publication))`); got != "true" {
			t.Fatal("schema and publications are not made together")
		}
	}
	s.install(t)
	s.conclude(t, s.begin(t), "install at random moments", kills, 2*inARow(t)+1)
}
