package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// spread is how long a process leaves due categories to the others after it
// took one.
const spread = 300 * time.Millisecond

// idleLook is how often an idle process looks at its schedules between slots:
// somebody may have changed them.
const idleLook = 5 * time.Second

// errCut is a run whose category was lost along with the connection that held
// it: another process may have it by now.
var errCut = errors.New("the connection that holds the category is lost")

// scheduler takes slots and runs them. Its one connection holds the categories
// that run here, and shows the server that this process lives. A category is
// held by one process at a time; what is due is spread over all.
type scheduler struct {
	*daemon
	conn    *pgx.Conn
	pool    *pgxpool.Pool
	slots   chan struct{}  // of the steps of all runs
	lag     purge.Standbys // as all runs have seen it
	running map[string]bool
	ended   chan ended
	later   map[string]*retry // categories whose slot stays due and waits
	help    help              // what this process does for others while nothing runs here
	hours   hours
}

// ended is a run that is over; settled: its slot is done with.
type ended struct {
	category string
	settled  bool
}

type retry struct {
	wait  *backoff.ExponentialBackOff
	after time.Time // by the server's clock
}

// schedule runs what is due until soft ends and the runs in flight are over;
// hard cuts them off. A lost database is waited for.
func (d *daemon) schedule(soft, hard context.Context) error {
	wait := newBackoff()
	for soft.Err() == nil {
		began := d.now()
		err := d.hold(soft, hard)
		if soft.Err() != nil || err == nil {
			break
		}
		if d.now().Sub(began) > time.Minute {
			wait.Reset()
		}
		d.health.connected(err)
		d.outage.failed(soft, partSchedules, err)
		if news, _ := d.health.sleep(soft, wait.NextBackOff()); news {
			wait.Reset()
		}
	}
	return nil
}

// hold is the life of one connection that holds categories. When it is lost,
// the runs are cut off, and waited for, before hold returns.
func (d *daemon) hold(soft, hard context.Context) (err error) {
	conn, _, err := d.cfg.purger(hard, d.instance)
	if err != nil {
		return err
	}
	defer func() { closeSoon(conn) }()
	pool, err := pg.Pool(hard, d.cfg.DatabaseURL.Reveal(), d.instance.purger(), 2*d.cfg.Workers, d.freshly)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := syncSlots(hard, conn, d.policies()); err != nil {
		return err
	}
	d.health.connected(nil)
	d.outage.over(soft, partSchedules)
	s := &scheduler{
		daemon: d, conn: conn, pool: pool, slots: make(chan struct{}, d.cfg.Workers),
		running: map[string]bool{}, ended: make(chan ended, d.cfg.Workers), later: map[string]*retry{},
		help: help{taken: map[uuid.UUID]map[string]bool{}, ended: make(chan bool, 1)},
	}
	runs, cut := context.WithCancelCause(hard)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() {
		if err != nil {
			err = errors.Join(errCut, err)
		}
		cut(err)
		s.hours.at(soft, false)
	}()
	return s.loop(soft, runs, &wg)
}

// closeSoon closes a connection that may be dead already.
func closeSoon(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// loop looks at the schedules at least every 3 s, which is the sign of life
// too, and takes what is due. After soft has ended it takes nothing more and
// returns when the last run is over.
func (s *scheduler) loop(soft, runs context.Context, wg *sync.WaitGroup) error {
	stopping := soft.Done()
	for {
		if soft.Err() != nil && len(s.running) == 0 && s.help.run == uuid.Nil {
			return nil
		}
		pause, err := s.tick(soft, runs, wg)
		if err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-stopping:
			stopping = nil // seen
		case <-s.wake:
		case e := <-s.ended:
			err = s.release(runs, e)
		case useful := <-s.help.ended:
			s.help.over(useful, s.now())
		case <-runs.Done():
			err = context.Cause(runs)
		case <-timer.C:
		}
		timer.Stop()
		if err != nil {
			return err
		}
	}
}

