package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// ended has the start of a category in app.ends, by its column ended.
func ended(pick, unit string, match ...policy.Match) func(*policy.Category) {
	if match == nil {
		match = []policy.Match{{Other: "event_id", Own: "id"}}
	}
	return func(c *policy.Category) {
		c.Start = policy.Start{Column: "ended", Unit: unit, From: &policy.Elsewhere{Table: "app.ends", Schema: "app", Relation: "ends", Match: match, Pick: pick}}
	}
}

const started = "    delete: {after: P5Y}\n"

// TestStartInAnotherTable has one row for each thing that the other table can
// say of it, by both picks, and in every type that a start can have.
func TestStartInAnotherTable(t *testing.T) {
	t.Parallel()
	for typ, literal := range map[string]func(day string) string{
		"timestamptz": func(day string) string { return "'" + day + "'" },
		"timestamp":   func(day string) string { return "'" + day + "'" },
		"date":        func(day string) string { return "'" + day + "'" },
		"ms": func(day string) string {
			switch day {
			case "infinity":
				return "9223372036854775807"
			case "-infinity":
				return "0"
			}
			return boundOf("ms", day)
		},
	} {
		for _, partitions := range []bool{false, true} {
			ddl := fmt.Sprintf(`create schema app; create table app.events (id text primary key, who text, note text); create table app.ends (event_id text, ended %s, told text)`, columnOf(typ))
			if partitions {
				ddl += ` partition by hash (event_id); create table app.ends0 partition of app.ends for values with (modulus 2, remainder 0); create table app.ends1 partition of app.ends for values with (modulus 2, remainder 1)`
			}
			ddl += ";"
			for id, ends := range map[string][]string{
				"old": {"2010-01-01"}, "old twice": {"2010-01-01", "2015-01-01"}, "young": {"2025-01-01"}, "old and young": {"2010-01-01", "2025-01-01"},
				"none": {}, "open": {""}, "old and open": {"2010-01-01", ""}, "young and open": {"2025-01-01", ""}, "unset": {"-infinity"},
				"old and unset": {"2010-01-01", "-infinity"}, "never": {"infinity"}, "old and never": {"2010-01-01", "infinity"},
			} {
				ddl += fmt.Sprintf("insert into app.events values ('%s', 'u');", id)
				for _, end := range ends {
					value := "NULL"
					if end != "" {
						value = literal(end)
					}
					ddl += fmt.Sprintf("insert into app.ends values ('%s', %s);", id, value)
				}
			}
			for pick, want := range map[string]string{
				"max": "never, none, old and never, old and open, old and unset, old and young, open, unset, young, young and open",
				"min": "never, none, open, unset, young, young and open",
				"":    "never, none, old and never, old and open, old and unset, old and young, open, unset, young, young and open",
			} {
				t.Run(fmt.Sprintf("%s/%t/%s", typ, partitions, pick), func(t *testing.T) {
					t.Parallel()
					unit := ""
					if perSecond[typ] != 0 {
						unit = typ
					}
					b := setupWith(t, ddl, one("UTC", started), ended(pick, unit))
					o := b.run(t, in2026)["events"]
					if got := b.text(t, `select string_agg(id, ', ' order by id) from app.events`); got != want {
						t.Errorf("left are\n%s, want\n%s", got, want)
					}
					// An integer that is no time is none, whichever way it is out of range.
					notStarted := map[string]int64{"": 6, "max": 6, "min": 3}[pick]
					if unit != "" {
						notStarted += map[string]int64{"": 2, "max": 2, "min": 1}[pick]
					}
					if o.State != purge.Succeeded || o.NotStarted != notStarted {
						t.Errorf("want %d not started; got %+v", notStarted, o)
					}
				})
			}
		}
	}
}

// TestEventKeysOfOtherTypes compares keys of two types, in which an upper-case
// letter or a trailing blank may be the same.
func TestEventKeysOfOtherTypes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ own, other, value string }{
		"numbers": {"int8", "int2", "7"}, "texts": {"text", "varchar(9)", "'a'"}, "blanks": {"char(4)", "char(9)", "'a'"}, "citext": {"public.citext", "public.citext", "'A'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, fmt.Sprintf(`create extension citext schema public; create schema app; create table app.events (id int primary key, ref %s, b int, who text); create table app.ends (event_ref %s, b int, ended date);
				insert into app.events values (1, %[3]s, 1), (2, %[3]s, 2), (3, %[3]s, null), (4, null, 1); insert into app.ends values (lower((%[3]s)::text)::%[2]s, 1, '2010-01-01'), (null, 1, '2010-01-01'), (%[3]s, null, '2010-01-01')`, c.own, c.other, c.value),
				one("UTC", started), ended("max", "", policy.Match{Other: "event_ref", Own: "ref"}, policy.Match{Other: "b", Own: "b"}))
			b.run(t, in2026)
			if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != "2 3 4" {
				t.Errorf("left are %q", got)
			}
		})
	}
}

// TestLongerEventOfAnotherCategory: of two categories over a table one has its
// start elsewhere, and a row goes when both let it go.
func TestLongerEventOfAnotherCategory(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id text primary key, at timestamptz, who text); create index on app.events (at); create table app.ends (event_id text, ended timestamptz);
		insert into app.events values ('both', '2010-01-01'), ('this', '2010-01-01'), ('that', '2025-01-01'), ('open', '2010-01-01');
		insert into app.ends values ('both', '2010-01-01'), ('this', '2025-01-01'), ('that', '2010-01-01'), ('open', null)`,
		"version: 1\ncategories:\n  events: {table: app.events, start_from: at, delete: {after: P5Y}}\n  ended: {table: app.events, start_from: at, delete: {after: P5Y}}\n",
		func(c *policy.Category) {
			if c.Name == "ended" {
				ended("max", "")(c)
			}
		})
	b.run(t, in2026)
	if got := b.text(t, `select string_agg(id, ' ' order by id) from app.events`); got != "open that this" {
		t.Errorf("left are %q", got)
	}
}

