package sweeper_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// The run that the tests purge by, as the purging role would.
const byHand = "00000000-0000-0000-0000-00000000cafe"

// batch is one purging transaction of that run.
func batch(from, to int) string {
	return fmt.Sprintf(`begin;
		insert into sweeper.batches (fact, kind, reason, category, relation, run_id, actor, policy_sha256)
			select 'stamp', 'delete', 'manual', 'events', 'app.events', '%s', 'hand', policy_sha256 from sweeper.policy_versions;
		delete from app.events where id >= %d and id < %d;
		insert into sweeper.batches (fact, kind, category, relation, run_id, row_count) values ('report', 'delete', 'events', 'app.events', '%[1]s', %[3]d - %[2]d);
		commit;`, byHand, from, to)
}

const runEnd = `insert into sweeper.batches (fact, reason, category, actor, run_id, started_at) values ('run_end', 'manual', 'events', 'hand', '` + byHand + `', now());`

// TestGapIsComparedWithTheReports has a slot fail in every way while batches are
// not in the log yet. The log says that there is a gap, and what was reported in
// it; the run has its summary, wherever its end fell; and nothing is said twice.
func TestGapIsComparedWithTheReports(t *testing.T) {
	t.Parallel()
	drop := func(t *testing.T, b *bundle) {
		b.db.Exec(t, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`)
	}
	install := func(t *testing.T, b *bundle) {
		t.Helper()
		if _, err := sweeper.Install(t.Context(), b.cfg, b.log, b.set, false); err != nil {
			t.Fatal(err)
		}
	}
	for name, fail := range map[string]func(t *testing.T, b *bundle){
		"dropped, made anew by install": func(t *testing.T, b *bundle) { drop(t, b); install(t, b) },
		"dropped, made anew by a DBA": func(t *testing.T, b *bundle) {
			drop(t, b)
			b.db.Exec(t, `select pg_create_logical_replication_slot($1, 'pgoutput')`, b.db.Slot())
		},
		"advanced": func(t *testing.T, b *bundle) {
			b.db.Exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, b.db.Slot())
		},
		"given up": func(t *testing.T, b *bundle) {
			b.db.Exec(t, `create table app.wal as select repeat(md5(i::text), 30) as t from generate_series(1, 60000) i`)
			b.cfg.SlotLimit = 32 << 20
			_, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
			b.cfg.SlotLimit = 0
			if err == nil || !strings.Contains(err.Error(), "given up") {
				t.Fatalf("a sweep at a slot over its limit: %v", err)
			}
			install(t, b)
		},
	} {
		for where, after := range map[string]bool{"the run ends in the gap": false, "the run ends behind it": true} {
			t.Run(name+", "+where, func(t *testing.T) {
				t.Parallel()
				b := setup(t, events, fiveYear)
				b.sweep(t)
				b.fill(t, 0, 100)
				b.db.Exec(t, batch(0, 30))
				b.db.Exec(t, batch(30, 40))
				b.db.Exec(t, `select sweeper.apply_hold('u', 'case', 'test', tenant => null, category => 'events')`)
				if !after {
					b.db.Exec(t, runEnd)
				}
				fail(t, b)
				b.db.Exec(t, batch(40, 45))
				if after {
					b.db.Exec(t, runEnd)
				}
				b.sweep(t)
				want := "gap events app.events 30 manual delete: reported by the batches, not witnessed in the write-ahead log; " +
					"gap events app.events 10 manual delete: reported by the batches, not witnessed in the write-ahead log; " +
					"delete events app.events 5 manual"
				const entries = `select string_agg(concat_ws(' ', kind, category, relation, row_count, reason, reference), '; ' order by commit_lsn, seq) from sweeper.purge_log where run_id = $1`
				if got, want := sorted(b.text(t, entries, byHand)), sorted(want); got != want {
					t.Errorf("the log has\n%s\nwant\n%s", got, want)
				}
				if got := b.text(t, `select string_agg(concat_ws(' ', rows_deleted, reason, actor), ', ') from sweeper.purges where run_id = $1`, byHand); got != "45 manual hand" {
					t.Errorf("the run's summary is %s", got)
				}
				bounds := regexp.MustCompile(`what was committed from [0-9A-F]+/[0-9A-F]+ to [0-9A-F]+/[0-9A-F]+ was never logged`)
				if got := b.text(t, `select string_agg(reference, '; ' order by seq) from sweeper.purge_log where kind = 'gap' and run_id is null and relation is null and category is null`); !bounds.MatchString(got) {
					t.Errorf("no bounds in %q", got)
				}
				if got := b.text(t, `select string_agg(reference, '; ') from sweeper.purge_log where kind = 'gap' and reference like 'hold:%'`); got != "hold: reported by the batches, not witnessed in the write-ahead log" {
					t.Errorf("of the hold the log says %q", got)
				}
				if got := b.text(t, `select concat_ws(' ', reconcile_lsn, reconcile_since, reconcile_snapshot) from sweeper.log_progress`); got != "" {
					t.Errorf("the comparison is still due: %s", got)
				}
				size := b.text(t, `select count(*) from sweeper.purge_log where kind = 'gap'`)
				b.db.Exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, b.db.Slot())
				b.sweep(t)
				if again := b.text(t, `select count(*) - 1 from sweeper.purge_log where kind = 'gap'`); again != size {
					t.Errorf("a second gap has %s more entries than its own", again)
				}
			})
		}
	}
}

func sorted(list string) string {
	all := strings.Split(list, "; ")
	for i := range all {
		for j := range i {
			if all[i] < all[j] {
				all[i], all[j] = all[j], all[i]
			}
		}
	}
	return strings.Join(all, "; ")
}

// TestLostSlotIsComparedWithTheReports has the server throw away WAL that the
// slot needs, with a batch in it.
func TestLostSlotIsComparedWithTheReports(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Settings: map[string]string{"max_slot_wal_keep_size": "16MB", "wal_keep_size": "0", "max_wal_size": "64MB"}})
	w := unwatched(t, serverURL(s), "sweeper")
	if err := w.sweep(t); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 10) i`)
	w.exec(t, batch(1, 11)+runEnd)
	w.wal(t, 64)
	w.exec(t, `checkpoint`)
	if got := w.text(t, `select wal_status from pg_replication_slots`); got != "lost" {
		t.Fatalf("the slot is %s", got)
	}
	if err := w.sweep(t); !errors.Is(err, wal.ErrSlotLost) {
		t.Errorf("a sweep at a lost slot: %v", err)
	}
	w.install(t)
	w.exec(t, `insert into app.events values (11, '2010-01-01', 'u')`)
	if err := w.sweep(t); err != nil {
		t.Fatal(err)
	}
	const want = "gap app.events 10 delete: reported by the batches, not witnessed in the write-ahead log"
	if got := w.text(t, `select string_agg(concat_ws(' ', kind, relation, row_count, reference), '; ') from sweeper.purge_log where run_id = $1`, byHand); got != want {
		t.Errorf("the log has %q", got)
	}
	if got := w.text(t, `select string_agg(rows_deleted::text, ', ') from sweeper.purges where run_id = $1`, byHand); got != "10" {
		t.Errorf("the run's summary is %q", got)
	}
	w.whole(t)
}
