package policy

import (
	"fmt"
	"strings"
)

// where reads the conditions, which are all to hold.
func (r *reader) where(path string, e *entry) []Condition {
	if e == nil {
		return nil
	}
	if s, ok := e.val.value.(string); ok {
		r.fail(path, e.val.at, "where is a list of conditions, not SQL: %s", quote(s))
		return nil
	}
	var all []Condition
	for i, item := range e.val.items {
		if item.kind == mapping {
			all = append(all, r.condition(join(path, fmt.Sprint(i)), item))
		}
	}
	return all
}

// whereSQL reads a raw predicate. Whether it is one is for the server to say.
func (r *reader) whereSQL(path string, e *entry) string {
	if e == nil {
		return ""
	}
	s, ok := e.val.value.(string)
	if ok && !r.defaults.AllowRawSQL {
		r.fail(path, e.val.at, "where_sql is raw SQL, which only SWEEPER_ALLOW_RAW_SQL=true allows; write where, or set it")
	}
	if strings.ContainsRune(s, 0) {
		r.fail(path, e.val.at, "%s in where_sql; PostgreSQL cannot hold it", describe(0))
		return ""
	}
	return r.text(path, e, true)
}

func (r *reader) condition(path string, n *node) Condition {
	c := Condition{Column: r.column(path+".column", n.get("column"))}
	if e := n.get("op"); e != nil {
		c.Op, _ = e.val.value.(string)
	}
	value := n.get("value")
	path += ".value"
	switch c.Op {
	case "is_null", "not_null":
		if value != nil {
			r.fail(path, value.at, "%s takes no value; remove it", c.Op)
		}
	case "in", "not_in":
		c.Values = r.listed(path, c.Op, n, value)
	case "eq", "ne", "lt", "le", "gt", "ge":
		switch {
		case value == nil:
			r.fail(path, n.at, "%s takes a value; add value:", c.Op)
		case value.val.kind == list:
			r.fail(path, value.val.at, "%s takes one value, not a list%s", c.Op, listHint(c.Op))
		default:
			c.Values = r.compared(path, value.val, nil)
		}
	}
	return c
}

func listHint(op string) string {
	switch op {
	case "eq":
		return "; write op: in"
	case "ne":
		return "; write op: not_in"
	}
	return ""
}

func (r *reader) listed(path, op string, n *node, value *entry) (values []any) {
	switch {
	case value == nil:
		r.fail(path, n.at, "%s takes a list; add value: [a, b]", op)
	case value.val.kind != list:
		r.fail(path, value.val.at, "%s takes a list; write value: [%s]", op, value.val.describe())
	case len(value.val.items) == 0:
		r.fail(path, value.val.at, "%s takes a list with at least one value", op)
	default:
		for i, item := range value.val.items {
			values = r.compared(join(path, fmt.Sprint(i)), item, values)
		}
	}
	return values
}

// compared appends the value of n, which is to be compared with a column.
func (r *reader) compared(path string, n *node, values []any) []any {
	if n.kind == scalar && n.value == nil {
		r.fail(path, n.at, `NULL equals nothing; write op: is_null or not_null, or "null" in quotes for that text`)
		return values
	}
	return append(values, r.value(path, n)...)
}

// value returns the scalar that n is, or none.
func (r *reader) value(path string, n *node) []any {
	if n.kind != scalar || n.value == nil {
		return nil
	}
	if s, ok := n.value.(string); ok {
		for _, c := range s {
			if c == 0 {
				r.fail(path, n.at, "%s in a value; PostgreSQL cannot hold it", describe(c))
				return nil
			}
		}
	}
	return []any{n.value}
}
