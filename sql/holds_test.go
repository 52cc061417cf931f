package sql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// hearing connects as user and collects the server's warnings.
func hearing(t *testing.T, db *pgtest.DB, user string) (*pgx.Conn, func() []string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(db.URL(user))
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.PgConn().Conn().Close() })
	return conn, func() []string { all := heard; heard = nil; return all }
}

// nothingChanged tells what a refused call must have left: no hold, no key, no
// fact, no line in the operator's log.
const nothingChanged = `select (select count(*) from sweeper.legal_holds) + (select count(*) from sweeper.hold_keys)
	+ (select count(*) from sweeper.batches) + (select count(*) from sweeper.operator_log)`

func TestApplyHoldRefusesArguments(t *testing.T) {
	t.Parallel()
	db := installed(t)
	db.Exec(t, `create table app.other (id int)`)
	admin, operator := db.Conn(t, ""), login(t, db, "op", "sweeper_operator")
	db.Exec(t, `grant usage on schema app to `+operator.Config().User)
	long := "repeat('x', 1025)"
	for _, c := range []struct{ state, args, names string }{
		{"22004", `null, 'r', 'me'`, "subject"},
		{"22023", `'', 'r', 'me'`, "subject"},
		{"22023", `e' \t\n', 'r', 'me'`, "subject"},
		{"22023", long + `, 'r', 'me'`, "subject"},
		{"22004", `'s', null, 'me'`, "reason"},
		{"22023", `'s', '', 'me'`, "reason"},
		{"22023", `'s', ` + long + `, 'me'`, "reason"},
		{"22004", `'s', 'r', null`, "applied_by"},
		{"22023", `'s', 'r', '  '`, "applied_by"},
		{"22023", `'s', 'r', 'me', ''`, "reference"},
		{"22023", `'s', 'r', 'me', null, 'persons'`, "category"},
		{"22023", `'s', 'r', 'me', null, ''`, "category"},
		{"22023", `'s', 'r', 'me', null, 'People'`, "people"},
		{"22023", `'s', 'r', 'me', null, null, ''`, "tenant"},
		{"22023", `'s', 'r', 'me', null, null, null, 'app.other'`, "relation"},
		{"22023", `'s', 'r', 'me', expires_at => now()`, "expires_at"},
		{"22023", `'s', 'r', 'me', expires_at => now() - interval '1 day'`, "expires_at"},
		{"22023", `'s', 'r', 'me', expires_at => '-infinity'`, "expires_at"},
	} {
		err := refused(t, operator, c.state, `select sweeper.apply_hold(`+c.args+`)`)
		if !strings.HasPrefix(err.Message, "apply_hold: ") || !strings.Contains(err.Message, c.names) {
			t.Errorf("apply_hold(%s): %q does not name %s", c.args, err.Message, c.names)
		}
	}
	if n := pgtest.QueryOne[int](t, admin, nothingChanged); n != 0 {
		t.Errorf("refused calls left %d rows", n)
	}
}

func TestApplyHoldWritesItDown(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin, operator := db.Conn(t, ""), login(t, db, "op", "sweeper_operator")
	id := pgtest.QueryOne[int64](t, operator, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000A', 'court order', 'jane', 'case 7',
		'people', 'north', expires_at => now() + interval '1 day')`)
	who := operator.Config().User
	for sql, want := range map[string]string{
		`select format('%s %s %s %s %s %s %s', subject, tenant, category, reason, reference, applied_by, applied_login) from sweeper.legal_holds`: "00000000-0000-0000-0000-00000000000A north people court order case 7 jane " + who,
		`select string_agg(format('%s %s %s', part, type, value), ', ' order by part) from sweeper.hold_keys`:                                     "subject uuid 00000000-0000-0000-0000-00000000000a, tenant text north",
		`select format('%s %s %s %s %s %s', fact, kind, category, tenant, actor, reference) from sweeper.batches`:                                 fmt.Sprintf("hold hold people north jane applied hold %d", id),
		`select format('%s %s %s %s %s', function, actor, actor_kind, login, object) from sweeper.operator_log`:                                   fmt.Sprintf("apply_hold jane user %s hold %d", who, id),
	} {
		if got := pgtest.QueryOne[string](t, admin, sql); got != want {
			t.Errorf("%s:\n got %s\nwant %s", sql, got, want)
		}
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.batches b where b::text ~ '00000a'`); n != 0 {
		t.Error("the subject stands in a fact for the purge log")
	}
	exec(t, operator, `select sweeper.release_hold($1, 'settled', 'joe')`, id)
	if got, want := pgtest.QueryOne[string](t, admin, `select string_agg(format('%s %s', actor, reference), ', ' order by batch_id) from sweeper.batches`),
		fmt.Sprintf("jane applied hold %d, joe released hold %d", id, id); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestHoldShapes: each shape holds its rows and no other, and warns when there
