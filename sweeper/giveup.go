package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// errTooMuch ends a stream whose slot holds back too much WAL.
var errTooMuch = errors.New("the slot holds back too much WAL")

// giveUp drops a slot that holds back more WAL than SWEEPER_SLOT_LIMIT allows:
// the application's disk comes before the evidence. The log says so first;
// whoever is killed in between does it again, and the log then says it twice.
func (s *stream) giveUp(ctx context.Context, conn *pgx.Conn, log *purgelog.Log) error {
	status, err := wal.SlotStatus(ctx, conn, s.cfg.Slot)
	if err != nil {
		return err
	}
	if !tooMuch(s.cfg, status.RetainedBytes) {
		return &givenUpError{fmt.Sprintf("slot %s held back too much WAL for a moment", s.cfg.Slot)}
	}
	text := fmt.Sprintf("slot %s given up at LSN %s, %d bytes retained", s.cfg.Slot, wal.LSN(log.Applied()), status.RetainedBytes)
	if err := log.Gap(ctx, text); err != nil {
		return err
	}
	if err := wal.DropSlot(ctx, conn, s.cfg.Slot, s.application()); err != nil {
		return err
	}
	s.log.ErrorContext(ctx, "slot given up", slog.String(KeySlot, s.cfg.Slot), slog.Int64("bytes", status.RetainedBytes), slog.String(KeyLSN, wal.LSN(log.Applied()).String()))
	return &givenUpError{text + "; run: sweeper install"}
}

// givenUpError is a slot that went, so that the disk stays.
type givenUpError struct{ text string }

func (e *givenUpError) Error() string { return e.text }

// renew replaces a slot that cannot be read on from where it stands: at that
// position a publication does not exist, and it never will, though it does now.
// The log says where it ends, and goes on with the new slot behind a gap.
func (s *stream) renew(ctx context.Context, conn *pgx.Conn, log *purgelog.Log) error {
	text := fmt.Sprintf("slot %s cannot be read from LSN %s on: a publication did not exist there", s.cfg.Slot, wal.LSN(log.Applied()))
	if err := log.Gap(ctx, text); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `update sweeper.log_progress set renewed_lsn = pg_current_wal_insert_lsn() where slot = $1`, s.cfg.Slot); err != nil {
		return pg.Wrap("allow the purge log to go on with a new slot", err)
	}
	if err := wal.DropSlot(ctx, conn, s.cfg.Slot, s.application()); err != nil {
		return err
	}
	s.blind = false
	s.log.ErrorContext(ctx, "slot made anew", slog.String(KeySlot, s.cfg.Slot), slog.String("why", text))
	return wal.CreateSlot(ctx, conn, s.cfg.Slot)
}
