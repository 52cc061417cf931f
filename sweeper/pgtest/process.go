package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binaries holds the command under test once it was built; its folder is
// removed by Main.
var binaries struct {
	folder string
	build  sync.Once
	path   string
	err    error
}

// Binary builds the command with the named points of package failpoint in it,
// once, and returns where it is. It is built without the race detector, which
// would only slow down what is to be killed. The test has to stand two folders
// below the module's root.
func Binary(t testing.TB) string {
	t.Helper()
	b := &binaries
	b.build.Do(func() {
		sources, err := filepath.Glob("../../cmd/sweeper/*")
		for _, name := range sources {
			_, _ = os.Stat(name) // for the cache of test results, which does not see what the compiler reads
		}
		if err == nil {
			b.folder, err = os.MkdirTemp("", "pgtest-binary-")
		}
		if b.err = err; err != nil {
			return
		}
		b.path = filepath.Join(b.folder, "sweeper")
		out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", b.path, "../../cmd/sweeper").CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("build the binary under test: %w: %s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

// Process is a running sweeper.
type Process struct {
	Stderr Output
	Stdout Output
	Done   chan struct{} // closed when it has ended

	cmd *exec.Cmd
}

// Output is what a process has said so far.
type Output struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Ending is how a process ended.
type Ending struct {
	Signal syscall.Signal // 0: it exited by itself
	Code   int
	Stderr string
}

func (e Ending) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("signal %v: %s", e.Signal, e.Stderr)
	}
	return fmt.Sprintf("exit code %d: %s", e.Code, e.Stderr)
}

// At tells whether the process died by SIGKILL, at the named failpoint.
func (e Ending) At(point string) bool {
	return e.Signal == syscall.SIGKILL && strings.Contains(e.Stderr, "failpoint "+point+": killed here\n")
}

// Start starts the command of Binary with env alone. The process is killed when
// ctx ends.
func Start(ctx context.Context, t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.CommandContext(ctx, Binary(t), args...), Done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr, p.cmd.Stdout = env, &p.Stderr, &p.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state says it all
		close(p.Done)
	}()
	return p
}

// Signal sends a signal; to one that has ended already it does nothing.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// End waits until the process has ended.
func (p *Process) End() Ending {
	<-p.Done
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	e := Ending{Code: status.ExitStatus(), Stderr: p.Stderr.String()}
	if status.Signaled() {
		e.Signal = status.Signal()
	}
	return e
}

// EndWithin waits for at most d.
func (p *Process) EndWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.Done:
		return true
	case <-timer.C:
		return false
	}
}

// MustEnd waits for a process that ends by itself. One that does not, shows
// where it hangs.
func (p *Process) MustEnd(t testing.TB) {
	t.Helper()
	if !p.EndWithin(2 * time.Minute) {
		p.Signal(syscall.SIGQUIT)
		t.Fatalf("the process goes on for ever: %s", p.End())
	}
}

// Kill ends the process with SIGKILL, and tells whether that is what it died of.
func (p *Process) Kill() (Ending, bool) {
	p.Signal(syscall.SIGKILL)
	e := p.End()
	return e, e.Signal == syscall.SIGKILL
}
