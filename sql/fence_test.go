package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// batchFence is what a batch does before its work.
var batchFence = fmt.Sprintf(`begin; select pg_advisory_xact_lock_shared(%d, %d)`, pg.LockSpace, pg.LockFence)

// TestFenceKeys holds the numbers in the SQL files equal to those of package pg.
func TestFenceKeys(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	keys := texts(t, conn, `select distinct m[1] from pg_proc p, regexp_matches(p.prosrc, 'advisory_xact_lock(?:_shared)?\(([^)]*)\)', 'g') m
		where p.pronamespace = 'sweeper'::regnamespace`)
	if want := fmt.Sprintf("%d, %d", pg.LockSpace, pg.LockFence); len(keys) != 1 || keys[0] != want {
		t.Errorf("the functions lock %q, package pg %q", keys, want)
	}
}

// TestHoldWaitsForBatches: whoever comes first goes on, the other waits.
func TestHoldWaitsForBatches(t *testing.T) {
	t.Parallel()
	db := installed(t)
	watch, batch, operator := db.Conn(t, ""), db.Conn(t, "sweeper_daemon"), login(t, db, "op", "sweeper_operator")
	exec(t, batch, batchFence)
	done := background(t.Context(), operator, `select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
	waits(t, watch, operator.PgConn().PID())
	exec(t, batch, `commit`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`select sweeper.apply_hold(null, 'r', 'me', tenant => 'north')`,
		`select sweeper.release_hold(min(hold_id), 'r', 'me') from sweeper.legal_holds`,
	} {
		exec(t, operator, `begin`)
		exec(t, operator, sql)
		waiting := background(t.Context(), batch, batchFence)
		waits(t, watch, batch.PgConn().PID())
		exec(t, operator, `commit`)
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
		exec(t, batch, `rollback`)
	}
}

// TestHoldGivesUp: an advisory key is open to everybody, so the wait ends, and
// says whom it was for.
func TestHoldGivesUp(t *testing.T) {
	t.Parallel()
	db := installed(t)
	watch, operator := db.Conn(t, ""), login(t, db, "op", "sweeper_operator")
	rogue := login(t, db, "rogue", "")
	exec(t, rogue, `set application_name = 'batch import'`)
	exec(t, rogue, fmt.Sprintf(`select pg_advisory_lock_shared(%d, %d)`, pg.LockSpace, pg.LockFence))
	exec(t, operator, `set lock_timeout = '200ms'`)
	id := pgtest.QueryOne[int64](t, watch, `select coalesce(max(hold_id), 0) from sweeper.legal_holds`)
	for _, sql := range []string{
		`select sweeper.apply_hold(null, 'r', 'me', category => 'people')`,
		`select sweeper.release_hold(1, 'r', 'me')`,
	} {
		err := refused(t, operator, "55P03", sql)
		for _, word := range []string{fmt.Sprintf("pid %d (batch import, %s)", rogue.PgConn().PID(), rogue.Config().User), "200ms"} {
			if !strings.Contains(err.Message, word) {
				t.Errorf("%s: %q does not say %q", sql, err.Message, word)
			}
		}
		if !strings.Contains(err.Hint, "pg_terminate_backend") {
			t.Errorf("%s: hint %q", sql, err.Hint)
		}
	}
	if n := pgtest.QueryOne[int64](t, watch, `select coalesce(max(hold_id), 0) from sweeper.legal_holds`); n != id {
		t.Error("a hold was left behind")
	}
	// The fence of another database is another fence.
	elsewhere := installed(t).Conn(t, "")
	exec(t, elsewhere, `set lock_timeout = '2s'`)
	exec(t, elsewhere, `select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
}

// TestLockTimeoutIsTheCallers: inside and after the caller's transaction.
func TestLockTimeoutIsTheCallers(t *testing.T) {
	t.Parallel()
	db := installed(t)
	operator := login(t, db, "op", "sweeper_operator")
	for _, timeout := range []string{"0", "5s", "1234ms", "1min"} {
		exec(t, operator, `set lock_timeout = '`+timeout+`'`)
		exec(t, operator, `begin`)
		exec(t, operator, `select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
		if got := pgtest.QueryOne[string](t, operator, `show lock_timeout`); got != timeout {
			t.Errorf("in the transaction: got %s, want %s", got, timeout)
		}
		exec(t, operator, `commit`)
		if got := pgtest.QueryOne[string](t, operator, `show lock_timeout`); got != timeout {
			t.Errorf("after it: got %s, want %s", got, timeout)
		}
	}
}

// TestHoldsNeedReadCommitted: an older snapshot would not see what the fence
// waited for.
func TestHoldsNeedReadCommitted(t *testing.T) {
	t.Parallel()
	db := installed(t)
	operator := login(t, db, "op", "sweeper_operator")
	id := pgtest.QueryOne[int64](t, operator, `select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
	for _, level := range []string{"repeatable read", "serializable"} {
		for _, sql := range []string{
			`select sweeper.apply_hold(null, 'r', 'me', category => 'people')`,
			fmt.Sprintf(`select sweeper.release_hold(%d, 'r', 'me')`, id),
		} {
			exec(t, operator, `begin isolation level `+level)
			if err := refused(t, operator, "25001", sql); !strings.Contains(err.Message, strings.ToUpper(level)) {
				t.Errorf("%s: %q", level, err.Message)
			}
			exec(t, operator, `rollback`)
		}
	}
}
