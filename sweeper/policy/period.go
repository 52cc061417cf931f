package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Period is a length of calendar time. Each part is 0 or more, the whole at most
// 200 years. What it amounts to depends on the start it is counted from.
type Period struct {
	Years, Months, Weeks, Days int
}

const (
	maxYears     = 200
	daysPerYear  = 365.2425
	daysPerMonth = daysPerYear / 12
)

var (
	isoPeriod  = regexp.MustCompile(`^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?$`)
	wordPeriod = regexp.MustCompile(`^\d+\s+(?:year|month|week|day)s?(?:\s+\d+\s+(?:year|month|week|day)s?)*$`)
	signed     = regexp.MustCompile(`(?:^|\s|P|[A-Za-z])[-+−]\s*\d`)
	fraction   = regexp.MustCompile(`\d[.,]\d`)
	timePart   = regexp.MustCompile(`(?i)^P[^T]*T|\d\s*(?:hour|hr|minute|min|second|sec|h|s)s?\b`)
	bareNumber = regexp.MustCompile(`^\d+$`)
)

// ParsePeriod reads ISO 8601 dates (P5Y, P24M, P2W, P90D, P1Y6M) or words
// (5 years, 1 year 6 months). There is no sign, fraction or time part, zero is
// only P0D, and 200 years are the most. The error is a sentence without position.
func ParsePeriod(text string) (Period, error) {
	s := strings.TrimSpace(text)
	for _, r := range s {
		if hidden(r) && r != '\t' {
			return Period{}, fmt.Errorf("%s in a period", describe(r))
		}
	}
	p, err := parseParts(s)
	if err != nil {
		return Period{}, err
	}
	if p == (Period{}) && s != "P0D" {
		return Period{}, fmt.Errorf("%s is zero; write P0D if rows are to go as soon as they start", quote(s))
	}
	if p.days() > maxYears*daysPerYear {
		return Period{}, fmt.Errorf("%s is longer than %d years; write unlimited to keep for ever", quote(s), maxYears)
	}
	return p, nil
}

func parseParts(s string) (Period, error) {
	var p Period
	if m := isoPeriod.FindStringSubmatch(s); m != nil && s != "P" {
		for i, part := range []*int{&p.Years, &p.Months, &p.Weeks, &p.Days} {
			*part = atoi(m[i+1])
		}
		return p, nil
	}
	if lower := strings.ToLower(s); wordPeriod.MatchString(lower) {
		fields := strings.Fields(lower)
		seen := make(map[string]bool)
		for i := 0; i < len(fields); i += 2 {
			unit := strings.TrimSuffix(fields[i+1], "s")
			if seen[unit] {
				return p, fmt.Errorf("%s gives %ss twice", quote(s), unit)
			}
			seen[unit] = true
			*p.part(unit) = atoi(fields[i])
		}
		return p, nil
	}
	return p, notPeriod(s)
}

func (p *Period) part(unit string) *int {
	switch unit {
	case "year":
		return &p.Years
	case "month":
		return &p.Months
	case "week":
		return &p.Weeks
	}
	return &p.Days
}

// atoi reads digits. What does not fit is cut to a number that is far over the
// limit of 200 years in every unit, and small enough to be added up.
func atoi(digits string) int {
	if digits == "" {
		return 0
	}
	const huge = 1 << 30
	n, err := strconv.Atoi(digits)
	if err != nil {
		return huge
	}
	return min(n, huge)
}

// notPeriod says what s lacks to be a period.
func notPeriod(s string) error {
	switch {
	case s == "":
		return errors.New(`a period is missing; write e.g. P5Y or "90 days"`)
	case bareNumber.MatchString(s):
		return fmt.Errorf(`a unit is missing: "%s years"? "%s days"?`, s, s)
	case signed.MatchString(s):
		return fmt.Errorf(`%s has a sign; a period is counted forward, write e.g. "5 years"`, quote(s))
	case fraction.MatchString(s):
		return fmt.Errorf(`%s has a fraction; write whole parts, e.g. "18 months"`, quote(s))
	case timePart.MatchString(s):
		return fmt.Errorf(`%s has a time part; the shortest period is 1 day`, quote(s))
	}
	return fmt.Errorf(`%s is not a period; write e.g. P5Y, "18 months", "90 days"`, quote(s))
}

// months and rest split the period as PostgreSQL counts it: calendar months
// first, then whole days.
func (p Period) months() int { return 12*p.Years + p.Months }
func (p Period) rest() int   { return 7*p.Weeks + p.Days }

// days is the mean length in days, over all starts.
func (p Period) days() float64 {
	return float64(p.months())*daysPerMonth + float64(p.rest())
}

// String returns the period in ISO 8601: P1Y6M, P90D, P0D.
func (p Period) String() string {
	var b strings.Builder
	b.WriteString("P")
	p.each(func(n int, letter, _ string) { fmt.Fprintf(&b, "%d%s", n, letter) })
	if b.Len() == 1 {
		return "P0D"
	}
	return b.String()
}

// Interval returns the period as text that PostgreSQL reads as an interval,
// whatever its IntervalStyle: "5 years 3 mons 14 days".
func (p Period) Interval() string {
	p.Days, p.Weeks = p.rest(), 0
	var parts []string
	p.each(func(n int, _, word string) {
		if n != 1 {
			word += "s"
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
	})
	if parts == nil {
		return "0 days"
	}
	return strings.Join(parts, " ")
}

func (p Period) each(visit func(n int, letter, word string)) {
	for _, part := range []struct {
		n            int
		letter, word string
	}{{p.Years, "Y", "year"}, {p.Months, "M", "mon"}, {p.Weeks, "W", "week"}, {p.Days, "D", "day"}} {
		if part.n != 0 {
			visit(part.n, part.letter, part.word)
		}
	}
}

// MarshalText returns the ISO 8601 form.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
