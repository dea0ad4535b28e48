"""ADBC for PostgreSQL: results through COPY in binary, parameters, listings, and what each reader sees."""

import importlib.metadata

import adbc_driver_postgresql.dbapi as postgresql

from mesh import FRAUD, check, check_fraud, check_personas, passed, postgres_uri, same


def rows(user: str, sql: str) -> list:
    with postgresql.connect(postgres_uri(user)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def refusal(user: str, sql: str) -> str:
    try:
        rows(user, sql)
    except postgresql.Error as error:
        return str(error)
    raise SystemExit(f"not kept: {sql} is refused to {user}")


# The driver shows an error's first line only.
text = refusal("newcomer", "SELECT * FROM customer.customer_master")
check("permission denied" in text, f"the newcomer is refused: {text}")
check_personas(rows, lambda user, sql: refusal(user, sql) + ("" if "HINT" in refusal(user, sql) else "\nHINT: not shown by this driver"))
check_fraud(rows("claims_engineer", FRAUD.replace("c.amount,", "c.amount::double precision,")))

with postgresql.connect(postgres_uri("claims_engineer")) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT claim_id, kind, amount, incident_date, reported_at FROM claims.claims_enriched ORDER BY claim_id")
        table = cursor.fetch_arrow_table()
        check(table.num_rows > 100, "a result is an Arrow table")
        cursor.execute("SELECT claim_id FROM claims.claims_enriched WHERE claim_id = $1 AND kind = $2", (table["claim_id"][0].as_py(), table["kind"][0].as_py()))
        same(cursor.fetchall(), [(table["claim_id"][0].as_py(),)], "a row is found by the values that it was read with")
        cursor.execute("SELECT count(*) FROM claims.claims_enriched")
        same(cursor.fetchall(), [(table.num_rows,)], "and all of them are there")
        cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
        cursor.execute("SELECT claim_id FROM claims.claims_enriched ORDER BY claim_id")
        same(cursor.fetch_arrow_table()["claim_id"], table["claim_id"], "without COPY the result is the same")
    objects = connection.adbc_get_objects(depth="columns", db_schema_filter="claims").read_all().to_pylist()
    listed = {
        table["table_name"]: [column["column_name"] for column in table["table_columns"]]
        for catalog in objects
        for schema in catalog["catalog_db_schemas"] or []
        for table in schema["db_schema_tables"] or []
    }
    check(listed.get("claims_enriched", [])[:2] == ["claim_id", "policy_id"], f"tables and columns are listed: {sorted(listed)}")
    check(connection.adbc_get_table_schema("claims_enriched", db_schema_filter="claims").field("claim_id").type == "int64", "a table's schema is read")
passed("ADBC for PostgreSQL", importlib.metadata.version("adbc-driver-postgresql"), "COPY in binary, parameters, catalog listings", cannot="adbc_ingest: a write")
