package pgtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Witness is a second reader of the WAL, which shares nothing with ours: a
// logical slot with PostgreSQL's own output plugin test_decoding. What it saw
// is what was committed.
type Witness struct {
	conn  *pgx.Conn
	slot  string
	lines []string
}

// Truth makes a witness of everything that is committed in the database from
// now on. A database can have one.
func Truth(t testing.TB, d *DB) *Witness {
	t.Helper()
	w := &Witness{conn: d.Conn(t, ""), slot: d.Name + "_truth"}
	_, err := w.conn.Exec(t.Context(), `select pg_create_logical_replication_slot($1, 'test_decoding')`, w.slot)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "58P01" {
		t.Fatalf("make a witness: this server (%s) lacks the output plugin test_decoding: install PostgreSQL's contrib modules", shared.how)
	}
	if err != nil {
		t.Fatalf("make a witness: %v", err)
	}
	return w
}

// Changes returns everything decoded so far, in commit order, in the words of
// test_decoding: "BEGIN 740", "table public.a: DELETE: id[integer]:1",
// "COMMIT 740". Transactions without changes do not appear. options are further
// ones of test_decoding, each with its value: "include-timestamp", "1".
func (w *Witness) Changes(t testing.TB, options ...string) []string {
	t.Helper()
	// Decoding shows what is flushed. A synchronous commit flushes asynchronous
	// ones before it, but only if it has both an id and something in the WAL;
	// a restore point is something that no reader is shown.
	const flush = `begin; set local synchronous_commit = on;
		select pg_current_xact_id(), pg_create_restore_point('witness'); commit`
	if _, err := w.conn.Exec(t.Context(), flush); err != nil {
		t.Fatalf("flush the WAL: %v", err)
	}
	const read = `select data from pg_logical_slot_get_changes($1, null, null, variadic array['skip-empty-xacts', '1'] || $2::text[])`
	rows, _ := w.conn.Query(t.Context(), read, w.slot, options)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("read the witness's slot: %v", err)
	}
	w.lines = append(w.lines, lines...)
	return slices.Clone(w.lines)
}
