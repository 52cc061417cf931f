package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// Forecast is how the rows of a category are counted by the month in which they
// fall due for a disposition.
type Forecast struct {
	Disposition string
	Months      []time.Time // the first moment of each, in the policy's zone; the as-of is in the first

	// Parts count the rows of some starts each: the index of the month, rows,
	// how many of them are due already, how many are under a legal hold now.
	// Rows that fall due after the last month are not counted. To be planned
	// with its parameters' values, as those of [Count].
	Parts []Query
}

// Forecasts counts the rows that fall due in the month of the as-of and the
// months after it, by the same arithmetic that decides when they go.
func (c *Category) Forecasts(months int) []Forecast {
	var found []Forecast
	if c.Policy.Delete != nil {
		found = append(found, c.rule.forecast(Delete, months))
	}
	if c.Policy.Redact != nil {
		found = append(found, c.rule.forecast(Redact, months))
	}
	return found
}

func (r rule) forecast(disposition string, months int) Forecast {
	f := Forecast{Disposition: disposition}
	zone, err := time.LoadLocation(r.category.Timezone)
	if err != nil {
		zone = time.UTC // the loader knows the zones that the server knows
	}
	year, month, _ := r.options.AsOf.In(zone).Date()
	for i := range months + 1 {
		f.Months = append(f.Months, time.Date(year, month+time.Month(i), 1, 0, 0, 0, 0, zone))
	}
	spans, _ := r.until(f.Months[months]).spans(disposition)
	for _, s := range spans {
		if s.kind == spanAll || s.kind == spanReach {
			f.Parts = append(f.Parts, r.fall(disposition, s, f.Months))
		}
	}
	f.Months = f.Months[:months]
	return f
}

// until is the rule at the last moment before t.
func (r rule) until(t time.Time) rule {
	r.options.AsOf = t.Add(-time.Microsecond)
	return r
}

// near lets through what can be due at the rule's as-of.
func (r rule) near(b *binder, disposition string) string {
	if r.category.Start.From != nil {
		return r.due(b, r.category, disposition)
	}
	return r.early(b, r.category, disposition)
}

// dueNow is that the row is due at the rule's as-of, whatever holds it.
func (r rule) dueNow(b *binder, disposition string) string {
	parts := []string{r.within(b, r.category, disposition)}
	if disposition == Delete {
		parts = append(parts, r.agreed(b))
	}
	return "(" + and(parts...) + ") IS TRUE"
}

// fall counts the rows of a span by months, of which the last is only the end
// of the one before.
func (r rule) fall(disposition string, s span, months []time.Time) Query {
	b := bind(0)
	end := r.until(months[len(months)-1])
	where := []string{end.inside(b, s), end.near(b, disposition), r.where(b, r.category)}
	if disposition == Redact {
		where = append(where, "("+r.pending(b)+")")
		if r.category.Delete != nil {
			where = append(where, fmt.Sprintf("(%s) IS NOT TRUE", and(r.within(b, r.category, Delete), r.agreed(b))))
		}
	}
	overdue, isHeld := r.dueNow(b, disposition), held(r.holds(b))
	source, n := fmt.Sprintf("%s AS t WHERE %s", r.from(), and(where...)), "1"
	if r.byDay() {
		start := r.start().Name
		tenant, grouped := "", ""
		if name := r.category.Tenant; name != "" { // whose window may be another one
			tenant, grouped = fmt.Sprintf(", %s AS %s", column(name), catalog.Quote(name)), ", 5"
		}
		source = fmt.Sprintf(`(SELECT min(%s) AS %s, %s AS sweeper_overdue, count(*) AS sweeper_rows, count(*) FILTER (WHERE %s) AS sweeper_held%s
    FROM %s GROUP BY %s, 2%s) AS t`, column(start), catalog.Quote(start), overdue, isHeld, tenant, source, r.day(b), grouped)
		overdue, n, isHeld = "t.sweeper_overdue", "t.sweeper_rows", "t.sweeper_held"
	} else {
		isHeld += "::int"
	}
	month := []string{fmt.Sprintf("CASE WHEN %s THEN 0", overdue)}
	for i, m := range months[1:] {
		month = append(month, fmt.Sprintf("WHEN %s THEN %d", r.until(m).dueNow(b, disposition), i))
	}
	return b.query(fmt.Sprintf(`SELECT month, sum(n)::bigint, coalesce(sum(n) FILTER (WHERE overdue), 0)::bigint, sum(held)::bigint
FROM (SELECT %s END AS month, %s AS n, %s AS overdue, %s AS held
  FROM %s OFFSET 0) s WHERE month IS NOT NULL GROUP BY 1`, strings.Join(month, " "), n, overdue, isHeld, source))
}

// byDay tells whether all rows that start on one day of the wall clock fall due
// on one day: a period counts in whole days. So it is enough to ask for one of
// them, apart from those that are due already. Where another category has its
// say too, each row is asked.
func (r rule) byDay() bool {
	_, isTime := r.constant(r.options.AsOf)
	return isTime && r.category.Start.Unit == "" && len(r.others) == 0
}

// day is the day of the start on the wall clock of the policy's zone.
func (r rule) day(b *binder) string {
	start := column(r.start().Name)
	if r.start().Base == "timestamptz" {
		return fmt.Sprintf("timezone(%s, %s)::date", b.text(r.category.Timezone, "text"), start)
	}
	return start + "::date"
}
