package modeltest_test

import (
	"fmt"
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

// expected are the things that must have happened over a hundred seeds, each at
// least so often: what has not happened was not tested. They lie far below what
// is seen, since moments differ from one run to the next.
var expected = map[string]int{
	"kills": 60, "kills at log.in_append": 1, "kills at log.appended": 1, "kills at purge.in_batch": 1, "kills at purge.committed": 1,
	"freezes": 20, "terms": 20, "backend": 40, "lock": 60, "policy": 60, "sweep": 40, "approve": 10,
	"holds placed while a run goes on": 40, "holds placed between runs": 100, "holds released": 30,
	"due rows refreshed while a run goes on": 20, "rows changed by the application while a run goes on": 100,
	"rows deleted by the application": 100, "truncates": 10, "tenants' windows set": 20, "rows purged by a tenant's window": 40,
	"rows redacted": 100, "rows held in the end": 200, "rows blocked in the end": 3, "rows not begun in the end": 200,
	"redactions: null": 20, "redactions: zero": 20, "redactions: hmac": 20, "redactions: mask": 20, "redactions: truncate": 20,
	"redactions: json": 20, "redactions: set": 20, "redactions: put": 10, "redactions: keep": 20,
	"children: delete": 15, "children: nullify": 5, "children: redact": 5,
	"partitions: drop, manifest none": 1, "partitions: drop, manifest count": 2, "partitions: drop, manifest digest": 1,
	"partitions: detach, manifest none": 1, "partitions: detach, manifest count": 1, "partitions: detach, manifest digest": 1, "partition": 10,
	"rows deleted from accounts": 100, "rows deleted from heap": 100, "rows deleted from items": 20, "rows deleted from logs": 100,
	"rows deleted from marks": 100, "rows deleted from orders": 100, "rows deleted from parts": 3, "rows deleted from people": 40, "rows deleted from shots": 100,
	"rows with an entry each": 200, "entries of a batch": 100,
	"runs: succeeded": 200, "runs: partial": 3, "runs: stopped": 30, "runs: awaiting_approval": 5, "runs: observed": 5,
}

// tell prints what happened; strict: what has not, fails.
func (c *coverage) tell(t *testing.T, strict bool) {
	t.Helper()
	var b strings.Builder
	for _, what := range sorted(c.seen) {
		fmt.Fprintf(&b, "\n%8d %s", c.seen[what], what)
	}
	t.Log("what happened:" + b.String())
	for _, what := range sorted(expected) {
		if strict && c.seen[what] < expected[what] {
			t.Errorf("%s: %d times over all seeds, at least %d are expected", what, c.seen[what], expected[what])
		}
	}
}
