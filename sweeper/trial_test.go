package sweeper_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// people has three rows that are due, one that is not yet, and one that is redacted.
const people = `create schema app;
	create table app.people (id bigint primary key, at timestamptz not null, who text, tag text, born date, doc jsonb, status text not null default 'open');
	insert into app.people select i, '2015-01-01', 'who-canary-' || i, 'tag-canary-' || i % 2, '1980-05-17', '{"a": {"b": "canary"}}' from generate_series(1, 3) i;
	insert into app.people values (4, now(), 'who-canary-4', 'tag-canary-4', '1980-05-17', '{"a": {"b": "canary"}}'), (5, '2015-01-01', null, null, null, null);
	create index on app.people (at);`

// redactPeople is a policy whose redaction stands in line 8 from column 9 on.
func redactPeople(columns string) string {
	return "version: 1\ncategories:\n  people:\n    table: app.people\n    start_from: at\n    redact:\n      after: P1Y\n      columns:\n        " +
		strings.ReplaceAll(columns, "\n", "\n        ") + "\n"
}

const everyWay = "who: {hmac: \"gone-%s\"}\ntag: {mask: {keep_last: 1}}\nborn: {truncate: year}\ndoc: {json: {\"$.a.b\": remove}}"

// TestTrial has redactions that the catalogue finds nothing wrong with, and that
// rows refuse: they do not come into force, and not a row is changed by that.
func TestTrial(t *testing.T) {
	t.Parallel()
	trigger := func(when, body string) string {
		return `create function app.f() returns trigger language plpgsql as $f$ begin ` + body + ` end $f$; create trigger watch ` + when + ` on app.people for each row execute function app.f();`
	}
	const at = "policies.yaml:9:9: "
	for name, c := range map[string]struct{ ddl, columns, want string }{
		"every redaction works": {"", everyWay, ""},
		"unique in part, kept apart": {
			`create unique index one_each on app.people (tag) where id > 100;`, "tag: zero", "",
		},
		"unique in part": {
			`update app.people set tag = id; create unique index one_each on app.people (tag) where status = 'open';`, "tag: zero",
			at + `column "tag" of app.people is unique (index "one_each"), and the redaction makes rows that were tried the same; use {hmac: …} or "null"`,
		},
		"excluded in part": {
			`create extension btree_gist schema public; update app.people set tag = id; alter table app.people add constraint apart exclude using gist (tag with =) where (status = 'open');`, "tag: zero",
			at + `column "tag" of app.people is unique (index "apart"), and the redaction makes rows that were tried the same; use {hmac: …} or "null"`,
		},
		"check with another column": {
			`alter table app.people add constraint named check (status <> 'open' or who is null or who like 'who%');`, "who: zero",
			at + `check constraint "named" of app.people refuses what the redaction makes of rows that were tried`,
		},
		"check, with the status set": {
			`alter table app.people add constraint named check (status <> 'open' or who is null or who like 'who%');`, "who: zero\nSET {status: done}", "",
		},
		"mask in a domain": {
			`create domain app.tagged as text constraint is_tag check (value like 'tag%'); alter table app.people alter tag type app.tagged;`, "tag: {mask: {keep_last: 1}}",
			`policies.yaml:9:9: column "tag" of app.people, which is app.tagged, does not take what the redaction makes of rows that were tried (SQLSTATE 23514)`,
		},
		"trigger refuses": {
			trigger("before update", `raise exception 'no: %', old.who;`), "who: zero",
			at + `trigger "watch" of app.people refuses the redaction of rows that were tried, as role "sweeper_daemon" (SQLSTATE P0001); let the role pass, or redact other columns`,
		},
		"trigger refuses at the end": {
			`create function app.f() returns trigger language plpgsql as $f$ begin raise exception 'no: %', old.who; end $f$; create constraint trigger watch after update on app.people deferrable initially deferred for each row execute function app.f();`, "who: zero",
			at + `trigger "watch" of app.people refuses the redaction of rows that were tried, as role "sweeper_daemon" (SQLSTATE P0001); let the role pass, or redact other columns`,
		},
		"trigger refuses one row": {
			trigger("before update", `if old.id = 1 then raise exception 'no: %', old.who; end if; return new;`), "who: zero", "",
		},
		"trigger without its tables": {
			`create table app.copies (id bigint); ` + trigger("before update", `insert into copies values (old.id); return new;`), "who: zero",
			at + `the redaction of app.people fails on rows that were tried: relation "copies" does not exist (SQLSTATE 42P01)`,
		},
		"trigger undoes": {
			trigger("before update", `new.who := old.who; return new;`), "who: zero",
			at + `what the redaction writes into column "who" of app.people does not stay: trigger "watch" undoes it, so that each sweep would do it again`,
		},
		"trigger undoes later": {
			`create function app.f() returns trigger language plpgsql security definer as $f$ begin if new.who = '' then update app.people set who = old.who where id = old.id; end if; return null; end $f$; create trigger watch after update on app.people for each row execute function app.f();`, "who: zero",
			at + `what the redaction writes into column "who" of app.people does not stay: trigger "watch" undoes it, so that each sweep would do it again`,
		},
		"trigger swallows": {
			trigger("before update", `return null;`), "who: zero",
			at + `what the redaction writes into column "who" of app.people does not stay: trigger "watch" undoes it, so that each sweep would do it again`,
		},
		"trigger moves the start": {
			trigger("before update", `new.at := now(); return new;`), "who: zero",
			at + `the redaction of app.people changes the start column "at" by trigger "watch", which would move the clock of every row that it touches`,
		},
		"trigger changes the key": {
			trigger("before update", `new.id := old.id + 1000; return new;`), "who: zero",
			at + `the redaction of app.people changes the key of rows by trigger "watch", so that nobody could tell which row it was`,
		},
		"two triggers": {
			trigger("before update", `return null;`) + `create trigger also before update on app.people for each row execute function app.f();`, "who: zero",
			at + `what the redaction writes into column "who" of app.people does not stay: one of the triggers "also", "watch" undoes it, so that each sweep would do it again`,
		},
		"trigger on deletes": {trigger("before delete", `raise exception 'no';`), "who: zero", ""},
		"no rows":            {`delete from app.people; ` + trigger("before update", `return null;`), "who: zero", ""},
		"rows all redacted":  {`delete from app.people where id < 5; ` + trigger("before update", `return null;`), "who: zero", ""},
		"rows all locked":    {"", "LOCKED who: zero", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			columns, locked := strings.CutPrefix(c.columns, "LOCKED ")
			text := strings.ReplaceAll(redactPeople(columns), "        SET", "      set:") // beside columns
			b := setup(t, people+c.ddl, text)
			const rows = `select string_agg(p::text || ctid || xmin, ';' order by id) from app.people p`
			before := b.text(t, rows)
			if locked {
				b.db.Exec(t, `begin; select from app.people for update`)
				defer b.db.Exec(t, `rollback`)
			}
			for verb, try := range map[string]func() error{
				"lint":  func() error { _, err := sweeper.Lint(t.Context(), b.cfg, b.set); return err },
				"sweep": func() error { return b.trySweep(t) },
			} {
				if c.want == "" && verb != "lint" {
					continue // it would sweep
				}
				err := try()
				if got := head(err); got != c.want {
					t.Errorf("%s:\ngot  %s\nwant %s", verb, got, c.want)
				}
				if err != nil && strings.Contains(err.Error(), "canary") {
					t.Errorf("%s tells a value: %v", verb, err)
				}
			}
			if after := b.text(t, rows); after != before && name != "rows all redacted" {
				t.Errorf("rows were\n%s\nand are\n%s", before, after)
			}
			if got := b.text(t, `select count(*) from sweeper.purge_log where kind = 'redact'`); got != "0" {
				t.Errorf("%s entries are in the log", got)
			}
		})
	}
}

