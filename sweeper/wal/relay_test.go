package wal_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// link is a TCP relay that keeps what the server sends.
type link struct {
	address string

	mu   sync.Mutex
	sent []byte
	open []net.Conn
}

// relay listens for connections and passes them to the server at address.
func relay(t testing.TB, address string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: listener.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				_ = client.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, client, server)
			l.mu.Unlock()
			all.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
			all.Go(func() { _, _ = io.Copy(client, io.TeeReader(server, l)); _ = client.Close() })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.mu.Lock()
		for _, c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		all.Wait()
	})
	return l
}

// Write keeps what the server sent.
func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, b...)
	return len(b), nil
}

// seen is what the server has sent so far.
func (l *link) seen() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.sent)
}
