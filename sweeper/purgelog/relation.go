package purgelog

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// relationSQL finds a relation in the catalogue and remembers it, so that its
// root and key are still known when it is dropped before its last changes have
// been decoded. A leaf that has been detached meanwhile keeps the root that it is
// remembered with: what comes of it was done while it was a leaf, since nothing
// of it is published any more.
const relationSQL = `
with found as (
  select c.oid, format('%I.%I', n.nspname, c.relname) as leaf,
         coalesce((select x.root from sweeper.relations x where x.relid = c.oid and x.relation <> x.root and not c.relispartition),
                  format('%I.%I', rn.nspname, r.relname)) as root,
         array(select a.attname::text from pg_index i cross join unnest(i.indkey::int[]) with ordinality k(attnum, pos)
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                where i.indrelid = c.oid and k.pos <= i.indnkeyatts
                  and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end
                order by k.pos) as key
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_class r on r.oid = coalesce(pg_partition_root(c.oid), c.oid)
    join pg_namespace rn on rn.oid = r.relnamespace
   where n.nspname = $1 and c.relname = $2),
kept as (
  insert into sweeper.relations as x (relid, relation, root, key_columns)
  select oid, leaf, root, key from found
  on conflict (relid) do update set relation = excluded.relation, root = excluded.root, key_columns = excluded.key_columns, seen_at = now()
   where (x.relation, x.root, x.key_columns) is distinct from (excluded.relation, excluded.root, excluded.key_columns))
select leaf, root, key from found
union all
(select relation, root, key_columns from sweeper.relations where relation = format('%I.%I', $1::text, $2::text) order by seen_at desc limit 1)
union all
select format('%I.%I', $1::text, $2::text), format('%I.%I', $1::text, $2::text), null
limit 1`

// resolve finds root and key of a relation. The key is in key order where the
// catalogue, or what was seen of it before, still agrees with what the stream
// says; else in the stream's order.
func (r *relations) resolve(ctx context.Context, schema, table string, identity []string) (relation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := schema + "\x00" + table
	known, ok := r.known[name]
	if ok && identity == nil {
		return known, nil
	}
	err := r.conn.QueryRow(ctx, relationSQL, schema, table).Scan(&known.leaf, &known.root, &known.key)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return relation{}, pg.Wrap("look up relation "+schema+"."+table, err)
	}
	if identity != nil && (len(known.key) == 0 || !subset(known.key, identity)) {
		known.key = slices.Clone(identity)
	}
	r.changed = r.changed || ok && !slices.Equal(r.known[name].key, known.key)
	r.known[name] = known
	return known, nil
}

// KeyChanged tells, once, whether the stream has shown a table whose key is no
// longer what it was.
func (l *Log) KeyChanged() bool {
	l.relations.mu.Lock()
	defer l.relations.mu.Unlock()
	changed := l.relations.changed
	l.relations.changed = false
	return changed
}

func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}
