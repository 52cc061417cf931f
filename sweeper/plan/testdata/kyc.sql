-- category audit_logs of kyc.audit_events, level 0

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."logged_at" AS start, CASE
    WHEN (t."logged_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."logged_at" > $1::timestamptz THEN 'future'
    WHEN (t."logged_at" < (SELECT $1::timestamptz - $2::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."logged_at") + w.retention) <= $1::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid
          AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."logged_at") + $2::interval) <= $1::timestamptz END
        AND t."logged_at" <> '-infinity')) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $4::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."audit_events" AS t
    WHERE true OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '7 years'
--   $3 = 'UTC'
--   $4 = '25'
--   $5 = 'audit_logs'
--   $6 = '4000'

-- delete of kyc.audit_events, walk start: first
SELECT min(t."logged_at")::text
  FROM ONLY "kyc"."audit_events" AS t
  WHERE t."logged_at" < $1::timestamptz - $2::interval + interval '4 days'
  AND t."logged_at" > '-infinity';
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '7 years'

-- delete of kyc.audit_events, walk start: next
SELECT start::text
  FROM (SELECT t."logged_at" AS start
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t."logged_at" >= $1::timestamp with time zone
    AND t."logged_at" < $2::timestamp with time zone
    AND t."logged_at" < $4::timestamptz - $5::interval + interval '4 days' ORDER BY t."logged_at" OFFSET $3 LIMIT 1) s;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 years'

-- delete of kyc.audit_events, walk start: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t."logged_at" >= $1::timestamp with time zone
    AND t."logged_at" < $2::timestamp with time zone
    AND t."logged_at" < $4::timestamptz - $5::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."logged_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."logged_at") + $5::interval) <= $4::timestamptz END
      AND t."logged_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $12::text, $8::text, $13::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 years'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'audit_logs'
--   $9 = '4000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = 'delete'
--   $13 = 'kyc.audit_events'

-- delete of kyc.audit_events, walk start: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t."logged_at" >= $1::timestamp with time zone
    AND t."logged_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."logged_at" < $5::timestamptz - $6::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $9::text
        AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, timezone($7::text, t."logged_at") + w.retention) <= $5::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $9::text
        AND w.type = $8::oid
        AND w.value = t."workspace_id") ELSE timezone($7::text, timezone($7::text, t."logged_at") + $6::interval) <= $5::timestamptz END
      AND t."logged_at" <> '-infinity')
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '7 years'
--   $7 = 'UTC'
--   $8 = '25'
--   $9 = 'audit_logs'
--   $10 = '4000'
--   $11 = (the version of the set of held keys)
--   $12 = (the bits of that set)

-- delete of kyc.audit_events, walk start: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."logged_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."logged_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."logged_at") + $4::interval) <= $3::timestamptz END
      AND t."logged_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $11::text, $7::text, $12::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '7 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'audit_logs'
--   $8 = '4000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = 'delete'
--   $12 = 'kyc.audit_events'

-- delete of kyc.audit_events, walk start: split
SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t."logged_at" >= $1::timestamp with time zone
    AND t."logged_at" < $2::timestamp with time zone
    AND t.ctid >= $4::tid
    AND t.ctid <= $5::tid
    AND t."logged_at" < $6::timestamptz - $7::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."logged_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."logged_at") + $7::interval) <= $6::timestamptz END
      AND t."logged_at" <> '-infinity')) s
GROUP BY part ORDER BY part;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '7 years'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'audit_logs'

-- delete of kyc.audit_events, walk start: part
WITH gone AS (DELETE
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t."logged_at" >= $1::timestamp with time zone
    AND t."logged_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."logged_at" < $6::timestamptz - $7::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."logged_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."logged_at") + $7::interval) <= $6::timestamptz END
      AND t."logged_at" <> '-infinity')
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
SELECT 'report', $14::text, $10::text, $15::text, NULL, $5::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '7 years'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'audit_logs'
--   $11 = '4000'
--   $12 = (the version of the set of held keys)
--   $13 = (the bits of that set)
--   $14 = 'delete'
--   $15 = 'kyc.audit_events'

-- delete of kyc.audit_events, walk start: scattered
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
--   $2 = '4000'
--   $3 = 'logged_at'

-- delete of kyc.audit_events, walk start, scattered: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."audit_events" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."logged_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."logged_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."logged_at") + $5::interval) <= $4::timestamptz END
      AND t."logged_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $12::text, $8::text, $13::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 years'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'audit_logs'
--   $9 = '4000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = 'delete'
--   $13 = 'kyc.audit_events'

-- category biometric_data of kyc.biometrics, level 0

-- count for delete
SELECT leaf, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT t.tableoid AS leaf, t."captured_at" AS start, CASE
    WHEN (t."captured_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."captured_at" > $1::timestamptz THEN 'future'
    WHEN (t."captured_at" < (SELECT $1::timestamptz - $2::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."captured_at") + w.retention) <= $1::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid
          AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."captured_at") + $2::interval) <= $1::timestamptz END
        AND t."captured_at" <> '-infinity')) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $4::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $4::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default")) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM "kyc"."biometrics" AS t
    WHERE true OFFSET 0) s GROUP BY leaf;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '30 days'
--   $3 = 'UTC'
--   $4 = '25'
--   $5 = 'biometric_data'
--   $6 = '6000'
--   $7 = '2950'

-- drop_partition of kyc.biometrics, partition kyc.biometrics_2026_01, walk partition: probe
SELECT NOT EXISTS (SELECT
    FROM "kyc"."biometrics" AS t
    WHERE true
    AND t.tableoid = $1::oid
    AND t."captured_at" >= $2::timestamp with time zone
    AND t."captured_at" < $3::timestamp with time zone
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $8::text
          AND w.type = $7::oid) THEN (SELECT bool_and(timezone($4::text, timezone($4::text, t."captured_at") + w.retention) <= $6::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $8::text
          AND w.type = $7::oid
          AND w.value = t."workspace_id") ELSE timezone($4::text, timezone($4::text, t."captured_at") + $5::interval) <= $6::timestamptz END
        AND t."captured_at" <> '-infinity') IS NOT TRUE
      OR (EXISTS (SELECT
          FROM sweeper.legal_holds h
          WHERE h.subject IS NULL
          AND h.tenant IS NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid))
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'tenant'
          AND k.type = $7::oid
          WHERE h.subject IS NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (t."workspace_id")::text COLLATE "default")
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'subject'
          AND k.type = $10::oid
          WHERE h.tenant IS NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (t."applicant_id")::text COLLATE "default")
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'subject'
          AND k.type = $10::oid
          JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
          AND n.part = 'tenant'
          AND n.type = $7::oid
          WHERE h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (t."applicant_id")::text COLLATE "default"
          AND n.value = (t."workspace_id")::text COLLATE "default")
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'subject'
          AND k.type = $10::oid
          WHERE h.tenant IS NOT NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default"))));
--   $1 = '6001'
--   $2 = '2026-01-01 00:00:00+00'
--   $3 = '2026-02-01 00:00:00+00'
--   $4 = 'UTC'
--   $5 = '30 days'
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '25'
--   $8 = 'biometric_data'
--   $9 = '6000'
--   $10 = '2950'

-- drop_partition of kyc.biometrics, partition kyc.biometrics_2026_01, walk partition: drop
SELECT sweeper.drop_partition($6::oid::regclass, $7::oid::regclass, $8::name, $9::text, $10::interval, $11::timestamptz, $12::text, $13::name, $14::name, $15::text, $2::text, $16::text, $3::text, $1::uuid, $4::bytea, $5::timestamptz);
--   $6 = '6000'
--   $7 = '6001'
--   $8 = 'captured_at'
--   $9 = 'UTC'
--   $10 = '30 days'
--   $11 = '2026-03-01 00:00:00Z'
--   $12 = 'count'
--   $13 = 'applicant_id'
--   $14 = 'workspace_id'
--   $15 = 'biometric_data'
--   $16 = 'GDPR Art. 9(2)(a) with Art. 5(1)(e), explicit consent for one verification'

-- drop_partition of kyc.biometrics, partition kyc.biometrics_2026_01, walk partition: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone
    AND t."captured_at" < (SELECT $6::timestamptz - $7::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."captured_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."captured_at") + $7::interval) <= $6::timestamptz END
      AND t."captured_at" <> '-infinity')
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
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $9::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted))
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $1 = '6001'
--   $2 = '2026-01-01 00:00:00+00'
--   $3 = '2026-02-01 00:00:00+00'
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '30 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'biometric_data'
--   $9 = '6000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'

-- drop_partition of kyc.biometrics, partition kyc.biometrics_2026_01, walk partition: taken
WITH gone AS (DELETE
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t.tableoid = $12::oid
    AND t."captured_at" >= $13::timestamp with time zone
    AND t."captured_at" < $14::timestamp with time zone
    AND t."captured_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."captured_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."captured_at") + $4::interval) <= $3::timestamptz END
      AND t."captured_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $15::text, $7::text, $16::text, $17::text, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '30 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'biometric_data'
--   $8 = '6000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = '6001'
--   $13 = '2026-01-01 00:00:00+00'
--   $14 = '2026-02-01 00:00:00+00'
--   $15 = 'delete'
--   $16 = 'kyc.biometrics'
--   $17 = 'kyc.biometrics_2026_01'

-- delete of kyc.biometrics, partition kyc.biometrics_2026_01, walk blocks: batch
WITH gone AS (DELETE
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $13::oid
    AND t."captured_at" >= $14::timestamp with time zone
    AND t."captured_at" < $15::timestamp with time zone
    AND t."captured_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."captured_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."captured_at") + $5::interval) <= $4::timestamptz END
      AND t."captured_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $16::text, $8::text, $17::text, $18::text, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '30 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'biometric_data'
