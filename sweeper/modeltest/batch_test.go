package modeltest_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// batch is one transaction that changed the application's tables.
type batch struct {
	*truth
	xid     string
	at      time.Time
	stamp   map[string]string // nil: the application's own
	taken   map[string]string // the report of a partition that went whole
	reports map[string]string // rows reported, by kind and relation
	changes []change
	counts  map[string]int // rows changed, by kind and leaf

	run      *run
	category *category
	rules    *judge // of the state before the transaction
}

// fact takes in a row of sweeper.batches.
func (b *batch) fact(v map[string]string) {
	switch v["fact"] {
	case "stamp":
		if b.stamp != nil {
			b.problem("transaction %s has two stamps", b.xid)
		}
		b.stamp = v
	case "report":
		if strings.HasSuffix(v["kind"], "_partition") {
			b.taken = v
		}
		b.reports[v["kind"]+" "+v["relation"]] = v["row_count"]
	case "hold":
		b.entries[logged(b.xid, "hold", v["relation"], 0, "", v["category"], "")]++
	}
}

// logged writes an entry of the purge log in one line; rows -1: NULL.
func logged(xid, kind, leaf string, rows int64, reason, category, run string) string {
	return fmt.Sprintf("%s %s %s %d %s %s %s", xid, kind, leaf, rows, reason, category, run)
}

// judge holds a purging transaction against the state before it.
func (b *batch) judge() {
	b.run = b.runs[b.stamp["run_id"]]
	if b.run == nil || b.run.category != b.stamp["category"] {
		b.problem("transaction %s is stamped with run %q of category %s, which there is not", b.xid, b.stamp["run_id"], b.stamp["category"])
		return
	}
	if b.run.state != "running" {
		b.problem("transaction %s purges for a run that is %s", b.xid, b.run.state)
	}
	set := b.sets[b.versions[b.stamp["policy_sha256"]]]
	if set == nil || b.run.policy != b.stamp["policy_sha256"] {
		b.problem("transaction %s is stamped with policies that its run has not got", b.xid)
		return
	}
	b.category = set.byName(b.run.category)
	if b.category == nil || b.category.disabled || b.category.observe {
		b.problem("transaction %s purges for category %s, which is disabled, observes or is not there", b.xid, b.run.category)
		return
	}
	stamped := instant(b.stamp["at"])
	if stamped.Before(b.run.asOf) {
		b.problem("transaction %s purges as of %s, which was still to come", b.xid, b.run.asOf)
	}
	b.rules = &judge{set: set, state: b.state, holds: b.holds, windows: b.windows, asOf: b.run.asOf, at: stamped, secret: b.secret}
	for i := range b.changes {
		b.one(&b.changes[i])
	}
	if b.taken != nil {
		b.whole()
	}
}

// one judges one change of a purging transaction.
func (b *batch) one(c *change) {
	if c.op == "INSERT" || c.op == "TRUNCATE" {
		b.problem("purging transaction %s did an %s of %s", b.xid, c.op, c.leaf)
		return
	}
	t := b.state.rootOf(c.leaf)
	key := c.old
	if key == nil {
		key = c.new
	}
	r := b.state.rows[t.name][t.keyOf(key)]
	if r == nil {
		return // apply tells it
	}
	name := fmt.Sprintf("row %s of %s in transaction %s of run %s (%s)", t.keyOf(key), c.leaf, b.xid, b.stamp["run_id"], b.category.name)
	if b.rules.held(t.name, r) {
		b.problem("%s: %s of a row that is held", name, c.op)
	}
	if t.name == b.category.table && (c.op == "DELETE") == (b.stamp["kind"] == "delete") && !b.goesAlong(t, c, r) {
		b.own(name, c, r)
		return
	}
	k := b.kinOf(t, c, r)
	if k == nil {
		b.problem("%s: %s of a row that belongs to none which goes, and is not itself to go", name, c.op)
		return
	}
	b.seen["children: "+k.action]++
	switch k.action {
	case "delete":
		if !b.rules.lets(*k, r) {
			b.problem("%s: it went along, and something keeps it", name)
		}
	case "nullify":
		want := maps.Clone(r.v)
		delete(want, k.other)
		b.same(name, k.table, nil, want, r, c.new)
	case "redact":
		b.same(name, k.table, k.columns, nil, r, c.new)
	}
}

