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
	"testing"

	_ "github.com/pgsweeper/sweeper/sweeper" // what the binary is made of: a change of it must not find these tests cached
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// together is how many tests run at once when nobody says: most of the time
// they wait for processes.
const together = 4

func TestMain(m *testing.M) {
	pgtest.Together(together)
	pgtest.Main(m, measured.tell)
}

// inARow is how many failovers a series has.
func inARow(t *testing.T) int {
	t.Helper()
	return pgtest.Number(t, "SWEEPER_FAILOVERS", 1)
}
