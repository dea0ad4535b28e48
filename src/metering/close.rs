//! The end of a month: its rows are frozen, and a statement is issued to each consumer domain that was charged.
//!
//! A close is two short writes with the reckoning between them, because a gateway that runs must not wait for it. The first forbids every
//! further row of the month; so what is summed up then cannot change, and whoever is interrupted before the second can close again.
//! What is settled later for a closed month is a row of the first open one (`journal::entries`).

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::Month;
use super::journal::Books;
use super::statement::{Draft, Statement, drafts};
use crate::catalog::{Billing, Snapshot};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::DomainName;

/// What a close is made with, beside the journal.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// What the statements are for.
    pub billing: Billing,
    /// The domains' cost centres. Of consumers they count where a row has none of its own.
    pub cost_centers: BTreeMap<DomainName, String>,
}

impl Terms {
    /// Those of a catalog.
    pub fn of(snapshot: &Snapshot) -> Self {
        let centers = snapshot.domains.values().filter_map(|domain| Some((domain.name.clone(), domain.cost_center.clone()?)));
        Self { billing: snapshot.mesh.billing, cost_centers: centers.collect() }
    }
}

/// What closing a month came to.
#[derive(Debug)]
pub struct Closed {
    /// Whether it had been closed before; then nothing was changed.
    pub before: bool,
    /// Its statements.
    pub statements: Vec<Statement>,
}

/// Closes a month and issues its statements. Works beside a gateway and without one.
///
/// # Errors
/// Where the month is not over, a query of it is not settled, an earlier month with charges is open, or, for chargeback, a domain has no cost
/// centre.
pub fn close(state: &Path, month: Month, now: DateTime<Utc>, terms: &Terms) -> Result<Closed> {
    if now < month.end() {
        let hint = format!("It ends on {}. `meshgate report --month {month}` shows it so far.", month.next().first_day());
        return Err(Fault::new(ErrorKind::NotInState, format!("{month} is not over")).with_hint(hint));
    }
    let books = Books::open(state, now)?;
    let mut connection = books.connect()?;
    let before = is_issued(&connection, month)?;
    if !before {
        // Before anything is written, so that a mistake of the catalog leaves the month as it is.
        drafts(&connection, month, terms)?;
        freeze(&mut connection, month, now)?;
        let drafts = drafts(&connection, month, terms)?;
        issue(&mut connection, month, now, terms.billing, &drafts).map_err(Books::cannot_write)?;
    }
    Ok(Closed { before, statements: Statement::of_month(&connection, month)? })
}

/// Whether a month is closed and has its statements.
pub(super) fn is_issued(connection: &Connection, month: Month) -> Result<bool> {
    let sql = "SELECT max(month) >= ?1 AND (EXISTS (SELECT 1 FROM statements WHERE month = ?1)
                   OR NOT EXISTS (SELECT 1 FROM own_usage WHERE month = ?1 AND currency IS NOT NULL)
                       AND NOT EXISTS (SELECT 1 FROM corrections WHERE month = ?1)) FROM closes";
    let issued: Option<bool> = connection.query_row(sql, [month.to_string()], |row| row.get(0)).map_err(Books::cannot_read)?;
    Ok(issued.unwrap_or(false))
}

/// From here on no row is written for the month, or an earlier one.
fn freeze(connection: &mut Connection, month: Month, now: DateTime<Utc>) -> Result<()> {
    let write = Books::cannot_write;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write)?;
    let last: Option<String> = transaction.query_row("SELECT max(month) FROM closes", [], |row| row.get(0)).map_err(write)?;
    if last.as_ref().is_some_and(|last| *last >= month.to_string()) {
        return Ok(());
    }
    if let Some(earlier) = earlier(&transaction, last.as_deref().unwrap_or(""), month).map_err(write)? {
        let fault = Fault::new(ErrorKind::NotInState, format!("{earlier} is not closed, and comes before {month}"));
        return Err(fault.with_hint(format!("Close the months in their order: `meshgate close {earlier}` first.")));
    }
    let running = "SELECT count(*) FROM open WHERE json_extract(record, '$.started_at') < ?1";
    let running: i64 = transaction.query_row(running, [month.end().timestamp_micros()], |row| row.get(0)).map_err(write)?;
    if running > 0 {
        let fault = Fault::new(ErrorKind::NotInState, format!("queries that began in {month} are not settled: {running}"));
        return Err(fault.with_hint("They still run. Close the month when they have ended."));
    }
    transaction.execute("INSERT INTO closes VALUES (?1, ?2)", params![month.to_string(), now.timestamp_micros()]).map_err(write)?;
    transaction.commit().map_err(write)
}

/// An earlier month with charges that is not closed.
fn earlier(transaction: &Transaction<'_>, last: &str, month: Month) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT min(month) FROM (
                   SELECT * FROM (SELECT month FROM own_usage WHERE month > ?1 AND month < ?2 ORDER BY month LIMIT 1)
                   UNION ALL SELECT month FROM corrections WHERE month > ?1 AND month < ?2)";
    transaction.query_row(sql, params![last, month.to_string()], |row| row.get(0))
}

/// Writes the statements, once.
fn issue(connection: &mut Connection, month: Month, now: DateTime<Utc>, billing: Billing, drafts: &[Draft]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let gateway: String = transaction.query_row("SELECT gateway_id FROM gateway", [], |row| row.get(0))?;
    let issued = transaction.query_row("SELECT 1 FROM statements WHERE month = ?1", [month.to_string()], |_| Ok(())).optional()?;
    if issued.is_some() {
        return Ok(());
    }
    for draft in drafts {
        let previous = "SELECT hash FROM statements ORDER BY entry DESC LIMIT 1";
        let previous: Option<String> = transaction.query_row(previous, [], |row| row.get(0)).optional()?;
        let statement = draft.clone().issue(&gateway, month, billing, now, previous);
        transaction.execute(
            "INSERT INTO statements (statement_id, month, consumer_domain, currency, mode, issued_at, previous, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                statement.statement_id,
                statement.month,
                statement.consumer_domain,
                statement.currency,
                statement.mode,
                statement.issued_at,
                statement.previous,
                statement.hash(),
            ],
        )?;
        for line in &statement.lines {
            line.insert(&transaction, &statement.statement_id)?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests;
