//! The six principals of the demo.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;

use crate::identity::VerifierError;
use crate::identity::users::{UserEntry, UsersError, add_user, make_verifier};

/// The password of all of them.
pub const PASSWORD: &str = "demo";

/// A principal of the demo.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// The login.
    pub name: &'static str,
    /// The consumer domain: it pays.
    pub domain: &'static str,
    /// The groups.
    pub groups: &'static [&'static str],
}

/// Who there is. All of them are in the region `eu`.
pub const PRINCIPALS: [Person; 6] = [
    // Investigates claims: the customers and policies behind them, with pseudonyms that join.
    Person {
        name: "claims_engineer",
        domain: "claims",
        groups: &[
            "dp-customer-customer_master-reader",
            "dp-policy-policies_active-reader",
            "dp-policy-telematics_daily-reader",
            "claims-data",
        ],
    },
    // Plans campaigns: the consenting customers of the region, with nothing that names them.
    Person { name: "marketing_analyst", domain: "marketing", groups: &["dp-customer-customer_master-reader"] },
    // Reads the bill.
    Person { name: "finance_controller", domain: "finance", groups: &["finops-reader"] },
    // Answers for the customers' data, and sees it as it is.
    Person { name: "customer_steward", domain: "customer", groups: &["customer-stewards", "pii-clear"] },
    // Runs the gateway: sees what it did, not what it read.
    Person { name: "platform_admin", domain: "platform", groups: &["platform-admin", "finops-reader", "audit-reader"] },
    // Started today.
    Person { name: "newcomer", domain: "pricing", groups: &[] },
];

/// Why the users could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error("{0}")]
    Entry(String),
}

/// Writes the users file. Slow on purpose: each verifier takes thousands of rounds.
pub(super) fn write(path: &Path) -> Result<(), UserError> {
    let password = SecretString::from(PASSWORD);
    for person in PRINCIPALS {
        let groups = person.groups.iter().map(|group| (*group).to_owned()).collect();
        let attributes = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
        let entry = UserEntry::new(person.name, person.domain, groups, attributes, make_verifier(&password)?).map_err(UserError::Entry)?;
        add_user(path, entry)?;
    }
    Ok(())
}
