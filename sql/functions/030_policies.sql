-- What the sweeper tells the database of its policies.

-- govern replaces the set of governed tables by the one in categories, a JSON
-- array of objects with the columns of sweeper.governed. New column types are
-- read into the keys of the holds that already exist, under the fence, so
-- that no hold is older than what it must protect. A type once governed stays
-- known: a sweep by the former set may still be running.
create or replace function sweeper.govern(categories jsonb, policy_sha256 bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if categories is null or $2 is null then -- else the set would be emptied
        raise exception 'govern: % must not be NULL', case when categories is null then 'categories' else 'policy_sha256' end using errcode = '22004';
    end if;
    if exists (select from sweeper.governed having count(*) = jsonb_array_length(categories)
                and coalesce(bool_and(policy_sha256 = $2), $1 = '[]'::jsonb)
                and not exists (
                    select category, relation, subject_type, tenant_type from jsonb_to_recordset(categories)
                        as c(category text, relation oid, subject_type oid, tenant_type oid)
                    except select category, relation::oid, subject_type::oid, tenant_type::oid from sweeper.governed)) then
        return;
    end if;
    perform sweeper.take_fence();
    delete from sweeper.governed;
    insert into sweeper.governed (category, relation, relation_name, subject_column, subject_type, tenant_column, tenant_type,
                                  retention, redact_after, mode, enabled, policy_sha256, start_unit, window_min, window_max, allowed_days, partitions, manifest)
    select category, relation::regclass, relation_name, subject_column, subject_type::regtype, tenant_column, tenant_type::regtype,
           retention, redact_after, mode, enabled, $2, start_unit, window_min, window_max, allowed_days, partitions, manifest
      from jsonb_to_recordset(categories) as c(category text, relation oid, relation_name text, subject_column name,
           subject_type oid, tenant_column name, tenant_type oid, retention interval, redact_after interval, mode text, enabled boolean,
           start_unit text, window_min interval, window_max interval, allowed_days int[], partitions text, manifest text);
    insert into sweeper.hold_types (part, type)
    select 'subject', subject_type from sweeper.governed where subject_type is not null
    union
    select 'tenant', tenant_type from sweeper.governed where tenant_type is not null
    on conflict do nothing;
    perform sweeper.key_hold(h.hold_id)
       from sweeper.legal_holds h
      where h.released_at is null
        and exists (select from sweeper.hold_types k
                     where case k.part when 'subject' then h.subject else h.tenant end is not null
                       and not exists (select from sweeper.hold_keys x where x.hold_id = h.hold_id and x.part = k.part and x.type = k.type));
    -- The windows of tenants whose column has another type now.
    update sweeper.tenant_retention w set type = g.tenant_type, value = sweeper.try_text(w.tenant, g.tenant_type)
      from sweeper.governed g
     where g.category = w.category and g.tenant_type <> w.type and sweeper.try_text(w.tenant, g.tenant_type) is not null;
end $$;
revoke all on function sweeper.govern(jsonb, bytea) from public;
comment on function sweeper.govern(jsonb, bytea) is
    'Records which tables the loaded policies govern, and reads existing holds through the types of their columns.';

create or replace function sweeper.approve_run(category text, plan_hash text, actor text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    planned bigint;
    most bigint;
    last record;
begin
    perform sweeper.need('approve_run', 'category', category);
    perform sweeper.need('approve_run', 'plan_hash', plan_hash);
    perform sweeper.need('approve_run', 'actor', actor);
    perform sweeper.need('approve_run', 'reason', reason);
    if not exists (select from sweeper.governed g where g.category = approve_run.category) then
        raise exception 'approve_run: category "%" is not one of the policies; known are %', category,
            coalesce((select string_agg(g.category, ', ' order by g.category) from sweeper.governed g), 'none yet') using errcode = '22023';
    end if;
    select r.planned into planned from sweeper.runs r
     where r.category = approve_run.category and r.plan_hash = approve_run.plan_hash and r.state = 'awaiting_approval'
     order by r.started_at desc limit 1;
    if not found then
        select r.state, r.plan_hash, r.planned into last from sweeper.runs r
         where r.category = approve_run.category and r.state <> 'running' order by r.started_at desc limit 1;
        raise exception 'approve_run: no run of category "%" waits for approval of plan %; %', category, plan_hash,
            case when not found then 'none has run yet, and none waits before a sweep has found more than its limits allow'
                 when last.state = 'awaiting_approval' then format('plan %s waits, of %s rows', last.plan_hash, last.planned)
                 else format('the last one ended as %s, so that nothing waits', last.state) end
            using errcode = '22023';
    end if;
    insert into sweeper.approvals (category, plan_hash, max_rows, actor, reason)
    values (category, plan_hash, ceil(planned * 1.1), actor, reason) returning max_rows into most;
    -- More may wait than whoever approves has seen: the same plan takes what has fallen due since.
    raise notice 'approved: plan % of category %, for 7 days and up to % rows', plan_hash, category, most;
    -- Whoever approves does not want to wait for the next slot as well. Outside
    -- of SWEEPER_WINDOW it waits all the same.
    update sweeper.schedules s set next_due = clock_timestamp(), updated_at = clock_timestamp()
     where s.category = approve_run.category and s.next_due > clock_timestamp()
       and (select r.state = 'awaiting_approval' and r.plan_hash = approve_run.plan_hash from sweeper.runs r
             where r.category = approve_run.category and r.state <> 'running' order by r.started_at desc limit 1);
    insert into sweeper.operator_log (function, actor, object) values ('approve_run', actor, format('%s %s, up to %s rows', category, plan_hash, most));
end $$;
revoke all on function sweeper.approve_run(text, text, text, text) from public;
comment on function sweeper.approve_run(text, text, text, text) is
    'Approves a run that waits: up to 1.1 times its planned rows, by one run or several, for 7 days. A daemon that schedules the category runs it at once.';

create or replace function sweeper.posture(retention interval) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retention is null then 'Unlimited'
        when retention < interval '3 months' then 'Below floor'
        when retention < interval '6 months' then 'Reduced'
        when retention < interval '12 months' then 'Aligned with the standard''s principles'
        when retention <= interval '84 months' then 'Follows GDPR Art. 5(1)(e)'
        else 'Above ceiling'
    end
$$;
revoke all on function sweeper.posture(interval) from public;
comment on function sweeper.posture(interval) is
    'The tier of a retention window, compared as intervals; NULL is Unlimited.';
