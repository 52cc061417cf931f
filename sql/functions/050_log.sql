-- The purge log: append-only, and partitioned by month.

create or replace function sweeper.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% on %.% is refused: the purge log is append-only', tg_op, tg_table_schema, tg_table_name using errcode = '42501';
end $$;
revoke all on function sweeper.refuse_change() from public;
comment on function sweeper.refuse_change() is
    'Trigger: refuses every change of what is already in the purge log.';

-- guard_log puts the refusing triggers on one table of the log. A statement
-- trigger on a partitioned table is not cloned to its partitions, so the
-- TRUNCATE trigger goes onto each partition by itself; ENABLE ALWAYS keeps
-- session_replication_role = replica from passing by.
create or replace function sweeper.guard_log(log regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from pg_trigger where tgrelid = log and tgname = 'refuse_change') then
        execute format('create trigger refuse_change before update or delete on %s for each row execute function sweeper.refuse_change()', log);
        execute format('alter table %s enable always trigger refuse_change', log);
    end if;
    if not exists (select from pg_trigger where tgrelid = log and tgname = 'refuse_truncate') then
        execute format('create trigger refuse_truncate before truncate on %s for each statement execute function sweeper.refuse_change()', log);
        execute format('alter table %s enable always trigger refuse_truncate', log);
    end if;
end $$;
revoke all on function sweeper.guard_log(regclass) from public;
comment on function sweeper.guard_log(regclass) is
    'Puts the triggers that refuse UPDATE, DELETE and TRUNCATE onto a table of the log.';

-- A partition is made beside its parent and then attached: that lets readers
-- of the log go on, where CREATE TABLE … PARTITION OF would wait for the
-- longest of them and have everybody else wait behind it. Bounds are texts, so
-- the settings that texts depend on are pinned.
create or replace function sweeper.ensure_log_partitions(until timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set datestyle = 'ISO, MDY' set timezone = 'UTC' as $$
declare
    parent text;
    leaf   text;
    month  timestamp;
    first  timestamp := date_trunc('month', least(clock_timestamp(), until)::timestamp);
begin
    if until is null then
        raise exception 'ensure_log_partitions: until must not be NULL' using errcode = '22004';
    elsif until > clock_timestamp() + interval '2 years' or until < clock_timestamp() - interval '2 years' then
        raise exception 'ensure_log_partitions: until is more than two years away' using errcode = '22023';
    end if;
    for month in select generate_series(first, date_trunc('month', until::timestamp), interval '1 month') loop
        foreach parent in array array['purge_log', 'purge_rows'] loop
            leaf := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
            continue when to_regclass('sweeper.' || leaf) is not null;
            -- One session at a time makes partitions; whoever waited looks again.
            execute format('lock table only sweeper.%I in share update exclusive mode', parent);
            continue when to_regclass('sweeper.' || leaf) is not null;
            execute format('create table sweeper.%I (like sweeper.%I including defaults including constraints including storage including comments)', leaf, parent);
            execute format('alter table sweeper.%I attach partition sweeper.%I for values from (%L) to (%L)', parent, leaf,
                timezone('UTC', month), timezone('UTC', month + interval '1 month'));
            execute format('comment on table sweeper.%I is %L', leaf, 'One month of sweeper.' || parent || '.');
            execute format('grant select on sweeper.%I to sweeper_auditor', leaf);
            perform sweeper.guard_log(('sweeper.' || leaf)::regclass);
        end loop;
    end loop;
end $$;
revoke all on function sweeper.ensure_log_partitions(timestamptz) from public;
comment on function sweeper.ensure_log_partitions(timestamptz) is
    'Creates the monthly partitions of the purge log up to the month of until, each with its own guards.';

select sweeper.guard_log('sweeper.purge_log'), sweeper.guard_log('sweeper.purge_rows'), sweeper.guard_log('sweeper.purges'),
    sweeper.guard_log('sweeper.checkpoints'), sweeper.guard_log('sweeper.checkpoint_anchors'), sweeper.guard_log('sweeper.log_prunes');
select sweeper.ensure_log_partitions(now() + interval '3 months');
