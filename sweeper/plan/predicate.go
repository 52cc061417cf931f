package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// binder hands out parameter numbers. The first ones are the caller's own.
type binder struct {
	varying int
	args    []any
	seen    map[string]string
	literal bool // values stand in the text, and as-of is now(): of a view

	once          bool   // no index is to serve a prefilter: its bound is computed once, and not for each row
	byKeys        bool   // the statement may go by a set of held keys
	version, bits string // its parameters; "": none as yet
}

func bind(varying int) *binder { return &binder{varying: varying, seen: map[string]string{}} }

// text binds a value that the server reads as typ. Equal ones share a number.
func (b *binder) text(value, typ string) string {
	if b.literal {
		return "'" + strings.ReplaceAll(value, "'", "''") + "'::" + typ
	}
	key := typ + "\x00" + value
	if n, ok := b.seen[key]; ok {
		return n
	}
	b.args = append(b.args, value)
	n := fmt.Sprintf("$%d::%s", b.varying+len(b.args), typ)
	b.seen[key] = n
	return n
}

func (b *binder) bytes(value []byte) string {
	b.args = append(b.args, value)
	return fmt.Sprintf("$%d::bytea", b.varying+len(b.args))
}

func (b *binder) query(sql string) Query { return Query{SQL: sql, Args: b.args} }

// rule builds the conditions of one category over its table. Rows are called
// t in all of them.
type rule struct {
	category policy.Category
	table    *catalog.Table
	catalog  *catalog.Catalog // of the tables that starts are in
	set      policy.Set       // whose categories judge the rows that go along
	others   []policy.Category
	options  Options
}

func (r rule) start() catalog.Column {
	c, _ := r.table.Column(r.category.Start.Column)
	return c
}

// and joins conditions; those that always hold are left out.
func and(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "true" })
	if len(parts) == 0 {
		return "true"
	}
	return strings.Join(parts, " AND ")
}

func column(name string) string { return "t." + catalog.Quote(name) }

// asOf is the instant as a parameter, and the present in a view.
func (r rule) asOf(b *binder) string {
	if b.literal {
		return "now()"
	}
	return b.text(r.options.AsOf.UTC().Format("2006-01-02 15:04:05.999999Z07:00"), "timestamptz")
}

// due is the authoritative condition: start + retention <= as-of, on the wall
// clock of the policy's zone, in a form that depends on no session setting. A
// date counts from the end of its day. What is no start is never due.
func (r rule) due(b *binder, c policy.Category, disposition string) string {
	k := r.clock(b, c)
	if c.Start.From != nil {
		// Of a start that the other table does not have, early is not true, and what
		// follows it is not computed.
		return fmt.Sprintf("(SELECT %s AND %s FROM %s)", r.early(b, c, disposition), r.reached(b, k, c, disposition), r.picked(c))
	}
	return r.reached(b, k, c, disposition)
}

// reached is due for the start of a clock.
func (r rule) reached(b *binder, k clock, c policy.Category, disposition string) string {
	wall := k.wall()
	plain := fmt.Sprintf("timezone(%s, %s + %s) <= %s", k.zone(), wall, b.text(period(c, disposition).Interval(), "interval"), r.asOf(b))
	plain = r.byWindow(b, c, disposition, plain, wall)
	if k.unit != "" {
		return "(" + plain + ")"
	}
	if _, byTenant := r.table.Column(c.Tenant); !byTenant && c.Start.From == nil && !b.literal {
		plain = fmt.Sprintf("(%s OR %s)", r.long(b, k, c, disposition), plain)
	}
	// Of what is due already, known says no more than this. A lower bound would have
	// the planner look for the first start of all, past all that are dead by now.
	return fmt.Sprintf("(%s AND %s <> '-infinity')", plain, k.name)
}

// long is true only of starts that are due by so much that no calendar brings them
// back: the arithmetic of months and zones, which costs more than to find the row,
// is for the last days alone. By as many days as [rule.early] is late, a start
// between two others may be due before the earlier of them; and by as many adding
// a period may miss what subtracting it gave. The subquery is computed once.
func (r rule) long(b *binder, k clock, c policy.Category, disposition string) string {
	return fmt.Sprintf("%s < (SELECT %s - %s - interval '%d days')", k.name, k.of(r.asOf(b)), b.text(period(c, disposition).Interval(), "interval"), int(2*Slack/(24*time.Hour)))
}

// early is the prefilter that lets an index serve: later than any due start,
// never authoritative. It also keeps starts near the end of the calendar out
// of the arithmetic of due, which would overflow. A start in another table has
// its own inside of due.
func (r rule) early(b *binder, c policy.Category, disposition string) string {
	k := r.clock(b, c)
	reach := r.reach(b, k, c, disposition)
	if b.once {
		reach = "(SELECT " + reach + ")"
	}
	return k.name + " < " + reach
}

