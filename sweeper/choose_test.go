package sweeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// TestChoose holds who may go before whom: a table that others reference waits
// for their slots, but not for ever new ones, and not for one that failed.
func TestChoose(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := loaded{schedules: map[string]schedule.Schedule{"orders": {}, "items": {}, "people": {}}, levels: map[string]int{"items": 0, "orders": 1, "people": 1}}
	at := func(category string, seconds int) slot {
		return slot{category, noon.Add(time.Duration(seconds) * time.Second)}
	}
	for name, test := range map[string]struct {
		slots   []slot
		running []string
		later   map[string]int
		due     []string
		next    int
	}{
		"all at once":                 {slots: []slot{at("items", -5), at("orders", -5), at("people", -5)}, due: []string{"items"}},
		"the referencing one runs":    {slots: []slot{at("items", -5), at("orders", -5)}, running: []string{"items"}},
		"it came due later":           {slots: []slot{at("orders", -5), at("items", -1)}, due: []string{"orders", "items"}},
		"it runs again by then":       {slots: []slot{at("orders", -5), at("items", -1)}, running: []string{"items"}, due: []string{"orders"}},
		"it failed and rests":         {slots: []slot{at("items", -9), at("orders", -5)}, later: map[string]int{"items": 60}, due: []string{"orders"}, next: 60},
		"it failed and has its turn":  {slots: []slot{at("items", -9), at("orders", -5)}, later: map[string]int{"items": -1}, due: []string{"items"}},
		"it is to come":               {slots: []slot{at("orders", -5), at("items", 7)}, due: []string{"orders"}, next: 7},
		"none is due":                 {slots: []slot{at("orders", 3), at("items", 7)}, next: 3},
		"somebody else's has no plan": {slots: []slot{at("former", -9), at("orders", -5)}, due: []string{"orders"}},
	} {
		s := &scheduler{running: map[string]bool{}, later: map[string]*retry{}}
		for _, c := range test.running {
			s.running[c] = true
		}
		for c, after := range test.later {
			s.later[c] = &retry{after: noon.Add(time.Duration(after) * time.Second)}
		}
		due, next := s.choose(l, test.slots, noon)
		var names []string
		for _, one := range due {
			names = append(names, one.category)
		}
		var want time.Time
		if test.next != 0 {
			want = noon.Add(time.Duration(test.next) * time.Second)
		}
		if diff := cmp.Diff(test.due, names); diff != "" || !next.Equal(want) {
			t.Errorf("%s: next at %s, want %s; due:\n%s", name, next, want, diff)
		}
	}
}

// TestHours has the window open and close: what runs in it ends with it, and what
// runs in the next one is another.
func TestHours(t *testing.T) {
	t.Parallel()
	soft, cancel := context.WithCancel(t.Context())
	defer cancel()
	var h hours
	if h.at(soft, false) != nil {
		t.Error("something may run before the window opens")
	}
	first := h.at(soft, true)
	if first == nil || h.at(soft, true) != first || first.Err() != nil {
		t.Fatal("nothing may run while it is open")
	}
	if h.at(soft, false) != nil || !errors.Is(context.Cause(first), errHours) {
		t.Errorf("after the window: %v", context.Cause(first))
	}
	second := h.at(soft, true)
	cancel()
	if !errors.Is(context.Cause(second), context.Canceled) || h.at(soft, true).Err() == nil {
		t.Errorf("after a signal: %v", context.Cause(second))
	}
}
