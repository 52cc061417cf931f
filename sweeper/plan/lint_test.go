package plan_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// lintCase is a policy over tables, and the exact refusals, without the source
// lines below them. None: it is accepted.
type lintCase struct {
	ddl    string
	policy string // the keys of category events, or a whole file
	want   []string
}

const (
	plainTable = `create table app.events (id int primary key, at timestamptz, who text, org text);`
	plain      = "    table: app.events\n    start_from: at\n    delete: {after: P5Y}\n"
	inTable    = "policies.yaml:4:12: " // where plain names its table
)

// redacting is a policy with redactions from line 8 on, at column 9.
func redacting(columns string) string {
	return "    table: app.events\n    start_from: at\n    redact:\n      after: P1Y\n      columns:\n        " + strings.ReplaceAll(columns, "\n", "\n        ") + "\n"
}

func TestLintTables(t *testing.T) {
	t.Parallel()
	lints(t, map[string]lintCase{
		"accepted":        {plainTable, plain, nil},
		"unknown":         {plainTable, strings.Replace(plain, "events", "evnets", 1), []string{inTable + "table app.evnets does not exist, or this role may not see its schema; names are case-sensitive here; did you mean app.events?"}},
		"by case":         {`create table app."Events" (id int primary key, at timestamptz)`, plain, []string{inTable + `table app.events does not exist, or this role may not see its schema; names are case-sensitive here; did you mean app."Events"?`}},
		"unlike any":      {plainTable, strings.Replace(plain, "app.events", "other.thing", 1), []string{inTable + "table other.thing does not exist, or this role may not see its schema; names are case-sensitive here"}},
		"view":            {`create view app.events as select 1 as id, now() as at`, plain, []string{inTable + "app.events is a view; policies apply to tables"}},
		"matview":         {`create materialized view app.events as select 1 as id, now() as at`, plain, []string{inTable + "app.events is a materialized view; policies apply to tables"}},
		"foreign table":   {`create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing; create foreign table app.events (id int, at timestamptz) server nowhere`, plain, []string{inTable + "app.events is a foreign table; policies apply to tables"}},
		"sequence":        {`create sequence app.events`, plain, []string{inTable + "app.events is not a table"}},
		"unlogged":        {strings.Replace(plainTable, "create table", "create unlogged table", 1), plain, []string{inTable + "app.events is UNLOGGED: what is deleted from it is not in the write-ahead log and cannot be proved"}},
		"inheritance":     {plainTable + `create table app.more () inherits (app.events)`, plain, []string{inTable + "app.events has inheriting tables; only declarative partitions are supported"}},
		"rule":            {plainTable + `create rule archive as on delete to app.events do instead nothing`, plain, []string{inTable + `rule "archive" on app.events could turn a delete into something else, being DO INSTEAD; drop it or disable it`}},
		"rule for some":   {plainTable + `create rule archive as on delete to app.events where old.id > 5 do instead nothing`, plain, []string{inTable + `rule "archive" on app.events could turn a delete into something else, being DO INSTEAD; drop it or disable it`}},
		"rule besides":    {plainTable + `create table app.audit (id int); create rule archive as on delete to app.events do also (insert into app.audit values (old.id); notify gone)`, plain, nil},
		"rule disabled":   {plainTable + `create rule archive as on delete to app.events do instead nothing; alter table app.events disable rule archive`, plain, nil},
		"rule, update":    {plainTable + `create rule archive as on update to app.events do instead nothing`, plain, nil},
		"rule, redaction": {plainTable + `create rule archive as on update to app.events do instead nothing`, redacting(`who: "null"`), []string{inTable + `rule "archive" on app.events could turn an update into something else, being DO INSTEAD; drop it or disable it`}},
		"rule on itself":  {plainTable + `create rule archive as on delete to app.events do also update app.events set org = old.who where who = old.org`, plain, []string{inTable + `rule "archive" on app.events makes a delete change further rows of the table, which no policy judged; drop it or disable it`}},
		"rule on a leaf":  {`create table app.events (id int, at timestamptz, primary key (id, at)) partition by range (at); create table app.p1 partition of app.events for values from ('2015-01-01') to ('2016-01-01'); create table app.p2 partition of app.events default; create rule archive as on delete to app.events do also insert into app.p2 values (old.id, now())`, plain, []string{inTable + `rule "archive" on app.events makes a delete change further rows of the table, which no policy judged; drop it or disable it`}},
		"rule, cascade":   {plainTable + `create table app.notes (event int); create rule notes as on delete to app.events do also delete from app.notes where event = old.id`, plain, []string{inTable + `rule "notes" on app.events makes a delete delete rows of app.notes, which no policy judged; declare app.notes in children, and drop the rule or disable it`}},
		"rule, governed":  {plainTable + `create table app.notes (id int primary key, event int, at timestamptz); create rule notes as on delete to app.events do also update app.notes set event = null where event = old.id`, plain + "  notes: {table: app.notes, start_from: at, delete: {after: P5Y}}\n", []string{inTable + `rule "notes" on app.events makes a delete change rows of app.notes, which the policies govern too; drop it or disable it`}},
		"rule, drop":      {`create table app.audit (id int); create table app.events (id int, at timestamptz, primary key (id, at)) partition by range (at); create rule archive as on delete to app.events do also insert into app.audit values (old.id)`, plain + "    partitions: drop\n", []string{`policies.yaml:7:17: rule "archive" of app.events fires on DELETE, and dropping a partition fires no rule; use partitions: rows`}},
		"no key":          {`create table app.events (id int, at timestamptz)`, plain, []string{inTable + `app.events has no replica identity, so the write-ahead log would not tell which row was deleted, and publishing it would make the application's own DELETE fail; add a primary key, or run: ALTER TABLE "app"."events" REPLICA IDENTITY USING INDEX …`}},
		"nothing":         {plainTable + `alter table app.events replica identity nothing`, plain, []string{inTable + `app.events has no replica identity, so the write-ahead log would not tell which row was deleted, and publishing it would make the application's own DELETE fail; run: ALTER TABLE "app"."events" REPLICA IDENTITY DEFAULT;`}},
		"deferrable key":  {`create table app.events (id int primary key deferrable, at timestamptz)`, plain, []string{inTable + `the primary key of app.events is DEFERRABLE, and such a key is no replica identity; publishing it would make the application's own DELETE fail: make it NOT DEFERRABLE`}},
		"by index":        {`create table app.events (id int not null, at timestamptz); create unique index key on app.events (id); alter table app.events replica identity using index key`, plain, nil},
		"index dropped":   {`create table app.events (id int not null, at timestamptz); create unique index key on app.events (id); alter table app.events replica identity using index key; drop index app.key`, plain, []string{inTable + `app.events has no replica identity, so the write-ahead log would not tell which row was deleted, and publishing it would make the application's own DELETE fail; add a primary key, or run: ALTER TABLE "app"."events" REPLICA IDENTITY USING INDEX …`}},
		"full":            {plainTable + `alter table app.events replica identity full`, plain, nil},
		"full, no key":    {`create table app.events (id int, at timestamptz); alter table app.events replica identity full`, plain, []string{inTable + `app.events has no replica identity, so the write-ahead log would not tell which row was deleted, and publishing it would make the application's own DELETE fail; add a primary key, or run: ALTER TABLE "app"."events" REPLICA IDENTITY USING INDEX …`}},
		"full, redacted":  {plainTable + `alter table app.events replica identity full`, redacting(`who: "null"`), []string{inTable + `app.events has REPLICA IDENTITY FULL, which puts whole rows into the write-ahead log and forbids column lists; run: ALTER TABLE "app"."events" REPLICA IDENTITY DEFAULT;`}},
		"temporary":       {``, strings.Replace(plain, "app.events", "TEMPORARY.events", 1), []string{inTable + "TEMPORARY.events is a temporary table"}},
		"domain as start": {`create domain app.at as timestamptz; create table app.events (id int primary key, at app.at)`, plain, nil},
	})
}

