package sweeper_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// The categories of misfitPolicies: one alone in its table; two over one table,
// of which keeper keeps what goes does not; a child and the parent that it
// points at; three that break each in its own way.
const (
	misfitTables = events + `
	create table app.shared (id int primary key, at timestamptz, status text);
	create table app.parent (id int primary key, at timestamptz);
	create table app.child (id int primary key, at timestamptz, parent int references app.parent);
	create index on app.child (parent);
	create table app.plain (id int primary key, at timestamptz);
	create table app.gone (id int primary key, at timestamptz);
	create table app.secret (id int primary key, at timestamptz);
	insert into app.shared select i, '2010-01-01', case when i > 5 then 'legal' else 'done' end from generate_series(1, 10) i;
	insert into app.parent select i, '2010-01-01' from generate_series(1, 10) i;
	insert into app.child select i, '2010-01-01', i from generate_series(1, 4) i;
	insert into app.plain select i, '2010-01-01' from generate_series(1, 10) i;
	insert into app.gone select i, '2010-01-01' from generate_series(1, 10) i;
	insert into app.secret select i, '2010-01-01' from generate_series(1, 10) i;`

	misfitPolicies = fiveYear + `  goes: {table: app.shared, start_from: at, delete: {after: P5Y}}
  keeper: {table: app.shared, start_from: at, delete: {after: P90Y}, where: [{column: status, op: eq, value: legal}]}
  parent: {table: app.parent, start_from: at, delete: {after: P5Y}}
  child: {table: app.child, start_from: at, delete: {after: P5Y}}
  plain: {table: app.plain, start_from: at, delete: {after: P5Y}}
  gone: {table: app.gone, start_from: at, delete: {after: P5Y}}
  secret: {table: app.secret, start_from: at, delete: {after: P5Y}}
`

	// breakThem has all but events and parent no longer fit.
	breakThem = `
	alter table app.shared drop column status;
	alter table app.child drop column at;
	alter table app.plain replica identity nothing;
	drop table app.gone;
	revoke select, delete on app.secret from sweeper_daemon;`

	leftSQL = `select concat_ws(' ', (select count(*) from app.events), (select count(*) from app.shared), (select count(*) from app.parent),
		(select count(*) from app.child), (select count(*) from app.plain), (select count(*) from app.secret))`
	left = "0 10 4 4 10 10" // those parents stay that a child points at

	statesSQL = `select string_agg(category || ' ' || state, ', ' order by category) from sweeper.runs`
	states    = "child failed, events succeeded, goes failed, gone failed, keeper failed, parent partial, plain failed, secret failed"
)

// reasons of misfits, by category.
var reasons = map[string]string{
	"child":  `column "at" does not exist in app.child`,
	"goes":   "category keeper over app.shared does not fit the database",
	"keeper": `column "status" does not exist in app.shared`,
	"gone":   "table app.gone does not exist",
	"plain":  "app.plain has no replica identity",
	"secret": "permission denied for table secret",
	"parent": `"child_parent_fkey"`,
}

func (b *bundle) checkMisfits(t *testing.T) {
	t.Helper()
	if got := b.text(t, leftSQL); got != left {
		t.Errorf("rows left are %s, want %s", got, left)
	}
	if got := b.text(t, statesSQL); got != states {
		t.Errorf("runs are %s\nwant %s", got, states)
	}
	for category, want := range reasons {
		if got := b.text(t, `select stop_reason from sweeper.runs where category = $1`, category); !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", category, got, want)
		}
	}
	if got := b.text(t, `select count(*) from sweeper.policy_status`); got != "8" {
		t.Errorf("%s categories of 8 are visible", got)
	}
	b.checkLog(t)
}

