package sweeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// atOnce is within what time after its approval a run begins.
const atOnce = 20 * time.Second

// TestApprovedRunBeginsAtOnce has a run wait for approval under a daemon: it
// begins when it is approved, and not with the next slot. An approval of what
// no longer waits moves nothing.
func TestApprovedRunBeginsAtOnce(t *testing.T) {
	t.Parallel()
	b := daemon(t, events, fiveYear)
	b.cfg.Approve = sweeper.ApproveManual
	b.fill(t, 0, 10)
	b.start(t, b.cfg)
	b.until(t, "the schedule is stored", `select count(*) = 1 from sweeper.schedules`)
	b.due(t, "true")
	b.until(t, "the run waits, and the slot has moved on", `select count(*) = 1 and (select bool_and(next_due > now()) from sweeper.schedules) from sweeper.runs where state = 'awaiting_approval'`)
	approve := func() {
		actor, reason := "jane", "seen"
		if err := sweeper.Approve(t.Context(), b.cfg, "events", b.text(t, `select max(plan_hash) from sweeper.runs`), &actor, &reason, nil); err != nil {
			t.Fatal(err)
		}
	}
	approve()
	began := time.Now()
	b.until(t, "the approved run purges", `select count(*) = 1 from sweeper.runs where state = 'succeeded' and deleted = 10`)
	if took := time.Since(began); took > atOnce {
		t.Errorf("it took %s", took)
	} else {
		t.Logf("purged %s after the approval", took.Round(time.Millisecond))
	}
	b.until(t, "the schedule goes on", `select bool_and(next_due > now()) from sweeper.schedules`)
	next := b.text(t, `select next_due from sweeper.schedules`)
	approve()
	if got := b.text(t, `select next_due from sweeper.schedules`); got != next {
		t.Errorf("an approval of what does not wait moved the slot from %s to %s", next, got)
	}
	if got := b.text(t, `select count(*) from sweeper.runs`); got != "2" {
		t.Errorf("%s runs", got)
	}
}

// TestApprovalWithoutSchedule has nobody schedule the category: the approval
// makes no slot.
func TestApprovalWithoutSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.cfg.Approve = sweeper.ApproveManual
	b.fill(t, 0, 10)
	b.sweep(t)
	b.db.Exec(t, `insert into sweeper.schedules (category, expression, timezone) values ('events', '0 3 * * *', 'UTC')`)
	actor, reason := "jane", "seen"
	if err := sweeper.Approve(t.Context(), b.cfg, "events", b.text(t, `select plan_hash from sweeper.runs`), &actor, &reason, nil); err != nil {
		t.Fatal(err)
	}
	if got := b.text(t, `select next_due is null from sweeper.schedules`); got != "true" {
		t.Error("a category that nobody schedules has a slot")
	}
	if o := b.sweep(t)["events"]; o.Deleted != 10 {
		t.Errorf("the approved sweep: %+v", o)
	}
}

// TestApprovalIsUsedUp approves so many rows: several runs may take them, and what
// falls due by the same plan afterwards waits again.
func TestApprovalIsUsedUp(t *testing.T) {
	t.Parallel()
	policies := "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P5Y}, limits: {max_share: 0.2, max_rows_per_run: 4}}\n"
	b := setup(t, events, policies)
	sweep := func(state string, deleted int64) purge.Outcome {
		t.Helper()
		o := b.runs(t, policies)
		if o.State != state || o.Deleted != deleted {
			t.Fatalf("got %s, %d rows: %s; want %s, %d rows", o.State, o.Deleted, o.StopReason, state, deleted)
		}
		return o
	}
	b.aged(t, 10, "6 years")
	b.approve(t, sweep(purge.AwaitingApproval, 0))
	if got := b.text(t, `select object from sweeper.operator_log`); got != "events "+b.text(t, `select plan_hash from sweeper.runs`)+", up to 11 rows" {
		t.Errorf("written down is %q", got)
	}
	sweep(purge.Partial, 4)
	sweep(purge.Partial, 4)
	sweep(purge.Succeeded, 2)
	b.aged(t, 10, "6 years")
	o := sweep(purge.AwaitingApproval, 0)
	if !strings.HasPrefix(o.StopReason, "10 of 10 rows would go, more than max_share 0.2 allows; approve with: ") {
		t.Errorf("it waits because %s", o.StopReason)
	}
	// What was approved is said, though the database wants to hear of errors alone.
	b.db.Exec(t, `do $$ begin execute format('alter database %I set client_min_messages = error', current_database()); end $$`)
	actor, reason, said := "jane", "seen", ""
	if err := sweeper.Approve(t.Context(), b.cfg, "events", o.PlanHash, &actor, &reason, func(text string) { said += text }); err != nil {
		t.Fatal(err)
	}
	if want := "approved: plan " + o.PlanHash + " of category events, for 7 days and up to 11 rows"; said != want {
		t.Errorf("said %q, want %q", said, want)
	}
	sweep(purge.Partial, 4)
}

// TestApprovalOutlastsItsPartitions approves a plan by which partitions go. A run that
// ends before all have gone leaves another plan, of fewer partitions, for those after
// it: it is approved with the one that it is left of.
func TestApprovalOutlastsItsPartitions(t *testing.T) {
	t.Parallel()
	policies := "version: 1\ncategories:\n  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P1Y}, partitions: drop, limits: {max_share: 0.01, max_rows_per_run: 150}}\n"
	b := setup(t, strings.ReplaceAll(partitioned, "shots_owner", "approve_owner"), policies)
	b.db.Exec(t, `grant approve_owner to sweeper_owner`)
	b.cfg.Approve = sweeper.ApproveManual
	waits := b.sweep(t)["shots"]
	if waits.State != purge.AwaitingApproval {
		t.Fatalf("got %+v", waits)
	}
	actor, reason := "jane", "seen"
	if err := sweeper.Approve(t.Context(), b.cfg, "shots", waits.PlanHash, &actor, &reason, nil); err != nil {
		t.Fatal(err)
	}
	first := b.sweep(t)["shots"]
	if first.State != purge.Partial || first.PartitionsDropped == 0 || first.PlanHash != waits.PlanHash {
		t.Fatalf("the first run: %+v", first)
	}
	second := b.sweep(t)["shots"]
	if second.State != purge.Partial || second.Deleted == 0 || second.PlanHash == waits.PlanHash {
		t.Errorf("the run after it: %+v", second)
	}
}
