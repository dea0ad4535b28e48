#!/usr/bin/env python3
"""What did each domain's reading cost, and whose data was it? Straight from the ledger, over the PostgreSQL protocol.

    pip install "psycopg[binary]"
    python examples/cost_report.py
"""

import argparse
import collections
import decimal

import psycopg

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--postgres", default="127.0.0.1:5433", help="where the gateway speaks PostgreSQL")
parser.add_argument("--user", default="finance_controller")
parser.add_argument("--password", default="demo")
parser.add_argument("--month", help="a month like 2026-11 (default: all)")
arguments = parser.parse_args()

SQL = """
    SELECT month, consumer_domain, producer_domain, product, queries, bytes_scanned, cost, currency
    FROM finops.monthly_costs
    WHERE %(month)s::text IS NULL OR CAST(month AS text) LIKE %(month)s || '%%'
    ORDER BY month, consumer_domain, cost DESC, producer_domain, product
"""
host, port = arguments.postgres.rsplit(":", 1)
with psycopg.connect(host=host, port=port, user=arguments.user, password=arguments.password, dbname="mesh") as connection:
    rows = connection.execute(SQL, {"month": arguments.month}).fetchall()

by_consumer = collections.defaultdict(list)
for month, consumer, *rest in rows:
    by_consumer[(str(month), consumer)].append(rest)

for (month, consumer), costs in by_consumer.items():
    total = sum((cost for *_, cost, _ in costs), decimal.Decimal(0))
    currency = costs[0][-1]
    print(f"\n{month[:7]}  {consumer} owes {total:.9f} {currency}")
    for producer, product, queries, scanned, cost, _ in costs:
        print(f"    {producer + '.' + product:<34}{queries:>8} queries{scanned / 1e6:>14,.3f} MB{cost:>18.9f}")

if not rows:
    print("nothing was read yet")
