"""ADBC for Flight SQL: login, statements, prepared statements, listings, sessions, cancelling, and what each reader sees."""

import importlib.metadata
import threading
import time
import warnings

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow

from mesh import FRAUD, PASSWORD, check, check_fraud, check_personas, flight_uri, passed, same

warnings.filterwarnings("ignore", message="Cannot disable autocommit")


def connect(user: str, password: str = PASSWORD):
    return flightsql.connect(flight_uri(), db_kwargs={"username": user, "password": password})


def rows(user: str, sql: str) -> list:
    with connect(user) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def refusal(user: str, sql: str) -> str:
    try:
        rows(user, sql)
    except flightsql.Error as error:
        return str(error)
    raise SystemExit(f"not kept: {sql} is refused to {user}")


check_personas(rows, refusal)
check("SQLSTATE 42501" in refusal("newcomer", "SELECT * FROM customer.customer_master"), "not entitled is 42501")
check_fraud(rows("claims_engineer", FRAUD))
for wrong in [("claims_engineer", "wrong"), ("nobody_at_all", PASSWORD)]:
    try:
        connect(*wrong)
        raise SystemExit(f"not kept: {wrong} cannot log in")
    except flightsql.Error as error:
        check("password authentication failed" in str(error), f"a failed login says so: {error}")

with connect("claims_engineer") as connection, connection.cursor() as cursor:
    cursor.execute("SELECT claim_id, kind, amount FROM claims.claims_enriched ORDER BY claim_id")
    table = cursor.fetch_arrow_table()
    check(table.num_rows > 100 and str(table.schema.field("amount").type) == "decimal128(12, 2)", "a result is an Arrow table")
    same(cursor.adbc_execute_schema("SELECT claim_id, kind, amount FROM claims.claims_enriched"), table.schema, "a query is described without running")

    # Parameters, also more than nine, and NULL.
    first = table.slice(0, 1).to_pylist()[0]
    cursor.execute("SELECT claim_id FROM claims.claims_enriched WHERE claim_id = $1 AND kind = $2", (first["claim_id"], first["kind"]))
    same(cursor.fetchall(), [(first["claim_id"],)], "a row is found by the values that it was read with")
    numbers = ", ".join(f"CAST(${n} AS BIGINT)" for n in range(1, 13))
    cursor.execute(f"SELECT {numbers}", tuple(range(1, 13)))
    same(cursor.fetchall(), [tuple(range(1, 13))], "twelve parameters keep their order")
    cursor.execute("SELECT CAST($1 AS BIGINT), CAST($2 AS VARCHAR)", (None, "ä'"))
    same(cursor.fetchall(), [(None, "ä'")], "NULL keeps its place")

    # A row of parameters for each execution, in one stream.
    claims = table.slice(0, 3).column("claim_id").to_pylist()
    for asked, answer in [(claims[::-1], claims[::-1]), ([claims[0], -1, claims[0]], [claims[0]] * 2), ([], [])]:
        cursor.adbc_prepare("SELECT claim_id FROM claims.claims_enriched WHERE claim_id = $1")
        cursor.adbc_statement.bind_stream(pyarrow.table({"$1": pyarrow.array(asked, pyarrow.int64())}).to_reader())
        stream, _ = cursor.adbc_statement.execute_query()
        found = pyarrow.RecordBatchReader._import_from_c(stream.address).read_all()
        same((found.schema.names, found.column(0).to_pylist()), (["claim_id"], answer), "each row of parameters is executed, in order")

    # Listings.
    objects = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
    listed = {
        f"{schema['db_schema_name']}.{table['table_name']}": [column["column_name"] for column in table["table_columns"]]
        for catalog in objects
        for schema in catalog["catalog_db_schemas"]
        for table in schema["db_schema_tables"]
    }
    check(listed["claims.claims_enriched"][:2] == ["claim_id", "policy_id"], "tables and columns are listed")
    check("finance.premium_ledger" not in listed, "what may not be read is not")
    check("TABLE" in connection.adbc_get_table_types(), "kinds of tables are listed")
    same(connection.adbc_get_info()["vendor_name"], "meshgate", "the server says who it is")
    check(connection.adbc_get_table_schema("claims_enriched", db_schema_filter="claims").field("claim_id").type == "int64", "a table's schema is read")

    # The first SET of a connection holds, too, although the driver forgets the first session that it is given.
    with connect("claims_engineer") as fresh:
        for statement in ["SET meshgate.purpose = 'audit'", "SHOW meshgate.purpose"]:
            with fresh.cursor() as asked:
                asked.execute(statement)
                told = asked.fetchall() if statement.startswith("SHOW") else None
    same(told, [("audit",)], "what is set first of all is not lost")

    # A session outlives a call: its schema and its settings.
    connection.adbc_current_db_schema = "customer"
    cursor.execute("SELECT count(*) FROM customer_master")
    check(cursor.fetchall()[0][0] > 0, "names resolve in the session's schema")
    cursor.execute("SET meshgate.purpose = 'fraud_investigation'")
    cursor.execute("SHOW meshgate.purpose")
    same(cursor.fetchall(), [("fraud_investigation",)], "a declared purpose stays declared")

    # Writes are refused, and the connection goes on.
    for write in ["DELETE FROM claims.claims_enriched", "CREATE TABLE claims.x (a int)"]:
        try:
            cursor.execute(write)
            raise SystemExit(f"not kept: {write} is refused")
        except flightsql.Error as error:
            check("25006" in str(error), f"writes are 25006: {error}")
    try:
        cursor.adbc_ingest("x", table, mode="create")
        raise SystemExit("not kept: ingestion is refused")
    except flightsql.Error as error:
        check("25006" in str(error) or "read only" in str(error), f"ingestion is refused as a write: {error}")

    # A query without end can be cancelled.
    started = time.monotonic()
    endless = ", ".join(f"claims.claims_enriched {name}" for name in "abcdefg")
    cursor.execute(f"SELECT count(*) FROM {endless}")
    threading.Timer(1.0, cursor.adbc_cancel).start()
    try:
        cursor.fetchall()
        raise SystemExit("not kept: a cancelled query fails")
    except flightsql.Error as error:
        check(time.monotonic() - started < 20, f"a cancelled query ends: {error}")
    same(rows("claims_engineer", "SELECT 1"), [(1,)], "and the door goes on")
passed("ADBC for Flight SQL", importlib.metadata.version("adbc-driver-flightsql"), "login, statements, twelve parameters, many rows of them, listings, sessions, cancel, codes", cannot="adbc_ingest: a write")
