package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// RestrictedSchema holds a view for each table of which columns are restricted.
const RestrictedSchema = "sweeper_restricted"

// View shows a table without what its policies hide.
type View struct {
	Name       catalog.Name
	Table      catalog.Name
	Categories []policy.Category // that restrict the table
	Definition string            // the SELECT
	Comment    string            // with a digest of the definition, by which an old one is known
}

// Views are those that policies want, in the order of their names.
func Views(set policy.Set, cat *catalog.Catalog) []View {
	byTable := map[catalog.Name]*View{}
	for _, c := range set.Categories {
		t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
		if c.Restrict == nil || t == nil {
			continue
		}
		if byTable[t.Name] == nil {
			byTable[t.Name] = &View{Name: viewName(t.Name), Table: t.Name}
		}
		byTable[t.Name].Categories = append(byTable[t.Name].Categories, c)
	}
	all := make([]View, 0, len(byTable))
	for _, v := range byTable {
		v.define(cat)
		all = append(all, *v)
	}
	slices.SortFunc(all, func(a, b View) int { return strings.Compare(a.Name.Relation, b.Name.Relation) })
	return all
}

// longestName is how many bytes the server takes of a name.
const longestName = 63

// viewName is the view's of a table. One that would be too long ends in a digest.
func viewName(t catalog.Name) catalog.Name {
	name := t.Schema + "_" + t.Relation
	if len(name) > longestName {
		sum := sha256.Sum256([]byte(t.Quoted()))
		name = name[:longestName-9]
		for !utf8.ValidString(name) {
			name = name[:len(name)-1]
		}
		name += "_" + hex.EncodeToString(sum[:4])
	}
	return catalog.Name{Schema: RestrictedSchema, Relation: name}
}

// define writes the SELECT. Whether a row's columns are hidden is computed once
// for each row and category, beside the row: OFFSET 0 keeps it from being
// computed anew for each column. Two relations in FROM also make the view one
// that nobody can write through, whatever is granted on it.
func (v *View) define(cat *catalog.Catalog) {
	t := cat.Tables[v.Table]
	hides := map[string][]string{} // by column
	var conditions []string
	for _, c := range v.Categories {
		if !c.Enabled || c.Mode == "observe" {
			continue
		}
		name := fmt.Sprintf("hidden.by_%d", len(conditions)+1)
		r := rule{category: c, table: t, catalog: cat}
		conditions = append(conditions, fmt.Sprintf("(%s) AS by_%d", r.hidden(&binder{literal: true}), len(conditions)+1))
		for _, column := range c.Restrict.Columns {
			hides[column] = append(hides[column], name)
		}
	}
	columns := make([]string, len(t.Columns))
	for i, col := range t.Columns {
		columns[i] = column(col.Name)
		if by := hides[col.Name]; len(by) > 0 {
			columns[i] = fmt.Sprintf("CASE WHEN %s THEN NULL ELSE %s END AS %s", strings.Join(by, " OR "), column(col.Name), catalog.Quote(col.Name))
		}
	}
	v.Definition = fmt.Sprintf("SELECT %s\nFROM %s AS t CROSS JOIN LATERAL (SELECT %s OFFSET 0) AS hidden",
		strings.Join(columns, ", "), rule{table: t}.from(), strings.Join(conditions, ", "))
	sum := sha256.Sum256([]byte(v.Definition))
	v.Comment = fmt.Sprintf("%s without what its policies hide; made by sweeper install, definition %s", t.Text, hex.EncodeToString(sum[:16]))
}

// hidden is the condition under which a row's columns are restricted now: due by
// the same arithmetic as a purge, whatever is held, inside the policy's where.
// Starts in the future are kept out of the arithmetic, which could overflow.
func (r rule) hidden(b *binder) string {
	c := r.category
	k := r.clock(b, c)
	begun := fmt.Sprintf("%s < %s", k.name, k.of(fmt.Sprintf("(now() + interval '%d days')", int(Slack/(24*time.Hour)))))
	due := fmt.Sprintf("CASE WHEN %s THEN %s ELSE false END", begun, r.reached(b, k, c, Restrict))
	return and(r.ofStart(c, due), r.where(b, c))
}

// restriction refuses what cannot be hidden.
func (l *linter) restriction() {
	c, t := l.category, l.table
	for i, name := range c.Restrict.Columns {
		key := fmt.Sprintf("restrict.columns.%d", i)
		if _, ok := l.column(key, name); ok && slices.Contains(t.Key(), name) {
			l.fail(key, "column %q is of the key of %s, by which rows are found; it cannot be hidden", name, t.Name)
		}
	}
	if t.RowSecurity {
		l.fail("restrict", "%s has row security, which a view does not apply to those who read it; restrict needs a table without", t.Name)
	}
	for _, other := range l.set.Categories {
		name := catalog.Name{Schema: other.Schema, Relation: other.Relation}
		if other.Restrict != nil && name != t.Name && viewName(name) == viewName(t.Name) {
			l.fail("restrict", "the views of %s and %s would both be called %s; rename one of the tables", t.Name, name, viewName(t.Name))
			return
		}
	}
}

// StaleViews warns of views that are not what the policies say: have are the
// comments of those that exist, by name.
func StaleViews(set policy.Set, cat *catalog.Catalog, have map[string]string) []*policy.Error {
	var all []*policy.Error
	for _, v := range Views(set, cat) {
		if have[v.Name.Relation] == v.Comment {
			continue
		}
		all = append(all, v.Categories[0].Fail("restrict", "view %s is not there or not that of the policies, so that it does not hide what they say; run: sweeper install", v.Name))
	}
	return inOrder(all)
}
