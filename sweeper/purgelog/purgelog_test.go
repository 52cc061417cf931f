package purgelog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var key = []byte("0123456789abcdef0123456789abcdef")

// begins is where the slot of a test stands at first.
const begins = 0x1_0000_1000

// bundle is a database with an empty purge log.
type bundle struct {
	db    *pgtest.DB
	admin *pgx.Conn
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := pgtest.From(t, "purgelog", func(t testing.TB, db *pgtest.DB) {
		t.Helper()
		db.Exec(t, `create schema app; create table app.t (id bigint primary key, at timestamptz)`)
		path := filepath.Join(t.TempDir(), "policies.yaml")
		if err := os.WriteFile(path, []byte("version: 1\ncategories:\n  c: {table: app.t, start_from: at, delete: {after: P5Y}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := policy.Load(policy.Defaults{}, path)
		if err != nil {
			t.Fatal(err)
		}
		cfg, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + db.URL(""), "SWEEPER_SLOT=" + db.Slot()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sweeper.Install(t.Context(), cfg, slog.New(slog.DiscardHandler), set, false); err != nil {
			t.Fatal(err)
		}
		db.Exec(t, `insert into sweeper.policy_versions (policy_sha256, files, loaded_from) values ('\x17', '[]', 'test')`)
	})
	return &bundle{db: db, admin: db.Conn(t, "")}
}

// open opens the log of a slot that is confirmed up to an LSN, once the server
// has noticed that the writer before has gone.
func (b *bundle) open(t *testing.T, confirmed uint64) *purgelog.Log {
	t.Helper()
	var log *purgelog.Log
	pgtest.Eventually(t, "the log has no other writer", func() bool {
		var err error
		log, err = b.try(t, "7", confirmed)
		if err != nil && !errors.Is(err, purgelog.ErrBusy) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(func() { log.Close(context.Background()) })
	return log
}

func (b *bundle) try(t *testing.T, systemID string, confirmed uint64) (*purgelog.Log, error) {
	t.Helper()
	return purgelog.Open(t.Context(), purgelog.Options{
		URL: b.db.URL("sweeper_logger"), SystemID: systemID, Slot: "s", Confirmed: confirmed, Key: key, Log: slog.New(slog.DiscardHandler),
	})
}

func (b *bundle) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	return pgtest.QueryOne[string](t, b.admin, "select coalesce(("+sql+")::text, '')", args...)
}

// entries are those of the log after its genesis.
func (b *bundle) entries(t *testing.T) string {
	t.Helper()
	return b.text(t, `select string_agg(concat_ws(' ', kind, reason, relation, row_count, reference), '; ' order by seq) from sweeper.purge_log where kind <> 'genesis'`)
}

// whole verifies the whole log from its rows, in Go and in SQL.
func (b *bundle) whole(t *testing.T) {
	t.Helper()
	pgtest.CheckLog(t, b.admin)
}

// change is a run of rows of one table: deleted ones by their ids, or inserted
// ones by their columns.
type change struct {
	op    byte
	table purgelog.Name
	from  int
	n     int
	rows  []map[string]string
}

func (c change) Len() int { return max(c.n, len(c.rows)) }

func (c change) Key(i int) []byte {
	return proof.AppendField(proof.AppendField(nil, []byte("id")), []byte(fmt.Sprint(c.from+i)))
}

func (c change) Value(i int, column string) (string, bool) {
	v, ok := c.rows[i][column]
	return v, ok
}

func deleted(from, n int) change {
	return change{op: 'D', table: purgelog.Name{Schema: "app", Relation: "t"}, from: from, n: n}
}

// told is a row of sweeper.batches by column, value, column, value.
func told(xid uint32, fields ...string) change {
	row := map[string]string{"xid": fmt.Sprint(xid), "category": "c", "relation": "app.t", "kind": "delete", "policy_sha256": `\x17`, "writer": "sweeper_daemon"}
	for i := 0; i < len(fields); i += 2 {
		row[fields[i]] = fields[i+1]
		if fields[i] == "kind" && strings.HasSuffix(fields[i+1], "_partition") {
			row["writer"] = "sweeper_owner"
		}
	}
	return change{op: 'I', table: purgelog.Name{Schema: "sweeper", Relation: "batches"}, rows: []map[string]string{row}}
}

// committed is a transaction of those changes.
func committed(xid uint32, lsn uint64, changes ...change) purgelog.Tx {
	next := 0
	return purgelog.Tx{
		XID: xid, CommitLSN: lsn, CommittedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		End: func() uint64 { return lsn + 0x30 },
		Next: func(context.Context) (purgelog.Change, error) {
			if next == len(changes) {
				return purgelog.Change{}, io.EOF
			}
			c := changes[next]
			next++
			return purgelog.Change{Op: c.op, Relations: []purgelog.Name{c.table}, Rows: c}, nil
		},
	}
}

func appended(t *testing.T, log *purgelog.Log, all ...purgelog.Tx) {
	t.Helper()
	for _, tx := range all {
		if err := log.Append(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
}

func flushed(t *testing.T, log *purgelog.Log, want uint64) {
	t.Helper()
	applied, err := log.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if applied != want || log.Applied() != want {
		t.Errorf("applied up to %X and %X, want %X", applied, log.Applied(), want)
	}
}

// TestTransactionTwiceIsLoggedOnce has the server send again what the log has:
// before it was made durable, after that, and to the next process. It is known
// by its commit LSN.
func TestTransactionTwiceIsLoggedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	one := func() purgelog.Tx { return committed(11, begins+0x100, deleted(1, 5)) }
	two := func() purgelog.Tx { return committed(12, begins+0x200, deleted(6, 3)) }
	appended(t, log, one(), one(), two(), one())
	flushed(t, log, begins+0x230)
	appended(t, log, one(), two())
	flushed(t, log, begins+0x230)
	log.Close(t.Context())

	log = b.open(t, begins) // the server has not written down what was confirmed
	appended(t, log, one(), two(), committed(13, begins+0x230, deleted(9, 1)), two())
	flushed(t, log, begins+0x260)
	if got, want := b.entries(t), "delete out_of_policy app.t 5; delete out_of_policy app.t 3; delete out_of_policy app.t 1"; got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	b.whole(t)
}

// TestGapIsAnEntry has the log end for now, and a slot that is ahead of it.
func TestGapIsAnEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	appended(t, log, committed(11, begins+0x100, deleted(1, 5)))
	if err := log.Gap(t.Context(), "the slot is given up"); err != nil { // durable at once, with what is pending
		t.Fatal(err)
	}
	log.Close(t.Context())
	log = b.open(t, begins+0x9000)
	if log.Applied() != begins+0x9000 {
		t.Errorf("applied up to %X", log.Applied())
	}
	appended(t, log, committed(12, begins+0x8000, deleted(6, 3)), committed(13, begins+0x9000, deleted(9, 1)))
	flushed(t, log, begins+0x9030)
	want := "delete out_of_policy app.t 5; gap the slot is given up; " +
		"gap slot s was advanced or made anew by somebody else than sweeper: what was committed from 1/1130 to 1/A000 was never logged; delete out_of_policy app.t 1"
	if got := b.entries(t); got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	if got := b.text(t, `select string_agg(commit_lsn::text, ' ' order by seq) from sweeper.purge_log where kind = 'gap'`); got != "1/1130 1/A000" {
		t.Errorf("the gaps stand at %s", got)
	}
	b.whole(t)
}

// TestWhatWasReportedAndWhatWasSeen has stamps, reports and rows that do not
// agree, each in its own way.
func TestWhatWasReportedAndWhatWasSeen(t *testing.T) {
	t.Parallel()
	const stamped = "delete manual app.t 5"
	stamp := []string{"fact", "stamp", "reason", "manual"}
	for name, c := range map[string]struct {
		changes []change
		want    string
	}{
		"agreed":          {[]change{told(11, stamp...), deleted(1, 5), told(11, "fact", "report", "row_count", "5")}, stamped},
		"more than said":  {[]change{told(11, stamp...), deleted(1, 5), told(11, "fact", "report", "row_count", "3")}, stamped + "; mismatch manual app.t 5 the transaction reported 3 rows"},
		"less than said":  {[]change{told(11, stamp...), told(11, "fact", "report", "row_count", "3")}, "mismatch manual app.t 0 the transaction reported 3 rows"},
		"nothing said":    {[]change{told(11, stamp...), deleted(1, 5)}, stamped + "; mismatch manual app.t 5 the transaction wrote a stamp and no report"},
		"no stamp":        {[]change{deleted(1, 5), told(11, "fact", "report", "row_count", "5")}, "delete out_of_policy app.t 5"},
		"another's stamp": {[]change{told(12, stamp...), deleted(1, 5)}, "delete out_of_policy app.t 5; mismatch a stamp with the id of another transaction"},
		"twice": {
			[]change{told(11, stamp...), told(11, stamp...), deleted(1, 5), told(11, "fact", "report", "row_count", "5")},
			stamped + "; mismatch a second stamp in one transaction",
		},
		"behind the work": {
			[]change{deleted(1, 5), told(11, stamp...), told(11, "fact", "report", "row_count", "5")},
			"delete out_of_policy app.t 5; mismatch a stamp behind the first rows of its transaction",
		},
		"another table": {
			[]change{told(11, append(stamp, "relation", "app.u")...), deleted(1, 5), told(11, "fact", "report", "relation", "app.u", "row_count", "5")},
			"delete out_of_policy app.t 5; mismatch manual app.t 5 the transaction wrote a stamp and did not name this table; mismatch manual app.u 0 the transaction reported 5 rows",
		},
		"unknown category": {
			[]change{told(11, append(stamp, "category", "d")...), deleted(1, 5), told(11, "fact", "report", "row_count", "5")},
			"delete out_of_policy app.t 5; mismatch a stamp of a category or a policy that was never registered",
		},
		"unknown policy": {
			[]change{told(11, append(stamp, "policy_sha256", `\x18`)...), deleted(1, 5), told(11, "fact", "report", "row_count", "5")},
			"delete out_of_policy app.t 5; mismatch a stamp of a category or a policy that was never registered",
		},
		"partition by the purging role": {
			[]change{
				told(11, append(stamp, "kind", "drop_partition", "partition", "app.t_1", "writer", "sweeper_daemon")...),
				told(11, "fact", "report", "kind", "drop_partition", "partition", "app.t_1", "row_count", "5", "writer", "sweeper_daemon"),
			},
			"mismatch a stamp of a partition that no installed function wrote; mismatch a report of a partition that no installed function wrote",
		},
		"statement that nobody noted": {
			[]change{told(11, "fact", "ddl", "kind", "coverage", "reference", "published")},
			"mismatch a note of a statement that no installed function wrote",
		},
		"truncate": {
			[]change{told(11, stamp...), {op: 'T', table: purgelog.Name{Schema: "app", Relation: "t"}}},
			"truncate out_of_policy app.t; mismatch a TRUNCATE in a transaction with a stamp; mismatch manual app.t 0 the transaction wrote a stamp and no report",
		},
		"in two parts": {[]change{told(11, stamp...), deleted(1, 2), deleted(3, 3), told(11, "fact", "report", "row_count", "5")}, stamped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			log := b.open(t, begins)
			appended(t, log, committed(11, begins+0x100, c.changes...))
			flushed(t, log, begins+0x130)
			if got := b.entries(t); got != c.want {
				t.Errorf("the log has %s\nwant %s", got, c.want)
			}
			b.whole(t)
		})
	}
}

// TestRunThatReportedOtherwise ends a run whose batches, as the table has them,
// sum up to another number than the WAL showed.
func TestRunThatReportedOtherwise(t *testing.T) {
	t.Parallel()
	const run = "00000000-0000-0000-0000-00000000beef"
	for reported, want := range map[int]string{
		8: "",
		9: "; mismatch manual 8 the run's batches reported another number of rows than the write-ahead log showed",
	} {
		b := setup(t)
		b.db.Exec(t, `insert into sweeper.batches (fact, kind, category, relation, run_id, row_count) values ('report', 'delete', 'c', 'app.t', $1, 5), ('report', 'delete', 'c', 'app.t', $1, $2)`, run, reported-5)
		log := b.open(t, begins)
		batch := func(xid uint32, lsn uint64, from, n int) purgelog.Tx {
			return committed(xid, lsn, told(xid, "fact", "stamp", "reason", "manual", "run_id", run), deleted(from, n),
				told(xid, "fact", "report", "row_count", fmt.Sprint(n), "run_id", run))
		}
		appended(t, log, batch(11, begins+0x100, 1, 5), batch(12, begins+0x200, 6, 3),
			committed(13, begins+0x300, told(13, "fact", "run_end", "reason", "manual", "run_id", run, "started_at", "2026-03-01 00:00:00+00")))
		flushed(t, log, begins+0x330)
		if got := b.entries(t); got != "delete manual app.t 5; delete manual app.t 3"+want {
			t.Errorf("%d reported: the log has %s", reported, got)
		}
		if got := b.text(t, `select string_agg(concat_ws(' ', run_id, rows_deleted), ', ') from sweeper.purges`); got != fmt.Sprint(run, " ", reported) {
			t.Errorf("%d reported: the summary is %s", reported, got)
		}
		b.whole(t)
	}
}

// TestManyRowsAreOneEntry has a transaction of more rows than go to the server
// at once: its commitments lie in chunks, and the root is that of all of them.
func TestManyRowsAreOneEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	const n = 70_001 // 35 chunks of 2000, and one row
	var changes []change
	for from := 0; from < n; from += 777 { // runs that do not fit the chunks
		changes = append(changes, deleted(from, min(777, n-from)))
	}
	appended(t, log, committed(11, begins+0x100, changes...), committed(12, begins+0x200, deleted(n, 1)))
	flushed(t, log, begins+0x230)
	var rows proof.Rows
	committer := proof.NewCommitter(key)
	for i := range n {
		rows.Add(committer.Commit(append(proof.AppendField(nil, []byte("app.t")), deleted(i, 1).Key(0)...)))
	}
	root := rows.Root()
	if got := b.text(t, `select rows_root = $1 and row_count = $2 from sweeper.purge_log where xid = 11`, root[:], n); got != "true" {
		t.Error("count or root of the rows differ")
	}
	got := b.text(t, `select concat_ws(' ', count(*), max(part), max(length(commitments)) / 32, sum(length(commitments)) / 32) from sweeper.purge_rows join sweeper.purge_log using (seq) where xid = 11`)
	if got != fmt.Sprintf("36 35 2000 %d", n) {
		t.Errorf("chunks, last, longest, rows: %s", got)
	}
	b.whole(t)
}

// TestEntriesAndProgressGoTogether looks from outside at what is pending, at
// what was lost with its process, and at a log that somebody else has moved.
func TestEntriesAndProgressGoTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const seen = `select concat_ws(' ', (select count(*) from sweeper.purge_log), (select count(*) from sweeper.purge_rows), (select size from sweeper.log_head), (select applied_lsn from sweeper.log_progress))`
	look := func(when, want string) {
		t.Helper()
		if got := b.text(t, seen); got != want {
			t.Errorf("%s: entries, chunks, head and progress are %s, want %s", when, got, want)
		}
	}
	log := b.open(t, begins)
	look("at the beginning", "1 0 1 1/1000")
	one := func() purgelog.Tx { return committed(11, begins+0x100, deleted(1, 70_000)) }
	appended(t, log, one())
	look("while it is pending", "1 0 1 1/1000")
	log.Close(t.Context())
	look("after the process is gone", "1 0 1 1/1000")
	log = b.open(t, begins)
	appended(t, log, one())
	flushed(t, log, begins+0x130)
	look("when it is durable", "2 35 2 1/1130")

	b.db.Exec(t, `update sweeper.log_progress set applied_lsn = '1/2000'`)
	appended(t, log, committed(12, begins+0x200, deleted(1, 5)))
	if _, err := log.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "somebody else has moved it") {
		t.Errorf("got %v", err)
	}
	log.Close(t.Context())
	look("after somebody else moved it", "2 35 2 1/2000")
	b.whole(t)

	log = b.open(t, begins)
	if _, err := b.try(t, "7", begins); !errors.Is(err, purgelog.ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	log.Close(t.Context())
	pgtest.Eventually(t, "another server's slot is refused", func() bool {
		_, err := b.try(t, "8", begins)
		return errors.Is(err, purgelog.ErrForeign)
	})
}
