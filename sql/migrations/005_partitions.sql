-- What becomes of whole partitions, version 5.

alter table sweeper.governed
    add column partitions text constraint partitions_are_known check (partitions in ('drop', 'detach', 'rows')),
    add column manifest   text constraint manifest_is_known check (manifest in ('none', 'count', 'digest'));

-- The sets that were registered before say nothing of this: the next one is
-- taken for another.
update sweeper.governed set policy_sha256 = '';

-- No row of it is ever there after a commit.
create table sweeper.manifest (
    manifest_id bigint generated always as identity primary key,
    key         bytea not null
);
