-- What each role may do with sweeper's own objects. Repeatable.

grant usage on schema sweeper to sweeper_daemon, sweeper_logger, sweeper_operator, sweeper_auditor;
grant select on all tables in schema sweeper to sweeper_daemon, sweeper_auditor;

-- The daemon purges. It may say what it did (batches, never their transaction
-- id) and how its runs went; it cannot write the purge log.
grant insert (fact, kind, reason, category, relation, partition, tenant, cutoff, basis, actor, reference, run_id, request_id,
              policy_sha256, columns, row_count, tenants, started_at, evidence) on sweeper.batches to sweeper_daemon;
grant insert, update on sweeper.runs, sweeper.run_waits, sweeper.policy_counts, sweeper.schedules, sweeper.pace to sweeper_daemon;
-- Not whether a partition has gone: that is the log's to say.
revoke insert, update on sweeper.relations from sweeper_daemon;
grant insert (relid, relation, root, key_columns, seen_at, columns), update (relid, relation, root, key_columns, seen_at, columns) on sweeper.relations to sweeper_daemon;
grant insert on sweeper.policy_versions to sweeper_daemon;
grant execute on function sweeper.govern(jsonb, bytea) to sweeper_daemon;
grant execute on function sweeper.drop_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz),
    sweeper.detach_partition(regclass, regclass, name, text, interval, timestamptz, text, name, name, text, text, text, text, uuid, bytea, timestamptz) to sweeper_daemon;
grant execute on function sweeper.redaction_hmac(bytea, bytea, bytea), sweeper.redaction_token(text, bytea, bytea),
    sweeper.is_redaction_token(text, bytea, bytea), sweeper.redact_json(json, text[], boolean) to sweeper_daemon;

-- The logger appends what the write-ahead log shows. It reads what that needs,
-- and no table that names a subject.
grant select on sweeper.schema_version, sweeper.governed, sweeper.policy_versions, sweeper.policy_counts, sweeper.policy_status, sweeper.runs, sweeper.run_waits, sweeper.run_progress, sweeper.schedules, sweeper.pace, sweeper.paused,
    sweeper.batches, sweeper.relations, sweeper.purge_log, sweeper.purge_rows, sweeper.purges, sweeper.log_head, sweeper.log_progress,
    sweeper.checkpoints, sweeper.checkpoint_anchors, sweeper.log_prunes, sweeper.coverage to sweeper_logger;
grant insert on sweeper.purge_log, sweeper.purge_rows, sweeper.purges, sweeper.checkpoints, sweeper.checkpoint_anchors to sweeper_logger;
grant insert, update on sweeper.log_head, sweeper.log_progress, sweeper.relations, sweeper.coverage to sweeper_logger;
grant execute on function sweeper.ensure_log_partitions(timestamptz), sweeper.prune_log(bigint, bytea, bytea, bigint, timestamptz) to sweeper_logger;
grant execute on function sweeper.tidy() to sweeper_daemon;
grant execute on function sweeper.prunable_until(interval, timestamptz), sweeper.prune_digest(bigint, bytea, bytea) to sweeper_daemon, sweeper_logger, sweeper_auditor;

-- Operators call functions; so may the daemon's login, which the command line uses.
grant select on sweeper.schema_version, sweeper.log_head, sweeper.log_progress, sweeper.coverage, sweeper.legal_holds, sweeper.tenant_retention, sweeper.runs, sweeper.governed, sweeper.policy_counts, sweeper.approvals, sweeper.schedules, sweeper.pace, sweeper.paused, sweeper.run_waits,
    sweeper.purge_log, sweeper.purges, sweeper.checkpoints, sweeper.checkpoint_anchors, sweeper.log_prunes, sweeper.policy_status, sweeper.run_progress to sweeper_operator;
grant execute on function sweeper.apply_hold(text, text, text, text, text, text, regclass, timestamptz),
    sweeper.release_hold(bigint, text, text), sweeper.approve_run(text, text, text, text), sweeper.set_paused(text, boolean, text, text),
    sweeper.set_tenant_retention(text, text, interval, text, text), sweeper.clear_tenant_retention(text, text, text, text) to sweeper_operator, sweeper_daemon;

grant execute on function sweeper.posture(interval) to sweeper_daemon, sweeper_operator, sweeper_auditor;
grant execute on function sweeper.lp(bytea), sweeper.leaf_null(bytea), sweeper.leaf_texts(text[]), sweeper.leaf_bytes(sweeper.purge_log), sweeper.verify_chain() to sweeper_daemon, sweeper_logger, sweeper_auditor;
