"""The bill in FOCUS, validated: 1.2 by the FinOps Foundation's own validator, 1.4 by focus-data-toolkit; with a closed month and a correction of it."""

import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import pyarrow.csv
import pyarrow.parquet

from mesh import PASSWORD, check, passed, same

binary = os.environ["MESHGATE_BINARY"]
folder = pathlib.Path(tempfile.mkdtemp(prefix="meshgate-focus-"))
demo = folder / "demo"
MONTHS = ("2026-08", "2026-09")
# The specification wants NULL in an InvoiceId that is on no invoice and a value in one that is; the model has both rules without their conditions.
CONTRADICTION = {"InvoiceId-C-004-C", "InvoiceId-C-005-C", "InvoiceId-C-003-C", "InvoiceId-C-000-O", "CostAndUsage-D-002-M"}
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED,NEGOTIATED_PRICING_SUPPORTED,PUBLIC_PRICE_LIST_SUPPORTED,USAGE_MEASUREMENT_SUPPORTED,UNIT_PRICING_SUPPORTED,"
    "SUB_ACCOUNT_SUPPORTED,BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED,RESOURCE_TYPE_ASSIGNMENT_SUPPORTED,TAGGING_SUPPORTED"
)
DOORS = [part for door in ("postgres", "flight", "http") for part in (f"--{door}", "127.0.0.1:0")]


def at(time: str, statements: dict[str, str]) -> None:
    """Serves the demo as if it were that time, lets principals read, and stops it in good order."""
    (fake,) = pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    environment = {**os.environ, "LD_PRELOAD": str(fake), "FAKETIME": f"@{time}", "DONT_FAKE_MONOTONIC": "1"}
    command = [binary, "demo", "--dir", demo, "--scale", "0.01", *DOORS]
    gateway = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    lines = []
    for line in gateway.stdout:
        lines.append(line)
        if "monthly_costs" in line:
            break
    port = next(found.group(1) for line in lines if (found := re.search(r"^postgres.*127\.0\.0\.1:(\d+)", line.strip().lower())))
    for user, sql in statements.items():
        reading = ["psql", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port, "-U", user, "-d", "mesh", "-qAtc", sql]
        subprocess.run(reading, check=True, env={**os.environ, "PGPASSWORD": PASSWORD}, stdout=subprocess.DEVNULL)
    gateway.send_signal(signal.SIGTERM)
    same(gateway.wait(60), 0, "a gateway of another time stops in good order")


def meshgate(*arguments: str) -> bytes:
    return subprocess.run([binary, *arguments, "--config", demo / "meshgate.toml"], check=True, stdout=subprocess.PIPE).stdout


def report(version: str, ending: str) -> pathlib.Path:
    file = folder / f"focus-{version}.{ending}"
    form = f"focus-{version}" + ("-parquet" if ending == "parquet" else "")
    file.write_bytes(meshgate("report", "--from", MONTHS[0], "--to", MONTHS[1], "--format", form))
    return file


def violated(file: pathlib.Path) -> tuple[set[str], str]:
    """The rules of 1.2 that do not hold, and the validator's own count. Its exit code says nothing."""
    package = pathlib.Path(importlib.util.find_spec("focus_validator").origin).parent
    # A quote within a quoted expression is the one thing in it that Python 3.11 does not read.
    source = package / "config_objects" / "focus_to_duckdb_converter.py"
    text = source.read_text()
    mended = text.replace(r"""k.replace('\"', '\"\"')""", "k.replace(chr(34), chr(34) * 2)")
    if mended != text:
        source.write_text(mended)
    validator = pathlib.Path(sys.executable).parent / "focus-validator"
    command = [validator, "--data-file", file, "--validate-version", "1.2", "--block-download", "--applicability-criteria", CRITERIA]
    # It finds its lists by a path relative to the folder that its package is in.
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True)
    count = re.search(r"Total: (\d+) \| Pass: (\d+) \| Fail: (\d+)", done.stdout)
    check(count is not None and int(count.group(2)) > 200, f"the validator says what it found: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = set(re.findall(r"^\S+ ([\w-]+): FAIL\b", done.stdout, re.MULTILINE))
    same(len(failed), int(count.group(3)), "each failure is told")
    return failed, count.group(0)


crossing = {
    "claims_engineer": "SET meshgate.tags = 'team=fraud'; SELECT sum(claim_id) FROM claims.claims_enriched; SELECT count(city) FROM customer.customer_master",
    "marketing_analyst": "SELECT count(city) FROM customer.customer_master",
}
at("2026-08-20 10:00:00", crossing)
at("2026-09-05 10:00:00", crossing)
meshgate("close", MONTHS[0])
amount = ["--product", "customer.customer_master", "--month", MONTHS[0], "--amount", "-0.50", "--reason", "an outage", "--by", "finance_controller"]
meshgate("correct", "--domain", "marketing", *amount)
# What is settled of the closed month after its close.
at("2026-08-31 23:00:00", {"marketing_analyst": crossing["marketing_analyst"]})

for version in ("1.2", "1.4"):
    rows = pyarrow.csv.read_csv(report(version, "csv")).to_pylist()
    exact = pyarrow.parquet.read_table(report(version, "parquet"))
    same(exact.num_rows, len(rows), "CSV and Parquet have the same rows")
    kinds = {(row["ChargeCategory"], row["ChargeClass"] or None, bool(row["InvoiceId"])) for row in rows}
    wanted = {("Usage", None, True), ("Usage", None, False), ("Usage", "Correction", False), ("Adjustment", "Correction", False)}
    same(kinds, wanted, "usage that is invoiced and not, late usage and a correction")
    check(any('"team":"fraud"' in row["Tags"] for row in rows), "tags of sessions are in it")
    check(str(exact.schema.field("ConsumedQuantity").type).startswith("decimal128"), f"quantities are decimals: {exact.schema}")
for ending in ("csv", "parquet"):
    failed, count = violated(folder / f"focus-1.2.{ending}")
    same(failed - CONTRADICTION, set(), f"rules of 1.2 that do not hold of {ending}; {count}")
toolkit = [pathlib.Path(sys.executable).parent / "focus-toolkit", "validate", folder / "focus-1.4.csv", "--dataset", "cost-and-usage"]
said = subprocess.run(toolkit, capture_output=True, text=True)
check(said.returncode == 0 and "SEMANTIC_VALID" in said.stdout, f"1.4 is valid: {said.stdout}{said.stderr}")
# Whoever validates must be able to say no.
broken = folder / "broken.csv"
broken.write_text((folder / "focus-1.2.csv").read_text().replace(",Usage,", ",Usages,"))
check(violated(broken)[0] - CONTRADICTION, "a wrong bill is found to be wrong")
passed("focus-validator, focus-data-toolkit", "2.2.1", "the bill in FOCUS 1.2 and 1.4, as CSV and Parquet, with a closed month, late usage and a correction")
