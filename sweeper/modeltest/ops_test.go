package modeltest_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// op is one operation of a seed. Those in SQL are the application's or its
// operators'; the others happen to the processes.
type op struct {
	kind string
	wait time.Duration // before it
	sql  string
	n    int           // the replica, or the version of the policies
	d    time.Duration // how long a lock or a freeze lasts
}

func (o op) String() string {
	s := fmt.Sprintf("%4dms  %s", o.wait.Milliseconds(), o.kind)
	if o.sql != "" {
		return s + ": " + o.sql
	}
	return fmt.Sprintf("%s %d %s", s, o.n, o.d)
}

const (
	subjects = 9 // s0 to s8
	tenants  = 3 // t0 to t2; a row may have none
)

// draw draws the operations: what is in the tables first, then what happens.
func (w *world) draw() {
	for _, t := range w.order {
		switch t {
		case "items", "parts", "notes", "subs":
		default:
			w.ops = append(w.ops, op{kind: "insert", sql: w.insert(t, 20+w.rng.IntN(50))})
		}
	}
	for range 15 {
		for _, t := range w.order {
			if sql := w.insertChild(t); sql != "" {
				w.ops = append(w.ops, op{kind: "insert", sql: sql})
			}
		}
	}
	w.ops = append(w.ops, op{kind: "start"})
	for range 24 + w.rng.IntN(16) {
		w.ops = append(w.ops, w.next())
	}
	// With no category there is no sweep, and nobody who reads the slot to its end.
	still := !slices.ContainsFunc(w.now.categories, func(c category) bool { return !c.disabled })
	if w.now.version > 1 && w.chance(70) || still {
		w.ops = append(w.ops, w.change(&policySet{zone: w.now.zone, categories: slices.Clone(w.sets[1].categories)}))
	}
}

// next draws one operation.
func (w *world) next() op {
	weights := []struct {
		weight int
		draw   func() op
	}{
		{18, func() op { t := w.any(true); return op{kind: "insert", sql: w.insert(t, 1+w.rng.IntN(8))} }},
		{10, w.child},
		{20, w.refresh},
		{6, w.update},
		{7, func() op {
			t := w.any(false)
			return op{kind: "delete", sql: "delete from app." + t + w.some(t, 1+w.rng.IntN(3))}
		}},
		{1, w.truncate},
		{9, func() op { return op{kind: "hold", sql: w.hold()} }},
		{2, func() op {
			all := make([]string, 6)
			for i := range all {
				all[i] = w.hold()
			}
			return op{kind: "holds", sql: strings.Join(all, "; ")}
		}},
		{5, func() op {
			return op{kind: "release", sql: fmt.Sprintf("select sweeper.release_hold((select hold_id from sweeper.legal_holds where released_at is null order by md5(hold_id || '%d') limit 1), 'over', 'model')", w.rng.IntN(100))}
		}},
		{5, w.window},
		{6, func() op {
			t := w.any(false)
			return op{kind: "lock", sql: "select from app." + t + w.some(t, 1+w.rng.IntN(10)) + pick(w.rng, " for update", " for update", " for key share"), d: w.pause(900)}
		}},
		{1, func() op {
			t := w.any(true)
			return op{kind: "lock", sql: "lock table app." + t + " in share mode", d: w.pause(500)}
		}},
		{3, w.partition},
		{5, w.policy},
		{5, func() op { return op{kind: "sweep"} }},
		{6, func() op { return op{kind: "kill", n: w.rng.IntN(2)} }},
		{2, func() op { return op{kind: "freeze", n: w.rng.IntN(2), d: w.pause(700)} }},
		{2, func() op { return op{kind: "terminate", n: w.rng.IntN(2)} }},
		{3, func() op {
			return op{kind: "backend", sql: fmt.Sprintf("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'sweeper%%' order by md5(pid || '%d') limit 1", w.rng.IntN(100))}
		}},
		{3, func() op {
			return op{kind: "arm", n: w.rng.IntN(2), sql: fmt.Sprintf("%s:kill:%d", pick(w.rng, points...), 1+w.rng.IntN(3))}
		}},
	}
	if w.manual {
		weights = append(weights, struct {
			weight int
			draw   func() op
		}{15, func() op { return op{kind: "approve"} }})
	}
	sum := 0
	for _, x := range weights {
		sum += x.weight
	}
	for {
		n := w.rng.IntN(sum)
		for _, x := range weights {
			if n -= x.weight; n < 0 {
				o := x.draw()
				if o.kind == "" {
					break // this seed has nothing for it
				}
				o.wait = w.pause(140)
				return o
			}
		}
	}
}

