package catalog

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// fewLeaves is up to how many leaves of a table have their files looked at: of
// thousands that takes longer than everything else here.
const fewLeaves = "100"

// A leaf's bounds are read as the server prints them. The session's settings
// are pinned, so the text of a bound is the same everywhere. The leaves are
// found first: the planner would rather print the bounds of all there is.
var leavesSQL = `
with recursive tree(root, relid, parentrelid) as (
    select r.oid, i.inhrelid, i.inhparent
      from pg_class r join pg_inherits i on i.inhparent = r.oid and not i.inhdetachpending
     where r.oid = any($1) and r.relkind = 'p'
    union all
    select t.root, i.inhrelid, i.inhparent from tree t join pg_inherits i on i.inhparent = t.relid and not i.inhdetachpending),
leaf as materialized (
    select t.root, t.parentrelid, n.nspname, c.oid, c.relname, c.relkind, c.relpersistence, c.relpartbound, c.relreplident, c.relowner, c.relpages, c.reltuples,
           count(*) over (partition by t.root) <= ` + fewLeaves + ` as few
      from tree t join pg_class c on c.oid = t.relid join pg_namespace n on n.oid = c.relnamespace
     where c.relkind <> 'p')
select c.root, c.oid, c.nspname, c.relname, format('%I.%I', c.nspname, c.relname), c.parentrelid = c.root, c.relkind::text, c.relpersistence::text,
       coalesce(pg_get_expr(c.relpartbound, 0), ''),
       c.relreplident::text,
       coalesce((select array_agg(a.attname::text order by array_position(k.columns, a.attnum)) from pg_attribute a
                  where a.attrelid = c.oid and a.attnum = any(k.columns)), '{}'),
       c.oid in (select g.tgrelid from pg_trigger g where not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 8 = 8),
       coalesce(pg_has_role((select o.oid from pg_roles o where o.rolname = 'sweeper_owner'), c.relowner, 'usage'), false),
       pg_get_userbyid(c.relowner),
       ` + sizeSQL(`case when c.few then pg_relation_size(c.oid) when c.reltuples >= 0 then c.relpages::bigint * current_setting('block_size')::int end`) + `
  from leaf c
  left join (select i.indrelid, i.indisprimary, i.indisreplident, (i.indkey::int2[])[0:i.indnkeyatts - 1] as columns
               from pg_index i where i.indimmediate and i.indisvalid and (i.indisprimary or i.indisreplident)) k
    on k.indrelid = c.oid and case c.relreplident when 'i' then k.indisreplident when 'n' then false else k.indisprimary end
 order by c.root, c.nspname, c.relname`

// lower and upper find the bounds of a partition by a single column. Those of
// small integers stand without quotes.
var (
	lower = regexp.MustCompile(`FROM \((?:'([^']*)'|(-?\d+))\)`)
	upper = regexp.MustCompile(`TO \((?:'([^']*)'|(-?\d+))\)`)
)

func bound(of *regexp.Regexp, text string) string {
	if found := of.FindStringSubmatch(text); found != nil {
		return found[1] + found[2]
	}
	return ""
}

// readLeaves gives them in the order of their lower bounds as texts.
func readLeaves(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	unknown := map[uint32]int64{} // leaves of which nothing tells how many rows they have
	err := each(ctx, q, "partitions", leavesSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var bounds string
		var l Leaf
		if err := row.Scan(&oid, &l.OID, &l.Name.Schema, &l.Name.Relation, &l.Text, &l.Direct, &l.Kind, &l.Persistence, &bounds,
			&l.Identity, &l.IdentityColumns, &l.DeleteTriggers, &l.OwnerMember, &l.Owner, &l.Bytes, &l.Rows); err != nil {
			return err
		}
		l.Default, l.Lower, l.Upper = bounds == "DEFAULT", bound(lower, bounds), bound(upper, bounds)
		if l.Rows < 0 {
			unknown[oid]++
		}
		t := tables[oid]
		t.Leaves, t.Rows, t.Bytes = append(t.Leaves, l), t.Rows+max(l.Rows, 0), t.Bytes+l.Bytes
		return nil
	})
	for oid, n := range unknown {
		t := tables[oid]
		t.Rows += t.Rows * n / max(1, int64(len(t.Leaves))-n)
	}
	for _, t := range tables {
		slices.SortStableFunc(t.Leaves, func(a, b Leaf) int { return strings.Compare(a.Lower, b.Lower) })
	}
	return err
}