--   $9 = '6000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'
--   $13 = '6001'
--   $14 = '2026-01-01 00:00:00+00'
--   $15 = '2026-02-01 00:00:00+00'
--   $16 = 'delete'
--   $17 = 'kyc.biometrics'
--   $18 = 'kyc.biometrics_2026_01'

-- delete of kyc.biometrics, partition kyc.biometrics_2026_01, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone
    AND t."captured_at" < (SELECT $6::timestamptz - $7::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."captured_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."captured_at") + $7::interval) <= $6::timestamptz END
      AND t."captured_at" <> '-infinity')
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
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $9::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted))
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '6001'
--   $4 = '2026-01-01 00:00:00+00'
--   $5 = '2026-02-01 00:00:00+00'
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '30 days'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'biometric_data'
--   $11 = '6000'
--   $12 = (the version of the set of held keys)
--   $13 = (the bits of that set)
--   $14 = '2950'

-- delete of kyc.biometrics, partition kyc.biometrics_2026_01, walk blocks: taken
WITH gone AS (DELETE
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t.tableoid = $12::oid
    AND t."captured_at" >= $13::timestamp with time zone
    AND t."captured_at" < $14::timestamp with time zone
    AND t."captured_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."captured_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."captured_at") + $4::interval) <= $3::timestamptz END
      AND t."captured_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $15::text, $7::text, $16::text, $17::text, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '30 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'biometric_data'
--   $8 = '6000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = '6001'
--   $13 = '2026-01-01 00:00:00+00'
--   $14 = '2026-02-01 00:00:00+00'
--   $15 = 'delete'
--   $16 = 'kyc.biometrics'
--   $17 = 'kyc.biometrics_2026_01'

-- delete of kyc.biometrics, partition kyc.biometrics_default, walk blocks: batch
WITH gone AS (DELETE
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $13::oid
    AND t."captured_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."captured_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."captured_at") + $5::interval) <= $4::timestamptz END
      AND t."captured_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $14::text, $8::text, $15::text, $16::text, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '30 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'biometric_data'
--   $9 = '6000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'
--   $13 = '6009'
--   $14 = 'delete'
--   $15 = 'kyc.biometrics'
--   $16 = 'kyc.biometrics_default'

-- delete of kyc.biometrics, partition kyc.biometrics_default, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $3::oid
    AND t."captured_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."captured_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."captured_at") + $5::interval) <= $4::timestamptz END
      AND t."captured_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted))
    AND t.tableoid = $3::oid FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '6009'
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '30 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'biometric_data'
--   $9 = '6000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'

-- delete of kyc.biometrics, partition kyc.biometrics_default, walk blocks: taken
WITH gone AS (DELETE
    FROM "kyc"."biometrics" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t.tableoid = $12::oid
    AND t."captured_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."captured_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."captured_at") + $4::interval) <= $3::timestamptz END
      AND t."captured_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $13::text, $7::text, $14::text, $15::text, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '30 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'biometric_data'
--   $8 = '6000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = '6009'
--   $13 = 'delete'
--   $14 = 'kyc.biometrics'
--   $15 = 'kyc.biometrics_default'

-- category case_reviews of kyc.reviews, level 0

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."reviewed_at" AS start, CASE
    WHEN (t."reviewed_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."reviewed_at" > $1::timestamptz THEN 'future'
    WHEN (t."reviewed_at" < (SELECT $1::timestamptz - $2::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."reviewed_at") + w.retention) <= $1::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid
          AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."reviewed_at") + $2::interval) <= $1::timestamptz END
        AND t."reviewed_at" <> '-infinity')) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $4::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $4::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default")) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."reviews" AS t
    WHERE true OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '5 years'
--   $3 = 'UTC'
--   $4 = '25'
--   $5 = 'case_reviews'
--   $6 = '3000'
--   $7 = '2950'

-- delete of kyc.reviews, walk blocks: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."reviews" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."reviewed_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."reviewed_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."reviewed_at") + $5::interval) <= $4::timestamptz END
      AND t."reviewed_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $13::text, $8::text, $14::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'case_reviews'
--   $9 = '3000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'
--   $13 = 'delete'
--   $14 = 'kyc.reviews'

-- delete of kyc.reviews, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."reviews" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."reviewed_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."reviewed_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."reviewed_at") + $4::interval) <= $3::timestamptz END
      AND t."reviewed_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."reviews" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'case_reviews'
--   $8 = '3000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'

-- delete of kyc.reviews, walk blocks: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."reviews" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."reviewed_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."reviewed_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."reviewed_at") + $4::interval) <= $3::timestamptz END
      AND t."reviewed_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $12::text, $7::text, $13::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'case_reviews'
--   $8 = '3000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = 'delete'
--   $13 = 'kyc.reviews'

-- category document_images of kyc.documents, level 0

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."verified_at" AS start, CASE
    WHEN (t."verified_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."verified_at" > $1::timestamptz THEN 'future'
    WHEN (t."verified_at" < (SELECT $1::timestamptz - $2::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."verified_at") + w.retention) <= $1::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid
          AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."verified_at") + $2::interval) <= $1::timestamptz END
        AND t."verified_at" <> '-infinity')) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $4::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $4::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default")) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."documents" AS t
    WHERE true OFFSET 0) s;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '5 years'
--   $3 = 'UTC'
--   $4 = '25'
--   $5 = 'document_images'
--   $6 = '2000'
--   $7 = '2950'

-- delete of kyc.documents, walk blocks: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."documents" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."verified_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."verified_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."verified_at") + $5::interval) <= $4::timestamptz END
      AND t."verified_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $13::text, $8::text, $14::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'document_images'
--   $9 = '2000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'
--   $13 = 'delete'
--   $14 = 'kyc.documents'

-- delete of kyc.documents, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."documents" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."verified_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."verified_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."verified_at") + $4::interval) <= $3::timestamptz END
      AND t."verified_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."documents" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'document_images'
--   $8 = '2000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'

-- delete of kyc.documents, walk blocks: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."documents" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."verified_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."verified_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."verified_at") + $4::interval) <= $3::timestamptz END
      AND t."verified_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $12::text, $7::text, $13::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'document_images'
--   $8 = '2000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = 'delete'
--   $13 = 'kyc.documents'

-- category liveness of kyc.liveness, level 0

-- count for delete
SELECT leaf, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT t.tableoid AS leaf, t."captured_at" AS start, CASE
    WHEN (t."captured_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."captured_at" > $1::timestamptz THEN 'future'
    WHEN (t."captured_at" < (SELECT $1::timestamptz - $2::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."captured_at") + w.retention) <= $1::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $5::text
          AND w.type = $4::oid
          AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."captured_at") + $2::interval) <= $1::timestamptz END
        AND t."captured_at" <> '-infinity')) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $4::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $4::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $7::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $5::text)
        AND (h.relation IS NULL
          OR h.relation = $6::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default")) THEN 'held'
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM "kyc"."liveness" AS t
    WHERE true OFFSET 0) s GROUP BY leaf;
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '7 days'
--   $3 = 'UTC'
--   $4 = '25'
--   $5 = 'liveness'
--   $6 = '7000'
--   $7 = '2950'

-- drop_partition of kyc.liveness, partition kyc.liveness_2026_01, walk partition: probe
SELECT NOT EXISTS (SELECT
    FROM "kyc"."liveness" AS t
    WHERE true
    AND t.tableoid = $1::oid
    AND t."captured_at" >= $2::timestamp with time zone
    AND t."captured_at" < $3::timestamp with time zone
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $8::text
          AND w.type = $7::oid) THEN (SELECT bool_and(timezone($4::text, timezone($4::text, t."captured_at") + w.retention) <= $6::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $8::text
          AND w.type = $7::oid
          AND w.value = t."workspace_id") ELSE timezone($4::text, timezone($4::text, t."captured_at") + $5::interval) <= $6::timestamptz END
        AND t."captured_at" <> '-infinity') IS NOT TRUE
      OR (EXISTS (SELECT
          FROM sweeper.legal_holds h
          WHERE h.subject IS NULL
          AND h.tenant IS NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid))
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'tenant'
          AND k.type = $7::oid
          WHERE h.subject IS NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (t."workspace_id")::text COLLATE "default")
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'subject'
          AND k.type = $10::oid
          WHERE h.tenant IS NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (t."applicant_id")::text COLLATE "default")
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'subject'
          AND k.type = $10::oid
          JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
          AND n.part = 'tenant'
          AND n.type = $7::oid
          WHERE h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (t."applicant_id")::text COLLATE "default"
          AND n.value = (t."workspace_id")::text COLLATE "default")
        OR EXISTS (SELECT
          FROM sweeper.legal_holds h
          JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
          AND k.part = 'subject'
          AND k.type = $10::oid
          WHERE h.tenant IS NOT NULL
          AND h.released_at IS NULL
          AND (h.expires_at IS NULL
            OR h.expires_at > now())
          AND (h.category IS NULL
            OR h.category = $8::text)
          AND (h.relation IS NULL
            OR h.relation = $9::oid)
          AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default"))));
--   $1 = '7001'
--   $2 = '2026-01-01 00:00:00+00'
--   $3 = '2026-02-01 00:00:00+00'
--   $4 = 'UTC'
--   $5 = '7 days'
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '25'
--   $8 = 'liveness'
--   $9 = '7000'
--   $10 = '2950'

-- drop_partition of kyc.liveness, partition kyc.liveness_2026_01, walk partition: drop
SELECT sweeper.drop_partition($6::oid::regclass, $7::oid::regclass, $8::name, $9::text, $10::interval, $11::timestamptz, $12::text, $13::name, $14::name, $15::text, $2::text, $16::text, $3::text, $1::uuid, $4::bytea, $5::timestamptz);
--   $6 = '7000'
--   $7 = '7001'
--   $8 = 'captured_at'
--   $9 = 'UTC'
--   $10 = '7 days'
--   $11 = '2026-03-01 00:00:00Z'
--   $12 = 'count'
--   $13 = 'applicant_id'
--   $14 = 'workspace_id'
--   $15 = 'liveness'
--   $16 = 'GDPR Art. 9(2)(a) with Art. 5(1)(e), needed only until the check is settled'

-- drop_partition of kyc.liveness, partition kyc.liveness_2026_01, walk partition: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM "kyc"."liveness" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone
    AND t."captured_at" < (SELECT $6::timestamptz - $7::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."captured_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."captured_at") + $7::interval) <= $6::timestamptz END
      AND t."captured_at" <> '-infinity')
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
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $9::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM "kyc"."liveness" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted))
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $1 = '7001'
--   $2 = '2026-01-01 00:00:00+00'
--   $3 = '2026-02-01 00:00:00+00'
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'liveness'
--   $9 = '7000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'

