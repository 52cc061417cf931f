-- How long sweeper's own tables are kept: the purge log at least seven years,
-- calls and facts for as long as somebody may ask.

-- prunable_until is the month before which the log may be pruned: whole months,
-- in UTC, that ended at least retention ago.
create or replace function sweeper.prunable_until(retention interval, before timestamptz) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
    select max(m)::timestamptz from (
        select date_trunc('month', least(now() - retention, before)::timestamp) - i * interval '1 month' as m from generate_series(0, 1) i) x
     where m + retention <= now()::timestamp
$$;
revoke all on function sweeper.prunable_until(interval, timestamptz) from public;
comment on function sweeper.prunable_until(interval, timestamptz) is
    'The first instant of the month (UTC) before which every month ended at least that long ago, and before a given time.';

-- prune_log drops the months of the log before until, and keeps what verifies
-- the others. The process that writes the log calls it in the transaction that
-- appends the entry, so that entry, record and drop come about together or not
-- at all. It believes nothing of what it is told: nobody prunes a month younger
-- than seven years, one in the middle, or one whose prune the log does not tell.
create or replace function sweeper.prune_log(size bigint, chain_hash bytea, hashes bytea, entry_seq bigint, until timestamptz) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, MDY' set row_security = off as $$
#variable_conflict use_variable
declare
    before  bigint := coalesce((select max(p.size) from sweeper.log_prunes p), 0);
    missing text := case when size is null then 'size' when chain_hash is null then 'chain_hash' when hashes is null then 'hashes'
                         when entry_seq is null then 'entry_seq' when until is null then 'until' end;
    dropped int := 0;
    leaf    record;
begin
    if missing is not null then
        raise exception 'prune_log: % must not be NULL', missing using errcode = '22004';
    elsif until::timestamp <> date_trunc('month', until::timestamp) then
        raise exception 'prune_log: until must be the beginning of a month, in UTC' using errcode = '22023';
    elsif until::timestamp + interval '7 years' > clock_timestamp()::timestamp then
        raise exception 'prune_log: the log is kept for seven years, and the month before % is younger', until::date using errcode = '22023';
    end if;
    lock table sweeper.purge_log, sweeper.purge_rows in access exclusive mode;
    if (select (count(*), min(l.seq), max(l.seq)) is distinct from (size - before, before, size - 1) from sweeper.purge_log l where l.logged_at < until)
       or exists (select from sweeper.purge_log l where l.logged_at >= until and l.seq < size)
       or exists (select from sweeper.purge_rows r where (r.logged_at < until) <> (r.seq < size)) then
        raise exception 'prune_log: the months before % are not entries % to %, and nothing else', until::date, before, size - 1 using errcode = '22023';
    elsif not exists (select from sweeper.purge_log l where l.seq = size - 1 and l.chain_hash = prune_log.chain_hash)
       or octet_length(hashes) <> 32 * length(replace((size::bit(64))::text, '0', '')) then
        raise exception 'prune_log: chain_hash or hashes are not those of % entries', size using errcode = '22023';
    elsif not exists (select from sweeper.purge_log l where l.seq = entry_seq and l.seq >= size and l.kind = 'log_prune' and l.row_count = size - before
                        and right(l.reference, 64) = sweeper.prune_digest(size, chain_hash, hashes)) then
        raise exception 'prune_log: entry % does not tell of this prune', entry_seq using errcode = '22023';
    end if;
    for leaf in
        select c.oid::regclass as name
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent in ('sweeper.purge_log'::regclass, 'sweeper.purge_rows'::regclass)
           and (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)$'))[1]::timestamptz <= until
    loop
        execute format('drop table %s', leaf.name);
        dropped := dropped + 1;
    end loop;
    if exists (select from sweeper.purge_log l where l.seq < size) or exists (select from sweeper.purge_rows r where r.seq < size) then
        raise exception 'prune_log: a partition reaches over %, so that it cannot go whole', until::date using errcode = '22023';
    end if;
    insert into sweeper.log_prunes (size, chain_hash, hashes, entry_seq) values (size, chain_hash, hashes, entry_seq);
    return dropped;
