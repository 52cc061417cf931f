package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// patience is how often a slot may be found busy before its reader is ended.
const patience = int(lookEvery / takeOver)

// standBy returns when nobody writes the purge log any more, because whoever
// did has gone or is frozen and was ended.
func (s *stream) standBy(ctx context.Context, conn *pgx.Conn) error {
	for {
		free, err := endFrozen(ctx, conn, s.log, pg.LockLog)
		if free || err != nil {
			return err
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// endReader ends the session that reads the slot while the right to write the
// log is ours: what a process of ours left behind when its network went. A
// reader that is not one of ours stays.
func (s *stream) endReader(ctx context.Context, conn *pgx.Conn, cause error) error {
	if !errors.Is(cause, wal.ErrSlotBusy) {
		return cause
	}
	if s.busy++; s.busy <= patience {
		return cause
	}
	var application string
	var pid int
	err := conn.QueryRow(ctx, `select a.application_name, a.pid from pg_replication_slots s join pg_stat_activity a on a.pid = s.active_pid
		where s.slot_name = $1`, s.cfg.Slot).Scan(&application, &pid)
	if err != nil || !ownName.MatchString(application) {
		return cause
	}
	s.log.WarnContext(ctx, "the slot is still read by a process that no longer writes the log, its session is ended", slog.String("application", application))
	if _, err := conn.Exec(ctx, `select pg_terminate_backend($1)`, pid); err != nil {
		return pg.Wrap("end the session that reads the slot", err)
	}
	return cause
}

// beating shows the server that this process lives, over a connection that is
// used for nothing else meanwhile. The context ends when the connection is
// lost; quiet ends the beating and tells whether it was.
func beating(ctx context.Context, conn *pgx.Conn) (beaten context.Context, quiet func() error) {
	beaten, cancel := context.WithCancelCause(ctx)
	var lost error
	var wg sync.WaitGroup
	wg.Go(func() {
		beat(beaten, conn, func(err error) { lost = err; cancel(err) })
	})
	return beaten, sync.OnceValue(func() error {
		cancel(nil)
		wg.Wait()
		return lost
	})
}

// application is the name of the stream's connections.
func (s *stream) application() string { return s.instance.logger() }
