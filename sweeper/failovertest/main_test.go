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
	"os"
	"strconv"
	"testing"

	_ "github.com/pgsweeper/sweeper/sweeper" // what the binary is made of: a change of it must not find these tests cached
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// together is how many tests run at once when nobody says: most of the time
// they wait for processes.
const together = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set(parallel.Name, together)
	}
	pgtest.Main(m, measured.tell)
}

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
