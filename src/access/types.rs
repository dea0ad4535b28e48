//! Requests and grants.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::id::{DomainName, PrincipalName, ProductId};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id. Time-ordered (UUID version 7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// An access request.
    RequestId;
    /// A grant.
    GrantId;
}

/// Until when access is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Until then.
    Until(DateTime<Utc>),
    /// For so long from the approval.
    For(Duration),
}

impl Term {
    /// When it ends, approved now.
    pub fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Until(until) => until,
            Self::For(time) => {
                TimeDelta::from_std(time).ok().and_then(|time| now.checked_add_signed(time)).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
        }
    }
}

/// `30d`, `12h`, `90s`: the largest unit that leaves no rest.
pub(super) fn duration_text(time: Duration) -> String {
    let seconds = time.as_secs();
    let (unit, name) =
        [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until(until) => f.write_str(&until.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
            Self::For(time) => f.write_str(&duration_text(*time)),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for a steward.
    Pending,
    /// A steward granted it.
    Approved,
    /// A steward refused it.
    Rejected,
    /// Who asked took it back.
    Withdrawn,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Rejected, Self::Withdrawn];

    /// As it is written everywhere.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The status of that label.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.label() == label)
    }
}

/// Somebody asks to read a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asks, and would be granted it.
    pub principal: PrincipalName,
    /// The domain that they work for.
    pub domain: DomainName,
    /// What.
    pub product: ProductId,
    /// What for.
    pub purpose: Option<String>,
    /// Why.
    pub reason: String,
    /// When they asked.
    pub requested_at: DateTime<Utc>,
    /// Until when.
    pub term: Term,
    /// What became of it.
    pub status: Status,
    /// Who decided, or took it back.
    pub decided_by: Option<PrincipalName>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// Why.
    pub decision_reason: Option<String>,
}

/// Access to a product for one principal, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The request that it answers.
    pub request_id: RequestId,
    /// To whom.
    pub principal: PrincipalName,
    /// The domain that they worked for. In another one they have no use of it.
    pub domain: DomainName,
    /// What.
    pub product: ProductId,
    /// What for: where there is one, it holds only for sessions that declare it.
    pub purpose: Option<String>,
    /// Why they asked.
    pub reason: String,
    /// Which steward approved.
    pub granted_by: PrincipalName,
    /// When.
    pub granted_at: DateTime<Utc>,
    /// From then on it does not hold.
    pub expires_at: DateTime<Utc>,
}
