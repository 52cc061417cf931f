package main

import (
	"context"
	"fmt"
)

var growthGroup = group{
	lines:   []string{"growth-10-times", "growth-to-log-10-times"},
	measure: growth,
}

// growth compares the time of a row in a table with that in one ten times as
// large: until it is deleted, and until it is in the log.
func growth(ctx context.Context, b *bench) error {
	deleted, logged := map[int]float64{}, map[int]float64{} // us a row, by the rows of the table
	for _, n := range []int{b.rows, 10 * b.rows} {
		template := map[bool]string{true: "timeorder", false: "tenfold"}[n == b.rows]
		if err := b.template(ctx, template, fmt.Sprintf(rowsDDL, n, "i")); err != nil {
			return err
		}
		var here, there []float64
		for range b.runs {
			s, err := b.site(ctx, template, rowsPolicies)
			if err != nil {
				return err
			}
			t, err := s.swept(ctx, "rows", int64(n/2))
			if err != nil {
				return err
			}
			here = append(here, t.deleted/float64(n/2)*1e6)
			there = append(there, t.logged/float64(n/2)*1e6)
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
		deleted[n], logged[n] = middle(here), middle(there)
	}
	more := 10 * b.rows
	b.add("growth-10-times", deleted[more]/deleted[b.rows], "x the time a row", fmt.Sprintf("%d due rows, %.2f us a row", b.rows/2, deleted[b.rows]), between(0.9, 1.1))
	b.add("growth-to-log-10-times", logged[more]/logged[b.rows], "x the time a row", fmt.Sprintf("%d due rows, %.2f us a row to the log", b.rows/2, logged[b.rows]), figure)
	_, err := b.admin.Exec(ctx, `drop database tenfold`)
	return err
}
