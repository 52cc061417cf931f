package sweeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// enters tells why a policy set that fits the database may not come into force
// all the same: what former sets have locked, which is its error, and by
// category redactions that the rows themselves refuse; m are those that do not fit anyway. It is for a set that is loaded, not for every run of it.
func enters(ctx context.Context, conn *pgx.Conn, cfg Config, set policy.Set, cat *catalog.Catalog, m misfits) (refused misfits, warned []*policy.Error, err error) {
	if err := keepsLocks(ctx, conn, cfg, set); err != nil {
		return nil, nil, err
	}
	set = m.fitting(set)
	if refused, warned, err = tries(ctx, conn, set, cat, cfg.HMACKey.First.Bytes()); err != nil {
		return nil, nil, err
	}
	known, err := knownColumns(ctx, conn)
	return refused, append(plan.Appeared(set, cat, known), warned...), err
}

// canCompare tells whether there is something to hold the policies against:
// that sweeper is installed, and this role may look.
func canCompare(ctx context.Context, conn *pgx.Conn) (yes bool, err error) {
	err = conn.QueryRow(ctx, `
		select count(*) = 5 and bool_and(has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
		  from pg_class c join pg_namespace n on n.oid = c.relnamespace
		 where n.nspname = 'sweeper' and c.relname in ('governed', 'legal_holds', 'policy_versions', 'relations', 'runs')`).Scan(&yes)
	return yes, pg.Wrap("look for schema sweeper", err)
}

// keepsLocks refuses policies that take back what an earlier set promised by
// lock: true. Every set that ever was in force counts: one that is weaker than
// the last may be stronger than none. A version that cannot be read any more
// would end its locks, and so is an error by itself.
func keepsLocks(ctx context.Context, conn *pgx.Conn, cfg Config, set policy.Set) error {
	rows, err := conn.Query(ctx, `select encode(policy_sha256, 'hex'), files from sweeper.policy_versions where policy_sha256 <> $1 order by first_run_at`, set.SHA256[:])
	if err != nil {
		return pg.Wrap("read the former policies", err)
	}
	type version struct {
		sha256 string
		files  map[string]string
	}
	versions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v version, err error) {
		return v, row.Scan(&v.sha256, &v.files)
	})
	if err != nil {
		return pg.Wrap("read the former policies", err)
	}
	var refused []error
	said := map[string]bool{}
	for _, v := range versions {
		locks := false
		for _, source := range v.files {
			locks = locks || bytes.Contains([]byte(source), []byte("lock"))
		}
		if !locks {
			continue // most have none, and need not be readable for ever
		}
		former, err := parseFormer(v.files, cfg.Timezone)
		if err != nil {
			refused = append(refused, &SetupError{
				fmt.Sprintf("policy version %.12s, which was in force and may have locked categories, cannot be read any more: %s", v.sha256, headOf(err)),
				"use the sweeper that could read it, and say so",
			})
			continue
		}
		for _, e := range policy.Shrunk(former, set) {
			if text := e.Error(); !said[text] {
				said[text] = true
				refused = append(refused, e)
			}
		}
	}
	return errors.Join(refused...)
}

// headOf is the first line of an error: of a policy's, its place and its reason.
func headOf(err error) string {
	head, _, _ := strings.Cut(err.Error(), "\n")
	return head
}

// knownColumns are the columns that governed tables had when policies were
// loaded last, by oid.
func knownColumns(ctx context.Context, conn *pgx.Conn) (map[uint32][]string, error) {
	rows, err := conn.Query(ctx, `select relid, columns from sweeper.relations where columns is not null`)
	if err != nil {
		return nil, pg.Wrap("read the tables' columns", err)
	}
	known := map[uint32][]string{}
	var oid uint32
	var columns []string
	_, err = pgx.ForEachRow(rows, []any{&oid, &columns}, func() error {
		known[oid], columns = columns, nil
		return nil
	})
	return known, pg.Wrap("read the tables' columns", err)
}

// rememberColumns notes the columns of the tables that are registered: all
// anew, or those that were not known.
func rememberColumns(ctx context.Context, conn *pgx.Conn, cat *catalog.Catalog, anew bool) error {
	b := &pgx.Batch{}
	for _, t := range cat.Tables {
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = c.Name
		}
		b.Queue(`update sweeper.relations set columns = $2 where relid = $1 and (columns is null or $3 and columns <> $2)`, t.OID, names, anew)
	}
	return pg.Wrap("note the tables' columns", conn.SendBatch(ctx, b).Close())
}

// endless warns of rows that have no start because it is -infinity. A table that
// takes long to look through is left alone.
func endless(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog) ([]*policy.Error, error) {
	var found []*policy.Error
	for _, c := range set.Categories {
		query, warning, can := plan.Endless(c, cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}])
		if !can {
			continue
		}
		// Asked for the contrary, so that what cannot be told passes.
		some, err := ask(ctx, conn, plan.Check{Query: query, Refusal: warning, Reads: true})
		if err != nil {
			return nil, err
		}
		if !some {
			found = append(found, warning)
		}
	}
	return found, nil
}
