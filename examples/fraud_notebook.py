#!/usr/bin/env python3
"""Where does fraud hide? Three data products of two domains, joined over Arrow Flight, and a chart.

A notebook as a script: open it in an editor that knows `# %%` cells, or run it while `meshgate demo` runs:

    pip install pyarrow matplotlib
    python examples/fraud_notebook.py
"""

# %% Connect: a name and a password for a token, which goes with every call.
import argparse

import matplotlib
import pyarrow as pa
import pyarrow.flight as flight

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--flight", default="127.0.0.1:50051", help="where the gateway serves Flight")
parser.add_argument("--user", default="claims_engineer")
parser.add_argument("--password", default="demo")
parser.add_argument("--chart", default="fraud.png", help="the picture to write")
arguments, _ = parser.parse_known_args()

client = flight.connect(f"grpc://{arguments.flight}")
token = client.authenticate_basic_token(arguments.user, arguments.password)
options = flight.FlightCallOptions(headers=[token, (b"x-meshgate-purpose", b"fraud_investigation")])


def query(sql: str) -> pa.Table:
    """Runs SQL where the data is, and brings the result here as an Arrow table."""
    info = client.get_flight_info(flight.FlightDescriptor.for_command(sql.encode()), options)
    return client.do_get(info.endpoints[0].ticket, options).read_all()


# %% Which lines of business, and when? Claims, what the models say about them, and the policies they were made on.
by_month = query("""
    WITH judged AS (
      SELECT claim_id, max(score) AS score FROM claims.fraud_signals GROUP BY claim_id
    )
    SELECT p.line, c.reported_month AS month, count(*) AS claims,
           sum(CASE WHEN j.score > 0.5 THEN 1 ELSE 0 END) AS suspicious,
           CAST(sum(CASE WHEN j.score > 0.5 THEN c.amount ELSE 0 END) AS DOUBLE PRECISION) AS at_risk
    FROM claims.claims_enriched c
    JOIN policy.policies_active p ON p.policy_id = c.policy_id
    LEFT JOIN judged j ON j.claim_id = c.claim_id
    GROUP BY p.line, c.reported_month
    ORDER BY p.line, c.reported_month
""")
lines: dict[str, list[dict]] = {}
for row in by_month.to_pylist():
    lines.setdefault(row["line"], []).append(row)

print(f"{'line':<10}{'claims':>10}{'suspicious':>12}{'at risk':>16}")
for line, months in lines.items():
    total = {key: sum(row[key] for row in months) for key in ("claims", "suspicious", "at_risk")}
    print(f"{line:<10}{total['claims']:>10,}{total['suspicious']:>12,}{total['at_risk']:>16,.0f}")

# %% Who claims again and again? National ids are pseudonyms here: they join, and they name nobody.
repeated = query("""
    SELECT c.claimant_national_id AS claimant, count(*) AS claims, CAST(sum(c.amount) AS DOUBLE PRECISION) AS amount
    FROM claims.claims_enriched c
    JOIN claims.fraud_signals f ON f.claim_id = c.claim_id
    WHERE f.score > 0.5
    GROUP BY c.claimant_national_id
    ORDER BY claims DESC, amount DESC
    LIMIT 5
""")
print("\nmost suspicious claimants")
for row in repeated.to_pylist():
    print(f"  {str(row['claimant'])[:20]:<22}{row['claims']:>4} claims {row['amount']:>14,.0f}")

# %% Draw it.
COLOURS = {"motor": "#1f5fa8", "home": "#d9822b", "travel": "#3c8d5a", "life": "#8c4a9e"}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=[2, 1], layout="constrained")
months = sorted({row["month"] for row in by_month.to_pylist()})
for line, rows in lines.items():
    share = {row["month"]: 100 * row["suspicious"] / row["claims"] for row in rows}
    left.plot(months, [share.get(month) for month in months], marker="o", markersize=3, color=COLOURS.get(line), label=line)
left.set_title("Suspicious claims, share of all by month reported")
left.set_ylabel("% of claims")
left.set_xticks(months[:: max(1, len(months) // 8)])
left.tick_params(axis="x", rotation=30)
left.legend(frameon=False, ncols=4, loc="upper center")
left.set_ylim(0, left.get_ylim()[1] * 1.15)  # room for the legend
amounts = sorted(((line, sum(row["at_risk"] for row in rows) / 1e6) for line, rows in lines.items()), key=lambda pair: pair[1])
bars = right.barh([line for line, _ in amounts], [amount for _, amount in amounts], color=[COLOURS.get(line) for line, _ in amounts])
right.bar_label(bars, fmt="%.2f", padding=3)
right.set_title("Amount at risk, millions")
right.margins(x=0.18)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(arguments.chart, dpi=150)
print(f"\nwrote {arguments.chart}")
