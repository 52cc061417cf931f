package sql_test

import (
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

var postures = []struct {
	retention any
	want      string
}{
	{nil, "Unlimited"},
	{"0 days", "Below floor"},
	{"89 days", "Below floor"},
	{"2 months 29 days", "Below floor"},
	{"3 months", "Reduced"},
	{"90 days", "Reduced"}, // as intervals a month has 30 days
	{"5 months 29 days", "Reduced"},
	{"6 months", "Aligned with the standard's principles"},
	{"11 months 29 days", "Aligned with the standard's principles"},
	{"12 months", "Follows GDPR Art. 5(1)(e)"},
	{"1 year", "Follows GDPR Art. 5(1)(e)"},
	{"84 months", "Follows GDPR Art. 5(1)(e)"},
	{"7 years", "Follows GDPR Art. 5(1)(e)"},
	{"84 months 1 day", "Above ceiling"},
	{"200 years", "Above ceiling"},
}

func TestPostureBoundaries(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "sweeper_daemon")
	for _, c := range postures {
		if got := pgtest.QueryOne[string](t, conn, `select sweeper.posture($1::text::interval)`, c.retention); got != c.want {
			t.Errorf("posture(%v): got %q, want %q", c.retention, got, c.want)
		}
	}
}

// TestPostureIsOne holds that what lint prints of a file is what the database
// says of the window.
func TestPostureIsOne(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "sweeper_daemon")
	periods := []*policy.Period{nil}
	for _, p := range []policy.Period{
		{},
		{Days: 89},
		{Days: 90},
		{Months: 3},
		{Months: 2, Days: 30},
		{Weeks: 12, Days: 5},
		{Weeks: 13},
		{Days: 179},
		{Days: 180},
		{Months: 6},
		{Days: 359},
		{Days: 360},
		{Months: 11, Days: 29},
		{Years: 1},
		{Months: 84},
		{Years: 7},
		{Days: 2520},
		{Days: 2521},
		{Years: 6, Months: 12, Days: 1},
		{Years: 200},
	} {
		periods = append(periods, &p)
	}
	for _, p := range periods {
		var interval *string
		if p != nil {
			text := p.Interval()
			interval = &text
		}
		if got, want := policy.Posture(p), pgtest.QueryOne[string](t, conn, `select sweeper.posture($1::text::interval)`, interval); got != want {
			t.Errorf("Posture(%v): got %q, the database says %q", p, got, want)
		}
	}
}

func TestPolicyStatus(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	govern(t, conn,
		map[string]any{"category": "a_year", "relation_name": "app.people", "subject_column": "id"},
		map[string]any{"category": "ages", "relation_name": "app.people", "retention": "200 years"},
		map[string]any{"category": "ever", "relation_name": "app.people", "retention": nil, "redact_after": "30 days", "mode": "observe", "enabled": false})
	got := texts(t, conn, `select format('%s %s %s %s %s %s %s', category, enabled, mode, retention, posture, coverage, purged_total)
		from sweeper.policy_status where retention_days is null or retention_days between 365 and 366 or retention_days between 73048 and 73050 order by 1`)
	want := []string{
		"a_year true enforce 1 year Follows GDPR Art. 5(1)(e) covered 0",
		"ages true enforce 200 years Above ceiling covered 0",
		"ever false observe  Unlimited covered 0",
	}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if plain := strings.NewReplacer(" t ", " true ", " f ", " false ").Replace(got[i]); plain != want[i] {
			t.Errorf("got %q, want %q", plain, want[i])
		}
	}
	exec(t, conn, `alter publication sweeper_redact drop table app.people`)
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from sweeper.policy_status where coverage = 'awaiting'`); n != 3 {
		t.Errorf("%d categories await coverage, want 3", n)
	}
}

// TestGovern follows the set of governed tables through what a sweep does to it.
func TestGovern(t *testing.T) {
	t.Parallel()
	db := installed(t)
	conn := db.Conn(t, "")
	refused(t, conn, "22004", `select sweeper.govern(null, '\x00')`)
	refused(t, conn, "22004", `select sweeper.govern('[]', null)`)
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from sweeper.governed`); n != 1 {
		t.Errorf("a refused call left %d categories, want 1", n)
	}
	same := map[string]any{"category": "people", "relation_name": "app.people", "subject_column": "id"}
	govern(t, conn, same)
	before := texts(t, conn, `select xmin::text from sweeper.governed`)
	govern(t, conn, same)
	if after := texts(t, conn, `select xmin::text from sweeper.governed`); after[0] != before[0] {
		t.Error("the same set was written again")
	}
	govern(t, conn)
	if n := pgtest.QueryOne[int](t, conn, `select count(*) from sweeper.governed`); n != 0 {
		t.Errorf("no categories leave %d", n)
	}
	refused(t, db.Conn(t, "sweeper_logger"), "42501", `select sweeper.govern('[]', '\x00')`)
}