// are none. Rows a, b and c belong to north, south and nobody.
func TestHoldShapes(t *testing.T) {
	t.Parallel()
	const a, b, c = "00000000-0000-0000-0000-00000000000A", "{00000000-0000-0000-0000-00000000000b}", "00000000-0000-0000-0000-00000000000c"
	for name, h := range map[string]struct {
		args  string
		held  int
		warns bool
	}{
		"subject in upper case":         {`'` + a + `', 'r', 'me'`, 1, false},
		"subject in braces":             {`'` + b + `', 'r', 'me'`, 1, false},
		"subject and its tenant":        {`'` + a + `', 'r', 'me', tenant => 'north'`, 1, false},
		"subject and another tenant":    {`'` + a + `', 'r', 'me', tenant => 'south'`, 0, true},
		"subject without tenant":        {`'` + c + `', 'r', 'me', tenant => 'north'`, 1, false}, // whose it is, nobody knows
		"unknown subject":               {`'00000000-0000-0000-0000-00000000000d', 'r', 'me'`, 0, true},
		"subject of another type":       {`'a@example.com', 'r', 'me'`, 0, true},
		"tenant":                        {`null, 'r', 'me', tenant => 'south'`, 1, false},
		"unknown tenant":                {`null, 'r', 'me', tenant => 'South'`, 0, true},
		"category":                      {`null, 'r', 'me', category => 'people'`, 3, false},
		"relation":                      {`null, 'r', 'me', relation => 'app.people'`, 3, false},
		"tenant in category, relation":  {`null, 'r', 'me', category => 'people', relation => 'app.people', tenant => 'north'`, 1, false},
		"subject in category, relation": {`'` + a + `', 'r', 'me', category => 'people', relation => 'app.people'`, 1, false},
		"with a later end":              {`'` + a + `', 'r', 'me', expires_at => 'infinity'`, 1, false},
		"quotes and dollars":            {`$q$'; drop table app.people; --$1%I%s$q$, 'r', 'me', tenant => $q$"'\$q$`, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := installed(t)
			operator, heard := hearing(t, db, login(t, db, "op", "sweeper_operator").Config().User)
			db.Exec(t, `grant usage on schema app to `+operator.Config().User)
			id := pgtest.QueryOne[int64](t, operator, `select sweeper.apply_hold(`+h.args+`)`)
			if warned := heard(); (len(warned) > 0) != h.warns || h.warns && !strings.Contains(warned[0], fmt.Sprintf("hold %d matches no row", id)) {
				t.Errorf("warnings: got %q, want some: %t", warned, h.warns)
			}
			admin := db.Conn(t, "")
			if got := heldBy(t, admin, "people"); got != h.held {
				t.Errorf("%d rows are held, want %d", got, h.held)
			}
			exec(t, operator, `select sweeper.release_hold($1, 'r', 'me')`, id)
			if got := heldBy(t, admin, "people"); got != 0 {
				t.Errorf("%d rows are held after the release", got)
			}
		})
	}
}

// TestHoldOfAnotherScope: a hold on one category or table leaves the others.
func TestHoldOfAnotherScope(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	exec(t, admin, `create table app.plain (n int); insert into app.plain values (1)`)
	govern(t, admin,
		map[string]any{"category": "people", "relation_name": "app.people", "subject_column": "id", "tenant_column": "tenant"},
		map[string]any{"category": "plain", "relation_name": "app.plain"})
	before := pgtest.QueryOne[int](t, admin, nothingChanged)
	for _, args := range []string{`null, 'r', 'me', category => 'people', relation => 'app.plain'`, `'s', 'r', 'me', category => 'plain', relation => 'app.people'`, `null, 'r', 'me', category => 'plain', tenant => 'north', relation => 'app.people'`} {
		if err := refused(t, admin, "22023", `select sweeper.apply_hold(`+args+`)`); !strings.Contains(err.Message, "governs app.p") || !strings.Contains(err.Message, "not app.p") {
			t.Errorf("apply_hold(%s): %q", args, err.Message)
		}
	}
	if n := pgtest.QueryOne[int](t, admin, nothingChanged); n != before {
		t.Errorf("refused calls left %d rows", n-before)
	}
	exec(t, admin, `select sweeper.apply_hold(null, 'r', 'me', category => 'plain')`)
	exec(t, admin, `select sweeper.apply_hold(null, 'r', 'me', category => 'plain', relation => 'app.plain')`)
	exec(t, admin, `select sweeper.apply_hold(null, 'r', 'me', relation => 'app.plain')`)
	if people, plain := heldBy(t, admin, "people"), heldBy(t, admin, "plain"); people != 0 || plain != 1 {
		t.Errorf("held: %d people and %d plain, want 0 and 1", people, plain)
	}
	// An expired hold holds nothing, and stays.
	exec(t, admin, `insert into sweeper.legal_holds (tenant, reason, applied_by, expires_at) values ('north', 'r', 'me', now() - interval '1 second')`)
	if n := heldBy(t, admin, "people"); n != 0 {
		t.Errorf("an expired hold holds %d rows", n)
	}
}

