package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// withChild is a category with children, whose table stands at 8:17.
func withChild(children ...string) string {
	return plain + "    children:\n      - {table: app.kids, " + strings.Join(children, "}\n      - {table: ") + "}\n"
}

func TestLintChildren(t *testing.T) {
	t.Parallel()
	kids := func(key string) string {
		return plainTable + `create table app.kids (id int primary key, parent int ` + key + `, email text unique, at timestamptz, doc json, needed int not null, object_key text, copies text[]);`
	}
	const (
		inChild = "policies.yaml:8:17: "
		fk      = "constraint of_parent references app.events "
		goes    = "match: {parent: id}"
		keepers = `create table app.grandkids (id int primary key, kid int constraint of_kid references app.kids);`
	)
	lints(t, map[string]lintCase{
		"no foreign key":     {kids(""), withChild(goes), nil},
		"restrict":           {kids(fk), withChild(goes), nil},
		"cascade":            {kids(fk + "on delete cascade"), withChild(goes), nil},
		"cascade, nullified": {kids(fk + "on delete cascade"), withChild(goes + ", action: nullify"), nil},
		"set null":           {kids(fk + "on delete set null"), withChild(goes), nil},
		"cascade, kept": {kids(fk + "on delete cascade"), withChild(goes + ", action: keep"), []string{
			inTable + `foreign key "of_parent" of app.kids is ON DELETE CASCADE, which the rows of app.kids would not outlast, and its child says action: keep; make it ON DELETE RESTRICT, or say action: delete or nullify`,
		}},
		"restrict, kept": {kids(fk), withChild(goes + ", action: keep"), []string{
			inTable + `foreign key "of_parent" of app.kids keeps every row of app.events that it points at, and its child says action: keep; say action: delete or nullify, or give app.kids a category of its own`,
		}},
		"restrict, redacted": {kids(fk), withChild(goes + `, action: redact, columns: {email: "null"}`), []string{
			inTable + `foreign key "of_parent" of app.kids keeps every row of app.events that it points at, and its child says action: redact; say action: delete or nullify, or give app.kids a category of its own`,
		}},
		"restrict, with the redaction": {kids(fk), redacting("who: zero") + "    delete: {after: P5Y}\n    children: [{table: app.kids, match: {parent: id}, on: redact}]\n", []string{
			inTable + `foreign key "of_parent" of app.kids keeps every row of app.events that it points at, and its child says on: redact; say action: delete or nullify, or give app.kids a category of its own`,
		}},
		"restrict, kept, of its own": {kids(fk), withChild(goes+", action: keep") + "  kids: {table: app.kids, start_from: at, delete: {after: P5Y}}\n", nil},
		"another match": {kids(fk), withChild("match: {needed: id}"), []string{
			inTable + `foreign key "of_parent" of app.kids keeps every row of app.events that it points at, and no category deletes from app.kids; declare it in children, or add one`,
		}},
		"two foreign keys, one declared": {kids(fk) + `alter table app.kids add other int constraint of_other references app.events on delete cascade`, withChild(goes), []string{
			inTable + `foreign key "of_other" of app.kids is ON DELETE CASCADE: deleting from app.events would change rows there that no policy judged; declare app.kids in children, or make it ON DELETE RESTRICT and give app.kids a category of its own`,
		}},
		"grandchild, undeclared": {kids(fk) + keepers, withChild(goes), []string{
			inChild + `foreign key "of_kid" of app.grandkids keeps every row of app.kids that it points at, and no category deletes from app.grandkids; declare it in children, or add one`,
		}},
		"grandchild, declared":         {kids(fk) + keepers, withChild(goes + ", children: [{table: app.grandkids, match: {kid: id}}]"), nil},
		"grandchild of one that stays": {kids("") + keepers, withChild(goes + ", action: nullify"), nil},
		"grandchild, unknown": {kids(fk), withChild(goes + ", children: [{table: app.grandkid, match: {kid: id}}]"), []string{
			"policies.yaml:8:67: table app.grandkid does not exist, or this role may not see its schema; names are case-sensitive here",
		}},
		"unknown":         {plainTable, withChild(goes), []string{inChild + "table app.kids does not exist, or this role may not see its schema; names are case-sensitive here"}},
		"a view":          {plainTable + `create view app.kids as select 1 as parent`, withChild(goes), []string{inChild + "app.kids is a view; policies apply to tables"}},
		"unlogged":        {strings.Replace(kids(""), "create table app.kids", "create unlogged table app.kids", 1), withChild(goes), []string{inChild + "app.kids is UNLOGGED: what is deleted from it is not in the write-ahead log and cannot be proved"}},
		"no key":          {plainTable + `create table app.kids (parent int)`, withChild(goes), []string{inChild + `app.kids has no replica identity, so the write-ahead log would not tell which row was deleted, and publishing it would make the application's own DELETE fail; add a primary key, or run: ALTER TABLE "app"."kids" REPLICA IDENTITY USING INDEX …`}},
		"full":            {kids("") + `alter table app.kids replica identity full`, withChild(goes + ", action: nullify"), []string{inChild + `app.kids has REPLICA IDENTITY FULL, which puts whole rows into the write-ahead log and forbids column lists; run: ALTER TABLE "app"."kids" REPLICA IDENTITY DEFAULT;`}},
		"secured":         {kids("") + `alter table app.kids enable row level security; create policy p on app.kids for select using (true)`, withChild(goes), []string{inChild + `row security on app.kids could hide rows from a DELETE of role "sweeper_daemon", and hidden rows would be kept in silence; give the role BYPASSRLS, or a permissive policy USING (true) and no restrictive one`}},
		"match of theirs": {kids(""), withChild("match: {parnet: id}"), []string{`policies.yaml:8:43: column "parnet" does not exist in app.kids; did you mean "parent"?`}},
		"match of ours":   {kids(""), withChild("match: {parent: idd}"), []string{`policies.yaml:8:43: column "idd" does not exist in app.events; did you mean "id"?`}},
		"match json":      {kids(""), withChild("match: {doc: id}"), []string{`policies.yaml:8:40: column "doc" of app.kids is json, whose values cannot be compared`}},
		"match of other types": {kids(""), withChild("match: {email: id}"), []string{
			`policies.yaml:8:42: column "email" of app.kids is text and column "id" of app.events is integer, which cannot be compared`,
		}},
		"match of near types": {kids("") + `alter table app.kids alter parent type bigint`, withChild(goes), nil},
		"nullify what is needed": {kids(""), withChild("match: {needed: id}, action: nullify"), []string{
			`policies.yaml:8:43: column "needed" of app.kids is NOT NULL, and action: nullify would make it NULL; use action: delete`,
		}},
		"nullify the key": {kids(""), withChild("match: {id: id}, action: nullify"), []string{
			`policies.yaml:8:39: column "id" of app.kids is part of the key, and action: nullify would make it NULL; use action: delete`,
		}},
		"redact unique": {kids(""), withChild(goes + ", action: redact, columns: {email: zero}"), []string{
			`policies.yaml:8:74: column "email" of app.kids is unique (index "kids_email_key"), and this gives every row the same value; use {hmac: …} or "null"`,
		}},
		"redact unknown": {kids(""), withChild(goes + ", action: redact, columns: {emial: zero}"), []string{`policies.yaml:8:74: column "emial" does not exist in app.kids; did you mean "email"?`}},
		"redact to no value": {kids(""), withChild(goes + ", action: redact, columns: {copies: {set: none}}"), []string{
			`policies.yaml:8:74: column "copies" of app.kids, which is text[], does not take what the redaction writes`,
		}},
		"redact a match": {
			kids(""), redacting("org: zero") + "  others: {table: app.events, start_from: at, delete: {after: P5Y}, children: [{table: app.kids, match: {email: org}}]}\n",
			[]string{`policies.yaml:9:9: column "org" of app.events is what children of category others are found by; redacting it would leave them behind`},
		},
		"objects":          {kids(""), withChild(goes + ", objects: {column: object_key, bucket: docs}"), nil},
		"objects, no text": {kids(""), withChild(goes + ", objects: {column: copies, bucket: docs}"), []string{`policies.yaml:8:66: column "copies" of app.kids is text[]; the name of an object is a text`}},
		"objects, unknown": {kids(""), withChild(goes + ", objects: {column: objects, bucket: docs}"), []string{`policies.yaml:8:66: column "objects" does not exist in app.kids`}},
	})
}

