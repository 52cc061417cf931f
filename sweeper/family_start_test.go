package sweeper_test

import (
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// accounts start where their subscriptions end, which point at them and go along:
// 1 has one that ended, 2 two of them, 3 has one that runs on, 4 has more than a
// batch takes, 5 has none.
const accounts = `create schema app; create table app.accounts (id int primary key, org text);
	create table app.subs (id int generated always as identity primary key, account int not null references app.accounts, ended_at timestamptz);
	create table app.notes (id int generated always as identity primary key, account int not null references app.accounts);
	create index on app.subs (account); create index on app.notes (account);
	insert into app.accounts select i, 'o' || i % 2 from generate_series(1, 5) i;
	insert into app.subs (account, ended_at) values (1, '2010-01-01'), (2, '2010-01-01'), (2, '2011-01-01'), (3, '2010-01-01'), (3, null);
	insert into app.subs (account, ended_at) select 4, '2010-01-01' from generate_series(1, 60);
	insert into app.notes (account) select 1 + i % 5 from generate_series(0, 499) i`

const accountsPolicy = `version: 1
categories:
  accounts:
    table: app.accounts
    tenant: org
    start_from: {table: app.subs, column: ended_at, match: {account: id}, pick: max}
    delete: {after: P5Y}
    limits: {max_share: 1}
    children:
      - {table: app.subs, match: {account: id}}
      - {table: app.notes, match: {account: id}}
`

// families are the accounts, each with the numbers of its subscriptions and notes.
const families = `select string_agg(a.id || ' ' || (select count(*) from app.subs where account = a.id) || ' ' || (select count(*) from app.notes where account = a.id), ', ' order by a.id) from app.accounts a`

// TestStartGoesAlongWithItsRow deletes rows together with the events that they
// start with. Were the events gone first, the rows would have begun never, and stay
// for ever with nothing of theirs.
func TestStartGoesAlongWithItsRow(t *testing.T) {
	t.Parallel()
	b := setup(t, accounts, accountsPolicy, "SWEEPER_BATCH_ROWS=100")
	o := b.sweep(t)["accounts"]
	if o.State != purge.Succeeded || o.Deleted != 3 || o.Children != 1+2+60+300 {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, families); got != "3 2 100, 5 0 100" {
		t.Errorf("left are %s", got)
	}
	if o := b.sweep(t)["accounts"]; o.State != purge.Succeeded || o.Deleted+o.Children != 0 {
		t.Errorf("once more: %+v", o)
	}
	b.checkLog(t)
}

// TestStartThatDoesNotFitABatch has more events than a batch takes: all of it
// stays, and the run says so.
func TestStartThatDoesNotFitABatch(t *testing.T) {
	t.Parallel()
	b := setup(t, accounts+`; insert into app.subs (account, ended_at) select 4, '2010-01-01' from generate_series(1, 200)`, accountsPolicy, "SWEEPER_BATCH_ROWS=100")
	o := b.sweep(t)["accounts"]
	if o.State != purge.Partial || o.Deleted != 2 || o.Remaining != 1 {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, `select count(*) from app.subs where account = 4`); got != "260" {
		t.Errorf("%s of the 260 events are left of a row that stays", got)
	}
	b.checkLog(t)
}

// TestStartFitsABatchUnderARate has more events than the rate allows in a second: a
// batch takes all of them nevertheless, and pays for them afterwards.
func TestStartFitsABatchUnderARate(t *testing.T) {
	t.Parallel()
	b := setup(t, accounts+`; insert into app.subs (account, ended_at) select 4, '2010-01-01' from generate_series(1, 200)`, accountsPolicy, "SWEEPER_BATCH_ROWS=1000", "SWEEPER_ROWS_PER_SECOND=200")
	if o := b.sweep(t)["accounts"]; o.State != purge.Succeeded || o.Deleted != 3 || o.Children != 1+2+260+300 {
		t.Errorf("%+v", o)
	}
	b.checkLog(t)
}

// TestManyStartsFitABatch has rows with more events than the smallest room, and
// one with as many as a batch takes at all: however many rows a batch begins with,
// it comes down to those that fit, and all of them go.
func TestManyStartsFitABatch(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]string{
		"many": `insert into app.accounts select i, 'o' from generate_series(11, 31) i; insert into app.subs (account, ended_at) select i, timestamptz '2010-01-01' from generate_series(11, 30) i, generate_series(1, 150)
			union all select 31, timestamptz '2010-01-01' from generate_series(1, 700)`,
		"most": `insert into app.accounts values (11, 'o'); insert into app.subs (account, ended_at) select 11, '2010-01-01' from generate_series(1, 1000)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, accounts+";"+rows, accountsPolicy, "SWEEPER_BATCH_ROWS=1000")
			if o := b.sweep(t)["accounts"]; o.State != purge.Succeeded || o.Remaining != 0 {
				t.Errorf("%+v", o)
			}
			if got := b.text(t, families); got != "3 2 100, 5 0 100" {
				t.Errorf("left are %s", got)
			}
			b.checkLog(t)
		})
	}
}

// TestLockedBesideAStart has the application work on what belongs to one row, none
// of which goes then: the reason is that lock and no number of events, and the
// neighbours go.
func TestLockedBesideAStart(t *testing.T) {
	t.Parallel()
	for locks, left := range map[string]string{`update app.notes set account = account where id = 2`: "2 2 1, 3 2 1, 5 0 1", `update app.subs set ended_at = ended_at where id = 2`: "2 2 0, 3 2 1, 5 0 1"} {
		t.Run(locks, func(t *testing.T) {
			t.Parallel()
			b := setup(t, accounts+`; delete from app.notes where id > 5`, accountsPolicy, "SWEEPER_BATCH_ROWS=1000")
			tx, err := b.db.Conn(t, "").Begin(t.Context())
			if err == nil {
				_, err = tx.Exec(t.Context(), locks)
			}
			if err != nil {
				t.Fatal(err)
			}
			if o := b.sweep(t)["accounts"]; o.State != purge.Partial || o.Deleted != 2 || o.Remaining != 1 || !strings.Contains(o.StopReason, "others have locked 1 of the rows") || strings.Contains(o.StopReason, "BATCH_ROWS") {
				t.Errorf("while it is locked: %+v", o)
			}
			if got := b.text(t, families); got != left {
				t.Errorf("left are %s", got)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := b.sweep(t)["accounts"]; o.State != purge.Succeeded || o.Deleted != 1 {
				t.Errorf("afterwards: %+v", o)
			}
		})
	}
}

// TestStartGoesOnlyWithItsRow has triggers of the application keep a row when its
// events go. Were the events gone all the same, the row would begin never, and
// nobody would hear of it.
func TestStartGoesOnlyWithItsRow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trigger, left string
		deleted       int64
	}{
		"written when an event goes": {`create function app.touch() returns trigger language plpgsql security definer as $$ begin update app.accounts set org = org where id = old.account; return null; end $$;
			create trigger touch after delete on app.subs for each row execute function app.touch()`, "1 1 20, 2 2 20, 3 2 20, 4 60 20, 5 0 20", 0},
		"kept by its own trigger": {`create function app.keep() returns trigger language plpgsql as $$ begin if old.id = 2 then return null; end if; return old; end $$;
			create trigger keep before delete on app.accounts for each row execute function app.keep()`, "2 2 20, 3 2 20, 5 0 20", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, accounts+`; delete from app.notes where id > 100; `+c.trigger, accountsPolicy)
			for range 2 {
				o := b.sweep(t)["accounts"]
				if o.State != purge.Partial || o.Deleted != c.deleted || o.Remaining == 0 || o.NotStarted != 2 || !strings.Contains(o.StopReason, "app.accounts") {
					t.Errorf("%+v", o)
				}
				if got := b.text(t, families); got != c.left {
					t.Errorf("left are %s", got)
				}
				c.deleted = 0
			}
			b.checkLog(t)
		})
	}
}

// TestTreeGoesWithItsStarts has a tree whose rows start where their ends say, and
// go along with each other: a row that has gone as that of another one has gone.
func TestTreeGoesWithItsStarts(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.posts (id int primary key, parent int references app.posts); create index on app.posts (parent);
		create table app.ends (id int primary key, post int references app.posts, at timestamptz); create index on app.ends (post);
		insert into app.posts select i, nullif((i - 1) / 3, 0) from generate_series(1, 60) i; insert into app.ends select id, id, case when id <= 40 then timestamptz '2010-01-01' end from app.posts`, `version: 1
categories:
  posts:
    table: app.posts
    start_from: {table: app.ends, column: at, match: {post: id}, pick: max}
    delete: {after: P5Y}
    limits: {max_share: 1}
    children:
      - {table: app.ends, match: {post: id}}
      - {table: app.posts, match: {parent: id}, children: [{table: app.ends, match: {post: id}}]}
`)
	if o := b.sweep(t)["posts"]; o.State != purge.Partial || o.Blocked != 11 || o.Remaining != 11 || o.Deleted+o.Children != 2*29 || !strings.Contains(o.StopReason, "category posts keeps rows of app.posts") {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) || ': ' || (select count(*) from app.ends) from app.posts where id <= 40`); got != "1 4 5 6 13 14 15 16 17 18 19: 31" {
		t.Errorf("left are %s", got)
	}
	if got := b.text(t, `select count(distinct xid) from sweeper.purge_log where kind = 'delete'`); got != "1" {
		t.Errorf("they went in %s batches", got)
	}
	b.checkLog(t)
}

// people have accounts, whose own category only observes.
var (
	dossiersWithAccounts = dossiers + strings.ReplaceAll(accounts, "create schema app;", "") + `; alter table app.accounts add person int references app.people; create index on app.accounts (person); update app.accounts set person = id`
	peopleWithAccounts   = deletesPeople + `      - table: app.accounts
        match: {person: id}
        children:
          - {table: app.subs, match: {account: id}}
          - {table: app.notes, match: {account: id}}
  accounts:
    table: app.accounts
    start_from: {table: app.subs, column: ended_at, match: {account: id}, pick: max}
    delete: {after: P5Y}
    mode: observe
    children:
      - {table: app.subs, match: {account: id}}
      - {table: app.notes, match: {account: id}}
`
)

// TestChildStartsWithItsOwnChildren has accounts go along with people, that are
// kept by a category of their own, which starts them where their subscriptions end:
// those go first, and the account that they have started goes all the same.
func TestChildStartsWithItsOwnChildren(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiersWithAccounts, peopleWithAccounts)
	if o := b.sweep(t)["people"]; o.State != purge.Partial || o.Deleted != 18 || o.Children != 3+63+300 || o.Blocked != 2 || !strings.Contains(o.StopReason, "category accounts keeps rows of app.accounts") {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, families); got != "3 2 100, 5 0 100" {
		t.Errorf("left are %s", got)
	}
	b.checkLog(t)
}
