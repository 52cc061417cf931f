package sweeper

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestWitnessOfSessionsThatEnd has one session after the other take the right to
// write the log and end: at no moment does it look as if a stranger had it.
func TestWitnessOfSessionsThatEnd(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := &stream{cfg: Config{Slot: db.Slot()}}
	looker := db.Conn(t, "")
	var ended atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ended.Load() < 60 {
			conn, err := pgx.Connect(t.Context(), db.URL(""))
			if err != nil {
				return
			}
			_, _ = conn.Exec(t.Context(), `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.LockLog)
			_ = conn.Close(context.WithoutCancel(t.Context()))
			ended.Add(1)
		}
	}()
	for strangers := 0; ; {
		ours, _, err := s.witness(t.Context(), looker)
		if err != nil {
			t.Fatal(err)
		}
		if !ours {
			strangers++
			t.Errorf("after %d sessions a stranger seems to write the log", ended.Load())
		}
		select {
		case <-done:
			if ended.Load() < 60 || strangers > 0 {
				t.Fatalf("%d sessions, %d times a stranger", ended.Load(), strangers)
			}
			return
		default:
		}
	}
}
