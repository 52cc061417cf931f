package policy

import "fmt"

// link is a child below the table that it belongs to.
type link struct {
	above, below relationName
	category     *Category
	key          string // of the child's table
}

// circles refuses tables that are children of each other over several
// categories: which of them goes first cannot be said. A table that refers to
// itself can be ordered.
func circles(all []*Category) []*Error {
	var links []link
	var collect func(c *Category, above relationName, key string, children []Child)
	collect = func(c *Category, above relationName, key string, children []Child) {
		for i, child := range children {
			below, at := relationName{child.Schema, child.Relation}, join(key, fmt.Sprint(i))
			if below != above && child.Action != "keep" {
				links = append(links, link{above, below, c, at + ".table"})
			}
			collect(c, below, at+".children", child.Children)
		}
	}
	for _, c := range all {
		collect(c, c.relation(), "children", c.Children)
	}
	next := make(map[relationName][]relationName)
	for _, l := range links {
		next[l.above] = append(next[l.above], l.below)
	}
	var errs []*Error
	for _, l := range links {
		if reaches(next, l.below, l.above) {
			errs = append(errs, l.category.Fail(l.key, "%s.%s is a child of %s.%s here, and the other way round elsewhere; tables in a circle cannot be ordered, keep one of the two",
				l.below.schema, l.below.relation, l.above.schema, l.above.relation))
		}
	}
	return errs
}

// reaches tells whether the links lead from one table to another.
func reaches(next map[relationName][]relationName, from, to relationName) bool {
	seen := map[relationName]bool{from: true}
	for queue := []relationName{from}; len(queue) > 0; queue = queue[1:] {
		for _, n := range next[queue[0]] {
			if n == to {
				return true
			}
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	return false
}
