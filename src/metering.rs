//! What it cost: counters where the bytes move, the journal that makes them durable, prices, and the figures that finance reads.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use object_store::ObjectStore;

use crate::catalog::Price;
use crate::clock::Clock;
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, PortId, PrincipalName, QueryId};

/// What a read is for. The caller says so by the handle that it reads through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// Rows: billed.
    Data,
    /// Logs, listings, footers: recorded, not billed.
    Metadata,
}

/// Counts what one query reads of one port. Its numbers are final when the last handle to it is gone.
#[derive(Debug)]
pub struct Meter(());

/// What a meter shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

impl Meter {
    /// A meter whose readings go nowhere: for what the gateway reads for itself (describing a port for a catalog listing).
    pub fn unbilled() -> Arc<Self> {
        todo!()
    }

    /// Takes `bytes` from the limit before they are read. Past the limit nothing is taken and the read must not happen.
    pub fn reserve(&self, bytes: u64) -> Result<(), LimitReached> {
        todo!("{bytes}")
    }

    /// Records bytes that arrived.
    pub fn add(&self, kind: ReadKind, bytes: u64) {
        todo!("{kind:?}{bytes}")
    }

    /// Records a request.
    pub fn request(&self) {
        todo!()
    }

    /// What it shows now.
    pub fn reading(&self) -> Reading {
        todo!()
    }
}

/// A read was refused because it would pass the query's scan limit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("scan limit of {limit} bytes reached")]
pub struct LimitReached {
    /// The limit, in bytes.
    pub limit: u64,
}

/// Wraps a port's store so that everything read through it is counted; whatever goes wrong names the port, never a path.
pub fn metered_store(inner: Arc<dyn ObjectStore>, meter: Arc<Meter>, kind: ReadKind, port: &PortId) -> Arc<dyn ObjectStore> {
    todo!("{inner}{meter:?}{kind:?}{port}")
}

/// Which door a query came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The PostgreSQL protocol.
    Postgres,
    /// Arrow Flight.
    Flight,
    /// HTTP.
    Http,
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The reader has it all.
    Completed,
    /// An error ended it.
    Failed,
    /// The reader, or a timeout, ended it, or the reader went away.
    Cancelled,
    /// A scan limit or budget ended it.
    LimitExceeded,
    /// The reader lost the right to it.
    Revoked,
    /// The gateway died.
    Crashed,
}

/// What is known of a query when it begins.
#[derive(Debug, Clone)]
pub struct QueryStart {
    /// Its id.
    pub query_id: QueryId,
    /// When.
    pub started_at: DateTime<Utc>,
    /// Who.
    pub principal: PrincipalName,
    /// Who pays.
    pub consumer_domain: DomainName,
    /// Their cost centre at the time.
    pub cost_center: Option<String>,
    /// Why, as declared.
    pub purpose: Option<String>,
    /// Which door.
    pub protocol: Protocol,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// Digest of the statement with its literals removed.
    pub statement_digest: String,
    /// How long it waited for admission, in milliseconds.
    pub queued_ms: u64,
    /// The price in force at `started_at`, and the mesh's currency.
    pub price: Option<(Price, String)>,
    /// Bytes that all its scans together may read.
    pub max_scan_bytes: Option<u64>,
}

/// A decision, for `audit.decisions`.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    /// When.
    pub decided_at: DateTime<Utc>,
    /// For which query.
    pub query_id: QueryId,
    /// Who.
    pub principal: PrincipalName,
    /// What was asked for, as `domain.product`.
    pub product: String,
    /// `permit` or `deny`.
    pub permitted: bool,
    /// Why, one sentence each, with file and line.
    pub reasons: Vec<String>,
    /// The filters as written.
    pub row_filters: Vec<String>,
    /// `column=mask`.
    pub masks: Vec<String>,
    /// Under which policies.
    pub policy_revision: String,
}

/// The ledger of this gateway: SQLite, one writer thread, group commit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal(());

impl Journal {
    /// Opens or makes the journal in `folder`, checks it, and settles what an earlier process left unfinished as `crashed`.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self> {
        todo!("{folder:?}{clock:?}")
    }

    /// Whether it can be written. Where not, no query is admitted.
    pub fn is_writable(&self) -> bool {
        todo!()
    }

    /// Opens the account of a query that was admitted.
    pub fn begin(&self, start: QueryStart) -> Result<Account> {
        todo!("{start:?}")
    }

    /// Records decisions. Durable no later than the query's settlement.
    pub fn decisions(&self, records: Vec<DecisionRecord>) {
        todo!("{records:?}")
    }

    /// Writes out what is pending and stops the writer.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}

/// What one query owes. Dropped without [`Account::settle`], it is settled as `cancelled` once its last read is over.
#[derive(Debug)]
pub struct Account(());

impl Account {
    /// The meter for one port; the same one for the same port.
    pub fn meter(&self, port: &PortId, product_version: &str, table_version: &str) -> Arc<Meter> {
        todo!("{port}{product_version}{table_version}")
    }

    /// What all meters show together.
    pub fn reading(&self) -> Reading {
        todo!()
    }

    /// Makes the usage durable. When this answers, a crash cannot lose it. Cancel-safe: dropped, the settlement still happens.
    pub async fn settle(self, outcome: Outcome, sqlstate: Option<&'static str>, rows_returned: u64) -> Result<()> {
        let _ = (outcome, sqlstate, rows_returned);
        Err(Fault::new(ErrorKind::Internal, "internal error"))
    }
}
