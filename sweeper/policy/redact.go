package policy

import (
	"slices"
	"strings"
)

// redact reads what is overwritten; nil when it is absent or has no period.
func (r *reader) redact(path string, e *entry) *Redact {
	if e == nil || e.val.kind != mapping {
		return nil
	}
	var red Redact
	after := e.val.get("after")
	ok := false
	if after != nil && after.val.value == "unlimited" {
		r.fail(path+".after", after.val.at, "redact.after is a period; remove redact if nothing is to be redacted")
	} else {
		red.After, ok = r.period(path+".after", after)
	}
	red.Columns, red.Set = r.redactions(path, e.val, "remove redact")
	if !ok {
		return nil
	}
	return &red
}

// redactions reads the keys columns and set of n; instead says what else to do
// where they change nothing.
func (r *reader) redactions(path string, n *node, instead string) (all []Redaction, set []Assignment) {
	changes := false
	columns := n.get("columns")
	if columns != nil {
		for i := range columns.val.entries() {
			column := r.redaction(path+".columns", &columns.val.pairs[i])
			changes = changes || column.Strategy != Keep
			all = append(all, column)
		}
	}
	if e := n.get("set"); e != nil {
		for i := range e.val.entries() {
			changes = true
			set = append(set, r.assignment(path, columns, &e.val.pairs[i]))
		}
	}
	if len(all) > 0 && !changes {
		r.fail(path+".columns", columns.at, "every column is kept, so redact changes nothing; %s or redact a column", instead)
	}
	return all, set
}

func (r *reader) redaction(path string, e *entry) Redaction {
	path = join(path, e.key)
	r.columnKey(path, e)
	red := Redaction{Column: e.key}
	switch {
	case e.val.kind == scalar && e.val.value == nil:
		r.fail(path, e.val.at, `null without quotes is no value in YAML; write %s: "null" to set the column to NULL`, e.key)
	case e.val.kind == scalar:
		s, _ := e.val.value.(string)
		switch red.Strategy = Strategy(s); red.Strategy {
		case Null, Zero, Keep:
		default:
			r.fail(path, e.val.at, `%s is no redaction; write "null", zero, keep, {set: value}, {hmac: "redacted-%%s"}, {truncate: year}, {mask: {keep_last: 2}} or {json: {$.a: remove}}`, e.val.describe())
		}
	case e.val.get("set") != nil:
		red.Strategy = SetValue
		red.Value = r.assigned(path+".set", e.val.get("set"), `"null" instead of {set: …}`)
	case e.val.get("hmac") != nil:
		red.Strategy = HMAC
		red.Format = r.format(path+".hmac", e.val.get("hmac"))
	case e.val.get("truncate") != nil:
		red.Strategy, red.Unit = Truncate, word(e.val.get("truncate"))
	case e.val.get("mask") != nil:
		red.Strategy = Mask
		if v, ok := number(e.val.get("mask").val.get("keep_last")); ok {
			red.KeepLast = int(v)
		}
	case e.val.get("json") != nil:
		red.Strategy = JSON
		red.Paths = r.jsonPaths(path+".json", e.val.get("json"))
	}
	return red
}

func (r *reader) format(path string, e *entry) string {
	s, ok := e.val.value.(string)
	if !ok {
		return ""
	}
	if strings.Count(s, "%") != 1 || !strings.Contains(s, "%s") {
		r.fail(path, e.val.at, "%s: a hmac format holds exactly one %%s and no other %%", quote(s))
	}
	if strings.ContainsRune(s, 0) {
		r.fail(path, e.val.at, "%s in a value; PostgreSQL cannot hold it", describe(0))
	}
	return s
}

func (r *reader) assignment(path string, columns, e *entry) Assignment {
	if columns != nil {
		if first := columns.val.get(e.key); first != nil {
			r.fail(path+".set."+e.key, e.at, "%s is redacted and set (redacted at line %d); give it once", quote(e.key), first.at.line)
		}
	}
	path = join(path+".set", e.key)
	r.columnKey(path, e)
	return Assignment{Column: e.key, Value: r.assigned(path, e, e.key+`: "null" under columns`)}
}

// assigned returns the value of e; instead says how to write NULL.
func (r *reader) assigned(path string, e *entry, instead string) any {
	if e.val.kind == scalar && e.val.value == nil {
		r.fail(path, e.val.at, "no value; write %s to set the column to NULL", instead)
		return nil
	}
	for _, v := range r.value(path, e.val) {
		return v
	}
	return nil
}

// untouchable refuses to overwrite what decides when a row is due and whose it is.
func (r *reader) untouchable(path string, c *Category, redact *node) {
	start := c.Start.Column
	if c.Start.From != nil {
		start = "" // a column of another table
	}
	r.overwritten(path, redact, func(path string, e *entry) {
		switch {
		case e.key == "": // has no name, and was reported
		case e.key == start:
			r.judge(path, e.at, "%s is the start column; without it the row would never be due again", quote(e.key))
		case e.key == c.Tenant:
			r.judge(path, e.at, "%s is the tenant column; without it holds and windows of the tenant would no longer apply", quote(e.key))
		case c.Start.From != nil && matches(c.Start.From.Match, Match.own, e.key):
			r.judge(path, e.at, "%s leads to the start in %s; without it the row would never be due again", quote(e.key), c.Start.From.Table)
		case c.reads(e.key):
			r.judge(path, e.at, "%s is read by where; redacting it would hide the row from the category", quote(e.key))
		default:
			for i := range c.Children {
				if matches(c.Children[i].Match, Match.own, e.key) {
					r.judge(path, e.at, "%s leads to the rows of %s; without it they would stay when the row goes", quote(e.key), c.Children[i].Table)
					return
				}
			}
		}
	})
}

// overwritten visits what redact changes: the entries of columns that are not
// kept, and those of set.
func (r *reader) overwritten(path string, redact *node, visit func(path string, e *entry)) {
	if columns := redact.get("columns"); columns != nil {
		for i := range columns.val.entries() {
			if e := &columns.val.pairs[i]; e.val.value != string(Keep) {
				visit(join(path+".columns", e.key), e)
			}
		}
	}
	if set := redact.get("set"); set != nil {
		for i := range set.val.entries() {
			visit(join(path+".set", set.val.pairs[i].key), &set.val.pairs[i])
		}
	}
}

func (m Match) own() string   { return m.Own }
func (m Match) other() string { return m.Other }

// matches tells whether column is one side of a pair.
func matches(all []Match, side func(Match) string, column string) bool {
	return slices.ContainsFunc(all, func(m Match) bool { return side(m) == column })
}
