-- What every table and column is. Functions and views carry their comments
-- with them. The file comes before the one that makes the log's partitions,
-- which take over the comments of the columns.

comment on schema sweeper is 'Data retention: policies, legal holds, runs, stamps and the purge log.';

comment on table sweeper.schema_version is 'The version of this schema, and the text of its functions, views and privileges.';
comment on column sweeper.schema_version.version is 'Number of the last migration.';
comment on column sweeper.schema_version.code_sha256 is 'SHA-256 over the text of functions, views and privileges; install writes them anew where it differs.';
comment on column sweeper.schema_version.installed_at is 'When that text was installed.';
comment on column sweeper.schema_version.installed_by is 'The login that installed the version.';

comment on table sweeper.governed is 'The categories of the policies that were loaded last, with what holds have to know of their tables.';
comment on column sweeper.governed.category is 'Name of the category.';
comment on column sweeper.governed.relation is 'Its table.';
comment on column sweeper.governed.relation_name is 'Its table as schema.table.';
comment on column sweeper.governed.subject_column is 'The column whose value names the data subject; NULL: none.';
comment on column sweeper.governed.subject_type is 'The type of that column, through which the subjects of holds are read.';
comment on column sweeper.governed.tenant_column is 'The column of the tenant; NULL: none.';
comment on column sweeper.governed.tenant_type is 'The type of that column.';
comment on column sweeper.governed.retention is 'delete.after of the policy; NULL never deletes.';
comment on column sweeper.governed.redact_after is 'redact.after of the policy; NULL never redacts.';
comment on column sweeper.governed.start_unit is 'Unit of an integer start: s, ms or us since 1970; NULL: the start is a time.';
comment on column sweeper.governed.partitions is 'What becomes of whole partitions: drop, detach or rows.';
comment on column sweeper.governed.manifest is 'What is recorded of a partition that goes whole: none, count or digest.';
comment on column sweeper.governed.window_min is 'The shortest window that the policy allows, tenants'' own ones included; NULL: no floor.';
comment on column sweeper.governed.window_max is 'The longest one; NULL: no ceiling.';
comment on column sweeper.governed.allowed_days is 'The only windows allowed, in days; NULL or empty: all between floor and ceiling.';
comment on column sweeper.governed.mode is 'enforce, or observe: everything but the purge.';
comment on column sweeper.governed.enabled is 'Whether sweeps purge it at all.';
comment on column sweeper.governed.policy_sha256 is 'SHA-256 of the policy set that it comes from.';
comment on column sweeper.governed.registered_at is 'When that set was loaded.';

comment on table sweeper.policy_versions is 'Every policy set that ever ran.';
comment on column sweeper.policy_versions.policy_sha256 is 'SHA-256 of the policy set.';
comment on column sweeper.policy_versions.files is 'The files of the set, with their text.';
comment on column sweeper.policy_versions.loaded_from is 'Where the set was read from.';
comment on column sweeper.policy_versions.first_run_at is 'When a sweep used it for the first time.';

comment on table sweeper.policy_counts is 'Per category, how many rows were in which state when it was last counted.';
comment on column sweeper.policy_counts.category is 'Name of the category.';
comment on column sweeper.policy_counts.due_rows is 'Rows due and neither held nor blocked.';
comment on column sweeper.policy_counts.held_rows is 'Rows due but under a legal hold.';
comment on column sweeper.policy_counts.blocked_rows is 'Rows due but kept by something named in the run.';
comment on column sweeper.policy_counts.oldest_overdue is 'The oldest start of a row still due; NULL: none.';
comment on column sweeper.policy_counts.coverage is 'covered, or awaiting until the table is published.';
comment on column sweeper.policy_counts.computed_at is 'When the rows were counted.';

comment on table sweeper.manifest is 'Through which the write-ahead log sees the keys of a partition that goes whole with a digest; its rows go with the transaction that writes them.';
comment on column sweeper.manifest.manifest_id is 'Number of the row, by which its deletion is named.';
comment on column sweeper.manifest.key is 'For each key column its name and its text, each after its length in four bytes.';

