package policy

import (
	"fmt"
	"slices"
	"time"
)

// Shrunk returns what a new Set takes back of what an earlier one locked, each
// at its place in the new files; a category that is gone is shown where it was.
// A lock promises that rows are kept at least as long as they were: the window
// grows or stays, and the category neither goes nor lets go of rows. So another
// table, where, start or time zone is refused too, whichever way it would turn
// out. nil: nothing is taken back.
func Shrunk(before, after Set) []*Error {
	var all []*Error
	for i := range before.Categories {
		was := &before.Categories[i]
		if !was.Lock {
			continue
		}
		n := slices.IndexFunc(after.Categories, func(c Category) bool { return c.Name == was.Name })
		if n < 0 {
			all = append(all, was.Fail("", "category %s is locked and gone; bring it back", quote(was.Name)))
			continue
		}
		s := shrink{was: was, now: &after.Categories[n]}
		s.identity()
		s.windows()
		all = append(all, s.errs...)
	}
	slices.SortStableFunc(all, byPlace)
	return all
}

// shrink compares a locked category with what it has become.
type shrink struct {
	was, now *Category
	errs     []*Error
}

func (s *shrink) fail(key, format string, args ...any) {
	s.errs = append(s.errs, s.now.Fail(key, "category %s is locked: %s", quote(s.was.Name), fmt.Sprintf(format, args...)))
}

// identity refuses what lets rows out of the category, or the category go.
func (s *shrink) identity() {
	was, now := s.was, s.now
	if !now.Lock {
		s.fail("lock", "lock cannot be taken away; write lock: true")
	}
	if was.Enabled && !now.Enabled {
		s.fail("enabled", "it cannot be disabled; write enabled: true")
	}
	if was.Mode == "enforce" && now.Mode != "enforce" {
		s.fail("mode", "it cannot be turned to %s; write mode: enforce", now.Mode)
	}
	if was.relation() != now.relation() {
		s.fail("table", "its table was %s; write that", was.Table)
	}
	if was.WhereSQL != now.WhereSQL {
		s.fail("where_sql", "where_sql cannot change; write what it was")
	}
	if !sameWhere(was.Where, now.Where) {
		s.fail("where", "where cannot change; write what it was")
	}
	if !sameStart(was.Start, now.Start) {
		s.fail("start_from", "what retention is counted from cannot change; write what it was")
	}
	if was.Timezone != now.Timezone {
		s.fail("timezone", "its time zone was %s, and days begin at other times in %s; write that", was.Timezone, now.Timezone)
	}
}

func sameWhere(a, b []Condition) bool {
	x, y := Category{Where: a}, Category{Where: b}
	return covers(&x, &y) && covers(&y, &x)
}

// windows refuses shorter ones, at any start.
func (s *shrink) windows() {
	was, now := s.was, s.now
	switch {
	case was.Unlimited && !now.Unlimited:
		s.fail("delete.after", "delete.after was unlimited, which keeps the rows from every category; write that")
	case was.Delete != nil && now.Delete == nil && !now.Unlimited:
		s.fail("delete", "delete was given, which also keeps the rows from other categories; write delete: {after: %s}, or unlimited", *was.Delete)
	case was.Delete == nil && !was.Unlimited && now.Delete != nil:
		s.fail("delete.after", "it never deleted; remove delete")
	case was.Delete != nil && now.Delete != nil:
		s.shorter("delete.after", *was.Delete, *now.Delete)
	}
	switch {
	case was.Redact == nil && now.Redact != nil:
		s.fail("redact", "it did not redact; remove redact")
	case was.Redact != nil && now.Redact != nil:
		s.shorter("redact.after", was.Redact.After, now.Redact.After)
		s.overwrites()
	}
	if was.Window.Min != nil {
		if now.Window.Min == nil {
			s.fail("window", "window.min was %s; write that, or a longer one", *was.Window.Min)
		} else {
			s.shorter("window.min", *was.Window.Min, *now.Window.Min)
		}
	}
}

func (s *shrink) shorter(key string, was, now Period) {
	if start, shorter := exceeds(was, now); shorter {
		s.fail(key, "%s was %s and may grow, and %s is shorter for a start on %s", key, was, now, start.Format(time.DateOnly))
	}
}

// overwrites refuses to redact columns that were not.
func (s *shrink) overwrites() {
	had := make(map[string]bool)
	for _, o := range s.was.outcomes() {
		had[o.column] = o.what != kept
	}
	for _, o := range s.now.outcomes() {
		if o.what != kept && !had[o.column] {
			s.fail(o.key, "column %q was not overwritten; keep it", o.column)
		}
	}
}