// within is due and its prefilter.
func (r rule) within(b *binder, c policy.Category, disposition string) string {
	if c.Start.From != nil {
		return r.due(b, c, disposition)
	}
	return and(r.early(b, c, disposition), r.due(b, c, disposition))
}

var operators = map[string]string{"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

// operator writes an operator of a column's own type. Of a type that does not
// come with PostgreSQL it is found by its schema: search_path is pinned, and
// citext would be compared as text.
func operator(c catalog.Column, name string) string {
	if c.Operators == "" || c.Operators == "pg_catalog" {
		return name
	}
	return fmt.Sprintf("OPERATOR(%s.%s)", catalog.Quote(c.Operators), name)
}

// where is the policy's own condition. NULL matches only is_null, as in SQL. Raw
// SQL names columns without the t; nothing else is in sight where it stands.
func (r rule) where(b *binder, c policy.Category) string {
	parts := make([]string, len(c.Where), len(c.Where)+1)
	for i, w := range c.Where {
		col, _ := r.table.Column(w.Column)
		values := make([]string, len(w.Values))
		for j, v := range w.Values {
			values[j] = b.text(text(v), col.Type)
		}
		name := column(w.Column)
		switch w.Op {
		case "is_null":
			parts[i] = name + " IS NULL"
		case "not_null":
			parts[i] = name + " IS NOT NULL"
		case "in":
			parts[i] = fmt.Sprintf("%s %s ANY (ARRAY[%s])", name, operator(col, "="), strings.Join(values, ", "))
		case "not_in":
			parts[i] = fmt.Sprintf("%s %s ALL (ARRAY[%s])", name, operator(col, "<>"), strings.Join(values, ", "))
		default:
			parts[i] = fmt.Sprintf("%s %s %s", name, operator(col, operators[w.Op]), values[0])
		}
	}
	if c.WhereSQL != "" {
		parts = append(parts, "("+c.WhereSQL+")")
	}
	return and(parts...)
}

// text writes a value of a policy as the input functions of the server read
// it. A whole number stays one: no exponent, which int would refuse.
func text(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// agreed is that every other category which deletes from the table, and has
// this row, lets it go too: retain beats delete, the longest retention wins.
func (r rule) agreed(b *binder) string {
	parts := []string{}
	for _, o := range r.others {
		if o.Unlimited {
			parts = append(parts, fmt.Sprintf("(%s) IS NOT TRUE", r.where(b, o)))
			continue
		}
		parts = append(parts, fmt.Sprintf("((%s) IS NOT TRUE OR (%s))", r.where(b, o), r.within(b, o, Delete)))
	}
	return and(parts...)
}

// holds are the shapes of hold that a row may be under. What holds a row as one of
// another category over the table keeps it from this one too. Which rows that one has
// is not asked in raw SQL, whose names could be those of the joined holds, nor of a
// disabled one, which nobody has held against the table: it is taken to have them all.
func (r rule) holds(b *binder) []hold {
	own := "h.category IS NULL OR h.category = " + b.text(r.category.Name, "text")
	var more []hold
	for _, o := range r.set.Categories {
		if o.Name == r.category.Name || o.Schema != r.category.Schema || o.Relation != r.category.Relation {
			continue
		}
		if o.WhereSQL = ""; !o.Enabled {
			o.Where = nil
		}
		named := and("h.category = "+b.text(o.Name, "text"), r.where(b, o))
		if o.Subject == r.category.Subject && o.Tenant == r.category.Tenant {
			own += " OR " + named
		} else {
			more = append(more, r.holdsOf(b, o, "(h.category IS NULL OR "+named+")")...)
		}
	}
	return append(r.holdsOf(b, r.category, "("+own+")"), more...)
}

// holdsOf are those of a category by its subjects and tenants. Both compare in
// the column's own type, or by their canonical texts where that is the same; the
// CASE keeps the cast from texts that another type's keys hold.
func (r rule) holdsOf(b *binder, c policy.Category, named string) []hold {
	active := fmt.Sprintf(`h.released_at IS NULL AND (h.expires_at IS NULL OR h.expires_at > now()) AND %s AND (h.relation IS NULL OR h.relation = %s)`,
		named, b.text(fmt.Sprint(r.table.OID), "oid"))
	found := []hold{{from: "FROM sweeper.legal_holds h WHERE h.subject IS NULL AND h.tenant IS NULL AND " + active}}
	subject, hasSubject := r.table.Column(c.Subject)
	tenant, hasTenant := r.table.Column(c.Tenant)
	if hasTenant {
		found = append(found, hold{fmt.Sprintf("FROM sweeper.legal_holds h %s WHERE h.subject IS NULL AND %s AND %s",
			holdKey("k", "tenant", tenant, b), active, holdMatch("k", tenant, column(tenant.Name), b)), b.free("tenant", tenant)})
	}
	if !hasSubject {
		return found
	}
	free := b.free("subject", subject)
	if !hasTenant {
		return append(found, hold{fmt.Sprintf("FROM sweeper.legal_holds h %s WHERE %s AND %s",
			holdKey("k", "subject", subject, b), active, holdMatch("k", subject, column(subject.Name), b)), free})
	}
	found = append(found,
		hold{fmt.Sprintf("FROM sweeper.legal_holds h %s WHERE h.tenant IS NULL AND %s AND %s",
			holdKey("k", "subject", subject, b), active, holdMatch("k", subject, column(subject.Name), b)), free},
		hold{fmt.Sprintf("FROM sweeper.legal_holds h %s %s WHERE %s AND %s AND %s",
			holdKey("k", "subject", subject, b), holdKey("n", "tenant", tenant, b), active, holdMatch("k", subject, column(subject.Name), b), holdMatch("n", tenant, column(tenant.Name), b)), free})
	if tenant.NotNull {
		return found
	}
	// A row of no tenant may be anybody's. It is a shape of its own: behind an OR
	// the server looks through all holds again for each row.
	anybodys := fmt.Sprintf("CASE WHEN %s IS NULL THEN %s END", column(tenant.Name), column(subject.Name))
	return append(found, hold{fmt.Sprintf("FROM sweeper.legal_holds h %s WHERE h.tenant IS NOT NULL AND %s AND %s",
		holdKey("k", "subject", subject, b), active, holdMatch("k", subject, anybodys, b)), free})
}

func holdKey(alias, part string, c catalog.Column, b *binder) string {
	return fmt.Sprintf("JOIN sweeper.hold_keys %[1]s ON %[1]s.hold_id = h.hold_id AND %[1]s.part = '%[2]s' AND %[1]s.type = %[3]s",
		alias, part, b.text(fmt.Sprint(c.TypeOID), "oid"))
}

// holdMatch compares a key with a value of the row. Where texts will do, the
// index over the keys serves: without it each row looks through all of them.
func holdMatch(alias string, c catalog.Column, value string, b *binder) string {
	if c.Textual {
		return fmt.Sprintf(`%s.value = (%s)::text COLLATE "default"`, alias, value)
	}
	return fmt.Sprintf("CASE WHEN %[1]s.type = %[2]s THEN %[1]s.value::%[3]s END %[5]s %[4]s",
		alias, b.text(fmt.Sprint(c.TypeOID), "oid"), c.BaseType, value, operator(c, "="))
}

func notHeld(holds []hold) string {
	parts := make([]string, len(holds))
	for i, h := range holds {
		parts[i] = h.off()
	}
	return and(parts...)
}

func held(holds []hold) string {
	parts := make([]string, len(holds))
	for i, h := range holds {
		parts[i] = h.on()
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// blocking are the foreign keys whose rows do not go along with the row that
// they point at.
func (r rule) blocking() []catalog.ForeignKey {
	return slices.DeleteFunc(slices.Clone(r.table.Referencing), func(fk catalog.ForeignKey) bool {
		child := declared(r.category.Children, fk)
		return child != nil && goesAlong(child)
	})
}

// same is that the row x is the row t.
func (r rule) same() string {
	var own []string
	for _, name := range r.table.Key() {
		col, _ := r.table.Column(name)
		own = append(own, fmt.Sprintf("x.%s %s %s", catalog.Quote(name), operator(col, "="), column(name)))
	}
	return and(own...)
}

// references are the foreign keys that keep a row: while another row points at
// it, it stays, and a delete would fail. A row that points at itself does not.
func (r rule) references(b *binder) []string {
	blocking := r.blocking()
	found := make([]string, 0, len(blocking))
	for _, fk := range blocking {
		var parts []string
		for i := range fk.Columns {
			child := "x." + catalog.Quote(fk.Columns[i])
			if fk.Collate[i] != "" {
				child += " COLLATE " + fk.Collate[i]
			}
			parts = append(parts, fmt.Sprintf("%s %s %s", column(fk.Parents[i]), fk.Equal[i], child))
		}
		if fk.Leaf != 0 {
			parts = append(parts, "t.tableoid = "+b.text(fmt.Sprint(fk.Leaf), "oid"))
		}
		if fk.Table == r.table.Name {
			parts = append(parts, "NOT ("+r.same()+")")
		}
		found = append(found, fmt.Sprintf("SELECT FROM %s x WHERE %s", fk.Table.Quoted(), strings.Join(parts, " AND ")))
	}
	return found
}

func any1(subqueries []string) string {
	if len(subqueries) == 0 {
		return "false"
	}
	return "(EXISTS (" + strings.Join(subqueries, ") OR EXISTS (") + "))"
}

func none(subqueries []string) string {
	parts := make([]string, len(subqueries))
	for i, sub := range subqueries {
		parts[i] = "NOT EXISTS (" + sub + ")"
	}
	return and(parts...)
}
