package policy

import (
	"fmt"
	"strings"
)

// starts makes a category of each start_from, from line 3 on.
func starts(all ...string) string {
	var b strings.Builder
	b.WriteString("version: 1\ncategories:\n")
	for i, s := range all {
		fmt.Fprintf(&b, "  c%d: {table: x.y, delete: {after: P1D}, start_from: %s}\n", i, s)
	}
	return b.String()
}

// startingFrom is category with another start_from, on line 5.
func startingFrom(start string, lines ...string) string {
	return strings.Replace(category(lines...), "start_from: at", "start_from: "+start, 1)
}

// badLanguage: what each key of the language forbids, and what the keys of one
// category forbid each other.
var badLanguage = map[string]bad{
	"override empty": {
		category("delete: {after: P5Y}", "override: {}"),
		[]string{
			`p.yaml:7:5: "reason" is missing in "override"`,
			`p.yaml:7:5: "approver" is missing in "override"`,
		},
	},
	"override without approver": {
		category("delete: {after: P5Y}", "override: {reason: x}"),
		[]string{
			`p.yaml:7:5: "approver" is missing in "override"`,
		},
	},
	"override blank": {
		category("delete: {after: P5Y}", `override: {reason: "", approver: "  "}`),
		[]string{
			`p.yaml:7:24: "reason" is empty; give it a value or remove it`,
			`p.yaml:7:38: "approver" is blank; give it a value or remove it`,
		},
	},
	"override of two lines": {
		category("delete: {after: P5Y}", `override: {reason: "a\nb", approver: c}`),
		[]string{
			`p.yaml:7:24: "reason" takes one line`,
		},
	},
	"override is a text": {
		category("delete: {after: P5Y}", "override: because"),
		[]string{
			`p.yaml:7:15: "override" takes a mapping, not a text`,
		},
	},
	"override with a key more": {
		category("delete: {after: P5Y}", "override: {reason: a, approver: b, approved_by: c}"),
		[]string{
			`p.yaml:7:40: unknown key "approved_by"; known here: approver, reason`,
		},
	},
	"restrict without start": {
		"version: 1\ncategories:\n  c: {table: a.b, restrict: {after: P1D, columns: [x]}}\n",
		[]string{
			`p.yaml:3:3: category "c" has no start_from; name the column that retention is counted from`,
		},
	},
	"restrict without columns": {
		category("restrict: {after: P1D}"),
		[]string{
			`p.yaml:6:5: "columns" is missing in "restrict"`,
		},
	},
	"restrict columns": {
		category("restrict: {after: P1D, columns: []}", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:28: "columns" is empty; give it a value or remove it`,
		},
	},
	"restrict column names": {
		category(`restrict: {after: P1D, columns: ["", "a\tb", a, a, 5]}`, "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:38: a column name is missing",
			"p.yaml:6:42: control character U+0009 in the column name",
			`p.yaml:6:53: "a" is listed twice`,
			`p.yaml:6:56: an item of "columns" takes a text, not a number`,
		},
	},
	"restrict columns a mapping": {
		category("restrict: {after: P1D, columns: {a: b}}", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:28: "columns" takes a list, not a mapping`,
		},
	},
	"restrict unlimited": {
		category("restrict: {after: unlimited, columns: [a]}", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:23: restrict.after is a period; remove restrict if nothing is to be hidden",
		},
	},
	"restrict longer than redact": {
		category("restrict: {after: P2M, columns: [a]}", "redact: {after: P60D, columns: {a: zero}}", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:23: restrict.after P2M is longer than redact.after P60D for a start on 2024-03-01; columns would be overwritten before they are hidden",
		},
	},
	"restrict longer than delete": {
		category("restrict: {after: P6Y, columns: [a]}", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:23: restrict.after P6Y is longer than delete.after P5Y for a start on 2024-01-01; rows would be gone before they are hidden",
		},
	},
	"start elsewhere shapes": {
		starts("{column: x, table: c.d}", "{column: x, match: {e: f}}", "{column: x, pick: max}", "{column: x, table: d, match: {e: f}}", "{column: x, table: c.d, match: {}}", "{column: x, table: c.d, match: {e: f, g: f}}", "{column: x, table: c.d, match: {e: f}, pick: last}", "{table: c.d, match: {e: f}}", "{column: x, table: c.d, match: e}"),
		[]string{
			`p.yaml:3:42: "table" needs "match" beside it`,
			`p.yaml:4:42: "match" needs "table" beside it`,
			`p.yaml:5:42: "pick" needs "table" beside it`,
			`p.yaml:6:73: write schema and table: "public.d"`,
			`p.yaml:7:78: "match" is empty; give it a value or remove it`,
			`p.yaml:9:99: unknown value "last"; known here: max, min`,
			`p.yaml:10:42: "column" is missing in "start_from"`,
			`p.yaml:11:85: "match" takes a mapping, not a text`,
		},
	},
	"start units": {
		starts("{column: x, unit: ns}", "{column: x, unit: 5}", "{column: x, units: s}", "{column: x, unit: }"),
		[]string{
			`p.yaml:3:72: unknown value "ns"; did you mean "s"?`,
			"p.yaml:4:72: 5 cannot stand here; write one of s, ms, us",
			`p.yaml:5:66: unknown key "units"; did you mean "unit"?`,
			"p.yaml:6:66: an empty value cannot stand here; write one of s, ms, us",
		},
	},
	"where_sql not allowed": {
		category("delete: {after: P5Y}", `where_sql: "a = 1"`),
		[]string{
			"p.yaml:7:16: where_sql is raw SQL, which only SWEEPER_ALLOW_RAW_SQL=true allows; write where, or set it",
		},
	},
	"where_sql empty": {
		category("delete: {after: P5Y}", `where_sql: ""`),
		[]string{
			"p.yaml:7:16: where_sql is raw SQL, which only SWEEPER_ALLOW_RAW_SQL=true allows; write where, or set it",
		},
	},
	"where_sql blank": {
		category("delete: {after: P5Y}", `where_sql: "  "`),
		[]string{
			"p.yaml:7:16: where_sql is raw SQL, which only SWEEPER_ALLOW_RAW_SQL=true allows; write where, or set it",
			`p.yaml:7:16: "where_sql" is blank; give it a value or remove it`,
		},
	},
	"where_sql NUL": {
		category("delete: {after: P5Y}", `where_sql: "a\0b"`),
		[]string{
			"p.yaml:7:16: where_sql is raw SQL, which only SWEEPER_ALLOW_RAW_SQL=true allows; write where, or set it",
			"p.yaml:7:16: control character U+0000 in where_sql; PostgreSQL cannot hold it",
		},
	},
	"where_sql is a list": {
		category("delete: {after: P5Y}", "where_sql: [a]"),
		[]string{
			`p.yaml:7:5: "where_sql" takes a text, not a list`,
		},
	},
	"truncate": {
		category("redact: {after: P1D, columns: {a: {truncate: years}, b: {truncate: second}, c: {truncate: 5}, d: {truncate: }}}"),
		[]string{
			`p.yaml:6:50: unknown value "years"; did you mean "year"?`,
			`p.yaml:6:72: unknown value "second"; known here: year, month, day, hour`,
			"p.yaml:6:95: 5 cannot stand here; write one of year, month, day, hour",
			"p.yaml:6:103: an empty value cannot stand here; write one of year, month, day, hour",
		},
	},
	"mask": {
		category("redact: {after: P1D, columns: {a: {mask: 2}, b: {mask: {}}, c: {mask: {keep_last: -1}}, d: {mask: {keep_last: 1.5}}, e: {mask: {keep_first: 1}}, f: {mask: {keep_last: 1001}}, g: {mask: {keep_last: two}}}}"),
		[]string{
			`p.yaml:6:46: "mask" takes a mapping, not a number`,
			`p.yaml:6:54: "keep_last" is missing in "mask"`,
			`p.yaml:6:87: "keep_last" is at least 0, not -1`,
			`p.yaml:6:115: "keep_last" takes a whole number, not 1.5`,
			`p.yaml:6:126: "keep_last" is missing in "mask"`,
			`p.yaml:6:133: unknown key "keep_first"; did you mean "keep_last"?`,
			`p.yaml:6:172: "keep_last" is at most 1000, not 1001`,
			`p.yaml:6:202: "keep_last" takes a whole number, not a text`,
		},
	},
	"json paths": {
		category(`redact: {after: P1D, columns: {a: {json: {"$": remove, "a.b": remove, "$.a.": remove, "$..a": remove, "$[*].a": remove, "$.a[0]": remove, "$.a b": remove, "$.a[*]b": remove, "$.a\u200b": remove}}}}`),
		[]string{
			`p.yaml:6:47: "$" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:60: "a.b" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:75: "$.a." is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:91: "$..a" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:107: "$[*].a" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:125: "$.a[0]" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:143: "$.a b" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:160: "$.a[*]b" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
			`p.yaml:6:179: "$.a\u200b" is no path of this language; write $.a.b, or $.a[*].b for each element of an array`,
		},
	},
	"json values": {
		category("redact: {after: P1D, columns: {a: {json: {$.a: null, $.b: delete, $.c: 5, $.d: [x]}}, b: {json: {}}, c: {json: $.a}}}"),
		[]string{
			`p.yaml:6:52: null without quotes is no value in YAML; write $.a: "null" to leave it null`,
			`p.yaml:6:63: unknown value "delete"; known here: remove, null`,
			"p.yaml:6:76: 5 cannot stand here; write one of remove, null",
			"p.yaml:6:79: a list cannot stand here; write one of remove, null",
			`p.yaml:6:95: "json" is empty; give it a value or remove it`,
			`p.yaml:6:116: "json" takes a mapping, not a text`,
		},
	},
	"json prefixes": {
		category("redact:", "  after: P1D", "  columns:", "    doc:", "      json:", "        $.a.b: remove", `        $.a: "null"`, "        $.ab: remove", "        $.c[*]: remove", "        $.c[*].d: remove"),
		[]string{
			`p.yaml:12:13: "$.a.b" lies within "$.a" (given at line 11); one of the two would find nothing, give the outer or the inner`,
			`p.yaml:15:13: "$.c[*].d" lies within "$.c[*]" (given at line 14); one of the two would find nothing, give the outer or the inner`,
		},
	},
	"json path twice": {
		category("redact: {after: P1D, columns: {a: {json: {$.a: remove, $.a: remove}}}}"),
		[]string{
			`p.yaml:6:60: "$.a" is given twice (first at line 6)`,
		},
	},
	"redact leads to children and start": {
		category("redact: {after: P1D, columns: {id: zero, other: zero}}", "delete: {after: P5Y}", "children: [{table: x.c, match: {parent: id}}]"),
		[]string{
			`p.yaml:6:36: "id" leads to the rows of x.c; without it they would stay when the row goes`,
		},
	},
	"window empty": {
		category("delete: {after: P5Y}", "window: {}"),
		[]string{
			`p.yaml:7:5: "window" is empty; give it a value or remove it`,
		},
	},
	"window periods": {
		category("delete: {after: P5Y}", "window: {min: 5, max: unlimited, allowed_days: [30.5, -1, x, 30, 30, 80000]}"),
		[]string{
			"p.yaml:6:21: delete.after P5Y is none of window.allowed_days; write one of P30D",
			`p.yaml:7:19: a unit is missing: "5 years"? "5 days"?`,
			`p.yaml:7:27: "unlimited" is not a period; write e.g. P5Y, "18 months", "90 days"`,
			`p.yaml:7:53: an item of "allowed_days" takes a whole number, not 30.5`,
			`p.yaml:7:59: an item of "allowed_days" is at least 0, not -1`,
			`p.yaml:7:63: an item of "allowed_days" takes a whole number, not a text`,
			"p.yaml:7:70: 30 is listed twice",
			`p.yaml:7:74: an item of "allowed_days" is at most 73050, not 80000`,
		},
	},
	"window upside down": {
		category("delete: {after: P5Y}", "window: {min: P60D, max: P2M}"),
		[]string{
			"p.yaml:7:19: window.min P60D is longer than window.max P2M for a start on 2024-12-31; no window is allowed",
		},
	},
	"window min at some starts": {
		category("delete: {after: P1800D}", "window: {min: P5Y}"),
		[]string{
			"p.yaml:6:21: delete.after P1800D is shorter than window.min P5Y for a start on 2024-01-01; keep longer, or lower the floor",
		},
	},
	"window min at few starts": {
		category("delete: {after: P1826D}", "window: {min: P5Y}"),
		[]string{
			"p.yaml:6:21: delete.after P1826D is shorter than window.min P5Y for a start on 2024-01-01; keep longer, or lower the floor",
		},
	},
	"window max": {
		category("delete: {after: P85M}", "window: {min: P3M, max: P84M}"),
		[]string{
			"p.yaml:6:21: delete.after P85M is longer than window.max P84M for a start on 2024-01-01; keep shorter, or raise the ceiling",
		},
	},
	"window max at few starts": {
		category("delete: {after: P31D}", "window: {max: P1M}"),
		[]string{
			"p.yaml:6:21: delete.after P31D is longer than window.max P1M for a start on 2024-01-30; keep shorter, or raise the ceiling",
		},
	},
	"window of redact": {
		category("redact: {after: P1M, columns: {a: zero}}", "window: {min: P3M}"),
		[]string{
			"p.yaml:6:21: redact.after P1M is shorter than window.min P3M for a start on 2024-01-01; keep longer, or lower the floor",
		},
	},
	"window of unlimited": {
		category("delete: {after: unlimited}", "window: {max: P84M}"),
		[]string{
			"p.yaml:6:21: delete.after unlimited is outside of window, which has an end; write a period, or remove delete if the window is that of redact.after",
		},
	},
	"window of nothing": {
		category("restrict: {after: P1D, columns: [a]}", "window: {max: P84M}"),
		[]string{
			"p.yaml:7:5: window bounds delete.after, or redact.after where nothing is deleted, and neither is given; remove it",
		},
	},
	"allowed days": {
		category("delete: {after: P1M}", "window: {allowed_days: [30, 60]}"),
		[]string{
			"p.yaml:6:21: delete.after P1M is none of window.allowed_days; write one of P30D, P60D",
		},
	},
	"allowed days elsewhere": {
		category("delete: {after: P5W}", "window: {allowed_days: [30, 60]}"),
		[]string{
			"p.yaml:6:21: delete.after P5W is none of window.allowed_days; write one of P30D, P60D",
		},
	},
	"lock and enabled as texts": {
		category("delete: {after: P5Y}", "lock: yes", `enabled: "false"`),
		[]string{
			`p.yaml:7:11: "yes" is a text; write true or false`,
			`p.yaml:8:14: "false" is a text; write true or false`,
		},
	},
	"notify": {
		category("delete: {after: P5Y}", "notify: {}", "review: maybe"),
		[]string{
			`p.yaml:7:5: "before" is missing in "notify"`,
			`p.yaml:8:13: unknown value "maybe"; known here: none, required`,
		},
	},
	"notify as long as the window": {
		category("delete: {after: P30D}", "notify: {before: P30D}"),
		[]string{
			"p.yaml:7:22: notify.before P30D is not shorter than delete.after P30D for a start on 2024-01-01; write a shorter one",
		},
	},
	"notify at some starts": {
		category("delete: {after: P1M}", "notify: {before: P28D}"),
		[]string{
			"p.yaml:7:22: notify.before P28D is not shorter than delete.after P1M for a start on 2025-01-31; write a shorter one",
		},
	},
	"notify of redact": {
		category("redact: {after: P7D, columns: {a: zero}}", "notify: {before: P1M}"),
		[]string{
			"p.yaml:7:22: notify.before P1M is not shorter than redact.after P7D for a start on 2024-01-01; write a shorter one",
		},
	},
	"notify zero": {
		category("delete: {after: P5Y}", "notify: {before: P0D}"),
		[]string{
			"p.yaml:7:22: notify.before P0D is no time before; write e.g. P30D, or remove notify",
		},
	},
	"notify of nothing": {
		category("delete: {after: unlimited}", "notify: {before: P30D}"),
		[]string{
			"p.yaml:7:22: notify announces what is to be deleted or redacted, and this category does neither; remove it",
		},
	},
	"bulk_filter": {
		category("delete: {after: P5Y}", `bulk_filter: ["", a, a, 5]`),
		[]string{
			"p.yaml:7:19: a column name is missing",
			`p.yaml:7:26: "a" is listed twice`,
			`p.yaml:7:29: an item of "bulk_filter" takes a text, not a number`,
		},
	},
	"limits of every kind": {
		category("delete: {after: P5Y}", "limits: {max_rows_per_run: -1, max_share: 2, rows_per_second: 1.5, max_dead_share: x, max_row: 1}"),
		[]string{
			`p.yaml:7:32: "max_rows_per_run" is at least 0, not -1`,
			`p.yaml:7:47: "max_share" is at most 1, not 2`,
			`p.yaml:7:67: "rows_per_second" takes a whole number, not 1.5`,
			`p.yaml:7:88: "max_dead_share" takes a number, not a text`,
			`p.yaml:7:91: unknown key "max_row"; known here: max_dead_share, max_rows_per_run, max_share, rows_per_second`,
		},
	},
	"limits too large": {
		category("delete: {after: P5Y}", "limits: {max_rows_per_run: 1e300, rows_per_second: 10000001}"),
		[]string{
			`p.yaml:7:32: "max_rows_per_run" is at most 9007199254740991, not 1e+300`,
			`p.yaml:7:56: "rows_per_second" is at most 10000000, not 10000001`,
		},
	},
}
