package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const explainDDL = `create schema app;
	create table app.people (id text primary key, tenant text, state text, at timestamptz, mail text);
	create index on app.people (at);
	create table app.visits (id bigint primary key, person text not null constraint of_person references app.people, at timestamptz);
	create index on app.visits (person);
	create table app.pairs (a text, b int, at timestamptz, primary key (a, b))`

const explainPolicy = `
version: 1
timezone: Europe/Berlin
categories:
  guests:
    basis: consent
    table: app.people
    subject: id
    tenant: tenant
    where: [{column: state, op: eq, value: guest}]
    start_from: {event: leaving, column: at}
    redact: {after: P10D, columns: {mail: "null"}}
    delete: {after: P30D}
    limits: {max_share: 0}
  everybody:
    table: app.people
    subject: id
    start_from: at
    delete: {after: P1Y}
    limits: {max_share: 0}
  nobody: {table: app.people, start_from: at, delete: {after: P2Y}, enabled: false}
  visits: {table: app.visits, start_from: at, delete: {after: P2Y}, limits: {max_share: 0}}
  pairs: {table: app.pairs, start_from: at, delete: {after: P1D}, limits: {max_share: 0}}
`

// TestExplain asks of rows in every state, each kept by something else.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := installed(t, explainDDL+`;
		insert into app.people values ('none', 't', 'guest', null, 'secret'), ('future', 't', 'guest', now() + interval '1 day', 'secret'), ('young', 't', 'guest', now() - interval '5 days', 'secret'),
		  ('middle', 't', 'guest', now() - interval '20 days', 'secret'), ('held', 't', 'guest', now() - interval '2 years', 'secret'), ('old', 't', 'guest', now() - interval '2 years', 'secret'),
		  ('kept', 't', 'guest', now() - interval '100 days', 'secret'), ('seen', 't', 'guest', now() - interval '2 years', 'secret'), ('member', 't', 'member', now() - interval '20 days', 'secret'),
		  ('redacted', 't', 'guest', now() - interval '20 days', null);
		insert into app.visits values (1, 'seen', now()); insert into app.pairs values ('x', 7, now() - interval '3 days'), ('y', 8, now())`, explainPolicy)
	s.must(t, "hold", "apply", "--subject", "held", "--reason", "case", "--actor", "legal")
	for _, test := range []struct{ key, redact, delete, says string }{
		{"none", "not_started", "not_started", "its period has not begun: there is no leaving"},
		{"future", "future", "future", "its start lies in the future"},
		{"young", "scheduled", "scheduled", "it is not due before " + time.Now().AddDate(0, 0, 5).UTC().Format("2006-01-02")},
		{"middle", "due", "scheduled", "it is not due before "},
		{"held", "held", "held", "legal hold 1 is over it"},
		{"old", "due", "due", ""},
		{"kept", "due", "scheduled", "category everybody keeps it until "},
		{"seen", "due", "blocked", `foreign key "of_person" of app.visits still references it`},
		{"member", "not_selected", "not_selected", "the where of the category does not select it"},
		{"redacted", "done", "scheduled", "it is redacted already"},
	} {
		got := s.must(t, "explain", "app.people", test.key, "-o", "json")
		rows := objects(t, got)
		if len(rows) != 4 || keys(rows[1]) != fields("category relation disposition state window window_source basis due_at goes_at reasons log") {
			t.Fatalf("%s: %d rows: %+v", test.key, len(rows), got)
		}
		if rows[1]["category"] != "guests" || rows[1]["disposition"] != "redact" || rows[1]["state"] != test.redact || rows[2]["state"] != test.delete || rows[3]["state"] != "disabled" {
			t.Errorf("%s: %s", test.key, got.stdout)
		}
		if rows[1]["window"] != "P10D" || rows[2]["window"] != "P30D" || rows[2]["basis"] != "consent" || rows[2]["window_source"] != "policy" {
			t.Errorf("%s: the windows: %s", test.key, got.stdout)
		}
		if !strings.Contains(got.stdout, strings.ReplaceAll(test.says, `"`, `\"`)) || strings.Contains(got.stdout, "secret") {
			t.Errorf("%s: %q is not in %s", test.key, test.says, got.stdout)
		}
	}
	s.db.Exec(t, `insert into app.people values ('tenant', 'own', 'guest', now() - interval '35 days', 'secret'), ('short', 'brief', 'guest', now() - interval '95 days', 'secret');
		select sweeper.set_tenant_retention('guests', 'own', '90 days', 'jane', 'contract'), sweeper.set_tenant_retention('guests', 'brief', '5 days', 'jane', 'contract')`)
	for tenant, want := range map[string]string{"tenant": "scheduled tenant 90 days redact: due policy P10D", "short": "scheduled tenant 5 days redact: due tenant 5 days"} {
		rows := objects(t, s.must(t, "explain", "app.people", tenant, "-o", "json"))
		if got := fmt.Sprintf("%s %s %s redact: %s %s %s", rows[2]["state"], rows[2]["window_source"], rows[2]["window"], rows[1]["state"], rows[1]["window_source"], rows[1]["window"]); got != want {
			t.Errorf("%s: %s, want %s", tenant, got, want)
		}
	}
	if later := objects(t, s.must(t, "explain", "app.people", "young", "--as-of", time.Now().AddDate(0, 2, 0).Format(time.RFC3339), "-o", "json")); later[1]["state"] != "due" {
		t.Errorf("in two months: %v", later[1])
	}
	s.db.Exec(t, `insert into sweeper.schedules (category, expression, timezone, next_due) values ('guests', '@daily', 'UTC', now() - interval '1 hour') on conflict (category) do update set next_due = excluded.next_due`)
	if missed := s.must(t, "explain", "app.people", "old"); !strings.Contains(missed.stderr, "guests redact: its sweep was to begin at ") || !strings.Contains(missed.stderr, ", and no daemon has run it; see: sweeper status") || strings.Contains(missed.stderr, "goes with the sweep") {
		t.Errorf("a time that is past: %+v", missed)
	}
	s.db.Exec(t, `update sweeper.schedules set next_due = '2999-01-01' where category = 'guests'`)
	if ahead := s.must(t, "explain", "app.people", "old"); !strings.Contains(ahead.stderr, "guests redact: goes with the sweep of 2999-01-01") {
		t.Errorf("a time to come: %+v", ahead)
	}
	s.db.Exec(t, `select sweeper.set_paused('guests', true, 'jane@ops', 'month-end close')`)
	if paused := s.must(t, "explain", "app.people", "old"); !strings.Contains(paused.stderr, "guests redact: the category is paused by jane@ops since ") || strings.Contains(paused.stderr, "goes with the sweep") {
		t.Errorf("a paused category: %+v", paused)
	}
	s.db.Exec(t, `select sweeper.set_paused('guests', false, 'jane@ops', 'close is done')`)
	s.try(t, []string{"sweep"})
	gone := s.must(t, "explain", "app.people", "old")
	if !strings.Contains(gone.stderr, "app.people has no row with this key\n") || !strings.Contains(gone.stderr, "the purge log has it in entry ") || !strings.Contains(gone.stderr, ": delete manual on ") {
		t.Errorf("a row that has gone: %+v", gone)
	}
	if rows := objects(t, s.must(t, "explain", "app.people", "old", "-o", "json")); len(rows) != 1 || rows[0]["state"] != "absent" || len(rows[0]["log"].([]any)) != 1 {
		t.Errorf("a row that has gone: %v", rows)
	}
	if kept := s.must(t, "explain", "app.people", "middle"); !strings.Contains(kept.stderr, ": redact manual on ") {
		t.Errorf("a row that was redacted: %+v", kept)
	}
	if pair := s.must(t, "explain", "app.pairs", `["x","7"]`); !strings.Contains(pair.stderr, ": delete manual on ") {
		t.Errorf("a key of two columns: %+v", pair)
	}
	if pair := s.must(t, "explain", "app.pairs", `["y","8"]`); !strings.Contains(pair.stderr, "the purge log has no entry about it") {
		t.Errorf("a row that is there: %+v", pair)
	}
}

// TestExplainRefuses asks what cannot be answered.
func TestExplainRefuses(t *testing.T) {
	t.Parallel()
	s := installed(t, explainDDL, explainPolicy)
	for _, test := range []struct{ table, key, says string }{
		{"app.nothing", "1", "no policy governs app.nothing; see: sweeper lint -o json"},
		{"app.pairs", "x", `the key of app.pairs has 2 columns (a, b); write it as a JSON array of texts in this order, as ["a","1"]`},
		{"app.pairs", `["x","hidden"]`, "the key is no value of a, b, the key of app.pairs; write it as PostgreSQL prints it"},
	} {
		got := s.try(t, []string{"explain", test.table, test.key})
		if got.code != exitSetup || !strings.Contains(got.stderr, test.says) || strings.Contains(got.stderr, "hidden") {
			t.Errorf("%s %s: %+v", test.table, test.key, got)
		}
	}
}
