package sql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestFunctionsAreClosed is the check that the studies call for: nothing for
// PUBLIC, and no definer function whose names the caller's schemas could take.
func TestFunctionsAreClosed(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	for _, f := range texts(t, conn, `select p.oid::regprocedure::text from pg_proc p
		where p.pronamespace = 'sweeper'::regnamespace and has_function_privilege('public', p.oid, 'execute')`) {
		t.Errorf("%s may be executed by PUBLIC", f)
	}
	for _, f := range texts(t, conn, `select p.oid::regprocedure::text from pg_proc p
		where p.pronamespace = 'sweeper'::regnamespace and p.prosecdef
		  and not coalesce(p.proconfig && array['search_path=pg_catalog, pg_temp'], false)`) {
		t.Errorf("%s is SECURITY DEFINER without search_path = pg_catalog, pg_temp", f)
	}
	// Any other body with names that are looked up when it runs pins them too.
	for _, f := range texts(t, conn, `select p.oid::regprocedure::text from pg_proc p
		where p.pronamespace = 'sweeper'::regnamespace and p.prosqlbody is null
		  and not coalesce(array_to_string(p.proconfig, ';') like '%search_path=pg_catalog, pg_temp%', false)`) {
		t.Errorf("%s does not pin search_path", f)
	}
	for _, o := range texts(t, conn, `
		select c.relname::text || ' belongs to ' || pg_get_userbyid(c.relowner) from pg_class c
		 where c.relnamespace = 'sweeper'::regnamespace and c.relowner <> 'sweeper_owner'::regrole
		union all
		select p.oid::regprocedure || ' belongs to ' || pg_get_userbyid(p.proowner) from pg_proc p
		 where p.pronamespace = 'sweeper'::regnamespace and p.proowner <> 'sweeper_owner'::regrole
		union all
		select c.relname || ' is open to PUBLIC' from pg_class c, aclexplode(c.relacl) a
		 where c.relnamespace = 'sweeper'::regnamespace and a.grantee = 0
		union all
		select 'schema sweeper is open to PUBLIC' from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'sweeper' and a.grantee = 0
		union all
		select rolname || ' may log in' from pg_roles where rolname in ('sweeper_owner', 'sweeper_operator', 'sweeper_auditor') and rolcanlogin
		union all
		select rolname || ' is more than it should be' from pg_roles
		 where rolname ~ '^sweeper_' and (rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication and rolname <> 'sweeper_logger')`) {
		t.Error(o)
	}
}

// The tables of the schema, by who may write what in them. What is not named is
// refused.
var writable = map[string]map[string][]string{
	"sweeper_daemon": {
		"batches": {"insert (fact)"}, "policy_versions": {"insert"},
		"runs": {"insert", "update"}, "policy_counts": {"insert", "update"}, "relations": {"insert", "update"},
		"schedules": {"insert", "update"}, "pace": {"insert", "update"}, "run_waits": {"insert", "update"},
	},
	"sweeper_logger": {
		"purge_log": {"insert"}, "purge_rows": {"insert"}, "purges": {"insert"}, "checkpoints": {"insert"}, "checkpoint_anchors": {"insert"},
		"coverage": {"insert", "update"},
		"log_head": {"insert", "update"}, "log_progress": {"insert", "update"}, "relations": {"insert", "update"},
	},
	"sweeper_operator": {},
	"sweeper_auditor":  {},
	"":                 {},
}

// TestWrites tries every way to write into every table as every role.
func TestWrites(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	tables := texts(t, admin, `select c.relname::text from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p') order by 1`)
	for role, may := range writable {
		conn := login(t, db, "as"+strings.TrimPrefix(role, "sweeper"), role)
		for _, table := range tables {
			column := pgtest.QueryOne[string](t, admin, `select quote_ident(attname) from pg_attribute
				where attrelid = ('sweeper.' || $1::text)::regclass and attnum > 0 and attidentity = '' order by attnum limit 1`, table)
			if table == "batches" {
				column = "fact"
			}
			for verb, sql := range map[string]string{
				"insert":        "insert into sweeper.%s default values",
				"insert (fact)": "insert into sweeper.%s (" + column + ") select null where false",
				"update":        "update sweeper.%s set " + column + " = " + column + " where false",
				"delete":        "delete from sweeper.%s where false",
				"truncate":      "truncate sweeper.%s",
			} {
				if (verb == "insert (fact)") != (table == "batches") && strings.HasPrefix(verb, "insert") {
					continue
				}
				sql = fmt.Sprintf(sql, table)
				if !slices.Contains(may[table], verb) {
					refused(t, conn, "42501", sql)
				} else if verb != "insert" { // default values would break constraints
					exec(t, conn, sql)
				}
			}
		}
	}
}

