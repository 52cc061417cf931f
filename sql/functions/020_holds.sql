-- Legal holds: the fence, the functions that operators call, and the keys by
-- which batches find a hold.

create or replace function sweeper.relation_name(relation regclass) returns text
language sql stable strict set search_path = pg_catalog, pg_temp as $$
    select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation
$$;
revoke all on function sweeper.relation_name(regclass) from public;
comment on function sweeper.relation_name(regclass) is
    'schema.table, each part quoted only where needed; NULL for a table that does not exist.';

-- base_type is what a domain is made of in the end; any other type is itself.
create or replace function sweeper.base_type(type oid) returns oid
language sql stable strict set search_path = pg_catalog, pg_temp as $$
    with recursive chain(oid, typtype, base) as (
        select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = type
        union all
        select t.oid, t.typtype, t.typbasetype from chain c join pg_type t on t.oid = c.base where c.typtype = 'd')
    select c.oid from chain c where c.typtype <> 'd'
$$;
revoke all on function sweeper.base_type(oid) from public;
comment on function sweeper.base_type(oid) is
    'The type that a domain is made of in the end; any other type is itself.';

-- equality is the operator by which two values of a type are the same. An
-- operator that is found by its name alone depends on search_path: citext
-- would then be compared as text, and a hold would miss the other case.
create or replace function sweeper.equality(type oid) returns text
language sql stable strict set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select format('operator(%I.%s)', n.nspname, o.oprname)
           from pg_opclass c
           join pg_am a on a.oid = c.opcmethod and a.amname = 'btree'
           join pg_amop m on m.amopfamily = c.opcfamily and m.amopstrategy = 3
                         and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
           join pg_operator o on o.oid = m.amopopr
           join pg_namespace n on n.oid = o.oprnamespace
          where c.opcdefault and c.opcintype = sweeper.base_type(type)),
        'operator(pg_catalog.=)')
$$;
revoke all on function sweeper.equality(oid) from public;
comment on function sweeper.equality(oid) is
    'The equality operator of a type, with its schema, as SQL.';

-- try_text reads value through the input function of type and gives its
-- canonical text: the upper-case uuid and the lower-case one are one subject.
-- NULL when the type does not accept it, in whichever words a type says so: a
-- domain with a constraint, regclass with a missing schema. A missing privilege
-- or a trouble of the server is no such answer, and is raised. The text is read
-- back by other sessions, so no setting of this one may show in it.
create or replace function sweeper.try_text(value text, type regtype) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 3 set bytea_output = 'hex' as $$
declare
    result text;
begin
    -- A domain is left out: its CHECK may be the application's code, and this
    -- runs as sweeper_owner. The type below it says what equals what.
    execute format('select ($1::%s)::text', format_type(sweeper.base_type(type), -1)) into result using value;
    return result;
exception
    when others then
        if sqlstate = '42501' or left(sqlstate, 2) in ('08', '25', '40', '53', '54', '55', '57', '58', 'F0', 'XX') then
            raise;
        end if;
        return null;
end $$;
revoke all on function sweeper.try_text(text, regtype) from public;
comment on function sweeper.try_text(text, regtype) is
    'The canonical text of a value read through the input function of a type; NULL when the type refuses it.';

-- take_fence waits until no batch is in flight and keeps new ones out until
-- this transaction ends. Any login can take an advisory key, so the wait is
-- bounded and its failure names who holds it.
create or replace function sweeper.take_fence() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    timeout text := current_setting('lock_timeout');
    holder  text;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'what batches must heed is written in a READ COMMITTED transaction; this one is %',
            upper(current_setting('transaction_isolation')) using errcode = '25001';
    end if;
    if timeout in ('0', '0ms') then
        perform set_config('lock_timeout', '30s', true);
    end if;
    begin
        perform pg_advisory_xact_lock(1398228304, 1);
    exception
        when lock_not_available then
            select string_agg(case when l.pid is null then 'a prepared transaction'
                                   else format('pid %s (%s, %s)', l.pid, coalesce(nullif(a.application_name, ''), 'no name'), a.usename) end, ', ')
              into holder
              from pg_locks l left join pg_stat_activity a using (pid)
             where l.locktype = 'advisory' and l.classid = 1398228304 and l.objid = 1 and l.objsubid = 2 and l.granted
               and l.database = (select oid from pg_database where datname = current_database());
            raise exception 'waited % for batches in flight and gave up; the fence is held by %',
                current_setting('lock_timeout'), coalesce(holder, 'a session that has just ended')
                using errcode = '55P03', hint = 'Try again, or end that session with pg_terminate_backend.';
    end;
    perform set_config('lock_timeout', timeout, true);
