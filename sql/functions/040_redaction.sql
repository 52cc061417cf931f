-- Redaction tokens: 32 hex digits keyed by the old value.
--
-- The first 24 are HMAC-SHA256 of the value, the last 8 of those 24 under the
-- same key. So equal values give equal tokens and a unique column stays
-- unique, and a token is recognised as one of ours without any state: a
-- second sweep leaves it alone. The two halves of the key arrive already
-- xor-ed with the pads of RFC 2104, and are derived per column.

create or replace function sweeper.redaction_hmac(message bytea, inner_key bytea, outer_key bytea) returns bytea
language sql immutable strict parallel safe
return sha256(outer_key || sha256(inner_key || message));
revoke all on function sweeper.redaction_hmac(bytea, bytea, bytea) from public;
comment on function sweeper.redaction_hmac(bytea, bytea, bytea) is
    'HMAC-SHA256 (RFC 2104) with a key already xor-ed with the inner and the outer pad.';

create or replace function sweeper.redaction_token(value text, inner_key bytea, outer_key bytea) returns text
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    select t.body || substr(encode(sweeper.redaction_hmac(convert_to('check' || t.body, 'UTF8'), inner_key, outer_key), 'hex'), 1, 8)
      from (select substr(encode(sweeper.redaction_hmac(convert_to('value' || value, 'UTF8'), inner_key, outer_key), 'hex'), 1, 24) as body) t
$$;
revoke all on function sweeper.redaction_token(text, bytea, bytea) from public;
comment on function sweeper.redaction_token(text, bytea, bytea) is
    'The 32 hex digits that replace a value under {hmac: …}.';

create or replace function sweeper.is_redaction_token(token text, inner_key bytea, outer_key bytea) returns boolean
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    select length(token) = 32 and substr(token, 25) =
        substr(encode(sweeper.redaction_hmac(convert_to('check' || substr(token, 1, 24), 'UTF8'), inner_key, outer_key), 'hex'), 1, 8)
$$;
revoke all on function sweeper.is_redaction_token(text, bytea, bytea) from public;
comment on function sweeper.is_redaction_token(text, bytea, bytea) is
    'Whether a text is a token made by redaction_token() with this key.';

-- Redactions inside of documents.

-- redact_json goes along path, in which NULL stands for each element of an
-- array, and removes what it ends at or makes it null. A step that does not fit
-- what it meets leads nowhere. It works on json and not on jsonb: a json may have
-- a key twice, of which jsonb knows the last, and the first would stay. What has
-- nothing to change is returned byte for byte, so a second call changes nothing.
create or replace function sweeper.redact_json(document json, path text[], remove boolean) returns json
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    step constant text := path[1];
    rest constant text[] := path[2:];
    done constant boolean := cardinality(path) = 1;
    result json;
    changed boolean;
begin
    if step is null and json_typeof(document) = 'array' then
        select coalesce(json_agg(s.new order by s.n) filter (where not (done and remove)), '[]'),
               coalesce(bool_or(done and remove or s.new::text collate "C" <> s.old::text), false)
          into result, changed
          from (select e.n, e.value as old, case when done then 'null'::json else sweeper.redact_json(e.value, rest, remove) end as new
                  from json_array_elements(document) with ordinality e(value, n)) s;
    elsif step is not null and json_typeof(document) = 'object' then
        select coalesce(json_object_agg(s.key, s.new order by s.n) filter (where not (done and remove and s.key = step)), '{}'),
               coalesce(bool_or(s.key = step and (done and remove or s.new::text collate "C" <> s.old::text)), false)
          into result, changed
          from (select e.n, e.key, e.value as old,
                       case when e.key <> step then e.value when done then 'null'::json else sweeper.redact_json(e.value, rest, remove) end as new
                  from json_each(document) with ordinality e(key, value, n)) s;
    end if;
    return case when changed then result else document end;
end $$;
revoke all on function sweeper.redact_json(json, text[], boolean) from public;
comment on function sweeper.redact_json(json, text[], boolean) is
    'A document without, or with null at, the places that a path leads to; NULL in the path is each element of an array.';
