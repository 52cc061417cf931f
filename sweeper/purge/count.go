package purge

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// Querier is a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Valued are the arguments of q with the mode in which the server plans with
// their values. A generic plan would open and lock every partition there is.
func Valued(q plan.Query, first ...any) []any {
	args := append([]any{pgx.QueryExecModeExec}, first...)
	return append(args, q.Args...)
}

// Count sorts the rows of a category into their states, one entry for each
// disposition. It changes nothing.
func Count(ctx context.Context, q Querier, c *plan.Category) ([]States, error) {
	all := make([]States, 0, len(c.Counts))
	for _, count := range c.Counts {
		s, err := countOne(ctx, q, count)
		if err != nil {
			return nil, pg.Wrap("count the rows of category "+c.Policy.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// CountRestricted counts the rows of a category that is restricted, the hidden
// ones as due. A category that hides nothing has no disposition there.
func CountRestricted(ctx context.Context, q Querier, c *plan.Category) (States, error) {
	if c.Restricted == nil {
		return States{}, nil
	}
	s, err := countOne(ctx, q, *c.Restricted)
	return s, pg.Wrap("count the hidden rows of category "+c.Policy.Name, err)
}

func countOne(ctx context.Context, q Querier, c plan.Count) (States, error) {
	s := States{Disposition: c.Disposition, Leaves: map[uint32]Tally{}, Parts: make([]Tally, len(c.Parts))}
	if err := q.QueryRow(ctx, c.Cutoff.SQL, Valued(c.Cutoff)...).Scan(&s.Cutoff); err != nil {
		return s, err
	}
	for i, part := range c.Parts {
		rows, err := q.Query(ctx, part.SQL, Valued(part.Query)...)
		if err != nil {
			return s, err
		}
		var leaf uint32
		var t Tally
		leaves := map[uint32]Tally{}
		_, err = pgx.ForEachRow(rows, []any{&leaf, &t.NotStarted, &t.Future, &t.Scheduled, &t.Held, &t.Blocked, &t.Due, &t.Oldest}, func() error {
			leaves[leaf] = t
			return nil
		})
		if err == nil {
			err = s.family(ctx, q, part, leaves)
		}
		if err != nil {
			return s, err
		}
		for leaf, t := range leaves {
			s.Parts[i].add(t)
			l := s.Leaves[leaf]
			l.add(t)
			s.Leaves[leaf] = l
		}
		s.add(s.Parts[i])
	}
	s.Total = s.rows()
	if !c.Whole {
		s.Estimated, s.Total = true, max(s.Total, c.Estimate)
		s.Scheduled += s.Total - s.rows()
	}
	return s, nil
}

// family sorts the due rows of a part by the rows that would go along with them.
func (s *States) family(ctx context.Context, q Querier, part plan.Part, leaves map[uint32]Tally) error {
	var due int64
	for _, t := range leaves {
		due += t.Due
	}
	if due == 0 || part.Family.SQL == "" {
		return nil
	}
	rows, err := q.Query(ctx, part.Family.SQL, Valued(part.Family)...)
	if err != nil {
		return err
	}
	for leaf, t := range leaves {
		t.Due, t.Oldest = 0, nil
		leaves[leaf] = t
	}
	var leaf uint32
	var found Tally
	var names []string
	var counts []int64
	_, err = pgx.ForEachRow(rows, []any{&leaf, &found.Held, &found.Blocked, &found.Due, &found.Oldest, &names, &counts}, func() error {
		t := leaves[leaf]
		t.add(found)
		leaves[leaf] = t
		return nil
	})
	for i, name := range names {
		at := slices.IndexFunc(s.Keepers, func(k Keeper) bool { return k.Name == name })
		if at < 0 {
			at, s.Keepers = len(s.Keepers), append(s.Keepers, Keeper{Name: name})
		}
		s.Keepers[at].Rows += counts[i]
	}
	return err
}

// atLeast counts rows of a category, and stops when they are enough.
func atLeast(ctx context.Context, q Querier, c *plan.Category, enough int64) (rows int64, err error) {
	for _, part := range c.AtLeast {
		var n int64
		if err := q.QueryRow(ctx, part.SQL, Valued(part, enough-rows)...).Scan(&n); err != nil {
			return rows, pg.Wrap("count the rows of category "+c.Policy.Name, err)
		}
		if rows += n; rows >= enough {
			break
		}
	}
	return rows, nil
}
