package sweeper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// grant is one privilege on one table; no columns: on the whole table.
type grant struct {
	role, privilege string
	table           catalog.Name
	columns         []string
}

// grants are the least that a category needs of its table and of those that
// point at it: DELETE has no column form; reading is by column, so that not
// even the purging role sees what it has no business with.
func grants(c policy.Category, cat *catalog.Catalog) []grant {
	t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
	all := []grant{}
	read := slices.Concat(t.Key(), plan.RawColumns(c, t))
	if from := c.Start.From; from != nil {
		other := []string{c.Start.Column}
		for _, m := range from.Match {
			read, other = append(read, m.Own), append(other, m.Other)
		}
		all = append(all, grant{"sweeper_daemon", "SELECT", catalog.Name{Schema: from.Schema, Relation: from.Relation}, other})
	} else {
		read = append(read, c.Start.Column)
	}
	for _, name := range []string{c.Subject, c.Tenant} {
		if name != "" {
			read = append(read, name)
		}
	}
	for _, w := range c.Where {
		read = append(read, w.Column)
	}
	if c.Delete != nil {
		all = append(all, grant{"sweeper_daemon", "DELETE", t.Name, nil})
	}
	if c.Redact != nil {
		written := plan.Redacted(c)
		read = append(read, written...)
		all = append(all, grant{"sweeper_daemon", "UPDATE", t.Name, written})
	} else if c.Delete != nil {
		// To lock a row, and leave those that others have locked, takes the right to
		// update some column; none is updated.
		all = append(all, grant{"sweeper_daemon", "UPDATE", t.Name, t.Key()[:1]})
	}
	for _, fk := range t.Referencing {
		read = append(read, fk.Parents...)
		all = append(all, grant{"sweeper_daemon", "SELECT", fk.Table, fk.Columns})
	}
	more, matched := childGrants(c.Children, cat)
	all, read = append(all, more...), append(read, matched...)
	read = append(read, "ctid")
	if t.Kind == catalog.KindPartitioned {
		read = append(read, "tableoid")
	}
	all = append(all, grant{"sweeper_daemon", "SELECT", t.Name, read})
	if c.Restrict != nil { // the view reads as its owner
		all = append(all, grant{"sweeper_owner", "SELECT", t.Name, nil})
		if from := c.Start.From; from != nil {
			other := []string{c.Start.Column}
			for _, m := range from.Match {
				other = append(other, m.Other)
			}
			all = append(all, grant{"sweeper_owner", "SELECT", catalog.Name{Schema: from.Schema, Relation: from.Relation}, other})
		}
	}
	// apply_hold warns of a hold that matches no row.
	seen := []string{}
	for _, name := range []string{c.Subject, c.Tenant} {
		if name != "" {
			seen = append(seen, name)
		}
	}
	if len(seen) == 0 {
		seen = t.Key()[:1]
	}
	return append(all, grant{"sweeper_owner", "SELECT", t.Name, seen})
}

// childGrants are the least that children need of their tables, and the columns
// of the table above that they are found by.
func childGrants(children []policy.Child, cat *catalog.Catalog) (all []grant, matched []string) {
	for _, c := range children {
		t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
		read, written := slices.Clone(t.Key()), plan.ChildColumns(c)
		for _, m := range c.Match {
			matched, read = append(matched, m.Own), append(read, m.Other)
		}
		switch {
		case c.Action == "keep":
			continue
		case written != nil:
			read = append(read, written...)
			all = append(all, grant{"sweeper_daemon", "UPDATE", t.Name, written})
		default:
			// To lock a row takes the right to update some column; none is updated.
			all = append(all, grant{"sweeper_daemon", "DELETE", t.Name, nil}, grant{"sweeper_daemon", "UPDATE", t.Name, t.Key()[:1]})
			for _, fk := range t.Referencing {
				read = append(read, fk.Parents...)
				all = append(all, grant{"sweeper_daemon", "SELECT", fk.Table, slices.Clone(fk.Columns)})
			}
		}
		read = append(read, "ctid")
		if t.Kind == catalog.KindPartitioned {
			read = append(read, "tableoid")
		}
		more, below := childGrants(c.Children, cat)
		all = append(all, more...)
		all = append(all, grant{"sweeper_daemon", "SELECT", t.Name, append(read, below...)})
	}
	return all, matched
}

