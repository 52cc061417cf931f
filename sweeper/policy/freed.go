package policy

import "slices"

// Freeing is a category that kept rows which another one deletes, and keeps them no
// longer, or for a shorter time.
type Freeing struct {
	Category, Table string
	Was             string // a period, or ever
	Now             string // what it does now, as the end of a sentence
}

// Freed returns the categories of a former set by which rows were kept from being
// deleted by c of the set now, rows of its table and those that go along with them,
// and may be no longer. One that lets all of them go no later than c does is no
// matter, and neither is one whose rows another one keeps as long.
func Freed(was, now Set, c *Category) []Freeing {
	var all []Freeing
	for i := range was.Categories {
		f := &was.Categories[i]
		if !f.keeps() || !f.heldBack(c) {
			continue
		}
		found, kept := Freeing{f.Name, f.Table, f.lasts(), "is gone now"}, false
		for k := range now.Categories {
			n := &now.Categories[k]
			if !n.keeps() || !f.beside(n) {
				continue
			}
			now := f.loosened(n)
			if kept = kept || now == ""; n.Name == f.Name {
				found.Now = now
			}
		}
		if !kept {
			all = append(all, found)
		}
	}
	return all
}

// loosened tells what of the rows that f kept n may let go sooner; "": nothing.
func (f *Category) loosened(n *Category) string {
	switch {
	case deletesEarlier(f, n):
		return "keeps them for " + n.lasts() + " now"
	case !covers(n, f):
		return "keeps other rows now"
	case !n.Unlimited && !sameClock(f, n):
		return "counts from another start, or in another time zone, now"
	case !n.Unlimited && n.Tenant != "" && n.Tenant != f.Tenant: // tenants may have windows of their own
		return "keeps them as each tenant has it now"
	}
	return ""
}

// heldBack tells whether there may be rows that f kept and c deletes.
func (f *Category) heldBack(c *Category) bool {
	if f.beside(c) {
		return c.Delete != nil && f.Name != c.Name && !disjoint(f, c) &&
			(f.Unlimited || c.Tenant != "" || !sameClock(f, c) || deletesEarlier(f, c))
	}
	return takesAlong(c.Children, f)
}

// Touches tells whether c deletes rows of the table of o, its own or along with them.
func Touches(c, o *Category) bool {
	return o.beside(c) && c.Delete != nil || takesAlong(c.Children, o)
}

// takesAlong tells whether rows of the table of f are deleted along with others.
func takesAlong(children []Child, f *Category) bool {
	return slices.ContainsFunc(children, func(c Child) bool {
		return c.Action == "delete" && c.Schema == f.Schema && c.Relation == f.Relation || c.Action != "keep" && takesAlong(c.Children, f)
	})
}

// keeps tells whether the category keeps its rows from others until they are due.
func (c *Category) keeps() bool { return c.Enabled && (c.Delete != nil || c.Unlimited) }

// beside tells whether two categories are over one table.
func (c *Category) beside(o *Category) bool { return c.relation() == o.relation() }

// lasts is for what time the category keeps its rows.
func (c *Category) lasts() string {
	if c.Delete == nil {
		return "ever"
	}
	return c.Delete.String()
}

// sameClock tells whether two categories count from the same instant of a row, by
// the same days.
func sameClock(a, b *Category) bool { return a.Timezone == b.Timezone && sameStart(a.Start, b.Start) }

// deletesEarlier tells whether some row may go by now before it went by was.
func deletesEarlier(was, now *Category) bool {
	return slices.ContainsFunc(Shortened(was, now), func(s Shortening) bool { return s.Key == "delete.after" })
}