// TestNewEventWhileARowIsLocked is the race that a condition outside of the row
// loses: the application has the row of an applicant, adds a new relationship,
// and commits. A batch that had waited for the row would judge by what it saw
// before; ours leaves the row and names it, and the next sweep sees both.
func TestNewEventWhileARowIsLocked(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id text primary key, who text); create table app.ends (event_id text, ended timestamptz);
		insert into app.events select i::text, 'u' from generate_series(1, 100) i; insert into app.ends select id, '2010-01-01' from app.events`, one("UTC", started), ended("max", ""))
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `update app.events set who = 'again' where id = '42'`)
	}
	if err == nil {
		_, err = tx.Exec(t.Context(), `insert into app.ends values ('42', null)`)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := b.run(t, in2026)["events"]
	if o.State != purge.Partial || o.Deleted != 99 || !strings.Contains(o.StopReason, "others have locked 1 of the rows") {
		t.Errorf("while it is locked: %+v", o)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 0 || o.NotStarted != 1 {
		t.Errorf("afterwards: %+v", o)
	}
	if got := b.text(t, `select string_agg(id || who, ',') from app.events`); got != "42again" {
		t.Errorf("left are %q", got)
	}
	if got := b.text(t, `select coalesce(sum(row_count), 0) from sweeper.batches where fact = 'report'`); got != "99" {
		t.Errorf("the reports have %s rows, want 99", got)
	}
}

// TestNewEventBetweenLockAndJudgement adds the relationship after the rows have
// been locked: the statement that judges has a snapshot of its own.
func TestNewEventBetweenLockAndJudgement(t *testing.T) {
	t.Parallel()
	for _, fk := range []bool{false, true} {
		t.Run(fmt.Sprint(fk), func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, `create schema app; create table app.events (id text primary key, who text); create table app.ends (event_id text, ended timestamptz);
				insert into app.events values ('1', 'u'), ('2', 'u'); insert into app.ends select id, '2010-01-01' from app.events`, one("UTC", started), ended("max", ""))
			step := b.plan(t, in2026).Categories()[0].Steps[0]
			if fk { // none of the policies' business, and so made after the plan
				b.db.Exec(t, `delete from app.ends where event_id = '1'; alter table app.ends add foreign key (event_id) references app.events; insert into app.ends values ('1', '2010-01-01')`)
			}
			daemon, app := b.db.Conn(t, "sweeper_daemon"), b.db.Conn(t, "")
			tx, err := daemon.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			places, left := lock(t, tx, step)
			if len(places) != 2 || left != 0 {
				t.Fatalf("locked %q, left %d", places, left)
			}
			done := make(chan error, 1)
			go func() {
				_, err := app.Exec(t.Context(), `insert into app.ends values ('1', null)`)
				done <- err
			}()
			if fk {
				// The insert waits for the row that it points at.
				pgtest.Eventually(t, "the insert waits", func() bool { return b.waits(t, "transactionid") })
				_ = tx.Rollback(t.Context())
				if err := <-done; err != nil {
					t.Errorf("the insert: %v", err)
				}
				return
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			var rows int64
			if err := tx.QueryRow(t.Context(), step.Taken.SQL, append([]any{places, "00000000-0000-0000-0000-000000000000"}, step.Taken.Args...)...).Scan(&rows); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := b.text(t, `select string_agg(id, ',') from app.events`); rows != 1 || got != "1" {
				t.Errorf("%d rows went, left are %q", rows, got)
			}
		})
	}
}

// lock sends the first of a batch's two statements over all blocks.
func lock(t *testing.T, tx pgx.Tx, step plan.Step) (places []string, left int64) {
	t.Helper()
	if err := tx.QueryRow(t.Context(), step.Lock.SQL, append([]any{"(0,0)", "(1000,0)"}, step.Lock.Args...)...).Scan(&places, &left); err != nil {
		t.Fatal(err)
	}
	return places, left
}

// TestRedactionByAnEvent redacts by a start elsewhere, in partitions by another
// column, and again: nothing is left to do.
func TestRedactionByAnEvent(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id int, who text, region text, mail text, primary key (id, region)) partition by list (region); create table app.ends (event_id int, ended date);
		create table app.eu partition of app.events for values in ('eu'); create table app.us partition of app.events for values in ('us');
		insert into app.events select i, 'u', case when i % 2 = 0 then 'eu' else 'us' end, 'm' from generate_series(1, 3000) i; insert into app.ends select i, case when i % 3 = 0 then date '2025-12-30' else date '2015-01-01' end from generate_series(1, 3000) i`,
		one("UTC", "    redact: {after: P1Y, columns: {mail: \"null\"}}\n"), ended("max", ""))
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Redacted != 2000 {
		t.Errorf("got %+v", o)
	}
	if got := b.text(t, `select count(*) filter (where mail is null and id % 3 > 0) || ' ' || count(*) filter (where mail = 'm' and id % 3 = 0) from app.events`); got != "2000 1000" {
		t.Errorf("got %s", got)
	}
	if o := b.run(t, in2026.Add(time.Hour))["events"]; o.Redacted != 0 {
		t.Errorf("a second sweep: %+v", o)
	}
}
