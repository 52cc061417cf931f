package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLintOffline(t *testing.T) {
	t.Parallel()
	path := policyFile(t, eventsPolicy)
	got := try(t, nil, []string{"lint", path, "--offline", "-o", "json"})
	rows := objects(t, got)
	if got.code != exitDone || got.stderr != "" || len(rows) != 1 {
		t.Fatalf("%+v", got)
	}
	want := map[string]any{
		"category": "events", "table": "app.events", "subject": "who", "timezone": "UTC", "mode": "enforce", "enabled": true,
		"schedule": "0 3 * * *", "limits": map[string]any{"max_share": 0.2}, "delete": map[string]any{"after": "P30D"},
		"start_from": map[string]any{"column": "at", "event": nil}, "redact": nil, "partitions": nil, "manifest": "count",
	}
	for name, value := range want {
		if diff := cmp.Diff(value, rows[0][name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	table := try(t, []string{"SWEEPER_POLICIES=" + path}, []string{"lint"})
	if want := "CATEGORY  TABLE       START_FROM  REDACT_AFTER  DELETE_AFTER  MODE     ENABLED  FILE"; table.code != exitDone || !strings.HasPrefix(table.stdout, want) {
		t.Errorf("as a table: %+v", table)
	}
	if !strings.HasPrefix(table.stderr, "sweeper: no database is named, so the files alone were checked") {
		t.Errorf("without a database: %q", table.stderr)
	}
}

const lintedPolicy = eventsPolicy + `  parents:
    table: app.parents
    start_from: at
    delete: {after: P1Y}
  children:
    table: app.children
    start_from: at
    delete: {after: P1Y}
`

func TestLintAgainstCatalogue(t *testing.T) {
	t.Parallel()
	s := newSite(t, eventsDDL+`; alter table app.events alter at set not null;
		create table app.parents (id bigint primary key, at timestamptz not null);
		create table app.children (id bigint primary key, at timestamptz not null, parent bigint constraint of_parent references app.parents)`, lintedPolicy)
	s.env = append([]string{"SWEEPER_DATABASE_URL=" + s.db.URL("")}, s.env...) // the roles may not exist yet
	before := s.fingerprint(t)
	warning := `parents.yaml:10:12: foreign key "of_parent" of app.children has no index, so that each delete from app.parents reads that whole table; its owner runs: CREATE INDEX ON "app"."children" ("parent");`
	warning = "warning: " + s.policies + warning[strings.Index(warning, ":"):] + "\n      table: app.parents\n             ^\n"
	got := s.must(t, "lint")
	if got.stderr != warning {
		t.Errorf("got  %s\nwant %s", got.stderr, warning)
	}
	strict := s.try(t, []string{"lint", "--strict"})
	if strict.code != exitSetup || strict.stderr != warning+"sweeper: 1 warnings, which --strict does not let pass\n" {
		t.Errorf("--strict: %+v", strict)
	}
	if got := s.try(t, []string{"lint", "--offline", "--strict"}); got.code != exitDone || got.stderr != "" {
		t.Errorf("--offline --strict: %+v", got)
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("lint changed the database:\n%s", diff)
	}
}
