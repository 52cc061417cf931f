package wal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

const three = `create table t (id int primary key); insert into t select generate_series(1, 3)`

// deleteEach deletes the rows of t in a transaction of its own each.
func (b *testBundle) deleteEach(t testing.TB) {
	t.Helper()
	for id := range 3 {
		b.db.Exec(t, `delete from t where id = $1`, id+1)
	}
}

func TestRedelivery(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		ack   func(*wal.Reader, *wal.Tx) // after the second of three
		again string                     // what comes first after reopening
	}{
		{"nothing acknowledged", func(*wal.Reader, *wal.Tx) {}, "id=1"},
		{"commit acknowledged", func(r *wal.Reader, tx *wal.Tx) { r.Ack(tx.CommitLSN) }, "id=2"},
		{"end acknowledged", func(r *wal.Reader, tx *wal.Tx) { r.Ack(tx.EndLSN) }, "id=3"},
		{"position acknowledged", func(r *wal.Reader, _ *wal.Tx) { r.Ack(r.Position()) }, "id=3"},
		{"back again", func(r *wal.Reader, tx *wal.Tx) { r.Ack(tx.EndLSN); r.Ack(tx.CommitLSN - 100); r.Ack(0) }, "id=3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, three, []string{"t"}, nil, nil)
			r := b.open(t)
			b.deleteEach(t)
			read(t, r)
			second, _ := read(t, r)
			if r.Position() != second.EndLSN || second.EndLSN <= second.CommitLSN {
				t.Errorf("position %s, commit %s to %s", r.Position(), second.CommitLSN, second.EndLSN)
			}
			test.ack(r, second)
			closeReader(t, r)
			if _, got := read(t, b.open(t)); len(got) != 1 || !strings.HasSuffix(got[0], test.again) {
				t.Errorf("got %q first, want %s", got, test.again)
			}
		})
	}
}

func TestStartGoesBeforeTheConfirmedPosition(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	r := b.open(t)
	b.deleteEach(t)
	read(t, r)
	second, _ := read(t, r)
	closeReader(t, r) // acknowledged nothing, as in a crash
	r = b.open(t, func(o *wal.Options) { o.Start = second.EndLSN })
	if r.Position() != second.EndLSN {
		t.Errorf("position %s at the start, want %s", r.Position(), second.EndLSN)
	}
	tx, got := read(t, r)
	if d := cmp.Diff([]string{"delete public.t id=3"}, got); d != "" {
		t.Error(d)
	}
	if tx.XID == 0 || tx.CommittedAt.Before(time.Now().Add(-time.Hour)) || tx.CommittedAt.After(time.Now().Add(time.Minute)) {
		t.Errorf("transaction %d committed at %s", tx.XID, tx.CommittedAt)
	}
}

func TestOpenRefusesAResumePointThatLiesElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	r := b.open(t)
	b.deleteEach(t)
	first, _ := read(t, r)
	second, _ := read(t, r)
	r.Ack(second.EndLSN)
	closeReader(t, r)
	o := b.options()
	for name, start := range map[string]pglogrepl.LSN{"behind the slot": first.EndLSN, "ahead of the server": second.EndLSN + 1<<40} {
		o.Start = start
		if _, err := reopen(t.Context(), o); !errors.Is(err, wal.ErrDiverged) {
			t.Errorf("%s: got %v, want ErrDiverged", name, err)
		}
	}
}

func TestIdlePositionFollowsTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key); create table busy (v text); insert into t values (1), (2)`, []string{"t"}, nil, nil)
	r := b.open(t, func(o *wal.Options) { o.StatusEvery = 100 * time.Millisecond })
	before := r.Position()
	b.db.Exec(t, `insert into busy select repeat('x', 500) from generate_series(1, 10000)`)
	end, err := pglogrepl.ParseLSN(pgtest.QueryOne[string](t, b.conn, `select pg_current_wal_lsn()::text`))
	if err != nil {
		t.Fatal(err)
	}
	poll := func() {
		t.Helper()
		tx, err := r.Poll(t.Context(), 10*time.Millisecond)
		if tx != nil || err != nil {
			t.Fatalf("got %v, %v from a server without changes", tx, err)
		}
	}
	pgtest.Eventually(t, "the position passes the unpublished writes", func() bool { poll(); return r.Position() >= end })
	if end <= before {
		t.Fatalf("the WAL did not grow: %s, %s", before, end)
	}
	// Nothing is confirmed that was not acknowledged; then all of it is.
	status := func() wal.Status {
		t.Helper()
		s, err := wal.SlotStatus(t.Context(), b.conn, b.slot)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if got := status().Confirmed; got > before {
		t.Errorf("confirmed %s, acknowledged %s", got, before)
	}
	r.Ack(r.Position())
	pgtest.Eventually(t, "the server has the acknowledged position", func() bool { poll(); return status().Confirmed >= end })

	// A position that comes behind data is not seen before the data is read.
	b.db.Exec(t, `delete from t where id = 1`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.db.Exec(t, `insert into busy select repeat('x', 500) from generate_series(1, 1000)`)
	b.db.Exec(t, `delete from t where id = 2`)
	if r.Position() > tx.CommitLSN {
		t.Errorf("position %s passes the unread transaction of %s", r.Position(), tx.CommitLSN)
	}
	if err := tx.Skip(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Position() < tx.EndLSN {
		t.Errorf("position %s after the transaction to %s", r.Position(), tx.EndLSN)
	}
	if _, got := read(t, r); len(got) != 1 || got[0] != "delete public.t id=2" {
		t.Errorf("got %q", got)
	}
}

func TestNextRefusesToLoseTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	r := b.open(t)
	b.deleteEach(t)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := r.Position()
	if _, err := r.Next(t.Context()); !errors.Is(err, wal.ErrUnread) {
		t.Errorf("got %v, want ErrUnread", err)
	}
	if _, err := r.Poll(t.Context(), 0); !errors.Is(err, wal.ErrUnread) {
		t.Errorf("got %v, want ErrUnread", err)
	}
	if r.Position() != before {
		t.Errorf("the position moved from %s to %s", before, r.Position())
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // the change is there, so that either answer may come; neither loses anything
		if _, err := tx.Next(cancelled); errors.Is(err, io.EOF) {
			break
		} else if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if err := tx.Skip(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tx.Skip(t.Context()); err != nil {
		t.Errorf("skip twice: %v", err)
	}
	if _, err := tx.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("got %v after the end, want io.EOF", err)
	}
	if _, got := read(t, r); len(got) != 1 || got[0] != "delete public.t id=2" {
		t.Errorf("got %q", got)
	}
}

// Not in parallel: it looks at the memory of the whole process.
func TestLargeTransactionStreamsInOrder(t *testing.T) {
	const rows = 300_000
	b := setup(t, fmt.Sprintf(`create table t (id int primary key); insert into t select generate_series(1, %d)`, rows),
		[]string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from t`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	base, highest := mem.HeapAlloc, uint64(0)
	next, changes := 1, 0
	for {
		c, err := tx.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		changes++
		if c.Len() > 2000 {
			t.Fatalf("%d rows in one change", c.Len())
		}
		for i := range c.Len() {
			key := c.Key(i)
			if want := fmt.Sprint(next); string(key[10:]) != want {
				t.Fatalf("row %d has the key %q, want %s", next, key, want)
			}
			next++
		}
		if changes%10 == 0 { // pauses, in which the queue fills
			runtime.GC()
			runtime.ReadMemStats(&mem)
			highest = max(highest, mem.HeapAlloc)
		}
	}
	if next-1 != rows || changes != rows/2000 {
		t.Errorf("read %d rows in %d changes, want %d in %d", next-1, changes, rows, rows/2000)
	}
	if highest > base && highest-base > 4<<20 {
		t.Errorf("the heap grew by %d bytes", highest-base)
	}
}

