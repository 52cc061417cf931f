package sweeper

import (
	"context"
	"errors"
)

// errHours is why a run stops that has not ended when its hours have.
var errHours = errors.New("the hours of SWEEPER_WINDOW are over; it goes on when they come again")

// hours are those of SWEEPER_WINDOW, in which scheduled runs purge.
type hours struct {
	open  context.Context // of what runs in them; nil: they are over
	close context.CancelCauseFunc
}

// at returns what lasts until they are over, or soft is; nil: they are. What runs
// hears of their end between two batches.
func (h *hours) at(soft context.Context, open bool) context.Context {
	switch {
	case !open && h.open != nil:
		h.close(errHours)
		*h = hours{}
	case open && h.open == nil:
		h.open, h.close = context.WithCancelCause(soft)
	}
	return h.open
}
