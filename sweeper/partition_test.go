package sweeper_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// detaching is the policy of the tests for partitions that stay as tables.
const detaching = `
version: 1
categories:
  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P1Y}, partitions: detach, manifest: %s}
`

// TestDetachedPartition has due partitions leave their table and stay as tables
// with all their rows: the log names them with their counts, and counts none of
// the rows as deleted. The default partition, one at the boundary and one with a
// held row go by rows, or stay.
func TestDetachedPartition(t *testing.T) {
	t.Parallel()
	b := setup(t, strings.ReplaceAll(partitioned, "shots_owner", "detach_owner"), fmt.Sprintf(detaching, "digest"))
	b.db.Exec(t, `grant detach_owner to sweeper_owner; select sweeper.apply_hold('held', 'case', 'test')`)
	before := b.text(t, `select string_agg(id::text, ',' order by id) from app.shots_02`)
	one := b.text(t, `select format('%s|%s', id, timezone('UTC', at)) from app.shots_02 order by id limit 1`)
	o := b.sweep(t)["shots"]
	if o.State != purge.Succeeded || o.PartitionsDropped < 5 || o.Held == 0 {
		t.Fatalf("got %+v", o)
	}
	detached := b.text(t, `select string_agg(partition || ' ' || row_count, ', ' order by partition) from sweeper.purge_log where kind = 'detach_partition'`)
	if !strings.HasPrefix(detached, "app.shots_01 100, app.shots_02 10") || strings.Contains(detached, "shots_03") {
		t.Errorf("detached are %s", detached)
	}
	if after := b.text(t, `select string_agg(id::text, ',' order by id) from app.shots_02`); after != before {
		t.Errorf("the detached table has rows %s, had %s", after, before)
	}
	if got := b.text(t, `select count(*) from pg_inherits where inhrelid in ('app.shots_01'::regclass, 'app.shots_02'::regclass)`); got != "0" {
		t.Error("the partitions are partitions still")
	}
	rows := pgtest.QueryOne[int64](t, b.admin, `select coalesce(sum(row_count), 0)::bigint from sweeper.purge_log where kind = 'delete'`)
	if got := b.text(t, `select rows_deleted from sweeper.purges where category = 'shots'`); o.Deleted != rows || got != fmt.Sprint(rows) {
		t.Errorf("%d rows were deleted; the run says %d, its summary %s", rows, o.Deleted, got)
	}
	id, at, _ := strings.Cut(one, "|")
	b.commitments(t, "app.shots", "id", id, "at", at+"+00")
	if got := b.text(t, `select count(*) from sweeper.manifest`); got != "0" {
		t.Errorf("%s keys are left in the database", got)
	}

	story, err := sweeper.Explain(t.Context(), b.cfg, b.set, "app.shots", fmt.Sprintf("[%q,%q]", id, at+"+00"), time.Time{})
	if err != nil || story.Exists || !slices.Contains(story.Detached, "app.shots_01") || len(story.Log) != 1 || story.Log[0].Kind != "detach_partition" {
		t.Errorf("%v: a row of a detached partition: %+v", err, story)
	}

	// The range is free: what comes into it later is swept like everything else,
	// and what was detached is nobody's any more.
	b.db.Exec(t, `do $$ declare m timestamptz := date_trunc('month', now()) - interval '24 months'; begin
		execute format('create table app.shots_again partition of app.shots for values from (%L) to (%L)', m, m + interval '1 month');
		insert into app.shots (at, who) values (m + interval '1 day', 'late');
		end $$; alter table app.shots_again owner to detach_owner`)
	again := b.sweep(t)["shots"]
	if got := b.text(t, `select string_agg(partition || ' ' || row_count, ', ') from sweeper.purge_log where kind = 'detach_partition' and run_id = $1`, again.RunID); again.PartitionsDropped != 1 || got != "app.shots_again 1" {
		t.Errorf("the second sweep detached %s: %+v", got, again)
	}
	if after := b.text(t, `select string_agg(id::text, ',' order by id) from app.shots_02`); after != before {
		t.Errorf("after the second sweep the detached table has rows %s, had %s", after, before)
	}
}

