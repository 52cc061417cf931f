-- Whole partitions go through these functions: only the owner of a table may
-- drop or detach it, and the daemon is not the owner of anything.

-- drop_partition and detach_partition take a leaf out of its table when every
-- row in it is due and none is held, and return how many rows were in it, or
-- NULL when the manifest is none. The one drops the leaf; the other leaves it
-- where it is, under its name, as a table that no policy governs any more.
-- They write the stamp first and the report last, in the caller's transaction.
-- They raise
--   SW001  a row of the leaf is not due
--   SW002  a row of the leaf is under a legal hold
--   SW003  the leaf is not a partition that may go
--   22023  the arguments are not what the policies say of the table
--   42501  the caller may not delete from the table, sweeper_owner is no member
--          of its owner, or row security would hide rows from the count
-- and then the caller's transaction has changed nothing.
--
-- lock_timeout is below deadlock_timeout, so that we are the victim where the
-- application's statement and our lock on the parent would block each other.
create or replace function sweeper.drop_partition(
    root regclass, leaf regclass, start_column name, zone text, retention interval, as_of timestamptz, manifest text,
    subject_column name, tenant_column name,
    category text, reason text, basis text, actor text, run_id uuid, policy_sha256 bytea, cutoff timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' set row_security = off as $$
begin
    return sweeper.take_partition('drop_partition', root, leaf, start_column, zone, retention, as_of, manifest, subject_column, tenant_column,
        category, reason, basis, actor, run_id, policy_sha256, cutoff);
end $$;
revoke all on function sweeper.drop_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) from public;
comment on function sweeper.drop_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) is
    'Drops one partition whose rows are all due and none held, with its stamp and its manifest in the same transaction.';

create or replace function sweeper.detach_partition(
    root regclass, leaf regclass, start_column name, zone text, retention interval, as_of timestamptz, manifest text,
    subject_column name, tenant_column name,
    category text, reason text, basis text, actor text, run_id uuid, policy_sha256 bytea, cutoff timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' set row_security = off as $$
begin
    return sweeper.take_partition('detach_partition', root, leaf, start_column, zone, retention, as_of, manifest, subject_column, tenant_column,
        category, reason, basis, actor, run_id, policy_sha256, cutoff);
end $$;
revoke all on function sweeper.detach_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) from public;
comment on function sweeper.detach_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) is
    'Detaches one partition whose rows are all due and none held, with its stamp and its manifest in the same transaction. Its rows stay, in a table of the same name that is no longer swept.';

-- take_partition is what both do; kind is the name of the one that is asked.
create or replace function sweeper.take_partition(
    kind text, root regclass, leaf regclass, start_column name, zone text, retention interval, as_of timestamptz, manifest text,
    subject_column name, tenant_column name,
    category text, reason text, basis text, actor text, run_id uuid, policy_sha256 bytea, cutoff timestamptz) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    root_name  text := sweeper.relation_name(root);
    leaf_name  text := sweeper.relation_name(leaf);
    unit       text := (select g.start_unit from sweeper.governed g where g.category = take_partition.category);
    due        text;
    is_held    text;
    counted    bigint;
    early      bigint;
    held       bigint;
    per_tenant jsonb;