end $$;
revoke all on function sweeper.take_fence() from public;
comment on function sweeper.take_fence() is
    'Takes the exclusive side of the fence: waits for batches in flight, for at most lock_timeout (30 s when none is set), and names who holds it otherwise.';

create or replace function sweeper.fence_hold() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op in ('DELETE', 'TRUNCATE') then
        raise exception '% on %.% is refused: legal holds are kept for ever, release_hold() ends one', tg_op, tg_table_schema, tg_table_name
            using errcode = '42501';
    end if;
    perform sweeper.take_fence();
    return null;
end $$;
revoke all on function sweeper.fence_hold() from public;
comment on function sweeper.fence_hold() is
    'Trigger: every write to the holds waits for batches in flight, however it was made; deletes are refused.';

-- hold_is_over tells whether a hold was released, or has expired by every clock.
create or replace function sweeper.hold_is_over(h sweeper.legal_holds) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select h.released_at is not null or coalesce(h.expires_at < now() - interval '1 hour', false)
$$;
revoke all on function sweeper.hold_is_over(sweeper.legal_holds) from public;
comment on function sweeper.hold_is_over(sweeper.legal_holds) is
    'Whether a hold was released, or expired more than an hour ago.';

-- keep_hold lets a hold change once by its release, and once when it is over, to
-- forget its subject. Another subject, or a later release taken back, would leave
-- the keys and the purge log behind.
create or replace function sweeper.keep_hold() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    kept sweeper.legal_holds := new;
begin
    kept.released_at := old.released_at;
    kept.released_by := old.released_by;
    kept.release_reason := old.release_reason;
    if old.forgotten_at is null and new.forgotten_at is not null and new.subject is null and sweeper.hold_is_over(old) then
        kept := new;
        kept.subject := old.subject;
        kept.forgotten_at := null;
        if kept is not distinct from old then
            return new;
        end if;
    end if;
    if old.released_at is not null or new.released_at is null or kept is distinct from old then
        raise exception 'UPDATE on %.% is refused: a hold only changes by its release, apply_hold() makes another', tg_table_schema, tg_table_name
            using errcode = '42501';
    end if;
    return new;
end $$;
revoke all on function sweeper.keep_hold() from public;
comment on function sweeper.keep_hold() is
    'Trigger: refuses every change of a hold but its one release, and the forgetting of its subject when it is over.';

-- keep_hold_key lets the key of a subject be forgotten, when its hold is over.
create or replace function sweeper.keep_hold_key() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if (new.hold_id, new.part, new.type) is distinct from (old.hold_id, old.part, old.type) or new.value is not null or old.part <> 'subject'
       or not (select sweeper.hold_is_over(h) from sweeper.legal_holds h where h.hold_id = old.hold_id) then
        raise exception 'UPDATE on %.% is refused: the keys of a hold stay as they are while it is in force', tg_table_schema, tg_table_name
            using errcode = '42501';
    end if;
    return new;
end $$;
revoke all on function sweeper.keep_hold_key() from public;
comment on function sweeper.keep_hold_key() is
    'Trigger: refuses every change of a hold''s keys but the forgetting of a subject whose hold is over.';

-- note_hold writes the keys of a new hold and tells the purge log of the hold
-- through a row of sweeper.batches. The subject itself goes into neither.
create or replace function sweeper.note_hold() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform sweeper.key_hold(new.hold_id);
    elsif new.forgotten_at is distinct from old.forgotten_at then
        return null; -- nothing begins or ends
    end if;
    insert into sweeper.batches (fact, kind, category, relation, tenant, actor, reference)
    values ('hold', 'hold', new.category,
            sweeper.relation_name(new.relation), new.tenant,
            case when new.released_at is null then new.applied_by else new.released_by end,
            format('%s hold %s', case when new.released_at is null then 'applied' else 'released' end, new.hold_id));
    return null;