-- drop_partition of kyc.liveness, partition kyc.liveness_2026_01, walk partition: taken
WITH gone AS (DELETE
    FROM "kyc"."liveness" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t.tableoid = $12::oid
    AND t."captured_at" >= $13::timestamp with time zone
    AND t."captured_at" < $14::timestamp with time zone
    AND t."captured_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."captured_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."captured_at") + $4::interval) <= $3::timestamptz END
      AND t."captured_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $15::text, $7::text, $16::text, $17::text, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '7 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'liveness'
--   $8 = '7000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = '7001'
--   $13 = '2026-01-01 00:00:00+00'
--   $14 = '2026-02-01 00:00:00+00'
--   $15 = 'delete'
--   $16 = 'kyc.liveness'
--   $17 = 'kyc.liveness_2026_01'

-- delete of kyc.liveness, partition kyc.liveness_2026_01, walk blocks: batch
WITH gone AS (DELETE
    FROM "kyc"."liveness" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $13::oid
    AND t."captured_at" >= $14::timestamp with time zone
    AND t."captured_at" < $15::timestamp with time zone
    AND t."captured_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."captured_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."captured_at") + $5::interval) <= $4::timestamptz END
      AND t."captured_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $16::text, $8::text, $17::text, $18::text, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'liveness'
--   $9 = '7000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'
--   $13 = '7001'
--   $14 = '2026-01-01 00:00:00+00'
--   $15 = '2026-02-01 00:00:00+00'
--   $16 = 'delete'
--   $17 = 'kyc.liveness'
--   $18 = 'kyc.liveness_2026_01'

-- delete of kyc.liveness, partition kyc.liveness_2026_01, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM "kyc"."liveness" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone
    AND t."captured_at" < (SELECT $6::timestamptz - $7::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."captured_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."captured_at") + $7::interval) <= $6::timestamptz END
      AND t."captured_at" <> '-infinity')
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
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $9::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $12::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($13::bytea) = 0)
          OR get_bit((SELECT $13::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($13::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $14::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM "kyc"."liveness" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted))
    AND t.tableoid = $3::oid
    AND t."captured_at" >= $4::timestamp with time zone
    AND t."captured_at" < $5::timestamp with time zone FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '7001'
--   $4 = '2026-01-01 00:00:00+00'
--   $5 = '2026-02-01 00:00:00+00'
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '7 days'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'liveness'
--   $11 = '7000'
--   $12 = (the version of the set of held keys)
--   $13 = (the bits of that set)
--   $14 = '2950'

-- delete of kyc.liveness, partition kyc.liveness_2026_01, walk blocks: taken
WITH gone AS (DELETE
    FROM "kyc"."liveness" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t.tableoid = $12::oid
    AND t."captured_at" >= $13::timestamp with time zone
    AND t."captured_at" < $14::timestamp with time zone
    AND t."captured_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."captured_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."captured_at") + $4::interval) <= $3::timestamptz END
      AND t."captured_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $15::text, $7::text, $16::text, $17::text, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '7 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'liveness'
--   $8 = '7000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = '7001'
--   $13 = '2026-01-01 00:00:00+00'
--   $14 = '2026-02-01 00:00:00+00'
--   $15 = 'delete'
--   $16 = 'kyc.liveness'
--   $17 = 'kyc.liveness_2026_01'

-- delete of kyc.liveness, partition kyc.liveness_default, walk blocks: batch
WITH gone AS (DELETE
    FROM "kyc"."liveness" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $13::oid
    AND t."captured_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."captured_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."captured_at") + $5::interval) <= $4::timestamptz END
      AND t."captured_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $14::text, $8::text, $15::text, $16::text, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'liveness'
--   $9 = '7000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'
--   $13 = '7009'
--   $14 = 'delete'
--   $15 = 'kyc.liveness'
--   $16 = 'kyc.liveness_default'

-- delete of kyc.liveness, partition kyc.liveness_default, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM "kyc"."liveness" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t.tableoid = $3::oid
    AND t."captured_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."captured_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."captured_at") + $5::interval) <= $4::timestamptz END
      AND t."captured_at" <> '-infinity')
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
        OR h.relation = $9::oid))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $10::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($11::bytea) = 0)
          OR get_bit((SELECT $11::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($11::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $9::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM "kyc"."liveness" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted))
    AND t.tableoid = $3::oid FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '7009'
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '7 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'liveness'
--   $9 = '7000'
--   $10 = (the version of the set of held keys)
--   $11 = (the bits of that set)
--   $12 = '2950'

-- delete of kyc.liveness, partition kyc.liveness_default, walk blocks: taken
WITH gone AS (DELETE
    FROM "kyc"."liveness" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t.tableoid = $12::oid
    AND t."captured_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."captured_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."captured_at") + $4::interval) <= $3::timestamptz END
      AND t."captured_at" <> '-infinity')
    AND NOT EXISTS (SELECT
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
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
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
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (t."applicant_id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $9::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($10::bytea) = 0)
          OR get_bit((SELECT $10::bytea), hashtextextended((t."applicant_id")::text COLLATE "C", 0) & (SELECT octet_length($10::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $11::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text)
        AND (h.relation IS NULL
          OR h.relation = $8::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."applicant_id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $13::text, $7::text, $14::text, $15::text, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '7 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'liveness'
--   $8 = '7000'
--   $9 = (the version of the set of held keys)
--   $10 = (the bits of that set)
--   $11 = '2950'
--   $12 = '7009'
--   $13 = 'delete'
--   $14 = 'kyc.liveness'
--   $15 = 'kyc.liveness_default'

-- category approved_applicants of kyc.applicants, level 1

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."relationship_ended_at" AS start, CASE
    WHEN (t."relationship_ended_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."relationship_ended_at" > $3::timestamptz THEN 'future'
    WHEN (t."relationship_ended_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $7::text
          AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."relationship_ended_at") + w.retention) <= $3::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $7::text
          AND w.type = $6::oid
          AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."relationship_ended_at") + $4::interval) <= $3::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND t."status" = ANY (ARRAY[$1::text, $2::text])
      AND ((t."status" = $8::text) IS NOT TRUE
        OR (t."rejected_at" < (SELECT $3::timestamptz - $9::interval + interval '4 days')
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $10::text
              AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."rejected_at") + w.retention) <= $3::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $10::text
              AND w.type = $6::oid
              AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."rejected_at") + $9::interval) <= $3::timestamptz END
            AND t."rejected_at" <> '-infinity')))) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid))
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
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default")) THEN 'held'
    WHEN (EXISTS (SELECT
        FROM "kyc"."documents" x
        WHERE t."id" = x."applicant_id")
      OR EXISTS (SELECT
        FROM "kyc"."reviews" x
        WHERE t."id" = x."applicant_id")) THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."status" = ANY (ARRAY[$1::text, $2::text]) OFFSET 0) s;
--   $1 = 'approved'
--   $2 = 'closed'
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'approved_applicants'
--   $8 = 'rejected'
--   $9 = '90 days'
--   $10 = 'rejected_applicants'
--   $11 = '1000'
--   $12 = '2950'

