-- That a table was vacuumed after a purge is a fact, version 6.

alter table sweeper.batches
    drop constraint fact_is_known,
    add constraint fact_is_known check (fact in ('stamp', 'report', 'hold', 'run_end', 'vacuum'));
