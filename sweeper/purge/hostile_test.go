package purge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

const (
	canary = "PII-3c5e1f" // no text of ours may hold it
	byAt   = "    subject: who\n    start_from: at\n    delete: {after: P5Y}\n"
)

func events(policy string) string {
	return "version: 1\ncategories:\n  events:\n    table: app.events\n" + policy
}

// rows makes n rows that are long due, with and without an index on the start.
func rows(index bool, n int) string {
	ddl := fmt.Sprintf(`create schema app; create table app.events (id int primary key, at timestamptz, who text);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 second', '%s' || i from generate_series(1, %d) i;`, canary, n)
	if index {
		ddl += `create index on app.events (at);`
	}
	return ddl
}

// TestTriggers has triggers of the application in the way. A sweep ends, keeps
// what it is not let have, takes the rest, and says why without a value.
func TestTriggers(t *testing.T) {
	t.Parallel()
	trigger := func(when, body string) string {
		return `create function app.f() returns trigger language plpgsql security definer as $f$ begin ` + body + ` end $f$; create trigger f ` + when + ` on app.events for each row execute function app.f();`
	}
	for name, c := range map[string]struct {
		trigger      string
		left, reason string
	}{
		"swallows all":        {trigger("before delete", "return null;"), "400", `trigger "f" of app.events keeps them`},
		"swallows some":       {trigger("before delete", "if old.id % 100 = 0 then return null; end if; return old;"), "4", `trigger "f" of app.events keeps them`},
		"refuses one":         {trigger("before delete", "if old.id = 333 then raise exception 'not %', old.who; end if; return old;"), "1", "refused by the server (SQLSTATE P0001)"},
		"refuses five, later": {trigger("after delete", "if old.id % 80 = 0 then raise exception 'not %', old.who using errcode = '23999'; end if; return old;"), "5", "refused by the server (SQLSTATE 23999)"},
		"refuses at the end":  {`create function app.f() returns trigger language plpgsql security definer as $f$ begin if old.id = 7 then raise 'not %', old.who; end if; return null; end $f$; create constraint trigger f after delete on app.events deferrable initially deferred for each row execute function app.f();`, "1", "refused by the server (SQLSTATE P0001)"},
		"refuses all":         {trigger("before delete", "raise exception 'not %', old.who;"), "400", "refused by the server (SQLSTATE P0001)"},
		"changes the row":     {trigger("before delete", "if old.id = 5 then update app.events set who = 'x' where id = old.id; end if; return old;"), "1", "27000"},
		"moves the start":     {trigger("before delete", "if old.id > 5 then return old; end if; update app.events set at = at + interval '1 hour' where id = old.id; return null;"), "5", `trigger "f" of app.events keeps them`},
		"brings it back":      {trigger("after delete", "insert into app.events values (old.id, old.at, old.who); return null;"), "400", `trigger "f" of app.events keeps them`},
		"brings back later":   {trigger("after delete", "insert into app.events values (old.id, old.at + interval '10 years', old.who); return null;"), "400", ""},
	} {
		for _, index := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/index %t", name, index), func(t *testing.T) {
				t.Parallel()
				b := setup(t, rows(index, 400)+c.trigger, events(byAt))
				o := b.run(t, in2026, func(o *purge.Options) { o.Log = quiet })["events"]
				state := purge.Partial
				if c.reason == "" {
					state = purge.Succeeded
				}
				if got := b.text(t, `select count(*) from app.events`); got != c.left || o.State != state || !strings.Contains(o.StopReason, c.reason) || strings.Contains(o.StopReason, canary) {
					t.Errorf("%s rows are left, want %s; got %+v", got, c.left, o)
				}
				if b.text(t, `select count(*) from sweeper.runs r, sweeper.batches b where concat(r, b) like '%`+canary+`%'`) != "0" {
					t.Error("a value is in the records of the run")
				}
				if deleted := b.text(t, `select coalesce(sum(row_count), 0) from sweeper.batches where fact = 'report'`); deleted != b.text(t, `select $1::bigint`, o.Deleted) {
					t.Errorf("the reports have %s rows, the run %d", deleted, o.Deleted)
				}
			})
		}
	}
}

