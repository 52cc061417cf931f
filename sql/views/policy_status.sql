create or replace view sweeper.policy_status as
select g.category,
       g.enabled,
       g.mode,
       g.retention,
       (now()::date - (now() - g.retention)::date)::int as retention_days,
       sweeper.posture(g.retention) as posture,
       (select max(p.finished_at) from sweeper.purges p where p.category = g.category) as last_purge_at,
       (select coalesce(sum(coalesce(p.rows_deleted, 0) + coalesce(p.rows_redacted, 0)), 0)::bigint from sweeper.purges p where p.category = g.category) as purged_total,
       (select s.next_due from sweeper.schedules s where s.category = g.category) as next_run_at,
       c.due_rows,
       c.held_rows,
       c.blocked_rows,
       c.oldest_overdue,
       -- In a publication that shows deletes and has a sibling for the stamps.
       case when exists (
           select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
            where r.prrelid = g.relation and p.pubdelete
              and exists (select from pg_publication s where s.pubname = regexp_replace(p.pubname, '_redact$', '') || '_stamp'))
           then 'covered' else 'awaiting' end as coverage,
       c.computed_at
  from sweeper.governed g
  left join sweeper.policy_counts c using (category);
comment on view sweeper.policy_status is 'One row per category: its window, what was purged, and what was due when the last sweep planned.';
comment on column sweeper.policy_status.category is 'The category''s name in the policy file.';
comment on column sweeper.policy_status.enabled is 'Whether sweeps purge it at all.';
comment on column sweeper.policy_status.mode is 'enforce, or observe: everything but the purge.';
comment on column sweeper.policy_status.retention is 'delete.after of the policy; NULL never deletes.';
comment on column sweeper.policy_status.retention_days is 'Days from now less the retention to now.';
comment on column sweeper.policy_status.posture is 'The tier of the window, see sweeper.posture().';
comment on column sweeper.policy_status.last_purge_at is 'When the last sweep of the category ended, by the purge log.';
comment on column sweeper.policy_status.purged_total is 'Rows deleted and redacted so far, by the purge log.';
comment on column sweeper.policy_status.next_run_at is 'When the next sweep by schedule is due; NULL while no daemon schedules it.';
comment on column sweeper.policy_status.due_rows is 'Rows due after the last sweep.';
comment on column sweeper.policy_status.held_rows is 'Rows due but under a legal hold.';
comment on column sweeper.policy_status.blocked_rows is 'Rows due but kept by something named in the run.';
comment on column sweeper.policy_status.oldest_overdue is 'The oldest start of a row still due.';
comment on column sweeper.policy_status.coverage is 'covered, or awaiting until the table is published.';
comment on column sweeper.policy_status.computed_at is 'When the counts were taken.';
