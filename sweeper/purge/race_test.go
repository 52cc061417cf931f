package purge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// in2026 is when the tests with fixed starts judge.
var in2026 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// waits tells whether a session of our database waits for the kind of lock.
func (b *bundle) waits(t *testing.T, kind string) bool {
	return pgtest.QueryOne[bool](t, b.admin, `
		select exists (select from pg_locks l join pg_stat_activity a using (pid)
		                where not l.granted and l.locktype = $1 and a.datname = current_database())`, kind)
}

// TestRefreshedRowStays has the application hold a due row, refresh it while
// the batch waits for it, and commit: the batch must judge the new row, by
// both walks and in a partition.
func TestRefreshedRowStays(t *testing.T) {
	t.Parallel()
	ddl := map[string]string{
		"blocks": `create table app.events (id int primary key, at timestamptz, who text);`,
		"index":  `create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);`,
		"partitions": `create table app.events (id int, at timestamptz, who text, primary key (id, at)) partition by range (at);
			create table app.old partition of app.events for values from (minvalue) to ('2025-01-01');
			create table app.new partition of app.events for values from ('2025-01-01') to (maxvalue);`,
	}
	for walk, tables := range ddl {
		t.Run(walk, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "create schema app;"+tables+`insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 hour', 'u' || i from generate_series(1, 100) i`,
				one("UTC", "    partitions: rows\n    delete: {after: P5Y}\n"))
			app := b.db.Conn(t, "")
			tx, err := app.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `update app.events set at = '2025-06-01', who = 'fresh' where id = 42`); err != nil {
				t.Fatal(err)
			}
			done := make(chan map[string]purge.Outcome, 1)
			go func() { done <- b.run(t, in2026) }()
			pgtest.Eventually(t, "the batch waits for the row", func() bool { return b.waits(t, "transactionid") })
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := (<-done)["events"]
			if got := b.text(t, `select string_agg(id || ' ' || who, ',') from app.events`); got != "42 fresh" {
				t.Errorf("left are %q, want the refreshed row alone", got)
			}
			if o.State != purge.Succeeded {
				t.Errorf("got %s: %s", o.State, o.StopReason)
			}
		})
	}
}

// TestHoldWhileBatchIsOpen applies a hundred holds, each while a batch is in
// the middle of its work: a due row of every batch is locked by the
// application, so that the batch stands there with the fence. When apply_hold
// has returned, not one more row of its subject may go.
func TestHoldWhileBatchIsOpen(t *testing.T) {
	t.Parallel()
	const holds, rows = 100, 50
	b := setup(t, fmt.Sprintf(`create schema app; create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', case when i %% %[1]d = %[1]d / 2 then 'free' else 's' || i %% %[2]d end from generate_series(0, %[3]d) i`, rows, holds, (holds+2)*rows-1),
		one("UTC", "    delete: {after: P5Y}\n"))
	apps := [2]*pgx.Conn{b.db.Conn(t, ""), b.db.Conn(t, "")}
	locker := func(batch int) pgx.Tx {
		tx, err := apps[batch%2].Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), `select from app.events where id = $1 for update`, batch*rows+rows/2)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	locked := locker(0)
	done := make(chan map[string]purge.Outcome, 1)
	go func() {
		done <- b.run(t, in2026, func(o *purge.Options) { o.BatchRows, o.LockTimeout, o.Workers = rows, 25*time.Second, 1 })
	}()
	kept := map[string]int{}
	operator := b.db.Conn(t, "")
	for i := range holds {
		subject := fmt.Sprintf("s%d", i)
		pgtest.Eventually(t, "a batch waits for its row", func() bool { return b.waits(t, "transactionid") })
		held := make(chan error, 1)
		go func() {
			_, err := operator.Exec(context.WithoutCancel(t.Context()), `select sweeper.apply_hold($1, 'case', 'test')`, subject)
			held <- err
		}()
		pgtest.Eventually(t, "the hold waits for the batch in flight", func() bool { return b.waits(t, "advisory") })
		next := locker(i + 1)
		if err := locked.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		locked = next
		if err := <-held; err != nil {
			t.Fatalf("hold %d: %v", i, err)
		}
		kept[subject] = pgtest.QueryOne[int](t, b.admin, `select count(*) from app.events where who = $1`, subject)
	}
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := (<-done)["events"]
	total := 0
	for subject, want := range kept {
		total += want
		if got := pgtest.QueryOne[int](t, b.admin, `select count(*) from app.events where who = $1`, subject); got != want {
			t.Errorf("subject %s had %d rows when its hold was in force, and has %d", subject, want, got)
		}
	}
	if total == 0 || o.Held != int64(total) || o.State != purge.Succeeded {
		t.Errorf("%d rows held, outcome %+v", total, o)
	}
}

