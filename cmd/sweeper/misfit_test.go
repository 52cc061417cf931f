package main

import (
	"strings"
	"testing"
)

// TestSweepExitCodeOfMisfit has one category that no longer fits beside one that
// does: that one is swept, and the exit code is that of a policy that is wrong.
func TestSweepExitCodeOfMisfit(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL+`; create table app.visits (id int primary key, at timestamptz)`,
		eventsPolicy+"  visits: {table: app.visits, start_from: at, delete: {after: P5Y}}\n")
	s.db.Exec(t, `alter table app.visits drop column at`)
	got := s.try(t, []string{"sweep", "-o", "json"}, "SWEEPER_APPROVE=auto")
	states := map[any]any{}
	for _, row := range objects(t, got) {
		states[row["category"]] = row["state"]
	}
	if got.code != exitSetup || states["events"] != "succeeded" || states["visits"] != "failed" || len(states) != 2 {
		t.Errorf("exit code %d, states %v", got.code, states)
	}
	if !strings.Contains(got.stderr, `column "at" does not exist in app.visits`) || strings.Contains(got.stderr, `\n`) {
		t.Errorf("it says %s", got.stderr)
	}
}
