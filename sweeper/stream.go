package sweeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/failpoint"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

const (
	flushRows  = 50_000                 // rows of the WAL in one transaction of the log, about
	flushEvery = 200 * time.Millisecond // age of the oldest pending transaction at which it is flushed
	idleBytes  = 16 << 20               // WAL that held nothing for us, after which the progress moves all the same
	idleEvery  = time.Minute
	poll       = 50 * time.Millisecond  // what is pending waits this long for company
	idlePoll   = 500 * time.Millisecond // while nothing is pending
	lookEach   = 5 * time.Second        // between two looks at what the publications name
	lookRarely = time.Minute            // the same, where a look takes long
	lookShare  = 500                    // a look may take one part in so many of the time
)

// takeOver is how often a stream looks whether the process that writes the log
// is still there.
const takeOver = 500 * time.Millisecond

// stream carries what the slot shows into the purge log.
type stream struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	instance instance
	outage   *outage
	keep     bool          // no error ends the stream: it waits until it is mended
	health   *Health       // nil: nobody watches
	ready    chan struct{} // closed when the slot is read for the first time, by us or another process; until then no error is retried. nil: nobody waits
	busy     int           // how often in a row the slot had a reader while the log had no other writer
	reading  atomic.Bool   // the slot is ours at this moment
	broke    chan error    // hears, if there is room, of what ended a session and waits for somebody to mend it; nil: nobody asks
	notary   *notary       // holds the log against what is anchored; nil: nothing is
	prunes   *prunes       // months of the log that may go; nil: nobody prunes
	blind    bool          // a publication does not exist at the slot's position, so that nobody can ever read on from there
}

// run streams until ctx ends. While another process does, it stands by and
// takes its place when that one ends. A lost connection is made again, with
// growing pauses; what cannot heal by itself is returned, unless keep is set.
func (s *stream) run(ctx context.Context) error {
	wait := newBackoff()
	for {
		began := s.now()
		err := s.session(ctx)
		s.reading.Store(false)
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil: // whoever held the place has gone
		case errors.Is(err, wal.ErrSlotBusy) && s.busy <= 2*patience:
			pause = takeOver // what a dead process left; nobody who reads the slot now writes the log
		case !s.keep && (s.ready != nil || !transient(err)):
			return err
		default:
			if s.now().Sub(began) > time.Minute {
				wait.Reset()
			}
			s.outage.failed(ctx, partLog, err)
			if !transient(err) {
				select {
				case s.broke <- err:
				default:
				}
			}
			pause = wait.NextBackOff()
		}
		switch news, err := s.health.sleep(ctx, pause); {
		case err != nil:
			return nil
		case news:
			wait.Reset()
		}
	}
}

