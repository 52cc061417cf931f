package purgelog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// longLog is a log of so many entries behind its genesis, of which the third
// have no rows, and one has three parts of them.
func longLog(t *testing.T, b *bundle, n int) {
	t.Helper()
	log := b.open(t, begins)
	for i := range n {
		lsn := uint64(begins + 0x100*(i+1))
		var c change
		switch {
		case i%3 == 2:
			c = told(uint32(i+1), "fact", "hold", "kind", "hold", "reference", "applied hold 1")
		case i == 10:
			c = deleted(10_000, 5001)
		default:
			c = deleted(i*10, i%5+1)
		}
		appended(t, log, committed(uint32(i+1), lsn, c))
	}
	flushed(t, log, uint64(begins+0x100*n+0x30))
	log.Close(t.Context())
}

// TestVerifyBySegments reads a log in pieces of every size, from every entry on,
// and compares root, counts and the roots of all smaller trees.
func TestVerifyBySegments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 37
	longLog(t, b, n-1)
	var roots [][32]byte
	var tree proof.Tree
	entries, err := purgelog.Tail(t.Context(), b.admin, n)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []uint64
	for i := range entries {
		sizes = append(sizes, uint64(n-i)) // in no order
		tree.Append([32]byte(entries[i].LeafHash))
		roots = append(roots, tree.Root())
	}
	rows := pgtest.QueryOne[int64](t, b.admin, `select sum(row_count)::bigint from sweeper.purge_log`)
	for _, segment := range []int64{1, 2, 4, 8, 32, 64} {
		for _, from := range []int64{0, 1, 7, 8, 36, 37, 100} {
			v, err := purgelog.Check{From: from, Sizes: sizes, Workers: 2}.BySegments(segment).Run(t.Context(), b.admin)
			if err != nil {
				t.Fatal(err)
			}
			if v.Problems != nil || v.Entries != n || v.Root != tree.Root() || from == 0 && v.Rows != rows || from > 36 && v.Rows != 0 {
				t.Errorf("segments of %d, from %d: %+v", segment, from, v)
			}
			for size, root := range roots {
				if v.Roots[uint64(size+1)] != root {
					t.Errorf("segments of %d, from %d: another root of %d entries", segment, from, size+1)
				}
			}
		}
	}
	b.whole(t)
}

// unguarded lets a superuser change what is in the log.
const unguarded = `do $$ declare p regclass; begin
	for p in select c.oid from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p') and c.relname ~ '^(purge_|log_prunes|checkpoints)' loop
		execute format('alter table %s disable trigger user', p);
	end loop; end $$`

