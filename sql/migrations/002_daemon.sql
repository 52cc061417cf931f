-- What the daemon needs, version 2: schedules that outlive it, one rate for
-- all replicas, and which process a run belongs to.

create table sweeper.schedules (
    category   text primary key,
    expression text not null,
    timezone   text not null,
    next_due   timestamptz,
    last_due   timestamptz,
    updated_at timestamptz not null default clock_timestamp()
);

create table sweeper.pace (
    singleton  boolean primary key default true constraint pace_is_one_row check (singleton),
    allowed_at timestamptz not null
);

create index on sweeper.purge_log (seq) where kind in ('mismatch', 'gap');

alter table sweeper.runs add column instance text;

alter table sweeper.log_progress add column renewed_lsn pg_lsn;
