package purge

import (
	"errors"
	"fmt"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// errTorn is a row that would stay without what its start lies in: it would have
// begun never, and nobody would look for it again. So all of it stays.
var errTorn = errors.New("a row stays when what its retention starts from goes, so neither does; a trigger or a rule of the application keeps it, or writes it meanwhile")

// errUndone is a row with more below it that a trigger keeps as it was than a batch
// takes: its batches would be the same for ever.
var errUndone = errors.New("a trigger of the application has brought back what was taken from a row that goes along, so all of it stays")

// sound tells why a batch over the places is not to be committed; nil: it is.
func (f *family) sound(places []string) error {
	var err error
	switch {
	case f.undone > 0:
		err = errUndone
	case f.torn(places):
		err = errTorn
	default:
		return nil
	}
	return fmt.Errorf("%s a batch of %s: %w", f.step.Kind, f.step.Relation, err)
}

// torn tells whether a row of the places has stayed, or one of the same table that
// was to go along, though what the start of some lies in has gone.
func (f *family) torn(places []string) bool {
	bears, leaf, all := false, f.leaf(), map[string]bool{}
	for _, place := range places {
		all[leaf+place] = true
	}
	for i, m := range f.rows {
		bears = bears || f.step.Kin[i].Bears && len(m.places) > 0
		for j := range m.places {
			if f.isOwn(i) {
				all[m.leaves[j]+m.places[j]] = true
			}
		}
	}
	return bears && f.step.Kind == plan.Delete && f.done.rows+f.done.own < int64(len(all))
}

// refused tells whether the server, or what came of the batch, refuses some row.
func refused(err error) bool {
	return pg.Refused(err) || errors.Is(err, errTorn) || errors.Is(err, errUndone) || errors.Is(err, errReturns)
}
