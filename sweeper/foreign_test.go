package sweeper_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// TestSomebodyElseReadsTheSlot has another program at the slot, which writes
// no purge log: nothing may go, and a sweep says why.
func TestSomebodyElseReadsTheSlot(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.sweep(t)
	b.fill(t, 0, 100)
	reader, err := wal.Open(t.Context(), wal.Options{
		URL: b.db.URL("sweeper_logger"), Slot: b.db.Slot(), Now: time.Now, Application: "somebody else",
		Publications: []string{"sweeper", "sweeper_redact", "sweeper_stamp"},
		Key:          func(_ context.Context, _, _ string, identity []string) ([]string, error) { return identity, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	if !errors.Is(err, wal.ErrSlotBusy) {
		t.Errorf("got %v, want %v", err, wal.ErrSlotBusy)
	}
	if got := b.text(t, `select count(*) from app.events`); got != "100" {
		t.Errorf("%s rows are left of 100", got)
	}
	if err := reader.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := b.sweep(t)["events"]; o.Deleted != 100 {
		t.Errorf("with the slot free again: %+v", o)
	}
}
