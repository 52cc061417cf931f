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
}

// Checks lists the questions about a category that [Lint] has passed. With own it
// includes those whose answer runs code of the tables' owners: domains and check
// constraints may call their functions. Whoever may do more than the purging
// role must not ask them.
func Checks(c policy.Category, cat *catalog.Catalog, own bool) []Check {
	var all []Check
	k := checker{category: c, table: cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}], own: own}
	for i, w := range c.Where {
		all = append(all, k.where(fmt.Sprintf("where.%d", i), w)...)
	}
	if c.Redact != nil {
		all = append(all, k.redaction()...)
	}
	return all
}

type checker struct {
	category policy.Category
	table    *catalog.Table
	own      bool
}

// typ is the type that a value is read as.
func (k checker) typ(col catalog.Column) string {
	if k.own {
		return col.Exact
	}
	return col.Plain
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
		all = append(all, Check{b.query(sql), k.category.Fail(f.key, "column %q of %s, which is %s, does not take what the redaction writes", f.column.Name, k.table.Name, f.column.Exact), nil})
	}
	if !k.own {
		return all
	}
	for _, c := range k.table.Checks {
		if check, ok := k.constraint(c, fates); ok {
			all = append(all, check)
		}
	}
	return all
}

// fates are the columns in which every redacted row gets a value that is known
// now; NULL among them.
func (k checker) fates() []fate {
	var all []fate
	for _, r := range k.category.Redact.Columns {
		col, _ := k.table.Column(r.Column)
		f := fate{column: col, key: "redact.columns." + r.Column}
		switch {
		case r.Strategy == policy.Null:
			f.fixed = "NULL"
		case r.Strategy == policy.Zero && col.Base != "bytea":
			f.fixed = zeroLiteral(col)
		case r.Strategy == policy.SetValue:
			f.text = text(r.Value)
		case r.Strategy == policy.HMAC:
			f.text = strings.Replace(r.Format, "%s", strings.Repeat("0123456789abcdef", TokenLength/16), 1)
		default:
			continue
		}
		all = append(all, f)
	}
	for _, s := range k.category.Redact.Set {
		col, _ := k.table.Column(s.Column)
		all = append(all, fate{column: col, key: "redact.set." + s.Column, text: text(s.Value)})
	}
	return all
}

// constraint asks a check constraint all of whose columns are redacted.
func (k checker) constraint(c catalog.Check, fates []fate) (Check, bool) {
	b := bind(0)
	var row []string
	var key string
	for _, name := range c.Columns {
		i := slices.IndexFunc(fates, func(f fate) bool { return f.column.Name == name })
		if i < 0 {
			return Check{}, false
		}
		f := fates[i]
		key = f.key
		row = append(row, fmt.Sprintf("%s AS %s", f.value(b, f.column.Exact), catalog.Quote(name)))
	}
	if len(row) == 0 {
		return Check{}, false
	}
	sql := fmt.Sprintf("SELECT (%s) IS NOT FALSE FROM (SELECT %s) AS %s", c.SQL, strings.Join(row, ", "), catalog.Quote(k.table.Name.Relation))
	return Check{b.query(sql), k.category.Fail(key, "check constraint %q of %s refuses what the redaction writes", c.Name, k.table.Name), nil}, true
}
