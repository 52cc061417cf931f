package policy

// bothOver wraps the keys of two categories over one table, on lines 3 and 4.
func bothOver(a, b string) string {
	return "version: 1\ncategories:\n  a: {table: x.y, " + a + "}\n  b: {table: x.y, " + b + "}\n"
}

// badTogether: what a basis forbids its category, and categories each other.
var badTogether = map[string]bad{
	"basis misspelt": {
		category("delete: {after: P5Y}", "basis: aml_ue"),
		[]string{
			`p.yaml:7:12: unknown regulation "aml_ue"; did you mean "aml_eu"? (free text of several words is taken as it is)`,
		},
	},
	"basis shortened": {
		category("delete: {after: P5Y}", "basis: hgb"),
		[]string{
			`p.yaml:7:12: unknown regulation "hgb"; did you mean "hgb_de"? (free text of several words is taken as it is)`,
		},
	},
	"basis in capitals": {
		category("delete: {after: P5Y}", "basis: GDPR"),
		[]string{
			`p.yaml:7:12: unknown regulation "GDPR"; did you mean "gdpr"? (free text of several words is taken as it is)`,
		},
	},
	"under the minimum": {
		category("delete: {after: P1825D}", "basis: aml_eu"),
		[]string{
			`p.yaml:6:21: delete.after P1825D is shorter than the P5Y that "aml_eu" asks for (Directive (EU) 2015/849 Art. 40(1)) for a start on 2024-01-01; keep longer, or write override: {reason, approver}`,
		},
	},
	"under the minimum at few starts": {
		category("delete: {after: P1826D}", "basis: uk_mlr"),
		[]string{
			`p.yaml:6:21: delete.after P1826D is shorter than the P5Y that "uk_mlr" asks for (SI 2017/692 reg. 40) for a start on 2024-01-01; keep longer, or write override: {reason, approver}`,
		},
	},
	"under the minimum of the event": {
		startingFrom("{column: x, event: communication_date}", "basis: sec_17a4", "delete: {after: P35M}"),
		[]string{
			`p.yaml:7:21: delete.after P35M is shorter than the P3Y that "sec_17a4" asks for (17 CFR 240.17a-4(a), (b) and (c)) for a start on 2024-01-01; keep longer, or write override: {reason, approver}`,
		},
	},
	"under the minimum of any event": {
		startingFrom("{column: x, event: other}", "basis: sec_17a4", "delete: {after: P3Y}"),
		[]string{
			`p.yaml:7:21: delete.after P3Y is shorter than the P6Y that "sec_17a4" asks for (17 CFR 240.17a-4(a), (b) and (c)) for a start on 2024-01-01; keep longer, or write override: {reason, approver}`,
		},
	},
	"redact leads to the start": {
		startingFrom("{table: c.d, column: x, match: {e: f}}", "redact: {after: P1D, columns: {f: zero, x: zero}}"),
		[]string{
			`p.yaml:6:36: "f" leads to the start in c.d; without it the row would never be due again`,
		},
	},
	"over the maximum": {
		category("delete: {after: P11Y}", "basis: aml_eu"),
		[]string{
			`p.yaml:6:21: delete.after P11Y is longer than the P10Y that "aml_eu" allows (Directive (EU) 2015/849 Art. 40(1)) for a start on 2024-01-01; keep shorter, or write override: {reason, approver}`,
		},
	},
	"over the maximum for ever": {
		category("redact: {after: P1Y, columns: {a: zero}}", "delete: {after: unlimited}", "basis: bipa"),
		[]string{
			`p.yaml:7:21: the rows stay for ever, and "bipa" allows P3Y (740 ILCS 14/15(a)); delete them in time, or write override: {reason, approver}`,
		},
	},
	"over the maximum by redaction": {
		category("redact: {after: P4Y, columns: {a: zero}}", "basis: bipa"),
		[]string{
			`p.yaml:6:21: redact.after P4Y is longer than the P3Y that "bipa" allows (740 ILCS 14/15(a)) for a start on 2024-01-01; keep shorter, or write override: {reason, approver}`,
		},
	},
	"over the maximum without an end": {
		category("restrict: {after: P1Y, columns: [a]}", "basis: cubi_tx"),
		[]string{
			`p.yaml:7:12: the rows stay for ever, and "cubi_tx" allows P1Y (Tex. Bus. & Com. Code § 503.001(c)(3)); delete them in time, or write override: {reason, approver}`,
		},
	},
	"children of each other": {
		"version: 1\n" +
			"categories:\n" +
			"  a: {table: x.a, start_from: at, delete: {after: P1D}, children: [{table: x.m, match: {a: id}, children: [{table: x.b, match: {m: id}}]}]}\n" +
			"  b: {table: x.b, start_from: at, delete: {after: P1D}, children: [{table: x.b, match: {up: id}}, {table: x.a, match: {b: id}}]}\n" +
			"  c: {table: x.c, start_from: at, delete: {after: P1D}, children: [{table: x.a, match: {c: id}}]}\n",
		[]string{
			"p.yaml:3:76: x.m is a child of x.a here, and the other way round elsewhere; tables in a circle cannot be ordered, keep one of the two",
			"p.yaml:3:116: x.b is a child of x.m here, and the other way round elsewhere; tables in a circle cannot be ordered, keep one of the two",
			"p.yaml:4:107: x.a is a child of x.b here, and the other way round elsewhere; tables in a circle cannot be ordered, keep one of the two",
		},
	},
	"errors of several categories and of what they are together": {
		bothOver("start_from: at, redact: {after: P1D, columns: {n: zero}}, delete: {after: P4Y}, basis: uk_mlr", "start_from: at, redact: {after: P2D, columns: {n: {set: x}}}, delete: {after: P1D}"),
		[]string{
			`p.yaml:3:93: delete.after P4Y is shorter than the P5Y that "uk_mlr" asks for (SI 2017/692 reg. 40) for a start on 2024-01-01; keep longer, or write override: {reason, approver}`,
			"p.yaml:4:51: redact.after P2D is longer than delete.after P1D for a start on 2024-01-01; rows would be gone before they are redacted",
			`p.yaml:4:66: category a redacts column "n" of the same rows to another value, so that each sweep would redact them twice; say the same in both, or tell the rows apart by where`,
		},
	},
	"two minds": {
		bothOver("start_from: at, redact: {after: P1D, columns: {n: zero, m: keep, e: {hmac: 'a%s'}}}", "start_from: at, redact: {after: P2D, columns: {n: {set: x}, m: zero}, set: {e: 1}}"),
		[]string{
			`p.yaml:4:66: category a redacts column "n" of the same rows to another value, so that each sweep would redact them twice; say the same in both, or tell the rows apart by where`,
			`p.yaml:4:95: category a redacts column "e" of the same rows to another value, so that each sweep would redact them twice; say the same in both, or tell the rows apart by where`,
		},
	},
	"start of both": {
		bothOver("start_from: at, redact: {after: P1D, columns: {at: zero}}", "start_from: at, delete: {after: P2D}"),
		[]string{
			`p.yaml:3:66: "at" is the start column; without it the row would never be due again`,
		},
	},
	"start of another category": {
		bothOver("start_from: at, redact: {after: P1D, columns: {n: zero}, set: {done_at: 1}}", "start_from: done_at, delete: {after: P2D}"),
		[]string{
			`p.yaml:3:82: column "done_at" is the start column of category b over the same table; without it its rows would never be due`,
		},
	},
	"where of another category": {
		bothOver("start_from: at, redact: {after: P1D, columns: {n: zero}, set: {state: done}}", "start_from: at, where: [{column: state, op: ne, value: open}], delete: {after: P2D}"),
		[]string{
			`p.yaml:3:82: column "state" is read by where of category b over the same table; redacting it would hide the row from the category`,
		},
	},
	"where of both categories": {
		bothOver("start_from: at, where: [{column: state, op: ne, value: open}], redact: {after: P1D, columns: {state: keep}, set: {n: 1}}", "start_from: at, where: [{column: state, op: ne, value: open}], redact: {after: P1D, columns: {n: {set: 1}}, set: {state: done}}"),
		[]string{
			`p.yaml:4:133: "state" is read by where; redacting it would hide the row from the category`,
		},
	},
	"start elsewhere of another category": {
		bothOver("start_from: at, redact: {after: P1D, columns: {cid: zero}}", "start_from: {table: x.z, column: at, match: {id: cid}}, delete: {after: P2D}"),
		[]string{
			`p.yaml:3:66: column "cid" leads to the start of category b over the same table; without it its rows would never be due`,
		},
	},
}
