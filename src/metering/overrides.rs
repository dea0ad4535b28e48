//! Overrides: a steward raises a budget or a limit until the month ends, with a reason.
//!
//! Each is a row of a file of its own in the state folder, which is never changed, and on disk before anybody is told of it. What was raised is
//! added to what the catalog allows, so several add up, and the month after begins without them. It holds at once, also for queries that run.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::budget::Purses;
use super::{Journal, Month};
use crate::access::{checked, is_administrator, is_steward_of};
use crate::catalog::{Each, ScanLimit, Snapshot};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, PrincipalName, ProductId, ProductName};
use crate::identity::Principal;
use crate::records::Kind;

/// Its name within the state folder.
pub(crate) const FILE: &str = "overrides.sqlite";

const KIND: Kind = Kind {
    name: "records of overrides",
    // "MESO".
    application_id: 0x4d45_534f,
    version: 1,
    tables: "
    CREATE TABLE overrides (
        entry INTEGER PRIMARY KEY, override_id TEXT NOT NULL UNIQUE, raised_at INTEGER NOT NULL, raised_by TEXT NOT NULL,
        month TEXT NOT NULL, consumer_domain TEXT, producer_domain TEXT, product TEXT, limit_id TEXT, amount TEXT, currency TEXT,
        bytes INTEGER, reason TEXT NOT NULL, CHECK ((amount IS NULL) <> (bytes IS NULL))) STRICT;
    CREATE TRIGGER overrides_stay BEFORE UPDATE ON overrides BEGIN SELECT RAISE(ABORT, 'an override is not changed'); END;
    CREATE TRIGGER overrides_remain BEFORE DELETE ON overrides BEGIN SELECT RAISE(ABORT, 'an override is not taken back'); END;
",
};

/// Characters of a reason.
const MAX_REASON: usize = 1000;
/// Overrides that may hold at once: each read looks at them.
const MOST: usize = 1000;
/// Of those, one principal's.
const MOST_OF_ONE: usize = 100;
/// How much one may add: sums of them are still numbers that SQL has.
const MAX_AMOUNT: u64 = 1_000_000_000_000;
const MAX_BYTES: u64 = 1 << 60;

/// A budget or limit that was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its id.
    pub id: String,
    /// When.
    pub raised_at: DateTime<Utc>,
    /// Who.
    pub raised_by: PrincipalName,
    /// The month (UTC) to whose end it holds.
    pub month: Month,
    /// What, and by how much.
    pub raised: Raised,
    /// Why.
    pub reason: String,
}

/// What was raised, and by how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raised {
    /// A consumer domain's budget.
    Budget {
        /// Whose.
        consumer: DomainName,
        /// By so much money.
        amount: Decimal,
        /// In this currency.
        currency: String,
    },
    /// A limit of the mesh.
    Limit {
        /// Its id.
        limit: String,
        /// For what this consumer domain reads; where there is none, for what all read.
        consumer: Option<DomainName>,
        /// For what is read of this product; where there is none, of all.
        product: Option<ProductId>,
        /// By so many bytes.
        bytes: u64,
    },
}

/// What a steward asks for.
#[derive(Debug, Default)]
pub struct Wish {
    /// The consumer domain whose budget or reading it is.
    pub consumer: Option<DomainName>,
    /// The product whose limit it is.
    pub product: Option<ProductId>,
    /// The limit's id; without one it is the budget.
    pub limit: Option<String>,
    /// More money, for a budget.
    pub amount: Option<Decimal>,
    /// More bytes, for a limit.
    pub bytes: Option<u64>,
    /// Why.
    pub reason: String,
}

/// The overrides of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Overrides(Arc<Shared>);

struct Shared {
    journal: Journal,
    store: Mutex<Connection>,
}

impl Overrides {
    /// Opens or makes the file in `folder`, and lets what it has hold. Blocks.
    pub fn open(folder: &Path, journal: &Journal) -> Result<Self> {
        let store = KIND.open(&folder.join(FILE))?;
        let held = load(&store, Month::of(journal.now()))?;
        journal.purses().set_overrides(held);
        Ok(Self(Arc::new(Shared { journal: journal.clone(), store: Mutex::new(store) })))
    }

