package purge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// Shared is a run that another process has under way.
type Shared struct {
	ID     uuid.UUID
	Owner  string // the application_name of the connections of its process
	Reason string
	Actor  string
}

// Help walks steps of another process's run, as many at once as Options.Workers,
// and returns the number of rows that went. The owner walks the steps from the
// front, so Help takes them from the end, each at most once: done are the names
// of those that it has taken, and it adds to them. What it purges is stamped
// with the owner's run, which counts it, and which is the licence of each batch:
// when the run has an end, nothing more is committed.
//
// It never drops a partition, and it takes only what still lies ahead of the
// owner, who looks at every step himself in the end. So a helper may leave at
// any moment, and it does when Options.Stop ends or Options.Healthy objects.
func Help(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, c *plan.Category, of Shared, done map[string]bool, o Options) (int64, error) {
	o.Reason, o.Actor, o.Standbys = of.Reason, of.Actor, cmp.Or(o.Standbys, &Standbys{})
	h := &helper{run: newRun(p, c, uuid.Nil, o), of: of, pool: pool, done: done}
	h.id, h.helping, h.cutoffs = of.ID, true, map[string]time.Time{}
	for _, count := range c.Counts {
		var cutoff time.Time
		if err := pool.QueryRow(ctx, count.Cutoff.SQL, count.Cutoff.Args...).Scan(&cutoff); err != nil {
			return 0, pg.Wrap("read the cutoff of category "+c.Policy.Name, err)
		}
		h.cutoffs[count.Disposition] = cutoff
	}
	defer h.watch(ctx, pool)()
	var wg sync.WaitGroup
	for range o.Workers {
		wg.Go(func() {
			for h.one(ctx) {
			}
		})
	}
	wg.Wait()
	h.leaves(ctx, pool)
	return h.rows, h.err
}

// helper takes part in one run.
type helper struct {
	*run
	of   Shared
	pool *pgxpool.Pool

	mu   sync.Mutex // guards what follows
	done map[string]bool
	rows int64
	over bool  // nothing more is taken
	err  error // the first
}

// one takes a slot, and in it one step. false: there is none to take.
func (h *helper) one(ctx context.Context) bool {
	if !h.take(ctx, h.Slots) {
		return false
	}
	defer func() { <-h.Slots }()
	conn, err := h.pool.Acquire(ctx)
	if err != nil {
		return h.ends(0, pg.Wrap("take a connection", err))
	}
	defer conn.Release()
	step, err := h.next(ctx, conn.Conn())
	if step == nil || err != nil {
		return h.ends(0, err)
	}
	t, err := h.walk(ctx, conn.Conn(), step, nil, func(int64) {})
	if err == nil || errors.Is(err, errHeld) { // somebody was faster
		h.mu.Lock()
		defer h.mu.Unlock()
		h.rows += t.rows
		return !h.over
	}
	return h.ends(t.rows, err)
}

// ends has no further step taken. That the run is over, or that this process is
// to leave it, is no error.
func (h *helper) ends(rows int64, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows += rows
	h.over = true
	if h.err == nil && !errors.Is(err, ErrTaken) && !errors.Is(err, ErrPaused) && !errors.Is(err, errStopped) {
		h.err = err
	}
	return false
}

const heldSQL = `
	select l.objid::int8, a.application_name = $3
	  from pg_locks l join pg_stat_activity a using (pid)
	 where l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and l.classid = $1::int::oid and l.objsubid = 2
	   and l.objid::int8 = any ($2::int8[]) and l.database = (select oid from pg_database where datname = current_database())
	   and exists (select from sweeper.runs where run_id = $4 and state = 'running')`

// next picks the step that the owner would come to last, of those by rows of the
// disposition that he is at. nil: none lies ahead of him, or he is between two
// passes.
func (h *helper) next(ctx context.Context, conn *pgx.Conn) (*plan.Step, error) {
	if h.stopped() || h.sick() != nil {
		return nil, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return nil, nil
	}
	var keys []int64
	for i := range h.category.Steps {
		keys = append(keys, int64(pg.StepLock(h.category.Steps[i].Name())))
	}
	held, owners := map[int64]bool{}, map[int64]bool{}
	rows, err := conn.Query(ctx, heldSQL, pg.LockSpace, keys, h.of.Owner, h.id)
	if err != nil {
		return nil, pg.Wrap("look at the steps of a run", err)
	}
	var key int64
	var owner bool
	_, err = pgx.ForEachRow(rows, []any{&key, &owner}, func() error {
		held[key] = true
		owners[key] = owners[key] || owner
		return nil
	})
	if err != nil {
		return nil, pg.Wrap("look at the steps of a run", err)
	}
	for _, disposition := range []string{plan.Delete, plan.Redact} {
		steps := byRowsOf(h.category, disposition)
		at := -1
		for i, step := range steps {
			if owners[int64(pg.StepLock(step.Name()))] {
				at = i
			}
		}
		if at < 0 {
			continue
		}
		for _, step := range slices.Backward(steps[at+1:]) {
			if !held[int64(pg.StepLock(step.Name()))] && !h.done[step.Name()] {
				h.done[step.Name()] = true
				return step, nil
			}
		}
	}
	return nil, nil
}

// Helpful tells whether another process can take a step of a category while its
// owner is at one. Of a run that may purge so many rows and no more the owner
// alone keeps count.
func Helpful(c *plan.Category) bool {
	return c.Policy.Limits.MaxRowsPerRun == 0 && (len(byRowsOf(c, plan.Delete)) > 1 || len(byRowsOf(c, plan.Redact)) > 1)
}
