//! `finops.top_consumers` and `finops.product_usage`: who uses what, for those who provide it.

use arrow::array::RecordBatch;
use rusqlite::types::Value;

use crate::error::Result;
use crate::metering::ledger::{Column, Kind, Ledger, column, maybe};

/// The columns of `finops.top_consumers`.
pub(super) const CONSUMERS: &[Column] = &[
    column("month", Kind::Text, "month"),
    column("producer_domain", Kind::Text, "producer_domain"),
    column("product", Kind::Text, "product"),
    column("rank", Kind::Int, "rank() OVER (PARTITION BY month, producer_domain, product ORDER BY sum(bytes_scanned) DESC)"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    column("principal", Kind::Text, "principal"),
    maybe("application_name", Kind::Text, "application_name"),
    maybe("purpose", Kind::Text, "purpose"),
    maybe("workload", Kind::Text, "workload"),
    column("queries", Kind::Int, "count(DISTINCT query_id)"),
    column("bytes_scanned", Kind::Int, "sum(bytes_scanned)"),
    column("cost", Kind::Cost, "sum(cost_micros), sum(cost_rest)"),
    maybe("currency", Kind::Text, "currency"),
];

/// The columns of `finops.product_usage`.
pub(super) const PRODUCTS: &[Column] = &[
    column("month", Kind::Text, "month"),
    column("producer_domain", Kind::Text, "producer_domain"),
    column("product", Kind::Text, "product"),
    column("consumer_domains", Kind::Int, "count(DISTINCT consumer_domain)"),
    column("principals", Kind::Int, "count(DISTINCT consumer_domain || ' ' || principal)"),
    column("queries", Kind::Int, "count(DISTINCT query_id)"),
    column("bytes_scanned", Kind::Int, "sum(bytes_scanned)"),
    column("cost", Kind::Cost, "sum(cost_micros), sum(cost_rest)"),
    maybe("currency", Kind::Text, "currency"),
];

/// Each principal's use of a product, by application and purpose, the greatest first. Corrections have no principal and are not among them.
pub(super) fn consumers(ledger: &Ledger, condition: &str, values: &[Value]) -> Result<RecordBatch> {
    let condition = format!("({condition}) AND principal IS NOT NULL");
    let grouped = "month, producer_domain, product, consumer_domain, principal, application_name, purpose, workload, currency";
    ledger.all(CONSUMERS, &summed(CONSUMERS, &condition, grouped, "1, 2, 3, 4, 5, 6, 7, 8, 9"), values)
}

/// The use of each product, corrections of its cost included.
pub(super) fn products(ledger: &Ledger, condition: &str, values: &[Value]) -> Result<RecordBatch> {
    ledger.all(PRODUCTS, &summed(PRODUCTS, condition, "month, producer_domain, product, currency", "1, 2, 3, currency"), values)
}

fn summed(columns: &[Column], condition: &str, grouped: &str, ordered: &str) -> String {
    let list: Vec<&str> = columns.iter().map(|column| column.sql).collect();
    format!("SELECT {} FROM charges WHERE {condition} GROUP BY {grouped} ORDER BY {ordered}", list.join(", "))
}
