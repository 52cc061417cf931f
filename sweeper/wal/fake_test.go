package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// fake is the server's end of a stream, for what a real server does rarely.
type fake struct {
	t       *testing.T
	conn    net.Conn
	backend *pgproto3.Backend
	r       *Reader
}

// play starts a reader at LSN 1000 whose server is played by the test.
func play(t *testing.T, change func(*stream)) *fake {
	t.Helper()
	ours, theirs := net.Pipe()
	return playOn(t, ours, theirs, ours, change)
}

// playOn is play over a connection, whose bytes it takes from in.
func playOn(t *testing.T, ours, theirs net.Conn, in io.Reader, change func(*stream)) *fake {
	t.Helper()
	if err := theirs.SetDeadline(time.Now().Add(time.Minute)); err != nil { // a test that waits longer has failed
		t.Fatal(err)
	}
	o := Options{Slot: "s", Publications: []string{"sweeper"}, StatusEvery: time.Hour}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	c := &pgconn.HijackedConn{Conn: ours, Frontend: pgproto3.NewFrontend(in, ours)}
	r := newReader(o, c, "1", 1000, 0)
	if change != nil {
		change(r.s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.s.run(ctx)
	f := &fake{t: t, conn: theirs, backend: pgproto3.NewBackend(theirs, theirs), r: r}
	t.Cleanup(func() {
		_ = theirs.Close()
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fake) send(messages ...pgproto3.BackendMessage) {
	f.t.Helper()
	if err := f.write(messages...); err != nil {
		f.t.Fatal(err)
	}
}

// write is send for other goroutines than the test's own.
func (f *fake) write(messages ...pgproto3.BackendMessage) error {
	for _, m := range messages {
		f.backend.Send(m)
		if err := f.backend.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func data(parts ...any) *pgproto3.CopyData { return &pgproto3.CopyData{Data: cat(parts...)} }

func xlog(m []byte) *pgproto3.CopyData {
	return data(byte('w'), uint64(0), uint64(0), uint64(0), m)
}

func keepalive(end uint64, reply byte) *pgproto3.CopyData {
	return data(byte('k'), end, uint64(0), reply)
}

// heard is a status message.
type heard struct {
	written, flushed, applied uint64
	ask                       bool
}

func (f *fake) status() heard {
	f.t.Helper()
	m, err := f.backend.Receive()
	if err != nil {
		f.t.Fatal(err)
	}
	d, ok := m.(*pgproto3.CopyData)
	if !ok || len(d.Data) != 34 || d.Data[0] != 'r' {
		f.t.Fatalf("got %T, want a status", m)
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(d.Data[i:]) }
	sent := epoch.Add(time.Duration(at(25)) * time.Microsecond)
	if since := time.Since(sent); since < -time.Minute || since > time.Minute {
		f.t.Errorf("the status is from %s", sent)
	}
	return heard{at(1), at(9), at(17), d.Data[33] == 1}
}

// end is what the stream ended with.
func (f *fake) end() error {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		tx, err := f.r.Next(ctx)
		if err != nil {
			return err
		}
		if err := tx.Skip(ctx); err != nil {
			return err
		}
	}
}

func TestStatusTellsReceivedAndAckedApart(t *testing.T) {
	t.Parallel()
	f := play(t, nil)
	f.send(keepalive(2000, 1))
	if got, want := f.status(), (heard{written: 2000, flushed: 1000, applied: 1000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	f.r.Ack(1500)
	f.r.Ack(1400)
	f.send(xlog(beginAt(2100)), xlog(relation(1, "id*")), xlog(row(Delete, 1, tuple('K', "1"))), keepalive(2050, 1))
	if got, want := f.status(), (heard{written: 2050, flushed: 1500, applied: 1500}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	f.send(xlog(commitAt(2100, 2200)), keepalive(2200, 1))
	if got, want := f.status(), (heard{written: 2200, flushed: 1500, applied: 1500}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// The positions wait in the queue, each behind what came before it.
	ctx := context.Background()
	if f.r.Position() != 1000 {
		t.Errorf("position %d before anything was read", f.r.Position())
	}
	tx, err := f.r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if f.r.Position() != 2000 {
		t.Errorf("position %d at the begin, want 2000", f.r.Position())
	}
	if err := tx.Skip(ctx); err != nil || f.r.Position() != 2200 {
		t.Errorf("position %d after the end, %v", f.r.Position(), err)
	}
	f.send(keepalive(2300, 0), keepalive(2250, 0))
	for f.r.Position() < 2300 {
		if _, err := f.r.Poll(ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// A sweep that waits for the log goes by what the server was told, so it is told
// soon: the next status would come in an hour.
func TestServerHearsOfMuchThatIsDurable(t *testing.T) {
	t.Parallel()
	f := play(t, nil)
	const far = 2000 + tellAfter
	f.send(xlog(beginAt(2000)), xlog(relation(1, "id*")), xlog(row(Delete, 1, tuple('K', "1"))), xlog(commitAt(2000, far)))
	tx, err := f.r.Next(t.Context())
	if err == nil {
		err = tx.Skip(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	f.r.Ack(far)
	written := make(chan error, 1) // the pipe takes nothing more while the status waits to be read
	go func() {
		written <- f.write(xlog(beginAt(far+100)), xlog(row(Delete, 1, tuple('K', "2"))), xlog(commitAt(far+100, far+200)))
	}()
	if got, want := f.status(), (heard{written: far + 200, flushed: far, applied: far}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

func TestStatusesWhileTheConsumerIsSlow(t *testing.T) {
	t.Parallel()
	f := play(t, func(s *stream) { s.every = 20 * time.Millisecond })
	blocked := make(chan struct{})
	go func() { // more transactions than the queue holds
		defer close(blocked)
		for i := range uint64(queueLength) {
			for _, m := range [][]byte{beginAt(2000 + 10*i), relation(1, "id*"), row(Delete, 1, tuple('K', "1")), commitAt(2000+10*i, 2001+10*i)} {
				f.backend.Send(xlog(m))
				if f.backend.Flush() != nil {
					return
				}
			}
		}
	}()
	for range 20 {
		f.status()
	}
	select {
	case <-blocked:
		t.Error("the queue has no bound")
	default:
	}
	_ = f.conn.Close()
	<-blocked
}

func TestServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	f := play(t, func(s *stream) { s.every, s.limit = 10*time.Millisecond, 50*time.Millisecond })
	asked := 0
	for range 4 {
		if f.status().ask {
			asked++
		}
	}
	if asked == 0 {
		t.Error("the server was not asked whether it lives")
	}
	if err := f.end(); pg.Classify(err) != pg.Unreachable || !strings.Contains(err.Error(), "no answer for 50ms") {
		t.Errorf("got %v, want a lost connection", err)
	}
}

func TestServerThatAsksWithoutEnd(t *testing.T) {
	t.Parallel()
	f := play(t, nil)
	for range pingLimit - 1 {
		f.send(keepalive(2000, 1))
		f.status()
	}
	f.send(keepalive(2000, 1))
	if err := f.end(); pg.Classify(err) != pg.Unreachable || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a lost connection", err)
	}
}

func TestServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	f := play(t, nil)
	f.send(keepalive(2000, 1)) // the answer is never read
	if err := f.end(); pg.Classify(err) != pg.Unreachable || !isTimeout(err) {
		t.Errorf("got %v, want a lost connection", err)
	}
}

func TestEndsOfTheStream(t *testing.T) {
	t.Parallel()
	const secret = "secret-value"
	for _, test := range []struct {
		name  string
		last  pgproto3.BackendMessage
		want  error
		class pg.Class
		text  string
	}{
		{"error", &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "XX000", Message: "broken", Detail: secret}, nil, pg.Fatal, "broken (SQLSTATE XX000)"},
		{"data error", &pgproto3.ErrorResponse{Severity: "ERROR", Code: "22021", Message: secret}, nil, pg.Fatal, "SQLSTATE 22021"},
		{"fatal", &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "over"}, nil, pg.Unreachable, "57P01"},
		{"publication", &pgproto3.ErrorResponse{Code: "42704", Message: `la publication « sweeper » n'existe pas`}, ErrPublicationMissing, pg.Setup, "sweeper"},
		{"other object", &pgproto3.ErrorResponse{Code: "42704", Message: `no such type`}, nil, pg.Setup, "42704"},
		{"warning of a publication", &pgproto3.NoticeResponse{SeverityUnlocalized: "WARNING", Code: "55000", Message: `skipped loading publication "sweeper"`}, ErrPublicationMissing, pg.Setup, "sweeper"},
		{"copy done", &pgproto3.CopyDone{}, io.ErrUnexpectedEOF, pg.Unreachable, "the server ends the stream"},
		{"command complete", &pgproto3.CommandComplete{CommandTag: []byte("COPY 0")}, io.ErrUnexpectedEOF, pg.Unreachable, "the server ends the stream"},
		{"strange message", &pgproto3.NoData{}, nil, pg.Fatal, "unexpected message"},
		{"short data", data(byte('w'), uint64(0), []byte(secret)), nil, pg.Fatal, "a message 'w' of 21 bytes"},
		{"short keepalive", data(byte('k'), uint64(0)), nil, pg.Fatal, "a message 'k' of 9 bytes"},
		{"unknown data", data(byte('q'), []byte(secret)), nil, pg.Fatal, "a message 'q' of 13 bytes"},
		{"empty data", data(), nil, pg.Fatal, "an empty message"},
		{"no message within", xlog(nil), nil, pg.Fatal, "it is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := play(t, nil)
			f.send(&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"}, &pgproto3.NoticeResponse{Code: "00000"}, keepalive(1001, 0), test.last)
			err := f.end()
			if err == nil || test.want != nil && !errors.Is(err, test.want) || pg.Classify(err) != test.class ||
				!strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), secret) || errors.Is(err, io.EOF) {
				t.Errorf("got %v (class %d), want %v, class %d, %q", err, pg.Classify(err), test.want, test.class, test.text)
			}
			if f.r.Position() != 1001 {
				t.Errorf("what came before the end was lost: position %d", f.r.Position())
			}
		})
	}
}

// io.EOF means that a transaction was read in full.
func TestNoEndLooksLikeTheEndOfATransaction(t *testing.T) {
	t.Parallel()
	f := play(t, func(s *stream) {
		s.asm.key = func(context.Context, string, string, []string) ([]string, error) { return nil, io.EOF }
	})
	f.send(xlog(beginAt(2000)), xlog(relation(1, "id*")))
	if err := f.end(); errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestPositionsNeverMoveBack(t *testing.T) {
	t.Parallel()
	f := play(t, nil)
	for _, lsn := range []pglogrepl.LSN{1200, 1100, 0, 1200} {
		f.r.Ack(lsn)
	}
	if got := f.r.s.acked.Load(); got != 1200 {
		t.Errorf("acknowledged %d, want 1200", got)
	}
}

// TestPositionStaysOutOfATransaction has a position of the server wait for room in
// the queue while a transaction begins: it must not come between the changes of
// that one, where it would pass for its end.
func TestPositionStaysOutOfATransaction(t *testing.T) {
	t.Parallel()
	f := play(t, func(s *stream) {
		s.every = 10 * time.Millisecond
		s.events = make(chan event, 3) // a transaction of one change, and no more
	})
	statuses := make(chan struct{})
	go func() {
		defer close(statuses)
		for {
			if _, err := f.backend.Receive(); err != nil {
				return
			}
			statuses <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		_ = f.conn.Close()
		for range statuses { // the last one waits for us
		}
	})
	sent := func(messages ...pgproto3.BackendMessage) chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.send(messages...)
		}()
		return done
	}
	wait := func(done chan struct{}) {
		for {
			select {
			case <-statuses:
			case <-done:
				return
			}
		}
	}
	wait(sent(xlog(beginAt(2000)), xlog(relation(1, "id*")), xlog(row(Delete, 1, tuple('K', "1"))), xlog(commitAt(2000, 2010)),
		keepalive(2020, 0))) // no room for it
	begun := sent(xlog(beginAt(2100)), xlog(row(Delete, 1, tuple('K', "2"))), xlog(relation(1, "id*")), xlog(row(Delete, 1, tuple('K', "3"))))
	ctx := t.Context()
	read := func(want int) {
		t.Helper()
		tx, err := f.r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for {
			c, err := tx.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows += c.Len()
			if rows == 1 && want > 1 { // the rest comes later, and the deadlines of reads pass meanwhile
				wait(begun)
				for range 5 {
					<-statuses
				}
				wait(sent(xlog(row(Delete, 1, tuple('K', "4"))), xlog(commitAt(2100, 2110))))
			}
		}
		if rows != want || tx.EndLSN != tx.CommitLSN+10 {
			t.Errorf("the transaction of %s has %d rows and ends at %s, want %d rows", tx.CommitLSN, rows, tx.EndLSN, want)
		}
	}
	read(1)
	read(3)
	if got := f.r.Position(); got != 2110 {
		t.Errorf("position %s", got)
	}
}

// TestNothingPassesForAnotherThing puts into the queue what never may be there:
// it ends the stream, and is neither skipped nor the end of a transaction.
func TestNothingPassesForAnotherThing(t *testing.T) {
	t.Parallel()
	queue := func(all ...event) *Reader {
		r := &Reader{s: &stream{events: make(chan event, len(all))}}
		for _, e := range all {
			r.s.events <- e
		}
		return r
	}
	for name, e := range map[string]event{"rows": {kind: changed, change: &Change{}}, "an end": {kind: committed, lsn: 2000}} {
		if tx, err := queue(e).Next(t.Context()); tx != nil || !errors.Is(err, ErrOutOfOrder) {
			t.Errorf("%s between transactions: %v %v", name, tx, err)
		}
	}
	for name, e := range map[string]event{"a position": {kind: idle, lsn: 2000}, "a transaction": {kind: began, tx: &Tx{}}} {
		tx, err := queue(event{kind: began, tx: &Tx{CommitLSN: 1000}}, e).Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := tx.Next(t.Context()); !errors.Is(err, ErrOutOfOrder) || errors.Is(err, io.EOF) || tx.EndLSN != 0 {
				t.Errorf("%s inside a transaction: %v, which ends at %s", name, err, tx.EndLSN)
			}
		}
	}
}