// points are where an armed process dies.
var points = []string{"purge.in_batch", "purge.committed", "purge.in_drop", "log.in_append", "log.appended"}

func (w *world) pause(most int) time.Duration {
	return time.Duration(w.rng.IntN(most)) * time.Millisecond
}

// any draws a table; governed: one of a category.
func (w *world) any(governed bool) string {
	if governed {
		return pick(w.rng, w.now.categories...).table
	}
	return pick(w.rng, w.order...)
}

// some is a condition that picks n rows.
func (w *world) some(table string, n int) string {
	return fmt.Sprintf(" where id in (select id from app.%s order by md5(id || '%d') limit %d)", table, w.rng.IntN(1000), n)
}

// insert is rows of a governed table.
func (w *world) insert(table string, n int) string {
	if w.now.byName(table) == nil {
		if sql := w.insertChild(table); sql != "" {
			return sql
		}
	}
	columns := []string{"at", "who", "tenant", "kind"}
	for _, c := range sorted(w.tables[table].types) {
		if !slices.Contains([]string{"id", "at", "who", "tenant", "kind", "order_id"}, c) {
			columns = append(columns, c)
		}
	}
	rows := make([]string, n)
	for i := range rows {
		values := []string{w.start(table), w.subject(), w.tenant(), pick(w.rng, "'a'", "'b'", "'c'", "null")}
		for _, c := range columns[4:] {
			values = append(values, w.value(table, c))
		}
		rows[i] = "(" + strings.Join(values, ", ") + ")"
	}
	sql := fmt.Sprintf("insert into app.%s (%s) values %s", table, strings.Join(columns, ", "), strings.Join(rows, ", "))
	if table == "accounts" {
		ends := make([]string, 1+w.rng.IntN(2))
		for i := range ends {
			ends[i] = "(" + w.converted("subs", w.instant("accounts")) + ")"
		}
		sql = fmt.Sprintf("with new as (%s returning id) insert into app.subs (account_id, ended_at) select id, e from new, (values %s) v(e) where id %% 7 > 0", sql, strings.Join(ends, ", "))
	}
	return sql
}

// insertChild is a row of a table whose rows belong to others; "": it is no
// such table.
func (w *world) insertChild(table string) string {
	parent := func(t string) string {
		return fmt.Sprintf("(select id from app.%s order by md5(id || '%d') limit 1)", t, w.rng.IntN(1000))
	}
	switch table {
	case "items":
		return fmt.Sprintf("insert into app.items (order_id, at, who, tenant, name) values (%s, %s, %s, %s, 'item')", parent("orders"), w.start("items"), w.subject(), w.tenant())
	case "parts":
		return fmt.Sprintf("insert into app.parts (item_id, name) values (%s, 'part')", parent("items"))
	case "notes":
		return fmt.Sprintf("insert into app.notes (order_id, name, who) values (%s, 'note', %s)", parent("orders"), w.subject())
	case "subs":
		return fmt.Sprintf("insert into app.subs (account_id, ended_at) values (%s, %s)", parent("accounts"), w.converted("subs", w.instant("accounts")))
	}
	return ""
}

func (w *world) child() op {
	if sql := w.insertChild(w.any(false)); sql != "" {
		return op{kind: "child", sql: sql}
	}
	return op{}
}