func TestReleaseHold(t *testing.T) {
	t.Parallel()
	db := installed(t)
	operator := login(t, db, "op", "sweeper_operator")
	id := pgtest.QueryOne[int64](t, operator, `select sweeper.apply_hold(null, 'r', 'me', category => 'people')`)
	for _, c := range []struct{ state, args, names string }{
		{"22004", `null, 'r', 'me'`, "hold must"},
		{"22004", fmt.Sprintf(`%d, null, 'me'`, id), "reason"},
		{"22023", fmt.Sprintf(`%d, '', 'me'`, id), "reason"},
		{"22004", fmt.Sprintf(`%d, 'r', null`, id), "released_by"},
		{"22023", fmt.Sprintf(`%d, 'r', ' '`, id), "released_by"},
		{"22023", fmt.Sprintf(`%d, 'r', 'me'`, id+1000), "does not exist"},
	} {
		if err := refused(t, operator, c.state, `select sweeper.release_hold(`+c.args+`)`); !strings.Contains(err.Message, c.names) {
			t.Errorf("release_hold(%s): %q does not say %q", c.args, err.Message, c.names)
		}
	}
	exec(t, operator, `select sweeper.release_hold($1, 'settled', 'jane doe')`, id)
	if err := refused(t, operator, "55000", `select sweeper.release_hold($1, 'r', 'me')`, id); strings.Contains(err.Message, "jane") {
		t.Errorf("%q names a person", err.Message)
	}
	got := pgtest.QueryOne[string](t, operator, `select format('%s %s %s', released_by, release_reason, released_at is not null) from sweeper.legal_holds`)
	if want := "jane doe settled t"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHoldsAreKept: nobody takes a hold away or makes another of it, a
// superuser past the functions neither.
func TestHoldsAreKept(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	held := pgtest.QueryOne[int64](t, admin, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000a', 'r', 'me')`)
	released := pgtest.QueryOne[int64](t, admin, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000b', 'r', 'me')`)
	exec(t, admin, `select sweeper.release_hold($1, 'r', 'me')`, released)
	for _, as := range []string{"reset role", "set session_replication_role = replica", "set role sweeper_owner"} {
		exec(t, admin, as)
		for _, sql := range []string{
			`delete from sweeper.legal_holds`, `delete from sweeper.legal_holds where false`,
			`truncate sweeper.legal_holds, sweeper.hold_keys`, `truncate sweeper.legal_holds cascade`,
			`delete from sweeper.hold_keys`, `update sweeper.hold_keys set value = 'x'`, `truncate sweeper.hold_keys`,
			`update sweeper.legal_holds set subject = 'x'`, `update sweeper.legal_holds set reason = 'x'`,
			`update sweeper.legal_holds set expires_at = now()`, `update sweeper.legal_holds set reason = reason`,
			`update sweeper.legal_holds set subject = 'x', released_at = now(), released_by = 'x', release_reason = 'x'`,
			`update sweeper.legal_holds set released_at = null, released_by = null, release_reason = null where released_at is not null`,
			`update sweeper.legal_holds set released_at = now() where released_at is not null`,
		} {
			refused(t, admin, "42501", sql)
		}
		exec(t, admin, "reset role")
		exec(t, admin, "reset session_replication_role")
	}
	exec(t, admin, `update sweeper.legal_holds set released_at = now(), released_by = 'dba', release_reason = 'x' where hold_id = $1`, held)
	if n := heldBy(t, admin, "people"); n != 0 {
		t.Errorf("%d rows are held after a release by hand", n)
	}
}

// TestHoldInsertedByHand is fenced, keyed and noted as one by apply_hold.
func TestHoldInsertedByHand(t *testing.T) {
	t.Parallel()
	for _, as := range []string{"reset role", "set session_replication_role = replica"} {
		db := installed(t)
		admin, batch := db.Conn(t, ""), db.Conn(t, "sweeper_daemon")
		exec(t, admin, as)
		exec(t, batch, `begin; select pg_advisory_xact_lock_shared(1398228304, 1)`)
		done := background(t.Context(), admin, `insert into sweeper.legal_holds (subject, tenant, reason, applied_by)
			values ('00000000-0000-0000-0000-00000000000A', 'north', 'r', 'me'), (null, 'south', 'r', 'me')`)
		watch := db.Conn(t, "")
		waits(t, watch, admin.PgConn().PID())
		exec(t, batch, `commit`)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := heldBy(t, watch, "people"); n != 2 {
			t.Errorf("%s: %d rows are held, want 2", as, n)
		}
		facts := texts(t, watch, `select format('%s %s', tenant, actor) from sweeper.batches where fact = 'hold' order by batch_id`)
		if want := []string{"north me", "south me"}; !slices.Equal(facts, want) {
			t.Errorf("%s: got facts %q, want %q", as, facts, want)
		}
	}
}
