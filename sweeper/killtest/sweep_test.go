package killtest_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// points are the named moments of a sweep.
var points = []string{"purge.in_batch", "purge.committed", "purge.in_drop", "log.in_append", "log.appended"}

// TestSweepIsKilledAt kills one sweep after the other at the same point.
func TestSweepIsKilledAt(t *testing.T) {
	t.Parallel()
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install(t)
			l := s.begin(t)
			kills, starts := inARow(t), 0
			for range kills {
				starts += s.killAt(t, point)
			}
			s.conclude(t, l, point, kills, starts)
		})
	}
}

// TestSweepIsKilledAtRandom kills sweeps at any moment.
func TestSweepIsKilledAtRandom(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install(t)
	l := s.begin(t)
	kills, starts := 2*inARow(t), 0
	for range kills {
		starts += s.killSometime(t)
	}
	s.conclude(t, l, "random moments", kills, starts)
}

// tries is how often a sweep is started until one lives long enough to be killed.
const tries = 20

// killAt starts sweeps until one has died at the point, and tells how many it
// took. The next one does not wait for what the server still has of the dead.
func (s *site) killAt(t *testing.T, point string) (starts int) {
	t.Helper()
	nth := 1 + rand.N(3)
	for range tries {
		s.feed(t)
		e := s.start(t, []string{"SWEEPER_FAILPOINT=" + point + ":kill:" + itoa(nth)}, "sweep").End()
		starts++
		if e.At(point) {
			return starts
		}
		tolerable(t, e)
		nth = 1
	}
	t.Fatalf("no sweep of %d came to %s", tries, point)
	return starts
}

// killSometime starts sweeps until one was killed while it ran.
func (s *site) killSometime(t *testing.T) (starts int) {
	t.Helper()
	for range tries {
		s.feed(t)
		v := s.start(t, nil, "sweep")
		starts++
		v.EndWithin(20*time.Millisecond + rand.N(500*time.Millisecond))
		e, killed := v.Kill()
		if killed {
			return starts
		}
		tolerable(t, e)
	}
	t.Fatalf("no sweep of %d could be killed", tries)
	return starts
}

// tolerable refuses an ending that neither a kill before it nor the application
// explains: what the server still does for the dead keeps a category from the
// living for a while, and rows become due or are locked while a sweep runs.
func tolerable(t *testing.T, e pgtest.Ending) {
	t.Helper()
	if e.Signal != 0 || e.Code != 0 && !strings.Contains(e.Stderr, "another process runs this category") && !strings.Contains(e.Stderr, "due rows remain") {
		t.Errorf("a sweep that nobody killed ended with %s", e)
	}
	if strings.Contains(e.Stderr, "may not be dropped: it does not exist") {
		t.Errorf("a sweep dropped a partition twice: %s", e)
	}
}

// conclude has the application stop, one sweep do all the rest, and checks.
func (s *site) conclude(t *testing.T, l *load, series string, kills, starts int) {
	t.Helper()
	l.end()
	s.quiet(t)
	if e := s.start(t, nil, "sweep").End(); e.Code != 0 || e.Signal != 0 {
		t.Errorf("the last sweep ended with %s", e)
	}
	v := s.check(t, l)
	t.Logf("%s: %d kills in %d starts; %d rows purged, %d partitions dropped; %d duplicates, %d losses; the application: %v", series, kills, starts, v.purged, v.drops, v.duplicates, v.losses, l.did)
}
