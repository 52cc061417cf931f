package sweeper_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// twoTables are governed by the categories of twoPolicies.
const twoTables = events + `
	create table app.visits (id bigint primary key, at timestamptz, who text, tenant text, guest text, host text);
	create index on app.visits (at);`

const twoPolicies = `version: 1
categories:
  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}}
  visits: {table: app.visits, subject: who, tenant: tenant, start_from: at, delete: {after: P5Y}}
`

// TestPoliciesKeepHolds has policies, or the tables below them, change so that
// a hold in force would protect nothing.
func TestPoliciesKeepHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ hold, ddl, old, new, want string }{
		"category renamed": {
			hold: `category => 'visits'`, old: "  visits:", new: "  calls:",
			want: "hold 1 names a category that no policy has",
		},
		"relation not governed": {
			hold: `relation => 'app.visits'`, old: "  visits: {table: app.visits, subject: who, tenant: tenant, start_from: at, delete: {after: P5Y}}\n",
			want: "hold 1 names a relation that no policy governs",
		},
		"table made anew": {
			hold: `relation => 'app.visits'`, ddl: `alter table app.visits rename to old; create table app.visits (like app.old including all); insert into app.visits select * from app.old; grant select, delete on app.visits to sweeper_daemon`,
			want: "hold 1 names a relation that no policy governs",
		},
		"no subject column": {
			hold: `'u', category => 'visits'`, old: "app.visits, subject: who", new: "app.visits",
			want: "hold 1 names a subject, and no category under it names a subject column",
		},
		"no subject column in one of two": {
			hold: `'u'`, old: "app.visits, subject: who", new: "app.visits",
			want: "hold 1 names a subject or a tenant, and category visits names no such column any more",
		},
		"no tenant column": {
			hold: `tenant => 't1'`, old: ", tenant: tenant", new: "",
			want: "hold 1 names a tenant, and no category under it names a tenant column",
		},
		"another subject column": {
			hold: `'u', category => 'visits'`, old: "app.visits, subject: who", new: "app.visits, subject: guest", ddl: `grant select on app.visits to sweeper_daemon`,
			want: "hold 1 names a subject or a tenant, and category visits finds it by another column now",
		},
		"another subject column in one of two": {
			hold: `'u'`, old: "app.visits, subject: who", new: "app.visits, subject: guest", ddl: `grant select on app.visits to sweeper_daemon`,
			want: "hold 1 names a subject or a tenant, and category visits finds it by another column now",
		},
		"another tenant column": {
			hold: `tenant => 't1'`, old: "tenant: tenant", new: "tenant: host", ddl: `grant select on app.visits to sweeper_daemon`,
			want: "hold 1 names a subject or a tenant, and category visits finds it by another column now",
		},
		"another tenant column of a subject's hold": {
			hold: `'u', tenant => 't1'`, old: "tenant: tenant", new: "tenant: host", ddl: `grant select on app.visits to sweeper_daemon`,
			want: "hold 1 names a subject or a tenant, and category visits finds it by another column now",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, twoTables, twoPolicies)
			b.fill(t, 0, 10)
			b.db.Exec(t, `insert into app.visits select id, at, who, 't1' from app.events`)
			hold := c.hold
			if !strings.HasPrefix(hold, "'") {
				hold = "null, " + hold
			}
			subject, rest, _ := strings.Cut(hold, ", ")
			sql := "select sweeper.apply_hold(subject => " + subject + ", reason => 'r', applied_by => 'a'"
			if rest != "" {
				sql += ", " + rest
			}
			b.db.Exec(t, sql+")")
			if c.ddl != "" {
				b.db.Exec(t, c.ddl)
			}
			edited := twoPolicies
			if c.old != "" {
				edited = strings.Replace(twoPolicies, c.old, c.new, 1)
			}
			set := load(t, edited)
			b.refused(t, set, c.want)
			if got := b.text(t, `select count(*) from app.visits`); got != "10" {
				t.Errorf("%s rows are left of 10", got)
			}
			b.db.Exec(t, `select sweeper.release_hold(1, 'r', 'a')`)
			if _, err := sweeper.Plan(t.Context(), b.cfg, set, time.Time{}, ""); err != nil {
				t.Errorf("once the hold is released: %v", err)
			}
		})
	}
}

// refused has lint, plan, sweep, install and run refuse the policies.
func (b *bundle) refused(t *testing.T, set policy.Set, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "edited.yaml")
	write(t, path, string(set.Files[0].Source))
	cfg := b.cfg
	cfg.Policies, cfg.HTTPAddr = path, sweeper.HTTPOff
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for verb, try := range map[string]func() error{
		"lint": func() error { _, err := sweeper.Lint(ctx, cfg, set); return err },
		"plan": func() error { _, err := sweeper.Plan(ctx, cfg, set, time.Time{}, ""); return err },
		"sweep": func() error {
			_, err := sweeper.Sweep(ctx, cfg, b.log, set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
			return err
		},
		"install": func() error { _, err := sweeper.Install(ctx, cfg, b.log, set, false); return err },
		"run": func() error {
			return sweeper.Run(ctx, cfg, slog.New(slog.DiscardHandler), sweeper.RunOptions{Now: time.Now})
		},
	} {
		err := try()
		var setup *sweeper.SetupError
		if !errors.As(err, &setup) || !strings.Contains(err.Error(), want+"; release it") {
			t.Errorf("%s: got %v, want %s", verb, err, want)
		}
	}
}

// TestReloadKeepsHolds has a daemon keep its policies when the new ones would
// end a hold.
func TestReloadKeepsHolds(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	path := filepath.Join(t.TempDir(), "policies.yaml")
	write(t, path, fiveYear)
	cfg := b.cfg
	cfg.Policies, cfg.HTTPAddr = path, sweeper.HTTPOff
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended, said := make(chan error, 1), &buffer{}
	reload := make(chan struct{}, 1)
	go func() {
		ended <- sweeper.Run(ctx, cfg, slog.New(slog.NewTextHandler(said, nil)), sweeper.RunOptions{Now: time.Now, Reload: reload})
	}()
	pgtest.Eventually(t, "the schedule is stored", func() bool {
		return b.text(t, `select count(*) from sweeper.schedules where category = 'events' and next_due is not null`) == "1"
	})
	b.db.Exec(t, `select sweeper.apply_hold(null, 'r', 'a', category => 'events')`)
	write(t, path, strings.Replace(fiveYear, "events:", "others:", 1))
	reload <- struct{}{}
	pgtest.Eventually(t, "the policies are refused", func() bool {
		return strings.Contains(said.String(), "policies not reloaded") && strings.Contains(said.String(), "hold 1 names a category that no policy has")
	})
	if got := b.text(t, `select string_agg(category, ',') from sweeper.schedules where next_due is not null`); got != "events" {
		t.Errorf("scheduled are %s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
}
