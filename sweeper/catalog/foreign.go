package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Both read the topmost constraint: PostgreSQL repeats one on a partitioned
// table for every partition. One may also point at a partition alone. The
// comparison is the constraint's own operator, under the referenced column's
// collation where the two differ.
var (
	foreignKeySQL = `k.conname, n.nspname, c.relname, rn.nspname, rc.relname, k.confdeltype::text,
       array(select a.attname::text from unnest(k.conkey) with ordinality x(attnum, n) join pg_attribute a on a.attrelid = k.conrelid and a.attnum = x.attnum order by x.n),
       array(select a.attname::text from unnest(k.confkey) with ordinality x(attnum, n) join pg_attribute a on a.attrelid = k.confrelid and a.attnum = x.attnum order by x.n),
       array(select case when s.nspname = 'pg_catalog' then o.oprname::text else format('OPERATOR(%I.%s)', s.nspname, o.oprname) end
               from unnest(k.conpfeqop) with ordinality x(op, n) join pg_operator o on o.oid = x.op join pg_namespace s on s.oid = o.oprnamespace order by x.n),
       array(select case when p.attcollation <> 0 and p.attcollation <> f.attcollation then format('%I.%I', s.nspname, l.collname) else '' end
               from unnest(k.conkey, k.confkey) with ordinality x(own, other, n)
               join pg_attribute f on f.attrelid = k.conrelid and f.attnum = x.own
               join pg_attribute p on p.attrelid = k.confrelid and p.attnum = x.other
               left join pg_collation l on l.oid = p.attcollation left join pg_namespace s on s.oid = l.collnamespace order by x.n),
       exists (select from pg_index i where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
                 and (select array_agg(x order by x) from unnest(k.conkey) x)
                   = (select array_agg(x order by x) from unnest((i.indkey::smallint[])[0:cardinality(k.conkey) - 1]) x))`
	// Up to PostgreSQL 17 every foreign key is enforced, and the column absent.
	enforcedSQL     = ` and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)`
	foreignTableSQL = `
  join pg_namespace n on n.oid = c.relnamespace
  join pg_class rc on rc.oid = coalesce(pg_partition_root(c.oid), c.oid)
  join pg_namespace rn on rn.oid = rc.relnamespace`

	referencingSQL = `
select r.oid, case when t.isleaf and t.relid <> r.oid then t.relid else 0 end, ` + foreignKeySQL + `
  from unnest($1::oid[]) r(oid)
 cross join lateral (select r.oid as relid, false as isleaf union select p.relid, x.relkind <> 'p' from (` + treeSQL("r.oid") + `) p join pg_class x on x.oid = p.relid) t
  join pg_constraint k on k.confrelid = t.relid and k.contype = 'f' and k.conparentid = 0` + enforcedSQL + `
  join pg_class c on c.oid = k.conrelid` + foreignTableSQL + `
 order by r.oid, n.nspname, c.relname, k.conname`

	referencesSQL = `
select k.conrelid, 0::oid, ` + foreignKeySQL + `
  from pg_constraint k
  join pg_class c on c.oid = k.confrelid` + foreignTableSQL + `
 where k.conrelid = any($1) and k.contype = 'f' and k.conparentid = 0` + enforcedSQL + `
 order by k.conrelid, k.conname`
)

func readReferencing(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return readForeignKeys(ctx, q, referencingSQL, oids, func(oid uint32, f ForeignKey) {
		tables[oid].Referencing = append(tables[oid].Referencing, f)
	})
}

func readReferences(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return readForeignKeys(ctx, q, referencesSQL, oids, func(oid uint32, f ForeignKey) {
		tables[oid].References = append(tables[oid].References, f)
	})
}

func readForeignKeys(ctx context.Context, q Querier, sql string, oids []uint32, add func(uint32, ForeignKey)) error {
	return each(ctx, q, "foreign keys", sql, oids, func(row pgx.Rows) error {
		var oid uint32
		var f ForeignKey
		if err := row.Scan(&oid, &f.Leaf, &f.Constraint, &f.Table.Schema, &f.Table.Relation, &f.Root.Schema, &f.Root.Relation, &f.OnDelete,
			&f.Columns, &f.Parents, &f.Equal, &f.Collate, &f.Indexed); err != nil {
			return err
		}
		add(oid, f)
		return nil
	})
}
