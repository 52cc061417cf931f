-- What the log knows of its own evidence, version 8.

-- What was done to governed tables beside us is a fact too. Who wrote a row
-- cannot be chosen: of the rows that are older than the column nobody knows.
alter table sweeper.batches
    drop constraint fact_is_known,
    add constraint fact_is_known check (fact in ('stamp', 'report', 'hold', 'run_end', 'vacuum', 'ddl')),
    add column writer name;
alter table sweeper.batches alter column writer set default current_user;

-- reconcile_*: a gap that the reports are still to be compared with.
alter table sweeper.log_progress
    add column timeline           int,
    add column publications       text[],
    add column looked_lsn         pg_lsn,
    add column reconcile_lsn      pg_lsn,
    add column reconcile_since    timestamptz,
    add column reconcile_snapshot pg_snapshot,
    add constraint reconcile_is_whole check (num_nonnulls(reconcile_lsn, reconcile_since, reconcile_snapshot) in (0, 3));

create table sweeper.coverage (
    source      text not null,
    relid       oid not null,
    relation    text not null,
    published   text[] not null,
    marks       text[] not null,
    identity    text not null,
    key_columns text[] not null,
    seen_lsn    pg_lsn not null,
    primary key (source, relid)
);

alter table sweeper.relations add column gone_lsn pg_lsn;