-- count for redact
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."relationship_ended_at" AS start, CASE
    WHEN (t."relationship_ended_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."relationship_ended_at" > $5::timestamptz THEN 'future'
    WHEN (t."relationship_ended_at" < (SELECT $5::timestamptz - $9::interval + interval '4 days')
      AND ((timezone($3::text, timezone($3::text, t."relationship_ended_at") + $9::interval) <= $5::timestamptz
          OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $7::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."relationship_ended_at") + w.retention) <= $5::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $7::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE false END)
        AND t."relationship_ended_at" <> '-infinity')
      AND t."status" = ANY (ARRAY[$1::text, $2::text])
      AND (t."full_name" IS NOT NULL
        OR (t."email" IS NOT NULL
          AND NOT (t."email"::text = $11::text || substr(t."email"::text, length($11::text) + 1, 32) || $12::text
            AND sweeper.is_redaction_token(substr(t."email"::text, length($11::text) + 1, 32), $13::bytea, $14::bytea)))
        OR t."phone" IS NOT NULL
        OR t."birth_date" IS NOT NULL
        OR t."retention_status" IS DISTINCT
        FROM $15::text)
      AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $7::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."relationship_ended_at") + w.retention) <= $5::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $7::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."relationship_ended_at") + $4::interval) <= $5::timestamptz END
          AND t."relationship_ended_at" <> '-infinity')
        AND ((t."status" = $8::text) IS NOT TRUE
          OR (t."rejected_at" < (SELECT $5::timestamptz - $9::interval + interval '4 days')
            AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
                FROM sweeper.tenant_retention w
                WHERE w.category = $10::text
                AND w.type = $6::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."rejected_at") + w.retention) <= $5::timestamptz)
                FROM sweeper.tenant_retention w
                WHERE w.category = $10::text
                AND w.type = $6::oid
                AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."rejected_at") + $9::interval) <= $5::timestamptz END
              AND t."rejected_at" <> '-infinity')))
        AND NOT (EXISTS (SELECT
            FROM "kyc"."documents" x
            WHERE t."id" = x."applicant_id")
          OR EXISTS (SELECT
            FROM "kyc"."reviews" x
            WHERE t."id" = x."applicant_id"))) IS NOT TRUE) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid))
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
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (t."id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $10::text
          AND t."status" = $8::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default")) THEN CASE WHEN (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."relationship_ended_at") + w.retention) <= $5::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."relationship_ended_at") + $4::interval) <= $5::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND ((t."status" = $8::text) IS NOT TRUE
      OR (t."rejected_at" < (SELECT $5::timestamptz - $9::interval + interval '4 days')
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $10::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($3::text, timezone($3::text, t."rejected_at") + w.retention) <= $5::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $10::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE timezone($3::text, timezone($3::text, t."rejected_at") + $9::interval) <= $5::timestamptz END
          AND t."rejected_at" <> '-infinity'))) THEN 'counted with the deletion' ELSE 'held' END
    WHEN false THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."status" = ANY (ARRAY[$1::text, $2::text]) OFFSET 0) s;
--   $1 = 'approved'
--   $2 = 'closed'
--   $3 = 'UTC'
--   $4 = '5 years'
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '25'
--   $7 = 'approved_applicants'
--   $8 = 'rejected'
--   $9 = '90 days'
--   $10 = 'rejected_applicants'
--   $11 = 'redacted-'
--   $12 = '@invalid'
--   $13 = (a key)
--   $14 = (a key)
--   $15 = 'redacted'
--   $16 = '1000'
--   $17 = '2950'

-- delete of kyc.applicants, walk start: first
SELECT min(t."relationship_ended_at")::text
  FROM ONLY "kyc"."applicants" AS t
  WHERE t."relationship_ended_at" < $1::timestamptz - $2::interval + interval '4 days'
  AND t."relationship_ended_at" > '-infinity';
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '5 years'

-- delete of kyc.applicants, walk start: next
SELECT start::text
  FROM (SELECT t."relationship_ended_at" AS start
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t."relationship_ended_at" < $4::timestamptz - $5::interval + interval '4 days' ORDER BY t."relationship_ended_at" OFFSET $3 LIMIT 1) s;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'

-- delete of kyc.applicants, walk start: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t."relationship_ended_at" < $4::timestamptz - $5::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."relationship_ended_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."relationship_ended_at") + $5::interval) <= $4::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$9::text, $10::text])
    AND ((t."status" = $11::text) IS NOT TRUE
      OR (t."rejected_at" < $4::timestamptz - $12::interval + interval '4 days'
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $13::text
            AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."rejected_at") + w.retention) <= $4::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $13::text
            AND w.type = $7::oid
            AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."rejected_at") + $12::interval) <= $4::timestamptz END
          AND t."rejected_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $8::text
        OR h.category = $13::text
        AND t."status" = $11::text)
      AND (h.relation IS NULL
        OR h.relation = $14::oid))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $18::text, $8::text, $19::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'approved_applicants'
--   $9 = 'approved'
--   $10 = 'closed'
--   $11 = 'rejected'
--   $12 = '90 days'
--   $13 = 'rejected_applicants'
--   $14 = '1000'
--   $15 = (the version of the set of held keys)
--   $16 = (the bits of that set)
--   $17 = '2950'
--   $18 = 'delete'
--   $19 = 'kyc.applicants'

-- delete of kyc.applicants, walk start: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."relationship_ended_at" < $5::timestamptz - $6::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $9::text
        AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, timezone($7::text, t."relationship_ended_at") + w.retention) <= $5::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $9::text
        AND w.type = $8::oid
        AND w.value = t."workspace_id") ELSE timezone($7::text, timezone($7::text, t."relationship_ended_at") + $6::interval) <= $5::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$10::text, $11::text])
    AND ((t."status" = $12::text) IS NOT TRUE
      OR (t."rejected_at" < $5::timestamptz - $13::interval + interval '4 days'
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $14::text
            AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, timezone($7::text, t."rejected_at") + w.retention) <= $5::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $14::text
            AND w.type = $8::oid
            AND w.value = t."workspace_id") ELSE timezone($7::text, timezone($7::text, t."rejected_at") + $13::interval) <= $5::timestamptz END
          AND t."rejected_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $9::text
        OR h.category = $14::text
        AND t."status" = $12::text)
      AND (h.relation IS NULL
        OR h.relation = $15::oid))
    AND (((SELECT version = $16::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($17::bytea) = 0)
          OR get_bit((SELECT $17::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($17::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
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
          OR h.category = $9::text
          OR h.category = $14::text
          AND t."status" = $12::text)
        AND (h.relation IS NULL
          OR h.relation = $15::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $16::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($17::bytea) = 0)
          OR get_bit((SELECT $17::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($17::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $18::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text
          OR h.category = $14::text
          AND t."status" = $12::text)
        AND (h.relation IS NULL
          OR h.relation = $15::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $16::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($17::bytea) = 0)
          OR get_bit((SELECT $17::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($17::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $18::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $8::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text
          OR h.category = $14::text
          AND t."status" = $12::text)
        AND (h.relation IS NULL
          OR h.relation = $15::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $16::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($17::bytea) = 0)
          OR get_bit((SELECT $17::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($17::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $18::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text
          OR h.category = $14::text
          AND t."status" = $12::text)
        AND (h.relation IS NULL
          OR h.relation = $15::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '5 years'
--   $7 = 'UTC'
--   $8 = '25'
--   $9 = 'approved_applicants'
--   $10 = 'approved'
--   $11 = 'closed'
--   $12 = 'rejected'
--   $13 = '90 days'
--   $14 = 'rejected_applicants'
--   $15 = '1000'
--   $16 = (the version of the set of held keys)
--   $17 = (the bits of that set)
--   $18 = '2950'

-- delete of kyc.applicants, walk start: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."relationship_ended_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."relationship_ended_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."relationship_ended_at") + $4::interval) <= $3::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$8::text, $9::text])
    AND ((t."status" = $10::text) IS NOT TRUE
      OR (t."rejected_at" < (SELECT $3::timestamptz - $11::interval + interval '4 days')
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $12::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."rejected_at") + w.retention) <= $3::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $12::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."rejected_at") + $11::interval) <= $3::timestamptz END
          AND t."rejected_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $7::text
        OR h.category = $12::text
        AND t."status" = $10::text)
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
        AND k.type = $6::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = $10::text)
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $17::text, $7::text, $18::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '5 years'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'approved_applicants'
--   $8 = 'approved'
--   $9 = 'closed'
--   $10 = 'rejected'
--   $11 = '90 days'
--   $12 = 'rejected_applicants'
--   $13 = '1000'
--   $14 = (the version of the set of held keys)
--   $15 = (the bits of that set)
--   $16 = '2950'
--   $17 = 'delete'
--   $18 = 'kyc.applicants'

-- delete of kyc.applicants, walk start: split
SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t.ctid >= $4::tid
    AND t.ctid <= $5::tid
    AND t."relationship_ended_at" < $6::timestamptz - $7::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."relationship_ended_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."relationship_ended_at") + $7::interval) <= $6::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$11::text, $12::text])
    AND ((t."status" = $13::text) IS NOT TRUE
      OR (t."rejected_at" < $6::timestamptz - $14::interval + interval '4 days'
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $15::text
            AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."rejected_at") + w.retention) <= $6::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $15::text
            AND w.type = $9::oid
            AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."rejected_at") + $14::interval) <= $6::timestamptz END
          AND t."rejected_at" <> '-infinity')))) s
GROUP BY part ORDER BY part;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '5 years'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'approved_applicants'
--   $11 = 'approved'
--   $12 = 'closed'
--   $13 = 'rejected'
--   $14 = '90 days'
--   $15 = 'rejected_applicants'

