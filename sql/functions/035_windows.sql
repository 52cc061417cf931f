-- Tenants' own windows. A batch reads them in the statement that purges, whose
-- snapshot is younger than the fence; every write takes the other side of it. So
-- once a window has been set, no batch in flight judges by the old one.

create or replace function sweeper.fence_window() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'TRUNCATE' then
        raise exception 'TRUNCATE on %.% is refused: clear_tenant_retention() ends one window', tg_table_schema, tg_table_name using errcode = '42501';
    end if;
    perform sweeper.take_fence();
    return null;
end $$;
revoke all on function sweeper.fence_window() from public;
comment on function sweeper.fence_window() is
    'Trigger: every write to the tenants'' windows waits for batches in flight, however it was made.';

create or replace trigger fence before insert or update or delete on sweeper.tenant_retention
    for each statement execute function sweeper.fence_window();
create or replace trigger fence_truncate before truncate on sweeper.tenant_retention
    for each statement execute function sweeper.fence_window();
alter table sweeper.tenant_retention enable always trigger fence, enable always trigger fence_truncate;

-- exceeds tells whether a ends after b for some start. Months have no length of
-- their own: 1827 days reach as far as five years or further from any date, 1826
-- from most. Only the last days of a month are cut differently from its first,
-- and the calendar repeats after 400 years.
create or replace function sweeper.exceeds(a interval, b interval) returns boolean
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from generate_series(timestamp '2000-01-01', timestamp '2399-12-01', interval '1 month') m,
                    unnest(array[0, 27, 28, 29, 30]) d,
                    lateral (select m + d * interval '1 day' as start) s
         where s.start < m + interval '1 month' and s.start + a > s.start + b)
$$;
revoke all on function sweeper.exceeds(interval, interval) from public;
comment on function sweeper.exceeds(interval, interval) is
    'Whether a start exists from which a reaches further than b.';

-- window_category finds the category of a tenant's window and refuses one that
-- cannot have any.
create or replace function sweeper.window_category(function text, category text) returns sweeper.governed
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    g sweeper.governed;
begin
    select * into g from sweeper.governed v where v.category = window_category.category;
    if not found then
        raise exception '%: category "%" is not one of the policies; known are %', function, category,
            coalesce((select string_agg(v.category, ', ' order by v.category) from sweeper.governed v), 'none yet')
            using errcode = '22023';
    elsif not g.enabled then
        raise exception '%: category "%" is disabled', function, category using errcode = '22023';
    elsif g.tenant_column is null then
        raise exception '%: category "%" has no tenant column; its policy names one with the key tenant', function, category using errcode = '22023';
    elsif g.retention is null and g.redact_after is null then
        raise exception '%: category "%" neither deletes nor redacts, so that a window would change nothing', function, category using errcode = '22023';
    end if;
    return g;
end $$;
revoke all on function sweeper.window_category(text, text) from public;
comment on function sweeper.window_category(text, text) is
    'The category of a tenant''s window; refuses (22023) one that is unknown, disabled or without tenants.';

