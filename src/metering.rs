//! What it cost: counters where the bytes move, the journal that makes them durable, prices, and the figures that finance reads.
//!
//! `scan` counts, `account` gathers what one query owes, `journal` keeps it, `price` values it, `ledger` reads it back,
//! `publish` puts it where others can read it. Who may see the
//! figures is decided in `system`; when a query ends, and how, is decided in `query`.

mod account;
mod alerts;
mod budget;
mod close;
mod correct;
pub(crate) mod focus;
mod journal;
pub(crate) mod ledger;
mod month;
mod overrides;
mod price;
mod publish;
pub mod report;
mod scan;
mod sheet;
pub mod statement;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::{Budget, ScanLimit, Workload};
use crate::id::{DomainName, PrincipalName, QueryId};

pub use account::Account;
pub use alerts::{Alerts, Webhook};
pub use budget::Share;
pub(crate) use budget::{BudgetState, Room, units};
pub use close::{Closed, Terms, close};
pub use correct::{Booked, Correction, correct};
pub use journal::Journal;
pub use month::Month;
pub(crate) use overrides::FILE as OVERRIDES_FILE;
pub use overrides::{Override, Overrides, Raised, Wish};
pub use price::{COST_SCALE, Cost, PriceList, Quote};
pub use publish::{Publisher, Publishing, Rhythm};
pub use scan::{LimitReached, Meter, Noted, PortFault, ReadKind, Reading, Source, by_folder, metered_store};
pub use sheet::{Cell, Sheet};

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

impl Protocol {
    /// As the ledger writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Flight => "flight",
            Self::Http => "http",
        }
    }
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

impl Outcome {
    /// As the ledger writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::LimitExceeded => "limit_exceeded",
            Self::Revoked => "revoked",
            Self::Crashed => "crashed",
        }
    }
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
    /// What kind of work it is.
    pub workload: Workload,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// What the session tags its work with: an object of JSON, whose values are text.
    pub tags: Option<String>,
    /// Digest of the statement with its literals removed.
    pub statement_digest: String,
    /// The statement itself, where the gateway keeps statements.
    pub statement: Option<String>,
    /// How long it waited for admission, in milliseconds.
    pub queued_ms: u64,
    /// What its products cost at `started_at`.
    pub prices: PriceList,
    /// Bytes that all its scans together may read.
    pub max_scan_bytes: Option<u64>,
    /// What its domain may spend in a month.
    pub budget: Option<Budget>,
    /// The limits that hold for its consumer domain.
    pub limits: Vec<Arc<ScanLimit>>,
}

#[cfg(test)]
impl QueryStart {
    /// A query of somebody in a domain that costs nothing and that nothing limits.
    pub(crate) fn for_test(consumer_domain: DomainName, started_at: DateTime<Utc>) -> Self {
        Self {
            query_id: QueryId::generate(),
            started_at,
            principal: PrincipalName::new("ann"),
            consumer_domain,
            cost_center: None,
            purpose: None,
            protocol: Protocol::Postgres,
            workload: Workload::Interactive,
            application_name: None,
            tags: None,
            statement_digest: String::new(),
            statement: None,
            queued_ms: 0,
            prices: PriceList::default(),
            max_scan_bytes: None,
            budget: None,
            limits: Vec::new(),
        }
    }
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
    /// The domain that they work for.
    pub consumer_domain: DomainName,
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
    /// The digest of the product's rules.
    pub policy_revision: String,
    /// What was asked, so that another policy can be asked the same.
    pub request: DecisionRequest,
}

/// What a decision depends on beside the policy and the columns of the port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRequest {
    /// The principal's groups at the time, sorted.
    pub groups: Vec<String>,
    /// Their attributes at the time.
    pub attributes: BTreeMap<String, String>,
    /// The product's major version.
    pub major: u64,
    /// Its port.
    pub port: String,
    /// The declared purpose.
    pub purpose: Option<String>,
    /// The door.
    pub protocol: String,
    /// What the client called itself.
    pub application_name: Option<String>,
}
