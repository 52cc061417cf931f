package sweeper_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// witnessed counts what an independent reader saw of each table of schema app,
// as "kids DELETE 3, people UPDATE 1".
func witnessed(t *testing.T, truth *pgtest.Witness) string {
	t.Helper()
	counts := map[string]int{}
	for _, line := range truth.Changes(t) {
		if rest, ok := strings.CutPrefix(line, "table app."); ok {
			table, rest, _ := strings.Cut(rest, ": ")
			command, _, _ := strings.Cut(rest, ":")
			counts[table+" "+command]++
		}
	}
	var all []string
	for what, n := range counts {
		all = append(all, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// logged is the same as the purge log has it.
func (b *bundle) logged(t *testing.T) string {
	t.Helper()
	return b.text(t, `select string_agg(what || ' ' || n, ', ' order by what collate "C") from (
		select replace(relation, 'app.', '') || ' ' || case kind when 'redact' then 'UPDATE' else upper(kind) end as what, sum(row_count) as n
		  from sweeper.purge_log where kind in ('delete', 'redact') group by 1) l`)
}

// TestChildren has every action with every disposition of the parent, with and
// without a foreign key, and sweeps twice: the log, the run and another reader of
// the write-ahead log agree, and the second sweep touches nothing.
func TestChildren(t *testing.T) {
	t.Parallel()
	const parents = `create schema app; create table app.people (id int, org text, at timestamptz, name text, primary key (org, id)); create index on app.people (at);
		insert into app.people select i, 'o', '2015-01-01', 'n' || i from generate_series(1, 40) i; insert into app.people select i, 'o', now(), 'n' || i from generate_series(41, 50) i;`
	const kids = `create table app.kids (id int primary key, parent int, org text, mail text, note text %s); create index on app.kids (parent);
		insert into app.kids select i, 1 + i %% 50, 'o', 'm' || i, 'x' from generate_series(0, 499) i;
		insert into app.kids values (1000, null, 'o', 'm', 'x'), (1001, 1, null, 'm', 'x')`
	both := func(of, extra string) string {
		return fmt.Sprintf("[{table: app.kids, match: {parent: id, org: org}, on: %s%s}]", of, extra)
	}
	for name, c := range map[string]struct {
		key, category, want, left string
		deleted, redacted         int64
	}{
		"deleted, restrict": {
			", foreign key (parent, org) references app.people (id, org)", "delete: {after: P5Y}\n    children: " + both("delete", ""),
			"kids DELETE 400, people DELETE 40", "10 102 102", 40, 0,
		},
		"deleted, cascade": {
			", foreign key (parent, org) references app.people (id, org) on delete cascade", "delete: {after: P5Y}\n    children: " + both("delete", ", action: delete"),
			"kids DELETE 400, people DELETE 40", "10 102 102", 40, 0,
		},
		"deleted, no key": {"", "delete: {after: P5Y}\n    children: " + both("delete", ""), "kids DELETE 400, people DELETE 40", "10 102 102", 40, 0},
		"nullified, set null": {
			", foreign key (parent, org) references app.people (id, org) on delete set null", "delete: {after: P5Y}\n    children: " + both("delete", ", action: nullify"),
			"kids UPDATE 400, people DELETE 40", "10 502 502", 40, 0,
		},
		"nullified, no key": {"", "delete: {after: P5Y}\n    children: " + both("delete", ", action: nullify"), "kids UPDATE 400, people DELETE 40", "10 502 502", 40, 0},
		"redacted with a deletion": {
			"", "delete: {after: P5Y}\n    children: " + both("delete", `, action: redact, columns: {mail: "null", note: {hmac: "r-%s"}}`),
			"kids UPDATE 400, people DELETE 40", "10 502 102", 40, 0,
		},
		"kept": {"", "delete: {after: P5Y}\n    children: " + both("delete", ", action: keep"), "people DELETE 40", "10 502 502", 40, 0},
		"redacted with a redaction": {
			", foreign key (parent, org) references app.people (id, org)", `redact: {after: P1Y, columns: {name: "null"}}` + "\n    children: " + both("redact", `, action: redact, columns: {mail: "null"}, set: {note: gone}`),
			"kids UPDATE 400, people UPDATE 40", "50 502 102", 0, 40,
		},
		"deleted with a redaction": {
			", foreign key (parent, org) references app.people (id, org)", `redact: {after: P1Y, columns: {name: zero}}` + "\n    children: " + both("redact", ""),
			"kids DELETE 400, people UPDATE 40", "50 102 102", 0, 40,
		},
		"nullified with a redaction": {"", `redact: {after: P1Y, columns: {name: zero}}` + "\n    children: " + both("redact", ", action: nullify"), "kids UPDATE 400, people UPDATE 40", "50 502 502", 0, 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unique := ""
			if c.key != "" {
				unique = "alter table app.people add unique (id, org);"
			}
			b := setup(t, parents+unique+fmt.Sprintf(kids, c.key), "version: 1\ncategories:\n  people:\n    table: app.people\n    tenant: org\n    start_from: at\n    "+c.category+"\n", "SWEEPER_BATCH_ROWS=100")
			truth := pgtest.Truth(t, b.db)
			for i := range 2 {
				o := b.sweep(t)["people"]
				if i > 0 {
					c.deleted, c.redacted = 0, 0
				}
				children := int64(400)
				if strings.HasPrefix(name, "kept") || i > 0 {
					children = 0
				}
				if o.State != purge.Succeeded || o.Deleted != c.deleted || o.Redacted != c.redacted || o.Children != children || o.Remaining != 0 {
					t.Errorf("sweep %d: %+v", i, o)
				}
				if got := witnessed(t, truth); got != c.want {
					t.Errorf("sweep %d: another reader saw %s, want %s", i, got, c.want)
				}
				if got := b.logged(t); got != c.want {
					t.Errorf("sweep %d: the log has %s, want %s", i, got, c.want)
				}
			}
			if got := b.text(t, `select (select count(*) from app.people) || ' ' || count(*) || ' ' || count(mail) from app.kids`); got != c.left {
				t.Errorf("left are %s, want %s", got, c.left)
			}
			if got := b.text(t, `select string_agg(distinct coalesce(tenant, 'none'), ' ') from sweeper.purges where rows_deleted + rows_redacted > 0`); got != "o" {
				t.Errorf("the purges name the tenants %s", got)
			}
			orphans := `select count(*) from app.kids k where parent is not null and org is not null and not exists (select from app.people p where p.id = k.parent)`
			if got := b.text(t, orphans); (got == "0") != (!strings.HasPrefix(name, "kept") && name != "redacted with a deletion") {
				t.Errorf("%s children have no parent", got)
			}
			columns := b.text(t, `select string_agg(distinct array_to_string(columns, ','), ' ') from sweeper.purge_log where relation = 'app.kids' and kind = 'redact'`)
			want := map[string]string{"nullified": "parent,org", "redacted with a deletion": "mail,note", "redacted with a redaction": "mail,note"}
			if w, ok := want[name]; ok && columns != w || strings.HasPrefix(name, "nullified") && columns != want["nullified"] {
				t.Errorf("the log has the columns %s", columns)
			}
		})
	}
}