comment on table sweeper.relations is 'Tables as the write-ahead log last named them, for those that are dropped before their changes are read.';
comment on column sweeper.relations.relid is 'Oid of the table or partition.';
comment on column sweeper.relations.relation is 'Its name, as schema.table.';
comment on column sweeper.relations.root is 'The partitioned table it belongs to; its own name where there is none.';
comment on column sweeper.relations.key_columns is 'Its key columns, in key order.';
comment on column sweeper.relations.columns is 'Its columns as of the last load of policies; NULL of a partition, and of a table that only the write-ahead log named.';
comment on column sweeper.relations.seen_at is 'When this was last found to be different from before.';
comment on column sweeper.relations.gone_lsn is 'Of a partition that was dropped or detached, or a table that was dropped: where the purge log, or the event trigger, learned of it. NULL: it is there.';

comment on table sweeper.coverage is 'Which tables the publications named when the purge log last found a difference: what it witnesses. Every difference is an entry of kind coverage.';
comment on column sweeper.coverage.source is 'The server and slot.';
comment on column sweeper.coverage.relid is 'Oid of the table.';
comment on column sweeper.coverage.relation is 'The table, as schema.table.';
comment on column sweeper.coverage.published is 'The publications that name it, each with the operations that it publishes; none: it is not witnessed any more.';
comment on column sweeper.coverage.marks is 'What changes when a table is taken out of a publication and put back.';
comment on column sweeper.coverage.identity is 'Its replica identity, or those of its partitions: d default, i index, f full, n nothing.';
comment on column sweeper.coverage.key_columns is 'The columns that name its rows, in key order.';
comment on column sweeper.coverage.seen_lsn is 'Where the write-ahead log ended when this was seen.';

comment on table sweeper.legal_holds is 'Every legal hold, released and expired ones too. A hold suspends redact and delete of the rows that all its conditions match.';
comment on column sweeper.legal_holds.hold_id is 'Number of the hold.';
comment on column sweeper.legal_holds.subject is 'The data subject, as it was given; NULL: every one.';
comment on column sweeper.legal_holds.tenant is 'The tenant; NULL: every one.';
comment on column sweeper.legal_holds.category is 'The category; NULL: every one.';
comment on column sweeper.legal_holds.relation is 'The table; NULL: every one.';
comment on column sweeper.legal_holds.reason is 'Why it was applied.';
comment on column sweeper.legal_holds.reference is 'The number of the case or the like.';
comment on column sweeper.legal_holds.applied_by is 'Who applied it, as the caller said.';
comment on column sweeper.legal_holds.applied_at is 'When it was applied.';
comment on column sweeper.legal_holds.applied_login is 'The login that applied it.';
comment on column sweeper.legal_holds.expires_at is 'When it ends by itself; NULL: never.';
comment on column sweeper.legal_holds.released_at is 'When it was released; NULL: not yet.';
comment on column sweeper.legal_holds.released_by is 'Who released it, as the caller said.';
comment on column sweeper.legal_holds.release_reason is 'Why it was released.';
comment on column sweeper.legal_holds.forgotten_at is 'When its subject was forgotten, after it was over.';

comment on table sweeper.hold_types is 'The types through which the subjects and tenants of holds are read: those of every column that was ever governed.';
comment on column sweeper.hold_types.part is 'subject or tenant.';
comment on column sweeper.hold_types.type is 'The type of a column that names it.';

comment on table sweeper.hold_keys is 'The subjects and tenants of the holds as each type reads them: what batches compare rows with.';
comment on column sweeper.hold_keys.hold_id is 'The hold.';
comment on column sweeper.hold_keys.part is 'subject or tenant.';
comment on column sweeper.hold_keys.type is 'The type that the value was read through.';
comment on column sweeper.hold_keys.value is 'Its canonical text in that type; NULL where the type refuses it, so that no row can match.';

comment on table sweeper.hold_version is 'Which set of keys of holds is in force: one row.';
comment on column sweeper.hold_version.singleton is 'True: there is one row.';
comment on column sweeper.hold_version.version is 'Another one whenever keys have come; sweepers that remember a set compare it.';
comment on column sweeper.hold_version.renewed_by is 'The transaction in which they came.';
comment on column sweeper.hold_version.renewed_at is 'When it began.';

