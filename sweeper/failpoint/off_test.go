//go:build !failpoint

package failpoint_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/failpoint"
)

// TestOff arms a point of a binary that has none.
func TestOff(t *testing.T) {
	t.Setenv("SWEEPER_FAILPOINT", "here:kill")
	failpoint.Hit("here")
}
