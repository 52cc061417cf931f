-- Legal holds: the fence, the functions that operators call, and the keys by
-- which batches find a hold.

-- try_text reads value through the input function of type and gives its
-- canonical text: the upper-case uuid and the lower-case one are one subject.
-- NULL when the type does not accept it.
create or replace function sweeper.try_text(value text, type regtype) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    result text;
begin
    execute format('select ($1::%s)::text', format_type(type, -1)) into result using value;
    return result;
exception
    when data_exception or invalid_text_representation then
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
        raise exception 'a legal hold must be written in a READ COMMITTED transaction; this one is %',
            upper(current_setting('transaction_isolation')) using errcode = '25001';
    end if;
    if timeout in ('0', '0ms') then
        perform set_config('lock_timeout', '30s', true);
    end if;
    begin
        perform pg_advisory_xact_lock(1398228304, 1);
    exception
        when lock_not_available then
            select string_agg(format('pid %s (%s, %s)', l.pid, coalesce(nullif(a.application_name, ''), 'no name'), a.usename), ', ')
              into holder
              from pg_locks l left join pg_stat_activity a using (pid)
             where l.locktype = 'advisory' and l.classid = 1398228304 and l.objid = 1 and l.objsubid = 2 and l.granted
               and l.database = (select oid from pg_database where datname = current_database());
            raise exception 'the hold waited % for batches in flight and gave up; the fence is held by %',
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
        raise exception 'legal holds are kept for ever: release_hold() ends one' using errcode = '42501';
    end if;
    perform sweeper.take_fence();
    return null;
end $$;
revoke all on function sweeper.fence_hold() from public;
comment on function sweeper.fence_hold() is
    'Trigger: every write to the holds waits for batches in flight, however it was made; deletes are refused.';

-- note_hold writes the keys of a new hold and tells the purge log of the hold
-- through a row of sweeper.batches. The subject itself goes into neither.
create or replace function sweeper.note_hold() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform sweeper.key_hold(new.hold_id);
    end if;
    insert into sweeper.batches (fact, kind, category, relation, tenant, actor, reference)
    values ('hold', 'hold', new.category,
            (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = new.relation),
            new.tenant,
            case when new.released_at is null then new.applied_by else new.released_by end,
            format('%s hold %s', case when new.released_at is null then 'applied' else 'released' end, new.hold_id));
    return null;
end $$;
revoke all on function sweeper.note_hold() from public;
comment on function sweeper.note_hold() is
    'Trigger: writes the keys of a new hold, and the fact of it for the purge log.';

create or replace function sweeper.key_hold(hold bigint) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into sweeper.hold_keys (hold_id, part, type, value)
    select h.hold_id, k.part, k.type, sweeper.try_text(case k.part when 'subject' then h.subject else h.tenant end, k.type)
      from sweeper.legal_holds h
      cross join (select 'subject' as part, subject_type as type from sweeper.governed where subject_type is not null
                  union
                  select 'tenant', tenant_type from sweeper.governed where tenant_type is not null) k
     where h.hold_id = hold
       and case k.part when 'subject' then h.subject else h.tenant end is not null
    on conflict do nothing
$$;
revoke all on function sweeper.key_hold(bigint) from public;
comment on function sweeper.key_hold(bigint) is
    'Reads the subject and tenant of a hold through the types of all governed columns.';

drop trigger if exists fence on sweeper.legal_holds;
create trigger fence before insert or update or delete on sweeper.legal_holds
    for each statement execute function sweeper.fence_hold();
drop trigger if exists fence_truncate on sweeper.legal_holds;
create trigger fence_truncate before truncate on sweeper.legal_holds
    for each statement execute function sweeper.fence_hold();
drop trigger if exists note on sweeper.legal_holds;
create trigger note after insert or update on sweeper.legal_holds
    for each row execute function sweeper.note_hold();
