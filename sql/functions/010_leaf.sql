-- The SQL twin of package proof: what an auditor can recompute with nothing
-- but the server. The layout of a leaf is told in that package's comment.
--
-- The bodies are parsed when the function is created, not when it is called,
-- so nothing in the caller's search_path or settings can change what they do;
-- and a function of this kind is expanded into the query that calls it, which
-- is what makes a check of the whole log fast. Byte constants come from
-- decode(), which no setting touches. Only core functions are used.

create or replace function sweeper.lp(field bytea) returns bytea
language sql immutable parallel safe
return int4send(octet_length(field)) || field;
revoke all on function sweeper.lp(bytea) from public;
comment on function sweeper.lp(bytea) is
    'The length of a field as 4 bytes, big-endian, then its bytes.';

create or replace function sweeper.leaf_null(field bytea) returns bytea
language sql immutable parallel safe
return coalesce(decode('01', 'hex') || field, decode('00', 'hex'));
revoke all on function sweeper.leaf_null(bytea) from public;
comment on function sweeper.leaf_null(bytea) is
    'A field of a leaf that may be NULL: 00 alone for NULL, else 01 and the field.';

-- A NULL element never occurs. It is given a length that no text has, so that
-- a forged one cannot pass for an empty text.
create or replace function sweeper.leaf_texts(texts text[]) returns bytea
language sql stable strict parallel safe
return int4send(cardinality(texts)) || coalesce(
    (select string_agg(coalesce(sweeper.lp(convert_to(t.element, 'UTF8')), int4send(-1)), decode('', 'hex') order by t.n)
       from unnest(texts) with ordinality as t(element, n)),
    decode('', 'hex'));
revoke all on function sweeper.leaf_texts(text[]) from public;
comment on function sweeper.leaf_texts(text[]) is
    'The number of texts as 4 bytes, big-endian, then each with its length.';

create or replace function sweeper.leaf_bytes(e sweeper.purge_log) returns bytea
language sql stable parallel safe
return decode('737765657065722f6c6561662f763100', 'hex') -- 'sweeper/leaf/v1' and a zero byte
    || int8send(e.seq)
    || timestamptz_send(e.logged_at)
    || sweeper.leaf_null(timestamptz_send(e.committed_at))
    || pg_lsn_send(e.commit_lsn)
    || sweeper.leaf_null(int8send(e.xid))
    || sweeper.lp(convert_to(e.source, 'UTF8'))
    || sweeper.lp(convert_to(e.kind, 'UTF8'))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.reason, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.category, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.relation, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.partition, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.tenant, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(e.subject_digest))
    || sweeper.leaf_null(timestamptz_send(e.cutoff))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.basis, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.actor, 'UTF8')))
    || sweeper.leaf_null(sweeper.lp(convert_to(e.reference, 'UTF8')))
    || sweeper.leaf_null(uuid_send(e.request_id))
    || sweeper.leaf_null(uuid_send(e.run_id))
    || sweeper.leaf_null(sweeper.lp(e.policy_sha256))
    || sweeper.leaf_null(int8send(e.row_count))
    || sweeper.leaf_null(sweeper.leaf_texts(e.columns))
    || sweeper.leaf_null(int8send(e.objects_removed))
    || sweeper.leaf_null(sweeper.lp(e.rows_root));
revoke all on function sweeper.leaf_bytes(sweeper.purge_log) from public;
comment on function sweeper.leaf_bytes(sweeper.purge_log) is
    'The bytes that leaf_hash of an entry is taken over: leaf_hash = sha256(''\x00'' || leaf_bytes(e)).';

-- prune_digest is what an entry of kind log_prune commits to; the same as
-- proof.Prune.Digest. The label is 'sweeper/prune/v1'.
create or replace function sweeper.prune_digest(size bigint, chain_hash bytea, hashes bytea) returns text
language sql immutable parallel safe
return encode(sha256(decode('737765657065722f7072756e652f7631', 'hex') || int8send(size) || chain_hash || hashes), 'hex');
revoke all on function sweeper.prune_digest(bigint, bytea, bytea) from public;
comment on function sweeper.prune_digest(bigint, bytea, bytea) is
    'What an entry of kind log_prune ends with: SHA-256 over the record in log_prunes.';

