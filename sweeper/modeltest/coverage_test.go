package modeltest_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
)

// coverage is what happened over all seeds.
type coverage struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func (c *coverage) add(all ...map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range all {
		for what, n := range m {
			c.seen[what] += n
		}
	}
}

// expected are the things that must have happened over a hundred seeds: a test
// in which they have not shows nothing of them.
var expected = map[string]int{}

// tell prints what happened; strict: what did not, fails.
func (c *coverage) tell(t *testing.T, strict bool) {
	t.Helper()
	var b strings.Builder
	for _, what := range sorted(c.seen) {
		fmt.Fprintf(&b, "\n%8d %s", c.seen[what], what)
	}
	t.Log("what happened:" + b.String())
	for what, least := range maps.All(expected) {
		if strict && c.seen[what] < least {
			t.Errorf("%s: %d times over all seeds, at least %d are expected", what, c.seen[what], least)
		}
	}
}
