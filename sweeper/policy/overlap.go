package policy

import (
	"fmt"
	"reflect"
	"slices"
)

// relationName is a table by its two names.
type relationName struct{ schema, relation string }

func (c *Category) relation() relationName { return relationName{c.Schema, c.Relation} }

// siblings groups categories by their table, in the order that they come in.
func siblings(all []*Category) [][]*Category {
	var order []relationName
	groups := make(map[relationName][]*Category)
	for _, c := range all {
		if _, known := groups[c.relation()]; !known {
			order = append(order, c.relation())
		}
		groups[c.relation()] = append(groups[c.relation()], c)
	}
	out := make([][]*Category, 0, len(order))
	for _, name := range order {
		out = append(out, groups[name])
	}
	return out
}

// contradictions are what several categories over one table cannot all have.
// Told once, at the later of the two by name.
func contradictions(all []*Category) []*Error {
	var errs []*Error
	for _, group := range siblings(all) {
		for i, a := range group {
			for _, b := range group[:i] {
				if disjoint(a, b) {
					continue
				}
				errs = append(errs, twoMinds(b, a)...)
				errs = append(errs, overJudged(a, b)...)
				errs = append(errs, overJudged(b, a)...)
			}
		}
	}
	return errs
}

// outcome is what a redaction makes of a column, in words that are equal for
// equal outcomes, and the key it stands under.
type outcome struct{ column, key, what string }

func (c *Category) outcomes() []outcome {
	if c.Redact == nil {
		return nil
	}
	var all []outcome
	for _, r := range c.Redact.Columns {
		what := fmt.Sprint(r.Strategy, r.Format, r.Unit, r.KeepLast, r.Paths)
		if r.Strategy == SetValue {
			what = fmt.Sprint("set ", r.Value)
		}
		all = append(all, outcome{r.Column, "redact.columns." + r.Column, what})
	}
	for _, s := range c.Redact.Set {
		all = append(all, outcome{s.Column, "redact.set." + s.Column, fmt.Sprint("set ", s.Value)})
	}
	return all
}

// kept is the outcome of a column that is left alone.
var kept = fmt.Sprint(Keep, "", "", 0, []JSONPath(nil))

// twoMinds refuses two redactions of one column of the same rows to different
// values: each sweep would undo the other's.
func twoMinds(a, b *Category) []*Error {
	if !a.Enabled || !b.Enabled || a.Redact == nil || b.Redact == nil {
		return nil
	}
	var errs []*Error
	theirs := make(map[string]string)
	for _, o := range a.outcomes() {
		theirs[o.column] = o.what
	}
	for _, o := range b.outcomes() {
		if what, both := theirs[o.column]; both && what != o.what && what != kept && o.what != kept {
			errs = append(errs, b.Fail(o.key, "category %s redacts column %q of the same rows to another value, so that each sweep would redact them twice; say the same in both, or tell the rows apart by where", a.Name, o.column))
		}
	}
	return errs
}

// overJudged refuses that one category overwrites what another counts from or
// asks for.
func overJudged(a, b *Category) []*Error {
	var errs []*Error
	if !a.Enabled || !b.Enabled {
		return nil
	}
	for _, o := range a.outcomes() {
		switch {
		case o.what == kept:
		case b.Start.From == nil && o.column == b.Start.Column && o.column != a.Start.Column:
			errs = append(errs, a.Fail(o.key, "column %q is the start column of category %s over the same table; without it its rows would never be due", o.column, b.Name))
		case b.Start.From != nil && matches(b.Start.From.Match, Match.own, o.column):
			errs = append(errs, a.Fail(o.key, "column %q leads to the start of category %s over the same table; without it its rows would never be due", o.column, b.Name))
		case b.reads(o.column) && !a.reads(o.column):
			errs = append(errs, a.Fail(o.key, "column %q is read by where of category %s over the same table; redacting it would hide the row from the category", o.column, b.Name))
		}
	}
	return errs
}

// reads tells whether where asks for a column.
func (c *Category) reads(column string) bool {
	return slices.ContainsFunc(c.Where, func(w Condition) bool { return w.Column == column })
}

