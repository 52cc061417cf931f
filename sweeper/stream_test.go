package sweeper_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

const (
	events   = `create schema app; create table app.events (id bigint primary key, at timestamptz, who text); create index on app.events (at);`
	fiveYear = "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}}\n"
)

// fill inserts n rows that are due.
func (b *bundle) fill(t *testing.T, from, n int) {
	t.Helper()
	b.db.Exec(t, `insert into app.events select i, '2010-01-01'::timestamptz + i * interval '1 minute', 'u' from generate_series($1::int, $1::int + $2::int - 1) i`, from, n)
}

// lateGate has the purges of app.events after the hundredth wait for the test:
// for its lock on 4711.
const lateGate = `
	create sequence app.purges;
	create function app.wait() returns trigger language plpgsql security definer as $$ begin
		if nextval('app.purges') > 100 then perform pg_advisory_xact_lock_shared(4711); end if; return null; end $$;
	create trigger wait before delete on app.events for each statement execute function app.wait()`

// TestStreamIsCutOff ends the replication connection again and again while a
// sweep runs. It must come back each time, and every row stand in the log once.
func TestStreamIsCutOff(t *testing.T) {
	t.Parallel()
	b := setup(t, events+lateGate, fiveYear, patient...)
	b.fill(t, 0, 20_000)
	keeper := b.db.Conn(t, "")
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	type result struct {
		outcomes []purge.Outcome
		err      error
	}
	done := make(chan result, 1)
	go func() {
		o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
		done <- result{o, err}
	}()
	for cut := range 4 { // the first when something is logged: before that no sweep begins without its stream
		pgtest.Eventually(t, fmt.Sprintf("the stream is cut off for the %d. time", cut+1), func() bool {
			select {
			case r := <-done:
				t.Fatalf("the sweep ended meanwhile: %+v, %v", r.outcomes, r.err)
			default:
			}
			return b.text(t, `select count(pg_terminate_backend(active_pid)) = 1 from pg_replication_slots
				where slot_name = $1 and active and (select count(*) from sweeper.purge_log where kind = 'delete') >= $2`, b.db.Slot(), max(1, cut*5)) == "true"
		})
	}
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4711)::text`)
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	b.checkLog(t)
	if got := b.text(t, `select sum(row_count) || ' ' || (count(*) = count(distinct xid)) from sweeper.purge_log where kind = 'delete'`); r.outcomes[0].Deleted != 20_000 || got != "20000 true" {
		t.Errorf("%d rows deleted, the log has %s", r.outcomes[0].Deleted, got)
	}
}

// TestLoggedButNotAcknowledged has the log take in transactions and end before
// it could acknowledge them: the server sends them again, and they must not be
// logged again.
func TestLoggedButNotAcknowledged(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.fill(t, 0, 1000)
	b.db.Exec(t, `delete from app.events where id < 10`)
	b.db.Exec(t, `delete from app.events where id < 20`)
	confirmed := b.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = $1`, b.db.Slot())
	b.appendAll(t, 2)
	if now := b.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = $1`, b.db.Slot()); now != confirmed {
		t.Fatalf("the slot was acknowledged from %s to %s; the test shows nothing", confirmed, now)
	}
	b.sweep(t)
	if got := b.text(t, `select string_agg(reason || ' ' || row_count, ', ' order by seq) from sweeper.purge_log where kind = 'delete'`); got != "out_of_policy 10, out_of_policy 10, manual 980" {
		t.Errorf("the log has %s", got)
	}
}

// appendAll logs the next n transactions of the slot and acknowledges nothing.
func (b *bundle) appendAll(t *testing.T, n int) {
	t.Helper()
	status, err := wal.SlotStatus(t.Context(), b.admin, b.db.Slot())
	if err != nil {
		t.Fatal(err)
	}
	log, err := purgelog.Open(t.Context(), purgelog.Options{
		URL: b.db.URL("sweeper_logger"), SystemID: b.text(t, `select system_identifier from pg_control_system()`), Slot: b.db.Slot(),
		Confirmed: uint64(status.Confirmed), Key: b.cfg.HMACKey.First.Bytes(), Log: b.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close(context.WithoutCancel(t.Context()))
	reader, err := wal.Open(t.Context(), wal.Options{
		URL: b.db.URL("sweeper_logger"), Slot: b.db.Slot(), Start: wal.LSN(log.Applied()), Key: log.KeyColumns,
		Publications: []string{"sweeper", "sweeper_redact", "sweeper_stamp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(context.WithoutCancel(t.Context())) }()
	for range n {
		tx, err := reader.Next(t.Context())
		if err == nil {
			err = log.Append(t.Context(), sweeper.HandOver(tx))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSweepsAtOnce has four sweeps at the same time: one reads the slot, all
// end, and each row goes and is logged once.
func TestSweepsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear, "SWEEPER_BATCH_ROWS=500")
	b.fill(t, 0, 20_000)
	errs := make(chan error, 4)
	var deleted [4]int64
	for i := range deleted {
		go func() {
			o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: fmt.Sprint("sweep ", i), Now: time.Now})
			for _, one := range o {
				deleted[i] += one.Deleted
			}
			errs <- err
		}()
	}
	for range deleted {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.checkLog(t)
	total := deleted[0] + deleted[1] + deleted[2] + deleted[3]
	if got := b.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete'`); total != 20_000 || got != "20000" {
		t.Errorf("%v rows deleted, %s logged", deleted, got)
	}
}