func TestApproveRun(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	operator := login(t, db, "op", "sweeper_operator")
	exec(t, admin, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, planned)
		values (gen_random_uuid(), gen_random_uuid(), 'people', 'awaiting_approval', 'manual', 'x', now(), '\x00', 'abc', 105)`)
	exec(t, admin, `insert into sweeper.governed (category, relation, relation_name, mode, enabled, policy_sha256)
		select 'animals', relation, relation_name, mode, enabled, policy_sha256 from sweeper.governed`)
	for _, c := range []struct{ state, args, names string }{
		{"22004", `null, 'abc', 'me', 'why'`, "category"},
		{"22004", `'people', null, 'me', 'why'`, "plan_hash"},
		{"22023", `'people', 'abc', ' ', 'why'`, "actor"},
		{"22004", `'people', 'abc', 'me', null`, "reason"},
		{"22023", `'person', 'abc', 'me', 'why'`, "people"},
		{"22023", `'people', 'abd', 'me', 'why'`, "approval of plan abd; plan abc waits, of 105 rows"},
		{"22023", `'animals', 'abc', 'me', 'why'`, "none has run yet"},
	} {
		if err := refused(t, operator, c.state, `select sweeper.approve_run(`+c.args+`)`); !strings.Contains(err.Message, c.names) {
			t.Errorf("approve_run(%s): %q does not name %s", c.args, err.Message, c.names)
		}
	}
	if n := pgtest.QueryOne[int](t, admin, `select count(*) from sweeper.approvals`); n != 0 {
		t.Errorf("refused calls left %d approvals", n)
	}
	exec(t, operator, `select sweeper.approve_run('people', 'abc', 'me', 'why')`)
	got := pgtest.QueryOne[string](t, admin, `select format('%s %s %s %s', max_rows, actor, login, expires_at - approved_at) from sweeper.approvals`)
	if want := "116 me " + operator.Config().User + " 7 days"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	exec(t, admin, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash, planned)
		values (gen_random_uuid(), gen_random_uuid(), 'people', 'succeeded', 'manual', 'x', now(), '\x00', 'abc', 105)`)
	if err := refused(t, operator, "22023", `select sweeper.approve_run('people', 'abd', 'me', 'why')`); !strings.Contains(err.Message, "the last one ended as succeeded, so that nothing waits") {
		t.Errorf("%q", err.Message)
	}
}

func TestSetPaused(t *testing.T) {
	t.Parallel()
	db := installed(t)
	admin := db.Conn(t, "")
	operator := login(t, db, "op", "sweeper_operator")
	for _, c := range []struct{ state, args, names string }{
		{"22004", `null, true, 'me', 'why'`, "category"},
		{"22004", `'people', null, 'me', 'why'`, "paused"},
		{"22023", `'people', true, ' ', 'why'`, "actor"},
		{"22004", `'people', true, 'me', null`, "reason"},
		{"22023", `'person', true, 'me', 'why'`, "people"},
		{"22023", `'people', false, 'me', 'why'`, "is not paused; paused are none"},
	} {
		if err := refused(t, operator, c.state, `select sweeper.set_paused(`+c.args+`)`); !strings.Contains(err.Message, c.names) {
			t.Errorf("set_paused(%s): %q does not name %s", c.args, err.Message, c.names)
		}
	}
	state := func() string {
		return pgtest.QueryOne[string](t, admin, `select format('%s %s; %s calls; due %s', (select string_agg(concat_ws(' ', category, actor, reason, login = '`+operator.Config().User+`'), ',') from sweeper.paused),
			(select count(distinct paused_at) from sweeper.paused), (select count(*) from sweeper.operator_log where function = 'set_paused'),
			(select string_agg(category, ' ' order by category) from sweeper.schedules where next_due <= clock_timestamp()))`)
	}
	if got := state(); got != " 0; 0 calls; due " {
		t.Errorf("refused calls left %q", got)
	}
	// Of two categories with a slot in an hour, one was kept from running.
	exec(t, admin, `insert into sweeper.schedules (category, expression, timezone, next_due) select c, 'x', 'UTC', now() + interval '1 hour' from unnest(array['people', 'other']) c`)
	exec(t, operator, `select sweeper.set_paused('people', true, 'me', 'why')`)
	exec(t, operator, `select sweeper.set_paused('people', true, 'me', 'why else')`)
	if got := state(); got != "people me why else t 1; 2 calls; due " {
		t.Errorf("paused twice: %q", got)
	}
	exec(t, admin, `insert into sweeper.runs (run_id, sweep_id, category, state, reason, actor, as_of, policy_sha256, plan_hash)
		select gen_random_uuid(), gen_random_uuid(), c, case c when 'people' then 'paused' else 'succeeded' end, 'retention_cron', 'x', now(), '\x00', 'abc' from unnest(array['people', 'other']) c`)
	exec(t, operator, `select sweeper.set_paused('people', false, 'me', 'why')`)
	if got := state(); got != " 0; 3 calls; due people" {
		t.Errorf("after the pause: %q", got)
	}
	refused(t, login(t, db, "auditor", "sweeper_auditor"), "42501", `select sweeper.set_paused('people', true, 'me', 'why')`)
}
