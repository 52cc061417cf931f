package purge

import (
	"context"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// Run sweeps every category of the plan once and tells what became of each.
// Categories of one level run beside each other, at most Options.Workers steps
// at a time; the pool needs as many connections and one more for each category.
// One category's failure leaves the others running and stands in its outcome.
func Run(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, o Options) []Outcome {
	sweep := uuid.New()
	slots := o.Slots
	if slots == nil {
		slots = make(chan struct{}, o.Workers)
	}
	meter := &meter{report: o.Progress, categories: purgeable(p)}
	var all []Outcome
	var ran []*run
	for _, level := range p.Levels {
		outcomes := make([]Outcome, len(level))
		var wg sync.WaitGroup
		for i, c := range level {
			r := newRun(p, c, sweep, o)
			ran = append(ran, r)
			wg.Go(func() {
				outcomes[i] = r.purge(ctx, pool, slots, meter)
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

// purgeable are how many categories of the plan a sweep may take rows of.
func purgeable(p *plan.Plan) (n int) {
	for _, c := range p.Categories() {
		if c.Covered && c.Policy.Mode != "observe" {
			n++
		}
	}
	return n
}

// meter adds up the progress of all steps.
type meter struct {
	mu         sync.Mutex
	done       int64
	total      int64
	categories int
	report     func(Progress)
}

// expect adds what a category is about to purge.
func (m *meter) expect(rows int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += rows
}

func (m *meter) note(category string) func(int64) {
	return func(rows int64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.done += rows
		if m.report != nil {
			m.report(Progress{Category: category, Of: m.categories, Done: m.done, Total: m.total})
		}
	}
}
