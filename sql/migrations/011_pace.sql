-- Pace and pauses, version 11: categories that somebody has paused, a rate for
-- each category beside the one for all, and what runs waited for.

create table sweeper.paused (
    category  text primary key,
    actor     text not null,
    reason    text not null,
    login     name not null default session_user,
    paused_at timestamptz not null default clock_timestamp()
);

-- What it held was worth a second.
drop table sweeper.pace;
create table sweeper.pace (
    category   text primary key,
    allowed_at timestamptz not null
);

create table sweeper.run_waits (
    wait_id  bigint generated always as identity primary key,
    run_id   uuid not null references sweeper.runs on delete cascade,
    cause    text not null,
    why      text not null,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz
);
create index on sweeper.run_waits (run_id);

alter table sweeper.runs add column waited interval not null default interval '0';
