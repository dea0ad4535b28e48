//! `finops.entries`, the two sides of every charge, and `finops.statements` with their lines.
//!
//! Entries are the ledger's rows told twice, once for who owes and once for whom it is owed. There is nothing written that they could differ from,
//! so they always add up to zero.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use rusqlite::types::Value;

use crate::metering::ledger::{Begin, Column, Kind, Ledger, Walk, column, fixed_table, maybe, paged_tables, schema_of};

/// The columns of `finops.entries`, of rows that differ in where they come from.
const fn entry(
    charge_id: &'static str,
    booked_at: &'static str,
    kind: &'static str,
    query_id: &'static str,
    reason: &'static str,
) -> [Column; 13] {
    [
        column("charge_id", Kind::Text, charge_id),
        column("side", Kind::Text, "iif(sign > 0, 'debit', 'credit')"),
        column("month", Kind::Text, "month"),
        column("booked_at", Kind::Time, booked_at),
        column("kind", Kind::Text, kind),
        column("domain", Kind::Text, "iif(sign > 0, consumer_domain, producer_domain)"),
        column("counterparty", Kind::Text, "iif(sign > 0, producer_domain, consumer_domain)"),
        column("producer_domain", Kind::Text, "producer_domain"),
        column("product", Kind::Text, "product"),
        maybe("query_id", Kind::Text, query_id),
        column("amount", Kind::Cost, "sign * cost_micros, sign * cost_rest"),
        maybe("currency", Kind::Text, "currency"),
        maybe("reason", Kind::Text, reason),
    ]
}

/// Those of usage.
pub(super) const ENTRIES: &[Column] = &entry("gateway_id || '-' || boot || '-' || seq", "ended_at", "'usage'", "query_id", "NULL");

/// Those of corrections.
const CORRECTIONS: &[Column] = &entry("correction_id", "corrected_at", "'correction'", "NULL", "reason || ' (' || corrected_by || ')'");

const BOTH_SIDES: &str = "CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1)";

/// Both sides of the charges for which a condition holds.
pub(super) fn entries(ledger: &Ledger, (condition, values): (&'static str, Vec<Value>)) -> Option<Arc<dyn TableProvider>> {
    let walk = |columns: &'static [Column], table: &'static str| -> Begin {
        let (ledger, values) = (ledger.clone(), values.clone());
        Box::new(move || Walk::join(&ledger, columns, table, BOTH_SIDES, condition, values.clone()))
    };
    paged_tables(schema_of(ENTRIES), vec![walk(ENTRIES, "usage"), walk(CORRECTIONS, "corrections")])
}

/// The columns of `finops.statements`.
pub(super) const STATEMENTS: &[Column] = &[
    column("statement_id", Kind::Text, "s.statement_id"),
    column("month", Kind::Text, "month"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    column("mode", Kind::Text, "mode"),
    column("issued_at", Kind::Time, "issued_at"),
    column("lines", Kind::Int, "count(*)"),
    column("cost", Kind::Cost, "sum(cost_micros), sum(cost_rest)"),
    column("currency", Kind::Text, "currency"),
    // Whoever is told rounded figures could try which exact ones have this hash.
    maybe("hash", Kind::Text, "iif(EXISTS (SELECT 1 FROM reader) AND max(told_rounded), NULL, hash)"),
];

/// The columns of `finops.statement_lines`.
pub(super) const LINES: &[Column] = &[
    column("statement_id", Kind::Text, "s.statement_id"),
    column("line", Kind::Int, "line"),
    column("month", Kind::Text, "month"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    column("kind", Kind::Text, "kind"),
    column("of_month", Kind::Text, "of_month"),
    maybe("cost_center", Kind::Text, "cost_center"),
    column("producer_domain", Kind::Text, "producer_domain"),
    maybe("producer_cost_center", Kind::Text, "producer_cost_center"),
    column("product", Kind::Text, "product"),
    maybe("price_id", Kind::Text, "price_id"),
    maybe("unit_price", Kind::Price, "unit_price"),
    column("queries", Kind::Int, "queries"),
    column("bytes_scanned", Kind::Int, "bytes_scanned"),
    column("bytes_charged", Kind::Int, "bytes_charged"),
    column("cost", Kind::Cost, "cost_micros, cost_rest"),
    column("currency", Kind::Text, "currency"),
    maybe("reason", Kind::Text, "reason"),
];

const ISSUED: &str = "statements s JOIN statement_lines l ON l.statement_id = s.statement_id";

/// The statements for which a condition holds, with their totals.
pub(super) fn statements(ledger: Ledger, which: (&'static str, Vec<Value>)) -> Option<Arc<dyn TableProvider>> {
    few(ledger, STATEMENTS, which, "GROUP BY s.entry ORDER BY s.entry")
}

/// Their lines.
pub(super) fn lines(ledger: Ledger, which: (&'static str, Vec<Value>)) -> Option<Arc<dyn TableProvider>> {
    few(ledger, LINES, which, "ORDER BY s.entry, line")
}

fn few(
    ledger: Ledger,
    columns: &'static [Column],
    (condition, values): (&'static str, Vec<Value>),
    end: &'static str,
) -> Option<Arc<dyn TableProvider>> {
    let list: Vec<&str> = columns.iter().map(|column| column.sql).collect();
    let sql = format!("SELECT {} FROM {ISSUED} WHERE ({condition}) {end}", list.join(", "));
    fixed_table(schema_of(columns), move || ledger.all(columns, &sql, &values))
}
