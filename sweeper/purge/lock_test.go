package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// locker opens a transaction that does sql and stays open.
func (b *bundle) locker(t *testing.T, sql string) pgx.Tx {
	t.Helper()
	tx, err := b.db.Conn(t, "").Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), sql)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestRowsThatStayLocked sweeps beside a session that holds ten rows for ever, one
// in every batch and more. Everything else goes, the run says how many are left and
// who has them, and it waits for few of them and never again. When they are free
// they go too.
func TestRowsThatStayLocked(t *testing.T) {
	t.Parallel()
	const rows, wait = 20000, 200 * time.Millisecond
	index := `create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);`
	for name, ddl := range map[string]string{
		"index":  index,
		"blocks": `create table app.events (id int primary key, at timestamptz, who text);`,
		"equal":  index + `create function app.equal() returns trigger language plpgsql as $$ begin new.at := '2015-01-01'; return new; end $$; create trigger equal before insert on app.events for each row execute function app.equal();`,
		"partitions": `create table app.events (id int, at timestamptz, who text, primary key (id, at)) partition by range (at); create index on app.events (at);
			create table app.old partition of app.events for values from (minvalue) to ('2015-01-01 03:00'); create table app.new partition of app.events default;`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, fmt.Sprintf(`create schema app; %s insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 second', 'u' from generate_series(1, %d) i;`, ddl, rows), one("UTC", "    partitions: rows\n    delete: {after: P5Y}\n"))
			tx := b.locker(t, `select from app.events where id % 2000 = 1000 for update`)
			began := time.Now()
			o := b.run(t, in2026, func(o *purge.Options) { o.LockTimeout, o.BatchRows, o.Log = wait, 1000, quiet })["events"]
			took := time.Since(began)
			t.Logf("took %v", took)
			pid := fmt.Sprintf("pid %d ", tx.Conn().PgConn().PID())
			if o.State != purge.Partial || o.Deleted != rows-10 || o.Remaining != 10 || !strings.Contains(o.StopReason, "others have locked ") || !strings.Contains(o.StopReason, pid) {
				t.Errorf("beside the locks: %+v", o)
			}
			if got := b.text(t, `select count(*) from app.events where id % 2000 = 1000`); got != "10" {
				t.Errorf("%s of the locked rows are left", got)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Deleted != 10 {
				t.Errorf("afterwards: %+v", o)
			}
		})
	}
}

// TestRedactedRowsThatStayLocked redacts beside a session that holds ten rows: the
// others are redacted, the run says how many are left and who has them, and the next
// one redacts them.
func TestRedactedRowsThatStayLocked(t *testing.T) {
	t.Parallel()
	const rows, wait = 5000, 200 * time.Millisecond
	for name, index := range map[string]string{"index": `create index on app.events (at);`, "blocks": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, fmt.Sprintf(`create schema app; create table app.events (id int primary key, at timestamptz, who text, mail text); %s
				insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 second', 'u', 'm' from generate_series(1, %d) i;`, index, rows),
				one("UTC", "    redact: {after: P5Y, columns: {mail: \"null\"}}\n"))
			tx := b.locker(t, `select from app.events where id % 500 = 250 for update`)
			o := b.run(t, in2026, func(o *purge.Options) { o.LockTimeout, o.BatchRows, o.Log = wait, 1000, quiet })["events"]
			pid := fmt.Sprintf("pid %d ", tx.Conn().PgConn().PID())
			if o.State != purge.Partial || o.Redacted != rows-10 || o.Remaining != 10 || !strings.Contains(o.StopReason, "others have locked ") || !strings.Contains(o.StopReason, pid) {
				t.Errorf("beside the locks: %+v", o)
			}
			if got := b.text(t, `select count(*) filter (where id % 500 = 250) || ' of ' || count(*) from app.events where mail is not null`); got != "10 of 10" {
				t.Errorf("%s that are not redacted are locked", got)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o := b.run(t, in2026)["events"]; o.State != purge.Succeeded || o.Redacted != 10 {
				t.Errorf("afterwards: %+v", o)
			}
		})
	}
}
