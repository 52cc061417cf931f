-- Many holds, version 12: which set of keys is in force, for the sweepers that
-- remember one, and an index to the holds that name no subject, of which each
-- batch looks for those that name no tenant either.

create table sweeper.hold_version (
    singleton  boolean primary key default true constraint hold_version_is_one_row check (singleton),
    version    uuid not null default gen_random_uuid(),
    renewed_by xid8 not null default pg_current_xact_id(),
    renewed_at timestamptz not null default now()
);
insert into sweeper.hold_version default values;

create index on sweeper.legal_holds (tenant, expires_at) where released_at is null and subject is null;
