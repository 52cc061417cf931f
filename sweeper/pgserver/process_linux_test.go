package pgserver

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// orphan starts a server in dir from another process and kills that process.
func orphan(t *testing.T, kind, dir string) (pid int, url string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), ownerOf+"="+kind, "PGSERVER_TEST_DIR="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscan(line, &pid, &url); err != nil {
		t.Errorf("the owner said %q: %v", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if pid == 0 {
		t.FailNow()
	}
	return pid, url
}

func TestServerEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	dir := open(t)
	pid, _ := orphan(t, "bound", dir)
	end(t, pid)
	if got := entries(t, dir); len(got) != 1 {
		t.Fatalf("left behind: got %q, want one folder", got)
	}
	s := start(t, Options{Dir: dir})
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("after the next server: %q is left", got)
	}
}

// end waits until a process has ended.
func end(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); ; {
		// An orphan is reaped by init, which may be slow: its state will do.
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			return
		}
		select {
		case <-limit:
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d lives on", pid)
		case <-tick.C:
		}
	}
}

func zombie(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var id int
	var name, state string
	_, _ = fmt.Sscan(string(text), &id, &name, &state)
	return state == "Z"
}

func TestKeptServerOutlivesItsOwner(t *testing.T) {
	t.Parallel()
	dir := open(t)
	pid, url := orphan(t, "keep", dir)
	defer end(t, pid)
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
			t.Error(err)
		}
	}()
	start(t, Options{Dir: dir}) // tidies up, but not this one
	if got := one(t, connect(t, url), "select 'alive'"); got != "alive" {
		t.Errorf("got %q", got)
	}
	if got := entries(t, dir); len(got) != 2 {
		t.Errorf("folders: got %q, want two", got)
	}
}
