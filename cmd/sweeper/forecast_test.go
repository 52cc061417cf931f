package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForecast(t *testing.T) {
	t.Parallel()
	s := installed(t, `create schema app; create table app.events (id bigint primary key, at timestamptz, tenant text, who text);
		insert into app.events values (1, '2026-01-01', 't1', 'u1'), (2, '2026-01-30', 't1', 'u2'), (3, '2026-02-15', 't1', 'u2'), (4, '2026-04-01', 't1', 'u2'), (5, null, 't1', 'u2'), (6, '2026-01-01 23:30', 't1', 'u2')`,
		strings.Replace(eventsPolicy, "version: 1", "version: 1\ntimezone: Asia/Tokyo", 1))
	s.must(t, "hold", "apply", "--subject", "u2", "--reason", "case", "--actor", "legal")
	before := s.fingerprint(t)
	got := s.must(t, "forecast", "--months", "3", "--as-of", "2026-02-01", "-o", "json")
	row := func(month string, rows, overdue, held float64) map[string]any {
		return map[string]any{"category": "events", "relation": "app.events", "month": month, "disposition": "delete", "rows": rows, "overdue": overdue, "held": held}
	}
	// Row 2 is due in Tokyo on the first of March, row 6 on the first of February.
	if diff := cmp.Diff([]map[string]any{row("2026-02", 2, 2, 1), row("2026-03", 2, 0, 2), row("2026-04", 0, 0, 0)}, objects(t, got)); diff != "" {
		t.Error(diff)
	}
	if got := s.must(t, "forecast", "--months", "1", "--as-of", "2026-02-01", "-o", "csv"); got.stdout != "category,relation,month,disposition,rows,overdue,held\nevents,app.events,2026-02,delete,2,2,1\n" {
		t.Errorf("%+v", got)
	}
	if got := objects(t, s.must(t, "forecast", "-o", "json")); len(got) != 12 {
		t.Errorf("%d months", len(got))
	}
	if got := s.try(t, []string{"forecast", "--months", "0"}); got.code != exitSetup || !strings.Contains(got.stderr, "--months takes 1 to 120") {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("forecast changed the database:\n%s", diff)
	}
}
