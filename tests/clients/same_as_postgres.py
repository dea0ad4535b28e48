"""The same queries over the same rows: what psql prints for the gateway is what it prints for PostgreSQL, column names and errors included."""

from mesh import check, passed
from postgres import Server, gateway

USER = "claims_engineer"
TABLES = ["claims.claims_enriched", "claims.fraud_signals", "customer.customer_master", "policy.policies_active", "pricing.risk_factors"]

# One statement a line. Each gives the same text, or the same SQLSTATE.
QUERIES = r"""
SELECT count(*) FROM claims.claims_enriched
SELECT * FROM claims.claims_enriched ORDER BY claim_id
SELECT * FROM claims.fraud_signals ORDER BY signal_id
SELECT * FROM customer.customer_master ORDER BY customer_id
SELECT * FROM policy.policies_active ORDER BY policy_id
SELECT kind, count(*), sum(amount), min(reported_at), max(incident_date) FROM claims.claims_enriched GROUP BY kind ORDER BY kind
SELECT kind, status, count(*) FROM claims.claims_enriched GROUP BY GROUPING SETS ((kind), (status), ()) ORDER BY kind, status
SELECT kind, count(*) FILTER (WHERE amount > 1000), bool_and(amount > 0) FROM claims.claims_enriched GROUP BY 1 HAVING count(*) > 1 ORDER BY 1
SELECT claim_id, reserve FROM claims.claims_enriched ORDER BY reserve DESC NULLS LAST, claim_id LIMIT 20
SELECT claim_id, reserve FROM claims.claims_enriched ORDER BY reserve, claim_id OFFSET 5 LIMIT 20
SELECT c.claim_id, f.model FROM claims.claims_enriched c LEFT JOIN claims.fraud_signals f USING (claim_id) ORDER BY 1, 2 LIMIT 50
SELECT p.line, count(DISTINCT c.customer_id) FROM claims.claims_enriched c JOIN policy.policies_active p ON p.policy_id = c.policy_id GROUP BY p.line ORDER BY p.line
SELECT claim_id, rank() OVER (PARTITION BY kind ORDER BY amount DESC, claim_id), lag(amount) OVER (ORDER BY claim_id) FROM claims.claims_enriched ORDER BY claim_id LIMIT 30
SELECT date_trunc('month', reported_at) AS month, count(*) FROM claims.claims_enriched GROUP BY 1 ORDER BY 1
SELECT extract(year FROM incident_date), extract(dow FROM incident_date), claim_id FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT claim_id FROM claims.claims_enriched WHERE incident_date BETWEEN '2024-01-01' AND '2024-12-31' ORDER BY 1 LIMIT 20
SELECT claim_id FROM claims.claims_enriched WHERE reported_at >= '2024-06-01 00:00:00+02' ORDER BY 1 LIMIT 20
SELECT upper(kind), lower(status), length(region), kind || '-' || status FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT substring(kind FROM 2 FOR 3), position('a' IN kind), trim(BOTH ' ' FROM kind), replace(kind, 'a', 'b') FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT kind LIKE 'f%', kind ILIKE 'F%', kind ~ '^f' FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT CASE WHEN amount > 1000 THEN 'large' ELSE 'small' END, coalesce(reserve, amount), nullif(kind, 'fire') FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT amount * 2, amount / 3 > 1, -amount, round(amount), amount + reserve FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT reserve::text, incident_date::text, reported_at::date FROM claims.claims_enriched ORDER BY claim_id LIMIT 10
SELECT claim_id FROM claims.claims_enriched WHERE amount > (SELECT avg(amount) FROM claims.claims_enriched) ORDER BY 1 LIMIT 20
SELECT claim_id FROM claims.claims_enriched WHERE claim_id IN (SELECT claim_id FROM claims.fraud_signals) ORDER BY 1 LIMIT 20
SELECT kind FROM claims.claims_enriched UNION SELECT status FROM claims.claims_enriched ORDER BY 1
SELECT kind FROM claims.claims_enriched INTERSECT SELECT kind FROM claims.claims_enriched ORDER BY 1
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i) FROM n
VALUES (1, 'a'), (2, NULL) ORDER BY 1
SELECT NULL, 1.5, 'x', DATE '2024-02-29', TIMESTAMP '2024-02-29 12:30:00.5', INTERVAL '1 day 2 hours'
SELECT ARRAY[1, 2, NULL], ARRAY['a', 'b c', 'd"e']
SELECT 1e10::float8, 0.1::float4, 'NaN'::float8, 'Infinity'::float8, 123456789012345678::bigint
SELECT 7 / 2, -7 / 2, 7 % 3, -7 % 3
SELECT DATE '2024-03-31' + 1, DATE '2024-03-31' - DATE '2024-03-01'
SELECT string_agg(kind, ',' ORDER BY kind) FROM (SELECT DISTINCT kind FROM claims.claims_enriched) k
SELECT array_agg(kind ORDER BY kind) FROM (SELECT DISTINCT kind FROM claims.claims_enriched) k
SELECT count(*), count(reserve), count(DISTINCT kind) FROM claims.claims_enriched
SELECT 1/0
SELECT nope FROM claims.claims_enriched
SELECT * FROM claims.nope
SELECT 'x'::int
SELEC 1
SELECT kind FROM claims.claims_enriched GROUP BY status
SELECT count(*), count(*) FROM claims.claims_enriched
SELECT claim_id::text FROM claims.claims_enriched ORDER BY claim_id
SELECT kind, count(*) FROM claims.claims_enriched GROUP BY kind ORDER BY count, kind
SELECT EXISTS (SELECT 1 FROM claims.fraud_signals f WHERE f.claim_id = c.claim_id) FROM claims.claims_enriched c ORDER BY 1
SELECT kind SIMILAR TO 'f%' FROM claims.claims_enriched ORDER BY claim_id
SELECT amount::int FROM claims.claims_enriched ORDER BY 1
SELECT amount + 0.001 FROM claims.claims_enriched ORDER BY claim_id
SELECT floor(amount) FROM claims.claims_enriched ORDER BY claim_id
SELECT DATE '2024-01-31' + INTERVAL '1 month'
SELECT INTERVAL '1 day 02:03:04'
SELECT '2024-13-01'::date
SELECT claim_id::text FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT count FROM (SELECT count(*) FROM claims.claims_enriched) s
SELECT s.max FROM (SELECT kind, max(amount) FROM claims.claims_enriched GROUP BY kind) s ORDER BY 1
SELECT EXISTS (SELECT 1 FROM claims.fraud_signals f WHERE f.claim_id = c.claim_id) FROM claims.claims_enriched c ORDER BY 1 LIMIT 3
SELECT kind SIMILAR TO 'f%' FROM claims.claims_enriched ORDER BY claim_id LIMIT 5
SELECT 'abc' SIMILAR TO 'abc', 'abc' SIMILAR TO 'a', 'abc' SIMILAR TO '%(b|d)%', 'abc' SIMILAR TO '(b|c)%', 'a.c' NOT SIMILAR TO 'a.c'
SELECT amount::int FROM claims.claims_enriched ORDER BY 1 LIMIT 5
SELECT 2.5::int, 3.5::int, -2.5::numeric::int, 2.5::float8::int, 3.5::float8::int8, -1.5::float8::int2
SELECT amount + 0.001 FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT amount * 1.1 FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT 1.5 + 1, 1.5 * 2.25, 10.0 - 0.1, 1.5 = 1.50
SELECT sum(amount) / count(*) FROM claims.claims_enriched
SELECT round(avg(amount), 2) FROM claims.claims_enriched
SELECT floor(amount) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT DATE '2024-01-31' - INTERVAL '1 day'
SELECT d < DATE '2024-01-31' + INTERVAL '1 month', d::timestamp, d + INTERVAL '1 day', d - TIMESTAMP '2024-01-31 12:00' FROM (VALUES (DATE '9999-12-31'), (DATE '2024-02-29'), (NULL)) v(d)
SELECT d FROM (VALUES (DATE '9999-12-31'), (DATE '2024-02-29'), (DATE '2024-02-28'), (DATE '0001-01-01'), (NULL)) v(d) WHERE d <= DATE '2024-01-29' + INTERVAL '1 month' ORDER BY d
SELECT d FROM (VALUES (DATE '9999-12-31'), (DATE '2024-02-29'), (DATE '2024-02-28')) v(d) WHERE d < DATE '2024-02-28' + INTERVAL '1 hour' AND TIMESTAMP '2024-02-27 23:00' < d
SELECT d FROM (VALUES (DATE '9999-12-31'), (DATE '2024-02-29'), (DATE '2024-02-28')) v(d) WHERE d BETWEEN DATE '2024-02-28' AND DATE '2024-02-28' + INTERVAL '1 day' ORDER BY d
SELECT d FROM (VALUES (DATE '9999-12-31'), (DATE '2024-02-29'), (DATE '2024-02-28')) v(d) WHERE d NOT BETWEEN DATE '2024-02-28' AND DATE '2024-02-28' + INTERVAL '12 hours' ORDER BY d
SELECT d FROM (VALUES (DATE '9999-12-31'), (DATE '2024-02-29')) v(d) WHERE d = TIMESTAMP '2024-02-29' OR d = TIMESTAMP '2024-02-29 01:00' OR d <> TIMESTAMP '2024-02-29 01:00' ORDER BY d
SELECT TIMESTAMP '9999-12-31 23:59:59' - INTERVAL '1 second', '5000-01-01'::timestamp, TIMESTAMP '0044-03-15'
SELECT INTERVAL '02:03:04', INTERVAL '1-2', INTERVAL '3 days', INTERVAL '90 minutes', INTERVAL '1' DAY, INTERVAL '1.5 hours'
SELECT '2024-02-30'::date
SELECT 'nope'::date
SELECT '25:00'::time
SELECT to_char(TIMESTAMP '2024-03-05 14:07:09.123456', 'YYYY-MM-DD HH24:MI:SS')
SELECT to_char(TIMESTAMP '2024-03-05 14:07:09.123456', 'YYYY-MM'), to_char(DATE '2024-03-05', 'Mon DD, YYYY'), to_char(DATE '2024-03-05', 'Month'), to_char(DATE '2024-03-05', 'Day'), to_char(DATE '2024-03-05', 'FMDay, FMDD FMMonth'), to_char(DATE '2024-03-05', 'Q'), to_char(DATE '2024-03-05', 'IYYY-IW'), to_char(DATE '2024-03-05', 'DDD'), to_char(DATE '2024-03-05', 'D'), to_char(TIMESTAMP '2024-03-05 14:07:09', 'HH12:MI AM'), to_char(TIMESTAMP '2024-03-05 14:07:09.123', 'MS US'), to_char(DATE '2024-03-05', '"Week" WW'), to_char(TIMESTAMP '2024-03-05 14:07:09', 'SSSS'), to_char(DATE '2024-03-05', 'DDth'), to_char(DATE '2024-03-05', 'YY MM')
SELECT to_char(1234.5, '9,999.99'), to_char(0.5, 'FM990.00'), to_char(-12, '999'), to_char(1234567, 'FM9,999,999'), to_char(12, '0000'), to_char(1234.567, '9999.9'), to_char(12.3, 'FM999.999'), to_char(485, '999'), to_char(0.1, '0.9'), to_char(12, 'S99'), to_char(-12, '99MI'), to_char(1234, 'FML9,999')
SELECT to_date('05 Mar 2024', 'DD Mon YYYY'), to_date('2024-03-05', 'YYYY-MM-DD'), to_date('20240305', 'YYYYMMDD')
SELECT to_timestamp('2024-03-05 14:07:09', 'YYYY-MM-DD HH24:MI:SS')
SELECT to_timestamp(1709647629.5), to_timestamp(0)
SELECT to_number('1,234.50', '9,999.99'), to_number('-12', '999')
SELECT date_trunc('month', DATE '2024-03-05'), date_trunc('quarter', TIMESTAMP '2024-03-05 14:07:09'), date_trunc('week', TIMESTAMP '2024-03-05 14:07:09'), date_trunc('decade', TIMESTAMP '2024-03-05 14:07:09'), date_trunc('hour', TIMESTAMPTZ '2024-03-05 14:07:09+02')
SELECT date_trunc('day', TIMESTAMPTZ '2024-03-05 23:07:09+00', 'Europe/Berlin')
SELECT DATE '2024-03-31' + 1, DATE '2024-03-31' - 1, DATE '2024-03-31' - DATE '2024-03-01', 1 + DATE '2024-03-31'
SELECT TIMESTAMP '2024-03-05 14:00' - TIMESTAMP '2024-03-01 12:00', TIMESTAMP '2024-03-05 14:00' + INTERVAL '90 minutes', TIMESTAMP '2024-03-05' - INTERVAL '1 week', DATE '2024-03-05' + TIME '03:00'
SELECT INTERVAL '1 day' * 3, INTERVAL '1 hour' / 2, INTERVAL '1 day' + INTERVAL '2 hours', 2 * INTERVAL '1 month', -INTERVAL '1 day'
SELECT TIMESTAMP '2024-03-05 14:00' AT TIME ZONE 'Europe/Berlin', TIMESTAMPTZ '2024-03-05 14:00+00' AT TIME ZONE 'America/New_York'
SELECT (DATE '2024-01-01', DATE '2024-02-01') OVERLAPS (DATE '2024-01-15', DATE '2024-03-01')
SELECT current_date = now()::date, localtimestamp <= now()::timestamp, clock_timestamp() >= now(), statement_timestamp() >= transaction_timestamp(), current_timestamp = now()
SELECT upper('abc'), lower('ABC'), initcap('hello wORLD'), length('häuser'), char_length('abc'), octet_length('häuser'), bit_length('a')
SELECT position('c' IN 'abc'), strpos('abc', 'c'), replace('abcabc', 'b', 'x'), translate('12345', '143', 'ax'), reverse('abc'), repeat('ab', 3)
SELECT lpad('7', 3, '0'), rpad('7', 3), ltrim('  a '), rtrim(' a  '), btrim('xxaxx', 'x'), trim(LEADING 'x' FROM 'xax'), trim('  a ')
SELECT 'abc' ~ 'b', 'abc' ~* 'B', 'abc' !~ 'b', 'abc' !~* 'x', 'abc' LIKE 'a_c', 'a%c' LIKE 'a\%c', 'abc' ILIKE 'A%', 'abc' NOT LIKE 'x%', 'abc' ~~ 'a%', 'abc' ~~* 'A%', 'abc' !~~ 'a%'
SELECT ascii('a'), chr(97), md5('abc'), encode('abc'::bytea, 'hex'), encode('abc'::bytea, 'base64'), decode('616263', 'hex'), to_hex(255), sha256('abc'::bytea), starts_with('abc', 'ab'), overlay('abcdef' PLACING 'xx' FROM 2 FOR 3), string_to_array('a,b,c', ','), array_to_string(ARRAY['a', NULL, 'c'], ',', '*')
SELECT 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 3, 8 >> 2
SELECT bool_and(amount > 0), bool_or(amount > 100000), every(amount > 0) FROM claims.claims_enriched
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY claim_id), percentile_disc(0.5) WITHIN GROUP (ORDER BY claim_id), mode() WITHIN GROUP (ORDER BY kind) FROM claims.claims_enriched
SELECT percentile_disc(0.25) WITHIN GROUP (ORDER BY kind), percentile_cont(0.9) WITHIN GROUP (ORDER BY amount) FROM claims.claims_enriched
SELECT ('{"a": 1}'::jsonb ->> 'a')::int + 1, json_extract_path_text('{"a": {"b": "x"}}', 'a', 'b'), jsonb_extract_path_text('{"a": {"b": "x"}}', 'a', 'b')
SELECT unnest(ARRAY[1, 2, 3])
SELECT * FROM unnest(ARRAY['a', 'b']) AS t(x)
SELECT * FROM generate_series(1, 5)
SELECT g FROM generate_series(1, 10, 3) AS g
SELECT d::date FROM generate_series(DATE '2024-01-01', DATE '2024-03-01', INTERVAL '1 month') AS d
SELECT g.d FROM generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02', INTERVAL '6 hours') AS g(d)
SELECT x.kind, y.n FROM (SELECT DISTINCT kind FROM claims.claims_enriched) x CROSS JOIN LATERAL (SELECT count(*) AS n FROM claims.claims_enriched c WHERE c.kind = x.kind) y ORDER BY 1
SELECT DISTINCT ON (kind) kind, claim_id FROM claims.claims_enriched ORDER BY kind, claim_id
SELECT claim_id, row_number() OVER w, sum(amount) OVER (PARTITION BY kind ORDER BY claim_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), first_value(kind) OVER w, ntile(4) OVER w, percent_rank() OVER w, cume_dist() OVER w, dense_rank() OVER w FROM claims.claims_enriched WINDOW w AS (ORDER BY claim_id) ORDER BY 1 LIMIT 5
SELECT kind, sum(amount) FROM claims.claims_enriched GROUP BY ROLLUP (kind) ORDER BY kind NULLS LAST
SELECT kind, grouping(kind) FROM claims.claims_enriched GROUP BY CUBE (kind) ORDER BY 1 NULLS LAST
SELECT 1::bool, 0::bool, 't'::bool, 'yes'::bool, true::int, false::text, 'on'::boolean
SELECT '99999999999'::int
SELECT 99999999999::int
SELECT 300::int2 * 300::int2
SELECT 2147483647::int + 1::int
SELECT 9223372036854775807 + 1
SELECT 'x' || 1 || true, 1 || 'x', 'd: ' || DATE '2024-01-01'
SELECT NULL = NULL, NULL IS NULL, 1 IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1, true AND NULL, NOT NULL::bool, (1 = 1) IS TRUE, NULL IS UNKNOWN
SELECT cast(amount AS numeric(10,1)), amount::numeric(10,0), amount::float8, amount::text, amount::varchar(3) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT 1709647629::bigint::text, extract(epoch FROM now()) > 0, timestamp 'epoch' + 1709647629 * interval '1 second'
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id
SELECT t.column1 FROM (VALUES (1), (2)) t ORDER BY 1
SELECT kind AS "Kind", count(*) AS "Count of Rows" FROM claims.claims_enriched GROUP BY "kind" ORDER BY "Count of Rows" DESC, 1
SELECT kind k FROM claims.claims_enriched GROUP BY k ORDER BY k
SELECT date_trunc('month', reported_at)::date AS m, count(*) FROM claims.claims_enriched GROUP BY m ORDER BY m LIMIT 3
SELECT date_trunc('month', reported_at), count(*) FROM claims.claims_enriched GROUP BY date_trunc('month', reported_at) ORDER BY date_trunc('month', reported_at) LIMIT 3
SELECT extract(year FROM reported_at)::int AS y, count(*) FROM claims.claims_enriched GROUP BY 1 HAVING count(*) > 1 ORDER BY 1
SELECT to_char(reported_at, 'YYYY-MM') AS m, count(*) FROM claims.claims_enriched GROUP BY 1 ORDER BY 1 LIMIT 3
SELECT count(*) FILTER (WHERE kind = 'fire') AS fires, sum(CASE WHEN kind = 'fire' THEN 1 ELSE 0 END), sum((kind = 'fire')::int) FROM claims.claims_enriched
SELECT c.kind, (SELECT count(*) FROM claims.fraud_signals f WHERE f.claim_id = c.claim_id) FROM claims.claims_enriched c ORDER BY c.claim_id LIMIT 3
SELECT c.* FROM claims.claims_enriched c WHERE c.claim_id = ANY (SELECT claim_id FROM claims.fraud_signals) ORDER BY 1 LIMIT 1
SELECT claim_id FROM claims.claims_enriched WHERE claim_id = ANY ('{1,2,3}'::bigint[]) ORDER BY 1
SELECT claim_id FROM claims.claims_enriched WHERE kind = ANY ('{fire,theft}') ORDER BY 1 LIMIT 3
SELECT claim_id FROM claims.claims_enriched WHERE (kind, status) IN (('fire', 'open')) ORDER BY 1 LIMIT 2
SELECT claim_id FROM claims.claims_enriched WHERE reported_at > now() - INTERVAL '100 years' ORDER BY 1 LIMIT 2
SELECT claim_id FROM claims.claims_enriched WHERE reported_at::date = DATE '2024-06-01' ORDER BY 1 LIMIT 2
SELECT claim_id FROM claims.claims_enriched ORDER BY claim_id FETCH FIRST 2 ROWS ONLY
SELECT claim_id FROM claims.claims_enriched ORDER BY claim_id LIMIT ALL OFFSET 10000
SELECT "claims_enriched"."kind" AS "kind", COUNT(*) AS "count" FROM "claims"."claims_enriched" GROUP BY "claims_enriched"."kind" ORDER BY "claims_enriched"."kind" ASC
SELECT "source"."kind" AS "kind", SUM("source"."amount") AS "sum" FROM (SELECT "claims"."claims_enriched"."kind" AS "kind", "claims"."claims_enriched"."amount" AS "amount" FROM "claims"."claims_enriched") "source" GROUP BY "source"."kind" ORDER BY "source"."kind" ASC LIMIT 3
SELECT CAST(DATE_TRUNC('WEEK', CAST("reported_at" AS DATE)) AS DATE) AS w, COUNT(1) FROM claims.claims_enriched GROUP BY 1 ORDER BY 1 LIMIT 2
SELECT (CAST(extract(dow from "reported_at") AS integer) + 1) AS d, COUNT(*) FROM claims.claims_enriched GROUP BY (CAST(extract(dow from "reported_at") AS integer) + 1) ORDER BY 1
SELECT DATE_TRUNC('QUARTER', CAST(reported_at AS TIMESTAMP)) AS tqr, SUM(1) AS "sum:Number of Records:ok" FROM claims.claims_enriched GROUP BY 1 ORDER BY 1 LIMIT 3
SELECT CASE WHEN (amount > 1000) THEN ((amount - 1000) / NULLIF(reserve, 0)) ELSE NULL END > 0 AS x FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT (amount / 7)::numeric(12,4), amount / 7 FROM claims.claims_enriched ORDER BY claim_id LIMIT 2
SELECT floor((amount - 0) / 500) * 500 AS bin, count(*) FROM claims.claims_enriched GROUP BY floor((amount - 0) / 500) * 500 ORDER BY 1 LIMIT 3
SELECT (((floor(((CAST(amount AS double precision) - 0.0) / 100.0)) * 100.0) + 0.0)) AS b, count(*) FROM claims.claims_enriched GROUP BY 1 ORDER BY 1 LIMIT 2
SELECT (reported_at AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin')::date, 1 FROM claims.claims_enriched ORDER BY claim_id LIMIT 2
SELECT reported_at + (INTERVAL '1 day' * 2) FROM claims.claims_enriched ORDER BY claim_id LIMIT 2
SELECT (DATE_PART('day', reported_at - incident_date::timestamp))::int AS d FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT reported_at::date - incident_date FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT kind FROM claims.claims_enriched EXCEPT SELECT 'fire' ORDER BY 1
SELECT 'a' AS x UNION ALL SELECT NULL ORDER BY x NULLS FIRST
WITH a AS MATERIALIZED (SELECT 1 AS x) SELECT x FROM a
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t ORDER BY n
SELECT count(*) FROM claims.claims_enriched TABLESAMPLE SYSTEM (100)
SELECT to_char(amount, 'FM999,999.00') FROM claims.claims_enriched ORDER BY claim_id LIMIT 2
SELECT nullif(trim(kind), '') FROM claims.claims_enriched ORDER BY claim_id LIMIT 1
SELECT string_agg(kind, NULL) FROM (SELECT kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 2) s
SELECT min(reported_at)::date, max(reported_at)::time FROM claims.claims_enriched
SELECT date_bin('15 minutes', TIMESTAMP '2024-03-05 14:07:09', TIMESTAMP '2024-01-01')
SELECT uuid_nil FROM (SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid_nil) s
SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid
SELECT 'nope'::uuid
SELECT 'nope'::json
SELECT 10 % 0
SELECT position('' IN 'abc'), repeat('a', -1), left('abc', 0), chr(8364), length('')
SELECT 1 WHERE 1 IN (1, NULL), 2 NOT IN (1, NULL)
SELECT max(x) FROM (SELECT NULL::int AS x) s
SELECT sum(count(*)) OVER (), kind FROM claims.claims_enriched GROUP BY kind ORDER BY kind
SELECT coalesce(kind, 'n/a')::varchar(255) FROM claims.claims_enriched ORDER BY claim_id LIMIT 1
SELECT now() - now(), DATE '2024-01-01' < TIMESTAMP '2024-01-01 00:00:01', DATE '2024-01-01' = '2024-01-01'
SELECT isfinite(DATE '2024-01-01'), date '2024-01-01' + time '10:00', timestamptz '2024-01-01 00:00+00'::timestamp
SELECT greatest(DATE '2024-01-01', DATE '2024-02-01'), least('a', 'b')
SELECT bit_and(claim_id) >= 0, bit_or(claim_id) > 0 FROM claims.claims_enriched
SELECT regr_slope(amount, claim_id) IS NOT NULL, covar_pop(amount, claim_id) IS NOT NULL FROM claims.claims_enriched
SELECT array_remove(ARRAY[1,2,1], 1), array_replace(ARRAY[1,2], 1, 9), array_upper(ARRAY[1,2], 1), array_lower(ARRAY[1,2], 1), array_ndims(ARRAY[1,2]), array_prepend(0, ARRAY[1])
SELECT cast(NULL AS int), cast('' AS text), NULL::date
SELECT date_part('month', reported_at), count(*) FROM claims.claims_enriched GROUP BY date_part('month', reported_at) ORDER BY 1 LIMIT 2
SELECT concat(kind, '-', claim_id) FROM claims.claims_enriched ORDER BY claim_id LIMIT 1
SELECT left(kind, 1) || '.', upper(left(kind, 1)) || substr(kind, 2) FROM claims.claims_enriched ORDER BY claim_id LIMIT 1
SELECT date_part('month', reported_at)::int AS m, to_char(reported_at, 'YYYY-MM-DD') AS d FROM claims.claims_enriched WHERE extract(year FROM reported_at) = 2026 ORDER BY claim_id LIMIT 3
SELECT count(*) FROM claims.claims_enriched WHERE date_trunc('month', reported_at) = TIMESTAMPTZ '2026-03-01'
SELECT count(*) FROM claims.claims_enriched WHERE reported_at::date BETWEEN '2026-01-01' AND '2026-03-31'
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 02:00+00'::text
SELECT TIMESTAMPTZ '2024-07-01 02:00+00'::text
SELECT TIMESTAMP '2024-07-01 02:00'::text
SELECT TIMESTAMP '2024-07-01 02:00:00.5'::text
SELECT DATE '2024-07-01'::text
SELECT TIME '02:00'::text
SELECT INTERVAL '1 day 02:00'::text
SELECT INTERVAL '1 mon -3 days 04:05:06.7'::text
SELECT true::text
SELECT 1.50::text
SELECT 'x' || TIMESTAMP '2024-07-01 02:00'
SELECT 'x' || DATE '2024-07-01'
SELECT 'x' || INTERVAL '1 day'
SELECT 'x' || true
SELECT concat('x', TIMESTAMP '2024-07-01 02:00', true, 1.5, DATE '2024-01-01')
SELECT ARRAY[1,2]::text
SELECT ARRAY['a','b c']::text
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 02:00+00'::date
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 02:00+00'::timestamp
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 02:00+00'::time
SET TimeZone='America/New_York'; SELECT TIMESTAMP '2024-07-01 02:00'::timestamptz
SET TimeZone='America/New_York'; SELECT DATE '2024-07-01'::timestamptz
SET TimeZone='America/New_York'; SELECT DATE '2024-07-01' = TIMESTAMPTZ '2024-07-01 04:00+00'
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 04:00+00' >= '2024-07-01'
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 04:00+00' BETWEEN '2024-07-01' AND '2024-07-01 00:30'
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-01 04:00+00' IN ('2024-07-01')
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-03-09 12:00+00' + INTERVAL '1 day'
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-03-09 12:00+00' + INTERVAL '24 hours'
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-03-31 12:00+00' - INTERVAL '1 month 1 hour'
SET TimeZone='America/New_York'; SELECT current_date = (now() AT TIME ZONE 'America/New_York')::date
SET TimeZone='Pacific/Kiritimati'; SELECT current_date - (now() AT TIME ZONE 'UTC')::date >= 0, current_date = (now() AT TIME ZONE 'Pacific/Kiritimati')::date
SET TimeZone='Pacific/Kiritimati'; SELECT localtimestamp = (now() AT TIME ZONE 'Pacific/Kiritimati')
SET TimeZone='America/New_York'; SELECT date_trunc('day', TIMESTAMPTZ '2024-07-01 02:00+00')
SET TimeZone='America/New_York'; SELECT to_char(TIMESTAMPTZ '2024-07-01 02:00+00', 'YYYY-MM-DD HH24:MI TZ')
SET TimeZone='America/New_York'; SELECT extract(day FROM TIMESTAMPTZ '2024-07-01 02:00+00')
SET TimeZone='America/New_York'; SELECT min(t)::date FROM (VALUES (TIMESTAMPTZ '2024-07-01 02:00+00')) v(t) GROUP BY t::date
SET TimeZone='America/New_York'; SELECT CASE WHEN TIMESTAMPTZ '2024-07-01 02:00+00' < DATE '2024-07-01' THEN 'a' ELSE 'b' END
SET TimeZone='America/New_York'; SELECT TIMESTAMPTZ '2024-07-02 02:00+00' - TIMESTAMPTZ '2024-07-01 02:00+00', TIMESTAMPTZ '2024-07-02 02:00+00' - DATE '2024-07-01'
SET TimeZone='America/New_York'; SELECT coalesce(NULL::timestamptz, TIMESTAMP '2024-07-01 02:00')
SELECT INTERVAL '1 day' = INTERVAL '24 hours'
SELECT INTERVAL '1 month' > INTERVAL '29 days'
SELECT INTERVAL '40 days' > INTERVAL '1 month'
SELECT i FROM (VALUES (INTERVAL '1 month'), (INTERVAL '40 days'), (INTERVAL '1 hour')) v(i) ORDER BY i
SELECT 1.0::float8 / 0
SELECT 1 / 0.0::float8
SELECT 'NaN'::float8 / 0
SELECT 5 % 0.0
SELECT 5.5 % 0
SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) v(x)
SELECT sum(x) OVER () FROM (VALUES (9223372036854775807), (1)) v(x)
SELECT sum(x)/2 FROM (VALUES (3::int)) v(x)
SELECT sum(x)/2 FROM (VALUES (3::bigint)) v(x)
SELECT sum(CASE WHEN true THEN 1 ELSE 0 END)/2
SELECT 2147483647 + 1
SELECT 65536 * 65536
SELECT -2147483648
SELECT 2147483648 + 1
SELECT ARRAY[1,2,3]
SELECT 3 = ANY(ARRAY[1,2,3])
SELECT array_position(ARRAY[1,2,3], 2), (ARRAY[10,20])[2], cardinality(ARRAY[1,2])
SELECT '[1,2,3]'::json -> 1, '{"a":[1,2]}'::jsonb -> 'a' ->> 0
SELECT ntile(2) OVER (ORDER BY x), lag(x, 1, 0) OVER (ORDER BY x), nth_value(x, 2) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM (VALUES (1),(2),(3)) v(x)
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT sum(n) FROM t
SELECT count(*) FROM generate_series(1, 10)
SELECT round(2.567, 2), round(-15, -1), round(1234.5, -2), trunc(2.567, 1)
SELECT 2 ^ 10, power(2, 3), 7 / 2, 7 % 3, -7 / 2
SELECT DATE '2024-01-01' + 7, DATE '2024-01-08' - 7
SELECT avg(amount) FROM claims.claims_enriched
SELECT avg(x), avg(DISTINCT x) FROM (VALUES (1::bigint),(2),(2)) v(x)
SELECT avg(x::int) FROM (VALUES (1),(2),(2)) v(x)
SELECT avg(x::numeric) FROM (VALUES (1),(2),(2)) v(x)
SELECT avg(x::float8) FROM (VALUES (1),(2),(2)) v(x)
SELECT x, avg(y) OVER (PARTITION BY x ORDER BY y ROWS 1 PRECEDING) FROM (VALUES (1,2),(1,3),(2,9)) v(x,y) ORDER BY 1, 2
SELECT substr('abc', 2), left('abc', 2), repeat('a', 3), lpad('a', 3, 'x'), split_part('a,b', ',', 2), chr(65)
SELECT to_timestamp(1700000000)
SELECT make_date(2024, 1, 5), make_timestamp(2024, 1, 5, 10, 11, 12.5)
SELECT CASE 1 WHEN 1 THEN 'a' END, nullif(1, 1), coalesce(NULL, 5), greatest(1, 2.5)
SELECT 1::bigint + 2147483647
SELECT abs(-5), sign(-5), mod(7, 3)
SELECT x, count(*) FROM (VALUES (1),(1),(2)) v(x) GROUP BY 1 ORDER BY 1
SELECT DISTINCT ON (1) x, y FROM (VALUES (1,2),(1,3)) v(x,y) ORDER BY 1, 2
SELECT 5 & 3, 5 | 3, 5 # 3, 1 << 3, ~5
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM (VALUES (1),(2)) v(x)
SELECT GROUPING(x), x, sum(y) FROM (VALUES (1,2),(2,3)) v(x,y) GROUP BY ROLLUP (1) ORDER BY 2
SELECT claim_id = ANY(ARRAY[500000001,2]) FROM claims.claims_enriched ORDER BY claim_id LIMIT 1
SELECT '1.50'::numeric, 5::numeric, amount::numeric FROM claims.claims_enriched ORDER BY claim_id LIMIT 2
SELECT sum(claim_id) FROM claims.claims_enriched
SELECT age(TIMESTAMP '2001-04-10', TIMESTAMP '1957-06-13')
SELECT age(DATE '2024-03-31', DATE '2024-02-29'), age(DATE '2024-02-29', DATE '2024-03-31')
SELECT age(TIMESTAMP '2024-03-05 14:07:09.5', TIMESTAMP '2023-12-31 23:59:59.75')
SELECT age(TIMESTAMPTZ '2024-03-05 14:07:09+02', TIMESTAMPTZ '2023-12-31 23:59:59+00')
SELECT age(incident_date::timestamp, DATE '2020-01-31') FROM claims.claims_enriched ORDER BY claim_id LIMIT 20
SELECT age(reported_at, incident_date) FROM claims.claims_enriched ORDER BY claim_id LIMIT 20
SELECT date_part('year', age(TIMESTAMP '2024-03-05', TIMESTAMP '1990-07-01')), extract(month FROM age(DATE '2024-03-05', DATE '1990-07-01'))
SELECT date_part('year', age(incident_date, DATE '2000-02-29')) FROM claims.claims_enriched ORDER BY claim_id LIMIT 5
SELECT justify_days(INTERVAL '35 days'), justify_hours(INTERVAL '27 hours'), justify_interval(INTERVAL '1 mon -1 hour')
SELECT justify_days(INTERVAL '-35 days 5 hours'), justify_hours(INTERVAL '-27 hours -3 days'), justify_interval(INTERVAL '400 days 30 hours')
SELECT justify_interval(INTERVAL '-1 mon 31 days -25 hours'), justify_days(INTERVAL '1 month -40 days'), justify_hours(INTERVAL '1 day -30 hours')
SELECT justify_hours(reported_at - TIMESTAMPTZ '2024-01-01 00:00+00') IS NOT NULL FROM claims.claims_enriched LIMIT 2
SELECT format('Hello %s', 'World'), format('%s %s %%', 1, 2.5), format('%I.%I', 'a b', 'tab'), format('%L', 'it''s'), format('%L', NULL), format('%s|', NULL)
SELECT format('%2$s %1$s', 'a', 'b'), format('|%10s|%-10s|', 'x', 'y'), format('|%*s|', 5, 'a'), format('|%-*s|', 5, 'a'), format('|%2$*1$s|', 4, 'z')
SELECT format('%s'), format('plain')
SELECT format('%I', NULL)
SELECT format('%d', 1)
SELECT format('%')
SELECT format('%3$s', 1, 2)
SELECT format('%0$s', 1)
SELECT format('%s-%s', kind, claim_id) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT format('%s %s', true, DATE '2024-01-01'), format('%s', ARRAY[1,2]), format('%s', 1.50), format('%s', 1e10::float8), format('%s', TIMESTAMP '2024-01-01 10:00')
SELECT format(NULL, 1), format('%-5s|', 'ab'), format('%1$s %s %s', 'a', 'b', 'c'), format('%I', 'select'), format('%I', 'Abc'), format('%L', 'a\b')
SELECT width_bucket(5.35, 0.024, 10.06, 5), width_bucket(5.35::float8, 0.024, 10.06, 5), width_bucket(-1, 0, 10, 5), width_bucket(10, 0, 10, 5), width_bucket(3, 10, 0, 5)
SELECT width_bucket(amount, 0, 10000, 10) FROM claims.claims_enriched ORDER BY claim_id LIMIT 20
SELECT width_bucket(amount, 0, 10000, 10) AS b, count(*) FROM claims.claims_enriched GROUP BY 1 ORDER BY 1
SELECT width_bucket(1, 0, 10, 0)
SELECT width_bucket(1, 5, 5, 3)
SELECT width_bucket('NaN'::float8, 0, 1, 3)
SELECT width_bucket(5, ARRAY[1, 3, 4, 6]), width_bucket(0.5, ARRAY[1.0, 3.0]), width_bucket(DATE '2024-05-05', ARRAY[DATE '2024-01-01', DATE '2024-06-01'])
SELECT width_bucket(7, ARRAY[1, 3, 4, 6]), width_bucket(1, ARRAY[1, 3, 4, 6])
SELECT div(9, 4), div(-9, 4), div(9.5, 4), div(-7.5, 2.25)
SELECT div(1, 0)
SELECT div(amount, 7) FROM claims.claims_enriched ORDER BY claim_id LIMIT 5
SELECT regexp_split_to_array('hello world', '\s+'), regexp_split_to_array('hello', ''), regexp_split_to_array('aXbXc', 'x', 'i'), regexp_split_to_array('', ','), regexp_split_to_array('abc', 'z')
SELECT regexp_split_to_array(',a,b,', ','), regexp_split_to_array('a1b22c', '[0-9]+')
SELECT regexp_substr('foobar', 'o.'), regexp_substr('foobar', 'o', 3), regexp_substr('foobarfoo', 'o+', 1, 2), regexp_substr('ABC', 'b', 1, 1, 'i'), regexp_substr('foobar', 'o(.)(.)', 1, 1, '', 2)
SELECT regexp_substr(kind, '[aeiou]+') FROM claims.claims_enriched ORDER BY claim_id LIMIT 5
SELECT regexp_instr('foobar', 'o'), regexp_instr('foobar', 'o', 3), regexp_instr('foobarfoo', 'o', 1, 3), regexp_instr('foobar', 'o', 1, 1, 1), regexp_instr('foobar', 'z'), regexp_instr('ABC', 'b', 1, 1, 0, 'i')
SELECT json_agg(x ORDER BY x) FROM (VALUES (1), (2), (NULL)) t(x)
SELECT json_agg(kind ORDER BY kind), jsonb_agg(kind ORDER BY kind) FROM (SELECT DISTINCT kind FROM claims.claims_enriched) k
SELECT json_agg(x) FROM (SELECT 1 AS x WHERE false) t
SELECT json_agg(amount ORDER BY claim_id), json_agg(incident_date ORDER BY claim_id) FROM (SELECT * FROM claims.claims_enriched ORDER BY claim_id LIMIT 5) t
SELECT jsonb_agg(amount ORDER BY claim_id) FILTER (WHERE claim_id > 2) FROM (SELECT * FROM claims.claims_enriched ORDER BY claim_id LIMIT 5) t
SELECT json_object_agg(k, v) FROM (VALUES ('a', 1), ('b', NULL)) t(k, v)
SELECT jsonb_object_agg(k, v) FROM (VALUES ('b', 1), ('aa', 2), ('b', 3)) t(k, v)
SELECT json_object_agg(NULL, 1)
SELECT json_object_agg(kind, n ORDER BY kind) FROM (SELECT kind, count(*) AS n FROM claims.claims_enriched GROUP BY kind) k
SELECT json_build_object('a', 1, 'b', 'x', 'c', NULL, 'd', true, 'e', 1.50), jsonb_build_object('b', 1, 'a', ARRAY[1,2])
SELECT json_build_object('d', DATE '2024-01-01', 't', TIMESTAMP '2024-01-01 10:00:00.5', 'z', TIMESTAMPTZ '2024-01-01 10:00+00', 'i', INTERVAL '1 day')
SELECT json_build_array(1, 'a', NULL, true, 2.5), jsonb_build_array(1, 'a', NULL), json_build_array()
SELECT json_build_object('kind', kind, 'amount', amount) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT to_json('a"b'::text), to_json(1), to_json(1.5), to_json(true), to_json(NULL::int), to_json(DATE '2024-01-01'), to_jsonb('x'::text), to_json(ARRAY[1, NULL]), to_jsonb(ARRAY['a','b'])
SELECT to_json(1.0::float8), to_json('NaN'::float8), to_json(1e20::float8), to_json('a/b	c\d é'::text)
SELECT json_agg(json_build_object('k', kind, 'n', claim_id) ORDER BY claim_id) FROM (SELECT claim_id, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 2) t
SELECT json_typeof('1'), json_typeof('"a"'), json_typeof('null'), json_typeof('[1]'), json_typeof('{}'), jsonb_typeof('true'), jsonb_typeof(NULL)
SELECT json_typeof('nope')
SELECT json_array_length('{}')
SELECT '{"b":1,"a":2}'::jsonb, '{"a": 1.0, "a":2}'::jsonb
SELECT pg_typeof(claim_id), pg_typeof(kind), pg_typeof(amount), pg_typeof(incident_date), pg_typeof(reported_at) FROM claims.claims_enriched LIMIT 1
SELECT pg_typeof('{}'::json), pg_typeof('{}'::jsonb), pg_typeof(ARRAY['a'])
SELECT trim(BOTH 'x' FROM 'xxaxx'), trim(LEADING 'x' FROM 'xxaxx'), trim(TRAILING 'x' FROM 'xxaxx'), trim(BOTH FROM '  a '), trim('  a '), trim(LEADING FROM '  a'), trim('xxaxx', 'x'), trim(FROM ' a ')
SELECT 1 BETWEEN SYMMETRIC 2 AND 1, 1 BETWEEN SYMMETRIC 1 AND 2, 3 NOT BETWEEN SYMMETRIC 2 AND 1, NULL BETWEEN SYMMETRIC 1 AND 2, 5 BETWEEN ASYMMETRIC 1 AND 9
SELECT claim_id FROM claims.claims_enriched WHERE claim_id BETWEEN SYMMETRIC 5 AND 2 ORDER BY 1
SELECT ln(0)
SELECT ln(0::float8)
SELECT ln(-1)
SELECT log(0)
SELECT log(-1)
SELECT log(2, 0)
SELECT log10(0)
SELECT sqrt(-1)
SELECT sqrt(-1::float8)
SELECT power(0, -1)
SELECT power(-1, 0.5)
SELECT power(0::float8, -1::float8)
SELECT power(-8::float8, 0.5::float8)
SELECT exp(1000::float8)
SELECT power(10::float8, 400::float8)
SELECT asin(2)
SELECT acos(2)
SELECT * FROM unnest(ARRAY[1, 2, 3])
SELECT u FROM unnest(ARRAY['a', 'b']) AS u
SELECT starts_with('foobar', 'foo'), 'foobar' ^@ 'foo', starts_with(NULL, 'a')
SELECT scale(amount), min_scale(amount) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT encode('abc'::bytea, 'hex'), encode('abc'::bytea, 'base64'), encode('abc'::bytea, 'escape'), decode('YWJj', 'base64'), decode('616263', 'hex'), decode('abc', 'escape'), encode(sha256('x'), 'hex')
SELECT decode('zz', 'hex')
SELECT encode('abc'::bytea, 'nope')
SELECT chr(0)
SELECT concat('a', NULL, 1, true), concat_ws(',', 'a', NULL, 'b'), concat_ws(NULL, 'a'), length('é'), char_length('abc'), octet_length('é'), bit_length('a')
SELECT kind, json_agg(claim_id ORDER BY claim_id) FROM claims.claims_enriched WHERE claim_id < 500000020 GROUP BY kind ORDER BY kind
SELECT to_json(now()) IS NOT NULL, json_build_object('x', json_build_object('y', ARRAY['a']))
SELECT jsonb_build_object('x', '{"b":1,"a":[1, 2]}'::json, 'y', 1.50)
SELECT (json_build_object('a', 5) ->> 'a')::int + 1, json_build_object('a', json_build_array(1)) -> 'a' -> 0
SELECT row_to_json(row(1, 'a')), row_to_json(t) FROM (SELECT 1 AS a, 'x' AS b) t
SELECT row_to_json(t) FROM (SELECT claim_id, kind, amount FROM claims.claims_enriched ORDER BY claim_id LIMIT 2) t
SELECT json_agg(t) FROM (SELECT claim_id, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 2) t
SELECT json_agg(row_to_json(t)) FROM (SELECT claim_id, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 2) t
SELECT to_jsonb(t) FROM (SELECT 1 AS aa, 'x' AS b) t
SELECT t.kind, json_agg(t ORDER BY t.claim_id) FROM (SELECT claim_id, kind, reported_at FROM claims.claims_enriched ORDER BY claim_id LIMIT 9) t GROUP BY t.kind ORDER BY 1
SELECT json_build_object('claim', c, 'model', f.model) FROM (SELECT claim_id, amount FROM claims.claims_enriched) c JOIN claims.fraud_signals f ON f.claim_id = c.claim_id ORDER BY f.signal_id LIMIT 3
SELECT make_interval(days => 10), make_interval(years => 1, months => 2), make_interval(secs => 1.5), make_interval(hours => 5, mins => 30), make_interval(weeks => 2)
SELECT make_interval(1, 2, 3, 4), make_interval(days := 3)
SELECT make_date(2024, 3, 5), make_date(year => 2024, month => 3, day => 5), make_time(10, 30, 1.5), make_timestamp(2024, 3, 5, 14, 7, 9.5)
SELECT DATE '2024-01-15' - INTERVAL '1 month' * 2, TIMESTAMP '2024-01-01' + make_interval(days => 3), DATE '2024-01-01' + make_interval(months => 1)
SELECT make_interval(nope => 1)
SELECT localtimestamp(0) <= localtimestamp + INTERVAL '1 second', extract(second FROM localtimestamp(0))::numeric % 1 = 0, current_timestamp(3) IS NOT NULL
SELECT array_agg(row_to_json(t)) FROM (SELECT 1 AS a) t
SELECT 'a' ~ '('
SELECT kind ~* '[' FROM claims.claims_enriched
SELECT regexp_replace(kind, '(', '') FROM claims.claims_enriched
SELECT concat(kind, reported_at::date, amount, NULL, amount > 100) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT to_json(reported_at), to_json(incident_date), format('%s|%s', reported_at, amount) FROM claims.claims_enriched ORDER BY claim_id LIMIT 3
SELECT json_agg(DISTINCT kind) IS NOT NULL FROM claims.claims_enriched
SELECT json_array_length(json_agg(claim_id)), jsonb_typeof(jsonb_agg(claim_id)) FROM claims.claims_enriched
SELECT jsonb_build_object('k', json_agg(kind ORDER BY claim_id)) FROM (SELECT * FROM claims.claims_enriched ORDER BY claim_id LIMIT 3) t
SELECT count(*) FROM (SELECT kind FROM claims.claims_enriched GROUP BY kind HAVING json_array_length(json_agg(1)) > 1) t
SELECT age(reported_at) < INTERVAL '100 years', justify_interval(reported_at - incident_date::timestamptz) IS NOT NULL FROM claims.claims_enriched LIMIT 1
SELECT CASE WHEN amount > 0 THEN round(ln(amount::float8)::numeric, 6) END FROM claims.claims_enriched ORDER BY claim_id LIMIT 5
SELECT array_length(ARRAY[]::int[], 1), coalesce(array_length(ARRAY[1,2], 1), 0), array_upper(ARRAY[1,2], 1)
SELECT 1>-5, 2<>-2, 3>=-3, 3<=+4, 5-+2, 7*-1, 2<-1
SELECT count(*) FROM claims.claims_enriched WHERE amount>-1 AND amount<>-2
SELECT '{1,2}'::int[], ('{3,4}'::bigint[])[1] + 1, 2 = ANY ('{1,2}'::int[]), '{2024-02-29}'::date[], '{a,NULL}'::text[]
SELECT pg_typeof('{1.5}'::numeric[]), pg_typeof('{1}'::smallint[]), pg_typeof('{t}'::boolean[])
SELECT kind FROM claims.claims_enriched WHERE kind LIKE ANY (ARRAY['f%', '%t']) OR kind ILIKE ANY ('{MED%}') ORDER BY claim_id LIMIT 20
SELECT 'abc' LIKE ANY (ARRAY['x', NULL]), 'abc' LIKE ANY (ARRAY['x', NULL, 'a%']), 'abc' NOT LIKE ANY (ARRAY['a%', 'b%']), NOT 'abc' LIKE ANY (ARRAY['a%']) AND true
SELECT regexp_split_to_table('a, b,c', ',\s*')
SELECT w, count(*) FROM claims.claims_enriched, regexp_split_to_table('x-y', '-') AS w GROUP BY w ORDER BY w
SELECT upper(string_to_table) FROM string_to_table('a|b', '|')
SELECT - -2^2, - - 2 ^ 2, -+2^2, 5 - - -2^2
SELECT ROW(1, NULL::int) = ROW(1, NULL::int), ROW(NULL::int, NULL::int) IS NULL, ROW(1, 2) <> ROW(1, NULL::int), ROW(1, 2) < (1, 3), ROW(1, 2) IN (ROW(1, 2), (3, 4))
SELECT DISTINCT relkind::text, relkind::text = 'r' FROM pg_class WHERE relkind = 'r'
SELECT -2^2, 5 - -2^2, -(2^2), -2^2^3, - 2 * 3
SELECT i FROM (VALUES (1, 'a', 'b'), (2, 'a', NULL), (3, NULL, 'b'), (4, NULL, NULL)) v(i, x, y) WHERE (x, y) = ('a', NULL) OR (x, y) <> ('a', 'b') ORDER BY i
SELECT i, (x, y) < ('a', 'c'), (x, y) >= ('a', 'b'), (x, y) > (NULL, 'b'), (y, x) <= ('b', 'a') FROM (VALUES (1, 'a', 'b'), (2, 'a', NULL), (3, NULL, 'b'), (4, NULL, NULL)) v(i, x, y) ORDER BY i
SELECT i, (x, y) IN (('a', 'b'), ('a', NULL)), (x, y) NOT IN (('a', 'c')), (x, y) IS NULL, (x, y) IS NOT NULL FROM (VALUES (1, 'a', 'b'), (2, 'a', NULL), (3, NULL, 'b'), (4, NULL, NULL)) v(i, x, y) ORDER BY i
SELECT claim_id, kind FROM claims.claims_enriched WHERE (kind, claim_id) > ('fire', 500000100) ORDER BY kind, claim_id LIMIT 3
SELECT count(*) FROM claims.claims_enriched c JOIN claims.claims_enriched d ON (c.claim_id, c.kind) = (d.claim_id, d.kind)
SELECT (1, 2) = (1, 2, 3)
SELECT '00112233-4455-6677-8899-AABBCCDDEEFF'::uuid = '{00112233445566778899aabbccddeeff}', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::text::uuid::text
SELECT pg_typeof(1::oid::text), pg_typeof('{}'::json::text), pg_typeof(1::oid::bigint), pg_typeof('00112233-4455-6677-8899-aabbccddeeff'::uuid::text)
SELECT kind::uuid FROM claims.claims_enriched
SELECT lpad('abc', -1), rpad('äbc', n), lpad('abc', n, 'xy') FROM (VALUES (-1), (2), (6), (NULL)) v(n)
SELECT generate_series(1, 3)
SELECT generate_series(1 + 1, 2 * 2), pg_typeof(1)
SELECT pg_typeof(generate_series(1, 1)), pg_typeof(7)
SELECT generate_series(1, 3) WHERE generate_series = 2
SELECT generate_series(1, 2) FROM (VALUES (7), (8)) v(generate_series) WHERE generate_series = 8
SELECT a, generate_series(1, 3) AS g FROM (VALUES (2), (1), (3)) v(a) ORDER BY a LIMIT 4
SELECT a, generate_series(3, 1, -1) AS g FROM (VALUES (2), (1), (3)) v(a) ORDER BY a LIMIT 4
SELECT coalesce(generate_series(1, 3), 0)
SELECT count(*), sum(g) FROM generate_series(1, 100000) g
SELECT kind, generate_series(-1, 1) FROM (SELECT DISTINCT kind FROM claims.claims_enriched) k ORDER BY kind
SELECT generate_series(DATE '2024-01-01', DATE '2024-03-01', INTERVAL '1 month')::date AS month
SELECT kind, generate_series(1, 2) * 10 AS n FROM (SELECT DISTINCT kind FROM claims.claims_enriched) k ORDER BY 1, 2
SELECT to_char(generate_series(TIMESTAMP '2024-01-01', '2024-01-03', '1 day'), 'YYYY-MM-DD') LIMIT 2
SELECT k.*, generate_series(1, 2) FROM (SELECT DISTINCT status FROM claims.claims_enriched) k WHERE status > 'c' ORDER BY 1, 2
SELECT count(*) FROM (SELECT generate_series(1, 3) g) s JOIN (VALUES (2), (3)) v(i) ON v.i = s.g
SELECT 'a' 'b'
SELECT 1 AS 'b'
SELECT 1 'b'
SELECT round(x), round(-x) FROM (VALUES (0.5::float8), (1.5::float8), (2.5::float8), (-0.4::float8)) t(x)
""".strip().splitlines()