// TestStampsCannotBeForged: who purges cannot say in which transaction it was.
func TestStampsCannotBeForged(t *testing.T) {
	t.Parallel()
	db := installed(t)
	daemon := db.Conn(t, "sweeper_daemon")
	for _, column := range []string{"xid", "at", "writer"} {
		refused(t, daemon, "42501", fmt.Sprintf(`insert into sweeper.batches (fact, %s) select 'stamp', %[1]s from sweeper.batches`, column))
	}
	refused(t, daemon, "42501", `insert into sweeper.batches (batch_id, fact) overriding system value values (1, 'stamp')`)
	exec(t, daemon, `insert into sweeper.batches (fact) values ('stamp')`)
	for _, sql := range []string{
		`update sweeper.batches set fact = 'report'`, `delete from sweeper.batches`, `truncate sweeper.batches`,
		`select setval('sweeper.batches_batch_id_seq', 1)`, `select nextval('sweeper.batches_batch_id_seq')`,
	} {
		refused(t, daemon, "42501", sql)
	}
	for _, table := range []string{"purge_log", "purge_rows", "purges", "log_head", "log_progress", "batches", "checkpoints", "checkpoint_anchors", "log_prunes"} {
		_, err := daemon.PgConn().CopyFrom(t.Context(), strings.NewReader(""), "copy sweeper."+table+" from stdin")
		refusal(t, err, "42501", "copy into "+table)
	}
	refused(t, daemon, "42501", `set role sweeper_owner`)
	refused(t, daemon, "42501", `create table sweeper.x ()`)
	refused(t, daemon, "42501", `select sweeper.ensure_log_partitions(now())`)
	refused(t, daemon, "42501", `select sweeper.key_hold(1)`)
}

// TestReads: the application sees nothing, the logger no subject, the auditor
// everything and nothing of the application.
func TestReads(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	tables := texts(t, admin, `select c.relname::text from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p', 'v') order by 1`)
	open := map[string]func(table string) bool{
		"":                func(string) bool { return false },
		"sweeper_auditor": func(string) bool { return true },
		"sweeper_operator": func(table string) bool {
			return !slices.Contains([]string{"batches", "hold_keys", "hold_types", "hold_version", "manifest", "operator_log", "policy_versions", "purge_rows", "relations"}, table)
		},
		"sweeper_logger": func(table string) bool {
			return !slices.Contains([]string{"legal_holds", "hold_keys", "hold_types", "hold_version", "manifest", "operator_log", "approvals", "tenant_retention"}, table)
		},
		"sweeper_daemon": func(string) bool { return true },
	}
	for role, may := range open {
		conn := login(t, db, "reads"+strings.TrimPrefix(role, "sweeper"), role)
		for _, table := range tables {
			sql := `select count(*) from sweeper.` + table
			partition := strings.HasPrefix(table, "purge_log_") || strings.HasPrefix(table, "purge_rows_")
			switch {
			case partition && role == "sweeper_daemon": // through the log itself, as everybody does
			case may(table) && (!partition || role == "sweeper_auditor"):
				exec(t, conn, sql)
			default:
				refused(t, conn, "42501", sql)
			}
		}
		if role != "sweeper_daemon" {
			refused(t, conn, "42501", `select from app.people`)
			refused(t, conn, "42501", `delete from app.people`)
		}
	}
	auditor := login(t, db, "audits", "sweeper_auditor")
	if problems := texts(t, auditor, `select problem from sweeper.verify_chain()`); len(problems) != 0 {
		t.Errorf("verify_chain() of a log that has not begun: %q", problems)
	}
	refused(t, auditor, "42501", `select sweeper.apply_hold('x', 'y', 'z')`)
	refused(t, auditor, "42501", `select sweeper.redaction_token('a', '\x00', '\x00')`)
}

