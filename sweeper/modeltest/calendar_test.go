package modeltest_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// period is a length of calendar time: months first, then days, on the wall
// clock.
type period struct{ months, days int }

func (p period) String() string {
	s := "P"
	if p.months >= 12 {
		s += strconv.Itoa(p.months/12) + "Y"
	}
	if p.months%12 > 0 {
		s += strconv.Itoa(p.months%12) + "M"
	}
	if p.days > 0 || p.months == 0 {
		s += strconv.Itoa(p.days) + "D"
	}
	return s
}

// interval writes the period for the server.
func (p period) interval() string {
	return fmt.Sprintf("interval '%d months %d days'", p.months, p.days)
}

// after is the wall clock later by the period. A month that is too short ends
// on its last day.
func (p period) after(wall time.Time) time.Time {
	y, m, d := wall.Date()
	first := time.Date(y, m+time.Month(p.months), 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	day := time.Date(first.Year(), first.Month(), min(d, last)+p.days, 0, 0, 0, 0, time.UTC)
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return day.Add(wall.Sub(midnight))
}

// wallOf is what the clocks of a zone show, as a time in UTC.
func wallOf(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instantOf is when the clocks of a zone show a time. Of one that they show
// twice it is the second; one that they leave out is read by the clock before.
func instantOf(wall time.Time, zone *time.Location) time.Time {
	at := func(offset int) time.Time { return wall.Add(-time.Duration(offset) * time.Second) }
	offset := func(t time.Time) int { _, o := t.In(zone).Zone(); return o }
	before, after := offset(wall.Add(-24*time.Hour)), offset(wall.Add(24*time.Hour))
	if offset(at(after)) == after {
		return at(after)
	}
	return at(before)
}

// moment is a start: nothing, a time on the wall clock, or infinity.
type moment struct {
	known, infinite bool
	wall            time.Time
}

func (m moment) before(o moment) bool {
	return !m.infinite && (o.infinite || m.wall.Before(o.wall))
}

// parseMoment reads the text of a start column on the wall clock of a zone. A
// date counts from the end of its day.
func parseMoment(text string, there bool, typ, unit string, zone *time.Location) moment {
	switch {
	case !there || text == "-infinity":
		return moment{}
	case text == "infinity":
		return moment{known: true, infinite: true}
	case unit != "":
		n, err := strconv.ParseInt(text, 10, 64)
		per := map[string]int64{"s": 1, "ms": 1e3, "us": 1e6}[unit]
		if err != nil || n < epoch1990*per || n >= epoch2100*per {
			return moment{}
		}
		return moment{known: true, wall: wallOf(time.Unix(n/per, n%per*(1e9/per)), zone)}
	case typ == "date":
		return moment{known: true, wall: parseTime("2006-01-02", text).AddDate(0, 0, 1)}
	case typ == "timestamp":
		return moment{known: true, wall: parseTime("2006-01-02 15:04:05.999999", text)}
	}
	return moment{known: true, wall: wallOf(instant(text), zone)}
}

// Integers count from 1990 to 2100; what lies outside is no time.
var (
	epoch1990 = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	epoch2100 = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
)

// instant reads a timestamptz as the witness writes it.
func instant(text string) time.Time { return parseTime("2006-01-02 15:04:05.999999Z07", text) }

func parseTime(layout, text string) time.Time {
	t, err := time.Parse(layout, text)
	if err != nil {
		panic(fmt.Sprintf("not a time in the witness's output: %q", text))
	}
	return t.UTC()
}

// parseInterval reads an interval of years, months and days.
func parseInterval(text string) (p period) {
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(words[i])
		switch unit := strings.TrimSuffix(words[i+1], "s"); {
		case err != nil:
			panic("not an interval in the witness's output: " + text)
		case unit == "year":
			p.months += 12 * n
		case unit == "mon":
			p.months += n
		case unit == "day":
			p.days += n
		}
	}
	return p
}
