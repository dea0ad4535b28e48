//! Who sees what of the NorthPeak mesh, as a file that is reviewed like code: every principal, product and column.
//!
//! After a change that is meant, `MESHGATE_BLESS=1 cargo test --lib policy::matrix` writes the file anew; the diff is the review.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::fixtures::{self, groups};
use super::{Decision, decide};
use crate::catalog::{Catalog, PortRef, ProductVersion, Snapshot};
use crate::id::{DomainName, PrincipalName};
use crate::identity::Principal;

fn principals() -> Vec<Principal> {
    let all: [(&str, &str, &[&str], Option<&str>); 8] = [
        (
            "claims_engineer",
            "claims",
            &["dp-customer-customer_master-reader", "dp-policy-policies_active-reader", "claims-data"],
            Some("eu"),
        ),
        ("marketing_analyst", "marketing", &["dp-customer-customer_master-reader"], Some("eu")),
        ("finance_controller", "finance", &["finops-reader"], Some("eu")),
        ("customer_steward", "customer", &["customer-stewards", "pii-clear"], Some("eu")),
        ("platform_admin", "policy", &[], Some("eu")),
        ("newcomer", "marketing", &[], None),
        ("reader_of_all", "finance", &EVERY_READER_GROUP, Some("eu")),
        ("reader_from_abroad", "finance", &EVERY_READER_GROUP, Some("us")),
    ];
    let principal = |(name, domain, in_groups, region): (&str, &str, &[&str], Option<&str>)| Principal {
        name: PrincipalName::new(name),
        domain: DomainName::new(domain).unwrap(),
        groups: groups(in_groups).into_iter().collect(),
        attributes: region.map(|region| ("region".to_owned(), region.to_owned())).into_iter().collect(),
        token: None,
    };
    all.into_iter().map(principal).collect()
}

const EVERY_READER_GROUP: [&str; 8] = [
    "dp-claims-claims_enriched-reader",
    "dp-claims-fraud_signals-reader",
    "dp-customer-customer_master-reader",
    "dp-finance-premium_ledger-reader",
    "dp-marketing-marketing_segments-reader",
    "dp-policy-policies_active-reader",
    "dp-policy-telematics_daily-reader",
    "dp-pricing-risk_factors-reader",
];

fn schema_of(product: &ProductVersion) -> SchemaRef {
    let columns = product.ports[0].columns.as_ref().expect("NorthPeak's contracts list their columns");
    Arc::new(Schema::new(columns.iter().map(|c| c.field(c.nullable)).collect::<Vec<_>>()))
}

fn rows(snapshot: &Snapshot, principal: &Principal, product: &Arc<ProductVersion>, out: &mut String) {
    let schema = schema_of(product);
    let target = PortRef { product: Arc::clone(product), port: 0 };
    let domain = &snapshot.domains[&product.id.domain];
    let request = fixtures::request(principal, &target, &snapshot.mesh, domain);
    let who = format!("{} {}", principal.name, product.id);
    match decide(&request, &schema) {
        Decision::Denied(denial) => {
            let fault = denial.to_fault(product.id.domain.as_str(), product.id.product.as_str());
            writeln!(out, "{who}: denied, {} ({})", fault.sqlstate(), denial.reasons[0].text).unwrap();
        }
        Decision::Permit(permit) => {
            let filter = permit.filter().map_or_else(|| "all rows".to_owned(), ToString::to_string);
            writeln!(out, "{who}: {filter}").unwrap();
            for field in schema.fields() {
                let shown = permit.masks().get(field.name()).map_or_else(|| "clear".to_owned(), ToString::to_string);
                writeln!(out, "    {:<20} {shown}", field.name()).unwrap();
            }
        }
    }
}

#[test]
fn the_policy_matrix_of_northpeak_is_the_reviewed_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let snapshot = Catalog::inspect(&root.join("catalog")).expect("the example mesh loads");
    assert!(snapshot.products.len() >= 8, "all products of NorthPeak");
    let mut found = String::new();
    for principal in principals() {
        for product in snapshot.products.values() {
            rows(&snapshot, &principal, product.newest(), &mut found);
        }
    }
    let golden = root.join("tests/golden/policy-matrix.txt");
    if std::env::var_os("MESHGATE_BLESS").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &found).unwrap();
    }
    let reviewed = std::fs::read_to_string(&golden).expect("the reviewed matrix");
    assert_eq!(found, reviewed, "run with MESHGATE_BLESS=1 and review the difference");
}
