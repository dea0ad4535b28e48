//! Corrections: what finance adds to, or takes from, what a domain owes for a product. A closed month never changes, so a correction of one is
//! a row of the first open month, with its reason and who made it.

use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::budget::Whose;
use super::journal::Books;
use super::{COST_SCALE, Cost, Month, units};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, ProductId};

/// Characters of a reason, and of a name.
const MAX_TEXT: usize = 1000;

/// A correction as it is asked for.
#[derive(Debug, Clone)]
pub struct Correction {
    /// Who owes more, or less.
    pub consumer: DomainName,
    /// For what.
    pub product: ProductId,
    /// The month that was wrong.
    pub month: Month,
    /// What is added to what the consumer owes, in the currency that it was charged in; negative: what is taken off.
    pub amount: Decimal,
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub by: String,
}

/// A correction as it was booked.
#[derive(Debug, PartialEq, Eq)]
pub struct Booked {
    /// Its id.
    pub correction_id: String,
    /// The month that bills it.
    pub month: Month,
    /// ISO 4217 code.
    pub currency: String,
}

/// Books a correction. Works beside a gateway and without one. Twice is twice.
///
/// # Errors
/// Where the amount is zero or finer than the ledger, the reason or the name is empty or too long, the month has not begun, or the domain was
/// never charged for the product.
pub fn correct(state: &Path, correction: &Correction, now: DateTime<Utc>) -> Result<Booked> {
    let Correction { consumer, product, month, amount, reason, by } = correction;
    let wrong = |what: String| Err(Fault::new(ErrorKind::InvalidParameter, what));
    if amount.is_zero() || amount.normalize().scale() > COST_SCALE {
        return wrong(format!("the amount must not be zero, nor have more than {COST_SCALE} decimals"));
    }
    for (what, text) in [("reason", reason), ("name of who corrects", by)] {
        if text.trim().is_empty() || text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
            return wrong(format!("the {what} must be one line of at most {MAX_TEXT} characters"));
        }
    }
    if *month > Month::of(now) {
        return wrong(format!("{month} has not begun"));
    }
    let books = Books::open(state, now)?;
    let mut connection = books.connect()?;
    let last = "SELECT cost_center, currency FROM own_usage
        WHERE consumer_domain = ?1 AND producer_domain = ?2 AND product = ?3 AND currency IS NOT NULL ORDER BY entry DESC LIMIT 1";
    let names = params![consumer.as_str(), product.domain.as_str(), product.product.as_str()];
    let charged = connection.query_row(last, names, |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, String>(1)?)));
    let Some((cost_center, currency)) = charged.optional().map_err(Books::cannot_read)? else {
        return wrong(format!("the domain {consumer} was never charged for {product}"));
    };

    let write = Books::cannot_write;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write)?;
    let closed: Option<String> = transaction.query_row("SELECT max(month) FROM closes", [], |row| row.get(0)).map_err(write)?;
    let open = closed.and_then(|closed| closed.parse::<Month>().ok()).map_or(*month, |closed| closed.next().max(*month));
    let correction_id = Uuid::now_v7().to_string();
    let (micros, rest) = Cost::from_units(units(*amount)).halves();
    transaction
        .execute(
            "INSERT INTO corrections (correction_id, month, of_month, corrected_at, corrected_by, reason, consumer_domain, cost_center,
                 producer_domain, product, currency, cost_micros, cost_rest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                correction_id,
                open.to_string(),
                month.to_string(),
                now.timestamp_micros(),
                by,
                reason,
                consumer.as_str(),
                cost_center,
                product.domain.as_str(),
                product.product.as_str(),
                currency,
                micros,
                rest,
            ],
        )
        .map_err(write)?;
    transaction.commit().map_err(write)?;
    Ok(Booked { correction_id, month: open, currency })
}

/// What the corrections of a month add to what each domain has spent of its budget.
pub(super) fn booked_in(connection: &Connection, month: Month) -> rusqlite::Result<Vec<(Whose, i128)>> {
    let mut statement = connection.prepare(
        "SELECT consumer_domain, currency, sum(cost_micros), sum(cost_rest) FROM main.corrections
         WHERE month = ?1 GROUP BY consumer_domain, currency",
    )?;
    let mut rows = statement.query([month.to_string()])?;
    let mut booked = Vec::new();
    while let Some(row) = rows.next()? {
        // A domain whose name is none has no budget either.
        let Ok(domain) = DomainName::new(&row.get::<_, String>(0)?) else { continue };
        booked.push((Whose::Budget(domain, month, row.get(1)?), Cost::from_halves(row.get(2)?, row.get(3)?).units()));
    }
    Ok(booked)
}