// goesAlong tells of a row of the category's own table that goes as a child of
// another one, and not for itself.
func (b *batch) goesAlong(t *table, c *change, r *record) bool {
	return b.kinOf(t, c, r) != nil && !b.rules.leaves(b.category, r)
}

// own judges a row of the category's table.
func (b *batch) own(name string, c *change, r *record) {
	j, disposition := b.rules, "delete"
	if c.op == "UPDATE" {
		disposition = "redact"
	}
	if b.category.start.from != nil {
		b.elsewhere(name, r, disposition)
	} else if !b.category.selects(r) || !j.due(b.category, r, disposition) || disposition == "delete" && !j.agreed(b.category, r) {
		b.problem("%s: %s of a row that is not due as of %s: %v", name, c.op, b.run.asOf, r.v)
	}
	if _, own := j.windows[b.category.name][r.v[b.category.tenant]]; own && b.category.tenant != "" {
		b.seen["rows purged by a tenant's window"]++
	}
	if disposition == "redact" {
		b.same(name, b.category.table, b.category.redact.columns, nil, r, c.new)
	}
}

// slow covers what can pass between the moment that a commit is dated and the
// one at which others see it.
const slow = time.Second

// elsewhere judges a row whose start is in another table. An event that is
// committed after the batch has looked comes too late, so the row is to be due
// by what was there before, or by what is there now.
func (b *batch) elsewhere(name string, r *record, disposition string) {
	j := *b.rules
	due := func() bool {
		return b.category.selects(r) && j.due(b.category, r, disposition) && (disposition == "redact" || j.agreed(b.category, r))
	}
	if due() {
		return
	}
	for i := len(b.truth.events) - 1; i >= 0 && b.truth.events[i].at.After(j.at.Add(-slow)); i-- {
		undone := b.truth.events[i:]
		j.events = func(table, column, value string) []*record {
			all := b.state.matching(table, column, value)
			for _, e := range slices.Backward(undone) {
				if e.table != table {
					continue
				}
				all = slices.DeleteFunc(all, func(x *record) bool { return x == e.after })
				if e.before != nil && e.before.v[column] == value {
					all = append(all, e.before)
				}
			}
			return all
		}
		if due() {
			return
		}
	}
	b.problem("%s: its start in %s is not due as of %s", name, b.category.start.from.table, b.run.asOf)
}

// kinOf finds the child as which a row goes along with one that is due, now, for
// the disposition of the batch.
func (b *batch) kinOf(t *table, c *change, r *record) (found *kin) {
	j := b.rules
	disposition := b.stamp["kind"]
	if disposition != "delete" && disposition != "redact" {
		return nil
	}
	for _, key := range j.state.keys(b.category.table) {
		p := j.state.rows[b.category.table][key]
		if !b.category.selects(p) || !j.due(b.category, p, disposition) || disposition == "delete" && !j.agreed(b.category, p) || j.heldAs(b.category, b.category.table, p) {
			continue
		}
		j.family(j.kin(b.category, disposition), p, func(k kin, x *record) {
			if x == r && k.table == t.name && (k.action == "delete") == (c.op == "DELETE") && found == nil {
				found = &k
			}
		})
		if found != nil {
			return found
		}
	}
	return nil
}