end $$;
revoke all on function sweeper.prune_log(bigint, bytea, bytea, bigint, timestamptz) from public;
comment on function sweeper.prune_log(bigint, bytea, bytea, bigint, timestamptz) is
    'Drops the months of the purge log before a given one, as a whole prefix and never within seven years, and records what verifies the rest.';

-- tidy forgets what is over. It takes no arguments, so that nobody can have it
-- forget sooner. The purge log, purges, checkpoints and policy versions are not
-- its business: they stay.
create or replace function sweeper.tidy() returns table (what text, rows bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    n      bigint;
    oldest timestamptz;
begin
    delete from sweeper.operator_log o where o.called_at < now() - interval '365 days';
    get diagnostics n = row_count;
    return query select 'operator_log', n;

    -- A batch is in the log when the end of its run is, which is committed after
    -- it, or when an entry has its transaction. The newest stamp stays: the health
    -- of the log is judged by it.
    oldest := (select min(b.at) from sweeper.batches b);
    delete from sweeper.batches b
     where b.at < now() - interval '90 days'
       and b.batch_id <> coalesce((select max(s.batch_id) from sweeper.batches s where s.fact = 'stamp'), 0)
       and (exists (select from sweeper.purges p where p.run_id = b.run_id and p.logged_at < now() - interval '90 days')
            or b.xid in (select l.xid::text::xid8 from sweeper.purge_log l
                          where l.xid is not null and l.logged_at >= oldest and l.logged_at < now() - interval '90 days' and l.committed_at >= oldest));
    get diagnostics n = row_count;
    return query select 'batches', n;

    -- A run that purged nothing has nothing in the log. The last run of each
    -- category stays, and the last good one: status and the clock go by them. So
    -- does the last one that purged, and of those since the last one of each
    -- version of the policies: a run by a shorter window than theirs is approved.
    delete from sweeper.runs r
     using (select q.category, max(q.started_at) filter (where q.deleted + q.redacted + q.children + q.partitions_dropped > 0) as purged_at
              from sweeper.runs q group by 1) w
     where w.category = r.category and r.started_at is distinct from w.purged_at
       and (r.started_at < w.purged_at or r.state not in ('succeeded', 'partial')
            or exists (select from sweeper.runs q where q.category = r.category and q.policy_sha256 = r.policy_sha256 and q.state in ('succeeded', 'partial') and q.started_at > r.started_at))
       and r.finished_at < now() - interval '90 days' and r.state <> 'running'
       and not exists (select from sweeper.batches b where b.run_id = r.run_id)
       and (exists (select from sweeper.purges p where p.run_id = r.run_id and p.logged_at < now() - interval '90 days')
            or r.state in ('observed', 'awaiting_approval', 'paused'))
       and exists (select from sweeper.runs q where q.category = r.category and q.started_at > r.started_at)
       and (r.state <> 'succeeded' or exists (select from sweeper.runs q where q.category = r.category and q.state = 'succeeded' and q.started_at > r.started_at));
    get diagnostics n = row_count;
    return query select 'runs', n;

    -- An hour is for clocks that differ: a hold that has just expired by ours may
    -- be in force by a batch's.
    n := 0;
    if exists (select from sweeper.legal_holds h where h.subject is not null and sweeper.hold_is_over(h)) then
        update sweeper.hold_keys k set value = null
          from sweeper.legal_holds h where h.hold_id = k.hold_id and k.part = 'subject' and k.value is not null and sweeper.hold_is_over(h);
        update sweeper.legal_holds h set subject = null, forgotten_at = clock_timestamp()
         where h.subject is not null and sweeper.hold_is_over(h);
        get diagnostics n = row_count;
    end if;
    return query select 'subjects of holds that are over', n;
end $$;
revoke all on function sweeper.tidy() from public;
comment on function sweeper.tidy() is
    'Deletes calls older than 365 days, and runs and batches 90 days after they are in the purge log; forgets the subjects of holds that are over.';
