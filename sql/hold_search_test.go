package sql_test

import (
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestHoldDoesNotSearchForMinutes has a governed table that is large and has no
// index on its subject: whether the hold matches a row there is not looked up,
// and that is said. An index, or a small table, lets it be told.
func TestHoldDoesNotSearchForMinutes(t *testing.T) {
	t.Parallel()
	// One row fills a page: 9000 pages are more than 64 MiB.
	const fill = `insert into app.big select i, 'u' || i, 't', repeat('x', 1000) from generate_series(1, 9000) i; grant select on app.big to sweeper_owner`
	for name, ddl := range map[string]string{
		"table":       `create table app.big (id int primary key, who text, tenant text, rest text) with (fillfactor = 10);` + fill,
		"partitioned": `create table app.big (id int primary key, who text, tenant text, rest text) partition by range (id); create table app.big1 partition of app.big for values from (0) to (5000) with (fillfactor = 10); create table app.big2 partition of app.big default with (fillfactor = 10);` + fill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := installed(t)
			admin := db.Conn(t, "")
			db.Exec(t, ddl)
			govern(t, admin, map[string]any{"category": "big", "relation_name": "app.big", "subject_column": "who", "tenant_column": "tenant"})
			operator, heard := hearing(t, db, login(t, db, "op", "sweeper_operator").Config().User)
			warned := func(what, call, want string) {
				t.Helper()
				reads := `select coalesce(sum(seq_tup_read), 0) from pg_stat_xact_user_tables where relname like 'big%'`
				exec(t, operator, `begin`)
				exec(t, operator, `select sweeper.apply_hold(`+call+`)`)
				got := strings.Join(heard(), "; ")
				if read := pgtest.QueryOne[int](t, operator, reads); want == "cannot be told" && read > 10 { // earlier calls of the session have read a first row
					t.Errorf("%s: %d rows were read", what, read)
				}
				exec(t, operator, `rollback`)
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", what, got, want)
				}
			}
			warned("no index, no row", `'nobody', 'r', 'a'`, "cannot be told")
			warned("no index, a row", `'u7', 'r', 'a'`, "cannot be told")
			warned("no index on the tenant", `null, 'r', 'a', tenant => 'nobody'`, "cannot be told")
			warned("the whole category", `null, 'r', 'a', category => 'big'`, "")
			exec(t, admin, `create index on app.big (who) where id > 7`)
			warned("an index of a part", `'nobody', 'r', 'a'`, "cannot be told")
			exec(t, admin, `create index on app.big (id, who)`)
			warned("an index that begins otherwise", `'nobody', 'r', 'a'`, "cannot be told")
			exec(t, admin, `create index on app.big (who); create index on app.big using hash (tenant); analyze app.big`)
			warned("an index, no row", `'nobody', 'r', 'a'`, "matches no row")
			warned("an index, a row", `'u7', 'r', 'a'`, "")
			warned("an index, a row of the tenant's", `'u7', 'r', 'a', tenant => 't'`, "")
			warned("an index on the tenant", `null, 'r', 'a', tenant => 'nobody'`, "matches no row")
			exec(t, admin, `drop index app.big_who_idx1; drop index app.big_tenant_idx; truncate app.big; insert into app.big select i, 'u' || i, 't' from generate_series(1, 10) i`)
			warned("a small table", `'nobody', 'r', 'a'`, "matches no row")
			warned("a small table, a row", `'u7', 'r', 'a'`, "")
		})
	}
}