// TestMisfit has tables change under a daemon so that categories no longer fit:
// those fail, with all over the same table, and the others sweep on.
func TestMisfit(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"under the daemon": false, "before its start": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := daemon(t, misfitTables, misfitPolicies)
			b.fill(t, 0, 10)
			if before {
				b.db.Exec(t, breakThem)
			}
			d := b.start(t, b.cfg)
			b.until(t, "the schedules are stored", `select count(*) = 8 from sweeper.schedules`)
			if !before {
				b.db.Exec(t, breakThem)
			}
			b.due(t, "true")
			b.until(t, "all slots have moved on", `select bool_and(next_due > now()) from sweeper.schedules`)
			b.until(t, "the log has all runs", `select count(*) = 8 from sweeper.purges`)
			b.checkMisfits(t)

			// Mended, the same category runs with the next slot.
			b.db.Exec(t, `alter table app.plain replica identity default`)
			b.due(t, "category in ('plain', 'goes')")
			b.until(t, "it runs again", `select count(*) = 1 from sweeper.runs where category = 'plain' and state = 'succeeded' and deleted = 10`)
			b.until(t, "the other is refused again", `select count(*) = 2 from sweeper.runs where category = 'goes' and state = 'failed'`)
			if got := b.text(t, `select count(*) from app.shared`); got != "10" {
				t.Errorf("%s rows of 10 are left", got)
			}
			d.end(t)
		})
	}
}

// TestSweepMisfit is the same for one sweep, which says what does not fit.
func TestSweepMisfit(t *testing.T) {
	t.Parallel()
	b := setup(t, misfitTables, misfitPolicies)
	b.fill(t, 0, 10)
	b.db.Exec(t, breakThem)
	o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	b.checkMisfits(t)
	for _, one := range o {
		var bad *policy.Error
		want := one.State == purge.Failed && one.Category != "secret"
		if got := errors.As(one.Err, &bad); got != want {
			t.Errorf("%s: %v", one.Category, one.Err)
		}
	}
	if len(o) != 8 {
		t.Errorf("%d outcomes of 8", len(o))
	}

	// One category alone: it fits, and does not care; or it does not.
	b.fill(t, 0, 10)
	sweep := func(ctx context.Context, category string) ([]purge.Outcome, error) {
		return sweeper.Sweep(ctx, b.cfg, b.log, b.set, sweeper.SweepOptions{Category: category, Actor: "test", Now: time.Now})
	}
	if o, err := sweep(t.Context(), "events"); err != nil || len(o) != 1 || o[0].State != purge.Succeeded {
		t.Errorf("events alone: %+v, %v", o, err)
	}
	var bad *policy.Error
	if o, err := sweep(t.Context(), "goes"); !errors.As(err, &bad) || o != nil {
		t.Errorf("goes alone: %+v, %v", o, err)
	}
}

// TestSweepMisfitAndHold has a misfit under which a hold would protect nothing:
// that refuses the whole set.
func TestSweepMisfitAndHold(t *testing.T) {
	t.Parallel()
	b := setup(t, twoTables, twoPolicies)
	b.fill(t, 0, 10)
	b.db.Exec(t, `select sweeper.apply_hold('u', 'r', 'a', category => 'visits')`)
	b.db.Exec(t, `drop table app.visits`)
	_, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	var refused *sweeper.SetupError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "hold 1 names a category that no policy has") {
		t.Errorf("got %v", err)
	}
	if got := b.text(t, `select count(*) from app.events`); got != "10" {
		t.Errorf("%s rows of 10 are left", got)
	}
}

// TestDisabledMisfit has a disabled category that does not fit: it keeps nobody
// from running, and is told all the same.
func TestDisabledMisfit(t *testing.T) {
	t.Parallel()
	b := setup(t, misfitTables, misfitPolicies)
	b.db.Exec(t, `alter table app.shared drop column status`)
	set := load(t, strings.Replace(misfitPolicies, "keeper: {", "keeper: {enabled: false, ", 1))
	o, err := sweeper.Sweep(t.Context(), b.cfg, b.log, set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	var bad *policy.Error
	if !errors.As(err, &bad) || len(o) != 7 {
		t.Errorf("got %+v, %v", o, err)
	}
	if got := b.text(t, `select concat_ws(' ', (select count(*) from app.shared), (select count(*) from sweeper.runs where state = 'succeeded'))`); got != "0 7" {
		t.Errorf("rows left, runs: %s", got)
	}
}
