//! Counting where the bytes move: the meter of one (query, port), and the store that feeds it.
//!
//! A meter is a handful of atomics. It knows the query that it belongs to, because the scan limit is the query's and not the port's: two
//! scans that run at once reserve from one number, so together they cannot pass it by a byte.

mod file;
mod remote;
mod store;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::account::QueryState;
use super::{Month, Share};
use crate::catalog::ScanLimit;
use crate::id::{DomainName, ProductId};

pub use store::{Noted, PortFault, Source, by_folder, metered_store};

/// What a read is for. The caller says so by the handle that it reads through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// Rows: billed.
    Data,
    /// Logs, listings, footers: recorded, not billed.
    Metadata,
}

/// What a meter shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    /// Bodies that the storage served for rows.
    pub bytes_from_storage: u64,
    /// Rows' bytes that a cache of ours served.
    pub bytes_from_cache: u64,
    /// Logs, listings, footers.
    pub bytes_metadata: u64,
    /// Requests to the storage.
    pub storage_requests: u64,
}

impl Reading {
    /// The billable number.
    pub fn bytes_scanned(&self) -> u64 {
        self.bytes_from_storage.saturating_add(self.bytes_from_cache)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            bytes_from_storage: self.bytes_from_storage.saturating_add(other.bytes_from_storage),
            bytes_from_cache: self.bytes_from_cache.saturating_add(other.bytes_from_cache),
            bytes_metadata: self.bytes_metadata.saturating_add(other.bytes_metadata),
            storage_requests: self.storage_requests.saturating_add(other.storage_requests),
        }
    }

    /// What came on top of `earlier`.
    #[must_use]
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            bytes_from_storage: self.bytes_from_storage.saturating_sub(earlier.bytes_from_storage),
            bytes_from_cache: self.bytes_from_cache.saturating_sub(earlier.bytes_from_cache),
            bytes_metadata: self.bytes_metadata.saturating_sub(earlier.bytes_metadata),
            storage_requests: self.storage_requests.saturating_sub(earlier.storage_requests),
        }
    }
}

/// The numbers behind a [`Reading`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    storage: AtomicU64,
    cache: AtomicU64,
    metadata: AtomicU64,
    requests: AtomicU64,
}

impl Counters {
    pub(super) fn reading(&self) -> Reading {
        Reading {
            bytes_from_storage: self.storage.load(Ordering::Acquire),
            bytes_from_cache: self.cache.load(Ordering::Acquire),
            bytes_metadata: self.metadata.load(Ordering::Acquire),
            storage_requests: self.requests.load(Ordering::Acquire),
        }
    }
}

/// A read was refused because it would pass a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// Of the query.
    #[error("scan limit of {limit} bytes reached")]
    Scan {
        /// In bytes.
        limit: u64,
    },
    /// Of the consumer domain's money.
    #[error("the monthly budget of the domain {domain} is used up")]
    Budget {
        /// Whose.
        domain: DomainName,
        /// Of which month.
        month: Month,
        /// The budget.
        monthly: Decimal,
        /// Its currency.
        currency: String,
        /// How much of it was used before.
        used: Share,
    },
    /// Of the bytes of a query, a day or a month.
    #[error("the limit \"{}\" is reached", limit.id)]
    Limit {
        /// Which.
        limit: Arc<ScanLimit>,
        /// The bytes that it allows.
        bytes: u64,
        /// How much of it was used before, where it is the reader's own use.
        used: Option<Share>,
        /// When it begins anew; nothing where it is of one query.
        until: Option<DateTime<Utc>>,
    },
}

/// The query-wide limit. Reserved before bytes are read, so it is never overshot.
#[derive(Debug)]
pub(super) struct Allowance {
    limit: Option<u64>,
    taken: AtomicU64,
}

impl Allowance {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, taken: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> Result<(), LimitReached> {
        let Some(limit) = self.limit else { return Ok(()) };
        let fits = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(LimitReached::Scan { limit }),
        }
    }

    fn give_back(&self, bytes: u64) {
        if self.limit.is_some() {
            let less = |taken: u64| Some(taken.saturating_sub(bytes));
            let _ = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        }
    }
}

/// Counts what one query reads of one port. Its numbers are final when the last handle to it is gone: only then is the query settled, so
/// whatever still reads must hold one.
pub struct Meter {
    counters: Arc<Counters>,
    query: Option<(Arc<QueryState>, ProductId)>,
}

impl Meter {
    /// A meter whose readings go nowhere: for what the gateway reads for itself (describing a port for a catalog listing).
    pub fn unbilled() -> Arc<Self> {
        Arc::new(Self { counters: Arc::default(), query: None })
    }

    pub(super) fn of(query: Arc<QueryState>, product: ProductId, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { counters, query: Some((query, product)) })
    }

    /// Takes `bytes` from the limits before they are read. Past a limit nothing is taken and the read must not happen. What is then not
    /// delivered goes back by [`Meter::release`].
    pub fn reserve(&self, bytes: u64) -> Result<(), LimitReached> {
        let Some((query, product)) = &self.query else { return Ok(()) };
        query.allowance().take(bytes)?;
        let Some(spending) = query.spending() else { return Ok(()) };
        spending.take(product, bytes).inspect_err(|_| query.allowance().give_back(bytes))
    }

    /// Gives back what was reserved and did not arrive.
    pub fn release(&self, bytes: u64) {
        if let Some((query, product)) = &self.query {
            query.allowance().give_back(bytes);
            if let Some(spending) = query.spending() {
                spending.give_back(product, bytes);
            }
        }
    }

    /// Records bytes that arrived from the storage.
    pub fn add(&self, kind: ReadKind, bytes: u64) {
        match kind {
            ReadKind::Data => self.bump(&self.counters.storage, bytes),
            ReadKind::Metadata => {
                self.counters.metadata.fetch_add(bytes, Ordering::AcqRel);
            }
        }
    }

    /// Records rows' bytes that a cache of ours served; they are billed as if they had been read. Reserve them first.
    pub fn add_cached(&self, bytes: u64) {
        self.bump(&self.counters.cache, bytes);
    }

    /// Records a request.
    pub fn request(&self) {
        self.counters.requests.fetch_add(1, Ordering::AcqRel);
    }

    /// What it shows now.
    pub fn reading(&self) -> Reading {
        self.counters.reading()
    }

    fn bump(&self, counter: &AtomicU64, bytes: u64) {
        let before = counter.fetch_add(bytes, Ordering::AcqRel);
        if let Some((query, _)) = &self.query {
            let step = super::journal::PROGRESS_BYTES;
            if before / step != before.saturating_add(bytes) / step {
                query.ask_for_progress();
            }
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter").field(&self.reading()).finish()
    }
}

/// Bytes reserved for one read. Dropped, it gives back what the read did not deliver.
#[derive(Debug)]
struct Reserved {
    meter: Arc<Meter>,
    left: u64,
}

impl Reserved {
    fn new(meter: &Arc<Meter>, kind: ReadKind, bytes: u64) -> Result<Self, LimitReached> {
        let bytes = if kind == ReadKind::Data { bytes } else { 0 };
        meter.reserve(bytes)?;
        Ok(Self { meter: Arc::clone(meter), left: bytes })
    }

    fn delivered(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Hands a part of it to a read of its own.
    fn part(&mut self, bytes: u64) -> Self {
        let part = bytes.min(self.left);
        self.left -= part;
        Self { meter: Arc::clone(&self.meter), left: part }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.left > 0 {
            self.meter.release(self.left);
        }
    }
}

#[cfg(test)]
mod tests;
