package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHold(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	apply := []string{"hold", "apply", "--reason", "case 12", "--actor", "legal", "--reference", "12/2026"}
	first := s.must(t, append(apply, "--subject", "u1", "--category", "events", "--relation", "app.events", "--expires-at", "2099-12-31")...)
	if first != (outcome{exitDone, "1\n", ""}) {
		t.Errorf("apply: %+v", first)
	}
	second := s.must(t, append(apply, "--subject", "nobody")...)
	if second != (outcome{exitDone, "2\n", "sweeper: warning: hold 2 matches no row of any governed table; it will protect rows that come later\n"}) {
		t.Errorf("a hold without rows: %+v", second)
	}

	rows := objects(t, s.must(t, "hold", "list", "-o", "json"))
	want := "hold_id subject tenant category relation reason reference applied_by applied_at expires_at released_at released_by"
	if len(rows) != 2 || keys(rows[0]) != fields(want) {
		t.Fatalf("%v", rows)
	}
	if r := rows[0]; r["subject"] != "u1" || r["relation"] != "app.events" || r["reference"] != "12/2026" || r["expires_at"] != "2100-01-01T00:00:00Z" {
		t.Errorf("%v", r)
	}
	if got := s.must(t, "hold", "release", "2", "--reason", "closed", "--actor", "legal"); got != (outcome{exitDone, "", "sweeper: released: hold 2\n"}) {
		t.Errorf("release: %+v", got)
	}
	if left, all := objects(t, s.must(t, "hold", "list", "-o", "json")), objects(t, s.must(t, "hold", "list", "--all", "-o", "json")); len(left) != 1 || len(all) != 2 {
		t.Errorf("%d holds in force, %d in all", len(left), len(all))
	}
	table := s.must(t, "hold", "list")
	t.Logf("\n%s", table.stdout)

	before := s.fingerprint(t)
	refused := s.try(t, []string{"hold", "release", "2", "--reason", "closed", "--actor", "legal"})
	if refused.code != exitSetup || !strings.HasPrefix(refused.stderr, "sweeper: release the hold: release_hold: hold 2 was released on ") {
		t.Errorf("release again: %+v", refused)
	}
	for line, want := range map[string]string{
		"apply --subject u1 --actor a":                                    `required flag(s) "reason" not set (see: sweeper hold apply --help)`,
		"apply --reason r --actor a":                                      `at least one of the flags in the group [subject tenant category relation] is required (see: sweeper hold apply --help)`,
		"apply --subject u1 --reason r --actor=":                          `apply the hold: apply_hold: applied_by must not be empty (SQLSTATE 22023)`,
		"apply --category nope --reason r --actor a":                      `apply the hold: apply_hold: category "nope" is not one of the policies; known are events (SQLSTATE 22023)`,
		"apply --relation app.nope --reason r --actor a":                  `apply the hold: relation "app.nope" does not exist (SQLSTATE 42P01)`,
		"apply --relation a.b.c.d --reason r --actor a":                   `apply the hold: improper relation name (too many dotted names): a.b.c.d (SQLSTATE 42601)`,
		"apply --relation pg_catalog.pg_class --reason r --actor a":       `apply the hold: apply_hold: relation pg_class is governed by no policy (SQLSTATE 22023)`,
		"apply --subject u1 --reason r --actor a --expires-at soon":       `--expires-at "soon" is not a time; write 2026-03-17, "2026-03-17 04:00" or 2026-03-17T04:00:00Z`,
		"apply --subject u1 --reason r --actor a --expires-at 2020-01-01": `apply the hold: apply_hold: expires_at lies in the past (SQLSTATE 22023)`,
		"release x --reason r --actor a":                                  `"x" is not the id of a hold; see: sweeper hold list (see: sweeper hold release --help)`,
		"release 77 --reason r --actor a":                                 `release the hold: release_hold: hold 77 does not exist (SQLSTATE 22023)`,
		"release --reason r --actor a":                                    `accepts 1 arg(s), received 0 (see: sweeper hold release --help)`,
	} {
		if got := s.try(t, append([]string{"hold"}, strings.Fields(line)...)); got != (outcome{exitSetup, "", "sweeper: " + want + "\n"}) {
			t.Errorf("%s:\n%+v", line, got)
		}
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("it changed the database:\n%s", diff)
	}
}
