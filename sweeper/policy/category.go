package policy

import (
	"fmt"
	"regexp"
)

const (
	defaultCron     = "0 3 * * *"
	defaultMaxShare = 0.2
)

var categoryName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// category reads one category. It takes any tree, as [collector.top] does.
func (r *reader) category(e *entry, zone string) Category {
	path, n := join("categories", e.key), e.val
	c := Category{Name: e.key, Timezone: zone, At: r.position(e.at), Ats: make(map[string]Position)}
	r.remember(c.Ats, "", n)
	if !categoryName.MatchString(e.key) {
		r.fail(path, e.at, "category name %s: write a lower-case letter, then lower-case letters, digits and _, at most 63", quote(e.key))
	}
	if n.kind == scalar && n.value == nil {
		r.fail(path, e.at, "category %s is empty; it needs table, start_from, and redact or delete", quote(e.key))
	}
	if n.kind != mapping {
		return c
	}
	r.refuseLater(path, n)
	c.Description = r.text(path+".description", n.get("description"), true)
	c.Notes = r.text(path+".notes", n.get("notes"), true)
	c.Basis = r.text(path+".basis", n.get("basis"), false)
	r.table(path+".table", &c, e)
	c.Subject = r.column(path+".subject", n.get("subject"))
	c.Tenant = r.column(path+".tenant", n.get("tenant"))
	c.Where = r.where(path+".where", n.get("where"))
	c.Start = r.start(path+".start_from", n.get("start_from"))
	c.Redact = r.redact(path+".redact", n.get("redact"))
	c.Delete, c.Unlimited = r.deletion(path+".delete", n.get("delete"))
	r.whole(path, &c, e)
	r.settings(path, &c, n)
	return c
}

// remember notes where each key below n stands, for errors of later stages: the
// value where it is a scalar, else the key. Of redact's columns it is the key,
// which names the column.
func (r *reader) remember(ats map[string]Position, path string, n *node) {
	for i := range n.entries() {
		e := &n.pairs[i]
		at := e.val.at
		if path == "redact.columns" || path == "redact.set" {
			at = e.at
		}
		ats[join(path, e.key)] = r.position(at)
		r.remember(ats, join(path, e.key), e.val)
	}
	for i, item := range n.items {
		inner := join(path, fmt.Sprint(i))
		ats[inner] = r.position(item.at)
		r.remember(ats, inner, item)
	}
}

func (r *reader) table(path string, c *Category, e *entry) {
	t := e.val.get("table")
	if t == nil {
		r.fail(path, e.at, "category %s has no table; write table: schema.name", quote(e.key))
		return
	}
	s, ok := t.val.value.(string)
	if !ok {
		return
	}
	var err error
	if c.Schema, c.Relation, err = splitTable(s); err != nil {
		r.fail(path, t.val.at, "%v", err)
	}
	c.Table = s
}

// start reads a column name, or a mapping of column and event.
func (r *reader) start(path string, e *entry) Start {
	if e == nil {
		return Start{}
	}
	if e.val.kind != mapping {
		return Start{Column: r.column(path, e)}
	}
	return Start{
		Column: r.column(path+".column", e.val.get("column")),
		Event:  r.text(path+".event", e.val.get("event"), false),
	}
}

// period reads the value of e; false when it is absent or was reported.
func (r *reader) period(path string, e *entry) (Period, bool) {
	if e == nil {
		return Period{}, false
	}
	var text string
	switch v := e.val.value.(type) {
	case string:
		text = v
	case int64, float64:
		text = fmt.Sprint(v)
	default:
		return Period{}, false
	}
	p, err := ParsePeriod(text)
	if err != nil {
		r.fail(path, e.val.at, "%v", err)
		return Period{}, false
	}
	return p, true
}

func (r *reader) deletion(path string, e *entry) (period *Period, unlimited bool) {
	if e == nil {
		return nil, false
	}
	if s, ok := e.val.value.(string); ok {
		r.fail(path, e.val.at, "delete takes a mapping; write delete: {after: %s}", s)
		return nil, false
	}
	after := e.val.get("after")
	if after != nil && after.val.value == "unlimited" {
		return nil, true
	}
	if p, ok := r.period(path+".after", after); ok {
		return &p, false
	}
	return nil, false
}

// whole judges what only several keys of a category show together.
func (r *reader) whole(path string, c *Category, e *entry) {
	n := e.val
	if (c.Redact != nil || c.Delete != nil) && n.get("start_from") == nil {
		r.fail(path+".start_from", e.at, "category %s has no start_from; name the column that retention is counted from", quote(e.key))
	}
	if c.Redact == nil {
		return
	}
	if c.Delete != nil {
		if start, longer := exceeds(c.Redact.After, *c.Delete); longer {
			r.fail(path+".redact.after", n.get("redact").val.get("after").val.at,
				"redact.after %s is longer than delete.after %s for a start on %s; rows would be gone before they are redacted",
				c.Redact.After, *c.Delete, start.Format("2006-01-02"))
		}
	}
	r.untouchable(path+".redact", c, n.get("redact").val)
}

// settings reads the keys that have a default.
func (r *reader) settings(path string, c *Category, n *node) {
	choice := func(key, otherwise string) string {
		if e := n.get(key); e != nil {
			if s, ok := e.val.value.(string); ok {
				return s
			}
		}
		return otherwise
	}
	c.Partitions = choice("partitions", "")
	c.Manifest = choice("manifest", "count")
	c.Evidence = choice("evidence", "batch")
	c.Mode = choice("mode", "enforce")
	c.Enabled = true
	if e := n.get("enabled"); e != nil {
		switch v := e.val.value.(type) {
		case bool:
			c.Enabled = v
		case string:
			r.fail(path+".enabled", e.val.at, "%s is a text; write true or false", quote(v))
		}
	}
	c.Limits = Limits{MaxShare: defaultMaxShare}
	if limits := n.get("limits"); limits != nil {
		if e := limits.val.get("max_share"); e != nil {
			switch v := e.val.value.(type) {
			case int64:
				c.Limits.MaxShare = float64(v)
			case float64:
				c.Limits.MaxShare = v
			}
		}
	}
	c.Schedule = r.schedule(path+".schedule", n.get("schedule"))
}