func (b *bundle) trySweep(t *testing.T) error {
	_, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
	return err
}

// head is the first line of an error, with the base name of its file.
func head(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	if i := strings.Index(line, "policies.yaml"); i >= 0 {
		line = line[i:]
	}
	return line
}

// TestTrialOfPartitions tries rows of a partition that has a constraint of its own.
func TestTrialOfPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.people (id bigint, at timestamptz, who text, primary key (id, at)) partition by range (at);
		create table app.p1 partition of app.people for values from (minvalue) to ('2010-01-01'); create table app.p2 partition of app.people for values from ('2010-01-01') to ('2020-01-01');
		create table app.p3 partition of app.people default; insert into app.people select i, '2015-01-01', 'canary' from generate_series(1, 3) i;`, redactPeople("who: zero"))
	if _, err := sweeper.Lint(t.Context(), b.cfg, b.set); err != nil {
		t.Fatal(err)
	}
	b.db.Exec(t, `alter table app.p2 add constraint named check (who like 'c%')`)
	_, err := sweeper.Lint(t.Context(), b.cfg, b.set)
	if got, want := head(err), `policies.yaml:9:9: check constraint "named" of app.people refuses what the redaction makes of rows that were tried`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTrialOfChildren tries rows of a table that goes along.
func TestTrialOfChildren(t *testing.T) {
	t.Parallel()
	text := redactPeople("who: zero") + "    children:\n      - {table: app.notes, match: {person: id}, on: redact, action: redact, columns: {note: zero}}\n"
	b := setup(t, people+`create table app.notes (id bigint primary key, person bigint references app.people, kind text, note text, constraint told check (kind <> 'told' or note <> ''));
		insert into app.notes values (1, 1, 'told', 'canary'), (2, 2, 'told', 'canary');`, redactPeople("who: zero"))
	b.db.Exec(t, `grant select, update on app.notes to sweeper_daemon`)
	set := load(t, text)
	_, err := sweeper.Lint(t.Context(), b.cfg, set)
	if got, want := head(err), `policies.yaml:11:87: check constraint "told" of app.notes refuses what the redaction makes of rows that were tried`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.db.Exec(t, `update app.notes set kind = 'other' where id = 1`)
	if warnings, err := sweeper.Lint(t.Context(), b.cfg, set); err != nil || !strings.Contains(joined(warnings), `"told" of app.notes refuses what the redaction makes of rows that were tried; other rows were redacted`) {
		t.Errorf("with one row that passes: %v, %v", warnings, err)
	}
}

// TestTrialByKey finds rows again by keys of types that have their own operators.
func TestTrialByKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ ddl, columns, key string }{
		"citext":          {`create extension citext schema public;`, `id public.citext`, `id`},
		"enum":            {`create type app.mood as enum ('1', '2', '3');`, `id app.mood`, `id`},
		"domain and uuid": {`create domain app.code as varchar(5);`, `id app.code, other uuid default gen_random_uuid()`, `other, id`},
		"char and time":   {``, `id char(4), "T t" timestamptz default now()`, `id, "T t"`},
		"numeric":         {``, `id numeric(6, 2)`, `id`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "create schema app;"+c.ddl+`create table app.people (`+c.columns+`, at timestamptz not null default '2015-01-01', who text constraint named check (who like 'c%'), primary key (`+c.key+`)); insert into app.people (id, who) values ('1', 'canary'), ('2', 'canary');`,
				redactPeople(`who: {mask: {keep_last: 1}}`))
			b.db.Exec(t, `grant usage on schema app, public to sweeper_daemon`)
			_, err := sweeper.Lint(t.Context(), b.cfg, b.set)
			if got, want := head(err), `policies.yaml:9:9: check constraint "named" of app.people refuses what the redaction makes of rows that were tried`; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestTrialWarnsOfSomeRows has one row refuse: that is for the sweep to name,
// and the policies come into force. So it is once the set has redacted rows, and
// only those that refuse are left.
func TestTrialWarnsOfSomeRows(t *testing.T) {
	t.Parallel()
	b := setup(t, people+`delete from app.people where id > 3;`, redactPeople("who: zero"))
	b.db.Exec(t, `create function app.f() returns trigger language plpgsql as $f$ begin if old.id = 1 then raise exception 'no: %', old.who; end if; return new; end $f$;
		create trigger watch before update on app.people for each row execute function app.f();`)
	const want = `policies.yaml:9:9: trigger "watch" of app.people refuses the redaction of rows that were tried, as role "sweeper_daemon" (SQLSTATE P0001); let the role pass, or redact other columns; other rows were redacted, so that a sweep will end as partial`
	for _, when := range []string{"before a sweep", "after it"} {
		warnings, err := sweeper.Lint(t.Context(), b.cfg, b.set)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		found := false
		for _, w := range warnings {
			found = found || head(w) == want
		}
		if !found {
			t.Errorf("%s: got %v", when, warnings)
		}
		if err := b.trySweep(t); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.text(t, `select string_agg(id::text, ',') from app.people where who <> ''`); got != "1" {
		t.Errorf("left are %s", got)
	}
}

// TestTrialAtReload has a daemon keep its policies when rows refuse the new ones.
func TestTrialAtReload(t *testing.T) {
	t.Parallel()
	b := daemon(t, people+`alter table app.people add constraint named check (status <> 'open' or who is null or who like 'who%'); insert into app.people select i, now(), 'who' from generate_series(10, 20) i;`,
		redactPeople("born: {truncate: year}"))
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules where next_due is not null`)
	write(t, b.cfg.Policies, redactPeople("who: zero"))
	if _, err := sweeper.Install(t.Context(), b.cfg, b.log, load(t, redactPeople("who: zero")), false); err != nil {
		t.Fatal(err) // so that the role may write the column
	}
	d.reload <- struct{}{}
	pgtest.Eventually(t, "the policies are refused", func() bool {
		return strings.Contains(d.log.String(), "policies not reloaded") && strings.Contains(d.log.String(), `check constraint \"named\" of app.people refuses what the redaction makes of rows that were tried`)
	})
}

