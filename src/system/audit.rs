//! `audit`: which decisions were made, and why.
//!
//! Members of `audit-reader` see everything. Everybody else sees what concerns their own domain: every decision on one of its products, and
//! the decisions on its own principals. A refusal of a private product is shown to its owner only: in a reader's audit it would tell that
//! the product exists.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use rusqlite::types::Value;

use super::Viewer;
use super::finops::Whose;
use crate::catalog::{Access, Snapshot};
use crate::identity::Principal;
use crate::metering::Journal;
use crate::metering::ledger::{Column, Kind, Ledger, Walk, column, paged_table, schema_of};

/// Its members see all of `audit`.
pub const READERS: &str = "audit-reader";

const NAMES: [&str; 1] = ["decisions"];

const DECISIONS: &[Column] = &[
    column("decided_at", Kind::Time, "decided_at"),
    column("query_id", Kind::Text, "query_id"),
    column("principal", Kind::Text, "principal"),
    column("product", Kind::Text, "product"),
    column("decision", Kind::Text, "iif(permitted, 'permit', 'deny')"),
    column("reasons", Kind::Texts, "reasons"),
    column("row_filters", Kind::Texts, "row_filters"),
    column("masks", Kind::Texts, "masks"),
    column("policy_revision", Kind::Text, "policy_revision"),
];

const OWN: &str = "substr(product, 1, length(?1) + 1) = ?1 || '.'
    OR (consumer_domain = ?1 AND (permitted OR product IN (SELECT value FROM json_each(?2))))";

/// The tables of this schema, sorted.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The columns of a table.
pub fn schema(name: &str) -> Option<SchemaRef> {
    (name == "decisions").then(|| schema_of(DECISIONS))
}

/// The table with what the viewer may see of it.
pub fn table(name: &str, viewer: &Viewer) -> Option<Arc<dyn TableProvider>> {
    view(name, &viewer.principal, &viewer.snapshot, &viewer.journal)
}

fn view(name: &str, principal: &Principal, snapshot: &Snapshot, journal: &Journal) -> Option<Arc<dyn TableProvider>> {
    let schema = schema(name)?;
    let ledger = Ledger::at(journal.path());
    let (condition, values) = match Whose::of(principal, READERS) {
        Whose::All => ("TRUE", Vec::new()),
        Whose::Domain(domain) => (OWN, vec![Value::Text(domain.as_str().to_owned()), Value::Text(known_to_all(snapshot))]),
    };
    paged_table(schema, move || Walk::begin(&ledger, DECISIONS, "decisions", condition, values.clone()))
}

/// The products that everybody may know of, as a JSON list.
fn known_to_all(snapshot: &Snapshot) -> String {
    let open = snapshot.products.values().filter(|product| product.versions.values().all(|version| version.access != Access::Private));
    let names: Vec<String> = open.map(|product| product.id.to_string()).collect();
    serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned())
}

#[cfg(test)]
mod tests;