// TestExecute lists who may call what, each right once.
func TestExecute(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	got := texts(t, conn, `select substr(g.grantee::regrole::text, 9) || ': ' || string_agg(p.proname, ' ' order by p.proname)
		from pg_proc p, aclexplode(p.proacl) g
		where p.pronamespace = 'sweeper'::regnamespace and g.grantee <> p.proowner group by g.grantee::regrole::text order by 1`)
	want := []string{
		"auditor: leaf_bytes leaf_null leaf_texts lp posture prunable_until prune_digest verify_chain",
		"daemon: apply_hold approve_run clear_tenant_retention detach_partition drop_partition govern is_redaction_token leaf_bytes leaf_null leaf_texts lp posture prunable_until prune_digest redact_json redaction_hmac redaction_token release_hold set_paused set_tenant_retention tidy verify_chain",
		"logger: ensure_log_partitions leaf_bytes leaf_null leaf_texts lp prunable_until prune_digest prune_log verify_chain",
		"operator: apply_hold approve_run clear_tenant_retention posture release_hold set_paused set_tenant_retention",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDaemonReach: of the application's tables the purging role reads the
// columns that it needs and no other.
func TestDaemonReach(t *testing.T) {
	t.Parallel()
	db := installed(t)
	daemon := db.Conn(t, "sweeper_daemon")
	exec(t, daemon, `select id, tenant, ended_at, email from app.people`)
	db.Exec(t, `alter table app.people add secret text`)
	refused(t, daemon, "42501", `select secret from app.people`)
	refused(t, daemon, "42501", `update app.people set tenant = null`)
	refused(t, daemon, "42501", `insert into app.people (id) values (gen_random_uuid())`)
	refused(t, daemon, "42501", `truncate app.people`)
	// sweeper_owner only looks for subjects, to warn of a hold that matches none.
	owner := db.Conn(t, "")
	exec(t, owner, `set role sweeper_owner`)
	exec(t, owner, `select id, tenant from app.people`)
	refused(t, owner, "42501", `select email from app.people`)
	refused(t, owner, "42501", `delete from app.people`)
}

// TestSearchPathIsNoWayIn: what a caller puts before or into his own schemas
// must not change what a definer function reads.
func TestSearchPathIsNoWayIn(t *testing.T) {
	t.Parallel()
	db := installed(t)
	operator := login(t, db, "op", "sweeper_operator")
	for _, sql := range []string{
		`create temp table legal_holds (hold_id bigint)`,
		`create temp table governed (category text, relation regclass)`,
		`create function pg_temp.btrim(text, text) returns text language sql as $$ select 'x' $$`,
		`create function pg_temp.clock_timestamp() returns timestamptz language sql as $$ select 'infinity'::timestamptz $$`,
		`set search_path = pg_temp, public, pg_catalog`,
	} {
		exec(t, operator, sql)
	}
	refused(t, operator, "22023", `select sweeper.apply_hold('x', ' ', 'me')`)
	exec(t, operator, `select sweeper.apply_hold('00000000-0000-0000-0000-00000000000A', 'why', 'me')`)
	admin := db.Conn(t, "")
	if n := heldBy(t, admin, "people"); n != 1 {
		t.Errorf("%d rows are held, want 1", n)
	}
}

// heldBy counts the rows of a category's table that are held, by the condition
// that drop_partition uses.
func heldBy(t *testing.T, conn *pgx.Conn, category string) int {
	t.Helper()
	sql := pgtest.QueryOne[string](t, conn, `select format('select count(*) from %s t where %s', relation,
		sweeper.held_condition(relation, category, subject_column, tenant_column)) from sweeper.governed where category = $1`, category)
	return pgtest.QueryOne[int](t, conn, sql)
}