# Where the gateway answers otherwise, and how. One that no longer does belongs above.
OTHERWISE = {
    "SELECT 1.0 / 3": "a quotient of numerics has sixteen decimals, and PostgreSQL's as many as its size asks for",
    "SELECT avg(claim_id) FROM claims.claims_enriched": "an average has sixteen decimals, and PostgreSQL's as many as its size asks for",
    "SELECT extract(second FROM TIMESTAMP '2024-03-05 14:07:09.5')": "extract is a double precision, and writes no trailing zeros",
    "SELECT max(i) FROM (VALUES (INTERVAL '1 month'), (INTERVAL '40 days')) v(i)": "min and max of intervals go by their months first",
    "SELECT sum(x), sum(x::float8) FROM (VALUES (1)) v(x)": "one aggregate of two casts of a column needs an alias in a sub-query (42702)",
    "SELECT 1e308::float8 * 10": "a double that grows too large is Infinity",
    "SELECT coalesce(sum(amount), 0) FROM claims.claims_enriched WHERE false": "a whole number beside a numeric takes its scale",
    "SELECT row(1, 'a')": "a record is JSON",
    "SELECT 'abc'::char(5)": "char(n) is not padded",
    "SELECT 'infinity'::timestamp": "no infinite dates (22007)",
    "SELECT regr_slope(y, x) FROM (VALUES (1::float8, 2::float8), (2, 4), (3, 7)) t(x, y)": "regr_* differ in their last digits",
    "SELECT trim_scale(1.50), array_dims(ARRAY[1])": "there is no trim_scale, and array_dims has the engine's form",
    "SELECT generate_series(1, 2), generate_series(1, 3)": "of functions that give several rows there are generate_series, unnest, regexp_split_to_table and string_to_table; in a SELECT list stands one generate_series, over constants",
    "SELECT amount > ALL (SELECT 1) FROM claims.claims_enriched": "ALL and ANY of a sub-query stand in conditions only (0A000)",
}


def first_difference(one: str, other: str) -> str:
    pairs = zip(one.splitlines() + [""], other.splitlines() + [""])
    return next((f"\n    gateway:    {a}\n    PostgreSQL: {b}" for a, b in pairs if a != b), "")


def both(query: str) -> tuple[str, str]:
    """What the gateway and PostgreSQL print, with the columns' names."""
    text = f"\\t off\n{query};"
    return gateway(USER, text), server.psql(text)


with Server() as server:
    server.load(USER, TABLES)
    differ = []
    for query in QUERIES:
        ours, theirs = both(query)
        if ours != theirs:
            differ.append(f"  {query}{first_difference(ours, theirs)}")
    check(not differ, "these answer as PostgreSQL does:\n" + "\n".join(differ))
    alike = [query for query in OTHERWISE if (pair := both(query)) and pair[0] == pair[1]]
    check(not alike, f"these answer otherwise than PostgreSQL does: {alike}")
    passed("psql, against PostgreSQL", server.version(), f"{len(QUERIES)} queries over five products, as BI tools write them too: the same text, column names and SQLSTATEs from both", cannot="; ".join(OTHERWISE.values()))
