package killtest_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

func itoa(i int) string { return strconv.Itoa(i) }

// start starts the binary. It is killed with the test, if not before.
func (s *site) start(t *testing.T, env []string, args ...string) *pgtest.Process {
	t.Helper()
	return pgtest.Start(t.Context(), t, slices.Concat(s.env, env), args...)
}
