package sweeper

import (
	"context"
	"slices"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// Preview is a plan with its rows counted.
type Preview struct {
	Plan     *plan.Plan
	States   map[string][]purge.States // by category
	Details  map[string][]Account      // by category, in the order of its States
	Warnings []*policy.Error           // of what works, and works badly

	Restricted map[string]purge.States // by category, of those that hide columns
	Restraints map[string]Restraint    // by category
}

// Plan tells what a sweep would do, as of the database's clock or as of asOf
// when it is not zero; of all categories, or of one when only names it. It
// changes nothing, and the server would let it change nothing.
func Plan(ctx context.Context, cfg Config, set policy.Set, asOf time.Time, only string) (*Preview, error) {
	conn, err := cfg.openToRead(ctx, "sweeper plan")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	p, cat, m, err := buildFitting(ctx, conn, cfg, set, asOf)
	if err != nil {
		return nil, err
	}
	if err := keepsLocks(ctx, conn, cfg, set); err != nil {
		return nil, err
	}
	if only == "" && len(m) > 0 {
		return nil, plan.Join(set, m)
	}
	if err := narrow(p, m, SweepOptions{Category: only}); err != nil {
		return nil, err
	}
	preview := &Preview{Plan: p, States: map[string][]purge.States{}, Details: map[string][]Account{}, Restricted: map[string]purge.States{}, Restraints: map[string]Restraint{}}
	former := newFormers(cfg)
	for _, c := range p.Categories() {
		preview.Warnings = append(preview.Warnings, plan.Warnings(m.fitting(set), cat, c.Policy.Name)...)
		states, err := purge.Count(ctx, conn, c)
		if err != nil {
			return nil, err
		}
		if err := estimateScheduled(ctx, conn, c, states); err != nil {
			return nil, err
		}
		preview.States[c.Policy.Name] = states
		hidden, err := purge.CountRestricted(ctx, conn, c)
		if err != nil {
			return nil, err
		}
		if hidden.Disposition != "" {
			preview.Restricted[c.Policy.Name] = hidden
		}
		if preview.Restraints[c.Policy.Name], err = restrain(ctx, conn, cfg, former, p, c, states); err != nil {
			return nil, err
		}
		if preview.Details[c.Policy.Name], err = detail(ctx, conn, cfg, c, states); err != nil {
			return nil, err
		}
	}
	return preview, nil
}

// Lint checks the policies against the catalogue of the database and, where
// sweeper is installed in it, against its holds and the locks of former policies.
// The warnings are of what works, and works badly.
func Lint(ctx context.Context, cfg Config, set policy.Set) ([]*policy.Error, error) {
	conn, err := connect(ctx, cfg.DatabaseURL, "sweeper lint")
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
	found := plan.Warnings(set, cat)
	more, err := endless(ctx, conn, set, cat)
	if err != nil {
		return nil, err
	}
	found = append(found, more...)
	installed, err := canCompare(ctx, conn)
	if err != nil || !installed {
		return found, err
	}
	if err := keepsHolds(ctx, conn, set, cat); err != nil {
		return nil, err
	}
	refused, more, err := enters(ctx, conn, cfg, set, cat, nil)
	if err != nil {
		return nil, err
	}
	stale, err := staleViews(ctx, conn, set, cat)
	if err != nil {
		return nil, err
	}
	return slices.Concat(found, more, stale), plan.Join(set, refused)
}