// tableGrants writes the grants that are missing.
func (w *writer) tableGrants(ctx context.Context) error {
	w.granted = map[string][]catalog.Name{}
	done := map[string]bool{}
	for _, c := range w.set.Categories {
		var err error
		t := w.table(c)
		for _, g := range grants(c, w.cat) {
			w.granted[g.role] = append(w.granted[g.role], g.table)
			if err := w.schemaUsage(ctx, g.role, g.table.Schema, done); err != nil {
				return err
			}
			missing, err := w.missing(ctx, g)
			if err != nil {
				return err
			}
			if sql := missing.sql(); sql != "" && !done[sql] {
				done[sql] = true
				if err := w.addOwned(ctx, "privileges on "+g.table.String(), sql, g.table); err != nil {
					return err
				}
			}
		}
		if err := w.typeUsage(ctx, t, governedColumns(c, t), done); err != nil {
			return err
		}
		plan.EachChild(c, func(child policy.Child, table catalog.Name) {
			if err == nil {
				err = w.typeUsage(ctx, w.cat.Tables[table], plan.ChildColumns(child), done)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// governedColumns are the columns that the statements of a category cast to the
// types of.
func governedColumns(c policy.Category, t *catalog.Table) []string {
	names := slices.Concat([]string{c.Subject, c.Tenant, c.Start.Column}, plan.Redacted(c), plan.RawColumns(c, t))
	for _, condition := range c.Where {
		names = append(names, condition.Column)
	}
	return names
}

// typeUsage lets both roles name the types of the columns that statements cast
// to: a domain or an enum may live in a schema of its own.
func (w *writer) typeUsage(ctx context.Context, t *catalog.Table, names []string, done map[string]bool) error {
	oids := []uint32{}
	for _, name := range names {
		if col, ok := t.Column(name); ok {
			oids = append(oids, col.TypeOID)
		}
	}
	rows, err := w.conn.Query(ctx, `select distinct n.nspname::text from pg_type t join pg_namespace n on n.oid = t.typnamespace
		where t.oid = any($1) and n.nspname not in ('pg_catalog', 'information_schema') order by 1`, oids)
	if err != nil {
		return pg.Wrap("look for the types of "+t.Name.String(), err)
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return pg.Wrap("look for the types of "+t.Name.String(), err)
	}
	for _, schema := range schemas {
		for _, role := range []string{"sweeper_daemon", "sweeper_owner"} {
			if err := w.schemaUsage(ctx, role, schema, done); err != nil {
				return err
			}
		}
	}
	return nil
}

// schemaUsage lets a role look into a schema; who may not grant that leaves it
// to the schema's owner.
func (w *writer) schemaUsage(ctx context.Context, role, schema string, done map[string]bool) error {
	sql := fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", catalog.Quote(schema), role)
	if done[sql] {
		return nil
	}
	done[sql] = true
	var has, may bool
	var owner string
	err := w.conn.QueryRow(ctx, `
		select coalesce((select has_schema_privilege(r.oid, n.oid, 'usage') from pg_roles r where r.rolname = $2), false),
		       has_schema_privilege(current_user, n.oid, 'usage with grant option'), pg_get_userbyid(n.nspowner)
		  from pg_namespace n where n.nspname = $1`, schema, role).Scan(&has, &may, &owner)
	switch {
	case err != nil:
		return pg.Wrap("look at the privileges on schema "+schema, err)
	case has:
	case may:
		w.add("privileges on schema "+schema, sql)
	default:
		w.byOwner(fmt.Sprintf("schema %q belongs to %q", schema, owner), sql)
	}
	return nil
}

// revokes takes back what the roles may do with tables that no policy names
// any more. Partitions of named tables keep what their owner granted on them.
func (w *writer) revokes(ctx context.Context) error {
	for _, role := range []string{"sweeper_daemon", "sweeper_owner"} {
		tables, err := grantedTables(ctx, w.conn, role)
		if err != nil {
			return err
		}
		for _, n := range tables {
			if slices.Contains(w.granted[role], n) || slices.ContainsFunc(slices.Collect(maps.Keys(plan.Published(w.set, ""))), func(table catalog.Name) bool {
				return slices.ContainsFunc(w.cat.Tables[table].Leaves, func(l catalog.Leaf) bool { return l.Name == n })
			}) {
				continue
			}
			if err := w.addOwned(ctx, "privileges on "+n.String(), fmt.Sprintf("REVOKE ALL ON %s FROM %s;", n.Quoted(), role), n); err != nil {
				return err
			}
		}
	}
	return nil
}

// grantedTables are the tables outside of schema sweeper on which their owners
// have granted a role something.
func grantedTables(ctx context.Context, conn *pgx.Conn, role string) ([]catalog.Name, error) {
	rows, err := conn.Query(ctx, `
		select distinct n.nspname, c.relname
		  from pg_roles r
		  join pg_class c on c.relowner <> r.oid and c.relkind in ('r', 'p')
		  join pg_namespace n on n.oid = c.relnamespace and n.nspname not in ('sweeper', 'pg_catalog', 'information_schema')
		 where r.rolname = $1
		   and exists (select from (select (aclexplode(c.relacl)).* union all
		                            select (aclexplode(a.attacl)).* from pg_attribute a where a.attrelid = c.oid) x
		                where x.grantee = r.oid and x.grantor = c.relowner)
		 order by 1, 2`, role)
	if err != nil {
		return nil, pg.Wrap("look for the privileges of "+role, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowToStructByPos[catalog.Name])
	return names, pg.Wrap("look for the privileges of "+role, err)
}

// missing is the part of a grant that the role has not got yet; its privilege
// is "" when it has everything.
func (w *writer) missing(ctx context.Context, g grant) (grant, error) {
	slices.Sort(g.columns)
	g.columns = slices.Compact(g.columns)
	if w.fresh {
		return g, nil
	}
	op := "look at the privileges on " + g.table.String()
	if g.columns == nil {
		var has bool
		err := w.conn.QueryRow(ctx, `select has_table_privilege($1, $2::text::regclass, $3)`, g.role, g.table.Quoted(), g.privilege).Scan(&has)
		if has {
			g.privilege = ""
		}
		return g, pg.Wrap(op, err)
	}
	var lacking []string
	err := w.conn.QueryRow(ctx, `select array(select c from unnest($3::text[]) c where not has_column_privilege($1, $2::text::regclass, c, $4) order by c)`,
		g.role, g.table.Quoted(), g.columns, g.privilege).Scan(&lacking)
	if len(lacking) == 0 {
		g.privilege = ""
	}
	g.columns = lacking
	return g, pg.Wrap(op, err)
}

func (g grant) sql() string {
	if g.privilege == "" {
		return ""
	}
	columns := ""
	if len(g.columns) > 0 {
		quoted := make([]string, len(g.columns))
		for i, c := range g.columns {
			quoted[i] = catalog.Quote(c)
		}
		columns = " (" + strings.Join(quoted, ", ") + ")"
	}
	return fmt.Sprintf("GRANT %s%s ON %s TO %s;", g.privilege, columns, g.table.Quoted(), g.role)
}
