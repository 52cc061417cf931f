-- category applicants of kyc.applicants, level 0

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamp AT TIME ZONE $2::text
FROM (SELECT 0::oid AS leaf, event.sweeper_start AS start, CASE
    WHEN (event.sweeper_start > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN event.sweeper_start > timezone($2::text, $1::timestamptz) THEN 'future'
    WHEN ((SELECT event.start < (SELECT timezone($2::text, $1::timestamptz) - $3::interval + interval '4 days')
        AND (timezone($2::text, (event.start + 1)::timestamp + $3::interval) <= $1::timestamptz
          AND event.start <> '-infinity')
        FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
          FROM "kyc"."relations" AS e
          WHERE t."id" = e."applicant_id") AS event)) IS NOT TRUE THEN 'scheduled'
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
 
    FROM ONLY "kyc"."applicants" AS t CROSS
    JOIN LATERAL (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
      FROM "kyc"."relations" AS e
      WHERE t."id" = e."applicant_id") AS event(sweeper_start)
    WHERE true OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = 'Europe/Berlin'
--   $3 = '5 years'
--   $4 = 'applicants'
--   $5 = '2000'

-- count for redact
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamp AT TIME ZONE $2::text
FROM (SELECT 0::oid AS leaf, event.sweeper_start AS start, CASE
    WHEN (event.sweeper_start > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN event.sweeper_start > timezone($2::text, $1::timestamptz) THEN 'future'
    WHEN ((SELECT event.start < (SELECT timezone($2::text, $1::timestamptz) - $4::interval + interval '4 days')
        AND (timezone($2::text, (event.start + 1)::timestamp + $4::interval) <= $1::timestamptz
          AND event.start <> '-infinity')
        FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
          FROM "kyc"."relations" AS e
          WHERE t."id" = e."applicant_id") AS event)
      AND (t."born" <> date_trunc('year', t."born"::timestamp)::date
        OR t."seen_at" <> timezone($2::text, date_trunc('hour', timezone($2::text, t."seen_at")))
        OR t."phone"::text COLLATE "C" <> repeat('*', length(t."phone"::text) - 2) || right(t."phone"::text, 2)
        OR t."profile"::jsonb <> sweeper.redact_json(sweeper.redact_json(t."profile"::json, $5::text[], true), $6::text[], false)::jsonb)
      AND ((SELECT event.start < (SELECT timezone($2::text, $1::timestamptz) - $3::interval + interval '4 days')
          AND (timezone($2::text, (event.start + 1)::timestamp + $3::interval) <= $1::timestamptz
            AND event.start <> '-infinity')
          FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
            FROM "kyc"."relations" AS e
            WHERE t."id" = e."applicant_id") AS event)
        AND NOT false) IS NOT TRUE) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid))) THEN CASE WHEN (SELECT event.start < (SELECT timezone($2::text, $1::timestamptz) - $3::interval + interval '4 days')
      AND (timezone($2::text, (event.start + 1)::timestamp + $3::interval) <= $1::timestamptz
        AND event.start <> '-infinity')
      FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
        FROM "kyc"."relations" AS e
        WHERE t."id" = e."applicant_id") AS event) THEN 'counted with the deletion' ELSE 'held' END
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."applicants" AS t CROSS
    JOIN LATERAL (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
      FROM "kyc"."relations" AS e
      WHERE t."id" = e."applicant_id") AS event(sweeper_start)
    WHERE true OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = 'Europe/Berlin'
--   $3 = '5 years'
--   $4 = '90 days'
--   $5 = '{"passport"}'
--   $6 = '{"notes",NULL,"text"}'
--   $7 = 'applicants'
--   $8 = '2000'

-- delete of kyc.applicants, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND (SELECT event.start < (SELECT timezone($4::text, $3::timestamptz) - $5::interval + interval '4 days')
      AND (timezone($4::text, (event.start + 1)::timestamp + $5::interval) <= $3::timestamptz
        AND event.start <> '-infinity')
      FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
        FROM "kyc"."relations" AS e
        WHERE t."id" = e."applicant_id") AS event)
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
        OR h.relation = $7::oid))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = 'Europe/Berlin'
--   $5 = '5 years'
--   $6 = 'applicants'
--   $7 = '2000'

