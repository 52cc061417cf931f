package sweeper_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// guarded is a category that no share keeps from running, with its windows and
// what else is said of it.
func guarded(windows string) string {
	return "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, limits: {max_share: 0}, " + windows + "}\n"
}

const notes = events + ` alter table app.events add note text default 'x', add more text default 'x'`

// runs installs policies and sweeps once, without anybody who approves.
func (b *bundle) runs(t *testing.T, policies string) purge.Outcome {
	t.Helper()
	b.set, b.cfg.Approve = load(t, policies), sweeper.ApproveManual
	if _, err := sweeper.Install(t.Context(), b.cfg, b.log, b.set, false); err != nil {
		t.Fatalf("install: %v", err)
	}
	return b.sweep(t)["events"]
}

// aged inserts n rows of that age.
func (b *bundle) aged(t *testing.T, n int, age string) {
	t.Helper()
	b.db.Exec(t, `insert into app.events (id, at, who) select (select count(*) from app.events) + 1000 * (select count(*) from sweeper.runs) + i, now() - $2::text::interval, 'u' from generate_series(1, $1::int) i`, n, age)
}

// approve approves the plan that an outcome has.
func (b *bundle) approve(t *testing.T, o purge.Outcome) {
	t.Helper()
	actor, reason := "jane", "seen"
	if err := sweeper.Approve(t.Context(), b.cfg, "events", o.PlanHash, &actor, &reason, nil); err != nil {
		t.Fatal(err)
	}
}

