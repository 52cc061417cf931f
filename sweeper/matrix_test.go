package sweeper_test

import (
	"fmt"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestSlowLogStaysConnected has the log wait for a lock three times as long as
// the server waits for a sign of life: the stream is not cut off, and nothing is
// logged twice.
func TestSlowLogStaysConnected(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, func(user string) string {
		if user != "sweeper_logger" {
			return db.URL(user)
		}
		u, err := neturl.Parse(db.URL(user))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("wal_sender_timeout", "2s")
		u.RawQuery = q.Encode()
		return u.String()
	}, db.Slot())
	pid := w.text(t, `select active_pid from pg_replication_slots where slot_name = $1`, w.slot)
	other := connect(t, db.URL(""))
	if _, err := other.Exec(t.Context(), `begin; lock table sweeper.log_head in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `insert into app.events select i, now(), 'u' from generate_series(1001, 1010) i; delete from app.events where id > 1000`)
	until := time.Now().Add(6 * time.Second)
	pgtest.Eventually(t, "three times the server's patience is over", func() bool { return time.Now().After(until) })
	if _, err := other.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, "the rows are in the log", func() bool {
		return w.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete' and reason = 'out_of_policy'`) == "10"
	})
	if now := w.text(t, `select active_pid from pg_replication_slots where slot_name = $1`, w.slot); now != pid {
		t.Errorf("the slot was read by pid %s and is by %s: the stream was cut off", pid, now)
	}
	w.whole(t)
}

// TestTablesChangeWhileTheyAreRead changes a table between deletes while the
// daemon runs. Its rows are named by the key that the catalogue has, and by
// nothing else that the stream shows of them.
func TestTablesChangeWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	b := setup(t, threeTables, threePolicies)
	b.sweepEvents(t)
	b.db.Exec(t, `insert into app.notes select i, now(), '`+personal+`' from generate_series(1, 9) i`)
	for _, sql := range []string{
		`delete from app.notes where id = 1`,
		`alter table app.notes replica identity full; delete from app.notes where id = 2`,
		`alter table app.notes add column more text default '` + personal + `'; delete from app.notes where id = 3`,
		`alter table app.notes drop column more; delete from app.notes where id = 4`,
		`alter table app.notes replica identity default; delete from app.notes where id = 5`,
		`begin; savepoint a; delete from app.notes where id = 9; rollback to a; delete from app.notes where id = 6; commit`,
	} {
		b.db.Exec(t, sql)
	}
	b.sweepEvents(t)
	for id := 1; id <= 6; id++ {
		b.commitments(t, "app.notes", "id", fmt.Sprint(id))
	}
	if got := b.text(t, `select sum(row_count) from sweeper.purge_log where relation = 'app.notes' and kind = 'delete'`); got != "6" {
		t.Errorf("%s rows are logged of 6", got)
	}
	b.db.Exec(t, `alter table app.notes rename to remarks; delete from app.remarks where id = 7`)
	b.sweepEvents(t)
	b.commitments(t, "app.remarks", "id", "7")
	b.db.Exec(t, `alter table app.remarks drop constraint notes_pkey, add primary key (at, id); insert into app.remarks values (10, '2026-01-01 00:00:00+00', 'u'); delete from app.remarks where id = 10`)
	b.sweepEvents(t)
	b.commitments(t, "app.remarks", "at", "2026-01-01 00:00:00+00", "id", "10")
	for _, table := range []string{"purge_log", "purge_rows", "relations", "coverage", "batches"} {
		if n := b.text(t, `select count(*) from sweeper.`+table+` x where position($1 in x::text) > 0`, personal); n != "0" {
			t.Errorf("%s rows of sweeper.%s show a value that is not the key", n, table)
		}
	}
}

// TestTruncatesOfOthers has tables, roots and leaves truncated by others, alone
// and together: each is an entry without a count, and an alarm to nobody else.
func TestTruncatesOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, threeTables, threePolicies)
	b.sweepEvents(t)
	from := b.text(t, `select max(seq) + 1 from sweeper.purge_log`)
	b.db.Exec(t, `truncate app.notes`)
	b.db.Exec(t, `truncate app.logs_1`)
	b.db.Exec(t, `truncate app.logs, app.notes`)
	b.db.Exec(t, `begin; truncate app.notes; rollback`)
	b.sweepEvents(t)
	got := b.text(t, `select string_agg(concat_ws(' ', kind, reason, relation, partition, row_count), '; ' order by seq) from sweeper.purge_log where kind = 'truncate' and seq >= $1`, from)
	all := []string{"notes", "logs app.logs_1", "logs app.logs_1", "logs app.logs_2", "logs app.logs_3", "notes"}
	if strings.Count(got, "truncate out_of_policy app.") != len(all) || !strings.HasPrefix(got, "truncate out_of_policy app.notes; truncate out_of_policy app.logs app.logs_1; ") {
		t.Errorf("the log has %s", got)
	}
	for _, one := range all {
		if !strings.Contains(got, "truncate out_of_policy app."+one) {
			t.Errorf("no truncate of %s in %s", one, got)
		}
	}
}

// TestIdleTablesBusyOthers has much WAL written of which nothing is for the log:
// the slot follows all the same, and holds nothing back.
func TestIdleTablesBusyOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := watch(t, db.URL, db.Slot())
	w.wal(t, 40)
	end := w.text(t, `select pg_current_wal_lsn()`)
	began := time.Now()
	pgtest.Eventually(t, "the slot is confirmed behind what was written", func() bool {
		return w.text(t, `select $2::pg_lsn - confirmed_flush_lsn < 20 * 1024 * 1024 from pg_replication_slots where slot_name = $1`, w.slot, end) == "true"
	})
	t.Logf("after %s", time.Since(began).Round(100*time.Millisecond))
	w.fill(t)
	w.gone(t)
	w.whole(t)
}
