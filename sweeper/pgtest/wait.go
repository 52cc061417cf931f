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
	EventuallyWithin(t, stepTimeout, what, cond)
}

// EventuallyWithin is Eventually for what may take longer by its own promise.
func EventuallyWithin(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("wait until %s: not so after %s", what, limit)
		case <-t.Context().Done():
			t.Fatalf("wait until %s: the test is over", what)
		case <-tick.C:
		}
	}
}
