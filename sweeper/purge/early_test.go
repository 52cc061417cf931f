package purge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// TestNeverEarly runs each row twice: one microsecond before it is due it must
// stay, and at the instant it must go. The instant is PostgreSQL's own, for
// compound periods, clock changes, short months and leap days, by each walk.
func TestNeverEarly(t *testing.T) {
	t.Parallel()
	starts := []string{
		"2023-01-31 23:59:59.999999", "2024-02-29 00:00:00", "2023-03-11 02:30:00", "2022-11-06 01:30:00",
		"2023-12-31 12:00:00.000001", "2022-08-30 06:15:00", "2023-05-31 00:00:00",
	}
	for _, typ := range []string{"timestamptz", "timestamp", "date", "s", "ms", "us"} {
		for _, walk := range []string{"index", "blocks", "partitions"} {
			for _, zone := range []string{"UTC", "America/New_York"} {
				t.Run(typ+"/"+walk+"/"+zone, func(t *testing.T) {
					t.Parallel()
					const period = "1 year 1 month 3 days"
					ddl := fmt.Sprintf(`create schema app; create table app.events (id text, at %s, who text, primary key (id));`, columnOf(typ))
					switch walk {
					case "index":
						ddl += `create index on app.events (at)`
					case "partitions":
						ddl = fmt.Sprintf(`create schema app; create table app.events (id text, at %s, who text, primary key (id, at)) partition by range (at);
							create table app.old partition of app.events for values from (minvalue) to (%[2]s);
							create table app.mid partition of app.events for values from (%[2]s) to (%[3]s);
							create table app.new partition of app.events for values from (%[3]s) to (maxvalue)`, columnOf(typ), boundOf(typ, "2023-01-01"), boundOf(typ, "2023-06-01"))
					}
					b := setupWith(t, ddl, one(zone, "    delete: {after: P1Y1M3D}\n"), inUnit(typ))
					for _, start := range starts {
						b.db.Exec(t, fmt.Sprintf(`insert into app.events values ('x', %s, 'a')`, startOf(typ, start, zone)))
						due := pgtest.QueryOne[time.Time](t, b.admin, fmt.Sprintf(`select timezone($1, %s + $2::interval) from app.events`, wallOf(typ)), zone, period)
						b.run(t, due.Add(-time.Microsecond))
						if b.text(t, `select id from app.events`) != "x" {
							t.Fatalf("start %s: gone one microsecond before %s", start, due)
						}
						b.run(t, due)
						if b.text(t, `select id from app.events`) != "" {
							t.Fatalf("start %s: still there at %s", start, due)
						}
					}
				})
			}
		}
	}
}

