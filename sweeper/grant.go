package sweeper

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
func grants(c policy.Category, t *catalog.Table) []grant {
	read := slices.Concat(t.Key(), []string{c.Start.Column})
	for _, name := range []string{c.Subject, c.Tenant} {
		if name != "" {
			read = append(read, name)
		}
	}
	for _, w := range c.Where {
		read = append(read, w.Column)
	}
	all := []grant{}
	if c.Delete != nil {
		all = append(all, grant{"sweeper_daemon", "DELETE", t.Name, nil})
	}
	if c.Redact != nil {
		written := plan.Redacted(c)
		read = append(read, written...)
		all = append(all, grant{"sweeper_daemon", "UPDATE", t.Name, written})
	}
	for _, fk := range t.Referencing {
		read = append(read, fk.Parents...)
		all = append(all, grant{"sweeper_daemon", "SELECT", fk.Table, fk.Columns})
	}
	place := "ctid"
	if t.Kind == catalog.KindPartitioned {
		place = "tableoid"
	}
	all = append(all, grant{"sweeper_daemon", "SELECT", t.Name, append(read, place)})
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

// tableGrants writes the grants that are missing.
func (w *writer) tableGrants(ctx context.Context) error {
	schemas := map[string]bool{}
	done := map[string]bool{}
	for _, c := range w.set.Categories {
		t := w.table(c)
		for _, g := range grants(c, t) {
			missing, err := w.missing(ctx, g)
			if err != nil {
				return err
			}
			if err := w.schemaUsage(ctx, g, schemas); err != nil {
				return err
			}
			if sql := missing.sql(); sql != "" && !done[sql] {
				done[sql] = true
				if w.owned(ctx, t, sql) {
					w.add("privileges on "+g.table.String(), sql)
				}
			}
		}
	}
	return nil
}

func (w *writer) schemaUsage(ctx context.Context, g grant, done map[string]bool) error {
	key := g.role + " " + g.table.Schema
	if done[key] {
		return nil
	}
	done[key] = true
	has := false
	if !w.fresh {
		if err := w.conn.QueryRow(ctx, `select has_schema_privilege($1, $2, 'USAGE')`, g.role, g.table.Schema).Scan(&has); err != nil {
			return pg.Wrap("look at the privileges on schema "+g.table.Schema, err)
		}
	}
	if !has {
		w.add("privileges on schema "+g.table.Schema, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", catalog.Quote(g.table.Schema), g.role))
	}
	return nil
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
