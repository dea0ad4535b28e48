"""postgres_fdw: a PostgreSQL that has the gateway's products as foreign tables, and joins them with tables of its own."""

from mesh import PASSWORD, POSTGRES, check, passed, same
from postgres import Server, gateway

host, port = POSTGRES.split(":")

with Server() as server:
    server.psql(
        f"""
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER mesh FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', port '{port}', dbname 'mesh', fetch_size '100');
        CREATE USER MAPPING FOR postgres SERVER mesh OPTIONS (user 'claims_engineer', password '{PASSWORD}');
        CREATE SCHEMA claims;
        """
    )
    said = server.psql("IMPORT FOREIGN SCHEMA claims FROM SERVER mesh INTO claims")
    same(said, "", "a schema is imported")
    same(server.psql("SELECT count(*) FROM information_schema.foreign_tables WHERE foreign_table_schema = 'claims'").strip(), "2", "with its tables")
    types = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'claims.claims_enriched'::regclass AND attnum > 0 ORDER BY attnum"
    same(server.psql(types), gateway("claims_engineer", types), "and their columns' types")
    for query in [
        "SELECT * FROM claims.claims_enriched ORDER BY claim_id",
        "SELECT kind, count(*), sum(amount) FROM claims.claims_enriched GROUP BY kind ORDER BY kind",
        "SELECT c.claim_id, f.score FROM claims.claims_enriched c JOIN claims.fraud_signals f USING (claim_id) ORDER BY 1, 2",
        "SELECT claim_id FROM claims.claims_enriched WHERE reserve IS NULL AND kind LIKE 'f%' AND incident_date > '2024-01-01' ORDER BY 1",
        "SELECT claim_id FROM claims.claims_enriched ORDER BY amount DESC, claim_id LIMIT 7",
    ]:
        same(server.psql(query), gateway("claims_engineer", query), f"the same rows come through a foreign table: {query}")
    server.psql("CREATE TABLE watched AS SELECT claim_id, 'mine' AS note FROM claims.claims_enriched ORDER BY claim_id LIMIT 5")
    same(server.psql("SELECT count(*) FROM watched JOIN claims.claims_enriched USING (claim_id)").strip(), "5", "a table of its own joins")
    check(server.psql("DELETE FROM claims.claims_enriched").startswith("ERROR 25006"), f"a write is refused: {server.psql('DELETE FROM claims.claims_enriched')}")
    check("ERROR 42501" in server.psql("CREATE FOREIGN TABLE ledger (entry_id bigint) SERVER mesh OPTIONS (schema_name 'marketing', table_name 'marketing_segments'); SELECT * FROM ledger"), "not entitled is 42501")
    passed("postgres_fdw", server.version(), "IMPORT FOREIGN SCHEMA, pushed down filters, joins and aggregates, fetch_size, joins with local tables", cannot="INSERT, UPDATE, DELETE: writes; ANALYZE: the gateway tells no sizes; use_remote_estimate: its EXPLAIN tells no costs")
