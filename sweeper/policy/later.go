package policy

import (
	"fmt"
	"strings"
)

// later lists what belongs to the language and is not applied by this version:
// dotted keys inside a category (* is any name or index), key=value, or
// key!=value for a key that does nothing at that value. What is on it is read,
// checked and shown, and refused before anything is purged, so that nobody
// relies on a key that does nothing. It only shrinks.
var later = []string{
	"notify", "review=required", "bulk_filter",
	"children.*.objects",
}

// NotApplied is a key in use that this version does not apply.
type NotApplied struct {
	Position
	Key string // "restrict", "partitions: detach"
}

// Applicable returns nil if this version applies all that the categories say,
// else an error that joins an [*Error] for each key that it does not. Whoever is
// about to act on a Set asks it first.
func (s Set) Applicable() error {
	var errs []*Error
	for _, c := range s.Categories {
		for _, n := range c.NotApplied {
			errs = append(errs, &Error{n.Position, fmt.Sprintf("%s is part of the policy language but this version does not apply it; remove it", quote(n.Key))})
		}
	}
	return joinErrors(sorted(errs))
}

// notApplied lists each use of later inside the category n.
func (r *reader) notApplied(n *node) []NotApplied {
	var all []NotApplied
	for _, l := range later {
		rule := unapplied{r: r, into: &all}
		key, value, isValue := strings.Cut(l, "=")
		if rule.not = strings.HasSuffix(key, "!"); isValue {
			rule.value = &value
		}
		rule.find(n, strings.Split(strings.TrimSuffix(key, "!"), "."), 0)
	}
	return all
}

// unapplied is one line of later on its way through a category.
type unapplied struct {
	r     *reader
	into  *[]NotApplied
	value *string // nil: whatever the value
	not   bool    // any value but this one
}

// find follows keys, of which the first i have been followed, from n on.
func (u unapplied) find(n *node, keys []string, i int) {
	if keys[i] == "*" && n.kind == list {
		for _, item := range n.items {
			u.find(item, keys, i+1)
			// Children have children of the same form.
			if nested := item.get(keys[i-1]); nested != nil {
				u.find(nested.val, keys, i)
			}
		}
		return
	}
	for j := range n.entries() {
		e := &n.pairs[j]
		if keys[i] != "*" && keys[i] != e.key {
			continue
		}
		switch {
		case i < len(keys)-1:
			u.find(e.val, keys, i+1)
		case u.value == nil:
			*u.into = append(*u.into, NotApplied{u.r.position(e.at), e.key})
		case (fmt.Sprint(e.val.value) == *u.value) != u.not:
			*u.into = append(*u.into, NotApplied{u.r.position(e.val.at), e.key + ": " + fmt.Sprint(e.val.value)})
		}
	}
}
