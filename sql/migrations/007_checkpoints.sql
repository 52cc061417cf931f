-- Signed tree heads, where they are kept outside, and what was pruned, version 7.

create table sweeper.checkpoints (
    checkpoint_id bigint generated always as identity primary key,
    origin        text not null,
    size          bigint not null,
    root          bytea not null constraint root_is_sha256 check (octet_length(root) = 32),
    hashes        bytea not null constraint hashes_are_sha256 check (octet_length(hashes) % 32 = 0),
    note          text not null,
    signed_by     text[] not null,
    made_at       timestamptz not null default clock_timestamp()
);
create index on sweeper.checkpoints (size);
-- The entries that say whose log it is and which keys it is signed with.
create index on sweeper.purge_log (seq) where kind in ('genesis', 'key_rotation', 'fork');

create table sweeper.checkpoint_anchors (
    checkpoint_id bigint not null references sweeper.checkpoints,
    anchor        text not null,
    anchored_at   timestamptz not null default clock_timestamp(),
    primary key (checkpoint_id, anchor)
);

create table sweeper.log_prunes (
    size       bigint primary key, -- entries that are gone: 0 to size - 1
    chain_hash bytea not null constraint chain_hash_is_sha256 check (octet_length(chain_hash) = 32),
    hashes     bytea not null constraint hashes_are_sha256 check (octet_length(hashes) % 32 = 0),
    entry_seq  bigint not null,
    pruned_at  timestamptz not null default clock_timestamp()
);
