package sweeper_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestLeavesWithoutGrants has leaves on which the purging role has no privilege at
// all, of a table and of its child: every statement goes through the roots, so
// that both dispositions work, beside a lock too.
func TestLeavesWithoutGrants(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.people (id int, at timestamptz, who text, mail text, primary key (id, at)) partition by range (at);
		create table app.p1 partition of app.people for values from (minvalue) to ('2015-06-01'); create table app.p2 partition of app.people for values from ('2015-06-01') to ('2024-01-01'); create table app.p3 partition of app.people default;
		create table app.kids (id int, person int, primary key (id)) partition by hash (id); create table app.k0 partition of app.kids for values with (modulus 2, remainder 0); create table app.k1 partition of app.kids for values with (modulus 2, remainder 1); create index on app.kids (person);
		insert into app.people select i, '2015-01-01'::timestamptz + i * interval '1 day', 'u', 'm' from generate_series(1, 300) i; insert into app.people select i, now() - interval '2 years', 'u', 'm' from generate_series(301, 400) i;
		insert into app.kids select i, 1 + i % 400 from generate_series(1, 800) i`,
		"version: 1\ncategories:\n  people:\n    table: app.people\n    subject: who\n    start_from: at\n    redact: {after: P1Y, columns: {mail: zero}}\n    delete: {after: P5Y}\n    children: [{table: app.kids, match: {person: id}}]\n", "SWEEPER_LOCK_TIMEOUT=200ms", "SWEEPER_BATCH_ROWS=100")
	b.db.Exec(t, `revoke all on app.p1, app.p2, app.p3, app.k0, app.k1 from sweeper_daemon`)
	if got := b.text(t, `select string_agg(c.relname, ' ') from pg_class c where relnamespace = 'app'::regnamespace and relispartition and relkind = 'r' and has_any_column_privilege('sweeper_daemon', c.oid, 'select')`); got != "" {
		t.Fatalf("the purging role may read %s", got)
	}
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `select from app.people where id in (7, 310) for update`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if o := b.sweep(t)["people"]; o.State != purge.Partial || o.Deleted != 299 || o.Redacted != 99 || o.Children != 598 {
		t.Errorf("beside the locks: %+v", o)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 1 || o.Redacted != 1 || o.Children != 2 {
		t.Errorf("afterwards: %+v", o)
	}
}
