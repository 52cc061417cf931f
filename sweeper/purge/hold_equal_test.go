package purge_test

import (
	"fmt"
	"testing"
)

// TestHoldsCompareAsTheColumnDoes has a hold name its subject in other words
// than the row does. Where equal values may have different texts, comparing the
// texts would let a held row go; where they may not, it is what the index over
// the keys serves.
func TestHoldsCompareAsTheColumnDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ typ, row, other, hold string }{
		"text":                    {"text", "a", "A", "a"},
		"text of the C collation": {`text collate "C"`, "a", "A", "a"},
		"text that ignores case":  {"text collate app.blind", "Jane", "June", "jANE"},
		"varchar":                 {"varchar(9)", "a", "A", "a"},
		"a domain over varchar":   {"app.code", "a", "A", "a"},
		"citext":                  {"public.citext", "Jane", "June", "jANE"},
		"char":                    {"char(9)", "a", "b", "a   "},
		"numeric":                 {"numeric", "7.10", "7.11", "7.1"},
		"bigint":                  {"int8", "7", "8", " 007"},
		"uuid":                    {"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12", "A0EEBC999C0B4EF8BB6D6BB9BD380A11"},
		"date":                    {"date", "2001-02-03", "2001-02-04", "3 Feb 2001"},
		"timestamptz":             {"timestamptz", "2001-02-03 04:05:06Z", "2001-02-03 04:05:07Z", "2001-02-03 05:05:06+01"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, fmt.Sprintf(`create extension citext schema public; create schema app; create domain app.code as varchar(9) check (value <> '');
				create collation app.blind (provider = icu, locale = 'und-u-ka-shifted-ks-level1', deterministic = false);
				create table app.events (id int primary key, at timestamptz, who %[1]s, org %[1]s);
				insert into app.events values (1, '2015-01-01', '%[2]s', '%[2]s'), (2, '2015-01-01', '%[3]s', '%[2]s'), (3, '2015-01-01', '%[2]s', null), (4, '2015-01-01', null, '%[3]s')`, c.typ, c.row, c.other),
				`version: 1
categories:
  events: {table: app.events, subject: who, tenant: org, start_from: at, delete: {after: P5Y}}
`)
			b.db.Exec(t, fmt.Sprintf(`select sweeper.apply_hold('%[1]s', 'case', 'test', tenant => '%[1]s')`, c.hold))
			b.run(t, in2026)
			if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != "1 3" {
				t.Errorf("left are %q, want those of the held subject, 1 and 3", got)
			}
			b.db.Exec(t, `select sweeper.release_hold(hold_id, 'closed', 'test') from sweeper.legal_holds`)
			b.run(t, in2026)
			if got := b.text(t, `select count(*) from app.events`); got != "0" {
				t.Errorf("%s rows are left after the release", got)
			}
		})
	}
}