// TestManifests has partitions go with each manifest, over a key of columns whose
// texts casts and the stream write differently: the commitments of a digest are
// those that a deletion by rows would have had.
func TestManifests(t *testing.T) {
	t.Parallel()
	for manifest, want := range map[string]string{
		"none":   `app."Odd Old" ? false; purged ?`,
		"count":  `app."Odd Old" 3 false; purged 4`,
		"digest": `app."Odd Old" 3 true; purged 4`,
	} {
		t.Run(manifest, func(t *testing.T) {
			t.Parallel()
			b := setup(t, strings.ReplaceAll(`
				create schema app;
				do $$ begin create role manifest_owner nologin; exception when duplicate_object or unique_violation then null; end $$;
				create table app."Odd" (flag boolean, code char(4), at timestamptz, "The Id" numeric(6, 2), primary key (code, at, flag, "The Id")) partition by range (at);
				create table app."Odd Old" partition of app."Odd" for values from ('2019-01-01') to ('2020-01-01');
				create table app.odd_rest partition of app."Odd" default;
				create table app.odd_young partition of app."Odd" for values from ('2024-01-01') to ('2090-01-01');
				insert into app."Odd" values (true, 'a', '2019-02-01 10:00+00', 1.5), (false, 'b', '2019-02-01 10:00:00.25+00', 2), (true, 'ü"', '2019-03-01+00', 3),
					(true, 'r', '2018-01-01 10:00+00', 7);
				alter table app."Odd" owner to manifest_owner; alter table app."Odd Old" owner to manifest_owner; alter table app.odd_rest owner to manifest_owner; alter table app.odd_young owner to manifest_owner`, "manifest_owner", "manifest_owner_"+manifest),
				"version: 1\ncategories:\n  odd: {table: app.Odd, start_from: at, delete: {after: P1Y}, manifest: "+manifest+"}\n")
			b.db.Exec(t, `grant manifest_owner_`+manifest+` to sweeper_owner`)
			b.db.Exec(t, `alter role sweeper_daemon in database `+b.db.Name+` set datestyle = 'German'`)
			o := b.sweep(t)["odd"]
			if o.State != purge.Succeeded || o.PartitionsDropped != 1 || o.Remaining != 0 {
				t.Errorf("got %+v", o)
			}
			got := b.text(t, `select concat(partition, ' ', coalesce(row_count::text, '?'), ' ', (rows_root is not null)::text) from sweeper.purge_log where kind = 'drop_partition'`) +
				"; purged " + b.text(t, `select coalesce(rows_deleted::text, '?') from sweeper.purges`)
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			b.commitments(t, `app."Odd"`, "code", "r   ", "at", "2018-01-01 10:00:00+00", "flag", "t", "The Id", "7.00")
			if manifest == "digest" {
				b.commitments(t, `app."Odd"`, "code", "a   ", "at", "2019-02-01 10:00:00+00", "flag", "t", "The Id", "1.50")
				b.commitments(t, `app."Odd"`, "code", "b   ", "at", "2019-02-01 10:00:00.25+00", "flag", "f", "The Id", "2.00")
				b.commitments(t, `app."Odd"`, "code", `ü"  `, "at", "2019-03-01 00:00:00+00", "flag", "t", "The Id", "3.00")
			}
		})
	}
}

