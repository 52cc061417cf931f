package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// TrialRows is how many rows each pick of a trial takes.
const TrialRows = 3

// mostLeaves is how many partitions are looked at for rows to try.
const mostLeaves = 4

// Trial is a redaction to be tried on rows, in a transaction that is rolled
// back: what types, constraints and triggers of the table make of it, no
// catalogue tells.
type Trial struct {
	Category string
	Table    *catalog.Table

	// Picks find rows, the more telling first, and lock them, passing over what
	// is locked. Their columns: the partition's oid, the place as text, the key's
	// values as texts, and the starts by which categories judge the row.
	Picks  []Query
	Update Query   // the row with the key $3 … at place $2 of partition $1
	Single []Query // the same for each of Columns alone

	// After reads the row with the key $1 … again: its starts, and for each of
	// Columns whether the redaction is yet to be done.
	After   Query
	Columns []string

	fail   func(column, format string, args ...any) *policy.Error
	starts []catalog.Column
}

// Trials lists the redactions of enabled categories and their children, of
// policies that [Lint] has passed. Without a key in o tokens are made with
// another: the row is rolled back.
func Trials(set policy.Set, cat *catalog.Catalog, o Options) []Trial {
	if o.HMACKey == nil {
		o.HMACKey = make([]byte, 32)
	}
	var all []Trial
	for _, c := range set.Categories {
		if !c.Enabled {
			continue
		}
		if c.Redact != nil && len(Redacted(c)) > 0 {
			t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
			r := rule{category: c, table: t, catalog: cat, others: others(c, set), options: o}
			which := []condition{func(b *binder) string { return r.goes(b, Redact) }}
			if c.Start.From == nil { // a row that is to be due one day
				which = append(which, func(b *binder) string {
					return and(r.where(b, c), "("+r.pending(b)+")", column(c.Start.Column)+" IS NOT NULL")
				})
			}
			all = append(all, r.trial(set, writesOf(c), which...))
		}
		descend(c.Children, "", func(child policy.Child, prefix string) {
			inner := policy.Category{
				Name: c.Name, At: c.At, Ats: c.Ats, Schema: child.Schema, Relation: child.Relation, Timezone: c.Timezone,
				Redact: &policy.Redact{Columns: child.Columns, Set: child.Set},
			}
			if child.Action != "redact" || len(Redacted(inner)) == 0 {
				return
			}
			r := rule{category: inner, table: cat.Tables[childName(child)], catalog: cat, options: o}
			all = append(all, r.trial(set, writes{child.Columns, child.Set, prefix}, func(b *binder) string { return "(" + r.pending(b) + ")" }))
		})
	}
	return all
}

// condition is one of rows to pick.
type condition func(b *binder) string

