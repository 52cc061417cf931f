package sweeper_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// stuck holds the log's writer up while WAL is written, megabytes of it.
func (w *watched) stuck(t *testing.T, megabytes int) (release func()) {
	t.Helper()
	other := connect(t, w.admin.Config().ConnString())
	if _, err := other.Exec(t.Context(), `begin; lock table sweeper.log_head in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `insert into app.events values (1000, now(), 'u'); delete from app.events where id = 1000`)
	w.wal(t, megabytes)
	return func() {
		if _, err := other.Exec(t.Context(), `rollback`); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSlotLost has the server throw away WAL that the slot needs.
func TestSlotLost(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Settings: map[string]string{"max_slot_wal_keep_size": "16MB", "wal_keep_size": "0", "max_wal_size": "64MB"}})
	w := watch(t, serverURL(s), "sweeper")
	release := w.stuck(t, 64)
	began := time.Now()
	w.exec(t, `checkpoint`)
	pgtest.Eventually(t, "the slot is lost", func() bool {
		return w.text(t, `select wal_status from pg_replication_slots`) == "lost"
	})
	t.Logf("lost after %s", time.Since(began))
	release()
	w.red(t, "slot", "has lost WAL")
	w.status(t, "has lost WAL")
	w.paused(t)
	w.install(t)
	w.green(t)
	w.gone(t)
	if got := w.text(t, `select string_agg(reference, '; ' order by seq) from sweeper.purge_log where kind = 'gap'`); !strings.Contains(got, "was made anew: what was committed from") {
		t.Errorf("gaps: %s", got)
	}
	w.whole(t)
}

// TestSlotLimit has the slot hold back more than it may.
func TestSlotLimit(t *testing.T) {
	t.Parallel()
	for name, written := range map[string]bool{"log can be written": true, "log cannot be written": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// An old transaction holds back the slots of a whole server.
			url := serverURL(pgtest.Server(t, pgserver.Options{}))
			w := watch(t, url, "sweeper", "SWEEPER_SLOT_LIMIT=256MiB")
			var release func()
			if written {
				// An old transaction of the application keeps the slot's WAL.
				old := connect(t, url(""))
				if _, err := old.Exec(t.Context(), `begin; select pg_current_xact_id()`); err != nil {
					t.Fatal(err)
				}
				release = func() { _ = old.Close(context.Background()) }
				w.wal(t, 300)
			} else {
				release = w.stuck(t, 300)
			}
			w.red(t, "slot", "")
			w.red(t, "slot", "does not exist")
			release()
			w.paused(t)
			w.install(t)
			w.green(t)
			w.gone(t)
			want := 1
			if written {
				want = 2
			}
			gaps := w.text(t, `select string_agg(reference, '; ' order by seq) from sweeper.purge_log where kind = 'gap'`)
			if strings.Count(gaps, ";")+1 != want || written != strings.Contains(gaps, "given up at LSN") || !strings.Contains(gaps, "was made anew") {
				t.Errorf("gaps: %s", gaps)
			}
			w.whole(t)
		})
	}
}

func (w *watched) wal(t *testing.T, megabytes int) {
	t.Helper()
	w.exec(t, `create table if not exists app.wal (t text)`)
	for range megabytes {
		w.exec(t, `insert into app.wal select repeat(md5(random()::text), 30) from generate_series(1, 1024)`)
	}
}
