package sweeper_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// hidden are people who are restricted, each in a way of its own; the subject under a hold
// too.
const hidden = `
	create schema app;
	create domain app.mail as text not null check (value like '%@%');
	create table app.people (id int primary key, tenant text, status text, at timestamptz, email app.mail, phone varchar(20), note text);
	create index on app.people (at);
	insert into app.people values
		(1, 'a', 'closed', now() - interval '40 days', 'one@example.com', '0001', 'n1'),
		(2, 'a', 'closed', now() - interval '20 days', 'two@example.com', '0002', 'n2'),
		(3, 'a', 'open', now() - interval '40 days', 'three@example.com', '0003', 'n3'),
		(4, 'a', 'closed', null, 'four@example.com', '0004', 'n4'),
		(5, 'a', null, now() - interval '40 days', 'five@example.com', '0005', 'n5'),
		(6, 'short', 'closed', now() - interval '20 days', 'six@example.com', '0006', 'n6'),
		(7, 'a', 'closed', 'infinity', 'seven@example.com', '0007', 'n7'),
		(8, 'a', 'closed', '294000-01-01', 'eight@example.com', '0008', 'n8'),
		(9, 'a', 'closed', '-infinity', 'nine@example.com', '0009', 'n9'),
		(10, 'a', 'it''s', now() - interval '40 days', 'ten@example.com', '0010', 'n10')`

const hiding = `
version: 1
categories:
  people:
    table: app.people
    subject: id
    tenant: tenant
    where: [{column: status, op: in, value: [closed, "it's"]}]
    start_from: at
    restrict: {after: P30D, columns: [email, phone]}
`

// reader is who reads the view, and may not read the table.
func (b *bundle) reader(t *testing.T, view string) *pgx.Conn {
	t.Helper()
	role := b.db.Role(t, "reader", "login")
	b.db.Exec(t, `grant usage on schema sweeper_restricted to `+role+`; grant select on sweeper_restricted.`+view+` to `+role)
	return b.db.Conn(t, role)
}

const seenSQL = `select string_agg(id || ' ' || coalesce(email, '-') || ' ' || coalesce(phone, '-') || ' ' || note, ', ' order by id) from sweeper_restricted.app_people`

// TestRestrictHidesColumns has a reader see the columns of rows before their
// time, and NULL after it: of rows that the policy selects, by the tenant's window
// where that is shorter, whatever is held. What is in the table stays as it was.
func TestRestrictHidesColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, hidden, hiding+"    delete: {after: P9Y}\n")
	reader := b.reader(t, "app_people")
	b.db.Exec(t, `select sweeper.apply_hold('1', 'case', 'test')`)
	const inTable = `select string_agg(p::text, ' ' order by id) from app.people p where id <> 2`
	before := b.text(t, inTable)
	const want = "1 - - n1, 2 two@example.com 0002 n2, 3 three@example.com 0003 n3, 4 four@example.com 0004 n4, 5 five@example.com 0005 n5, " +
		"6 six@example.com 0006 n6, 7 seven@example.com 0007 n7, 8 eight@example.com 0008 n8, 9 nine@example.com 0009 n9, 10 - - n10"
	if got := pgtest.QueryOne[string](t, reader, seenSQL); got != want {
		t.Errorf("the reader sees %s\nwant %s", got, want)
	}
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 0 || o.Redacted != 0 || o.Remaining != 0 {
		t.Errorf("got %+v", o)
	}
	b.db.Exec(t, `select sweeper.set_tenant_retention('people', 'short', interval '10 days', 'me', 'contract')`)
	b.db.Exec(t, `update app.people set at = now() - interval '31 days' where id = 2`)
	got := pgtest.QueryOne[string](t, reader, seenSQL)
	if moved := strings.NewReplacer("2 two@example.com 0002", "2 - -", "6 six@example.com 0006", "6 - -").Replace(want); got != moved {
		t.Errorf("later the reader sees %s\nwant %s", got, moved)
	}
	b.db.Exec(t, `update app.people set at = now() - interval '20 days' where id = 2`)
	if after := b.text(t, inTable); !strings.Contains(after, "one@example.com") || after != before {
		t.Errorf("the table has changed: %s", after)
	}
}

