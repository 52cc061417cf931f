package plan

import (
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// commandOf is the statement of a kind of step.
func commandOf(kind string) string {
	if kind == Delete {
		return "DELETE"
	}
	return "UPDATE"
}

// ruled tells whether a rule fires on the statements of a kind of step. All that
// lint lets pass are DO ALSO, which the server takes beside a statement of its own
// and not beside one inside of WITH.
func ruled(t *catalog.Table, kind string) bool {
	return slices.ContainsFunc(t.Rules, func(r catalog.Rule) bool { return r.Command == commandOf(kind) })
}

// rules refuses those that would make something else of our statements, or of
// rows that no policy judges. false: one did.
func (l *linter) rules() bool {
	t := l.table
	for _, r := range t.Rules {
		switch what := map[string]string{"DELETE": "a delete", "UPDATE": "an update"}[r.Command]; {
		case r.Command == "SELECT":
			l.fail("table", "rule %q on %s makes a view of it; policies apply to tables", r.Name, t.Name)
		case !slices.Contains(l.commands, r.Command):
			continue
		case r.Instead:
			l.fail("table", "rule %q on %s could turn %s into something else, being DO INSTEAD; drop it or disable it", r.Name, t.Name, what)
		case slices.Contains(slices.Concat(r.Writes, r.Deletes), t.Name):
			l.fail("table", "rule %q on %s makes %s change further rows of the table, which no policy judged; drop it or disable it", r.Name, t.Name, what)
		case len(r.Deletes) > 0:
			l.fail("table", "rule %q on %s makes %s delete rows of %s, which no policy judged; declare %[4]s in children, and drop the rule or disable it", r.Name, t.Name, what, r.Deletes[0])
		case l.governs(r.Writes) != "":
			l.fail("table", "rule %q on %s makes %s change rows of %s, which the policies govern too; drop it or disable it", r.Name, t.Name, what, l.governs(r.Writes))
		default:
			continue
		}
		return false
	}
	return true
}

// governs names the first of tables that the policies change rows of; "" none.
func (l *linter) governs(tables []catalog.Name) string {
	for _, n := range tables {
		for _, c := range l.set.Categories {
			found := n == catalog.Name{Schema: c.Schema, Relation: c.Relation}
			descend(c.Children, "", func(child policy.Child, _ string) { found = found || childName(child) == n && child.Action != "keep" })
			if found {
				return n.String()
			}
		}
	}
	return ""
}