// overlapWarnings are what several categories over one table have, and what may
// not be meant.
func overlapWarnings(all []*Category) []*Error {
	var warnings []*Error
	for _, group := range siblings(all) {
		for i, a := range group {
			for _, b := range group[:i] {
				if !a.Enabled || !b.Enabled || disjoint(a, b) {
					continue
				}
				if covers(a, b) || covers(b, a) {
					warnings = append(warnings, longest(b, a)...)
				}
				warnings = append(warnings, overKept(a, b)...)
				warnings = append(warnings, overKept(b, a)...)
			}
		}
	}
	return append(warnings, childWarnings(all)...)
}

// longest tells which of two windows over the same rows wins.
func longest(a, b *Category) []*Error {
	rows := "have the same rows"
	if !covers(a, b) || !covers(b, a) {
		rows = "have rows in common"
	}
	switch {
	case a.Unlimited && b.Delete != nil:
		return []*Error{b.Fail("delete.after", "categories %s and %s %s, and %s keeps them for ever: %s never deletes those", a.Name, b.Name, rows, a.Name, b.Name)}
	case b.Unlimited && a.Delete != nil:
		return []*Error{a.Fail("delete.after", "categories %s and %s %s, and %s keeps them for ever: %s never deletes those", a.Name, b.Name, rows, b.Name, a.Name)}
	case a.Delete == nil || b.Delete == nil || !reflect.DeepEqual(a.Start, b.Start) && !sameStart(a.Start, b.Start):
		return nil
	}
	_, first := exceeds(*a.Delete, *b.Delete)
	_, second := exceeds(*b.Delete, *a.Delete)
	winner, loser := a, b
	switch {
	case !first && !second:
		return nil
	case first && second:
		return []*Error{b.Fail("delete.after", "categories %s (%s) and %s (%s) %s; which of the windows is longer, and wins, depends on the start", a.Name, *a.Delete, b.Name, *b.Delete, rows)}
	case second:
		winner, loser = b, a
	}
	return []*Error{loser.Fail("delete.after", "categories %s and %s %s, and the longest window wins: they go after the %s of %s, not the %s of %s",
		a.Name, b.Name, rows, *winner.Delete, winner.Name, *loser.Delete, loser.Name)}
}

// sameStart tells whether two starts are the same instant; what the event is
// called does not matter.
func sameStart(a, b Start) bool {
	a.Event, b.Event = "", ""
	return reflect.DeepEqual(a, b)
}

// overKept tells of columns that a redacts and b keeps knowingly.
func overKept(a, b *Category) []*Error {
	var warnings []*Error
	keeps := make(map[string]bool)
	for _, o := range b.outcomes() {
		if o.what == kept {
			keeps[o.column] = true
		}
	}
	for _, o := range a.outcomes() {
		if o.what != kept && keeps[o.column] {
			warnings = append(warnings, a.Fail(o.key, "column %q is redacted here, and category %s over the same table keeps it: rows of both lose it", o.column, b.Name))
		}
	}
	return warnings
}

// childWarnings tell of tables whose own category keeps them longer than the
// parent that they are to go with.
func childWarnings(all []*Category) []*Error {
	own := make(map[relationName][]*Category)
	for _, c := range all {
		own[c.relation()] = append(own[c.relation()], c)
	}
	var warnings []*Error
	var visit func(c *Category, key string, children []Child)
	visit = func(c *Category, key string, children []Child) {
		for i, child := range children {
			at := join(key, fmt.Sprint(i))
			for _, other := range own[relationName{child.Schema, child.Relation}] {
				if other != c && other.Enabled && child.On == "delete" && child.Action == "delete" {
					warnings = append(warnings, c.outlived(at, child, other)...)
				}
			}
			visit(c, at+".children", child.Children)
		}
	}
	for _, c := range all {
		if c.Enabled && c.Delete != nil {
			visit(c, "children", c.Children)
		}
	}
	return warnings
}

func (c *Category) outlived(at string, child Child, other *Category) []*Error {
	keeps := "for ever"
	switch {
	case other.Unlimited:
	case other.Delete == nil:
		return nil
	default:
		if _, longer := exceeds(*other.Delete, *c.Delete); !longer {
			return nil
		}
		keeps = other.Delete.String()
	}
	return []*Error{c.Fail(at+".table", "category %s keeps %s %s, longer than the %s after which it would go as a child: rows with such children are blocked until then",
		other.Name, child.Table, keeps, *c.Delete)}
}
