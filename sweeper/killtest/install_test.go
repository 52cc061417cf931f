package killtest_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
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
			if e := s.start(t, []string{"SWEEPER_FAILPOINT=" + stage.point + ":kill"}, "install").End(); !e.At(stage.point) {
				t.Fatalf("install ended with %s", e)
			}
			s.quiet(t)
			if got := s.text(t, `select concat_ws('/', to_regnamespace('sweeper') is not null, (select count(*) from pg_publication), exists (select from pg_replication_slots where slot_name = $1))`, s.slot); got != stage.left {
				t.Fatalf("after a kill at %s there are schema, publications, slot: %s, want %s", stage.point, got, stage.left)
			}
			// Without the roles, which the server's other databases share, it cannot even connect.
			if e := s.start(t, nil, "sweep").End(); e.Code != 2 && !strings.Contains(e.Stderr, "does not exist (SQLSTATE 28000)") {
				t.Errorf("a sweep without a finished install ended with %s", e)
			}
		}
	}
	s.install(t)
	if e := s.start(t, nil, "install").End(); e.Code != 0 || !strings.Contains(e.Stderr, "nothing to do") {
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
		v.EndWithin(rand.N(250 * time.Millisecond))
		if e, killed := v.Kill(); killed {
			kills++
		} else if e.Code != 0 {
			t.Errorf("install %d ended with %s", i, e)
		}
		if got := s.text(t, `select (to_regnamespace('sweeper') is null) = (not exists (select from pg_publication))`); got != "true" {
			t.Fatal("schema and publications are not made together")
		}
	}
	s.install(t)
	s.conclude(t, s.begin(t), "install at random moments", kills, 2*inARow(t)+1)
}

// TestInstallIsKilledWhileItMakesTheSlot kills an install that waits for an
// open transaction of the application's. The server goes on to make the slot,
// which shows nothing that is committed before it is done: until then nothing
// may be purged, and no install may say that all is there.
func TestInstallIsKilledWhileItMakesTheSlot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.feed(t)
	before := s.text(t, `select count(*) from app.events`)
	other := s.another(t)
	if _, err := other.Exec(t.Context(), `begin; insert into app.events (at, tenant, who) values (now(), 't', 'w')`); err != nil {
		t.Fatal(err)
	}
	v := s.start(t, nil, "install")
	pgtest.Eventually(t, "the slot is being made", func() bool {
		return s.text(t, `select confirmed_flush_lsn is null from pg_replication_slots where slot_name = $1`, s.slot) == "true"
	})
	if e, killed := v.Kill(); !killed {
		t.Fatalf("install ended with %s", e)
	}
	if e := s.start(t, nil, "sweep").End(); e.Code != 2 || !strings.Contains(e.Stderr, "is still being made") {
		t.Errorf("a sweep beside a slot that is being made ended with %s", e)
	}
	if got := s.text(t, `select (select count(*) from app.events) || ' ' || (select count(*) from sweeper.purge_log)`); got != before+" 0" {
		t.Errorf("rows and entries are %s, want %s and none", got, before)
	}
	v = s.start(t, nil, "install")
	if v.EndWithin(time.Second) {
		t.Errorf("install did not wait for the slot and ended with %s", v.End())
	}
	if _, err := other.Exec(t.Context(), `commit`); err != nil {
		t.Fatal(err)
	}
	if e := v.End(); e.Code != 0 {
		t.Fatalf("install ended with %s", e)
	}
	if got := s.text(t, `select confirmed_flush_lsn is not null from pg_replication_slots where slot_name = $1`, s.slot); got != "true" {
		t.Error("install ended before the slot was made")
	}
	s.install(t)
	s.conclude(t, s.begin(t), "install, making the slot", 1, 3)
}
