package sql_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sql"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// logDatabase returns a database with the tables of the log and the functions
// of 010_leaf.sql, run as they are shipped, and without the triggers that would
// refuse to have the log tampered with.
func logDatabase(t testing.TB) *pgtest.DB {
	t.Helper()
	return pgtest.From(t, "leaf", func(t testing.TB, db *pgtest.DB) {
		t.Helper()
		migrations, err := fs.Glob(sql.Files, "migrations/*.sql")
		if err != nil {
			t.Fatal(err)
		}
		db.Exec(t, "create schema sweeper")
		for _, path := range append(migrations, "functions/010_leaf.sql") {
			text, err := sql.Files.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			db.Exec(t, string(text))
		}
		db.Exec(t, `create table sweeper.purge_log_all partition of sweeper.purge_log default;
			create table sweeper.purge_rows_all partition of sweeper.purge_rows default`)
	})
}

// TestLeafBytesGolden reads the vectors that package proof reads.
func TestLeafBytesGolden(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	raw, err := os.ReadFile("../sweeper/proof/testdata/leaf_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Leaves []struct {
			Name, Leaf string
			LeafHash   string `json:"leaf_hash"`
			Entry      json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Leaves) < 18 {
		t.Fatalf("got %d vectors, want 18 or more", len(vectors.Leaves))
	}
	for _, v := range vectors.Leaves {
		leaf := pgtest.QueryOne[[]byte](t, conn,
			`select sweeper.leaf_bytes(e) from jsonb_populate_record(null::sweeper.purge_log, $1::text::jsonb) as e`, string(v.Entry))
		if got := hex.EncodeToString(leaf); got != v.Leaf {
			t.Errorf("%s:\n got leaf %s\nwant leaf %s", v.Name, got, v.Leaf)
		}
		hash := pgtest.QueryOne[[]byte](t, conn, `select sha256('\x00' || $1::bytea)`, leaf)
		if got := hex.EncodeToString(hash); got != v.LeafHash {
			t.Errorf("%s: got leaf hash %s, want %s", v.Name, got, v.LeafHash)
		}
	}
}

// TestLeafBytesEqualGo compares entries that nobody thought up.
func TestLeafBytesEqualGo(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		e := randomEntry(r, int64(i))
		want, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		got := pgtest.QueryOne[[]byte](t, conn, "select sweeper.leaf_bytes("+rowExpr+")", values(e)...)
		if !bytes.Equal(got, want) {
			t.Fatalf("entry %+v:\n got leaf %x\nwant leaf %x", e, got, want)
		}
	}
}

// TestLeafBytesOfNullElement: Go cannot have one, so it must not look like
// anything that Go can.
func TestLeafBytesOfNullElement(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	same := pgtest.QueryOne[int](t, conn, `select count(*) - count(distinct sweeper.leaf_texts(c))
		from (values ('{}'::text[]), ('{""}'), ('{NULL}'), ('{NULL,NULL}'), ('{"",NULL}'), ('{NULL,""}'), ('{"NULL"}')) as v(c)`)
	if same != 0 {
		t.Errorf("%d arrays have the bytes of another", same)
	}
}

func TestLeafFunctionsAreDocumentedAndPrivate(t *testing.T) {
	t.Parallel()
	conn := logDatabase(t).Conn(t, "")
	rows, err := conn.Query(t.Context(), `select oid::regprocedure::text, obj_description(oid, 'pg_proc') is not null,
		has_function_privilege('public', oid, 'execute') from pg_proc where pronamespace = 'sweeper'::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var documented, public bool
	tag, err := pgx.ForEachRow(rows, []any{&name, &documented, &public}, func() error {
		if !documented || public {
			t.Errorf("%s: documented %t, executable by PUBLIC %t", name, documented, public)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() < 5 {
		t.Errorf("got %d functions, want 5 or more", tag.RowsAffected())
	}
}

// rowExpr is a row of the log made of the parameters that values gives.
const rowExpr = `row($1::bigint, $2::timestamptz, $3::timestamptz, $4::text::pg_lsn, $5::bigint, $6::text, $7::text, $8::text,
	$9::text, $10::text, $11::text, $12::text, $13::bytea, $14::timestamptz, $15::text, $16::text, $17::text, $18::uuid, $19::uuid,
	$20::bytea, $21::bigint, $22::text[], $23::bigint, $24::bytea, $25::bytea, $26::bytea)::sweeper.purge_log`

func values(e *proof.Entry) []any {
	return []any{
		e.Seq, e.LoggedAt, e.CommittedAt, fmt.Sprintf("%X/%X", e.CommitLSN>>32, uint32(e.CommitLSN)), e.XID, e.Source, e.Kind, e.Reason,
		e.Category, e.Relation, e.Partition, e.Tenant, e.SubjectDigest, e.Cutoff, e.Basis, e.Actor, e.Reference, e.RequestID, e.RunID,
		e.PolicySHA256, e.RowCount, e.Columns, e.ObjectsRemoved, e.RowsRoot, e.LeafHash, e.ChainHash,
	}
}

// randomEntry draws an entry that the table takes; half of what may be NULL is.
func randomEntry(r *rand.Rand, seq int64) *proof.Entry {
	pieces := []string{"", "a", "kyc.applicants", `"Ünï"."é 表"`, "🗝", "e\u0301", "'", `\`, "\n", "{,}", "NULL", strings.Repeat("n", 63)}
	text := func() string { return pieces[r.IntN(len(pieces))] + pieces[r.IntN(len(pieces))] }
	instant := func() time.Time { return time.UnixMicro(r.Int64N(400e15) - 50e15).UTC() }
	blob := func() []byte { return []byte(text()) }
	e := &proof.Entry{
		Seq: seq, LoggedAt: time.Unix(1_800_000_000+seq, r.Int64N(1e9)), CommitLSN: r.Uint64() >> 1, Source: text(), Kind: "delete",
		CommittedAt: maybe(r, instant), XID: maybe(r, r.Int64), Category: maybe(r, text), Relation: maybe(r, text),
		Partition: maybe(r, text), Tenant: maybe(r, text), Cutoff: maybe(r, instant), Basis: maybe(r, text), Actor: maybe(r, text),
		Reference: maybe(r, text), RowCount: maybe(r, r.Int64), ObjectsRemoved: maybe(r, r.Int64),
		Reason:    maybe(r, func() string { return "manual" }),
		RequestID: maybe(r, func() [16]byte { return [16]byte{byte(r.Uint32()), 15: 1} }),
		RunID:     maybe(r, func() [16]byte { return [16]byte{byte(r.Uint32()), 15: 2} }),
	}
	for _, b := range []*[]byte{&e.SubjectDigest, &e.PolicySHA256, &e.RowsRoot} {
		if r.IntN(2) == 0 {
			*b = blob()
		}
	}
	if r.IntN(2) == 0 {
		e.Columns = []string{}
		for range r.IntN(4) {
			e.Columns = append(e.Columns, text())
		}
	}
	return e
}

func maybe[T any](r *rand.Rand, draw func() T) *T {
	if r.IntN(2) == 0 {
		return nil
	}
	v := draw()
	return &v
}

func mustExec(t testing.TB, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	// Cleanup runs this too, when the test's own context is done.
	if _, err := conn.Exec(context.WithoutCancel(t.Context()), query, args...); err != nil {
		t.Fatal(err)
	}
}
