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
// from the result; that is for the caller to judge. The session's search_path
// must be pinned, as package pg does: what the server prints depends on it.
func Read(ctx context.Context, q Querier, names []Name) (*Catalog, error) {
	tables, err := readTables(ctx, q, names)
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
		readColumns, readIndexes, readLeaves, readReferencing, readReferences, readChecks, readTriggers, readRules, readViews, readDefinitions,
	} {
		if err := read(ctx, q, oids, byOID); err != nil {
			return nil, err
		}
	}
	var missing []Name
	for _, n := range names {
		if c.Tables[n] == nil {
			missing = append(missing, n)
		}
	}
	c.Nearby, err = readNearby(ctx, q, missing)
	return c, err
}

// texts gives schemas and relations of names as two arrays of equal length.
func texts(names []Name) (schemas, relations []string) {
	schemas, relations = make([]string, len(names)), make([]string, len(names))
	for i, n := range names {
		schemas[i], relations[i] = n.Schema, n.Relation
	}
	return schemas, relations
}

const nearbySQL = `
select distinct n.nspname, c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join unnest($1::text[], $2::text[]) w(schema, relation) on n.nspname = w.schema or lower(c.relname) = lower(w.relation)
 where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'sweeper')
 order by 1, 2 limit 1000`

func readNearby(ctx context.Context, q Querier, missing []Name) ([]Name, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	schemas, relations := texts(missing)
	rows, err := q.Query(ctx, nearbySQL, schemas, relations)
	if err != nil {
		return nil, pg.Wrap("look for tables of similar names", err)
	}
	names, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Name, err error) {
		return n, row.Scan(&n.Schema, &n.Relation)
	})
	return names, pg.Wrap("look for tables of similar names", err)
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
