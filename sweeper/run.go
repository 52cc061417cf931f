package sweeper

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// RunOptions are what one call of Run says beside the configuration.
type RunOptions struct {
	Now    func() time.Time
	Reload <-chan struct{} // asks to look at the policies now; nil: nobody asks
}

// daemon is what the parts of Run share.
type daemon struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	instance instance
	window   schedule.Window
	health   *Health
	wake     chan struct{} // has the scheduler look at its schedules now

	mu     sync.Mutex // guards loaded
	loaded loaded
}

// loaded are the policies in force, swapped as a whole.
type loaded struct {
	set       policy.Set
	schedules map[string]schedule.Schedule // by category, the enabled ones
	levels    map[string]int               // by category; those of a lower level run first
}

func (d *daemon) policies() loaded {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loaded
}

// Run is the daemon: it sweeps by schedule, keeps the purge log and watches
// both until ctx ends. Then no new batch begins, the one in flight has
// SWEEPER_SHUTDOWN_GRACE, and the log takes in what was committed. It returns
// an error only for what it finds at the start and cannot heal by itself.
func Run(ctx context.Context, cfg Config, log *slog.Logger, o RunOptions) error {
	window, err := schedule.ParseWindow(cfg.Window, cfg.Timezone)
	if err != nil {
		return &ConfigError{"SWEEPER_WINDOW", err.Error()}
	}
	d := &daemon{cfg: cfg, log: log, now: o.Now, instance: newInstance(), window: window, health: &Health{}, wake: make(chan struct{}, 1)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.monitor(ctx) })
	group.Go(func() error { return d.serve(ctx) })
	return group.Wait()
}