// TestManyRefusals has more rows that are refused than a step singles out: the
// rows behind them go all the same.
func TestManyRefusals(t *testing.T) {
	t.Parallel()
	for _, index := range []bool{true, false} {
		t.Run(fmt.Sprintf("index %t", index), func(t *testing.T) {
			t.Parallel()
			b := setup(t, rows(index, 3000)+`create function app.f() returns trigger language plpgsql as $f$ begin if old.id <= 500 then raise exception 'no'; end if; return old; end $f$;
				create trigger f before delete on app.events for each row execute function app.f();`, events(byAt))
			o := b.run(t, in2026, func(o *purge.Options) { o.Log = quiet })["events"]
			left := pgtest.QueryOne[int64](t, b.admin, `select count(*) from app.events`)
			if left < 500 || left > 700 || o.Remaining != left || o.State != purge.Partial || !strings.Contains(o.StopReason, "P0001") {
				t.Errorf("%d rows are left; got %+v", left, o)
			}
		})
	}
}

// TestTriggersOnRedaction has triggers that undo or refuse a redaction.
func TestTriggersOnRedaction(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, state, redacted string }{
		"undoes":  {"new.who := old.who; return new;", purge.Partial, "0"},
		"ignores": {"return null;", purge.Partial, "0"},
		"refuses": {"if new.id = 50 then raise exception 'not %', old.who; end if; return new;", purge.Partial, "99"},
		"touches": {"new.at := now(); return new;", purge.Succeeded, "100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, rows(true, 100)+`create function app.f() returns trigger language plpgsql security definer as $f$ begin `+c.body+` end $f$; create trigger f before update on app.events for each row execute function app.f();`,
				events("    start_from: at\n    redact: {after: P1Y, columns: {who: {hmac: \"gone-%s\"}}}\n"))
			o := b.run(t, in2026, func(o *purge.Options) { o.Log = quiet })["events"]
			if got := b.text(t, `select count(*) from app.events where who ~ '^gone-[0-9a-f]{32}$'`); got != c.redacted || o.State != c.state || strings.Contains(o.StopReason, canary) {
				t.Errorf("%s rows are redacted; got %+v", got, o)
			}
		})
	}
}

// TestEqualStarts has more rows with one start than a batch takes: they go in
// batches all the same, and nothing beside them.
func TestEqualStarts(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string]string{
		"clustered": `create table app.events (id int primary key, at date, who text); create index on app.events (at);
			insert into app.events select i, '2015-01-01'::date + i / 4000, 'u' from generate_series(1, 20000) i;`,
		"scattered": `create table app.events (id int primary key, at date, who text); create index on app.events (at);
			insert into app.events select i, '2015-01-01'::date + i % 5, 'u' from generate_series(1, 20000) i;`,
		"partitions": `create table app.events (id int, at date, who text, primary key (id, at)) partition by range (at); create index on app.events (at);
			create table app.p1 partition of app.events for values from (minvalue) to ('2015-01-03'); create table app.p2 partition of app.events default;
			insert into app.events select i, '2015-01-01'::date + i % 5, 'u' from generate_series(1, 20000) i;`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "create schema app;"+ddl+`insert into app.events select -i, '2024-01-01', 'u' from generate_series(1, 300) i; update app.events set who = 'held' where id % 1000 = 0`, events("    partitions: rows\n"+byAt))
			b.db.Exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
			o := b.run(t, in2026, func(o *purge.Options) { o.BatchRows = 500 })["events"]
			if got := b.text(t, `select count(*) filter (where id < 0) || ' ' || count(*) filter (where id > 0) from app.events`); got != "300 20" || o.State != purge.Succeeded || o.Deleted != 19980 || o.Held != 20 {
				t.Errorf("left are %s; got %+v", got, o)
			}
			if got := pgtest.QueryOne[int64](t, b.admin, `select max(row_count) from sweeper.batches`); got > 2000 {
				t.Errorf("a batch took %d rows, and may take 500", got)
			}
		})
	}
}

// TestSlowBatches has a statement timeout that a batch of full size never
// keeps: smaller ones do.
func TestSlowBatches(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string]string{
		"index": rows(true, 600), "blocks": rows(false, 600),
		"equal": rows(true, 600) + `update app.events set at = '2015-01-01';`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ddl+`create function app.slow() returns trigger language plpgsql security definer as $f$ begin perform pg_sleep(0.001); return old; end $f$;
				create trigger slow before delete on app.events for each row execute function app.slow();`, events(byAt))
			o := b.run(t, in2026, func(o *purge.Options) { o.StatementTimeout, o.Log = 400*time.Millisecond, quiet })["events"]
			if o.State != purge.Succeeded || o.Deleted != 600 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// TestMovingRows has rows that the application moves while the sweep runs: to
