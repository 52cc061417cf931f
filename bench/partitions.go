package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

const (
	manyPartitions = 10000
	duePartitions  = 100
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
	s, err := b.days(ctx)
	if err != nil {
		return err
	}
	took, err := b.median(func() (float64, error) { return s.sweeper(ctx, "plan", "-o", "json") })
	if err != nil {
		return err
	}
	b.add("plan-10000-partitions", took, "s", "10000 partitions, 100 due", atMost(1))
	if err := s.drop(ctx); err != nil {
		return err
	}
	var took100, held, partman []float64
	for range min(b.runs, 3) {
		s, err := b.days(ctx)
		if err != nil {
			return err
		}
		longest, stop := b.watchLock(ctx, s)
		t, err := s.swept(ctx, "days", -1)
		stop()
		if err != nil {
			return err
		}
		took100, held = append(took100, t.deleted), append(held, *longest*1000)
		if err := s.drop(ctx); err != nil {
			return err
		}
		if p, ok, err := b.partman(ctx); err != nil {
			return err
		} else if ok {
			partman = append(partman, p)
		}
	}
	b.add("drop-lock-held", middle(held), "ms the parent was locked by one drop, seen every ms", "an application's queries on it", atMost(50))
	if len(partman) == 0 {
		b.add("drop-100-partitions", middle(took100), "s", "nothing: pg_partman is not installed", figure)
		return nil
	}
	b.add("drop-100-partitions", middle(took100), "s", fmt.Sprintf("partman.run_maintenance with retention on the same partitions, %.2f s", middle(partman)), figure)
	b.add("partman-100-partitions", middle(took100)/middle(partman), "x its time", fmt.Sprintf("partman.run_maintenance with retention on the same partitions, %.2f s", middle(partman)), figure)
	return nil
}

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
		for i in 10 - n .. 9 loop
			day := date_trunc('day', now(), 'UTC') + i * interval '24 hours';
			leaf := 'bench.days_p' || to_char(day at time zone 'UTC', 'YYYYMMDD');
			execute format('create table %s partition of bench.days for values from (%L) to (%L)', leaf, day, day + interval '24 hours');
			execute format('alter table %s owner to bench_owner', leaf);
			if i < 0 then
				execute format('insert into %s select i, %L::timestamptz + i * interval ''10 minutes'', ''t'' || i %% 100, ''u'' || i from generate_series(0, 99) i', leaf, day);
			end if;
			if i % 50 = 0 then
				commit; -- each transaction may lock only so many tables
			end if;
		end loop;
	end $p$`

func (b *bench) partitionTemplate(ctx context.Context) error {
	return b.template(ctx, "days", daysDDL, fmt.Sprintf(`call bench.fill(%d)`, manyPartitions))
}

// days is a fresh site of that table, whose partitions sweeper may drop.
func (b *bench) days(ctx context.Context) (*site, error) {
	s, err := b.site(ctx, "days", fmt.Sprintf(partitionPolicies, manyPartitions-duePartitions-10)) // 10 lie ahead
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

// partman lets pg_partman drop the same partitions; false when the server does
// not have it.
func (b *bench) partman(ctx context.Context) (float64, bool, error) {
	s, err := b.site(ctx, "days", "")
	if err != nil {
		return 0, false, err
	}
	var there bool
	if err := s.admin.QueryRow(ctx, `select exists (select from pg_available_extensions where name = 'pg_partman')`).Scan(&there); err != nil || !there {
		return 0, false, s.drop(ctx)
	}
	for _, sql := range []string{
		`create schema partman; create extension pg_partman schema partman`,
		`select partman.create_parent('bench.days', 'at', 'native', 'daily', p_automatic_maintenance := 'off', p_start_partition := now()::text, p_premake := 4)`,
		`update partman.part_config set retention = '` + fmt.Sprint(manyPartitions-duePartitions-10) + ` days', retention_keep_table = false where parent_table = 'bench.days'`,
	} {
		if _, err := s.exec(ctx, sql); err != nil {
			return 0, false, err
		}
	}
	took, err := s.exec(ctx, `select partman.run_maintenance('bench.days', p_analyze := false)`)
	if err != nil {
		return 0, false, err
	}
	return took, true, s.drop(ctx)
}
