package main

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// folder holds the binary under test; it is made when the first test asks.
var folder string

// binary builds the command once.
var binary = sync.OnceValues(func() (string, error) {
	var err error
	if folder, err = os.MkdirTemp("", "sweeper-"); err != nil {
		return "", err
	}
	path := filepath.Join(folder, "sweeper")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w: %s", err, out)
	}
	return path, nil
})

// process is a sweeper in a process of its own.
type process struct {
	cmd    *exec.Cmd
	mu     sync.Mutex // guards stderr
	stderr bytes.Buffer
	done   chan struct{}
}

// Write takes what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// process starts the binary. It is killed with the test, if not before.
func (s *site) process(t *testing.T, args []string, extra ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(t.Context(), path, args...), done: make(chan struct{})}
	p.cmd.Env = append(append([]string{"SWEEPER_HTTP_ADDR=off", "SWEEPER_APPROVE=auto", "SWEEPER_LOG_FORMAT=json"}, s.env...), extra...) // the last one counts
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says it all
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%q said:\n%s", args, p.said())
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end waits until the process has ended, and tells how.
func (p *process) end() syscall.WaitStatus {
	<-p.done
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

var instanceText = regexp.MustCompile(`"instance":"([0-9a-f]{8})"`)

// instance is the name of a daemon's connections.
func (p *process) instance(t *testing.T) string {
	t.Helper()
	pgtest.Eventually(t, "the daemon has a name", func() bool { return instanceText.MatchString(p.said()) })
	return instanceText.FindStringSubmatch(p.said())[1]
}

// proxy passes connections on to the test's server until it goes silent: then
// nothing more goes through, and nobody is told.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	heard    *sync.Cond
	silent   bool
	ended    bool
	open     []net.Conn
	running  sync.WaitGroup
}

// through gives the environment of a process whose network is the proxy.
func (s *site) through(t *testing.T) (*proxy, []string) {
	t.Helper()
	u, err := url.Parse(s.db.URL("sweeper_daemon"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: u.Host}
	p.heard = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	var env []string
	for _, entry := range s.env {
		env = append(env, strings.ReplaceAll(entry, "@"+u.Host+"/", "@"+listener.Addr().String()+"/"))
	}
	if slices.Equal(env, s.env) {
		t.Fatalf("the URL of the test's server has another form than expected")
	}
	return p, env
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, in, out)
		p.mu.Unlock()
		p.running.Go(func() { p.copy(in, out) })
		p.running.Go(func() { p.copy(out, in) })
	}
}

// copy moves bytes one way. A silent proxy keeps what it has read to itself.
func (p *proxy) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		for p.silent && !p.ended {
			p.heard.Wait()
		}
		over := p.ended
		p.mu.Unlock()
		if n > 0 && !over {
			_, err = to.Write(b[:n])
		}
		if err != nil || over {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (p *proxy) silence(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
	p.heard.Broadcast()
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.ended = true
	p.heard.Broadcast()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}
