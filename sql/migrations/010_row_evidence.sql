-- A purging transaction says how finely it is to be logged, version 10: of what
-- granularity its policy is, the log learns as it learns everything else, from
-- the write-ahead log.

alter table sweeper.batches
    add column evidence text constraint evidence_is_known check (evidence in ('batch', 'row'));

-- A run may have as many entries as rows; whoever waits for its vacuums asks again
-- and again.
create index on sweeper.purge_log (run_id) where kind = 'vacuum';
