//! Statements: what a consumer domain was charged for in a closed month, line by line, hashed, and checked whenever they are read.
//!
//! A line is what one cost centre owes for one product at one price. Usage of an earlier month that was settled after its close, and
//! corrections, have lines of their own.

mod detail;
mod stored;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, Row};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::close::Terms;
use super::journal::Books;
use super::{Cost, Month};
use crate::catalog::Billing;
use crate::error::{ErrorKind, Fault, Result};

pub use detail::By;

/// One line. Amounts in units of 10^-15 of the statement's currency, bytes whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Counted from 1.
    pub line: i64,
    /// `usage`; `late`: usage of an earlier month that was closed when it was settled; `correction`.
    pub kind: String,
    /// The month that it is about.
    pub of_month: String,
    /// Who pays.
    pub cost_center: Option<String>,
    /// Whose product.
    pub producer_domain: String,
    /// Who is paid.
    pub producer_cost_center: Option<String>,
    /// The product.
    pub product: String,
    /// At which price.
    pub price_id: Option<String>,
    /// For a tebibyte, before any tier.
    pub unit_price: Option<String>,
    /// Queries that read it; one that read several products is in the lines of each.
    pub queries: i64,
    /// Bytes read.
    pub bytes_scanned: i64,
    /// Bytes priced: with rounding steps and minima.
    pub bytes_charged: i64,
    /// What is owed.
    #[serde(serialize_with = "decimal")]
    pub cost: Cost,
    /// Why, of a correction.
    pub reason: Option<String>,
    /// Whether members of the consumer domain are told rounded figures.
    #[serde(skip)]
    told_rounded: bool,
}

fn decimal<S: serde::Serializer>(cost: &Cost, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&cost.decimal().to_string())
}

/// A statement, with what its hash covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Month, consumer domain and currency.
    pub statement_id: String,
    /// Whose journal it was drawn from.
    pub gateway_id: String,
    /// The month that bills it.
    pub month: String,
    /// Who pays.
    pub consumer_domain: String,
    /// ISO 4217 code.
    pub currency: String,
    /// `showback` or `chargeback`.
    pub mode: String,
    /// Microseconds since 1970.
    pub issued_at: i64,
    /// The hash of the statement that was issued before it.
    pub previous: Option<String>,
    /// In the order of the statement.
    pub lines: Vec<Line>,
}

/// What is owed, before it is a statement.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    consumer_domain: String,
    currency: String,
    lines: Vec<Line>,
}

impl Draft {
    pub(super) fn issue(self, gateway: &str, month: Month, billing: Billing, now: DateTime<Utc>, previous: Option<String>) -> Statement {
        let Self { consumer_domain, currency, lines } = self;
        Statement {
            statement_id: format!("{month}-{consumer_domain}-{currency}"),
            gateway_id: gateway.to_owned(),
            month: month.to_string(),
            consumer_domain,
            currency,
            mode: billing.label().to_owned(),
            issued_at: now.timestamp_micros(),
            previous,
            lines,
        }
    }
}

/// What every consumer domain owes for a month. Usage that no price was in force for is owed to nobody.
pub(super) fn drafts(connection: &Connection, month: Month, terms: &Terms) -> Result<Vec<Draft>> {
    const ROUNDED: &str = "max(producer_domain <> consumer_domain AND (volume_before IS NOT NULL OR coalesce((
        SELECT max(d.row_filters <> '[]' OR NOT d.permitted) FROM decisions d
        WHERE d.query_id = usage.query_id AND d.product = usage.producer_domain || '.' || usage.product), 1)))";
    let sql = format!(
        "SELECT consumer_domain, currency, 0, iif(of_month = month, 'usage', 'late'), of_month, cost_center, producer_domain, product,
             price_id, unit_price, count(DISTINCT query_id), sum(bytes_from_storage + bytes_from_cache),
             sum(coalesce(bytes_charged, bytes_from_storage + bytes_from_cache)), sum(cost_micros), sum(cost_rest), NULL, {ROUNDED}
         FROM (SELECT *, strftime('%Y-%m', started_at / 1000000, 'unixepoch') AS of_month FROM own_usage WHERE month = ?1) usage
         WHERE currency IS NOT NULL
         GROUP BY consumer_domain, currency, of_month, cost_center, producer_domain, product, price_id, unit_price
         UNION ALL
         SELECT consumer_domain, currency, entry, 'correction', of_month, cost_center, producer_domain, product, NULL, NULL, 0, 0, 0,
             cost_micros, cost_rest, reason || ' (' || corrected_by || ')', 0
         FROM corrections WHERE month = ?1
         ORDER BY 1, 2, 5, 3, 7, 8, 6, 9, 10"
    );
    let mut statement = connection.prepare(&sql).map_err(Books::cannot_read)?;
    let rows =
        statement.query_map([month.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, Line::drafted(row)?)));
    let mut drafts: Vec<Draft> = Vec::new();
    for row in rows.map_err(Books::cannot_read)? {
        let (consumer_domain, currency, mut line) = row.map_err(Books::cannot_read)?;
        line.complete(&consumer_domain, terms)?;
        match drafts.last_mut().filter(|draft| draft.consumer_domain == consumer_domain && draft.currency == currency) {
            Some(draft) => draft.lines.push(line),
            None => drafts.push(Draft { consumer_domain, currency, lines: vec![line] }),
        }
    }
    for draft in &mut drafts {
        draft.lines.iter_mut().zip(1..).for_each(|(line, at)| line.line = at);
    }
    Ok(drafts)
}

impl Line {
    fn drafted(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            line: 0,
            kind: row.get(3)?,
            of_month: row.get(4)?,
            cost_center: row.get(5)?,
            producer_domain: row.get(6)?,
            producer_cost_center: None,
            product: row.get(7)?,
            price_id: row.get(8)?,
            unit_price: row.get(9)?,
            queries: row.get(10)?,
            bytes_scanned: row.get(11)?,
            bytes_charged: row.get(12)?,
            cost: Cost::from_halves(row.get(13)?, row.get(14)?),
            reason: row.get(15)?,
            told_rounded: row.get(16)?,
        })
    }

    /// Fills in the cost centres, which a line that is to be booked must have.
    fn complete(&mut self, consumer: &str, terms: &Terms) -> Result<()> {
        let center = |domain: &str| terms.cost_centers.iter().find(|(name, _)| name.as_str() == domain).map(|(_, center)| center.clone());
        self.cost_center = self.cost_center.take().or_else(|| center(consumer));
        self.producer_cost_center = center(&self.producer_domain);
        if terms.billing == Billing::Showback {
            return Ok(());
        }
        let missing = [(consumer, &self.cost_center), (&self.producer_domain, &self.producer_cost_center)];
        match missing.into_iter().find(|(_, center)| center.is_none()) {
            None => Ok(()),
            Some((domain, _)) => Err(Fault::new(ErrorKind::NotInState, format!("the domain {domain} has no cost centre to book on"))
                .with_hint("Give it a `costCenter` in its domain.yaml, or say `billing: showback` in mesh.yaml.")),
        }
    }
}

impl Statement {
    /// SHA-256 of everything in it, as one JSON document, in hexadecimal.
    pub fn hash(&self) -> String {
        // Texts and numbers: there is nothing in it that JSON could not hold.
        let document = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is owed.
    pub fn total(&self) -> Cost {
        self.lines.iter().fold(Cost::default(), |sum, line| sum.plus(line.cost))
    }

    /// When it was issued: `2026-12-01T09:30:00Z`.
    pub fn issued(&self) -> String {
        DateTime::from_timestamp_micros(self.issued_at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}