// trial builds the statements.
func (r rule) trial(set policy.Set, w writes, which ...condition) Trial {
	t := Trial{Category: r.category.Name, Table: r.table, Columns: w.names(), starts: startsOf(set, r.table)}
	t.fail = func(column, format string, args ...any) *policy.Error {
		return r.category.Fail(w.at(column), format, args...)
	}
	partition := fmt.Sprintf("%d::oid", r.table.OID)
	leaves := []*catalog.Leaf{nil}
	if r.table.Kind == catalog.KindPartitioned {
		partition, leaves = "t.tableoid", nil
		for i := range r.table.Leaves[:min(len(r.table.Leaves), mostLeaves)] {
			leaves = append(leaves, &r.table.Leaves[i])
		}
	}
	for _, rows := range which {
		for _, leaf := range leaves {
			b := bind(0)
			t.Picks = append(t.Picks, b.query(fmt.Sprintf("SELECT %s, t.ctid::text, %s, %s FROM %s AS t WHERE %s%s LIMIT %d FOR NO KEY UPDATE OF t SKIP LOCKED",
				partition, array(asTexts(r.table.Key())), array(asTexts(namesOf(t.starts))), r.from(), rows(b), r.inLeaf(b, leaf), TrialRows)))
		}
	}
	// By its key too: that spares the other partitions.
	place := "t.ctid = $2::tid AND $1::oid IS NOT NULL AND " + r.keyed(3)
	if r.table.Kind == catalog.KindPartitioned {
		place = "t.ctid = $2::tid AND t.tableoid = $1::oid AND " + r.keyed(3)
	}
	varying := 2 + len(r.table.Key())
	update := func(b *binder, assignments string) Query {
		return b.query(fmt.Sprintf("UPDATE %s AS t SET %s WHERE %s", r.from(), assignments, place))
	}
	b := bind(varying)
	t.Update = update(b, r.assignments(b))
	for _, name := range t.Columns {
		b := bind(varying)
		one := r
		one.category.Redact = &policy.Redact{
			Columns: slices.DeleteFunc(slices.Clone(w.columns), func(c policy.Redaction) bool { return c.Column != name }),
			Set:     slices.DeleteFunc(slices.Clone(w.set), func(s policy.Assignment) bool { return s.Column != name }),
		}
		t.Single = append(t.Single, update(b, one.assignments(b)))
	}
	t.After = r.after(t)
	return t
}

// after finds the row again by its key: an update moves it.
func (r rule) after(t Trial) Query {
	b := bind(len(r.table.Key()))
	pending := []string{}
	for _, c := range r.category.Redact.Columns {
		if c.Strategy != policy.Keep {
			col, _ := r.table.Column(c.Column)
			pending = append(pending, "("+r.redaction(b, col, c).pending+") IS TRUE")
		}
	}
	for _, s := range r.category.Redact.Set {
		col, _ := r.table.Column(s.Column)
		pending = append(pending, "("+differs(b, col, s.Value)+") IS TRUE")
	}
	return b.query(fmt.Sprintf("SELECT %s, ARRAY[%s] FROM %s AS t WHERE %s", array(asTexts(namesOf(t.starts))), strings.Join(pending, ", "), r.from(), r.keyed(1)))
}

// keyed is that a row has the key whose values are the parameters from first on.
func (r rule) keyed(first int) string {
	var same []string
	for i, name := range r.table.Key() {
		col, _ := r.table.Column(name)
		same = append(same, fmt.Sprintf("%s %s $%d::%s", column(name), operator(col, "="), first+i, col.Type))
	}
	return and(same...)
}

// startsOf are the columns of a table by which categories judge when its rows
// are due.
func startsOf(set policy.Set, t *catalog.Table) []catalog.Column {
	var found []catalog.Column
	for _, c := range set.Categories {
		col, ok := t.Column(c.Start.Column)
		if ok && c.Start.From == nil && c.Schema == t.Name.Schema && c.Relation == t.Name.Relation &&
			!slices.ContainsFunc(found, func(f catalog.Column) bool { return f.Name == col.Name }) {
			found = append(found, col)
		}
	}
	return found
}

func namesOf(columns []catalog.Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

func asTexts(names []string) []string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = "coalesce(" + column(n) + "::text, '')"
	}
	return parts
}

func array(parts []string) string { return "ARRAY[" + strings.Join(parts, ", ") + "]::text[]" }

// Answer is what the server said to a trial's update, without any value.
type Answer struct {
	Code       string // SQLSTATE
	Constraint string // the constraint or index that refused
	Column     string
	Raised     bool   // a function raised it
	Text       string // in words that hold no value
}