// tick looks once, takes at most one slot, and says when to look again.
func (s *scheduler) tick(soft, runs context.Context, wg *sync.WaitGroup) (time.Duration, error) {
	all, now, err := readSlots(runs, s.conn)
	if err != nil {
		return 0, err
	}
	open := s.hours.at(soft, s.window.Open(now))
	if soft.Err() != nil {
		return beatEvery, nil
	}
	if s.health.healthy() != nil || !s.fed(runs) {
		return time.Second, nil
	}
	l := s.policies()
	due, next := s.choose(l, all, now)
	if open == nil {
		due = nil
	}
	pause := beatEvery
	if len(s.running) == 0 && s.help.run == uuid.Nil {
		pause = idleLook // nothing is held here, nobody waits for a sign of life
	}
	if !next.IsZero() {
		pause = min(pause, max(next.Sub(now), time.Millisecond))
	}
	for _, one := range due {
		if len(s.running) >= s.cfg.Workers {
			break
		}
		taken, err := s.take(runs, one)
		if err != nil {
			return 0, err
		}
		if taken {
			s.running[one.category] = true
			s.help.busy.Store(true)
			wg.Go(func() { s.ended <- ended{one.category, s.runSlot(open, runs, one)} })
			return spread, nil
		}
		pause = min(pause, lookEvery)
	}
	if len(s.running) == 0 && open != nil {
		err = s.lend(open, runs, wg, l)
	}
	return pause, err
}

// choose sorts out the slots that may run now, and when the next one comes. A
// table goes after those that reference it, as in a sweep of all of them: it
// waits for their slots that are due no later than its own, and not for those
// that come due meanwhile, of which there may always be another one. Nor does it
// wait for one that failed and rests.
func (s *scheduler) choose(l loaded, all []slot, now time.Time) (due []slot, next time.Time) {
	at := func(one slot) time.Time {
		if r := s.later[one.category]; r != nil {
			return latest(one.due, r.after)
		}
		return one.due
	}
	all = slices.DeleteFunc(all, func(one slot) bool { _, known := l.schedules[one.category]; return !known })
	for _, one := range all {
		switch {
		case s.running[one.category]:
		case at(one).After(now):
			if next.IsZero() || at(one).Before(next) {
				next = at(one)
			}
		case !slices.ContainsFunc(all, func(other slot) bool {
			return l.levels[other.category] < l.levels[one.category] && !other.due.After(one.due) && !at(other).After(now)
		}):
			due = append(due, one)
		}
	}
	return due, next
}

// take takes a category and its slot, from a frozen process too.
func (s *scheduler) take(ctx context.Context, one slot) (bool, error) {
	mine, err := takeCategory(ctx, s.conn, s.log, one.category)
	if err != nil || !mine {
		return false, err
	}
	taken, err := takeSlot(ctx, s.conn, one, s.instance)
	if pg.Classify(err) == pg.Retry { // a batch of the run that is to be ended takes its time
		taken, err = false, nil
	}
	if err == nil && !taken {
		err = s.unlock(ctx, pg.CategoryLock(one.category))
	}
	return taken, err
}

func (s *scheduler) unlock(ctx context.Context, key int32) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	_, err := s.conn.Exec(ctx, `select pg_advisory_unlock($1::int, $2::int)`, pg.LockSpace, key)
	return pg.Wrap("give a category back", err)
}

// release gives a category back. One whose slot stays due waits, longer each
// time.
func (s *scheduler) release(ctx context.Context, e ended) error {
	delete(s.running, e.category)
	s.help.busy.Store(len(s.running) > 0)
	if e.settled {
		delete(s.later, e.category)
		return s.unlock(ctx, pg.CategoryLock(e.category))
	}
	r := s.later[e.category]
	if r == nil {
		r = &retry{wait: newBackoff()}
		r.wait.InitialInterval, r.wait.MaxInterval = time.Second, 5*time.Minute
		s.later[e.category] = r
	}
	if err := s.conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&r.after); err != nil {
		return pg.Wrap("read the database's clock", err)
	}
	r.after = r.after.Add(r.wait.NextBackOff())
	s.log.WarnContext(ctx, "slot stays due", slog.String(KeyPolicy, e.category), slog.Time("again_at", r.after))
	return s.unlock(ctx, pg.CategoryLock(e.category))
}