// TestHoldShapes has one hold of each shape, and what it must not hold beside
// what it must.
func TestHoldShapes(t *testing.T) {
	t.Parallel()
	const policies = `version: 1
categories:
  events: {table: app.events, subject: who, tenant: org, start_from: at, delete: {after: P5Y}}
  others: {table: app.others, subject: who, start_from: at, delete: {after: P5Y}}
`
	for name, c := range map[string]struct{ hold, events, others string }{
		"subject":            {`subject => 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'`, "1 3", "1"},
		"subject and tenant": {`subject => 'a0eebc999c0b4ef8bb6d6bb9bd380a11', tenant => 'T1'`, "1", "1"},
		"tenant":             {`subject => null, tenant => 'T1'`, "1 2", ""},
		"category":           {`subject => null, category => 'others'`, "", "1 2"},
		"relation":           {`subject => null, relation => 'app.events'`, "1 2 3 4", ""},
		"subject elsewhere":  {`subject => 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', category => 'others'`, "", "1"},
		"another subject":    {`subject => 'not even a uuid'`, "", ""},
		"expired":            {`subject => null, category => 'others', expires_at => clock_timestamp() + interval '1 second'`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `create schema app;
				create table app.events (id int primary key, at timestamptz, who uuid, org varchar(9));
				create table app.others (id int primary key, at timestamptz, who uuid);
				insert into app.events select i, '2015-01-01', case when i % 2 = 1 then 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' else gen_random_uuid() end, case when i < 3 then 'T1' else 'T2' end from generate_series(1, 4) i;
				insert into app.others select id, at, who from app.events where id < 3`, policies)
			b.db.Exec(t, `select sweeper.apply_hold(`+c.hold+`, reason => 'case', applied_by => 'test')`)
			pgtest.Eventually(t, "the hold that expires has expired", func() bool {
				return b.text(t, `select count(*) from sweeper.legal_holds where expires_at > clock_timestamp()`) == "0"
			})
			b.run(t, in2026)
			if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != c.events {
				t.Errorf("events: left are %q, want %q", got, c.events)
			}
			if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.others`); got != c.others {
				t.Errorf("others: left are %q, want %q", got, c.others)
			}
			b.db.Exec(t, `select sweeper.release_hold(hold_id, 'closed', 'test') from sweeper.legal_holds`)
			b.run(t, in2026)
			if got := b.text(t, `select (select count(*) from app.events) + (select count(*) from app.others)`); got != "0" {
				t.Errorf("%s rows are left after the release", got)
			}
		})
	}
}

// TestHoldOfAnotherCategoryOfTheTable has holds that find rows as those of one
// category, while another one over the same table would delete them: by its
// name, of the rows that it selects, and by its subjects.
func TestHoldOfAnotherCategoryOfTheTable(t *testing.T) {
	t.Parallel()
	const policies = `version: 1
categories:
  events: {table: app.events, subject: who, start_from: at, delete: {after: P1Y}}
  orders: {table: app.events, subject: org, where: [{column: kind, op: eq, value: order}], start_from: at, delete: {after: P2Y}}
  seen: {table: app.events, subject: who, start_from: at, redact: {after: P1Y, columns: {name: "null"}}, enabled: false}
`
	for name, c := range map[string]struct{ hold, left string }{
		"category": {`subject => null, category => 'orders'`, "1 3"},
		"a category that only redacts, and is disabled": {`subject => 'a', category => 'seen'`, "1 2"},
		"subject of its own":                            {`subject => 'x'`, "1 4"},
		"subject and category":                          {`subject => 'x', category => 'orders'`, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `create schema app;
				create table app.events (id int primary key, at timestamptz, who text, org text, kind text, name text);
				insert into app.events values (1, '2015-01-01', 'a', 'x', 'order'), (2, '2015-01-01', 'a', 'y', null), (3, '2015-01-01', 'b', 'y', 'order'), (4, '2015-01-01', 'b', 'x', 'visit')`, policies)
			b.db.Exec(t, `select sweeper.apply_hold(`+c.hold+`, reason => 'case', applied_by => 'test')`)
			o := b.run(t, in2026)["events"]
			if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != c.left {
				t.Errorf("left are %q, want %q", got, c.left)
			}
			if want := int64(len(strings.Fields(c.left))); o.Held != want || o.State != purge.Succeeded {
				t.Errorf("outcome %+v, want %d held", o, want)
			}
			b.db.Exec(t, `select sweeper.release_hold(hold_id, 'closed', 'test') from sweeper.legal_holds`)
			b.run(t, in2026)
			if got := b.text(t, `select count(*) from app.events`); got != "0" {
				t.Errorf("%s rows are left after the release", got)
			}
		})
	}
}

// TestBatchKeepsNothing has a batch that meets a lock on its table for longer than
// it waits: the run says so, and leaves no lock, no stamp and no open transaction
// behind.
func TestBatchKeepsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text);
		insert into app.events select i, '2015-01-01', 'a' from generate_series(1, 10) i`, one("UTC", "    delete: {after: P5Y}\n"))
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `lock table app.events in share row exclusive mode`)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := b.run(t, in2026, func(o *purge.Options) { o.LockTimeout = 100 * time.Millisecond })["events"]
	if o.State != purge.Partial || o.Remaining != 10 || !strings.Contains(o.StopReason, "55P03") || !strings.Contains(o.StopReason, fmt.Sprintf("pid %d ", tx.Conn().PgConn().PID())) {
		t.Errorf("got %+v", o)
	}
	left := pgtest.QueryOne[int](t, b.admin, `select count(*) from pg_locks where locktype = 'advisory' and classid = $1 and database = (select oid from pg_database where datname = current_database())`, uint32(pg.LockSpace))
	if stamps := b.text(t, `select count(*) from sweeper.batches where fact in ('stamp', 'report')`); left != 0 || stamps != "0" {
		t.Errorf("%d advisory locks and %s stamps are left", left, stamps)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 10 {
		t.Errorf("afterwards: %+v", o)
	}
}
