package sample

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// asOf is the day that the tests load for; nothing of them depends on today.
var asOf = time.Date(2026, 3, 17, 0, 0, 0, 0, time.UTC)

// loaded is a database with the sample of rows rows, as of asOf.
func loaded(t *testing.T, rows int) *pgx.Conn {
	t.Helper()
	conn := pgtest.Database(t).Conn(t, "")
	began := time.Now()
	if err := load(t.Context(), conn, rows, asOf); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows in %v", rows, time.Since(began).Round(time.Millisecond))
	return conn
}

func TestLoadDefaultSize(t *testing.T) {
	t.Parallel()
	conn := loaded(t, DefaultRows)
	for table, want := range map[string]int{
		"applicants": 30_000, "documents": 40_000, "reviews": 20_000,
		"biometrics": 40_000, "liveness": 30_000, "audit_events": 40_000,
	} {
		if got := pgtest.QueryOne[int](t, conn, "select count(*) from kyc."+table); got != want {
			t.Errorf("%s: %d rows, want %d", table, got, want)
		}
	}

	// Per category of the sample policies: where its rows start, and how long it keeps them.
	for name, c := range map[string]struct{ table, start, where, keep string }{
		"approved_applicants": {"applicants", "relationship_ended_at", "status in ('approved', 'closed')", "5 years"},
		"rejected_applicants": {"applicants", "rejected_at", "status = 'rejected'", "90 days"},
		"document_images":     {"documents", "verified_at", "true", "5 years"},
		"biometric_data":      {"biometrics", "captured_at", "true", "30 days"},
		"liveness":            {"liveness", "captured_at", "true", "7 days"},
		"case_reviews":        {"reviews", "reviewed_at", "true", "5 years"},
		"audit_logs":          {"audit_events", "logged_at", "true", "7 years"},
	} {
		count := func(condition string) int {
			sql := strings.NewReplacer("START", c.start, "KEEP", "interval '"+c.keep+"'").Replace(
				"select count(*) from kyc." + c.table + " where " + c.where + " and " + condition)
			return pgtest.QueryOne[int](t, conn, strings.ReplaceAll(sql, "AS_OF", "timestamptz '2026-03-17 00:00Z'"))
		}
		due, later := count("START + KEEP <= AS_OF"), count("START <= AS_OF and START + KEEP > AS_OF")
		open, future := count("START is null"), count("START > AS_OF")
		t.Logf("%s: due %d, scheduled %d, not started %d, future %d", name, due, later, open, future)
		if due < 100 || later < 100 {
			t.Errorf("%s: %d due and %d not yet due, want at least 100 of each", name, due, later)
		}
		// The span: something in the oldest and in the newest of the eight years.
		if count("START < AS_OF - interval '7 years'") == 0 || count("START between AS_OF - interval '30 days' and AS_OF") == 0 {
			t.Errorf("%s does not span eight years", name)
		}
	}
}

func TestLoadMixesStates(t *testing.T) {
	t.Parallel()
	conn := loaded(t, 20_000)
	for what, sql := range map[string]string{
		"applicants of each status":        `select min(n) from (select count(*) as n from kyc.applicants group by status having count(*) > 0) as s`,
		"active relationships":             `select count(*) from kyc.applicants where status = 'approved' and relationship_ended_at is null`,
		"relationships with an agreed end": `select count(*) from kyc.applicants where relationship_ended_at > timestamptz '2026-03-17 00:00Z'`,
		"documents to verify":              `select count(*) from kyc.documents where verified_at is null`,
		"open reviews":                     `select count(*) from kyc.reviews where reviewed_at is null`,
		"captures from an older system":    `select count(*) from only kyc.biometrics_default where captured_at < '2018-03-01 00:00Z'`,
		"captures by a clock ahead":        `select count(*) from kyc.biometrics where captured_at > '2026-03-17 00:00Z'`,
		"workspaces, less 19":              `select count(distinct workspace_id) - 19 from kyc.applicants`,
		"applicants past five years, without a child that keeps them":   `select count(*) from kyc.applicants as a ` + past + ` and not ` + kept,
		"applicants past five years, with a younger review or document": `select count(*) from kyc.applicants as a ` + past + ` and ` + kept,
		"most applicants with a child": `select (avg((exists (select from kyc.documents where applicant_id = a.id)
			or exists (select from kyc.reviews where applicant_id = a.id))::int) > 0.7)::int from kyc.applicants as a`,
	} {
		if got := pgtest.QueryOne[int](t, conn, sql); got < 1 {
			t.Errorf("%s: %d", what, got)
		}
	}
	if got := pgtest.QueryOne[int](t, conn, `select count(distinct status) from kyc.applicants`); got != 4 {
		t.Errorf("%d statuses", got)
	}
}

