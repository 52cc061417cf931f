package purge

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// spare are the slots that no step waits for, and connections for them.
type spare struct {
	pool  *pgxpool.Pool
	slots chan struct{}
}

func (s *spare) take() bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// keep offers a slot to the steps that wait for one. false: one of them has it now.
func (s *spare) keep() bool {
	<-s.slots
	return s.take()
}

// crew walks one step on several connections. Each lane draws the next span when
// it is done with its last, and has a lock of its own in place of the step's. The
// first lane holds the step; the others come when there are slots to spare, and go
// when a step waits for theirs.
type crew struct {
	first *stepper
	spare *spare
	wg    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	all   cursor
	lanes []bool     // which others walk
	done  []*stepper // those of the others
	back  []span     // whose lane found its lock taken: a session that has died may be at work still
	err   error      // the first, after which nothing more begins
}

// walk purges the step from end to end.
func (c *crew) walk(ctx context.Context) error {
	c.end(c.first.follow(ctx, c))
	c.wg.Wait()
	for _, s := range c.done {
		c.first.join(s)
	}
	if c.err != nil {
		return c.err
	}
	return c.first.follow(ctx, &queue{c.back})
}

// next draws a span. While there are more the first lane asks for company.
func (c *crew) next(ctx context.Context, s *stepper) (at span, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return at, false, nil
	}
	at, ok, err = c.all.next(ctx, s)
	if s == c.first && err == nil && c.all.more() {
		c.recruit(ctx)
	}
	return at, ok, err
}

func (c *crew) recruit(ctx context.Context) {
	for i, busy := range c.lanes {
		if busy || !c.spare.take() {
			continue
		}
		c.lanes[i] = true
		c.wg.Go(func() {
			l := &lane{crew: c, has: true}
			err := l.walk(ctx, i+1)
			if l.has {
				<-c.spare.slots
			}
			c.mu.Lock()
			c.lanes[i] = false
			c.mu.Unlock()
			c.end(err)
		})
	}
}

// end notes how a lane ended.
func (c *crew) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = cmp.Or(c.err, err)
}

// lane is one that goes along. One that gets no connection stays away, which ends
// nothing.
type lane struct {
	*crew
	has bool // its slot
	at  span
}

func (l *lane) walk(ctx context.Context, n int) error {
	conn, err := l.spare.pool.Acquire(ctx)
	if err != nil {
		return l.stayAway(ctx, n, pg.Wrap("take a connection", err))
	}
	defer conn.Release()
	s := l.first.newStepper(conn.Conn(), l.first.step, n, l.first.note)
	calm, err := s.patience(ctx)
	if err != nil {
		return l.stayAway(ctx, n, err)
	}
	defer calm()
	err = s.follow(ctx, l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, s)
	if errors.Is(err, ErrStepBusy) {
		l.back, err = append(l.back, l.at), l.stayAway(ctx, n, err)
	}
	return err
}

func (l *lane) stayAway(ctx context.Context, n int, why error) error {
	l.first.Log.DebugContext(ctx, "lane left", slog.String("step", l.first.step.Name()), slog.Int("lane", n), slog.Any("err", why))
	return nil
}

func (l *lane) next(ctx context.Context, s *stepper) (at span, ok bool, err error) {
	if l.has = l.spare.keep(); !l.has {
		return at, false, nil
	}
	l.at, ok, err = l.crew.next(ctx, s)
	return l.at, ok, err
}
