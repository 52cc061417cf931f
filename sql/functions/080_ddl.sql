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

-- From pg_inherits: pg_partition_tree() would lock every partition.
create or replace function sweeper.leaves(root oid) returns table (relid oid)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive tree as (
        select leaves.root as relid, 'p'::"char" as relkind
        union all
        select c.oid, c.relkind from tree t join pg_inherits i on i.inhparent = t.relid join pg_class c on c.oid = i.inhrelid and c.relispartition)
    select t.relid from tree t where t.relkind <> 'p'
$$;
revoke all on function sweeper.leaves(oid) from public;
comment on function sweeper.leaves(oid) is
    'The partitions of a table that hold rows.';

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
declare
    parent      oid;
    parent_name text;
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
    -- A leaf that has come, so that it is known when it goes.
    if tg_tag = 'CREATE TABLE' then
        insert into sweeper.relations as x (relid, relation, root, key_columns)
        select c.oid, sweeper.relation_name(c.oid), sweeper.relation_name(pg_partition_root(c.oid)), '{}'
          from pg_event_trigger_ddl_commands() d join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
         where c.relispartition and c.relkind <> 'p'
           and sweeper.is_governed(pg_partition_root(c.oid), sweeper.relation_name(pg_partition_root(c.oid)))
        on conflict (relid) do update set relation = excluded.relation, root = excluded.root, seen_at = now(), gone_lsn = null;
        return;
    end if;
    -- Of ALTER TABLE the command names the table alone, not what was attached or detached.
    for parent in select distinct coalesce(pg_partition_root(d.objid)::oid, d.objid) from pg_event_trigger_ddl_commands() d
                   where d.classid = 'pg_class'::regclass loop
        parent_name := sweeper.relation_name(parent);
        continue when not sweeper.is_governed(parent, parent_name);
        insert into sweeper.relations as x (relid, relation, root, key_columns)
        select l.relid, sweeper.relation_name(l.relid), parent_name, '{}'
          from (select l.relid from sweeper.leaves(parent) l except select k.relid from sweeper.relations k where k.gone_lsn is null) l
        on conflict (relid) do update set relation = excluded.relation, root = excluded.root, seen_at = now(), gone_lsn = null;
        with gone as (
            update sweeper.relations k set gone_lsn = pg_current_wal_insert_lsn()
              from (select o.relid from sweeper.relations o where o.root = parent_name and o.gone_lsn is null and o.relid <> parent
                    except select l.relid from sweeper.leaves(parent) l) g
             where k.relid = g.relid and exists (select from pg_class c where c.oid = g.relid)
            returning k.relation)
        insert into sweeper.batches (fact, kind, relation, partition, actor, reference)
        select 'ddl', 'detach_partition', parent_name, g.relation, session_user, 'detached by ' || tg_tag
          from gone g order by g.relation;
    end loop;
exception when others then
    raise log 'sweeper could not note %: SQLSTATE %', tg_tag, sqlstate;
end $$;
revoke all on function sweeper.note_ddl() from public;
comment on function sweeper.note_ddl() is
    'Event trigger on ddl_command_end: notes a partition of a governed table that is detached, and changes of the publications of sweeper.';
