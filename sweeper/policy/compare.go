package policy

import (
	"sync"
	"time"
)

const (
	// firstYear is where the search for a start begins, so that the one that is
	// shown is one of today's. The calendar repeats after cycle years.
	firstYear = 2024
	cycle     = 400

	// slack is more days than two periods can differ by from the difference of
	// their mean lengths: a number of months strays less than 5 days from its
	// mean, the cut at the ends of months included.
	slack = 10
)

// calendar returns the first day of each month from January of firstYear on, as
// days since then, as far as a start of the cycle and a period reach.
var calendar = sync.OnceValue(func() []int {
	first := time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)
	months := make([]int, 12*(cycle+maxYears)+2)
	for i := range months {
		months[i] = int(first.AddDate(0, i, 0).Unix()-first.Unix()) / (24 * 60 * 60)
	}
	return months
})

// exceeds tells whether a ends after b for some start, and names such a start.
// Periods with months have no length of their own: 1827 days reach as far as five
// years or further from any date, 1826 from most. Unless the mean lengths settle
// it, the answer is sought among all dates of the calendar's cycle.
func exceeds(a, b Period) (start time.Time, ok bool) {
	if a.months() <= b.months() && a.rest() <= b.rest() {
		return time.Time{}, false
	}
	if a.days()+slack <= b.days() {
		return time.Time{}, false
	}
	months := calendar()
	for month := range 12 * cycle {
		// Within a month only its last days are cut differently.
		for _, day := range [...]int{1, 28, 29, 30, 31} {
			if day <= months[month+1]-months[month] && a.after(months, month, day) > b.after(months, month, day) {
				return time.Date(firstYear, time.Month(1+month), day, 0, 0, 0, 0, time.UTC), true
			}
		}
	}
	return time.Time{}, false
}

// after returns the day on which the period ends that starts on a day of a month
// of the calendar. It counts as PostgreSQL does: months first, cut to the month's
// last day, then days.
func (p Period) after(months []int, month, day int) int {
	month += p.months()
	return months[month] + min(day, months[month+1]-months[month]) - 1 + p.rest()
}