// TestNewColumns has a column come while a daemon runs, and one while none does:
// the next load warns of each, once, where the redaction does not name it.
func TestNewColumns(t *testing.T) {
	t.Parallel()
	text := redactPeople("who: zero")
	b := daemon(t, people, text)
	warning := func(column string) string {
		return `column \"` + column + `\" of app.people is new, and the redaction does not name it; redact it, or say keep`
	}
	d := b.start(t, b.cfg)
	b.until(t, "the schedules are stored", `select count(*) = 1 from sweeper.schedules where next_due is not null`)
	if strings.Contains(d.log.String(), "is new") {
		t.Error("a column is new at the first load")
	}
	reloaded := func(n int) {
		t.Helper()
		d.reload <- struct{}{}
		pgtest.Eventually(t, "the policies are reloaded", func() bool { return strings.Count(d.log.String(), "policies reloaded") == n })
	}
	b.db.Exec(t, `alter table app.people add shoe text, add hat text`)
	write(t, b.cfg.Policies, text+"        hat: keep\n")
	reloaded(1)
	reloaded(2)
	if n := strings.Count(d.log.String(), warning("shoe")); n != 1 || strings.Contains(d.log.String(), warning("hat")) {
		t.Errorf("shoe is warned of %d times", n)
	}
	d.end(t)
	b.db.Exec(t, `alter table app.people add coat text`)
	warnings, err := sweeper.Lint(t.Context(), b.cfg, b.set)
	if err != nil || !strings.Contains(strings.ReplaceAll(joined(warnings), `"`, `\"`), warning("coat")) {
		t.Errorf("lint: %v, %v", warnings, err)
	}
	d = b.start(t, b.cfg)
	pgtest.Eventually(t, "the column is warned of", func() bool { return strings.Contains(d.log.String(), warning("coat")) })
}