end $$;
revoke all on function sweeper.note_hold() from public;
comment on function sweeper.note_hold() is
    'Trigger: writes the keys of a new hold, and the fact of it for the purge log.';

-- key_hold reads a hold through every type that a governed column ever had:
-- a sweep by another policy set may still be running.
create or replace function sweeper.key_hold(hold bigint) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into sweeper.hold_keys (hold_id, part, type, value)
    select h.hold_id, k.part, k.type, sweeper.try_text(w.value, k.type)
      from sweeper.legal_holds h
     cross join sweeper.hold_types k
     cross join lateral (select case k.part when 'subject' then h.subject else h.tenant end as value) w
     where h.hold_id = hold and w.value is not null
       and not exists (select from sweeper.hold_keys x where x.hold_id = h.hold_id and x.part = k.part and x.type = k.type)
$$;
revoke all on function sweeper.key_hold(bigint) from public;
comment on function sweeper.key_hold(bigint) is
    'Reads the subject and tenant of a hold through the types of all governed columns.';

-- renew_hold_version gives the set of keys another version, in the transaction
-- that adds to it: whoever remembers a set, and reads its version behind the fence,
-- knows that no key has come since. A release only takes away, and what holds
-- nothing any more does no harm in a set. It is a random one, and not the next
-- number: what a crash or a failover has taken back must not come again. One for a
-- transaction is enough, and each more would have to step over those before it. A
-- row trigger, which also fires for what a subscription brings.
create or replace function sweeper.renew_hold_version() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into sweeper.hold_version as v default values
    on conflict (singleton) do update
       set version = excluded.version, renewed_by = excluded.renewed_by, renewed_at = excluded.renewed_at
     where (v.renewed_by, v.renewed_at) <> (excluded.renewed_by, excluded.renewed_at);
    return null;
end $$;
revoke all on function sweeper.renew_hold_version() from public;
comment on function sweeper.renew_hold_version() is
    'Trigger: keys of holds that come make another version of their set.';

-- Statement triggers fence, row triggers keep and note. ENABLE ALWAYS, so that
-- session_replication_role = replica passes none of them by.
create or replace trigger fence before insert or update or delete on sweeper.legal_holds
    for each statement execute function sweeper.fence_hold();
create or replace trigger fence_truncate before truncate on sweeper.legal_holds
    for each statement execute function sweeper.fence_hold();
create or replace trigger keep before update on sweeper.legal_holds
    for each row execute function sweeper.keep_hold();
create or replace trigger note after insert or update on sweeper.legal_holds
    for each row execute function sweeper.note_hold();
alter table sweeper.legal_holds enable always trigger fence, enable always trigger fence_truncate,
    enable always trigger keep, enable always trigger note;
create or replace trigger fence before insert or update or delete on sweeper.hold_keys
    for each statement execute function sweeper.fence_hold();
create or replace trigger fence_truncate before truncate on sweeper.hold_keys
    for each statement execute function sweeper.fence_hold();
create or replace trigger keep before update on sweeper.hold_keys
    for each row execute function sweeper.keep_hold_key();
create or replace trigger version after insert on sweeper.hold_keys
    for each row execute function sweeper.renew_hold_version();
alter table sweeper.hold_keys enable always trigger fence, enable always trigger fence_truncate,
    enable always trigger keep, enable always trigger version;

create or replace function sweeper.need(function text, argument text, value text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if value is null then
        raise exception '%: % must not be NULL', function, argument using errcode = '22004';
    elsif btrim(value, e' \t\n\r\f\x0b') = '' then
        raise exception '%: % must not be empty', function, argument using errcode = '22023';
    elsif length(value) > 1024 then
        raise exception '%: % is longer than 1024 characters', function, argument using errcode = '22023';
    end if;
end $$;
revoke all on function sweeper.need(text, text, text) from public;
comment on function sweeper.need(text, text, text) is
    'Refuses an argument that is NULL (22004), empty or over 1024 characters (22023), naming function and argument.';

-- searchable tells whether a value of a column is found, or not found, soon: by
-- an index, or because the table is small.
create or replace function sweeper.searchable(relation regclass, col name) returns boolean
language sql stable strict set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
               join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
         where i.indrelid = relation and a.attname = col and i.indisvalid and i.indpred is null and m.amname in ('btree', 'hash'))
        or (select coalesce(sum(pg_relation_size(t.relid)), pg_relation_size(relation)) <= 64 * 1024 * 1024 from pg_partition_tree(relation) t)