-- The words of the problems are those of proof.Verifier, which finds the same.
--
-- gone    what was pruned last; a row of zeros when nothing ever was
-- edge    the perfect subtrees over it, from which the tree goes on
-- entry   each entry with its leaf hash checked, in one pass
-- link    each with the one before; due: its seq is the next one
-- node    the Merkle tree, level by level: neighbours pair up, the first one with
--         the edge of what was pruned where its number is odd, and an odd last
--         one moves up as it is, which is RFC 6962's tree; n is the level's width
-- tree    the root, and the edge: at each bit that is set in the size, the
--         last perfect subtree of that level, widest first
create or replace function sweeper.verify_chain() returns table (seq bigint, problem text)
language sql stable parallel safe set jit = off -- compiling this costs more than it saves
begin atomic
    with recursive gone as materialized (
        select coalesce(max(x.size), 0) as size, coalesce(max(x.entry_seq), -1) as entry_seq,
               coalesce((array_agg(x.chain_hash))[1], decode(repeat('00', 32), 'hex')) as chain_hash,
               coalesce((array_agg(x.hashes))[1], decode('', 'hex')) as hashes
          from (select p.size, p.entry_seq, p.chain_hash, p.hashes from sweeper.log_prunes as p order by p.size desc limit 1) as x
    ), edge as materialized (
        select b.level, (g.size >> b.level) - 1 as i, substr(g.hashes, (row_number() over (order by b.level desc))::int * 32 - 31, 32) as hash
          from gone as g
         cross join generate_series(0, 62) as b(level)
         where (g.size >> b.level) & 1 = 1
    ), entry as materialized (
        select l.seq, l.logged_at, l.leaf_hash, l.chain_hash, l.row_count, l.rows_root is not null as has_rows,
               sha256(decode('00', 'hex') || sweeper.leaf_bytes(l)) is not distinct from l.leaf_hash as leaf_ok
          from sweeper.purge_log as l
    ), link as materialized (
        select b.*, b.seq >= b.size and b.seq > b.last and b.seq - 1 = b.last as due
          from (select e.*, g.size, row_number() over w - 1 + g.size as i,
                       greatest(lag(e.seq) over w, g.size - 1) as last,
                       coalesce(lag(e.chain_hash) over w, g.chain_hash) as last_chain
                  from entry as e cross join gone as g
                window w as (order by e.seq, e.logged_at)) as b
    ), node (level, i, hash, n, size) as (
        select 0, l.i, l.leaf_hash, count(*) over () + l.size, count(*) over () + l.size from link as l
        union all
        select p.level + 1, p.i / 2,
               case when p.i % 2 = 1 then sha256(decode('01', 'hex') || (select d.hash from edge as d where d.level = p.level) || p.hash)
                    when p.sibling is null then p.hash
                    else sha256(decode('01', 'hex') || p.hash || p.sibling) end,
               (p.n + 1) / 2, p.size
          from (select k.level, k.i, k.hash, k.n, k.size, lead(k.hash) over (order by k.i) as sibling, row_number() over (order by k.i) as place
                  from node as k where k.n > 1) as p
         where p.i % 2 = 0 or p.place = 1
    ), part (level, i, hash, n, size) as (
        select k.level, k.i, k.hash, k.n, k.size from node as k
        union all
        select d.level, d.i, d.hash, 0, (select max(k.size) from node as k) from edge as d
    ), tree as (
        select coalesce(max(k.size), (select g.size from gone as g)) as size,
               coalesce(string_agg(k.hash, decode('', 'hex')) filter (where k.n = 1), sha256(decode('', 'hex'))) as root,
               coalesce(string_agg(k.hash, decode('', 'hex') order by k.level desc)
                   filter (where (k.size >> k.level) & 1 = 1 and k.i = (k.size >> k.level) - 1), decode('', 'hex')) as edge
          from part as k
    ), head as (
        select h.size, h.chain_hash, h.root, h.hashes, t.size as entries, t.root as tree_root, t.edge, z.seq as last,
               coalesce(z.chain_hash, decode(repeat('00', 32), 'hex')) as last_chain
          from tree as t
          left join sweeper.log_head as h on true
          left join link as z on z.i = t.size - 1
    ), rows as (
        select r.seq, sum(octet_length(r.commitments)) as bytes, count(*) as parts, max(r.part) as last_part,
               bool_and(octet_length(r.commitments) % 32 = 0) as whole
          from sweeper.purge_rows as r group by r.seq
    ), found (seq, rank, problem) as (
        select case when l.seq > l.last and l.seq >= l.size then l.last + 1 else l.seq end, 1,
               case when l.seq < l.size then format('entry %s stands before entry %s', l.seq, l.size)
                    when l.seq = l.last then format('entry %s occurs more than once', l.seq)
                    when l.seq - 1 = l.last + 1 then format('entry %s is missing', l.last + 1)
                    else format('entries %s to %s are missing', l.last + 1, l.seq - 1) end
          from link as l where not l.due
        union all
        select l.seq, 2, 'leaf_hash differs from the entry''s fields' from link as l where not l.leaf_ok
        union all
        select l.seq, 3, 'chain_hash does not follow from the entry before' from link as l
         where l.due and l.chain_hash is distinct from sha256(
               decode('02', 'hex') || case when l.seq = 0 then decode(repeat('00', 32), 'hex') else l.last_chain end || l.leaf_hash)
        union all
        select g.entry_seq, 0, case when p.seq is null then 'log_prunes names this entry, which is not there'
                                    when p.kind <> 'log_prune' then 'log_prunes names this entry, which is none of a prune'
                                    else 'log_prunes is not what this entry says of the prune' end
          from gone as g
          left join sweeper.purge_log as p on p.seq = g.entry_seq
         where g.size > 0 and not coalesce(p.kind = 'log_prune' and right(p.reference, 73) = '; digest ' || sweeper.prune_digest(g.size, g.chain_hash, g.hashes), false)
        union all
        select l.seq, 4, 'row commitments do not add up to row_count'
          from link as l left join rows as r on r.seq = l.seq
         where l.has_rows
           and not coalesce(r.whole and r.parts = r.last_part + 1 and r.bytes / 32 = l.row_count,
                            r.seq is null and l.row_count is not distinct from 0)
        union all
        select r.seq, 5, 'row commitments without an entry that they belong to' from rows as r
         where not exists (select from link as l where l.seq = r.seq and l.has_rows)
        union all
        select case when h.size is null then h.last else least(h.size, h.entries) end, 6,
               case when h.size is null then 'log_head has no row'
                    else format('log_head counts %s entries and the log has %s', h.size, h.entries) end
          from head as h where h.entries <> coalesce(h.size, 0)
        union all
        select coalesce(h.last, -1), 7, c.problem
          from head as h
         cross join lateral (values
               (h.chain_hash is distinct from h.last_chain, 'log_head.chain_hash is not that of the last entry'),
               (h.root is distinct from h.tree_root, 'log_head.root is not the root of the tree over the entries'),
               (h.hashes is distinct from h.edge, 'log_head.hashes are not the edge of the tree over the entries')) as c(differs, problem)
         where h.size = h.entries and c.differs
    )
    select f.seq, f.problem from found as f order by f.seq, f.rank, f.problem;
end;
revoke all on function sweeper.verify_chain() from public;
comment on function sweeper.verify_chain() is
    'Recomputes the purge log, from what was pruned on: entries without gaps, leaf hashes from the fields, chain, tree and log_head, and the number of '
    'row commitments of each entry (their tree is rebuilt by sweeper log verify). One row a problem; no row: the log is whole. '
    'It shows what the database holds; that nobody rewrote all of it is shown by a checkpoint kept elsewhere.';
