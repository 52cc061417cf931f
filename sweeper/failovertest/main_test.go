// Package failovertest lets servers die, standbys take their places and
// backups come back, with the real binary and an application at work, and then
// holds what the surviving server has against its purge log. It has tests only.
//
// What the servers can do decides what is expected of them: from PostgreSQL 17
// on the slot follows to the standby. SWEEPER_PG_BIN names the binaries as it
// does for every test; SWEEPER_TEST_FAILOVER_SLOTS=true makes it an error when
// they are older than that. SWEEPER_FAILOVERS is the number of failovers in a
// row of each series, 1 by default; docs/failover.md quotes a run with 10.
package failovertest_test

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
const together = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set(parallel.Name, together)
	}
	pgtest.Main(m, func() { _ = os.RemoveAll(folder) }, measured.tell)
}

// binary builds the command, once, without the race detector.
var binary = sync.OnceValues(func() (string, error) {
	sources, err := filepath.Glob("../../cmd/sweeper/*")
	for _, name := range sources {
		_, _ = os.Stat(name) // for the cache of test results, which does not see what the compiler reads
	}
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp("", "failovertest-"); err != nil {
		return "", err
	}
	path := filepath.Join(folder, "sweeper")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/sweeper").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the binary under test: %w: %s", err, out)
	}
	return path, nil
})

// inARow is how many failovers a series has.
func inARow(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SWEEPER_FAILOVERS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SWEEPER_FAILOVERS must be a number above 0")
	}
	return n
}