// TestRestrictCannotBePassedBy has a reader try to see hidden values by
// functions that tell what they are given, and by what statements say in errors,
// and to write through the view: not even a superuser can.
func TestRestrictCannotBePassedBy(t *testing.T) {
	t.Parallel()
	b := setup(t, hidden, hiding)
	cfg := b.reader(t, "app_people").Config().Copy()
	var heard []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, n.Message) }
	reader, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(context.WithoutCancel(t.Context())) }()
	b.db.Exec(t, `grant all on sweeper_restricted.app_people to public; grant create on schema public to public`)
	for _, sql := range []string{`select email from app.people`, `select * from sweeper.tenant_retention`, `update app.people set note = 'x'`} {
		if _, err := reader.Exec(t.Context(), sql); pg.SQLState(err) != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := reader.Exec(t.Context(), `create function pg_temp.tell(text) returns boolean language plpgsql cost 0.0000001 as $$ begin raise notice '%', $1; return true; end $$`); err != nil {
		t.Fatal(err)
	}

	told := pgtest.QueryOne[[]string](t, reader, `select array_agg(email) from sweeper_restricted.app_people where pg_temp.tell(email) and pg_temp.tell(phone) and email is not null`)
	if !slices.Contains(heard, "two@example.com") {
		t.Errorf("the function told nothing: %q", heard)
	}
	for _, value := range slices.Concat(told, heard) {
		if strings.HasPrefix(value, "one@") || strings.HasPrefix(value, "ten@") || value == "0001" || value == "0010" {
			t.Errorf("the reader got %s", value)
		}
	}
	if got := pgtest.QueryOne[int](t, reader, `select count(*)::int from sweeper_restricted.app_people where email like 'one@%' or phone = '0001' or email = 'ten@example.com'`); got != 0 {
		t.Errorf("%d hidden rows are found by their values", got)
	}
	if _, err := reader.Exec(t.Context(), `select 1 / (case when email = 'one@example.com' then 0 else 1 end) from sweeper_restricted.app_people`); err != nil {
		t.Errorf("a hidden value is told by an error: %v", err)
	}
	for name, conn := range map[string]*pgx.Conn{"the reader": reader, "a superuser": b.admin} {
		for _, sql := range []string{
			`insert into sweeper_restricted.app_people (id, email) values (99, 'x@y')`, `update sweeper_restricted.app_people set note = 'x'`,
			`delete from sweeper_restricted.app_people`,
		} {
			if _, err := conn.Exec(t.Context(), sql); pg.SQLState(err) != "55000" {
				t.Errorf("%s: %s: %v", name, sql, err)
			}
		}
	}
	if got := b.text(t, `select array_to_string(reloptions, ',') || ' ' || pg_get_userbyid(relowner) from pg_class where oid = 'sweeper_restricted.app_people'::regclass`); got != "security_barrier=true sweeper_owner" {
		t.Errorf("the view is %s", got)
	}
}

// TestRestrictFollowsThePolicies has a policy change, and the table too: the
// next install makes the view anew, and who could read it still can. Without
// restrict there is none.
func TestRestrictFollowsThePolicies(t *testing.T) {
	t.Parallel()
	b := setup(t, hidden, hiding)
	reader := b.reader(t, "app_people")
	install := func(policies string) sweeper.Installation {
		t.Helper()
		b.set = load(t, policies)
		done, err := sweeper.Install(t.Context(), b.cfg, b.log, b.set, false)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if done := install(hiding); !done.Empty() {
		t.Errorf("a second install of the same: %s", done.Script())
	}
	install(strings.NewReplacer("P30D", "P10D", "[email, phone]", "[note]").Replace(hiding))
	if got := pgtest.QueryOne[string](t, reader, `select string_agg(id || coalesce(note, '-') || email, ' ' order by id) from sweeper_restricted.app_people where id < 3`); got != "1-one@example.com 2-two@example.com" {
		t.Errorf("the reader sees %s", got)
	}
	b.db.Exec(t, `drop view sweeper_restricted.app_people; alter table app.people drop column phone; alter table app.people add column fax text default 'f'`)
	install(strings.Replace(hiding, "[email, phone]", "[email, fax]", 1))
	b.db.Exec(t, `grant select on sweeper_restricted.app_people to public; alter table app.people rename column note to remark`)
	install(strings.Replace(hiding, "[email, phone]", "[email, fax]", 1)) // its columns are others: it is dropped and made again
	if got := pgtest.QueryOne[string](t, reader, `select concat(id, email, fax, remark) from sweeper_restricted.app_people where id = 1`); got != "1n1" {
		t.Errorf("the reader sees %s", got)
	}
	observed := strings.Replace(hiding, "[email, phone]", "[email, fax]", 1) + "    mode: observe\n"
	install(observed)
	if got := pgtest.QueryOne[string](t, reader, `select concat(id, email, fax, remark) from sweeper_restricted.app_people where id = 1`); got != "1one@example.comfn1" {
		t.Errorf("while it only observes the reader sees %s", got)
	}
	install(strings.Replace(hiding, "restrict: {after: P30D, columns: [email, phone]}", "delete: {after: P9Y}", 1))
	if got := b.text(t, `select count(*) from pg_views where schemaname = 'sweeper_restricted'`); got != "0" {
		t.Errorf("%s views are left", got)
	}
}

// TestRestrictIsSaidToBeStale has the daemon read a policy whose view nobody has
// made: it says so, since making it takes the rights of an install.
func TestRestrictIsSaidToBeStale(t *testing.T) {
	t.Parallel()
	b := setup(t, hidden, hiding)
	warnings, err := sweeper.Lint(t.Context(), b.cfg, b.set)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.Contains(w.Reason, "sweeper_restricted") {
			t.Errorf("fresh from the install: %s", w.Reason)
		}
	}
	changed := load(t, strings.Replace(hiding, "P30D", "P31D", 1))
	warnings, err = sweeper.Lint(t.Context(), b.cfg, changed)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, w := range warnings {
		found = found || strings.Contains(w.Reason, "view sweeper_restricted.app_people is not there or not that of the policies") && strings.HasSuffix(w.Reason, "run: sweeper install")
	}
	if !found {
		t.Errorf("got %v", warnings)
	}
}