begin
    perform sweeper.check_drop(kind, root, start_column, zone, retention, as_of, manifest, subject_column, tenant_column, category, run_id);
    perform sweeper.check_droppable(kind, root, leaf, start_column, unit);
    -- A vacuum of the leaf that the server began by itself gives way only to who
    -- has waited for deadlock_timeout. This lock is in nobody's way but a
    -- vacuum's, so that it can wait so long, and nothing else is locked yet.
    perform set_config('lock_timeout', (select least(3000, s.setting::int + 500)::text from pg_settings s where s.name = 'deadlock_timeout'), true);
    execute format('lock table %s in share update exclusive mode', leaf);
    perform set_config('lock_timeout', '500ms', true);
    perform pg_advisory_xact_lock_shared(1398228304, 1);
    if tenant_column is not null and exists (select from sweeper.tenant_retention w where w.category = take_partition.category) then
        raise exception 'the partitions of % may not go whole: a tenant has a window of its own in category "%"', root, category using errcode = 'SW003';
    end if;
    insert into sweeper.batches (fact, kind, reason, category, relation, partition, cutoff, basis, actor, run_id, policy_sha256)
    values ('stamp', kind, reason, category, root_name, leaf_name, cutoff, basis, actor, run_id, policy_sha256);

    -- The first lock keeps other drops and attaches of the same table out, and
    -- none of the application's statements; the second, writers of the leaf.
    -- What was seen without them is looked at again.
    execute format('lock table only %s in share update exclusive mode', root);
    execute format('lock table %s in share mode', leaf);
    perform sweeper.check_droppable(kind, root, leaf, start_column, unit);

    due := sweeper.due_condition(leaf, start_column, unit);
    is_held := sweeper.held_condition(root, category, subject_column, tenant_column);
    if manifest = 'none' then -- one such row is enough, and nobody asks how many there are
        execute format('select nullif(exists (select from %1$s t where (%2$s) is not true), false)::int, nullif(exists (select from %1$s t where %3$s), false)::int', leaf, due, is_held)
           into early, held using zone, retention, as_of;
    else
        execute format('select count(*), count(*) filter (where (%s) is not true), count(*) filter (where %s) from %s t', due, is_held, leaf)
           into counted, early, held using zone, retention, as_of;
    end if;
    if early > 0 then
        raise exception '% of the rows in % are not due', case when counted is null then 'some' else early::text end, leaf_name using errcode = 'SW001';
    elsif held > 0 then
        raise exception '% of the rows in % are under a legal hold', case when counted is null then 'some' else held::text end, leaf_name using errcode = 'SW002';
    end if;
    if tenant_column is not null and manifest <> 'none' then
        execute format('select jsonb_agg(jsonb_build_object(''tenant'', tenant, ''rows'', n) order by tenant) from (select %I::text as tenant, count(*) as n from %s group by 1) t',
            tenant_column, leaf) into per_tenant;
    end if;
    if manifest = 'digest' then
        perform sweeper.write_manifest(root, leaf);
    end if;
    if kind = 'drop_partition' then
        execute format('drop table %s', leaf);
    else
        execute format('alter table %s detach partition %s', root, leaf);
    end if;
    insert into sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
    values ('report', kind, category, root_name, leaf_name, run_id, counted, per_tenant);
    return counted;
end $$;
revoke all on function sweeper.take_partition(text, regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) from public;
comment on function sweeper.take_partition(text, regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) is
    'What drop_partition() and detach_partition() do, as the owner of both.';