-- delete of kyc.applicants, walk start: part
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."relationship_ended_at" < $6::timestamptz - $7::interval + interval '4 days'
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."relationship_ended_at") + w.retention) <= $6::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $10::text
        AND w.type = $9::oid
        AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."relationship_ended_at") + $7::interval) <= $6::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$11::text, $12::text])
    AND ((t."status" = $13::text) IS NOT TRUE
      OR (t."rejected_at" < $6::timestamptz - $14::interval + interval '4 days'
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $15::text
            AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."rejected_at") + w.retention) <= $6::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $15::text
            AND w.type = $9::oid
            AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."rejected_at") + $14::interval) <= $6::timestamptz END
          AND t."rejected_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $10::text
        OR h.category = $15::text
        AND t."status" = $13::text)
      AND (h.relation IS NULL
        OR h.relation = $16::oid))
    AND (((SELECT version = $17::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($18::bytea) = 0)
          OR get_bit((SELECT $18::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($18::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
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
          OR h.category = $10::text
          OR h.category = $15::text
          AND t."status" = $13::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $17::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($18::bytea) = 0)
          OR get_bit((SELECT $18::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($18::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $19::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text
          OR h.category = $15::text
          AND t."status" = $13::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $17::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($18::bytea) = 0)
          OR get_bit((SELECT $18::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($18::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $19::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $9::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text
          OR h.category = $15::text
          AND t."status" = $13::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $17::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($18::bytea) = 0)
          OR get_bit((SELECT $18::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($18::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $19::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $10::text
          OR h.category = $15::text
          AND t."status" = $13::text)
        AND (h.relation IS NULL
          OR h.relation = $16::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $20::text, $10::text, $21::text, NULL, $5::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '5 years'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'approved_applicants'
--   $11 = 'approved'
--   $12 = 'closed'
--   $13 = 'rejected'
--   $14 = '90 days'
--   $15 = 'rejected_applicants'
--   $16 = '1000'
--   $17 = (the version of the set of held keys)
--   $18 = (the bits of that set)
--   $19 = '2950'
--   $20 = 'delete'
--   $21 = 'kyc.applicants'

-- delete of kyc.applicants, walk start: scattered
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
--   $3 = 'relationship_ended_at'

-- delete of kyc.applicants, walk start, scattered: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."relationship_ended_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."relationship_ended_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."relationship_ended_at") + $5::interval) <= $4::timestamptz END
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$9::text, $10::text])
    AND ((t."status" = $11::text) IS NOT TRUE
      OR (t."rejected_at" < (SELECT $4::timestamptz - $12::interval + interval '4 days')
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $13::text
            AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."rejected_at") + w.retention) <= $4::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $13::text
            AND w.type = $7::oid
            AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."rejected_at") + $12::interval) <= $4::timestamptz END
          AND t."rejected_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $8::text
        OR h.category = $13::text
        AND t."status" = $11::text)
      AND (h.relation IS NULL
        OR h.relation = $14::oid))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = $11::text)
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $18::text, $8::text, $19::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '5 years'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'approved_applicants'
--   $9 = 'approved'
--   $10 = 'closed'
--   $11 = 'rejected'
--   $12 = '90 days'
--   $13 = 'rejected_applicants'
--   $14 = '1000'
--   $15 = (the version of the set of held keys)
--   $16 = (the bits of that set)
--   $17 = '2950'
--   $18 = 'delete'
--   $19 = 'kyc.applicants'

-- redact of kyc.applicants, walk start: first
SELECT min(t."relationship_ended_at")::text
  FROM ONLY "kyc"."applicants" AS t
  WHERE t."relationship_ended_at" < $1::timestamptz - $2::interval + interval '4 days'
  AND t."relationship_ended_at" > '-infinity'
  AND (t."full_name" IS NOT NULL
    OR (t."email" IS NOT NULL
      AND NOT (t."email"::text = $3::text || substr(t."email"::text, length($3::text) + 1, 32) || $4::text
        AND sweeper.is_redaction_token(substr(t."email"::text, length($3::text) + 1, 32), $5::bytea, $6::bytea)))
    OR t."phone" IS NOT NULL
    OR t."birth_date" IS NOT NULL
    OR t."retention_status" IS DISTINCT
    FROM $7::text);
--   $1 = '2026-03-01 00:00:00Z'
--   $2 = '90 days'
--   $3 = 'redacted-'
--   $4 = '@invalid'
--   $5 = (a key)
--   $6 = (a key)
--   $7 = 'redacted'

-- redact of kyc.applicants, walk start: next
SELECT start::text
  FROM (SELECT t."relationship_ended_at" AS start
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t."relationship_ended_at" < $4::timestamptz - $5::interval + interval '4 days' ORDER BY t."relationship_ended_at" OFFSET $3 LIMIT 1) s;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '90 days'

-- redact of kyc.applicants, walk start: batch
WITH gone AS (UPDATE ONLY "kyc"."applicants" AS t SET "full_name" = NULL, "email" = ($4::text || sweeper.redaction_token(t."email"::text, $6::bytea, $7::bytea) || $5::text)::text, "phone" = NULL, "birth_date" = NULL, "retention_status" = $8::text
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t."relationship_ended_at" < $9::timestamptz - $10::interval + interval '4 days'
    AND ((timezone($11::text, timezone($11::text, t."relationship_ended_at") + $10::interval) <= $9::timestamptz
        OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid) THEN (SELECT bool_and(timezone($11::text, timezone($11::text, t."relationship_ended_at") + w.retention) <= $9::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid
          AND w.value = t."workspace_id") ELSE false END)
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$14::text, $15::text])
    AND (t."full_name" IS NOT NULL
      OR (t."email" IS NOT NULL
        AND NOT (t."email"::text = $4::text || substr(t."email"::text, length($4::text) + 1, 32) || $5::text
          AND sweeper.is_redaction_token(substr(t."email"::text, length($4::text) + 1, 32), $16::bytea, $17::bytea)))
      OR t."phone" IS NOT NULL
      OR t."birth_date" IS NOT NULL
      OR t."retention_status" IS DISTINCT
      FROM $8::text)
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid) THEN (SELECT bool_and(timezone($11::text, timezone($11::text, t."relationship_ended_at") + w.retention) <= $9::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid
          AND w.value = t."workspace_id") ELSE timezone($11::text, timezone($11::text, t."relationship_ended_at") + $18::interval) <= $9::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND ((t."status" = $19::text) IS NOT TRUE
        OR (t."rejected_at" < $9::timestamptz - $10::interval + interval '4 days'
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $20::text
              AND w.type = $12::oid) THEN (SELECT bool_and(timezone($11::text, timezone($11::text, t."rejected_at") + w.retention) <= $9::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $20::text
              AND w.type = $12::oid
              AND w.value = t."workspace_id") ELSE timezone($11::text, timezone($11::text, t."rejected_at") + $10::interval) <= $9::timestamptz END
            AND t."rejected_at" <> '-infinity')))
      AND NOT (EXISTS (SELECT
          FROM "kyc"."documents" x
          WHERE t."id" = x."applicant_id")
        OR EXISTS (SELECT
          FROM "kyc"."reviews" x
          WHERE t."id" = x."applicant_id"))) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $13::text
        OR h.category = $20::text
        AND t."status" = $19::text)
      AND (h.relation IS NULL
        OR h.relation = $21::oid))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $12::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $24::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $24::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $12::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $24::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $25::text, $13::text, $26::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = 'redacted-'
--   $5 = '@invalid'
--   $6 = (a key)
--   $7 = (a key)
--   $8 = 'redacted'
--   $9 = '2026-03-01 00:00:00Z'
--   $10 = '90 days'
--   $11 = 'UTC'
--   $12 = '25'
--   $13 = 'approved_applicants'
--   $14 = 'approved'
--   $15 = 'closed'
--   $16 = (a key)
--   $17 = (a key)
--   $18 = '5 years'
--   $19 = 'rejected'
--   $20 = 'rejected_applicants'
--   $21 = '1000'
--   $22 = (the version of the set of held keys)
--   $23 = (the bits of that set)
--   $24 = '2950'
--   $25 = 'redact'
--   $26 = 'kyc.applicants'

-- redact of kyc.applicants, walk start: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."relationship_ended_at" < $5::timestamptz - $6::interval + interval '4 days'
    AND ((timezone($7::text, timezone($7::text, t."relationship_ended_at") + $6::interval) <= $5::timestamptz
        OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $9::text
          AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, timezone($7::text, t."relationship_ended_at") + w.retention) <= $5::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $9::text
          AND w.type = $8::oid
          AND w.value = t."workspace_id") ELSE false END)
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$10::text, $11::text])
    AND (t."full_name" IS NOT NULL
      OR (t."email" IS NOT NULL
        AND NOT (t."email"::text = $12::text || substr(t."email"::text, length($12::text) + 1, 32) || $13::text
          AND sweeper.is_redaction_token(substr(t."email"::text, length($12::text) + 1, 32), $14::bytea, $15::bytea)))
      OR t."phone" IS NOT NULL
      OR t."birth_date" IS NOT NULL
      OR t."retention_status" IS DISTINCT
      FROM $16::text)
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $9::text
          AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, timezone($7::text, t."relationship_ended_at") + w.retention) <= $5::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $9::text
          AND w.type = $8::oid
          AND w.value = t."workspace_id") ELSE timezone($7::text, timezone($7::text, t."relationship_ended_at") + $17::interval) <= $5::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND ((t."status" = $18::text) IS NOT TRUE
        OR (t."rejected_at" < $5::timestamptz - $6::interval + interval '4 days'
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $19::text
              AND w.type = $8::oid) THEN (SELECT bool_and(timezone($7::text, timezone($7::text, t."rejected_at") + w.retention) <= $5::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $19::text
              AND w.type = $8::oid
              AND w.value = t."workspace_id") ELSE timezone($7::text, timezone($7::text, t."rejected_at") + $6::interval) <= $5::timestamptz END
            AND t."rejected_at" <> '-infinity')))
      AND NOT (EXISTS (SELECT
          FROM "kyc"."documents" x
          WHERE t."id" = x."applicant_id")
        OR EXISTS (SELECT
          FROM "kyc"."reviews" x
          WHERE t."id" = x."applicant_id"))) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $9::text
        OR h.category = $19::text
        AND t."status" = $18::text)
      AND (h.relation IS NULL
        OR h.relation = $20::oid))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
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
          OR h.category = $9::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $23::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $23::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $8::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $23::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $9::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $5 = '2026-03-01 00:00:00Z'
