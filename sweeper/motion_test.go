package sweeper

import (
	"testing"
	"time"
)

// TestMotionForgets has a log stand still for days while the WAL moves with each
// look, and then catch up: what the monitor keeps of it stays small.
func TestMotionForgets(t *testing.T) {
	t.Parallel()
	var m motion
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	began := now
	const looks = 300_000
	for i := range uint64(looks) {
		now = now.Add(time.Second)
		m.keep(1000+i, 1, now)
	}
	if len(m.samples) > mostSamples || cap(m.samples) > 2*mostSamples {
		t.Errorf("%d samples, room for %d", len(m.samples), cap(m.samples))
	}
	if bytes, seconds := m.lag(1000+looks, 1, now); bytes != 999+looks || seconds != now.Sub(began).Seconds()-1 {
		t.Errorf("the lag is %d bytes, %.0f s", bytes, seconds)
	}
	for i := range uint64(looks) { // always a little behind
		now = now.Add(time.Second)
		m.keep(1000+looks+i, 990+looks+i, now)
	}
	if len(m.samples) > 20 || cap(m.samples) > 2*mostSamples {
		t.Errorf("%d samples, room for %d", len(m.samples), cap(m.samples))
	}
	m.keep(2_000_000, 2_000_000, now)
	if bytes, seconds := m.lag(2_000_000, 2_000_000, now); len(m.samples) > 0 || bytes != 0 || seconds != 0 {
		t.Errorf("nothing is behind, and %d samples say %d bytes, %.0f s", len(m.samples), bytes, seconds)
	}
}
