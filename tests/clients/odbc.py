"""psqlodbc through unixODBC and pyodbc: catalog functions, parameters, transactions, and errors with their codes."""

import datetime
import decimal
import glob
import subprocess

import pyodbc

from mesh import PASSWORD, POSTGRES, check, passed, same

DRIVER = next(iter(glob.glob("/usr/lib/*/odbc/psqlodbcw.so")), "PostgreSQL Unicode")
host, port = POSTGRES.split(":")


def connect(user: str, autocommit: bool = True, **options: str):
    extra = "".join(f";{name}={value}" for name, value in options.items())
    return pyodbc.connect(f"Driver={DRIVER};Server={host};Port={port};Database=mesh;Uid={user};Pwd={PASSWORD}{extra}", autocommit=autocommit)


def refused(work, code: str, promise: str) -> None:
    try:
        work()
    except pyodbc.Error as error:
        same(error.args[0], code, f"{promise}: {error.args[1]}")
        return
    raise SystemExit(f"not kept: {promise}")


for options in [{}, {"UseServerSidePrepare": "0"}, {"UseDeclareFetch": "1", "Fetch": "100"}]:
    connection = connect("claims_engineer", **options)
    cursor = connection.cursor()
    count = cursor.execute("SELECT count(*) FROM claims.claims_enriched").fetchval()
    check(count > 100, f"there are claims {options}")
    same(len(cursor.execute("SELECT claim_id FROM claims.claims_enriched").fetchall()), count, f"all rows are read {options}")
    one = cursor.execute("SELECT claim_id, amount, incident_date, reported_at, kind, reserve FROM claims.claims_enriched ORDER BY claim_id LIMIT 1").fetchone()
    check(isinstance(one.amount, decimal.Decimal) and isinstance(one.incident_date, datetime.date), f"types arrive as Python's own {options}")
    same([(column[0], column[4], column[5]) for column in cursor.description][1], ("amount", 12, 2), f"a numeric has its precision {options}")
    found = cursor.execute(
        "SELECT claim_id FROM claims.claims_enriched WHERE claim_id = ? AND amount = ? AND incident_date = ? AND kind = ?", one.claim_id, one.amount, one.incident_date, one.kind
    ).fetchall()
    same([tuple(row) for row in found], [(one.claim_id,)], f"a row is found by the values that it was read with {options}")
    same(tuple(cursor.execute("SELECT ?::int, ?::text, ?::numeric", None, "ä'", decimal.Decimal("1.50")).fetchone()), (None, "ä'", decimal.Decimal("1.50")), f"values go both ways {options}")
    refused(lambda: cursor.execute("SELECT nope FROM claims.claims_enriched"), "42703", f"an unknown column is told {options}")
    refused(lambda: cursor.execute("DELETE FROM claims.claims_enriched"), "25006", f"a write is refused {options}")
    connection.close()

connection = connect("claims_engineer")
cursor = connection.cursor()
tables = {(row.table_schem, row.table_name) for row in cursor.tables()}
check(("claims", "claims_enriched") in tables and ("customer", "customer_master") in tables, "tables are listed")
check(("finance", "premium_ledger") not in tables, "what may not be read is not")
columns = {row.column_name: row for row in cursor.columns(table="claims_enriched", schema="claims")}
same((columns["amount"].type_name, columns["amount"].column_size, columns["amount"].decimal_digits, columns["amount"].nullable), ("numeric", 12, 2, 0), "columns have their types")
same(columns["reserve"].nullable, 1, "and say whether they may be NULL")
cursor.primaryKeys("claims_enriched", schema="claims").fetchall()
cursor.foreignKeys("claims_enriched", schema="claims").fetchall()
cursor.statistics("claims_enriched", schema="claims").fetchall()
check({"int8", "numeric"} <= {row.type_name for row in cursor.getTypeInfo()}, "types are listed")
check(connection.getinfo(pyodbc.SQL_DBMS_NAME) == "PostgreSQL", "the server is one that tools know")
connection.close()

# Without autocommit every statement has a savepoint around it.
connection = connect("claims_engineer", autocommit=False)
cursor = connection.cursor()
cursor.execute("SELECT 1").fetchall()
refused(lambda: cursor.execute("SELECT 1/0").fetchall(), "22012", "division by zero is told")
connection.rollback()
same(cursor.execute("SELECT 1").fetchval(), 1, "and the connection goes on")
connection.commit()
refused(lambda: connect("newcomer").cursor().execute("SELECT * FROM customer.customer_master"), "42501", "not entitled is 42501")

# isql, as administrators try a connection.
done = subprocess.run(["isql", "-b", "-v", "-k", f"Driver={DRIVER};Server={host};Port={port};Database=mesh;Uid=claims_engineer;Pwd={PASSWORD}"], input="SELECT 40 + 2 AS answer\n", capture_output=True, text=True, timeout=60)
check("42" in done.stdout, f"isql connects: {done.stdout}{done.stderr}")
version = connection.getinfo(pyodbc.SQL_DRIVER_VER)
passed("psqlodbc", version, "catalog functions, server-side and client-side preparation, DECLARE and FETCH, transactions with savepoints, isql, SQLSTATEs", cannot="updatable cursors: writes")
