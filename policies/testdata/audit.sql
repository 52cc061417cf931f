-- The tables that audit.yaml governs, with rows around every window.
create schema audit;

create table audit.events (
  id bigint not null, workspace_id text not null, actor_id text not null, action text not null, ip_address inet, user_agent text,
  occurred_at timestamptz not null, primary key (id, occurred_at)) partition by range (occurred_at);
create table audit.api_requests (id bigint primary key, workspace_id text, key_id text not null, path text not null, at_us bigint);
create index on audit.api_requests (at_us);
create table audit.admin_actions (id bigint primary key, operator_id text not null, action text not null, logged_on date not null);
create index on audit.admin_actions (logged_on);

do $$
declare quarter timestamptz := date_trunc('quarter', now()) - interval '96 months';
begin
  for i in 1 .. 34 loop
    execute format('create table audit.%I partition of audit.events for values from (%L) to (%L)', 'events_' || to_char(quarter, 'YYYY_"q"Q'), quarter, quarter + interval '3 months');
    quarter := quarter + interval '3 months';
  end loop;
end $$;

insert into audit.events select i, 'ws-' || i % 5, 'user-' || i % 40, 'login', '192.0.2.1', 'browser', now() - i * interval '20 hours' from generate_series(0, 3400) i;
insert into audit.api_requests
  select i, case when i % 9 > 0 then 'ws-' || i % 5 end, 'key-' || i % 40, '/v1/items', case when i % 50 > 0 then (extract(epoch from now() - i * interval '10 hours') * 1000000)::bigint end
    from generate_series(0, 2000) i;
insert into audit.admin_actions select i, 'op-' || i % 3, 'viewed a record', current_date - i from generate_series(0, 3000) i;
analyze;
