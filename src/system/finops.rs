//! `finops`: what was read, by whom, of whom, and what it cost.
//!
//! Members of `finops-reader` see everything. Everybody else sees what concerns their own domain: usage and costs where it is the consumer
//! or the producer, whole queries and budgets only where it is the consumer, because a query's total says something about what else it read.
//! What they read of another domain's product with its rows filtered is rounded up (`metering::ledger`): bytes would weigh hidden rows.

mod books;
mod budgets;
mod consumers;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use rusqlite::types::Value;

pub(super) use self::budgets::{OVERRIDES, overrides};
use super::Viewer;
use crate::catalog::Snapshot;
use crate::error::Result;
use crate::id::{DomainName, GroupName};
use crate::identity::Principal;
use crate::metering::ledger::{Column, Kind, Ledger, USAGE, Walk, column, fixed_table, maybe, paged_table, schema_of};
use crate::metering::report::{By, Span, report};
use crate::metering::{Cost, Journal, Sheet, focus};

/// Its members see all of `finops`.
pub const READERS: &str = "finops-reader";

const NAMES: [&str; 11] = [
    "budget_overrides",
    "budgets",
    "entries",
    "focus",
    "monthly_costs",
    "product_usage",
    "queries",
    "statement_lines",
    "statements",
    "top_consumers",
    "usage",
];

/// The version of `finops.focus`.
const FOCUS: focus::Version = focus::Version::V1_4;

