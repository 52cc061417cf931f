-- Categories that somebody has paused. Each batch asks in its own transaction,
-- so that none begins after the pause was committed.

create or replace function sweeper.set_paused(category text, paused boolean, actor text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    perform sweeper.need('set_paused', 'category', category);
    if paused is null then
        raise exception 'set_paused: paused must not be NULL' using errcode = '22004';
    end if;
    perform sweeper.need('set_paused', 'actor', actor);
    perform sweeper.need('set_paused', 'reason', reason);
    if paused and not exists (select from sweeper.governed g where g.category = set_paused.category) then
        raise exception 'set_paused: category "%" is not one of the policies; known are %', category,
            coalesce((select string_agg(g.category, ', ' order by g.category) from sweeper.governed g), 'none yet') using errcode = '22023';
    end if;
    if paused then
        insert into sweeper.paused as p (category, actor, reason) values (category, actor, reason)
        on conflict on constraint paused_pkey do update set actor = excluded.actor, reason = excluded.reason, login = session_user;
    else
        delete from sweeper.paused p where p.category = set_paused.category;
        if not found then
            raise exception 'set_paused: category "%" is not paused; paused are %', category,
                coalesce((select string_agg(p.category, ', ' order by p.category) from sweeper.paused p), 'none') using errcode = '22023';
        end if;
        -- What the pause kept from running need not wait for the next slot as well.
        update sweeper.schedules s set next_due = clock_timestamp(), updated_at = clock_timestamp()
         where s.category = set_paused.category and s.next_due > clock_timestamp()
           and (select r.state = 'paused' from sweeper.runs r
                 where r.category = set_paused.category and r.state <> 'running' order by r.started_at desc limit 1);
    end if;
    insert into sweeper.operator_log (function, actor, object) values ('set_paused', actor, format('%s %s: %s', category, case when paused then 'paused' else 'goes on' end, reason));
end $$;
revoke all on function sweeper.set_paused(text, boolean, text, text) from public;
comment on function sweeper.set_paused(text, boolean, text, text) is
    'Pauses a category, or ends its pause. When its transaction has committed, no further batch of the category begins; one that is under way ends as it would.';
