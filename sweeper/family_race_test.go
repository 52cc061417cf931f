package sweeper_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestChildInsertedMeanwhile has the application insert a child before the batch
// has its parent, and another one after it: the first keeps its parent, which
// goes with it by the next sweep; the second waits, and is refused by its foreign
// key when the parent is gone. None is lost, and none goes by a cascade.
func TestChildInsertedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int references app.people on delete cascade); create index on app.kids (parent);
		insert into app.kids select i, 1 + i % 20 from generate_series(1, 60) i;
		create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return old; end $$;
		create trigger wait before delete on app.kids for each row execute function app.wait()`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}}\n")
	truth := pgtest.Truth(t, b.db)
	early, late, keeper := b.db.Conn(t, ""), b.db.Conn(t, ""), b.db.Conn(t, "")
	tx, err := early.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `insert into app.kids values (100, 7)`)
	}
	if err != nil {
		t.Fatal(err)
	}
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4711)::text`)
	swept := make(chan purge.Outcome, 1)
	go func() {
		all, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
		if err != nil || len(all) != 1 {
			t.Errorf("sweep: %v", err)
			swept <- purge.Outcome{}
			return
		}
		swept <- all[0]
	}()
	pgtest.Eventually(t, "the batch is at the children", func() bool {
		return pgtest.QueryOne[bool](t, b.admin, `select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and l.locktype = 'advisory' and l.objid = 4711 and a.datname = current_database())`)
	})
	refused := make(chan error, 1)
	go func() {
		_, err := late.Exec(t.Context(), `insert into app.kids values (101, 8)`)
		refused <- err
	}()
	pgtest.Eventually(t, "the insert waits for the parent", func() bool {
		return pgtest.QueryOne[bool](t, b.admin, `select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like 'insert into app.kids%' and datname = current_database())`)
	})
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4711)::text`)
	if o := <-swept; o.State != purge.Partial || o.Deleted != 19 || o.Children != 57 || !strings.Contains(o.StopReason, "others have locked 1 of the rows") {
		t.Errorf("%+v", o)
	}
	if err := <-refused; err == nil || !strings.Contains(err.Error(), "23503") {
		t.Errorf("the child of a parent that is gone: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.kids where parent = 7`); got != "6 26 46 100" {
		t.Errorf("the children of the parent that stayed: %s", got)
	}
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 1 || o.Children != 4 {
		t.Errorf("afterwards: %+v", o)
	}
	const want = "kids DELETE 61, people DELETE 20"
	if got := strings.Replace(witnessed(t, truth), "kids INSERT 1, ", "", 1); got != want || b.logged(t) != want {
		t.Errorf("another reader saw %s, the log has %s", got, b.logged(t))
	}
}

// TestStartMovedWhileABatchLocks has the application move the start of a row, which
// lies in what goes along, when the batch has judged the row and not locked that
// yet: the row stays with all that belongs to it, and so does the row over it.
func TestStartMovedWhileABatchLocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ddl, policies, category string
		deleted                 int64
	}{
		"of the row":   {accounts, accountsPolicy, "accounts", 2},
		"of its child": {dossiersWithAccounts, peopleWithAccounts, "people", 17},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.ddl, c.policies, "SWEEPER_LOCK_TIMEOUT=25s")
			tx, err := b.db.Conn(t, "").Begin(t.Context())
			if err == nil { // lets others read the table, and lock no row of it
				_, err = tx.Exec(t.Context(), `lock table app.subs in exclusive mode; update app.subs set ended_at = now() + interval '1 year' where account = 1`)
			}
			if err != nil {
				t.Fatal(err)
			}
			swept := make(chan map[string]purge.Outcome, 1)
			go func() { swept <- b.sweep(t) }()
			pgtest.Eventually(t, "the batch waits for the events", func() bool {
				return pgtest.QueryOne[bool](t, b.admin, `select exists (select from pg_locks where not granted and locktype = 'relation' and relation = 'app.subs'::regclass)`)
			})
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := (<-swept)[c.category]; o.Deleted != c.deleted {
				t.Errorf("%+v", o)
			}
			if got := b.text(t, families); got != "1 1 100, 3 2 100, 5 0 100" {
				t.Errorf("left are %s", got)
			}
		})
	}
}

