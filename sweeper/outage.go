package sweeper

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// The parts of a process that wait for the database.
const (
	partLog       = "log"
	partSchedules = "schedules"
	partPolicies  = "policies"
)

// again is how often a lasting outage is said.
const again = time.Minute

// mostLasting is how many causes that waiting does not mend are each said at once.
const mostLasting = 8

// outage says of what fails again and again: once at first, then once a
// minute, and once when it is over, however many parts of the process meet it.
// A cause that waiting does not mend is said as soon as it shows: somebody may
// have mended the one before it.
type outage struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	failing  map[string]bool // by part
	failures int
	said     time.Time
	lasting  map[string]bool // what was said of it that waiting does not mend
}

func newOutage(log *slog.Logger, now func() time.Time) *outage {
	return &outage{log: log, now: now, failing: map[string]bool{}, lasting: map[string]bool{}}
}

// failed notes one more failure of a part.
func (o *outage) failed(ctx context.Context, part string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failing[part] = true
	o.failures++
	lasting, text := !transient(err), safeText(err)
	another := lasting && !o.lasting[text] && len(o.lasting) < mostLasting
	if o.failures > 1 && o.now().Sub(o.said) < again && !another {
		return
	}
	o.said = o.now()
	if lasting { // waiting alone mends nothing
		o.lasting[text] = true
		o.log.ErrorContext(ctx, "waiting until this is mended", slog.String("part", part), slog.Int(KeyErrors, o.failures), slog.Any(KeyErr, err))
		return
	}
	o.log.WarnContext(ctx, "waiting for the database", slog.String("part", part), slog.Int(KeyErrors, o.failures), slog.Any(KeyErr, err))
}

// over notes that a part works.
func (o *outage) over(ctx context.Context, part string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.failing[part] {
		return
	}
	delete(o.failing, part)
	if len(o.failing) == 0 {
		o.log.InfoContext(ctx, "database is back", slog.Int(KeyErrors, o.failures))
		o.failures = 0
		clear(o.lasting)
	}
}

// longestPause bounds the pauses, with jitter and all: what is mended has to
// show within 10 s, however long it was broken.
const longestPause = 5 * time.Second

// newBackoff grows from 0.2 s to longestPause, with jitter.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 200 * time.Millisecond
	b.MaxInterval = time.Duration(float64(longestPause) / (1 + b.RandomizationFactor))
	return b
}
