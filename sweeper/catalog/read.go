package catalog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// Querier is a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Read reads the tables called names. A name that does not exist is absent
// from the result; that is for the caller to judge.
func Read(ctx context.Context, q Querier, names []Name) (*Catalog, error) {
	schemas, relations := make([]string, len(names)), make([]string, len(names))
	for i, n := range names {
		schemas[i], relations[i] = n.Schema, n.Relation
	}
	tables, err := readTables(ctx, q, schemas, relations)
	if err != nil {
		return nil, err
	}
	byOID := make(map[uint32]*Table, len(tables))
	oids := make([]uint32, 0, len(tables))
	c := &Catalog{Tables: make(map[Name]*Table, len(tables))}
	for _, t := range tables {
		c.Tables[t.Name] = t
		byOID[t.OID] = t
		oids = append(oids, t.OID)
	}
	for _, read := range []func(context.Context, Querier, []uint32, map[uint32]*Table) error{
		readColumns, readIndexes, readLeaves, readForeignKeys, readTriggers,
	} {
		if err := read(ctx, q, oids, byOID); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Nearest gives the names of tables in schemas that differ from name by case
// or little else, for the message about one that does not exist.
func Nearest(ctx context.Context, q Querier, name Name) ([]string, error) {
	rows, err := q.Query(ctx, `
		select format('%I.%I', n.nspname, c.relname)
		  from pg_class c join pg_namespace n on n.oid = c.relnamespace
		 where c.relkind in ('r', 'p') and not c.relispartition
		   and (lower(c.relname) = lower($2) or (n.nspname = $1 and left(lower(c.relname), 4) = left(lower($2), 4)))
		 order by 1 limit 3`, name.Schema, name.Relation)
	if err != nil {
		return nil, pg.Wrap("look for tables like "+name.String(), err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, pg.Wrap("look for tables like "+name.String(), err)
}

// treeSQL is what is below a partitioned table. pg_partition_tree() tells the
// same, and locks one partition after the other until the transaction ends:
// with a DROP or ATTACH of the application's beside it, that is a deadlock.
func treeSQL(root string) string {
	return `with recursive tree(relid, parentrelid) as (
	          select i.inhrelid, i.inhparent from pg_inherits i where i.inhparent = ` + root + ` and not i.inhdetachpending
	          union all
	          select i.inhrelid, i.inhparent from tree join pg_inherits i on i.inhparent = tree.relid and not i.inhdetachpending)
	        select relid, parentrelid from tree`
}

var tablesSQL = `
select c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence::text,
       r.rolname, r.rolsuper,
       coalesce((select pg_has_role(o.oid, c.relowner, 'usage') from pg_roles o where o.rolname = 'sweeper_owner'), false),
       c.relispartition,
       c.relkind <> 'p' and exists (select from pg_inherits i where i.inhparent = c.oid),
       c.relrowsecurity and (select not (u.rolsuper or u.rolbypassrls) from pg_roles u where u.rolname = current_user)
           and (c.relforcerowsecurity or not pg_has_role(current_user, c.relowner, 'usage')),
       array(select w.rulename::text from pg_rewrite w where w.ev_class = c.oid order by 1),
       case when c.relkind = 'p' then
           (select coalesce(sum(greatest(l.reltuples, 0)), 0)::bigint from (` + treeSQL("c.oid") + `) t join pg_class l on l.oid = t.relid where l.relkind <> 'p')
           else c.reltuples::bigint end,
       c.relreplident::text,
       coalesce(p.partstrat::text, ''),
       array(select coalesce(a.attname, '')::text from unnest(p.partattrs::int[]) with ordinality k(attnum, n)
               left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum and k.attnum > 0 order by k.n),
       array(select b.pubname::text from pg_publication_rel x join pg_publication b on b.oid = x.prpubid where x.prrelid = c.oid order by 1)
  from unnest($1::text[], $2::text[]) w(schema, relation)
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = w.relation
  join pg_roles r on r.oid = c.relowner
  left join pg_partitioned_table p on p.partrelid = c.oid`

func readTables(ctx context.Context, q Querier, schemas, relations []string) ([]*Table, error) {
	rows, err := q.Query(ctx, tablesSQL, schemas, relations)
	if err != nil {
		return nil, pg.Wrap("read the catalogue of tables", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Table, error) {
		t := &Table{}
		return t, row.Scan(&t.OID, &t.Name.Schema, &t.Name.Relation, &t.Text, &t.Kind, &t.Persistence,
			&t.Owner, &t.OwnerSuper, &t.OwnerMember, &t.IsPartition, &t.HasChildren, &t.RowSecurity, &t.Rules,
			&t.Rows, &t.Identity, &t.Strategy, &t.PartitionKey, &t.Publications)
	})
	return tables, pg.Wrap("read the catalogue of tables", err)
}

// each runs sql over oids and hands every row to scan. The first column is the
// table's oid.
func each(ctx context.Context, q Querier, what, sql string, oids []uint32, scan func(row pgx.Rows) error) error {
	rows, err := q.Query(ctx, sql, oids)
	if err != nil {
		return pg.Wrap("read the catalogue of "+what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("read the catalogue of %s: %w", what, err)
		}
	}
	return pg.Wrap("read the catalogue of "+what, rows.Err())
}

const columnsSQL = `
with recursive base(typ, root) as (
    select t.oid, t.oid from pg_type t where t.oid in (select a.atttypid from pg_attribute a where a.attrelid = any($1))
    union all
    select b.typ, t.typbasetype from base b join pg_type t on t.oid = b.root where t.typtype = 'd')
select a.attrelid, a.attname, a.attnum, format_type(a.atttypid, -1), a.atttypid, t.typname, t.typcategory::text,
       case when t.typname in ('varchar', 'bpchar') and a.atttypmod > 4 then a.atttypmod - 4 else 0 end,
       a.attnotnull, a.attgenerated <> '' or a.attidentity = 'a'
  from pg_attribute a
  join base b on b.typ = a.atttypid
  join pg_type t on t.oid = b.root and t.typtype <> 'd'
 where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped
 order by a.attrelid, a.attnum`

func readColumns(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "columns", columnsSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var c Column
		if err := row.Scan(&oid, &c.Name, &c.Number, &c.Type, &c.TypeOID, &c.Base, &c.Category, &c.Length, &c.NotNull, &c.Generated); err != nil {
			return err
		}
		tables[oid].Columns = append(tables[oid].Columns, c)
		return nil
	})
}

const indexesSQL = `
select i.indrelid, c.relname, i.indisprimary, i.indisreplident, i.indisunique, i.indisvalid and i.indpred is null,
       array(select coalesce(a.attname, '')::text from unnest(i.indkey::int[]) with ordinality k(attnum, n)
               left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0
              where k.n <= i.indnkeyatts order by k.n)
  from pg_index i join pg_class c on c.oid = i.indexrelid
 where i.indrelid = any($1)
 order by i.indrelid, c.relname`

func readIndexes(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "indexes", indexesSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var i Index
		var primary, identity, whole bool
		if err := row.Scan(&oid, &i.Name, &primary, &identity, &i.Unique, &whole, &i.Columns); err != nil {
			return err
		}
		t := tables[oid]
		if primary {
			t.PrimaryKey = i.Columns
		}
		if identity {
			t.Index = i.Columns
		}
		if whole {
			t.Indexes = append(t.Indexes, i)
		}
		return nil
	})
}

