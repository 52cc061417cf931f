package sweeper

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// freshTimeout bounds the wait for a look: one may be under way already.
const freshTimeout = 2*watchTimeout + time.Second

// freshness is about looks that somebody waits for. A connection that was just made may
// lead to another server than those before: a standby that was promoted has the
// application's rows, and perhaps no slot. What was seen before counts for
// nothing there.
type freshness struct {
	mu     sync.Mutex
	wanted int           // how often one was asked for
	done   int           // up to which of them the looks that have ended go
	wake   chan struct{} // asks for one now
	ended  chan struct{} // closed at the end of the next one
}

// asked is where the monitor hears that somebody waits.
func (f *freshness) asked() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.make()
	return f.wake
}

func (f *freshness) make() {
	if f.wake == nil {
		f.wake, f.ended = make(chan struct{}, 1), make(chan struct{})
	}
}

// begins is told at the begin of a look, and calls what it returns at its end.
func (f *freshness) begins() (ends func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.make()
	upTo := f.wanted
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.done = upTo
		close(f.ended)
		f.ended = make(chan struct{})
	}
}

// wait returns when a look has ended that began after the call.
func (f *freshness) wait(ctx context.Context) error {
	f.mu.Lock()
	f.make()
	f.wanted++
	mine := f.wanted
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	for {
		f.mu.Lock()
		ended, done := f.ended, f.done >= mine
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case f.wake <- struct{}{}:
		default:
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("look at the evidence before a new connection purges: %w", context.Cause(ctx))
		}
	}
}

// placeOf tells one running server from another, and one timeline from the next.
// A standby that is promoted was started by itself.
func placeOf(ctx context.Context, conn *pgx.Conn) (place string, err error) {
	err = conn.QueryRow(ctx, `select concat_ws('/', system_identifier, pg_postmaster_start_time(), inet_server_addr(), inet_server_port()) from pg_control_system()`).Scan(&place)
	return place, pg.Wrap("look which server a new connection leads to", err)
}

// freshly has the first connection of the purging role to another server than
// before wait until that one's evidence was looked at, by the monitor and against
// the anchors. What they find stops purging; it does not refuse the connection.
func (d *daemon) freshly(ctx context.Context, conn *pgx.Conn) error {
	d.arriving.Lock()
	defer d.arriving.Unlock()
	place, err := placeOf(ctx, conn)
	if err != nil || place == d.place {
		return err
	}
	if err := d.health.looks.wait(ctx); err != nil {
		return err
	}
	if err := d.look(ctx, d.notary); transient(err) {
		return err
	}
	d.place = place
	return nil
}

// witnessed refuses a connection of the purging role to a server that has not
// got the slot.
func (c Config) witnessed(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	err := conn.QueryRow(ctx, `select exists (select from pg_catalog.pg_replication_slots where slot_name = $1 and database = current_database()
		and confirmed_flush_lsn is not null and wal_status is distinct from 'lost')`, c.Slot).Scan(&there)
	if err == nil && !there {
		return &SetupError{"slot " + c.Slot + " does not exist on the server that a new connection leads to, so nothing would witness a purge", "run: sweeper install"}
	}
	return pg.Wrap("look up slot "+c.Slot, err)
}