$$;
revoke all on function sweeper.searchable(regclass, name) from public;
comment on function sweeper.searchable(regclass, name) is
    'Whether a search for a value of that column is short: there is an index, or the table has at most 64 MiB.';

-- hold_matches tells whether a governed row would be under a hold; NULL when
-- that cannot be told. It serves a warning alone, so nothing that goes wrong in
-- it may keep a hold from being placed: a table that is gone, that is locked,
-- that sweeper_owner may not read, or whose search would take minutes.
create or replace function sweeper.hold_matches(subject text, tenant text, category text, relation regclass) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set row_security = off as $$
#variable_conflict use_variable
declare
    g       record;
    matches boolean;
    unknown boolean := false;
begin
    for g in
        select v.relation, v.subject_column, v.subject_type, v.tenant_column, v.tenant_type
          from sweeper.governed v
         where v.category = coalesce(hold_matches.category, v.category)
           and v.relation = coalesce(hold_matches.relation, v.relation)
           and (subject is null or v.subject_column is not null)
           and (tenant is null or subject is not null or v.tenant_column is not null)
    loop
        begin
            matches := null;
            continue when subject is not null and sweeper.try_text(subject, g.subject_type) is null;
            continue when tenant is not null and subject is null and sweeper.try_text(tenant, g.tenant_type) is null;
            if not sweeper.searchable(g.relation, case when subject is not null then g.subject_column when tenant is not null then g.tenant_column end) then
                unknown := true;
                continue;
            end if;
            execute format('select exists (select from %s t where true %s %s)', g.relation,
                case when subject is not null then
                    format('and t.%I %s $1::%s', g.subject_column, sweeper.equality(g.subject_type), format_type(sweeper.base_type(g.subject_type), -1)) end,
                case when tenant is not null and g.tenant_column is not null then
                    case when subject is null then format('and t.%I %s $2::%s', g.tenant_column, sweeper.equality(g.tenant_type), format_type(sweeper.base_type(g.tenant_type), -1))
                         when sweeper.try_text(tenant, g.tenant_type) is null then format('and t.%I is null', g.tenant_column)
                         else format('and (t.%1$I is null or t.%1$I %2$s $2::%3$s)', g.tenant_column, sweeper.equality(g.tenant_type), format_type(sweeper.base_type(g.tenant_type), -1)) end
                end)
               into matches using subject, tenant;
        exception
            when others then -- never a cancel or a timeout of the statement
                matches := null;
        end;
        if matches then
            return true;
        end if;
        unknown := unknown or matches is null;
    end loop;
    return case when unknown then null else false end;
end $$;
revoke all on function sweeper.hold_matches(text, text, text, regclass) from public;
comment on function sweeper.hold_matches(text, text, text, regclass) is
    'Whether any row of a governed table would be under such a hold; NULL when a table cannot be read, or a search would be long.';

create or replace function sweeper.apply_hold(
    subject text, reason text, applied_by text, reference text default null, category text default null,
    tenant text default null, relation regclass default null, expires_at timestamptz default null) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    hold    bigint;
    matches boolean;