const GATEWAY: &str = "(SELECT gateway_id FROM gateway)";
/// What a query read is summed up from both places where usage lies, one at a time: each has an index on the query.
const QUERIES: &[Column] = &[
    column("query_id", Kind::Text, "query_id"),
    column("gateway_id", Kind::Text, GATEWAY),
    column("started_at", Kind::Time, "started_at"),
    column("ended_at", Kind::Time, "ended_at"),
    column("principal", Kind::Text, "principal"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    maybe("purpose", Kind::Text, "purpose"),
    column("protocol", Kind::Text, "protocol"),
    maybe("application_name", Kind::Text, "application_name"),
    column("statement_digest", Kind::Text, "statement_digest"),
    column("duration_ms", Kind::Int, "duration_ms"),
    column("queued_ms", Kind::Int, "queued_ms"),
    column("rows_returned", Kind::Int, "rows_returned"),
    column("outcome", Kind::Text, "outcome"),
    maybe("sqlstate", Kind::Text, "sqlstate"),
    maybe("workload", Kind::Text, "workload"),
    maybe("tags", Kind::Text, "tags"),
    column(
        "bytes_scanned",
        Kind::Int,
        "(SELECT coalesce(sum(bytes_from_storage + bytes_from_cache), 0) FROM usage_here u WHERE u.query_id = queries.query_id)
             + (SELECT coalesce(sum(bytes_from_storage + bytes_from_cache), 0) FROM usage_elsewhere u WHERE u.query_id = queries.query_id)",
    ),
    column(
        "cost",
        Kind::Cost,
        "(SELECT coalesce(sum(cost_micros), 0) FROM usage_here u WHERE u.query_id = queries.query_id)
             + (SELECT coalesce(sum(cost_micros), 0) FROM usage_elsewhere u WHERE u.query_id = queries.query_id),
         (SELECT coalesce(sum(cost_rest), 0) FROM usage_here u WHERE u.query_id = queries.query_id)
             + (SELECT coalesce(sum(cost_rest), 0) FROM usage_elsewhere u WHERE u.query_id = queries.query_id)",
    ),
];

const MONTHLY: &[Column] = &[
    column("month", Kind::Text, "month"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    maybe("cost_center", Kind::Text, "cost_center"),
    column("producer_domain", Kind::Text, "producer_domain"),
    column("product", Kind::Text, "product"),
    column("queries", Kind::Int, "sum(queries)"),
    column("bytes_scanned", Kind::Int, "sum(bytes_scanned)"),
    column("cost", Kind::Cost, "sum(cost_micros), sum(cost_rest)"),
    maybe("currency", Kind::Text, "currency"),
];

/// The tables of this schema, sorted.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The columns of a table.
pub fn schema(name: &str) -> Option<SchemaRef> {
    match name {
        "usage" => Some(schema_of(USAGE)),
        "queries" => Some(schema_of(QUERIES)),
        "monthly_costs" => Some(schema_of(MONTHLY)),
        "budgets" => Some(budgets::schema()),
        "budget_overrides" => Some(schema_of(OVERRIDES)),
        "focus" => Some(focus::schema(FOCUS)),
        "product_usage" => Some(schema_of(consumers::PRODUCTS)),
        "top_consumers" => Some(schema_of(consumers::CONSUMERS)),
        "entries" => Some(schema_of(books::ENTRIES)),
        "statements" => Some(schema_of(books::STATEMENTS)),
        "statement_lines" => Some(schema_of(books::LINES)),
        _ => None,
    }
}

/// The table with what the viewer may see of it.
pub fn table(name: &str, viewer: &Viewer) -> Option<Arc<dyn TableProvider>> {
    view(name, &viewer.principal, &viewer.snapshot, &viewer.journal)
}

fn view(name: &str, principal: &Principal, snapshot: &Arc<Snapshot>, journal: &Journal) -> Option<Arc<dyn TableProvider>> {
    let whose = Whose::of(principal, READERS);
    let ledger = whose.ledger(journal);
    match name {
        "usage" => {
            let (condition, values) = whose.either();
            paged_table(schema_of(USAGE), move || Walk::begin(&ledger, USAGE, "usage", condition, values.clone()))
        }
        "queries" => {
            let (condition, values) = whose.consumer();
            paged_table(schema_of(QUERIES), move || Walk::begin(&ledger, QUERIES, "queries", condition, values.clone()))
        }
        "monthly_costs" => {
            let (condition, values) = whose.either();
            fixed_table(schema_of(MONTHLY), move || monthly(&ledger, condition, &values))
        }
        "product_usage" => {
            let (condition, values) = whose.either();
            fixed_table(schema_of(consumers::PRODUCTS), move || consumers::products(&ledger, condition, &values))
        }
        "top_consumers" => {
            let (condition, values) = whose.either();
            fixed_table(schema_of(consumers::CONSUMERS), move || consumers::consumers(&ledger, condition, &values))
        }
        "focus" => {
            let (condition, values) = whose.either();
            let mesh = snapshot.mesh.name.clone();
            fixed_table(focus::schema(FOCUS), move || focus::cost_and_usage(&ledger, FOCUS, &mesh, condition, &values))
        }
        "budgets" => {
            let (snapshot, journal) = (Arc::clone(snapshot), journal.clone());
            fixed_table(budgets::schema(), move || budgets::budgets(&ledger, &snapshot, &whose, &journal))
        }
        "budget_overrides" => overrides(journal, whose.either()),
        "entries" => books::entries(&ledger, whose.either()),
        "statements" => books::statements(ledger, whose.consumer()),
        "statement_lines" => books::lines(ledger, whose.either()),
        _ => None,
    }
}

/// The rows that `finops.monthly_costs` has for a principal, summed up otherwise.
pub fn costs(principal: &Principal, journal: &Journal, span: Span, by: By) -> Result<Sheet> {
    let whose = Whose::of(principal, READERS);
    let (condition, values) = whose.either();
    report(&whose.ledger(journal), span, by, condition, &values)
}

/// Whose rows a viewer sees.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    /// Everybody's.
    All,
    /// Those of one domain.
    Domain(DomainName),
}

impl Whose {
    /// All for members of `readers`.
    pub(super) fn of(principal: &Principal, readers: &str) -> Self {
        if principal.in_any(&[GroupName::new(readers)]) { Self::All } else { Self::Domain(principal.domain.clone()) }
    }

    /// The figures as they are told to them.
    fn ledger(&self, journal: &Journal) -> Ledger {
        let ledger = Ledger::of(journal);
        match self {
            Self::All => ledger,
            Self::Domain(domain) => ledger.seen_from(domain),
        }
    }

    pub(super) fn either(&self) -> (&'static str, Vec<Value>) {
        self.condition("consumer_domain = ?1 OR producer_domain = ?1")
    }

    fn consumer(&self) -> (&'static str, Vec<Value>) {
        self.condition("consumer_domain = ?1")
    }

    fn condition(&self, own: &'static str) -> (&'static str, Vec<Value>) {
        match self {
            Self::All => ("TRUE", Vec::new()),
            Self::Domain(domain) => (own, vec![Value::Text(domain.as_str().to_owned())]),
        }
    }

    fn includes(&self, domain: &DomainName) -> bool {
        match self {
            Self::All => true,
            Self::Domain(own) => own == domain,
        }
    }
}

fn monthly(ledger: &Ledger, condition: &str, values: &[Value]) -> Result<RecordBatch> {
    let list: Vec<&str> = MONTHLY.iter().map(|column| column.sql).collect();
    let sql = format!("SELECT {} FROM monthly WHERE {condition} GROUP BY 1, 2, 3, 4, 5, currency ORDER BY 1, 2, 4, 5, 3", list.join(", "));
    ledger.all(MONTHLY, &sql, values)
}

/// What is left of a principal's domain's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// As `finops.budgets` tells it. Less than nothing where the budget is passed.
    pub cost: Cost,
    /// What is left at the least: others than finance are told what they spent in steps.
    pub least: Cost,
    /// Whether a query that passes it is refused.
    pub blocks: bool,
}

/// What is left this month of the budget of a principal's domain; `None` where it has none.
pub fn remaining(principal: &Principal, snapshot: &Snapshot, journal: &Journal) -> Result<Option<Remaining>> {
    let Some(budget) = snapshot.domains.get(&principal.domain).and_then(|domain| domain.budget.as_ref()) else { return Ok(None) };
    let whose = Whose::of(principal, READERS);
    let told = budgets::told(&whose.ledger(journal), &whose, journal, (&principal.domain, budget), &snapshot.mesh.currency)?;
    let (cost, least) = told.remaining();
    Ok(Some(Remaining { cost: Cost::from_units(cost), least: Cost::from_units(least), blocks: budget.block }))
}

#[cfg(test)]
mod tests;
