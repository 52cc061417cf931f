package sweeper

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// misfits are the categories that do not fit the database, each with every
// reason. One failure is one failure: the others of their set sweep on.
type misfits map[string][]*policy.Error

// still adds the categories that must not run without those that do not fit.
func (m misfits) still(set policy.Set) {
	for bound := true; bound; {
		bound = false
		for _, c := range set.Categories {
			for _, other := range set.Categories {
				if m[c.Name] == nil && m[other.Name] != nil && plan.Bound(c, other) {
					bound = true
					m[c.Name] = []*policy.Error{c.Fail("table", "category %s over %s does not fit the database, and a row goes only when every category over its table lets it go",
						other.Name, catalog.Name{Schema: other.Schema, Relation: other.Relation})}
				}
			}
		}
	}
}

// add takes over further reasons, and what follows from them.
func (m misfits) add(more misfits, set policy.Set) {
	for name, reasons := range more {
		m[name] = append(m[name], reasons...)
	}
	m.still(set)
}

// fitting is the set without them.
func (m misfits) fitting(set policy.Set) policy.Set {
	set.Categories = slices.DeleteFunc(slices.Clone(set.Categories), func(c policy.Category) bool { return m[c.Name] != nil })
	return set
}

// why is the error of one category; nil: it fits.
func (m misfits) why(category string) error {
	if m[category] == nil {
		return nil
	}
	return misfit(m[category])
}

// misfit is why a category cannot run, in one line.
type misfit []*policy.Error

// Error gives every reason with its place.
func (m misfit) Error() string {
	texts := make([]string, len(m))
	for i, e := range m {
		texts[i] = e.Position.String() + ": " + e.Reason
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the reasons themselves.
func (m misfit) Unwrap() []error {
	all := make([]error, len(m))
	for i, e := range m {
		all[i] = e
	}
	return all
}

// off are the reasons of the disabled categories, which have no run to leave
// them in.
func (m misfits) off(set policy.Set) error {
	found := map[string][]*policy.Error{}
	for _, c := range set.Categories {
		if !c.Enabled {
			found[c.Name] = m[c.Name]
		}
	}
	return plan.Join(set, found)
}

// runs tells whether any category of the set can run.
func (m misfits) runs(set policy.Set) bool {
	return slices.ContainsFunc(set.Categories, func(c policy.Category) bool { return c.Enabled && m[c.Name] == nil })
}

// buildFitting is build of the categories that fit, over the catalogue as it is
// now. It fails when none does, and when a legal hold would protect nothing.
func buildFitting(ctx context.Context, conn *pgx.Conn, cfg Config, set policy.Set, asOf time.Time) (*plan.Plan, *catalog.Catalog, misfits, error) {
	if asOf.IsZero() {
		if err := conn.QueryRow(ctx, `select now()`).Scan(&asOf); err != nil {
			return nil, nil, nil, pg.Wrap("read the database's clock", err)
		}
	}
	cat, err := readCatalog(ctx, conn, set)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := unfit(ctx, conn, set, cat, true)
	if err != nil {
		return nil, nil, nil, err
	}
	all := plan.Join(set, m)
	m.still(set)
	if all != nil && !m.runs(set) {
		return nil, nil, nil, all
	}
	if err := keepsHolds(ctx, conn, set, cat); err != nil {
		return nil, nil, nil, err
	}
	still := map[string]bool{}
	for name := range maps.Keys(m) {
		still[name] = true
	}
	windows, err := readWindows(ctx, conn)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := plan.Build(set, cat, plan.Options{
		AsOf: asOf, BatchRows: cfg.BatchRows, Publication: cfg.Publication, HMACKey: cfg.HMACKey.First.Bytes(), Windows: windows, Still: still,
	})
	return p, cat, m, err
}

const refusedSQL = `
	with run as (
	  insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, stop_reason, finished_at, instance)
	  values ($1, $1, $2, 'failed', $3, $4, now(), $5, '', $6, clock_timestamp(), $7) returning *),
	told as (
	  insert into sweeper.batches (fact, reason, category, actor, run_id, policy_sha256, started_at)
	  select 'run_end', reason, category, actor, run_id, policy_sha256, started_at from run)
	select as_of from run`

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// recordRefused leaves the row of a run that could not be planned.
func recordRefused(ctx context.Context, q querier, set policy.Set, category, reason, actor string, self instance, cause error) (purge.Outcome, error) {
	o := purge.Outcome{RunID: uuid.New(), Category: category, State: purge.Failed, StopReason: cause.Error(), Err: cause}
	err := q.QueryRow(ctx, refusedSQL, o.RunID, category, reason, actor, set.SHA256[:], o.StopReason, string(self)).Scan(&o.AsOf)
	return o, pg.Wrap("record the run of category "+category, err)
}

// refuseMisfits leaves the rows of the enabled categories that do not fit.
func refuseMisfits(ctx context.Context, conn *pgx.Conn, set policy.Set, m misfits, actor string, self instance) ([]purge.Outcome, error) {
	var all []purge.Outcome
	for _, c := range set.Categories {
		if m[c.Name] == nil || !c.Enabled {
			continue
		}
		o, err := recordRefused(ctx, conn, set, c.Name, manualReason, actor, self, m.why(c.Name))
		if err != nil {
			return all, err
		}
		all = append(all, o)
	}
	return all, nil
}

// formerRelations are the tables of categories whose table is gone, as they were
// known: the category stays visible until its policy goes too.
func formerRelations(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog) (map[string]uint32, error) {
	var gone []string
	for _, c := range set.Categories {
		if cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}] == nil {
			gone = append(gone, c.Name)
		}
	}
	former := map[string]uint32{}
	if len(gone) == 0 {
		return former, nil
	}
	rows, err := conn.Query(ctx, `select category, relation::oid from sweeper.governed where category = any ($1)`, gone)
	if err != nil {
		return nil, pg.Wrap("look for the tables that are gone", err)
	}
	var category string
	var relation uint32
	_, err = pgx.ForEachRow(rows, []any{&category, &relation}, func() error {
		former[category] = relation
		return nil
	})
	return former, pg.Wrap("look for the tables that are gone", err)
}
