package purge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
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
	for _, typ := range []string{"timestamptz", "timestamp", "date"} {
		for _, walk := range []string{"index", "blocks", "partitions"} {
			for _, zone := range []string{"UTC", "America/New_York"} {
				t.Run(typ+"/"+walk+"/"+zone, func(t *testing.T) {
					t.Parallel()
					const period = "1 year 1 month 3 days"
					ddl := fmt.Sprintf(`create schema app; create table app.events (id text, at %s, who text, primary key (id));`, typ)
					switch walk {
					case "index":
						ddl += `create index on app.events (at)`
					case "partitions":
						ddl = fmt.Sprintf(`create schema app; create table app.events (id text, at %s, who text, primary key (id, at)) partition by range (at);
							create table app.old partition of app.events for values from (minvalue) to ('2023-01-01');
							create table app.mid partition of app.events for values from ('2023-01-01') to ('2023-06-01');
							create table app.new partition of app.events for values from ('2023-06-01') to (maxvalue)`, typ)
					}
					b := setup(t, ddl, one(zone, "    delete: {after: P1Y1M3D}\n"))
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

func startOf(typ, start, zone string) string {
	switch typ {
	case "timestamptz":
		return fmt.Sprintf("timezone('%s', timestamp '%s')", zone, start)
	case "date":
		return fmt.Sprintf("date '%s'", start[:10])
	}
	return fmt.Sprintf("timestamp '%s'", start)
}

func wallOf(typ string) string {
	switch typ {
	case "timestamptz":
		return "timezone($1, at)"
	case "date":
		return "(at + 1)::timestamp"
	}
	return "at"
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
