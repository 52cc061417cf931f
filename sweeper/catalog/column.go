package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// base follows domains down to what they are made of, and collects the length
// and the NOT NULL on the way. equal has the types with an equality of their
// own, or of a type that theirs is read as without a conversion.
const columnsSQL = `
with recursive base(typ, root, typmod, required) as (
    select t.oid, t.oid, -1, false from pg_type t where t.oid in (select a.atttypid from pg_attribute a where a.attrelid = any($1))
    union all
    select b.typ, t.typbasetype, case when b.typmod < 0 then t.typtypmod else b.typmod end, b.required or t.typnotnull
      from base b join pg_type t on t.oid = b.root where t.typtype = 'd'),
own as (
    select c.opcintype as type, min(n.nspname) as schema, bool_or(m.amname = 'btree') as ordered
      from pg_opclass c
      join pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
      join pg_amop o on o.amopfamily = c.opcfamily and o.amoplefttype = c.opcintype and o.amoprighttype = c.opcintype
                    and o.amopstrategy = case m.amname when 'btree' then 3 else 1 end
      join pg_operator p on p.oid = o.amopopr
      join pg_namespace n on n.oid = p.oprnamespace
     where c.opcdefault
     group by 1),
equal as (
    select type, schema, ordered from own
    union all
    select k.castsource, min(o.schema), bool_or(o.ordered)
      from pg_cast k join own o on o.type = k.casttarget
     where k.castmethod = 'b' and k.castcontext = 'i' and not exists (select from own x where x.type = k.castsource)
     group by 1
    union all
    select t.oid, 'pg_catalog', true from pg_type t where t.typtype in ('e', 'r', 'm')),
arrays as (
    select t.oid as type, 'pg_catalog' as schema, bool_or(e.ordered) as ordered
      from pg_type t join pg_type l on l.oid = t.typelem join equal e on e.type in (l.oid, l.typbasetype)
     where t.typcategory = 'A' and t.oid in (select root from base)
     group by 1)
select a.attrelid, a.attname, a.attnum, format_type(a.atttypid, -1), format_type(a.atttypid, a.atttypmod),
       format_type(t.oid, case when a.atttypmod < 0 then b.typmod else a.atttypmod end), format_type(t.oid, -1), a.atttypid,
       case when n.nspname = 'pg_catalog' then t.typname
            when t.typname = 'citext' and exists (select from pg_depend d join pg_extension x on x.oid = d.refobjid and x.extname = 'citext'
                                                   where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e') then t.typname
            else n.nspname || '.' || t.typname end,
       t.typcategory::text,
       case when n.nspname <> 'pg_catalog' then 0
            when t.typname in ('varchar', 'bpchar') then greatest(case when a.atttypmod < 0 then b.typmod else a.atttypmod end - 4, 0)
            when t.typname = 'name' then 63 when t.typname = 'char' then 1 else 0 end,
       a.attnotnull or b.required, a.attgenerated <> '' or a.attidentity = 'a',
       case when a.attgenerated = '' then '{}' else
           array(select s.attname::text from pg_depend d join pg_attribute s on s.attrelid = a.attrelid and s.attnum = d.refobjsubid
                  where d.classid = any('{pg_class,pg_attrdef}'::regclass[]) and d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid
                    and d.refobjsubid not in (0, a.attnum)
                    and (d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum
                         or d.classid = 'pg_attrdef'::regclass and d.objid in (select f.oid from pg_attrdef f where f.adrelid = a.attrelid and f.adnum = a.attnum))
                  order by 1) end,
       coalesce(e.schema, r.schema, ''), coalesce(e.ordered, r.ordered, false),
       n.nspname = 'pg_catalog' and (t.typname in ('int2', 'int4', 'int8', 'uuid')
         or t.typname in ('text', 'varchar') and (select l.collisdeterministic from pg_collation l where l.oid = a.attcollation))
  from pg_attribute a
  join base b on b.typ = a.atttypid
  join pg_type t on t.oid = b.root and t.typtype <> 'd'
  join pg_namespace n on n.oid = t.typnamespace
  left join equal e on e.type = t.oid and t.typcategory <> 'A'
  left join arrays r on r.type = t.oid
 where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped
 order by a.attrelid, a.attnum`

func readColumns(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "columns", columnsSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var c Column
		if err := row.Scan(&oid, &c.Name, &c.Number, &c.Type, &c.Exact, &c.Plain, &c.BaseType, &c.TypeOID, &c.Base, &c.Category, &c.Length,
			&c.NotNull, &c.Generated, &c.From, &c.Operators, &c.Ordered, &c.Textual); err != nil {
			return err
		}
		tables[oid].Columns = append(tables[oid].Columns, c)
		return nil
	})
}

// A column that an expression reads is known by the index's dependencies. Those
// name plain and included columns too, which stand in indkey; so what a
// condition reads is looked for in its tree.
const indexesSQL = `
select i.indrelid, c.relname, m.amname, i.indisprimary, i.indisreplident, i.indisunique, i.indimmediate and i.indisvalid,
       i.indisvalid, coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
       array(select coalesce(a.attname, '')::text from unnest(i.indkey::int[]) with ordinality k(attnum, n)
               left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0
              where k.n <= i.indnkeyatts order by k.n),
       array(select distinct a.attname::text from pg_depend d join pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid
              where i.indexprs is not null and d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid > 0
                and d.refobjsubid <> all(i.indkey::int[]) order by 1),
       i.indisexclusion, coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
       array(select a.attname::text from pg_attribute a
              where i.indpred is not null and a.attrelid = i.indrelid and a.attnum > 0 and i.indpred::text ~ (':varattno ' || a.attnum || ' ') order by 1)
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
 where i.indrelid = any($1)
 order by i.indrelid, c.relname`

func readIndexes(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "indexes", indexesSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var i Index
		var primary, identity, immediate, valid bool
		if err := row.Scan(&oid, &i.Name, &i.Method, &primary, &identity, &i.Unique, &immediate, &valid, &i.NullsNotDistinct,
			&i.Columns, &i.Expressions, &i.Excludes, &i.Where, &i.Reads); err != nil {
			return err
		}
		t := tables[oid]
		switch {
		case primary && immediate:
			t.PrimaryKey = i.Columns
		case primary:
			t.KeyDeferrable = true
		}
		if identity {
			t.Index = i.Columns
		}
		switch {
		case !valid:
		case i.Where == "":
			t.Indexes = append(t.Indexes, i)
		case i.Unique || i.Excludes:
			t.Partial = append(t.Partial, i)
		}
		return nil
	})
}
