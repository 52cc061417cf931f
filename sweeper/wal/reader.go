package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
)

// Reader hands out what the slot brings. Next, Poll and the methods of Tx
// belong to one goroutine; Position, Ack and Close may be called from any.
type Reader struct {
	s        *stream
	system   string
	cancel   context.CancelFunc // ends the stream's goroutine
	closing  sync.Once
	current  *Tx           // handed out and not read to its end
	position atomic.Uint64 // see Position
}

// Next waits for the next committed transaction with changes. The one before
// must have been read to io.EOF or skipped, else the error is ErrUnread: what
// is not read must not pass as read. When the stream has ended it gives the
// reason, now and ever after.
func (r *Reader) Next(ctx context.Context) (*Tx, error) { return r.next(ctx, nil) }

// Poll is Next for at most wait, after which it gives nil and nil. In either
// case it has taken in what the server told about its position, see Position.
func (r *Reader) Poll(ctx context.Context, wait time.Duration) (*Tx, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	return r.next(ctx, timer.C)
}

func (r *Reader) next(ctx context.Context, over <-chan time.Time) (*Tx, error) {
	if r.current != nil {
		return nil, fmt.Errorf("next after the transaction of %s: %w", r.current.CommitLSN, ErrUnread)
	}
	for {
		// What has arrived goes before the end of the wait.
		select {
		case e, ok := <-r.s.events:
			if tx, err := r.see(e, ok); tx != nil || err != nil {
				return tx, err
			}
			continue
		default:
		}
		select {
		case e, ok := <-r.s.events:
			if tx, err := r.see(e, ok); tx != nil || err != nil {
				return tx, err
			}
		case <-over:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// see takes an event between transactions.
func (r *Reader) see(e event, ok bool) (*Tx, error) {
	switch {
	case !ok:
		return nil, r.s.err
	case e.kind == began:
		e.tx.r = r
		r.current = e.tx
		return e.tx, nil
	case e.kind != idle:
		return nil, fmt.Errorf("rows or an end without a transaction: %w", ErrOutOfOrder)
	}
	r.advance(e.lsn)
	return nil, nil
}

func (r *Reader) advance(lsn pglogrepl.LSN) { raise(&r.position, lsn) }

// raise moves p forward to lsn and never back.
func raise(p *atomic.Uint64, lsn pglogrepl.LSN) {
	for {
		old := p.Load()
		if uint64(lsn) <= old || p.CompareAndSwap(old, uint64(lsn)) {
			return
		}
	}
}

// Position is the place before which everything has been handed out and read:
// the end of the last transaction that was read to io.EOF, or, while nothing
// comes for us, what the server says it has sent. It moves only in Next, Poll,
// Tx.Next and Tx.Skip. It is safe for Ack once what was read is durable.
func (r *Reader) Position() pglogrepl.LSN { return pglogrepl.LSN(r.position.Load()) }

// Ack states that everything up to lsn is durable in the log. The server hears
// of it with the next status and will not send it again. It takes end
// positions ([Tx.EndLSN], [Reader.Position]): after a commit's own LSN the
// transaction would come again. It never moves back.
func (r *Reader) Ack(lsn pglogrepl.LSN) { raise(&r.s.acked, lsn) }

// SystemID is the server's system identifier, in decimal digits.
func (r *Reader) SystemID() string { return r.system }

// Ignored counts messages of types that protocol 1 does not know.
func (r *Reader) Ignored() uint64 { return r.s.ignored.Load() }

// Close tells the server the last acknowledged position, ends the session and
// waits for the goroutine. Each step takes 2 s at most, and none waits longer
// than ctx. Afterwards Next gives ErrClosed. It may be called repeatedly.
func (r *Reader) Close(ctx context.Context) error {
	r.closing.Do(func() {
		r.cancel()
		_ = r.s.net.SetReadDeadline(time.Unix(1, 0)) // wakes the read in progress
	})
	ctx, cancel := context.WithTimeout(ctx, 4*patience)
	defer cancel()
	select {
	case <-r.s.done:
		return nil
	case <-ctx.Done():
	}
	_ = r.s.net.Close()
	last := time.NewTimer(patience)
	defer last.Stop()
	select {
	case <-r.s.done:
		return nil
	case <-last.C:
		return fmt.Errorf("close the reader of slot %q: its goroutine does not end", r.s.o.Slot)
	}
}

// Tx is a committed transaction. Its fields are set from the start, but EndLSN.
type Tx struct {
	XID         uint32
	CommitLSN   pglogrepl.LSN // start of the commit record: names the transaction, orders all of them
	EndLSN      pglogrepl.LSN // behind the commit record: what to Ack; set when Next has given io.EOF
	CommittedAt time.Time     // the server's clock, not monotonic

	r      *Reader
	change *Change // handed out last
	err    error   // sticky
}

// Next gives the next change, in WAL order, and io.EOF after the last. A
// change is valid until the next call.
func (tx *Tx) Next(ctx context.Context) (*Change, error) {
	if tx.change != nil {
		tx.r.s.give(tx.change)
		tx.change = nil
	}
	if tx.err != nil {
		return nil, tx.err
	}
	select {
	case e, ok := <-tx.r.s.events:
		return tx.see(e, ok)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (tx *Tx) see(e event, ok bool) (*Change, error) {
	switch {
	case !ok:
		tx.err = tx.r.s.err
	case e.kind == changed:
		tx.change = e.change
		return e.change, nil
	case e.kind == committed:
		tx.EndLSN, tx.err = e.lsn, io.EOF
		tx.r.current = nil
		tx.r.advance(e.lsn)
	default:
		tx.err = fmt.Errorf("a position or a transaction inside the transaction of %s: %w", tx.CommitLSN, ErrOutOfOrder)
	}
	return nil, tx.err
}

// Skip reads to the end of the transaction without looking: for one that is
// already logged. Rows that have not been decoded yet are not.
func (tx *Tx) Skip(ctx context.Context) error {
	tx.r.s.skip.Store(uint64(tx.CommitLSN))
	for {
		if _, err := tx.Next(ctx); err != nil {
			if errors.Is(err, io.EOF) && tx.EndLSN != 0 {
				return nil
			}
			return err
		}
	}
}