    /// Raises a budget or limit until the month ends. Only stewards of the domain whose it is, and who looks after the platform, may: the consumer
    /// domain's for its budget and for limits on what it reads, the producer's for limits on its product. Blocks.
    pub fn raise(&self, by: &Principal, snapshot: &Snapshot, wish: Wish) -> Result<Override> {
        let (owner, raised) = target(snapshot, &wish)?;
        if !is_steward_of(by, snapshot, &owner) && !is_administrator(by) {
            return Err(Fault::new(ErrorKind::Denied, format!("only stewards of the domain {owner} raise this")));
        }
        exists(snapshot, &raised)?;
        let now = self.0.journal.now();
        let new = Override {
            id: Uuid::now_v7().as_simple().to_string(),
            raised_at: now,
            raised_by: by.name.clone(),
            month: Month::of(now),
            raised,
            reason: checked("reason", &wish.reason, MAX_REASON)?,
        };
        let mut store = self.0.store.lock();
        let mut held = Vec::clone(&self.0.journal.purses().overrides());
        // Queries that began before the month did may still run.
        held.retain(|held| held.month.next() >= new.month);
        let own = held.iter().filter(|held| held.raised_by == new.raised_by && held.month == new.month).count();
        if held.len() >= MOST || own >= MOST_OF_ONE {
            return Err(Fault::new(ErrorKind::ProgramLimit, "there are too many overrides already")
                .with_hint("Raise the budget or limit in the catalog."));
        }
        KIND.write(&mut store, |transaction| {
            insert(transaction, &new)?;
            Ok(Ok(()))
        })?;
        held.push(Arc::new(new.clone()));
        // In force once it is on disk, and in the order of the disk: the store is still locked.
        self.0.journal.purses().set_overrides(held);
        tracing::warn!(by = %new.raised_by, domain = %owner, raised = ?new.raised, until = %new.month.end(), "a budget or limit was raised");
        Ok(new)
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Overrides")
    }
}

fn wrong(message: &str) -> Fault {
    Fault::new(ErrorKind::InvalidParameter, message)
}

/// Whose it is, and what is to be raised, as far as the wish says.
fn target(snapshot: &Snapshot, wish: &Wish) -> Result<(DomainName, Raised)> {
    let consumer = || wish.consumer.clone().ok_or_else(|| wrong("\"domain\" is missing: whose reading it is"));
    let product = || wish.product.clone().ok_or_else(|| wrong("\"product\" is missing: the limit is one of products"));
    let Some(id) = &wish.limit else {
        let amount = wish.amount.filter(|amount| !amount.is_zero());
        let amount = amount.ok_or_else(|| wrong("\"amount\" must be more than zero: by how much the budget is raised"))?;
        if amount > Decimal::from(MAX_AMOUNT) {
            return Err(wrong("\"amount\" is more than 1,000,000,000,000"));
        }
        if wish.product.is_some() || wish.bytes.is_some() {
            return Err(wrong("\"product\" and \"bytes\" go with \"limit\""));
        }
        let consumer = consumer()?;
        return Ok((consumer.clone(), Raised::Budget { consumer, amount, currency: snapshot.mesh.currency.clone() }));
    };
    let limit = snapshot.mesh.limits.iter().find(|limit| limit.id == *id);
    let limit = limit.ok_or_else(|| Fault::new(ErrorKind::NotFound, "there is no such limit").with_hint("mesh.yaml has the limits."))?;
    if wish.amount.is_some() {
        return Err(wrong("\"amount\" is for budgets; a limit is raised by \"bytes\""));
    }
    let bytes = wish.bytes.filter(|bytes| *bytes > 0);
    let bytes = bytes.ok_or_else(|| wrong("\"bytes\" must be more than zero: by how much the limit is raised"))?;
    if bytes > MAX_BYTES {
        return Err(wrong("\"bytes\" are more than 1EiB"));
    }
    if wish.product.is_some() && !limit.each.is_of_product() {
        return Err(wrong("\"product\" does not go with this limit, which is one of all that is read"));
    }
    if wish.consumer.is_some() && limit.each == Each::Product {
        return Err(wrong("\"domain\" does not go with this limit, which is one of what all read"));
    }
    let (owner, consumer, product) = match limit.each {
        Each::Principal | Each::Consumer => (consumer()?, Some(consumer()?), None),
        Each::Product => (product()?.domain, None, Some(product()?)),
        Each::ConsumerProduct => (product()?.domain, Some(consumer()?), Some(product()?)),
    };
    Ok((owner, Raised::Limit { limit: limit.id.clone(), consumer, product, bytes }))
}

/// Refuses to raise what is not there. Asked after the right to raise it: others learn nothing of what exists.
fn exists(snapshot: &Snapshot, raised: &Raised) -> Result<()> {
    let missing = |message: String| Err(Fault::new(ErrorKind::NotFound, message));
    match raised {
        Raised::Budget { consumer, .. } => match snapshot.domains.get(consumer).and_then(|domain| domain.budget.as_ref()) {
            Some(_) => Ok(()),
            None => missing(format!("the domain {consumer} has no budget")),
        },
        Raised::Limit { limit, consumer, product, .. } => {
            let holds = |limit: &ScanLimit| {
                consumer.as_ref().is_none_or(|consumer| limit.holds(consumer) && snapshot.domains.contains_key(consumer))
                    && product.as_ref().is_none_or(|product| limit.covers(product) && snapshot.products.contains_key(product))
            };
            match snapshot.mesh.limits.iter().find(|known| known.id == *limit) {
                Some(limit) if holds(limit) => Ok(()),
                _ => missing(format!("the limit \"{limit}\" does not hold for that")),
            }
        }
    }
}