// TestNoEvidenceNoDeletion has nothing to witness a purge: nothing may go.
func TestNoEvidenceNoDeletion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ breakIt, want string }{
		"no slot":        {`select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`, "does not exist"},
		"not published":  {`alter publication sweeper drop table app.events`, "ALTER PUBLICATION \"sweeper\" ADD TABLE"},
		"no publication": {`drop publication sweeper_stamp`, "sweeper_stamp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, events, fiveYear)
			b.sweep(t)
			b.fill(t, 0, 100)
			b.db.Exec(t, `insert into app.events values (1000, now(), 'u')`)
			b.db.Exec(t, c.breakIt)
			o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
			said := fmt.Sprint(err)
			for _, one := range o {
				said += one.StopReason
			}
			if !strings.Contains(said, c.want) {
				t.Errorf("got %s", said)
			}
			if got := b.text(t, `select count(*) from app.events`); got != "101" {
				t.Errorf("%s rows are left of 101", got)
			}
		})
	}
}

// TestSlotIsMovedAway has somebody move the slot away from where the log ends:
// the next sweep says in the log what was never logged, and goes on.
func TestSlotIsMovedAway(t *testing.T) {
	t.Parallel()
	for name, move := range map[string][]string{
		"advanced": {`select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) from pg_replication_slots where slot_name = '%s'`},
		"recreated": {
			`select pg_drop_replication_slot('%s')`, `select pg_create_logical_replication_slot('%s', 'pgoutput')`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, events, fiveYear)
			b.sweep(t)
			b.fill(t, 0, 100)
			b.db.Exec(t, `delete from app.events where id < 10`)
			applied := b.text(t, `select applied_lsn from sweeper.log_progress`)
			for _, sql := range move {
				b.db.Exec(t, fmt.Sprintf(sql, b.db.Slot()))
			}
			confirmed := b.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = $1`, b.db.Slot())
			var warned []string
			o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now, Warn: func(s string) { warned = append(warned, s) }})
			if err != nil || len(o) != 1 || o[0].Deleted != 90 {
				t.Fatalf("got %+v, %v", o, err)
			}
			want := fmt.Sprintf("slot %s was advanced or made anew by somebody else than sweeper: what was committed from %s to %s was never logged", b.db.Slot(), applied, confirmed)
			if got := b.text(t, `select string_agg(reference || coalesce(committed_at::text, ''), '; ') from sweeper.purge_log where kind = 'gap'`); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if len(warned) != 1 || warned[0] != "the purge log has a gap: "+want {
				t.Errorf("warned of %q", warned)
			}
			b.checkLog(t)
			if got := b.sweep(t)["events"]; got.State != purge.Succeeded {
				t.Errorf("the next sweep: %+v", got)
			}
			if got := b.text(t, `select string_agg(kind || ' ' || coalesce(reason, '') || ' ' || coalesce(row_count::text, ''), ', ' order by seq) from sweeper.purge_log where kind not in ('genesis', 'coverage')`); got != "gap  , delete manual 90" {
				t.Errorf("the log has %s", got)
			}
		})
	}
}

// TestReportsThatLie has a trigger delete one more row with each batch, and a
// stamp that somebody else wrote: both are mismatches in the log.
func TestReportsThatLie(t *testing.T) {
	t.Parallel()
	b := setup(t, events+`
		create function app.more() returns trigger language plpgsql as $$ begin
			delete from app.events where id = (select max(id) from app.events where at > '2020-01-01'); return null; end $$;
		create trigger more after delete on app.events for each statement when (pg_trigger_depth() = 0) execute function app.more()`, fiveYear)
	b.fill(t, 0, 50)
	b.db.Exec(t, `insert into app.events select i, now(), 'young' from generate_series(1000, 1010) i`)
	b.db.Exec(t, `alter function app.more() security definer`)
	if _, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now}); !errors.Is(err, sweeper.ErrMismatch) {
		t.Fatalf("got %v, want %v", err, sweeper.ErrMismatch)
	}
	b.db.Exec(t, `insert into sweeper.batches (fact, kind, xid, category, relation) values ('stamp', 'delete', '7', 'events', 'app.events')`)
	b.db.Exec(t, `begin; insert into sweeper.batches (fact, kind, xid, category, relation, reason) values ('stamp', 'delete', '8', 'events', 'app.events', 'manual'); delete from app.events where id = 1001; commit`)
	if _, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	got := b.text(t, `select string_agg(reference || ' ' || coalesce(row_count::text, ''), '; ' order by seq) from sweeper.purge_log where kind = 'mismatch'`)
	for _, want := range []string{"the transaction reported 50 rows 51", "another number of rows than the write-ahead log showed 51", "a stamp with the id of another transaction"} {
		if !strings.Contains(got, want) {
			t.Errorf("no mismatch %q in %s", want, got)
		}
	}
	if got := b.text(t, `select count(*) from sweeper.purge_log where reason = 'out_of_policy'`); got != "1" {
		t.Error("the delete under a forged stamp is not out of policy")
	}
}

// TestSweepIsStopped has a sweep end by a signal in mid-course: what was
// committed is in the log, and the next sweep does the rest.
func TestSweepIsStopped(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear, "SWEEPER_BATCH_ROWS=100")
	b.fill(t, 0, 20_000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	o, err := sweeper.Sweep(ctx, b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now, Progress: func(p purge.Progress) {
		if p.Done >= 1000 {
			stop()
		}
	}})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(o) != 1 || o[0].State != purge.Stopped || o[0].Deleted < 1000 || o[0].Deleted == 20_000 {
		t.Fatalf("got %+v", o)
	}
	b.checkLog(t)
	gone := b.text(t, `select 20000 - count(*) from app.events`)
	if logged := b.text(t, `select sum(row_count) from sweeper.purge_log where kind = 'delete'`); logged != gone {
		t.Errorf("%s rows are gone, %s logged", gone, logged)
	}
	if rest := b.sweep(t)["events"]; rest.State != purge.Succeeded {
		t.Errorf("the next sweep: %+v", rest)
	}
}

// TestSlotIsMovedBehindARenewal has somebody move a slot that install has made
// anew a moment ago: that is another gap, with ends and a cause of its own.
func TestSlotIsMovedBehindARenewal(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.sweep(t)
	applied := func() string { return b.text(t, `select applied_lsn from sweeper.log_progress`) }
	confirmed := func() string {
		return b.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = $1`, b.db.Slot())
	}
	was := func(how, from, to string) string {
		return fmt.Sprintf("slot %s was %s: what was committed from %s to %s was never logged", b.db.Slot(), how, from, to)
	}
	var want []string
	begin := applied()
	b.db.Exec(t, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`)
	b.fill(t, 0, 10)
	if _, err := sweeper.Install(t.Context(), b.cfg, b.log, b.set, false); err != nil {
		t.Fatal(err)
	}
	want = append(want, was("made anew", begin, confirmed()))
	b.sweep(t)

	advance := func() {
		b.fill(t, 0, 10)
		b.db.Exec(t, `select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) from pg_replication_slots where database = current_database()`)
	}
	begin = applied()
	advance()
	want = append(want, was("advanced or made anew by somebody else than sweeper", begin, confirmed()))
	b.sweep(t)

	// The slot was made anew exactly where the log ended.
	b.db.Exec(t, `update sweeper.log_progress set renewed_lsn = applied_lsn`)
	begin = applied()
	advance()
	want = append(want, was("made anew", begin, confirmed()))
	b.sweep(t)
	begin = applied()
	advance()
	want = append(want, was("advanced or made anew by somebody else than sweeper", begin, confirmed()))
	b.sweep(t)
	if got := b.text(t, `select string_agg(reference, e'\n' order by seq) from sweeper.purge_log where kind = 'gap'`); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