// TestLockedChild has the application work on one child: its parent stays and is
// named, and the others go.
func TestLockedChild(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, note text); create index on app.kids (parent); insert into app.kids select i, 1 + i % 20 from generate_series(1, 60) i`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}}\n")
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `update app.kids set note = 'work' where id = 5`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if o := b.sweep(t)["people"]; o.State != purge.Partial || o.Deleted != 19 || o.Children != 59 || !strings.Contains(o.StopReason, "others have locked 1 of the rows") {
		t.Errorf("while it is locked: %+v", o)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 1 || o.Children != 1 {
		t.Errorf("afterwards: %+v", o)
	}
}

// TestRefusedChild has a child that its own trigger does not let go: its parent
// is singled out and named, and no value of it.
func TestRefusedChild(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, note text); create index on app.kids (parent); insert into app.kids select i, 1 + i % 20, 'n' || i from generate_series(1, 60) i;
		create function app.refuse() returns trigger language plpgsql as $$ begin if old.id = 5 then raise check_violation using message = 'row ' || old.note, constraint = 'kids_stay', table = 'kids', schema = 'app'; end if; return old; end $$;
		create trigger refuse before delete on app.kids for each row execute function app.refuse()`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}}\n")
	o := b.sweep(t)["people"]
	if o.State != purge.Partial || o.Deleted != 19 || o.Children != 57 || !strings.Contains(o.StopReason, "23514") || strings.Contains(o.StopReason, "n5") {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.kids`); got != "5 25 45" {
		t.Errorf("left are %s", got)
	}
}

// TestSharedChildTable has one child table under two parents, which do different
// things to it, and comes with a category of its own.
func TestSharedChildTable(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.firms (id int primary key, at timestamptz); insert into app.firms select i, '2015-01-01' from generate_series(1, 10) i;
		create table app.deals (id int primary key, person int references app.people on delete set null, firm int references app.firms, at timestamptz, who text); create index on app.deals (person); create index on app.deals (firm);
		insert into app.deals select i, 1 + i % 20, 1 + i % 10, '2010-01-01', 'w' from generate_series(1, 100) i; insert into app.deals values (200, 3, null, '2010-01-01', 'w'), (201, null, null, '2010-01-01', 'w')`,
		deletesPeople+`      - {table: app.deals, match: {person: id}, action: nullify}
  firms: {table: app.firms, start_from: at, delete: {after: P1Y}, children: [{table: app.deals, match: {firm: id}}]}
  deals: {table: app.deals, start_from: at, where: [{column: id, op: gt, value: 90}, {column: id, op: lt, value: 150}], delete: {after: P1Y}}
`)
	truth := pgtest.Truth(t, b.db)
	for range 2 {
		for name, o := range b.sweep(t) {
			if o.State != purge.Succeeded || o.Remaining != 0 {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
	if got := b.text(t, `select string_agg(id || coalesce(person::text, '-'), ' ' order by id) from app.deals`); got != "200- 201-" {
		t.Errorf("left are %s", got)
	}
	got := witnessed(t, truth)
	if got != b.logged(t) || !strings.Contains(got, "deals DELETE 100,") {
		t.Errorf("another reader saw %s, the log has %s", got, b.logged(t))
	}
}

// TestLateChildOfARedactedParent comes when its parent has been redacted: it is
// redacted by the next sweep, and the parent is not written again.
func TestLateChildOfARedactedParent(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, mail text); create index on app.kids (parent); insert into app.kids select i, 1 + i % 20, 'm' from generate_series(1, 60) i`, `
version: 1
categories:
  people:
    table: app.people
    start_from: at
    redact: {after: P1Y, columns: {who: {hmac: "x-%s"}}}
    children: [{table: app.kids, match: {parent: id}, on: redact, action: redact, columns: {mail: {hmac: "y-%s"}}}]
`)
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Redacted != 20 || o.Children != 60 {
		t.Errorf("%+v", o)
	}
	b.db.Exec(t, `insert into app.kids values (100, 3, 'late')`)
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Redacted != 0 || o.Children != 1 {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, `select count(*) filter (where mail like 'y-%') from app.kids`); got != "61" {
		t.Errorf("%s are redacted", got)
	}
}

// TestUncoveredChild has a child table that has left its publication: nothing is
// purged, and the reason names the statement for its owner.
func TestUncoveredChild(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, mail text); create index on app.kids (parent); insert into app.kids select i, 1 + i % 20, 'm' from generate_series(1, 60) i`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}, action: nullify}\n")
	b.db.Exec(t, fmt.Sprintf(`alter publication %s_redact drop table app.kids`, b.cfg.Publication))
	o := b.sweep(t)["people"]
	if o.State != purge.Failed || o.Deleted != 0 || !strings.Contains(o.StopReason, `ADD TABLE "app"."kids"`) {
		t.Errorf("%+v", o)
	}
	p, err := sweeper.Plan(t.Context(), b.cfg, b.set, time.Time{}, "people")
	if err != nil || p.Details["people"][0].ChildCount() != 60 || p.Plan.Categories()[0].Covered {
		t.Errorf("plan: %v", err)
	}
}
