package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

const (
	manyPartitions = 10000
	duePartitions  = 100
	aheadOfNow     = 10 // of today and of the days to come
	dueAfter       = manyPartitions - duePartitions - aheadOfNow
)

const partitionPolicies = `version: 1
categories:
  days: {table: bench.days, tenant: tenant, subject: who, start_from: at, delete: {after: P%dD}, limits: {max_share: 1}}
`

var partitionsGroup = group{
	lines:   []string{"plan-10000-partitions", "drop-lock-held", "drop-100-partitions", "partman-100-partitions"},
	measure: partitions,
}

// partitions measures 10 000 daily partitions of which 100 are due.
func partitions(ctx context.Context, b *bench) error {
	if err := b.partitionTemplate(ctx); err != nil {
		return err
	}
	if b.wants("plan-10000-partitions") {
		s, err := b.days(ctx)
		if err != nil {
			return err
		}
		took, err := b.median(func() (float64, error) { return s.sweeper(ctx, "plan", "-o", "json") })
		if err != nil {
			return err
		}
		b.add("plan-10000-partitions", took, "s", "the whole command: 10000 partitions, 100 due", atMost(1))
		if err := s.drop(ctx); err != nil {
			return err
		}
	}
	if !b.wants("drop-lock-held", "drop-100-partitions", "partman-100-partitions") {
		return nil
	}
	var ours, theirs drops
	var lacks missing
	for range b.runs {
		s, err := b.days(ctx)
		if err != nil {
			return err
		}
		err = b.dropped(ctx, s, &ours, func() (float64, error) {
			t, err := s.swept(ctx, "days", -1)
			return t.deleted, err
		})
		if err != nil {
			return err
		}
		if lacks == "" {
			if err := b.partman(ctx, &theirs); err != nil && !errors.As(err, &lacks) {
				return err
			}
		}
	}
	beside := "nothing: " + lacks.Error()
	if lacks == "" {
		beside = fmt.Sprintf("partman.run_maintenance with retention on the same partitions, %.2f s in one transaction, the lock held for %.0f ms", middle(theirs.took), middle(theirs.held))
	}
	b.add("drop-lock-held", middle(ours.held), "ms the parent was locked by one drop, seen every ms", beside, atMost(50))
	b.add("drop-100-partitions", middle(ours.took), "s", beside, figure)
	if lacks != "" {
		return lacks
	}
	b.add("partman-100-partitions", middle(ours.took)/middle(theirs.took), "x its time", beside, figure)
	return nil
}

// drops are what each run took, in seconds, and how long it held the parent's lock
// at most, in ms.
type drops struct{ took, held []float64 }

// dropped has the due partitions of a site go, watches the lock, and checks that
// just these went.
func (b *bench) dropped(ctx context.Context, s *site, all *drops, drop func() (float64, error)) error {
	longest, stop := b.watchLock(ctx, s)
	took, err := drop()
	stop()
	if err != nil {
		return err
	}
	left, err := s.number(ctx, `select count(*) from pg_inherits where inhparent = 'bench.days'::regclass and inhrelid::regclass::text not like '%default'`)
	if err != nil {
		return err
	}
	if left != manyPartitions-duePartitions {
		return fmt.Errorf("%.0f partitions are left, want %d", left, manyPartitions-duePartitions)
	}
	all.took, all.held = append(all.took, took), append(all.held, *longest*1000)
	return s.drop(ctx)
}

