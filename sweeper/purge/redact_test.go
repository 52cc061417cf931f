package purge_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// redacting has category events redact column v in one way.
func redacting(how policy.Redaction) func(*policy.Category) {
	return func(c *policy.Category) {
		how.Column = "v"
		c.Redact.Columns = []policy.Redaction{how}
	}
}

// path reads $.a[*].b as the loader does, for names without dots.
func path(text, action string) policy.JSONPath {
	p := policy.JSONPath{Path: text, Action: action}
	for _, part := range strings.Split(strings.TrimPrefix(text, "$."), ".") {
		name, each := strings.CutSuffix(part, "[*]")
		p.Steps = append(p.Steps, policy.Step{Member: name})
		if each {
			p.Steps = append(p.Steps, policy.Step{Each: true})
		}
	}
	return p
}

func cut(unit string) policy.Redaction {
	return policy.Redaction{Strategy: policy.Truncate, Unit: unit}
}

func last(n int) policy.Redaction { return policy.Redaction{Strategy: policy.Mask, KeepLast: n} }

func places(paths ...policy.JSONPath) policy.Redaction {
	return policy.Redaction{Strategy: policy.JSON, Paths: paths}
}

var zero = policy.Redaction{Strategy: policy.Zero}

// TestRedactions has values and what becomes of them, by type and strategy. NULL
// stays NULL, and a second sweep finds nothing to do: neither in what it changed
// nor in what it found done.
func TestRedactions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typ  string
		how  policy.Redaction
		want map[string]string // by literal; values that stay are not redacted at all
	}{
		"year":           {"date", cut("year"), map[string]string{"1987-05-13": "1987-01-01", "1987-01-01": "1987-01-01", "0044-03-15 BC": "0044-01-01 BC", "infinity": "infinity"}},
		"month":          {"timestamp", cut("month"), map[string]string{"2024-02-29 23:59:59.999999": "2024-02-01 00:00:00", "2024-02-01": "2024-02-01 00:00:00"}},
		"day of a date":  {"date", cut("day"), map[string]string{"1987-05-13": "1987-05-13"}},
		"hour":           {"timestamp(3)", cut("hour"), map[string]string{"2024-02-29 23:59:59.999": "2024-02-29 23:00:00", "infinity": "infinity"}},
		"day in Berlin":  {"timestamptz", cut("day"), map[string]string{"2023-03-26 12:00:00+02": "2023-03-25 23:00:00+00", "2023-03-25 23:00:00+00": "2023-03-25 23:00:00+00", "2023-03-25 22:59:59+00": "2023-03-24 23:00:00+00"}},
		"year in Berlin": {"timestamptz", cut("year"), map[string]string{"2023-07-01 00:00:00+00": "2022-12-31 23:00:00+00", "-infinity": "-infinity"}},
		"a domain":       {"app.day", cut("month"), map[string]string{"1987-05-13": "1987-05-01"}},

		"phone":       {"text", last(2), map[string]string{"+49 30 1234": "*********34", "12": "12", "1": "1", "": "", "***34": "***34", "äöü": "*öü", "😀😀😀": "*😀😀"}},
		"all":         {"varchar(10)", last(0), map[string]string{"geheim": "******", "": ""}},
		"padded":      {"char(8)", last(2), map[string]string{"secret": "****et  ", "a": "a       "}},
		"citext":      {"public.citext", last(1), map[string]string{"Secret": "*****t"}},
		"no order":    {`text collate app.blind`, last(1), map[string]string{"ab": "*b", "Ab": "*b"}},
		"mask domain": {"app.code", last(1), map[string]string{"abc": "**c"}},

		"remove":     {"jsonb", places(path("$.a.b", "remove")), map[string]string{`{"a": {"b": 1, "c": 2}}`: `{"a": {"c": 2}}`, `{"a": [1]}`: `{"a": [1]}`, `{"b": 1}`: `{"b": 1}`, `[1]`: `[1]`, `"a"`: `"a"`, `null`: `null`, `{"a": null}`: `{"a": null}`}},
		"null":       {"jsonb", places(path("$.a", "null")), map[string]string{`{"a": {"b": 1}}`: `{"a": null}`, `{"a": null}`: `{"a": null}`, `{"b": 1}`: `{"b": 1}`}},
		"each":       {"jsonb", places(path("$.a[*].b", "remove")), map[string]string{`{"a": [{"b": 1}, {"c": 2, "b": 3}, 4, null]}`: `{"a": [{}, {"c": 2}, 4, null]}`, `{"a": []}`: `{"a": []}`, `{"a": {"b": 1}}`: `{"a": {"b": 1}}`}},
		"each null":  {"jsonb", places(path("$.a[*]", "null")), map[string]string{`{"a": [1, [2], null]}`: `{"a": [null, null, null]}`, `{"a": [null]}`: `{"a": [null]}`}},
		"each gone":  {"jsonb", places(path("$.a[*]", "remove")), map[string]string{`{"a": [1, 2]}`: `{"a": []}`, `{"a": []}`: `{"a": []}`}},
		"two paths":  {"jsonb", places(path("$.passport", "remove"), path("$.notes", "null")), map[string]string{`{"notes": "x", "passport": "y", "z": 1.0}`: `{"z": 1.0, "notes": null}`, `{"notes": null}`: `{"notes": null}`}},
		"json":       {"json", places(path("$.a", "remove")), map[string]string{`{ "b" :1e5,  "a":2 }`: `{ "b" : 1e5 }`, `{ "b" :1e5 }`: `{ "b" :1e5 }`, `{"a":1,"a":2}`: `{}`}},
		"twice":      {"json", places(path("$.a", "null")), map[string]string{`{"a":"secret","a":null}`: `{ "a" : null, "a" : null }`, `{"a":null}`: `{"a":null}`}},
		"deep":       {"json", places(path("$.a[*].b.c", "null")), map[string]string{`{"a":[{"b":{"c":1}}, {"b": 7}]}`: `{ "a" : [{ "b" : { "c" : null } }, {"b": 7}] }`, `{"a":[{"b": 7}]}`: `{"a":[{"b": 7}]}`}},
		"odd member": {"jsonb", places(policy.JSONPath{Steps: []policy.Step{{Member: `a"b\c,{}`}}, Action: "remove"}, policy.JSONPath{Steps: []policy.Step{{Member: "NULL"}}, Action: "remove"}), map[string]string{`{"a\"b\\c,{}": 1, "NULL": 2, "x": 3}`: `{"x": 3}`}},

		"zero text": {"text", zero, map[string]string{"x": "", "": ""}}, "zero bytea": {"bytea", zero, map[string]string{`\x0102ff`: `\x000000`, `\x`: `\x`, `\x0000`: `\x0000`}},
		"zero int": {"int4", zero, map[string]string{"7": "0", "0": "0"}}, "zero numeric": {"numeric(6,2)", zero, map[string]string{"7.10": "0.00", "0": "0.00"}}, "zero float": {"float8", zero, map[string]string{"7.5": "0", "NaN": "0"}},
		"zero bool": {"bool", zero, map[string]string{"t": "false", "f": "false"}}, "zero json": {"json", zero, map[string]string{`{"a":1}`: "null", "null": "null"}}, "zero jsonb": {"jsonb", zero, map[string]string{`{"a":1}`: "null", "null": "null"}},
		"zero array": {"text[]", zero, map[string]string{"{a,b}": "{}", "{}": "{}"}}, "zero jsons": {"json[]", zero, map[string]string{`{"{}"}`: "{}"}},
		"zero uuid": {"uuid", zero, map[string]string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11": "00000000-0000-0000-0000-000000000000"}}, "zero inet": {"inet", zero, map[string]string{"10.1.2.3/8": "0.0.0.0/32", "::1": "0.0.0.0/32", "0.0.0.0": "0.0.0.0/32"}},
		"zero date": {"date", zero, map[string]string{"1987-05-13": "1970-01-01"}}, "zero timestamp": {"timestamp", zero, map[string]string{"1987-05-13": "1970-01-01 00:00:00"}}, "zero timestamptz": {"timestamptz", zero, map[string]string{"1987-05-13": "1970-01-01 00:00:00+00"}},
		"zero varchar": {"varchar(3)", zero, map[string]string{"abc": ""}}, "zero smallint": {"int2", zero, map[string]string{"7": "0"}}, "zero bigint": {"int8", zero, map[string]string{"7": "0"}}, "zero real": {"float4", zero, map[string]string{"7": "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fill, changes, want, n := "", int64(0), map[string]string{}, 0
			for value, becomes := range c.want {
				n++
				id := fmt.Sprintf("r%d", n)
				want[id] = becomes
				fill += fmt.Sprintf("insert into app.events values ('%s', '2015-01-01', 'u', '%s');", id, strings.ReplaceAll(value, "'", "''"))
			}
			b := setupWith(t, `create extension citext schema public; create schema app; create domain app.day as date check (value > '1900-01-01'); create domain app.code as varchar(9) check (value <> '');
				create collation app.blind (provider = icu, locale = 'und-u-ka-shifted-ks-level1', deterministic = false);
				create table app.events (id text primary key, at timestamptz, who text, v `+c.typ+`);`+fill+`insert into app.events values ('null', '2015-01-01', 'u', null)`,
				one("Europe/Berlin", "    redact: {after: P5Y, columns: {v: \"null\"}}\n"), redacting(c.how))
			before := map[string]string{}
			for id := range want {
				before[id] = b.text(t, `select v::text || '|' || xmin from app.events where id = $1`, id)
			}
			o := b.run(t, in2026)["events"]
			for id, w := range want {
				got, _, _ := strings.Cut(b.text(t, `select v::text || '|' || xmin from app.events where id = $1`, id), "|")
				if got != strings.TrimRight(w, " ") {
					t.Errorf("%s became %q, want %q", before[id], got, w)
				}
				if was, _, _ := strings.Cut(before[id], "|"); was != got {
					changes++
				} else if now := b.text(t, `select v::text || '|' || xmin from app.events where id = $1`, id); now != before[id] {
					t.Errorf("%s was written though nothing changed", before[id])
				}
			}
			if got := b.text(t, `select v is null from app.events where id = 'null'`); got != "true" {
				t.Error("NULL did not stay NULL")
			}
			if o.State != purge.Succeeded || o.Redacted != changes {
				t.Errorf("%d values changed; got %+v", changes, o)
			}
			if o := b.run(t, in2026)["events"]; o.Redacted != 0 || o.State != purge.Succeeded {
				t.Errorf("a second sweep: %+v", o)
			}
		})
	}
}

