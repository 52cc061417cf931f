package sweeper

import (
	"testing"
	"time"
)

func TestConfirmerTellsLate(t *testing.T) {
	t.Parallel()
	var told []uint64
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	c := confirmer{delay: 10 * time.Second, ack: func(lsn uint64) { told = append(told, lsn) }}
	c.applied(1, at(0))
	c.applied(2, at(5))
	for _, step := range []struct {
		at   float64
		want uint64
	}{{9.9, 0}, {10, 1}, {14.9, 1}, {15, 2}, {100, 2}} {
		c.tell(at(step.at))
		var last uint64
		if len(told) > 0 {
			last = told[len(told)-1]
		}
		if last != step.want {
			t.Errorf("after %v s: told %d, want %d", step.at, last, step.want)
		}
	}
	// A busy log with a long delay costs bounded memory and is never told early.
	told = nil
	for i := range 100_000 {
		now := at(1000 + float64(i)/1000)
		c.applied(uint64(i), now)
		c.tell(now)
		if len(c.marks) > marksInDelay+2 {
			t.Fatalf("%d marks are kept", len(c.marks))
		}
		if n := len(told); n > 0 && told[n-1] > uint64(max(0, i-10_000)) {
			t.Fatalf("at %d: %d is told", i, told[n-1])
		}
	}
	if n := len(told); n == 0 || told[n-1] < 100_000-10_000-100 {
		t.Errorf("%d are told, the last %d", n, told[max(0, n-1)])
	}
}

func TestConfirmerWithoutADelay(t *testing.T) {
	t.Parallel()
	var told uint64
	c := confirmer{ack: func(lsn uint64) { told = lsn }}
	if c.applied(7, time.Time{}); told != 7 {
		t.Errorf("told %d", told)
	}
}

// What is not anchored is ill only after a quarter of an hour, and never stops
// a purge; what is broken does at once.
func TestAnchoredChecks(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := &Health{}
	clock := start
	h.begin(func() time.Time { return clock })
	names := func() map[string]Check {
		all := map[string]Check{}
		for _, c := range h.looked().Checks {
			all[c.Name] = c
		}
		return all
	}
	if _, shown := names()[checkAnchor]; shown {
		t.Error("without anchors there is a check of them")
	}
	h.configure(Config{AnchorURL: AnchorURLs{"file:///a"}})
	if c := names()[checkAnchor]; c.OK || !c.stops() {
		t.Errorf("before the first look: %+v", c)
	}
	h.agreed(clock, 0, nil)
	seen := func(entries int64) { h.saw(Report{At: clock, Facts: Facts{ServerTime: clock, Entries: entries}}) }
	seen(5)
	for _, step := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {15 * time.Minute, true}, {15*time.Minute + time.Second, false}} {
		clock = start.Add(step.after)
		h.anchoredTo(clock, 5, ErrAnchorUnreachable)
		seen(5)
		if c := names()[checkCheckpoints]; c.OK != step.ok || c.stops() {
			t.Errorf("after %s: %+v", step.after, c)
		}
		if got := h.looked().Facts.Unanchored; got != step.after {
			t.Errorf("after %s: unanchored for %s", step.after, got)
		}
	}
	h.anchoredTo(clock, 5, nil)
	if c := names()[checkCheckpoints]; !c.OK || h.looked().Facts.Unanchored != 0 {
		t.Errorf("once anchored: %+v", c)
	}
	h.agreed(clock, 0, ErrAnchorBroken)
	if c := names()[checkAnchor]; c.OK || !c.stops() {
		t.Errorf("broken: %+v", c)
	}
}
