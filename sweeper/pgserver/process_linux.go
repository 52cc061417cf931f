package pgserver

import "syscall"

// attributes puts a process into a group of its own, so that a Ctrl-C meant
// for us does not reach it, under cred when that is given. A bound process is
// ended by the kernel when we die without stopping it.
func attributes(cred *syscall.Credential, bound bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	if bound {
		a.Pdeathsig = syscall.SIGQUIT
	}
	return a
}