func TestLintStarts(t *testing.T) {
	t.Parallel()
	const calls = plainTable + `alter table app.events add ended bigint, add small smallint; create table app.calls (id int primary key, event int, ended_at timestamptz, seconds int, doc json, note text);`
	from := func(start string) string {
		return strings.Replace(plain, "start_from: at", "start_from: {"+start+"}", 1)
	}
	const elsewhere = "table: app.calls, column: ended_at, match: {event: id}"
	lints(t, map[string]lintCase{
		"seconds":           {calls, from("column: ended, unit: s"), nil},
		"no unit":           {calls, from("column: ended"), []string{`policies.yaml:5:26: column "ended" of app.events is bigint, and no unit says what it counts; write {column: ended, unit: s}, or ms or us`}},
		"no unit, plainly":  {calls, strings.Replace(plain, "start_from: at", "start_from: ended", 1), []string{`policies.yaml:5:17: column "ended" of app.events is bigint, and no unit says what it counts; write {column: ended, unit: s}, or ms or us`}},
		"unit of a time":    {calls, from("column: at, unit: ms"), []string{`policies.yaml:5:36: column "at" of app.events is timestamp with time zone, which is a time already; remove unit`}},
		"unit of a text":    {calls, from("column: who, unit: ms"), []string{`policies.yaml:5:26: column "who" of app.events is text; a start is a timestamp with time zone, a timestamp, a date, or an integer or bigint with unit: s, ms or us`}},
		"unit of too small": {calls, from("column: small, unit: s"), []string{`policies.yaml:5:26: column "small" of app.events is smallint; a start is a timestamp with time zone, a timestamp, a date, or an integer or bigint with unit: s, ms or us`}},
		"elsewhere":         {calls, from(elsewhere), nil},
		"elsewhere, unit":   {calls, from("table: app.calls, column: seconds, unit: s, match: {event: id}"), nil},
		"no such table":     {calls, from("table: app.cals, column: ended_at, match: {event: id}"), []string{`policies.yaml:5:25: table app.cals does not exist, or this role may not see its schema; names are case-sensitive here; did you mean app.calls?`}},
		"no such column":    {calls, from("table: app.calls, column: ended, match: {event: id}"), []string{`policies.yaml:5:44: column "ended" does not exist in app.calls`}},
		"no time":           {calls, from("table: app.calls, column: note, match: {event: id}"), []string{`policies.yaml:5:44: column "note" of app.calls is text; a start is a timestamp with time zone, a timestamp, a date, or an integer or bigint with unit: s, ms or us`}},
		"a view":            {calls + `create view app.seen as select * from app.calls`, from("table: app.seen, column: ended_at, match: {event: id}"), []string{`policies.yaml:5:25: app.seen is no table; the events of start_from stand in a table`}},
		"no such match":     {calls, from("table: app.calls, column: ended_at, match: {evnt: id}"), []string{`policies.yaml:5:68: column "evnt" does not exist in app.calls; did you mean "event"?`}},
		"match of no ours":  {calls, from("table: app.calls, column: ended_at, match: {event: idd}"), []string{`policies.yaml:5:69: column "idd" does not exist in app.events; did you mean "id"?`}},
		"match json":        {calls, from("table: app.calls, column: ended_at, match: {doc: id}"), []string{`policies.yaml:5:67: column "doc" of app.calls is json, whose values cannot be compared`}},
		"match of types":    {calls, from("table: app.calls, column: ended_at, match: {note: id}"), []string{`policies.yaml:5:68: column "note" of app.calls is text and column "id" of app.events is integer, which cannot be compared`}},
		"events are hidden": {calls + `alter table app.calls enable row level security`, from(elsewhere), []string{`policies.yaml:5:25: row security on app.calls could hide events from role "sweeper_daemon", and a row whose last event is hidden would go early; give the role BYPASSRLS, or a permissive policy USING (true) and no restrictive one`}},
		"redacted match": {
			calls + `alter table app.events add made text generated always as (lower(who)) stored`, redacting("who: zero") + "  others: {table: app.events, start_from: {table: app.calls, column: ended_at, match: {note: made}}, delete: {after: P5Y}}\n",
			[]string{`policies.yaml:9:9: column "who" of app.events makes the generated column "made", which is what start_from of category others finds the row's events by; redacting it would lose the start`},
		},
		"restrict unknown": {plainTable, plain + "    restrict: {after: P1Y, columns: [whom]}\n", []string{`policies.yaml:7:38: column "whom" does not exist in app.events; did you mean "who"?`}},
		"filter unknown":   {plainTable, plain + "    bulk_filter: [who, whom]\n", []string{`policies.yaml:7:24: column "whom" does not exist in app.events; did you mean "who"?`}},
		"filter json":      {plainTable + `alter table app.events add doc json`, plain + "    bulk_filter: [doc]\n", []string{`policies.yaml:7:19: column "doc" of app.events is json, whose values cannot be compared, so that bulk_delete cannot filter by it`}},
		"detach, no parts": {plainTable, plain + "    partitions: detach\n", []string{`policies.yaml:7:17: app.events is not partitioned by RANGE on "at", so no partition can go whole; use partitions: rows`}},
	})
}

