// Package killtest kills the real binary, the server and single backends at
// the worst moments and at random ones, while an application works in the same
// tables, and then holds everything against what an independent reader of the
// write-ahead log saw. It has tests only.
//
// SWEEPER_KILLS is the number of kills in a row of each series, 3 by default;
// docs and releases quote a run with 40.
package killtest_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	_ "github.com/pgsweeper/sweeper/sweeper" // what the binary is made of: a change of it must not find these tests cached
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// folder holds the binary under test; it is made when the first test asks.
var folder string

// together is how many tests run at once when nobody says: most of the time
// they wait for processes.
const together = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set(parallel.Name, together)
	}
	pgtest.Main(m, func() { _ = os.RemoveAll(folder) })
}

// binary builds the command with the named points in it, once. It is built
// without the race detector, which would only slow down what is to be killed.
var binary = sync.OnceValues(func() (string, error) {
	sources, err := filepath.Glob("../../cmd/sweeper/*")
	for _, name := range sources {
		_, _ = os.Stat(name) // for the cache of test results, which does not see what the compiler reads
	}
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp("", "killtest-"); err != nil {
		return "", err
	}
	path := filepath.Join(folder, "sweeper")
	out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", path, "../../cmd/sweeper").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the binary under test: %w: %s", err, out)
	}
	return path, nil
})

// inARow is how many kills a series has.
func inARow(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SWEEPER_KILLS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SWEEPER_KILLS must be a number above 0")
	}
	return n
}
