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
		"schedule": "0 3 * * *", "limits": map[string]any{"max_rows_per_run": 0.0, "max_share": 0.2, "rows_per_second": 0.0, "max_dead_share": 0.0}, "delete": map[string]any{"after": "P30D"},
		"start_from": map[string]any{"column": "at", "event": nil, "unit": nil, "table": nil, "match": nil, "pick": nil},
		"redact":     nil, "restrict": nil, "partitions": nil, "manifest": "count", "evidence": "batch", "review": "none", "lock": false,
		"window": map[string]any{"min": nil, "max": nil, "allowed_days": []any{}}, "children": []any{}, "notify": nil, "override": nil,
		"posture": "Below floor", "regulation": nil, "not_applied": []any{}, "where": []any{}, "where_sql": nil, "bulk_filter": []any{},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, rows[0][name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	table := try(t, []string{"SWEEPER_POLICIES=" + path}, []string{"lint"})
	if want := "CATEGORY  TABLE       START_FROM  RESTRICT_AFTER  REDACT_AFTER  DELETE_AFTER  BASIS_MINIMUM  POSTURE      MODE     ENABLED  FILE"; table.code != exitDone || !strings.HasPrefix(table.stdout, want) {
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

const warnedPolicy = `version: 1
categories:
  kept:
    basis: aml_eu
    table: app.kept
    start_from: {column: at, event: relationship_end}
    delete: {after: P4Y}
    override: {reason: the supervisor agreed, approver: Ann}
    notify: {before: P30D}
`

// TestLintWarns holds that warnings are told with their place, fail only with
// --strict, and that what this version does not apply is shown and not refused.
func TestLintWarns(t *testing.T) {
	t.Parallel()
	path := policyFile(t, warnedPolicy)
	warnings := "warning: " + path + `:8:5: delete.after P4Y is shorter than the P5Y that "aml_eu" asks for (Directive (EU) 2015/849 Art. 40(1)) for a start on 2024-01-01; overridden because of "the supervisor agreed", approved by "Ann"
      override: {reason: the supervisor agreed, approver: Ann}
      ^
warning: ` + path + `:9:5: "notify" is valid, but this version does not apply it: install, sweep and run refuse the policies until it does
      notify: {before: P30D}
      ^
`
	got := try(t, nil, []string{"lint", path, "--offline", "-o", "json"})
	if got.code != exitDone || got.stderr != warnings {
		t.Errorf("code %d, stderr\n%s\nwant\n%s", got.code, got.stderr, warnings)
	}
	row := objects(t, got)[0]
	law := map[string]any{
		"id": "aml_eu", "name": "EU Anti-Money Laundering Directive", "citation": "Directive (EU) 2015/849 Art. 40(1)", "kind": "legal_obligation",
		"minimum": "P5Y", "maximum": "P10Y",
	}
	if diff := cmp.Diff(law, row["regulation"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"notify"}, row["not_applied"]); diff != "" || row["posture"] != "Follows GDPR Art. 5(1)(e)" {
		t.Errorf("%v, posture %v", diff, row["posture"])
	}
	strict := try(t, nil, []string{"lint", path, "--offline", "--strict"})
	if strict.code != exitSetup || strict.stderr != warnings+"sweeper: 2 warnings, which --strict does not let pass\n" || !strings.Contains(strict.stdout, "P4Y") {
		t.Errorf("--strict: %+v", strict)
	}
}

// TestLintReadsAFolder holds that the shipped folder is one of policies: the
// catalogue of regulations beside them is passed over, one that was changed is not.
func TestLintReadsAFolder(t *testing.T) {
	t.Parallel()
	if got := try(t, nil, []string{"lint", "../../policies", "--offline", "--strict"}); got.code != exitDone || got.stderr != "" {
		t.Errorf("the shipped folder: %+v", got)
	}
	if got := try(t, nil, []string{"lint", "../../policies/regulations.yaml", "--offline"}); got.code != exitSetup || !strings.Contains(got.stderr, `regulations.yaml:14:1: unknown key "compiled"`) {
		t.Errorf("the catalogue as a policy: %+v", got)
	}
}

// TestRawSQLNeedsLeave holds that where_sql is read from the files and allowed
// by the environment alone.
func TestRawSQLNeedsLeave(t *testing.T) {
	t.Parallel()
	path := policyFile(t, eventsPolicy+"    where_sql: who <> 'x'\n")
	if got := try(t, nil, []string{"lint", path, "--offline"}); got.code != exitSetup || !strings.Contains(got.stderr, "where_sql is raw SQL, which only SWEEPER_ALLOW_RAW_SQL=true allows; write where, or set it") {
		t.Errorf("without leave: %+v", got)
	}
	if got := try(t, []string{"SWEEPER_ALLOW_RAW_SQL=true"}, []string{"lint", path, "--offline"}); got.code != exitDone || got.stderr != "" {
		t.Errorf("with leave: %+v", got)
	}
}

// TestKeysNotAppliedAreRefused holds that whoever is about to act on policies
// refuses what this version does not apply, before it looks for a database.
func TestKeysNotAppliedAreRefused(t *testing.T) {
	t.Parallel()
	path := policyFile(t, warnedPolicy)
	want := path + `:9:5: "notify" is part of the policy language but this version does not apply it; remove it
      notify: {before: P30D}
      ^
`
	env := []string{
		"SWEEPER_POLICIES=" + path, "SWEEPER_DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "SWEEPER_HTTP_ADDR=off",
		"SWEEPER_HMAC_KEY=" + strings.Repeat("ab", 32),
	}
	for _, line := range []string{"install", "install --print", "sweep", "sweep --category kept", "run"} {
		if got := try(t, env, strings.Fields(line)); got.code != exitSetup || !strings.HasSuffix(got.stderr, want) || got.stdout != "" {
			t.Errorf("%s: %+v", line, got)
		}
	}
}
