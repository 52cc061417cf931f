package wal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// longName has 63 bytes, the most that an identifier can have.
var longName = "Ünïcödé " + strings.Repeat("x", 63-len("Ünïcödé "))

func TestKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	ddl := fmt.Sprintf(`
		create schema "Größe";
		create table composite (b text, a int, v text, primary key (b, a));
		create table "Größe"."Mixed ""Case""" ("Id ""x""" uuid primary key, v text);
		create table %[1]q (%[1]q int primary key, v text);
		create table typed (t timestamptz, d date, i interval, f float8, y bytea, n numeric, primary key (t, d, i, f, y, n));
		create table indexed (id int primary key, code text not null);
		create unique index indexed_code on indexed (code);
		alter table indexed replica identity using index indexed_code;
		insert into composite values ('x', 1, 's'), ('', 2, 's');
		insert into "Größe"."Mixed ""Case""" values ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 's');
		insert into %[1]q values (7, 's');
		insert into typed values ('2024-03-31 12:00+02', '2024-12-31', '1 year 2 days', 0.1, '\x00ff', 1.50);
		insert into indexed values (1, 'é');`, longName)
	tables := []string{"composite", `"Größe"."Mixed ""Case"""`, fmt.Sprintf("%q", longName), "typed", "indexed"}
	b := setup(t, ddl, tables, nil, nil)
	// What the database would have texts look like must not reach the keys.
	b.db.Exec(t, fmt.Sprintf(`alter database %[1]q set timezone = 'Asia/Tokyo'; alter database %[1]q set datestyle = 'German';
		alter database %[1]q set intervalstyle = 'iso_8601'; alter database %[1]q set bytea_output = 'escape';
		alter database %[1]q set extra_float_digits = -10; alter database %[1]q set client_encoding = 'LATIN1'`, b.db.Name))
	r := b.open(t)
	b.db.Exec(t, fmt.Sprintf(`begin; delete from composite; delete from "Größe"."Mixed ""Case"""; delete from %q;
		delete from typed; delete from indexed; commit`, longName))
	_, got := read(t, r)
	want := []string{
		"delete public.composite b=x a=1", "delete public.composite b= a=2",
		`delete Größe.Mixed "Case" Id "x"=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`,
		fmt.Sprintf("delete public.%[1]s %[1]s=7", longName),
		`delete public.typed t=2024-03-31 10:00:00+00 d=2024-12-31 i=1 year 2 days f=0.1 y=\x00ff n=1.50`,
		"delete public.indexed code=é",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestKeyFuncDecidesOrderAndColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (a int, b int, v text, primary key (b, a)); alter table t replica identity full;
		insert into t values (1, 2, 'x')`, []string{"t"}, nil, nil)
	type call struct {
		Schema, Table string
		Identity      []string
	}
	var calls []call
	r := b.open(t, func(o *wal.Options) {
		o.Key = func(_ context.Context, schema, table string, identity []string) ([]string, error) {
			calls = append(calls, call{schema, table, slices.Clone(identity)})
			return []string{"b", "a"}, nil
		}
	})
	b.db.Exec(t, `delete from t`)
	_, got := read(t, r)
	if d := cmp.Diff([]string{"delete public.t b=2 a=1"}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]call{{"public", "t", []string{"a", "b", "v"}}}, calls); d != "" {
		t.Errorf("calls of the key function: %s", d)
	}
}

func TestUpdates(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key, email text, big text);
		alter table t alter big set storage external;
		insert into t values (1, 'a', repeat('x', 100000)), (2, 'b', null)`, nil, []string{"t"}, nil)
	r := b.open(t)
	b.db.Exec(t, `begin; update t set email = null where id = 1; update t set id = 3 where id = 2; commit`)
	_, got := read(t, r)
	// A changed key is known by its old value.
	if d := cmp.Diff([]string{"update public.t id=1", "update public.t id=2"}, got); d != "" {
		t.Error(d)
	}
}

func TestUpdatesWithColumnList(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key, email text, other text); insert into t values (1, 'a', 'b')`, nil, nil, nil)
	list := " (id, email)"
	if pgtest.QueryOne[int](t, b.conn, `select current_setting('server_version_num')::int`) < 150000 {
		list = "" // column lists came with 15
	}
	b.db.Exec(t, `alter publication sweeper_redact add table t`+list)
	var columns []string
	r := b.open(t)
	b.db.Exec(t, `update t set email = 'redacted', other = 'c'`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := tx.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, col := range c.Relation.Columns {
		columns = append(columns, col.Name)
	}
	if want := []string{"id", "email"}; list != "" && !slices.Equal(columns, want) {
		t.Errorf("published columns %q, want %q", columns, want)
	}
	if d := cmp.Diff([]string{"update public.t id=1"}, render(t, c)); d != "" {
		t.Error(d)
	}
}

func TestStampsAreReadAsText(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table stamp (id bigint primary key, run uuid, note text, at timestamptz)`, nil, nil, []string{"stamp"})
	r := b.open(t)
	b.db.Exec(t, `insert into stamp values (1, '11111111-2222-3333-4444-555555555555', '', '2024-01-01'), (2, null, 'ñ', null)`)
	_, got := read(t, r)
	want := []string{
		"insert public.stamp id=1 run=11111111-2222-3333-4444-555555555555 note= at=2024-01-01 00:00:00+00",
		"insert public.stamp id=2 note=ñ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCascadesAndTruncates(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table parent (id int primary key);
		create table child (id int primary key, parent int references parent on delete cascade);
		create table other (id int primary key);
		insert into parent values (1); insert into child values (10, 1), (11, 1)`,
		[]string{"parent", "child", "other"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from parent`)
	_, got := read(t, r)
	if d := cmp.Diff([]string{"delete public.parent id=1", "delete public.child id=10", "delete public.child id=11"}, got); d != "" {
		t.Error(d)
	}
	b.db.Exec(t, `truncate other, parent restart identity cascade`)
	_, got = read(t, r)
	if d := cmp.Diff([]string{"truncate public.other public.parent public.child"}, got); d != "" {
		t.Error(d)
	}
}