// daysDDL names the partitions as pg_partman does. Verb: aheadOfNow.
const daysDDL = `
	do $$ begin create role bench_owner nologin; exception when duplicate_object then null; end $$;
	create schema bench authorization bench_owner;
	set role bench_owner;
	create table bench.days (id bigint, at timestamptz not null, tenant text not null, who text not null, primary key (id, at)) partition by range (at);
	create index on bench.days (at);
	reset role;
	create procedure bench.fill(n int) language plpgsql as $p$
	declare
		day  timestamptz;
		leaf text;
	begin
		for i in -n .. %d - 1 loop
			day := date_trunc('day', now(), 'UTC') + i * interval '24 hours';
			leaf := 'bench.days_p' || to_char(day at time zone 'UTC', 'YYYY_MM_DD');
			execute format('create table %%s partition of bench.days for values from (%%L) to (%%L)', leaf, day, day + interval '24 hours');
			execute format('alter table %%s owner to bench_owner', leaf);
			if i < 0 then -- at the end of the day: those of the first day that is kept are due tonight
				execute format('insert into %%s select i, %%L::timestamptz + interval ''23:50'' + i * interval ''5 seconds'', ''t'' || i %%%% 100, ''u'' || i from generate_series(0, 99) i', leaf, day);
			end if;
			if i %% 50 = 0 then
				commit; -- each transaction may lock only so many tables
			end if;
		end loop;
	end $p$`

func (b *bench) partitionTemplate(ctx context.Context) error {
	return b.template(ctx, "days", fmt.Sprintf(daysDDL, aheadOfNow), fmt.Sprintf(`call bench.fill(%d)`, manyPartitions-aheadOfNow))
}

// days is a fresh site of that table, whose partitions sweeper may drop.
func (b *bench) days(ctx context.Context) (*site, error) {
	s, err := b.site(ctx, "days", fmt.Sprintf(partitionPolicies, dueAfter))
	if err != nil {
		return nil, err
	}
	_, err = s.exec(ctx, `grant bench_owner to sweeper_owner`)
	return s, err
}

// watchLock looks every millisecond whether the parent is locked exclusively by
// a purging backend, and keeps the longest time that one lock was seen.
func (b *bench) watchLock(ctx context.Context, s *site) (longest *float64, stop func()) {
	longest = new(float64)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := pgx.Connect(ctx, b.server.URL(s.name, pgserver.Superuser))
		if err != nil {
			return
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		began := map[string]time.Time{}
		for ctx.Err() == nil {
			rows, err := conn.Query(ctx, `select coalesce(string_agg(virtualtransaction, ','), '') from pg_locks
				where relation = 'bench.days'::regclass and mode = 'AccessExclusiveLock' and granted`)
			if err != nil {
				return
			}
			holders, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			if err != nil {
				return
			}
			now := time.Now()
			seen := map[string]bool{}
			for _, h := range strings.Split(holders, ",") {
				if h == "" {
					continue
				}
				seen[h] = true
				if _, ok := began[h]; !ok {
					began[h] = now
				}
				*longest = max(*longest, now.Sub(began[h]).Seconds())
			}
			for h := range began {
				if !seen[h] {
					delete(began, h)
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return longest, func() { cancel(); <-done }
}

// partman lets pg_partman drop the same partitions, by the interface of 4 or of 5.
func (b *bench) partman(ctx context.Context, all *drops) error {
	s, err := b.site(ctx, "days", "")
	if err != nil {
		return err
	}
	var version string
	if err := s.admin.QueryRow(ctx, `select coalesce(max(default_version), '') from pg_available_extensions where name = 'pg_partman'`).Scan(&version); err != nil {
		return err
	}
	if version == "" {
		return errors.Join(s.drop(ctx), missing("pg_partman"))
	}
	kind, every := "range", "1 day"
	if strings.HasPrefix(version, "4.") {
		kind, every = "native", "daily"
	}
	for _, sql := range []string{
		`create schema partman; create extension pg_partman schema partman`,
		fmt.Sprintf(`select partman.create_parent(p_parent_table := 'bench.days', p_control := 'at', p_type := '%s', p_interval := '%s', p_automatic_maintenance := 'off', p_start_partition := now()::text, p_premake := 4)`, kind, every),
		fmt.Sprintf(`update partman.part_config set retention = '%d days', retention_keep_table = false where parent_table = 'bench.days'`, dueAfter),
	} {
		if _, err := s.exec(ctx, sql); err != nil {
			return err
		}
	}
	return b.dropped(ctx, s, all, func() (float64, error) {
		return s.exec(ctx, `select partman.run_maintenance('bench.days', p_analyze := false)`)
	})
}
