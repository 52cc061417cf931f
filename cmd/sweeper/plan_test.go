package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL+`;
		insert into app.events values (2001, null, 't1', 'u1'), (2002, now() + interval '1 day', 't1', 'u1')`, eventsPolicy)
	s.must(t, "hold", "apply", "--subject", "u99", "--reason", "case", "--actor", "legal")
	before := s.fingerprint(t)

	got := s.must(t, "plan", "-o", "json")
	rows := objects(t, got)
	want := "category relation disposition due held blocked not_started future scheduled partitions children batches walk coverage plan_hash " +
		"scheduled_estimated held_by blocked_by child_tables dropped_partitions kept_partitions walk_reason wal_bytes seconds rows_per_second rate_from " +
		"mode paused awaits_approval limits"
	if got.stderr != "" || len(rows) != 1 || keys(rows[0]) != fields(want) {
		t.Fatalf("%+v", got)
	}
	hash := rows[0]["plan_hash"]
	delete(rows[0], "plan_hash")
	if bytes, _ := rows[0]["wal_bytes"].(float64); bytes < 278*120 || bytes > 278*1000 {
		t.Errorf("wal_bytes %v", rows[0]["wal_bytes"])
	}
	delete(rows[0], "wal_bytes")
	held := 3.0 // of 720 to 1000 each hundredth: 799, 899, 999
	wantRow := map[string]any{
		"category": "events", "relation": "app.events", "disposition": "delete", "due": eventsDue - held, "held": held, "blocked": 0.0,
		"not_started": 1.0, "future": 1.0, "scheduled": 719.0, "partitions": 0.0, "children": 0.0, "batches": 1.0,
		"walk": "start", "coverage": "covered",
		"scheduled_estimated": false, "held_by": []any{map[string]any{"hold_id": 1.0, "rows": held}}, "blocked_by": []any{}, "child_tables": []any{},
		"dropped_partitions": []any{}, "kept_partitions": []any{}, "walk_reason": `start: index "events_at_idx" is in the order of "at"`,
		"seconds": 0.006, "rows_per_second": 50000.0, "rate_from": "default",
		"mode": "enforce", "paused": nil, "awaits_approval": "278 of 1002 rows would go, more than max_share 0.2 allows",
		"limits": map[string]any{"rows_per_second": 0.0, "max_rows_per_run": 0.0, "max_share": 0.2, "max_dead_share": 0.0, "window": ""},
	}
	if diff := cmp.Diff(wantRow, rows[0]); diff != "" {
		t.Error(diff)
	}
	if h, _ := hash.(string); len(h) != 32 {
		t.Errorf("plan_hash %v", hash)
	}
	small := objects(t, s.try(t, []string{"plan", "-o", "json"}, "SWEEPER_BATCH_ROWS=100"))
	if small[0]["batches"] != 3.0 || small[0]["plan_hash"] != hash {
		t.Errorf("in batches of 100 rows: %v", small[0])
	}

	table := s.must(t, "plan", "--category", "events")
	t.Logf("\n%s%s", table.stdout, table.stderr)
	if !strings.Contains(table.stderr, "sweeper: events: delete takes what started up to ") || !strings.Contains(table.stderr, "(P30D)\n") {
		t.Errorf("the cutoff is missing: %s", table.stderr)
	}
	for _, want := range []string{
		"sweeper: events: delete: held by hold 1 (3 rows)\n", "sweeper: events: delete: start: index \"events_at_idx\" is in the order of \"at\"\n",
		" of write-ahead log, at 50000 rows/s (no run of this database tells how fast it is)\n",
	} {
		if !strings.Contains(table.stderr, want) {
			t.Errorf("%q is missing: %s", want, table.stderr)
		}
	}
	later := objects(t, s.must(t, "plan", "--as-of", time.Now().AddDate(0, 0, 2).Format(time.RFC3339), "-o", "json"))
	if due := later[0]["due"].(float64); due < 320 || due > 330 || later[0]["future"] != 0.0 {
		t.Errorf("in two days %v rows will be due, %v lie in the future", due, later[0]["future"])
	}
	early := objects(t, s.must(t, "plan", "--as-of", time.Now().AddDate(0, 0, -2).Format(time.RFC3339), "-o", "json"))
	if due := early[0]["due"].(float64); due < 225 || due > 235 {
		t.Errorf("two days ago %v rows were due", due)
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("plan changed the database:\n%s", diff)
	}
}