// TestShortenedWindowWaits goes the whole way of a window that becomes shorter:
// nothing goes before its plan is approved, what is approved goes and no more,
// and then the window is as any other.
func TestShortenedWindowWaits(t *testing.T) {
	t.Parallel()
	five, one := guarded("delete: {after: P5Y}"), guarded("delete: {after: P1Y}")
	b := setup(t, events, five)
	b.fill(t, 0, 10)
	if o := b.runs(t, five); o.State != purge.Succeeded || o.Deleted != 10 {
		t.Fatalf("the first run: %+v", o)
	}
	entries := func() string { return b.text(t, `select count(*) from sweeper.purge_log where kind = 'delete'`) }
	b.aged(t, 20, "2 years")
	b.aged(t, 5, "2 days")
	before := entries()
	waits := func(due int) purge.Outcome {
		t.Helper()
		o := b.runs(t, one)
		why := fmt.Sprintf("delete.after was P5Y when it ran on %s, and is P1Y now: %d rows would go", time.Now().UTC().Format(time.DateOnly), due)
		want := fmt.Sprintf("%s; approve with: sweeper approve events --plan %s --actor … --reason …", why, o.PlanHash)
		if o.State != purge.AwaitingApproval || o.StopReason != want || o.Deleted != 0 || o.Err != nil {
			t.Fatalf("got  %s %+v\nwant %s", o.State, o, want)
		}
		if got := b.text(t, `select stop_reason from sweeper.runs order by started_at desc limit 1`); got != want {
			t.Errorf("the run says %s", got)
		}
		preview, err := sweeper.Plan(t.Context(), b.cfg, b.set, time.Time{}, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := preview.Restraints["events"].Approval; got != why {
			t.Errorf("the plan tells of %q, want %q", got, why)
		}
		if now := entries(); now != before {
			t.Errorf("the log went from %s to %s entries", before, now)
		}
		return o
	}
	waits(20)
	waits(20) // to wait is not to have run
	if o := b.runs(t, five); o.State != purge.Succeeded || o.Deleted != 0 {
		t.Fatalf("back to the longer window: %+v", o)
	}
	b.approve(t, waits(20))
	b.aged(t, 3, "2 years")
	b.approve(t, waits(23)) // more than 1.1 times what was approved
	preview, err := sweeper.Plan(t.Context(), b.cfg, b.set, time.Time{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := preview.Restraints["events"].Approval; got != "" {
		t.Errorf("approved, and the plan tells of %q", got)
	}
	if o := b.runs(t, one); o.State != purge.Succeeded || o.Deleted != 23 {
		t.Fatalf("what was approved: %+v", o)
	}
	if left := b.text(t, `select count(*) from app.events where at > now() - interval '1 year'`); left != "5" {
		t.Errorf("%s of 5 young rows are left", left)
	}

	b.db.Exec(t, `update sweeper.approvals set expires_at = now()`)
	b.aged(t, 1, "2 years")
	if o := b.runs(t, one); o.State != purge.Succeeded || o.Deleted != 1 {
		t.Errorf("the run after: %+v", o)
	}
	b.aged(t, 1, "2 years")
	if o := b.runs(t, one+"# another text\n"); o.State != purge.Succeeded || o.Deleted != 1 {
		t.Errorf("another text of the same policies: %+v", o)
	}
	b.aged(t, 1, "4 years")
	if o := b.runs(t, guarded("delete: {after: P3Y}")); o.State != purge.Succeeded || o.Deleted != 1 {
		t.Errorf("a longer window: %+v", o)
	}
}

// TestShortenedWindows has runs by windows, with something done to what is known
// of them, and then rows that are due by other windows.
func TestShortenedWindows(t *testing.T) {
	t.Parallel()
	const (
		mixed  = "delete: {after: P10Y}, redact: {after: P2Y, columns: {note: zero}}"
		redact = "redact: {after: P1Y, columns: {note: zero}}"
	)
	for name, tt := range map[string]struct {
		was, now string
		done     string // SQL after the run by was
		age      string // of the rows that are due then; "": 3 years
		auto     bool   // nobody needs to approve
		want     string // why it waits, less the day; "": it does not
	}{
		"either can be the shorter one": {was: "delete: {after: P12M}", now: "delete: {after: P365D}", want: "delete.after was P12M when it ran on DAY, and is P365D now: 4 rows would go"},
		"days that are never shorter":   {was: "delete: {after: P365D}", now: "delete: {after: P12M}"},
		"approved by itself":            {was: "delete: {after: P5Y}", now: "delete: {after: P1Y}", auto: true},
		"redacted earlier": {
			was: mixed, now: strings.Replace(mixed, "P2Y", "P1Y", 1),
			want: "redact.after was P2Y when it ran on DAY, and is P1Y now: 4 rows would go",
		},
		"more is redacted": {was: mixed, now: strings.Replace(mixed, "zero", "zero, more: zero", 1)},
		"both are shorter": {
			was: mixed, now: "delete: {after: P9Y}, " + redact, age: "20 years",
			want: "redact.after was P2Y when it ran on DAY, and is P1Y now; delete.after was P10Y when it ran on DAY, and is P9Y now: 4 rows would go",
		},
		"it never deleted":            {was: redact, now: redact + ", delete: {after: P2Y}", want: "delete.after was not given when it ran on DAY, and is P2Y now: 4 rows would go"},
		"it never redacted":           {was: "delete: {after: P5Y}", now: "delete: {after: P5Y}, " + redact, want: "redact.after was not given when it ran on DAY, and is P1Y now: 4 rows would go"},
		"it kept for ever":            {was: "delete: {after: unlimited}, " + redact, now: "delete: {after: P2Y}, " + redact, want: "delete.after was unlimited when it ran on DAY, and is P2Y now: 4 rows would go"},
		"it deletes no longer":        {was: mixed, now: strings.Replace(mixed, "P10Y", "unlimited", 1)},
		"it only observed":            {was: "delete: {after: P5Y}, mode: observe", now: "delete: {after: P1Y}"},
		"it failed before anything":   {was: "delete: {after: P5Y}", now: "delete: {after: P1Y}", done: `update sweeper.runs set state = 'failed'`},
		"it failed in the middle":     {was: "delete: {after: P5Y}", now: "delete: {after: P1Y}", done: `update sweeper.runs set state = 'failed', partitions_dropped = 1`, want: "delete.after was P5Y when it ran on DAY, and is P1Y now: 4 rows would go"},
		"a share that is too large":   {was: "delete: {after: P5Y}", now: "delete: {after: P1Y}, limits: {max_share: 0.5}", want: "delete.after was P5Y when it ran on DAY, and is P1Y now: 4 of 4 rows would go, more than max_share 0.5 allows"},
		"nothing is due":              {was: "delete: {after: P5Y}", now: "delete: {after: P1Y}", age: "1 day"},
		"a version that is unknown":   {was: "delete: {after: P5Y}", now: "delete: {after: P5Y}, notes: x", done: `delete from sweeper.policy_versions`, age: "6 years", want: "policy version SHA, under which it ran on DAY, cannot be read any more, and its windows may have been longer: it is not stored: 4 rows would go"},
		"a version without it":        {was: "delete: {after: P5Y}", now: "delete: {after: P5Y}, notes: x", done: `update sweeper.policy_versions set files = replace(files::text, 'events: {', 'others: {')::jsonb`, age: "6 years", want: "policy version SHA, under which it ran on DAY, does not have it, and its windows may have been longer: 4 rows would go"},
		"a version that is no policy": {was: "delete: {after: P5Y}", now: "delete: {after: P5Y}, notes: x", done: `update sweeper.policy_versions set files = '{"old.yaml": "version: 99"}'`, age: "6 years", want: "policy version SHA, under which it ran on DAY, cannot be read any more, and its windows may have been longer: old.yaml:1:1: no category; "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policies := strings.Replace(guarded(tt.now), "limits: {max_share: 0}, ", "", strings.Count(tt.now, "limits"))
			b := setup(t, notes, guarded(tt.was))
			b.runs(t, guarded(tt.was))
			b.db.Exec(t, tt.done+";")
			version := b.text(t, `select left(encode(policy_sha256, 'hex'), 12) from sweeper.runs`)
			b.aged(t, 4, cmp.Or(tt.age, "3 years"))
			state := func() string { return b.text(t, `select jsonb_agg(e order by id) from app.events e`) }
			before := state()
			if tt.auto {
				b.set, b.cfg.Approve = load(t, policies), sweeper.ApproveAuto
				if o := b.sweep(t)["events"]; o.State != purge.Succeeded || o.Deleted != 4 {
					t.Errorf("%s: %+v", o.State, o)
				}
				return
			}
			o := b.runs(t, policies)
			if tt.want == "" {
				if o.State != purge.Succeeded || state() == before && tt.age == "" {
					t.Errorf("%s: %s: %+v", o.State, o.StopReason, o)
				}
				return
			}
			want := strings.NewReplacer("DAY", time.Now().UTC().Format(time.DateOnly), "SHA", version).Replace(tt.want)
			if o.State != purge.AwaitingApproval || !strings.HasPrefix(o.StopReason, want) || !strings.Contains(o.StopReason, "; approve with: sweeper approve events --plan "+o.PlanHash) {
				t.Errorf("got  %s: %s\nwant %s", o.State, o.StopReason, want)
			}
			if state() != before {
				t.Error("it touched rows all the same")
			}
			b.approve(t, o)
			if o := b.runs(t, policies); o.State != purge.Succeeded || o.Deleted+o.Redacted != 4 {
				t.Errorf("approved: %+v", o)
			}
		})
	}
}

// TestShorterWindowThatFoundNothing has a shorter window in force over rows that
// are all too young for it. It was never approved, so it waits when they are not
// any more, and a set between does not change that.
func TestShorterWindowThatFoundNothing(t *testing.T) {
	t.Parallel()
	five, one := guarded("delete: {after: P5Y}"), guarded("delete: {after: P1Y}")
	b := setup(t, events, five)
	b.aged(t, 4, "360 days")
	for _, policies := range []string{five, one, guarded("delete: {after: P2Y}"), one} {
		if o := b.runs(t, policies); o.State != purge.Succeeded || o.Deleted != 0 {
			t.Fatalf("nothing is due: %+v", o)
		}
	}
	b.db.Exec(t, `update app.events set at = at - interval '10 days'`)
	o := b.runs(t, one)
	if want := "delete.after was P2Y when it ran on "; o.State != purge.AwaitingApproval || !strings.HasPrefix(o.StopReason, want) {
		t.Fatalf("%s: %s", o.State, o.StopReason)
	}
	b.approve(t, o)
	if o := b.runs(t, one); o.State != purge.Succeeded || o.Deleted != 4 {
		t.Errorf("approved: %+v", o)
	}
}

// TestShortenedWindowWaitsInDaemon reloads a shorter window under a daemon.
func TestShortenedWindowWaitsInDaemon(t *testing.T) {
	t.Parallel()
	five := guarded("delete: {after: P5Y}")
	b := daemon(t, events, five)
	b.cfg.Approve = sweeper.ApproveManual
	b.fill(t, 0, 10)
	d := b.start(t, b.cfg)
	b.until(t, "the schedule is stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	b.until(t, "the first run purges", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and deleted = 10`)
	b.aged(t, 4, "2 years")
	write(t, b.cfg.Policies, guarded("delete: {after: P1Y}"))
	pgtest.Eventually(t, "the set is taken", func() bool { return strings.Contains(d.log.String(), "policies reloaded") })
	b.due(t, "true")
	b.until(t, "the run waits", `select count(*) = 1 from sweeper.runs where state = 'awaiting_approval' and deleted = 0 and stop_reason like 'delete.after was P5Y when it ran on %, and is P1Y now: 4 rows would go; %'`)
	actor, reason := "jane", "seen"
	if err := sweeper.Approve(t.Context(), b.cfg, "events", b.text(t, `select plan_hash from sweeper.runs where state = 'awaiting_approval'`), &actor, &reason, nil); err != nil {
		t.Fatal(err)
	}
	b.until(t, "the approved run purges", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and deleted = 4`)
}

// TestFreedRowsWait has rows that another category kept, by a set under which all
// purged once, and no longer keeps: they wait in the category that is as it was, and
// in one that comes in the place of another.
func TestFreedRowsWait(t *testing.T) {
	t.Parallel()
	const (
		share  = ", limits: {max_share: 0}}\n"
		head   = "version: 1\ncategories:\n"
		events = "  events: {table: app.events, subject: who, start_from: at, delete: {after: P90D}" + share
		tax    = "  tax: {table: app.events, subject: who, start_from: at, delete: {after: P7Y}" + share
		kids   = "  parents: {table: app.parents, start_from: at, delete: {after: P90D}, children: [{table: app.events, match: {id: id}, action: delete}]" + share
	)
	for name, tt := range map[string]struct {
		was, now, runs string
		state          string // of the last run, so that it may be another
		want           string // why it waits, less the day; "": it does not
	}{
		"the same":                 {was: tax + events, now: tax + events, runs: "events"},
		"shorter":                  {was: tax + events, now: strings.Replace(tax, "P7Y", "P1Y", 1) + events, runs: "events", want: "category tax kept rows of app.events for P7Y on DAY, and keeps them for P1Y now: 4 rows would go"},
		"gone":                     {was: tax + events, now: events, runs: "events", want: "category tax kept rows of app.events for P7Y on DAY, and is gone now: 4 rows would go"},
		"another in its place":     {was: tax, now: strings.Replace(tax, "tax: ", "dues: ", 1), runs: "dues"},
		"a shorter one":            {was: tax, now: events, runs: "events", want: "category tax kept rows of app.events for P7Y on DAY, and is gone now: 4 rows would go"},
		"over what goes along":     {was: tax + kids, now: kids, runs: "parents", want: "category tax kept rows of app.events for P7Y on DAY, and is gone now: 4 rows would go"},
		"a pause after the change": {was: strings.Replace(events, "P90D", "P5Y", 1), now: events, runs: "events", state: "paused", want: "delete.after was P5Y when it ran on DAY, and is P90D now: 4 rows would go"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, notes+`; create table app.parents (id int primary key, at timestamptz not null)`, head+tt.was)
			due := func(n int, age string) {
				b.aged(t, n, age)
				b.db.Exec(t, `insert into app.parents select id, at from app.events on conflict do nothing`)
			}
			run := func(policies string) map[string]purge.Outcome {
				b.set, b.cfg.Approve = load(t, head+policies), sweeper.ApproveManual
				if _, err := sweeper.Install(t.Context(), b.cfg, b.log, b.set, false); err != nil {
					t.Fatalf("install: %v", err)
				}
				return b.sweep(t)
			}
			due(3, "8 years")
			run(tt.was)
			if left := b.text(t, `select count(*) from app.events`); left != "0" {
				t.Fatalf("%s rows are left of those that all let go", left)
			}
			if tt.state != "" {
				b.db.Exec(t, `update sweeper.runs set state = $1`, tt.state)
			}
			if tt.want == "" {
				due(4, "8 years")
			} else {
				due(4, "2 years")
			}
			o := run(tt.now)[tt.runs]
			if tt.want == "" {
				if left := b.text(t, `select count(*) from app.events`); o.State != purge.Succeeded || left != "0" {
					t.Errorf("%s: %s: %+v, %s rows are left", o.State, o.StopReason, o, left)
				}
				return
			}
			want := strings.ReplaceAll(tt.want, "DAY", time.Now().UTC().Format(time.DateOnly))
			if o.State != purge.AwaitingApproval || !strings.HasPrefix(o.StopReason, want) {
				t.Errorf("got  %s: %s\nwant %s", o.State, o.StopReason, want)
			}
			if left := b.text(t, `select count(*) from app.events`); left != "4" {
				t.Errorf("%s rows are left of 4 that wait", left)
			}
			actor, reason := "jane", "seen"
			if err := sweeper.Approve(t.Context(), b.cfg, tt.runs, o.PlanHash, &actor, &reason, nil); err != nil {
				t.Fatal(err)
			}
			if o := run(tt.now)[tt.runs]; o.State != purge.Succeeded || o.Deleted != 4 {
				t.Errorf("approved: %+v", o)
			}
			due(1, "2 years")
			b.db.Exec(t, `update sweeper.approvals set expires_at = now()`)
			if o := run(tt.now)[tt.runs]; o.State != purge.Succeeded || o.Deleted != 1 {
				t.Errorf("the run after: %+v", o)
			}
		})
	}
}

// TestNewNameThatFoundNothing gives a category another name and a shorter window,
// which finds nothing at first: what falls due by it later waits all the same.
func TestNewNameThatFoundNothing(t *testing.T) {
	t.Parallel()
	const head = "version: 1\ncategories:\n"
	was := head + "  tax: {table: app.events, subject: who, start_from: at, delete: {after: P7Y}, limits: {max_share: 0}}\n"
	b := setup(t, events, was)
	b.aged(t, 3, "8 years")
	b.runs(t, was)
	b.aged(t, 4, "360 days")
	now := guarded("delete: {after: P1Y}")
	for range 2 {
		if o := b.runs(t, now); o.State != purge.Succeeded || o.Deleted != 0 {
			t.Fatalf("nothing is due: %+v", o)
		}
	}
	b.db.Exec(t, `update app.events set at = at - interval '10 days'`)
	o := b.runs(t, now)
	if o.State != purge.AwaitingApproval || !strings.HasPrefix(o.StopReason, "category tax kept rows of app.events for P7Y on ") {
		t.Fatalf("%s: %s", o.State, o.StopReason)
	}
	b.approve(t, o)
	if o := b.runs(t, now); o.State != purge.Succeeded || o.Deleted != 4 {
		t.Errorf("approved: %+v", o)
	}
}
