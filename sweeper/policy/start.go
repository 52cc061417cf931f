package policy

// start reads a column name, or a mapping of column, event, unit, and of the
// table that the event stands in.
func (r *reader) start(path string, e *entry) Start {
	if e == nil {
		return Start{}
	}
	if e.val.kind != mapping {
		return Start{Column: r.column(path, e)}
	}
	return Start{
		Column: r.column(path+".column", e.val.get("column")),
		Event:  r.text(path+".event", e.val.get("event"), false),
		Unit:   word(e.val.get("unit")),
		From:   r.elsewhere(path, e.val),
	}
}

// elsewhere reads the keys of start_from that name another table; nil when none
// is named.
func (r *reader) elsewhere(path string, n *node) *Elsewhere {
	table, match, pick := n.get("table"), n.get("match"), word(n.get("pick"))
	if table == nil {
		return nil
	}
	from := Elsewhere{Pick: "max", Match: r.match(path+".match", match)}
	from.Table, from.Schema, from.Relation = r.relation(path+".table", table)
	if pick != "" {
		from.Pick = pick
	}
	return &from
}

// match reads pairs of columns, in file order: the key is one of the other
// table, the value one of the governed table.
func (r *reader) match(path string, e *entry) []Match {
	if e == nil {
		return nil
	}
	var all []Match
	for i := range e.val.entries() {
		pair := &e.val.pairs[i]
		r.columnKey(path, pair)
		all = append(all, Match{Other: pair.key, Own: r.column(join(path, pair.key), pair)})
	}
	return all
}

// word returns a value that the schema takes from a list, "" when it is absent.
func word(e *entry) string {
	if e == nil {
		return ""
	}
	s, _ := e.val.value.(string)
	return s
}
