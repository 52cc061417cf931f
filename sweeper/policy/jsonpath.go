package policy

import (
	"regexp"
	"slices"
	"strings"
)

// jsonPath is $ and its steps: .member or [*]. The first is a member. The same
// stands in the schema.
var (
	jsonPath = regexp.MustCompile(`^\$\.[^.\[\]"'*\s]+(?:\.[^.\[\]"'*\s]+|\[\*\])*$`)
	jsonStep = regexp.MustCompile(`\.([^.\[]+)|\[\*\]`)
)

// jsonPaths reads what becomes of the places in a document, in file order.
func (r *reader) jsonPaths(path string, e *entry) []JSONPath {
	var all []JSONPath
	var at []*entry
	for i := range e.val.entries() {
		p := &e.val.pairs[i]
		inner := join(path, p.key)
		steps, ok := jsonSteps(p.key)
		switch {
		case !ok:
			r.fail(inner, p.at, "%s is no path of this language; write $.a.b, or $.a[*].b for each element of an array", quote(p.key))
			continue
		case p.val.kind == scalar && p.val.value == nil:
			r.fail(inner, p.val.at, `null without quotes is no value in YAML; write %s: "null" to leave it null`, p.key)
			continue
		}
		for j, other := range all {
			if shorter := min(len(steps), len(other.Steps)); slices.Equal(steps[:shorter], other.Steps[:shorter]) {
				outer, in := other.Path, p.key
				if len(steps) < len(other.Steps) {
					outer, in = in, outer
				}
				r.fail(inner, p.at, "%s lies within %s (given at line %d); one of the two would find nothing, give the outer or the inner", quote(in), quote(outer), at[j].at.line)
			}
		}
		all = append(all, JSONPath{Path: p.key, Steps: steps, Action: word(p)})
		at = append(at, p)
	}
	return all
}

// jsonSteps takes a path apart; false when it is none.
func jsonSteps(path string) ([]Step, bool) {
	if !jsonPath.MatchString(path) || strings.ContainsFunc(path, hidden) {
		return nil, false
	}
	var steps []Step
	for _, m := range jsonStep.FindAllStringSubmatch(path, -1) {
		steps = append(steps, Step{Member: m[1], Each: m[1] == ""})
	}
	return steps, true
}
