"""dbt-postgres: `dbt debug`, a source, `dbt show`, tests of a source, `dbt docs generate`.

Its name must not begin with `dbt_`: dbt imports whatever module of its path does, as a plug-in, and would start this script again without end.
"""

import importlib.metadata
import os
import pathlib
import subprocess
import tempfile

from mesh import PASSWORD, POSTGRES, check, passed

host, port = POSTGRES.split(":")
FILES = {
    "profiles.yml": f"""
mesh:
  target: dev
  outputs:
    dev: {{type: postgres, host: {host}, port: {port}, user: claims_engineer, password: {PASSWORD}, dbname: mesh, schema: claims, threads: 2}}
""",
    "dbt_project.yml": """
name: northpeak
version: "1.0"
profile: mesh
model-paths: [models]
flags: {send_anonymous_usage_stats: false}
""",
    "models/sources.yml": """
sources:
  - name: claims
    tables:
      - name: claims_enriched
        columns:
          - name: claim_id
            data_tests: [unique, not_null]
          - name: kind
            data_tests: [not_null]
""",
    "models/by_kind.sql": "select kind, count(*) as claims, sum(amount) as amount from {{ source('claims', 'claims_enriched') }} group by kind",
}


def dbt(*arguments: str, succeeds: bool = True) -> str:
    command = ["dbt", "--no-use-colors", *arguments, "--profiles-dir", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, "DO_NOT_TRACK": "1"})
    check((done.returncode == 0) == succeeds, f"dbt {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    for name, text in FILES.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    check("All checks passed" in dbt("debug"), "dbt connects")
    shown = dbt("show", "--select", "by_kind", "--limit", "20", "--output", "json")
    check('"kind"' in shown and '"claims"' in shown, f"a model is shown: {shown}")
    check("PASS=3" in dbt("test"), "tests of a source pass")
    check("claims_enriched" in dbt("show", "--inline", "select relname from pg_class where relname = 'claims_enriched'"), "any statement is shown")
    refused = dbt("run", succeeds=False)
    check("read-only" in refused, f"a model cannot be built: {refused[-800:]}")
passed("dbt-postgres", importlib.metadata.version("dbt-postgres"), "dbt debug, dbt show, tests of sources", cannot="dbt run, dbt seed, dbt snapshot: writes")
