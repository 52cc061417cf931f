package modeltest_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// plain is a world that decides nothing by chance: people who are redacted after
// a month and deleted after a year, a subject under a hold, and no misfortune.
func plain() *world {
	w := &world{
		rng: rand.New(rand.NewPCG(1, 1)), tables: map[string]*table{}, sets: map[int]*policySet{}, startType: map[string]string{},
		retention: map[string]period{}, subjectType: "text", now: &policySet{version: 1, zone: time.UTC},
	}
	w.rowed("people", "timestamptz", []string{"id"}, map[string]string{"name": "text", "phone": "text"}, "")
	w.add(category{
		name: "people", table: "people", subject: "who", tenant: "tenant", delete: &period{12, 0},
		redact: &redaction{after: period{1, 0}, columns: []strategy{{"name", "null", ""}, {"phone", "mask", "2"}}},
	})
	w.sets[1] = w.now
	w.publish()
	w.ops = []op{
		{kind: "insert", sql: `insert into app.people (id, at, who, tenant, name, phone) select i, now() - (array['2 years', '2 months', '1 day', '2 years', '2 months'])[i]::interval,
			(array['s1', 's2', 's3', 'h', 'h'])[i], 't1', 'name ' || i, '123' || i from generate_series(1, 5) i`},
		{kind: "start"},
		{kind: "hold", sql: `select sweeper.apply_hold('h', 'case', 'model')`},
	}
	return w
}

// forged is a stamp of the last run, before the work of somebody else.
func forged(kind, work string) string {
	return `insert into sweeper.batches (fact, kind, reason, category, relation, run_id, policy_sha256)
		select 'stamp', '` + kind + `', 'manual', 'people', 'app.people', run_id, policy_sha256 from sweeper.runs order by started_at desc limit 1; ` + work
}

// TestJudgeSees plants what must never be into a database in which all is well,
// and looks whether the judge sees it.
func TestJudgeSees(t *testing.T) {
	t.Parallel()
	const mine = `insert into app.said values ('test'); `
	const open = `do $$ declare r regclass; begin
		for r in select oid from pg_class where relnamespace = 'sweeper'::regnamespace and relkind in ('r', 'p') loop execute format('alter table %s disable trigger user', r); end loop;
		end $$; `
	for name, c := range map[string]struct{ sql, want string }{
		"nothing":                               {`select`, ""},
		"a row deleted too early":               {forged("delete", `delete from app.people where id = 3`), "DELETE of a row that is not due"},
		"a row deleted before its redaction":    {forged("delete", `delete from app.people where id = 2`), "DELETE of a row that is not due"},
		"a held row deleted":                    {forged("delete", `delete from app.people where id = 4`), "DELETE of a row that is held"},
		"a held row redacted":                   {forged("redact", `update app.people set name = null, phone = '**35' where id = 5`), "UPDATE of a row that is held"},
		"a row redacted too early":              {forged("redact", `update app.people set name = null, phone = '**33' where id = 3`), "UPDATE of a row that is not due"},
		"a value that the policy does not say":  {forged("redact", `update app.people set phone = '**' where id = 2`), `column phone has become "**" (there: true), want "**32"`},
		"a clock that moved with a redaction":   {forged("redact", `update app.people set at = at - interval '1 year' where id = 2`), "column at has become"},
		"a row inserted by a purge":             {forged("delete", `insert into app.people (id) values (9)`), "did an INSERT of people"},
		"a purge for a run that has ended":      {forged("delete", `delete from app.people where id = 4`), "purges for a run that is succeeded"},
		"a purge without a stamp":               {`delete from app.people where id = 3`, "has neither a stamp nor is it the application's"},
		"a deletion that the log does not have": {mine + `delete from app.people where id = 3`, "stands in the log 0 times, want 1"},
		"a due row that is left":                {mine + `insert into app.people (id, at, who) values (9, '2020-01-01', 's9')`, "1 due rows of people are left: 9 of people (delete)"},
		"a row that is not redacted":            {mine + `update app.people set name = 'again' where id = 2`, "1 due rows of people are left: 2 of people (redact)"},
		"an entry that is gone":                 {open + `delete from sweeper.purge_log where kind = 'delete'`, "want 1"},
		"an entry that is there twice":          {open + `alter table sweeper.purge_log drop constraint purge_log_pkey; insert into sweeper.purge_log select * from sweeper.purge_log where kind = 'delete'`, "stands in the log 2 times, want 1"},
		"a commitment that is gone":             {open + `update sweeper.purge_rows set commitments = ''`, "row commitment"},
		"a changed entry":                       {open + `update sweeper.purge_log set actor = 'nobody'`, "verify_chain"},
		"a count that is wrong":                 {`update sweeper.runs set held = held + 1`, "the model has succeeded with {held:2"},
		"a run that counts too much":            {`update sweeper.runs set deleted = deleted + 1`, "runs count other rows than the log"},
		"a purge that is missing":               {open + `delete from sweeper.purges`, "runs and tenants are missing in purges"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, plain())
			s.play()
			e, began := s.last()
			s.must(c.sql)
			problems := s.judged(e, began).problems
			found := false
			for _, p := range problems {
				found = found || c.want != "" && strings.Contains(p, c.want)
			}
			if found != (c.want != "") || c.want == "" && len(problems) > 0 {
				t.Errorf("the judge said %q, want %q", problems, c.want)
			}
		})
	}
}
