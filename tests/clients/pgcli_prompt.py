"""pgcli: what it asks for completion and its commands, through its own code."""

import subprocess
import sys

import pgcli
from pgcli.completion_refresher import CompletionRefresher
from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial

from mesh import PASSWORD, POSTGRES, check, passed, postgres_uri, same

host, port = POSTGRES.split(":")
execute = PGExecute("mesh", "claims_engineer", PASSWORD, host, port)
check("claims" in execute.schemata(), "schemas complete")
check(("claims", "claims_enriched") in set(execute.tables()), "tables complete")
columns = list(execute.table_columns())
check(any(column[:3] == ("claims", "claims_enriched", "amount") for column in columns), f"columns complete: {columns[:3]}")
check("mesh" in execute.databases(), "databases complete")
for asked in [execute.search_path, execute.views, execute.view_columns, execute.foreignkeys, execute.functions, execute.datatypes]:
    list(asked() or [])
title, rows, headers, status, *_ = next(iter(execute.run("SELECT claim_id, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 2")))
same((headers, status), (["claim_id", "kind"], "SELECT 2"), "a query is run")
special = PGSpecial()
for command in ["\\dt claims.*", "\\d claims.claims_enriched", "\\dn", "\\l", "\\du", "\\df", "\\dv", "\\dT", "\\di", "\\dx", "\\ds", "\\dm"]:
    for title, rows, headers, status, *_ in execute.run(command, pgspecial=special):
        list(rows or [])
refresher = CompletionRefresher()
check(refresher.refreshers, "completion has its parts")
done = subprocess.run([sys.executable, "-m", "pgcli", postgres_uri("claims_engineer"), "-l"], capture_output=True, text=True, timeout=60)
check("mesh" in done.stdout, f"pgcli -l lists the database: {done.stdout}{done.stderr}")
passed("pgcli", pgcli.__version__, "completion of schemas, tables, columns, functions, types; \\d and other backslash commands")
