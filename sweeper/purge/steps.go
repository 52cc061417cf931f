package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// strangers is how long a step waits, in the whole run, for somebody who is no
// process of ours: a session of a process that has just died is gone by then.
const strangers = 20 * time.Second

// pass is one walk over the steps of a category.
type pass struct {
	*run
	pool  *pgxpool.Pool
	slots chan struct{}
	note  func(int64)

	mu   sync.Mutex // guards what follows
	all  tally
	err  error        // the first
	held []*plan.Step // by other processes, to be looked at again
}

// steps walks all steps of the category. First come the partitions that go
// whole, then the deletions by rows, those of leaves that could not go whole
// included, then the redactions. One that fails leaves the others going on.
func (r *run) steps(ctx context.Context, pool *pgxpool.Pool, slots chan struct{}, note func(int64), o *Outcome) (tally, error) {
	p := &pass{run: r, pool: pool, slots: slots, note: note}
	deletions := append(p.drops(ctx), byRowsOf(r.category, plan.Delete)...)
	o.PartitionsDropped += p.all.partitions
	p.rows(ctx, deletions)
	o.Deleted += p.all.rows
	deleted := p.all.rows
	p.rows(ctx, byRowsOf(r.category, plan.Redact))
	o.Redacted += p.all.rows - deleted
	o.Children += p.all.kin
	return p.all, p.err
}

// byRowsOf are the steps by rows of one disposition, in the order in which they
// are walked.
func byRowsOf(c *plan.Category, disposition string) (steps []*plan.Step) {
	for i := range c.Steps {
		if c.Steps[i].Kind == disposition {
			steps = append(steps, &c.Steps[i])
		}
	}
	return steps
}

// drops has the partitions go whole, one at a time, and returns the steps by
// rows of those that cannot.
func (p *pass) drops(ctx context.Context) (left []*plan.Step) {
	for i := range p.category.Steps {
		step := &p.category.Steps[i]
		if step.Walk != plan.WalkPartition || p.dropped[step.Leaf] {
			continue
		}
		t, err := p.alone(ctx, step)
		p.add(t, err)
		if err == nil && t.partitions == 0 {
			left = append(left, step.Rows)
		}
	}
	return left
}

// alone walks one step, and waits for it when another process holds it.
func (p *pass) alone(ctx context.Context, step *plan.Step) (tally, error) {
	for {
		if !p.take(ctx, p.slots) {
			return tally{}, context.Cause(ctx)
		}
		t, err := p.step(ctx, step)
		<-p.slots
		if !errors.Is(err, errHeld) {
			return t, err
		}
		if err := p.rest(ctx, look); err != nil {
			return t, err
		}
	}
}

// rows walks steps by rows, as many at once as there are slots, and last those
// that other processes held.
func (p *pass) rows(ctx context.Context, steps []*plan.Step) {
	for len(steps) > 0 {
		p.held = nil
		var wg sync.WaitGroup
		for _, step := range steps {
			if !p.take(ctx, p.slots) {
				p.add(tally{}, context.Cause(ctx))
				break
			}
			wg.Go(func() {
				defer func() { <-p.slots }()
				t, err := p.step(ctx, step)
				if errors.Is(err, errHeld) {
					p.mu.Lock()
					p.held = append(p.held, step)
					p.mu.Unlock()
					return
				}
				p.add(t, err)
			})
		}
		wg.Wait()
		if steps = p.held; len(steps) > 0 {
			if err := p.rest(ctx, look); err != nil {
				p.add(tally{}, err)
				return
			}
		}
	}
}

func (p *pass) add(t tally, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.rows += t.rows
	p.all.kin += t.kin
	p.all.partitions += t.partitions
	p.all.skipped = append(p.all.skipped, t.skipped...)
	p.all.refused = append(p.all.refused, t.refused...)
	p.err = cmp.Or(p.err, err)
}

func (p *pass) step(ctx context.Context, step *plan.Step) (tally, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return tally{}, pg.Wrap("take a connection", err)
	}
	defer conn.Release()
	return p.walk(ctx, conn.Conn(), step, &spare{pool: p.pool, slots: p.slots}, p.note)
}

// take waits for a slot; false: ctx has ended before, or the run goes no further,
// and none is taken.
func (r *run) take(ctx context.Context, slots chan<- struct{}) bool {
	if r.gaveUp() {
		return false
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-r.halt.vain:
	case <-ctx.Done():
	}
	return false
}

// errHeld is a step that another process holds: it will be looked at again.
var errHeld = errors.New("another process holds the step")

// busy tells what becomes of a step whose lock another session holds. A process
// of ours helps with it, or the server has not noticed yet that it has died:
// the step is waited for. That of a stranger is left when he keeps it.
func (s *stepper) busy(ctx context.Context) error {
	key := pg.StepLock(s.step.Name())
	if s.helping {
		return errHeld
	}
	ours := false
	if s.Holder != nil {
		var err error
		if ours, err = s.Holder(ctx, s.conn, key); err != nil {
			return err
		}
	}
	if ours {
		return errHeld
	}
	holder := pg.LockHolder(ctx, s.conn, key)
	waited, first := s.waited(s.step.Name())
	if first {
		s.Log.InfoContext(ctx, "step is waited for", slog.String("step", s.step.Name()), slog.String("holder", holder))
	}
	if waited < strangers {
		return errHeld
	}
	s.Log.WarnContext(ctx, "step left out", slog.String("step", s.step.Name()), slog.String("holder", holder))
	s.skipped = append(s.skipped, fmt.Sprintf("step %s: %v: %s", s.step.Name(), ErrStepBusy, holder))
	return nil
}

// waited is how long ago a step was first found in a stranger's hands; first: it
// is now.
func (r *run) waited(step string) (waited time.Duration, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, known := r.strange[step]
	if !known {
		since = r.Now()
		r.strange[step] = since
	}
	return r.Now().Sub(since), !known
}
