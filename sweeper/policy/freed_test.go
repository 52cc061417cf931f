package policy

import (
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
)

// TestFreed changes the other categories of a set: what they kept from one that is as
// it was may be kept no longer.
func TestFreed(t *testing.T) {
	t.Parallel()
	const (
		head = "version: 1\ncategories:\n"
		ops  = "  ops: {table: a.orders, start_from: at, delete: {after: P90D}}\n"
		tax  = "  tax: {table: a.orders, start_from: at, delete: {after: P7Y}}\n"
		paid = ", where: [{column: state, op: eq, value: paid}], start_from: at, delete: {after: "
		kids = "  ops: {table: a.orders, start_from: at, delete: {after: P90D}, children: [{table: a.lines, match: {order_id: id}, action: ACTION}]}\n"
		line = "  line: {table: a.lines, start_from: at, delete: {after: P7Y}}\n"
	)
	short := func(now string) []Freeing { return []Freeing{{"tax", "a.orders", "P7Y", now}} }
	const gone, start = "is gone now", "counts from another start, or in another time zone, now"
	for name, tt := range map[string]struct {
		was, now string
		want     []Freeing
	}{
		"the same":              {ops + tax, ops + tax, nil},
		"shorter":               {ops + tax, ops + "  tax: {table: a.orders, start_from: at, delete: {after: P1Y}}\n", short("keeps them for P1Y now")},
		"longer":                {ops + tax, ops + "  tax: {table: a.orders, start_from: at, delete: {after: P9Y}}\n", nil},
		"for ever":              {ops + tax, ops + "  tax: {table: a.orders, delete: {after: unlimited}}\n", nil},
		"no longer for ever":    {ops + "  tax: {table: a.orders, delete: {after: unlimited}}\n", ops + tax, []Freeing{{"tax", "a.orders", "ever", "keeps them for P7Y now"}}},
		"gone":                  {ops + tax, ops, short(gone)},
		"disabled":              {ops + tax, ops + "  tax: {table: a.orders, start_from: at, delete: {after: P7Y}, enabled: false}\n", short(gone)},
		"was disabled":          {ops + "  tax: {table: a.orders, start_from: at, delete: {after: P7Y}, enabled: false}\n", ops, nil},
		"observes":              {ops + tax, ops + "  tax: {table: a.orders, start_from: at, delete: {after: P7Y}, mode: observe}\n", nil},
		"over another table":    {ops + tax, ops + "  tax: {table: a.bills, start_from: at, delete: {after: P7Y}}\n", short(gone)},
		"renamed":               {ops + tax, ops + "  dues: {table: a.orders, start_from: at, delete: {after: P7Y}}\n", nil},
		"renamed, of fewer":     {ops + tax, ops + "  dues: {table: a.orders" + paid + "P7Y}}\n", short(gone)},
		"renamed, other start":  {ops + tax, ops + "  dues: {table: a.orders, start_from: closed, delete: {after: P7Y}}\n", short(gone)},
		"of fewer":              {ops + tax, ops + "  tax: {table: a.orders" + paid + "P7Y}}\n", short("keeps other rows now")},
		"of more":               {ops + "  tax: {table: a.orders" + paid + "P7Y}}\n", ops + tax, nil},
		"of fewer, for ever":    {ops + tax, ops + "  tax: {table: a.orders, where: [{column: state, op: eq, value: paid}], delete: {after: unlimited}}\n", short("keeps other rows now")},
		"starts elsewhere":      {ops + tax, ops + "  tax: {table: a.orders, start_from: made, delete: {after: P7Y}}\n", short(start)},
		"tenants come":          {ops + tax, ops + "  tax: {table: a.orders, tenant: t, start_from: at, delete: {after: P7Y}}\n", short("keeps them as each tenant has it now")},
		"had tenants":           {ops + "  tax: {table: a.orders, tenant: t, start_from: at, delete: {after: P7Y}}\n", ops + "  tax: {table: a.orders, tenant: t, start_from: at, delete: {after: P7Y}}\n", nil},
		"of other rows":         {"  ops: {table: a.orders, where: [{column: state, op: eq, value: open}], start_from: at, delete: {after: P90D}}\n  tax: {table: a.orders" + paid + "P7Y}}\n", "  ops: {table: a.orders, where: [{column: state, op: eq, value: open}], start_from: at, delete: {after: P90D}}\n", nil},
		"no longer than itself": {"  ops: {table: a.orders, start_from: at, delete: {after: P8Y}}\n" + tax, "  ops: {table: a.orders, start_from: at, delete: {after: P8Y}}\n", nil},
		"from another start":    {"  ops: {table: a.orders, start_from: closed, delete: {after: P8Y}}\n" + tax, "  ops: {table: a.orders, start_from: closed, delete: {after: P8Y}}\n", short(gone)},
		"by tenant":             {"  ops: {table: a.orders, tenant: t, start_from: at, delete: {after: P8Y}}\n" + tax, "  ops: {table: a.orders, tenant: t, start_from: at, delete: {after: P8Y}}\n", short(gone)},
		"redacts":               {ops + "  tax: {table: a.orders, start_from: at, redact: {after: P7Y, columns: {n: zero}}}\n", ops, nil},
		"of what goes along":    {replace(kids, "delete") + line, replace(kids, "delete"), []Freeing{{"line", "a.lines", "P7Y", gone}}},
		"of what is cut off":    {replace(kids, "nullify") + line, replace(kids, "nullify"), nil},
		"of what now goes":      {replace(kids, "nullify") + line, replace(kids, "delete") + line, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			was, now := parsed(t, "was.yaml", head+tt.was), parsed(t, "now.yaml", head+tt.now)
			i := -1
			for k := range now.Categories {
				if now.Categories[k].Name == "ops" {
					i = k
				}
			}
			if d := diff.Diff(tt.want, Freed(was, now, &now.Categories[i])); d != "" {
				t.Error(d)
			}
		})
	}
}

func replace(policies, action string) string {
	return strings.Replace(policies, "ACTION", action, 1)
}