// Refused is the refusal that an answer amounts to.
func (t Trial) Refused(a Answer) *policy.Error {
	last := t.Columns[len(t.Columns)-1]
	switch {
	case a.Raised:
		return t.fail(last, "%s of %s refuses the redaction of rows that were tried, as role %q (SQLSTATE %s); let the role pass, or redact other columns", t.trigger(), t.Table.Name, t.Table.Purger, a.Code)
	case a.Code == "23502" && slices.Contains(t.Columns, a.Column):
		return t.fail(a.Column, "column %q of %s is NOT NULL, and the redaction of rows that were tried makes it NULL; use zero, {set: …} or {hmac: …}", a.Column, t.Table.Name)
	case a.Code == "23514":
		if i := slices.IndexFunc(t.Table.Checks, func(c catalog.Check) bool { return c.Name == a.Constraint }); i >= 0 {
			last = t.last(t.Table.Checks[i].Columns)
		}
		return t.fail(last, "check constraint %q of %s refuses what the redaction makes of rows that were tried", a.Constraint, t.Table.Name)
	case a.Code == "23505", a.Code == "23P01":
		column := last
		for _, i := range slices.Concat(t.Table.Indexes, t.Table.Partial) {
			if i.Name == a.Constraint {
				column = t.last(slices.Concat(i.Columns, i.Expressions))
			}
		}
		return t.fail(column, "column %q of %s is unique (index %q), and the redaction makes rows that were tried the same; use {hmac: …} or \"null\"", column, t.Table.Name, a.Constraint)
	case a.Code == "23503":
		for _, f := range slices.Concat(t.Table.References, t.Table.Referencing) {
			if f.Constraint == a.Constraint {
				last = t.last(slices.Concat(f.Columns, f.Parents))
			}
		}
		return t.fail(last, "foreign key %q refuses what the redaction makes of rows of %s that were tried", a.Constraint, t.Table.Name)
	}
	return t.fail(last, "the redaction of %s fails on rows that were tried: %s", t.Table.Name, a.Text)
}

// Unfit is the refusal of a value that one column does not take.
func (t Trial) Unfit(column string, a Answer) *policy.Error {
	col, _ := t.Table.Column(column)
	return t.fail(column, "column %q of %s, which is %s, does not take what the redaction makes of rows that were tried (SQLSTATE %s)", column, t.Table.Name, col.Exact, a.Code)
}

// Undone is the refusal of a redaction after which a column is not redacted, or
// nothing was done at all.
func (t Trial) Undone(column string) *policy.Error {
	if column == "" {
		column = t.Columns[0]
	}
	return t.fail(column, "what the redaction writes into column %q of %s does not stay: %s undoes it, so that each sweep would do it again", column, t.Table.Name, t.trigger())
}

// Moved is the refusal of a redaction that moves the start of a row, or the row
// out of reach.
func (t Trial) Moved(before, after []string) *policy.Error {
	for i, s := range t.starts {
		if after != nil && before[i] != after[i] {
			return t.fail(t.Columns[0], "the redaction of %s changes the start column %q by %s, which would move the clock of every row that it touches", t.Table.Name, s.Name, t.trigger())
		}
	}
	if after == nil {
		return t.fail(t.Columns[0], "the redaction of %s changes the key of rows by %s, so that nobody could tell which row it was", t.Table.Name, t.trigger())
	}
	return nil
}

// trigger names what fires on an update, as far as that is one.
func (t Trial) trigger() string {
	var names []string
	add := func(g catalog.Trigger) {
		if g.OnUpdate && !slices.Contains(names, catalog.Quote(g.Name)) {
			names = append(names, catalog.Quote(g.Name))
		}
	}
	for _, g := range t.Table.Triggers {
		add(g)
	}
	for _, leaf := range t.Table.Leaves {
		for _, g := range leaf.Triggers {
			add(g)
		}
	}
	switch len(names) {
	case 0:
		return "a function"
	case 1:
		return "trigger " + names[0]
	}
	return "one of the triggers " + strings.Join(names, ", ")
}

// last is the last column that the redaction writes, of columns if it writes
// one of them.
func (t Trial) last(columns []string) string {
	found := t.Columns[len(t.Columns)-1]
	for _, c := range t.Columns {
		if slices.Contains(columns, c) {
			found = c
		}
	}
	return found
}
