-- How long our own tables are kept, version 9: a subject in clear only while a
-- hold needs it.

alter table sweeper.legal_holds
    add column forgotten_at timestamptz,
    drop constraint hold_names_something,
    add constraint hold_names_something check (num_nonnulls(subject, tenant, category, relation, forgotten_at) > 0);
