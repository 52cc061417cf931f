package wal_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// TestBusyServerIsQuiet has the application commit all the time what no publication
// shows: the server tells of few of these commits, the position follows all the
// same, and nothing is said to be durable that was not acknowledged. A row of ours
// between them is not late.
func TestBusyServerIsQuiet(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key); create table busy (v text); insert into t values (1)`, []string{"t"}, nil, nil)
	r := b.open(t)
	walsender := func(what string) string {
		t.Helper()
		return pgtest.QueryOne[string](t, b.conn, `select coalesce((`+what+`)::text, '') from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = $1`, b.slot)
	}
	start := r.Position()

	working, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	stop := func() { cancel(); busy.Wait() }
	for range 2 {
		conn := b.db.Conn(t, "")
		t.Cleanup(stop) // before the connection is closed
		busy.Go(func() {
			for working.Err() == nil {
				if _, err := conn.Exec(t.Context(), `insert into busy values ('x')`); err != nil {
					return
				}
			}
		})
	}
	poll := func() *wal.Tx {
		t.Helper()
		tx, err := r.Poll(t.Context(), 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	pgtest.Eventually(t, "the server is hushed", func() bool { poll(); return walsender(`r.write_lsn > pg_current_wal_lsn()`) == "true" })
	if got := walsender(`r.flush_lsn <= '` + start.String() + `'`); got != "true" {
		t.Errorf("%s is said to be durable, %s was acknowledged", walsender(`r.flush_lsn`), start)
	}
	now, err := pglogrepl.ParseLSN(pgtest.QueryOne[string](t, b.conn, `select pg_current_wal_lsn()::text`))
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, "the position follows", func() bool { poll(); return r.Position() > now })
	r.Ack(r.Position())
	b.db.Exec(t, `delete from t`)
	var tx *wal.Tx
	pgtest.Eventually(t, "our row has come", func() bool { tx = poll(); return tx != nil })
	if err := tx.Skip(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	pgtest.Eventually(t, "the truth is told again", func() bool { poll(); return strings.HasPrefix(walsender(`r.write_lsn <= pg_current_wal_lsn()`), "t") })
}