--   $6 = '90 days'
--   $7 = 'UTC'
--   $8 = '25'
--   $9 = 'approved_applicants'
--   $10 = 'approved'
--   $11 = 'closed'
--   $12 = 'redacted-'
--   $13 = '@invalid'
--   $14 = (a key)
--   $15 = (a key)
--   $16 = 'redacted'
--   $17 = '5 years'
--   $18 = 'rejected'
--   $19 = 'rejected_applicants'
--   $20 = '1000'
--   $21 = (the version of the set of held keys)
--   $22 = (the bits of that set)
--   $23 = '2950'

-- redact of kyc.applicants, walk start: taken
WITH gone AS (UPDATE ONLY "kyc"."applicants" AS t SET "full_name" = NULL, "email" = ($3::text || sweeper.redaction_token(t."email"::text, $5::bytea, $6::bytea) || $4::text)::text, "phone" = NULL, "birth_date" = NULL, "retention_status" = $7::text
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."relationship_ended_at" < (SELECT $8::timestamptz - $9::interval + interval '4 days')
    AND ((timezone($10::text, timezone($10::text, t."relationship_ended_at") + $9::interval) <= $8::timestamptz
        OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $12::text
          AND w.type = $11::oid) THEN (SELECT bool_and(timezone($10::text, timezone($10::text, t."relationship_ended_at") + w.retention) <= $8::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $12::text
          AND w.type = $11::oid
          AND w.value = t."workspace_id") ELSE false END)
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$13::text, $14::text])
    AND (t."full_name" IS NOT NULL
      OR (t."email" IS NOT NULL
        AND NOT (t."email"::text = $3::text || substr(t."email"::text, length($3::text) + 1, 32) || $4::text
          AND sweeper.is_redaction_token(substr(t."email"::text, length($3::text) + 1, 32), $15::bytea, $16::bytea)))
      OR t."phone" IS NOT NULL
      OR t."birth_date" IS NOT NULL
      OR t."retention_status" IS DISTINCT
      FROM $7::text)
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $12::text
          AND w.type = $11::oid) THEN (SELECT bool_and(timezone($10::text, timezone($10::text, t."relationship_ended_at") + w.retention) <= $8::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $12::text
          AND w.type = $11::oid
          AND w.value = t."workspace_id") ELSE timezone($10::text, timezone($10::text, t."relationship_ended_at") + $17::interval) <= $8::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND ((t."status" = $18::text) IS NOT TRUE
        OR (t."rejected_at" < (SELECT $8::timestamptz - $9::interval + interval '4 days')
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $19::text
              AND w.type = $11::oid) THEN (SELECT bool_and(timezone($10::text, timezone($10::text, t."rejected_at") + w.retention) <= $8::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $19::text
              AND w.type = $11::oid
              AND w.value = t."workspace_id") ELSE timezone($10::text, timezone($10::text, t."rejected_at") + $9::interval) <= $8::timestamptz END
            AND t."rejected_at" <> '-infinity')))
      AND NOT (EXISTS (SELECT
          FROM "kyc"."documents" x
          WHERE t."id" = x."applicant_id")
        OR EXISTS (SELECT
          FROM "kyc"."reviews" x
          WHERE t."id" = x."applicant_id"))) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $12::text
        OR h.category = $19::text
        AND t."status" = $18::text)
      AND (h.relation IS NULL
        OR h.relation = $20::oid))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
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
          OR h.category = $12::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $23::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $12::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $23::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $11::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $12::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $21::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($22::bytea) = 0)
          OR get_bit((SELECT $22::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($22::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $23::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $12::text
          OR h.category = $19::text
          AND t."status" = $18::text)
        AND (h.relation IS NULL
          OR h.relation = $20::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $24::text, $12::text, $25::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = 'redacted-'
--   $4 = '@invalid'
--   $5 = (a key)
--   $6 = (a key)
--   $7 = 'redacted'
--   $8 = '2026-03-01 00:00:00Z'
--   $9 = '90 days'
--   $10 = 'UTC'
--   $11 = '25'
--   $12 = 'approved_applicants'
--   $13 = 'approved'
--   $14 = 'closed'
--   $15 = (a key)
--   $16 = (a key)
--   $17 = '5 years'
--   $18 = 'rejected'
--   $19 = 'rejected_applicants'
--   $20 = '1000'
--   $21 = (the version of the set of held keys)
--   $22 = (the bits of that set)
--   $23 = '2950'
--   $24 = 'redact'
--   $25 = 'kyc.applicants'

-- redact of kyc.applicants, walk start: split
SELECT min(place)::text, max(place)::text
FROM (SELECT t.ctid AS place, (row_number() OVER (ORDER BY t.ctid) - 1) / $3::bigint AS part
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t.ctid >= $4::tid
    AND t.ctid <= $5::tid
    AND t."relationship_ended_at" < $6::timestamptz - $7::interval + interval '4 days'
    AND ((timezone($8::text, timezone($8::text, t."relationship_ended_at") + $7::interval) <= $6::timestamptz
        OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $10::text
          AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."relationship_ended_at") + w.retention) <= $6::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $10::text
          AND w.type = $9::oid
          AND w.value = t."workspace_id") ELSE false END)
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$11::text, $12::text])
    AND (t."full_name" IS NOT NULL
      OR (t."email" IS NOT NULL
        AND NOT (t."email"::text = $13::text || substr(t."email"::text, length($13::text) + 1, 32) || $14::text
          AND sweeper.is_redaction_token(substr(t."email"::text, length($13::text) + 1, 32), $15::bytea, $16::bytea)))
      OR t."phone" IS NOT NULL
      OR t."birth_date" IS NOT NULL
      OR t."retention_status" IS DISTINCT
      FROM $17::text)
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $10::text
          AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."relationship_ended_at") + w.retention) <= $6::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $10::text
          AND w.type = $9::oid
          AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."relationship_ended_at") + $18::interval) <= $6::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND ((t."status" = $19::text) IS NOT TRUE
        OR (t."rejected_at" < $6::timestamptz - $7::interval + interval '4 days'
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $20::text
              AND w.type = $9::oid) THEN (SELECT bool_and(timezone($8::text, timezone($8::text, t."rejected_at") + w.retention) <= $6::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $20::text
              AND w.type = $9::oid
              AND w.value = t."workspace_id") ELSE timezone($8::text, timezone($8::text, t."rejected_at") + $7::interval) <= $6::timestamptz END
            AND t."rejected_at" <> '-infinity')))
      AND NOT (EXISTS (SELECT
          FROM "kyc"."documents" x
          WHERE t."id" = x."applicant_id")
        OR EXISTS (SELECT
          FROM "kyc"."reviews" x
          WHERE t."id" = x."applicant_id"))) IS NOT TRUE) s
GROUP BY part ORDER BY part;
--   $6 = '2026-03-01 00:00:00Z'
--   $7 = '90 days'
--   $8 = 'UTC'
--   $9 = '25'
--   $10 = 'approved_applicants'
--   $11 = 'approved'
--   $12 = 'closed'
--   $13 = 'redacted-'
--   $14 = '@invalid'
--   $15 = (a key)
--   $16 = (a key)
--   $17 = 'redacted'
--   $18 = '5 years'
--   $19 = 'rejected'
--   $20 = 'rejected_applicants'

