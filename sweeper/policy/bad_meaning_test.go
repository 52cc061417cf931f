package policy

// badMeaning: what only the policy language forbids.
var badMeaning = map[string]bad{
	"synonyms": {
		category("retention: 5 years", "ttl: x", "Delete: {after: P5Y}", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:5: unknown key "retention"; did you mean "delete"?`,
			`p.yaml:7:5: unknown key "ttl"; did you mean "delete"?`,
			`p.yaml:8:5: unknown key "Delete"; did you mean "delete"?`,
		},
	},
	"delete is a period": {
		category("delete: P5Y"),
		[]string{
			"p.yaml:6:13: delete takes a mapping; write delete: {after: P5Y}",
		},
	},
	"delete without after": {
		category("delete: {}"),
		[]string{
			`p.yaml:6:5: "after" is missing in "delete"`,
		},
	},
	"delete without value": {
		category("delete:"),
		[]string{
			`p.yaml:6:5: "delete" takes a mapping, not an empty value`,
		},
	},
	"redact unlimited": {
		category("redact: {after: unlimited, columns: {a: zero}}"),
		[]string{
			"p.yaml:6:21: redact.after is a period; remove redact if nothing is to be redacted",
		},
	},
	"redact longer than delete": {
		category("redact: {after: P6Y, columns: {a: zero}}", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:21: redact.after P6Y is longer than delete.after P5Y for a start on 2024-01-01; rows would be gone before they are redacted",
		},
	},
	"redact longer at some starts": {
		category("redact: {after: P5Y, columns: {a: zero}}", "delete: {after: P1826D}"),
		[]string{
			"p.yaml:6:21: redact.after P5Y is longer than delete.after P1826D for a start on 2024-01-01; rows would be gone before they are redacted",
		},
	},
	"redact longer at few starts": {
		category("redact: {after: P31D, columns: {a: zero}}", "delete: {after: P1M}"),
		[]string{
			"p.yaml:6:21: redact.after P31D is longer than delete.after P1M for a start on 2024-01-30; rows would be gone before they are redacted",
		},
	},
	"redact without columns": {
		category("redact: {after: P1D}"),
		[]string{
			`p.yaml:6:5: "columns" is missing in "redact"`,
		},
	},
	"redact columns empty": {
		category("redact: {after: P1D, columns: {}}"),
		[]string{
			`p.yaml:6:26: "columns" is empty; give it a value or remove it`,
		},
	},
	"redact columns a list": {
		category("redact: {after: P1D, columns: [a]}"),
		[]string{
			`p.yaml:6:26: "columns" takes a mapping, not a list`,
		},
	},
	"redact keeps all": {
		category("redact: {after: P1D, columns: {a: keep}}"),
		[]string{
			"p.yaml:6:26: every column is kept, so redact changes nothing; remove redact or redact a column",
		},
	},
	"redact without after": {
		category("redact: {columns: {a: zero}}"),
		[]string{
			`p.yaml:6:5: "after" is missing in "redact"`,
		},
	},
	"null without quotes": {
		category("redact:", "  after: P1D", "  columns:", "    full_name: null", "    phone:", "    email: ~"),
		[]string{
			`p.yaml:9:20: null without quotes is no value in YAML; write full_name: "null" to set the column to NULL`,
			`p.yaml:10:9: null without quotes is no value in YAML; write phone: "null" to set the column to NULL`,
			`p.yaml:11:16: null without quotes is no value in YAML; write email: "null" to set the column to NULL`,
		},
	},
	"unknown redactions": {
		category("redact: {after: P1D, columns: {a: nul, b: 5, c: [x], d: {sett: 1}, e: {}, f: {set: 1, hmac: '%s'}, g: true}}"),
		[]string{
			`p.yaml:6:39: "nul" is no redaction; write "null", zero, keep, {set: value}, {hmac: "redacted-%s"}, {truncate: year}, {mask: {keep_last: 2}} or {json: {$.a: remove}}`,
			`p.yaml:6:47: 5 is no redaction; write "null", zero, keep, {set: value}, {hmac: "redacted-%s"}, {truncate: year}, {mask: {keep_last: 2}} or {json: {$.a: remove}}`,
			`p.yaml:6:50: "c" takes a text or a mapping, not a list`,
			`p.yaml:6:62: unknown key "sett"; did you mean "set"?`,
			`p.yaml:6:72: "e" is empty; give it a value or remove it`,
			`p.yaml:6:79: "f" takes one key, not 2`,
			`p.yaml:6:107: true is no redaction; write "null", zero, keep, {set: value}, {hmac: "redacted-%s"}, {truncate: year}, {mask: {keep_last: 2}} or {json: {$.a: remove}}`,
		},
	},
	"set null": {
		category("redact: {after: P1D, columns: {a: {set: null}, b: {set: [1]}, c: {set: {x: 1}}}, set: {d: null, e: [1]}}"),
		[]string{
			`p.yaml:6:45: no value; write "null" instead of {set: …} to set the column to NULL`,
			`p.yaml:6:56: "set" takes true or false or a number or a text, not a list`,
			`p.yaml:6:71: "set" takes true or false or a number or a text, not a mapping`,
			`p.yaml:6:95: no value; write d: "null" under columns to set the column to NULL`,
			`p.yaml:6:101: "e" takes true or false or a number or a text, not a list`,
		},
	},
	"set NUL": {
		category(`redact: {after: P1D, columns: {a: {set: "x\0"}, b: {hmac: "%s\0"}}}`),
		[]string{
			"p.yaml:6:45: control character U+0000 in a value; PostgreSQL cannot hold it",
			"p.yaml:6:63: control character U+0000 in a value; PostgreSQL cannot hold it",
		},
	},
	"hmac formats": {
		category("redact: {after: P1D, columns: {a: {hmac: x}, b: {hmac: '%s%s'}, c: {hmac: '%s%d'}, d: {hmac: '%%s'}, e: {hmac: 5}}}"),
		[]string{
			`p.yaml:6:46: "x": a hmac format holds exactly one %s and no other %`,
			`p.yaml:6:60: "%s%s": a hmac format holds exactly one %s and no other %`,
			`p.yaml:6:79: "%s%d": a hmac format holds exactly one %s and no other %`,
			`p.yaml:6:98: "%%s": a hmac format holds exactly one %s and no other %`,
			`p.yaml:6:116: "hmac" takes a text, not a number`,
		},
	},
	"redact start and tenant": {
		category("tenant: t", "redact: {after: P1D, columns: {at: zero, t: {set: x}}, set: {x: 1}}"),
		[]string{
			`p.yaml:7:36: "at" is the start column; without it the row would never be due again`,
			`p.yaml:7:46: "t" is the tenant column; without it holds and windows of the tenant would no longer apply`,
		},
	},
	"set start and tenant": {
		category("tenant: t", "redact: {after: P1D, columns: {x: zero}, set: {at: x, t: 1}}"),
		[]string{
			`p.yaml:7:52: "at" is the start column; without it the row would never be due again`,
			`p.yaml:7:59: "t" is the tenant column; without it holds and windows of the tenant would no longer apply`,
		},
	},
	"redacted and set": {
		category("redact:", "  after: P1D", "  columns:", "    a: zero", "  set:", "    a: 1"),
		[]string{
			`p.yaml:11:9: "a" is redacted and set (redacted at line 9); give it once`,
		},
	},
	"redact column names": {
		category(`redact: {after: P1D, columns: {"": zero, "a\tb": zero, "` + many("x", 64) + `": zero}, set: {"c\u200d": 1}}`),
		[]string{
			"p.yaml:6:36: a column name is missing",
			"p.yaml:6:46: control character U+0009 in the column name",
			`p.yaml:6:60: the column name "` + many("x", 64) + `" has 64 bytes; PostgreSQL names have at most 63`,
			"p.yaml:6:141: invisible character U+200D in the column name",
		},
	},
	"where is SQL": {
		category(`where: "1=1; delete from x"`, "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:12: where is a list of conditions, not SQL: "1=1; delete from x"`,
		},
	},
	"where empty": {
		category("where: []", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:5: "where" is empty; give it a value or remove it`,
		},
	},
	"where is a mapping": {
		category("where: {column: a, op: eq, value: 1}", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:5: "where" takes a list, not a mapping`,
		},
	},
	"where shapes": {
		category("where: [{column: a, op: eq}, {column: a, op: eq, value: [1]}, {column: a, op: ne, value: [1]}, {column: a, op: lt, value: [1]}, {column: a, op: in, value: 1}, {column: a, op: in, value: []}, {column: a, op: not_in}]", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:13: eq takes a value; add value:",
			"p.yaml:6:54: eq takes one value, not a list; write op: in",
			"p.yaml:6:87: ne takes one value, not a list; write op: not_in",
			"p.yaml:6:120: lt takes one value, not a list",
			"p.yaml:6:160: in takes a list; write value: [1]",
			"p.yaml:6:184: in takes a list with at least one value",
			"p.yaml:6:196: not_in takes a list; add value: [a, b]",
		},
	},
	"where null": {
		category("where: [{column: a, op: eq, value: null}, {column: a, op: in, value: [1, null]}, {column: a, op: is_null, value: 1}, {column: a, op: not_null, value: ~}]", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:40: NULL equals nothing; write op: is_null or not_null, or "null" in quotes for that text`,
			`p.yaml:6:78: NULL equals nothing; write op: is_null or not_null, or "null" in quotes for that text`,
			"p.yaml:6:111: is_null takes no value; remove it",
			"p.yaml:6:148: not_null takes no value; remove it",
		},
	},
	"where keys": {
		category("where: [{column: a}, {op: eq, value: 1}, {column: a, op: equals, value: 1}, {column: a, op: IN, value: [1]}, {colum: a, op: eq, value: 1}, 5, {column: a, op: eq, value: {x: 1}}, {column: a, op: in, value: [[1]]}]", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:13: "op" is missing in an item of "where"`,
			`p.yaml:6:26: "column" is missing in an item of "where"`,
			`p.yaml:6:62: unknown value "equals"; known here: eq, ne, in, not_in, lt, le, gt, ge, is_null, not_null`,
			`p.yaml:6:97: unknown value "IN"; did you mean "in"?`,
			`p.yaml:6:114: "column" is missing in an item of "where"`,
			`p.yaml:6:115: unknown key "colum"; did you mean "column"?`,
			`p.yaml:6:144: an item of "where" takes a mapping, not a number`,
			`p.yaml:6:167: "value" takes true or false or a number or a text, not a mapping`,
			`p.yaml:6:211: an item of "value" takes true or false or a number or a text, not a list`,
		},
	},
	"where numbers": {
		category("where: [{column: a, op: in, value: [0123, 0x1f, 1_000, +5, .5, 5., .inf, .nan, 99999999999999999999, 1e999, -0, 0o17]}]", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:41: "0123" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:47: "0x1f" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:53: "1_000" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:60: "+5" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:64: ".5" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:68: "5." may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:72: ".inf" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:78: ".nan" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:84: "99999999999999999999" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:106: "1e999" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:113: "-0" may be read as more than one number; write it plainly, or quote it if it is a text`,
			`p.yaml:6:117: "0o17" may be read as more than one number; write it plainly, or quote it if it is a text`,
		},
	},
	"start mapping": {
		"version: 1\n" +
			"categories:\n" +
			"  a: {table: a.b, start_from: {}, delete: {after: P1D}}\n" +
			"  b: {table: a.b, start_from: {event: x}, delete: {after: P1D}}\n" +
			"  c: {table: a.b, start_from: [x], delete: {after: P1D}}\n" +
			"  d: {table: a.b, start_from: '', delete: {after: P1D}}\n" +
			"  e: {table: a.b, start_from:, delete: {after: P1D}}\n" +
			"  f: {table: a.b, start_from: 5, delete: {after: P1D}}\n",
		[]string{
			`p.yaml:3:19: "column" is missing in "start_from"`,
			`p.yaml:4:19: "column" is missing in "start_from"`,
			`p.yaml:5:19: "start_from" takes a text or a mapping, not a list`,
			"p.yaml:6:31: a column name is missing",
			`p.yaml:7:19: "start_from" takes a text or a mapping, not an empty value`,
			`p.yaml:8:31: "start_from" takes a text or a mapping, not a number`,
		},
	},
	"choices": {
		category("delete: {after: P5Y}", "partitions: dropp", "manifest: 5", "evidence: rows", "mode: dry", "enabled: yes"),
		[]string{
			`p.yaml:7:17: unknown value "dropp"; did you mean "drop"?`,
			"p.yaml:8:15: 5 cannot stand here; write one of none, count, digest",
			`p.yaml:9:15: unknown value "rows"; did you mean "row"?`,
			`p.yaml:10:11: unknown value "dry"; known here: enforce, observe`,
			`p.yaml:11:14: "yes" is a text; write true or false`,
		},
	},
	"enabled": {
		category("delete: {after: P5Y}", "enabled: 1"),
		[]string{
			`p.yaml:7:14: "enabled" takes true or false, not a number`,
		},
	},
	"limits": {
		category("delete: {after: P5Y}", "limits: {max_share: 1.5}"),
		[]string{
			`p.yaml:7:25: "max_share" is at most 1, not 1.5`,
		},
	},
	"limits below": {
		category("delete: {after: P5Y}", "limits: {max_share: -1}"),
		[]string{
			`p.yaml:7:25: "max_share" is at least 0, not -1`,
		},
	},
	"limits empty": {
		category("delete: {after: P5Y}", "limits: {}"),
		[]string{
			`p.yaml:7:5: "limits" is empty; give it a value or remove it`,
		},
	},
	"limits text": {
		category("delete: {after: P5Y}", "limits: {max_share: 20%}"),
		[]string{
			`p.yaml:7:25: "max_share" takes a number, not a text`,
		},
	},
	"schedule: cron fields": {
		category("delete: {after: P5Y}", `schedule: "0 3 * *"`),
		[]string{
			`p.yaml:7:15: "0 3 * *" has 4 cron fields; write five, e.g. "0 3 * * *", or {every: 1h}`,
		},
	},
	"schedule: cron range": {
		category("delete: {after: P5Y}", `schedule: "60 3 * * *"`),
		[]string{
			`p.yaml:7:15: "60" is no minute of a cron schedule (0 to 59)`,
		},
	},
	"schedule: cron month": {
		category("delete: {after: P5Y}", `schedule: "0 3 * 13 *"`),
		[]string{
			`p.yaml:7:15: "13" is no month of a cron schedule (1 to 12)`,
		},
	},
	"schedule: cron step": {
		category("delete: {after: P5Y}", `schedule: "*/0 3 * * *"`),
		[]string{
			`p.yaml:7:15: "*/0" is no minute of a cron schedule (0 to 59)`,
		},
	},
	"schedule: cron never": {
		category("delete: {after: P5Y}", `schedule: "0 3 30 2 *"`),
		[]string{
			`p.yaml:7:15: "0 3 30 2 *" never comes; no month has that day`,
		},
	},
	"schedule: cron words": {
		category("delete: {after: P5Y}", "schedule: daily at three"),
		[]string{
			`p.yaml:7:15: "daily at three" has 3 cron fields; write five, e.g. "0 3 * * *", or {every: 1h}`,
		},
	},
	"schedule: every unit": {
		category("delete: {after: P5Y}", "schedule: {every: 1 day}"),
		[]string{
			`p.yaml:7:23: "1 day" is not a duration of a second or more; write e.g. 1h or 30m`,
		},
	},
	"schedule: every negative": {
		category("delete: {after: P5Y}", "schedule: {every: -1h}"),
		[]string{
			`p.yaml:7:23: "-1h" is not a duration of a second or more; write e.g. 1h or 30m`,
		},
	},
	"schedule: every number": {
		category("delete: {after: P5Y}", "schedule: {every: 5}"),
		[]string{
			`p.yaml:7:23: "every" takes a text, not a number`,
		},
	},
	"schedule: every missing": {
		category("delete: {after: P5Y}", "schedule: {}"),
		[]string{
			`p.yaml:7:5: "every" is missing in "schedule"`,
		},
	},
	"schedule: number": {
		category("delete: {after: P5Y}", "schedule: 5"),
		[]string{
			`p.yaml:7:15: "schedule" takes a text or a mapping, not a number`,
		},
	},
	"schedule: empty": {
		category("delete: {after: P5Y}", `schedule: ""`),
		[]string{
			`p.yaml:7:15: "" has 0 cron fields; write five, e.g. "0 3 * * *", or {every: 1h}`,
		},
	},
}
