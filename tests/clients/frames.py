"""pandas over SQLAlchemy, polars and connectorx: the same frame from each."""

import connectorx
import pandas
import polars
import sqlalchemy

from mesh import check, passed, postgres_uri, same

QUERY = "SELECT claim_id, kind, amount, reserve, incident_date, reported_at, narrative FROM claims.claims_enriched ORDER BY claim_id"
engine = sqlalchemy.create_engine(postgres_uri("claims_engineer", "postgresql+psycopg2"))

# pandas.
frame = pandas.read_sql(QUERY, engine)
count = pandas.read_sql("SELECT count(*) AS n FROM claims.claims_enriched", engine)["n"][0]
check(len(frame) == count > 100, "a frame has all rows")
same(list(frame.columns), ["claim_id", "kind", "amount", "reserve", "incident_date", "reported_at", "narrative"], "and the columns")
same(str(frame["claim_id"].dtype), "int64", "a key is an integer")
check(str(frame["reported_at"].dtype).startswith("datetime64") and frame["reported_at"].dt.tz is not None, "a timestamptz is one")
few = pandas.read_sql(sqlalchemy.text("SELECT claim_id FROM claims.claims_enriched WHERE kind = :kind AND amount > :least"), engine, params={"kind": frame["kind"][0], "least": 100.5})
same(len(few), int(((frame["kind"] == frame["kind"][0]) & (frame["amount"].astype(float) > 100.5)).sum()), "parameters filter as pandas does")
with engine.connect().execution_options(stream_results=True) as connection:
    same(sum(len(part) for part in pandas.read_sql(QUERY, connection, chunksize=100)), count, "a frame is read in slices")
table = pandas.read_sql_table("claims_enriched", engine, schema="claims")
same(sorted(table["claim_id"]), sorted(frame["claim_id"]), "a table is read by its name")
try:
    frame.head(1).to_sql("x", engine, schema="claims")
    raise SystemExit("not kept: to_sql is refused")
except sqlalchemy.exc.DBAPIError as error:
    same(error.orig.pgcode, "25006", "to_sql is refused as a write")
passed("pandas", f"{pandas.__version__} with SQLAlchemy {sqlalchemy.__version__}", "read_sql, parameters, chunks from a server's cursor, read_sql_table", cannot="to_sql: a write")

# connectorx: COPY in binary, in csv, and cursors.
uri = postgres_uri("claims_engineer")
for protocol in ["binary", "csv", "cursor", "simple"]:
    got = connectorx.read_sql(uri, QUERY, protocol=protocol)
    same(got["claim_id"].tolist(), frame["claim_id"].tolist(), f"connectorx reads the keys ({protocol})")
    same([round(float(value), 2) for value in got["amount"]], [float(value) for value in frame["amount"]], f"and the amounts ({protocol})")
    same(int(got["reserve"].isna().sum()), int(frame["reserve"].isna().sum()), f"and NULL ({protocol})")
parts = connectorx.read_sql(uri, QUERY.split(" ORDER BY")[0], partition_on="claim_id", partition_num=3)
same(sorted(parts["claim_id"].tolist()), frame["claim_id"].tolist(), "connectorx reads in parts")
try:
    connectorx.read_sql(uri, "SELECT nope FROM claims.claims_enriched")
    raise SystemExit("not kept: a wrong column fails")
except RuntimeError as error:
    check("nope" in str(error), f"an error says what is wrong: {error}")
passed("connectorx", connectorx.__version__, "binary, csv, cursor and simple protocols, partitions")

# polars: through connectorx, through ADBC, through SQLAlchemy.
for engine_name in ["connectorx", "adbc"]:
    got = polars.read_database_uri(QUERY, uri, engine=engine_name)
    same(got["claim_id"].to_list(), frame["claim_id"].tolist(), f"polars reads the keys ({engine_name})")
    same([round(float(value), 2) for value in got["amount"]], [float(value) for value in frame["amount"]], f"and the amounts ({engine_name})")
got = polars.read_database(QUERY, engine)
same(got.schema["claim_id"], polars.Int64, "polars knows the types")
same([float(value) for value in got["amount"]], [float(value) for value in frame["amount"]], "polars reads through SQLAlchemy")
batches = list(polars.read_database(QUERY, engine.connect().execution_options(stream_results=True), iter_batches=True, batch_size=100))
same(sum(len(part) for part in batches), count, "and in slices")
passed("polars", polars.__version__, "through connectorx, ADBC and SQLAlchemy, in batches", cannot="write_database: a write")