func TestLintRowSecurity(t *testing.T) {
	t.Parallel()
	const secured = plainTable + `alter table app.events enable row level security;`
	refused := func(command string) []string {
		return []string{inTable + `row security on app.events could hide rows from a ` + command + ` of role "sweeper_daemon", and hidden rows would be kept in silence; give the role BYPASSRLS, or a permissive policy USING (true) and no restrictive one`}
	}
	lints(t, map[string]lintCase{
		"no policy":      {secured, plain, refused("SELECT")},
		"for everybody":  {secured + `create policy p on app.events using (true)`, plain, nil},
		"for the role":   {secured + `create policy p on app.events to sweeper_daemon using (true)`, plain, nil},
		"for another":    {secured + `create policy p on app.events to postgres using (true)`, plain, refused("SELECT")},
		"by a condition": {secured + `create policy p on app.events using (org = current_user)`, plain, refused("SELECT")},
		"reading only":   {secured + `create policy p on app.events for select using (true)`, plain, refused("DELETE")},
		"no updates":     {secured + `create policy p on app.events for select using (true); create policy q on app.events for delete using (true)`, redacting(`who: "null"`), refused("UPDATE")},
		"no need of it":  {secured + `create policy p on app.events for select using (true); create policy q on app.events for delete using (true)`, plain, nil},
		"restrictive":    {secured + `create policy p on app.events using (true); create policy q on app.events as restrictive using (org = 'a')`, plain, refused("SELECT")},
	})
}

