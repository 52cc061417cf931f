package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	fresh := s.must(t, "status")
	t.Logf("\n%s%s", fresh.stdout, fresh.stderr)
	if !strings.Contains(fresh.stderr, "sweeper: log: has not begun") || !strings.Contains(fresh.stderr, "sweeper: holds: 0 in force\n") {
		t.Errorf("before the first sweep: %s", fresh.stderr)
	}
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	s.must(t, "hold", "apply", "--tenant", "t1", "--reason", "r", "--actor", "a")
	got := s.must(t, "status", "-o", "json")
	rows := objects(t, got)
	want := "category enabled mode retention last_state last_sweep next_sweep due_rows held_rows blocked_rows oldest_overdue purged_total coverage run_done run_planned stop_reason waits_for paused dead_rows"
	if got.stderr != "" || len(rows) != 1 || keys(rows[0]) != fields(want) {
		t.Fatalf("%+v", got)
	}
	if rows[0]["last_state"] != "succeeded" || rows[0]["purged_total"] != float64(eventsDue) || rows[0]["due_rows"] != 0.0 || rows[0]["coverage"] != "covered" {
		t.Errorf("%v", rows[0])
	}
	if rows[0]["waits_for"] != nil || rows[0]["paused"] != nil || rows[0]["dead_rows"] == nil {
		t.Errorf("%v", rows[0])
	}
	table := s.must(t, "status")
	t.Logf("\n%s%s", table.stdout, table.stderr)
	for _, want := range []string{"sweeper: log: 5 entries, complete up to ", "read by nobody now\n", "sweeper: holds: 1 in force\n"} {
		if !strings.Contains(table.stderr, want) {
			t.Errorf("%q is not in %s", want, table.stderr)
		}
	}

	s.db.Exec(t, `select sweeper.set_paused('events', true, 'ops', 'peak hours')`)
	if paused := objects(t, s.must(t, "status", "-o", "json"))[0]["paused"]; !strings.HasPrefix(fmt.Sprint(paused), "by ops since 20") {
		t.Errorf("paused: %v", paused)
	}
	if got := s.try(t, []string{"sweep"}); got.code != exitFailed || !strings.Contains(got.stderr, "events: paused: the category is paused by ops since 20") {
		t.Errorf("a sweep under the pause: %+v", got)
	}

	s.db.Exec(t, "select pg_drop_replication_slot($1)", s.db.Slot())
	lost := s.try(t, []string{"status", "-o", "json"})
	if want := "sweeper: the purge log is not healthy: slot " + s.db.Slot() + " does not exist; run: sweeper install\n"; lost.code != exitIntegrity || lost.stderr != want || len(objects(t, lost)) != 1 {
		t.Errorf("without its slot: %+v", lost)
	}
}
