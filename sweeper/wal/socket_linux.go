package wal

import (
	"net"
	"strings"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of <linux/tcp.h>, which syscall lacks.
const tcpUserTimeout = 18

// detectDeadPeer bounds how long sent bytes may stay unacknowledged. TCP
// keepalives do not run while there are such bytes, and our statuses make some
// every few seconds: without the bound a peer that vanished shows after a
// quarter of an hour.
func detectDeadPeer(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(deadPeer.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}

// bulkBytes is how many bytes a bulk read waits for.
const bulkBytes = 32 << 10

// layer is a connection over another, such as TLS.
type layer interface{ NetConn() net.Conn }

// setBulk makes reads wait for many bytes, or for any again. The server sends
// each row on its own; over TCP a reader that wakes for each of them makes the
// server pay for it, and halves its speed. The read deadline bounds the wait: a
// read after it takes what is there.
func (s *stream) setBulk(on bool) {
	conn := s.net
	for over, ok := conn.(layer); ok; over, ok = conn.(layer) {
		conn = over.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || s.bulk == on {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	n := 1
	if on {
		n = bulkBytes
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	})
	if err != nil || failed != nil {
		return
	}
	s.bulk = on
	if on {
		// The deadline in force may be seconds away. If the connection is gone
		// the next read says so.
		_ = s.net.SetReadDeadline(s.o.Now().Add(linger))
	}
}
