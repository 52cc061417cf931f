package policy

import (
	"fmt"
	"regexp"
	"time"
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
		r.fail(path, e.at, "category %s is empty; it needs table, start_from, and restrict, redact or delete", quote(e.key))
	}
	if n.kind != mapping {
		return c
	}
	c.NotApplied = r.notApplied(n)
	c.Description = r.text(path+".description", n.get("description"), true)
	c.Notes = r.text(path+".notes", n.get("notes"), true)
	c.Basis = r.text(path+".basis", n.get("basis"), false)
	c.Override = r.override(path+".override", n.get("override"))
	r.table(path+".table", &c, e)
	c.Subject = r.column(path+".subject", n.get("subject"))
	c.Tenant = r.column(path+".tenant", n.get("tenant"))
	c.Where = r.where(path+".where", n.get("where"))
	c.WhereSQL = r.whereSQL(path+".where_sql", n.get("where_sql"))
	c.Start = r.start(path+".start_from", n.get("start_from"))
	c.Restrict = r.restrict(path+".restrict", n.get("restrict"))
	c.Redact = r.redact(path+".redact", n.get("redact"))
	c.Delete, c.Unlimited = r.deletion(path+".delete", n.get("delete"))
	c.Children = r.children(path+".children", n.get("children"))
	c.Window = r.window(path+".window", n.get("window"))
	c.Notify = r.notify(path+".notify", n.get("notify"))
	r.settings(path, &c, n)
	r.whole(path, &c, e)
	return c
}

// remember notes where each key below n stands, for errors of later stages: the
// value where it is a scalar, else the key. Of redact's columns it is the key,
// which names the column.
func (r *reader) remember(ats map[string]Position, path string, n *node) {
	for i := range n.entries() {
		e := &n.pairs[i]
		at := e.val.at
		if namesColumns(path) {
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

// columnMaps matches the paths of mappings whose keys name columns to redact.
var columnMaps = regexp.MustCompile(`^(?:redact|(?:children\.\d+\.)*children\.\d+)\.(?:columns|set)$`)

func namesColumns(path string) bool { return columnMaps.MatchString(path) }

func (r *reader) table(path string, c *Category, e *entry) {
	t := e.val.get("table")
	if t == nil {
		r.fail(path, e.at, "category %s has no table; write table: schema.name", quote(e.key))
		return
	}
	c.Table, c.Schema, c.Relation = r.relation(path, t)
}

// relation returns the table that is the value of e, as written and as its two
// names; all are "" when it is absent or of another type.
func (r *reader) relation(path string, e *entry) (table, schema, relation string) {
	if e == nil {
		return "", "", ""
	}
	s, ok := e.val.value.(string)
	if !ok {
		return "", "", ""
	}
	schema, relation, err := splitTable(s)
	if err != nil {
		r.fail(path, e.val.at, "%v", err)
	}
	return s, schema, relation
}

func (r *reader) override(path string, e *entry) *Override {
	if e == nil || e.val.kind != mapping {
		return nil
	}
	return &Override{
		Reason:   r.text(path+".reason", e.val.get("reason"), false),
		Approver: r.text(path+".approver", e.val.get("approver"), false),
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
	if (c.Restrict != nil || c.Redact != nil || c.Delete != nil) && n.get("start_from") == nil {
		r.fail(path+".start_from", e.at, "category %s has no start_from; name the column that retention is counted from", quote(e.key))
	}
	r.order(path, c, n)
	// A window that is wrong was reported, and nothing is judged by it.
	if (n.get("redact") == nil) == (c.Redact == nil) && (n.get("delete") == nil) == (c.Delete == nil && !c.Unlimited) {
		r.bounded(path, c, n)
		r.announced(path, c, n)
		if !r.defaults.Former {
			r.legal(path, c, n)
		}
	}
	if c.Redact != nil {
		r.untouchable(path+".redact", c, n.get("redact").val)
	}
	r.follow(path+".children", c, n.get("children"))
}

// order refuses windows that come in another order than restrict, redact,
// delete.
func (r *reader) order(path string, c *Category, n *node) {
	compare := func(key string, earlier Period, other string, later Period, otherwise string) {
		if start, longer := exceeds(earlier, later); longer {
			r.judge(path+"."+key+".after", n.get(key).val.get("after").val.at, "%s.after %s is longer than %s.after %s for a start on %s; %s",
				key, earlier, other, later, start.Format(time.DateOnly), otherwise)
		}
	}
	if c.Redact != nil && c.Delete != nil {
		compare("redact", c.Redact.After, "delete", *c.Delete, "rows would be gone before they are redacted")
	}
	switch {
	case c.Restrict == nil:
	case c.Redact != nil:
		compare("restrict", c.Restrict.After, "redact", c.Redact.After, "columns would be overwritten before they are hidden")
	case c.Delete != nil:
		compare("restrict", c.Restrict.After, "delete", *c.Delete, "rows would be gone before they are hidden")
	}
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
	c.Review = choice("review", "none")
	c.Mode = choice("mode", "enforce")
	c.Enabled = r.flag(path+".enabled", n.get("enabled"), true)
	c.Lock = r.flag(path+".lock", n.get("lock"), false)
	c.BulkFilter = r.columns(path+".bulk_filter", n.get("bulk_filter"))
	c.Limits = limits(n.get("limits"))
	c.Schedule = r.schedule(path+".schedule", n.get("schedule"))
}

// flag reads true or false.
func (r *reader) flag(path string, e *entry, otherwise bool) bool {
	if e != nil {
		switch v := e.val.value.(type) {
		case bool:
			return v
		case string:
			r.fail(path, e.val.at, "%s is a text; write true or false", quote(v))
		}
	}
	return otherwise
}

func limits(e *entry) Limits {
	l := Limits{MaxShare: defaultMaxShare}
	if e == nil {
		return l
	}
	read := func(key string, into func(float64)) {
		if v, ok := number(e.val.get(key)); ok {
			into(v)
		}
	}
	read("max_rows_per_run", func(v float64) { l.MaxRowsPerRun = int64(v) })
	read("max_share", func(v float64) { l.MaxShare = v })
	read("rows_per_second", func(v float64) { l.RowsPerSecond = int(v) })
	read("max_dead_share", func(v float64) { l.MaxDeadShare = v })
	return l
}

// number returns the value of e, written as 20, 20.0 or 2e1 alike; the schema
// bounds it and says where it has to be whole.
func number(e *entry) (float64, bool) {
	if e == nil {
		return 0, false
	}
	switch v := e.val.value.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
