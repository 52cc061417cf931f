package sweeper

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestLookUnderWayIsNoNewOne: who waits for a look at another server must not
// get one that began before.
func TestLookUnderWayIsNoNewOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f freshness
		before := f.begins()
		waited := make(chan error, 2)
		for range 2 {
			go func() { waited <- f.wait(t.Context()) }()
		}
		synctest.Wait()
		before()
		synctest.Wait()
		if len(waited) != 0 {
			t.Fatal("a look that was under way counts as a new one")
		}
		select {
		case <-f.asked():
		default:
			t.Fatal("nobody was asked to look")
		}
		f.begins()()
		synctest.Wait()
		if len(waited) != 2 {
			t.Fatalf("%d of 2 go on after a new look", len(waited))
		}
		for range 2 {
			if err := <-waited; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestNoLookIsAnError: a connection that nobody looked after does not purge.
func TestNoLookIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f freshness
		began := time.Now()
		if err := f.wait(t.Context()); err == nil {
			t.Error("a look that never came is taken for one")
		}
		if took := time.Since(began); took != freshTimeout {
			t.Errorf("it took %s, want %s", took, freshTimeout)
		}
	})
}