// same tells whether a row is, after an UPDATE of ours, exactly what the
// redaction makes of it.
func (b *batch) same(name, table string, columns []strategy, want map[string]string, r *record, got map[string]string) {
	if want == nil {
		want = maps.Clone(r.v)
	}
	documents := map[string]strategy{}
	for _, s := range columns {
		old, there := r.v[s.column]
		if now, still := b.rules.redacted(table, s, old, there); still {
			want[s.column] = now
		} else {
			delete(want, s.column)
		}
		documents[s.column] = s
		b.seen["redactions: "+s.kind]++
	}
	for _, column := range slices.Sorted(maps.Keys(b.state.tables[table].types)) {
		w, wanted := want[column]
		g, there := got[column]
		if wanted != there || !sameValue(documents[column], w, g) {
			b.problem("%s: column %s has become %q (there: %t), want %q (there: %t), from %q", name, column, g, there, w, wanted, r.v[column])
		}
	}
}

// whole judges a partition that was dropped or detached.
func (b *batch) whole() {
	leaf := strings.TrimPrefix(b.taken["partition"], "app.")
	t := b.state.rootOf(leaf)
	kind := b.taken["kind"]
	if want := map[string]string{"drop": "drop_partition", "detach": "detach_partition"}[b.category.partitions]; kind != want || kind != b.stamp["kind"] {
		b.problem("partition %s has gone by %s, the policy says %q", leaf, kind, b.category.partitions)
	}
	if strings.HasSuffix(leaf, "_rest") {
		b.problem("the default partition %s has gone whole", leaf)
	}
	n := 0
	for _, key := range b.state.keys(t.name) {
		r := b.state.rows[t.name][key]
		if r.leaf != leaf {
			continue
		}
		n++
		if b.rules.held(t.name, r) {
			b.problem("row %s has gone with partition %s and is held", key, leaf)
		}
		if !b.rules.leaves(b.category, r) {
			b.problem("row %s has gone with partition %s and is not due as of %s: %v", key, leaf, b.run.asOf, r.v)
		}
	}
	if reported, counted := b.taken["row_count"]; b.category.manifest != "none" && reported != strconv.Itoa(n) || b.category.manifest == "none" && counted {
		b.problem("partition %s had %d rows when it went, reported are %q", leaf, n, reported)
	}
	b.seen["partitions: "+b.category.partitions+", manifest "+b.category.manifest]++
}

// apply brings the state up to date.
func (b *batch) apply() {
	for _, c := range b.changes {
		if c.op == "TRUNCATE" {
			b.truncate(c)
			continue
		}
		t := b.state.rootOf(c.leaf)
		rows := b.state.rows[t.name]
		key := c.old
		if key == nil {
			key = c.new
		}
		before := rows[t.keyOf(key)]
		var after *record
		if c.op != "DELETE" {
			after = &record{leaf: c.leaf, v: c.new, at: b.at}
		}
		if (before == nil) != (c.op == "INSERT") {
			b.problem("%s of row %s of %s in transaction %s, which was there: %t", c.op, t.keyOf(key), c.leaf, b.xid, before != nil)
		}
		delete(rows, t.keyOf(key))
		if after != nil {
			rows[t.keyOf(after.v)] = after
		}
		if t.events {
			b.truth.events = append(b.truth.events, event{b.at, t.name, before, after})
		}
		b.count(t, c, key, before)
	}
	if b.taken != nil {
		b.take()
	}
}

// count notes what the log has to have of a change.
func (b *batch) count(t *table, c change, key map[string]string, before *record) {
	switch {
	case !t.logged:
		return
	case c.op == "INSERT", c.op == "UPDATE" && b.stamp == nil:
		if c.op == "UPDATE" && before != nil && b.running() {
			b.seen["rows changed by the application while a run goes on"]++
			b.won(t, before, c.new)
		}
		return
	case c.op == "UPDATE":
		b.counts["redact "+c.leaf]++
		b.seen["rows redacted"]++
	case b.stamp == nil:
		b.counts["delete "+c.leaf]++
		b.seen["rows deleted by the application"]++
	default:
		b.counts["delete "+c.leaf]++
		b.seen["rows deleted from "+t.name]++
	}
	b.commit(t, key)
}

