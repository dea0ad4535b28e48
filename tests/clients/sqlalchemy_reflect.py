"""SQLAlchemy over psycopg: connect, reflect, select, stream."""

import decimal

import sqlalchemy
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text

from mesh import check, passed, postgres_uri, same

engine = create_engine(postgres_uri("claims_engineer", "postgresql+psycopg"))
inspector = inspect(engine)
check({"claims", "customer", "policy"} <= set(inspector.get_schema_names()), "schemas are listed")
check("claims_enriched" in inspector.get_table_names(schema="claims"), "tables are listed")
check("customer_master" in inspector.get_table_names(schema="customer"), "tables that were granted are listed")
check("premium_ledger" not in inspector.get_table_names(schema="finance"), "others are not")
check(inspector.has_table("claims_enriched", schema="claims"), "a table is found by its name")

columns = {column["name"]: column for column in inspector.get_columns("claims_enriched", schema="claims")}
check(str(columns["claim_id"]["type"]) == "BIGINT" and not columns["claim_id"]["nullable"], "a key is a bigint and not NULL")
check(str(columns["amount"]["type"]) == "NUMERIC(12, 2)", "a numeric has its scale")
check(columns["reported_at"]["type"].timezone, "a timestamptz has its zone")
check(columns["amount"]["comment"] == "What is claimed", "comments are read")
same(inspector.get_foreign_keys("claims_enriched", schema="claims"), [], "there are no foreign keys")
same(inspector.get_indexes("claims_enriched", schema="claims"), [], "there are no indexes")

claims = Table("claims_enriched", MetaData(), schema="claims", autoload_with=engine)
with engine.connect() as connection:
    count = connection.scalar(select(func.count()).select_from(claims))
    check(count > 100, "a reflected table can be counted")
    query = select(claims.c.claim_id, claims.c.amount).where(claims.c.amount > decimal.Decimal("100.50")).order_by(claims.c.claim_id).limit(5)
    found = connection.execute(query).all()
    check(len(found) == 5 and all(row.amount > decimal.Decimal("100.50") for row in found), "a reflected table can be queried")
    streamed = connection.execution_options(stream_results=True, max_row_buffer=100).execute(select(claims.c.claim_id))
    same(sum(1 for _ in streamed), count, "a streamed result gives all rows")

newcomer = inspect(create_engine(postgres_uri("newcomer", "postgresql+psycopg")))
check("customer_master" not in newcomer.get_table_names(schema="customer"), "a newcomer does not see what they may not read")
check(newcomer.get_table_names(schema="pricing") and "risk_factors" in newcomer.get_table_names(schema="pricing"), "but what is open")
with engine.connect() as connection:
    check("PostgreSQL" in connection.scalar(text("SELECT version()")), "the version is one that tools can read")
passed("SQLAlchemy", sqlalchemy.__version__, "reflection, select, stream_results", cannot="create_all, insert, update, delete: writes")
