//go:build !linux

package pg

import "syscall"

// detectDeadPeer is left to TCP keepalives.
func detectDeadPeer(string, string, syscall.RawConn) error { return nil }
