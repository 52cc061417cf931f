package purge_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// overlapping are rows of which the first letter says who wants them, the rest
// which of two starts is long ago: A by at, B by closed, n a NULL start.
const overlapping = `create schema app; create table app.events (id text primary key, at timestamptz, closed timestamptz, status text, who text, note text);
	insert into app.events
	select s || a || c, case a when 'A' then '2015-01-01'::timestamptz when 'a' then '2025-12-01' end, case c when 'B' then '2015-01-01'::timestamptz when 'b' then '2025-12-01' end,
	       case s when 'x' then 'open' when 'y' then 'closed' end, 'u', 'note'
	  from unnest('{x,y,z}'::text[]) s, unnest('{A,a,n}'::text[]) a, unnest('{B,b,n}'::text[]) c`

// TestOverlap has two categories over one table: a row goes when each that has
// it lets it go, and nothing else keeps it.
func TestOverlap(t *testing.T) {
	t.Parallel()
	const (
		head   = "version: 1\ncategories:\n"
		byAt   = "  a: {table: app.events, start_from: at, delete: {after: P5Y}}\n"
		closed = "where: [{column: status, op: eq, value: closed}]"
		all    = "xAB xAb xAn xaB xab xan xnB xnb xnn yAB yAb yAn yaB yab yan ynB ynb ynn zAB zAb zAn zaB zab zan znB znb znn"
	)
	for name, c := range map[string]struct{ policies, left string }{
		"one":              {byAt, "xaB xab xan xnB xnb xnn yaB yab yan ynB ynb ynn zaB zab zan znB znb znn"},
		"disjoint":         {"  a: {table: app.events, start_from: at, where: [{column: status, op: eq, value: open}], delete: {after: P5Y}}\n  b: {table: app.events, start_from: closed, " + closed + ", delete: {after: P5Y}}\n", "xaB xab xan xnB xnb xnn yAb yAn yab yan ynb ynn zAB zAb zAn zaB zab zan znB znb znn"},
		"both":             {byAt + "  b: {table: app.events, start_from: closed, delete: {after: P5Y}}\n", "xAb xAn xaB xab xan xnB xnb xnn yAb yAn yaB yab yan ynB ynb ynn zAb zAn zaB zab zan znB znb znn"},
		"in part":          {byAt + "  b: {table: app.events, start_from: closed, " + closed + ", delete: {after: P5Y}}\n", "xaB xab xan xnB xnb xnn yAb yAn yaB yab yan ynB ynb ynn zaB zab zan znB znb znn"},
		"the longer wins":  {byAt + "  b: {table: app.events, start_from: at, delete: {after: P20Y}}\n", all},
		"for ever":         {byAt + "  b: {table: app.events, " + closed + ", start_from: at, redact: {after: P9Y, columns: {note: zero}}, delete: {after: unlimited}}\n", "xaB xab xan xnB xnb xnn yAB yAb yAn yaB yab yan ynB ynb ynn zaB zab zan znB znb znn"},
		"an observer":      {byAt + "  b: {table: app.events, start_from: at, mode: observe, delete: {after: P20Y}}\n", all},
		"disabled":         {byAt + "  b: {table: app.events, start_from: at, enabled: false, delete: {after: P20Y}}\n", "xaB xab xan xnB xnb xnn yaB yab yan ynB ynb ynn zaB zab zan znB znb znn"},
		"redacts only":     {byAt + "  b: {table: app.events, start_from: at, redact: {after: P1Y, columns: {note: zero}}}\n", "xaB xab xan xnB xnb xnn yaB yab yan ynB ynb ynn zaB zab zan znB znb znn"},
		"NULL in where":    {"  a: {table: app.events, start_from: at, where: [{column: status, op: ne, value: closed}], delete: {after: P5Y}}\n", "xaB xab xan xnB xnb xnn yAB yAb yAn yaB yab yan ynB ynb ynn zAB zAb zAn zaB zab zan znB znb znn"},
		"NULL and not in":  {"  a: {table: app.events, start_from: at, where: [{column: status, op: not_in, value: [closed, lost]}], delete: {after: P5Y}}\n", "xaB xab xan xnB xnb xnn yAB yAb yAn yaB yab yan ynB ynb ynn zAB zAb zAn zaB zab zan znB znb znn"},
		"is NULL":          {"  a: {table: app.events, start_from: at, where: [{column: status, op: is_null}], delete: {after: P5Y}}\n", "xAB xAb xAn xaB xab xan xnB xnb xnn yAB yAb yAn yaB yab yan ynB ynb ynn zaB zab zan znB znb znn"},
		"both, by another": {"  a: {table: app.events, start_from: at, where: [{column: status, op: ne, value: open}], delete: {after: P5Y}}\n  b: {table: app.events, start_from: closed, where: [{column: status, op: not_null}], delete: {after: P5Y}}\n", "xAb xAn xab xan xnb xnn yAb yAn yaB yab yan ynB ynb ynn zAB zAb zAn zaB zab zan znB znb znn"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, overlapping, head+c.policies)
			for category, o := range b.run(t, in2026) {
				if o.State != purge.Succeeded && o.State != purge.Observed {
					t.Errorf("%s: %+v", category, o)
				}
			}
			if got := b.text(t, `select string_agg(id, ' ' order by id collate "C") from app.events`); got != c.left {
				t.Errorf("left are\n%s\nwant\n%s", got, c.left)
			}
		})
	}
}

// TestRedactionUnderAnother has rows that one category would delete and redact
// and another keeps, for its own start is NULL or late: they are redacted, once.
func TestRedactionUnderAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, overlapping, `version: 1
categories:
  a: {table: app.events, start_from: at, redact: {after: P1Y, columns: {note: "null"}}, delete: {after: P5Y}}
  b: {table: app.events, start_from: closed, delete: {after: P5Y}}
`)
	b.db.Exec(t, `update app.events set who = 'held' where id in ('xAb', 'xAB', 'yAn')`)
	b.policies(t, `version: 1
categories:
  a: {table: app.events, subject: who, start_from: at, redact: {after: P1Y, columns: {note: "null"}}, delete: {after: P5Y}}
  b: {table: app.events, subject: who, start_from: closed, delete: {after: P5Y}}
`)
	b.install(t)
	b.db.Exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
	o := b.run(t, in2026)
	if a := o["a"]; a.State != purge.Succeeded || a.Redacted != 4 || a.Deleted+o["b"].Deleted != 2 || a.Held != 3 {
		t.Errorf("a: %+v", a)
	}
	if got := b.text(t, `select string_agg(id, ' ' order by id collate "C") from app.events where note is null`); got != "yAb zAb zAn xAn" && got != "xAn yAb zAb zAn" {
		t.Errorf("redacted are %s", got)
	}
	if again := b.run(t, in2026)["a"]; again.Redacted != 0 {
		t.Errorf("again: %+v", again)
	}
}