// TestRestrictByEverySortOfStart has starts of each type, one in another table
// and one of an integer, in a partitioned table too, and two categories over one
// table.
func TestRestrictByEverySortOfStart(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.dates (id int primary key, at date, v text);
		create table app.walls (id int primary key, at timestamp, v text);
		create table app.epochs (id int primary key, at bigint, v text);
		create table app."Far" (id int primary key, v text); create table app.events (who int, at timestamptz); create index on app.events (who);
		create table app.parts (id int, at timestamptz, v text, w text, primary key (id, at)) partition by range (at);
		create table app.parts_1 partition of app.parts default;
		insert into app.dates values (1, current_date - 40, 'x'), (2, current_date - 5, 'x'), (3, null, 'x'), (4, 'infinity', 'x');
		insert into app.walls values (1, now() - interval '40 days', 'x'), (2, now(), 'x'), (3, '-infinity', 'x');
		insert into app.epochs values (1, extract(epoch from now() - interval '40 days') * 1000, 'x'), (2, 0, 'x'), (3, 9223372036854775807, 'x'), (4, extract(epoch from now()) * 1000, 'x');
		insert into app."Far" values (1, 'x'), (2, 'x'), (3, 'x'), (4, 'x');
		insert into app.events values (1, now() - interval '40 days'), (2, now() - interval '40 days'), (2, now()), (3, now() - interval '40 days'), (3, null);
		insert into app.parts values (1, now() - interval '40 days', 'x', 'y'), (2, now() - interval '20 days', 'x', 'y'), (3, now(), 'x', 'y')`, `
version: 1
categories:
  dates: {table: app.dates, start_from: at, restrict: {after: P30D, columns: [v]}}
  walls: {table: app.walls, start_from: at, restrict: {after: P30D, columns: [v]}}
  epochs: {table: app.epochs, start_from: {column: at, unit: ms}, restrict: {after: P30D, columns: [v]}}
  far: {table: app.Far, start_from: {table: app.events, column: at, match: {who: id}}, restrict: {after: P30D, columns: [v]}}
  parts: {table: app.parts, start_from: at, restrict: {after: P30D, columns: [v]}}
  also: {table: app.parts, start_from: at, restrict: {after: P10D, columns: [w]}, delete: {after: P9Y}}
`)
	b.db.Exec(t, `grant select on all tables in schema sweeper_restricted to public`)
	reader := b.reader(t, "app_dates")
	for view, want := range map[string]string{
		"app_dates": "1-- 2x- 3x- 4x-", "app_walls": "1-- 2x- 3x-", "app_epochs": "1-- 2x- 3x- 4x-", `"app_Far"`: "1-- 2x- 3x- 4x-", "app_parts": "1-- 2x- 3xy",
	} {
		w := "null::text"
		if view == "app_parts" {
			w = "w"
		}
		if got := pgtest.QueryOne[string](t, reader, `select string_agg(id || coalesce(v, '-') || coalesce(`+w+`, '-'), ' ' order by id) from sweeper_restricted.`+view); got != want {
			t.Errorf("%s: the reader sees %s, want %s", view, got, want)
		}
	}
	// Categories that only restrict have nothing to sweep, and are swept.
	for category, o := range b.sweep(t) {
		if o.State != purge.Succeeded {
			t.Errorf("%s: %+v", category, o)
		}
	}
	if _, err := sweeper.Plan(t.Context(), b.cfg, b.set, time.Time{}, ""); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{"1": "due", "2": "scheduled", "3": "not_started"} {
		story, err := sweeper.Explain(t.Context(), b.cfg, b.set, "app.dates", key, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if len(story.Standing) != 1 || story.Standing[0].Disposition != "restrict" || story.Standing[0].State != want || story.Standing[0].Window != "P30D" {
			t.Errorf("row %s: got %+v, want it to be %s", key, story.Standing, want)
		}
	}
}

// TestRestrictIsRefused has what cannot be hidden.
func TestRestrictIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, hidden, hiding)
	for _, c := range []struct{ ddl, old, new, want string }{
		{"", "[email, phone]", "[email, id]", `column "id" is of the key of app.people, by which rows are found; it cannot be hidden`},
		{"", "[email, phone]", "[mail]", `column "mail" does not exist in app.people; did you mean "email"?`},
		{"alter table app.people enable row level security; create policy p on app.people using (true)", "P30D", "P30D", "app.people has row security, which a view does not apply to those who read it; restrict needs a table without"},
	} {
		if c.ddl != "" {
			b.db.Exec(t, c.ddl)
		}
		_, err := sweeper.Install(t.Context(), b.cfg, slog.New(slog.DiscardHandler), load(t, strings.Replace(hiding, c.old, c.new, 1)), false)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
