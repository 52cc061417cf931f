package sweeper

import (
	"context"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// Preview is a plan with its rows counted.
type Preview struct {
	Plan     *plan.Plan
	States   map[string][]purge.States // by category
	Warnings []*policy.Error           // of what works, and works badly
}

// Plan tells what a sweep would do, as of the database's clock or as of asOf
// when it is not zero; of all categories, or of one when only names it. It
// changes nothing.
func Plan(ctx context.Context, cfg Config, set policy.Set, asOf time.Time, only string) (*Preview, error) {
	conn, _, err := cfg.open(ctx, cfg.DatabaseURL, "sweeper plan", func(server) error { return nil })
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	p, _, m, err := buildFitting(ctx, conn, cfg, set, asOf)
	if err != nil {
		return nil, err
	}
	if only == "" && len(m) > 0 {
		return nil, plan.Join(set, m)
	}
	if err := narrow(p, m, SweepOptions{Category: only}); err != nil {
		return nil, err
	}
	preview := &Preview{Plan: p, States: map[string][]purge.States{}}
	for _, c := range p.Categories() {
		preview.Warnings = append(preview.Warnings, warnings(c.Policy, c.Table)...)
		if preview.States[c.Policy.Name], err = purge.Count(ctx, conn, c); err != nil {
			return nil, err
		}
	}
	return preview, nil
}

// Lint checks the policies against the catalogue of the database. The warnings
// are of what works, and works badly.
func Lint(ctx context.Context, cfg Config, set policy.Set) ([]*policy.Error, error) {
	conn, err := pg.Connect(ctx, cfg.DatabaseURL.Reveal(), "sweeper lint")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	cat, err := readCatalog(ctx, conn, set)
	if err != nil {
		return nil, err
	}
	if err := fits(ctx, conn, set, cat, true); err != nil {
		return nil, err
	}
	var found []*policy.Error
	for _, c := range set.Categories {
		found = append(found, warnings(c, cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}])...)
	}
	return found, nil
}

// warnings names what works and works badly: foreign keys for which every
// delete reads the whole of another table, and triggers that have a say.
func warnings(c policy.Category, t *catalog.Table) []*policy.Error {
	var found []*policy.Error
	for _, g := range t.Triggers {
		if c.Delete != nil && g.OnDelete || c.Redact != nil && g.OnUpdate {
			found = append(found, c.Fail("table", "trigger %q of %s fires when the sweeper works, as role %q: it may keep a row, or keep a copy of it where no policy looks", g.Name, t.Name, t.Purger))
		}
	}
	if c.Delete == nil {
		return found
	}
	for _, fk := range t.Referencing {
		if fk.Indexed {
			continue
		}
		columns := make([]string, len(fk.Columns))
		for i, name := range fk.Columns {
			columns[i] = catalog.Quote(name)
		}
		found = append(found, c.Fail("table", "foreign key %q of %s has no index, so that each delete from %s reads that whole table; its owner runs: CREATE INDEX ON %s (%s);",
			fk.Constraint, fk.Table, t.Name, fk.Table.Quoted(), strings.Join(columns, ", ")))
	}
	return found
}
