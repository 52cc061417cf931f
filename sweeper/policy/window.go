package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// restrict reads what is hidden; nil when it is absent or has no period.
func (r *reader) restrict(path string, e *entry) *Restrict {
	if e == nil || e.val.kind != mapping {
		return nil
	}
	columns := r.columns(path+".columns", e.val.get("columns"))
	after := e.val.get("after")
	if after != nil && after.val.value == "unlimited" {
		r.fail(path+".after", after.val.at, "restrict.after is a period; remove restrict if nothing is to be hidden")
		return nil
	}
	p, ok := r.period(path+".after", after)
	if !ok {
		return nil
	}
	return &Restrict{After: p, Columns: columns}
}

// window reads the bounds of the category's window.
func (r *reader) window(path string, e *entry) Window {
	var w Window
	if e == nil {
		return w
	}
	for key, bound := range map[string]**Period{"min": &w.Min, "max": &w.Max} {
		if p, ok := r.period(join(path, key), e.val.get(key)); ok {
			*bound = &p
		}
	}
	if w.Min != nil && w.Max != nil {
		if start, more := exceeds(*w.Min, *w.Max); more {
			r.fail(path+".min", e.val.get("min").val.at, "window.min %s is longer than window.max %s for a start on %s; no window is allowed",
				*w.Min, *w.Max, start.Format(time.DateOnly))
			w.Min, w.Max = nil, nil
		}
	}
	if days := e.val.get("allowed_days"); days != nil {
		for i := range days.val.items {
			v, ok := number(&entry{val: days.val.items[i]})
			if ok && v == float64(int(v)) && v >= 0 && v <= maxYears*daysPerYear+1 && !slices.Contains(w.AllowedDays, int(v)) {
				w.AllowedDays = append(w.AllowedDays, int(v))
			}
		}
	}
	return w
}

// life is the window that its bounds, its basis and tenants' windows are about:
// delete.after, or redact.after where nothing is deleted; key names it. nil: the
// rows stay for ever.
func (c *Category) life() (p *Period, key string) {
	switch {
	case c.Delete != nil:
		return c.Delete, "delete.after"
	case c.Redact != nil:
		return &c.Redact.After, "redact.after"
	}
	return nil, ""
}

// bounded refuses a window outside its bounds.
func (r *reader) bounded(path string, c *Category, n *node) {
	e := n.get("window")
	if e == nil {
		return
	}
	w := c.Window
	if c.Unlimited && (w.Max != nil || len(w.AllowedDays) > 0) {
		r.judge(path+".delete.after", n.get("delete").val.get("after").val.at,
			"delete.after unlimited is outside of window, which has an end; write a period, or remove delete if the window is that of redact.after")
		return
	}
	p, key := c.life()
	if p == nil {
		if n.get("delete") == nil && n.get("redact") == nil {
			r.judge(path+".window", e.at, "window bounds delete.after, or redact.after where nothing is deleted, and neither is given; remove it")
		}
		return
	}
	disposition, _, _ := strings.Cut(key, ".")
	at := n.get(disposition).val.get("after").val.at
	if w.Min != nil {
		if start, under := exceeds(*w.Min, *p); under {
			r.judge(path+"."+key, at, "%s %s is shorter than window.min %s for a start on %s; keep longer, or lower the floor", key, *p, *w.Min, start.Format(time.DateOnly))
		}
	}
	if w.Max != nil {
		if start, over := exceeds(*p, *w.Max); over {
			r.judge(path+"."+key, at, "%s %s is longer than window.max %s for a start on %s; keep shorter, or raise the ceiling", key, *p, *w.Max, start.Format(time.DateOnly))
		}
	}
	if len(w.AllowedDays) > 0 && (p.months() != 0 || !slices.Contains(w.AllowedDays, p.rest())) {
		r.judge(path+"."+key, at, "%s %s is none of window.allowed_days; write one of %s", key, *p, listDays(w.AllowedDays))
	}
}

func listDays(days []int) string {
	all := make([]string, len(days))
	for i, d := range days {
		all[i] = fmt.Sprintf("P%dD", d)
	}
	return strings.Join(all, ", ")
}

// notify reads how long before rows are announced; nil when nobody is told.
func (r *reader) notify(path string, e *entry) *Period {
	if e == nil || e.val.kind != mapping {
		return nil
	}
	if p, ok := r.period(path+".before", e.val.get("before")); ok {
		return &p
	}
	return nil
}

// announced refuses an announcement that would come before the start, or with
// the purge.
func (r *reader) announced(path string, c *Category, n *node) {
	if c.Notify == nil {
		return
	}
	at := n.get("notify").val.get("before").val.at
	p, key := c.life()
	switch {
	case *c.Notify == Period{}:
		r.judge(path+".notify.before", at, "notify.before P0D is no time before; write e.g. P30D, or remove notify")
	case p == nil:
		r.judge(path+".notify.before", at, "notify announces what is to be deleted or redacted, and this category does neither; remove it")
	default:
		// Shorter by a day at least: what is announced on the day of its start is
		// announced to nobody.
		longer := *c.Notify
		longer.Days++
		if start, ok := exceeds(longer, *p); ok {
			r.judge(path+".notify.before", at, "notify.before %s is not shorter than %s %s for a start on %s; write a shorter one",
				*c.Notify, key, *p, start.Format(time.DateOnly))
		}
	}
}
