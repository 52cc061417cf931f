//go:build failpoint

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestKill has a copy of this test binary die at the third hit.
func TestKill(t *testing.T) {
	t.Parallel()
	if os.Getenv(Variable) != "" {
		for range 3 {
			Hit("elsewhere")
			Hit("here")
			os.Stdout.WriteString("passed\n")
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), Variable+"=here:kill:3")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v, want SIGKILL", err)
	}
	if string(out) != "passed\npassed\n" || stderr.String() != "failpoint here: killed here\n" {
		t.Errorf("it printed %q and %q", out, stderr.String())
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]point{"": {}, "a.b:kill": {"a.b", 1}, "a.b:kill:7": {"a.b", 7}} {
		if got := parse(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"a", "a:", "a:stop", "a:kill:", "a:kill:0", "a:kill:x", ":kill"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", text)
				}
			}()
			parse(text)
		}()
	}
}
