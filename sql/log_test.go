package sql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// aLog has one entry, one part and one purge in it.
const aLog = `
insert into sweeper.purge_log (seq, logged_at, commit_lsn, source, kind, leaf_hash, chain_hash)
    values (0, now(), '0/1', 's', 'genesis', sha256('a'), sha256('b'));
insert into sweeper.purge_rows (seq, logged_at, part, commitments) values (0, now(), 0, sha256('c'));
insert into sweeper.purges (run_id, category, reason, logged_at) values (gen_random_uuid(), 'people', 'manual', now());`

// TestLogIsAppendOnly tries to change what is in the log as its owner and as a
// superuser, through the table and through each partition.
func TestLogIsAppendOnly(t *testing.T) {
	t.Parallel()
	db := installed(t)
	db.Exec(t, aLog)
	conn := db.Conn(t, "")
	tables := texts(t, conn, `select c.relname::text from pg_class c
		where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p') and c.relname ~ '^(purge_log|purge_rows|purges)' order by 1`)
	if len(tables) < 9 {
		t.Fatalf("the log has %v only", tables)
	}
	for _, as := range []string{"reset role", "set session_replication_role = replica", "set role sweeper_owner"} {
		exec(t, conn, "reset session_replication_role")
		exec(t, conn, as)
		for _, table := range tables {
			refused(t, conn, "42501", "truncate sweeper."+table)
			refused(t, conn, "42501", "truncate sweeper."+table+" cascade")
			if n := pgtest.QueryOne[int](t, conn, "select count(*) from sweeper."+table); n == 0 {
				continue // a row trigger has nothing to refuse
			}
			refused(t, conn, "42501", "update sweeper."+table+" set logged_at = logged_at")
			refused(t, conn, "42501", "delete from sweeper."+table)
		}
		exec(t, conn, "reset role")
	}
	if n := pgtest.QueryOne[int](t, conn, `select (select count(*) from sweeper.purge_log) + (select count(*) from sweeper.purge_rows) + (select count(*) from sweeper.purges)`); n != 3 {
		t.Errorf("%d rows are left of 3", n)
	}
}

// guards counts the refusing triggers of a table that nothing passes by.
const guards = `select count(*) from pg_trigger where tgrelid = ('sweeper.' || $1::text)::regclass and tgname in ('refuse_change', 'refuse_truncate') and tgenabled = 'A'`

func TestLogPartitions(t *testing.T) {
	t.Parallel()
	db := installed(t)
	conn := db.Conn(t, "")
	logger := db.Conn(t, "sweeper_logger")
	// Bounds are texts on the way: no setting of the session may move them.
	exec(t, logger, `set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'`)
	now := pgtest.QueryOne[time.Time](t, conn, `select now()`).UTC()
	until := now.AddDate(1, 1, 0) // over the end of a year
	exec(t, logger, `select sweeper.ensure_log_partitions($1)`, until)
	var want []string
	for month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC); !month.After(until); month = month.AddDate(0, 1, 0) {
		name := month.Format("2006_01")
		bounds := fmt.Sprintf("FOR VALUES FROM ('%s+00') TO ('%s+00')", month.Format(time.DateTime), month.AddDate(0, 1, 0).Format(time.DateTime))
		want = append(want, "purge_log_"+name+" "+bounds, "purge_rows_"+name+" "+bounds)
	}
	const partitions = `select c.relname || ' ' || pg_get_expr(c.relpartbound, c.oid) from pg_class c
		where c.relnamespace = 'sweeper'::regnamespace and c.relispartition and c.relkind = 'r' order by 1`
	got := texts(t, conn, partitions)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, line := range got {
		table, _, _ := strings.Cut(line, " ")
		if n := pgtest.QueryOne[int](t, conn, guards, table); n != 2 {
			t.Errorf("%s has %d guards, want 2", table, n)
		}
	}
	const shape = `select string_agg(format('%s %s %s %s', a.attrelid::regclass::text ~ 'rows', a.attname, a.attnotnull, a.attstorage), ',' order by a.attnum)
		from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p') and c.relname ~ $1 group by c.oid`
	for _, parent := range []string{"purge_log", "purge_rows"} {
		if shapes := texts(t, conn, `select distinct s from (`+shape+`) x(s)`, "^"+parent+"(_2...*)?$"); len(shapes) != 1 {
			t.Errorf("partitions of %s differ from it: %v", parent, shapes)
		}
	}
	before := texts(t, conn, `select oid || ' ' || xmin from pg_class where relnamespace = 'sweeper'::regnamespace order by oid`)
	exec(t, logger, `select sweeper.ensure_log_partitions($1)`, until)
	if after := texts(t, conn, `select oid || ' ' || xmin from pg_class where relnamespace = 'sweeper'::regnamespace order by oid`); !slices.Equal(before, after) {
		t.Error("a second call changed the catalogue")
	}
	refused(t, logger, "22004", `select sweeper.ensure_log_partitions(null)`)
	refused(t, logger, "22023", `select sweeper.ensure_log_partitions('infinity')`)
	refused(t, logger, "22023", `select sweeper.ensure_log_partitions('-infinity')`)
	refused(t, logger, "22023", `select sweeper.ensure_log_partitions(now() + interval '3 years')`)
}

// TestLogPartitionsBesideReaders: a backup that reads the log for hours must
// hold up neither the partitions nor, behind them, everybody else.
func TestLogPartitionsBesideReaders(t *testing.T) {
	t.Parallel()
	db := installed(t)
	reader, logger, other := db.Conn(t, ""), db.Conn(t, "sweeper_logger"), db.Conn(t, "sweeper_logger")
	exec(t, reader, `begin; select from sweeper.purge_log; select from sweeper.purge_rows`)
	exec(t, logger, `begin; set local lock_timeout = '2s'`)
	exec(t, logger, `select sweeper.ensure_log_partitions(now() + interval '6 months')`)
	// A second one waits for the first and then finds everything there.
	done := background(t.Context(), other, `select sweeper.ensure_log_partitions(now() + interval '6 months')`)
	waits(t, reader, other.PgConn().PID())
	exec(t, logger, `commit`)
	if err := <-done; err != nil {
		t.Error(err)
	}
	exec(t, reader, `commit`)
}
