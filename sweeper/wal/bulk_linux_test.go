package wal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"golang.org/x/sys/unix"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// counted counts the reads of a connection that gave something.
type counted struct {
	net.Conn
	n atomic.Int64
}

func (c *counted) NetConn() net.Conn { return c.Conn }

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
	for name, near := range map[string]bool{"near": true, "far": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := connected(t)
			if !near {
				ours.near, ours.limit = false, 0
			}
			in := &counted{Conn: ours}
			seldom(t, playOn(t, ours, theirs, in, nil), in)
		})
	}
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		ours, theirs := connected(t)
		in := &counted{Conn: ours}
		over := tls.Client(in, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test is both ends
		seldom(t, playOn(t, over, tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}), over, nil), in)
	})
}

// connected are the ends of a connection as Open makes it. On a busy machine the
// first round trip can be a long one.
func connected(t *testing.T) (ours *tcpConn, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for range 100 {
		conn, err := dialer(time.Minute)(t.Context(), "tcp", listener.Addr().String())
		if err == nil {
			theirs, err = listener.Accept()
		}
		if err != nil {
			t.Fatal(err)
		}
		if ours, _ = conn.(*tcpConn); ours != nil && ours.near {
			return ours, theirs
		}
		_, _ = conn.Close(), theirs.Close()
	}
	t.Fatal("a loopback is not near")
	return nil, nil
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// seldom sends a position each millisecond and counts the reads.
func seldom(t *testing.T, f *fake, in *counted) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // positions are taken over while somebody reads
		defer close(done)
		_, _ = f.r.Next(ctx)
	}()
	defer func() { cancel(); <-done }()

	const messages = 400
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range messages {
		f.send(keepalive(uint64(2000+i), 0))
		<-tick.C
	}
	pgtest.Eventually(t, "the last position has come", func() bool { return f.r.Position() == pglogrepl.LSN(2000+messages-1) })
	// A busy machine sends fewer than one in a millisecond.
	if n := in.n.Load(); n > max(messages/4, 2*int64(time.Since(began)/nap)) {
		t.Errorf("%d reads of %d messages", n, messages)
	}
}

// A server on the same machine pays for each send that goes out on its own. What it
// sends must not stand still either, as behind a window below a segment: what came
// before the bulk has opened the window wide.
func TestManyRowsComeInFewSegments(t *testing.T) {
	t.Parallel()
	ours, theirs := connected(t)
	const before = 16 << 20
	go func() { _, _ = theirs.Write(make([]byte, before)) }()
	if _, err := io.CopyN(io.Discard, ours, before); err != nil {
		t.Fatal(err)
	}
	f := playOn(t, ours, theirs, ours, nil)
	const messages, size = 100_000, 200
	one, err := xlog(row(Delete, 1, tuple('K', strings.Repeat("1", size)))).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if tx, err := f.r.Next(t.Context()); err != nil || tx.Skip(t.Context()) != nil {
				return
			}
		}
	}()
	f.send(xlog(beginAt(2000)), xlog(relation(1, "id*")))
	for range messages {
		if _, err := theirs.Write(one); err != nil {
			t.Fatal(err)
		}
	}
	f.send(xlog(commitAt(2000, 2100)))
	pgtest.Eventually(t, "all has come", func() bool { return f.r.Position() == 2100 })
	var segments uint32
	raw, err := theirs.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				segments = info.Data_segs_out
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if segments == 0 || segments > messages/4 {
		t.Errorf("%d sends made %d segments", messages, segments)
	}
}

// A nap may outlast the deadline of the read that took it: the end of a connection is
// seen all the same, by the look before the nap.
func TestEndIsSeenBesideNaps(t *testing.T) {
	t.Parallel()
	ours, theirs := connected(t)
	if err := ours.setBulk(true); err != nil {
		t.Fatal(err)
	}
	if err := theirs.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, "the end is seen", func() bool {
		if err := ours.SetReadDeadline(time.Now().Add(nap / 2)); err != nil {
			t.Fatal(err)
		}
		_, err := ours.Read(make([]byte, 1))
		return errors.Is(err, io.EOF)
	})
}