-- delete of kyc.applicants, walk blocks: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND (SELECT event.start < (SELECT timezone($4::text, $3::timestamptz) - $5::interval + interval '4 days')
      AND (timezone($4::text, (event.start + 1)::timestamp + $5::interval) <= $3::timestamptz
        AND event.start <> '-infinity')
      FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
        FROM "kyc"."relations" AS e
        WHERE t."id" = e."applicant_id") AS event)
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
--   $4 = 'Europe/Berlin'
--   $5 = '5 years'
--   $6 = 'applicants'
--   $7 = '2000'
--   $8 = 'delete'
--   $9 = 'kyc.applicants'

-- redact of kyc.applicants, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND (SELECT event.start < (SELECT timezone($4::text, $3::timestamptz) - $5::interval + interval '4 days')
      AND (timezone($4::text, (event.start + 1)::timestamp + $5::interval) <= $3::timestamptz
        AND event.start <> '-infinity')
      FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
        FROM "kyc"."relations" AS e
        WHERE t."id" = e."applicant_id") AS event)
    AND (t."born" <> date_trunc('year', t."born"::timestamp)::date
      OR t."seen_at" <> timezone($4::text, date_trunc('hour', timezone($4::text, t."seen_at")))
      OR t."phone"::text COLLATE "C" <> repeat('*', length(t."phone"::text) - 2) || right(t."phone"::text, 2)
      OR t."profile"::jsonb <> sweeper.redact_json(sweeper.redact_json(t."profile"::json, $6::text[], true), $7::text[], false)::jsonb)
    AND ((SELECT event.start < (SELECT timezone($4::text, $3::timestamptz) - $8::interval + interval '4 days')
        AND (timezone($4::text, (event.start + 1)::timestamp + $8::interval) <= $3::timestamptz
          AND event.start <> '-infinity')
        FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
          FROM "kyc"."relations" AS e
          WHERE t."id" = e."applicant_id") AS event)
      AND NOT false) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $9::text)
      AND (h.relation IS NULL
        OR h.relation = $10::oid))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = 'Europe/Berlin'
--   $5 = '90 days'
--   $6 = '{"passport"}'
--   $7 = '{"notes",NULL,"text"}'
--   $8 = '5 years'
--   $9 = 'applicants'
--   $10 = '2000'

-- redact of kyc.applicants, walk blocks: taken
WITH gone AS (UPDATE ONLY "kyc"."applicants" AS t SET "born" = date_trunc('year', t."born"::timestamp)::date, "seen_at" = timezone($3::text, date_trunc('hour', timezone($3::text, t."seen_at"))), "phone" = (repeat('*', length(t."phone"::text) - 2) || right(t."phone"::text, 2))::text, "profile" = sweeper.redact_json(sweeper.redact_json(t."profile"::json, $4::text[], true), $5::text[], false)::jsonb
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND (SELECT event.start < (SELECT timezone($3::text, $6::timestamptz) - $7::interval + interval '4 days')
      AND (timezone($3::text, (event.start + 1)::timestamp + $7::interval) <= $6::timestamptz
        AND event.start <> '-infinity')
      FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
        FROM "kyc"."relations" AS e
        WHERE t."id" = e."applicant_id") AS event)
    AND (t."born" <> date_trunc('year', t."born"::timestamp)::date
      OR t."seen_at" <> timezone($3::text, date_trunc('hour', timezone($3::text, t."seen_at")))
      OR t."phone"::text COLLATE "C" <> repeat('*', length(t."phone"::text) - 2) || right(t."phone"::text, 2)
      OR t."profile"::jsonb <> sweeper.redact_json(sweeper.redact_json(t."profile"::json, $4::text[], true), $5::text[], false)::jsonb)
    AND ((SELECT event.start < (SELECT timezone($3::text, $6::timestamptz) - $8::interval + interval '4 days')
        AND (timezone($3::text, (event.start + 1)::timestamp + $8::interval) <= $6::timestamptz
          AND event.start <> '-infinity')
        FROM (SELECT min(e."ended") FILTER (WHERE e."ended" > '-infinity') AS start
          FROM "kyc"."relations" AS e
          WHERE t."id" = e."applicant_id") AS event)
      AND NOT false) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $9::text)
      AND (h.relation IS NULL
        OR h.relation = $10::oid))
    RETURNING NULL::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $11::text, $9::text, $12::text, NULL, $2::uuid, coalesce(sum(n), 0), NULL::jsonb
  FROM counted
  RETURNING row_count;
