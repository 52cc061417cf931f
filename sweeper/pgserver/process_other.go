//go:build !linux

package pgserver

import "syscall"

// attributes puts a process into a group of its own, so that a Ctrl-C meant
// for us does not reach it, under cred when that is given. Only Linux can end
// a process when its parent dies.
func attributes(cred *syscall.Credential, _ bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Setpgid: true}
}
