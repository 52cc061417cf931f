package main

import (
	"context"
	"errors"
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
	for range min(b.runs, 3) {
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

var verifyGroup = group{
	lines:   []string{"verify-entries"},
	measure: verifyEntries,
}

// verifyEntries has the log hold one entry for each of many transactions.
func verifyEntries(ctx context.Context, b *bench) error {
	if err := b.template(ctx, "quiet", `create schema bench; create table bench.quiet (id bigint primary key, at timestamptz not null)`); err != nil {
		return err
	}
	s, err := b.site(ctx, "quiet", quietOnly)
	if err != nil {
		return err
	}
	if _, err := s.sweeper(ctx, "sweep"); err != nil {
		return err
	}
	n := b.rows / 2
	if _, err := s.exec(ctx, `insert into bench.quiet select i, now() from generate_series(1, $1::int) i`, n); err != nil {
		return err
	}
	if _, err := s.exec(ctx, `create procedure bench.one_by_one(n int) language plpgsql as $p$ begin
		for i in 1 .. n loop delete from bench.quiet where id = i; commit; end loop; end $p$`); err != nil {
		return err
	}
	if _, err := s.exec(ctx, `set synchronous_commit = off`); err != nil {
		return err
	}
	if _, err := s.exec(ctx, fmt.Sprintf(`call bench.one_by_one(%d)`, n)); err != nil {
		return err
	}
	if _, err := s.sweeper(ctx, "sweep"); err != nil {
		return err
	}
	took, err := b.median(func() (float64, error) { return s.sweeper(ctx, "log", "verify") })
	if err != nil {
		return err
	}
	entries, err := s.number(ctx, `select count(*) from sweeper.purge_log`)
	b.add("verify-entries", entries/took, "entries/s", fmt.Sprintf("log verify of %.0f entries of one row, the command's start included, %.2f s", entries, took), atLeast(300000))
	return errors.Join(err, s.drop(ctx))
}
