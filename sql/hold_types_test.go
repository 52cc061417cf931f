package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// typed is one table for each type of a subject, with one row each; then what
// an operator may write for it, and what not.
var typed = []struct {
	name, ddl, row string
	means          []string // each holds the row
	differs        []string // each holds nothing, and is no error
}{
	{
		"uuid", "uuid", "'5a1b7c9e-0000-4000-8000-00000000aBcD'",
		[]string{"5A1B7C9E-0000-4000-8000-00000000ABCD", "{5a1b7c9e-0000-4000-8000-00000000abcd}"},
		[]string{"5A1B7C9E", "5a1b7c9e-0000-4000-8000-00000000abce"},
	},
	{"int4", "int", "42", []string{"42", " 42 ", "+42", "0042"}, []string{"42.0", "43", "99999999999", "x"}},
	{"int8", "bigint", "-7", []string{"-7"}, []string{"7", "- 7x"}},
	{"numeric", "numeric", "1.50", []string{"1.5", "1.500", "15e-1"}, []string{"1.51", "one", "NaN"}},
	{"text", "text", "'Ann '", []string{"Ann "}, []string{"Ann", "ann "}},
	{"varchar", "varchar(8)", "'Ann'", []string{"Ann"}, []string{"ANN", "Annabelle-Louise"}},
	{"bpchar", "char(8)", "'ab'", []string{"ab", "ab   "}, []string{"abc", "AB"}},
	{"date", "date", "'2024-02-01'", []string{"2024-02-01", "20240201"}, []string{"2024-02-30", "soon"}},
	{"timestamptz", "timestamptz", "'2024-02-01 10:00:00+00'", []string{"2024-02-01T12:00:00+02", "2024-02-01 10:00Z"}, []string{"2024-02-01 10:00:01Z"}},
	{"float8", "float8", "0.1", []string{"0.1", "1e-1"}, []string{"0.10000001"}},
	{"bytea", "bytea", `'\x0aff'`, []string{`\x0AFF`}, []string{`\x0a`, `\xzz`}},
	{"inet", "inet", "'10.0.0.1'", []string{"10.0.0.1", "10.0.0.1/32"}, []string{"10.0.0.1/31", "10"}},
	{"enum", "kinds.mood", "'glad'", []string{"glad"}, []string{"Glad", "sad", "?"}},
	{"domain", "kinds.short", "'abc'", []string{"abc"}, []string{"abd", "far too long for it"}},
	{"folded", "kinds.folded", "'Ann'", []string{"ANN", "ann"}, []string{"Anne"}},
	{"regclass", "regclass", "'pg_class'", []string{"pg_class", "pg_catalog.pg_class"}, []string{"no_such_table", "a.b.c.d.e"}},
}

// kinds makes the types: an enum, a domain with a check, and a type whose
// equality ignores case and is found in no search_path, as that of citext.
const kinds = `
create schema kinds;
create type kinds.mood as enum ('glad', 'sad');
create domain kinds.short as text check (length(value) < 5);
create type kinds.folded;
create function kinds.folded_in(cstring) returns kinds.folded language internal immutable strict as 'textin';
create function kinds.folded_out(kinds.folded) returns cstring language internal immutable strict as 'textout';
create type kinds.folded (input = kinds.folded_in, output = kinds.folded_out, like = text, category = 'S');
create cast (kinds.folded as text) without function as implicit;
create cast (text as kinds.folded) without function as assignment;
create function kinds.cmp(a kinds.folded, b kinds.folded) returns int language sql immutable strict as
    $$ select case when lower(a::text) < lower(b::text) then -1 when lower(a::text) = lower(b::text) then 0 else 1 end $$;
create function kinds.lt(a kinds.folded, b kinds.folded) returns boolean language sql immutable strict as $$ select kinds.cmp(a, b) < 0 $$;
create function kinds.le(a kinds.folded, b kinds.folded) returns boolean language sql immutable strict as $$ select kinds.cmp(a, b) <= 0 $$;
create function kinds.eq(a kinds.folded, b kinds.folded) returns boolean language sql immutable strict as $$ select kinds.cmp(a, b) = 0 $$;
create function kinds.ge(a kinds.folded, b kinds.folded) returns boolean language sql immutable strict as $$ select kinds.cmp(a, b) >= 0 $$;
create function kinds.gt(a kinds.folded, b kinds.folded) returns boolean language sql immutable strict as $$ select kinds.cmp(a, b) > 0 $$;
create operator kinds.< (leftarg = kinds.folded, rightarg = kinds.folded, function = kinds.lt);
create operator kinds.<= (leftarg = kinds.folded, rightarg = kinds.folded, function = kinds.le);
create operator kinds.= (leftarg = kinds.folded, rightarg = kinds.folded, function = kinds.eq);
create operator kinds.>= (leftarg = kinds.folded, rightarg = kinds.folded, function = kinds.ge);
create operator kinds.> (leftarg = kinds.folded, rightarg = kinds.folded, function = kinds.gt);
create operator class kinds.folded_ops default for type kinds.folded using btree as
    operator 1 kinds.<, operator 2 kinds.<=, operator 3 kinds.=, operator 4 kinds.>=, operator 5 kinds.>, function 1 kinds.cmp(kinds.folded, kinds.folded);
grant usage on schema kinds to sweeper_owner;`