comment on table sweeper.tenant_retention is 'The tenants that have a window of their own: it replaces the policy''s delete.after, or redact.after where nothing is deleted. Earlier dispositions come at the smaller of the two.';
comment on column sweeper.tenant_retention.category is 'Name of the category.';
comment on column sweeper.tenant_retention.tenant is 'The tenant, as it was given.';
comment on column sweeper.tenant_retention.type is 'The type of the tenants'' column, through which it was read.';
comment on column sweeper.tenant_retention.value is 'Its canonical text in that type: what batches compare rows with.';
comment on column sweeper.tenant_retention.retention is 'The tenant''s window.';
comment on column sweeper.tenant_retention.actor is 'Who set it, as the caller said.';
comment on column sweeper.tenant_retention.reason is 'Why.';
comment on column sweeper.tenant_retention.set_at is 'When it was set.';
comment on column sweeper.tenant_retention.set_login is 'The login that set it.';

comment on table sweeper.runs is 'Every sweep of every category.';
comment on column sweeper.runs.run_id is 'The run: one category in one sweep.';
comment on column sweeper.runs.sweep_id is 'The sweep that it belongs to.';
comment on column sweeper.runs.category is 'Name of the category.';
comment on column sweeper.runs.state is 'running, succeeded, partial, failed, stopped, paused, awaiting_approval or observed.';
comment on column sweeper.runs.reason is 'Why it ran, in the words of purge_log.reason.';
comment on column sweeper.runs.actor is 'Who ran it.';
comment on column sweeper.runs.as_of is 'The instant that it judged by.';
comment on column sweeper.runs.policy_sha256 is 'The policy set that it ran by.';
comment on column sweeper.runs.plan_hash is 'Hash of its plan, which an approval names.';
comment on column sweeper.runs.planned is 'Rows due before it began.';
comment on column sweeper.runs.deleted is 'Rows deleted, those of dropped partitions included.';
comment on column sweeper.runs.redacted is 'Rows redacted.';
comment on column sweeper.runs.partitions_dropped is 'Partitions dropped whole.';
comment on column sweeper.runs.children is 'Rows of child tables that went along.';
comment on column sweeper.runs.held is 'Rows due at its end but under a legal hold.';
comment on column sweeper.runs.blocked is 'Rows due at its end but kept by something that stop_reason names.';
comment on column sweeper.runs.not_started is 'Rows whose start is not known.';
comment on column sweeper.runs.remaining is 'Rows that should have gone and stand at its end, blocked ones included.';
comment on column sweeper.runs.stop_reason is 'Why it did not end as succeeded.';
comment on column sweeper.runs.started_at is 'When it began.';
comment on column sweeper.runs.instance is 'The process that runs it, as its connections are named; NULL: unnamed.';
comment on column sweeper.runs.finished_at is 'When it ended; NULL: it runs, or was killed.';
comment on column sweeper.runs.waited is 'How long it waited between batches, see sweeper.run_waits; set at its end.';
comment on table sweeper.run_waits is 'One row per pause of a run between two batches.';
comment on column sweeper.run_waits.wait_id is 'A number that no other row has.';
comment on column sweeper.run_waits.run_id is 'The run that waited.';
comment on column sweeper.run_waits.cause is 'evidence, replica_lag, slot_lag, lock_waits or dead_rows.';
comment on column sweeper.run_waits.why is 'The cause in a sentence, with figures.';
comment on column sweeper.run_waits.began_at is 'When the pause began.';
comment on column sweeper.run_waits.ended_at is 'When it ended; NULL: it lasts, or the process was killed in it.';
comment on table sweeper.paused is 'Categories that somebody has paused: no batch of theirs begins.';
comment on column sweeper.paused.category is 'Name of the category.';
comment on column sweeper.paused.actor is 'Who paused it, as named by the caller.';
comment on column sweeper.paused.reason is 'Why, in the words of the caller.';
comment on column sweeper.paused.login is 'The database login of the caller.';
comment on column sweeper.paused.paused_at is 'Since when.';

