-- The tables that saas.yaml governs, with rows around every window.
create schema app;

create table app.accounts (
  id uuid primary key, org_id text not null, state text not null default 'active', email text unique, full_name text, phone varchar(20),
  birth_date date, profile jsonb, avatar bytea, last_ip inet, created_at timestamptz not null);
create table app.subscriptions (
  id bigint primary key, account_id uuid not null, org_id text not null, plan text not null, ended_at timestamptz);
create index on app.subscriptions (account_id);
create index on app.subscriptions (ended_at);
create table app.sessions (id uuid primary key, account_id uuid not null, expires_at_ms bigint not null, token_hash bytea not null);
create index on app.sessions (expires_at_ms);
create table app.sign_ins (id bigint not null, account_id uuid not null, at timestamptz not null, ip inet, device text, primary key (id, at)) partition by range (at);
create table app.invitations (id bigint primary key, email text not null, sent_at timestamptz not null, accepted_at timestamptz);
create table app.tickets (
  id bigint primary key, account_id uuid not null, org_id text not null, requester_email text, subject_line text not null, body text not null,
  attachments text[] not null default '{}', closed_on date);
create index on app.tickets (closed_on);

do $$
declare month timestamptz := date_trunc('month', now()) - interval '14 months';
begin
  for i in 1 .. 16 loop
    execute format('create table app.%I partition of app.sign_ins for values from (%L) to (%L)', 'sign_ins_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month');
    month := month + interval '1 month';
  end loop;
  create table app.sign_ins_rest partition of app.sign_ins default;
end $$;

insert into app.accounts
  select md5('a' || i)::uuid, 'org-' || i % 7, 'active', 'user' || i || '@example.com', 'Person ' || i, '+49 30 ' || 100000 + i, date '1960-03-31' + i,
         jsonb_build_object('address', jsonb_build_object('city', 'Berlin'), 'nickname', 'p' || i, 'contacts', jsonb_build_array(jsonb_build_object('email', 'c' || i, 'kind', 'work'), jsonb_build_object('kind', 'none'))),
         decode(repeat('ab', 64), 'hex'), ('10.0.' || i % 250 || '.7')::inet, now() - interval '4 years'
    from generate_series(1, 1000) i;
-- Each has had two subscriptions; of every fourth account one still runs.
insert into app.subscriptions
  select 2 * i + k, md5('a' || i)::uuid, 'org-' || i % 7, 'team', case when i % 4 = 0 and k = 1 then null else now() - i * interval '1 day' - k * interval '40 days' end
    from generate_series(1, 1000) i, generate_series(0, 1) k;
insert into app.sessions select md5('s' || i)::uuid, md5('a' || i % 1000)::uuid, (extract(epoch from now() - i * interval '1 hour') * 1000)::bigint, decode(md5('t' || i), 'hex') from generate_series(-100, 2000) i;
insert into app.sign_ins select i, md5('a' || i % 1000)::uuid, now() - i * interval '3 hours', '192.0.2.1', 'phone' from generate_series(0, 3300) i;
insert into app.invitations select i, 'guest' || i || '@example.com', now() - i * interval '6 hours', case when i % 3 = 0 then now() - i * interval '5 hours' end from generate_series(1, 400) i;
insert into app.tickets select i, md5('a' || i)::uuid, 'org-' || i % 7, 'user' || i || '@example.com', 'Question', 'It does not work', array['shot.png'], case when i % 10 > 0 then current_date - i end from generate_series(1, 1000) i;
analyze;
