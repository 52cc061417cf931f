-- Views that hide columns of rows whose time has come.

-- restrict_view makes a view of schema sweeper_restricted anew. Where its columns
-- have changed the view is another one: it is dropped, which what depends on it
-- refuses, and who may read it may do so again. It runs as its caller, who has to
-- be sweeper_owner.
create or replace function sweeper.restrict_view(name text, definition text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    grants text;
begin
    begin
        execute format('create or replace view sweeper_restricted.%I with (security_barrier) as %s', name, definition);
        return;
    exception when invalid_table_definition then null;
    end;
    select string_agg(format('grant select on sweeper_restricted.%I to %s%s', name, coalesce(quote_ident(r.rolname), 'public'),
               case when x.is_grantable then ' with grant option' else '' end), '; ')
      into grants
      from pg_class c
     cross join aclexplode(c.relacl) x
      left join pg_roles r on r.oid = x.grantee
     where c.oid = format('sweeper_restricted.%I', name)::regclass and x.privilege_type = 'SELECT' and x.grantee <> c.relowner;
    execute format('drop view sweeper_restricted.%I', name);
    execute format('create view sweeper_restricted.%I with (security_barrier) as %s', name, definition);
    if grants is not null then
        execute grants;
    end if;
end $$;
revoke all on function sweeper.restrict_view(text, text) from public;
comment on function sweeper.restrict_view(text, text) is
    'Makes a view of schema sweeper_restricted anew and keeps who may read it; called by install.';
