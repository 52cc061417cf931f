package purge

import (
	"cmp"
	"context"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// Run sweeps every category of the plan once and tells what became of each.
// Categories of one level run beside each other, at most Options.Workers counts
// and as many steps at a time; the pool needs as many connections, and some for
// what is short.
// One category's failure leaves the others running and stands in its outcome.
func Run(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, o Options) []Outcome {
	sweep := uuid.New()
	slots := o.Slots
	if slots == nil {
		slots = make(chan struct{}, o.Workers)
	}
	counts, vacuuming := make(chan struct{}, max(o.Workers, 1)), make(chan struct{}, 1)
	o.Standbys = cmp.Or(o.Standbys, &Standbys{})
	meter := newMeter(p, o.Progress)
	var all []Outcome
	var ran []*run
	for _, level := range p.Levels {
		outcomes := make([]Outcome, len(level))
		var wg sync.WaitGroup
		for i, c := range level {
			r := newRun(p, c, sweep, o)
			r.counts, r.vacuuming = counts, vacuuming
			ran = append(ran, r)
			wg.Go(func() {
				outcomes[i] = r.purge(ctx, pool, slots, meter)
				meter.expect(c.Policy.Name, 0) // one that purged nothing is not waited for
			})
		}
		wg.Wait()
		all = append(all, outcomes...)
	}
	for _, r := range ran {
		r.vacuum(ctx, pool)
	}
	return all
}

// meter adds up the progress of all steps.
type meter struct {
	mu         sync.Mutex
	done       int64
	total      int64
	categories int
	waiting    map[string]bool // categories whose rows are not counted yet
	report     func(Progress)
}

func newMeter(p *plan.Plan, report func(Progress)) *meter {
	m := &meter{waiting: map[string]bool{}, report: report}
	for _, c := range p.Categories() {
		if c.Covered && c.Policy.Mode != "observe" {
			m.waiting[c.Policy.Name] = true
		}
	}
	m.categories = len(m.waiting)
	return m
}

// expect adds what a category is about to purge.
func (m *meter) expect(category string, rows int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += rows
	delete(m.waiting, category)
}

func (m *meter) note(category string) func(int64) {
	return func(rows int64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.done += rows
		if m.report == nil {
			return
		}
		p := Progress{Category: category, Of: m.categories, Done: m.done}
		if len(m.waiting) == 0 {
			p.Total = m.total
		}
		m.report(p)
	}
}