// another partition, and to another block. None is lost or taken early.
func TestMovingRows(t *testing.T) {
	t.Parallel()
	const parts = `create schema app; create table app.events (id int, at timestamptz, who text, region text, primary key (id, region)) partition by list (region);
		create table app.eu partition of app.events for values in ('eu'); create table app.us partition of app.events for values in ('us');
		insert into app.events select i, '2015-01-01', 'u', case when i % 2 = 0 then 'eu' else 'us' end from generate_series(1, 1000) i;`
	for name, c := range map[string]struct{ ddl, update, left string }{
		"to a leaf that is done":  {parts, `update app.events set region = 'eu' where id = 999`, ""},
		"to a leaf that comes":    {parts, `update app.events set region = 'us' where id = 2`, ""},
		"to a leaf, and is young": {parts, `update app.events set region = 'us', at = '2025-06-01' where id = 2`, "2"},
		"to another block":        {rows(false, 1000), `update app.events set who = repeat('x', 900) where id < 50`, ""},
		"to another start":        {rows(true, 1000), `update app.events set at = '2014-01-01' where id > 950`, ""},
		"to a young start":        {rows(true, 1000), `update app.events set at = '2025-01-01' where id = 500`, "500"},
		"away":                    {rows(true, 1000), `delete from app.events where id = 500`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.ddl, events(byAt))
			tx, err := b.db.Conn(t, "").Begin(t.Context())
			if err == nil {
				_, err = tx.Exec(t.Context(), c.update)
			}
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan map[string]purge.Outcome, 1)
			go func() {
				done <- b.run(t, in2026, func(o *purge.Options) { o.BatchRows, o.Workers, o.Log = 200, 1, quiet })
			}()
			pgtest.Eventually(t, "a batch waits for a row", func() bool { return b.waits(t, "transactionid") })
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := (<-done)["events"]
			if got := b.text(t, `select string_agg(id::text, ' ') from app.events`); got != c.left || o.State != purge.Succeeded {
				t.Errorf("left are %q, want %q; got %+v", got, c.left, o)
			}
		})
	}
}

// TestBusyStep has a stranger keep two steps of several. The other steps and the
// other categories go on, though they share one worker, and the run says why it
// is not complete. When the stranger goes while the run waits for him, nothing
// is left.
func TestBusyStep(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]bool{"he stays": false, "he leaves": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			busyStep(t, leaves)
		})
	}
}

func busyStep(t *testing.T, leaves bool) {
	b := setup(t, `create schema app; create table app.events (id int, at timestamptz, who text, region int, primary key (id, region)) partition by list (region);
		do $$ begin for i in 1 .. 8 loop execute format('create table app.p%s partition of app.events for values in (%s)', i, i); end loop; end $$;
		insert into app.events select i, '2015-01-01', 'u', 1 + i % 8 from generate_series(1, 800) i;
		create table app.others (id int primary key, at timestamptz); insert into app.others values (1, '2015-01-01')`,
		events(byAt)+"  others: {table: app.others, start_from: at, delete: {after: P5Y}}\n")
	other := b.db.Conn(t, "")
	p := b.plan(t, in2026)
	i := slices.IndexFunc(p.Categories(), func(c *plan.Category) bool { return c.Policy.Name == "events" })
	for _, s := range p.Categories()[i].Steps[2:4] {
		if _, err := other.Exec(t.Context(), `select pg_advisory_lock($1::int, $2::int)`, pg.LockSpace, pg.StepLock(s.Name())); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pool, err := pg.Pool(ctx, b.db.URL("sweeper_daemon"), "sweeper", 4)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var log buffer
	var clock atomic.Int64 // of the process: with a stranger who stays it runs fast
	now := func() time.Time {
		if leaves {
			return time.Now()
		}
		return time.Now().Add(time.Duration(clock.Add(1)) * 5 * time.Second)
	}
	done := make(chan []purge.Outcome, 1)
	go func() {
		done <- purge.Run(ctx, pool, p, b.options(logTo(&log), func(o *purge.Options) { o.Workers, o.Now = 1, now }))
	}()
	pgtest.Eventually(t, "both steps are waited for", func() bool { return strings.Count(log.String(), "step is waited for") == 2 })
	if leaves {
		pgtest.QueryOne[string](t, other, `select pg_advisory_unlock_all()::text`)
	}
	state, deleted, why := purge.Partial, int64(600), "another process"
	if leaves {
		state, deleted, why = purge.Succeeded, 800, ""
	}
	for _, o := range <-done {
		switch {
		case o.Category == "others" && o.State != purge.Succeeded:
			t.Errorf("others: %+v", o)
		case o.Category == "events" && (o.State != state || o.Deleted != deleted || o.Remaining != 800-deleted || o.Err != nil || !strings.Contains(o.StopReason, why)):
			t.Errorf("events: %+v", o)
		}
	}
}
