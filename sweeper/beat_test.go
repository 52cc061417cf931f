package sweeper_test

import (
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestConnectionOutlivesItsBeat ends signs of life while one is under way, as a
// sweep does that is over: the connection goes on to be used.
func TestConnectionOutlivesItsBeat(t *testing.T) {
	t.Parallel()
	conn := pgtest.Database(t).Conn(t, "")
	for i := range 300 {
		_, quiet := sweeper.Beating(t.Context(), conn, time.Nanosecond)
		began := time.Now()
		for time.Since(began) < time.Duration(i)*time.Microsecond {
		}
		if err := quiet(); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatalf("after %d times: %v", i, err)
		}
	}
}
