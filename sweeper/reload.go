package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/failpoint"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// reloadEvery is how often the policies are looked at on disk.
const reloadEvery = 5 * time.Second

// reload puts policies in force when they change, until ctx ends. A set that
// is broken, or does not fit the database, changes nothing: the one in force
// stays, and the reasons are said once.
func (d *daemon) reload(ctx context.Context, asked <-chan struct{}) error {
	seen := d.policies().print
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		force := false
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
			force = true
		case <-tick.C:
		}
		now := policy.Fingerprint(d.cfg.Policies)
		if now == seen && !force {
			continue
		}
		err := d.load(ctx, true)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && transient(err):
			d.outage.failed(ctx, partPolicies, err)
			continue // looked at again with the next tick
		case err != nil:
			d.log.ErrorContext(ctx, "policies not reloaded, the former ones stay in force", slog.Any(KeyErr, err))
		default:
			message := "policies reloaded"
			if d.health.outdated() {
				message += ": those on disk can be used again, and are in force"
			}
			d.log.InfoContext(ctx, message, slog.Int("categories", len(d.policies().set.Categories)))
		}
		d.outage.over(ctx, partPolicies)
		d.health.reloaded(err)
		seen = now
	}
}

// read reads the policies, and refuses those that this version does not apply
// as a whole.
func (d *daemon) read() (policy.Set, error) {
	set, err := policy.Load(d.cfg.PolicyDefaults(), d.cfg.Policies)
	if err != nil {
		return policy.Set{}, err
	}
	return set, set.Applicable()
}

// load reads the policies, holds them against the database, and puts them in
// force as a whole. With whole it refuses a set with a category that does not
// fit; at the start there is no other set, and those that fit run.
func (d *daemon) load(ctx context.Context, whole bool) error {
	l := loaded{print: policy.Fingerprint(d.cfg.Policies)}
	var err error
	if l.set, err = d.read(); err != nil {
		return err
	}
	if err := l.schedule(); err != nil {
		return err
	}
	conn, _, err := d.cfg.purger(ctx, d.instance)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	if !whole { // later the stream asks
		if err := purgelog.CheckHMACKey(ctx, conn, d.cfg.hmacKeys()...); err != nil {
			return err
		}
	}
	if err := d.fit(ctx, conn, &l, whole); err != nil {
		return err
	}
	failpoint.Hit("reload.checked")
	if err := syncSlots(ctx, conn, l); err != nil {
		return err
	}
	d.mu.Lock()
	d.loaded = l
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default: // it is awake already
	}
	return nil
}

// schedule parses the schedules of the enabled categories.
func (l *loaded) schedule() error {
	l.schedules = map[string]schedule.Schedule{}
	var errs []error
	for _, c := range l.set.Categories {
		s, err := schedule.Parse(c.Schedule, c.Timezone)
		if err != nil {
			errs = append(errs, c.Fail("schedule", "%v", err))
		}
		if c.Enabled {
			l.schedules[c.Name] = s
		}
	}
	return errors.Join(errs...)
}

// fit holds policies against the catalogue, and tells the database of them, so
// that holds know the types of their columns before the first run.
func (d *daemon) fit(ctx context.Context, conn *pgx.Conn, l *loaded, whole bool) error {
	p, cat, m, err := buildFitting(ctx, conn, d.cfg, l.set, time.Time{})
	if err != nil {
		return err
	}
	refused, warned, err := enters(ctx, conn, d.cfg, l.set, cat, m)
	if err != nil {
		return err
	}
	m.add(refused, l.set)
	if whole && len(m) > 0 {
		return plan.Join(l.set, m)
	}
	for _, c := range l.set.Categories {
		if err := m.why(c.Name); err != nil {
			d.log.ErrorContext(ctx, "category does not fit the database and will not run", slog.String(KeyPolicy, c.Name), slog.Any(KeyErr, err))
		}
	}
	l.refused = refused
	stale, err := staleViews(ctx, conn, m.fitting(l.set), cat)
	if err != nil {
		return err
	}
	warned = append(warned, stale...)
	d.warn(ctx, append(plan.Warnings(m.fitting(l.set), cat), warned...))
	l.levels = levelsOf(p)
	if err := register(ctx, conn, l.set, cat, d.cfg.Policies); err != nil {
		return err
	}
	return rememberColumns(ctx, conn, cat, true)
}

// warn says what works badly, each thing once.
func (d *daemon) warn(ctx context.Context, warnings []*policy.Error) {
	for _, w := range warnings {
		text := w.Position.String() + ": " + w.Reason
		if !d.warned[text] {
			d.log.WarnContext(ctx, "policy", slog.String(KeyWarning, text))
		}
		if d.warned == nil {
			d.warned = map[string]bool{}
		}
		d.warned[text] = true
	}
}

func levelsOf(p *plan.Plan) map[string]int {
	levels := map[string]int{}
	for i, level := range p.Levels {
		for _, c := range level {
			levels[c.Policy.Name] = i
		}
	}
	return levels
}
