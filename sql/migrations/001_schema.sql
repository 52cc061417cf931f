-- The tables of schema sweeper, version 1. Run as sweeper_owner, once.

create table sweeper.schema_version (
    version      int primary key,
    code_sha256  bytea not null,
    installed_at timestamptz not null default now(),
    installed_by text not null default session_user
);

-- Policies as the database knows them.

create table sweeper.governed (
    category       text primary key,
    relation       regclass not null,
    relation_name  text not null,
    subject_column name,
    subject_type   regtype,
    tenant_column  name,
    tenant_type    regtype,
    retention      interval,
    redact_after   interval,
    mode           text not null,
    enabled        boolean not null,
    policy_sha256  bytea not null,
    registered_at  timestamptz not null default now()
);

create table sweeper.policy_versions (
    policy_sha256 bytea primary key,
    files         jsonb not null,
    loaded_from   text not null,
    first_run_at  timestamptz not null default now()
);

create table sweeper.policy_counts (
    category       text primary key,
    due_rows       bigint not null,
    held_rows      bigint not null,
    blocked_rows   bigint not null,
    oldest_overdue timestamptz,
    coverage       text not null,
    computed_at    timestamptz not null
);

create table sweeper.relations (
    relid       oid primary key,
    relation    text not null,
    root        text not null,
    key_columns text[] not null,
    seen_at     timestamptz not null default now()
);
create index on sweeper.relations (relation);

-- Legal holds.

create table sweeper.legal_holds (
    hold_id        bigint generated always as identity primary key,
    subject        text,
    tenant         text,
    category       text,
    relation       regclass,
    reason         text not null,
    reference      text,
    applied_by     text not null,
    applied_at     timestamptz not null default now(),
    applied_login  text not null default session_user,
    expires_at     timestamptz,
    released_at    timestamptz,
    released_by    text,
    release_reason text,
    constraint hold_names_something check (num_nonnulls(subject, tenant, category, relation) > 0),
    constraint release_is_whole check (num_nonnulls(released_at, released_by, release_reason) in (0, 3))
);
create index on sweeper.legal_holds (hold_id) where released_at is null;

create table sweeper.hold_types (
    part text not null constraint part_is_known check (part in ('subject', 'tenant')),
    type regtype not null,
    primary key (part, type)
);

create table sweeper.hold_keys (
    hold_id bigint not null references sweeper.legal_holds,
    part    text not null constraint part_is_known check (part in ('subject', 'tenant')),
    type    regtype not null,
    value   text,
    primary key (hold_id, part, type)
);
create index on sweeper.hold_keys (type, part, value);

-- Runs and approvals.

create table sweeper.runs (
    run_id             uuid primary key,
    sweep_id           uuid not null,
    category           text not null,
    state              text not null constraint state_is_known check (state in
        ('running', 'succeeded', 'partial', 'failed', 'stopped', 'paused', 'awaiting_approval', 'observed')),
    reason             text not null,
    actor              text not null,
    as_of              timestamptz not null,
    policy_sha256      bytea not null,
    plan_hash          text not null,
    planned            bigint not null default 0,
    deleted            bigint not null default 0,
    redacted           bigint not null default 0,
    partitions_dropped bigint not null default 0,
    children           bigint not null default 0,
    held               bigint not null default 0,
    blocked            bigint not null default 0,
    not_started        bigint not null default 0,
    remaining          bigint not null default 0,
    stop_reason        text,
    started_at         timestamptz not null default clock_timestamp(),
    finished_at        timestamptz
);
create index on sweeper.runs (category, started_at desc);

create table sweeper.approvals (
    approval_id bigint generated always as identity primary key,
    category    text not null,
    plan_hash   text not null,
    max_rows    bigint not null,
    actor       text not null,
    reason      text not null,
    login       text not null default session_user,
    approved_at timestamptz not null default now(),
    expires_at  timestamptz not null default now() + interval '7 days'
);

