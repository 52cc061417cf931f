package wal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
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
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		ours, theirs := connected(t)
		in := &counted{Conn: ours}
		seldom(t, playOn(t, ours, theirs, in, nil), in)
	})
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		ours, theirs := connected(t)
		in := &counted{Conn: ours}
		over := tls.Client(in, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test is both ends
		seldom(t, playOn(t, over, tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate(t)}}), over, nil), in)
	})
}

func connected(t *testing.T) (ours, theirs net.Conn) {
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
