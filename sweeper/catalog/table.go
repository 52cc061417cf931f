package catalog

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// Row security is judged for the role that purges. An installing role is not
// it, so there sweeper_daemon is asked about, which need not exist yet. A
// permissive policy helps when it applies to the role and says "true"; any
// restrictive one may hide rows.
// A publication counts when it shows every delete and nothing that it should
// not: one with a row filter, or that publishes inserts, witnesses something else.
var tablesSQL = `
with purger as (
    select w.name, r.oid, coalesce(r.rolsuper or r.rolbypassrls, false) as bypass
      from (select case when u.rolsuper or d.oid is null or not pg_has_role(u.oid, d.oid, 'usage') then 'sweeper_daemon' else u.rolname end as name
              from pg_roles u left join pg_roles d on d.rolname = 'sweeper_daemon' where u.rolname = current_user) w
      left join pg_roles r on r.rolname = w.name)
select c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence::text,
       r.rolname, r.rolsuper,
       coalesce((select pg_has_role(o.oid, c.relowner, 'usage') from pg_roles o where o.rolname = 'sweeper_owner'), false),
       c.relispartition,
       c.relkind <> 'p' and exists (select from pg_inherits i where i.inhparent = c.oid),
       array(select k.command from (values ('SELECT', 'r'), ('UPDATE', 'w'), ('DELETE', 'd')) k(command, code)
              where c.relrowsecurity and not u.bypass
                and (c.relforcerowsecurity or not coalesce(pg_has_role(u.oid, c.relowner, 'usage'), false))
                and (not exists (select from pg_policy y
                                  where y.polrelid = c.oid and y.polpermissive and y.polcmd in ('*', k.code)
                                    and exists (select from unnest(y.polroles) p where p = 0 or pg_has_role(u.oid, p, 'usage'))
                                    and pg_get_expr(y.polqual, y.polrelid) = 'true'
                                    and coalesce(pg_get_expr(y.polwithcheck, y.polrelid), 'true') = 'true')
                     or exists (select from pg_policy y where y.polrelid = c.oid and not y.polpermissive and y.polcmd in ('*', k.code)))),
       u.name, u.name = current_user,
       array(select k.command from (values ('SELECT'), ('UPDATE'), ('DELETE')) k(command)
              where has_table_privilege(u.oid, c.oid, k.command)
                 or k.command <> 'DELETE' and has_any_column_privilege(u.oid, c.oid, k.command)),
       c.relrowsecurity,
       ` + sizeSQL("case when c.relkind = 'p' then 0 else pg_relation_size(c.oid) end") + `,
       c.relreplident::text,
       coalesce(p.partstrat::text, ''),
       array(select coalesce(a.attname, '')::text from unnest(p.partattrs::int[]) with ordinality k(attnum, n)
               left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum and k.attnum > 0 order by k.n),
       array(select b.pubname::text from pg_publication_rel x join pg_publication b on b.oid = x.prpubid
              where x.prrelid = c.oid and to_jsonb(x) ->> 'prqual' is null and not b.pubviaroot
                and b.pubdelete and b.pubtruncate and not b.pubinsert and b.pubupdate = (b.pubname like '%\_redact') order by 1)
  from unnest($1::text[], $2::text[]) w(schema, relation)
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = w.relation
  join pg_roles r on r.oid = c.relowner
 cross join purger u
  left join pg_partitioned_table p on p.partrelid = c.oid`

// sizeSQL gives bytes and estimated rows of pg_class's c. The pages that came
// since the last ANALYZE hold as many rows as the others; those of a table that
// was never analysed are taken to hold 80. Without bytes the rows are -1.
func sizeSQL(bytes string) string {
	return `coalesce(` + bytes + `, 0), coalesce(case when ` + bytes + ` = 0 then 0 else greatest(1, ` + bytes + ` / current_setting('block_size')::int *
            case when c.relpages > 0 and c.reltuples >= 0 then c.reltuples / c.relpages else 80 end)::bigint end, -1)`
}

func readTables(ctx context.Context, q Querier, names []Name) ([]*Table, error) {
	schemas, relations := texts(names)
	rows, err := q.Query(ctx, tablesSQL, schemas, relations)
	if err != nil {
		return nil, pg.Wrap("read the catalogue of tables", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Table, error) {
		t := &Table{}
		return t, row.Scan(&t.OID, &t.Name.Schema, &t.Name.Relation, &t.Text, &t.Kind, &t.Persistence,
			&t.Owner, &t.OwnerSuper, &t.OwnerMember, &t.IsPartition, &t.HasChildren, &t.Hidden, &t.Purger, &t.Purging, &t.May, &t.RowSecurity,
			&t.Bytes, &t.Rows, &t.Identity, &t.Strategy, &t.PartitionKey, &t.Publications)
	})
	return tables, pg.Wrap("read the catalogue of tables", err)
}

const checksSQL = `
select k.conrelid, k.conname, pg_get_expr(k.conbin, k.conrelid),
       array(select a.attname::text from unnest(k.conkey) x join pg_attribute a on a.attrelid = k.conrelid and a.attnum = x order by 1)
  from pg_constraint k
 where k.conrelid = any($1) and k.contype = 'c' and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
 order by k.conrelid, k.conname`

func readChecks(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "check constraints", checksSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var c Check
		if err := row.Scan(&oid, &c.Name, &c.SQL, &c.Columns); err != nil {
			return err
		}
		tables[oid].Checks = append(tables[oid].Checks, c)
		return nil
	})
}

const triggersSQL = `
select t.tgrelid, t.tgname, t.tgtype & 2 = 2, t.tgtype & 8 = 8, t.tgtype & 16 = 16, t.tgparentid <> 0
  from pg_trigger t
 where t.tgrelid = any($1) and not t.tgisinternal and t.tgenabled <> 'D'
 order by t.tgrelid, t.tgname`

// readTriggers reads those of the leaves too, which have to be known by now.
func readTriggers(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	oids = slices.Clone(oids)
	leaves := map[uint32]*Leaf{}
	for _, t := range tables {
		for i := range t.Leaves {
			oids = append(oids, t.Leaves[i].OID)
			leaves[t.Leaves[i].OID] = &t.Leaves[i]
		}
	}
	return each(ctx, q, "triggers", triggersSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var g Trigger
		var inherited bool
		if err := row.Scan(&oid, &g.Name, &g.Before, &g.OnDelete, &g.OnUpdate, &inherited); err != nil {
			return err
		}
		if t := tables[oid]; t != nil {
			t.Triggers = append(t.Triggers, g)
		} else if !inherited {
			leaves[oid].Triggers = append(leaves[oid].Triggers, g)
		}
		return nil
	})
}

// A view depends on a table by its rule.
const viewsSQL = `
select distinct d.refobjid, n.nspname, c.relname
  from pg_depend d
  join pg_rewrite w on w.oid = d.objid
  join pg_class c on c.oid = w.ev_class and c.relkind in ('v', 'm')
  join pg_namespace n on n.oid = c.relnamespace
 where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = any($1) and c.oid <> d.refobjid
 order by 1, 2, 3`

func readViews(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "views", viewsSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var n Name
		if err := row.Scan(&oid, &n.Schema, &n.Relation); err != nil {
			return err
		}
		tables[oid].Views = append(tables[oid].Views, n)
		return nil
	})
}
