"""asyncpg: a pool and its resets, prepared statements in binary, cursors, COPY, timeouts and SQLSTATEs."""

import asyncio
import datetime
import decimal
import io
import uuid

import asyncpg

from mesh import ENDLESS, FRAUD, check, check_fraud, check_personas, passed, postgres_uri, same


def rows(user: str, sql: str) -> list:
    async def read():
        connection = await asyncpg.connect(postgres_uri(user))
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(read())


def refusal(user: str, sql: str) -> str:
    try:
        rows(user, sql)
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate}: {error.message}" + (f"\nHINT: {error.hint}" if error.hint else "")
    raise SystemExit(f"not kept: {sql} is refused to {user}")


check_personas(rows, refusal)
check_fraud(rows("claims_engineer", FRAUD))


async def main() -> None:
    async with asyncpg.create_pool(postgres_uri("claims_engineer"), min_size=2, max_size=4) as pool:
        count = await pool.fetchval("SELECT count(*) FROM claims.claims_enriched")
        check(count > 100, "there are claims")
        # More work than connections: each is reset when it goes back.
        many = await asyncio.gather(*(pool.fetchval("SELECT $1::bigint + 1", n) for n in range(40)))
        same(many, list(range(1, 41)), "a pool answers all")

        async with pool.acquire() as connection:
            statement = await connection.prepare(
                "SELECT claim_id, amount, incident_date, reported_at, kind, reserve FROM claims.claims_enriched WHERE claim_id = $1 AND amount >= $2"
            )
            same([p.name for p in statement.get_parameters()], ["int8", "numeric"], "parameters have the types of what they are compared with")
            same([a.type.name for a in statement.get_attributes()], ["int8", "numeric", "date", "timestamptz", "text", "numeric"], "columns have their types")
            some = await connection.fetchval("SELECT max(claim_id) FROM claims.claims_enriched")
            one = await statement.fetchrow(some, decimal.Decimal("0"))
            check(isinstance(one["amount"], decimal.Decimal) and isinstance(one["incident_date"], datetime.date), "types arrive as Python's own")
            check(one["reported_at"].tzinfo is not None, "a timestamptz has its zone")
            same(await connection.fetchval("SELECT count(*) FROM claims.claims_enriched WHERE reported_at = $1 AND kind = $2", one["reported_at"], one["kind"]) >= 1, True, "a row is found by the values that it was read with")
            same(await connection.fetchval("SELECT count(*) FROM claims.claims_enriched WHERE kind = ANY($1::text[])", [one["kind"], None]) > 0, True, "a list of texts is one, too")

            values = [None, True, 2, 2**40, 1.5, "ä'\"", decimal.Decimal("-12.3400"), datetime.date(2024, 2, 29), datetime.timedelta(days=1, seconds=5), b"\x00\xff"]
            types = ["int", "boolean", "int", "bigint", "float8", "text", "numeric", "date", "interval", "bytea"]
            casts = ", ".join(f"${number}::{kind} AS c{number}" for number, kind in enumerate(types, 1))
            same(list(await connection.fetchrow(f"SELECT {casts}", *values)), values, "values of many types go both ways in binary")
            lists = [[1, None, -2], [2**40], [1.5], [decimal.Decimal("-12.3400")], [datetime.date(2024, 2, 29)], [True, False], [b"\x00"]]
            kinds = ["int[]", "bigint[]", "float8[]", "numeric[]", "date[]", "boolean[]", "bytea[]"]
            casts = ", ".join(f"${number}::{kind} AS c{number}" for number, kind in enumerate(kinds, 1))
            same(list(await connection.fetchrow(f"SELECT {casts}", *lists)), lists, "arrays go both ways, too: their types are found in the catalogs")
            claims = [row["claim_id"] for row in await connection.fetch("SELECT claim_id FROM claims.claims_enriched ORDER BY claim_id LIMIT 3")]
            gathered = await connection.fetchrow("SELECT array_agg(claim_id ORDER BY claim_id), array_agg(amount ORDER BY claim_id), count(*) FROM claims.claims_enriched WHERE claim_id = ANY($1)", claims)
            same((gathered[0], len(gathered[1]), gathered[2]), (claims, 3, 3), "rows are found by a list of keys, and gathered into one")
            some_id = uuid.uuid4()
            same(await connection.fetchrow("SELECT $1::uuid, $1::uuid = $2::uuid, $3::uuid[]", some_id, some_id, [some_id, None]), (some_id, True, [some_id, None]), "a UUID is one")
            moment = datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=datetime.timezone.utc)
            same(await connection.fetchval("SELECT $1::timestamptz", moment), moment, "and a moment")

            async with connection.transaction():
                found = [row async for row in connection.cursor("SELECT claim_id FROM claims.claims_enriched WHERE claim_id > $1", 0, prefetch=100)]
                same(len(found), count, "a cursor gives all rows, a hundred at a time")
            copied = io.BytesIO()
            same(await connection.copy_from_query("SELECT claim_id, kind FROM claims.claims_enriched WHERE claim_id > $1", 0, output=copied, format="csv"), f"COPY {count}", "COPY gives all rows")
            same(copied.getvalue().count(b"\n"), count, "and a line for each")

            # Types that the driver does not know are asked for in the catalogs.
            await connection.set_type_codec("json", encoder=str, decoder=str, schema="pg_catalog")
            kinds = await connection.fetch("SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1", "claims")
            check("claims_enriched" in {row["relname"] for row in kinds}, "the catalogs answer in binary")
            same(await connection.fetchval("SELECT 'customer.customer_master'::regclass::text"), "customer.customer_master", "a relation is found by name")
            await connection.reload_schema_state()

            for sql, wrong in [
                ("SELECT 1/0", asyncpg.DivisionByZeroError),
                ("SELECT nope FROM claims.claims_enriched", asyncpg.UndefinedColumnError),
                ("DELETE FROM claims.claims_enriched", asyncpg.ReadOnlySQLTransactionError),
            ]:
                try:
                    await connection.fetch(sql)
                    raise SystemExit(f"not kept: {sql} fails")
                except wrong:
                    pass
            try:
                await connection.fetch(ENDLESS, timeout=1.0)
                raise SystemExit("not kept: a query that takes too long is cancelled")
            except asyncio.TimeoutError:
                pass
            same(await connection.fetchval("SELECT 1"), 1, "and the connection goes on")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                same(await connection.fetchval("SHOW transaction_read_only"), "on", "a transaction is read only")
                async with connection.transaction():
                    same(await connection.fetchval("SELECT 2"), 2, "a savepoint nests")


asyncio.run(main())
passed("asyncpg", asyncpg.__version__, "pool and its reset, prepared statements, binary values both ways, arrays, cursors, COPY, time-out and cancel, SQLSTATEs", cannot="executemany, copy_to_table: writes")
