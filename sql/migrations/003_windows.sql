-- Tenants' own windows, version 3, and what the database has to know of the
-- policies to judge them.

alter table sweeper.governed
    add column start_unit   text constraint start_unit_is_known check (start_unit in ('s', 'ms', 'us')),
    add column window_min   interval,
    add column window_max   interval,
    add column allowed_days int[];

-- The sets that were registered before say nothing of this: the next one is
-- taken for another.
update sweeper.governed set policy_sha256 = '';

-- value is compared byte by byte: whatever collation the tenants' column has,
-- it is the text that the column's type prints.
create table sweeper.tenant_retention (
    category  text not null,
    tenant    text not null,
    type      regtype not null,
    value     text not null,
    retention interval not null,
    actor     text not null,
    reason    text not null,
    set_at    timestamptz not null default now(),
    set_login text not null default session_user,
    primary key (category, tenant)
);
create index on sweeper.tenant_retention (category, type, value);