// won notes a row that was due and is not any more: the application has refreshed
// it before a run came to it.
func (b *batch) won(t *table, before *record, now map[string]string) {
	j := &judge{set: b.sets[1], state: b.state, holds: b.holds, windows: b.windows, asOf: b.at, at: b.at}
	for _, c := range j.set.over(t.name) {
		if j.leaves(c, before) && !j.leaves(c, &record{v: now}) {
			b.seen["due rows refreshed while a run goes on"]++
			return
		}
	}
}

// commit notes a row commitment.
func (b *batch) commit(t *table, key map[string]string) {
	id := proof.AppendField(nil, []byte("app."+t.name))
	for _, k := range t.key {
		id = proof.AppendField(proof.AppendField(id, []byte(k)), []byte(key[k]))
	}
	b.commitments[b.committer.Commit(id)]++
}

func (b *batch) truncate(c change) {
	for _, leaf := range c.truncated {
		t := b.state.rootOf(leaf)
		for _, key := range b.state.keys(t.name) {
			if b.state.rows[t.name][key].leaf == leaf {
				delete(b.state.rows[t.name], key)
			}
		}
		if t.leaves && leaf == t.name || !t.logged {
			continue
		}
		b.entries[logged(b.xid, "truncate", b.named(leaf), -1, "out_of_policy", "", "")]++
		b.seen["truncates"]++
	}
}

// named is a relation as an entry names it: the root, and the leaf where it is
// another one.
func (b *batch) named(leaf string) string {
	if t := b.state.rootOf(leaf); t.leaves {
		return "app." + t.name + "/app." + leaf
	}
	return "app." + leaf
}

// take has a partition's rows leave the table.
func (b *batch) take() {
	leaf := strings.TrimPrefix(b.taken["partition"], "app.")
	t := b.state.rootOf(leaf)
	rows := int64(-1)
	if n, there := b.taken["row_count"]; there {
		rows, _ = strconv.ParseInt(n, 10, 64)
	}
	for _, key := range b.state.keys(t.name) {
		r := b.state.rows[t.name][key]
		if r.leaf != leaf {
			continue
		}
		delete(b.state.rows[t.name], key)
		if b.category != nil && b.category.manifest == "digest" {
			b.commit(t, r.v)
		}
	}
	b.entries[logged(b.xid, b.taken["kind"], b.named(leaf), rows, b.stamp["reason"], b.stamp["category"], b.stamp["run_id"])]++
}

// after looks at what a purging transaction has left: no row that should have
// gone along with one that went.
func (b *batch) after() {
	if b.category == nil || b.stamp["kind"] != "delete" {
		return
	}
	for _, k := range b.rules.kin(b.category, "delete") {
		if k.action == "redact" {
			continue
		}
		for _, key := range b.state.keys(k.table) {
			r := b.state.rows[k.table][key]
			v, there := r.v[k.other]
			if there && len(b.state.matching(k.of, k.own, v)) == 0 {
				b.problem("row %s of %s is left in transaction %s, and what it belongs to has gone", key, k.table, b.xid)
			}
		}
	}
}

// log notes the entries that the transaction must have.
func (b *batch) log() {
	reason, category, run := "out_of_policy", "", ""
	if b.stamp != nil {
		reason, category, run = b.stamp["reason"], b.stamp["category"], b.stamp["run_id"]
	}
	for which, n := range b.counts {
		kind, leaf, _ := strings.Cut(which, " ")
		if b.category != nil && b.category.row {
			b.entries[logged(b.xid, kind, b.named(leaf), 1, reason, category, run)] += n
			b.seen["rows with an entry each"] += n
			continue
		}
		b.entries[logged(b.xid, kind, b.named(leaf), int64(n), reason, category, run)]++
		b.seen["entries of a batch"]++
	}
}