func TestLintPartitions(t *testing.T) {
	t.Parallel()
	const parts = `create table app.events (id int, at timestamptz, who text, region text, primary key (id, at, region)) partition by range (at);
		create table app.old partition of app.events for values from (minvalue) to ('2025-01-01');`
	lints(t, map[string]lintCase{
		"accepted":        {parts, plain + "    partitions: drop\n", nil},
		"a partition":     {parts, strings.Replace(plain, "app.events", "app.old", 1), []string{inTable + "app.old is a partition; name the partitioned table"}},
		"no key":          {`create table app.events (id int, at timestamptz) partition by range (at)`, plain, []string{inTable + "app.events is partitioned and has no primary key, so its partitions have no common replica identity; publishing it would make the application's own DELETE fail: add a primary key to it"}},
		"a bad leaf":      {parts + `alter table app.old replica identity nothing`, plain, []string{inTable + `partition app.old of app.events has no replica identity; publishing it would make the application's own DELETE fail: run: ALTER TABLE "app"."old" REPLICA IDENTITY DEFAULT;`}},
		"nothing on root": {parts + `alter table app.events replica identity nothing`, plain, nil},
		"unlogged leaf":   {parts + `create unlogged table app.new partition of app.events for values from ('2025-01-01') to (maxvalue)`, plain, []string{inTable + `partition app.new of app.events is UNLOGGED: what is deleted from it is not in the write-ahead log and cannot be proved; run: ALTER TABLE "app"."new" SET LOGGED;`}},
		"full leaf":       {parts + `alter table app.old replica identity full`, redacting(`who: "null"`), []string{inTable + `partition app.old of app.events has REPLICA IDENTITY FULL, which puts whole rows into the write-ahead log; run: ALTER TABLE "app"."old" REPLICA IDENTITY DEFAULT;`}},
		"full, deletes":   {parts + `alter table app.old replica identity full`, plain, nil},
		"drop, not parts": {plainTable, plain + "    partitions: drop\n", []string{`policies.yaml:7:17: app.events is not partitioned by RANGE on "at", so no partition can go whole; use partitions: rows`}},
		"drop by list":    {`create table app.events (id int, at timestamptz, region text, primary key (id, region)) partition by list (region)`, plain + "    partitions: drop\n", []string{`policies.yaml:7:17: app.events is not partitioned by RANGE on "at", so no partition can go whole; use partitions: rows`}},
		"redacted key":    {parts, redacting(`region: zero`), []string{`policies.yaml:9:9: column "region" of app.events is part of the key`}},
	})
}

