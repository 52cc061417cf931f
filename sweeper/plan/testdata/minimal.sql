-- category sessions of public.sessions, level 0

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."last_seen_at" AS start, CASE
    WHEN (t."last_seen_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."last_seen_at" > $1::timestamptz THEN 'future'
    WHEN (t."last_seen_at" < (SELECT $1::timestamptz - $2::interval + interval '4 days')
      AND ((t."last_seen_at" < (SELECT $1::timestamptz - $2::interval - interval '8 days')
          OR timezone($3::text, timezone($3::text, t."last_seen_at") + $2::interval) <= $1::timestamptz)
        AND t."last_seen_at" <> '-infinity')) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $4::text)
        AND (h.relation IS NULL
          OR h.relation = $5::oid))) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "public"."sessions" AS t
    WHERE true OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '90 days'
--   $3 = 'UTC'
--   $4 = 'sessions'
--   $5 = '5000'

-- delete of public.sessions, walk start: first
SELECT min(t."last_seen_at")::text
  FROM ONLY "public"."sessions" AS t
  WHERE t."last_seen_at" < $1::timestamptz - $2::interval + interval '4 days'
  AND t."last_seen_at" > '-infinity';
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '90 days'

-- delete of public.sessions, walk start: next
SELECT start::text
  FROM (SELECT t."last_seen_at" AS start
    FROM ONLY "public"."sessions" AS t
    WHERE t."last_seen_at" >= $1::timestamp with time zone
    AND t."last_seen_at" < $2::timestamp with time zone
    AND t."last_seen_at" < $4::timestamptz - $5::interval + interval '4 days' ORDER BY t."last_seen_at" OFFSET $3 LIMIT 1) s;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '90 days'

-- delete of public.sessions, walk start: batch
DELETE
  FROM ONLY "public"."sessions" AS t
  WHERE t."last_seen_at" >= $1::timestamp with time zone
  AND t."last_seen_at" < $2::timestamp with time zone
  AND t."last_seen_at" < $3::timestamptz - $4::interval + interval '4 days'
  AND ((t."last_seen_at" < (SELECT $3::timestamptz - $4::interval - interval '8 days')
      OR timezone($5::text, timezone($5::text, t."last_seen_at") + $4::interval) <= $3::timestamptz)
    AND t."last_seen_at" <> '-infinity')
  AND NOT EXISTS (SELECT
    FROM sweeper.legal_holds h
    WHERE h.subject IS NULL
    AND h.tenant IS NULL
    AND h.released_at IS NULL
    AND (h.expires_at IS NULL
      OR h.expires_at > now())
    AND (h.category IS NULL
      OR h.category = $6::text)
    AND (h.relation IS NULL
      OR h.relation = $7::oid));
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '90 days'
--   $5 = 'UTC'
--   $6 = 'sessions'
--   $7 = '5000'

-- delete of public.sessions, walk start: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "public"."sessions" AS t
    WHERE t."last_seen_at" >= $1::timestamp with time zone
    AND t."last_seen_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."last_seen_at" < $5::timestamptz - $6::interval + interval '4 days'
    AND ((t."last_seen_at" < (SELECT $5::timestamptz - $6::interval - interval '8 days')
        OR timezone($7::text, timezone($7::text, t."last_seen_at") + $6::interval) <= $5::timestamptz)
      AND t."last_seen_at" <> '-infinity')
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $8::text)
      AND (h.relation IS NULL
        OR h.relation = $9::oid))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "public"."sessions" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '90 days'
--   $7 = 'UTC'
--   $8 = 'sessions'
--   $9 = '5000'

-- delete of public.sessions, walk start: taken
WITH gone AS (DELETE
    FROM ONLY "public"."sessions" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."last_seen_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND ((t."last_seen_at" < (SELECT $3::timestamptz - $4::interval - interval '8 days')
        OR timezone($5::text, timezone($5::text, t."last_seen_at") + $4::interval) <= $3::timestamptz)
      AND t."last_seen_at" <> '-infinity')
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $6::text)
      AND (h.relation IS NULL
        OR h.relation = $7::oid))
    RETURNING NULL::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $8::text, $6::text, $9::text, NULL, $2::uuid, coalesce(sum(n), 0), NULL::jsonb
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '90 days'
--   $5 = 'UTC'
--   $6 = 'sessions'
--   $7 = '5000'
--   $8 = 'delete'
--   $9 = 'public.sessions'

