package main

import (
	"context"
	"fmt"
	"time"
)

// rowsDDL makes 279 bytes a row with three indexes, half of them due after five
// years. %s orders the starts: as they were inserted, or at random.
const rowsDDL = `
	create schema bench;
	create table bench.rows (id bigint primary key, at timestamptz not null, who text not null, payload text not null);
	insert into bench.rows
	  select row_number() over (), at, 'u' || i %% 100000, repeat('x', 200)
	    from (select i, now() - interval '10 years' * (1 - (i - 0.5) / %[1]d) + interval '1 day' * sign(2 * i - %[1]d - 1) as at from generate_series(1, %[1]d) i order by %[2]s) x;
	create index on bench.rows (at);
	create index on bench.rows (who);
	create table bench.quiet (id bigint primary key, at timestamptz not null)`

const rowsPolicies = `version: 1
categories:
  rows: {table: bench.rows, subject: who, start_from: at, delete: {after: P5Y}, limits: {max_share: 1}}
  quiet: {table: bench.quiet, start_from: at, delete: {after: P5Y}}
`

// due is what the policies say; the bare statements compare with an instant, as
// people write them.
const bareDelete = `delete from bench.rows where at <= now() - interval '5 years'`

var deleteGroup = group{
	lines: []string{"delete-2-workers", "delete-1-worker", "delete-to-log-2-workers", "delete-to-log-1-worker", "sweep-command-2-workers", "bytes-per-row", "limit-loop-time-order"},
	measure: func(ctx context.Context, b *bench) error {
		return b.deletes(ctx, "timeorder", "i", map[string]string{
			"2": "delete-2-workers", "1": "delete-1-worker", "log 2": "delete-to-log-2-workers", "log 1": "delete-to-log-1-worker",
			"command": "sweep-command-2-workers", "bytes": "bytes-per-row", "loop": "limit-loop-time-order",
		}, 5)
	},
}

var scatteredGroup = group{
	lines: []string{"delete-scattered-2-workers", "delete-scattered-1-worker", "limit-loop-scattered"},
	measure: func(ctx context.Context, b *bench) error {
		return b.deletes(ctx, "scattered", "hashint8(i)", map[string]string{
			"2": "delete-scattered-2-workers", "1": "delete-scattered-1-worker", "loop": "limit-loop-scattered",
		}, 10)
	},
}

// sweepTimes is what one sweep took, in seconds.
type sweepTimes struct {
	deleted float64 // from the run's start to its end
	logged  float64 // to the commit of its last entry in the log
	command float64 // the whole command, planning and starting included
}

// swept runs one sweep of a category and reads its times.
func (s *site) swept(ctx context.Context, category string, due int64) (sweepTimes, error) {
	var t sweepTimes
	var err error
	if t.command, err = s.sweeper(ctx, "sweep", "--category", category); err != nil {
		return t, err
	}
	var deleted int64
	err = s.admin.QueryRow(ctx, `select extract(epoch from max(finished_at) - min(started_at))::float8,
		extract(epoch from (select max(pg_xact_commit_timestamp(xmin)) from sweeper.purge_log) - min(started_at))::float8, sum(deleted)::bigint
		from sweeper.runs where category = $1`, category).Scan(&t.deleted, &t.logged, &deleted)
	if err == nil && due >= 0 && deleted != due {
		err = fmt.Errorf("the sweep deleted %d rows, and %d are due", deleted, due)
	}
	return t, err
}

func (b *bench) deletes(ctx context.Context, template, order string, names map[string]string, loopTarget float64) error {
	if err := b.template(ctx, template, fmt.Sprintf(rowsDDL, b.rows, order)); err != nil {
		return err
	}
	due := int64(b.rows / 2)
	var bare, loop, bytes []float64
	times := map[string][]sweepTimes{}
	for range b.runs {
		// Without sweeper.
		s, err := b.site(ctx, template, "")
		if err != nil {
			return err
		}
		took, err := s.exec(ctx, bareDelete)
		if err != nil {
			return err
		}
		bare = append(bare, took)
		if err := s.drop(ctx); err != nil {
			return err
		}
		for _, workers := range []string{"2", "1"} {
			s, err := b.site(ctx, template, rowsPolicies, "SWEEPER_WORKERS="+workers)
			if err != nil {
				return err
			}
			t, err := s.swept(ctx, "rows", due)
			if err != nil {
				return err
			}
			times[workers] = append(times[workers], t)
			size, err := s.number(ctx, logBytesSQL)
			if err != nil {
				return err
			}
			bytes = append(bytes, size/float64(due))
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
		if b.wants(names["loop"]) {
			took, err := b.limitLoop(ctx, template, due)
			if err != nil {
				return err
			}
			loop = append(loop, took)
		}
	}
	base := middle(bare)
	pick := func(workers string, of func(sweepTimes) float64) float64 {
		var all []float64
		for _, t := range times[workers] {
			all = append(all, of(t))
		}
		return middle(all)
	}
	deleted := func(t sweepTimes) float64 { return t.deleted }
	against := fmt.Sprintf("one bare DELETE of the same %d rows, %.2f s", due, base)
	b.add(names["2"], pick("2", deleted)/base, "x its time", against, atMost(1.3))
	b.add(names["1"], pick("1", deleted)/base, "x its time", against, atMost(1.6))
	if names["bytes"] != "" {
		b.add(names["log 2"], pick("2", func(t sweepTimes) float64 { return t.logged })/base, "x its time", against, atMost(3))
		b.add(names["log 1"], pick("1", func(t sweepTimes) float64 { return t.logged })/base, "x its time", against, figure)
		b.add(names["command"], pick("2", func(t sweepTimes) float64 { return t.command })/base, "x its time", against, figure)
		b.add(names["bytes"], middle(bytes), "bytes of purge_log and purge_rows, indexes included", "a purged row", atMost(40))
	}
	if len(loop) > 0 {
		b.add(names["loop"], middle(loop)/pick("2", deleted), "x as fast", fmt.Sprintf("DELETE … WHERE id IN (SELECT … LIMIT 1000) in a loop, %.1f s", middle(loop)), atLeast(loopTarget))
	}
	return nil
}

const logBytesSQL = `select sum(pg_total_relation_size(i.inhrelid)) from pg_inherits i
	where i.inhparent in ('sweeper.purge_log'::regclass, 'sweeper.purge_rows'::regclass) and pg_relation_size(i.inhrelid) > 0`

// limitLoop is what people write by hand. It may take minutes where starts are
// scattered: after ten times the sweep's target it is cut off, and what it had
// deleted by then is scaled up, in its favour, since it slows down.
func (b *bench) limitLoop(ctx context.Context, template string, due int64) (float64, error) {
	const patience = 2 * time.Minute
	s, err := b.site(ctx, template, "")
	if err != nil {
		return 0, err
	}
	if _, err := s.admin.Exec(ctx, `set synchronous_commit = off`); err != nil { // as in our batches
		return 0, err
	}
	began, deleted := time.Now(), int64(0)
	for time.Since(began) < patience {
		tag, err := s.admin.Exec(ctx, `delete from bench.rows where id in (select id from bench.rows where at <= now() - interval '5 years' limit 1000)`)
		if err != nil {
			return 0, fmt.Errorf("delete in a loop: %w", err)
		}
		if tag.RowsAffected() == 0 {
			break
		}
		deleted += tag.RowsAffected()
	}
	took := time.Since(began).Seconds() * float64(due) / float64(deleted)
	return took, s.drop(ctx)
}