func TestLintColumns(t *testing.T) {
	t.Parallel()
	const odd = `create type app.mood as enum ('good', 'bad'); create table app.events (id int primary key, at timestamptz, who json, org point, n numeric(6, 2), xid xid, mood app.mood, day date, t tsvector, b box, tags json[], many int[]);`
	with := func(lines string) string { return plain + lines }
	lints(t, map[string]lintCase{
		"start unknown":              {plainTable, strings.Replace(plain, "from: at", "from: att", 1), []string{`policies.yaml:5:17: column "att" does not exist in app.events; did you mean "at"?`}},
		"start is text":              {plainTable, strings.Replace(plain, "from: at", "from: who", 1), []string{`policies.yaml:5:17: column "who" of app.events is text; a start is a timestamp with time zone, a timestamp, a date, or an integer or bigint with unit: s, ms or us`}},
		"start by event":             {plainTable, strings.Replace(plain, "from: at", "from: {event: end, column: ended}", 1), []string{`policies.yaml:5:38: column "ended" does not exist in app.events`}},
		"a type's name":              {`create type app.timestamptz as enum ('a'); create table app.events (id int primary key, at app.timestamptz)`, plain, []string{`policies.yaml:5:17: column "at" of app.events is app.timestamptz; a start is a timestamp with time zone, a timestamp, a date, or an integer or bigint with unit: s, ms or us`}},
		"subject unknown":            {plainTable, with("    subject: woh\n"), []string{`policies.yaml:7:14: column "woh" does not exist in app.events; did you mean "who"?`}},
		"tenant unknown":             {plainTable, with("    tenant: tenant\n"), []string{`policies.yaml:7:13: column "tenant" does not exist in app.events`}},
		"subject json":               {odd, with("    subject: who\n"), []string{`policies.yaml:7:14: column "who" of app.events is json, whose values cannot be compared, so that no hold would find its rows`}},
		"tenant point":               {odd, with("    tenant: org\n"), []string{`policies.yaml:7:13: column "org" of app.events is point, whose values cannot be compared, so that no hold would find its rows`}},
		"subject json[]":             {odd, with("    subject: tags\n"), []string{`policies.yaml:7:14: column "tags" of app.events is json[], whose values cannot be compared, so that no hold would find its rows`}},
		"subject int[]":              {odd, with("    subject: many\n"), nil},
		"where unknown":              {plainTable, with("    where: [{column: status, op: is_null}]\n"), []string{`policies.yaml:7:22: column "status" does not exist in app.events`}},
		"where json":                 {odd, with("    where: [{column: who, op: eq, value: \"{}\"}]\n"), []string{`policies.yaml:7:31: column "who" of app.events is json, whose values cannot be compared; only is_null and not_null apply to it`}},
		"where box":                  {odd, with("    where: [{column: b, op: eq, value: \"(1,1),(0,0)\"}]\n"), []string{`policies.yaml:7:29: column "b" of app.events is box, whose values cannot be compared; only is_null and not_null apply to it`}},
		"where xid":                  {odd, with("    where: [{column: xid, op: lt, value: 5}]\n"), []string{`policies.yaml:7:31: column "xid" of app.events is xid, whose values have no order; lt does not apply to it`}},
		"where point null":           {odd, with("    where: [{column: org, op: not_null}]\n"), nil},
		"where no number":            {odd, with("    where: [{column: n, op: lt, value: many}]\n"), []string{`policies.yaml:7:40: "many" is no value of column "n" of app.events, which is numeric(6,2)`}},
		"where too exact":            {odd, with("    where: [{column: n, op: lt, value: 12345678.905}]\n"), nil},
		"where big float":            {odd, with("    where: [{column: id, op: lt, value: 1.0e6}]\n"), nil},
		"where no label":             {odd, with("    where: [{column: mood, op: in, value: [good, ugly, bad, evil]}]\n"), []string{`policies.yaml:7:50: "ugly" is no value of column "mood" of app.events, which is app.mood`, `policies.yaml:7:61: "evil" is no value of column "mood" of app.events, which is app.mood`}},
		"where no date":              {odd, with("    where: [{column: day, op: lt, value: 2024-02-30}]\n"), []string{`policies.yaml:7:42: "2024-02-30" is no value of column "day" of app.events, which is date`}},
		"where today":                {odd, with("    where: [{column: day, op: lt, value: Today}]\n"), []string{`policies.yaml:7:42: "Today" means another time at each sweep; write a date`}},
		"where no zone":              {odd, "    table: app.events\n    start_from: at\n    delete: {after: P5Y}\n    where: [{column: at, op: lt, value: 2024-02-03 12:00}]\ntimezone: Europe/Berlin\n", []string{`policies.yaml:7:41: "2024-02-03 12:00" names no time zone; add its offset, as in "2026-01-31 00:00:00+01"`}},
		"where an offset":            {odd, "    table: app.events\n    start_from: at\n    delete: {after: P5Y}\n    where: [{column: at, op: lt, value: \"2024-02-03 12:00+01\"}]\ntimezone: Europe/Berlin\n", nil},
		"where text for a number":    {plainTable, with("    where: [{column: id, op: in, value: [\"5\", \"five\", 7.5]}]\n"), []string{`policies.yaml:7:47: "five" is no value of column "id" of app.events, which is integer`, `policies.yaml:7:55: "7.5" is no value of column "id" of app.events, which is integer`}},
		"where number for a text":    {plainTable, with("    where: [{column: who, op: in, value: [5, \"1.50\"]}]\n"), nil},
		"where fraction for a text":  {plainTable, with("    where: [{column: who, op: eq, value: 1.50}]\n"), []string{`policies.yaml:7:42: column "who" of app.events is text, and this is a number, of which 1.50 and 1.5 are the same; quote it, so that it is the text that is written`}},
		"where boolean for a text":   {plainTable, with("    where: [{column: who, op: in, value: [yes, true]}]\n"), nil},
		"where number for a boolean": {`create table app.events (id int primary key, at timestamptz, done boolean)`, with("    where: [{column: done, op: in, value: [1, true, \"on\", 2]}]\n"), []string{`policies.yaml:7:59: "2" is no value of column "done" of app.events, which is boolean`}},
		"where number for a label":   {odd, with("    where: [{column: mood, op: eq, value: 5}]\n"), []string{`policies.yaml:7:43: "5" is no value of column "mood" of app.events, which is app.mood`}},
		"where number for a date":    {odd, with("    where: [{column: day, op: lt, value: 2024}]\n"), []string{`policies.yaml:7:42: "2024" is no value of column "day" of app.events, which is date`}},
		"where no domain":            {`create domain app.pos as int check (value > 0); create table app.events (id int primary key, at timestamptz, n app.pos)`, with("    where: [{column: n, op: eq, value: -1}]\n"), []string{`policies.yaml:7:40: "-1" is no value of column "n" of app.events, which is app.pos`}},
	})
}