// TestTruncationComesToRest cuts drawn times around the clock changes of every
// zone, to every unit: what was cut once is not touched again.
func TestTruncationComesToRest(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	policies, ddl, fill := "version: 1\ncategories:\n", "create schema app;", ""
	all := append([]string{"America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut"}, zones...)
	for i, zone := range all {
		policies += fmt.Sprintf("  z%d: {table: app.z%[1]d, start_from: at, redact: {after: P1Y, columns: {h: \"null\", d: \"null\", m: \"null\", y: \"null\"}}}\n", i)
		ddl += fmt.Sprintf("create table app.z%d (id serial primary key, at timestamptz default '2015-01-01', h timestamptz, d timestamptz, m timestamptz, y timestamptz);", i)
		for _, at := range append(drawn(r, "timestamptz", zone, 80), "'2018-11-04 05:30:00+00'", "'2023-04-28 00:10:00+00'", "'2017-10-15 12:00:00+00'") {
			if !strings.Contains(at, "294276") {
				fill += fmt.Sprintf("insert into app.z%d (h, d, m, y) select x, x, x, x from (select %s::timestamptz) s(x);", i, at)
			}
		}
	}
	b := setupWith(t, ddl+fill, policies, func(c *policy.Category) {
		c.Timezone = all[c.Name[1]-'0']
		for i, unit := range []string{"hour", "day", "month", "year"} {
			c.Redact.Columns[i] = cut(unit)
			c.Redact.Columns[i].Column = unit[:1]
		}
	})
	for name, o := range b.run(t, in2026) {
		if o.Redacted == 0 || o.State != purge.Succeeded {
			t.Errorf("%s: %+v", name, o)
		}
	}
	for name, o := range b.run(t, in2026) {
		if o.Redacted != 0 || o.State != purge.Succeeded {
			t.Errorf("%s is not at rest: %+v", name, o)
		}
	}
}
