// Package killtest kills the real binary, the server and single backends at
// the worst moments and at random ones, while an application works in the same
// tables, and then holds everything against what an independent reader of the
// write-ahead log saw. It has tests only.
//
// SWEEPER_KILLS is the number of kills in a row of each series, 3 by default;
// docs and releases quote a run with 40.
package killtest_test

import (
	"testing"

	_ "github.com/pgsweeper/sweeper/sweeper" // what the binary is made of: a change of it must not find these tests cached
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// together is how many tests run at once when nobody says: most of the time
// they wait for processes.
const together = 6

func TestMain(m *testing.M) {
	pgtest.Together(together)
	pgtest.Main(m)
}

// inARow is how many kills a series has.
func inARow(t *testing.T) int {
	t.Helper()
	return pgtest.Number(t, "SWEEPER_KILLS", 3)
}
