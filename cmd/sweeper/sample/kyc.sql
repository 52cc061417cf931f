-- The database of an identity-verification service over eight years, as of the
-- setting kyc.as_of, with at least kyc.rows rows in all. The same settings give
-- the same rows: everything is derived from row numbers by a hash.

set local search_path = pg_catalog;
set local timezone = 'UTC';
set local client_min_messages = warning;

do $$
begin
  create role kyc_owner nologin;
exception when duplicate_object or unique_violation then
  null; -- it is there, or another session was faster
end $$;

create schema kyc authorization kyc_owner;
set local role kyc_owner;

create table kyc.applicants (
  id                    uuid primary key,
  workspace_id          text not null,
  status                text not null check (status in ('pending', 'approved', 'closed', 'rejected')),
  full_name             text,
  email                 text unique,
  phone                 text,
  birth_date            date,
  relationship_ended_at timestamptz,
  rejected_at           timestamptz,
  retention_status      text,
  created_at            timestamptz not null
);

create table kyc.documents (
  id           bigint primary key,
  applicant_id uuid not null references kyc.applicants,
  workspace_id text not null,
  kind         text not null,
  object_key   text not null,
  mrz          text,
  verified_at  timestamptz
);

create table kyc.reviews (
  id           bigint primary key,
  applicant_id uuid not null references kyc.applicants on delete no action,
  workspace_id text not null,
  note         text,
  reviewed_at  timestamptz
);

create table kyc.audit_events (
  id           bigint primary key,
  workspace_id text not null,
  actor        text not null,
  action       text not null,
  logged_at    timestamptz not null
);

create table kyc.biometrics (
  id           bigint not null,
  applicant_id uuid not null,
  workspace_id text not null,
  kind         text not null,
  template     bytea,
  captured_at  timestamptz not null,
  primary key (id, captured_at)
) partition by range (captured_at);

create table kyc.liveness (
  id           bigint not null,
  applicant_id uuid not null,
  workspace_id text not null,
  kind         text not null,
  template     bytea,
  captured_at  timestamptz not null,
  primary key (id, captured_at)
) partition by range (captured_at);

-- One partition a month, up to the month after this one, and one for the rest.
do $$
declare
  as_of timestamptz := current_setting('kyc.as_of');
  root text;
  month timestamptz;
begin
  foreach root in array array['biometrics', 'liveness'] loop
    for month in select generate_series(date_trunc('month', as_of - interval '8 years'),
                                        date_trunc('month', as_of) + interval '1 month', interval '1 month') loop
      execute format('create table kyc.%I partition of kyc.%I for values from (%L) to (%L)',
                     root || to_char(month, '_YYYY_MM'), root, month, month + interval '1 month');
    end loop;
    execute format('create table kyc.%I partition of kyc.%I default', root || '_default', root);
  end loop;
end $$;

reset role;

-- pick gives row i a number from 0 to n - 1; each use has a salt of its own.
create function pg_temp.pick(i bigint, salt bigint, n bigint) returns bigint
language sql immutable as $$ select (hashint8extended(i, salt) & 9223372036854775807) % n $$;

-- upto gives row i a time from nothing to span.
create function pg_temp.upto(i bigint, salt bigint, span interval) returns interval
language sql immutable as $$
  select pg_temp.pick(i, salt, greatest(1, (extract(epoch from span) * 1000000)::bigint)) * interval '1 microsecond'
$$;

-- How many rows each table gets. Of the applicants each fifth is a rejected one.
create temp table size on commit drop as
  select current_setting('kyc.as_of')::timestamptz as as_of,
         ceil(r * 0.15)::bigint as applicants,
         ceil(r * 0.15)::bigint / 5 as rejected,
         ceil(r * 0.15)::bigint - ceil(r * 0.15)::bigint / 5 as accepted,
         ceil(r * 0.20)::bigint as documents,
         ceil(r * 0.10)::bigint as reviews,
         ceil(r * 0.20)::bigint as biometrics,
         ceil(r * 0.15)::bigint as liveness,
         ceil(r * 0.20)::bigint as audit_events
  from (select current_setting('kyc.rows')::numeric as r) as setting;