// subject is a value of the column who.
func (w *world) subject() string {
	n := w.rng.IntN(subjects)
	switch w.subjectType {
	case "uuid":
		return fmt.Sprintf("'abcdef00-0000-4000-8000-00000000000%x'", n)
	case "integer":
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("'s%d'", n)
}

func (w *world) tenant() string {
	if w.chance(15) {
		return "null"
	}
	return fmt.Sprintf("'t%d'", w.rng.IntN(tenants))
}

// value is one of a column that redactions know, or a reference.
func (w *world) value(table, column string) string {
	if column == "boss" {
		if w.chance(30) {
			return fmt.Sprintf("(select id from app.orders order by md5(id || '%d') limit 1)", w.rng.IntN(1000))
		}
		return "null"
	}
	if column == "region" {
		return strconv.Itoa(w.rng.IntN(4))
	}
	if column != "email" && w.chance(20) {
		return "null"
	}
	switch column {
	case "email":
		return fmt.Sprintf("'user-' || md5(random()::text) || '-%d@example.com'", w.rng.IntN(1000))
	case "born":
		return fmt.Sprintf("date '1950-01-01' + %d", w.rng.IntN(20000))
	case "seen":
		return fmt.Sprintf("timestamptz '2019-01-01 00:30:00+00' + interval '%d minutes'", w.rng.IntN(3_000_000))
	case "doc":
		return pick(w.rng, `'{"passport": "X1", "notes": "n", "keep": {"passport": 1}}'`, `'{"list": [{"x": 1, "y": 2}, 3], "notes": null}'`, `'{"keep": true}'`, `'[1, 2]'`)
	case "score":
		return strconv.Itoa(w.rng.IntN(3))
	case "ip":
		return "'10.1.2.3'"
	case "tags":
		return pick(w.rng, "'{a,b}'", "'{}'")
	case "phone":
		return pick(w.rng, "'+49 170 1234567'", "'ü7'", "'12'", "''", "'x''y'")
	}
	return fmt.Sprintf("'%s %d'", column, w.rng.IntN(50))
}

// start is a value of a table's column at.
func (w *world) start(table string) string {
	if w.startType[table] == "bigint" && w.chance(8) {
		return pick(w.rng, "0", "null", "-5", "4102444800000000000")
	}
	if table == "shots" {
		switch n := w.rng.IntN(100); {
		case n < 60:
			return w.converted(table, fmt.Sprintf("(timestamptz '%s 12:00:00+00' + interval '%d minutes')", date(w.rng.IntN(10*w.leaves)), w.rng.IntN(600)))
		case n < 63: // the default partition's
			return w.converted(table, "timestamptz '1999-05-05 12:00:00+00'")
		case n < 65:
			return "'infinity'"
		}
		return w.converted(table, w.instant(table))
	}
	switch n := w.rng.IntN(100); {
	case w.startType[table] == "bigint":
	case n < 6:
		return "null"
	case n < 9:
		return "'infinity'"
	case n < 12:
		return "'-infinity'"
	}
	return w.converted(table, w.instant(table))
}

// instant is a start as a timestamptz: far past, at the boundary, young or
// still to come.
func (w *world) instant(table string) string {
	p, there := w.retention[table]
	if !there {
		p = w.retention["orders"]
	}
	ended := func(more string) string {
		return fmt.Sprintf("timezone('%[1]s', timezone('%[1]s', clock_timestamp() %[2]s) - %[3]s)", w.now.zone, more, p.interval())
	}
	switch n := w.rng.IntN(100); {
	case n < 50:
		return ended(fmt.Sprintf("- interval '%d hours'", 1+w.rng.IntN(24*900)))
	case n < 62:
		return ended(fmt.Sprintf("+ interval '%d milliseconds'", w.rng.IntN(4000)-1000))
	case n < 70:
		return ended(fmt.Sprintf("+ interval '%d minutes'", w.rng.IntN(6*1440)-3*1440))
	case n < 75: // equal starts, more than a batch takes
		return fmt.Sprintf("timestamptz '2015-06-%02d 00:00:00+00'", 1+w.rng.IntN(2))
	case n < 80: // left out by the clocks, or shown twice
		return pick(w.rng, "timestamptz '2021-03-28 01:00:00+00'", "timestamptz '2021-10-31 00:30:00+00'", "timestamptz '2021-10-31 01:30:00+00'",
			"timestamptz '2020-02-29 12:00:00+00'", "timestamptz '2019-01-31 23:30:00+00'", "timestamptz '2020-11-01 06:30:00+00'")
	case n < 95:
		return fmt.Sprintf("clock_timestamp() - interval '%d minutes'", w.rng.IntN(2000))
	}
	return fmt.Sprintf("clock_timestamp() + interval '%d hours'", 1+w.rng.IntN(9000))
}

// converted is a timestamptz as the type of a table's start.
func (w *world) converted(table, expression string) string {
	switch w.startType[table] {
	case "bigint":
		per := map[string]string{"s": "1", "ms": "1000", "us": "1000000"}[w.now.byName(table).start.unit]
		return fmt.Sprintf("(extract(epoch from %s) * %s)::bigint", expression, per)
	case "timestamp":
		return fmt.Sprintf("timezone('%s', %s)", w.now.zone, expression)
	case "date":
		return fmt.Sprintf("timezone('%s', %s)::date", w.now.zone, expression)
	}
	return expression
}

// refresh makes rows young, or changes the end of a subscription.
func (w *world) refresh() op {
	if w.tables["subs"] != nil && w.chance(30) {
		return op{kind: "event", sql: fmt.Sprintf("update app.subs set ended_at = %s%s", pick(w.rng, "null", w.converted("subs", w.instant("accounts"))), w.some("subs", 1+w.rng.IntN(3)))}
	}
	t := w.any(true)
	young := w.converted(t, fmt.Sprintf("(clock_timestamp() - interval '%d seconds')", w.rng.IntN(100)))
	return op{kind: "refresh", sql: fmt.Sprintf("update app.%s set at = %s%s", t, young, w.some(t, 1+w.rng.IntN(6)))}
}

// update changes what decides, or what was redacted.
func (w *world) update() op {
	t := w.any(true)
	set := pick(w.rng, "who = "+w.subject(), "tenant = "+w.tenant(), "kind = "+pick(w.rng, "'a'", "'b'", "null"))
	if t == "people" && w.chance(60) {
		c := pick(w.rng, "email", "name", "phone", "born", "seen", "doc", "extra", "state", "iban")
		set = c + " = " + w.value(t, c)
	}
	if t == "orders" && w.chance(40) {
		set = "boss = " + w.value(t, "boss")
	}
	return op{kind: "update", sql: fmt.Sprintf("update app.%s set %s%s", t, set, w.some(t, 1+w.rng.IntN(3)))}
}

// truncate empties a table that no foreign key points at.
func (w *world) truncate() op {
	t := w.any(false)
	if len(w.tables[t].foreign) > 0 {
		return op{}
	}
	return op{kind: "truncate", sql: "truncate app." + t}
}

// hold is a call of apply_hold in one of its shapes.
func (w *world) hold() string {
	args := []string{"null", "'case'", "'model'"}
	c := pick(w.rng, w.now.categories...)
	n := w.rng.IntN(100)
	if n < 70 {
		switch s := w.subject(); w.subjectType {
		case "uuid":
			args[0] = strings.ToUpper(s)
		case "integer":
			args[0] = "'0" + s + "'"
		default:
			args[0] = s
		}
	}
	if n >= 60 && n < 80 && slices.ContainsFunc(w.now.categories, func(c category) bool { return c.tenant != "" }) {
		args = append(args, fmt.Sprintf("tenant => 't%d'", w.rng.IntN(tenants)))
	}
	if n >= 50 && n < 60 || n >= 80 && n < 90 || n >= 70 && len(args) == 3 {
		args = append(args, fmt.Sprintf("category => '%s'", c.name))
	}
	if n >= 95 {
		args = append(args, fmt.Sprintf("relation => 'app.%s'", c.table))
	}
	if w.chance(35) || n >= 70 && w.chance(70) { // those would leave little to do
		args = append(args, fmt.Sprintf("expires_at => clock_timestamp() + interval '%d milliseconds'", 50+w.rng.IntN(1500)))
	}
	return "select sweeper.apply_hold(" + strings.Join(args, ", ") + ")"
}

// window gives a tenant a window of its own, or takes it back.
func (w *world) window() op {
	c := pick(w.rng, w.now.categories...)
	if c.tenant == "" || c.unlimited {
		return op{}
	}
	tenant := fmt.Sprintf("'t%d'", w.rng.IntN(tenants))
	if w.chance(30) {
		return op{kind: "window", sql: fmt.Sprintf("select sweeper.clear_tenant_retention('%s', %s, 'model', 'test')", c.name, tenant)}
	}
	p := w.period()
	return op{kind: "window", sql: fmt.Sprintf("select sweeper.set_tenant_retention('%s', %s, %s, 'model', 'test')", c.name, tenant, p.interval())}
}

func (w *world) partition() op {
	if w.tables["shots"] == nil {
		return op{}
	}
	sql := w.leaf()
	values := make([]string, 1+w.rng.IntN(8))
	for i := range values {
		values[i] = fmt.Sprintf("(%s, %s, %s)", w.converted("shots", fmt.Sprintf("(timestamptz '%s 12:00:00+00' + interval '%d hours')", date(10*w.leaves-10), 24*w.rng.IntN(9))), w.subject(), w.tenant())
	}
	return op{kind: "partition", sql: sql + "; insert into app.shots (at, who, tenant) values " + strings.Join(values, ", ")}
}

// policy changes the policies, or takes the last change back.
func (w *world) policy() op {
	next := &policySet{zone: w.now.zone, categories: slices.Clone(w.now.categories)}
	c := &next.categories[w.rng.IntN(len(next.categories))]
	switch first := w.sets[1].byName(c.name); w.rng.IntN(4) {
	case 0:
		if c.delete == nil {
			return op{}
		}
		later := w.longer(*c.delete)
		c.delete = &later
	case 1:
		if slices.Contains([]string{"items", "orders"}, c.name) {
			return op{} // its foreign keys need it
		}
		c.disabled = true
	case 2:
		c.observe = true
	default:
		*c = *first
	}
	return w.change(next)
}

// change puts a set in the place of the one before.
func (w *world) change(next *policySet) op {
	next.version = w.now.version + 1
	c := &next.categories[next.version%len(next.categories)] // that one is logged another way from here on
	c.row = !c.row
	w.sets[next.version], w.now = next, next
	return op{kind: "policy", n: next.version}
}