func joined[E error](all []E) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.Error() + "\n")
	}
	return b.String()
}

// locking is a category that is locked at five years.
const locking = "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}, lock: true}\n"

// TestKeepsLocks has a set that was in force lock a category: none that takes it
// back comes into force, by no verb, also when weaker ones were in force since
// and when the locked one is not the last.
func TestKeepsLocks(t *testing.T) {
	t.Parallel()
	b := setup(t, events, locking)
	b.fill(t, 0, 10)
	shorter := strings.Replace(locking, "P5Y", "P4Y", 1)
	if _, err := sweeper.Lint(t.Context(), b.cfg, load(t, shorter)); err != nil {
		t.Fatalf("before the lock was in force: %v", err)
	}
	b.sweep(t)
	const want = `policies.yaml:3:77: category "events" is locked: delete.after was P5Y and may grow, and P4Y is shorter for a start on 2024-01-01`
	b.notEntering(t, shorter, want)
	longer := load(t, strings.Replace(locking, "P5Y", "P6Y", 1))
	if _, err := sweeper.Sweep(t.Context(), b.cfg, b.log, longer, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now}); err != nil {
		t.Fatalf("a longer one: %v", err)
	}
	b.notEntering(t, locking, strings.NewReplacer("P5Y", "P6Y", "P4Y", "P5Y").Replace(want))

	b.db.Exec(t, `insert into sweeper.policy_versions (policy_sha256, files, loaded_from) values ('\xabcdef123456789a', '{"old.yaml": "version: 1\nlock of old: ["}', 'test')`)
	_, err := sweeper.Lint(t.Context(), b.cfg, longer)
	if want := `policy version abcdef123456, which was in force and may have locked categories, cannot be read any more: old.yaml:`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// notEntering has lint, plan, sweep, install and run refuse policies.
func (b *bundle) notEntering(t *testing.T, text, want string) {
	t.Helper()
	set := load(t, text)
	cfg := b.cfg
	cfg.Policies, cfg.HTTPAddr = filepath.Join(t.TempDir(), "policies.yaml"), sweeper.HTTPOff
	write(t, cfg.Policies, text)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for verb, try := range map[string]func() error{
		"lint": func() error { _, err := sweeper.Lint(ctx, cfg, set); return err },
		"plan": func() error { _, err := sweeper.Plan(ctx, cfg, set, time.Time{}, ""); return err },
		"sweep": func() error {
			_, err := sweeper.Sweep(ctx, cfg, b.log, set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
			return err
		},
		"install": func() error { _, err := sweeper.Install(ctx, cfg, b.log, set, false); return err },
		"run": func() error {
			return sweeper.Run(ctx, cfg, slog.New(slog.DiscardHandler), sweeper.RunOptions{Now: time.Now})
		},
	} {
		if got := head(try()); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", verb, got, want)
		}
	}
}
