package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// patience is how often a slot may be found busy before its reader is ended.
const patience = int(lookEvery / takeOver)

// proofWithin is how long a process that has taken the log may need to read the
// slot too. One that is frozen is ended before.
const proofWithin = frozenAfter + lookEvery

// standBy returns when nobody writes the purge log any more, because whoever
// did has gone or is frozen and was ended. Any login can take the key that says
// who writes it: only while the same process of the logging role reads our slot
// is it a witness, and else it is named in an error.
func (s *stream) standBy(ctx context.Context, conn *pgx.Conn) error {
	var unproven since
	for {
		free, err := endFrozen(ctx, conn, s.log, pg.LockLog)
		if free || err != nil {
			return err
		}
		ours, reads, err := s.witness(ctx, conn)
		if err != nil {
			return err
		}
		pause := lookEvery
		switch {
		case reads:
			s.isRead(ctx)
		case ours:
			pause = poll
		}
		if waited := unproven.holds(s.now(), !reads); !reads && (!ours || waited > proofWithin) {
			return s.noWitness(ctx, conn)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// witness tells whether a process of the logging role holds the right to write
// the log, or nobody does any more, and whether that process reads the slot. A
// session that is about to end has left the list of sessions while its locks are
// still there: it holds nothing any more.
func (s *stream) witness(ctx context.Context, conn *pgx.Conn) (ours, reads bool, err error) {
	const sql = `
		select coalesce(bool_and(coalesce(h.usename = current_user or pg_has_role(h.usesysid, 'sweeper_logger', 'member'), false)), true),
		       coalesce(bool_and(coalesce((h.usename = current_user or pg_has_role(h.usesysid, 'sweeper_logger', 'member'))
		                                  and r.usesysid = h.usesysid and r.application_name = h.application_name, false)), false)
		  from pg_locks l left join pg_stat_activity h using (pid)
		  left join pg_replication_slots s on s.slot_name = $3
		  left join pg_stat_activity r on r.pid = s.active_pid
		 where l.locktype = 'advisory' and l.granted and l.classid = $1::int::oid and l.objid = $2::int::oid and l.objsubid = 2
		   and l.database = (select oid from pg_database where datname = current_database()) and (l.pid is null or h.pid is not null)`
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	err = conn.QueryRow(ctx, sql, pg.LockSpace, pg.LockLog, s.cfg.Slot).Scan(&ours, &reads)
	return ours, reads, pg.Wrap("look who writes the purge log", err)
}

// noWitness is the error of a holder of the log that does not read the slot.
func (s *stream) noWitness(ctx context.Context, conn *pgx.Conn) error {
	return &SetupError{
		fmt.Sprintf("the right to write the purge log is held by %s, who does not read slot %s, so nothing would witness a purge", pg.LockHolder(ctx, conn, pg.LockLog), s.cfg.Slot),
		"end that session with pg_terminate_backend",
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
func beating(ctx context.Context, conn *pgx.Conn, every time.Duration) (beaten context.Context, quiet func() error) {
	beaten, cancel := context.WithCancelCause(ctx)
	var lost error
	var wg sync.WaitGroup
	wg.Go(func() {
		beat(beaten, conn, every, func(err error) { lost = err; cancel(err) })
	})
	return beaten, sync.OnceValue(func() error {
		cancel(nil)
		wg.Wait()
		return lost
	})
}

// beatEvery is how often the stream shows that its process lives. Where there is
// a monitor, that one's looks show it too.
func (s *stream) beatEvery() time.Duration {
	if s.health != nil {
		return watchEvery
	}
	return beatEvery
}

// application is the name of the stream's connections.
func (s *stream) application() string { return s.instance.logger() }