-- The applicants in the order in which they came, one in each slice of the
-- eight years. Relationships last from one month to two and a half years; a few
-- have their end agreed ahead. Newcomers are pending, and some stay so.
create temp table people on commit drop as
  with born as (
    select i, as_of, i % 5 = 0 as refused,
           as_of - (as_of - (as_of - interval '8 years')) * ((applicants - i)::float8 / applicants)
                 - pg_temp.upto(i, 1, (as_of - (as_of - interval '8 years')) / applicants::float8) as created_at
    from size, generate_series(1, applicants) as i
  ), lived as (
    select *, created_at + interval '1 day' + pg_temp.upto(i, 2, interval '20 days') as decided_at,
           created_at + interval '30 days' + pg_temp.upto(i, 3, interval '900 days') as ended_at
    from born
  )
  select i, created_at, md5('applicant ' || i)::uuid as id,
         format('ws-%s', lpad((1 + pg_temp.pick(i, 4, 20))::text, 2, '0')) as workspace_id,
         case when decided_at > as_of or pg_temp.pick(i, 5, 25) = 0 then 'pending'
              when refused then 'rejected'
              when ended_at <= as_of and pg_temp.pick(i, 6, 5) > 0 then 'closed'
              else 'approved' end as status,
         decided_at,
         case when ended_at <= as_of or pg_temp.pick(i, 7, 40) = 0 then ended_at end as ended_at
  from lived;
create unique index on people (i);
analyze people;

insert into kyc.applicants
  select id, workspace_id, status,
         (array['Ada', 'Björn', 'Chidi', 'Dalia', 'Emre', 'Fatou', 'Grete', 'Haruto', 'Inés', 'Jakub'])[1 + pg_temp.pick(i, 8, 10)]
           || ' ' || (array['Almeida', 'Berg', 'Costa', 'Dvořák', 'Eze', 'Fischer', 'Greco', 'Haddad', 'Ito', 'Jensen'])[1 + pg_temp.pick(i, 9, 10)],
         format('applicant%s@example.com', i),
         format('+49 30 %s', lpad(pg_temp.pick(i, 10, 10000000)::text, 7, '0')),
         date '1950-01-01' + pg_temp.pick(i, 11, 18000)::int,
         case when status in ('approved', 'closed') then ended_at end,
         case when status = 'rejected' then decided_at end,
         'active', created_at
  from people order by i;

-- Documents are verified when the applicant comes, and some again later. Only
-- few of the rejected got as far.
insert into kyc.documents
  select k, p.id, p.workspace_id,
         (array['passport', 'id_card', 'driving_licence', 'proof_of_address'])[1 + pg_temp.pick(k, 20, 4)],
         format('%s/%s.jpg', p.workspace_id, md5('document ' || k)),
         format('P<UTO%s<<%s', upper(left(md5('mrz ' || k), 12)), lpad(k::text, 9, '0')),
         case when v.verified_at <= as_of then v.verified_at end
  from size
  cross join generate_series(1, documents) as k
  join people as p on p.i = case when k % 40 = 0 then 5 * (1 + (k - 1) * rejected / documents)
    else 1 + (k - 1) * accepted / documents + ((k - 1) * accepted / documents) / 4 end
  cross join lateral (
    select p.created_at + case when k % 10 = 3
      then pg_temp.upto(k, 21, least(p.ended_at, as_of) - p.created_at)
      else pg_temp.upto(k, 22, interval '15 days') end as verified_at) as v
  order by k;