-- redact of kyc.applicants, walk start: part
WITH gone AS (UPDATE ONLY "kyc"."applicants" AS t SET "full_name" = NULL, "email" = ($6::text || sweeper.redaction_token(t."email"::text, $8::bytea, $9::bytea) || $7::text)::text, "phone" = NULL, "birth_date" = NULL, "retention_status" = $10::text
    WHERE t."relationship_ended_at" >= $1::timestamp with time zone
    AND t."relationship_ended_at" < $2::timestamp with time zone
    AND t.ctid >= $3::tid
    AND t.ctid <= $4::tid
    AND t."relationship_ended_at" < $11::timestamptz - $12::interval + interval '4 days'
    AND ((timezone($13::text, timezone($13::text, t."relationship_ended_at") + $12::interval) <= $11::timestamptz
        OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $15::text
          AND w.type = $14::oid) THEN (SELECT bool_and(timezone($13::text, timezone($13::text, t."relationship_ended_at") + w.retention) <= $11::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $15::text
          AND w.type = $14::oid
          AND w.value = t."workspace_id") ELSE false END)
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$16::text, $17::text])
    AND (t."full_name" IS NOT NULL
      OR (t."email" IS NOT NULL
        AND NOT (t."email"::text = $6::text || substr(t."email"::text, length($6::text) + 1, 32) || $7::text
          AND sweeper.is_redaction_token(substr(t."email"::text, length($6::text) + 1, 32), $18::bytea, $19::bytea)))
      OR t."phone" IS NOT NULL
      OR t."birth_date" IS NOT NULL
      OR t."retention_status" IS DISTINCT
      FROM $10::text)
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $15::text
          AND w.type = $14::oid) THEN (SELECT bool_and(timezone($13::text, timezone($13::text, t."relationship_ended_at") + w.retention) <= $11::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $15::text
          AND w.type = $14::oid
          AND w.value = t."workspace_id") ELSE timezone($13::text, timezone($13::text, t."relationship_ended_at") + $20::interval) <= $11::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND ((t."status" = $21::text) IS NOT TRUE
        OR (t."rejected_at" < $11::timestamptz - $12::interval + interval '4 days'
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $22::text
              AND w.type = $14::oid) THEN (SELECT bool_and(timezone($13::text, timezone($13::text, t."rejected_at") + w.retention) <= $11::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $22::text
              AND w.type = $14::oid
              AND w.value = t."workspace_id") ELSE timezone($13::text, timezone($13::text, t."rejected_at") + $12::interval) <= $11::timestamptz END
            AND t."rejected_at" <> '-infinity')))
      AND NOT (EXISTS (SELECT
          FROM "kyc"."documents" x
          WHERE t."id" = x."applicant_id")
        OR EXISTS (SELECT
          FROM "kyc"."reviews" x
          WHERE t."id" = x."applicant_id"))) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $15::text
        OR h.category = $22::text
        AND t."status" = $21::text)
      AND (h.relation IS NULL
        OR h.relation = $23::oid))
    AND (((SELECT version = $24::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($25::bytea) = 0)
          OR get_bit((SELECT $25::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($25::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $14::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $15::text
          OR h.category = $22::text
          AND t."status" = $21::text)
        AND (h.relation IS NULL
          OR h.relation = $23::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $24::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($25::bytea) = 0)
          OR get_bit((SELECT $25::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($25::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $26::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $15::text
          OR h.category = $22::text
          AND t."status" = $21::text)
        AND (h.relation IS NULL
          OR h.relation = $23::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $24::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($25::bytea) = 0)
          OR get_bit((SELECT $25::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($25::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $26::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $14::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $15::text
          OR h.category = $22::text
          AND t."status" = $21::text)
        AND (h.relation IS NULL
          OR h.relation = $23::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $24::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($25::bytea) = 0)
          OR get_bit((SELECT $25::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($25::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $26::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $15::text
          OR h.category = $22::text
          AND t."status" = $21::text)
        AND (h.relation IS NULL
          OR h.relation = $23::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $27::text, $15::text, $28::text, NULL, $5::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $6 = 'redacted-'
--   $7 = '@invalid'
--   $8 = (a key)
--   $9 = (a key)
--   $10 = 'redacted'
--   $11 = '2026-03-01 00:00:00Z'
--   $12 = '90 days'
--   $13 = 'UTC'
--   $14 = '25'
--   $15 = 'approved_applicants'
--   $16 = 'approved'
--   $17 = 'closed'
--   $18 = (a key)
--   $19 = (a key)
--   $20 = '5 years'
--   $21 = 'rejected'
--   $22 = 'rejected_applicants'
--   $23 = '1000'
--   $24 = (the version of the set of held keys)
--   $25 = (the bits of that set)
--   $26 = '2950'
--   $27 = 'redact'
--   $28 = 'kyc.applicants'

-- redact of kyc.applicants, walk start: scattered
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
--   $3 = 'relationship_ended_at'

-- redact of kyc.applicants, walk start, scattered: batch
WITH gone AS (UPDATE ONLY "kyc"."applicants" AS t SET "full_name" = NULL, "email" = ($4::text || sweeper.redaction_token(t."email"::text, $6::bytea, $7::bytea) || $5::text)::text, "phone" = NULL, "birth_date" = NULL, "retention_status" = $8::text
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."relationship_ended_at" < (SELECT $9::timestamptz - $10::interval + interval '4 days')
    AND ((timezone($11::text, timezone($11::text, t."relationship_ended_at") + $10::interval) <= $9::timestamptz
        OR CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid) THEN (SELECT bool_and(timezone($11::text, timezone($11::text, t."relationship_ended_at") + w.retention) <= $9::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid
          AND w.value = t."workspace_id") ELSE false END)
      AND t."relationship_ended_at" <> '-infinity')
    AND t."status" = ANY (ARRAY[$14::text, $15::text])
    AND (t."full_name" IS NOT NULL
      OR (t."email" IS NOT NULL
        AND NOT (t."email"::text = $4::text || substr(t."email"::text, length($4::text) + 1, 32) || $5::text
          AND sweeper.is_redaction_token(substr(t."email"::text, length($4::text) + 1, 32), $16::bytea, $17::bytea)))
      OR t."phone" IS NOT NULL
      OR t."birth_date" IS NOT NULL
      OR t."retention_status" IS DISTINCT
      FROM $8::text)
    AND ((CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid) THEN (SELECT bool_and(timezone($11::text, timezone($11::text, t."relationship_ended_at") + w.retention) <= $9::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $13::text
          AND w.type = $12::oid
          AND w.value = t."workspace_id") ELSE timezone($11::text, timezone($11::text, t."relationship_ended_at") + $18::interval) <= $9::timestamptz END
        AND t."relationship_ended_at" <> '-infinity')
      AND ((t."status" = $19::text) IS NOT TRUE
        OR (t."rejected_at" < (SELECT $9::timestamptz - $10::interval + interval '4 days')
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $20::text
              AND w.type = $12::oid) THEN (SELECT bool_and(timezone($11::text, timezone($11::text, t."rejected_at") + w.retention) <= $9::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $20::text
              AND w.type = $12::oid
              AND w.value = t."workspace_id") ELSE timezone($11::text, timezone($11::text, t."rejected_at") + $10::interval) <= $9::timestamptz END
            AND t."rejected_at" <> '-infinity')))
      AND NOT (EXISTS (SELECT
          FROM "kyc"."documents" x
          WHERE t."id" = x."applicant_id")
        OR EXISTS (SELECT
          FROM "kyc"."reviews" x
          WHERE t."id" = x."applicant_id"))) IS NOT TRUE
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $13::text
        OR h.category = $20::text
        AND t."status" = $19::text)
      AND (h.relation IS NULL
        OR h.relation = $21::oid))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $12::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $24::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $24::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $12::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $22::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($23::bytea) = 0)
          OR get_bit((SELECT $23::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($23::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $24::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $13::text
          OR h.category = $20::text
          AND t."status" = $19::text)
        AND (h.relation IS NULL
          OR h.relation = $21::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $25::text, $13::text, $26::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = 'redacted-'
--   $5 = '@invalid'
--   $6 = (a key)
--   $7 = (a key)
--   $8 = 'redacted'
--   $9 = '2026-03-01 00:00:00Z'
--   $10 = '90 days'
--   $11 = 'UTC'
--   $12 = '25'
--   $13 = 'approved_applicants'
--   $14 = 'approved'
--   $15 = 'closed'
--   $16 = (a key)
--   $17 = (a key)
--   $18 = '5 years'
--   $19 = 'rejected'
--   $20 = 'rejected_applicants'
--   $21 = '1000'
--   $22 = (the version of the set of held keys)
--   $23 = (the bits of that set)
--   $24 = '2950'
--   $25 = 'redact'
--   $26 = 'kyc.applicants'

-- category rejected_applicants of kyc.applicants, level 1

-- count for delete
SELECT 0::oid, count(*) FILTER (WHERE state = 'not_started'), count(*) FILTER (WHERE state = 'future'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'blocked'), count(*) FILTER (WHERE state = 'due'), min(start) FILTER (WHERE state = 'due')::timestamptz
FROM (SELECT 0::oid AS leaf, t."rejected_at" AS start, CASE
    WHEN (t."rejected_at" > '-infinity') IS NOT TRUE THEN 'not_started'
    WHEN t."rejected_at" > $2::timestamptz THEN 'future'
    WHEN (t."rejected_at" < (SELECT $2::timestamptz - $3::interval + interval '4 days')
      AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
          FROM sweeper.tenant_retention w
          WHERE w.category = $6::text
          AND w.type = $5::oid) THEN (SELECT bool_and(timezone($4::text, timezone($4::text, t."rejected_at") + w.retention) <= $2::timestamptz)
          FROM sweeper.tenant_retention w
          WHERE w.category = $6::text
          AND w.type = $5::oid
          AND w.value = t."workspace_id") ELSE timezone($4::text, timezone($4::text, t."rejected_at") + $3::interval) <= $2::timestamptz END
        AND t."rejected_at" <> '-infinity')
      AND t."status" = $1::text
      AND ((t."status" = ANY (ARRAY[$7::text, $8::text])) IS NOT TRUE
        OR (t."relationship_ended_at" < (SELECT $2::timestamptz - $9::interval + interval '4 days')
          AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
              FROM sweeper.tenant_retention w
              WHERE w.category = $10::text
              AND w.type = $5::oid) THEN (SELECT bool_and(timezone($4::text, timezone($4::text, t."relationship_ended_at") + w.retention) <= $2::timestamptz)
              FROM sweeper.tenant_retention w
              WHERE w.category = $10::text
              AND w.type = $5::oid
              AND w.value = t."workspace_id") ELSE timezone($4::text, timezone($4::text, t."relationship_ended_at") + $9::interval) <= $2::timestamptz END
            AND t."relationship_ended_at" <> '-infinity')))) IS NOT TRUE THEN 'scheduled'
    WHEN (EXISTS (SELECT
        FROM sweeper.legal_holds h
        WHERE h.subject IS NULL
        AND h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $6::text
          OR h.category = $10::text
          AND t."status" = ANY (ARRAY[$7::text, $8::text]))
        AND (h.relation IS NULL
          OR h.relation = $11::oid))
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $5::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $6::text
          OR h.category = $10::text
          AND t."status" = ANY (ARRAY[$7::text, $8::text]))
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $6::text
          OR h.category = $10::text
          AND t."status" = ANY (ARRAY[$7::text, $8::text]))
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $5::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $6::text
          OR h.category = $10::text
          AND t."status" = ANY (ARRAY[$7::text, $8::text]))
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default")
      OR EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $12::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $6::text
          OR h.category = $10::text
          AND t."status" = ANY (ARRAY[$7::text, $8::text]))
        AND (h.relation IS NULL
          OR h.relation = $11::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default")) THEN 'held'
    WHEN (EXISTS (SELECT
        FROM "kyc"."documents" x
        WHERE t."id" = x."applicant_id")
      OR EXISTS (SELECT
        FROM "kyc"."reviews" x
        WHERE t."id" = x."applicant_id")) THEN 'blocked'
    ELSE 'due' END AS state
 
    FROM ONLY "kyc"."applicants" AS t
    WHERE t."status" = $1::text OFFSET 0) s;
--   $1 = 'rejected'
--   $2 = '2026-03-01 00:00:00Z'
--   $3 = '90 days'
--   $4 = 'UTC'
--   $5 = '25'
--   $6 = 'rejected_applicants'
--   $7 = 'approved'
--   $8 = 'closed'
--   $9 = '5 years'
--   $10 = 'approved_applicants'
--   $11 = '1000'
--   $12 = '2950'

-- delete of kyc.applicants, walk blocks: batch
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."rejected_at" < (SELECT $4::timestamptz - $5::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."rejected_at") + w.retention) <= $4::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $8::text
        AND w.type = $7::oid
        AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."rejected_at") + $5::interval) <= $4::timestamptz END
      AND t."rejected_at" <> '-infinity')
    AND t."status" = $9::text
    AND ((t."status" = ANY (ARRAY[$10::text, $11::text])) IS NOT TRUE
      OR (t."relationship_ended_at" < (SELECT $4::timestamptz - $12::interval + interval '4 days')
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $13::text
            AND w.type = $7::oid) THEN (SELECT bool_and(timezone($6::text, timezone($6::text, t."relationship_ended_at") + w.retention) <= $4::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $13::text
            AND w.type = $7::oid
            AND w.value = t."workspace_id") ELSE timezone($6::text, timezone($6::text, t."relationship_ended_at") + $12::interval) <= $4::timestamptz END
          AND t."relationship_ended_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $8::text
        OR h.category = $13::text
        AND t."status" = ANY (ARRAY[$10::text, $11::text]))
      AND (h.relation IS NULL
        OR h.relation = $14::oid))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."workspace_id")::text COLLATE "C", 1) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'tenant'
        AND k.type = $7::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = ANY (ARRAY[$10::text, $11::text]))
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = ANY (ARRAY[$10::text, $11::text]))
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $7::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = ANY (ARRAY[$10::text, $11::text]))
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $15::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($16::bytea) = 0)
          OR get_bit((SELECT $16::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($16::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $17::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $8::text
          OR h.category = $13::text
          AND t."status" = ANY (ARRAY[$10::text, $11::text]))
        AND (h.relation IS NULL
          OR h.relation = $14::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $18::text, $8::text, $19::text, NULL, $3::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $4 = '2026-03-01 00:00:00Z'
--   $5 = '90 days'
--   $6 = 'UTC'
--   $7 = '25'
--   $8 = 'rejected_applicants'
--   $9 = 'rejected'
--   $10 = 'approved'
--   $11 = 'closed'
--   $12 = '5 years'
--   $13 = 'approved_applicants'
--   $14 = '1000'
--   $15 = (the version of the set of held keys)
--   $16 = (the bits of that set)
--   $17 = '2950'
--   $18 = 'delete'
--   $19 = 'kyc.applicants'

-- delete of kyc.applicants, walk blocks: lock
WITH wanted AS MATERIALIZED (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid >= $1::tid
    AND t.ctid < $2::tid
    AND t."rejected_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."rejected_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."rejected_at") + $4::interval) <= $3::timestamptz END
      AND t."rejected_at" <> '-infinity')
    AND t."status" = $8::text
    AND ((t."status" = ANY (ARRAY[$9::text, $10::text])) IS NOT TRUE
      OR (t."relationship_ended_at" < (SELECT $3::timestamptz - $11::interval + interval '4 days')
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $12::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."relationship_ended_at") + w.retention) <= $3::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $12::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."relationship_ended_at") + $11::interval) <= $3::timestamptz END
          AND t."relationship_ended_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $7::text
        OR h.category = $12::text
        AND t."status" = ANY (ARRAY[$9::text, $10::text]))
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
        AND k.type = $6::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")),
