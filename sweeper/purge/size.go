package purge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// evenly is how many rows a batch aims at, at most. Under a rate that is what the
// rate gives in the duration that sizing aims at, since an application feels a
// second's worth at once; but no fewer than are worth a batch, where the rate gives
// these in a second. SWEEPER_BATCH_ROWS stays what may go along with one row.
func (o *Options) evenly(ofCategory int) int {
	rows := o.BatchRows
	for _, rate := range []int{o.RowsPerSecond, ofCategory} {
		if rate > 0 {
			rows = min(rows, max(int(float64(rate)*o.BatchTarget.Seconds()), min(rate, smallestBatch)))
		}
	}
	return rows
}

// paced is whether there is a rate.
func (r *run) paced() bool { return r.RowsPerSecond > 0 || r.category.Policy.Limits.RowsPerSecond > 0 }

// share is how many rows of the step the next batch aims at: no more than the run
// may still purge.
func (s *stepper) share() int {
	rows := max(1, int(float64(s.size)/s.weight))
	if left := s.left(); left > 0 {
		rows = int(min(int64(rows), left))
	}
	return rows
}

// room is how many rows may go along in a batch. Of a single row, which the
// server may have refused, a few always may.
func (s *stepper) room() int { return max(s.size-s.share(), min(smallestBatch, s.BatchRows), 1) }

// errLarge is a row with more than one batch may take, and errKept one with some
// that stays, though nothing refuses.
var (
	errLarge = errors.New("what has to go along with one row, in the same batch, is more than SWEEPER_BATCH_ROWS; raise it")
	errKept  = errors.New("a trigger or a rule of the application keeps what would go along with a row")
)

// errMany is a batch whose rows have more below them than it can take. It takes
// fewer rows, and all of what is theirs, so that only the family of a single row
// that is larger than a batch goes in pieces.
var errMany = errors.New("what goes along with so many rows does not fit into one batch")

// stuck takes in a batch that could take nothing, since what has to go at once did
// not fit or is locked. Fewer rows (again) may; of one row it says which it is.
func (s *stepper) stuck(ctx context.Context, at span, d done) (again bool) {
	err := errLarge
	if d.tried {
		err = errKept
	}
	switch {
	case s.narrow(ctx, d.places, err):
		return true
	case d.locked > 0 && !d.tried:
		s.got(at, d.locked)
	default:
		s.refused = append(s.refused, fmt.Sprintf("%s %s: %v", s.step.Kind, s.step.Relation, err))
	}
	return false
}

// shrink makes the next spans smaller, down to least rows. false: they are.
func (s *stepper) shrink(ctx context.Context, least int, err error) bool {
	if s.size <= least {
		return false
	}
	s.size = max(least, s.size/4)
	s.Log.WarnContext(ctx, "smaller batches follow", slog.String("step", s.step.Name()), slog.Int("rows", s.size), slog.Any("err", err))
	return true
}

// narrow has the next batches take fewer rows of the step, after one that took
// places of them. Where rows go along it leaves these their room: what belongs to
// one row goes with it, or stays with it, as far as a batch can hold it. false: it
// was one row.
func (s *stepper) narrow(ctx context.Context, places int, err error) bool {
	if len(s.step.Kin) == 0 || places == 0 {
		return s.shrink(ctx, 1, err)
	}
	if places == 1 {
		return false
	}
	s.weight = min(4*s.weight, float64(s.BatchRows))
	s.Log.DebugContext(ctx, "batches of fewer rows follow", slog.String("step", s.step.Name()), slog.Int("rows", s.share()), slog.Any("err", err))
	return true
}

// adapt sizes the next batch by the duration of the last.
func (s *stepper) adapt(took time.Duration) {
	next := s.size * 3 / 2
	if took > s.BatchTarget {
		next = int(float64(s.size) * float64(s.BatchTarget) / float64(took))
	}
	s.size = min(s.even, max(smallestBatch, next))
}

// weigh learns how many rows go along with one, so that the next batch is not
// larger than it should be.
func (s *stepper) weigh(d done) {
	switch {
	case len(s.step.Kin) == 0 || d.places == 0:
	case d.more && d.rows == 0:
		s.weight = min(s.weight*2, float64(s.BatchRows))
	case d.more:
		s.weight = min(s.weight*1.2, float64(s.BatchRows))
	default:
		s.weight = max(1.1, (s.weight+1.1*float64(d.rows+d.kin)/float64(d.places))/2)
	}
}
