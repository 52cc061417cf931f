package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

const (
	// queueLength is how many events wait for the consumer; a Change of them is
	// 2000 rows or about 256 KiB at most, mostly far less.
	queueLength = 32
	// linger is how long a bulk read waits for more bytes.
	linger = 20 * time.Millisecond
	// tellAfter is after how many bytes of WAL that became durable the server hears of
	// them with the next commit: a sweep judges by the slot's position how far behind
	// the log is, and would wait for the next status.
	tellAfter = 32 << 20
	// pingLimit is how many requests for a status, one right after the other,
	// show that the server shuts down.
	pingLimit = 10
)

// stream is the goroutine that owns the connection. Fields without a note
// belong to it alone.
type stream struct {
	net   net.Conn
	front *pgproto3.Frontend
	o     Options
	every time.Duration // between statuses
	limit time.Duration // of the server's silence
	pause time.Duration // requests for a status that come sooner than this are out of the ordinary
	asm   assembler

	events chan event    // to the consumer; closed at the end
	free   chan *Change  // and back, for their memory
	done   chan struct{} // closed when the goroutine has ended
	err    error         // why it ended; read after events or done is closed

	acked   atomic.Uint64 // set by Ack
	skip    atomic.Uint64 // commit LSN of the transaction that the consumer skips
	ignored atomic.Uint64 // messages of unknown type

	received   pglogrepl.LSN // the newest position that the server named
	idle       pglogrepl.LSN // a position that waits for room in the queue
	queued     pglogrepl.LSN // the newest position in the queue
	heard      bool          // something came since the deadline was set
	heardAt    time.Time     // when the last message came that was not read in bulk
	alive      bool          // something came since the last status
	silent     time.Duration // how long nothing came
	nextStatus time.Time
	told       uint64 // what the server was told to be durable
	bulk       bool   // reads wait for 32 KiB
	standby    bool   // commits may wait for what we say to have written
	hush       hush
	pings      int // requests in a row that came without a pause
	pingAt     time.Time
}

// run reads until ctx ends (Close) or the stream does.
func (s *stream) run(ctx context.Context) {
	defer close(s.done)
	err := notEOF(s.receive(ctx))
	if ctx.Err() != nil {
		err = ErrClosed
		s.goodbye()
	}
	s.hangUp()
	s.err = err
	close(s.events)
}

func (s *stream) receive(ctx context.Context) error {
	s.nextStatus = now().Add(s.every)
	if err := s.arm(ctx); err != nil {
		return err
	}
	for {
		msg, err := s.front.Receive()
		switch {
		case err == nil:
			s.hear()
			err = s.handle(ctx, msg)
		case isTimeout(err):
			err = s.tick(ctx)
		default:
			err = s.wrap(err)
		}
		if err != nil {
			return err
		}
	}
}

// arm sets the deadline of the next reads. Close cancels ctx before it moves
// the deadline into the past, so that one of the two is always seen.
func (s *stream) arm(ctx context.Context) error {
	s.heard = false
	if err := s.net.SetReadDeadline(s.deadline()); err != nil {
		return s.wrap(err)
	}
	return ctx.Err()
}

// deadline is when there is something to do even if nothing comes.
func (s *stream) deadline() time.Time {
	at := s.nextStatus
	if s.hush.on() && s.hush.next.Before(at) {
		at = s.hush.next
	}
	if s.bulk {
		if soon := now().Add(linger); soon.Before(at) {
			at = soon
		}
	}
	return at
}

// hear notes that a message came. One that comes within linger of the one before
// it shows a server with much to say, if only positions, one for each commit of
// somebody: woken for each of them we would take more of a core than the server
// takes to commit.
func (s *stream) hear() {
	s.heard = true
	if s.bulk {
		return
	}
	at := now()
	if at.Sub(s.heardAt) < linger {
		s.setBulk(true)
	}
	s.heardAt = at
}

// tick does what is due when a read deadline has passed.
func (s *stream) tick(ctx context.Context) error {
	s.alive = s.alive || s.heard
	if s.bulk && !s.heard && s.idle <= s.queued {
		s.setBulk(false)
	}
	if !now().Before(s.nextStatus) {
		if s.alive {
			s.silent = 0
		} else if s.silent += s.every; s.silent >= s.limit {
			return pg.Wrap(s.op(), endedError(fmt.Sprintf("no answer for %s", s.silent)))
		}
		if err := s.status(s.silent > 0); err != nil {
			return err
		}
	}
	if err := s.ask(); err != nil {
		return err
	}
	if err := s.offer(ctx); err != nil {
		return err
	}
	return s.arm(ctx)
}

