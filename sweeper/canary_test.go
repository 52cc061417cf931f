package sweeper_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// personal stands in every cell of the application's tables, keys included.
const personal = "Canary-5e1f"

// crowd has every kind of step ahead of it: rows deleted with their children,
// redacted, nullified, dropped with a partition whose keys are shown, held, and
// refused by a constraint and by a trigger that both show the row.
const crowd = `
	create schema app;
	create table app.people (id text primary key, at timestamptz not null, who text, email text unique, phone text, name text, note text);
	create table app.docs (id text primary key, person text references app.people on delete cascade, body text);
	create table app.reviews (id text primary key, person text references app.people on delete set null, body text);
	create index on app.docs (person); create index on app.reviews (person);
	create table app.shots (id text, at timestamptz not null, who text, body bytea, primary key (id, at)) partition by range (at);
	create table app.shots_1 partition of app.shots for values from ('2000-01-01') to ('2001-01-01');
	create table app.shots_2 partition of app.shots for values from ('2001-01-01') to ('2100-01-01');
	create table app.strict (id text primary key, at timestamptz not null, who text, phone text constraint phone_stays check (phone <> ''));
	create table app.loud (id text primary key, at timestamptz not null, who text);
	create function app.shout() returns trigger language plpgsql as $$ begin raise exception 'row % of % stays', old.id, old.who using detail = old::text, hint = old.who; end $$;
	create trigger shout before delete on app.loud for each row execute function app.shout();
	do $$ begin create role canary_owner; exception when duplicate_object or unique_violation then null; end $$;
	alter table app.shots owner to canary_owner; alter table app.shots_1 owner to canary_owner; alter table app.shots_2 owner to canary_owner;`

const crowdPolicies = `
version: 1
categories:
  people:
    table: app.people
    subject: who
    start_from: at
    redact: {after: P1Y, columns: {email: {hmac: "redacted-%s@invalid"}, phone: {mask: {keep_last: 2}}, name: zero, note: "null", who: keep}}
    delete: {after: P5Y}
    children:
      - {table: app.docs, match: {person: id}, action: delete}
      - {table: app.reviews, match: {person: id}, action: nullify}
    schedule: {every: 1h}
  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P20Y}, manifest: digest, schedule: {every: 1h}}
  strict: {table: app.strict, subject: who, start_from: at, redact: {after: P1Y, columns: {phone: zero, who: keep}}, schedule: {every: 1h}}
  loud: {table: app.loud, subject: who, start_from: at, delete: {after: P5Y}, schedule: {every: 1h}}
`

// fillCrowd makes rows n of every table, with the canary in each cell.
func fillCrowd(b *bundle, t *testing.T, n int) {
	t.Helper()
	c := fmt.Sprintf("%s-%d", personal, n)
	b.db.Exec(t, fmt.Sprintf(`
		insert into app.people select '%[1]s-old-' || i, '2010-01-01', '%[1]s-who-' || i, '%[1]s-a-' || i, '%[1]s', '%[1]s', '%[1]s' from generate_series(1, 50) i;
		insert into app.people select '%[1]s-mid-' || i, now() - interval '2 years', '%[1]s-who-' || i, '%[1]s-b-' || i, '%[1]s', '%[1]s', '%[1]s' from generate_series(1, 50) i;
		insert into app.docs select '%[1]s-' || i, '%[1]s-old-' || i, '%[1]s' from generate_series(1, 50) i;
		insert into app.reviews select '%[1]s-' || i, '%[1]s-old-' || i, '%[1]s' from generate_series(1, 50) i;
		insert into app.shots select '%[1]s-' || i, '2001-02-01', '%[1]s', '%[1]s'::bytea from generate_series(1, 20) i;
		insert into app.strict select '%[1]s-' || i, '2010-01-01', '%[1]s', '%[1]s' from generate_series(1, 3) i;
		insert into app.loud select '%[1]s-' || i, '2010-01-01', '%[1]s' from generate_series(1, 3) i`, c))
}