// A leaf's bounds are read as the server prints them. The session's settings
// are pinned, so the text of a bound is the same everywhere. A leaf that is
// dropped while this runs has none any more.
var leavesSQL = `
select r.oid, c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), t.parentrelid = r.oid, c.relkind::text,
       b.text = 'DEFAULT',
       coalesce(substring(b.text from 'FROM \(''([^'']*)''\)'), ''),
       coalesce(substring(b.text from 'TO \(''([^'']*)''\)'), ''),
       c.relreplident::text,
       array(select a.attname::text from pg_index i cross join unnest(i.indkey::int[]) with ordinality k(attnum, n)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
              where i.indrelid = c.oid and k.n <= i.indnkeyatts
                and case c.relreplident when 'i' then i.indisreplident when 'n' then false else i.indisprimary end
              order by k.n),
       exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 8 = 8),
       coalesce((select pg_has_role(o.oid, c.relowner, 'usage') from pg_roles o where o.rolname = 'sweeper_owner'), false),
       pg_get_userbyid(c.relowner)
  from pg_class r
 cross join lateral (` + treeSQL("r.oid") + `) t
  join pg_class c on c.oid = t.relid
  join pg_namespace n on n.oid = c.relnamespace
 cross join lateral (select pg_get_expr(c.relpartbound, c.oid) offset 0) b(text)
 where r.oid = any($1) and r.relkind = 'p' and c.relkind <> 'p' and b.text is not null
 order by r.oid, 9, c.relname`

func readLeaves(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "partitions", leavesSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var l Leaf
		if err := row.Scan(&oid, &l.OID, &l.Name.Schema, &l.Name.Relation, &l.Text, &l.Direct, &l.Kind, &l.Default, &l.Lower, &l.Upper,
			&l.Identity, &l.IdentityColumns, &l.DeleteTriggers, &l.OwnerMember, &l.Owner); err != nil {
			return err
		}
		tables[oid].Leaves = append(tables[oid].Leaves, l)
		return nil
	})
}

// Foreign keys are read from the topmost constraint: PostgreSQL repeats one on
// a partitioned table for every partition.
const foreignKeysSQL = `
select k.confrelid, k.conname, n.nspname, c.relname, k.confdeltype::text,
       array(select a.attname::text from unnest(k.conkey) with ordinality x(attnum, n) join pg_attribute a on a.attrelid = k.conrelid and a.attnum = x.attnum order by x.n),
       array(select a.attname::text from unnest(k.confkey) with ordinality x(attnum, n) join pg_attribute a on a.attrelid = k.confrelid and a.attnum = x.attnum order by x.n),
       exists (select from pg_index i where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
                 and (select array_agg(x order by x) from unnest(k.conkey) x)
                   = (select array_agg(x order by x) from unnest((i.indkey::smallint[])[0:cardinality(k.conkey) - 1]) x))
  from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
 where k.contype = 'f' and k.confrelid = any($1) and k.conparentid = 0
 order by k.confrelid, n.nspname, c.relname, k.conname`

func readForeignKeys(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "foreign keys", foreignKeysSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var f ForeignKey
		if err := row.Scan(&oid, &f.Constraint, &f.Table.Schema, &f.Table.Relation, &f.OnDelete, &f.Columns, &f.Parents, &f.Indexed); err != nil {
			return err
		}
		tables[oid].Referencing = append(tables[oid].Referencing, f)
		return nil
	})
}

const triggersSQL = `
select t.tgrelid, t.tgname, t.tgtype & 8 = 8, t.tgtype & 16 = 16
  from pg_trigger t
 where t.tgrelid = any($1) and not t.tgisinternal and t.tgenabled <> 'D'
 order by t.tgrelid, t.tgname`

func readTriggers(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "triggers", triggersSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var g Trigger
		if err := row.Scan(&oid, &g.Name, &g.OnDelete, &g.OnUpdate); err != nil {
			return err
		}
		tables[oid].Triggers = append(tables[oid].Triggers, g)
		return nil
	})
}
