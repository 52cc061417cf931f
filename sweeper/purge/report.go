package purge

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// reports are to be queued when the work has been done that they report.
type reports []func(b *pgx.Batch)

func (r *reports) add(one func(b *pgx.Batch)) {
	if one != nil {
		*r = append(*r, one)
	}
}

func (r reports) queue(b *pgx.Batch) {
	for _, one := range r {
		one(b)
	}
}

// queueWork adds a statement that changes rows, and tells done how many. Where a
// rule of the table keeps the statement from reporting them as well, it returns
// what is to be queued after it; else nil. The statement for what goes along also
// says how many rows are undone, which is nil for others.
func queueWork(b *pgx.Batch, work, report plan.Query, args []any, run uuid.UUID, undone *int64, done func(rows int64)) func(b *pgx.Batch) {
	count := func(row pgx.Row) error {
		var n, more int64
		to := []any{&n}
		if undone != nil {
			to = append(to, &more)
		}
		err := row.Scan(to...)
		if undone != nil {
			*undone += more
		}
		done(n)
		return err
	}
	if report.SQL == "" {
		b.Queue(work.SQL, append(append(args, run), work.Args...)...).QueryRow(count)
		return nil
	}
	tenants := []*string{}
	b.Queue(work.SQL, append(args, work.Args...)...).Query(func(rows pgx.Rows) error {
		var tenant *string
		var again bool
		to := []any{&tenant}
		if undone != nil {
			to = append(to, &again)
		}
		_, err := pgx.ForEachRow(rows, to, func() error {
			tenants = append(tenants, tenant)
			if again {
				*undone++
			}
			return nil
		})
		return err
	})
	return func(b *pgx.Batch) {
		b.Queue(report.SQL, append([]any{tenants, run}, report.Args...)...).QueryRow(count)
	}
}