-- delete of public.sessions, walk start: split
SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part
    FROM ONLY "public"."sessions" AS t
    WHERE t."last_seen_at" >= $1::timestamp with time zone
    AND t."last_seen_at" < $2::timestamp with time zone
    AND t.ctid >= $4::tid
    AND t.ctid <= $5::tid
    AND t."last_seen_at" < $6::timestamptz - $7::interval + interval '4 days'
    AND ((t."last_seen_at" < (SELECT $6::timestamptz - $7::interval - interval '8 days')
        OR timezone($8::text, timezone($8::text, t."last_seen_at") + $7::interval) <= $6::timestamptz)
      AND t."last_seen_at" <> '-infinity')) s
GROUP BY part ORDER BY part;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '90 days'
--   $8 = 'UTC'

-- delete of public.sessions, walk start: part
DELETE
  FROM ONLY "public"."sessions" AS t
  WHERE t."last_seen_at" >= $1::timestamp with time zone
  AND t."last_seen_at" < $2::timestamp with time zone
  AND t.ctid >= $3::tid
  AND t.ctid <= $4::tid
  AND t."last_seen_at" < $5::timestamptz - $6::interval + interval '4 days'
  AND ((t."last_seen_at" < (SELECT $5::timestamptz - $6::interval - interval '8 days')
      OR timezone($7::text, timezone($7::text, t."last_seen_at") + $6::interval) <= $5::timestamptz)
    AND t."last_seen_at" <> '-infinity')
  AND NOT EXISTS (SELECT
    FROM sweeper.legal_holds h
    WHERE h.subject IS NULL
    AND h.tenant IS NULL
    AND h.released_at IS NULL
    AND (h.expires_at IS NULL
      OR h.expires_at > now())
    AND (h.category IS NULL
      OR h.category = $8::text)
    AND (h.relation IS NULL
      OR h.relation = $9::oid));
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '90 days'
--   $7 = 'UTC'
--   $8 = 'sessions'
--   $9 = '5000'

-- delete of public.sessions, walk start: total
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count)
VALUES ('report', $3::text, $4::text, $5::text, NULL, $2::uuid, $1::bigint);
--   $3 = 'delete'
--   $4 = 'sessions'
--   $5 = 'public.sessions'

-- delete of public.sessions, walk start: scattered
SELECT count(*) > 0
  FROM pg_stats s
JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid
  AND c.relname = s.tablename
WHERE c.oid = $2::oid
  AND s.attname = $3::name
  AND NOT s.inherited
  AND abs(s.correlation) < 0.5
  AND c.relpages > 0
  AND c.relpages < $1::int8;
--   $2 = '5000'
--   $3 = 'last_seen_at'

-- delete of public.sessions, walk start, scattered: batch
DELETE
  FROM ONLY "public"."sessions" AS t
  WHERE t.ctid >= $1::tid
  AND t.ctid < $2::tid
  AND t."last_seen_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
  AND ((t."last_seen_at" < (SELECT $3::timestamptz - $4::interval - interval '8 days')
      OR timezone($5::text, timezone($5::text, t."last_seen_at") + $4::interval) <= $3::timestamptz)
    AND t."last_seen_at" <> '-infinity')
  AND NOT EXISTS (SELECT
    FROM sweeper.legal_holds h
    WHERE h.subject IS NULL
    AND h.tenant IS NULL
    AND h.released_at IS NULL
    AND (h.expires_at IS NULL
      OR h.expires_at > now())
    AND (h.category IS NULL
      OR h.category = $6::text)
    AND (h.relation IS NULL
      OR h.relation = $7::oid));
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '90 days'
--   $5 = 'UTC'
--   $6 = 'sessions'
--   $7 = '5000'