-- A review comes with the decision; each fifth is a periodic one, at any time
-- since, also after the end. Some of the last year are open.
insert into kyc.reviews
  select k, p.id, p.workspace_id, format('case %s: identity confirmed by two sources', k),
         case when k % 7 = 0 and p.created_at > as_of - interval '1 year' then null
              when k % 5 = 0 then p.created_at + pg_temp.upto(k, 30, as_of - p.created_at)
              else least(p.created_at + pg_temp.upto(k, 31, interval '10 days'), as_of) end
  from size
  cross join generate_series(1, reviews) as k
  join people as p on p.i = case when k % 20 = 0 then 5 * (1 + (k - 1) * rejected / reviews)
    else 1 + (k - 1) * accepted / reviews + ((k - 1) * accepted / reviews) / 4 end
  order by k;

-- Captures belong to the first days, a few to the last weeks. Some were taken
-- over from an older system, and some by a device whose clock was ahead.
insert into kyc.biometrics
  select k, p.id, p.workspace_id, (array['face', 'voice', 'fingerprint'])[1 + pg_temp.pick(k, 40, 3)],
         sha256(int8send(k)),
         case when k % 997 = 0 then as_of - interval '8 years 1 month' - pg_temp.upto(k, 41, interval '700 days')
              when k % 1999 = 0 then as_of + pg_temp.upto(k, 42, interval '400 days')
              when k % 33 = 0 then as_of - pg_temp.upto(k, 43, interval '60 days')
              else least(p.created_at + pg_temp.upto(k, 44, interval '3 days'), as_of) end
  from size
  cross join generate_series(1, biometrics) as k
  join people as p on p.i = 1 + (k - 1) * applicants / biometrics
  order by k;

insert into kyc.liveness
  select k, p.id, p.workspace_id, (array['blink', 'turn', 'smile'])[1 + pg_temp.pick(k, 50, 3)],
         sha256(int8send(-k)),
         case when k % 997 = 0 then as_of - interval '8 years 1 month' - pg_temp.upto(k, 51, interval '700 days')
              when k % 1999 = 0 then as_of + pg_temp.upto(k, 52, interval '400 days')
              when k % 33 = 0 then as_of - pg_temp.upto(k, 53, interval '14 days')
              else least(p.created_at + pg_temp.upto(k, 54, interval '3 days'), as_of) end
  from size
  cross join generate_series(1, liveness) as k
  join people as p on p.i = 1 + (k - 1) * applicants / liveness
  order by k;

insert into kyc.audit_events
  select k, format('ws-%s', lpad((1 + pg_temp.pick(k, 60, 20))::text, 2, '0')),
         format('officer-%s', lpad((1 + pg_temp.pick(k, 61, 40))::text, 2, '0')),
         (array['login', 'view_applicant', 'approve', 'reject', 'export', 'edit_note'])[1 + pg_temp.pick(k, 62, 6)],
         as_of - (as_of - (as_of - interval '8 years')) * ((audit_events - k)::float8 / audit_events)
               - pg_temp.upto(k, 63, (as_of - (as_of - interval '8 years')) / audit_events::float8)
  from size, generate_series(1, audit_events) as k
  order by k;

set local role kyc_owner;

-- Made after the rows, which is faster: the start columns, the columns that
-- refer to applicants, and the same columns in the partitions.
create index on kyc.applicants (relationship_ended_at);
create index on kyc.applicants (rejected_at);
create index on kyc.documents (verified_at);
create index on kyc.documents (applicant_id);
create index on kyc.reviews (reviewed_at);
create index on kyc.reviews (applicant_id);
create index on kyc.audit_events (logged_at);
create index on kyc.biometrics (captured_at);
create index on kyc.biometrics (applicant_id);
create index on kyc.liveness (captured_at);
create index on kyc.liveness (applicant_id);

-- Two hundred partitions with a coarse histogram each take half the time.
set local default_statistics_target = 20;
analyze kyc.applicants, kyc.documents, kyc.reviews, kyc.audit_events, kyc.biometrics, kyc.liveness;

reset role;
drop function pg_temp.upto(bigint, bigint, interval);
drop function pg_temp.pick(bigint, bigint, bigint);