comment on table sweeper.approvals is 'Approvals of runs that waited for one.';
comment on column sweeper.approvals.approval_id is 'Number of the approval.';
comment on column sweeper.approvals.category is 'Name of the category.';
comment on column sweeper.approvals.plan_hash is 'The plan that was approved.';
comment on column sweeper.approvals.max_rows is 'Rows up to which it counts, of all runs since: 1.1 times the planned ones.';
comment on column sweeper.approvals.actor is 'Who approved, as the caller said.';
comment on column sweeper.approvals.reason is 'Why.';
comment on column sweeper.approvals.login is 'The login that approved.';
comment on column sweeper.approvals.approved_at is 'When it was approved.';
comment on column sweeper.approvals.expires_at is 'Until when it counts.';

comment on table sweeper.operator_log is 'Who called which function of this schema, and when. Kept 365 days.';
comment on column sweeper.operator_log.call_id is 'Number of the call.';
comment on column sweeper.operator_log.called_at is 'When it was called.';
comment on column sweeper.operator_log.function is 'Name of the function.';
comment on column sweeper.operator_log.actor is 'Who called, as the caller said.';
comment on column sweeper.operator_log.actor_kind is 'user, api_key or cron.';
comment on column sweeper.operator_log.login is 'The login that called.';
comment on column sweeper.operator_log.client_addr is 'The address that the call came from; NULL: a local socket.';
comment on column sweeper.operator_log.object is 'What the call was about: an id or a name, never a subject.';

comment on table sweeper.batches is 'The stamps: what a purging transaction says of itself, first what it is about to do, last what it did. The purge log believes them only along with the write-ahead log.';
comment on column sweeper.batches.batch_id is 'Number of the row.';
comment on column sweeper.batches.xid is 'The transaction, which nobody can choose.';
comment on column sweeper.batches.at is 'When the row was written.';
comment on column sweeper.batches.fact is 'stamp: first row of a purging transaction; report: its last; hold: a hold was applied or released; run_end: a run has ended; vacuum: a table was vacuumed after a purge; ddl: somebody dropped or detached a governed table or partition, or changed a publication.';
comment on column sweeper.batches.kind is 'What the transaction does, in the words of purge_log.kind.';
comment on column sweeper.batches.reason is 'Why, in the words of purge_log.reason.';
comment on column sweeper.batches.category is 'Name of the category.';
comment on column sweeper.batches.relation is 'The table, as schema.table.';
comment on column sweeper.batches.partition is 'The partition, where one is purged by itself.';
comment on column sweeper.batches.tenant is 'The tenant, where the transaction is about one alone.';
comment on column sweeper.batches.cutoff is 'As-of less the retention, for people; nothing compares with it.';
comment on column sweeper.batches.basis is 'The legal ground.';
comment on column sweeper.batches.actor is 'Who had it done.';
comment on column sweeper.batches.reference is 'A number of a case, or the hold that it is about.';
comment on column sweeper.batches.run_id is 'The run that it belongs to.';
comment on column sweeper.batches.request_id is 'The request that it belongs to.';
comment on column sweeper.batches.policy_sha256 is 'The policy set that it goes by.';
comment on column sweeper.batches.columns is 'The columns that are redacted.';
comment on column sweeper.batches.row_count is 'Rows that went, in a report; NULL: not counted.';
comment on column sweeper.batches.tenants is 'The same by tenant: [{"tenant": …, "rows": …}, …].';
comment on column sweeper.batches.writer is 'The role that wrote the row, which nobody can choose: sweeper_owner in the installed functions. NULL in rows from before there was this column.';
comment on column sweeper.batches.started_at is 'When the run began, in a run_end; in a vacuum, when it ended.';
comment on column sweeper.batches.evidence is 'In a stamp: row, when each row that its transaction purges is to have an entry of its own in the purge log; batch or NULL: one entry for all rows of a relation.';

