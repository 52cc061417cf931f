package sweeper

import (
	"errors"
	"strings"
	"sync"
)

// Health is what a daemon knows of itself and of its evidence: the monitor
// writes it, everything else reads it.
type Health struct {
	mu        sync.Mutex
	unhealthy []string // why nothing may be purged
	reload    error    // why the policies on disk are not those in force
}

// Purging tells whether purging may go on, and why not.
func (h *Health) Purging() (ok bool, why []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.unhealthy) == 0, append([]string(nil), h.unhealthy...)
}

// healthy is Purging as an error, for the batches.
func (h *Health) healthy() error {
	if ok, why := h.Purging(); !ok {
		return errors.New(strings.Join(why, "; "))
	}
	return nil
}

// reloaded notes how the last look at the policies ended; nil: those in force
// are those on disk.
func (h *Health) reloaded(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reload = err
}
