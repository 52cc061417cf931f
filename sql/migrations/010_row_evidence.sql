-- A purging transaction says how finely it is to be logged, version 10: of what
-- granularity its policy is, the log learns as it learns everything else, from
-- the write-ahead log.

alter table sweeper.batches
    add column evidence text constraint evidence_is_known check (evidence in ('batch', 'row'));
