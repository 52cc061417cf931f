package policy

// badNames: zones, names, texts and periods.
var badNames = map[string]bad{
	"timezone unknown": {
		"timezone: Mars/Base\n" + category("delete: {after: P5Y}"),
		[]string{
			`p.yaml:1:11: unknown time zone "Mars/Base"; write an IANA name, e.g. "Europe/Berlin"`,
		},
	},
	"timezone Local": {
		"timezone: Local\n" + category("delete: {after: P5Y}"),
		[]string{
			`p.yaml:1:11: unknown time zone "Local"; write an IANA name, e.g. "Europe/Berlin"`,
		},
	},
	"timezone is a path": {
		"timezone: ../UTC\n" + category("delete: {after: P5Y}"),
		[]string{
			`p.yaml:1:11: unknown time zone "../UTC"; write an IANA name, e.g. "Europe/Berlin"`,
		},
	},
	"timezone is a number": {
		"timezone: 1\n" + category("delete: {after: P5Y}"),
		[]string{
			`p.yaml:1:11: "timezone" takes a text, not a number`,
		},
	},
	"table without schema": {
		withTable("table: users"),
		[]string{
			`p.yaml:4:12: write schema and table: "public.users"`,
		},
	},
	"table with three parts": {
		withTable("table: db.kyc.users"),
		[]string{
			`p.yaml:4:12: "db.kyc.users" has 3 parts; write schema.table, and in double quotes a part that holds a dot`,
		},
	},
	"table is a number": {
		withTable("table: 12"),
		[]string{
			`p.yaml:4:12: "table" takes a text, not a number`,
		},
	},
	"table is empty": {
		withTable("table: ''"),
		[]string{
			`p.yaml:4:12: write schema and table: "public."`,
		},
	},
	"table is ambiguous number": {
		withTable("table: 0123"),
		[]string{
			`p.yaml:4:12: "0123" may be read as more than one number; write it plainly, or quote it if it is a text`,
		},
	},
	"table with a blank": {
		withTable("table: kyc. users"),
		[]string{
			`p.yaml:4:12: "kyc. users" is not a table name; put the whole part in double quotes`,
		},
	},
	"table quote open": {
		withTable("table: '\"kyc.users'"),
		[]string{
			`p.yaml:4:12: ""kyc.users" is not a table name; write schema.table, or "schema"."table" with both quotes`,
		},
	},
	"table quote inside": {
		withTable("table: 'kyc.us\"ers'"),
		[]string{
			`p.yaml:4:12: "kyc.us"ers" is not a table name; put the whole part in double quotes`,
		},
	},
	"table too long": {
		withTable("table: kyc." + many("x", 70)),
		[]string{
			`p.yaml:4:12: the table name "` + many("x", 70) + `" has 70 bytes; PostgreSQL names have at most 63`,
		},
	},
	"table too long in bytes": {
		withTable("table: kyc." + many("é", 32)),
		[]string{
			`p.yaml:4:12: the table name "` + many("é", 32) + `" has 64 bytes; PostgreSQL names have at most 63`,
		},
	},
	"table in pg_catalog": {
		withTable("table: pg_catalog.pg_class"),
		[]string{
			`p.yaml:4:12: schema "pg_catalog" is protected; policies apply to the application's tables`,
		},
	},
	"table of our own": {
		withTable("table: '\"sweeper\".purge_log'"),
		[]string{
			`p.yaml:4:12: schema "sweeper" is protected; policies apply to the application's tables`,
		},
	},
	"table with an empty part": {
		withTable("table: kyc."),
		[]string{
			"p.yaml:4:12: a table name is missing",
		},
	},
	"table with an invisible character": {
		withTable("table: \"kyc.a\\u200bb\""),
		[]string{
			"p.yaml:4:12: invisible character U+200B in the table name",
		},
	},
	"table with a control character": {
		withTable("table: \"kyc.a\\x07b\""),
		[]string{
			"p.yaml:4:12: control character U+0007 in the table name",
		},
	},
	"table with a filler": {
		withTable("table: \"kyc.a\\u3164b\""),
		[]string{
			"p.yaml:4:12: invisible character U+3164 in the table name",
		},
	},
	"columns of 64 bytes": {
		category("subject: "+many("s", 64), "tenant: "+many("é", 32), "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:14: the column name "` + many("s", 64) + `" has 64 bytes; PostgreSQL names have at most 63`,
			`p.yaml:7:13: the column name "` + many("é", 32) + `" has 64 bytes; PostgreSQL names have at most 63`,
		},
	},
	"columns wrong": {
		category("subject: [id]", "tenant: ''", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:5: "subject" takes a text, not a list`,
			"p.yaml:7:13: a column name is missing",
		},
	},
	"text controls": {
		category(`notes: "a\u0007"`, `basis: "a\nb"`, "description: ' '", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:12: control character U+0007 in "notes"; remove it`,
			`p.yaml:7:12: "basis" takes one line`,
			`p.yaml:8:18: "description" is blank; give it a value or remove it`,
		},
	},
	"texts of the wrong type": {
		category("notes: 5", "basis: [a]", "description:", "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:12: "notes" takes a text, not a number`,
			`p.yaml:7:5: "basis" takes a text, not a list`,
			`p.yaml:8:5: "description" takes a text, not an empty value`,
		},
	},
	"basis too long": {
		category("basis: "+many("x", 501), "delete: {after: P5Y}"),
		[]string{
			`p.yaml:6:12: "basis" has 501 characters; the limit is 500`,
		},
	},
	"period: misspelt unit": {
		category("delete: {after: 5 yeers}"),
		[]string{
			`p.yaml:6:21: "5 yeers" is not a period; write e.g. P5Y, "18 months", "90 days"`,
		},
	},
	"period: bare number": {
		category("delete: {after: 5}"),
		[]string{
			`p.yaml:6:21: a unit is missing: "5 years"? "5 days"?`,
		},
	},
	"period: quoted bare number": {
		category("delete: {after: '5'}"),
		[]string{
			`p.yaml:6:21: a unit is missing: "5 years"? "5 days"?`,
		},
	},
	"period: negative": {
		category("delete: {after: -5 years}"),
		[]string{
			`p.yaml:6:21: "-5 years" has a sign; a period is counted forward, write e.g. "5 years"`,
		},
	},
	"period: negative number": {
		category("delete: {after: -5}"),
		[]string{
			`p.yaml:6:21: "-5" has a sign; a period is counted forward, write e.g. "5 years"`,
		},
	},
	"period: zero words": {
		category("delete: {after: 0 days}"),
		[]string{
			`p.yaml:6:21: "0 days" is zero; write P0D if rows are to go as soon as they start`,
		},
	},
	"period: zero ISO": {
		category("delete: {after: P0Y}"),
		[]string{
			`p.yaml:6:21: "P0Y" is zero; write P0D if rows are to go as soon as they start`,
		},
	},
	"period: mixed signs": {
		category("delete: {after: 1 year -400 days}"),
		[]string{
			`p.yaml:6:21: "1 year -400 days" has a sign; a period is counted forward, write e.g. "5 years"`,
		},
	},
	"period: fraction": {
		category("delete: {after: 1.5 years}"),
		[]string{
			`p.yaml:6:21: "1.5 years" has a fraction; write whole parts, e.g. "18 months"`,
		},
	},
	"period: ISO fraction": {
		category("delete: {after: P1.5Y}"),
		[]string{
			`p.yaml:6:21: "P1.5Y" has a fraction; write whole parts, e.g. "18 months"`,
		},
	},
	"period: number fraction": {
		category("delete: {after: 1.5}"),
		[]string{
			`p.yaml:6:21: "1.5" has a fraction; write whole parts, e.g. "18 months"`,
		},
	},
	"period: too long": {
		category("delete: {after: 5000 years}"),
		[]string{
			`p.yaml:6:21: "5000 years" is longer than 200 years; write unlimited to keep for ever`,
		},
	},
	"period: too long sum": {
		category("delete: {after: P199Y400D}"),
		[]string{
			`p.yaml:6:21: "P199Y400D" is longer than 200 years; write unlimited to keep for ever`,
		},
	},
	"period: overflow": {
		category("delete: {after: P99999999999999999999Y}"),
		[]string{
			`p.yaml:6:21: "P99999999999999999999Y" is longer than 200 years; write unlimited to keep for ever`,
		},
	},
	"period: time part": {
		category("delete: {after: 1 hour}"),
		[]string{
			`p.yaml:6:21: "1 hour" has a time part; the shortest period is 1 day`,
		},
	},
	"period: ISO time part": {
		category("delete: {after: PT1H}"),
		[]string{
			`p.yaml:6:21: "PT1H" has a time part; the shortest period is 1 day`,
		},
	},
	"period: zero time part": {
		category("delete: {after: PT0S}"),
		[]string{
			`p.yaml:6:21: "PT0S" has a time part; the shortest period is 1 day`,
		},
	},
	"period: only P": {
		category("delete: {after: P}"),
		[]string{
			`p.yaml:6:21: "P" is not a period; write e.g. P5Y, "18 months", "90 days"`,
		},
	},
	"period: wrong order": {
		category("delete: {after: P1D1Y}"),
		[]string{
			`p.yaml:6:21: "P1D1Y" is not a period; write e.g. P5Y, "18 months", "90 days"`,
		},
	},
	"period: lower case": {
		category("delete: {after: p5y}"),
		[]string{
			`p.yaml:6:21: "p5y" is not a period; write e.g. P5Y, "18 months", "90 days"`,
		},
	},
	"period: empty": {
		category("delete: {after: ''}"),
		[]string{
			`p.yaml:6:21: a period is missing; write e.g. P5Y or "90 days"`,
		},
	},
	"period: null": {
		category("delete: {after: null}"),
		[]string{
			`p.yaml:6:21: "after" takes a text, not an empty value`,
		},
	},
	"period: list": {
		category("delete: {after: [P5Y]}"),
		[]string{
			`p.yaml:6:14: "after" takes a text, not a list`,
		},
	},
	"period: twice a unit": {
		category("delete: {after: 1 year 2 years}"),
		[]string{
			`p.yaml:6:21: "1 year 2 years" gives years twice`,
		},
	},
	"period: control character": {
		category(`delete: {after: "5 years\x00"}`),
		[]string{
			"p.yaml:6:21: control character U+0000 in a period",
		},
	},
	"period: boolean": {
		category("delete: {after: true}"),
		[]string{
			`p.yaml:6:21: "after" takes a text, not true or false`,
		},
	},
	"period: Unlimited": {
		category("delete: {after: Unlimited}"),
		[]string{
			`p.yaml:6:21: "Unlimited" is not a period; write e.g. P5Y, "18 months", "90 days"`,
		},
	},
	"period: ambiguous number": {
		category("delete: {after: 0123}"),
		[]string{
			`p.yaml:6:21: "0123" may be read as more than one number; write it plainly, or quote it if it is a text`,
		},
	},
	"period: number with exponent": {
		category("delete: {after: 1e3}"),
		[]string{
			`p.yaml:6:21: a unit is missing: "1000 years"? "1000 days"?`,
		},
	},
}
