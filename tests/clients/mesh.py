"""What all client scripts share: where the demo listens, who its readers are, the queries, and checks that say what they promise."""

import json
import os

PASSWORD = "demo"
POSTGRES = os.environ.get("MESHGATE_POSTGRES", "127.0.0.1:5433")
FLIGHT = os.environ.get("MESHGATE_FLIGHT", "127.0.0.1:50051")

CUSTOMERS = "customer.customer_master"

# Claims that the models find suspicious, with the policy and the claimant. National ids are pseudonyms for a claims engineer, and join.
FRAUD = """
SELECT c.claim_id, c.amount, f.model, f.score, p.policy_number, p.line, m.national_id, m.full_name, m.email, m.birth_date
FROM claims.claims_enriched c
JOIN claims.fraud_signals f ON f.claim_id = c.claim_id
JOIN policy.policies_active p ON p.policy_id = c.policy_id
JOIN customer.customer_master m ON m.national_id = c.claimant_national_id
WHERE f.score > 0.5
ORDER BY f.score DESC, c.claim_id, f.model
LIMIT 50
"""

# Runs until it is cancelled.
ENDLESS = "SELECT count(*) FROM " + ", ".join(f"claims.claims_enriched {name}" for name in "abcdefg")

# Each product with the columns that put its rows in one order.
PRODUCTS = {
    "claims.claims_enriched": "claim_id",
    "claims.fraud_signals": "signal_id",
    "customer.customer_master": "customer_id",
    "finance.premium_ledger": "entry_id",
    "marketing.marketing_segments": "customer_id, campaign, campaign_segment",
    "policy.policies_active": "policy_id",
    "policy.telematics_daily": "policy_id, device_id, day",
    "pricing.risk_factors": "factor_id",
}

PERSONAS = ["claims_engineer", "marketing_analyst", "finance_controller", "customer_steward", "platform_admin", "newcomer"]


def postgres_uri(user: str, scheme: str = "postgresql") -> str:
    return f"{scheme}://{user}:{PASSWORD}@{POSTGRES}/mesh"


def flight_uri() -> str:
    return f"grpc://{FLIGHT}"


def passed(client: str, version: str, exercised: str, cannot: str = "") -> None:
    """Says that a client passed, for the table in docs/clients.md. `cannot` is what it cannot have here, and why."""
    print(json.dumps({"client": client, "version": version, "exercised": exercised, "cannot": cannot}), flush=True)


def check(condition: object, promise: str) -> None:
    """Fails with the promise that was not kept."""
    if not condition:
        raise SystemExit(f"not kept: {promise}")


def same(one: object, other: object, promise: str) -> None:
    """Fails with the promise and the first difference."""
    if one == other:
        return
    if isinstance(one, list) and isinstance(other, list):
        pairs = [(a, b) for a, b in zip(one, other) if a != b][:1] or [(len(one), len(other))]
        raise SystemExit(f"not kept: {promise}\n  one:   {pairs[0][0]!r}\n  other: {pairs[0][1]!r}")
    raise SystemExit(f"not kept: {promise}\n  one:   {one!r}\n  other: {other!r}")


def check_personas(rows, refusal) -> None:
    """What each reader sees of the customers, whichever the door.

    `rows(user, sql)` gives rows as tuples, `refusal(user, sql)` gives the text of the error, with its hint.
    """
    columns = "customer_id, national_id, full_name, email, phone, birth_date, region, marketing_consent, credit_score"
    everything = f"SELECT {columns} FROM {CUSTOMERS} ORDER BY customer_id"
    clear = rows("customer_steward", everything)
    claims = rows("claims_engineer", everything)
    marketing = rows("marketing_analyst", everything)

    ids = [row[1] for row in clear if row[1] is not None]
    check(clear and len(ids) > len(clear) // 2, "the steward reads national ids")

    same([row[0] for row in claims], [row[0] for row in clear], "the claims engineer sees every customer")
    pseudonyms = [row[1] for row in claims if row[1] is not None]
    same(len(set(pseudonyms)), len(set(ids)), "a pseudonym stands for one national id")
    check(not set(pseudonyms) & set(ids), "a pseudonym is not a national id")
    check(not {row[2] for row in claims if row[2]} & {row[2] for row in clear if row[2]}, "no clear name reaches the claims engineer")
    check(all(row[5] is None or (row[5].month, row[5].day) == (1, 1) for row in claims), "birth dates are cut to their year")

    check(0 < len(marketing) < len(clear), "the marketing analyst sees fewer customers")
    check(all(row[6] == "eu" and row[7] for row in marketing), "they are of the region, and agreed")
    check(all(row[1] is None and row[2] is None for row in marketing), "national ids and names are NULL for marketing")
    addresses = {row[3] for row in clear if row[3]}
    check(not {row[3] for row in marketing if row[3]} & addresses, "no clear address reaches marketing")

    counted = rows("marketing_analyst", f"SELECT count(*) FROM {CUSTOMERS} WHERE national_id = '{ids[0]}'")
    same([tuple(row) for row in counted], [(0,)], "a masked column cannot be probed")

    text = refusal("newcomer", f"SELECT * FROM {CUSTOMERS}")
    check("customer_master" in text and "permission denied" in text, f"the newcomer is refused: {text}")
    check("hint" in text.lower(), f"the refusal says what to do: {text}")
    text = refusal("newcomer", "SELECT * FROM claims.fraud_signals")
    missing = refusal("newcomer", "SELECT * FROM claims.fraud_signalz")
    same(text.replace("signals", "signalz"), missing, "a private product looks like a missing one")
    check(rows("newcomer", "SELECT count(*) FROM pricing.risk_factors")[0][0] > 0, "everybody reads an open product")


def check_fraud(found: list) -> None:
    """The rows of FRAUD as the claims engineer sees them."""
    check(len(found) == 50, "the fraud query finds suspicious claims")
    check(all(row[6] and row[4] for row in found), "each joins its policy and its claimant")
    scores = [row[3] for row in found]
    check(scores == sorted(scores, reverse=True), "the rows are in order")