// TestVerifyFinds has the log tampered with by a superuser, each time in another
// way. Verify finds it by segments and as a whole, and so does the SQL function
// where it looks at the same. These are rows 9, 14, 15 and 20 of the table of
// attacks.
func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	longLog(t, b, 36)
	b.db.Exec(t, unguarded)
	for _, c := range []struct{ name, tamper, want string }{
		{"a text", `update sweeper.purge_log set actor = 'nobody' where seq = 20`, "20: leaf_hash differs from the entry's fields"},
		{"a NULL element of an array", `update sweeper.purge_log set columns = '{NULL}' where seq = 20`, "20: leaf_hash differs from the entry's fields"},
		{"an infinite time", `update sweeper.purge_log set cutoff = 'infinity' where seq = 20`, "20: leaf_hash differs from the entry's fields"},
		{"a leaf too long", `update sweeper.purge_log set actor = repeat('x', 70000) where seq = 20`, "20: leaf_hash differs from the entry's fields"},
		{"fields and leaf hash", `update sweeper.purge_log l set actor = 'nobody' where seq = 20;
			update sweeper.purge_log l set leaf_hash = sha256('\x00' || sweeper.leaf_bytes(l)) where seq = 20`, "20: chain_hash does not follow from the entry before"},
		{"an entry gone", `delete from sweeper.purge_log where seq = 20`, "20: entry 20 is missing"},
		{"entries gone at the beginning", `delete from sweeper.purge_log where seq < 3`, "0: entries 0 to 2 are missing"},
		{"the end cut off", `delete from sweeper.purge_log where seq > 30`, "31: log_head counts 37 entries and the log has 31"},
		{"an entry twice", `insert into sweeper.purge_log select (jsonb_populate_record(l, jsonb_build_object('logged_at', logged_at + interval '1 ms'))).* from sweeper.purge_log l where seq = 20`, "20: entry 20 occurs more than once"},
		{"an entry before all", `insert into sweeper.purge_log select (jsonb_populate_record(l, '{"seq": -7}')).* from sweeper.purge_log l where seq = 20`, "-7: entry -7 stands before entry 0"},
		{"an entry behind all", `insert into sweeper.purge_log select (jsonb_populate_record(l, '{"seq": 40}')).* from sweeper.purge_log l where seq = 20`, "37: entries 37 to 39 are missing"},
		{"a head far ahead", `update sweeper.log_head set size = 9000000000000000000`, "37: log_head counts 9000000000000000000 entries and the log has 37"},
		{"a head below zero", `update sweeper.log_head set size = -5`, "-5: log_head counts -5 entries and the log has 37"},
		{"an entry far ahead", `insert into sweeper.purge_log select (jsonb_populate_record(l, '{"seq": 9000000000000000000}')).* from sweeper.purge_log l where seq = 20`, "37: entries 37 to 8999999999999999999 are missing"},
		{"the head's edge", `update sweeper.log_head set hashes = hashes || hashes`, "36: log_head.hashes are not the edge of the tree over the entries"},
		{"the head's root", `update sweeper.log_head set root = sha256('x')`, "36: log_head.root is not the root of the tree over the entries"},
		{"a part of the rows gone", `delete from sweeper.purge_rows where seq = 11 and part = 1`, "11: the 3001 row commitments do not give the entry's count and root"},
		{"parts exchanged", `update sweeper.purge_rows set part = 1 - part + 100 where seq = 11 and part < 2; update sweeper.purge_rows set part = part - 100 where part >= 100`, "11: the 5001 row commitments do not give the entry's count and root"},
		{"a part that skips a number", `update sweeper.purge_rows set part = 7 where seq = 11 and part = 2`, "11: the 5001 row commitments do not give the entry's count and root"},
		{"rows of another time", `update sweeper.purge_rows set logged_at = logged_at + interval '1 us' where seq = 11`, "11: the 5001 row commitments do not give the entry's count and root"},
		{"a commitment of another row", `update sweeper.purge_rows set commitments = set_byte(commitments, 5, 255 - get_byte(commitments, 5)) where seq = 2`, "2: the 2 row commitments do not give the entry's count and root"},
		{"rows of nobody", `insert into sweeper.purge_rows select 3, logged_at, 0, commitments from sweeper.purge_rows where seq = 2`, "3: row commitments without an entry that they belong to"},
		{"rows behind the end", `insert into sweeper.purge_rows select 99, logged_at, 0, commitments from sweeper.purge_rows where seq = 2`, "99: row commitments without an entry that they belong to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.db.Exec(t, "begin; create schema kept; create table kept.purge_log as table sweeper.purge_log; create table kept.purge_rows as table sweeper.purge_rows; create table kept.log_head as table sweeper.log_head; commit")
			b.db.Exec(t, c.tamper)
			bySQL := b.text(t, `select count(*) > 0 from sweeper.verify_chain()`)
			for _, segment := range []int64{4, 1 << 16} {
				v, err := purgelog.Check{Workers: 2}.BySegments(segment).Run(t.Context(), b.admin)
				if err != nil {
					t.Fatal(err)
				}
				found := make([]string, 0, len(v.Problems))
				for _, p := range v.Problems {
					found = append(found, fmt.Sprintf("%d: %s", p.Seq, p.Text))
				}
				if !slices.Contains(found, c.want) {
					t.Errorf("segments of %d: found %s, want %s", segment, strings.Join(found, "; "), c.want)
				}
			}
			countsOnly := slices.Contains([]string{"parts exchanged", "rows of another time", "a commitment of another row"}, c.name)
			if bySQL != "true" && !countsOnly {
				t.Error("verify_chain finds nothing")
			}
			b.db.Exec(t, `delete from sweeper.purge_log; delete from sweeper.purge_rows; delete from sweeper.log_head;
				insert into sweeper.purge_log table kept.purge_log; insert into sweeper.purge_rows table kept.purge_rows; insert into sweeper.log_head table kept.log_head;
				drop schema kept cascade`)
		})
	}
	b.whole(t)
}

