"""The same rows, whichever the door: every product as every reader, through PostgreSQL (text and binary) and Flight."""

import decimal
import math

import psycopg
import pyarrow.flight as flight

from mesh import PASSWORD, PERSONAS, PRODUCTS, check, flight_uri, postgres_uri, same


def through_postgres(user: str, sql: str, binary: bool):
    try:
        with psycopg.connect(postgres_uri(user), autocommit=True) as connection:
            return [tuple(row) for row in connection.cursor(binary=binary).execute(sql).fetchall()]
    except psycopg.Error as error:
        return error.diag.sqlstate


def through_flight(user: str, sql: str):
    client = flight.connect(flight_uri())
    options = flight.FlightCallOptions(headers=[client.authenticate_basic_token(user, PASSWORD)])
    try:
        info = client.get_flight_info(flight.FlightDescriptor.for_command(sql.encode()), options)
        table = client.do_get(info.endpoints[0].ticket, options).read_all()
    except Exception as error:
        return str(error).split("SQLSTATE ")[1][:5]
    columns = [column.to_pylist() for column in table.columns]
    return list(zip(*columns)) if columns else []


def plain(rows):
    """Floats to the digits that both doors carry, times to one zone."""
    if isinstance(rows, str):
        return rows

    def value(cell):
        if isinstance(cell, float) and math.isfinite(cell):
            return round(cell, 9)
        if hasattr(cell, "astimezone") and getattr(cell, "tzinfo", None):
            return cell.timestamp()
        return decimal.Decimal(cell) if isinstance(cell, decimal.Decimal) else cell

    return [tuple(value(cell) for cell in row) for row in rows]


read = 0
for user in PERSONAS:
    for product, order in PRODUCTS.items():
        sql = f"SELECT * FROM {product} ORDER BY {order} LIMIT 500"
        arrow = plain(through_flight(user, sql))
        same(plain(through_postgres(user, sql, binary=False)), arrow, f"{user} reads the same of {product} as text and over Flight")
        same(plain(through_postgres(user, sql, binary=True)), arrow, f"{user} reads the same of {product} in binary and over Flight")
        read += not isinstance(arrow, str)
check(read >= 12, f"the readers read something: {read}")
print("ok")