// TestLintStartTables: what tells when rows start, in whichever table, is for no
// redaction to change, nor to take away from rows that stay.
func TestLintStartTables(t *testing.T) {
	t.Parallel()
	const (
		tables = plainTable + `create table app.calls (id int primary key, event int, org text, ended_at timestamptz, at timestamptz, note text, ended text, made timestamptz generated always as (ended_at) stored);
			create table app.kids (id int primary key, event int, note text); create table app.people (id int primary key, org text, at timestamptz, ended_at timestamptz);`
		start  = "start_from: {table: app.calls, column: ended_at, match: {event: id}}"
		others = "    table: app.events\n    " + start + "\n    delete: {after: P5Y}\n"
		calls  = others + "  phoned:\n    table: app.calls\n    start_from: at\n    redact: {after: P1Y, columns: {"
		people = others + "  people:\n    table: app.people\n    start_from: at\n    redact: {after: P1Y, columns: {org: zero}}\n    delete: {after: P9Y}\n    children:\n      - "
		own    = "    table: app.events\n    " + start + "\n    redact: {after: P1Y, columns: {who: zero}}\n    delete: {after: P9Y}\n    children:\n      - "
		match  = "match: {event: id}"
	)
	lints(t, map[string]lintCase{
		"its column":           {tables, calls + "ended_at: {truncate: year}}}\n", []string{`policies.yaml:10:36: column "ended_at" of app.calls tells when rows of category events start; redacting it would move their clock`}},
		"its column, set":      {tables, calls + "note: zero}, set: {ended_at: 2001-01-01}}\n", []string{`policies.yaml:10:55: column "ended_at" of app.calls tells when rows of category events start; redacting it would move their clock`}},
		"what makes it":        {tables, strings.Replace(calls, "column: ended_at", "column: made", 1) + "ended_at: {truncate: year}}}\n", []string{`policies.yaml:10:36: column "ended_at" of app.calls makes the generated column "made", which tells when rows of category events start; redacting it would move their clock`}},
		"its match":            {tables, calls + "event: zero}}\n", []string{`policies.yaml:10:36: column "event" of app.calls leads to rows of category events, which start by it; redacting it would move their clock`}},
		"another column of it": {tables, calls + "note: zero}}\n", nil},
		"one of the same name": {tables, strings.ReplaceAll(others, "app.events", "app.people") + "    redact: {after: P1Y, columns: {ended_at: \"null\"}}\n", nil},

		"a child's column, with a deletion": {tables, people + "{table: app.calls, " + match + `, action: redact, columns: {ended_at: "null"}}` + "\n", []string{`policies.yaml:13:74: column "ended_at" of app.calls tells when rows of category events start; redacting it would move their clock`}},
		"a child with a deletion":           {tables, people + "{table: app.calls, " + match + "}\n", nil},
		"a child with a redaction":          {tables, people + "{table: app.calls, " + match + ", on: redact}\n", []string{`policies.yaml:13:52: app.calls tells when rows of category events start, and on: redact would take that from rows that stay; use action: keep, or on: delete`}},
		"a child of its own":                {tables, own + "{table: app.calls, " + match + ", on: redact}\n", []string{`policies.yaml:9:52: app.calls tells when rows of the category start, and on: redact would take that from rows that stay; use action: keep, or on: delete`}},
		"a child that is kept":              {tables, own + "{table: app.calls, " + match + ", on: redact, action: keep}\n", nil},
		"below a child of another":          {tables, people + "{table: app.kids, " + match + ", on: redact, children: [{table: app.calls, match: {event: id}}]}\n", []string{`policies.yaml:13:78: app.calls tells when rows of category events start, and below a child with on: redact that would be taken from rows that stay; use action: keep`}},
		"below a child of its own":          {tables, own + "{table: app.kids, " + match + ", on: redact, children: [{table: app.calls, match: {event: id}, action: nullify}]}\n", []string{`policies.yaml:9:78: app.calls tells when rows of the category start, and below a child with on: redact that would be taken from rows that stay; use action: keep`}},
		"below a child that goes along":     {tables, own + "{table: app.kids, " + match + ", children: [{table: app.calls, match: {event: id}}]}\n", nil},
		"below a child, twice":              {tables, own + "{table: app.kids, " + match + `, on: redact, action: redact, columns: {note: zero}, children: [{table: app.calls, match: {event: id}, on: redact}]}` + "\n", []string{`policies.yaml:9:117: app.calls tells when rows of the category start, and below a child with on: redact that would be taken from rows that stay; use action: keep`}},
	})
}