// TestLongDue holds the shortcut for what has long been due against the formula,
// where months, leap days and zones are at their worst: Apia left out a day.
func TestLongDue(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id text primary key, at timestamptz, who text)`, one("UTC", "    delete: {after: P1Y1M3D}\n"), nil)
	const early = `select count(*)
		from unnest(array['1 mon', '1 year 1 mon 3 days', '11 mons 30 days', '1 mon 365 days', '4 years 1 mon 31 days']::interval[]) period,
		     unnest(array['UTC', 'America/New_York', 'Pacific/Apia', 'Europe/Berlin']) zone,
		     generate_series('2011-12-01'::timestamptz, '2012-04-03', '11 hours') as_of,
		     generate_series(0, 40 * 24, 7) hours,
		     lateral (select as_of - period - $1::interval - interval '1 microsecond' - hours * interval '1 hour' as at) s
		where not timezone(zone, timezone(zone, at) + period) <= as_of`
	if n := pgtest.QueryOne[int](t, b.admin, early, "0 days"); n == 0 {
		t.Error("without its days no start would be early: the test shows nothing")
	}
	if n := pgtest.QueryOne[int](t, b.admin, early, fmt.Sprintf("%d days", 2*int(plan.Slack.Hours()/24))); n > 0 {
		t.Errorf("%d starts would go before they are due", n)
	}
}

// perSecond are the units of integer starts, which the tests take for types.
var perSecond = map[string]int64{"s": 1, "ms": 1_000, "us": 1_000_000}

func columnOf(typ string) string {
	if perSecond[typ] != 0 {
		return "int8"
	}
	return typ
}

func inUnit(typ string) func(*policy.Category) {
	return func(c *policy.Category) {
		if perSecond[typ] != 0 {
			c.Start.Unit = typ
		}
	}
}

func boundOf(typ, day string) string {
	if per := perSecond[typ]; per != 0 {
		at, _ := time.Parse(time.DateOnly, day)
		return fmt.Sprint(at.Unix() * per)
	}
	return "'" + day + "'"
}

// startOf is the value of a start column for a wall-clock time in the zone.
func startOf(typ, start, zone string) string {
	switch {
	case typ == "timestamptz":
		return fmt.Sprintf("timezone('%s', timestamp '%s')", zone, start)
	case typ == "date":
		return fmt.Sprintf("date '%s'", start[:10])
	case perSecond[typ] != 0:
		return fmt.Sprintf("floor(extract(epoch from timezone('%s', timestamp '%s')) * %d)::int8", zone, start, perSecond[typ])
	}
	return fmt.Sprintf("timestamp '%s'", start)
}

// wallOf is the start at on the wall clock of the zone $1.
func wallOf(typ string) string {
	switch {
	case typ == "timestamptz":
		return "timezone($1, at)"
	case typ == "date":
		return "(at + 1)::timestamp"
	case perSecond[typ] != 0:
		return fmt.Sprintf("case when at between %[1]d and %[2]d then timezone($1, timestamptz '1970-01-01 00:00:00+00' + make_interval(secs => at / %[3]d) + at %% %[3]d * interval '%[4]d microseconds') end",
			631152000*perSecond[typ], 4102444800*perSecond[typ]-1, perSecond[typ], 1_000_000/perSecond[typ])
	}
	return "at"
}

// TestSecondsInFourBytes has partitions of a narrow integer, whose bounds the
// server prints without quotes: what is due goes whole, and the rest by rows.
func TestSecondsInFourBytes(t *testing.T) {
	t.Parallel()
	b := setupWith(t, `create schema app; create table app.events (id int, at int, who text, primary key (id, at)) partition by range (at);
		create table app.old partition of app.events for values from (1262304000) to (1293840000); create table app.mid partition of app.events for values from (1577836800) to (1735689600); create table app.new partition of app.events for values from (1735689600) to (maxvalue);
		insert into app.events select i, 1262304000 + i * 86400, 'u' from generate_series(0, 364) i; insert into app.events values (1000, 1609459199, 'u'), (1001, 1609459200, 'u'), (1002, 1609459201, 'u'), (1003, 2147483647, 'u')`,
		one("UTC", "    delete: {after: P5Y}\n"), inUnit("s"))
	owner := b.db.Role(t, "owner", "")
	b.db.Exec(t, fmt.Sprintf(`grant %[1]s to sweeper_owner; grant all on schema app to %[1]s; alter table app.events owner to %[1]s; alter table app.old owner to %[1]s`, owner))
	o := b.run(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))["events"]
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != "1002 1003" {
		t.Errorf("left are %s", got)
	}
	if o.State != "succeeded" || o.PartitionsDropped != 1 || o.Deleted != 367 {
		t.Errorf("got %+v", o)
	}
}

// TestNeverStarted has the starts that are no start, and those at the end of
// the calendar, whose due instant cannot be computed. None may go, and none may
// stop the rows beside them.
func TestNeverStarted(t *testing.T) {
	t.Parallel()
	for typ, last := range map[string]string{"timestamptz": "294276-12-31 00:00:00+00", "timestamp": "294276-12-31", "date": "5874897-01-01"} {
		for _, index := range []string{"", "create index on app.events (at);"} {
			t.Run(typ+"/"+index, func(t *testing.T) {
				t.Parallel()
				b := setup(t, fmt.Sprintf(`create schema app; create table app.events (id text primary key, at %s, who text); %s
					insert into app.events values ('a null', null), ('b never', 'infinity'), ('c unset', '-infinity'), ('d last', '%s'), ('e due', '2001-01-01'), ('f early', '0044-03-15 BC')`, typ, index, last),
					one("UTC", "    delete: {after: P5Y}\n"))
				o := b.run(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))["events"]
				if got := b.text(t, `select string_agg(id, ', ' order by id) from app.events`); got != "a null, b never, c unset, d last" {
					t.Errorf("left are %s", got)
				}
				if o.State != "succeeded" || o.Deleted != 2 || o.NotStarted != 2 {
					t.Errorf("got %+v", o)
				}
			})
		}
	}
}