func (s *stream) handle(ctx context.Context, msg pgproto3.BackendMessage) error {
	switch m := msg.(type) {
	case *pgproto3.CopyData:
		return s.copyData(ctx, m.Data)
	case *pgproto3.ErrorResponse:
		return streamError(s.op(), pgconn.ErrorResponseToPgError(m), s.o.Publications)
	case *pgproto3.NoticeResponse:
		return s.notice(m)
	case *pgproto3.ParameterStatus:
		return nil
	case *pgproto3.CopyDone, *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return pg.Wrap(s.op(), errEnded)
	}
	return fmt.Errorf("%s: unexpected message %T", s.op(), msg)
}

// notice looks for the one warning that matters: newer servers only warn of a
// publication that is missing, and would leave its tables out.
func (s *stream) notice(m *pgproto3.NoticeResponse) error {
	if m.SeverityUnlocalized == "WARNING" && m.Code == "55000" && namesOne(m.Message, s.o.Publications) {
		return because(s.op(), &pgconn.PgError{Code: m.Code, Message: m.Message}, ErrPublicationMissing)
	}
	return nil
}

func (s *stream) copyData(ctx context.Context, data []byte) error {
	const header = 25 // type, start, end, time
	switch {
	case len(data) >= header && data[0] == pglogrepl.XLogDataByteID:
		s.pings = 0
		return s.asm.message(ctx, data[header:])
	case len(data) == 18 && data[0] == pglogrepl.PrimaryKeepaliveMessageByteID:
		return s.keepalive(ctx, pglogrepl.LSN(binary.BigEndian.Uint64(data[1:])), data[17] != 0)
	case len(data) == 0:
		return fmt.Errorf("%s: an empty message", s.op())
	}
	return fmt.Errorf("%s: a message %q of %d bytes", s.op(), data[0], len(data))
}

// keepalive takes a position of the server: everything before it has been
// sent. Inside a transaction it is nothing to go by.
func (s *stream) keepalive(ctx context.Context, end pglogrepl.LSN, reply bool) error {
	s.received = max(s.received, end)
	if s.asm.open == nil {
		s.idle = max(s.idle, end)
		if s.bulk {
			// The next tick offers the newest of many.
		} else if err := s.offer(ctx); err != nil {
			return err
		}
	}
	if !reply {
		return s.position()
	}
	if err := s.ping(); err != nil {
		return err
	}
	return s.status(false)
}

// ping notices a server that shuts down. It waits for us to confirm all of its
// WAL and asks for that over and over, for as long as we answer. We confirm
// only what is durable elsewhere, which can no longer become so: we leave, lest
// the application's database never stop.
func (s *stream) ping() error {
	at := now()
	if at.Sub(s.pingAt) > s.pause {
		s.pings = 0
	}
	s.pings++
	s.pingAt = at
	if s.pings >= pingLimit {
		return pg.Wrap(s.op(), errEnded)
	}
	return nil
}

// emit puts an event into the queue, and while there is no room goes on
// talking to the server.
func (s *stream) emit(ctx context.Context, e event) error {
	switch e.kind {
	case idle:
		s.received, s.idle = max(s.received, e.lsn), max(s.idle, e.lsn)
		return s.offer(ctx)
	case committed:
		s.received, s.queued = max(s.received, e.lsn), max(s.queued, e.lsn)
		if s.acked.Load() >= s.told+tellAfter {
			if err := s.status(false); err != nil {
				return err
			}
		}
	case began, changed:
	}
	select {
	case s.events <- e:
		return nil
	default:
	}
	return s.wait(ctx, e)
}

func (s *stream) wait(ctx context.Context, e event) error {
	timer := time.NewTimer(s.nextStatus.Sub(now()))
	defer timer.Stop()
	for {
		select {
		case s.events <- e:
			return nil
		case <-timer.C:
			// What came before the wait counts: it is we who do not read.
			s.alive = true
			if err := s.status(false); err != nil {
				return err
			}
			timer.Reset(s.every)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// offer queues the newest idle position if there is room. If there is none it
// waits for the next occasion: positions only grow, and data that overtakes it
// brings a greater one. A transaction that has begun meanwhile is none: between
// its changes nothing else may come.
func (s *stream) offer(ctx context.Context) error {
	if s.idle <= s.queued || s.asm.open != nil {
		return nil
	}
	select {
	case s.events <- event{kind: idle, lsn: s.idle}:
		s.queued = s.idle
	default:
	}
	return ctx.Err()
}

// take gives an empty Change, with the memory of one that was handed back.
func (s *stream) take() *Change {
	select {
	case c := <-s.free:
		return c
	default:
		return new(Change)
	}
}

// give hands a Change back. One that grew huge is left to the collector.
func (s *stream) give(c *Change) {
	if cap(c.data) > 2*maxBytes {
		return
	}
	select {
	case s.free <- c:
	default:
	}
}

func (s *stream) op() string { return fmt.Sprintf("read slot %q", s.o.Slot) }

func (s *stream) wrap(err error) error { return pg.Wrap(s.op(), err) }

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
