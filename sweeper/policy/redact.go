package policy

import "strings"

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
	changes := false
	columns := e.val.get("columns")
	if columns != nil {
		for i := range columns.val.entries() {
			column := r.redaction(path+".columns", &columns.val.pairs[i])
			changes = changes || column.Strategy != Keep
			red.Columns = append(red.Columns, column)
		}
	}
	if set := e.val.get("set"); set != nil {
		for i := range set.val.entries() {
			changes = true
			red.Set = append(red.Set, r.assignment(path, columns, &set.val.pairs[i]))
		}
	}
	if len(red.Columns) > 0 && !changes {
		r.fail(path+".columns", columns.at, "every column is kept, so redact changes nothing; remove redact or redact a column")
	}
	if !ok {
		return nil
	}
	return &red
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
			r.fail(path, e.val.at, `%s is no redaction; write "null", zero, keep, {set: value} or {hmac: "redacted-%%s"}`, e.val.describe())
		}
	case e.val.get("set") != nil:
		red.Strategy = SetValue
		red.Value = r.assigned(path+".set", e.val.get("set"), `"null" instead of {set: …}`)
	case e.val.get("hmac") != nil:
		red.Strategy = HMAC
		red.Format = r.format(path+".hmac", e.val.get("hmac"))
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
	refuse := func(path string, e *entry) {
		switch e.key {
		case "": // has no name, and was reported
		case c.Start.Column:
			r.fail(path, e.at, "%s is the start column; without it the row would never be due again", quote(e.key))
		case c.Tenant:
			r.fail(path, e.at, "%s is the tenant column; without it holds and windows of the tenant would no longer apply", quote(e.key))
		}
	}
	if columns := redact.get("columns"); columns != nil {
		for i := range columns.val.entries() {
			if e := &columns.val.pairs[i]; e.val.value != string(Keep) {
				refuse(join(path+".columns", e.key), e)
			}
		}
	}
	if set := redact.get("set"); set != nil {
		for i := range set.val.entries() {
			refuse(join(path+".set", set.val.pairs[i].key), &set.val.pairs[i])
		}
	}
}
