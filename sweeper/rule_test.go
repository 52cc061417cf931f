package sweeper_test

import (
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestRules has tables with rules beside a delete or an update, on which the
// server takes no statement inside of WITH: each row goes once, the rule sees it
// go, and log, run and tenants agree with another reader. A trigger keeps one row of
// each, which nobody may report; of that the rule cannot know.
func TestRules(t *testing.T) {
	t.Parallel()
	const table = `create schema app; create table app.audit (id int, what text);
		create table app.people (id int primary key, org text, at timestamptz, who text, mail text);
		insert into app.people select i, case when i % 7 = 0 then null else 'o' || i % 3 end, '2015-01-01'::timestamptz + i * interval '1 hour', 'u' || i, 'm' from generate_series(1, 1000) i;
		insert into app.people select i, 'o1', now(), 'u' || i, 'm' from generate_series(1001, 1010) i;
		create function app.keep() returns trigger language plpgsql as $$ begin return null; end $$;
		create trigger keep before delete or update on app.people for each row when (old.id = 10) execute function app.keep();
		create table app.kids (id int primary key, person int, mail text); create index on app.kids (person);
		insert into app.kids select i, 1 + i % 1010, 'k' from generate_series(1, 3000) i;`
	const parted = `create schema app; create table app.audit (id int, what text);
		create table app.people (id int, org text, at timestamptz, who text, mail text, primary key (id, at)) partition by range (at);
		create table app.p1 partition of app.people for values from (minvalue) to ('2015-01-21'); create table app.p2 partition of app.people for values from ('2015-01-21') to ('2020-01-01'); create table app.p3 partition of app.people default;
		insert into app.people select i, case when i % 7 = 0 then null else 'o' || i % 3 end, '2015-01-01'::timestamptz + i * interval '1 hour', 'u' || i, 'm' from generate_series(1, 1000) i;
		create function app.keep() returns trigger language plpgsql as $$ begin return null; end $$;
		create trigger keep before delete or update on app.p1 for each row when (old.id = 10) execute function app.keep();`
	const policies = "version: 1\ncategories:\n  people:\n    table: app.people\n    subject: who\n    tenant: org\n    start_from: at\n"
	const onDelete = `create rule audit as on delete to app.people do also insert into app.audit values (old.id, 'gone');`
	const onUpdate = `create rule audit as on update to app.people do also insert into app.audit values (old.id, old.mail || ' is ' || coalesce(new.mail, 'NULL'));`
	for name, c := range map[string]struct {
		ddl, category, want, audit string
	}{
		"delete":    {table + onDelete, "    delete: {after: P5Y}\n", "people DELETE 998", "gone 999"},
		"by index":  {table + onDelete + `create index on app.people (at);`, "    delete: {after: P5Y}\n", "people DELETE 998", "gone 999"},
		"of some":   {table + `create rule audit as on delete to app.people where old.id > 500 do also insert into app.audit values (old.id, 'gone');`, "    delete: {after: P5Y}\n", "people DELETE 998", "gone 500"},
		"several":   {table + onDelete + `create rule note as on delete to app.people do also (notify gone; update app.audit set what = 'twice' where id = old.id);`, "    delete: {after: P5Y}\n", "people DELETE 998", "twice 999"},
		"redact":    {table + onUpdate, "    redact: {after: P5Y, columns: {mail: \"null\"}}\n", "people UPDATE 998", "m is NULL 999"},
		"partition": {parted + onDelete, "    delete: {after: P5Y}\n", "p1 DELETE 477, p2 DELETE 521", "gone 999"},
		"unlike":    {table + onUpdate + `create rule other as on insert to app.people do instead nothing; create rule off as on delete to app.people do instead nothing; alter table app.people disable rule off;`, "    delete: {after: P5Y}\n", "people DELETE 998", ""},
		"parent and children": {
			table + onDelete + `create rule kid as on delete to app.kids do also insert into app.audit values (old.id, 'kid');`,
			"    delete: {after: P5Y}\n    children: [{table: app.kids, match: {person: id}}]\n", "kids DELETE 2977, people DELETE 998", "gone 999, kid 2977",
		},
		"children alone": {
			table + `create rule kid as on update to app.kids do also insert into app.audit values (old.id, coalesce(new.person, 0)::text);`,
			"    delete: {after: P5Y}\n    children: [{table: app.kids, match: {person: id}, action: nullify}]\n", "kids UPDATE 2977, people DELETE 998", "0 2977",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.ddl, policies+c.category, "SWEEPER_BATCH_ROWS=150")
			b.db.Exec(t, `select sweeper.apply_hold('u20', 'case', 'test')`)
			truth := pgtest.Truth(t, b.db)
			for i := range 2 {
				o := b.sweep(t)["people"]
				purged, children := int64(998*(1-i)), int64(0)
				if strings.Contains(name, "children") {
					children = int64(2977 * (1 - i))
				}
				if o.State != purge.Partial || o.Deleted+o.Redacted != purged || o.Children != children || o.Held != 1 || o.Remaining != 1 {
					t.Errorf("sweep %d: %+v", i, o)
				}
				if got := witnessed(t, truth); !strings.Contains(got, c.want) {
					t.Errorf("sweep %d: another reader saw %s, want %s", i, got, c.want)
				}
				if got, want := b.logged(t), strings.Replace(c.want, "p1 DELETE 477, p2 DELETE 521", "people DELETE 998", 1); got != want {
					t.Errorf("sweep %d: the log has %s, want %s", i, got, want)
				}
			}
			if got := b.text(t, `select string_agg(what || ' ' || n, ', ' order by what) from (select what, count(*) as n from app.audit group by 1) a`); got != c.audit {
				t.Errorf("the rule saw %s, want %s", got, c.audit)
			}
			if got := b.text(t, `select string_agg(tenant || ' ' || rows_deleted + rows_redacted, ', ' order by tenant) from (select coalesce(tenant, 'none') as tenant, sum(rows_deleted) as rows_deleted, sum(rows_redacted) as rows_redacted from sweeper.purges where rows_deleted + rows_redacted > 0 group by 1) p`); !strings.Contains(name, "children") && got != "none 142, o0 286, o1 285, o2 285" {
				t.Errorf("the purges have %s", got)
			}
		})
	}
}