alter table sweeper.legal_holds enable always trigger fence;
alter table sweeper.legal_holds enable always trigger fence_truncate;
alter table sweeper.legal_holds enable always trigger note;

create or replace function sweeper.need(function text, argument text, value text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if value is null then
        raise exception '%: % must not be NULL', function, argument using errcode = '22004';
    elsif btrim(value) = '' then
        raise exception '%: % must not be empty', function, argument using errcode = '22023';
    elsif length(value) > 1024 then
        raise exception '%: % is longer than 1024 characters', function, argument using errcode = '22023';
    end if;
end $$;
revoke all on function sweeper.need(text, text, text) from public;
comment on function sweeper.need(text, text, text) is
    'Refuses an argument that is NULL (22004), empty or over 1024 characters (22023), naming function and argument.';

-- hold_matches tells whether a governed row carries the subject (and tenant)
-- of a hold. It reads at most up to the first such row.
create or replace function sweeper.hold_matches(hold bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    h     sweeper.legal_holds;
    g     record;
    found_one boolean;
begin
    select * into h from sweeper.legal_holds where hold_id = hold;
    for g in
        select gv.relation_name, gv.relation, gv.subject_column, s.value as subject, gv.tenant_column, t.value as tenant,
               gv.subject_type, gv.tenant_type
          from sweeper.governed gv
          left join sweeper.hold_keys s on s.hold_id = hold and s.part = 'subject' and s.type = gv.subject_type
          left join sweeper.hold_keys t on t.hold_id = hold and t.part = 'tenant' and t.type = gv.tenant_type
         where (h.category is null or h.category = gv.category)
           and (h.relation is null or h.relation = gv.relation)
           and (h.subject is null or s.value is not null)
           and (h.tenant is null or h.subject is not null or t.value is not null)
    loop
        execute format('select exists (select from %s where true %s %s)', g.relation,
            case when h.subject is not null then format('and %I = $1::%s', g.subject_column, format_type(g.subject_type, -1)) else '' end,
            case when h.tenant is not null and g.tenant is not null then format('and %I = $2::%s', g.tenant_column, format_type(g.tenant_type, -1)) else '' end)
           into found_one using g.subject, g.tenant;
        if found_one then
            return true;
        end if;
    end loop;
    return false;
end $$;
revoke all on function sweeper.hold_matches(bigint) from public;
comment on function sweeper.hold_matches(bigint) is
    'Whether any row of a governed table is under the hold.';

create or replace function sweeper.apply_hold(
    subject text, reason text, applied_by text, reference text default null, category text default null,
    tenant text default null, relation regclass default null, expires_at timestamptz default null) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    hold bigint;
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
    if expires_at <= clock_timestamp() then
        raise exception 'apply_hold: expires_at lies in the past' using errcode = '22023';
    end if;
    insert into sweeper.legal_holds (subject, tenant, category, relation, reason, reference, applied_by, expires_at)
    values (subject, tenant, category, relation, reason, reference, applied_by, expires_at)
    returning hold_id into hold;
    insert into sweeper.operator_log (function, actor, object) values ('apply_hold', applied_by, 'hold ' || hold);
    if not sweeper.hold_matches(hold) then
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
    select * into h from sweeper.legal_holds l where l.hold_id = hold for update;
    if not found then
        raise exception 'release_hold: hold % does not exist', hold using errcode = '22023';
    elsif h.released_at is not null then
        raise exception 'release_hold: hold % was released on % by %', hold, h.released_at::date, h.released_by using errcode = '55000';
    end if;
    update sweeper.legal_holds l
       set released_at = clock_timestamp(), released_by = release_hold.released_by, release_reason = reason
     where l.hold_id = hold;
    insert into sweeper.operator_log (function, actor, object) values ('release_hold', released_by, 'hold ' || hold);
end $$;
revoke all on function sweeper.release_hold(bigint, text, text) from public;
comment on function sweeper.release_hold(bigint, text, text) is
    'Ends a legal hold. The row stays, with who released it, when and why.';
