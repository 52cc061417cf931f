package wal

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// counted counts the reads of a connection that gave something.
type counted struct {
	net.Conn
	n atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.n.Add(1)
	}
	return n, err
}

// A server sends a position for each commit of somebody. One read for each of
// them took a tenth of a core beside a busy application.
func TestManyMessagesWakeItSeldom(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ours, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	in := &counted{Conn: ours}
	f := playOn(t, ours, theirs, in, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // positions are taken over while somebody reads
		defer close(done)
		_, _ = f.r.Next(ctx)
	}()
	defer func() { cancel(); <-done }()

	const messages = 400
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range messages {
		f.send(keepalive(uint64(2000+i), 0))
		<-tick.C
	}
	pgtest.Eventually(t, "the last position has come", func() bool { return f.r.Position() == pglogrepl.LSN(2000+messages-1) })
	if n := in.n.Load(); n > messages/4 {
		t.Errorf("%d reads of %d messages", n, messages)
	}
}
