package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Window is a tenant's own retention for a category, as it was when the plan was
// made. Batches read the windows themselves, under the fence: those of a plan
// only say how far its walks must reach, and stand in its hash.
type Window struct {
	Category, Tenant string
	Retention        policy.Period
}

// windows are those of a category that has tenants.
func (r rule) windows(c policy.Category) []Window {
	var found []Window
	for _, w := range r.options.Windows {
		if c.Tenant != "" && w.Category == c.Name {
			found = append(found, w)
		}
	}
	return found
}

// period is that of a category for a disposition.
func period(c policy.Category, disposition string) policy.Period {
	switch disposition {
	case Delete:
		return *c.Delete
	case Restrict:
		return c.Restrict.After
	}
	return c.Redact.After
}

// periods are all those by which a row of the category can be due.
func (r rule) periods(c policy.Category, disposition string) []policy.Period {
	all := []policy.Period{period(c, disposition)}
	for _, w := range r.windows(c) {
		all = append(all, w.Retention)
	}
	return all
}

// reach is what a start is below when its row can be due: as-of less the
// shortest period, and the slack. Which period is the shortest depends on the
// calendar, so the server compares.
func (r rule) reach(b *binder, k clock, c policy.Category, disposition string) string {
	asOf := r.asOf(b)
	if k.unit == "" {
		asOf = k.of(asOf)
	}
	var all []string
	for _, p := range r.periods(c, disposition) {
		if since := fmt.Sprintf("%s - %s", asOf, b.text(p.Interval(), "interval")); !slices.Contains(all, since) {
			all = append(all, since)
		}
	}
	latest := all[0]
	if len(all) > 1 {
		latest = "GREATEST(" + strings.Join(all, ", ") + ")"
	}
	latest += fmt.Sprintf(" + interval '%d days'", int(Slack/(24*time.Hour)))
	if k.unit != "" {
		return k.of(latest)
	}
	return latest
}

// byWindow replaces the policy's condition plain by that of the tenant's window,
// for the rows of tenants that have one. A restriction, and a redaction of rows
// that are deleted later, come at the smaller of the two. A window never ends before the floor of
// the policy nor after its ceiling. wall is the start on the wall clock.
func (r rule) byWindow(b *binder, c policy.Category, disposition, plain, wall string) string {
	tenant, ok := r.table.Column(c.Tenant)
	if !ok {
		return plain
	}
	windows, name, equal, value := tenantWindows(b, c, tenant)
	// The first subquery does not read the row, so the server hashes it once; the
	// second is for the rows that it finds alone.
	has := fmt.Sprintf("%s %s ANY (SELECT %s FROM %s)", name, equal, value, windows)
	ends := func(window string) string {
		return fmt.Sprintf("timezone(%s, %s + %s) <= %s", b.text(c.Timezone, "text"), wall, window, r.asOf(b))
	}
	// The policy's bounds may have moved since the window was set.
	bounded := ends("w.retention")
	if least := c.Window.Min; least != nil {
		bounded += " AND " + ends(b.text(least.Interval(), "interval"))
	}
	if most := c.Window.Max; most != nil {
		bounded += " OR " + ends(b.text(most.Interval(), "interval"))
	}
	own := fmt.Sprintf("(SELECT bool_and(%s) FROM %s AND %s %s %s)", bounded, windows, value, equal, name)
	if earliest(c, disposition) {
		return fmt.Sprintf("(%s OR CASE WHEN %s THEN %s ELSE false END)", plain, has, own)
	}
	return fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", has, own, plain)
}

// earliest tells that a disposition comes at the smaller of its own period and the
// tenant's, which else replaces it.
func earliest(c policy.Category, disposition string) bool {
	return disposition == Restrict || disposition == Redact && c.Delete != nil
}

// tenantWindows are the windows of a category, called w, and how the tenant of a
// row compares with that of one.
func tenantWindows(b *binder, c policy.Category, tenant catalog.Column) (windows, name, equal, value string) {
	typ := b.text(fmt.Sprint(tenant.TypeOID), "oid")
	name, equal, value = tenantKey(tenant, typ)
	return fmt.Sprintf("sweeper.tenant_retention w WHERE w.category = %s AND w.type = %s", b.text(c.Name, "text"), typ), name, equal, value
}

// tenantKey is how a tenant of a row compares with one that has a window. Of most
// types the text that stands there is the only one of its value, and an index
// finds it. Of the others it is read as the type, in a CASE, since those of
// another type may hold what this one refuses.
func tenantKey(tenant catalog.Column, typ string) (name, equal, value string) {
	name = column(tenant.Name)
	switch tenant.Base {
	case "text", "varchar":
		return name, "=", "w.value"
	case "uuid", "int2", "int4", "int8":
		return name + "::text", "=", "w.value"
	}
	return name, operator(tenant, "="), fmt.Sprintf("CASE WHEN w.type = %s THEN w.value::%s END", typ, tenant.BaseType)
}

// fingerprint is what the hash of a category's plan says of the windows.
func (r rule) fingerprint() string {
	var s strings.Builder
	for _, w := range r.windows(r.category) {
		fmt.Fprintf(&s, "window %q %s\n", w.Tenant, w.Retention)
	}
	return s.String()
}
