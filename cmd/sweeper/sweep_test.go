package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// The whole way of a sweep that needs approval.
func TestSweepAndApprove(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	waits := s.try(t, []string{"sweep"})
	t.Logf("\n%s%s", waits.stdout, waits.stderr)
	hash := objects(t, s.must(t, "plan", "-o", "json"))[0]["plan_hash"].(string)
	told := fmt.Sprintf("sweeper: events: awaiting_approval: %d of 1000 rows would go, more than max_share 0.2 allows; approve with: sweeper approve events --plan %s", eventsDue, hash)
	if waits.code != exitApproval || !strings.HasPrefix(waits.stderr, told) {
		t.Errorf("sweep over its limits: %+v", waits)
	}
	if got := s.try(t, []string{"sweep", "--category", "events", "--plan", strings.Repeat("0", 32)}); got.code != exitApproval || got.stdout != "" ||
		got.stderr != "sweeper: the plan has changed since; look at it again with: sweeper plan\n" {
		t.Errorf("another plan: %+v", got)
	}

	if got := s.try(t, []string{"approve", "events", "--plan", "abc", "--actor", "dpo", "--reason", "looked at"}); got.code != exitSetup ||
		!strings.Contains(got.stderr, fmt.Sprintf(`no run of category "events" waits for approval of plan abc; plan %s waits, of %d rows (SQLSTATE 22023)`, hash, eventsDue)) {
		t.Errorf("approval of another plan: %+v", got)
	}
	approve := []string{"approve", "events", "--plan", hash, "--actor", "dpo", "--reason", "looked at"}
	if got := s.must(t, approve...); got != (outcome{0, "", "sweeper: approved: plan " + hash + " of category events, for 7 days and up to " + fmt.Sprint((eventsDue*11+9)/10) + " rows\n"}) {
		t.Errorf("approve: %+v", got)
	}
	done := s.must(t, "sweep", "--category", "events", "--plan", hash, "-o", "json")
	rows := objects(t, done)
	want := "run_id category state as_of deleted redacted partitions_dropped children held blocked not_started remaining stop_reason"
	if len(rows) != 1 || keys(rows[0]) != fields(want) {
		t.Fatalf("%+v", done)
	}
	if rows[0]["state"] != "succeeded" || rows[0]["deleted"] != float64(eventsDue) || rows[0]["remaining"] != 0.0 || rows[0]["stop_reason"] != nil {
		t.Errorf("%v", rows[0])
	}
	if !strings.Contains(done.stderr, fmt.Sprintf("events: %d of %d rows (100 %%)\n", eventsDue, eventsDue)) {
		t.Errorf("no progress in %q", done.stderr)
	}
	again := s.must(t, "sweep")
	t.Logf("\n%s%s", again.stdout, again.stderr)
	if again.stderr != "" {
		t.Errorf("a sweep without work: %q", again.stderr)
	}
	entries := objects(t, s.must(t, "log", "tail", "-o", "json"))
	if last := entries[len(entries)-1]; last["kind"] != "delete" || last["row_count"] != float64(eventsDue) || last["actor"] != actor() || last["reason"] != "manual" {
		t.Errorf("the last entry: %v", last)
	}
}

// TestSweepShortened has a window become shorter between two sweeps: the second
// waits, however few rows it would take, and an approval is of its plan alone.
func TestSweepShortened(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	s.env = append([]string{"SWEEPER_POLICIES=" + policyFile(t, strings.Replace(eventsPolicy, "P30D", "P29D", 1))}, s.env...)
	admin := s.db.Conn(t, "")
	rows := func() int { return pgtest.QueryOne[int](t, admin, `select count(*) from app.events`) }
	before := rows()
	waits := s.try(t, []string{"sweep"})
	t.Logf("\n%s%s", waits.stdout, waits.stderr)
	hash := objects(t, s.must(t, "plan", "-o", "json"))[0]["plan_hash"].(string)
	told := "delete.after was P30D when it ran on " + time.Now().UTC().Format(time.DateOnly) + ", and is P29D now: 24 rows would go"
	if waits.code != exitApproval || !strings.HasPrefix(waits.stderr, "sweeper: events: awaiting_approval: "+told+"; approve with: sweeper approve events --plan "+hash) {
		t.Errorf("a shorter window: %+v", waits)
	}
	if got := rows(); got != before {
		t.Errorf("%d rows of %d are left", got, before)
	}
	if got := s.must(t, "plan").stderr; !strings.Contains(got, "sweeper: events: a run would wait for approval: "+told+"\n") {
		t.Errorf("the plan says %s", got)
	}
	s.must(t, "approve", "events", "--plan", hash, "--actor", "dpo", "--reason", "looked at")
	// What was approved is one text of the policies, and another has another plan.
	other := "SWEEPER_POLICIES=" + policyFile(t, strings.Replace(eventsPolicy, "P30D", "P28D", 1))
	if got := s.try(t, []string{"sweep", "--category", "events", "--plan", hash}, other); got.code != exitApproval {
		t.Errorf("the approved hash of another window: %+v", got)
	}
	if got := s.try(t, []string{"sweep"}, other); got.code != exitApproval {
		t.Errorf("another window: %+v", got)
	}
	if got := objects(t, s.must(t, "sweep", "-o", "json"))[0]; got["state"] != "succeeded" || got["deleted"] != 24.0 {
		t.Errorf("%v", got)
	}
}

