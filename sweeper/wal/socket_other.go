//go:build !linux

package wal

import "syscall"

// detectDeadPeer is left to TCP keepalives.
func detectDeadPeer(string, string, syscall.RawConn) error { return nil }

// setBulk needs SO_RCVLOWAT together with a poller that honours it.
func (s *stream) setBulk(bool) {}
