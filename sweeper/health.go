package sweeper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Check is one thing that a daemon looks at again and again.
type Check struct {
	Name string // database, schema, clock, slot, publications, log, chain, mismatches, policies; with anchors: anchor, checkpoints
	OK   bool
	Why  string // what is wrong and what mends it; "" while OK
}

// stops tells whether the check forbids to purge. Policies on disk that cannot
// be used leave those in force as they are, and a mismatch is in the log for
// ever. What is not anchored yet is in the log all the same.
func (c Check) stops() bool {
	return !c.OK && c.Name != checkPolicies && c.Name != checkMismatches && c.Name != checkCheckpoints
}

// The checks, in the order in which they are told.
const (
	checkDatabase     = "database"
	checkSchema       = "schema"
	checkClock        = "clock"
	checkSlot         = "slot"
	checkPublications = "publications"
	checkLog          = "log"
	checkChain        = "chain"
	checkMismatches   = "mismatches"
	checkPolicies     = "policies"
)

// Report is what the monitor saw last.
type Report struct {
	At         time.Time // by the process's clock; zero: nothing was seen yet
	Checks     []Check
	Facts      Facts
	Categories []CategoryFacts
}

// Facts are the figures behind the checks, as far as they could be read.
type Facts struct {
	Slot          string
	Source        string // server and slot: whose log it is
	ServerTime    time.Time
	SlotRetained  int64 // bytes of WAL that the slot holds back
	LagBytes      int64 // WAL that is not in the log yet; idle WAL that held nothing for it counts until the progress moves
	LagSeconds    float64
	Entries       int64
	Mismatches    int64 // entries of that kind
	Gaps          int64 // and of that
	Applied       uint64
	ReaderPID     int  // of the session that reads the slot; 0: none
	Leader        bool // it is this process
	PolicyReload  time.Time
	PolicyPending bool          // the policies on disk are not those in force
	Anchors       bool          // there are
	Unanchored    time.Duration // for which entries of the log have not been in every anchor
}

// Purging tells whether purging may go on, and why not.
func (r Report) Purging() (ok bool, why []string) {
	for _, c := range r.Checks {
		if c.stops() {
			why = append(why, c.Name+": "+c.Why)
		}
	}
	return len(why) == 0, why
}

// stale is the age at which a report counts for nothing: the monitor looks
// every few seconds, so it stands still itself.
const stale = 15 * time.Second

// Health is what a daemon knows of itself and of its evidence: the monitor
// writes it, everything else reads it.
type Health struct {
	seen   atomic.Uint64 // WAL up to which the stream of this process found nothing that is not in the log
	giveUp atomic.Bool   // the stream shall give the slot up: it holds back too much WAL
	// A publication was gone and is back: of a server that reads on without it
	// the stream shall say in the log that something may be missing.
	unpublished atomic.Bool
	// Why what came through the slot could not be written into the log, the last
	// time that it was tried; nil: it could.
	unwritten atomic.Pointer[string]
	looks     freshness

	mu       sync.Mutex
	now      func() time.Time // nil until the monitor runs
	report   Report
	reload   error     // why the policies on disk are not those in force
	reloadAt time.Time // when they were looked at and found good
	anchored anchored
	refused  error         // why the purging role gets no connection; nil: it does
	counted  *metrics      // nil until they are asked for
	news     chan struct{} // closed when another check passes or fails than before; nil until somebody waits
}

// metrics are those of the process whose health it is.
func (h *Health) metrics() *metrics {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counted == nil {
		h.counted = newMetrics(h)
	}
	return h.counted
}

// begin has the monitor say what time it is.
func (h *Health) begin(now func() time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = now
}

// Report is the last look, or one that says that there was none for too long.
func (h *Health) Report() Report {
	r := h.looked()
	h.mu.Lock()
	defer h.mu.Unlock()
	// The monitor's own connection may be as good as ever.
	if h.refused != nil && len(r.Checks) > 0 && r.Checks[0].OK {
		r.Checks[0] = Check{Name: checkDatabase, Why: "the purging role gets no connection: " + safeText(h.refused)}
	}
	return r
}

