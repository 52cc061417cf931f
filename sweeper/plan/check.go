package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Check is a question that only the server can answer: whether a type takes a
// value, or a constraint a redacted row. Its query gives one boolean; false, or
// an answer of SQLSTATE class 22 or 23, is the refusal.
type Check struct {
	Query
	Refusal *policy.Error
	Each    []Check // which of several values it is, to be asked after a refusal of them together

	// Setup are statements that come before the query, each sent by itself, in the
	// same transaction, which is rolled back and need not be read-only.
	Setup []string

	// Reads is a query over rows of a table, which whoever asks may not be allowed
	// to read: then nothing is refused.
	Reads bool

	// Names is a query to which an answer of class 42 is a refusal too: the
	// question is whether it can be asked.
	Names bool
}

// Checks lists the questions about a category that [Lint] has passed. With own it
// includes those whose answer runs code of the tables' owners: domains and check
// constraints may call their functions. Whoever may do more than the purging
// role must not ask them.
func Checks(c policy.Category, cat *catalog.Catalog, own bool) []Check {
	var all []Check
	k := checker{category: c, table: cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}], own: own, writes: writesOf(c)}
	all = append(all, k.start(cat)...)
	for i, w := range c.Where {
		all = append(all, k.where(fmt.Sprintf("where.%d", i), w)...)
	}
	all = append(all, k.redaction()...)
	all = append(all, k.children(cat, c.Children, "")...)
	all = append(all, unitChecks(c, cat)...)
	return all
}

type checker struct {
	category policy.Category
	table    *catalog.Table
	own      bool
	writes   writes
}

// typ is the type that a value is read as.
func (k checker) typ(col catalog.Column) string {
	if k.own {
		return col.Exact
	}
	return col.Plain
}

// children asks of everything that goes along with the rows.
func (k checker) children(cat *catalog.Catalog, children []policy.Child, prefix string) []Check {
	var all []Check
	for i, c := range children {
		at := fmt.Sprintf("%schildren.%d.", prefix, i)
		inner := checker{category: k.category, table: cat.Tables[childName(c)], own: k.own, writes: writes{c.Columns, c.Set, at}}
		for _, m := range c.Match {
			all = append(all, k.match(at+"match."+m.Other, inner.table, m))
		}
		if c.Action == "redact" {
			all = append(all, inner.redaction()...)
		}
		all = append(all, inner.children(cat, c.Children, at)...)
	}
	return all
}

// match asks whether two columns can be compared.
func (k checker) match(key string, other *catalog.Table, m policy.Match) Check {
	theirs, _ := other.Column(m.Other)
	mine, _ := k.table.Column(m.Own)
	return Check{
		Query:   Query{SQL: fmt.Sprintf("SELECT (NULL::%s %s NULL::%s) IS NULL", theirs.Plain, operator(mine, "="), mine.Plain)},
		Refusal: k.category.Fail(key, "column %q of %s is %s and column %q of %s is %s, which cannot be compared", theirs.Name, other.Name, theirs.Type, mine.Name, k.table.Name, mine.Type),
		Names:   true,
	}
}

// start asks whether events are found by their match.
func (k checker) start(cat *catalog.Catalog) []Check {
	var all []Check
	if from := k.category.Start.From; from != nil {
		t := cat.Tables[catalog.Name{Schema: from.Schema, Relation: from.Relation}]
		for _, m := range from.Match {
			all = append(all, k.match("start_from.match."+m.Other, t, m))
		}
	}
	return all
}

// where asks whether the column's type takes the values, which are compared in
// full length.
func (k checker) where(key string, w policy.Condition) []Check {
	if len(w.Values) == 0 {
		return nil
	}
	col, _ := k.table.Column(w.Column)
	typ := col.Type
	if !k.own {
		typ = col.Plain
	}
	texts := make([]string, len(w.Values))
	each := make([]Check, len(w.Values))
	for i, v := range w.Values {
		texts[i] = text(v)
		each[i] = Check{
			Query:   Query{SQL: fmt.Sprintf("SELECT $1::text::%s::text IS NOT NULL", typ), Args: []any{texts[i]}},
			Refusal: k.category.Fail(valueKey(key, w, i), "%q is no value of column %q of %s, which is %s", texts[i], col.Name, k.table.Name, col.Exact),
		}
	}
	if len(each) == 1 {
		return each
	}
	return []Check{{
		Query:   Query{SQL: fmt.Sprintf("SELECT count(v::%s) >= 0 FROM unnest($1::text[]) v", typ), Args: []any{texts}},
		Refusal: each[0].Refusal, Each: each,
	}}
}

