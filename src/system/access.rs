//! `mesh.grants` and `audit.access`, read from the access records.
//!
//! A grant is shown to its grantee, to the stewards of its product, and to who looks after the platform or reads the audit. An act is shown
//! as decisions are: all of them to members of `audit-reader`; to everybody else those on products of their own domain, and those on its
//! principals. That somebody of the domain asked for a private product that they were not granted is shown to its owner only.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use rusqlite::types::Value;

use super::audit;
use super::finops::Whose;
use crate::access::{Access, is_administrator, is_steward_of};
use crate::catalog::Snapshot;
use crate::identity::Principal;
use crate::metering::ledger::{Column, Kind, Ledger, Walk, column, maybe, paged_table, schema_of};

/// `?1` is the time.
const GRANTS: &[Column] = &[
    column("grant_id", Kind::Text, "grant_id"),
    column("principal", Kind::Text, "principal"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    column("domain", Kind::Text, "domain"),
    column("product", Kind::Text, "product"),
    maybe("purpose", Kind::Text, "purpose"),
    column("reason", Kind::Text, "reason"),
    column("status", Kind::Text, "iif(revoked_at IS NOT NULL, 'revoked', iif(expires_at <= ?1, 'expired', 'live'))"),
    column("granted_at", Kind::Time, "granted_at"),
    column("expires_at", Kind::Time, "expires_at"),
    column("granted_by", Kind::Text, "granted_by"),
    column("request_id", Kind::Text, "request_id"),
    maybe("revoked_at", Kind::Time, "revoked_at"),
    maybe("revoked_by", Kind::Text, "revoked_by"),
];

const CONCERNED: &str = "?1 IS NOT NULL AND ((principal = ?2 AND consumer_domain = ?3) OR domain IN (SELECT value FROM json_each(?4)))";

const EVENTS: &[Column] = &[
    column("occurred_at", Kind::Time, "occurred_at"),
    column("action", Kind::Text, "action"),
    column("actor", Kind::Text, "actor"),
    column("request_id", Kind::Text, "request_id"),
    maybe("grant_id", Kind::Text, "grant_id"),
    column("principal", Kind::Text, "principal"),
    column("product", Kind::Text, "domain || '.' || product"),
    maybe("purpose", Kind::Text, "purpose"),
    maybe("expires_at", Kind::Time, "expires_at"),
    maybe("reason", Kind::Text, "reason"),
];

const OWN: &str = "domain = ?1
    OR (consumer_domain = ?1 AND (grant_id IS NOT NULL OR domain || '.' || product IN (SELECT value FROM json_each(?2))))";

/// The columns of `mesh.grants`.
pub(super) fn grants_schema() -> SchemaRef {
    schema_of(GRANTS)
}

/// The columns of `audit.access`.
pub(super) fn events_schema() -> SchemaRef {
    schema_of(EVENTS)
}

/// `mesh.grants`.
pub(super) fn grants(access: &Access, principal: &Principal, snapshot: &Snapshot) -> Option<Arc<dyn TableProvider>> {
    let (records, clock) = (Ledger::at(access.path()), access.clone());
    let all = is_administrator(principal) || principal.groups.iter().any(|group| group.as_str() == audit::READERS);
    let stewarded: Vec<&str> =
        snapshot.domains.keys().filter(|domain| is_steward_of(principal, snapshot, domain)).map(|domain| domain.as_str()).collect();
    let stewarded = serde_json::to_string(&stewarded).unwrap_or_else(|_| "[]".to_owned());
    let mine = [principal.name.as_str().to_owned(), principal.domain.as_str().to_owned(), stewarded].map(Value::Text);
    paged_table(grants_schema(), move || {
        let now = Value::Integer(clock.now().timestamp_micros());
        match all {
            true => Walk::begin(&records, GRANTS, "grants", "?1 IS NOT NULL", vec![now]),
            false => Walk::begin(&records, GRANTS, "grants", CONCERNED, std::iter::once(now).chain(mine.clone()).collect()),
        }
    })
}

/// `audit.access`.
pub(super) fn events(access: &Access, principal: &Principal, snapshot: &Snapshot) -> Option<Arc<dyn TableProvider>> {
    let records = Ledger::at(access.path());
    let (condition, values) = match Whose::of(principal, audit::READERS) {
        Whose::All => ("TRUE", Vec::new()),
        Whose::Domain(domain) => (OWN, vec![Value::Text(domain.as_str().to_owned()), Value::Text(audit::known_to_all(snapshot))]),
    };
    paged_table(events_schema(), move || Walk::begin(&records, EVENTS, "events", condition, values.clone()))
}
