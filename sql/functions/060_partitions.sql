-- Whole partitions go through this one function: only the owner of a table
-- may drop it, and the daemon is not the owner of anything.

-- drop_partition drops leaf when every row in it is due and none is held, and
-- returns how many rows went. It writes the stamp first and the report last,
-- in the caller's transaction. It raises
--   SW001  a row of the leaf is not due
--   SW002  a row of the leaf is under a legal hold
--   SW003  the leaf is not a partition that may be dropped
-- and then the caller's transaction has changed nothing.
--
-- lock_timeout is below deadlock_timeout, so that we are the victim where the
-- application's statement and our lock on the parent would block each other.
create or replace function sweeper.drop_partition(
    root regclass, leaf regclass, start_column name, zone text, retention interval, as_of timestamptz, manifest text,
    subject_column name, tenant_column name,
    category text, reason text, basis text, actor text, run_id uuid, policy_sha256 bytea, cutoff timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' as $$
#variable_conflict use_variable
declare
    root_name text;
    leaf_name text;
    start     text;
    due       text;
    counted   bigint;
    early     bigint;
    held      bigint;
    per_tenant jsonb;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'drop_partition must run in READ COMMITTED, not %', current_setting('transaction_isolation') using errcode = '25001';
    end if;
    perform pg_advisory_xact_lock_shared(1398228304, 1);
    select format('%I.%I', n.nspname, c.relname) into root_name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = root;
    select format('%I.%I', n.nspname, c.relname) into leaf_name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = leaf;
    insert into sweeper.batches (fact, kind, reason, category, relation, partition, cutoff, basis, actor, run_id, policy_sha256)
    values ('stamp', 'drop_partition', reason, category, root_name, leaf_name, cutoff, basis, actor, run_id, policy_sha256);

    execute format('lock table %s in share mode', leaf);
    perform sweeper.check_droppable(root, leaf, start_column);
    if as_of > clock_timestamp() then
        raise exception 'drop_partition: as_of lies in the future' using errcode = '22023';
    end if;

    select case t.typname
        when 'timestamptz' then format('timezone($1, timezone($1, t.%1$I) + $2) <= $3 and t.%1$I > ''-infinity''', start_column)
        when 'timestamp' then format('timezone($1, t.%1$I + $2) <= $3 and t.%1$I > ''-infinity''', start_column)
        when 'date' then format('timezone($1, (t.%1$I + 1)::timestamp + $2) <= $3 and t.%1$I > ''-infinity''', start_column)
    end into due
    from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = leaf and a.attname = start_column;
    execute format('select count(*), count(*) filter (where (%s) is not true), count(*) filter (where %s) from %s t',
        due, sweeper.held_condition(root, category, subject_column, tenant_column), leaf)
       into counted, early, held using zone, retention, as_of;
    if early > 0 then
        raise exception '% of the rows in % are not due', early, leaf_name using errcode = 'SW001';
    elsif held > 0 then
        raise exception '% of the rows in % are under a legal hold', held, leaf_name using errcode = 'SW002';
    end if;
    if tenant_column is not null and manifest <> 'none' then
        execute format('select jsonb_agg(jsonb_build_object(''tenant'', tenant, ''rows'', n)) from (select %I::text as tenant, count(*) as n from %s group by 1 order by 1) t',
            tenant_column, leaf) into per_tenant;
    end if;
    execute format('drop table %s', leaf);
    insert into sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
    values ('report', 'drop_partition', category, root_name, leaf_name, run_id, case when manifest = 'none' then null else counted end, per_tenant);
    return counted;
end $$;
revoke all on function sweeper.drop_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) from public;
comment on function sweeper.drop_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) is
    'Drops one partition whose rows are all due and none held, with its stamp and its manifest in the same transaction.';

create or replace function sweeper.check_droppable(root regclass, leaf regclass, start_column name) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    why text;
begin
    select case
        when c.relkind <> 'r' then 'it is not an ordinary table'
        when not exists (select from pg_inherits i where i.inhrelid = leaf and i.inhparent = root) then 'it is not a partition of ' || root::text
        when p.partstrat <> 'r' then 'its parent is not partitioned by RANGE'
        when p.partdefid = leaf then 'it is the default partition'
        when (select a.attname from pg_attribute a where a.attrelid = root and a.attnum = p.partattrs[0]) is distinct from start_column
            then 'its parent is not partitioned on the start column'
        when (select count(*) from pg_inherits i where i.inhparent = root and i.inhrelid <> p.partdefid) < 2 then 'it is the last partition'
        when exists (select from pg_trigger t where t.tgrelid = leaf and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 8 = 8) then 'it has DELETE triggers, which a drop does not fire'
        when exists (select from pg_constraint k where k.contype = 'f' and k.confrelid in (root, leaf)) then 'foreign keys point at it'
    end into why
    from pg_class c left join pg_partitioned_table p on p.partrelid = root
    where c.oid = leaf;
    if not found then
        why := 'it does not exist';
    end if;
    if why is not null then
        raise exception 'partition % may not be dropped: %', leaf, why using errcode = 'SW003';
    end if;
end $$;
revoke all on function sweeper.check_droppable(regclass, regclass, name) from public;
comment on function sweeper.check_droppable(regclass, regclass, name) is
    'Refuses (SW003) a leaf that is not a plain RANGE partition on the start column, or whose drop would bypass triggers or foreign keys.';

-- held_condition is the condition "the row t is held" over a table of category
-- category, one branch per shape of hold.
create or replace function sweeper.held_condition(root regclass, category text, subject_column name, tenant_column name) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    base    text;
    subject_type oid;
    tenant_type  oid;
    result  text;
begin
    base := format('h.released_at is null and (h.expires_at is null or h.expires_at > now()) and (h.category is null or h.category = %L) and (h.relation is null or h.relation = %s)',
        category, root::oid);
    select a.atttypid into subject_type from pg_attribute a where a.attrelid = root and a.attname = subject_column;
    select a.atttypid into tenant_type from pg_attribute a where a.attrelid = root and a.attname = tenant_column;
    result := format('exists (select from sweeper.legal_holds h where h.subject is null and h.tenant is null and %s)', base);
    if tenant_type is not null then
        result := result || format(' or exists (select from sweeper.legal_holds h join sweeper.hold_keys k on k.hold_id = h.hold_id and k.part = ''tenant'' and k.type = %1$s where h.subject is null and %2$s and case when k.type = %1$s then k.value::%3$s end = t.%4$I)',
            tenant_type, base, format_type(tenant_type, -1), tenant_column);
    end if;
    if subject_type is not null then
        result := result || format(' or exists (select from sweeper.legal_holds h join sweeper.hold_keys k on k.hold_id = h.hold_id and k.part = ''subject'' and k.type = %1$s %2$s where %3$s and case when k.type = %1$s then k.value::%4$s end = t.%5$I %6$s)',
            subject_type,
            case when tenant_type is not null then format('left join sweeper.hold_keys n on n.hold_id = h.hold_id and n.part = ''tenant'' and n.type = %s', tenant_type) else '' end,
            base, format_type(subject_type, -1), subject_column,
            case when tenant_type is not null then format('and (h.tenant is null or t.%1$I is null or case when n.type = %2$s then n.value::%3$s end = t.%1$I)', tenant_column, tenant_type, format_type(tenant_type, -1)) else '' end);
    end if;
    return result;
end $$;
revoke all on function sweeper.held_condition(regclass, text, name, name) from public;
comment on function sweeper.held_condition(regclass, text, name, name) is
    'The SQL condition under which a row t of a governed table is held.';
