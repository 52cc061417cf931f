package sql_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func TestVerifyChainFindsNothingInAWholeLog(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	log := newLog(t, 71)
	for size := range log.entries {
		if got := verifyChain(t, conn); got != nil {
			t.Fatalf("%d entries: got %v, want none", size, got)
		}
		log.append(t, conn, size)
	}
}

// TestVerifyChainFinds tampers with a log and compares what SQL finds with
// what package proof finds.
func TestVerifyChainFinds(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	log := newLog(t, 10)
	for i := range log.entries {
		log.append(t, conn, i)
	}
	tests := []struct{ name, tamper, first string }{
		{"a text", "update sweeper.purge_log set actor = 'nobody' where seq = 5", "5: leaf_hash differs from the entry's fields"},
		{"a text to NULL", "update sweeper.purge_log set basis = null where seq = 0", "0: leaf_hash differs from the entry's fields"},
		{"a microsecond", "update sweeper.purge_log set logged_at = logged_at + interval '1 us' where seq = 9", "9: leaf_hash differs from the entry's fields"},
		{"a NULL element", "update sweeper.purge_log set columns = '{NULL}' where seq = 3", "3: leaf_hash differs from the entry's fields"},
		{"the leaf hash", "update sweeper.purge_log set leaf_hash = sha256('x') where seq = 5", "5: leaf_hash differs from the entry's fields"},
		{"the chain hash", "update sweeper.purge_log set chain_hash = sha256('x') where seq = 5", "5: chain_hash does not follow from the entry before"},
		{"the last chain hash", "update sweeper.purge_log set chain_hash = sha256('x') where seq = 9", "9: chain_hash does not follow from the entry before"},
		{"a field and its leaf hash", "update sweeper.purge_log set actor = 'nobody' where seq = 5;" + rehash, "5: chain_hash does not follow from the entry before"},
		{"a field and all hashes", "update sweeper.purge_log set actor = 'nobody' where seq = 9;" + rehash + rechain, "9: log_head.chain_hash is not that of the last entry"},
		{"one entry dropped", "delete from sweeper.purge_log where seq = 5", "5: entry 5 is missing"},
		{"some entries dropped", "delete from sweeper.purge_log where seq in (2, 3, 4, 7)", "2: entries 2 to 4 are missing"},
		{"the first entry dropped", "delete from sweeper.purge_log where seq = 0", "0: entry 0 is missing"},
		{"the end cut off", "delete from sweeper.purge_log where seq >= 7", "7: log_head counts 10 entries and the log has 7"},
		{"everything gone", "delete from sweeper.purge_log", "0: log_head counts 10 entries and the log has 0"},
		{"an entry twice", copyEntry("seq", 5), "5: entry 5 occurs more than once"},
		{"an entry before the first", copyEntry("-3", 5), "-3: entry -3 stands before entry 0"},
		{"the first of all", copyEntry("-9223372036854775808", 5), "-9223372036854775808: entry -9223372036854775808 stands before entry 0"},
		{"the last of all, twice", copyEntry("9223372036854775807", 5) + ";" + copyEntry("9223372036854775807", 6), "10: entries 10 to 9223372036854775806 are missing"},
		{"two contents exchanged", "update sweeper.purge_log set seq = 11 - seq where seq in (5, 6)", "5: leaf_hash differs from the entry's fields"},
		{"the head's size", "update sweeper.log_head set size = 12", "10: log_head counts 12 entries and the log has 10"},
		{"the head's chain", "update sweeper.log_head set chain_hash = sha256('x')", "9: log_head.chain_hash is not that of the last entry"},
		{"the head's root", "update sweeper.log_head set root = sha256('x')", "9: log_head.root is not the root of the tree over the entries"},
		{"the head's edge", "update sweeper.log_head set hashes = hashes || hashes", "9: log_head.hashes are not the edge of the tree over the entries"},
	}
	for _, tt := range tests {
		tampered(t, conn, tt.name, tt.tamper, func() {
			// What is wrong with the rows is another test's.
			got := slices.DeleteFunc(verifyChain(t, conn), func(p proof.Problem) bool { return strings.HasPrefix(p.Text, "row commitments") })
			if len(got) == 0 || fmt.Sprintf("%d: %s", got[0].Seq, got[0].Text) != tt.first {
				t.Errorf("%s: got %v, want first %s", tt.name, got, tt.first)
			}
			want := verifyGo(t, conn)
			for _, problems := range [][]proof.Problem{got, want} {
				slices.SortFunc(problems, func(a, b proof.Problem) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: SQL finds other problems than Go (-go +sql):\n%s", tt.name, diff)
			}
		})
	}
	if got := verifyChain(t, conn); got != nil {
		t.Errorf("the log was left changed: %v", got)
	}
}

// TestVerifyChainFindsRows tampers with what only SQL looks at: the number of
// row commitments, and a head that is not there.
func TestVerifyChainFindsRows(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	log := newLog(t, 10)
	for i := range log.entries {
		log.append(t, conn, i)
	}
	const (
		count  = "row commitments do not add up to row_count"
		orphan = "row commitments without an entry that they belong to"
	)
	tests := []struct {
		name, tamper string
		want         []proof.Problem
	}{
		{"all rows of an entry", "delete from sweeper.purge_rows where seq = 5", []proof.Problem{{Seq: 5, Text: count}}},
		{"one part", "delete from sweeper.purge_rows where seq = 5 and part = 0", []proof.Problem{{Seq: 5, Text: count}}},
		{"the last part", "delete from sweeper.purge_rows where seq = 5 and part = 1", []proof.Problem{{Seq: 5, Text: count}}},
		{"one commitment", "update sweeper.purge_rows set commitments = substr(commitments, 33) where seq = 5 and part = 0", []proof.Problem{{Seq: 5, Text: count}}},
		{"part of a commitment", `alter table sweeper.purge_rows drop constraint commitments_are_sha256;
			update sweeper.purge_rows set commitments = commitments || '\x00' where seq = 5 and part = 1`, []proof.Problem{{Seq: 5, Text: count}}},
		{"a part that skips a number", "update sweeper.purge_rows set part = 2 where seq = 5 and part = 1", []proof.Problem{{Seq: 5, Text: count}}},
		{"rows of another entry", "update sweeper.purge_rows set seq = 105 where seq = 5", []proof.Problem{{Seq: 5, Text: count}, {Seq: 105, Text: orphan}}},
		{"rows of an entry without", "insert into sweeper.purge_rows select 4, logged_at, 0, sha256('x') from sweeper.purge_log where seq = 4", []proof.Problem{{Seq: 4, Text: orphan}}},
		{"no head", "delete from sweeper.log_head", []proof.Problem{{Seq: 9, Text: "log_head has no row"}}},
		{"nothing at all", "delete from sweeper.log_head; delete from sweeper.purge_log; delete from sweeper.purge_rows", nil},
	}
	for _, tt := range tests {
		tampered(t, conn, tt.name, tt.tamper, func() {
			if diff := cmp.Diff(tt.want, verifyChain(t, conn)); diff != "" {
				t.Errorf("%s: problems (-want +got):\n%s", tt.name, diff)
			}
		})
	}
}

// TestVerifyChainIsDeaf runs it in a session whose settings would change what
// carelessly written SQL does, read-only as an auditor may be.
func TestVerifyChainIsDeaf(t *testing.T) {
	t.Parallel()
	db := logDatabase(t)
	conn := db.Conn(t, "")
	log := newLog(t, 10)
	for i := range log.entries {
		log.append(t, conn, i)
	}
	db.Exec(t, `create schema evil;
		create function evil.sha256(bytea) returns bytea language sql return '\xba'::bytea;
		create function evil.decode(text, text) returns bytea language sql return '\xba'::bytea;
		create function evil.int8send(bigint) returns bytea language sql return '\xba'::bytea;
		create function evil.cat(bytea, bytea) returns bytea language sql return '\xba'::bytea;
		create operator evil.|| (leftarg = bytea, rightarg = bytea, function = evil.cat);
		create table evil.purge_log (seq bigint)`)
	mustExec(t, conn, `set search_path = evil, pg_catalog; set standard_conforming_strings = off; set bytea_output = escape;
		set client_encoding = 'LATIN1'; set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = 0;
		set default_transaction_read_only = on; set work_mem = '64kB'; set enable_hashjoin = off; set enable_mergejoin = off`)
	if pgtest.QueryOne[int](t, conn, "select count(*) from sweeper.verify_chain()") != 0 {
		t.Error("verify_chain finds problems in a whole log")
	}
	mustExec(t, conn, "set default_transaction_read_only = off")
	mustExec(t, conn, "update sweeper.purge_log set actor = 'nobody' where seq = 5")
	if pgtest.QueryOne[int](t, conn, "select count(*) from sweeper.verify_chain()") != 1 {
		t.Error("verify_chain does not find the one problem")
	}
}

// Pieces of tampering as somebody would do it who knows the format.
const (
	rehash = `update sweeper.purge_log as l set leaf_hash = sha256('\x00' || sweeper.leaf_bytes(l));`
	// rechain is for a change of the last entry only.
	rechain = `update sweeper.purge_log as l set chain_hash = sha256('\x02' || p.chain_hash || l.leaf_hash)
		from sweeper.purge_log as p where l.seq = 9 and p.seq = 8;`
)

// copyEntry copies entry from with another seq, a second later.
func copyEntry(seq string, from int) string {
	return fmt.Sprintf(`insert into sweeper.purge_log
		select (jsonb_populate_record(l, jsonb_build_object('seq', %s, 'logged_at', l.logged_at + interval '1 s'))).*
		from sweeper.purge_log as l where l.seq = %d`, seq, from)
}

// log is a log as the writer makes it.
type log struct {
	entries []*proof.Entry
	rows    [][]byte // commitments of each entry
	heads   []proof.Head
}

func newLog(t testing.TB, n int) *log {
	t.Helper()
	r := rand.New(rand.NewPCG(3, uint64(n)))
	l := &log{rows: make([][]byte, n)}
	v := proof.NewVerifier()
	var tree proof.Tree
	for i := range n {
		e := randomEntry(r, int64(i))
		e.RowsRoot, e.RowCount = nil, nil
		if i%2 == 1 {
			var rows proof.Rows
			for row := range 3 {
				commitment := proof.HashLeaf([]byte{byte(i), byte(row)})
				rows.Add(commitment)
				l.rows[i] = append(l.rows[i], commitment[:]...)
			}
			root, count := rows.Root(), rows.Count()
			e.RowsRoot, e.RowCount = root[:], &count
		}
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		hash := proof.HashLeaf(leaf)
		chain := proof.Chain(v.Chain(), hash)
		e.LeafHash, e.ChainHash = hash[:], chain[:]
		v.Add(e)
		tree.Append(hash)
		root := tree.Root()
		l.heads = append(l.heads, proof.Head{Size: int64(i + 1), ChainHash: chain[:], Hashes: bytes.Join(tree.Hashes(), nil), Root: root[:]})
		l.entries = append(l.entries, e)
	}
	return l
}

// append writes entry i, its rows in two parts, and the head.
func (l *log) append(t testing.TB, conn *pgx.Conn, i int) {
	t.Helper()
	e, h := l.entries[i], l.heads[i]
	mustExec(t, conn, "insert into sweeper.purge_log select ("+rowExpr+").*", values(e)...)
	if l.rows[i] != nil {
		mustExec(t, conn, "insert into sweeper.purge_rows values ($1, $2, 0, $3), ($1, $2, 1, $4)", e.Seq, e.LoggedAt, l.rows[i][:64], l.rows[i][64:])
	}
	mustExec(t, conn, "delete from sweeper.log_head")
	mustExec(t, conn, "insert into sweeper.log_head (size, chain_hash, hashes, root, updated_at) values ($1, $2, $3, $4, now())",
		h.Size, h.ChainHash, h.Hashes, h.Root)
}

// tampered runs check on a log that is tampered with, and mends it.
func tampered(t testing.TB, conn *pgx.Conn, name, tamper string, check func()) {
	t.Helper()
	mustExec(t, conn, "begin")
	defer mustExec(t, conn, "rollback")
	if _, err := conn.Exec(t.Context(), tamper); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	check()
}

func verifyChain(t testing.TB, conn *pgx.Conn) []proof.Problem {
	t.Helper()
	rows, _ := conn.Query(t.Context(), "select seq, problem from sweeper.verify_chain()")
	var problems []proof.Problem
	var p proof.Problem
	if _, err := pgx.ForEachRow(rows, []any{&p.Seq, &p.Text}, func() error {
		problems = append(problems, p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return problems
}

// verifyGo reads the log back and has package proof verify it.
func verifyGo(t testing.TB, conn *pgx.Conn) []proof.Problem {
	t.Helper()
	var e proof.Entry
	rows, _ := conn.Query(t.Context(), `select seq, logged_at, committed_at, (commit_lsn - '0/0')::bigint, xid, source, kind,
		reason, category, relation, partition, tenant, subject_digest, cutoff, basis, actor, reference, request_id, run_id,
		policy_sha256, row_count, array_replace(columns, null, 'NULL'), objects_removed, rows_root, leaf_hash, chain_hash
		from sweeper.purge_log order by seq, logged_at`)
	v := proof.NewVerifier()
	var problems []proof.Problem
	if _, err := pgx.ForEachRow(rows, []any{
		&e.Seq, &e.LoggedAt, &e.CommittedAt, &e.CommitLSN, &e.XID, &e.Source, &e.Kind,
		&e.Reason, &e.Category, &e.Relation, &e.Partition, &e.Tenant, &e.SubjectDigest, &e.Cutoff, &e.Basis, &e.Actor, &e.Reference,
		&e.RequestID, &e.RunID, &e.PolicySHA256, &e.RowCount, &e.Columns, &e.ObjectsRemoved, &e.RowsRoot, &e.LeafHash, &e.ChainHash,
	}, func() error {
		problems = append(problems, v.Add(&e)...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var h proof.Head
	if err := conn.QueryRow(t.Context(), "select size, chain_hash, hashes, root from sweeper.log_head").
		Scan(&h.Size, &h.ChainHash, &h.Hashes, &h.Root); err != nil {
		t.Fatal(err)
	}
	return append(problems, v.Compare(h)...)
}
