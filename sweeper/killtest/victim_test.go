package killtest_test

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func itoa(i int) string { return strconv.Itoa(i) }

// victim is a running sweeper.
type victim struct {
	cmd    *exec.Cmd
	stderr output
	done   chan struct{}
}

// output is what a process has said so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// ending is how a victim ended.
type ending struct {
	signal syscall.Signal // 0: it exited by itself
	code   int
	stderr string
}

func (e ending) String() string {
	if e.signal != 0 {
		return fmt.Sprintf("signal %v: %s", e.signal, e.stderr)
	}
	return fmt.Sprintf("exit code %d: %s", e.code, e.stderr)
}

// at tells whether the victim died by SIGKILL, at the named point.
func (e ending) at(point string) bool {
	return e.signal == syscall.SIGKILL && strings.Contains(e.stderr, "failpoint "+point+": killed here\n")
}

// start starts the binary. It is killed with the test, if not before.
func (s *site) start(t *testing.T, env []string, args ...string) *victim {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: exec.CommandContext(t.Context(), path, args...), done: make(chan struct{})}
	v.cmd.Env = append(append([]string{}, s.env...), env...)
	v.cmd.Stderr = &v.stderr
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = v.cmd.Wait() // the state says it all
		close(v.done)
	}()
	return v
}

// end waits until the victim has ended.
func (v *victim) end() ending {
	<-v.done
	status := v.cmd.ProcessState.Sys().(syscall.WaitStatus)
	e := ending{code: status.ExitStatus(), stderr: v.stderr.String()}
	if status.Signaled() {
		e.signal = status.Signal()
	}
	return e
}

// endWithin waits for at most d.
func (v *victim) endWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-v.done:
		return true
	case <-timer.C:
		return false
	}
}

// mustEnd waits for a victim that ends by itself. One that does not, shows
// where it hangs.
func (v *victim) mustEnd(t *testing.T) {
	t.Helper()
	if !v.endWithin(2 * time.Minute) {
		_ = v.cmd.Process.Signal(syscall.SIGQUIT)
		t.Fatalf("the process goes on for ever: %s", v.end())
	}
}

// kill ends the victim with SIGKILL, and tells whether that is what it died of.
func (v *victim) kill() (ending, bool) {
	_ = v.cmd.Process.Signal(syscall.SIGKILL)
	e := v.end()
	return e, e.signal == syscall.SIGKILL
}
