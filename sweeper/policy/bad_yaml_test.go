package policy

// badYAML: what is wrong before a policy is read.
var badYAML = map[string]bad{
	"empty": {
		"",
		[]string{
			`p.yaml:1:1: empty; write "version: 1" and at least one category`,
		},
	},
	"only comments": {
		"# nothing\n---\n",
		[]string{
			`p.yaml:1:1: empty; write "version: 1" and at least one category`,
		},
	},
	"nothing but text": {
		"hello\n",
		[]string{
			`p.yaml:1:1: the file holds "hello"; write "version: 1" and categories`,
		},
	},
	"a list": {
		"- a\n",
		[]string{
			`p.yaml:1:1: the file holds a list; write "version: 1" and categories`,
		},
	},
	"tab": {
		"version: 1\ncategories:\n\tc:\n",
		[]string{
			"p.yaml:3:1: not valid YAML: found a tab; indent with spaces",
		},
	},
	"broken flow": {
		category("delete: {after: P5Y"),
		[]string{
			"p.yaml:6:13: not valid YAML: could not find flow mapping end token '}'",
		},
	},
	"unclosed quote": {
		category("delete: {after: 'P5Y}"),
		[]string{
			"p.yaml:6:21: not valid YAML: could not find end character of single-quoted text",
		},
	},
	"quoted parts of a table": {
		withTable(`table: "KYC"."a.b"`),
		[]string{
			"p.yaml:4:17: not valid YAML: text goes on after the closing quote; put single quotes around the whole",
		},
	},
	"a row of brackets": {
		many("[]", 1<<16),
		[]string{"p.yaml:1:3: not valid YAML: value is not allowed in this context"},
	},
	"a row of quotes": {
		"a: " + many(`"`, 1<<20-3),
		[]string{
			"p.yaml:1:6: not valid YAML: text goes on after the closing quote; put single quotes around the whole",
		},
	},
	"colon in text": {
		category("notes: see: this", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:12: not valid YAML: mapping value is not allowed in this context",
		},
	},
	"two documents": {
		category("delete: {after: P5Y}") + "---\nversion: 1\n",
		[]string{
			"p.yaml:7:1: only one document per file; move what follows to a file of its own",
		},
	},
	"two documents after an end": {
		category("delete: {after: P5Y}") + "...\nversion: 1\n",
		[]string{
			"p.yaml:8:1: only one document per file; move what follows to a file of its own",
		},
	},
	"two headers": {
		"---\n---\nversion: 1\n",
		[]string{
			"p.yaml:2:1: only one document per file; move what follows to a file of its own",
		},
	},
	"anchor alias merge tag": {
		category("delete: &d {after: P5Y}", "redact: *d", "<<: *d", "notes: !!str 5", "? basis", ": x"),
		[]string{
			`p.yaml:6:13: anchors are not allowed; write the value out, or quote a text that begins with "&"`,
			`p.yaml:7:13: aliases are not allowed; write the value out, or quote a text that begins with "*"`,
			"p.yaml:8:5: merge keys are not allowed; write the keys out",
			`p.yaml:8:9: aliases are not allowed; write the value out, or quote a text that begins with "*"`,
			`p.yaml:9:12: tags are not allowed; remove it, or quote a text that begins with "!"`,
			`p.yaml:10:5: keys written with "?" are not allowed; write "key: value"`,
		},
	},
	"cron without quotes": {
		category("schedule: * * * * *", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:15: aliases are not allowed; write the value out, or quote a text that begins with "*"`,
		},
	},
	"directive": {
		"%YAML 1.2\n---\nversion: 1\n",
		[]string{
			`p.yaml:1:1: YAML directives are not allowed; remove it, or quote a text that begins with "%"`,
			"p.yaml:2:1: only one document per file; move what follows to a file of its own",
		},
	},
	"deep flow": {
		category("where: " + many("[", 40) + many("]", 40)),
		[]string{
			"p.yaml:6:29: nested deeper than 20 levels",
		},
	},
	"deep list": {
		"a: " + many("- ", 1<<16) + "x\n",
		[]string{
			"p.yaml:1:42: nested deeper than 20 levels",
		},
	},
	"deep list alone": {
		many("- ", 1<<16) + "x\n",
		[]string{
			"p.yaml:1:41: nested deeper than 20 levels",
		},
	},
	"deep flow unclosed": {
		many("[", 1<<17),
		[]string{
			"p.yaml:1:21: nested deeper than 20 levels",
		},
	},
	"deep mapping": {
		deepMapping(30),
		[]string{
			"p.yaml:21:22: nested deeper than 20 levels",
		},
	},
	"too many keys": {
		many("a: 1\n", 200000),
		[]string{
			"p.yaml:20001:2: more than 20000 keys in one mapping; split the file",
		},
	},
	"over a mebibyte": {
		many("#", 1<<20+1),
		[]string{
			"p.yaml:1:1: 1048577 bytes; the limit is 1 MiB (1048576 bytes), split the file",
		},
	},
	"not UTF-8": {
		category("notes: caf\xe9", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:15: not UTF-8 at byte 15 of the line; save the file as UTF-8",
		},
	},
	"NUL": {
		category("notes: a\x00b", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:13: control character U+0000; remove it",
		},
	},
	"escape sequence": {
		category("notes: \x1b[2J", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:12: control character U+001B; remove it",
		},
	},
	"lone carriage return": {
		"version: 1\rcategories: {}\n",
		[]string{
			"p.yaml:1:11: control character U+000D; remove it",
		},
	},
	"reversed text": {
		category("notes: a\u202eb", "delete: {after: P5Y}"),
		[]string{
			"p.yaml:6:13: invisible character U+202E; remove it",
		},
	},
	"unknown key": {
		category("retentoin: P5Y", "delte: {after: P5Y}", "delete: {after: P5Y, befor: x}"),
		[]string{
			`p.yaml:6:5: unknown key "retentoin"; did you mean "delete"?`,
			`p.yaml:7:5: unknown key "delte"; did you mean "delete"?`,
			`p.yaml:8:26: unknown key "befor"; known here: after`,
		},
	},
	"unknown key at the top": {
		"verson: 1\n" + category("delete: {after: P5Y}"),
		[]string{
			`p.yaml:1:1: unknown key "verson"; did you mean "version"?`,
		},
	},
	"duplicate key": {
		category("delete: {after: P5Y}", "table: x.y", "delete: {after: P6Y, after: P7Y}"),
		[]string{
			`p.yaml:7:5: "table" is given twice (first at line 4)`,
			`p.yaml:8:5: "delete" is given twice (first at line 6)`,
		},
	},
	"duplicate category": {
		category("delete: {after: P5Y}") + "  c: {table: a.b, start_from: at, delete: {after: P5Y}}\n",
		[]string{
			`p.yaml:7:3: "c" is given twice (first at line 3)`,
		},
	},
	"key is no text": {
		category("redact: {after: P1D, columns: {1: zero, true: zero, ~: zero}}"),
		[]string{
			`p.yaml:6:36: "1" is not a text; quote the key`,
			`p.yaml:6:45: "true" is not a text; quote the key`,
			`p.yaml:6:57: "null" is not a text; quote the key`,
		},
	},
	"version missing": {
		"categories:\n  c: {table: a.b, start_from: at, delete: {after: P5Y}}\n",
		[]string{
			`p.yaml:1:1: "version" is missing; write "version: 1"`,
		},
	},
	"version unknown": {
		"version: 9\ncategories:\n  c: {table: a.b, start_from: at, delete: {after: P5Y}}\n",
		[]string{
			"p.yaml:1:10: version 9 is not known; this binary reads 1",
		},
	},
	"version is a text": {
		"version: '1'\ncategories:\n  c: {table: a.b, start_from: at, delete: {after: P5Y}}\n",
		[]string{
			"p.yaml:1:10: version is a number; write 1 without quotes",
		},
	},
	"no categories": {
		"version: 1\n",
		[]string{
			"p.yaml:1:1: no category; write at least one under categories:",
		},
	},
	"categories without value": {
		"version: 1\ncategories:\n",
		[]string{
			"p.yaml:2:1: no category; write at least one under categories:",
		},
	},
	"categories empty": {
		"version: 1\ncategories: {}\n",
		[]string{
			"p.yaml:2:1: no category; write at least one under categories:",
		},
	},
	"categories are a list": {
		"version: 1\ncategories: [a]\n",
		[]string{
			`p.yaml:2:1: "categories" takes a mapping, not a list`,
		},
	},
	"category without value": {
		"version: 1\ncategories:\n  c:\n",
		[]string{
			`p.yaml:3:3: category "c" is empty; it needs table, start_from, and restrict, redact or delete`,
		},
	},
	"category is a text": {
		"version: 1\ncategories:\n  c: x\n",
		[]string{
			`p.yaml:3:6: "c" takes a mapping, not a text`,
		},
	},
	"category names": {
		"version: 1\n" +
			"categories:\n" +
			"  Kyc: {table: a.b, start_from: at, delete: {after: P5Y}}\n" +
			"  9a: {table: a.b, start_from: at, delete: {after: P5Y}}\n" +
			"  \"a\\u200b\": {table: a.b, start_from: at, delete: {after: P5Y}}\n",
		[]string{
			`p.yaml:3:3: category name "Kyc": write a lower-case letter, then lower-case letters, digits and _, at most 63`,
			`p.yaml:4:3: category name "9a": write a lower-case letter, then lower-case letters, digits and _, at most 63`,
			`p.yaml:5:3: category name "a\u200b": write a lower-case letter, then lower-case letters, digits and _, at most 63`,
		},
	},
	"table and disposition missing": {
		"version: 1\ncategories:\n  c: {notes: x}\n",
		[]string{
			`p.yaml:3:3: category "c" has no table; write table: schema.name`,
			`p.yaml:3:3: "c" needs at least one of restrict, redact, delete`,
		},
	},
	"start missing": {
		"version: 1\ncategories:\n  c: {table: a.b, delete: {after: P5Y}}\n",
		[]string{
			`p.yaml:3:3: category "c" has no start_from; name the column that retention is counted from`,
		},
	},
}
