package policy

import (
	"fmt"
	"slices"
)

// children reads the tables whose rows belong to rows of this one.
func (r *reader) children(path string, e *entry) []Child {
	if e == nil {
		return nil
	}
	var all []Child
	for i, item := range e.val.items {
		if item.kind == mapping {
			all = append(all, r.child(join(path, fmt.Sprint(i)), item))
		} else {
			all = append(all, Child{}) // keeps the places in file and list the same
		}
	}
	return all
}

func (r *reader) child(path string, n *node) Child {
	c := Child{On: "delete", Action: "delete", Match: r.match(path+".match", n.get("match"))}
	c.Table, c.Schema, c.Relation = r.relation(path+".table", n.get("table"))
	if on := word(n.get("on")); on != "" {
		c.On = on
	}
	if action := word(n.get("action")); action != "" {
		c.Action = action
	}
	columns, set := n.get("columns"), n.get("set")
	if c.Action == "redact" {
		if columns == nil {
			r.fail(path+".columns", n.at, `action redact needs columns; write columns: {name: "null"}`)
		}
		c.Columns, c.Set = r.redactions(path, n, "write action: keep")
	} else {
		for _, e := range []*entry{columns, set} {
			if e != nil {
				r.fail(join(path, e.key), e.at, "action %s takes no %s; write action: redact, or remove it", c.Action, e.key)
			}
		}
	}
	if e := n.get("objects"); e != nil {
		c.Objects = &Objects{
			Column: r.column(path+".objects.column", e.val.get("column")),
			Bucket: r.text(path+".objects.bucket", e.val.get("bucket"), false),
		}
		if c.Action == "keep" || c.Action == "nullify" {
			r.fail(path+".objects", e.at, "objects go with rows that are deleted or redacted, and action %s does neither; remove them", c.Action)
		}
	}
	c.Children = r.children(path+".children", n.get("children"))
	return c
}

// lineage is what the children of one table have above them.
type lineage struct {
	tables   [][2]string // from the category's down to their parent's
	redacts  bool        // whether the parent is redacted, and so may be followed
	deletes  bool
	category string // name, for sentences
}

// follow judges the children of a category by what is above them.
func (r *reader) follow(path string, c *Category, e *entry) {
	if e == nil {
		return
	}
	r.descend(path, c.Children, e, lineage{
		tables: [][2]string{{c.Schema, c.Relation}}, redacts: c.Redact != nil, deletes: true, category: c.Name,
	})
}

func (r *reader) descend(path string, children []Child, e *entry, above lineage) {
	type identity struct{ schema, relation, match, on string }
	seen := make(map[identity]place)
	for i := range children {
		c, n, at := &children[i], e.val.items[i], join(path, fmt.Sprint(i))
		if n.kind != mapping {
			continue
		}
		r.followed(at, c, n, above)
		id := identity{c.Schema, c.Relation, fmt.Sprint(c.Match), c.On}
		if first, twice := seen[id]; twice && c.Relation != "" && len(c.Match) > 0 {
			r.fail(at+".table", n.at, "%s is listed twice with the same match and on (first at line %d); give it once", quote(c.Table), first.line)
		}
		seen[id] = n.at
		r.overwritten(at, n, func(path string, e *entry) {
			if c.Action == "redact" && matches(c.Match, Match.other, e.key) {
				r.fail(path, e.at, "%s leads to the parent; without it the row would belong to nobody, and action: nullify says that", quote(e.key))
			}
		})
		if nested := n.get("children"); nested != nil {
			r.descend(at+".children", c.Children, nested, lineage{
				tables:  append(slices.Clone(above.tables), [2]string{c.Schema, c.Relation}),
				redacts: c.Action == "redact", deletes: c.Action == "delete", category: above.category,
			})
		}
	}
}

// followed refuses a child that follows what its parent never does, and tables
// that are children of each other.
func (r *reader) followed(path string, c *Child, n *node, above lineage) {
	nested := len(above.tables) > 1
	at := n.at
	if on := n.get("on"); on != nil {
		at = on.val.at
	}
	switch {
	case c.Table == "": // missing, and was reported
	case nested && !above.deletes && !above.redacts:
		r.fail(path, n.at, "the rows of the table above %s stay and are not redacted, so that nothing can follow them; remove it", quote(c.Table))
	case c.On == "redact" && !above.redacts && nested:
		r.fail(path+".on", at, "on: redact follows a redaction, and the rows above %s are deleted; write on: delete", quote(c.Table))
	case c.On == "redact" && !above.redacts:
		r.fail(path+".on", at, "on: redact follows the redaction of category %s, which has none; write on: delete, or add redact", quote(above.category))
	case c.On == "delete" && !above.deletes:
		r.fail(path+".on", at, "on: delete follows a deletion, and the rows above %s are redacted; write on: redact", quote(c.Table))
	}
	self := [2]string{c.Schema, c.Relation}
	if i := slices.Index(above.tables, self); i >= 0 && i < len(above.tables)-1 && c.Relation != "" {
		r.fail(path+".table", n.at, "%s is above itself, as a child of its own child; tables in a circle cannot be ordered (a table that refers to itself can)", quote(c.Table))
	}
}