func TestApproveRefused(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	before := s.fingerprint(t)
	for want, args := range map[string][]string{
		`approve the run: approve_run: category "evnts" is not one of the policies`: {"evnts", "--plan", "x"},
		`approve the run: approve_run: no run of category "events" waits for approval of plan x; none has run yet, and none waits before a sweep has found more than its limits allow (SQLSTATE 22023)`: {"events", "--plan", "x"},
		`approve the run: approve_run: plan_hash must not be empty (SQLSTATE 22023)`: {"events", "--plan", ""},
	} {
		args = append(append([]string{"approve"}, args...), "--actor", "a", "--reason", "r")
		if got := s.try(t, args); got.code != exitSetup || got.stdout != "" || !strings.HasPrefix(got.stderr, "sweeper: "+want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("it changed the database:\n%s", diff)
	}
}

// One category that fails leaves the others alone, and decides the exit code.
func TestSweepPartly(t *testing.T) {
	t.Parallel()
	s := newSite(t, eventsDDL+`;
		create table app.guarded (id bigint primary key, at timestamptz);
		insert into app.guarded select i, now() - interval '1 year' from generate_series(1, 10) i;
		create function app.keep() returns trigger language plpgsql as $$ begin return null; end $$;
		create trigger keep before delete on app.guarded for each row execute function app.keep()`, eventsPolicy+`  guarded:
    table: app.guarded
    start_from: at
    delete: {after: P30D}
`)
	s.must(t, "install")
	got := s.try(t, []string{"sweep", "-o", "json"}, "SWEEPER_APPROVE=auto")
	t.Log(got.stderr)
	states := map[any]any{}
	for _, row := range objects(t, got) {
		states[row["category"]] = row["state"]
	}
	if diff := cmp.Diff(map[any]any{"events": "succeeded", "guarded": "partial"}, states); diff != "" || got.code != exitFailed {
		t.Errorf("exit code %d\n%s", got.code, diff)
	}
	if !strings.Contains(got.stderr, "\nsweeper: guarded: partial: 10 due rows stay, though nothing refuses: trigger \"keep\" of app.guarded keeps them\n") {
		t.Errorf("the reason is missing: %s", got.stderr)
	}
}

// TestSweepProgress sweeps several categories: what is counted over all of them is
// not called one's, and what only observes is not waited for.
func TestSweepProgress(t *testing.T) {
	t.Parallel()
	policies := "version: 1\ncategories:\n"
	for _, name := range []string{"one", "two", "three"} {
		policies += "  " + name + ":\n    table: app." + name + "\n    start_from: at\n    delete: {after: P30D}\n"
	}
	ddl := "create schema app"
	for name, rows := range map[string]string{"one": "30", "two": "20", "three": "10"} {
		ddl += "; create table app." + name + " (id int primary key, at timestamptz not null); insert into app." + name + " select i, '2020-01-01' from generate_series(1, " + rows + ") i"
	}
	s := installed(t, ddl, policies+"    mode: observe\n")
	got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto")
	var lines []string
	for line := range strings.Lines(got.stderr) {
		if strings.Contains(line, " rows (") {
			lines = append(lines, line)
		}
	}
	if got.code != exitDone || len(lines) == 0 || !strings.HasPrefix(lines[0], "sweep of 2 categories, now ") || !strings.HasSuffix(lines[len(lines)-1], ": 50 of 50 rows (100 %)\n") {
		t.Errorf("%+v", got)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	is := func(state string, err error) purge.Outcome {
		return purge.Outcome{Category: "c", State: state, Err: err}
	}
	gone := pg.Wrap("delete", &pgconn.PgError{Code: "08006"})
	denied := pg.Wrap("delete", &pgconn.PgError{Code: "42501"})
	for name, tc := range map[string]struct {
		outcomes []purge.Outcome
		want     int
	}{
		"none":        {nil, exitDone},
		"fine":        {[]purge.Outcome{is(purge.Succeeded, nil), is(purge.Observed, nil)}, exitDone},
		"partial":     {[]purge.Outcome{is(purge.Succeeded, nil), is(purge.Partial, nil)}, exitFailed},
		"waits":       {[]purge.Outcome{is(purge.AwaitingApproval, nil)}, exitApproval},
		"both":        {[]purge.Outcome{is(purge.AwaitingApproval, nil), is(purge.Partial, nil)}, exitFailed},
		"stopped":     {[]purge.Outcome{is(purge.Stopped, context.Canceled)}, exitFailed},
		"failed":      {[]purge.Outcome{is(purge.Failed, errors.New("x"))}, exitFailed},
		"not covered": {[]purge.Outcome{is(purge.Failed, nil)}, exitFailed},
		"denied":      {[]purge.Outcome{is(purge.Failed, denied), is(purge.Partial, nil)}, exitSetup},
		"unreachable": {[]purge.Outcome{is(purge.Failed, denied), is(purge.Failed, gone)}, exitUnreachable},
	} {
		if got := exitCode(judge(tc.outcomes)); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
