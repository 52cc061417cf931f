package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A leaf's bounds are read as the server prints them. The session's settings
// are pinned, so the text of a bound is the same everywhere.
var leavesSQL = `
select r.oid, c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), t.parentrelid = r.oid, c.relkind::text, c.relpersistence::text,
       coalesce(b.bound = 'DEFAULT', false),
       coalesce(substring(b.bound from 'FROM \(''([^'']*)''\)'), substring(b.bound from 'FROM \((\d+)\)'), ''),
       coalesce(substring(b.bound from 'TO \(''([^'']*)''\)'), substring(b.bound from 'TO \((\d+)\)'), ''),
       c.relreplident::text,
       array(select a.attname::text from pg_index i cross join unnest(i.indkey::int[]) with ordinality k(attnum, n)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
              where i.indrelid = c.oid and k.n <= i.indnkeyatts and i.indimmediate and i.indisvalid
                and case c.relreplident when 'i' then i.indisreplident when 'n' then false else i.indisprimary end
              order by k.n),
       exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 8 = 8),
       coalesce((select pg_has_role(o.oid, c.relowner, 'usage') from pg_roles o where o.rolname = 'sweeper_owner'), false),
       pg_get_userbyid(c.relowner)
  from pg_class r
 cross join lateral (` + treeSQL("r.oid") + `) t
  join pg_class c on c.oid = t.relid
  join pg_namespace n on n.oid = c.relnamespace
 cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bound offset 0) b
 where r.oid = any($1) and r.relkind = 'p' and c.relkind <> 'p'
 order by r.oid, 10, n.nspname, c.relname`

func readLeaves(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "partitions", leavesSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var l Leaf
		if err := row.Scan(&oid, &l.OID, &l.Name.Schema, &l.Name.Relation, &l.Text, &l.Direct, &l.Kind, &l.Persistence, &l.Default, &l.Lower, &l.Upper,
			&l.Identity, &l.IdentityColumns, &l.DeleteTriggers, &l.OwnerMember, &l.Owner); err != nil {
			return err
		}
		tables[oid].Leaves = append(tables[oid].Leaves, l)
		return nil
	})
}
