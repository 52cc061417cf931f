package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// stopTimeout bounds a fast shutdown; quitTimeout bounds what comes after it,
// before the process is killed.
const (
	stopTimeout = 10 * time.Second
	quitTimeout = 2 * time.Second
)

// process is a running postmaster, and the goroutine that waits for its end.
type process struct {
	pid  int
	proc *os.Process
	done chan struct{} // closed when the process has ended
}

// launch starts cmd. Linux sends the parent-death signal when the thread ends
// that started the process, not the program, so the goroutine that starts it
// keeps its thread until the process is gone.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how a server ends that was told to end is no news
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	p.proc, p.pid = cmd.Process, cmd.Process.Pid
	return p, nil
}

// stop asks for a fast shutdown, which breaks connections and ends cleanly.
// A reader of the WAL that does not answer can hold it up for ever: after ctx
// the server is told to quit without ceremony, and then killed.
func (p *process) stop(ctx context.Context) {
	_ = p.proc.Signal(syscall.SIGINT)
	select {
	case <-p.done:
		return
	case <-ctx.Done():
	}
	p.kill()
}

// kill ends the server at once, and waits until it is gone. SIGQUIT lets the
// postmaster take its children along; they notice its death by SIGKILL too.
func (p *process) kill() {
	_ = p.proc.Signal(syscall.SIGQUIT)
	select {
	case <-p.done:
		return
	case <-time.After(quitTimeout):
	}
	_ = p.proc.Kill()
	<-p.done
}

// owner is the user that runs a server: nil is ourselves, unless that is root.
func owner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("choose the server's user: PostgreSQL refuses to run as root and there is neither a user postgres nor nobody (run as another user, or add one: useradd --system postgres)")
}