// looked is Report as far as the monitor can tell.
func (h *Health) looked() Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.report
	r.Checks = append([]Check(nil), r.Checks...)
	switch {
	case r.At.IsZero():
		r.Checks = unknown("nothing was looked at yet")
	case h.now().Sub(r.At) > stale:
		r.Checks = unknown("the monitor has not looked since " + r.At.UTC().Format(time.RFC3339))
	}
	policies := Check{Name: checkPolicies, OK: h.reload == nil}
	if h.reload != nil {
		policies.Why = "those in force are older than those on disk, which cannot be used: " + strings.ReplaceAll(safeText(h.reload), "\n", "; ")
	}
	r.Checks = append(r.Checks, policies)
	if h.now != nil {
		r.Checks = append(r.Checks, h.anchored.checks(h.now())...)
		r.Facts.Unanchored = h.anchored.waits(h.now())
	}
	r.Facts.Anchors = h.anchored.configured
	r.Facts.PolicyReload, r.Facts.PolicyPending = h.reloadAt, h.reload != nil
	return r
}

// unseen is the detail of a check that another one keeps from being looked at.
const unseen = "unknown"

// unknown are the checks while the database tells nothing.
func unknown(why string) []Check {
	checks := []Check{{Name: checkDatabase, Why: why}}
	for _, name := range []string{checkSchema, checkClock, checkSlot, checkPublications, checkLog, checkChain, checkMismatches} {
		checks = append(checks, Check{Name: name, Why: unseen})
	}
	return checks
}

// healthy tells why there is no evidence to purge by; nil: there is. Batches
// that have their connections need not wait until others get theirs.
func (h *Health) healthy() error {
	if ok, why := h.looked().Purging(); !ok {
		return errors.New(strings.Join(why, "; "))
	}
	return nil
}

// connected notes whether the purging role gets connections; nil: it does.
func (h *Health) connected(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = err
}

// starved is why the purging role gets no connection; nil: it does.
func (h *Health) starved() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

// reloaded notes how the last look at the policies ended; nil: those in force
// are those on disk.
func (h *Health) reloaded(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reload = err; err == nil && h.now != nil {
		h.reloadAt = h.now()
	}
}

// outdated tells whether the policies on disk could not be used when they were
// looked at last.
func (h *Health) outdated() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reload != nil
}

// wrote notes whether what came through the slot could be written into the log.
func (h *Health) wrote(err error) {
	switch {
	case h == nil:
	case err == nil:
		h.unwritten.Store(nil)
	case !transient(err):
		text := safeText(err)
		h.unwritten.Store(&text)
	}
}

// saw takes over what the monitor saw.
func (h *Health) saw(r Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !r.Facts.ServerTime.IsZero() {
		h.anchored.saw(r.At, r.Facts.Entries)
	}
	if r.Facts.Source == "" {
		r.Facts.Source = h.report.Facts.Source
	}
	if r.Categories == nil {
		r.Categories = h.report.Categories
	}
	if h.news != nil && !slices.EqualFunc(h.report.Checks, r.Checks, func(a, b Check) bool { return a.Name == b.Name && a.OK == b.OK }) {
		close(h.news)
		h.news = nil
	}
	h.report = r
}

// sleep is a pause that ends early when the checks come out otherwise than
// before: what it waits for may be mended. It fails only with ctx. A nil Health
// has no news.
func (h *Health) sleep(ctx context.Context, d time.Duration) (news bool, err error) {
	var changed chan struct{}
	if h != nil {
		h.mu.Lock()
		if h.news == nil {
			h.news = make(chan struct{})
		}
		changed = h.news
		h.mu.Unlock()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-changed:
		return true, nil
	case <-timer.C:
		return false, nil
	}
}