--   $3 = 'Europe/Berlin'
--   $4 = '{"passport"}'
--   $5 = '{"notes",NULL,"text"}'
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '90 days'
--   $8 = '5 years'
--   $9 = 'applicants'
--   $10 = '2000'
--   $11 = 'redact'
--   $12 = 'kyc.applicants'

-- category epochs of kyc.epochs, level 0

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), timezone('UTC', timestamp 'epoch' + min(start) FILTER (WHERE state = 'due') * interval '1 millisecond')
FROM (SELECT 0::oid AS leaf, t."at" AS start, CASE
    WHEN (t."at" >= 631152000000
      AND t."at" < 4102444800000) IS NOT TRUE THEN 'not_started'
    WHEN t."at" > (extract(epoch
        FROM $1::timestamptz) * 1000)::int8 THEN 'future'
    WHEN (t."at" < (SELECT (extract(epoch
            FROM GREATEST($1::timestamptz - $2::interval, $1::timestamptz - $3::interval, $1::timestamptz - $4::interval) + interval '4 days') * 1000)::int8)
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $7::text
          AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, CASE WHEN t."at" >= 631152000000
              AND t."at" < 4102444800000 THEN timezone($5::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $1::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $7::text
          AND w.type = $6::oid
          AND w.value = t."workspace_id") ELSE timezone($5::text, CASE WHEN t."at" >= 631152000000
          AND t."at" < 4102444800000 THEN timezone($5::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $2::interval) <= $1::timestamptz END)
      AND (status <> 'open'
        OR status IS NULL)) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $6::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."epochs" AS t
    WHERE (status <> 'open'
      OR status IS NULL) OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '5 years'
--   $3 = '7 years'
--   $4 = '3 mons'
--   $5 = 'Europe/Berlin'
--   $6 = '25'
--   $7 = 'epochs'
--   $8 = '1000'

-- count for restrict
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), timezone('UTC', timestamp 'epoch' + min(start) FILTER (WHERE state = 'due') * interval '1 millisecond')
FROM (SELECT 0::oid AS leaf, t."at" AS start, CASE
    WHEN (t."at" >= 631152000000
      AND t."at" < 4102444800000) IS NOT TRUE THEN 'not_started'
    WHEN t."at" > (extract(epoch
        FROM $1::timestamptz) * 1000)::int8 THEN 'future'
    WHEN (t."at" < (SELECT (extract(epoch
            FROM GREATEST($1::timestamptz - $2::interval, $1::timestamptz - $3::interval, $1::timestamptz - $4::interval) + interval '4 days') * 1000)::int8)
      AND ((timezone($5::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($5::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $2::interval) <= $1::timestamptz
          OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $7::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, CASE WHEN t."at" >= 631152000000
                AND t."at" < 4102444800000 THEN timezone($5::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $1::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $7::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE false END))
      AND (status <> 'open'
        OR status IS NULL)) IS NOT TRUE THEN 'scheduled'
    WHEN false THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."epochs" AS t
    WHERE (status <> 'open'
      OR status IS NULL) OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '1 mon'
--   $3 = '7 years'
--   $4 = '3 mons'
--   $5 = 'Europe/Berlin'
--   $6 = '25'
--   $7 = 'epochs'

-- delete of kyc.epochs, walk start: first
SELECT min(t."at")::text
  FROM ONLY "kyc"."epochs" AS t
  WHERE t."at" < (extract(epoch
      FROM GREATEST($1::timestamptz - $2::interval, $1::timestamptz - $3::interval, $1::timestamptz - $4::interval) + interval '4 days') * 1000)::int8
  AND t."at" >= 631152000000
  AND t."at" < 4102444800000;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '5 years'
--   $3 = '7 years'
--   $4 = '3 mons'

-- delete of kyc.epochs, walk start: next
SELECT start::text
  FROM (SELECT t."at" AS start
    FROM ONLY "kyc"."epochs" AS t
    WHERE t."at" >= $1::int8
    AND t."at" < coalesce(nullif($2::text, 'infinity')::int8, 9223372036854775807)
    AND t."at" < (extract(epoch
        FROM GREATEST($4::timestamptz - $5::interval, $4::timestamptz - $6::interval, $4::timestamptz - $7::interval) + interval '4 days') * 1000)::int8 ORDER BY t."at" OFFSET $3 LIMIT 1) s;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = '7 years'
--   $7 = '3 mons'

-- delete of kyc.epochs, walk start: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."epochs" AS t
    WHERE t."at" >= $1::int8
    AND t."at" < coalesce(nullif($2::text, 'infinity')::int8, 9223372036854775807)
    AND t."at" < (extract(epoch
        FROM GREATEST($4::timestamptz - $5::interval, $4::timestamptz - $6::interval, $4::timestamptz - $7::interval) + interval '4 days') * 1000)::int8
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($8::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, CASE WHEN t."at" >= 631152000000
        AND t."at" < 4102444800000 THEN timezone($8::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $5::interval) <= $4::timestamptz END)
    AND (status <> 'open'
      OR status IS NULL)
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $10::text)
      AND (h.relation IS NULL
        OR h.relation = $11::oid))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $9::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $14::text, $10::text, $15::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = '7 years'
--   $7 = '3 mons'
--   $8 = 'Europe/Berlin'
--   $9 = '25'
--   $10 = 'epochs'
--   $11 = '1000'
--   $12 = (the version of the set of held keys)
--   $13 = (the bits of that set)
--   $14 = 'delete'
--   $15 = 'kyc.epochs'

-- delete of kyc.epochs, walk start: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."epochs" AS t
    WHERE t."at" >= $1::int8
    AND t."at" < coalesce(nullif($2::text, 'infinity')::int8, 9223372036854775807)
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."at" < (extract(epoch
        FROM GREATEST($5::timestamptz - $6::interval, $5::timestamptz - $7::interval, $5::timestamptz - $8::interval) + interval '4 days') * 1000)::int8
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $11::text
        AND w.type = $10::oid) THEN (SELECT bool_and(timezone($9::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($9::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $5::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $11::text
        AND w.type = $10::oid
        AND w.value = t."workspace_id") ELSE timezone($9::text, CASE WHEN t."at" >= 631152000000
        AND t."at" < 4102444800000 THEN timezone($9::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $6::interval) <= $5::timestamptz END)
    AND (status <> 'open'
      OR status IS NULL)
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $11::text)
      AND (h.relation IS NULL
        OR h.relation = $12::oid))
    AND (((SELECT version = $13::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($14::bytea) = 0)
          OR get_bit((SELECT $14::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($14::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $10::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $12::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."epochs" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '5 years'
--   $7 = '7 years'
--   $8 = '3 mons'
--   $9 = 'Europe/Berlin'
--   $10 = '25'
--   $11 = 'epochs'
--   $12 = '1000'
--   $13 = (the version of the set of held keys)
--   $14 = (the bits of that set)

-- delete of kyc.epochs, walk start: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."epochs" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."at" < (SELECT (extract(epoch
          FROM GREATEST($3::timestamptz - $4::interval, $3::timestamptz - $5::interval, $3::timestamptz - $6::interval) + interval '4 days') * 1000)::int8)
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $9::text
        AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($7::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $9::text
        AND w.type = $8::oid
        AND w.value = t."workspace_id") ELSE timezone($7::text, CASE WHEN t."at" >= 631152000000
        AND t."at" < 4102444800000 THEN timezone($7::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $4::interval) <= $3::timestamptz END)
    AND (status <> 'open'
      OR status IS NULL)
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $9::text)
      AND (h.relation IS NULL
        OR h.relation = $10::oid))
    AND (((SELECT version = $11::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($12::bytea) = 0)
          OR get_bit((SELECT $12::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($12::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $8::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text)
        AND (h.relation IS NULL
          OR h.relation = $10::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $13::text, $9::text, $14::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = '7 years'
--   $6 = '3 mons'
--   $7 = 'Europe/Berlin'
--   $8 = '25'
--   $9 = 'epochs'
--   $10 = '1000'
--   $11 = (the version of the set of held keys)
--   $12 = (the bits of that set)
--   $13 = 'delete'
--   $14 = 'kyc.epochs'

-- delete of kyc.epochs, walk start: split
SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part
    FROM ONLY "kyc"."epochs" AS t
    WHERE t."at" >= $1::int8
    AND t."at" < coalesce(nullif($2::text, 'infinity')::int8, 9223372036854775807)
    AND t.ctid >= $4::tid
    AND t.ctid <= $5::tid
    AND t."at" < (extract(epoch
        FROM GREATEST($6::timestamptz - $7::interval, $6::timestamptz - $8::interval, $6::timestamptz - $9::interval) + interval '4 days') * 1000)::int8
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $12::text
        AND w.type = $11::oid) THEN (SELECT bool_and(timezone($10::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($10::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $12::text
        AND w.type = $11::oid
        AND w.value = t."workspace_id") ELSE timezone($10::text, CASE WHEN t."at" >= 631152000000
        AND t."at" < 4102444800000 THEN timezone($10::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $7::interval) <= $6::timestamptz END)
    AND (status <> 'open'
      OR status IS NULL)) s
GROUP BY part ORDER BY part;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '5 years'
--   $8 = '7 years'
--   $9 = '3 mons'
--   $10 = 'Europe/Berlin'
--   $11 = '25'
--   $12 = 'epochs'

-- delete of kyc.epochs, walk start: part
WITH gone AS (DELETE
    FROM ONLY "kyc"."epochs" AS t
    WHERE t."at" >= $1::int8
    AND t."at" < coalesce(nullif($2::text, 'infinity')::int8, 9223372036854775807)
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."at" < (extract(epoch
        FROM GREATEST($6::timestamptz - $7::interval, $6::timestamptz - $8::interval, $6::timestamptz - $9::interval) + interval '4 days') * 1000)::int8
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $12::text
        AND w.type = $11::oid) THEN (SELECT bool_and(timezone($10::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($10::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $12::text
        AND w.type = $11::oid
        AND w.value = t."workspace_id") ELSE timezone($10::text, CASE WHEN t."at" >= 631152000000
        AND t."at" < 4102444800000 THEN timezone($10::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $7::interval) <= $6::timestamptz END)
    AND (status <> 'open'
      OR status IS NULL)
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $12::text)
      AND (h.relation IS NULL
        OR h.relation = $13::oid))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $11::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $12::text)
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $16::text, $12::text, $17::text, NULL, $5::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '5 years'
--   $8 = '7 years'
--   $9 = '3 mons'
--   $10 = 'Europe/Berlin'
--   $11 = '25'
--   $12 = 'epochs'
--   $13 = '1000'
--   $14 = (the version of the set of held keys)
--   $15 = (the bits of that set)
--   $16 = 'delete'
--   $17 = 'kyc.epochs'

-- delete of kyc.epochs, walk start: scattered
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
--   $2 = '1000'
--   $3 = 'at'

-- delete of kyc.epochs, walk start, scattered: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."epochs" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."at" < (SELECT (extract(epoch
          FROM GREATEST($4::timestamptz - $5::interval, $4::timestamptz - $6::interval, $4::timestamptz - $7::interval) + interval '4 days') * 1000)::int8)
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, CASE WHEN t."at" >= 631152000000
            AND t."at" < 4102444800000 THEN timezone($8::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, CASE WHEN t."at" >= 631152000000
        AND t."at" < 4102444800000 THEN timezone($8::text, timezone('UTC', timestamp 'epoch' + t."at" * interval '1 millisecond')) END + $5::interval) <= $4::timestamptz END)
    AND (status <> 'open'
      OR status IS NULL)
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $10::text)
      AND (h.relation IS NULL
        OR h.relation = $11::oid))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $9::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $14::text, $10::text, $15::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = '7 years'
--   $7 = '3 mons'
--   $8 = 'Europe/Berlin'
--   $9 = '25'
--   $10 = 'epochs'
--   $11 = '1000'
--   $12 = (the version of the set of held keys)
--   $13 = (the bits of that set)
--   $14 = 'delete'
--   $15 = 'kyc.epochs'