func TestLintRedaction(t *testing.T) {
	t.Parallel()
	const people = `create extension citext schema public;
		create type app.mood as enum ('good', 'bad'); create type app.pair as (a int, b json);
		create domain app.mail as text check (value ~ '@'); create domain app.short as varchar(10); create domain app.must as text not null;
		create table app.teams (id int primary key);
		create table app.events (id int primary key, at timestamptz, who text not null, org text, team int references app.teams, email text, phone varchar(10), code char(4),
			mood app.mood, span interval, mail app.mail, short app.short, must app.must, n numeric(5, 2), small int, doc json, xml xml, p point, pair app.pair, tags text[], ci citext, c "char", name name, bits bit(3),
			made text generated always as (lower(email)) stored, day timestamptz generated always as (at) stored, nick text, city text, zip text, note text constraint short_note check (note is null or length(note) < 5),
			constraint place check (city <> zip));`
	refused := func(reason string) []string { return []string{"policies.yaml:9:9: " + reason} }
	unique := func(index string) string { return people + "create unique index one_each on app.events " + index }
	lints(t, map[string]lintCase{
		"all that works":          {people, redacting("who: zero\nemail: \"null\"\nphone: zero\ncode: {set: ab}\nmood: {set: bad}\nspan: {set: 1 day}\nmail: {hmac: \"%s@x\"}\nn: {set: 1.005}\nsmall: zero\ndoc: zero\nxml: {set: <a/>}\np: {set: \"(1,2)\"}\npair: {set: \"(1,)\"}\ntags: zero\nci: zero\nnick: keep\nteam: \"null\"\nbits: {set: \"101\"}\nname: {hmac: \"x%s\"}"), nil},
		"unknown":                 {people, redacting("emial: zero"), refused(`column "emial" does not exist in app.events; did you mean "email"?`)},
		"set text for a number":   {people, redacting("small: {set: \"5\"}") + "      set: {n: many}\n", []string{`policies.yaml:10:13: column "n" of app.events, which is numeric(5,2), does not take what the redaction writes`}},
		"set fraction for a text": {people, redacting("zip: {set: 1.0}"), []string{`policies.yaml:9:9: column "zip" of app.events is text, and this is a number, of which 1.50 and 1.5 are the same; quote it, so that it is the text that is written`}},
		"set unknown":             {people, redacting("email: zero") + "      set: {stat: x}\n", []string{`policies.yaml:10:13: column "stat" does not exist in app.events; did you mean "at"?`}},
		"key":                     {people, redacting("id: zero"), refused(`column "id" of app.events is part of the key`)},
		"generated":               {people, redacting("made: zero"), refused(`column "made" of app.events is generated; redact what it is generated from`)},
		"makes the start": {
			people, "    table: app.events\n    start_from: day\n    redact:\n      after: P1Y\n      columns: {at: \"null\"}\n",
			[]string{`policies.yaml:8:17: column "at" of app.events makes the generated column "day", which is the start of the retention period; redacting it would move the clock`},
		},
		"read by where": {people, redacting("email: zero") + "    where: [{column: email, op: not_null}]\n", refused(`"email" is read by where; redacting it would hide the row from the category`)},
		"makes a where": {people, redacting("email: zero") + "    where: [{column: made, op: not_null}]\n", refused(`column "email" of app.events makes the generated column "made", which is read by where; redacting it would hide the row from the category`)},
		"start of another": {
			people, redacting("org: zero\nday: keep") + "  others: {table: app.events, start_from: day, delete: {after: P9Y}}\n  third: {table: app.events, start_from: at, tenant: org, delete: {after: P9Y}}\n",
			refused(`column "org" of app.events is the tenant column of category third; without it holds of the tenant would no longer find the row`),
		},
		"referenced":       {people + `create table app.kids (id int primary key, email text); alter table app.events add unique (email); alter table app.kids add foreign key (email) references app.events (email)`, redacting("email: \"null\""), refused(`column "email" of app.events is referenced by a foreign key`)},
		"not null":         {people, redacting("who: \"null\""), refused(`column "who" of app.events is NOT NULL; use zero, {set: …} or {hmac: …}`)},
		"domain not null":  {people, redacting("must: \"null\""), refused(`column "must" of app.events is NOT NULL; use zero, {set: …} or {hmac: …}`)},
		"foreign key":      {people, redacting("team: zero"), refused(`column "team" of app.events points at app.teams (foreign key "events_team_fkey"), where no row has the new value; use "null" or keep`)},
		"zero of enum":     {people, redacting("mood: zero"), refused(`column "mood" of app.events is app.mood, which has no zero; use "null" or {set: …}`)},
		"zero of interval": {people, redacting("span: zero"), refused(`column "span" of app.events is interval, which has no zero; use "null" or {set: …}`)},
		"zero of point":    {people, redacting("p: zero"), refused(`column "p" of app.events is point, which has no zero; use "null" or {set: …}`)},
		"zero in domain":   {people, redacting("mail: zero"), refused(`column "mail" of app.events, which is app.mail, does not take what the redaction writes`)},
		"set in domain":    {people, redacting("mail: {set: none}"), refused(`column "mail" of app.events, which is app.mail, does not take what the redaction writes`)},
		"set no label":     {people, redacting("mood: {set: ugly}"), refused(`column "mood" of app.events, which is app.mood, does not take what the redaction writes`)},
		"set no number":    {people, redacting("small: {set: none}"), refused(`column "small" of app.events, which is integer, does not take what the redaction writes`)},
		"set too large":    {people, redacting("n: {set: 1234.5}"), refused(`column "n" of app.events, which is numeric(5,2), does not take what the redaction writes`)},
		"set too long":     {people, redacting("phone: {set: 12345678901}"), refused(`column "phone" of app.events, which is character varying(10), does not take what the redaction writes`)},
		"set now, a text":  {people, redacting("org: {set: now}"), nil},
		"set now, a date":  {people + `alter table app.events add born date`, redacting("born: {set: now}"), refused(`"now" means another time at each sweep; write a date`)},
		"hmac too long":    {people, redacting("phone: {hmac: \"x%s\"}"), refused(`{hmac: …} makes 33 characters, and column "phone" of app.events takes 10`)},
		"hmac in domain":   {people, redacting("short: {hmac: \"x%s\"}"), refused(`{hmac: …} makes 33 characters, and column "short" of app.events takes 10`) /* and the server says so too */},
		"hmac of a char":   {people, redacting("c: {hmac: \"x%s\"}"), refused(`column "c" of app.events is "char"; {hmac: …} needs a text column`)},
		"hmac of a number": {people, redacting("small: {hmac: \"x%s\"}"), refused(`column "small" of app.events is integer; {hmac: …} needs a text column`)},
		"check":            {people, redacting("note: {set: redacted}"), refused(`check constraint "short_note" of app.events refuses what the redaction writes`)},
		"check of two":     {people, redacting("city: {set: x}\nzip: {set: x}"), []string{`policies.yaml:10:9: check constraint "place" of app.events refuses what the redaction writes`}},
		"check half known": {people, redacting("city: {set: x}"), nil},

		"unique, constant":      {unique("(nick)"), redacting("nick: zero"), refused(`column "nick" of app.events is unique (index "one_each"), and this gives every row the same value; use {hmac: …} or "null"`)},
		"unique, set":           {unique("(nick)"), redacting("email: zero") + "      set: {nick: x}\n", []string{`policies.yaml:10:13: column "nick" of app.events is unique (index "one_each"), and this gives every row the same value; use {hmac: …} or "null"`}},
		"unique, null":          {unique("(nick)"), redacting("nick: \"null\""), nil},
		"unique, hmac":          {unique("(nick)"), redacting("nick: {hmac: \"%s\"}"), nil},
		"unique expression":     {unique("(lower(nick))"), redacting("nick: zero"), refused(`column "nick" of app.events is unique (index "one_each"), and this gives every row the same value; use {hmac: …} or "null"`)},
		"unique of two":         {unique("(org, nick)"), redacting("nick: zero"), refused(`column "nick" of app.events is unique (index "one_each"), and this gives every row the same value; use {hmac: …} or "null"`)},
		"unique with the key":   {unique("(id, nick)"), redacting("nick: zero"), nil},
		"unique, mixed":         {unique("((org || nick))"), redacting("nick: zero"), nil},
		"unique in part":        {unique("(nick) where nick <> ''"), redacting("nick: zero"), nil},
		"included":              {unique("(org) include (nick)"), redacting("nick: zero"), nil},
		"one mind":              {people, redacting("nick: zero") + "  second: {table: app.events, start_from: at, redact: {after: P2Y, columns: {nick: zero}}}\n", nil},
		"two minds, other rows": {people, redacting("nick: zero") + "    where: [{column: org, op: eq, value: a}]\n  second: {table: app.events, start_from: at, where: [{column: org, op: in, value: [b, c]}], redact: {after: P2Y, columns: {nick: {set: x}}}}\n", nil},
	})
}

