package modeltest_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// policySet is one version of the policy file, as the model reads it. It is
// rendered to YAML for the product and never parsed back.
type policySet struct {
	version    int
	zone       *time.Location
	categories []category
}

type category struct {
	name, table, subject, tenant string
	where                        []cond
	start                        start
	delete                       *period
	unlimited                    bool
	redact                       *redaction
	children                     []child
	partitions, manifest         string
	observe, disabled            bool
	row                          bool    // evidence: row
	share                        float64 // 0: none
}

// cond is column op value; values of in are split at commas.
type cond struct{ column, op, value string }

type start struct {
	column, unit string
	from         *elsewhere
}

// elsewhere is a start in another table, whose column other holds own.
type elsewhere struct{ table, own, other, pick string }

type redaction struct {
	after   period
	columns []strategy
}

// strategy is what becomes of one column: null, zero, hmac, truncate, mask,
// json, set (as a value of the column), or put (under set).
type strategy struct{ column, kind, arg string }

type child struct {
	table, other, own string // other: the child's column
	on, action        string
	columns           []strategy
	children          []child
}

func (s policySet) byName(name string) *category {
	i := slices.IndexFunc(s.categories, func(c category) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &s.categories[i]
}

// over are the categories over a table.
func (s policySet) over(table string) (all []*category) {
	for i := range s.categories {
		if s.categories[i].table == table {
			all = append(all, &s.categories[i])
		}
	}
	return all
}

// yaml is the file. Its last line names the version, by which the model finds
// it again in the database.
func (s policySet) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ntimezone: %s\ncategories:\n", s.zone)
	for _, c := range s.categories {
		fmt.Fprintf(&b, "  %s:\n    table: app.%s\n    schedule: {every: 1s}\n    limits: {max_share: %g}\n", c.name, c.table, c.share)
		for _, line := range c.lines() {
			b.WriteString("    " + line + "\n")
		}
	}
	fmt.Fprintf(&b, "# version %d\n", s.version)
	return b.String()
}

func (c category) lines() (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if c.subject != "" {
		say("subject: %s", c.subject)
	}
	if c.tenant != "" {
		say("tenant: %s", c.tenant)
	}
	if len(c.where) > 0 {
		parts := make([]string, len(c.where))
		for i, w := range c.where {
			parts[i] = w.yaml()
		}
		say("where: [%s]", strings.Join(parts, ", "))
	}
	switch {
	case c.start.from != nil:
		say("start_from: {table: app.%s, column: %s, match: {%s: %s}, pick: %s}", c.start.from.table, c.start.column, c.start.from.other, c.start.from.own, c.start.from.pick)
	case c.start.unit != "":
		say("start_from: {column: %s, unit: %s}", c.start.column, c.start.unit)
	default:
		say("start_from: %s", c.start.column)
	}
	if c.redact != nil {
		say("redact: {after: %s, %s}", c.redact.after, columnsYAML(c.redact.columns))
	}
	if c.unlimited {
		say("delete: {after: unlimited}")
	} else if c.delete != nil {
		say("delete: {after: %s}", *c.delete)
	}
	if len(c.children) > 0 {
		say("children: %s", childrenYAML(c.children))
	}
	if c.partitions != "" {
		say("partitions: %s", c.partitions)
		say("manifest: %s", c.manifest)
	}
	if c.row {
		say("evidence: row")
	}
	if c.observe {
		say("mode: observe")
	}
	if c.disabled {
		say("enabled: false")
	}
	return all
}

func (w cond) yaml() string {
	switch w.op {
	case "is_null", "not_null":
		return fmt.Sprintf("{column: %s, op: %s}", w.column, w.op)
	case "in", "not_in":
		return fmt.Sprintf("{column: %s, op: %s, value: [%s]}", w.column, w.op, w.value)
	}
	return fmt.Sprintf("{column: %s, op: %s, value: %s}", w.column, w.op, w.value)
}

func columnsYAML(all []strategy) string {
	var columns, set []string
	for _, s := range all {
		switch s.kind {
		case "null":
			columns = append(columns, s.column+`: "null"`)
		case "zero", "keep":
			columns = append(columns, s.column+": "+s.kind)
		case "mask":
			columns = append(columns, fmt.Sprintf("%s: {mask: {keep_last: %s}}", s.column, s.arg))
		case "json":
			columns = append(columns, s.column+`: {json: {"$.passport": remove, "$.notes": "null", "$.list[*].x": remove}}`)
		case "put":
			set = append(set, fmt.Sprintf("%s: %q", s.column, s.arg))
		default:
			columns = append(columns, fmt.Sprintf("%s: {%s: %q}", s.column, s.kind, s.arg))
		}
	}
	text := "columns: {" + strings.Join(columns, ", ") + "}"
	if len(set) > 0 {
		text += ", set: {" + strings.Join(set, ", ") + "}"
	}
	return text
}

func childrenYAML(all []child) string {
	parts := make([]string, len(all))
	for i, c := range all {
		text := fmt.Sprintf("table: app.%s, match: {%s: %s}, on: %s, action: %s", c.table, c.other, c.own, c.on, c.action)
		if c.action == "redact" {
			text += ", " + columnsYAML(c.columns)
		}
		if len(c.children) > 0 {
			text += ", children: " + childrenYAML(c.children)
		}
		parts[i] = "{" + text + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
