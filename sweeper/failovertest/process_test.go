package failovertest_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// process is a running daemon.
type process struct {
	*pgtest.Process
	site *site
}

// start starts the binary. It is killed with the test, if not before.
func (s *site) start(t *testing.T, args ...string) *process {
	t.Helper()
	return &process{pgtest.Start(t.Context(), t, s.env, args...), s}
}

// must runs a verb that has to succeed.
func (s *site) must(t *testing.T, args ...string) {
	t.Helper()
	if e := s.start(t, args...).End(); e.Code != 0 {
		t.Fatalf("sweeper %s ended with %s", strings.Join(args, " "), e)
	}
}

// says waits until the process has said a text, from a place in its output on.
func (p *process) says(t *testing.T, text string, from int) {
	t.Helper()
	p.eventually(t, fmt.Sprintf("the daemon says %q", text), func() bool { return strings.Contains(p.Stderr.String()[from:], text) })
}

// stop asks the daemon to end, which it does in peace.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	if !p.EndWithin(40 * time.Second) {
		t.Fatalf("the daemon does not end after SIGTERM: %s", p.Stderr.String())
	}
	if e := p.End(); e.Code != 0 {
		t.Errorf("the daemon ended after SIGTERM with %s", e)
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
			t.Logf("the daemon said: %s", p.Stderr.String())
			p.site.show(t)
		}
	}()
	waitFor(t, what, func() bool {
		select {
		case <-p.Done:
			t.Fatalf("the daemon ended with %s", p.End())
		default:
		}
		return cond()
	})
}

func itoa(i int) string { return fmt.Sprint(i) }