func TestSkipIsCheap(t *testing.T) {
	t.Parallel()
	const rows = 200_000
	b := setup(t, fmt.Sprintf(`create table t (id int primary key); insert into t select generate_series(1, %d)`, rows+1),
		[]string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, fmt.Sprintf(`delete from t where id <= %d`, rows))
	b.db.Exec(t, `delete from t`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Skip(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Position() != tx.EndLSN {
		t.Errorf("position %s after skipping to %s", r.Position(), tx.EndLSN)
	}
	if _, got := read(t, r); len(got) != 1 || got[0] != fmt.Sprintf("delete public.t id=%d", rows+1) {
		t.Errorf("got %q", got)
	}
}

// aged tells how long the walsender of a slot has been hearing statuses.
func (b *testBundle) aged(t testing.TB) float64 {
	t.Helper()
	return pgtest.QueryOne[float64](t, b.conn, `select coalesce(max(extract(epoch from r.reply_time - r.backend_start)), 0)::float8
		from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = $1`, b.slot)
}

func TestSlowConsumerStaysConnected(t *testing.T) {
	t.Parallel()
	// More than the queue, the buffers and the sockets hold.
	const rows = 200_000
	b := setup(t, fmt.Sprintf(`create table t (id text primary key); insert into t select repeat('k', 50) || g from generate_series(1, %d) g`, rows),
		[]string{"t"}, nil, nil)
	r := b.open(t, func(o *wal.Options) { o.URL += "&options=" + "-c%20wal_sender_timeout%3D2s" })
	b.db.Exec(t, `delete from t`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, "three wal_sender_timeouts have passed", func() bool { return b.aged(t) > 6 })
	read := 0
	for {
		c, err := tx.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d rows: %v", read, err)
		}
		read += c.Len()
	}
	if read != rows {
		t.Errorf("read %d rows, want %d", read, rows)
	}
}

func TestIdleReaderStaysConnected(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	r := b.open(t, func(o *wal.Options) { o.URL += "&options=" + "-c%20wal_sender_timeout%3D4s" })
	pgtest.Eventually(t, "three wal_sender_timeouts have passed", func() bool { return b.aged(t) > 12 })
	b.db.Exec(t, `delete from t`)
	if _, got := read(t, r); len(got) != 3 {
		t.Errorf("got %q", got)
	}
}

func TestTerminatedWalsender(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from t where id = 1`)
	tx, _ := read(t, r)
	b.db.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, b.slot)
	for range 2 { // the end is sticky
		_, err := r.Next(t.Context())
		if pg.SQLState(err) != "57P01" || pg.Classify(err) != pg.Unreachable || errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want 57P01, unreachable", err)
		}
	}
	closeReader(t, r)
	b.db.Exec(t, `delete from t`)
	_, got := read(t, b.open(t, func(o *wal.Options) { o.Start = tx.EndLSN }))
	if d := cmp.Diff([]string{"delete public.t id=2", "delete public.t id=3"}, got); d != "" {
		t.Error(d)
	}
}

func TestTerminatedInTheMidstOfATransaction(t *testing.T) {
	t.Parallel()
	const rows = 200_000
	b := setup(t, fmt.Sprintf(`create table t (id text primary key); insert into t select repeat('k', 50) || g from generate_series(1, %d) g`, rows),
		[]string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from t`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := r.Position()
	b.db.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, b.slot)
	for err == nil {
		_, err = tx.Next(t.Context())
	}
	if errors.Is(err, io.EOF) || pg.Classify(err) != pg.Unreachable {
		t.Errorf("got %v, want a lost connection, not the end of the transaction", err)
	}
	if err := tx.Skip(t.Context()); err == nil {
		t.Error("skipping past the lost end is no error")
	}
	if _, err := r.Next(t.Context()); err == nil {
		t.Error("the stream goes on after the loss")
	}
	if r.Position() != before {
		t.Errorf("the position moved from %s to %s", before, r.Position())
	}
	closeReader(t, r)
	if again, got := read(t, b.open(t)); again.CommitLSN != tx.CommitLSN || len(got) != rows {
		t.Errorf("the second time %s has %d rows, want %s, %d", again.CommitLSN, len(got), tx.CommitLSN, rows)
	}
}

// The consumer stands still, so that the stream stands in the midst of the
// second transaction with more of it to read.
func TestCloseInTheMidstOfATransactionKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id text primary key); insert into t select repeat('k', 50) || g from generate_series(1, 200000) g`,
		[]string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from t where id like '%7'`)
	b.db.Exec(t, `delete from t`)
	first, _ := read(t, r)
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Ack(first.EndLSN)
	closeReader(t, r)
	pgtest.Eventually(t, "the slot is free and has the acknowledged position", func() bool {
		s, err := wal.SlotStatus(t.Context(), b.conn, b.slot)
		if err == nil && !s.Active && s.Confirmed < first.EndLSN {
			t.Fatalf("confirmed %s, acknowledged %s", s.Confirmed, first.EndLSN)
		}
		return err == nil && !s.Active
	})
}

func TestCloseInTheMidstOfATransaction(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id text primary key); insert into t select repeat('k', 50) || g from generate_series(1, 200000) g`,
		[]string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from t`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeReader(t, r)
	closeReader(t, r)
	for err == nil {
		_, err = tx.Next(t.Context())
	}
	if !errors.Is(err, wal.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	pgtest.Eventually(t, "the slot is free", func() bool {
		s, err := wal.SlotStatus(t.Context(), b.conn, b.slot)
		return err == nil && !s.Active
	})
}
