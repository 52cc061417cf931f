package wal

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// largestSegment bounds what the server sends in one segment, where the network
// would take more, as a loopback does. A sender whose next segment is larger than
// the window waits for its timer, a fifth of a second, and nearBuffer leaves but a
// small window.
const largestSegment = 4 << 10

// prepare sets the options of a socket that is not connected yet. The user timeout
// bounds how long sent bytes may stay unacknowledged: TCP keepalives do not run
// while there are such bytes, and our statuses make some every few seconds, so
// that a peer that vanished would show after a quarter of an hour.
func prepare(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	_ = set(raw, unix.IPPROTO_TCP, unix.TCP_MAXSEG, largestSegment) // newConn looks
	return set(raw, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds()))
}

func set(raw syscall.RawConn, level, option, value int) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, value) })
	if err != nil {
		return err
	}
	return failed
}