func TestLintDroppedTriggers(t *testing.T) {
	t.Parallel()
	const parts = `create table app.events (id int, at timestamptz, primary key (id, at)) partition by range (at); create table app.old partition of app.events default;
		create function app.f() returns trigger language plpgsql as 'begin return null; end';`
	on := func(table, when string) string {
		return parts + `create trigger told ` + when + ` on ` + table + ` for each row execute function app.f()`
	}
	const drop = plain + "    partitions: drop\n"
	refused := func(of string) []string {
		return []string{`policies.yaml:7:17: trigger "told" of ` + of + ` fires on DELETE, and dropping a partition fires no trigger; use partitions: rows`}
	}
	lints(t, map[string]lintCase{
		"of the root":      {on("app.events", "after delete"), drop, refused("app.events")},
		"of a partition":   {on("app.old", "after delete"), drop, refused("partition app.old")},
		"not asked for":    {on("app.old", "after delete"), plain, nil},
		"on updates":       {on("app.old", "after update"), drop, nil},
		"detached instead": {on("app.old", "after delete"), plain + "    partitions: detach\n", nil},
	})
}

func TestLintCoarseRedactions(t *testing.T) {
	t.Parallel()
	const people = `create extension btree_gist schema public; create table app.events (id int primary key, at timestamptz, name text, nick text unique, day date unique, seen timestamp, clock time, doc jsonb, n int, room text, during tstzrange,
		constraint apart exclude using gist (room with =, during with &&)); create unique index in_part on app.events (name) where name is not null;`
	refused := func(reason string) []string { return []string{"policies.yaml:9:9: " + reason} }
	lints(t, map[string]lintCase{
		"truncate a text":    {people, redacting("name: {truncate: year}"), refused(`column "name" of app.events is text; {truncate: …} needs a date or a timestamp`)},
		"truncate a clock":   {people, redacting("clock: {truncate: hour}"), refused(`column "clock" of app.events is time without time zone; {truncate: …} needs a date or a timestamp`)},
		"hours of a date":    {people, redacting("day: {truncate: hour}"), refused(`column "day" of app.events is date, which has no hours; truncate it to day or more`)},
		"unique days":        {people, redacting("day: {truncate: month}"), refused(`column "day" of app.events is unique (index "events_day_key"), and {truncate: …} gives different rows the same value; use {hmac: …} or "null"`)},
		"unique masks":       {people, redacting("nick: {mask: {keep_last: 2}}"), refused(`column "nick" of app.events is unique (index "events_nick_key"), and {mask: …} gives different rows the same value; use {hmac: …} or "null"`)},
		"mask a number":      {people, redacting("n: {mask: {keep_last: 2}}"), refused(`column "n" of app.events is integer; {mask: …} needs a text column`)},
		"paths of a text":    {people, redacting("name: {json: {$.a: remove}}"), refused(`column "name" of app.events is text; {json: …} needs a json or jsonb column`)},
		"all that works":     {people, redacting("name: {mask: {keep_last: 2}}\nseen: {truncate: hour}\ndoc: {json: {$.a: remove}}"), nil},
		"exclusion":          {people, redacting("room: zero"), refused(`column "room" of app.events is unique (index "apart"), and this gives every row the same value; use {hmac: …} or "null"`)},
		"exclusion, null":    {people, redacting(`room: "null"`), nil},
		"unique where it is": {people, redacting("name: zero"), refused(`column "name" of app.events is unique where (name IS NOT NULL) (index "in_part"), and this gives every such row the same value; use {hmac: …} or "null"`)},
		"unique, tokens":     {people, redacting(`name: {hmac: "x%s"}`), nil},
	})
}

