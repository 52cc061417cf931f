package pgtest

import (
	"cmp"
	"context"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

// Server starts a server for this test alone, stopped when the test ends: for
// what concerns the whole server, such as its settings or roles with fixed
// names. It costs about a second. SWEEPER_TEST_DATABASE_URL does not apply.
func Server(t testing.TB, o pgserver.Options) *pgserver.Server {
	t.Helper()
	o.Dir = cmp.Or(o.Dir, folder())
	s, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop the test's server: %v", err)
		}
	})
	return s
}
