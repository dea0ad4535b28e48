"""The published ledger as others read it: the sums of `deltalake`, of another process and another library, are those of `finops`."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
from decimal import Decimal

import deltalake
import psycopg
import pyarrow.compute

from mesh import PASSWORD, check, passed, same

binary = os.environ["MESHGATE_BINARY"]
folder = pathlib.Path(tempfile.mkdtemp(prefix="meshgate-ledger-"))
demo = folder / "demo"
SETTINGS = """
[server]
region = "eu"
postgres = "127.0.0.1:0"
flight = "127.0.0.1:0"
http = "127.0.0.1:0"
[metering]
publish = "file:ledger/"
publish_every = "1s"
"""


class Gateway:
    """A gateway of the demo's mesh, with a state of its own and the ledger of all."""

    def __init__(self, name: str):
        config = demo / f"{name}.toml"
        config.write_text(f"{SETTINGS}[state]\nlocation = \"state-{name}\"\n")
        self.process = subprocess.Popen([binary, "serve", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = re.search(r":(\d+)\s*$", self.process.stdout.readline()).group(1)

    def rows(self, user: str, sql: str) -> list[tuple]:
        with psycopg.connect(f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/mesh") as connection:
            return connection.execute(sql).fetchall()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        same(self.process.wait(60), 0, "a gateway that publishes stops in good order")


with open(folder / "demo.log", "wb") as log:
    doors = [part for door in ("postgres", "flight", "http") for part in (f"--{door}", "127.0.0.1:0")]
    making = subprocess.Popen([binary, "demo", "--dir", demo, "--scale", "0.01", *doors], stdout=subprocess.PIPE, stderr=log, text=True)
    for line in making.stdout:
        if "monthly_costs" in line:
            break
    making.send_signal(signal.SIGTERM)
    making.communicate(timeout=60)

gateways = [Gateway("one"), Gateway("two")]
for gateway in gateways:
    for user, column, product in (
        ("claims_engineer", "claim_id", "claims.claims_enriched"),
        ("claims_engineer", "customer_id", "customer.customer_master"),
        ("marketing_analyst", "customer_id", "customer.customer_master"),
    ):
        gateway.rows(user, f"SELECT sum({column}) FROM {product}")


def total(gateway: Gateway) -> tuple[int, Decimal]:
    """Rows and cost, as finance sees them on one of the gateways."""
    (rows,) = gateway.rows("finance_controller", "SELECT count(*) FROM finops.usage")
    (cost,) = gateway.rows("finance_controller", "SELECT sum(cost) FROM finops.monthly_costs")
    return rows[0], cost[0]


deadline = time.monotonic() + 60
while total(gateways[0])[0] != 6 or total(gateways[0]) != total(gateways[1]):
    check(time.monotonic() < deadline, f"each gateway shows the rows of both: {[total(gateway) for gateway in gateways]}")
    time.sleep(0.2)
shown = total(gateways[0])
check(shown[1] > 0, f"the queries cost something: {shown}")
for gateway in gateways:
    gateway.stop()

table = deltalake.DeltaTable(str(demo / "ledger"))
usage = table.to_pyarrow_dataset().to_table(use_threads=False)
same((usage.num_rows, pyarrow.compute.sum(usage["cost"]).as_py()), shown, "deltalake sums what finops.monthly_costs does")
same(len(set(usage["usage_id"].to_pylist())), usage.num_rows, "each row is there once")
same(sorted(set(usage["gateway_id"].to_pylist())), sorted(part["gateway_id"] for part in table.partitions()), "a partition a gateway")
check(str(usage.schema.field("started_at").type) == "timestamp[us, tz=UTC]", f"times are times: {usage.schema}")
passed("deltalake", deltalake.__version__, "the published ledger of two gateways: rows, costs, partitions, types, against `finops`")
