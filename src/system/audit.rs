//! `audit`: which decisions were made, and why; who asked for access, granted and revoked it (`access`);
//! who raised a budget or limit (`overrides`).
//!
//! Members of `audit-reader` see everything. Everybody else sees what concerns their own domain: every decision on one of its products, and
//! the decisions on its own principals. A refusal of a private product is shown to its owner only: in a reader's audit it would tell that
//! the product exists.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use rusqlite::types::Value;

use super::finops::{OVERRIDES, Whose, overrides};
use super::{Viewer, access};
use crate::catalog::{Access, Snapshot};
use crate::id::DomainName;
use crate::identity::Principal;
use crate::metering::Journal;
use crate::metering::ledger::{Column, Kind, Ledger, Walk, column, maybe, paged_table, schema_of};

/// Its members see all of `audit`.
pub const READERS: &str = "audit-reader";

const NAMES: [&str; 4] = ["access", "decisions", "overrides", "statements"];

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

/// Beyond the contract: who ran what, as far as the gateway keeps it.
const STATEMENTS: &[Column] = &[
    column("started_at", Kind::Time, "started_at"),
    column("query_id", Kind::Text, "query_id"),
    column("principal", Kind::Text, "principal"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    maybe("purpose", Kind::Text, "purpose"),
    column("protocol", Kind::Text, "protocol"),
    column("outcome", Kind::Text, "outcome"),
    column("statement_digest", Kind::Text, "statement_digest"),
    maybe("statement", Kind::Text, "statement"),
];

const OWN: &str = "substr(product, 1, length(?1) + 1) = ?1 || '.'
    OR (consumer_domain = ?1 AND (permitted OR product IN (SELECT value FROM json_each(?2))))";

/// The tables of this schema, sorted.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

fn columns(name: &str) -> Option<&'static [Column]> {
    match name {
        "decisions" => Some(DECISIONS),
        "statements" => Some(STATEMENTS),
        _ => None,
    }
}

/// The columns of a table.
pub fn schema(name: &str) -> Option<SchemaRef> {
    match name {
        "access" => Some(access::events_schema()),
        "overrides" => Some(schema_of(OVERRIDES)),
        _ => columns(name).map(schema_of),
    }
}

/// The table with what the viewer may see of it.
pub fn table(name: &str, viewer: &Viewer) -> Option<Arc<dyn TableProvider>> {
    match name {
        "access" => access::events(&viewer.access, &viewer.principal, &viewer.snapshot),
        "overrides" => overrides(&viewer.journal, Whose::of(&viewer.principal, READERS).either()),
        _ => rows(name, &viewer.principal, &viewer.snapshot, &viewer.journal),
    }
}

fn rows(name: &str, principal: &Principal, snapshot: &Snapshot, journal: &Journal) -> Option<Arc<dyn TableProvider>> {
    let columns = columns(name)?;
    let ledger = Ledger::of(journal);
    let own = |domain: &DomainName| Value::Text(domain.as_str().to_owned());
    let (table, condition, values) = match (name, Whose::of(principal, READERS)) {
        ("decisions", Whose::All) => ("decisions", "TRUE", Vec::new()),
        ("decisions", Whose::Domain(domain)) => ("decisions", OWN, vec![own(&domain), Value::Text(known_to_all(snapshot))]),
        (_, Whose::All) => ("queries", "TRUE", Vec::new()),
        (_, Whose::Domain(domain)) => ("queries", "consumer_domain = ?1", vec![own(&domain)]),
    };
    paged_table(schema_of(columns), move || Walk::begin(&ledger, columns, table, condition, values.clone()))
}

/// The products that everybody may know of, as a JSON list.
pub(super) fn known_to_all(snapshot: &Snapshot) -> String {
    let open = snapshot.products.values().filter(|product| product.versions.values().all(|version| version.access != Access::Private));
    let names: Vec<String> = open.map(|product| product.id.to_string()).collect();
    serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned())
}

#[cfg(test)]
mod tests;
