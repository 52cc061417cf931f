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
