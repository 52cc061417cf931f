package policy

import (
	"fmt"
	"slices"
)

// Warnings returns what is allowed in a valid Set and deserves a second look, in
// the order of the files: keys that this version does not apply, windows that
// the basis of their category speaks against, categories that are in each
// other's way.
func (s Set) Warnings() []*Error {
	all := make([]*Category, len(s.Categories))
	var warnings []*Error
	for i := range s.Categories {
		c := &s.Categories[i]
		all[i] = c
		for _, n := range c.NotApplied {
			warnings = append(warnings, &Error{n.Position, fmt.Sprintf("%s is valid, but this version does not apply it: install, sweep and run refuse the policies until it does", quote(n.Key))})
		}
		warnings = append(warnings, c.legalWarnings()...)
	}
	warnings = append(warnings, overlapWarnings(all)...)
	slices.SortStableFunc(warnings, byPlace)
	return warnings
}
