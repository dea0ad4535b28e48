"""The lines that the demo prints work as printed: psql with the fraud query, Python over Flight, and the cost report."""

import os
import re
import subprocess

from mesh import check

printed = os.environ["MESHGATE_PRINTED"]
commands = re.findall(r"^    (\S.*)$", printed, re.MULTILINE)
query = re.search(r"^(SELECT .*?;)$", printed, re.MULTILINE | re.DOTALL)
check(len(commands) == 3 and query, f"the demo prints three commands and a query: {printed}")


def run(command: str, text: str = "") -> str:
    done = subprocess.run(["bash", "-c", command], input=text, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0 and "ERROR" not in done.stderr, f"{command} works: {done.stdout}{done.stderr}")
    return done.stdout


psql, python, costs = commands
rows = run(psql, query.group(1) + "\n")
check(re.search(r"\([1-9]\d* rows?\)", rows), f"the fraud query finds rows: {rows}")
check("claimant" in rows, "with the claimant")
table = run(python)
check("email" in table and "@" in table, f"Python over Flight shows the masked customers: {table}")
check("fraud_signals" in run(costs), "the cost report has what was just read")
print("ok")
