package purge_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// buffer is a log that a test can read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// logTo has a run say everything into a buffer.
func logTo(b *buffer) func(*purge.Options) {
	return func(o *purge.Options) {
		o.Log = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// shots has twenty partitions that are due, a young one, and a default one with
// thousands of due rows: a batch of these takes longer than a drop waits for
// its locks.
const shots = `
	create schema app;
	create table app.shots (id bigint generated always as identity, at timestamptz, who text, note text, primary key (id, at)) partition by range (at);
	do $$ begin
		for i in 1..20 loop
			execute format('create table app.p%s partition of app.shots for values from (%L) to (%L)', to_char(i, 'FM00'), '2010-01-01'::date + i, '2010-01-02'::date + i);
			execute format('insert into app.shots (at, who, note) select %L::timestamptz + g * interval ''1 minute'', ''u'', ''n'' from generate_series(1, 100) g', '2010-01-01'::date + i);
		end loop;
	end $$;
	create table app.young partition of app.shots for values from ('2025-01-01') to ('2027-01-01');
	create table app.rest partition of app.shots default with (autovacuum_enabled = false); -- whose lock a drop does not wait for
	insert into app.shots (at, who, note) select '2000-01-01'::timestamptz + i * interval '1 minute', 'u', 'n' from generate_series(1, 6000) i;
	create function app.slow() returns trigger language plpgsql as $$ begin
		if old.id % 100 = 0 then perform pg_sleep(0.1); end if;
		if tg_op = 'DELETE' then return old; end if;
		return new;
	end $$;
	create trigger slow before delete or update on app.rest for each row execute function app.slow();` + owned

// owned gives all of schema app to a role that sweeper_owner may become a member of.
const owned = `
	do $$ begin create role drop_owner nologin; exception when duplicate_object or unique_violation then null; end $$;
	alter schema app owner to drop_owner;
	do $$ declare r regclass; begin
		for r in select oid from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') loop
			execute format('alter table %s owner to drop_owner', r);
		end loop;
	end $$`

// roles serialises what PostgreSQL does badly at once: grants of one role.
var roles sync.Mutex

// mayDrop makes sweeper_owner a member of the tables' owner.
func (b *bundle) mayDrop(t *testing.T) {
	t.Helper()
	roles.Lock()
	defer roles.Unlock()
	b.db.Exec(t, `grant drop_owner to sweeper_owner`)
}

// application writes young rows in small transactions until the test's work is
// done, and returns how many there were.
func (b *bundle) application(t *testing.T) (stop func() int) {
	t.Helper()
	conn := b.db.Conn(t, "")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	did := make(chan int)
	go func() {
		n := 0
		defer func() { did <- n }()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := conn.Exec(context.WithoutCancel(ctx), `insert into app.shots (at, who) values ('2025-06-01', 'app')`); err != nil {
				t.Errorf("the application: %v", err)
				return
			}
			n++
		}
	}()
	return func() int { cancel(); return <-did }
}

// TestDropsMeetNoBatchOfOurs has a category with partitions that go whole beside
// rows that go one by one: the drops, which want the table for themselves for a
// moment, wait for no batch of the same process, or of another category's.
func TestDropsMeetNoBatchOfOurs(t *testing.T) {
	t.Parallel()
	const one = "version: 1\ncategories:\n  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P5Y}}\n"
	for name, policies := range map[string]string{
		"one category":   one,
		"two categories": one + "  notes: {table: app.shots, subject: who, start_from: at, redact: {after: P1Y, columns: {note: \"null\"}}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, shots, policies)
			b.mayDrop(t)
			stop := b.application(t)
			var log buffer
			began := time.Now()
			o := b.run(t, in2026, logTo(&log), func(o *purge.Options) { o.BatchTarget = time.Minute })["shots"]
			took := time.Since(began)
			wrote := stop()
			if o.State != purge.Succeeded || o.PartitionsDropped != 20 || b.text(t, `select count(*) from sweeper.batches where fact = 'report' and kind = 'drop_partition'`) != "20" {
				t.Errorf("got %+v", o)
			}
			if strings.Contains(log.String(), "partition stays") {
				t.Errorf("drops were in vain:\n%s", log.String())
			}
			first := b.text(t, `select extract(epoch from max(at) filter (where kind = 'drop_partition') - (select min(started_at) from sweeper.runs)) from sweeper.batches`)
			t.Logf("%d partitions dropped in %s s, the whole in %.1f s, while the application wrote %d rows", o.PartitionsDropped, first, took.Seconds(), wrote)
		})
	}
}

