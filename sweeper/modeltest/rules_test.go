package modeltest_test

import (
	"slices"
	"strings"
	"time"
)

// judge answers, for one instant, what the policies say of a row: computed from
// the policies and the rows alone, and by none of the product's code.
type judge struct {
	set     *policySet
	state   *state
	holds   map[string]hold
	windows map[string]map[string]period // by category and tenant
	asOf    time.Time
	at      time.Time // by which holds expire
	secret  []byte
	events  func(table, column, value string) []*record // rows of the tables that starts are in; nil: of the state
}

func (c *category) selects(r *record) bool {
	for _, w := range c.where {
		v, there := r.v[w.column]
		ok := false
		switch values := strings.Split(w.value, ", "); w.op {
		case "is_null":
			ok = !there
		case "not_null":
			ok = there
		case "eq":
			ok = there && v == w.value
		case "ne":
			ok = there && v != w.value
		case "in":
			ok = there && slices.Contains(values, v)
		case "not_in":
			ok = there && !slices.Contains(values, v)
		}
		if !ok {
			return false
		}
	}
	return true
}

// start is when the period of a row begins.
func (j *judge) start(c *category, r *record) moment {
	t := j.state.tables[c.table]
	if c.start.from == nil {
		v, there := r.v[c.start.column]
		return parseMoment(v, there, t.types[c.start.column], c.start.unit, j.set.zone)
	}
	from := c.start.from
	find := j.events
	if find == nil {
		find = j.state.matching
	}
	own, there := r.v[from.own]
	if !there {
		return moment{}
	}
	var found moment
	for _, e := range find(from.table, from.other, own) {
		v, there := e.v[c.start.column]
		m := parseMoment(v, there, j.state.tables[from.table].types[c.start.column], "", j.set.zone)
		switch {
		case !m.known && from.pick == "max":
			return moment{}
		case !m.known:
		case !found.known, from.pick == "max" && found.before(m), from.pick == "min" && m.before(found):
			found = m
		}
	}
	return found
}

// ended tells whether a period from a start is over.
func (j *judge) ended(m moment, p period) bool {
	return m.known && !m.infinite && !instantOf(p.after(m.wall), j.set.zone).After(j.asOf)
}

// due is start + retention <= as-of, by the tenant's window where there is one.
func (j *judge) due(c *category, r *record, disposition string) bool {
	m := j.start(c, r)
	p := c.delete
	if disposition == "redact" {
		p = &c.redact.after
	}
	plain := j.ended(m, *p)
	tenant, there := r.v[c.tenant]
	window, own := j.windows[c.name][tenant]
	if c.tenant == "" || !there || !own {
		return plain
	}
	if disposition == "redact" && c.delete != nil {
		return plain || j.ended(m, window)
	}
	return j.ended(m, window)
}

// agreed: every other category that deletes from the table, and has the row,
// lets it go.
func (j *judge) agreed(c *category, r *record) bool {
	for _, o := range j.set.over(c.table) {
		if o.name == c.name || o.disabled || o.delete == nil && !o.unlimited || !o.selects(r) {
			continue
		}
		if o.unlimited || !j.due(o, r, "delete") {
			return false
		}
	}
	return true
}

// leaves tells whether the row may be deleted as far as its own clock and those
// of the other categories go.
func (j *judge) leaves(c *category, r *record) bool {
	return c.delete != nil && c.selects(r) && j.due(c, r, "delete") && j.agreed(c, r)
}

// heldAs tells whether a row is held when it is seen as one of a category. What
// names a category holds the rows that it selects; a disabled one is taken to
// select all.
func (j *judge) heldAs(c *category, table string, r *record) bool {
	for _, h := range j.holds {
		if h.active(j.at) && (h.category == "" || h.category == c.name && (c.disabled || c.selects(r))) && (h.relation == "" || h.relation == "app."+table) && h.covers(c, r) {
			return true
		}
	}
	return false
}

// covers compares subject and tenant. A row of no tenant may be anybody's.
func (h hold) covers(c *category, r *record) bool {
	subject, hasSubject := r.v[c.subject]
	tenant, hasTenant := r.v[c.tenant]
	switch {
	case h.subject == "" && h.tenant == "":
		return true
	case h.subject == "":
		return c.tenant != "" && hasTenant && tenant == h.tenant
	case c.subject == "" || !hasSubject || subject != h.subject:
		return false
	}
	return h.tenant == "" || c.tenant == "" || !hasTenant || tenant == h.tenant
}

// held tells whether a row of a table is held under any of its categories.
func (j *judge) held(table string, r *record) bool {
	over := j.set.over(table)
	for _, c := range over {
		if j.heldAs(c, table, r) {
			return true
		}
	}
	return len(over) == 0 && j.heldAs(&category{}, table, r)
}

// kin is a child with the table that its rows belong to.
type kin struct {
	child
	of     string
	itself bool
}

// kin are the children that go along with a disposition, not those below them.
func (j *judge) kin(c *category, disposition string) (all []kin) {
	for _, ch := range c.children {
		if ch.on == disposition && ch.action != "keep" {
			all = append(all, kin{ch, c.table, ch.table == c.table})
		}
	}
	return all
}

