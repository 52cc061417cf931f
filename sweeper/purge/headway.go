package purge

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// errReturns is a row with more below it than a batch takes, of which as much is
// left after many batches as before them.
var errReturns = errors.New("what was taken of the rows that go along with a row comes back as fast as it goes, as a trigger of the application can have it, so the row stays")

// firstLook is after how many pieces of a family it is counted for the first time
// what is left of it, and from then on after twice as many each time: the counts
// of a family that ends cost less than its batches.
const firstLook = 4

// headway refuses rows of which no less is left than when it was counted last,
// though every batch since then took some. What a trigger brings back in a BEFORE
// the batch itself notices; what it brings back later shows only here.
func (f *family) headway(ctx context.Context, good members) error {
	k := f.known
	if k.pieces < max(firstLook, 2*k.looked) {
		return nil
	}
	left, err := f.left(ctx, good)
	if pg.Classify(err) == pg.Shrink {
		return nil // it took too long to be counted, and so may go on
	}
	if err != nil {
		return err
	}
	if k.looked > 0 && left >= k.left {
		k.rows = nil // judged and counted anew, should the step come back to them
		return fmt.Errorf("%s a batch of %s: %w", f.step.Kind, f.step.Relation, errReturns)
	}
	k.looked, k.left = k.pieces, left
	return nil
}

// left counts what there still is to do below rows. Its failure undoes nothing of
// the batch.
func (f *family) left(ctx context.Context, good members) (all int64, err error) {
	err = pgx.BeginFunc(ctx, f.tx, func(tx pgx.Tx) error {
		found := make([]members, len(f.step.Kin))
		for i := range f.step.Kin {
			k, of := &f.step.Kin[i], good
			if k.Of >= 0 {
				of = found[k.Of]
			}
			if len(of.places) == 0 {
				continue
			}
			var n int64
			args := append([]any{of.places, of.leaves, make([]*string, len(of.places)), nil, false}, k.Left.Args...)
			if err := tx.QueryRow(ctx, k.Left.SQL, args...).Scan(&found[i].places, &found[i].leaves, &n); err != nil {
				return pg.Wrap("count what is left below a row of "+f.step.Relation, err)
			}
			all += n
		}
		return nil
	})
	return all, err
}
