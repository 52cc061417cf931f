package schedule_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

func parse(t *testing.T, cron, zone string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(policy.Schedule{Cron: cron}, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNext has the slots after an instant, one after the other.
func TestNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cron, zone, after, want string }{
		"daily":               {"0 3 * * *", "UTC", "2026-06-01T03:00:00Z", "2026-06-02T03:00:00Z 2026-06-03T03:00:00Z"},
		"in a zone":           {"0 3 * * *", "Europe/Berlin", "2026-06-01T00:00:00Z", "2026-06-01T01:00:00Z 2026-06-02T01:00:00Z"},
		"seconds are cut":     {"*/15 * * * *", "UTC", "2026-06-01T00:14:59.999999Z", "2026-06-01T00:15:00Z 2026-06-01T00:30:00Z"},
		"spring, in the gap":  {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:30:00Z"},
		"spring, many in it":  {"*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:00:00Z"},
		"spring, at its end":  {"0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:00:00Z"},
		"autumn, once":        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z 2026-10-26T01:30:00Z"},
		"autumn, in between":  {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		"autumn, every hour":  {"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T00:00:00Z 2026-10-25T02:00:00Z"},
		"west, autumn":        {"30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z 2026-11-02T06:30:00Z"},
		"half an hour":        {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z"},
		"a day left out":      {"0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2011-12-30T10:00:00Z 2012-12-29T22:00:00Z"},
		"midnight left out":   {"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z 2018-11-05T02:00:00Z"},
		"either kind of day":  {"0 0 13 * fri", "UTC", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z 2026-02-27T00:00:00Z 2026-03-06T00:00:00Z 2026-03-13T00:00:00Z"},
		"Sunday is 0 and 7":   {"0 0 * * 7", "UTC", "2026-06-01T00:00:00Z", "2026-06-07T00:00:00Z"},
		"29 February":         {"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		"names and lists":     {"5,10 4-6/2 1 JAN,jul *", "UTC", "2026-01-02T00:00:00Z", "2026-07-01T04:05:00Z 2026-07-01T04:10:00Z 2026-07-01T06:05:00Z"},
		"the end of the year": {"59 23 31 12 *", "UTC", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"},
	} {
		s, at := parse(t, c.cron, c.zone), at(t, c.after)
		for want := range strings.FieldsSeq(c.want) {
			if at = s.Next(at); at.Format(time.RFC3339Nano) != want {
				t.Errorf("%s: got %s, want %s", name, at.Format(time.RFC3339Nano), want)
				break
			}
		}
	}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestEvery counts from a fixed origin, whenever it is asked.
func TestEvery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		every       time.Duration
		after, want string
	}{
		{time.Hour, "2026-06-01T00:59:59.9Z", "2026-06-01T01:00:00Z"},
		{time.Hour, "2026-06-01T01:00:00Z", "2026-06-01T02:00:00Z"},
		{24 * time.Hour, "2026-06-01T01:00:00Z", "2026-06-02T00:00:00Z"},
		{7 * 24 * time.Hour, "2026-06-01T01:00:00Z", "2026-06-06T00:00:00Z"},
		{time.Hour, "1999-12-31T23:30:00Z", "2000-01-01T00:00:00Z"},
		{time.Second, "2026-06-01T00:00:00.000001Z", "2026-06-01T00:00:01Z"},
	} {
		s, err := schedule.Parse(policy.Schedule{Every: c.every}, "Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(at(t, c.after)).Format(time.RFC3339Nano); got != c.want {
			t.Errorf("every %s after %s: got %s, want %s", c.every, c.after, got, c.want)
		}
	}
}

// TestNextIsTheNext holds random schedules against what the wall shows, minute
// by minute over the two changes of a year: each time of the day that matches
// comes once, and one in a gap when the gap ends.
func TestNextIsTheNext(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			hour, minute := random.IntN(4), random.IntN(60)
			s := parse(t, time.Date(0, 1, 1, hour, minute, 0, 0, time.UTC).Format("4 15")+" * * *", zone)
			for _, from := range []time.Time{time.Date(2026, 3, 1, 0, 0, 0, 0, loc), time.Date(2026, 9, 25, 0, 0, 0, 0, loc)} {
				days := map[string]int{}
				end := from.AddDate(0, 0, 45)
				for slot := s.Next(from.Add(-time.Nanosecond)); slot.Before(end); slot = s.Next(slot) {
					days[slot.In(loc).Format("2006-01-02")]++
				}
				for day := from; day.Before(end); day = day.AddDate(0, 0, 1) {
					if n := days[day.Format("2006-01-02")]; n != 1 {
						t.Errorf("%02d:%02d in %s comes %d times on %s", hour, minute, zone, n, day.Format("2006-01-02"))
					}
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schedule   policy.Schedule
		zone, want string
	}{
		{policy.Schedule{Cron: "0 3 * *"}, "UTC", "is not a cron schedule"},
		{policy.Schedule{Cron: "0 0 30 2 *"}, "UTC", "never comes"},
		{policy.Schedule{Cron: "0 0 * * *"}, "Europe/Atlantis", "zone"},
	} {
		if _, err := schedule.Parse(c.schedule, c.zone); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.schedule, err, c.want)
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		window, zone, at string
		open             bool
		next             string
	}{
		{"", "UTC", "2026-06-01T12:00:00Z", true, "2026-06-01T12:00:00Z"},
		{"22:00-05:00", "UTC", "2026-06-01T22:00:00Z", true, "2026-06-01T22:00:00Z"},
		{"22:00-05:00", "UTC", "2026-06-01T04:59:59Z", true, "2026-06-01T04:59:59Z"},
		{"22:00-05:00", "UTC", "2026-06-01T05:00:00Z", false, "2026-06-01T22:00:00Z"},
		{"01:00-02:00", "UTC", "2026-06-01T02:00:00Z", false, "2026-06-02T01:00:00Z"},
		{"01:00-02:00", "Europe/Berlin", "2026-06-01T00:30:00Z", false, "2026-06-01T23:00:00Z"},
		{"02:15-02:45", "Europe/Berlin", "2026-03-29T00:59:00Z", false, "2026-03-29T01:00:00Z"},
	} {
		w, err := schedule.ParseWindow(c.window, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if w.Open(at(t, c.at)) != c.open || w.NextOpen(at(t, c.at)).Format(time.RFC3339) != c.next {
			t.Errorf("%s at %s: open %v, next %s", c.window, c.at, w.Open(at(t, c.at)), w.NextOpen(at(t, c.at)).Format(time.RFC3339))
		}
	}
	for _, text := range []string{"22-05", "22:00", "24:00-05:00", "05:00-05:00", "22:00-05:60"} {
		if _, err := schedule.ParseWindow(text, "UTC"); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
