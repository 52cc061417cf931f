package pg_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// TestClassesOfCodes holds what is done about each code that a purging transaction
// can meet.
func TestClassesOfCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		class   pg.Class
		refused bool
	}{
		"55P03": {pg.Retry, false}, "40001": {pg.Retry, false}, "40P01": {pg.Retry, false},
		"57014": {pg.Shrink, false},
		"57P01": {pg.Unreachable, false}, "57P03": {pg.Unreachable, false}, "53300": {pg.Unreachable, false}, "08006": {pg.Unreachable, false},
		"42501": {pg.Setup, false}, "42P01": {pg.Setup, false}, "42703": {pg.Setup, false},
		"23503": {pg.Fatal, true}, "23514": {pg.Fatal, true}, "22003": {pg.Fatal, true}, "P0001": {pg.Fatal, true}, "27000": {pg.Fatal, true}, "ZZ123": {pg.Fatal, true},
		"0A000": {pg.Fatal, false}, "25006": {pg.Fatal, false}, "53100": {pg.Fatal, false}, "53200": {pg.Fatal, false}, "54001": {pg.Fatal, false}, "58030": {pg.Fatal, false}, "XX000": {pg.Fatal, false},
	} {
		err := pg.Wrap("delete", &pgconn.PgError{Code: code})
		if got, refused := pg.Classify(err), pg.Refused(err); got != want.class || refused != want.refused || pg.ForeignKey(err) != (code == "23503") {
			t.Errorf("%s: class %d, refused %t", code, got, refused)
		}
	}
	if pg.Classify(nil) != pg.Fatal || pg.Refused(nil) || pg.ForeignKey(nil) {
		t.Error("no error is taken for one of the server's")
	}
}