// TestVerifyTrustsNoFunction has the owner of the log replace the functions that
// an auditor would call. What reads the log from outside finds the change all the
// same. Row 19 of the table of attacks.
func TestVerifyTrustsNoFunction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	longLog(t, b, 12)
	b.db.Exec(t, unguarded)
	b.db.Exec(t, `update sweeper.purge_log set actor = 'nobody' where seq = 5;
		create or replace function sweeper.verify_chain() returns table (seq bigint, problem text) language sql as 'select 0::bigint, '''' where false';
		create function public.sha256(bytea) returns bytea language sql as 'select ''''::bytea'`)
	if got := b.text(t, `select count(*) from sweeper.verify_chain()`); got != "0" {
		t.Fatalf("the function that lies finds %s problems", got)
	}
	v, err := purgelog.Verify(t.Context(), b.admin, nil)
	if err != nil || len(v.Problems) != 1 || v.Problems[0] != (proof.Problem{Seq: 5, Text: "leaf_hash differs from the entry's fields"}) {
		t.Errorf("%+v %v", v, err)
	}
}

// TestHiddenEntriesAreAnError: row security that would show an auditor a shorter
// log is an error for each verb that reads all of it. Row 18 of the table of
// attacks.
func TestHiddenEntriesAreAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	longLog(t, b, 12)
	role := b.db.Role(t, "auditor", "login in role sweeper_auditor")
	conn := b.db.Conn(t, role)
	if v, err := purgelog.Verify(t.Context(), conn, nil); err != nil || v.Problems != nil || v.Entries != 13 {
		t.Errorf("an auditor before: %+v %v", v, err)
	}
	b.db.Exec(t, `alter table sweeper.purge_log enable row level security; create policy p on sweeper.purge_log using (seq < 9)`)
	if got := pgtest.QueryOne[int](t, conn, `select count(*) from sweeper.purge_log`); got != 9 {
		t.Fatalf("the policy shows %d entries", got)
	}
	if v, err := purgelog.Verify(t.Context(), conn, nil); err == nil {
		t.Errorf("verify sees %+v", v)
	}
	if out, err := purgelog.Export(t.Context(), conn, t.TempDir(), nil); err == nil {
		t.Errorf("export writes %+v", out)
	}
	row := &proof.DocumentRow{Relation: "app.t", Columns: []string{"id"}, Key: []string{"0"}}
	if d, _, err := purgelog.Prove(t.Context(), conn, purgelog.Wanted{Row: row, Keys: [][]byte{key}}); err == nil {
		t.Errorf("prove makes %+v", d)
	}
}

// TestLoggerForgesAnEntry has the logging role, which may insert, put an entry
// with right hashes behind the last one: the head does not know it, and the
// writer's next entry makes two of one seq. Rows 9 and 10 of the table of
// attacks.
func TestLoggerForgesAnEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.open(t, begins)
	appended(t, log, committed(11, begins+0x100, deleted(1, 5)))
	flushed(t, log, begins+0x130)
	entries, err := purgelog.Tail(t.Context(), b.admin, 1)
	if err != nil {
		t.Fatal(err)
	}
	e := entries[0]
	chain := [32]byte(e.ChainHash)
	e.Seq++
	leaf, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	hash := proof.HashLeaf(leaf)
	chain = proof.Chain(chain, hash)
	if _, err := b.db.Conn(t, "sweeper_logger").Exec(t.Context(), `insert into sweeper.purge_log select (jsonb_populate_record(l, jsonb_build_object('seq', $1::bigint, 'leaf_hash', $2::bytea, 'chain_hash', $3::bytea))).*
		from sweeper.purge_log l where seq = $1 - 1`, e.Seq, hash[:], chain[:]); err != nil {
		t.Fatal(err)
	}
	find := func(want string) {
		t.Helper()
		v, err := purgelog.Verify(t.Context(), b.admin, nil)
		if err != nil || !strings.Contains(fmt.Sprint(v.Problems), want) {
			t.Errorf("found %v %v, want %s", v.Problems, err, want)
		}
	}
	find("log_head counts 2 entries and the log has 3")
	appended(t, log, committed(12, begins+0x200, deleted(6, 1)))
	flushed(t, log, begins+0x230)
	find("entry 2 occurs more than once")
}

// TestSwallowedEntriesAreAnError: a trigger of the log's owner that takes rows
// away in silence stops the log; nothing is acknowledged. Row 17 of the table of
// attacks.
func TestSwallowedEntriesAreAnError(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"purge_log", "purge_rows"} {
		b := setup(t)
		log := b.open(t, begins)
		b.db.Exec(t, `create function public.swallow() returns trigger language plpgsql as $$ begin return null; end $$`)
		b.db.Exec(t, `create trigger swallow before insert on sweeper.`+table+` for each row execute function public.swallow()`)
		appended(t, log, committed(11, begins+0x100, deleted(1, 5)))
		if applied, err := log.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "were taken; look for triggers") {
			t.Errorf("%s: applied up to %X, %v", table, applied, err)
		}
		log.Close(t.Context())
		b.whole(t)
	}
}
