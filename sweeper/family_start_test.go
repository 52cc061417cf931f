package sweeper_test

import (
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
	if got := b.text(t, `select string_agg(a.id || ' ' || (select count(*) from app.subs where account = a.id) || ' ' || (select count(*) from app.notes where account = a.id), ', ' order by a.id) from app.accounts a`); got != "3 2 100, 5 0 100" {
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
