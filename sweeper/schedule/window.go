package schedule

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Window is a span of hours of each day, possibly over midnight. The zero
// Window is always open.
type Window struct {
	from, to time.Duration // since midnight, on the wall
	zone     *time.Location
}

var windowText = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])$`)

// ParseWindow reads hours such as 22:00-05:00, the end excluded, in a zone. An
// empty text is the window that is always open.
func ParseWindow(text, zone string) (Window, error) {
	if text == "" {
		return Window{}, nil
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return Window{}, fmt.Errorf("zone %q is not known", zone)
	}
	m := windowText.FindStringSubmatch(text)
	if m == nil {
		return Window{}, fmt.Errorf("%q is not a span of hours; write one such as 22:00-05:00", text)
	}
	w := Window{from: sinceMidnight(m[1], m[2]), to: sinceMidnight(m[3], m[4]), zone: loc}
	if w.from == w.to {
		return Window{}, fmt.Errorf("%q begins where it ends; leave it empty for all hours", text)
	}
	return w, nil
}

func sinceMidnight(hours, minutes string) time.Duration {
	h, _ := strconv.Atoi(hours) // two digits, by the pattern
	m, _ := strconv.Atoi(minutes)
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
}

// Open tells whether the wall shows an hour of the window.
func (w Window) Open(at time.Time) bool {
	if w.zone == nil {
		return true
	}
	wall := onWall(at, w.zone)
	day := wall.Sub(time.Date(wall.Year(), wall.Month(), wall.Day(), 0, 0, 0, 0, time.UTC))
	if w.from < w.to {
		return w.from <= day && day < w.to
	}
	return day >= w.from || day < w.to
}

// NextOpen is the first moment from at on in which the window is open.
func (w Window) NextOpen(at time.Time) time.Time {
	if w.Open(at) {
		return at
	}
	wall := onWall(at, w.zone)
	for day := 0; ; day++ {
		opens := time.Date(wall.Year(), wall.Month(), wall.Day()+day, 0, 0, 0, 0, time.UTC).Add(w.from)
		if t := instant(opens, w.zone); t.After(at) {
			return t.UTC()
		}
	}
}
