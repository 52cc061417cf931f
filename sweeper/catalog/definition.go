package catalog

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// DefinitionSQL is a number that stands for what a table is made of, as far as
// purging depends on it: its name and kind, columns, constraints, triggers, rules
// and row security. A foreign key has triggers at both of its ends. Statistics,
// privileges and indexes are not in it. oid is an expression.
func DefinitionSQL(oid string) string {
	return `(select hashtextextended(concat_ws('|',
	          (select concat_ws(' ', relname, relnamespace, relkind, relpersistence, relreplident, relispartition, relrowsecurity, relforcerowsecurity) from pg_class where oid = d.oid),
	          (select string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attcollation, attnotnull, attisdropped, attgenerated, attidentity), ',' order by attnum) from pg_attribute where attrelid = d.oid and attnum > 0),
	          (select string_agg(k.oid::text, ',' order by k.oid) from pg_constraint k where conrelid = d.oid),
	          (select string_agg(concat_ws(' ', g.oid, tgname, tgenabled, tgfoid), ',' order by g.oid) from pg_trigger g where tgrelid = d.oid),
	          (select string_agg(concat_ws(' ', w.oid, ev_enabled), ',' order by w.oid) from pg_rewrite w where ev_class = d.oid),
	          (select string_agg(concat_ws(' ', y.oid, y.xmin), ',' order by y.oid) from pg_policy y where polrelid = d.oid)), 0)
	   from (select ` + oid + `) d(oid))`
}

// readDefinitions reads those of the leaves too, which have to be known by now.
func readDefinitions(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	oids = slices.Clone(oids)
	found := map[uint32]*int64{}
	for _, t := range tables {
		found[t.OID] = &t.Definition
		for i := range t.Leaves {
			oids = append(oids, t.Leaves[i].OID)
			found[t.Leaves[i].OID] = &t.Leaves[i].Definition
		}
	}
	return each(ctx, q, "definitions", `select o, `+DefinitionSQL("o")+` from unnest($1::oid[]) o`, oids, func(row pgx.Rows) error {
		var oid uint32
		var definition int64
		err := row.Scan(&oid, &definition)
		*found[oid] = definition
		return err
	})
}
