package killtest_test

import (
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestServerCrashes has the server crash in mid-sweep, and every second time
// the sweep die with it. The slot then stands where it was written down last,
// so transactions come again that are in the log.
func TestServerCrashes(t *testing.T) {
	t.Parallel()
	s, server := ownServer(t)
	s.install(t)
	l := s.begin(t)
	crashes := 0
	for i := range inARow(t) {
		s.feed(t)
		v := s.start(t, nil, "sweep")
		v.EndWithin(100*time.Millisecond + rand.N(400*time.Millisecond))
		if err := server.Crash(); err != nil {
			t.Fatal(err)
		}
		crashes++
		if i%2 == 1 {
			v.Kill()
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.connect(t)
		v.MustEnd(t)
	}
	s.conclude(t, l, "server crash", crashes, crashes)
}

// TestBackendIsKilled kills a backend of the log's with SIGKILL, upon which the
// server ends all others and recovers.
func TestBackendIsKilled(t *testing.T) {
	t.Parallel()
	s, _ := ownServer(t)
	s.install(t)
	l := s.begin(t)
	kills := 0
	for range inARow(t) {
		s.feed(t)
		v := s.start(t, nil, "sweep")
		var pid int
		pgtest.Eventually(t, "the log has a backend", func() bool {
			pid, _ = strconv.Atoi(s.text(t, `select pid from pg_stat_activity where usename = 'sweeper_logger' and query_start > backend_start order by random() limit 1`))
			return pid > 0
		})
		v.EndWithin(rand.N(200 * time.Millisecond))
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			continue // the sweep was faster
		}
		kills++
		pgtest.Eventually(t, "the server ends all sessions", func() bool { return s.admin.Ping(t.Context()) != nil })
		pgtest.Eventually(t, "the server is back", func() bool {
			conn, err := pgx.Connect(t.Context(), s.url(""))
			if err == nil {
				_ = conn.Close(t.Context())
			}
			return err == nil
		})
		s.connect(t)
		v.MustEnd(t)
	}
	if kills == 0 {
		t.Error("no backend could be killed; the test shows nothing")
	}
	s.conclude(t, l, "backend of the log", kills, kills)
}