taken AS (SELECT t.ctid AS place
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY (ARRAY(SELECT place
        FROM wanted)) FOR UPDATE OF t SKIP LOCKED)
SELECT coalesce(array_agg(place::text), '{}'), (SELECT count(*)
    FROM wanted) - count(*)
  FROM taken;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '90 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'rejected_applicants'
--   $8 = 'rejected'
--   $9 = 'approved'
--   $10 = 'closed'
--   $11 = '5 years'
--   $12 = 'approved_applicants'
--   $13 = '1000'
--   $14 = (the version of the set of held keys)
--   $15 = (the bits of that set)
--   $16 = '2950'

-- delete of kyc.applicants, walk blocks: taken
WITH gone AS (DELETE
    FROM ONLY "kyc"."applicants" AS t
    WHERE t.ctid = ANY ($1::text[]::tid[])
    AND t."rejected_at" < (SELECT $3::timestamptz - $4::interval + interval '4 days')
    AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."rejected_at") + w.retention) <= $3::timestamptz)
        FROM sweeper.tenant_retention w
        WHERE w.category = $7::text
        AND w.type = $6::oid
        AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."rejected_at") + $4::interval) <= $3::timestamptz END
      AND t."rejected_at" <> '-infinity')
    AND t."status" = $8::text
    AND ((t."status" = ANY (ARRAY[$9::text, $10::text])) IS NOT TRUE
      OR (t."relationship_ended_at" < (SELECT $3::timestamptz - $11::interval + interval '4 days')
        AND (CASE WHEN t."workspace_id" = ANY (SELECT w.value
            FROM sweeper.tenant_retention w
            WHERE w.category = $12::text
            AND w.type = $6::oid) THEN (SELECT bool_and(timezone($5::text, timezone($5::text, t."relationship_ended_at") + w.retention) <= $3::timestamptz)
            FROM sweeper.tenant_retention w
            WHERE w.category = $12::text
            AND w.type = $6::oid
            AND w.value = t."workspace_id") ELSE timezone($5::text, timezone($5::text, t."relationship_ended_at") + $11::interval) <= $3::timestamptz END
          AND t."relationship_ended_at" <> '-infinity')))
    AND NOT EXISTS (SELECT
      FROM sweeper.legal_holds h
      WHERE h.subject IS NULL
      AND h.tenant IS NULL
      AND h.released_at IS NULL
      AND (h.expires_at IS NULL
        OR h.expires_at > now())
      AND (h.category IS NULL
        OR h.category = $7::text
        OR h.category = $12::text
        AND t."status" = ANY (ARRAY[$9::text, $10::text]))
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
        AND k.type = $6::oid
        WHERE h.subject IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        WHERE h.tenant IS NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        JOIN sweeper.hold_keys n ON n.hold_id = h.hold_id
        AND n.part = 'tenant'
        AND n.type = $6::oid
        WHERE h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (t."id")::text COLLATE "default"
        AND n.value = (t."workspace_id")::text COLLATE "default" OFFSET 0))
    AND (((SELECT version = $14::uuid
          FROM sweeper.hold_version)
        AND ((SELECT octet_length($15::bytea) = 0)
          OR get_bit((SELECT $15::bytea), hashtextextended((t."id")::text COLLATE "C", 0) & (SELECT octet_length($15::bytea)::int8 * 8 - 1)) = 0)) IS TRUE
      OR NOT EXISTS (SELECT
        FROM sweeper.legal_holds h
        JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id
        AND k.part = 'subject'
        AND k.type = $16::oid
        WHERE h.tenant IS NOT NULL
        AND h.released_at IS NULL
        AND (h.expires_at IS NULL
          OR h.expires_at > now())
        AND (h.category IS NULL
          OR h.category = $7::text
          OR h.category = $12::text
          AND t."status" = ANY (ARRAY[$9::text, $10::text]))
        AND (h.relation IS NULL
          OR h.relation = $13::oid)
        AND k.value = (CASE WHEN t."workspace_id" IS NULL THEN t."id" END)::text COLLATE "default" OFFSET 0))
    AND NOT EXISTS (SELECT
      FROM "kyc"."documents" x
      WHERE t."id" = x."applicant_id")
    AND NOT EXISTS (SELECT
      FROM "kyc"."reviews" x
      WHERE t."id" = x."applicant_id")
    RETURNING t."workspace_id"::text AS tenant),
counted AS (SELECT tenant, count(*) AS n
    FROM gone GROUP BY tenant)
INSERT INTO sweeper.batches (fact, kind, category, relation, partition, run_id, row_count, tenants)
SELECT 'report', $17::text, $7::text, $18::text, NULL, $2::uuid, coalesce(sum(n), 0), jsonb_agg(jsonb_build_object('tenant', tenant, 'rows', n) ORDER BY tenant)
  FROM counted
  RETURNING row_count;
--   $3 = '2026-03-01 00:00:00Z'
--   $4 = '90 days'
--   $5 = 'UTC'
--   $6 = '25'
--   $7 = 'rejected_applicants'
--   $8 = 'rejected'
--   $9 = 'approved'
--   $10 = 'closed'
--   $11 = '5 years'
--   $12 = 'approved_applicants'
--   $13 = '1000'
--   $14 = (the version of the set of held keys)
--   $15 = (the bits of that set)
--   $16 = '2950'
--   $17 = 'delete'
--   $18 = 'kyc.applicants'

