package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// source cuts a step, or a span that was too large, into spans of about a batch
// each. Those of one source have no row in common.
type source interface {
	// next is the span after the last one; false: there is none.
	next(ctx context.Context, s *stepper) (at span, ok bool, err error)
}

// cursor is the source of a whole step.
type cursor interface {
	source
	more() bool // whether another span may follow
}

// follow purges the spans of a source.
func (s *stepper) follow(ctx context.Context, c source) error {
	for ctx.Err() == nil {
		at, ok, err := c.next(ctx, s)
		if !ok || err != nil {
			return err
		}
		again := at.large
		if before := s.rows; !again {
			again, err = s.purge(ctx, at)
			s.learn(at, s.rows-before)
		}
		if err == nil && again {
			err = s.followWithin(ctx, at)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// followWithin purges a span in smaller ones. A range of starts whose rows did not
// go is gone through as the step is: with the first of them all others may go. Only
// one start that many rows have is cut by places.
func (s *stepper) followWithin(ctx context.Context, at span) error {
	switch {
	case s.step.Walk == plan.WalkBlocks:
		return s.follow(ctx, &blocks{at: at.from, end: at.to})
	case !at.large && at.first == "":
		return s.follow(ctx, &starts{lo: &at.lo, end: at.hi})
	}
	parts, err := s.split(ctx, at)
	if err != nil {
		return err
	}
	return s.follow(ctx, &queue{spans: parts})
}

// choose has a step go by blocks where its rows lie scattered and many are due. Of
// one that may not take all of them the oldest go first.
func (s *stepper) choose(ctx context.Context) error {
	due := s.due[s.step.Kind][s.step.Leaf]
	if s.step.Heap == nil || due < int64(s.BatchRows) || s.left() >= 0 {
		return nil
	}
	var scattered bool
	err := s.conn.QueryRow(ctx, s.step.Scattered.SQL, append([]any{due}, s.step.Scattered.Args...)...).Scan(&scattered)
	if scattered {
		s.step = s.step.Heap
		s.Log.DebugContext(ctx, "rows lie scattered, so the step goes by blocks", slog.String("step", s.step.Name()))
	}
	return pg.Wrap("look at the order of the rows of "+s.step.Relation, err)
}

// spans is the cursor of the whole step.
func (s *stepper) spans(ctx context.Context) (cursor, error) {
	if s.step.Walk == plan.WalkStart {
		c := &starts{end: "infinity"} // the condition itself ends the last range
		err := s.conn.QueryRow(ctx, s.step.First.SQL, s.step.First.Args...).Scan(&c.lo)
		return c, pg.Wrap("find the first due row of "+s.step.Relation, err)
	}
	c := &blocks{}
	err := s.conn.QueryRow(ctx, `select coalesce(pg_relation_size($1::oid), 0) / current_setting('block_size')::int`, s.relation()).Scan(&c.end.block)
	return c, pg.Wrap("measure "+s.step.Relation, err) // 0 of a leaf that has gone since
}

func (s *stepper) relation() uint32 { return cmp.Or(s.step.Leaf, s.step.Root) }

// starts goes through the start column, up to an end.
type starts struct {
	lo  *string // where the next span begins; nil: there is none
	end string
}

func (c *starts) more() bool { return c.lo != nil }

func (c *starts) next(ctx context.Context, s *stepper) (at span, ok bool, err error) {
	if !c.more() {
		return at, false, nil
	}
	hi, large, err := s.nextBound(ctx, *c.lo, c.end)
	if err != nil {
		return at, false, err
	}
	at = span{lo: *c.lo, hi: c.end, large: large}
	if hi != nil {
		at.hi = *hi
	}
	c.lo = hi
	return at, true, nil
}

// nextBound finds where the range that begins at lo ends; nil: at end. equal tells
// that lo is the start of more rows than a batch takes.
func (s *stepper) nextBound(ctx context.Context, lo, end string) (hi *string, equal bool, err error) {
	for skip := s.share(); ; skip *= 4 {
		err := s.conn.QueryRow(ctx, s.step.Next.SQL, append([]any{lo, end, skip}, s.step.Next.Args...)...).Scan(&hi)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, equal, nil
		}
		if err != nil {
			return nil, false, pg.Wrap("find the next range of "+s.step.Relation, err)
		}
		if *hi != lo {
			return hi, equal, nil
		}
		equal = true
	}
}

// split cuts a range of starts, or a part of one, by the order in which its rows
// lie.
func (s *stepper) split(ctx context.Context, at span) ([]span, error) {
	first, last := at.places()
	rows, err := s.conn.Query(ctx, s.step.Split.SQL, append([]any{at.lo, at.hi, s.share(), first, last}, s.step.Split.Args...)...)
	if err != nil {
		return nil, pg.Wrap("split a range of "+s.step.Relation, err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (span, error) {
		part := at
		part.large = false
		return part, row.Scan(&part.first, &part.last)
	})
	return parts, pg.Wrap("split a range of "+s.step.Relation, err)
}

// place is one in the heap: items of a block count from 1, and 0 is before them.
type place struct{ block, item int64 }

func (p place) String() string { return fmt.Sprintf("(%d,%d)", p.block, p.item) }

func (p place) before(o place) bool {
	return p.block < o.block || p.block == o.block && p.item < o.item
}

// blocks goes through the heap in ranges of blocks, or of places in one block
// where a batch is smaller, up to its size at the beginning: what is written
// later is young.
type blocks struct{ at, end place }

// Items of a block are pointers of 4 bytes to rows of at least 24.
const smallestRow = 24

func (c *blocks) more() bool { return c.at.before(c.end) }

func (c *blocks) next(ctx context.Context, s *stepper) (at span, ok bool, err error) {
	if !c.more() {
		return at, false, nil
	}
	if s.perBlock == 0 {
		if s.perBlock, s.items, err = s.density(ctx); err != nil {
			return at, false, err
		}
	}
	size := int64(s.share())
	to := place{block: c.at.block + max(1, int64(float64(size)/s.perBlock))}
	if c.at.item+size < s.items && (c.at.item > 0 || float64(size) < s.perBlock) {
		to = place{c.at.block, c.at.item + size}
	} else if c.at.item > 0 {
		to = place{block: c.at.block + 1}
	}
	if c.end.before(to) {
		to = c.end
	}
	at = span{lo: c.at.String(), hi: to.String(), from: c.at, to: to, aim: size}
	c.at = to
	return at, true, nil
}

// density is how many rows lie in a block, by the server's estimate, and how many
// could at most.
func (s *stepper) density(ctx context.Context) (perBlock float64, items int64, err error) {
	err = s.conn.QueryRow(ctx, `
		select coalesce((select greatest(c.reltuples / c.relpages, 60) from pg_class c where c.oid = $1 and c.reltuples > 0 and c.relpages > 0), 60),
		       current_setting('block_size')::int / $2::int`, s.relation(), smallestRow).Scan(&perBlock, &items)
	return perBlock, items, pg.Wrap("measure "+s.step.Relation, err)
}

// learn corrects the server's estimate, which can be old: a table that was emptied
// and filled again has many more rows in a block than it says.
func (s *stepper) learn(at span, rows int64) {
	if over := float64(rows) / float64(at.aim); at.aim > 0 && over > 1 {
		s.perBlock *= over
	}
}

// queue is a list of spans.
type queue struct{ spans []span }

func (c *queue) next(context.Context, *stepper) (at span, ok bool, err error) {
	if len(c.spans) == 0 {
		return at, false, nil
	}
	at, c.spans = c.spans[0], c.spans[1:]
	return at, true, nil
}