comment on table sweeper.purge_log is 'The purge log: append-only, one entry per committed transaction, relation and kind, or per row under evidence: row, taken from the write-ahead log.';
comment on column sweeper.purge_log.seq is 'Number of the entry, from 0 and without gaps: its index in the tree.';
comment on column sweeper.purge_log.logged_at is 'When the entry was appended.';
comment on column sweeper.purge_log.committed_at is 'When the transaction committed.';
comment on column sweeper.purge_log.commit_lsn is 'LSN of its commit.';
comment on column sweeper.purge_log.xid is 'Its transaction id.';
comment on column sweeper.purge_log.source is 'The server and slot that the entry came from.';
comment on column sweeper.purge_log.kind is 'What happened: delete, redact, drop_partition, detach_partition (its rows stay, in a table that is no longer swept), truncate, gap and so on.';
comment on column sweeper.purge_log.reason is 'Why it was purged; out_of_policy: by others; NULL: nothing was purged.';
comment on column sweeper.purge_log.category is 'Name of the category.';
comment on column sweeper.purge_log.relation is 'The table, as schema.table; of a partition, its root.';
comment on column sweeper.purge_log.partition is 'The partition.';
comment on column sweeper.purge_log.tenant is 'The tenant, where the transaction was about one alone.';
comment on column sweeper.purge_log.subject_digest is 'Keyed digest of tenant and subject, of a request.';
comment on column sweeper.purge_log.cutoff is 'As-of less the retention, for people; nothing compares with it.';
comment on column sweeper.purge_log.basis is 'The legal ground.';
comment on column sweeper.purge_log.actor is 'Who had it done.';
comment on column sweeper.purge_log.reference is 'A number of a case, or the hold that it is about.';
comment on column sweeper.purge_log.request_id is 'The request that it belongs to.';
comment on column sweeper.purge_log.run_id is 'The run that it belongs to.';
comment on column sweeper.purge_log.policy_sha256 is 'The policy set that it went by.';
comment on column sweeper.purge_log.row_count is 'Rows seen in the write-ahead log, or as the manifest of a dropped partition counts them.';
comment on column sweeper.purge_log.columns is 'The columns that were redacted.';
comment on column sweeper.purge_log.objects_removed is 'Objects removed from a bucket.';
comment on column sweeper.purge_log.rows_root is 'Root of the tree over the entry''s row commitments.';
comment on column sweeper.purge_log.leaf_hash is 'Hash of the leaf: SHA-256 over the fields above, see leaf_bytes().';
comment on column sweeper.purge_log.chain_hash is 'SHA-256 over the chain_hash of the entry before and this leaf_hash.';

comment on table sweeper.purge_rows is 'The row commitments of the entries, in parts. Only who holds the key can tell which row is meant.';
comment on column sweeper.purge_rows.seq is 'The entry.';
comment on column sweeper.purge_rows.logged_at is 'When the entry was appended.';
comment on column sweeper.purge_rows.part is 'Number of the part, from 0.';
comment on column sweeper.purge_rows.commitments is 'Row commitments of 32 bytes each, in the order of the write-ahead log.';

comment on table sweeper.purges is 'What was purged: one row per purge and tenant, written when its last entry is logged. Append-only.';
comment on column sweeper.purges.purge_id is 'Number of the row.';
comment on column sweeper.purges.run_id is 'The run, of a sweep.';
comment on column sweeper.purges.request_id is 'The request, of an erasure and the like.';
comment on column sweeper.purges.category is 'Name of the category.';
comment on column sweeper.purges.tenant is 'The tenant.';
comment on column sweeper.purges.reason is 'Why, in the words of purge_log.reason.';
comment on column sweeper.purges.cutoff is 'As-of less the retention, of a sweep.';
comment on column sweeper.purges.subject_digest is 'Keyed digest of tenant and subject, of a request.';
comment on column sweeper.purges.actor is 'Who had it done.';
comment on column sweeper.purges.reference is 'A number of a case or the like.';
comment on column sweeper.purges.rows_deleted is 'Rows deleted, those of dropped partitions included; NULL: not counted.';
comment on column sweeper.purges.rows_redacted is 'Rows redacted.';
comment on column sweeper.purges.objects_removed is 'Objects removed from a bucket.';
comment on column sweeper.purges.started_at is 'When the purge began.';
comment on column sweeper.purges.finished_at is 'When it ended.';
comment on column sweeper.purges.logged_at is 'When the row was written.';

comment on table sweeper.log_head is 'The state of the purge log after its last entry: one row.';
comment on column sweeper.log_head.singleton is 'True: there is one row.';
comment on column sweeper.log_head.size is 'Number of entries.';
comment on column sweeper.log_head.chain_hash is 'chain_hash of the last entry.';
comment on column sweeper.log_head.hashes is 'The edge of the tree: hashes of its perfect subtrees, 32 bytes each, the widest first.';
comment on column sweeper.log_head.root is 'Root of the tree over all entries.';
comment on column sweeper.log_head.updated_at is 'logged_at of the last entry.';