// fate is what a redaction makes of a column, where that is known now.
type fate struct {
	column catalog.Column
	key    string
	fixed  string // SQL without a type; "" it is text
	text   string
	token  bool // text is one of many
}

func (f fate) value(b *binder, typ string) string {
	if f.fixed != "" {
		return f.fixed + "::" + typ
	}
	return b.text(f.text, "text::"+typ)
}

// redaction asks whether types and check constraints take what the redaction
// writes. Of {hmac: …} a token of the same shape stands for all.
func (k checker) redaction() []Check {
	var all []Check
	fates := k.fates()
	for _, f := range fates {
		if f.fixed == "NULL" {
			continue
		}
		b := bind(0)
		sql := fmt.Sprintf("SELECT %s::text IS NOT NULL", f.value(b, k.typ(f.column)))
		if f.column.Category == "S" && f.fixed == "" { // one that is cut to the column's length would differ for ever
			sql = fmt.Sprintf("SELECT rtrim(%s::text) = rtrim(%s)", f.value(b, k.typ(f.column)), b.text(f.text, "text"))
		}
		all = append(all, Check{Query: b.query(sql), Refusal: k.category.Fail(f.key, "column %q of %s, which is %s, does not take what the redaction writes", f.column.Name, k.table.Name, f.column.Exact)})
	}
	if !k.own {
		return all
	}
	for _, c := range k.table.Checks {
		sql, key := k.fated(fates, c.SQL, c.Columns)
		if key == "" {
			continue
		}
		all = append(all, Check{Query: sql("(%s) IS NOT FALSE"), Refusal: k.category.Fail(key, "check constraint %q of %s refuses what the redaction writes", c.Name, k.table.Name)})
	}
	return append(all, k.partial(fates)...)
}

// partial asks whether the redacted rows, which have one value in all columns
// of an index over some rows, would be in that index.
func (k checker) partial(fates []fate) []Check {
	var all []Check
	for _, i := range k.table.Partial {
		if len(i.Expressions) > 0 || slices.Contains(i.Columns, "") || !slices.ContainsFunc(i.Columns, func(c string) bool { return slices.Contains(k.writes.constants(), c) }) {
			continue
		}
		known := func(name string) bool {
			return slices.ContainsFunc(fates, func(f fate) bool { return f.column.Name == name && f.fixed != "NULL" && !f.token })
		}
		if slices.ContainsFunc(i.Columns, func(c string) bool { return !known(c) }) {
			continue
		}
		sql, key := k.fated(fates, i.Where, i.Reads)
		if key == "" {
			continue
		}
		at := k.writes.at(i.Columns[0])
		all = append(all, Check{Query: sql("(%s) IS NOT TRUE"), Refusal: k.category.Fail(at, "column %q of %s is unique where %s (index %q), and this gives every such row the same value; use {hmac: …} or \"null\"", i.Columns[0], k.table.Name, i.Where, i.Name)})
	}
	return all
}

// fates are the columns in which every redacted row gets a value that is known
// now; NULL among them.
func (k checker) fates() []fate {
	var all []fate
	for _, r := range k.writes.columns {
		col, _ := k.table.Column(r.Column)
		f := fate{column: col, key: k.writes.at(r.Column)}
		switch {
		case r.Strategy == policy.Null:
			f.fixed = "NULL"
		case r.Strategy == policy.Zero && col.Base != "bytea":
			f.fixed = zeroLiteral(col)
		case r.Strategy == policy.SetValue:
			f.text = text(r.Value)
		case r.Strategy == policy.HMAC:
			f.text = strings.Replace(r.Format, "%s", strings.Repeat("0123456789abcdef", TokenLength/16), 1)
			f.token = true
		default:
			continue
		}
		all = append(all, f)
	}
	for _, s := range k.writes.set {
		col, _ := k.table.Column(s.Column)
		all = append(all, fate{column: col, key: k.writes.at(s.Column), text: text(s.Value)})
	}
	return all
}

// fated gives a question about a condition over columns all of which are
// redacted, and where the last of them stands; "" when they are not.
func (k checker) fated(fates []fate, condition string, columns []string) (ask func(question string) Query, key string) {
	b := bind(0)
	var row []string
	for _, name := range columns {
		i := slices.IndexFunc(fates, func(f fate) bool { return f.column.Name == name })
		if i < 0 {
			return nil, ""
		}
		f := fates[i]
		key = f.key
		row = append(row, fmt.Sprintf("%s AS %s", f.value(b, f.column.Exact), catalog.Quote(name)))
	}
	return func(question string) Query {
		return b.query(fmt.Sprintf("SELECT "+question+" FROM (SELECT %s) AS %s", condition, strings.Join(row, ", "), catalog.Quote(k.table.Name.Relation)))
	}, key
}
