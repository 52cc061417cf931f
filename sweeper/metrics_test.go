package sweeper

import (
	"testing"
	"time"
)

// TestWaiting shows a pause while it lasts.
func TestWaiting(t *testing.T) {
	t.Parallel()
	m := newMetrics(&Health{})
	is := func(waiting, waited float64) {
		t.Helper()
		all, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]float64{}
		for _, f := range all {
			for _, one := range f.GetMetric() {
				found[f.GetName()] += one.GetGauge().GetValue() + one.GetCounter().GetValue()
			}
		}
		if found["sweeper_waiting"] != waiting || found["sweeper_waited_seconds_total"] != waited {
			t.Errorf("waits %g, waited %g; want %g, %g", found["sweeper_waiting"], found["sweeper_waited_seconds_total"], waiting, waited)
		}
	}
	m.pauses("events", "slot_lag")
	is(1, 0)
	m.pausedFor("events", "slot_lag", 2*time.Second)
	is(0, 2)
}
