"""psycopg2: parameters in the text, named cursors, COPY, cancelling, errors with their codes, and what each reader sees."""

import datetime
import decimal
import io
import threading
import time

import psycopg2
import psycopg2.extras

from mesh import ENDLESS, FRAUD, check, check_fraud, check_personas, passed, postgres_uri, same


def rows(user: str, sql: str) -> list:
    connection = psycopg2.connect(postgres_uri(user))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        connection.close()


def refusal(user: str, sql: str) -> str:
    try:
        rows(user, sql)
    except psycopg2.Error as error:
        return f"{error.pgcode}: {error.diag.message_primary}" + (f"\nHINT: {error.diag.message_hint}" if error.diag.message_hint else "")
    raise SystemExit(f"not kept: {sql} is refused to {user}")


check_personas(rows, refusal)
check_fraud(rows("claims_engineer", FRAUD))
for statement, code in [
    ("SELECT nope FROM claims.claims_enriched", "42703"),
    ("SELECT * FROM claims.nope", "42P01"),
    ("SELECT 'x'::int", "22P02"),
    ("SELECT 1/0", "22012"),
    ("SELEC", "42601"),
    ("INSERT INTO claims.claims_enriched VALUES (1)", "25006"),
]:
    check(refusal("claims_engineer", statement).startswith(code), f"{statement} is {code}: {refusal('claims_engineer', statement)}")

connection = psycopg2.connect(postgres_uri("claims_engineer"))
check(connection.server_version >= 160000 and connection.encoding == "UTF8", "the server's version and encoding are PostgreSQL's")
with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
    cursor.execute("SELECT claim_id, amount, incident_date, reported_at, kind, reserve FROM claims.claims_enriched ORDER BY claim_id LIMIT 1")
    one = cursor.fetchone()
    check(isinstance(one["amount"], decimal.Decimal) and isinstance(one["incident_date"], datetime.date), "types arrive as Python's own")
    check(one["reported_at"].utcoffset() is not None, "a timestamptz has its zone")
    cursor.execute(
        "SELECT claim_id FROM claims.claims_enriched WHERE claim_id = %(claim_id)s AND amount = %(amount)s AND incident_date = %(incident_date)s"
        " AND reported_at = %(reported_at)s AND kind = %(kind)s",
        one,
    )
    same([dict(row) for row in cursor.fetchall()], [{"claim_id": one["claim_id"]}], "a row is found by the values that it was read with")
    cursor.execute("SELECT claim_id FROM claims.claims_enriched LIMIT 3")
    some = [row["claim_id"] for row in cursor.fetchall()]
    cursor.execute("SELECT count(*) AS n FROM claims.claims_enriched WHERE claim_id = ANY(%s)", ([*some, -1],))
    same(cursor.fetchone()["n"], 3, "a list is an array")
    cursor.execute("SELECT count(*) AS n FROM claims.claims_enriched WHERE claim_id IN %s", ((*some, -1),))
    same(cursor.fetchone()["n"], 3, "a tuple is a list of values")
    cursor.execute("SELECT %s::text AS a, %s AS b, %s::date AS c, %s AS d", ("ä'\\", None, datetime.date(2024, 2, 29), True))
    same(dict(cursor.fetchone()), {"a": "ä'\\", "b": None, "c": datetime.date(2024, 2, 29), "d": True}, "values go both ways")
with connection, connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM claims.claims_enriched")
    count = cursor.fetchone()[0]
with connection, connection.cursor("in slices") as cursor:
    cursor.itersize = 100
    cursor.execute("SELECT claim_id FROM claims.claims_enriched WHERE claim_id > %s", (0,))
    same(sum(1 for _ in cursor), count, "a named cursor gives all rows")
with connection, connection.cursor("held", withhold=True) as cursor:
    cursor.execute("SELECT claim_id FROM claims.claims_enriched ORDER BY claim_id")
    first = cursor.fetchmany(10)
    connection.commit()
    same(len(first) + len(cursor.fetchall()), count, "a cursor WITH HOLD outlives its transaction")
with connection, connection.cursor() as cursor:
    copied = io.StringIO()
    cursor.copy_expert("COPY (SELECT claim_id, kind FROM claims.claims_enriched) TO STDOUT", copied)
    same(copied.getvalue().count("\n"), count, "COPY gives all rows")

with connection.cursor() as cursor:
    started = time.monotonic()
    threading.Timer(1.0, connection.cancel).start()
    try:
        cursor.execute(ENDLESS)
        raise SystemExit("not kept: a cancelled query fails")
    except psycopg2.errors.QueryCanceled:
        check(time.monotonic() - started < 20, "a cancelled query ends")
    connection.rollback()
    cursor.execute("SELECT 1")
    same(cursor.fetchone(), (1,), "and the connection goes on")
passed("psycopg2", psycopg2.__version__.split()[0], "parameters, arrays, named cursors, WITH HOLD, COPY, cancel, SQLSTATEs")