begin
    perform sweeper.need('apply_hold', 'reason', reason);
    perform sweeper.need('apply_hold', 'applied_by', applied_by);
    if subject is null and tenant is null and category is null and relation is null then
        raise exception 'apply_hold: subject must not be NULL unless tenant, category or relation is given' using errcode = '22004';
    end if;
    perform sweeper.need('apply_hold', 'subject', coalesce(subject, 'none'));
    perform sweeper.need('apply_hold', 'tenant', coalesce(tenant, 'none'));
    perform sweeper.need('apply_hold', 'reference', coalesce(reference, 'none'));
    if category is not null and not exists (select from sweeper.governed g where g.category = apply_hold.category) then
        raise exception 'apply_hold: category "%" is not one of the policies; known are %', category,
            coalesce((select string_agg(g.category, ', ' order by g.category) from sweeper.governed g), 'none yet')
            using errcode = '22023';
    end if;
    if relation is not null and not exists (select from sweeper.governed g where g.relation = apply_hold.relation) then
        raise exception 'apply_hold: relation % is governed by no policy', relation using errcode = '22023';
    end if;
    if category is not null and relation is not null and not exists (
            select from sweeper.governed g where g.category = apply_hold.category and g.relation = apply_hold.relation) then
        raise exception 'apply_hold: category "%" governs %, not %; name one of the two', category,
            (select g.relation_name from sweeper.governed g where g.category = apply_hold.category), sweeper.relation_name(relation)
            using errcode = '22023';
    end if;
    if expires_at <= clock_timestamp() then
        raise exception 'apply_hold: expires_at lies in the past' using errcode = '22023';
    end if;
    -- Such a hold would protect nothing, and no sweep would begin beside it.
    if not (select coalesce(bool_or(case when subject is not null then g.subject_column is not null
                                         when tenant is not null then g.tenant_column is not null
                                         else true end), not exists (select from sweeper.governed))
              from sweeper.governed g
             where g.category = coalesce(apply_hold.category, g.category) and g.relation = coalesce(apply_hold.relation, g.relation)) then
        raise exception 'apply_hold: % would hold nothing: no category that the hold is for names a % column',
            case when subject is not null then 'subject' else 'tenant' end, case when subject is not null then 'subject' else 'tenant' end
            using errcode = '22023', hint = 'Name the category or the relation instead, or have its policy name the column.';
    end if;
    -- Before the fence is taken: this may read a whole table, and batches would wait.
    matches := sweeper.hold_matches(subject, tenant, category, relation);
    insert into sweeper.legal_holds (subject, tenant, category, relation, reason, reference, applied_by, expires_at)
    values (subject, tenant, category, relation, reason, reference, applied_by, expires_at)
    returning hold_id into hold;
    insert into sweeper.operator_log (function, actor, object) values ('apply_hold', applied_by, 'hold ' || hold);
    if matches is null then
        raise warning 'hold % is in force; whether it matches a row cannot be told: a governed table cannot be read by sweeper_owner, or is large and has no index on the column that names the subject or tenant', hold;
    elsif subject is not null and not exists (
            select from sweeper.governed g where g.subject_type is not null and g.category = coalesce(apply_hold.category, g.category)
               and g.relation = coalesce(apply_hold.relation, g.relation) and sweeper.try_text(subject, g.subject_type) is not null) then
        raise warning 'hold % matches no row of any governed table, and no governed column can hold its subject; check its spelling', hold;
    elsif not matches then
        raise warning 'hold % matches no row of any governed table; it will protect rows that come later', hold;
    end if;
    return hold;
end $$;
revoke all on function sweeper.apply_hold(text, text, text, text, text, text, regclass, timestamptz) from public;
comment on function sweeper.apply_hold(text, text, text, text, text, text, regclass, timestamptz) is
    'Places a legal hold and returns its id. When its transaction has committed, nothing under it is purged, a batch in flight included.';

create or replace function sweeper.release_hold(hold bigint, reason text, released_by text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    h sweeper.legal_holds;
begin
    if hold is null then
        raise exception 'release_hold: hold must not be NULL' using errcode = '22004';
    end if;
    perform sweeper.need('release_hold', 'reason', reason);
    perform sweeper.need('release_hold', 'released_by', released_by);
    perform sweeper.take_fence(); -- first, so that two releases cannot block each other
    select * into h from sweeper.legal_holds l where l.hold_id = hold;
    if not found then
        raise exception 'release_hold: hold % does not exist', hold using errcode = '22023';
    elsif h.released_at is not null then
        raise exception 'release_hold: hold % was released on %', hold, timezone('UTC', h.released_at)::date using errcode = '55000';
    end if;
    update sweeper.legal_holds l
       set released_at = clock_timestamp(), released_by = release_hold.released_by, release_reason = reason
     where l.hold_id = hold;
    insert into sweeper.operator_log (function, actor, object) values ('release_hold', released_by, 'hold ' || hold);
end $$;
revoke all on function sweeper.release_hold(bigint, text, text) from public;
comment on function sweeper.release_hold(bigint, text, text) is
    'Ends a legal hold. The row stays, with who released it, when and why.';
