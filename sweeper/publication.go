package sweeper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// said are the tables through which transactions say what they do.
var said = map[catalog.Name]string{{Schema: "sweeper", Relation: "batches"}: "", {Schema: "sweeper", Relation: "manifest"}: ""}

// publications writes the three of them: deletes of every governed table,
// updates too where a category redacts, and the inserts of the stamps. They
// come before the slot, which else could never read them.
func (w *writer) publications(ctx context.Context) error {
	deletes, redact, stamp := w.cfg.Publication, w.cfg.Publication+"_redact", w.cfg.Publication+"_stamp"
	want := map[string]map[catalog.Name]string{deletes: {}, redact: {}, stamp: said}
	for name, p := range plan.Published(w.set, w.cfg.Publication) {
		want[p][name] = w.columnList(w.cat.Tables[name], p)
	}
	publish := map[string]string{deletes: "delete, truncate", redact: "update, delete, truncate", stamp: "insert"}
	for _, name := range []string{deletes, redact, stamp} {
		if err := w.publication(ctx, name, publish[name], want[name]); err != nil {
			return err
		}
	}
	return nil
}

// publication brings one publication to the tables wanted, with their column
// lists. Taking a table out needs no ownership of it; adding one does.
func (w *writer) publication(ctx context.Context, name, publish string, want map[catalog.Name]string) error {
	var exists, right bool
	err := w.conn.QueryRow(ctx, `select count(*) > 0, coalesce(bool_and(not pubviaroot and
		array_to_string(array[case when pubinsert then 'insert' end, case when pubupdate then 'update' end,
			case when pubdelete then 'delete' end, case when pubtruncate then 'truncate' end], ', ') = $2), false)
		from pg_publication where pubname = $1`, name, publish).Scan(&exists, &right)
	if err != nil {
		return pg.Wrap("look for publication "+name, err)
	}
	why, alter := "publication "+name, "ALTER PUBLICATION "+catalog.Quote(name)
	if exists && !right {
		w.add(why, fmt.Sprintf("%s SET (publish = '%s', publish_via_partition_root = false);", alter, publish))
	}
	if !exists {
		w.add(why, fmt.Sprintf("CREATE PUBLICATION %s WITH (publish = '%s', publish_via_partition_root = false);", catalog.Quote(name), publish))
	}
	have, err := w.members(ctx, name)
	if err != nil {
		return err
	}
	for _, table := range byName(have) {
		if _, wanted := want[table]; !wanted {
			w.add(why, fmt.Sprintf("%s DROP TABLE %s;", alter, table.Quoted()))
		}
	}
	for _, table := range byName(want) {
		columns, there := have[table]
		if there && columns == want[table] {
			continue
		}
		sql := fmt.Sprintf("%s ADD TABLE %s%s;", alter, table.Quoted(), want[table])
		if there {
			sql = fmt.Sprintf("%s DROP TABLE %s;\n%s", alter, table.Quoted(), sql)
		}
		if _, ours := said[table]; ours { // made by this very installation
			w.add(why, sql)
		} else if err := w.addOwned(ctx, why, sql, table); err != nil {
			return err
		}
	}
	return nil
}

// members are the tables of a publication, with their column lists as
// columnList writes them.
func (w *writer) members(ctx context.Context, name string) (map[catalog.Name]string, error) {
	columns := `''`
	if w.server.version >= 15 {
		columns = `coalesce((select ' (' || string_agg('"' || replace(a.attname, '"', '""') || '"', ', ' order by a.attnum) || ')'
		             from pg_attribute a where a.attrelid = c.oid and a.attnum = any (x.prattrs::int2[])), '')`
	}
	rows, err := w.conn.Query(ctx, `
		select n.nspname, c.relname, `+columns+`
		  from pg_publication_rel x join pg_publication p on p.oid = x.prpubid
		  join pg_class c on c.oid = x.prrelid join pg_namespace n on n.oid = c.relnamespace
		 where p.pubname = $1`, name)
	if err != nil {
		return nil, pg.Wrap("read publication "+name, err)
	}
	members := map[catalog.Name]string{}
	var n catalog.Name
	var list string
	_, err = pgx.ForEachRow(rows, []any{&n.Schema, &n.Relation, &list}, func() error {
		members[n] = list
		return nil
	})
	return members, pg.Wrap("read publication "+name, err)
}

// columnList keeps a redacted table's other columns out of the stream. The
// server takes it from 15 on, and not for partitioned tables.
func (w *writer) columnList(t *catalog.Table, publication string) string {
	if w.server.version < 15 || t.Kind == catalog.KindPartitioned || publication == w.cfg.Publication {
		return ""
	}
	names := slices.Clone(t.Key())
	for _, c := range w.set.Categories {
		if w.table(c) == t && c.Redact != nil {
			names = append(names, plan.Redacted(c)...)
		}
		plan.EachChild(c, func(child policy.Child, table catalog.Name) {
			if table == t.Name {
				names = append(names, plan.ChildColumns(child)...)
			}
		})
	}
	var list []string
	for _, col := range t.Columns { // in the table's order, as the catalogue lists them
		if slices.Contains(names, col.Name) {
			list = append(list, catalog.Quote(col.Name))
		}
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// byName gives the keys of m in the order of their names.
func byName[V any](m map[catalog.Name]V) []catalog.Name {
	names := make([]catalog.Name, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b catalog.Name) int { return strings.Compare(a.Quoted(), b.Quoted()) })
	return names
}