// past and kept are conditions on an applicant a.
const (
	past = `where a.status in ('approved', 'closed') and a.relationship_ended_at + interval '5 years' <= timestamptz '2026-03-17 00:00Z'`
	kept = `(exists (select from kyc.reviews as r where r.applicant_id = a.id and r.reviewed_at + interval '5 years' > timestamptz '2026-03-17 00:00Z')
		or exists (select from kyc.documents as d where d.applicant_id = a.id and d.verified_at + interval '5 years' > timestamptz '2026-03-17 00:00Z'))`
)

func TestLoadMakesTheSchema(t *testing.T) {
	t.Parallel()
	conn := loaded(t, MinRows)
	for what, q := range map[string]struct {
		sql  string
		want int
	}{
		"partitions, one for the rest":   {`select count(*) from pg_inherits where inhparent = 'kyc.biometrics'::regclass`, 8*12 + 2 + 1},
		"partitions of liveness":         {`select count(*) from pg_inherits where inhparent = 'kyc.liveness'::regclass`, 8*12 + 2 + 1},
		"tables of another owner":        {`select count(*) from pg_class where relnamespace = 'kyc'::regnamespace and relowner <> 'kyc_owner'::regrole`, 0},
		"foreign keys without an action": {`select count(*) from pg_constraint where contype = 'f' and connamespace = 'kyc'::regnamespace and confdeltype = 'a'`, 2},
		"tables without a primary key": {`select count(*) from pg_class as c where relnamespace = 'kyc'::regnamespace and relkind in ('r', 'p')
			and not exists (select from pg_index where indrelid = c.oid and indisprimary)`, 0},
		"constraints not validated":             {`select count(*) from pg_constraint where connamespace = 'kyc'::regnamespace and not convalidated`, 0},
		"tables without statistics":             {`select count(*) from pg_class where relnamespace = 'kyc'::regnamespace and relkind = 'p' and reltuples < 1`, 0},
		"helpers left over":                     {`select count(*) from pg_proc where proname in ('pick', 'upto')`, 0},
		"the last partition ends a month ahead": {`select count(*) from pg_class where relname = 'biometrics_2026_04'`, 1},
	} {
		if got := pgtest.QueryOne[int](t, conn, q.sql); got != q.want {
			t.Errorf("%s: %d, want %d", what, got, q.want)
		}
	}
}

// digest is one hash over all rows of the sample.
const digest = `select md5(string_agg(t, ',' order by t collate "C")) from (
	select a::text as t from kyc.applicants as a union all select d::text from kyc.documents as d
	union all select r::text from kyc.reviews as r union all select b::text from kyc.biometrics as b
	union all select l::text from kyc.liveness as l union all select e::text from kyc.audit_events as e) as rows`

func TestLoadIsDeterministic(t *testing.T) {
	t.Parallel()
	first, second := loaded(t, MinRows), loaded(t, MinRows)
	// The session of a loader decides nothing.
	third := pgtest.Database(t).Conn(t, "")
	for _, sql := range []string{`set timezone = 'Asia/Tokyo'`, `set datestyle = 'German'`, `set search_path = kyc, public`} {
		if _, err := third.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := load(t.Context(), third, MinRows, asOf); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Exec(t.Context(), `reset all`); err != nil {
		t.Fatal(err)
	}
	want := pgtest.QueryOne[string](t, first, digest)
	for name, conn := range map[string]*pgx.Conn{"a second database": second, "a session with other settings": third} {
		if diff := cmp.Diff(want, pgtest.QueryOne[string](t, conn, digest)); diff != "" {
			t.Errorf("%s has other rows:\n%s", name, diff)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	conn := pgtest.Database(t).Conn(t, "")
	for _, rows := range []int{-1, 0, MinRows - 1, MaxRows + 1} {
		if err := Load(t.Context(), conn, rows); err == nil || !strings.Contains(err.Error(), "take 1000 to 50000000") {
			t.Errorf("%d rows: %v", rows, err)
		}
	}
	if err := Load(t.Context(), conn, MinRows); err != nil {
		t.Fatal(err)
	}
	if got := pgtest.QueryOne[int](t, conn, `select count(*) from kyc.audit_events where logged_at > now()`); got != 0 {
		t.Errorf("%d events lie ahead of the server's clock", got)
	}
	before := pgtest.QueryOne[string](t, conn, digest)
	err := Load(t.Context(), conn, MinRows)
	if err == nil || !strings.HasPrefix(err.Error(), `load the sample: schema "kyc" already exists`) {
		t.Errorf("a second load: %v", err)
	}
	if pgtest.QueryOne[string](t, conn, digest) != before {
		t.Error("a second load changed the rows")
	}
}
