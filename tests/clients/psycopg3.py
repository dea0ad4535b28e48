"""psycopg 3: parameters of every kind, server-side cursors, pipelines, COPY, and what each reader sees."""

import datetime
import decimal

import psycopg

from mesh import FRAUD, check, check_fraud, check_personas, passed, postgres_uri, same


def rows(user: str, sql: str) -> list:
    with psycopg.connect(postgres_uri(user)) as connection:
        return connection.execute(sql).fetchall()


def refusal(user: str, sql: str) -> str:
    try:
        rows(user, sql)
    except psycopg.Error as error:
        said = error.diag
        return f"{said.sqlstate}: {said.message_primary}\nHINT: {said.message_hint}" if said.message_hint else f"{said.sqlstate}: {said.message_primary}"
    raise SystemExit(f"not kept: {sql} is refused to {user}")


check_personas(rows, refusal)
check("42501" in refusal("newcomer", "SELECT * FROM customer.customer_master"), "not entitled is 42501")
check_fraud(rows("claims_engineer", FRAUD))

with psycopg.connect(postgres_uri("claims_engineer"), autocommit=True) as connection:
    count = connection.execute("SELECT count(*) FROM claims.claims_enriched").fetchone()[0]
    check(count > 100, "there are claims")

    # Parameters: small and large integers, text, decimals, dates, booleans, NULL, arrays.
    one = connection.execute("SELECT claim_id, amount, incident_date, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 1").fetchone()
    check(isinstance(one[1], decimal.Decimal) and isinstance(one[2], datetime.date), "types arrive as Python's own")
    found = connection.execute(
        "SELECT claim_id FROM claims.claims_enriched WHERE claim_id = %s AND amount = %s AND incident_date = %s AND kind = %s", one
    ).fetchall()
    same(found, [(one[0],)], "a row is found by the values that it was read with")
    same(connection.execute("SELECT %s::int, %s::text, %s::boolean", (None, "ä'\"", True)).fetchone(), (None, "ä'\"", True), "values go both ways")
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        cursor.execute("SELECT claim_id, amount, reported_at, narrative FROM claims.claims_enriched ORDER BY claim_id LIMIT 50")
        read = cursor.fetchall()
        if binary:
            same(read, text, "binary and text give the same values")
        text = read
    # The seventh run uses a prepared statement of the server.
    for number in range(7):
        same(connection.execute("SELECT %s::bigint + 1", (number,)).fetchone(), (number + 1,), "a repeated statement is prepared")

    with connection.transaction(), connection.cursor(name="server_side") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT claim_id FROM claims.claims_enriched WHERE claim_id > %s", (0,))
        same(sum(1 for _ in cursor), count, "a server-side cursor gives all rows")

    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int * 2", (number,)) for number in range(20)]
        same([cursor.fetchone()[0] for cursor in cursors], [number * 2 for number in range(20)], "pipelined statements answer in order")

    with connection.cursor().copy("COPY (SELECT claim_id, kind FROM claims.claims_enriched) TO STDOUT") as copy:
        same(sum(1 for _ in copy.rows()), count, "COPY gives all rows")
    with connection.cursor().copy("COPY (SELECT claim_id, amount FROM claims.claims_enriched) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int8", "numeric"])
        same(sum(1 for _ in copy.rows()), count, "COPY in binary gives all rows")

with psycopg.connect(postgres_uri("claims_engineer")) as connection:
    try:
        connection.execute("SELECT 1/0")
        raise SystemExit("not kept: division by zero fails")
    except psycopg.errors.DivisionByZero:
        pass
    try:
        connection.execute("SELECT 1")
        raise SystemExit("not kept: a failed transaction stays failed")
    except psycopg.errors.InFailedSqlTransaction:
        connection.rollback()
    same(connection.execute("SELECT 1").fetchone(), (1,), "and goes on after a rollback")

passed("psycopg", psycopg.__version__, "parameters, prepared statements, binary, server-side cursors, pipelines, COPY in text and binary, transactions, SQLSTATEs", cannot="executemany, COPY FROM: writes")
