package wal

import (
	"net"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// pair are the ends of a connection with room for what nobody reads yet.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if ours, err = net.Dial("tcp", listener.Addr().String()); err == nil {
		theirs, err = listener.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// busy sends positions until the returned function is called, which gives the last.
func (f *fake) busy(from uint64) (last func() uint64) {
	stop, done := make(chan struct{}), make(chan uint64, 1)
	go func() {
		defer func() { done <- from }()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if f.write(keepalive(from+1, 0)) != nil {
				return
			}
			from++
		}
	}()
	return func() uint64 { close(stop); return <-done }
}

// TestManyPositionsAreHushed has a server tell a position at each commit of somebody:
// it hears that more was written than it has sent, and is asked from then on, until
// it has no more to tell. What is durable is told as it is.
func TestManyPositionsAreHushed(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	f := playOn(t, ours, theirs, ours, nil)
	go func() { _, _ = f.r.Next(t.Context()) }()
	stop := f.busy(2000)
	told := func() heard {
		t.Helper()
		got := f.status()
		if got.flushed != 1000 || got.applied != 1000 || got.written < 1000 {
			t.Fatalf("told %+v, and nothing was acknowledged since 1000", got)
		}
		return got
	}
	for asked := 0; asked < 3; { // between two questions a busy machine may seem to stand still
		if got := told(); got.ask {
			asked++
			if got.written < ahead {
				t.Fatalf("told %+v, which hushes nobody", got)
			}
		}
	}
	last := stop()
	for got := told(); got.ask || got.written != last; got = told() {
		if got.written > last+ahead {
			t.Fatalf("told %+v after position %d", got, last)
		}
	}
	pgtest.Eventually(t, "the last position is taken", func() bool { return f.r.Position() == pglogrepl.LSN(last) })
	stop = f.busy(last)
	for told().written < ahead { // it is busy again
	}
	stop()
}

// TestFewPositionsAreHeard leaves a server alone that tells a position now and then.
func TestFewPositionsAreHeard(t *testing.T) {
	t.Parallel()
	f := play(t, nil)
	for i := range uint64(fewPositions) {
		f.send(keepalive(2000+i, 0))
		after := time.Now().Add(2 * linger)
		pgtest.Eventually(t, "some time has passed", func() bool { return time.Now().After(after) })
	}
	f.send(keepalive(3000, 1))
	if got, want := f.status(), (heard{written: 3000, flushed: 1000, applied: 1000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestStandbyIsNotHushed tells the truth to a server whose commits may wait for it.
func TestStandbyIsNotHushed(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	f := playOn(t, ours, theirs, ours, func(s *stream) { s.standby = true })
	go func() { _, _ = f.r.Next(t.Context()) }()
	for i := range uint64(100) {
		f.send(keepalive(2000+i, 0))
	}
	f.send(keepalive(3000, 1))
	if got, want := f.status(), (heard{written: 3000, flushed: 1000, applied: 1000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for names, want := range map[string]bool{"": false, "db2, db3": false, "FIRST 1 (*)": true, `ANY 2 (db2, "Sweeper/1 log")`: true} {
		if got := named(names, "sweeper/1 log"); got != want {
			t.Errorf("%q: %t", names, got)
		}
	}
}