func TestLintForeignKeys(t *testing.T) {
	t.Parallel()
	child := func(rest string) string {
		return plainTable + `create table app.kids (id int primary key, at timestamptz, parent int, constraint of_parent foreign key (parent) references app.events ` + rest + `)`
	}
	const both = plain + "  kids: {table: app.kids, start_from: at, delete: {after: P5Y}}\n"
	changes := func(action string) []string {
		return []string{inTable + `foreign key "of_parent" of app.kids is ON DELETE ` + action + `: deleting from app.events would change rows there that no policy judged; declare app.kids in children, or make it ON DELETE RESTRICT`}
	}
	keeps := []string{inTable + `foreign key "of_parent" of app.kids keeps every row of app.events that it points at, and no category deletes from app.kids; declare it in children, or add one`}
	const parts = `create table app.events (id int, at timestamptz, primary key (id, at)) partition by range (at);
		create table app.old partition of app.events for values from (minvalue) to ('2025-01-01');`
	lints(t, map[string]lintCase{
		"cascade":         {child("on delete cascade"), both, changes("CASCADE")},
		"set null":        {child("on delete set null"), both, changes("SET NULL")},
		"set default":     {child("on delete set default"), both, changes("SET DEFAULT")},
		"ungoverned":      {child("on delete restrict"), plain, keeps},
		"governed":        {child("on delete restrict"), both, nil},
		"observed":        {child(""), plain + "  kids: {table: app.kids, start_from: at, mode: observe, delete: {after: P5Y}}\n", nil},
		"disabled":        {child(""), plain + "  kids: {table: app.kids, start_from: at, enabled: false, delete: {after: P5Y}}\n", keeps},
		"only redacted":   {child(""), plain + "  kids: {table: app.kids, start_from: at, redact: {after: P5Y, columns: {parent: \"null\"}}}\n", keeps},
		"redacting only":  {child("on delete cascade"), redacting(`who: "null"`), nil},
		"self":            {plainTable + `alter table app.events add up int references app.events`, plain, nil},
		"self cascade":    {plainTable + `alter table app.events add up int, add constraint of_parent foreign key (up) references app.events on delete cascade`, plain, []string{inTable + `foreign key "of_parent" of app.events is ON DELETE CASCADE: deleting from app.events would change rows there that no policy judged; make it ON DELETE RESTRICT`}},
		"cycle":           {child("") + `; alter table app.events add kid int references app.kids`, both, []string{inTable + "foreign keys form a cycle of tables: app.events → app.kids → app.events", "policies.yaml:7:17: foreign keys form a cycle of tables: app.kids → app.events → app.kids"}},
		"of a partition":  {parts + `create table app.kids (id int primary key, at timestamptz, parent int, constraint of_parent foreign key (parent, at) references app.old on delete cascade)`, both, changes("CASCADE")},
		"from partitions": {plainTable + `create table app.kids (id int, at timestamptz, parent int, primary key (id, at), constraint of_parent foreign key (parent) references app.events) partition by range (at); create table app.k1 partition of app.kids default`, both, nil},
		"from a partition": {plainTable + `create table app.kids (id int, at timestamptz, parent int, primary key (id, at)) partition by range (at); create table app.k1 partition of app.kids default;
			alter table app.k1 add constraint of_leaf foreign key (parent) references app.events`, both, nil},
		"from a partition, ungoverned": {plainTable + `create table app.kids (id int, at timestamptz, parent int, primary key (id, at)) partition by range (at); create table app.k1 partition of app.kids default;
			alter table app.k1 add constraint of_leaf foreign key (parent) references app.events`, plain, []string{inTable + `foreign key "of_leaf" of app.k1 keeps every row of app.events that it points at, and no category deletes from app.kids; declare it in children, or add one`}},
	})
}

