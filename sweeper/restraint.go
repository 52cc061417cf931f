package sweeper

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/purge"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// Restraint is what keeps runs of a category from beginning, or slows them.
type Restraint struct {
	Paused   string // by whom, and since when; "" it is not
	Approval string // why a run would wait for one; "" it would not
	Limits   Limits
}

// Limits are those of the policy and of the configuration together; zero: none.
type Limits struct {
	RowsPerSecond int     `json:"rows_per_second"` // the smaller one of the category's and of all
	MaxRowsPerRun int64   `json:"max_rows_per_run"`
	MaxShare      float64 `json:"max_share"`
	MaxDeadShare  float64 `json:"max_dead_share"`
	Window        string  `json:"window"` // hours in which runs by schedule begin
}

// limitsOf puts the limits of a category and of the configuration together.
func limitsOf(cfg Config, c *plan.Category) Limits {
	l := c.Policy.Limits
	all := Limits{
		RowsPerSecond: l.RowsPerSecond, MaxRowsPerRun: l.MaxRowsPerRun, MaxShare: l.MaxShare, MaxDeadShare: l.MaxDeadShare, Window: cfg.Window,
	}
	if all.RowsPerSecond == 0 || cfg.RowsPerSecond > 0 && cfg.RowsPerSecond < all.RowsPerSecond {
		all.RowsPerSecond = cfg.RowsPerSecond
	}
	return all
}

// restrain tells what is in the way of a run that would take the due rows of all.
func restrain(ctx context.Context, conn *pgx.Conn, cfg Config, f *formers, p *plan.Plan, c *plan.Category, all []purge.States) (r Restraint, err error) {
	r.Limits = limitsOf(cfg, c)
	err = conn.QueryRow(ctx, `
		select coalesce((select format('by %s since %s', x.actor, to_char(timezone('UTC', x.paused_at), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
		                   from sweeper.paused x where x.category = $1), '')`, c.Policy.Name).Scan(&r.Paused)
	if err != nil {
		return r, pg.Wrap("look for a pause", err)
	}
	if cfg.Approve == ApproveAuto || c.Policy.Mode == "observe" {
		return r, nil
	}
	var due int64
	for _, s := range all {
		due += s.Due
	}
	r.Approval, err = purge.Approval(ctx, conn, p, c, due, f.shortened)
	return r, err
}

// ClosedUntil is when SWEEPER_WINDOW opens next after now; the zero time: it is
// open, or there is none.
func (c Config) ClosedUntil(now time.Time) (time.Time, error) {
	w, err := schedule.ParseWindow(c.Window, c.Timezone)
	if err != nil || w.Open(now) {
		return time.Time{}, err
	}
	return w.NextOpen(now), nil
}
