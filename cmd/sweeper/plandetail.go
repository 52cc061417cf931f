package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// mostNamed is how many of a kind a line for people names; JSON has them all.
const mostNamed = 3

// details are the lines about one disposition, of those that have something to
// say.
func details(s purge.States, d sweeper.Account) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if s.Estimated {
		add("about %d rows are scheduled, by the table's statistics", s.Scheduled)
	}
	if len(d.HeldBy) > 0 {
		add("held by %s", named(d.HeldBy, func(h sweeper.HeldBy) string { return fmt.Sprintf("hold %d (%d rows)", h.HoldID, h.Rows) }))
	}
	if len(d.BlockedBy) > 0 {
		add("blocked by %s", named(d.BlockedBy, func(b sweeper.BlockedBy) string { return fmt.Sprintf("%s (%d rows)", b.By, b.Rows) }))
	}
	if len(d.Children) > 0 {
		add("children go along: %s", named(d.Children, func(c sweeper.ChildRows) string { return fmt.Sprintf("%d of %s (%s)", c.Rows, c.Relation, c.Action) }))
	}
	if len(d.Dropped) > 0 {
		add("partitions that go whole: %s", named(d.Dropped, func(l sweeper.DroppedLeaf) string { return fmt.Sprintf("%s (%d rows)", l.Partition, l.Rows) }))
	}
	lines = append(lines, kept(d.Kept)...)
	if d.WalkWhy != "" {
		add("%s", d.WalkWhy)
	}
	if s.Due > 0 {
		rate := "no run of this database tells how fast it is"
		switch {
		case d.Estimate.Limited:
			rate = "as fast as the limits of rows a second allow"
		case d.Estimate.Measured:
			rate = "as fast as the last runs"
		}
		add("about %s and %s of write-ahead log, at %.0f rows/s (%s)", duration(d.Estimate.Seconds), size(d.Estimate.WALBytes), d.Estimate.RowsPerSecond, rate)
	}
	return lines
}

// restraints are the lines about what keeps runs of a category from beginning,
// and about the limits that they keep to.
func restraints(c policy.Category, r sweeper.Restraint) []string {
	var lines []string
	if c.Mode == "observe" {
		lines = append(lines, "mode is observe, so nothing goes")
	}
	if r.Paused != "" {
		lines = append(lines, "paused "+r.Paused+", so nothing goes before that is ended with sweeper.set_paused")
	}
	if r.Approval != "" {
		lines = append(lines, "a run would wait for approval: "+r.Approval)
	}
	var limits []string
	if n := r.Limits.RowsPerSecond; n > 0 {
		limits = append(limits, fmt.Sprintf("%d rows a second", n))
	}
	if n := r.Limits.MaxRowsPerRun; n > 0 {
		limits = append(limits, fmt.Sprintf("%d rows a run", n))
	}
	if share := r.Limits.MaxDeadShare; share > 0 {
		limits = append(limits, fmt.Sprintf("a pause while more than %g of the rows are dead", share))
	}
	if len(limits) > 0 {
		lines = append(lines, "limits: "+strings.Join(limits, ", "))
	}
	return lines
}

// kept tells of the partitions that stay, those with one reason in one line.
func kept(all []sweeper.KeptLeaf) []string {
	var reasons []string
	by := map[string][]sweeper.KeptLeaf{}
	for _, k := range all {
		if by[k.Reason] == nil {
			reasons = append(reasons, k.Reason)
		}
		by[k.Reason] = append(by[k.Reason], k)
	}
	var lines []string
	for _, reason := range reasons {
		these := by[reason]
		text := named(these, func(k sweeper.KeptLeaf) string {
			if k.Rows != nil {
				return fmt.Sprintf("%s (%d rows)", k.Partition, *k.Rows)
			}
			return k.Partition
		})
		if next := slices.MinFunc(these, func(x, y sweeper.KeptLeaf) int { return until(x).Compare(until(y)) }); next.Until != nil {
			text += fmt.Sprintf("; the next one, %s, not before %s", next.Partition, shown(*next.Until))
		}
		lines = append(lines, fmt.Sprintf("partitions that stay, since %s: %s", reason, text))
	}
	return lines
}

func until(k sweeper.KeptLeaf) time.Time {
	if k.Until == nil {
		return time.Time{}
	}
	return *k.Until
}

// named lists the first few of all.
func named[T any](all []T, name func(T) string) string {
	var names []string
	for _, one := range all[:min(len(all), mostNamed)] {
		names = append(names, name(one))
	}
	text := strings.Join(names, ", ")
	if more := len(all) - mostNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// duration writes seconds for people.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// size writes bytes for people.
func size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(bytes)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
