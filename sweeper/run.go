package sweeper

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// RunOptions are what one call of Run says beside the configuration.
type RunOptions struct {
	Now    func() time.Time
	Reload <-chan struct{} // asks to look at the policies now; nil: nobody asks
	House  time.Duration   // from the start to the first tidying, which comes once a day from then on; 0: a minute
}

// daemon is what the parts of Run share.
type daemon struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	instance instance
	window   schedule.Window
	health   *Health
	outage   *outage
	notary   *notary
	house    time.Duration   // see RunOptions
	wake     chan struct{}   // has the scheduler look at its schedules now
	warned   map[string]bool // what was said of the policies; of the loading goroutine

	arriving sync.Mutex // guards place
	place    string     // the server whose evidence the purging role's connections have waited for

	mu     sync.Mutex // guards what follows
	loaded loaded
	last   []purge.Outcome // the runs that ended last, by their ids alone
}

// loaded are the policies in force, swapped as a whole.
type loaded struct {
	set       policy.Set
	schedules map[string]schedule.Schedule // by category, the enabled ones
	levels    map[string]int               // by category; those of a lower level run first
	refused   misfits                      // by their rows, when the set was loaded
	print     [32]byte                     // of the files
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
	d := &daemon{
		cfg: cfg, log: log, now: o.Now, instance: newInstance(), window: window, health: &Health{},
		outage: newOutage(log, o.Now), house: cmp.Or(o.House, time.Minute), wake: make(chan struct{}, 1),
	}
	// Broken policies are for whoever starts the daemon, database or not.
	if _, err := d.read(); err != nil {
		return err
	}
	if d.notary, err = newNotary(cfg, log, o.Now, d.health); err != nil {
		return err
	}
	d.health.configure(cfg)
	if cfg.SigningKey.IsZero() {
		log.WarnContext(ctx, "checkpoints of the purge log are not signed", slog.String("why", "SWEEPER_SIGNING_KEY is not set; "+createSigner))
	}
	log.InfoContext(ctx, "sweeper starts", slog.String("instance", string(d.instance)))
	late, over := context.WithCancel(context.WithoutCancel(ctx))
	defer over()
	group, late := errgroup.WithContext(late)
	group.Go(func() error { return d.monitor(late) })
	group.Go(func() error { return d.serve(late) })
	group.Go(func() error {
		defer over()
		return d.work(ctx, late, o.Reload)
	})
	err = group.Wait()
	log.InfoContext(context.WithoutCancel(ctx), "sweeper ends", slog.String("instance", string(d.instance)))
	return err
}

// work streams, schedules and reloads until ctx ends, and then sees to it that
// the log has what was purged. late ends early only when another part fails.
func (d *daemon) work(ctx, late context.Context, reload <-chan struct{}) error {
	soft, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		d.log.InfoContext(ctx, "sweeper is asked to end", slog.Duration("grace", d.cfg.ShutdownGrace))
	})()
	defer context.AfterFunc(late, cancel)()
	if err := d.start(soft); err != nil || soft.Err() != nil {
		return err
	}
	hard, end := graced(soft, d.cfg.ShutdownGrace)
	defer end()
	streaming, stop := context.WithCancel(late)
	defer stop()
	s := &stream{
		cfg: d.cfg, log: d.log, now: d.now, instance: d.instance, outage: d.outage, keep: true, health: d.health, broke: make(chan error, 1),
		notary: d.notary, prunes: &prunes{},
	}
	var group errgroup.Group
	group.Go(func() error { return s.run(streaming) })
	group.Go(func() error { return d.reload(soft, reload) })
	group.Go(func() error { d.notarize(streaming, d.notary, s); return nil })
	group.Go(func() error { return d.keepHouse(soft, s) })
	group.Go(func() error {
		defer stop()
		err := d.schedule(soft, hard)
		if s.reading.Load() {
			select {
			case <-s.broke: // it was mended since
			default:
			}
			d.drain(hard, s.broke)
			d.lastNote(hard, d.notary)
		}
		return err
	})
	return group.Wait()
}

// start puts the policies in force for the first time. It waits for a database
// that cannot be reached, and returns what waiting does not mend.
func (d *daemon) start(ctx context.Context) error {
	wait := newBackoff()
	for {
		err := d.load(ctx, false)
		switch {
		case err == nil:
			d.health.connected(nil)
			d.outage.over(ctx, partPolicies)
			return nil
		case ctx.Err() != nil:
			return nil
		case !transient(err):
			return err
		}
		d.health.connected(err)
		d.outage.failed(ctx, partPolicies, err)
		_ = sleep(ctx, wait.NextBackOff())
	}
}

// lastWord is what the log has at least for taking in the last commits, when
// the batch in flight has used up the grace.
const lastWord = 3 * time.Second

// drain returns when the log holds the runs that ended last, when the stream
// breaks so that waiting does not mend it, or when the grace is over: what is
// missing then comes with the next process.
func (d *daemon) drain(hard context.Context, broke <-chan error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(hard))
	defer cancel()
	defer context.AfterFunc(hard, func() {
		_ = sleep(ctx, lastWord)
		cancel()
	})()
	last := d.recent()
	if len(last) == 0 {
		return
	}
	conn, _, err := d.cfg.purger(ctx, d.instance)
	if err == nil {
		defer closeSoon(conn)
		err = await(ctx, conn, d.cfg, last, broke)
	}
	if err != nil {
		d.log.WarnContext(ctx, "the log does not hold all yet", slog.Any(KeyErr, err))
	}
}

// note remembers a run for drain, and forgets those of long ago.
func (d *daemon) note(o purge.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = append(d.last, purge.Outcome{RunID: o.RunID})
	d.last = d.last[max(0, len(d.last)-mostRecent):]
}

// mostRecent is how many runs are remembered.
const mostRecent = 64

func (d *daemon) recent() []purge.Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}
