-- The roles, shared by all databases of the server. Created when absent and
-- never altered, so that a second install, or one in another database at the
-- same moment, changes nothing.

do $$
declare
    r record;
begin
    for r in select * from (values
        ('sweeper_owner', 'nologin'),
        ('sweeper_daemon', 'login'),
        ('sweeper_logger', 'login replication'),
        ('sweeper_operator', 'nologin'),
        ('sweeper_auditor', 'nologin')) as roles(name, attributes)
    loop
        continue when exists (select from pg_catalog.pg_roles where rolname = r.name);
        begin
            execute pg_catalog.format('create role %I %s', r.name, r.attributes);
        exception
            when duplicate_object or unique_violation then null; -- another install was faster
            when insufficient_privilege then
                raise exception 'role % may not create role %; a superuser runs: CREATE ROLE % %;', current_user, r.name, r.name, upper(r.attributes)
                    using errcode = '42501';
        end;
    end loop;
    -- A superuser may act as the owner anyway; a role with CREATEROLE must be
    -- its member, and from 16 on one that may SET ROLE, which who makes a role
    -- is not by itself.
    -- By its oid: of a role that another install has made a moment ago, the
    -- session may still remember that there is none of that name.
    if not (select pg_catalog.pg_has_role(current_user, o.oid,
            case when pg_catalog.current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)
            from pg_catalog.pg_roles o where o.rolname = 'sweeper_owner') then
        execute pg_catalog.format('grant sweeper_owner to %I', current_user);
    end if;
end $$;
