package sweeper_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// TestSomebodyElseHoldsTheLog has a login that may do nothing take the key of
// the log's writer: nothing may go, and a sweep names who has it.
func TestSomebodyElseHoldsTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.sweep(t)
	b.fill(t, 0, 100)
	role := b.db.Role(t, "stranger", "login")
	other := b.db.Conn(t, role)
	if _, err := other.Exec(t.Context(), `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.LockLog); err != nil {
		t.Fatal(err)
	}
	_, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	want := fmt.Sprintf("held by pid %d (", other.PgConn().PID())
	var setup *sweeper.SetupError
	if !errors.As(err, &setup) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "role "+role+"), who does not read slot "+b.db.Slot()) {
		t.Errorf("got %v", err)
	}
	if got := b.text(t, `select count(*) from app.events`); got != "100" {
		t.Errorf("%s rows are left of 100", got)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until(t, "the key is free", `select count(*) = 0 from pg_locks where locktype = 'advisory' and objid = 3 and classid = 1398228304 and database = (select oid from pg_database where datname = current_database())`)
	if o := b.sweep(t)["events"]; o.Deleted != 100 {
		t.Errorf("with the key free again: %+v", o)
	}
}

// TestSomebodyElseReadsTheSlot has another program at the slot, which writes
// no purge log: nothing may go, and a sweep says why.
func TestSomebodyElseReadsTheSlot(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.sweep(t)
	b.fill(t, 0, 100)
	reader, err := wal.Open(t.Context(), wal.Options{
		URL: b.db.URL("sweeper_logger"), Slot: b.db.Slot(), Application: "somebody else",
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
