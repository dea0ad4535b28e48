//! What the demo prints once it serves: lines to copy and paste.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{PASSWORD, Prepared};

/// Claims that somebody else than the policy's holder made, worst first. Three domains, four products; the claimant is found among the
/// customers by a pseudonym, which is the same in every product for one consumer domain.
pub const FRAUD_QUERY: &str = "\
SELECT s.score, s.model, s.reason, c.claim_id, c.kind, c.amount, p.policy_number, p.annual_premium,
       holder.full_name AS holder, claimant.full_name AS claimant, claimant.city AS claimant_city
FROM claims.fraud_signals AS s
JOIN claims.claims_enriched AS c ON c.claim_id = s.claim_id
JOIN policy.policies_active AS p ON p.policy_id = c.policy_id
JOIN customer.customer_master AS holder ON holder.customer_id = c.customer_id
JOIN customer.customer_master AS claimant ON claimant.national_id = c.claimant_national_id
WHERE s.score > 0.8 AND claimant.customer_id <> holder.customer_id
ORDER BY s.score DESC, c.claim_id
LIMIT 20";

/// Where the gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    /// The PostgreSQL door.
    pub postgres: SocketAddr,
    /// The Flight SQL door.
    pub flight: SocketAddr,
}

/// The lines to copy and paste.
pub fn welcome(demo: &Prepared, doors: Doors) -> String {
    let psql = |user: &str| format!("PGPASSWORD={PASSWORD} psql -h {} -p {} -U {user} -d mesh", doors.postgres.ip(), doors.postgres.port());
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments<'_>| {
        // A String takes everything.
        let _ = text.write_fmt(parts);
        text.push('\n');
    };
    line(format_args!("NorthPeak Insurance is served from {}\n", demo.folder().display()));
    line(format_args!("SQL with psql, as claims_engineer (the password of everybody is \"{PASSWORD}\"):\n"));
    line(format_args!("    {}\n", psql("claims_engineer")));
    line(format_args!("Then, for claims that somebody else made:\n\n{FRAUD_QUERY};\n"));
    line(format_args!("Python over Flight, as marketing_analyst (pip install adbc-driver-flightsql pyarrow):\n"));
    line(format_args!("    {}\n", python(doors.flight)));
    line(format_args!("What it cost, as finance_controller:\n"));
    line(format_args!("    {} -c '{COSTS}'", psql("finance_controller")));
    text
}

const COSTS: &str = "SELECT month, consumer_domain, producer_domain, product, queries, bytes_scanned, cost, currency \
                     FROM finops.monthly_costs ORDER BY cost DESC";

fn python(flight: SocketAddr) -> String {
    format!(
        "python3 -c 'from adbc_driver_flightsql import dbapi; c = dbapi.connect(\"grpc://{flight}\", db_kwargs={{\"username\": \
         \"marketing_analyst\", \"password\": \"{PASSWORD}\"}}, autocommit=True).cursor(); c.execute(\"SELECT email, birth_date, city, segment \
         FROM customer.customer_master LIMIT 5\"); print(c.fetch_arrow_table())'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_the_bound_addresses() {
        let demo = Prepared { folder: "/srv/demo".into() };
        let doors = Doors { postgres: "127.0.0.1:5433".parse().unwrap(), flight: "127.0.0.1:50051".parse().unwrap() };
        let text = welcome(&demo, doors);
        assert!(text.contains("\n    PGPASSWORD=demo psql -h 127.0.0.1 -p 5433 -U claims_engineer -d mesh\n"), "{text}");
        assert!(
            text.contains(
                "dbapi.connect(\"grpc://127.0.0.1:50051\", db_kwargs={\"username\": \"marketing_analyst\", \"password\": \"demo\"}"
            )
        );
        assert_eq!(text.lines().filter(|line| line.starts_with("    ")).filter(|l| l.contains("psql") || l.contains("python3")).count(), 3);
        assert!(text.contains(&format!("\n{FRAUD_QUERY};\n")));
    }
}
