package main

import (
	"fmt"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
)

// clockLayouts are the ways to write an instant, zoneLayouts those that leave
// the zone to SWEEPER_TIMEZONE. Fractions of a second are read by all of them.
var (
	clockLayouts = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07"}
	zoneLayouts  = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"}
)

const dateLayout = "2006-01-02"

// instant reads the value of a flag that is a time. A date alone is its first
// instant or, with wholeDay, the first one after it.
func instant(cfg sweeper.Config, flag, text string, wholeDay bool) (time.Time, error) {
	for _, layout := range clockLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return sane(t, flag)
		}
	}
	zone, err := time.LoadLocation(cfg.Timezone)
	if err != nil {
		return time.Time{}, fmt.Errorf("load time zone %s: %w", cfg.Timezone, err)
	}
	for _, layout := range zoneLayouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return sane(t, flag)
		}
	}
	if t, err := time.ParseInLocation(dateLayout, text, zone); err == nil {
		if wholeDay {
			t = t.AddDate(0, 0, 1)
		}
		return sane(t, flag)
	}
	return time.Time{}, usage(fmt.Errorf("--%s %q is not a time; write 2026-03-17, \"2026-03-17 04:00\" or 2026-03-17T04:00:00Z", flag, text))
}

// sane refuses a time that is surely a slip; the zero time would mean none.
func sane(t time.Time, flag string) (time.Time, error) {
	if t.Year() < 1970 {
		return t, usage(fmt.Errorf("--%s is before 1970; write a time of this age", flag))
	}
	return t, nil
}