fn insert(connection: &Connection, new: &Override) -> rusqlite::Result<()> {
    let (consumer, product, limit, amount, currency, bytes) = match &new.raised {
        Raised::Budget { consumer, amount, currency } => (Some(consumer), None, None, Some(amount.to_string()), Some(currency), None),
        Raised::Limit { limit, consumer, product, bytes } => {
            (consumer.as_ref(), product.as_ref(), Some(limit), None, None, Some(i64::try_from(*bytes).unwrap_or(i64::MAX)))
        }
    };
    connection.execute(
        "INSERT INTO overrides (override_id, raised_at, raised_by, month, consumer_domain, producer_domain, product, limit_id, amount,
             currency, bytes, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            new.id,
            new.raised_at.timestamp_micros(),
            new.raised_by.as_str(),
            new.month.to_string(),
            consumer.map(DomainName::as_str),
            product.map(|product| product.domain.as_str()),
            product.map(|product| product.product.as_str()),
            limit,
            amount,
            currency,
            bytes,
            new.reason,
        ],
    )?;
    Ok(())
}

/// Those of a month.
fn load(connection: &Connection, month: Month) -> Result<Vec<Arc<Override>>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT override_id, raised_at, raised_by, consumer_domain, producer_domain, product, limit_id, amount, currency, bytes, reason
             FROM overrides WHERE month = ?1 ORDER BY entry",
        )
        .map_err(|error| KIND.cannot_read(error))?;
    let rows =
        statement.query_map([month.to_string()], |row| Ok(read(row, month)?.map(Arc::new))).map_err(|error| KIND.cannot_read(error))?;
    // What names nothing that can be raises nothing.
    let found: rusqlite::Result<Vec<_>> = rows.collect();
    Ok(found.map_err(|error| KIND.cannot_read(error))?.into_iter().flatten().collect())
}

fn read(row: &Row<'_>, month: Month) -> rusqlite::Result<Option<Override>> {
    let name = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(at)?.and_then(|name| DomainName::new(&name).ok()));
    let (consumer, producer) = (name(3)?, name(4)?);
    let product = row.get::<_, Option<String>>(5)?.and_then(|name| ProductName::new(&name).ok());
    let product = producer.zip(product).map(|(domain, product)| ProductId { domain, product });
    let amount = row.get::<_, Option<String>>(7)?.and_then(|amount| amount.parse().ok());
    let raised = match (consumer, amount, row.get(8)?, row.get(6)?) {
        (Some(consumer), Some(amount), Some(currency), _) => Raised::Budget { consumer, amount, currency },
        (consumer, None, _, Some(limit)) => {
            Raised::Limit { limit, consumer, product, bytes: u64::try_from(row.get::<_, i64>(9)?).unwrap_or_default() }
        }
        _ => return Ok(None),
    };
    Ok(Some(Override {
        id: row.get(0)?,
        raised_at: DateTime::from_timestamp_micros(row.get(1)?).unwrap_or_default(),
        raised_by: PrincipalName::new(&row.get::<_, String>(2)?),
        month,
        raised,
        reason: row.get(10)?,
    }))
}

impl Purses {
    /// By how much a domain's budget of a month was raised, in units of `Cost`.
    pub(super) fn raised_budget(&self, of: &DomainName, in_month: Month, in_currency: &str) -> i128 {
        let raised = |held: &Arc<Override>| match &held.raised {
            Raised::Budget { consumer, amount, currency } if held.month == in_month && consumer == of && currency == in_currency => {
                super::units(*amount)
            }
            _ => 0,
        };
        self.overrides().iter().map(raised).fold(0, i128::saturating_add)
    }

    /// By how many bytes a limit was raised for what a domain reads of a product in a month.
    pub(super) fn raised_limit(&self, id: &str, by: &DomainName, of: &ProductId, in_month: Month) -> u64 {
        let raised = |held: &Arc<Override>| match &held.raised {
            Raised::Limit { limit, consumer, product, bytes }
                if held.month == in_month
                    && limit == id
                    && consumer.as_ref().is_none_or(|consumer| consumer == by)
                    && product.as_ref().is_none_or(|product| product == of) =>
            {
                *bytes
            }
            _ => 0,
        };
        self.overrides().iter().map(raised).fold(0, u64::saturating_add)
    }
}
