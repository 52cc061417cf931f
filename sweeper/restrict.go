package sweeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// views brings schema sweeper_restricted to the policies. A view is made as
// sweeper_owner, and waits for the next install where that may not look into the
// schema of its table yet.
func (w *writer) views(ctx context.Context) error {
	want := plan.Views(w.set, w.cat)
	have, owner, err := restrictedViews(ctx, w.conn)
	if err != nil || owner == "" && len(want) == 0 {
		return err
	}
	if owner != "" && owner != "sweeper_owner" {
		if len(want) == 0 {
			return nil
		}
		return &SetupError{fmt.Sprintf("a schema %s exists already and belongs to %q", plan.RestrictedSchema, owner), "rename it, since the views that hide columns need a schema of their own"}
	}
	if owner == "" {
		w.add("the schema of the views that hide columns", "CREATE SCHEMA "+plan.RestrictedSchema+" AUTHORIZATION sweeper_owner;\nCOMMENT ON SCHEMA "+
			plan.RestrictedSchema+" IS 'Tables without the columns that policies hide, as views for those who read.';")
	}
	for _, v := range want {
		comment, there := have[v.Name.Relation]
		delete(have, v.Name.Relation)
		usage := fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO sweeper_owner;", catalog.Quote(v.Table.Schema))
		if there && comment == v.Comment || slices.ContainsFunc(w.out.ByOwners, func(s Statement) bool { return s.SQL == usage }) {
			continue
		}
		w.add("view "+v.Name.String(), fmt.Sprintf("SET LOCAL ROLE sweeper_owner;\nSELECT sweeper.restrict_view(%s, %s);\nCOMMENT ON VIEW %s IS %s;\nRESET ROLE;",
			quoteLiteral(v.Name.Relation), quoteLiteral(v.Definition), v.Name.Quoted(), quoteLiteral(v.Comment)))
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		view := catalog.Name{Schema: plan.RestrictedSchema, Relation: name}
		w.add("view "+view.String()+", of which nothing is hidden any more", "DROP VIEW "+view.Quoted()+";")
	}
	return nil
}

// restrictedViews are the comments of the views that exist, by name, and who
// owns their schema; "" it does not exist.
func restrictedViews(ctx context.Context, conn *pgx.Conn) (have map[string]string, owner string, err error) {
	const op = "look for schema " + plan.RestrictedSchema
	err = conn.QueryRow(ctx, `select pg_get_userbyid(nspowner) from pg_namespace where nspname = $1`, plan.RestrictedSchema).Scan(&owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", pg.Wrap(op, err)
	}
	rows, err := conn.Query(ctx, `select c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') from pg_class c
		join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind = 'v'`, plan.RestrictedSchema)
	if err != nil {
		return nil, "", pg.Wrap(op, err)
	}
	have = map[string]string{}
	var name, comment string
	_, err = pgx.ForEachRow(rows, []any{&name, &comment}, func() error { have[name] = comment; return nil })
	return have, owner, pg.Wrap(op, err)
}

// staleViews warns of views that a policy change has not reached yet: making
// them takes the rights of an install.
func staleViews(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog) ([]*policy.Error, error) {
	if !slices.ContainsFunc(set.Categories, func(c policy.Category) bool { return c.Restrict != nil }) {
		return nil, nil
	}
	have, _, err := restrictedViews(ctx, conn)
	return plan.StaleViews(set, cat, have), err
}
