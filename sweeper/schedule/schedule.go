// Package schedule says when a category is due, and when sweeps may run.
//
// It guarantees that a wall-clock slot comes exactly once, whatever the zone
// does: one in the hour that autumn repeats at its first occurrence, one in
// the hour that spring leaves out at the moment after the gap. It reads no
// clock and knows no database: the same question has the same answer in every
// process and after every restart.
package schedule

import (
	"fmt"
	"time"

	"github.com/netresearch/go-cron"

	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// origin is what `every` counts from, so that a restart does not shift it: a
// midnight, and for weeks a Saturday.
var origin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Schedule is when a category is due. Only Parse makes a valid one.
type Schedule struct {
	text  string
	every time.Duration
	cron  cron.Schedule
	zone  *time.Location
}

// Parse reads a policy's schedule; zone is the IANA name of the zone that cron
// fields are in. A schedule that never comes, such as 30 February, is refused.
func Parse(s policy.Schedule, zone string) (Schedule, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("zone %q is not known; write an IANA zone such as Europe/Berlin", zone)
	}
	if s.Every > 0 {
		return Schedule{text: "every " + s.Every.String(), every: s.Every, zone: loc}, nil
	}
	spec, err := policy.ParseCron(s.Cron)
	return Schedule{text: s.Cron, cron: spec, zone: loc}, err
}

// String is the schedule as the database stores it.
func (s Schedule) String() string { return s.text }

// Next is the first slot after the given instant.
func (s Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		past := after.Sub(origin) % s.every
		if past < 0 {
			past += s.every
		}
		return after.Add(s.every - past).UTC()
	}
	// The fields are matched on the clock on the wall, which knows no offsets.
	for wall := onWall(after, s.zone); ; {
		if wall = s.cron.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, s.zone); at.After(after) {
			return at.UTC()
		}
	}
}

// onWall is what a clock on the wall of a zone shows, as if it were UTC.
func onWall(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is when the wall of a zone shows this for the first time, or else
// the end of the gap that it lies in.
func instant(wall time.Time, zone *time.Location) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	start, end := at.ZoneBounds()
	switch shown := onWall(at, zone); {
	case shown.After(wall):
		return start // of the time after the gap
	case shown.Before(wall):
		return end // of the time before it
	case start.IsZero():
		return at
	}
	_, now := at.Zone()
	_, before := start.Add(-time.Second).Zone()
	if earlier := at.Add(time.Duration(now-before) * time.Second); earlier.Before(start) && before > now {
		return earlier
	}
	return at
}
