package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// regulatedMinimum is the window under which data that is kept by law deserves
// a second look, whatever the law's own minimum is.
var regulatedMinimum = Period{Months: 24}

// legal refuses a window that the basis of the category does not allow, unless
// somebody approved it.
func (r *reader) legal(path string, c *Category, n *node) {
	basis := n.get("basis")
	if basis == nil || c.Basis == "" {
		return
	}
	law, ok := c.Regulation()
	if !ok {
		if near := nearestRegulation(c.Basis); near != "" && regulationID.MatchString(c.Basis) {
			r.fail(path+".basis", basis.val.at, "unknown regulation %s; did you mean %s? (free text of several words is taken as it is)", quote(c.Basis), quote(near))
		}
		return
	}
	if c.Override != nil {
		return
	}
	for _, b := range c.breaches(law) {
		disposition, _, _ := strings.Cut(b.key, ".")
		if at := n.get(disposition); at != nil {
			r.judge(path+"."+b.key, at.val.get("after").val.at, "%s; %s, or write override: {reason, approver}", b.sentence, b.mend)
		} else {
			r.judge(path+".basis", basis.val.at, "%s; %s, or write override: {reason, approver}", b.sentence, b.mend)
		}
	}
}

// breach is a bound of a regulation that a category's window is outside of.
type breach struct {
	key      string // of the window: delete.after
	sentence string
	mend     string
}

// breaches compares the window of a category with what law asks and allows. A
// redaction under the minimum is none: what is redacted may not be what the law
// wants kept.
func (c *Category) breaches(law Regulation) []breach {
	var all []breach
	floor, ceiling := law.Minimum(c.Start.Event), law.Maximum(c.Start.Event)
	if c.Delete != nil && floor != nil {
		if start, under := exceeds(*floor, *c.Delete); under {
			all = append(all, breach{"delete.after", fmt.Sprintf("delete.after %s is shorter than the %s that %s asks for (%s) for a start on %s",
				*c.Delete, *floor, quote(law.ID), law.Citation, start.Format(time.DateOnly)), "keep longer"})
		}
	}
	if ceiling == nil {
		return all
	}
	p, key := c.life()
	if c.Unlimited || p == nil {
		return append(all, breach{"delete.after", fmt.Sprintf("the rows stay for ever, and %s allows %s (%s)", quote(law.ID), *ceiling, law.Citation), "delete them in time"})
	}
	if start, over := exceeds(*p, *ceiling); over {
		all = append(all, breach{key, fmt.Sprintf("%s %s is longer than the %s that %s allows (%s) for a start on %s",
			key, *p, *ceiling, quote(law.ID), law.Citation, start.Format(time.DateOnly)), "keep shorter"})
	}
	return all
}

// legalWarnings are what is allowed and deserves a second look.
func (c *Category) legalWarnings() []*Error {
	var all []*Error
	warn := func(key, format string, args ...any) { all = append(all, c.Fail(key, format, args...)) }
	law, ok := c.Regulation()
	if !ok {
		if regulationID.MatchString(c.Basis) {
			warn("basis", "%s is no id of regulations.yaml, so it is taken as free text and no minimum is checked", quote(c.Basis))
		}
		if c.Override != nil {
			warn("override", "override is not used: the basis is no regulation with a minimum; remove it")
		}
		return all
	}
	c.warnEvent(law, warn)
	breaches := c.breaches(law)
	for _, b := range breaches {
		warn("override", "%s; overridden because of %s, approved by %s", b.sentence, quote(c.Override.Reason), quote(c.Override.Approver))
	}
	if c.Override != nil && len(breaches) == 0 {
		warn("override", "override is not used: the window is within what %s asks for; remove it", quote(law.ID))
	}
	floor := law.Minimum(c.Start.Event)
	if floor != nil && c.Redact != nil {
		if start, under := exceeds(*floor, c.Redact.After); under {
			warn("redact.after", "redact.after %s comes before the %s that %s asks for (%s) have passed, for a start on %s; redact only what it does not want kept",
				c.Redact.After, *floor, quote(law.ID), law.Citation, start.Format(time.DateOnly))
		}
	}
	if floor != nil && c.Override == nil && c.Tenant != "" && (c.Delete != nil || c.Unlimited) {
		if c.Window.Min == nil {
			warn("tenant", "a tenant's own window may go under the %s that %s asks for; write window: {min: %s}", *floor, quote(law.ID), *floor)
		} else if _, under := exceeds(*floor, *c.Window.Min); under {
			warn("window.min", "window.min %s lets a tenant's own window go under the %s that %s asks for; write window: {min: %s}", *c.Window.Min, *floor, quote(law.ID), *floor)
		}
	}
	regulated := law.Kind == "legal_obligation" || law.Kind == "contractual_obligation"
	if c.Delete != nil && regulated && len(breaches) == 0 {
		if _, under := exceeds(regulatedMinimum, *c.Delete); under {
			warn("delete.after", "delete.after %s is below 24 months, which is short for data that is kept by law (below_regulated_minimum); look at it again with your counsel", *c.Delete)
		}
	}
	return all
}

// warnEvent compares what retention is counted from with what law counts from.
func (c *Category) warnEvent(law Regulation, warn func(key, format string, args ...any)) {
	if len(law.Events) == 0 || c.Start.Column == "" {
		return
	}
	known := strings.Join(law.events(), ", ")
	switch {
	case c.Start.Event == "":
		warn("start_from", "start_from does not name its event, and %s counts from %s; write start_from: {column: %s, event: %s}",
			quote(law.ID), known, c.Start.Column, law.Events[0].Event)
	case !slices.Contains(law.events(), c.Start.Event):
		warn("start_from.event", "%s is none of the events that %s counts from: %s", quote(c.Start.Event), quote(law.ID), known)
	}
}
