package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

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
	if err := wal.DropSlot(ctx, conn, s.cfg.Slot, s.instance.logger()); err != nil {
		return err
	}
	s.log.ErrorContext(ctx, "slot given up", slog.String(KeySlot, s.cfg.Slot), slog.Int64("bytes", status.RetainedBytes), slog.String(KeyLSN, wal.LSN(log.Applied()).String()))
	return &givenUpError{text + "; run: sweeper install"}
}

// givenUpError is a slot that went, so that the disk stays.
type givenUpError struct{ text string }

func (e *givenUpError) Error() string { return e.text }