// TestHeldLeafIsNotLocked has a leaf with a held row among those that are due:
// that it cannot go whole is found out before anybody is kept waiting for it.
func TestHeldLeafIsNotLocked(t *testing.T) {
	t.Parallel()
	b := setup(t, shots, "version: 1\ncategories:\n  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P5Y}}\n")
	b.mayDrop(t)
	b.db.Exec(t, `delete from app.shots where at < '2010-01-01';
		insert into app.shots (at, who) values ('2010-01-08 12:00+00', 'held'); select sweeper.apply_hold('held', 'case', 'test')`)
	// Whoever wanted to drop it would wait for this, in vain.
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `lock table app.p07 in row exclusive mode`)
	}
	if err != nil {
		t.Fatal(err)
	}
	var log buffer
	o := b.run(t, in2026, logTo(&log))["shots"]
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.State != purge.Succeeded || o.PartitionsDropped != 19 || o.Held != 1 || b.text(t, `select string_agg(who, ' ') from app.p07`) != "held" {
		t.Errorf("got %+v", o)
	}
	if strings.Contains(log.String(), "partition stays") {
		t.Errorf("a drop was tried in vain:\n%s", log.String())
	}
}

// TestDropOverItsLimit has a drop that would take for ever when it has all its
// locks: it is given up at the limit of a statement, a writer of the leaf waits no
// longer than that, and the rows go one by one in the same sweep.
func TestDropOverItsLimit(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second
	b := setup(t, shots, "version: 1\ncategories:\n  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P5Y}}\n")
	b.mayDrop(t)
	b.db.Exec(t, `delete from app.shots where at < '2010-01-01';
		create function app.hang() returns trigger language plpgsql as $$ begin perform pg_sleep(600); return new; end $$;
		create trigger hang before insert on sweeper.batches for each row when (new.fact = 'report' and new.kind = 'drop_partition' and new.partition = 'app.p07') execute function app.hang()`)
	writer, waited := b.db.Conn(t, ""), make(chan time.Duration, 1)
	over, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(waited)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for hangs := false; !hangs; {
			select {
			case <-over.Done():
				t.Error("the drop never had its locks")
				return
			case <-tick.C:
			}
			if err := writer.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep')`).Scan(&hangs); err != nil {
				t.Errorf("look for the drop: %v", err)
				return
			}
		}
		began := time.Now()
		if _, err := writer.Exec(t.Context(), `insert into app.shots (at, who) values ('2010-01-08 23:00+00', 'app')`); err != nil {
			t.Errorf("the application: %v", err)
		}
		waited <- time.Since(began)
	}()
	var log buffer
	o := b.run(t, in2026, logTo(&log), func(o *purge.Options) { o.StatementTimeout = limit })["shots"]
	cancel()
	if o.State != purge.Succeeded || o.PartitionsDropped != 19 || o.Deleted < 2000 {
		t.Errorf("got %+v", o)
	}
	if got := b.text(t, `select count(*) from app.p07`); got != "0" {
		t.Errorf("%s rows are left in the leaf", got)
	}
	if got := b.text(t, `select string_agg(kind || ' ' || fact, ', ' order by at) from sweeper.batches where partition = 'app.p07' and row_count is not null`); !strings.HasPrefix(got, "delete report") {
		t.Errorf("the leaf went by %s", got)
	}
	if !strings.Contains(log.String(), "partition stays") || !strings.Contains(log.String(), "57014") {
		t.Errorf("the log does not say why the partition stays")
	}
	if took := <-waited; took > limit+10*time.Second {
		t.Errorf("the application's insert waited %v", took)
	}
}