// TestPlanOfRestricted has rows of which a view hides columns, held ones among
// them: the plan counts those that the view hides, and a sweep does nothing to them.
func TestPlanOfRestricted(t *testing.T) {
	t.Parallel()
	s := installed(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text, status text);
		insert into app.events select i, now() - i * interval '1 day', 'u' || i, case when i % 2 = 0 then 'open' else 'closed' end from generate_series(1, 100) i;
		insert into app.events values (101, null, 'u101', 'closed'), (102, now() + interval '1 day', 'u102', 'closed')`,
		"version: 1\ncategories:\n  events:\n    table: app.events\n    subject: who\n    where: [{column: status, op: eq, value: closed}]\n    start_from: at\n    restrict: {after: P30D, columns: [who]}\n    delete: {after: P90D}\n")
	s.must(t, "hold", "apply", "--subject", "u41", "--reason", "case", "--actor", "legal")
	before := s.fingerprint(t)
	rows := objects(t, s.must(t, "plan", "-o", "json"))
	if len(rows) != 2 || keys(rows[0]) != keys(rows[1]) || rows[0]["disposition"] != "delete" || rows[0]["plan_hash"] != rows[1]["plan_hash"] {
		t.Fatalf("%v", rows)
	}
	for key, want := range map[string]any{
		"disposition": "restrict", "due": 35.0, "held": 0.0, "blocked": 0.0, "not_started": 1.0, "future": 1.0, "scheduled": 15.0,
		"partitions": 0.0, "children": 0.0, "batches": 0.0, "walk": "view", "seconds": 0.0, "wal_bytes": 0.0,
	} {
		if got := rows[1][key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Error(diff)
	}
}

// TestPlanRestraints has everything that keeps a run from beginning or slows it:
// the plan tells of each, and of none that is not there.
func TestPlanRestraints(t *testing.T) {
	t.Parallel()
	limited := strings.Replace(eventsPolicy, "    delete:", "    limits: {rows_per_second: 50, max_rows_per_run: 100, max_dead_share: 0.25}\n    delete:", 1)
	s := installed(t, eventsDDL, limited)
	plan := func(want map[string]any, words []string, extra ...string) {
		t.Helper()
		row := objects(t, s.try(t, []string{"plan", "-o", "json"}, extra...))[0]
		for key, value := range want {
			if diff := cmp.Diff(value, row[key]); diff != "" {
				t.Errorf("%s: %s", key, diff)
			}
		}
		people := s.try(t, []string{"plan"}, extra...).stderr
		for _, word := range []string{"paused", "approval", "SWEEPER_WINDOW", "limits:", "observe"} {
			told := slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, word) })
			if strings.Contains(people, word) != told {
				t.Errorf("%q is told of: %v, want %v\n%s", word, !told, told, people)
			}
		}
		for _, w := range words {
			if !strings.Contains(people, "sweeper: "+w) {
				t.Errorf("%q is missing:\n%s", w, people)
			}
		}
	}
	waits := fmt.Sprintf("%d of 1000 rows would go, more than max_share 0.2 allows", eventsDue)
	limits := func(rate float64, window string) map[string]any {
		return map[string]any{"rows_per_second": rate, "max_rows_per_run": 100.0, "max_share": 0.2, "max_dead_share": 0.25, "window": window}
	}
	plan(map[string]any{"limits": limits(50, ""), "rows_per_second": 50.0, "rate_from": "limit", "seconds": float64(eventsDue) / 50, "paused": nil, "awaits_approval": waits},
		[]string{
			"events: a run would wait for approval: " + waits + "\n",
			"events: limits: 50 rows a second, 100 rows a run, a pause while more than 0.25 of the rows are dead\n",
			"events: delete: about 5.6s and ",
		}, "SWEEPER_ROWS_PER_SECOND=400")
	// The smaller rate counts; the window is told with its zone.
	now := time.Now().UTC()
	closed := now.Add(2*time.Hour).Format("15:00") + "-" + now.Add(3*time.Hour).Format("15:00")
	s.db.Exec(t, `select sweeper.set_paused('events', true, 'jane', 'month-end')`)
	plan(map[string]any{"limits": limits(20, closed), "rows_per_second": 20.0, "awaits_approval": nil},
		[]string{
			"runs by schedule begin in SWEEPER_WINDOW alone, " + closed + " UTC, which opens at " + now.Add(2*time.Hour).Format("2006-01-02 15:00:00 UTC"),
			"events: paused by jane since " + now.Format("2006-01-02T"), "events: limits: 20 rows a second, ",
		}, "SWEEPER_ROWS_PER_SECOND=20", "SWEEPER_WINDOW="+closed, "SWEEPER_APPROVE=auto")
	s.db.Exec(t, `select sweeper.set_paused('events', false, 'jane', 'done')`)
	// What was approved waits no longer, and what only observes never does.
	waiting := objects(t, s.try(t, []string{"sweep", "-o", "json"}))
	if waiting[0]["state"] != "awaiting_approval" {
		t.Fatalf("%v", waiting)
	}
	hash := objects(t, s.must(t, "plan", "-o", "json"))[0]["plan_hash"].(string)
	s.must(t, "approve", "events", "--plan", hash, "--actor", "a", "--reason", "r")
	plan(map[string]any{"awaits_approval": nil, "paused": nil, "mode": "enforce"}, []string{"events: limits: "})
	s.env = append([]string{"SWEEPER_POLICIES=" + policyFile(t, eventsPolicy+"    mode: observe\n")}, s.env...)
	plan(map[string]any{"awaits_approval": nil, "mode": "observe"}, []string{"events: mode is observe, so nothing goes\n"})
}

func TestPlanStatements(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, strings.Replace(eventsPolicy, "    delete:", `    redact: {after: P7D, columns: {who: {hmac: "x-%s"}}}
    delete:`, 1))
	got := s.must(t, "plan", "--sql")
	for _, want := range []string{
		"-- events: delete of app.events, walk start: batch\nWITH gone AS (DELETE FROM ONLY \"app\".\"events\" AS t WHERE ",
		"--   $1 = (the lower bound)\n--   $2 = (the upper bound)\n--   $3 = (the run)\n", "= '30 days'\n", "= (a key)\n",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
	rows := objects(t, s.must(t, "plan", "--sql", "-o", "json"))
	if keys(rows[0]) != fields("category kind relation partition walk statement sql parameters") || len(rows) != 10 {
		t.Errorf("%d rows, the first %v", len(rows), rows[0])
	}
	table := objects(t, s.must(t, "plan", "-o", "json"))
	if len(table) != 2 || table[0]["disposition"] != "delete" || table[1]["disposition"] != "redact" {
		t.Errorf("%v", table)
	}
}

func TestPlanPartitions(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", eventsPolicy)
	owner := s.db.Role(t, "owner", "nologin")
	s.db.Exec(t, `create schema app;
		create table app.events (id bigint, at timestamptz not null, tenant text, who text, primary key (id, at)) partition by range (at);
		create table app.events_1 partition of app.events for values from ('2020-01-01') to ('2020-02-01');
		create table app.events_2 partition of app.events for values from ('2020-02-01') to ('2020-03-01');
		create table app.events_3 partition of app.events for values from ('2020-03-01') to ('2099-01-01');
		insert into app.events select i, '2020-01-01'::timestamptz + i * interval '1 day' from generate_series(1, 100) i;
		alter table app.events owner to `+owner+`; alter table app.events_1 owner to `+owner+`; alter table app.events_2 owner to `+owner+`; alter table app.events_3 owner to `+owner)
	s.must(t, "install")
	s.db.Exec(t, "grant "+owner+" to sweeper_owner")
	rows := objects(t, s.must(t, "plan", "-o", "json"))
	dropped := []any{map[string]any{"partition": "app.events_1", "rows": 30.0}, map[string]any{"partition": "app.events_2", "rows": 29.0}}
	if diff := cmp.Diff(dropped, rows[0]["dropped_partitions"]); diff != "" {
		t.Error(diff)
	}
	kept := []any{map[string]any{"partition": "app.events_3", "reason": "not due by its bound", "rows": nil, "until": "2099-01-31T00:00:00Z"}}
	if diff := cmp.Diff(kept, rows[0]["kept_partitions"]); diff != "" {
		t.Error(diff)
	}
	if rows[0]["partitions"] != 2.0 || rows[0]["walk"] != "blocks, partition" || rows[0]["due"] != 100.0 {
		t.Errorf("%v", rows[0])
	}
	if got := s.must(t, "plan", "--sql"); !strings.Contains(got.stdout, "drop_partition of app.events, partition app.events_1, walk partition: drop\nSELECT sweeper.drop_partition(") {
		t.Errorf("no drop in\n%s", got.stdout)
	}
	people := s.must(t, "plan").stderr
	for _, want := range []string{
		"events: delete: partitions that go whole: app.events_1 (30 rows), app.events_2 (29 rows)\n",
		"events: delete: partitions that stay, since not due by its bound: app.events_3; the next one, app.events_3, not before 2099-01-31 00:00:00 UTC\n",
	} {
		if !strings.Contains(people, want) {
			t.Errorf("%q is not in\n%s", want, people)
		}
	}
	// A table that the publications do not hold yet.
	s.db.Exec(t, "alter publication sweeper drop table app.events")
	got := s.must(t, "plan")
	if !strings.Contains(got.stdout, " awaiting ") || !strings.Contains(got.stderr, `the owner of app.events runs: ALTER PUBLICATION "sweeper" ADD TABLE "app"."events";`) {
		t.Errorf("%+v", got)
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	cfg := sweeper.Config{Timezone: "Europe/Berlin"}
	for text, want := range map[string]string{
		"2026-03-17":                "2026-03-16T23:00:00Z",
		"2026-03-17 04:00":          "2026-03-17T03:00:00Z",
		"2026-03-17T04:00:00.5":     "2026-03-17T03:00:00.5Z",
		"2026-03-17T04:00:00Z":      "2026-03-17T04:00:00Z",
		"2026-03-17 04:00:00+02":    "2026-03-17T02:00:00Z",
		"2026-03-17 04:00:00+02:00": "2026-03-17T02:00:00Z",
		"yesterday":                 "",
		"":                          "",
		"17.3.2026":                 "",
		"0001-01-01":                "",
	} {
		got, err := instant(cfg, "as-of", text, false)
		switch {
		case want == "" && exitCode(err) != exitSetup:
			t.Errorf("%q: %v", text, err)
		case want != "" && got.UTC().Format(time.RFC3339Nano) != want:
			t.Errorf("%q: %v, %v", text, got.UTC(), err)
		}
	}
	// The day on which summer time begins has 23 hours.
	if got, err := instant(cfg, "expires-at", "2026-03-29", true); err != nil || got.UTC().Format(time.RFC3339) != "2026-03-29T22:00:00Z" {
		t.Errorf("the end of a day: %v, %v", got.UTC(), err)
	}
}
