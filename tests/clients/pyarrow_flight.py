"""pyarrow.flight: plain Flight with SQL as the command, tickets, and what each reader sees."""

import datetime
import json

import pyarrow
import pyarrow.flight as flight

from mesh import FRAUD, PASSWORD, check, check_fraud, check_personas, flight_uri, passed, same


class Reader:
    """A client that has logged in."""

    def __init__(self, user: str):
        self.client = flight.connect(flight_uri())
        self.token = self.client.authenticate_basic_token(user, PASSWORD)

    def options(self, **headers: str) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(headers=[self.token, *((name.encode(), value.encode()) for name, value in headers.items())])

    def info(self, sql: str, **headers: str) -> flight.FlightInfo:
        return self.client.get_flight_info(flight.FlightDescriptor.for_command(sql.encode()), self.options(**headers))

    def get(self, info: flight.FlightInfo, **headers: str) -> flight.FlightStreamReader:
        return self.client.do_get(info.endpoints[0].ticket, self.options(**headers))


def rows(user: str, sql: str) -> list:
    reader = Reader(user)
    return [tuple(row.values()) for row in reader.get(reader.info(sql)).read_all().to_pylist()]


def refusal(user: str, sql: str) -> str:
    try:
        rows(user, sql)
    except Exception as error:  # the class depends on the gRPC code
        return str(error)
    raise SystemExit(f"not kept: {sql} is refused to {user}")


def refused(work, promise: str) -> str:
    try:
        work()
    except Exception as error:
        return str(error)
    raise SystemExit(f"not kept: {promise}")


def varint(number: int) -> bytes:
    """As protocol buffers write lengths."""
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number // 128)


check_personas(rows, refusal)
check_fraud(rows("claims_engineer", FRAUD))

reader = Reader("claims_engineer")
info = reader.info("SELECT claim_id, narrative FROM claims.claims_enriched ORDER BY claim_id")
same((info.total_records, info.total_bytes), (-1, -1), "flight info tells no counts")
same([list(endpoint.locations) for endpoint in info.endpoints], [[]], "the data is where the info came from")
stream = reader.get(info)
same(stream.schema, info.schema, "the stream has the announced schema")
chunk = stream.read_chunk()
told = json.loads(chunk.app_metadata.to_pybytes())
check(told["query_id"] and any("mask" in notice["message"] for notice in told["notices"]), f"the reader is told of the mask: {told}")

empty = reader.get(reader.info("SELECT claim_id FROM claims.claims_enriched WHERE claim_id < 0")).read_all()
same((empty.num_rows, empty.schema.names), (0, ["claim_id"]), "an empty result has its columns")
path = flight.FlightDescriptor.for_path("claims", "fraud_signals")
whole = reader.get(reader.client.get_flight_info(path, reader.options())).read_all()
counted = rows("claims_engineer", "SELECT count(*) FROM claims.fraud_signals")[0][0]
same(whole.num_rows, counted, "a path gives the whole table")
listed = {tuple(part.decode() for part in found.descriptor.path) for found in reader.client.list_flights(options=reader.options())}
check(("claims", "fraud_signals") in listed and ("finance", "premium_ledger") not in listed, "flights are listed by what may be read")

# Compressed for those who ask, and the same.
plain = reader.get(info).read_all()
for word in ["zstd", "lz4"]:
    same(reader.get(info, **{"x-meshgate-compression": word}).read_all(), plain, f"a result in {word} is the same result")
check("22023" in refused(lambda: reader.get(info, **{"x-meshgate-compression": "brotli"}).read_all(), "an unknown codec is refused"), "and says so")
zipping = flight.connect(flight_uri(), generic_options=[("grpc.default_compression_algorithm", 2), ("grpc.default_compression_level", 2)])
options = flight.FlightCallOptions(headers=[zipping.authenticate_basic_token("claims_engineer", PASSWORD)])
zipped = zipping.get_flight_info(flight.FlightDescriptor.for_command(b"SELECT claim_id FROM claims.claims_enriched"), options)
same(zipping.do_get(zipped.endpoints[0].ticket, options).read_all().num_rows, plain.num_rows, "a channel that compresses with gzip reads")

# Tickets expire, and are renewed.
endpoint = info.endpoints[0]
left = (endpoint.expiration_time.as_py() - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
check(600 < left <= 900, f"a ticket says until when it is good: {left}")
request = b"\x0a" + varint(len(endpoint.serialize())) + endpoint.serialize()
renewed = flight.FlightEndpoint.deserialize(next(iter(reader.client.do_action(("RenewFlightEndpoint", request), reader.options()))).body.to_pybytes())
check(renewed.expiration_time.as_py() >= endpoint.expiration_time.as_py(), "a renewed ticket is good for no less")
same(reader.client.do_get(renewed.ticket, reader.options()).read_all().num_rows, plain.num_rows, "and for the same rows")

# Tickets: nobody else's, not edited, authorised when used.
other = Reader("customer_steward")
check("not valid" in refused(lambda: other.get(info).read_all(), "a ticket works for its reader only"), "and says so")
sealed = bytearray(info.endpoints[0].ticket.ticket)
for at in (0, len(sealed) // 2, len(sealed) - 1):
    edited = bytearray(sealed)
    edited[at] ^= 1
    refused(lambda: reader.client.do_get(flight.Ticket(bytes(edited)), reader.options()).read_all(), "an edited ticket is refused")
refused(lambda: flight.connect(flight_uri()).do_get(info.endpoints[0].ticket).read_all(), "a ticket is no login")

# Settings as headers of a call.
shown = [tuple(row.values()) for row in reader.get(reader.info("SHOW meshgate.purpose", **{"x-meshgate-purpose": "audit"})).read_all().to_pylist()]
same(shown, [("audit",)], "a purpose is declared with a header")
refused(lambda: reader.info("SELECT 1", **{"x-meshgate-nonsense": "1"}), "an unknown setting is refused")
limited = refused(
    lambda: reader.get(reader.info("SELECT * FROM claims.claims_enriched", **{"x-meshgate-max-scan-bytes": "10"})).read_all(),
    "a scan limit is kept",
)
check("53400" in limited, f"and says so: {limited}")
passed("pyarrow.flight", pyarrow.__version__, "SQL as command, paths, tickets and their renewal, list_flights, headers, compression", cannot="do_put: a write")