// TestWarnings has each thing that works badly, and what is like it and does not.
func TestWarnings(t *testing.T) {
	t.Parallel()
	const leaved = `create table app.events (id int, at timestamptz, primary key (id, at)) partition by range (at); create table app.a partition of app.events for values from ('2020-01-01') to ('2021-01-01'); create table app.b partition of app.events default`
	for name, c := range map[string]lintCase{
		"nothing": {plainTable + `alter table app.events alter at set not null`, plain, nil},
		"a start may be missing": {plainTable, plain, []string{
			`policies.yaml:5:17: column "at" of app.events may be NULL, and a row without a start is never purged; make it NOT NULL, or name the event that it is the time of: start_from: {column: at, event: …}`,
		}},
		"an event may not have come": {plainTable, strings.Replace(plain, "start_from: at", "start_from: {event: end, column: at}", 1), nil},
		"endless starts": {plainTable + `alter table app.events alter at set not null; insert into app.events values (1, '-infinity'); grant select on app.events to sweeper_daemon`, plain, []string{
			`policies.yaml:5:17: rows of app.events have -infinity in column "at", which is no start, so that they are never purged; write the time, or NULL`,
		}},
		"large, no index": {plainTable + `alter table app.events alter at set not null; insert into app.events select i, now() from generate_series(1, 100001) i; analyze app.events`, plain, []string{
			`policies.yaml:5:17: no index of app.events, which has about 100001 rows, begins with "at", so that each sweep reads the whole table; its owner runs: CREATE INDEX ON "app"."events" ("at");`,
		}},
		"large, an index": {plainTable + `alter table app.events alter at set not null; create index on app.events (at, id); insert into app.events select i, now() from generate_series(1, 100001) i; analyze app.events`, plain, nil},
		"children": {
			plainTable + `alter table app.events alter at set not null; create table app.kids (id int primary key, parent int references app.events); create table app.loose (id int primary key, event int); create table app.led (id int primary key, event int); create index on app.led (event)`,
			withChild("match: {parent: id}", "app.loose, match: {event: id}", "app.led, match: {event: id}"),
			[]string{
				inTable + `foreign key "kids_parent_fkey" of app.kids has no index, so that each delete from app.events reads that whole table; its owner runs: CREATE INDEX ON "app"."kids" ("parent");`,
				`policies.yaml:9:17: no index of app.loose begins with what its rows are found by, and no foreign key is declared, so that each batch reads that whole table; its owner runs: CREATE INDEX ON "app"."loose" ("event");`,
			},
		},
		"events without an index": {plainTable + `create table app.calls (id int primary key, event int, ended_at timestamptz)`, strings.Replace(plain, "start_from: at", "start_from: {table: app.calls, column: ended_at, match: {event: id}}", 1), []string{
			`policies.yaml:5:25: no index of app.calls begins with what its rows are found by, so that each batch reads that whole table; its owner runs: CREATE INDEX ON "app"."calls" ("event");`,
		}},
		"triggers": {`create table app.events (id int, at timestamptz, primary key (id, at)) partition by range (at); create table app.a partition of app.events default; create table app.b partition of app.events for values from ('2020-01-01') to ('2021-01-01');
			create function app.f() returns trigger language plpgsql as 'begin return null; end'; create trigger t1 before delete on app.a for each row execute function app.f(); create trigger t1 before delete on app.b for each row execute function app.f();
			create trigger t2 after delete on app.events for each row execute function app.f(); create trigger t3 after update on app.events for each row execute function app.f()`, plain, []string{
			inTable + `trigger "t2" of app.events fires when the sweeper works, as role "sweeper_daemon": it may keep a row, or keep a copy of it where no policy looks`,
			inTable + `trigger "t1" of partition app.a fires when the sweeper works, as role "sweeper_daemon": it may keep a row, or keep a copy of it where no policy looks`,
		}},
		"personal data": {`create table app.events (id int primary key, at timestamptz not null, who text, org text, "homeAddress" text, file_name text, ip inet, birth date, email_verified boolean, login_count int,
			lower_email text generated always as (lower("homeAddress")) stored, city_id int references app.events, phone text, iban text);`, redacting("phone: zero\niban: keep"), []string{
			`policies.yaml:6:5: column "homeAddress" of app.events looks like personal data, and the redaction does not name it; redact it, or say keep`,
			`policies.yaml:6:5: column "ip" of app.events looks like personal data, and the redaction does not name it; redact it, or say keep`,
			`policies.yaml:6:5: column "birth" of app.events looks like personal data, and the redaction does not name it; redact it, or say keep`,
		}},
		"evidence by row, partitions go whole": {leaved, plain + "    evidence: row\n", []string{
			`policies.yaml:7:15: a partition of app.events that is dropped is one entry of the purge log with manifest: count, whatever evidence says; say manifest: digest for a commitment to each of its rows, or partitions: rows for an entry to each`,
		}},
		"evidence by row, with a digest":           {leaved, plain + "    evidence: row\n    manifest: digest\n", nil},
		"evidence by row, partitions go by rows":   {leaved, plain + "    evidence: row\n    partitions: rows\n", nil},
		"evidence by row, partitions are detached": {leaved, plain + "    evidence: row\n    partitions: detach\n", nil},
		"evidence by row, a condition":             {leaved, plain + "    evidence: row\n    where: [{column: id, op: gt, value: 0}]\n", nil},
		"evidence by batch":                        {leaved, plain + "    evidence: batch\n", nil},
		"personal data, not redacted":              {`create table app.events (id int primary key, at timestamptz not null, email text)`, plain, nil},
		"personal data of a child": {
			plainTable + `alter table app.events alter at set not null; create table app.kids (id int primary key, parent int, email text, phone text); create index on app.kids (parent)`,
			withChild("match: {parent: id}, action: redact, columns: {email: zero}"),
			[]string{
				`policies.yaml:8:64: column "phone" of app.kids looks like personal data, and the redaction does not name it; redact it, or say keep`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			daemon.Do(func() { db.Exec(t, `create role sweeper_daemon login`) })
			db.Exec(t, `create schema app; grant usage on schema app to sweeper_daemon;`+c.ddl)
			set, path := parsed(t, "version: 1\ncategories:\n  events:\n"+c.policy)
			for _, user := range []string{"", "sweeper_daemon"} {
				cfg, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + db.URL(user)})
				if err != nil {
					t.Fatal(err)
				}
				if user != "" {
					db.Exec(t, `grant select on all tables in schema app to sweeper_daemon`)
				}
				warnings, err := sweeper.Lint(t.Context(), cfg, set)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, w := range warnings {
					got = append(got, heads(w, path))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("as %q (-want +got):\n%s", user, diff)
				}
			}
		})
	}
}

// TestWarnsOfUnreadableTables lints as the purging role before it may read.
func TestWarnsOfUnreadableTables(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	daemon.Do(func() { db.Exec(t, `create role sweeper_daemon login`) })
	db.Exec(t, `create schema app; grant usage on schema app to sweeper_daemon;`+plainTable+`create table app.calls (id int primary key, event int, ended_at timestamptz); create index on app.calls (event); grant select (id) on app.events to sweeper_daemon`)
	set, path := parsed(t, "version: 1\ncategories:\n  events:\n"+strings.Replace(plain, "start_from: at", "start_from: {table: app.calls, column: ended_at, match: {event: id}}", 1))
	cfg, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + db.URL("sweeper_daemon")})
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := sweeper.Lint(t.Context(), cfg, set)
	if err != nil || len(warnings) != 1 || heads(warnings[0], path) != `policies.yaml:5:25: role "sweeper_daemon" may not read app.calls yet; run: sweeper install` {
		t.Errorf("got %v, %v", warnings, err)
	}
}
