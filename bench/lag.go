package main

import (
	"context"
	"fmt"
)

var lagGroup = group{
	lines:   []string{"log-lag-p99"},
	measure: lag,
}

// lag is the time between a batch's commit and that of its entry, in a sweep
// that is paced.
func lag(ctx context.Context, b *bench) error {
	if err := b.template(ctx, "timeorder", fmt.Sprintf(rowsDDL, b.rows, "i")); err != nil {
		return err
	}
	const pace = 50000
	var all []float64
	for range b.runs {
		s, err := b.site(ctx, "timeorder", rowsPolicies, fmt.Sprintf("SWEEPER_ROWS_PER_SECOND=%d", pace))
		if err != nil {
			return err
		}
		if _, err := s.swept(ctx, "rows", int64(b.rows/2)); err != nil {
			return err
		}
		v, err := s.number(ctx, `select percentile_cont(0.99) within group (order by extract(epoch from pg_xact_commit_timestamp(xmin) - committed_at)) from sweeper.purge_log where kind = 'delete'`)
		if err != nil {
			return err
		}
		all = append(all, v*1000)
		if err := s.drop(ctx); err != nil {
			return err
		}
	}
	b.add("log-lag-p99", middle(all), "ms from a batch's commit to its entry's", fmt.Sprintf("a sweep at %d rows/s", pace), atMost(300))
	return nil
}
