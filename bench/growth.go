package main

import (
	"context"
	"fmt"
)

var growthGroup = group{
	lines:   []string{"growth-10-times"},
	measure: growth,
}

// growth compares the time of a row in a table with that in one ten times as
// large.
func growth(ctx context.Context, b *bench) error {
	perRow := map[int]float64{}
	for _, n := range []int{b.rows, 10 * b.rows} {
		template := map[bool]string{true: "timeorder", false: "tenfold"}[n == b.rows]
		if err := b.template(ctx, template, fmt.Sprintf(rowsDDL, n, "i")); err != nil {
			return err
		}
		var all []float64
		for range min(b.runs, 3) {
			s, err := b.site(ctx, template, rowsPolicies)
			if err != nil {
				return err
			}
			t, err := s.swept(ctx, "rows", int64(n/2))
			if err != nil {
				return err
			}
			all = append(all, t.deleted/float64(n/2)*1e6)
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
		perRow[n] = middle(all)
	}
	b.add("growth-10-times", perRow[10*b.rows]/perRow[b.rows], "x the time a row", fmt.Sprintf("%d due rows, %.2f us a row", b.rows/2, perRow[b.rows]), between(0.9, 1.1))
	_, err := b.admin.Exec(ctx, `drop database tenfold`)
	return err
}