create table sweeper.operator_log (
    call_id     bigint generated always as identity primary key,
    called_at   timestamptz not null default clock_timestamp(),
    function    text not null,
    actor       text not null,
    actor_kind  text not null default 'user' constraint actor_kind_is_known check (actor_kind in ('user', 'api_key', 'cron')),
    login       text not null default session_user,
    client_addr inet default inet_client_addr(),
    object      text
);

-- The stamps: what the purging side says, in the same transaction as its work.

create table sweeper.batches (
    batch_id      bigint generated always as identity primary key,
    xid           xid8 not null default pg_current_xact_id(),
    at            timestamptz not null default clock_timestamp(),
    fact          text not null constraint fact_is_known check (fact in ('stamp', 'report', 'hold', 'run_end')),
    kind          text,
    reason        text,
    category      text,
    relation      text,
    partition     text,
    tenant        text,
    cutoff        timestamptz,
    basis         text,
    actor         text,
    reference     text,
    run_id        uuid,
    request_id    uuid,
    policy_sha256 bytea,
    columns       text[],
    row_count     bigint,
    tenants       jsonb,
    started_at    timestamptz
);
create index on sweeper.batches (run_id);

-- The purge log.

create table sweeper.purge_log (
    seq             bigint not null,
    logged_at       timestamptz not null,
    committed_at    timestamptz,
    commit_lsn      pg_lsn not null,
    xid             bigint,
    source          text not null,
    kind            text not null constraint kind_is_known check (kind in
        ('delete', 'redact', 'drop_partition', 'detach_partition', 'truncate', 'object_delete', 'genesis', 'gap',
         'mismatch', 'coverage', 'key_rotation', 'log_prune', 'fork', 'hold', 'vacuum')),
    reason          text constraint reason_is_known check (reason in
        ('retention_cron', 'manual', 'dsr_erasure', 'bulk', 'process_and_purge', 'test_data', 'emergency_minimisation',
         'restore_replay', 'out_of_policy')),
    category        text,
    relation        text,
    partition       text,
    tenant          text,
    subject_digest  bytea,
    cutoff          timestamptz,
    basis           text,
    actor           text,
    reference       text,
    request_id      uuid,
    run_id          uuid,
    policy_sha256   bytea,
    row_count       bigint,
    columns         text[],
    objects_removed bigint,
    rows_root       bytea constraint rows_root_is_sha256 check (octet_length(rows_root) = 32),
    leaf_hash       bytea not null constraint leaf_hash_is_sha256 check (octet_length(leaf_hash) = 32),
    chain_hash      bytea not null constraint chain_hash_is_sha256 check (octet_length(chain_hash) = 32),
    primary key (seq, logged_at)
) partition by range (logged_at);
create index on sweeper.purge_log (run_id);

create table sweeper.purge_rows (
    seq         bigint not null,
    logged_at   timestamptz not null,
    part        int not null,
    commitments bytea not null constraint commitments_are_sha256 check (octet_length(commitments) % 32 = 0),
    primary key (seq, part, logged_at)
) partition by range (logged_at);
alter table sweeper.purge_rows alter column commitments set storage external;

create table sweeper.purges (
    purge_id        bigint generated always as identity primary key,
    run_id          uuid,
    request_id      uuid,
    category        text not null,
    tenant          text,
    reason          text not null,
    cutoff          timestamptz,
    subject_digest  bytea,
    actor           text,
    reference       text,
    rows_deleted    bigint,
    rows_redacted   bigint,
    objects_removed bigint,
    started_at      timestamptz,
    finished_at     timestamptz,
    logged_at       timestamptz not null,
    constraint purge_has_an_origin check (num_nonnulls(run_id, request_id) = 1)
);
create index on sweeper.purges (run_id);

create table sweeper.log_head (
    singleton  boolean primary key default true constraint head_is_one_row check (singleton),
    size       bigint not null,
    chain_hash bytea not null,
    hashes     bytea not null,
    root       bytea not null,
    updated_at timestamptz not null
);

create table sweeper.log_progress (
    source      text primary key,
    system_id   text not null,
    slot        text not null,
    applied_lsn pg_lsn not null,
    updated_at  timestamptz not null
);