func (k kin) below() (all []kin) {
	for _, ch := range k.children {
		if ch.action != "keep" {
			all = append(all, kin{ch, k.table, ch.table == k.table})
		}
	}
	if k.itself {
		all = append(all, k)
	}
	return all
}

// rows are those of a kin that belong to a row.
func (j *judge) rows(k kin, of *record) (all []*record) {
	own, there := of.v[k.own]
	if !there {
		return nil
	}
	for _, r := range j.state.matching(k.table, k.other, own) {
		if r != of {
			all = append(all, r)
		}
	}
	return all
}

// family walks all rows that would go along with a row.
func (j *judge) family(all []kin, of *record, visit func(k kin, r *record)) {
	for _, k := range all {
		for _, r := range j.rows(k, of) {
			visit(k, r)
			j.family(k.below(), r, visit)
		}
	}
}

// why tells what becomes of a row that is due and not held by itself: due, held
// or blocked by rows that would go along.
func (j *judge) why(c *category, r *record, disposition string) string {
	why := "due"
	j.family(j.kin(c, disposition), r, func(k kin, x *record) {
		switch {
		case j.pending(k, x) && j.held(k.table, x):
			why = "held"
		case why == "due" && k.action == "delete" && !j.lets(k, x):
			why = "blocked"
		}
	})
	return why
}

// lets tells whether a row that goes along by deletion may: its own categories
// let it go, and no undeclared row points at it.
func (j *judge) lets(k kin, x *record) bool {
	for _, o := range j.set.over(k.table) {
		if o.disabled || o.delete == nil && !o.unlimited || !o.selects(x) {
			continue
		}
		if o.unlimited || !j.due(o, x, "delete") {
			return false
		}
	}
	return !j.referenced(k.table, x, k.below())
}

// referenced tells whether a foreign key that no kin declares points at a row.
func (j *judge) referenced(table string, r *record, declared []kin) bool {
	for _, f := range j.state.tables[table].foreign {
		if slices.ContainsFunc(declared, func(k kin) bool {
			return k.table == f.table && k.other == f.column && (k.action == "delete" || k.action == "nullify")
		}) {
			continue
		}
		for _, x := range j.state.matching(f.table, f.column, r.v["id"]) {
			if x != r {
				return true
			}
		}
	}
	return false
}

// blocked tells whether a row that is due stays because of others.
func (j *judge) blocked(c *category, r *record) bool {
	if j.referenced(c.table, r, j.kin(c, "delete")) {
		return true
	}
	found := false
	j.family(j.kin(c, "delete"), r, func(k kin, x *record) {
		found = found || k.action == "delete" && !j.lets(k, x)
	})
	return found
}

// pending tells whether a kin's row still has something to be done to it.
func (j *judge) pending(k kin, r *record) bool {
	return k.action != "redact" || j.unredacted(k.table, k.columns, r)
}

// undone tells whether something is left to redact in a row, or in those that
// belong to it.
func (j *judge) undone(c *category, r *record) bool {
	if j.unredacted(c.table, c.redact.columns, r) {
		return true
	}
	for _, k := range j.kin(c, "redact") {
		for _, x := range j.rows(k, r) {
			if j.pending(k, x) {
				return true
			}
		}
	}
	return false
}

// tally are the counts of a run.
type tally struct{ held, blocked, remaining, notStarted int }

// sort sorts the rows of a category as a run counts them.
func (j *judge) sort(c *category) (sum tally) {
	for _, disposition := range []string{"delete", "redact"} {
		if disposition == "delete" && c.delete == nil || disposition == "redact" && c.redact == nil {
			continue
		}
		notStarted := 0
		for _, key := range j.state.keys(c.table) {
			r := j.state.rows[c.table][key]
			if !c.selects(r) {
				continue
			}
			switch j.stateOf(c, r, disposition) {
			case "not_started":
				notStarted++
			case "held":
				sum.held++
			case "blocked":
				sum.blocked++
				sum.remaining++
			case "due":
				sum.remaining++
			}
		}
		sum.notStarted = max(sum.notStarted, notStarted)
	}
	return sum
}

// stateOf is the state of a row under one disposition. What is held and due for
// both counts with the deletion.
func (j *judge) stateOf(c *category, r *record, disposition string) string {
	if !j.start(c, r).known {
		return "not_started"
	}
	if disposition == "delete" {
		switch {
		case !j.leaves(c, r):
			return "scheduled"
		case j.held(c.table, r):
			return "held"
		case j.referenced(c.table, r, j.kin(c, "delete")):
			return "blocked"
		}
		return j.why(c, r, "delete")
	}
	leaves := j.leaves(c, r)
	switch {
	case !j.due(c, r, "redact") || !j.undone(c, r) || leaves && !j.blocked(c, r):
		return "scheduled"
	case j.held(c.table, r) && leaves:
		return "counted with the deletion"
	case j.held(c.table, r):
		return "held"
	}
	return j.why(c, r, "redact")
}
