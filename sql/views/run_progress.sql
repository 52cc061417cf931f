create or replace view sweeper.run_progress as
select r.run_id,
       r.category,
       r.instance,
       r.started_at,
       r.planned,
       b.deleted,
       b.redacted,
       b.last_batch_at,
       (select w.cause from sweeper.run_waits w where w.run_id = r.run_id and w.ended_at is null order by w.wait_id desc limit 1) as waits_for,
       (select w.why from sweeper.run_waits w where w.run_id = r.run_id and w.ended_at is null order by w.wait_id desc limit 1) as why
  from sweeper.runs r
 cross join lateral (
       select coalesce(sum(b.row_count) filter (where b.kind in ('delete', 'drop_partition', 'detach_partition') and b.relation = s.relation), 0)::bigint as deleted,
              coalesce(sum(b.row_count) filter (where b.kind = 'redact' and b.relation = s.relation), 0)::bigint as redacted,
              max(b.at) as last_batch_at
         from sweeper.batches b
         left join (select g.category, g.relation_name as relation from sweeper.governed g) s on s.category = r.category
        where b.run_id = r.run_id and b.fact = 'report') b
 where r.state = 'running';
comment on view sweeper.run_progress is 'One row per run that is under way, and how far it is.';
comment on column sweeper.run_progress.run_id is 'The run, as in sweeper.runs.';
comment on column sweeper.run_progress.category is 'The category that it sweeps.';
comment on column sweeper.run_progress.instance is 'The process that runs it.';
comment on column sweeper.run_progress.started_at is 'When it began.';
comment on column sweeper.run_progress.planned is 'Rows that were due then.';
comment on column sweeper.run_progress.deleted is 'Rows of the category''s table that its committed batches have deleted.';
comment on column sweeper.run_progress.redacted is 'Rows of the category''s table that they have redacted.';
comment on column sweeper.run_progress.last_batch_at is 'When the last of them was done; NULL before the first.';
comment on column sweeper.run_progress.waits_for is 'The cause of the pause that it is in, as in sweeper.run_waits; NULL: it is in none.';
comment on column sweeper.run_progress.why is 'The same in a sentence.';
