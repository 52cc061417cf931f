package purgelog_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// byRow is a stamp of a category with evidence: row.
func byRow(xid uint32, fields ...string) change {
	return told(xid, append([]string{"fact", "stamp", "reason", "manual", "evidence", "row"}, fields...)...)
}

// committedTo is the commitment to a row of a table, by its id.
func committedTo(table string, id int) [32]byte {
	return proof.NewCommitter(key).Commit(proof.RowID(table, []string{"id"}, []string{fmt.Sprint(id)}))
}

// of has a change be of another table.
func of(table string, c change) change {
	c.table.Relation = table
	return c
}

func updated(from, n int) change {
	c := deleted(from, n)
	c.op = 'U'
	return c
}

// TestEachRowHasAnEntry has transactions whose stamp asks for an entry for each
// row: what agrees, what does not, more than one table, and what shows no rows.
func TestEachRowHasAnEntry(t *testing.T) {
	t.Parallel()
	three := func(entry string) string { return strings.TrimSuffix(strings.Repeat(entry+"; ", 3), "; ") }
	for name, c := range map[string]struct {
		changes []change
		want    string
	}{
		"agreed":         {[]change{byRow(11), deleted(1, 3), told(11, "fact", "report", "row_count", "3")}, three("delete manual app.t 1")},
		"in two parts":   {[]change{byRow(11), deleted(1, 1), deleted(2, 2), told(11, "fact", "report", "row_count", "3")}, three("delete manual app.t 1")},
		"more than said": {[]change{byRow(11), deleted(1, 3), told(11, "fact", "report", "row_count", "2")}, three("delete manual app.t 1") + "; mismatch manual app.t 3 the transaction reported 2 rows"},
		"less than said": {[]change{byRow(11), told(11, "fact", "report", "row_count", "2")}, "mismatch manual app.t 0 the transaction reported 2 rows"},
		"nothing said":   {[]change{byRow(11), deleted(1, 3)}, three("delete manual app.t 1") + "; mismatch manual app.t 3 the transaction wrote a stamp and no report"},
		"redacted": {
			[]change{byRow(11, "kind", "redact", "columns", "{name,email}"), updated(1, 3), told(11, "fact", "report", "kind", "redact", "row_count", "3")},
			three("redact manual app.t 1"),
		},
		"with what goes along, in turns": {
			[]change{
				byRow(11), of("kids", deleted(1, 1)), deleted(1, 2), of("kids", updated(2, 1)), of("kids", deleted(3, 1)), deleted(3, 1),
				told(11, "fact", "report", "row_count", "3"), told(11, "fact", "report", "relation", "app.kids", "row_count", "2"),
				told(11, "fact", "report", "relation", "app.kids", "kind", "redact", "row_count", "1", "columns", "{parent}"),
			},
			"delete manual app.kids 1; delete manual app.kids 1; " + three("delete manual app.t 1") + "; redact manual app.kids 1",
		},
		"another table too": {
			[]change{byRow(11), deleted(1, 1), of("u", deleted(1, 2)), told(11, "fact", "report", "row_count", "1")},
			"delete manual app.t 1; delete out_of_policy app.u 1; delete out_of_policy app.u 1; mismatch manual app.u 2 the transaction wrote a stamp and did not name this table",
		},
		"behind the work": {
			[]change{deleted(1, 3), byRow(11), told(11, "fact", "report", "row_count", "3")},
			"delete out_of_policy app.t 3; mismatch a stamp behind the first rows of its transaction",
		},
		"unknown category": {
			[]change{byRow(11, "category", "d"), deleted(1, 3), told(11, "fact", "report", "row_count", "3")},
			"delete out_of_policy app.t 3; mismatch a stamp of a category or a policy that was never registered",
		},
		"batch": {[]change{byRow(11, "evidence", "batch"), deleted(1, 3), told(11, "fact", "report", "row_count", "3")}, "delete manual app.t 3"},
		"partition with its keys": {
			[]change{
				byRow(11, "kind", "drop_partition", "partition", "app.t_1"), shown(1, 3),
				told(11, "fact", "report", "kind", "drop_partition", "partition", "app.t_1", "row_count", "3"),
			},
			"drop_partition manual app.t 3",
		},
		"truncate": {
			[]change{byRow(11), {op: 'T', table: purgelog.Name{Schema: "app", Relation: "t"}}},
			"truncate out_of_policy app.t; mismatch a TRUNCATE in a transaction with a stamp; mismatch manual app.t 0 the transaction wrote a stamp and no report",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.db.Exec(t, `create table app.kids (id bigint primary key); create table app.u (id bigint primary key)`)
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

// TestEntryOfOneRow looks at the entries themselves: each has the one row's
// commitment and the root over it, and all else that the one entry of a batch
// would have had, in the order of the write-ahead log.
func TestEntryOfOneRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	stamp := []string{"kind", "redact", "columns", "{name,email}", "cutoff", "2020-01-01 00:00:00+00", "basis", "contract", "actor", "a", "run_id", "00000000-0000-0000-0000-00000000beef"}
	report := func(xid uint32) change {
		return told(xid, "fact", "report", "kind", "redact", "row_count", "5", "tenants", `[{"tenant": "t1", "rows": 5}]`)
	}
	appended(t, log,
		committed(11, begins+0x100, byRow(11, stamp...), updated(1, 5), report(11)),
		committed(12, begins+0x200, byRow(12, append(stamp, "evidence", "batch")...), updated(1, 5), report(12)))
	flushed(t, log, begins+0x230)
	for i := range 5 {
		commitment := committedTo("app.t", 1+i)
		root := proof.HashLeaf(commitment[:])
		if got := b.text(t, `select string_agg(concat_ws(' ', p.row_count, r.part), ', ') from sweeper.purge_log p join sweeper.purge_rows r using (seq, logged_at)
			where p.seq = $1 and p.rows_root = $2 and r.commitments = $3`, 1+i, root[:], commitment[:]); got != "1 0" {
			t.Errorf("entry %d is not the one of row %d: %q", 1+i, 1+i, got)
		}
	}
	const rest = `select string_agg(distinct (to_jsonb(p) - array['seq', 'leaf_hash', 'chain_hash', 'row_count', 'rows_root', 'xid', 'commit_lsn'])::text, e'\n') from sweeper.purge_log p where kind = 'redact'`
	if got := b.text(t, rest); strings.Contains(got, "\n") || !strings.Contains(got, `"tenant": "t1"`) || !strings.Contains(got, `"columns": ["name", "email"]`) {
		t.Errorf("the entries differ in more than their rows, or lack something:\n%s", got)
	}
	b.whole(t)
}

// TestRowsTwiceAreLoggedOnce has the server send again what has an entry for each
// row: before it was made durable, after that, to the next process, and after the
// one before died between its COPY and its commit.
func TestRowsTwiceAreLoggedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 4100 // more than go to the server at once
	one := func() purgelog.Tx {
		return committed(11, begins+0x100, byRow(11), deleted(1, n), told(11, "fact", "report", "row_count", fmt.Sprint(n)))
	}
	two := func() purgelog.Tx { return committed(12, begins+0x200, deleted(n+1, 3)) }
	count := func(when, want string) {
		t.Helper()
		if got := b.text(t, `select concat_ws(' ', count(*), count(distinct rows_root), sum(row_count)) from sweeper.purge_log where kind = 'delete'`); got != want {
			t.Errorf("%s: entries, roots and rows are %s, want %s", when, got, want)
		}
	}
	log := b.open(t, begins)
	appended(t, log, one())
	log.Close(t.Context())
	count("after the process is gone", "0 0")
	log = b.open(t, begins)
	appended(t, log, one(), one(), two(), one())
	flushed(t, log, begins+0x230)
	count("when it is durable", fmt.Sprintf("%d %[1]d %d", n+1, n+3))
	appended(t, log, one(), two())
	flushed(t, log, begins+0x230)
	log.Close(t.Context())
	log = b.open(t, begins) // the server has not written down what was confirmed
	appended(t, log, one(), two())
	flushed(t, log, begins+0x230)
	count("in the end", fmt.Sprintf("%d %[1]d %d", n+1, n+3))
	b.whole(t)
}

// TestTooManySingleRows has a transaction with more rows than get entries of
// their own: the rest is one entry, and every row has its commitment.
func TestTooManySingleRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	log.Singles(10)
	appended(t, log,
		committed(11, begins+0x100, byRow(11), deleted(1, 7), deleted(8, 7), deleted(15, 2500), told(11, "fact", "report", "row_count", "2514")),
		committed(12, begins+0x200, byRow(12), deleted(9000, 2), told(12, "fact", "report", "row_count", "2"))) // the next one has its own
	flushed(t, log, begins+0x230)
	if got, want := b.entries(t), "delete manual app.t 2500; "+strings.TrimSuffix(strings.Repeat("delete manual app.t 1; ", 16), "; "); got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	if got := b.text(t, `select sum(length(commitments)) / 32 from sweeper.purge_rows`); got != "2516" {
		t.Errorf("%s rows have a commitment", got)
	}
	b.whole(t)
}

