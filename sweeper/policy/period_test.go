package policy

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestParsePeriod(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		period        Period
		iso, interval string
	}{
		"P5Y":                           {Period{Years: 5}, "P5Y", "5 years"},
		"P24M":                          {Period{Months: 24}, "P24M", "24 mons"},
		"P2W":                           {Period{Weeks: 2}, "P2W", "14 days"},
		"P90D":                          {Period{Days: 90}, "P90D", "90 days"},
		"P1Y6M":                         {Period{Years: 1, Months: 6}, "P1Y6M", "1 year 6 mons"},
		"P1Y2M3W4D":                     {Period{1, 2, 3, 4}, "P1Y2M3W4D", "1 year 2 mons 25 days"},
		"P1Y0M":                         {Period{Years: 1}, "P1Y", "1 year"},
		"P0D":                           {Period{}, "P0D", "0 days"},
		"5 years":                       {Period{Years: 5}, "P5Y", "5 years"},
		"1 Year":                        {Period{Years: 1}, "P1Y", "1 year"},
		"90 days":                       {Period{Days: 90}, "P90D", "90 days"},
		"1 week":                        {Period{Weeks: 1}, "P1W", "7 days"},
		" 6  months 1   year ":          {Period{Years: 1, Months: 6}, "P1Y6M", "1 year 6 mons"},
		"1 year 6 months 2 weeks 1 day": {Period{1, 6, 2, 1}, "P1Y6M2W1D", "1 year 6 mons 15 days"},
		"200 years":                     {Period{Years: 200}, "P200Y", "200 years"},
		"P73048D":                       {Period{Days: 73048}, "P73048D", "73048 days"},
	} {
		got, err := ParsePeriod(text)
		if err != nil || got != want.period || got.String() != want.iso || got.Interval() != want.interval {
			t.Errorf("ParsePeriod(%q) = %+v %s %q, %v; want %+v %s %q", text, got, got, got.Interval(), err, want.period, want.iso, want.interval)
		}
		// The schema and the parser agree on what a period is.
		if _, err := Parse([]File{{Path: "p", Source: []byte(category(`delete: {after: "` + text + `"}`))}}, Defaults{}); err != nil {
			t.Errorf("as delete.after: %v", err)
		}
	}
	for _, text := range []string{"P73049D", "P200Y1D", "unlimited", "P5", "5years", "P-5Y", "+5 years", "P5Y 1D", "１ year", "P5Y\n; drop"} {
		if p, err := ParsePeriod(text); err == nil {
			t.Errorf("ParsePeriod(%q) = %s, want an error", text, p)
		}
	}
}

func TestExceeds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"P5Y", "P5Y", false},
		{"P60M", "P5Y", false},
		{"P52W", "P364D", false},
		{"P1M", "P31D", false},
		{"P1M", "P30D", true},
		{"P28D", "P1M", false},
		{"P29D", "P1M", true},
		{"P1800D", "P5Y", false},
		{"P5Y", "P1827D", false},
		{"P5Y", "P1826D", true},
		{"P1Y", "P11M30D", true},
		{"P8Y", "P2921D", true},  // most starts end on day 2922
		{"P4Y", "P1461D", false}, // 1460 over the years without leap day, never more
		{"P2M", "P62D", false},
		{"P2M", "P61D", true},
		{"P0D", "P1D", false},
		{"P1D", "P0D", true},
		{"P200Y", "P1D", true},
	} {
		a, b := mustPeriod(t, tt.a), mustPeriod(t, tt.b)
		start, got := exceeds(a, b)
		if got != tt.want {
			t.Errorf("exceeds(%s, %s) = %v, want %v", a, b, got, tt.want)
		}
		if got && !ends(a, start).After(ends(b, start)) {
			t.Errorf("exceeds(%s, %s) names %s, from which it is not longer", a, b, start)
		}
	}
}

// TestExceedsEveryDay compares the search with one over every day of a cycle.
func TestExceedsEveryDay(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 15 {
		months := 1 + random.IntN(120)
		days := int(float64(months)*daysPerMonth) - 5 + random.IntN(10)
		a, b := Period{Months: months, Days: random.IntN(3)}, Period{Days: days}
		if random.IntN(2) == 0 {
			a, b = b, a
		}
		want := false
		for day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2400 && !want; day = day.AddDate(0, 0, 1) {
			want = ends(a, day).After(ends(b, day))
		}
		if _, got := exceeds(a, b); got != want {
			t.Errorf("exceeds(%s, %s) = %v, want %v", a, b, got, want)
		}
	}
}

// TestAfter holds PostgreSQL's arithmetic: months first, cut to the last day.
func TestAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range [][3]string{
		{"2024-01-31", "P1M", "2024-02-29"},
		{"2025-01-31", "P1M1D", "2025-03-01"},
		{"2024-02-29", "P1Y", "2025-02-28"},
		{"2024-11-30", "P3M", "2025-02-28"},
		{"2024-12-31", "P14M1W", "2026-03-07"},
	} {
		start, err := time.Parse(time.DateOnly, tt[0])
		if err != nil {
			t.Fatal(err)
		}
		p := mustPeriod(t, tt[1])
		month := 12*(start.Year()-firstYear) + int(start.Month()) - 1
		day := p.after(calendar(), month, start.Day())
		got := time.Date(firstYear, 1, 1+day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		if got != tt[2] || ends(p, start).Format(time.DateOnly) != got {
			t.Errorf("%s + %s = %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}

// ends adds p to the date start by another way than the package does.
func ends(p Period, start time.Time) time.Time {
	first := start.AddDate(0, 0, 1-start.Day()).AddDate(0, p.months(), 0)
	day := min(start.Day(), first.AddDate(0, 1, -1).Day())
	return first.AddDate(0, 0, day-1+p.rest())
}

func mustPeriod(t *testing.T, text string) Period {
	t.Helper()
	p, err := ParsePeriod(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