var daemon sync.Once

// lints runs each case in a database of its own, as the role that purges.
func lints(t *testing.T, cases map[string]lintCase) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			daemon.Do(func() { db.Exec(t, `create role sweeper_daemon login`) })
			db.Exec(t, `create schema app; grant usage on schema app to sweeper_daemon;`+c.ddl)
			text := c.policy
			if strings.Contains(text, "TEMPORARY") {
				text = temporary(t, db, text)
			}
			if want := "\ntimezone:"; strings.Contains(text, want) { // of the file, not of the category
				keys, zone, _ := strings.Cut(text, want)
				text = "version: 1\ncategories:\n  events:\n" + keys + want + zone
			} else {
				text = "version: 1\ncategories:\n  events:\n" + text
			}
			got := lint(t, db, text)
			want := strings.ReplaceAll(strings.Join(c.want, "\n"), "TEMPORARY", schemaOf(text))
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// lint gives the heads of all refusals, with the file's base name.
func lint(t *testing.T, db *pgtest.DB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + db.URL("sweeper_daemon")})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(policy.Defaults{AllowRawSQL: true}, path)
	if err == nil {
		_, err = sweeper.Lint(t.Context(), cfg, set)
	}
	return heads(err, path)
}

// parsed loads a policy from a file of its own.
func parsed(t *testing.T, text string) (set policy.Set, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(policy.Defaults{}, path)
	if err != nil {
		t.Fatal(err)
	}
	return set, path
}

// heads are the first lines of problems, with the base name of the file.
func heads(err error, path string) string {
	if err == nil {
		return ""
	}
	var all []string
	for _, line := range strings.Split(strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""), "\n") {
		if !strings.HasPrefix(line, "  ") {
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n")
}

// temporary makes a temporary table in a session that stays open, and names its
// schema in the policy.
func temporary(t *testing.T, db *pgtest.DB, text string) string {
	conn := db.Conn(t, "")
	if _, err := conn.Exec(t.Context(), `create temp table events (id int primary key, at timestamptz)`); err != nil {
		t.Fatal(err)
	}
	schema := pgtest.QueryOne[string](t, conn, `select nspname::text from pg_namespace where oid = pg_my_temp_schema()`)
	return strings.ReplaceAll(text, "TEMPORARY", schema)
}

func schemaOf(text string) string {
	_, rest, _ := strings.Cut(text, "table: ")
	schema, _, _ := strings.Cut(rest, ".")
	return schema
}