-- write_manifest has the write-ahead log carry the key of each row of a leaf: the
-- rows are inserted, which is published, and deleted again by the same
-- transaction. The process that logs makes the commitments from them, with a key
-- that never comes to the server, and nothing of them stays in the database. The
-- texts are those that the stream shows of a deleted row: by the same functions
-- and under the same settings.
create or replace function sweeper.write_manifest(root regclass, leaf regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set extra_float_digits = 3 set bytea_output = 'hex' as $$
declare
    keys text;
begin
    select string_agg(format('sweeper.lp(convert_to(%L, ''UTF8'')) || sweeper.lp(convert_to(format(''%%s'', t.%I), ''UTF8''))', a.attname, a.attname), ' || ' order by k.pos)
      into keys
      from pg_index i
     cross join unnest(i.indkey::int[]) with ordinality k(attnum, pos)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = root and i.indisprimary and k.pos <= i.indnkeyatts;
    if keys is null then
        raise exception 'the rows of % have no manifest by digest: the table has no primary key', root using errcode = 'SW003';
    end if;
    execute format('insert into sweeper.manifest (key) select %s from %s t', keys, leaf);
    delete from sweeper.manifest;
end $$;
revoke all on function sweeper.write_manifest(regclass, regclass) from public;
comment on function sweeper.write_manifest(regclass, regclass) is
    'Shows the write-ahead log the keys of a partition''s rows, for their commitments; they do not stay in the database.';

drop function if exists sweeper.check_drop(regclass, name, text, interval, timestamptz, text, name, name, text, uuid);

-- check_drop looks at everything but the leaf. The function that calls it runs
-- as sweeper_owner, so it must not lend its caller more than the caller has:
-- who may not delete from the table may not drop its partitions, and what the
-- policies say of the table is read from the database, not believed.
create or replace function sweeper.check_drop(
    kind text, root regclass, start_column name, zone text, retention interval, as_of timestamptz, manifest text,
    subject_column name, tenant_column name, category text, run_id uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    caller  name := case current_setting('role') when 'none' then session_user else current_setting('role') end;
    missing text;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception '% must run in READ COMMITTED, not %', kind, current_setting('transaction_isolation') using errcode = '25001';
    end if;
    missing := case when root is null then 'root' when start_column is null then 'start_column' when zone is null then 'zone'
                    when retention is null then 'retention' when as_of is null then 'as_of' when manifest is null then 'manifest'
                    when category is null then 'category' when run_id is null then 'run_id' end;
    if missing is not null then
        raise exception '%: % must not be NULL', kind, missing using errcode = '22004';
    elsif manifest not in ('none', 'count', 'digest') then
        raise exception '%: manifest is none of none, count and digest', kind using errcode = '22023';
    elsif as_of > clock_timestamp() then
        raise exception '%: as_of lies in the future', kind using errcode = '22023';
    end if;
    if not exists (
        select from sweeper.governed g
         where g.category = check_drop.category and g.relation = root and g.enabled and g.mode = 'enforce'
           and g.retention::text = check_drop.retention::text -- as intervals, a month would equal 30 days
           and g.subject_column is not distinct from check_drop.subject_column
           and g.tenant_column is not distinct from check_drop.tenant_column
           and coalesce(g.manifest, check_drop.manifest) = check_drop.manifest) then
        raise exception '%: category "%" does not govern % with these columns, this retention and this manifest', kind, category, root using errcode = '22023';
    elsif not exists (select from sweeper.governed g
                       where g.category = check_drop.category and coalesce(g.partitions, 'drop') || '_partition' = kind) then
        raise exception '%: the policy of category "%" says otherwise of its partitions', kind, category using errcode = '22023';
    elsif exists (select from sweeper.governed g
                   where g.relation = root and g.category <> check_drop.category and g.enabled and g.retention is not null) then
        raise exception 'the partitions of % may not go whole: another category deletes from it too', root using errcode = 'SW003';
    elsif not coalesce(has_table_privilege(caller, root, 'delete'), false) then
        raise exception 'permission denied to take partitions of %: role % may not delete from it', root, caller using errcode = '42501';
    end if;
end $$;
revoke all on function sweeper.check_drop(text, regclass, name, text, interval, timestamptz, text, name, name, text, uuid) from public;
comment on function sweeper.check_drop(text, regclass, name, text, interval, timestamptz, text, name, name, text, uuid) is
    'Refuses arguments of drop_partition() and detach_partition() that differ from what the policies say, and a caller who may not delete from the table.';

drop function if exists sweeper.check_droppable(regclass, regclass, name), sweeper.check_droppable(regclass, regclass, name, text), sweeper.due_condition(regclass, name);

-- A trigger of the parent counts as well: a statement trigger is its own, and
-- up to PostgreSQL 14 the copy of a row trigger on the leaf looks like one of
-- the system's. A leaf that is detached loses no row, and no trigger is passed by.
create or replace function sweeper.check_droppable(kind text, root regclass, leaf regclass, start_column name, unit text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    why text;
begin
    select case
        when c.relkind <> 'r' then 'it is not an ordinary table'
        when i.inhrelid is null or not c.relispartition then 'it is not a partition of ' || root::text
        when i.inhdetachpending then 'it is being detached'
        when p.partstrat is distinct from 'r' then 'its parent is not partitioned by RANGE'
        when p.partdefid = leaf then 'it is the default partition'
        when p.partnatts <> 1 or
             (select a.attname from pg_attribute a where a.attrelid = root and a.attnum = p.partattrs[0]) is distinct from start_column
            then 'its parent is not partitioned on the start column alone'
        when (select count(*) from pg_inherits o where o.inhparent = root and o.inhrelid <> p.partdefid and not o.inhdetachpending) < 2
            then 'it is the last partition'
        when kind = 'drop_partition' and exists (select from pg_trigger t where t.tgrelid in (root, leaf) and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 8 = 8)
            then 'it has DELETE triggers, which a drop does not fire'
        when kind = 'drop_partition' and exists (select from pg_rewrite w where w.ev_class = root and w.ev_type = '4' and w.ev_enabled in ('O', 'A'))
            then 'a rule of its parent fires on DELETE, which a drop does not fire'
        when exists (select from pg_constraint k where k.contype = 'f' and k.confrelid in (root, leaf)) then 'foreign keys point at it'
        when sweeper.due_condition(leaf, start_column, unit) is null then 'its start column is neither a date nor a timestamp, nor an integer with a unit'
    end into why
    from pg_class c
    left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = root
    left join pg_partitioned_table p on p.partrelid = root
    where c.oid = leaf;
    if not found then
        why := 'it does not exist';
    end if;
    if why is not null then
        raise exception 'partition % may not go whole: %', leaf, why using errcode = 'SW003';
    end if;
end $$;
revoke all on function sweeper.check_droppable(text, regclass, regclass, name, text) from public;
comment on function sweeper.check_droppable(text, regclass, regclass, name, text) is
    'Refuses (SW003) a leaf that is not a plain RANGE partition on the start column, or whose drop would bypass triggers or foreign keys.';

-- due_condition is the condition "the row t is due", with the zone as $1, the
-- retention as $2 and the as-of as $3; NULL for a column that counts no time. An
-- integer counts from 1970 in its unit, between 1990 and 2100: what lies outside
-- is no time that anybody meant.
create or replace function sweeper.due_condition(relation regclass, start_column name, unit text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case case when unit is null then t.typname when t.typname in ('int4', 'int8') then 'epoch' end
        when 'timestamptz' then format('timezone($1, timezone($1, t.%1$I) + $2) <= $3 and t.%1$I > %2$L', start_column, '-infinity')
        when 'timestamp' then format('timezone($1, t.%1$I + $2) <= $3 and t.%1$I > %2$L', start_column, '-infinity')
        when 'date' then format('timezone($1, (t.%1$I + 1)::timestamp + $2) <= $3 and t.%1$I > %2$L', start_column, '-infinity')
        when 'epoch' then format('case when t.%1$I >= 631152000::int8 * %2$s and t.%1$I < 4102444800::int8 * %2$s then timezone($1, timezone($1, timezone(''UTC'', timestamp ''epoch'' + t.%1$I * interval %3$L)) + $2) <= $3 end',
            start_column, case unit when 's' then '1' when 'ms' then '1000' when 'us' then '1000000' end, case unit when 's' then '1 second' when 'ms' then '1 millisecond' when 'us' then '1 microsecond' end)
        end
      from pg_attribute a
      join pg_type t on t.oid = sweeper.base_type(a.atttypid)
     where a.attrelid = relation and a.attname = start_column
$$;
revoke all on function sweeper.due_condition(regclass, name, text) from public;
comment on function sweeper.due_condition(regclass, name, text) is
    'The SQL condition under which a row t is due; NULL for a start column that is no date, no timestamp, and no integer with a unit.';

-- held_condition is the condition "the row t is held" over a table of category
-- category, one branch per shape of hold. It says the same as the condition in
-- the statements that purge by rows: where the row has no tenant, or the table
-- no such column, a hold on subject and tenant holds by its subject. The cast
-- stands in a CASE, since keys of other types hold texts that this type refuses.
-- What holds rows as those of another category over the table counts too, and
-- here without that category's own condition: the leaf then goes by rows.
create or replace function sweeper.held_condition(root regclass, category text, subject_column name, tenant_column name) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    keys    constant text := ' join sweeper.hold_keys %1$s on %1$s.hold_id = h.hold_id and %1$s.part = %2$L and %1$s.type = %3$s';
    equal   constant text := 'case when %1$s.type = %2$s then %1$s.value::%3$s end %4$s t.%5$I';
    active  text;
    subject oid;
    tenant  oid;
    subject_keys text;
    tenant_keys  text;
    same_subject text;
    same_tenant  text;
    shapes  text[];
    found   text[] := '{}';
    c       record;
begin
    for c in
        select held_condition.category as name, subject_column as subject_name, tenant_column as tenant_name, true as unnamed
        union all
        select g.category, g.subject_column, g.tenant_column, (g.subject_column, g.tenant_column) is distinct from (held_condition.subject_column, held_condition.tenant_column)
          from sweeper.governed g where g.relation = root and g.category <> held_condition.category
    loop
        active := format('h.released_at is null and (h.expires_at is null or h.expires_at > now()) and (h.category = %L%s) and (h.relation is null or h.relation = %s)',
                         c.name, case when c.unnamed then ' or h.category is null' end, root::oid);
        subject := (select a.atttypid from pg_attribute a where a.attrelid = root and a.attname = c.subject_name);
        tenant := (select a.atttypid from pg_attribute a where a.attrelid = root and a.attname = c.tenant_name);
        subject_keys := format(keys, 's', 'subject', subject);
        tenant_keys := format(keys, 'n', 'tenant', tenant);
        same_subject := format(equal, 's', subject, format_type(sweeper.base_type(subject), -1), sweeper.equality(subject), coalesce(c.subject_name, ''));
        same_tenant := format(equal, 'n', tenant, format_type(sweeper.base_type(tenant), -1), sweeper.equality(tenant), coalesce(c.tenant_name, ''));
        shapes := array['where h.subject is null and h.tenant is null'];
        if tenant is not null then
            shapes := shapes || (tenant_keys || ' where h.subject is null and ' || same_tenant);
        end if;
        if subject is not null and tenant is null then
            shapes := shapes || (subject_keys || ' where ' || same_subject);
        elsif subject is not null then
            shapes := shapes || (subject_keys || ' where h.tenant is null and ' || same_subject)
                             || (subject_keys || tenant_keys || ' where ' || same_subject || format(' and (t.%I is null or %s)', c.tenant_name, same_tenant));
        end if;
        found := found || array(select format('exists (select from sweeper.legal_holds h %s and %s)', s, active) from unnest(shapes) s);
    end loop;
    return array_to_string(found, ' or ');
end $$;
revoke all on function sweeper.held_condition(regclass, text, name, name) from public;
comment on function sweeper.held_condition(regclass, text, name, name) is
    'The SQL condition under which a row t of a governed table is held.';