comment on table sweeper.log_progress is 'How far the purge log has read the write-ahead log, per source.';
comment on column sweeper.log_progress.source is 'The server and slot.';
comment on column sweeper.log_progress.system_id is 'System identifier of the server.';
comment on column sweeper.log_progress.slot is 'Name of the slot.';
comment on column sweeper.log_progress.applied_lsn is 'LSN up to which everything is in the log.';
comment on column sweeper.log_progress.renewed_lsn is 'Where the write-ahead log ended when an install last made the slot anew: behind it the log may go on, with an entry of kind gap.';
comment on column sweeper.log_progress.timeline is 'The timeline of the write-ahead log that was read last.';
comment on column sweeper.log_progress.publications is 'The publications that the slot is read through.';
comment on column sweeper.log_progress.looked_lsn is 'Where the write-ahead log ended when the publications were last looked at.';
comment on column sweeper.log_progress.reconcile_lsn is 'After a gap: when the log has come this far, what was reported in the gap and not logged is told from what is still to come. NULL: nothing is to be compared.';
comment on column sweeper.log_progress.reconcile_since is 'Older reports are not looked at.';
comment on column sweeper.log_progress.reconcile_snapshot is 'The transactions whose reports are compared.';
comment on column sweeper.log_progress.updated_at is 'When it was last moved.';

comment on table sweeper.schedules is 'When each category is due next. A slot stays due until the run that it asked for has ended.';
comment on column sweeper.schedules.category is 'Name of the category.';
comment on column sweeper.schedules.expression is 'Its schedule: cron fields, or every and a duration.';
comment on column sweeper.schedules.timezone is 'The zone of the cron fields.';
comment on column sweeper.schedules.next_due is 'The next slot; NULL while the category is disabled or gone from the policies.';
comment on column sweeper.schedules.last_due is 'The slot that ran last.';
comment on column sweeper.schedules.updated_at is 'When the row was changed last.';

comment on table sweeper.pace is 'The rates that all processes keep to together.';
comment on column sweeper.pace.category is 'Whose rate: a category''s by its limits.rows_per_second, or with an empty text that of all together.';
comment on column sweeper.pace.allowed_at is 'From when on the next rows may be purged.';

comment on table sweeper.checkpoints is 'Signed tree heads of the purge log: C2SP tlog-checkpoints.';
comment on column sweeper.checkpoints.checkpoint_id is 'Number of the checkpoint.';
comment on column sweeper.checkpoints.origin is 'Which log: named by the leaf hash of the entry that it began with, genesis or the last fork.';
comment on column sweeper.checkpoints.size is 'Entries in the tree.';
comment on column sweeper.checkpoints.root is 'Root of the tree over them.';
comment on column sweeper.checkpoints.hashes is 'The edge of that tree, 32 bytes each, the widest first: what a later tree is shown to continue from. The root proves it.';
comment on column sweeper.checkpoints.note is 'The signed note; its bare text when there was no signing key.';
comment on column sweeper.checkpoints.signed_by is 'Names and hashes of the keys that signed it; empty: unsigned.';
comment on column sweeper.checkpoints.made_at is 'When it was made.';

comment on table sweeper.checkpoint_anchors is 'Which checkpoints are kept outside the database, and where.';
comment on column sweeper.checkpoint_anchors.checkpoint_id is 'The checkpoint.';
comment on column sweeper.checkpoint_anchors.anchor is 'The anchor, without credentials.';
comment on column sweeper.checkpoint_anchors.anchored_at is 'When it was written there.';

comment on table sweeper.log_prunes is 'What was pruned from the beginning of the purge log, and what its survivors are verified with.';
comment on column sweeper.log_prunes.size is 'How many entries are gone: those with a smaller seq.';
comment on column sweeper.log_prunes.chain_hash is 'chain_hash of the last of them.';
comment on column sweeper.log_prunes.hashes is 'The edge of the tree over them, 32 bytes each, the widest first.';
comment on column sweeper.log_prunes.entry_seq is 'The entry of kind log_prune that says so.';
comment on column sweeper.log_prunes.pruned_at is 'When.';
