package sweeper

import (
	"fmt"
	"time"
)

// The checks of a daemon that has anchors.
const (
	checkAnchor      = "anchor"      // the log continues what is anchored; stops purging
	checkCheckpoints = "checkpoints" // what is in the log gets anchored; tells, and stops nothing
)

// anchorLate is how long entries may stand in the log alone before that is told
// as ill. A bucket that is away for a while is no reason for an alarm.
const anchorLate = 15 * time.Minute

// anchored is how the log stands against its anchors, as far as this process
// knows. Its owner's lock guards it.
type anchored struct {
	configured bool
	delay      time.Duration // SWEEPER_CONFIRM_DELAY
	looked     bool
	broken     error     // why nothing may be purged; nil: nothing is known to be
	size       uint64    // entries that every anchor has
	entries    uint64    // in the log, as the monitor saw it last
	since      time.Time // from when on there were more entries than in the anchors; zero: there are not
	late       error     // why, when that was tried
}

// configure notes whether there are anchors.
func (h *Health) configure(cfg Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.anchored.configured, h.anchored.delay = len(cfg.AnchorURL) > 0, cfg.ConfirmDelay
}

// agreed notes how a look at the anchors ended. A nil Health hears nothing.
func (h *Health) agreed(now time.Time, size uint64, err error) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.anchored.broken, h.anchored.looked = err, true
	if err == nil {
		h.anchored.move(now, size)
	}
}

// disagrees tells whether the last look found something wrong.
func (h *Health) disagrees() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.anchored.broken != nil
}

// anchoredTo notes how keeping a checkpoint ended: err says which anchors do
// not have it.
func (h *Health) anchoredTo(now time.Time, size uint64, err error) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.anchored.late = err; err == nil {
		h.anchored.move(now, size)
	}
}

// move takes over how far the anchors are. What is still missing is so from now
// on at the latest.
func (a *anchored) move(now time.Time, size uint64) {
	switch {
	case size >= a.entries:
		a.since = time.Time{}
	case size > a.size && !a.since.IsZero():
		a.since = now
	}
	a.size = max(a.size, size)
}

// saw notes how many entries the log has.
func (a *anchored) saw(now time.Time, entries int64) {
	a.entries = uint64(max(0, entries))
	if a.entries > a.size && a.since.IsZero() {
		a.since = now
	}
}

// waits is for how long entries have stood in the log alone.
func (a *anchored) waits(now time.Time) time.Duration {
	if !a.configured || a.since.IsZero() {
		return 0
	}
	return max(0, now.Sub(a.since))
}

// checks are those that there are reasons for.
func (a *anchored) checks(now time.Time) []Check {
	if !a.configured && a.broken == nil {
		return nil
	}
	agrees := Check{Name: checkAnchor, OK: a.looked && a.broken == nil}
	switch {
	case a.broken != nil:
		agrees.Why = safeText(a.broken)
	case !a.looked:
		agrees.Why = "the anchors were not looked at yet"
	}
	if !a.configured {
		return []Check{agrees}
	}
	fresh := Check{Name: checkCheckpoints, OK: true}
	if wait := a.waits(now); wait > anchorLate+a.delay {
		fresh.OK = false
		fresh.Why = fmt.Sprintf("entries of the purge log have not been anchored for %s", wait.Round(time.Second))
		if a.late != nil {
			fresh.Why += ": " + safeText(a.late)
		}
	}
	return []Check{agrees, fresh}
}
