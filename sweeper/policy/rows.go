package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// covers tells whether each row of b is a row of a, as far as their conditions
// show it: all that a asks for, b asks for too.
func covers(a, b *Category) bool {
	if a.WhereSQL != "" && a.WhereSQL != b.WhereSQL {
		return false
	}
	for _, x := range a.Where {
		if !slices.ContainsFunc(b.Where, func(y Condition) bool { return sameCondition(x, y) }) {
			return false
		}
	}
	return true
}

// sameCondition compares two conditions; the order of a list does not matter.
func sameCondition(x, y Condition) bool {
	return x.Column == y.Column && x.Op == y.Op && slices.Equal(sortedTexts(x.Values), sortedTexts(y.Values))
}

func sortedTexts(values []any) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprintf("%T %v", v, v)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// disjoint tells whether no row can be in both categories, as far as the lists of
// values that they ask for on one column, or its NULLs, show it.
func disjoint(a, b *Category) bool {
	listed := func(c Condition) bool { return c.Op == "eq" || c.Op == "in" }
	for _, x := range a.Where {
		for _, y := range b.Where {
			if x.Column != y.Column {
				continue
			}
			if (x.Op == "is_null") != (y.Op == "is_null") {
				return true
			}
			if listed(x) && excludes(y, x) || listed(y) && excludes(x, y) {
				return true
			}
			if listed(x) && listed(y) && !slices.ContainsFunc(x.Values, func(v any) bool {
				return slices.ContainsFunc(y.Values, func(w any) bool { return maybeEqual(v, w) })
			}) {
				return true
			}
		}
	}
	return false
}

// excludes tells whether c leaves out all values that listed asks for.
func excludes(c, listed Condition) bool {
	if c.Op != "ne" && c.Op != "not_in" {
		return false
	}
	out := sortedTexts(c.Values)
	return !slices.ContainsFunc(sortedTexts(listed.Values), func(v string) bool { return !slices.Contains(out, v) })
}

// maybeEqual tells whether a type could read two values as one: here it is not
// known whether the column's folds case, or holds numbers.
func maybeEqual(v, w any) bool {
	a, b := strings.TrimSpace(fmt.Sprint(v)), strings.TrimSpace(fmt.Sprint(w))
	x, err := strconv.ParseFloat(a, 64)
	y, also := strconv.ParseFloat(b, 64)
	return strings.EqualFold(a, b) || err == nil && also == nil && x == y
}
