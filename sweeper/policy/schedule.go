package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// cronField is one of the five fields: its name, range, and names for numbers.
type cronField struct {
	name     string
	min, max int
	names    []string // of min, min+1, …
}

var cronFields = [5]cronField{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of the month", min: 1, max: 31},
	{
		name: "month", min: 1, max: 12,
		names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"},
	},
	{name: "day of the week", max: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// schedule reads five cron fields or {every: duration}; absent, the default.
func (r *reader) schedule(path string, e *entry) Schedule {
	if e == nil {
		return Schedule{Cron: defaultCron}
	}
	if s, ok := e.val.value.(string); ok {
		if err := checkCron(s); err != nil {
			r.fail(path, e.val.at, "%v", err)
		}
		return Schedule{Cron: strings.Join(strings.Fields(s), " ")}
	}
	every := e.val.get("every")
	if every == nil {
		return Schedule{}
	}
	s, ok := every.val.value.(string)
	if !ok {
		return Schedule{}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second {
		r.fail(path+".every", every.val.at, `%s is not a duration of a second or more; write e.g. 1h or 30m`, quote(s))
	}
	return Schedule{Every: d}
}

func checkCron(s string) error {
	fields := strings.Fields(s)
	if len(fields) != len(cronFields) {
		return fmt.Errorf(`%s has %d cron fields; write five, e.g. "0 3 * * *", or {every: 1h}`, quote(s), len(fields))
	}
	for i, f := range fields {
		for _, part := range strings.Split(f, ",") {
			if !cronFields[i].accepts(part) {
				return fmt.Errorf("%s is no %s of a cron schedule (%d to %d)", quote(f), cronFields[i].name, cronFields[i].min, cronFields[i].max)
			}
		}
	}
	_, err := ParseCron(s)
	return err
}

// cronParser takes a day that is restricted both by month and by week to match
// either, as every cron does.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom)

// ParseCron reads five fields into what finds their times on a clock that
// knows no changes of zone. A schedule that never comes, such as 30 February,
// is refused.
func ParseCron(s string) (cron.Schedule, error) {
	spec, err := cronParser.Parse(s)
	if err != nil {
		return nil, fmt.Errorf(`%s is not a cron schedule; write five fields, e.g. "0 3 * * *"`, quote(s))
	}
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%s never comes; no month has that day", quote(s))
	}
	return spec, nil
}

// accepts takes *, n, a-b, each with /step.
func (f cronField) accepts(part string) bool {
	part, step, stepped := strings.Cut(part, "/")
	if stepped {
		if n, err := strconv.ParseUint(step, 10, 8); err != nil || n == 0 || int(n) > f.max {
			return false
		}
	}
	if part == "*" {
		return true
	}
	low, high, ranged := strings.Cut(part, "-")
	from, ok := f.number(low)
	if !ok || !ranged {
		return ok
	}
	to, ok := f.number(high)
	return ok && from <= to
}

func (f cronField) number(s string) (int, bool) {
	if i := slices.Index(f.names, strings.ToLower(s)); i >= 0 {
		return f.min + i, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && int(n) >= f.min && int(n) <= f.max
}
