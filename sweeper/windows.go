package sweeper

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// readWindows reads the tenants' own windows.
func readWindows(ctx context.Context, conn *pgx.Conn) ([]plan.Window, error) {
	rows, err := conn.Query(ctx, `
		select category, tenant, (extract(year from retention) * 12 + extract(month from retention))::int, extract(day from retention)::int
		  from sweeper.tenant_retention order by category, tenant collate "C"`)
	if err != nil {
		return nil, pg.Wrap("read the tenants' windows", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w plan.Window, err error) {
		return w, row.Scan(&w.Category, &w.Tenant, &w.Retention.Months, &w.Retention.Days)
	})
	return all, pg.Wrap("read the tenants' windows", err)
}
