package pg

import (
	"strings"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of <linux/tcp.h>, which syscall lacks.
const tcpUserTimeout = 18

// detectDeadPeer bounds how long sent bytes may stay unacknowledged: TCP
// keepalives do not run while there are such bytes, and the system's own bound
// is a quarter of an hour.
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