// TestPartitionsOfPartitions has children that are partitioned themselves, by
// each strategy: their rows go one by one, and no partition of theirs does.
func TestPartitionsOfPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		do $$ begin create role deep_owner nologin; exception when duplicate_object or unique_violation then null; end $$;
		create table app.shots (id bigint generated always as identity, at timestamptz, who text, primary key (id, at, who)) partition by range (at);
		create table app.y19 partition of app.shots for values from ('2019-01-01') to ('2020-01-01') partition by range (at);
		create table app.y19a partition of app.y19 for values from ('2019-01-01') to ('2019-07-01');
		create table app.y19b partition of app.y19 for values from ('2019-07-01') to ('2020-01-01');
		create table app.y20 partition of app.shots for values from ('2020-01-01') to ('2021-01-01') partition by list (who);
		create table app.y20a partition of app.y20 for values in ('a');
		create table app.y20r partition of app.y20 default;
		create table app.y21 partition of app.shots for values from ('2021-01-01') to ('2022-01-01') partition by hash (id);
		create table app.y21a partition of app.y21 for values with (modulus 2, remainder 0);
		create table app.y21b partition of app.y21 for values with (modulus 2, remainder 1);
		create table app.y22 partition of app.shots for values from ('2022-01-01') to ('2023-01-01');
		create table app.young partition of app.shots for values from ('2023-01-01') to ('2090-01-01') partition by range (at);
		create table app.younger partition of app.young for values from ('2023-01-01') to ('2090-01-01');
		insert into app.shots (at, who) select '2019-01-15'::timestamptz + i * interval '1 month', case when i % 2 = 0 then 'a' else 'b' end from generate_series(0, 47) i;
		insert into app.shots (at, who) select now(), 'a' from generate_series(1, 5);
		do $$ declare r regclass; begin for r in select oid from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') loop
			execute format('alter table %s owner to deep_owner', r); end loop; end $$`,
		"version: 1\ncategories:\n  shots: {table: app.shots, start_from: at, delete: {after: P1Y}}\n")
	b.db.Exec(t, `grant deep_owner to sweeper_owner`)
	o := b.sweep(t)["shots"]
	if o.State != purge.Succeeded || o.Deleted != 48 || o.PartitionsDropped != 1 {
		t.Errorf("got %+v", o)
	}
	got := b.text(t, `select string_agg(kind || ' ' || partition || ' ' || row_count, ', ' order by partition) from sweeper.purge_log where kind in ('delete', 'drop_partition')`)
	if want := "delete app.y19a 6, delete app.y19b 6, delete app.y20a 6, delete app.y20r 6, "; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "drop_partition app.y22 12") {
		t.Errorf("the log has %s", got)
	}
	if left := b.text(t, `select count(*) from app.shots`); left != "5" {
		t.Errorf("%s rows are left", left)
	}
}

// TestPartitionsByListAndHash has tables whose partitions no bound lets go:
// their rows go one by one.
func TestPartitionsByListAndHash(t *testing.T) {
	t.Parallel()
	for by, parts := range map[string]string{
		"list (who)": `create table app.a partition of app.shots for values in ('a'); create table app.b partition of app.shots for values in ('b')`,
		"hash (id)":  `create table app.a partition of app.shots for values with (modulus 2, remainder 0); create table app.b partition of app.shots for values with (modulus 2, remainder 1)`,
		"list (at)":  `create table app.a partition of app.shots for values in ('2019-01-01'); create table app.b partition of app.shots default`,
	} {
		b := setup(t, `create schema app; create table app.shots (id int, at date, who text, primary key (id, at, who)) partition by `+by+`; `+parts+`;
			insert into app.shots select i, '2019-01-01'::date + i, case when i % 2 = 0 then 'a' else 'b' end from generate_series(0, 99) i`,
			"version: 1\ncategories:\n  shots: {table: app.shots, start_from: at, delete: {after: P1Y}}\n")
		o := b.sweep(t)["shots"]
		if kinds := b.text(t, `select string_agg(distinct kind, ' ') from sweeper.purge_log where kind not in ('genesis', 'coverage')`); o.State != purge.Succeeded || o.Deleted != 100 || o.PartitionsDropped != 0 || kinds != "delete" {
			t.Errorf("%s: the log has %s, got %+v", by, kinds, o)
		}
	}
}