// isRead tells who waits that the slot has its reader.
func (s *stream) isRead(ctx context.Context) {
	s.outage.over(ctx, partLog)
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

// transient tells whether opening again can help.
func transient(err error) bool {
	if errors.Is(err, wal.ErrPooler) {
		return false
	}
	return pg.Classify(err) == pg.Unreachable || pg.Classify(err) == pg.Retry
}

// session is one connection's life: from the log's own progress on, whole
// transactions are appended, made durable, and only then acknowledged.
func (s *stream) session(ctx context.Context) (err error) {
	conn, _, err := s.cfg.logger(ctx, s.instance)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	slot, systemID, err := s.cfg.evidence(ctx, conn)
	if err != nil {
		return err
	}
	// Also of who stands by: he purges while another process writes the log.
	if err := purgelog.CheckHMACKey(ctx, conn, s.cfg.hmacKeys()...); err != nil {
		return err
	}
	if err := s.notary.begin(ctx, conn); err != nil {
		return err
	}
	log, err := purgelog.Open(ctx, s.cfg.logOptions(systemID, uint64(slot.Confirmed), s.log, s.instance))
	if errors.Is(err, purgelog.ErrBusy) {
		return s.standBy(ctx, conn)
	}
	if err != nil {
		return err
	}
	defer log.Close(context.WithoutCancel(ctx))
	if tooMuch(s.cfg, slot.RetainedBytes) {
		return s.giveUp(ctx, conn, log)
	}
	if s.blind {
		return s.renew(ctx, conn, log)
	}
	streaming, quiet := beating(ctx, conn, s.beatEvery())
	defer func() { err = cmp.Or(quiet(), err) }()
	reader, err := wal.Open(streaming, wal.Options{
		URL: s.cfg.ReplicationURL.Reveal(), Slot: s.cfg.Slot, Start: s.resume(log), Key: log.KeyColumns, Log: s.log,
		Publications: s.cfg.publications(), Application: s.instance.logger(),
	})
	if err != nil {
		return cmp.Or(quiet(), s.endReader(ctx, conn, err))
	}
	defer func() { _ = reader.Close(context.WithoutCancel(ctx)) }()
	s.busy = 0
	s.reading.Store(true)
	s.isRead(ctx)
	err = s.copy(streaming, reader, log)
	s.blind = errors.Is(err, wal.ErrPublicationMissing)
	err = cmp.Or(quiet(), err)
	if ctx.Err() == nil && !s.blind && !errors.Is(err, errTooMuch) {
		s.health.wrote(err)
	}
	if errors.Is(err, errTooMuch) {
		_ = reader.Close(context.WithoutCancel(ctx))
		err = s.giveUp(ctx, conn, log)
	}
	return err
}

// logOptions say whose log it is, and with which keys.
func (c Config) logOptions(systemID string, confirmed uint64, log *slog.Logger, i instance) purgelog.Options {
	return purgelog.Options{
		URL: c.ReplicationURL.Reveal(), SystemID: systemID, Slot: c.Slot, Confirmed: confirmed, Key: c.HMACKey.First.Bytes(), FormerKey: c.HMACKey.Second.Bytes(), Log: log,
		SigningKey: c.SigningKey.First.Public(), FormerSigningKey: c.SigningKey.Second.Public(), Application: i.logger(),
		Publications: c.publications(),
		Switch: func(ctx context.Context, from, to int) (uint64, error) {
			lsn, err := wal.SwitchPoint(ctx, wal.Options{URL: c.ReplicationURL.Reveal(), Application: i.logger()}, from, to)
			return uint64(lsn), err
		},
	}
}

// resume is where to read on: behind what the log has, or, where the server is
// told of that late, from what it was told. What is in the log already is
// skipped.
func (s *stream) resume(log *purgelog.Log) wal.LSN {
	if s.cfg.ConfirmDelay > 0 {
		return 0
	}
	return wal.LSN(log.Applied())
}

// publications are the three that the slot is read through.
func (c Config) publications() []string {
	return []string{c.Publication, c.Publication + "_redact", c.Publication + "_stamp"}
}

// evidence looks at what must be there for a purge to be witnessed, and
// changes nothing.
func (c Config) evidence(ctx context.Context, conn *pgx.Conn) (slot wal.Status, systemID string, err error) {
	if slot, err = wal.SlotStatus(ctx, conn, c.Slot); err != nil {
		return slot, "", err
	}
	var missing *string
	err = conn.QueryRow(ctx, `select (select system_identifier::text from pg_control_system()),
		(select string_agg(p, ', ') from unnest($1::text[]) p where not exists (select from pg_publication where pubname = p))`, c.publications()).Scan(&systemID, &missing)
	switch {
	case err != nil:
		err = pg.Wrap("look at the publications", err)
	case !slot.Exists:
		err = &SetupError{"slot " + c.Slot + " does not exist, so nothing would witness a purge", "run: sweeper install"}
	case slot.Making:
		err = &SetupError{fmt.Sprintf("slot %s is still being made by pid %d, so nothing would witness a purge", c.Slot, slot.ActivePID), "try again when the transactions that were open before it have ended"}
	case slot.WALStatus == "lost":
		err = fmt.Errorf("slot %s: %w", c.Slot, wal.ErrSlotLost)
	case missing != nil:
		err = &SetupError{"publication " + *missing + " does not exist, so nothing would witness a purge", "run: sweeper install"}
	}
	return slot, systemID, err
}

// copy moves transactions until an error or the end of ctx.
func (s *stream) copy(ctx context.Context, reader *wal.Reader, log *purgelog.Log) error {
	var oldest, moved time.Time // of what is pending; of the last progress
	began := s.now()
	moved = began
	looks := looks{next: moved.Add(lookEach)}
	late := confirmer{delay: s.cfg.ConfirmDelay, ack: func(lsn uint64) { reader.Ack(wal.LSN(lsn)) }}
	late.applied(log.Applied(), began)
	for {
		late.tell(s.now())
		pending := !oldest.IsZero()
		if !pending {
			s.prunes.apply(ctx, s.log, log)
		}
		wait := idlePoll
		if pending {
			wait = poll
		} else if err := looks.look(ctx, s.now, log, uint64(reader.Position())); err != nil {
			return err
		}
		tx, err := reader.Poll(ctx, wait)
		if err != nil {
			return err
		}
		if tx == nil && !pending && s.health != nil {
			s.health.seen.Store(uint64(reader.Position()))
			if s.now().Sub(began) > settled {
				s.health.wrote(nil) // nothing came that could not be written
			}
		}
		switch {
		case tx == nil && !pending && s.health != nil && s.health.giveUp.Load():
			err = errTooMuch
		case tx == nil && !pending && s.health != nil && s.health.unpublished.CompareAndSwap(true, false):
			err = log.Gap(ctx, "a publication did not exist for a time that ended here: of its tables, what was committed in it is not logged")
		case tx != nil && uint64(tx.CommitLSN) < log.Applied():
			err = tx.Skip(ctx) // it is in the log: the server sends again what it has not written down as confirmed
		case tx != nil:
			if !pending {
				oldest = s.now()
			}
			err = log.Append(ctx, handOver(tx))
		case !pending && s.worthMoving(uint64(reader.Position()), log.Applied(), moved):
			oldest = s.now().Add(-flushEvery)
			err = log.Advance(ctx, uint64(reader.Position()))
		}
		if err != nil {
			return err
		}
		due := !oldest.IsZero() && (tx == nil || log.Pending() >= flushRows || s.now().Sub(oldest) >= flushEvery)
		if !due {
			continue
		}
		applied, err := log.Flush(ctx)
		if err != nil {
			return err
		}
		s.health.wrote(nil)
		failpoint.Hit("log.appended")
		late.applied(applied, s.now())
		oldest, moved = time.Time{}, s.now()
	}
}

// looks are those at what the publications name.
type looks struct{ next time.Time }

// look looks again when it is time, or when a table's key has changed, and has
// the log say what there is to say. Everything up to position is in the log.
func (l *looks) look(ctx context.Context, now func() time.Time, log *purgelog.Log, position uint64) error {
	if began := now(); !began.Before(l.next) || log.KeyChanged() {
		if err := log.Look(ctx); err != nil {
			return err
		}
		ended := now()
		l.next = ended.Add(min(lookRarely, max(lookEach, lookShare*ended.Sub(began))))
	}
	return log.Settle(ctx, position)
}

// worthMoving keeps an idle log from writing its progress for ever: writing it
// is WAL too.
func (s *stream) worthMoving(position, applied uint64, moved time.Time) bool {
	return position > applied && (position-applied >= idleBytes || s.now().Sub(moved) >= idleEvery)
}

// handOver gives a transaction of the reader to the log, which knows nothing
// of readers.
func handOver(tx *wal.Tx) purgelog.Tx {
	return purgelog.Tx{
		XID: tx.XID, CommitLSN: uint64(tx.CommitLSN), CommittedAt: tx.CommittedAt,
		End: func() uint64 { return uint64(tx.EndLSN) },
		Next: func(ctx context.Context) (purgelog.Change, error) {
			c, err := tx.Next(ctx)
			if err != nil {
				if errors.Is(err, io.EOF) {
					return purgelog.Change{}, io.EOF
				}
				return purgelog.Change{}, err
			}
			names := make([]purgelog.Name, 0, 1)
			for _, r := range c.Relations {
				names = append(names, purgelog.Name{Schema: r.Schema, Relation: r.Name})
			}
			if len(names) == 0 {
				names = append(names, purgelog.Name{Schema: c.Relation.Schema, Relation: c.Relation.Name})
			}
			return purgelog.Change{Op: byte(c.Op), Relations: names, Rows: c}, nil
		},
	}
}
