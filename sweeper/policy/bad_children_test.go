package policy

// badChildren: what the children of a category forbid.
var badChildren = map[string]bad{
	"children shapes": {
		category("delete: {after: P5Y}", "children: [{}, 5, {table: x.c}, {match: {a: b}}, {table: c, match: {a: b}}, {table: x.c, match: {}}, {table: x.d, match: {a: 5}}, {table: x.e, match: [a]}]"),
		[]string{
			`p.yaml:7:16: "table" is missing in an item of "children"`,
			`p.yaml:7:16: "match" is missing in an item of "children"`,
			`p.yaml:7:20: an item of "children" takes a mapping, not a number`,
			`p.yaml:7:23: "match" is missing in an item of "children"`,
			`p.yaml:7:37: "table" is missing in an item of "children"`,
			`p.yaml:7:62: write schema and table: "public.c"`,
			`p.yaml:7:94: "match" is empty; give it a value or remove it`,
			`p.yaml:7:130: "a" takes a text, not a number`,
			`p.yaml:7:148: "match" takes a mapping, not a list`,
		},
	},
	"children is a mapping": {
		category("delete: {after: P5Y}", "children: {table: x.c, match: {a: b}}"),
		[]string{
			`p.yaml:7:5: "children" takes a list, not a mapping`,
		},
	},
	"children empty": {
		category("delete: {after: P5Y}", "children: []"),
		[]string{
			`p.yaml:7:5: "children" is empty; give it a value or remove it`,
		},
	},
	"children choices": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: b}, on: remove, action: cascade}, {table: x.d, match: {a: b}, acton: keep}]"),
		[]string{
			`p.yaml:7:48: unknown value "remove"; known here: delete, redact`,
			`p.yaml:7:64: unknown value "cascade"; known here: delete, nullify, redact, keep`,
			`p.yaml:7:102: unknown key "acton"; did you mean "action"?`,
		},
	},
	"children match": {
		category("delete: {after: P5Y}", `children: [{table: x.c, match: {a: id, b: id}}, {table: x.d, match: {"": id, b: "c\td"}}]`),
		[]string{
			"p.yaml:7:74: a column name is missing",
			"p.yaml:7:85: control character U+0009 in the column name",
		},
	},
	"child twice": {
		category("delete: {after: P5Y}", "children:", "  - {table: x.c, match: {a: id}}", "  - {table: x.c, match: {b: id}}", "  - {table: x.c, match: {a: id}, action: nullify}"),
		[]string{
			`p.yaml:10:9: "x.c" is listed twice with the same match and on (first at line 8); give it once`,
		},
	},
	"child on redact": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: id}, on: redact}]"),
		[]string{
			`p.yaml:7:49: on: redact follows the redaction of category "c", which has none; write on: delete, or add redact`,
		},
	},
	"child redact without columns": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: id}, action: redact}]"),
		[]string{
			`p.yaml:7:16: action redact needs columns; write columns: {name: "null"}`,
		},
	},
	"child columns without redact": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: id}, columns: {b: zero}, set: {c: 1}}, {table: x.d, match: {a: id}, action: nullify, set: {c: 1}}]"),
		[]string{
			"p.yaml:7:45: action delete takes no columns; write action: redact, or remove it",
			"p.yaml:7:65: action delete takes no set; write action: redact, or remove it",
			"p.yaml:7:125: action nullify takes no set; write action: redact, or remove it",
		},
	},
	"child redacts nothing": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: id}, action: redact, columns: {b: keep}}]"),
		[]string{
			"p.yaml:7:61: every column is kept, so redact changes nothing; write action: keep or redact a column",
		},
	},
	"child redacts its match": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: id}, action: redact, columns: {a: zero, b: nul}, set: {a: 1}}]"),
		[]string{
			`p.yaml:7:71: "a" leads to the parent; without it the row would belong to nobody, and action: nullify says that`,
			`p.yaml:7:83: "nul" is no redaction; write "null", zero, keep, {set: value}, {hmac: "redacted-%s"}, {truncate: year}, {mask: {keep_last: 2}} or {json: {$.a: remove}}`,
			`p.yaml:7:95: "a" is redacted and set (redacted at line 7); give it once`,
			`p.yaml:7:95: "a" leads to the parent; without it the row would belong to nobody, and action: nullify says that`,
		},
	},
	"child objects": {
		category("delete: {after: P5Y}", "children: [{table: x.c, match: {a: id}, action: keep, objects: {column: k, bucket: b}}, {table: x.d, match: {a: id}, objects: {column: k}}, {table: x.e, match: {a: id}, objects: {column: '', bucket: ''}}]"),
		[]string{
			"p.yaml:7:59: objects go with rows that are deleted or redacted, and action keep does neither; remove them",
			`p.yaml:7:122: "bucket" is missing in "objects"`,
			"p.yaml:7:192: a column name is missing",
			`p.yaml:7:204: "bucket" is empty; give it a value or remove it`,
		},
	},
	"children of children": {
		category("redact: {after: P1D, columns: {x: zero}}", "delete: {after: P5Y}", "children:", "  - table: x.c", "    match: {a: id}", "    children:", "      - {table: x.d, match: {c: id}, on: redact}", "  - table: x.e", "    match: {a: id}", "    action: redact", "    columns: {n: zero}", "    children:", "      - {table: x.f, match: {e: id}}", "  - table: x.g", "    match: {a: id}", "    action: nullify", "    children:", "      - {table: x.h, match: {g: id}}"),
		[]string{
			`p.yaml:12:46: on: redact follows a redaction, and the rows above "x.d" are deleted; write on: delete`,
			`p.yaml:18:13: on: delete follows a deletion, and the rows above "x.f" are redacted; write on: redact`,
			`p.yaml:23:13: the rows of the table above "x.h" stay and are not redacted, so that nothing can follow them; remove it`,
		},
	},
	"children in a circle": {
		category("delete: {after: P5Y}", "children:", "  - table: x.c", "    match: {a: id}", "    children:", "      - {table: a.b, match: {c: id}}", "      - {table: x.c, match: {up: id}}"),
		[]string{
			`p.yaml:11:13: "a.b" is above itself, as a child of its own child; tables in a circle cannot be ordered (a table that refers to itself can)`,
		},
	},
}