// typeDatabase has a table for each type, all of them governed at once: so
// every hold is read through every type. Names of columns need quotes.
func typeDatabase(t *testing.T) (*pgtest.DB, *pgx.Conn) {
	t.Helper()
	db := installed(t)
	db.Exec(t, kinds)
	admin := db.Conn(t, "")
	var categories []map[string]any
	for _, c := range typed {
		table := `app."T ` + c.name + `"`
		exec(t, admin, fmt.Sprintf(`create table %s ("Who's" %s, other text); insert into %[1]s values (%[3]s), (null);
			grant select ("Who's") on %[1]s to sweeper_owner`, table, c.ddl, c.row))
		categories = append(categories, map[string]any{"category": c.name, "relation_name": table, "subject_column": "Who's"})
	}
	govern(t, admin, categories...)
	return db, admin
}

func TestHoldsReadSubjectsThroughTheirTypes(t *testing.T) {
	t.Parallel()
	db, admin := typeDatabase(t)
	operator, heard := hearing(t, db, login(t, db, "op", "sweeper_operator").Config().User)
	// How the operator's session writes values must not show in what is stored.
	exec(t, operator, `set datestyle = 'SQL, MDY'; set timezone = 'America/New_York'; set extra_float_digits = -10; set bytea_output = 'escape'`)
	for _, c := range typed {
		for i, subject := range append(c.means[:len(c.means):len(c.means)], c.differs...) {
			want := 0
			if i < len(c.means) {
				want = 1
			}
			id := pgtest.QueryOne[int64](t, operator, `select sweeper.apply_hold($1, 'r', 'me', category => $2)`, subject, c.name)
			if got := heldBy(t, admin, c.name); got != want {
				t.Errorf("%s: %q holds %d rows, want %d", c.name, subject, got, want)
			}
			if warned := heard(); (len(warned) == 0) != (want == 1) {
				t.Errorf("%s: %q: warnings %q, want some: %t", c.name, subject, warned, want == 0)
			}
			exec(t, operator, `select sweeper.release_hold($1, 'r', 'me')`, id)
		}
	}
}

// TestNewTypeKeysOldHolds: a policy that comes later must find its rows held.
func TestNewTypeKeysOldHolds(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	exec(t, admin, `create table app.cards ("No" numeric, at timestamptz); insert into app.cards values (12.0, now()), (13, now())`)
	held := pgtest.QueryOne[int64](t, admin, `select sweeper.apply_hold('12', 'r', 'me')`)
	released := pgtest.QueryOne[int64](t, admin, `select sweeper.apply_hold('13', 'r', 'me')`)
	exec(t, admin, `select sweeper.release_hold($1, 'r', 'me')`, released)
	people := map[string]any{"category": "people", "relation_name": "app.people", "subject_column": "id", "tenant_column": "tenant"}
	govern(t, admin, people, map[string]any{"category": "cards", "relation_name": "app.cards", "subject_column": "No"})
	if n := heldBy(t, admin, "cards"); n != 1 {
		t.Errorf("%d cards are held, want 1", n)
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.hold_keys where hold_id = $1 and type = 'numeric'::regtype`, held); n != 1 {
		t.Errorf("the hold has %d numeric keys, want 1", n)
	}
	// A sweep by the former set may still be running when the next one loads:
	// holds go on being read through its types.
	govern(t, admin, people)
	exec(t, admin, `select sweeper.apply_hold('13', 'r', 'me')`)
	govern(t, admin, people, map[string]any{"category": "cards", "relation_name": "app.cards", "subject_column": "No"})
	if n := heldBy(t, admin, "cards"); n != 2 {
		t.Errorf("%d cards are held, want 2", n)
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.hold_keys k join sweeper.legal_holds h using (hold_id)
		where h.subject = '13' and h.released_at is null and k.type = 'numeric'::regtype`); n != 1 {
		t.Errorf("the hold has %d numeric keys, want 1", n)
	}
}

// TestHoldInSpiteOfATable: what is wrong with one governed table keeps no hold
// from being placed; it is said.
func TestHoldInSpiteOfATable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"dropped":        `drop table app.people`,
		"column renamed": `alter table app.people rename id to key`,
		"not readable":   `revoke all on app.people from sweeper_owner`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := installed(t)
			db.Exec(t, spoil)
			operator, heard := hearing(t, db, login(t, db, "op", "sweeper_operator").Config().User)
			exec(t, operator, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000a', 'r', 'me')`)
			if warned := heard(); len(warned) != 1 || !strings.Contains(warned[0], "cannot be told") {
				t.Errorf("warnings: got %q", warned)
			}
		})
	}
}

// TestUnreadableTypeIsAnError: that sweeper_owner may not name a type does not
// mean that the type refuses the subject. Such a hold would protect nothing.
func TestUnreadableTypeIsAnError(t *testing.T) {
	t.Parallel()
	db, admin := typeDatabase(t)
	exec(t, admin, `revoke usage on schema kinds from sweeper_owner`)
	operator := login(t, db, "op", "sweeper_operator")
	refused(t, operator, "42501", `select sweeper.apply_hold('glad', 'r', 'me')`)
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.legal_holds`); n != 0 {
		t.Errorf("a refused call left %d holds", n)
	}
}