func TestLeavesOfPartitionedTables(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table p (id int, at date, primary key (id, at)) partition by range (at);
		create table p_2023 partition of p for values from ('2023-01-01') to ('2024-01-01');
		create table p_2024 partition of p for values from ('2024-01-01') to ('2025-01-01');
		insert into p values (1, '2023-05-05'), (2, '2024-05-05')`, []string{"p"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `delete from p`)
	_, got := read(t, r)
	if d := cmp.Diff([]string{"delete public.p_2023 id=1 at=2023-05-05", "delete public.p_2024 id=2 at=2024-05-05"}, got); d != "" {
		t.Error(d)
	}
	b.db.Exec(t, `truncate p_2023`)
	if _, got = read(t, r); !slices.Equal(got, []string{"truncate public.p_2023"}) {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsRolledBackDoesNotCome(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key); insert into t select generate_series(1, 6)`, []string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `begin; delete from t where id = 1; rollback;
		begin; delete from t where id = 2; savepoint a; delete from t where id = 3; rollback to a;
		savepoint b; delete from t where id = 4; release b; delete from t where id = 5; commit`)
	_, got := read(t, r)
	if d := cmp.Diff([]string{"delete public.t id=2", "delete public.t id=4", "delete public.t id=5"}, got); d != "" {
		t.Error(d)
	}
	b.quiet(t, r)
}

func TestTableChangesInMidStream(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 3) g`,
		[]string{"t"}, nil, nil)
	r := b.open(t)
	b.db.Exec(t, `begin; delete from t where id = 1; alter table t add w text default 'y'; delete from t where id = 2;
		alter table t rename id to "Number"; alter table t rename to moved; delete from moved; commit`)
	_, got := read(t, r)
	want := []string{"delete public.t id=1", "delete public.t id=2", "delete public.moved Number=3"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFullIdentityPassesNoOtherBytes(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711"
	b := setup(t, `create table t (email text, id int primary key, note text); alter table t replica identity full;
		insert into t select '`+canary+`' || g, g, '`+canary+`' from generate_series(1, 5000) g`, nil, []string{"t"}, nil)
	r := b.open(t, func(o *wal.Options) {
		o.Key = func(context.Context, string, string, []string) ([]string, error) { return []string{"id"}, nil }
	})
	b.db.Exec(t, `begin; update t set email = 'x' where id <= 2500; update t set id = -id where id <= 10; delete from t; commit`)
	tx, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		c, err := tx.Next(t.Context())
		if err != nil {
			break
		}
		rows += c.Len()
		if strings.Contains(string(c.Memory()), "canary") {
			t.Fatal("a value outside the key was copied")
		}
	}
	if want := 2500 + 10 + 5000; rows != want {
		t.Errorf("read %d rows, want %d", rows, want)
	}
}

func TestRowWithoutKeyNamesTheRelation(t *testing.T) {
	t.Parallel()
	const secret = "secret-value"
	b := setup(t, `create table t (id text); alter table t replica identity full; insert into t values (null), ('`+secret+`')`,
		[]string{"t"}, nil, nil)
	for name, test := range map[string]struct {
		key  []string
		want string
	}{
		"null":    {[]string{"id"}, `relation "public"."t": key column "id" of a row is NULL`},
		"none":    {nil, `relation "public"."t" has no key`},
		"unknown": {[]string{"nope"}, `key column "nope" is not`},
	} {
		b.db.Exec(t, `begin; delete from t; insert into t values (null), ('`+secret+`'); commit`)
		r := b.open(t, func(o *wal.Options) {
			o.Key = func(context.Context, string, string, []string) ([]string, error) { return test.key, nil }
		})
		_, err := r.Next(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		closeReader(t, r)
	}
}

func TestKeyFuncFailureEndsTheStream(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table t (id int primary key); insert into t values (1)`, []string{"t"}, nil, nil)
	broken := errors.New("no catalogue")
	r := b.open(t, func(o *wal.Options) {
		o.Key = func(context.Context, string, string, []string) ([]string, error) { return nil, broken }
	})
	b.db.Exec(t, `delete from t`)
	for range 2 {
		if _, err := r.Next(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), `find the key of "public"."t"`) {
			t.Fatalf("got %v", err)
		}
	}
}