// TestSingleRowsAreVerifiedAndProved exports a log with entries of single rows
// among others, proves one row of each kind, and finds what was tampered with:
// a flipped bit of the export, and two rows whose commitments changed places.
func TestSingleRowsAreVerifiedAndProved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	appended(t, log,
		committed(11, begins+0x100, deleted(1, 40)),
		committed(12, begins+0x200, byRow(12), deleted(41, 40), told(12, "fact", "report", "row_count", "40")),
		committed(13, begins+0x300, deleted(81, 3)))
	flushed(t, log, begins+0x330)
	b.whole(t)
	for _, from := range []int64{2, 20, 42} {
		v, err := purgelog.Check{From: from}.BySegments(16).Run(t.Context(), b.admin)
		if err != nil || v.Problems != nil || v.Entries != 43 {
			t.Errorf("from %d: %+v %v", from, v, err)
		}
	}
	for id, want := range map[int]int64{7: 1, 41: 2, 80: 41, 82: 42} {
		d, found, err := purgelog.Prove(t.Context(), b.admin, purgelog.Wanted{
			Row: &proof.DocumentRow{Relation: "app.t", Columns: []string{"id"}, Key: []string{fmt.Sprint(id)}}, Keys: [][]byte{key},
		})
		if err != nil || len(found) != 1 || found[0].Entry.Seq != want {
			t.Fatalf("row %d: %+v %v", id, found, err)
		}
		if proved, err := d.Verify(); err != nil || len(proved.Entries) != 1 || proved.Entries[0].Seq != want {
			t.Errorf("row %d: %+v %v", id, proved, err)
		}
	}

	dir := filepath.Join(t.TempDir(), "export")
	if _, err := purgelog.Export(t.Context(), b.admin, dir, nil); err != nil {
		t.Fatal(err)
	}
	if r, err := proof.VerifyExport(os.DirFS(dir), proof.Offline{}); err != nil || r.Problems != nil || r.Entries != 43 {
		t.Errorf("the export: %+v %v", r, err)
	}
	for _, name := range []string{"rows.bin", "entries.bin", "entries.csv"} {
		path := filepath.Join(dir, name)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := len(was) / 3; at < len(was); at += len(was) / 7 {
			changed := bytes.Clone(was)
			changed[at] ^= 4
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := proof.VerifyExport(os.DirFS(dir), proof.Offline{}); err == nil && r.Problems == nil {
				t.Errorf("a bit of byte %d of %s is flipped, and nothing is found", at, name)
			}
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	b.db.Exec(t, unguarded)
	b.db.Exec(t, `update sweeper.purge_rows r set commitments = o.commitments from sweeper.purge_rows o where (r.seq, o.seq) in ((10, 11), (11, 10))`)
	v, err := purgelog.Verify(t.Context(), b.admin, nil)
	if err != nil || len(v.Problems) != 2 || v.Problems[0].Seq != 10 || v.Problems[1].Seq != 11 {
		t.Errorf("commitments that changed places: %+v %v", v.Problems, err)
	}
	b.db.Exec(t, `delete from sweeper.purge_rows where seq = 12`)
	if v, err = purgelog.Verify(t.Context(), b.admin, nil); err != nil || len(v.Problems) != 3 {
		t.Errorf("a commitment that is gone: %+v %v", v.Problems, err)
	}
	if got := b.text(t, `select string_agg(seq || ' ' || problem, '; ') from sweeper.verify_chain()`); got != "12 row commitments do not add up to row_count" {
		t.Errorf("verify_chain finds %s", got)
	}
}
