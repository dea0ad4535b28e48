"""The same queries over the same rows: what psql prints for the gateway is what it prints for PostgreSQL, column names and errors included."""

from mesh import check, passed
from postgres import Server, gateway

USER = "claims_engineer"
TABLES = ["claims.claims_enriched", "claims.fraud_signals", "customer.customer_master", "policy.policies_active", "pricing.risk_factors"]

# One statement a line. Each gives the same text, or the same SQLSTATE.
QUERIES = """
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
""".strip().splitlines()

# Where the gateway answers otherwise, and how. One that no longer does belongs above.
OTHERWISE = {
    "SELECT count(*), count(*) FROM claims.claims_enriched": "the same expression twice in one SELECT list needs an alias (42601)",
    "SELECT claim_id::text FROM claims.claims_enriched ORDER BY claim_id": "a column and a cast of it, in a SELECT list or its ORDER BY, need an alias (42601)",
    "SELECT kind, count(*) FROM claims.claims_enriched GROUP BY kind ORDER BY count, kind": "ORDER BY and outer queries find a column without an alias by its place, not by its name (42703)",
    "SELECT EXISTS (SELECT 1 FROM claims.fraud_signals f WHERE f.claim_id = c.claim_id) FROM claims.claims_enriched c ORDER BY 1": "EXISTS stands in conditions only (0A000)",
    "SELECT kind SIMILAR TO 'f%' FROM claims.claims_enriched ORDER BY claim_id": "SIMILAR TO takes a regular expression that may match anywhere",
    "SELECT amount::int FROM claims.claims_enriched ORDER BY 1": "a cast of a numeric to an integer cuts, and does not round",
    "SELECT amount + 0.001 FROM claims.claims_enriched ORDER BY claim_id": "a literal with a point is a double precision",
    "SELECT floor(amount) FROM claims.claims_enriched ORDER BY claim_id": "floor and ceil of a numeric keep its scale",
    "SELECT DATE '2024-01-31' + INTERVAL '1 month'": "a date and an interval make a date",
    "SELECT INTERVAL '1 day 02:03:04'": "an interval's hours and minutes are written with their units (22P02)",
    "SELECT '2024-13-01'::date": "a date out of range is 22P02, not 22008",
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
    passed("psql, against PostgreSQL", server.version(), f"{len(QUERIES)} queries over five products: the same text, column names and SQLSTATEs from both", cannot="; ".join(OTHERWISE.values()))
