package sweeper

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// FallingDue is how many rows of a category fall due in one month.
type FallingDue struct {
	Category    string
	Relation    string
	Month       time.Time // its first moment, in the policy's zone
	Disposition string
	Rows        int64
	Overdue     int64 // of Rows, those that are due already; only in the first month
	Held        int64 // of Rows, those under a legal hold now
}

// Forecast counts the rows that fall due in each of some months, of which the
// as-of is in the first; what is due already counts there. A zero asOf is the
// database's clock. Months in which nothing falls due have their rows too. It
// changes nothing.
func Forecast(ctx context.Context, cfg Config, set policy.Set, asOf time.Time, months int) ([]FallingDue, error) {
	conn, err := cfg.openToRead(ctx, "sweeper forecast")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	p, _, m, err := buildFitting(ctx, conn, cfg, set, asOf)
	if err != nil {
		return nil, err
	}
	if len(m) > 0 {
		return nil, plan.Join(set, m)
	}
	all := []FallingDue{}
	for _, c := range p.Categories() {
		for _, f := range c.Forecasts(months) {
			rows, err := fallingDue(ctx, conn, c, f)
			if err != nil {
				return nil, pg.Wrap("forecast category "+c.Policy.Name, err)
			}
			all = append(all, rows...)
		}
	}
	return all, nil
}

func fallingDue(ctx context.Context, conn *pgx.Conn, c *plan.Category, f plan.Forecast) ([]FallingDue, error) {
	all := make([]FallingDue, len(f.Months))
	for i, month := range f.Months {
		all[i] = FallingDue{Category: c.Policy.Name, Relation: c.Table.Text, Month: month, Disposition: f.Disposition}
	}
	for _, part := range f.Parts {
		rows, err := conn.Query(ctx, part.SQL, purge.Valued(part)...)
		if err != nil {
			return nil, err
		}
		var month int
		var n, overdue, held int64
		_, err = pgx.ForEachRow(rows, []any{&month, &n, &overdue, &held}, func() error {
			all[month].Rows += n
			all[month].Overdue += overdue
			all[month].Held += held
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// openToRead opens a connection of the purging role on which the server refuses
// every change.
func (cfg Config) openToRead(ctx context.Context, name string) (*pgx.Conn, error) {
	conn, _, err := cfg.open(ctx, cfg.DatabaseURL, name, roleDaemon, func(server) error { return nil })
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `set default_transaction_read_only = on`); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, pg.Wrap("make the session read-only", err)
	}
	return conn, nil
}