// TestCanary has personal data in every cell, and every kind of step, error and
// alarm happen to it by sweep and by daemon, with all that can be logged. It must
// be found nowhere, but where the subject of a hold has to stand.
func TestCanary(t *testing.T) {
	t.Parallel()
	path, addr := filepath.Join(t.TempDir(), "policies.yaml"), freeAddr(t)
	write(t, path, crowdPolicies)
	b := setup(t, crowd, crowdPolicies, "SWEEPER_POLICIES="+path, "SWEEPER_HTTP_ADDR="+addr)
	b.db.Exec(t, `do $$ begin grant canary_owner to sweeper_owner; exception when unique_violation or internal_error then null; end $$`)
	b.db.Exec(t, `insert into app.shots values ('`+personal+`', '2000-02-01', '`+personal+`', '`+personal+`')`)
	fillCrowd(b, t, 1)
	said := &buffer{}
	log := slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))

	// By sweep: with a subject held, released in between, and a hold on nobody.
	hold := b.text(t, `select sweeper.apply_hold($1, 'case', 'test', 'ref')`, personal+"-1-who-7")
	b.db.Exec(t, `select sweeper.apply_hold($1, 'case', 'test')`, personal+"-nobody")
	sweepOnce := func() {
		o, err := sweeper.Sweep(t.Context(), b.cfg, log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now, Warn: func(s string) { fmt.Fprintln(said, s) }})
		fmt.Fprintf(said, "%+v %v\n", o, err)
	}
	sweepOnce()
	b.db.Exec(t, `select sweeper.release_hold($1, 'over', 'test')`, hold)
	sweepOnce()

	// By daemon: with errors of the log, of the connection and of the pages.
	w := &watched{cfg: b.cfg, slot: b.db.Slot(), url: "http://" + addr, log: said, admin: b.admin, set: b.set}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Run(ctx, b.cfg, log, sweeper.RunOptions{Now: time.Now}) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	pages := func() {
		for _, page := range []string{"/", "/metrics", "/readyz?verbose", "/livez"} {
			_, body := w.get(t, page)
			fmt.Fprintln(said, body)
		}
	}
	w.green(t)
	fillCrowd(b, t, 2)
	b.db.Exec(t, `delete from app.docs where id like '%-2-1'; truncate app.loud; insert into app.loud values ($$`+personal+`$$, '2010-01-01', $$`+personal+`$$)`)
	b.db.Exec(t, `alter table sweeper.purge_log add constraint nothing check (kind <> 'delete') not valid`)
	b.db.Exec(t, `update sweeper.schedules set next_due = date_trunc('second', now()) - interval '1 second'`)
	w.red(t, "log", "")
	pages()
	b.db.Exec(t, `alter table sweeper.purge_log drop constraint nothing`)
	w.green(t)
	b.db.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, b.db.Slot())
	b.db.Exec(t, `update sweeper.schedules set next_due = date_trunc('second', now()) - interval '1 second'`)
	pgtest.Eventually(t, "what can go has gone", func() bool {
		return b.text(t, `select (select count(*) from app.people where at < '2011-01-01') + (select count(*) from app.docs) + (select count(*) from app.people where note is not null)`) == "0"
	})
	pages()
	b.db.Exec(t, `drop table app.shots_2`)
	pgtest.Eventually(t, "the log has all of it", func() bool {
		return b.text(t, `select count(*) > 0 from sweeper.purge_log where partition = 'app.shots_2'`) == "true" &&
			b.text(t, `select count(*) from sweeper.runs r where not exists (select from sweeper.purges p where p.run_id = r.run_id)`) == "0"
	})
	_, status, err := sweeper.Status(t.Context(), b.cfg, time.Now())
	fmt.Fprintf(said, "%+v %v\n", status, err)

	// The test is worth something only if all of it happened.
	kinds := b.text(t, `select string_agg(distinct kind, ' ' order by kind) from sweeper.purge_log`)
	for _, kind := range []string{"coverage", "delete", "drop_partition", "genesis", "hold", "redact", "truncate"} {
		if !strings.Contains(kinds, kind) {
			t.Errorf("nothing of kind %s happened: %s", kind, kinds)
		}
	}
	if got := b.text(t, `select string_agg(distinct state, ' ' order by state) from sweeper.runs`); !strings.Contains(got, "partial") || !strings.Contains(got, "succeeded") {
		t.Errorf("the runs are %s", got)
	}
	if got := b.text(t, `select string_agg(distinct relation || ' ' || kind, ', ') from sweeper.purge_log where relation like 'app.%' and kind <> 'coverage'`); !strings.Contains(got, "app.reviews redact") || !strings.Contains(got, "app.docs delete") {
		t.Errorf("the log has %s", got)
	}
	for _, word := range []string{"phone_stays", "P0001"} {
		if !strings.Contains(said.String(), word) {
			t.Errorf("no error shows %s", word)
		}
	}

	forms := []string{personal, strings.ToLower(personal), hex.EncodeToString([]byte(personal))}
	for line := range strings.Lines(said.String()) {
		for _, form := range forms {
			if strings.Contains(line, form) {
				t.Errorf("said: %s", line)
			}
		}
	}
	for _, table := range strings.Fields(b.text(t, `select string_agg(relname, ' ') from pg_class where relnamespace = 'sweeper'::regnamespace and relkind in ('r', 'p', 'v')`)) {
		if table == "legal_holds" || table == "hold_keys" {
			continue
		}
		for _, form := range forms {
			if n := b.text(t, `select count(*) from sweeper.`+table+` x where position($1 in x::text) > 0`, form); n != "0" {
				t.Errorf("%s rows of sweeper.%s have it", n, table)
			}
		}
	}
	if got := b.text(t, `select count(*) from sweeper.legal_holds h where position($1 in to_jsonb(h)::text) > 0 and position($1 in (to_jsonb(h) - 'subject')::text) > 0`, personal); got != "0" {
		t.Error("a hold has it elsewhere than in its subject")
	}
}
