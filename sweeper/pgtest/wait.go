package pgtest

import (
	"testing"
	"time"
)

// Eventually returns when cond holds, and fails the test when it does not
// within 30 s. It is for conditions on the server that nothing announces: wait
// for an event where there is one.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(stepTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("wait until %s: not so after %s", what, stepTimeout)
		case <-t.Context().Done():
			t.Fatalf("wait until %s: the test is over", what)
		case <-tick.C:
		}
	}
}
