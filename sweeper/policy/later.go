package policy

import "strings"

// later lists what belongs to the language and is not applied by this version:
// dotted keys inside a category (* is any name), or key=value. What is on it is
// refused, so that nobody relies on a key that does nothing. It only shrinks.
var later = []string{
	"override", "restrict", "children", "window", "lock", "notify", "review", "bulk_filter", "where_sql",
	"limits.max_rows_per_run", "limits.rows_per_second", "limits.max_dead_share",
	"start_from.unit", "start_from.table", "start_from.match", "start_from.pick",
	"redact.columns.*.truncate", "redact.columns.*.mask", "redact.columns.*.json",
	"partitions=detach", "manifest=digest", "evidence=row",
}

// refuseLater reports every use of later inside the category n at path.
func (r *reader) refuseLater(path string, n *node) {
	for _, l := range later {
		key, value, isValue := strings.Cut(l, "=")
		r.refuseKey(path, n, strings.Split(key, "."), value, isValue)
	}
}

func (r *reader) refuseKey(path string, n *node, keys []string, value string, isValue bool) {
	for i := range n.entries() {
		e := &n.entries()[i]
		if keys[0] != "*" && keys[0] != e.key {
			continue
		}
		at := join(path, e.key)
		switch {
		case len(keys) > 1:
			r.refuseKey(at, e.val, keys[1:], value, isValue)
		case !isValue:
			r.fail(at, e.at, notApplied, quote(e.key))
		case e.val.value == value:
			r.fail(at, e.val.at, notApplied, quote(e.key+": "+value))
		}
	}
}

const notApplied = "%s is part of the policy language but this version does not apply it; remove it"

// applied tells whether this version applies the key of a category.
func applied(key string) bool {
	for _, l := range later {
		if l == key {
			return false
		}
	}
	return true
}
