package failovertest_test

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running sweeper.
type process struct {
	site *site
	cmd  *exec.Cmd
	said output
	done chan struct{}
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

// start starts the binary. It is killed with the test, if not before.
func (s *site) start(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{site: s, cmd: exec.CommandContext(t.Context(), path, args...), done: make(chan struct{})}
	p.cmd.Env = s.env
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state says it all
		close(p.done)
	}()
	return p
}

// sweeper runs a verb and returns its exit code and what it said.
func (s *site) sweeper(t *testing.T, args ...string) (int, string) {
	t.Helper()
	p := s.start(t, args...)
	<-p.done
	return p.cmd.ProcessState.ExitCode(), p.said.String()
}

// must runs a verb that has to succeed.
func (s *site) must(t *testing.T, args ...string) {
	t.Helper()
	if code, said := s.sweeper(t, args...); code != 0 {
		t.Fatalf("sweeper %s ended with %d: %s", strings.Join(args, " "), code, said)
	}
}

// says waits until the process has said a text, from a place in its output on.
func (p *process) says(t *testing.T, text string, from int) {
	t.Helper()
	p.eventually(t, fmt.Sprintf("the daemon says %q", text), func() bool { return strings.Contains(p.said.String()[from:], text) })
}

// stop asks the daemon to end, which it does in peace.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(40 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		t.Fatalf("the daemon does not end after SIGTERM: %s", p.said.String())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the daemon ended after SIGTERM with %d: %s", code, p.said.String())
	}
}

// longest is how long anything may take to come. It says that something hangs,
// not how fast it has to be: these tests share a machine with others.
const longest = 90 * time.Second

// waitFor returns when cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("wait until %s: not so after %s", what, longest)
		case <-tick.C:
		}
	}
}

// eventually is waitFor while the daemon lives, and shows what it said and how
// things are when that is in vain.
func (p *process) eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the daemon said: %s", p.said.String())
			p.site.show(t)
		}
	}()
	waitFor(t, what, func() bool {
		select {
		case <-p.done:
			t.Fatalf("the daemon ended with %d", p.cmd.ProcessState.ExitCode())
		default:
		}
		return cond()
	})
}

func itoa(i int) string { return fmt.Sprint(i) }
