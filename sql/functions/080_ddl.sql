-- What others do to governed tables without a row in the write-ahead log: a
-- DROP, a DETACH, a change of a publication. Event triggers note it in
-- sweeper.batches, in the same transaction, so that it comes through the
-- write-ahead log with its own LSN. Only a superuser may install them; without
-- them the purge log compares the catalogue with what it knew before.
--
-- They must never make the application's DDL fail, nor wait: whatever goes wrong
-- in them is undone and told to the server's log alone, and they wait for no lock
-- longer than 100 ms, which is less than deadlock_timeout. What they could not
-- note is found by comparison.

-- A table counts as governed when a category names it, or a publication of ours
-- that the purge log has looked at.
create or replace function sweeper.is_governed(root oid, root_name text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from sweeper.governed g where g.relation = root or g.relation_name = root_name)
        or exists (select from sweeper.coverage c where (c.relid = root or c.relation = root_name) and cardinality(c.published) > 0)
$$;
revoke all on function sweeper.is_governed(oid, text) from public;
comment on function sweeper.is_governed(oid, text) is
    'Whether a table is one that the policies, or the publications, speak of.';

create or replace function sweeper.note_drop() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $$
begin
    with gone as (
        update sweeper.relations k set gone_lsn = pg_current_wal_insert_lsn()
          from pg_event_trigger_dropped_objects() d
         where d.classid = 'pg_class'::regclass and d.objsubid = 0 and k.relid = d.objid and k.gone_lsn is null
        returning k.relid, k.relation, k.root)
    insert into sweeper.batches (fact, kind, relation, partition, actor, reference)
    select 'ddl', 'drop_partition', g.root, nullif(g.relation, g.root), session_user, 'dropped by ' || tg_tag
      from gone g where sweeper.is_governed(case when g.relation = g.root then g.relid end, g.root)
     order by g.relation;
    insert into sweeper.batches (fact, kind, relation, actor, reference)
    select 'ddl', 'coverage', format('%I.%I', d.address_names[1], d.address_names[2]), session_user,
           format('taken out of publication %s by %s: not witnessed by it from here on', d.address_args[1], tg_tag)
      from pg_event_trigger_dropped_objects() d
     where d.classid = 'pg_publication_rel'::regclass
       and exists (select from sweeper.log_progress p where d.address_args[1] = any (p.publications));
exception when others then
    raise log 'sweeper could not note %: SQLSTATE %', tg_tag, sqlstate;
end $$;
revoke all on function sweeper.note_drop() from public;
comment on function sweeper.note_drop() is
    'Event trigger on sql_drop: notes a governed table or partition that is dropped, and a table that a publication of sweeper loses.';

create or replace function sweeper.note_ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $$
begin
    if tg_tag like '%PUBLICATION' then
        insert into sweeper.batches (fact, kind, relation, actor, reference)
        select 'ddl', 'coverage', case when r.oid is not null then sweeper.relation_name(r.prrelid) end, session_user,
               case when r.oid is not null then format('put into publication %s by %s: witnessed by it from here on', p.pubname, tg_tag)
                    else format('publication %s has other options from here on, by %s', p.pubname, tg_tag) end
          from pg_event_trigger_ddl_commands() d
          left join pg_publication_rel r on d.classid = 'pg_publication_rel'::regclass and r.oid = d.objid
          join pg_publication p on p.oid = coalesce(r.prpubid, case when d.classid = 'pg_publication'::regclass then d.objid end)
         where exists (select from sweeper.log_progress l where p.pubname = any (l.publications));
        return;
    end if;
    -- Leaves that have come, so that they are known when they go.
    insert into sweeper.relations as x (relid, relation, root, key_columns)
    select t.relid, sweeper.relation_name(t.relid), sweeper.relation_name(c.root), '{}'
      from (select distinct coalesce(pg_partition_root(d.objid), d.objid) as root from pg_event_trigger_ddl_commands() d
             where d.classid = 'pg_class'::regclass) c
     cross join lateral pg_partition_tree(c.root) t
     where t.isleaf and sweeper.is_governed(c.root, sweeper.relation_name(c.root))
       and not exists (select from sweeper.relations k where k.relid = t.relid and k.gone_lsn is null)
    on conflict (relid) do update set relation = excluded.relation, root = excluded.root, seen_at = now(), gone_lsn = null;
    -- Leaves that have gone out of their table. The command names the table alone.
    with gone as (
        update sweeper.relations k set gone_lsn = pg_current_wal_insert_lsn()
          from (select distinct d.objid from pg_event_trigger_ddl_commands() d
                 where d.classid = 'pg_class'::regclass and d.command_tag = 'ALTER TABLE') c
         where k.root = sweeper.relation_name(c.objid) and k.relid <> c.objid and k.gone_lsn is null
           and sweeper.is_governed(c.objid, k.root)
           and not exists (select from pg_partition_tree(c.objid) t where t.relid = k.relid)
           and exists (select from pg_class o where o.oid = k.relid)
        returning k.relation, k.root)
    insert into sweeper.batches (fact, kind, relation, partition, actor, reference)
    select 'ddl', 'detach_partition', g.root, g.relation, session_user, 'detached by ' || tg_tag
      from gone g order by g.relation;
exception when others then
    raise log 'sweeper could not note %: SQLSTATE %', tg_tag, sqlstate;
end $$;
revoke all on function sweeper.note_ddl() from public;
comment on function sweeper.note_ddl() is
    'Event trigger on ddl_command_end: notes a partition of a governed table that is detached, and changes of the publications of sweeper.';