create or replace function sweeper.set_tenant_retention(category text, tenant text, retention interval, actor text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres' as $$
#variable_conflict use_variable
declare
    g      sweeper.governed;
    value  text;
    known  text;
    months int;
    days   int;
begin
    perform sweeper.need('set_tenant_retention', 'category', category);
    perform sweeper.need('set_tenant_retention', 'tenant', tenant);
    if retention is null then
        raise exception 'set_tenant_retention: retention must not be NULL; clear_tenant_retention() gives a tenant back to the policy''s window' using errcode = '22004';
    end if;
    perform sweeper.need('set_tenant_retention', 'actor', actor);
    perform sweeper.need('set_tenant_retention', 'reason', reason);
    g := sweeper.window_category('set_tenant_retention', category);
    value := sweeper.try_text(tenant, g.tenant_type);
    if value is null then
        raise exception 'set_tenant_retention: tenant is no value of column "%" of %, which is %', g.tenant_column, g.relation_name, g.tenant_type
            using errcode = '22023';
    elsif not isfinite(retention) then
        raise exception 'set_tenant_retention: retention must be finite' using errcode = '22023';
    end if;
    months := extract(year from retention) * 12 + extract(month from retention);
    days := extract(day from retention);
    if months < 0 or days < 0 or retention::text <> make_interval(months => months, days => days)::text then
        raise exception 'set_tenant_retention: retention % is no number of years, months and days', retention using errcode = '22023';
    elsif retention > interval '200 years' then
        raise exception 'set_tenant_retention: retention % is longer than 200 years', retention using errcode = '22023';
    elsif sweeper.exceeds(g.window_min, retention) or sweeper.exceeds(retention, g.window_max) then
        raise exception 'set_tenant_retention: retention % lies outside of the floor (%) and the ceiling (%) of category "%" for some start', retention,
            coalesce(g.window_min::text, 'none'), coalesce(g.window_max::text, 'none'), category using errcode = '22023';
    elsif cardinality(g.allowed_days) > 0
          and (months > 0 or days <> all (g.allowed_days)) then
        raise exception 'set_tenant_retention: retention % is none of the windows that category "%" allows: % days', retention, category,
            array_to_string(g.allowed_days, ', ') using errcode = '22023';
    end if;
    perform sweeper.take_fence(); -- first, so that two calls cannot block each other
    -- The same tenant may have been spelled otherwise.
    execute format('select w.tenant from sweeper.tenant_retention w where w.category = $1 and w.type = $2 and case when w.type = $2 then w.value::%1$s end %2$s $3::%1$s',
                   format_type(sweeper.base_type(g.tenant_type), -1), sweeper.equality(g.tenant_type))
       into known using category, g.tenant_type, value;
    insert into sweeper.tenant_retention as w (category, tenant, type, value, retention, actor, reason)
    values (category, coalesce(known, tenant), g.tenant_type, value, retention, actor, reason)
    on conflict on constraint tenant_retention_pkey do update
       set type = excluded.type, value = excluded.value, retention = excluded.retention, actor = excluded.actor, reason = excluded.reason,
           set_at = now(), set_login = session_user;
    insert into sweeper.operator_log (function, actor, object) values ('set_tenant_retention', actor, format('%s %s %s', category, tenant, retention));
end $$;
revoke all on function sweeper.set_tenant_retention(text, text, interval, text, text) from public;
comment on function sweeper.set_tenant_retention(text, text, interval, text, text) is
    'Gives a tenant its own window for a category, between the floor and the ceiling of the policy. When its transaction has committed, every batch goes by it.';

create or replace function sweeper.clear_tenant_retention(category text, tenant text, actor text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    gone int;
begin
    perform sweeper.need('clear_tenant_retention', 'category', category);
    perform sweeper.need('clear_tenant_retention', 'tenant', tenant);
    perform sweeper.need('clear_tenant_retention', 'actor', actor);
    perform sweeper.need('clear_tenant_retention', 'reason', reason);
    delete from sweeper.tenant_retention w
     where w.category = clear_tenant_retention.category
       and (w.tenant = clear_tenant_retention.tenant or w.value = sweeper.try_text(clear_tenant_retention.tenant, w.type));
    get diagnostics gone = row_count;
    if gone = 0 then
        raise exception 'clear_tenant_retention: this tenant has no window of its own in category "%"', category using errcode = '22023';
    end if;
    insert into sweeper.operator_log (function, actor, object) values ('clear_tenant_retention', actor, format('%s %s', category, tenant));
end $$;
revoke all on function sweeper.clear_tenant_retention(text, text, text, text) from public;
comment on function sweeper.clear_tenant_retention(text, text, text, text) is
    'Gives a tenant back to the window of the policy.';
