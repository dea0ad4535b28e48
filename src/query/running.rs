//! The queries that run now, so that a right that is taken away ends them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::catalog::PortRef;
use crate::error::{ErrorKind, Fault};
use crate::id::QueryId;
use crate::identity::Principal;
use crate::metering::Outcome;
use crate::policy::{Circumstances, Permit};
use crate::ports::OpenPort;

use super::execute::cancelled;

/// Ends one query, once, and says why.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

/// Why a query was ended from outside, where it was not the reader who asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// A right was taken away.
    Revoked,
    /// The reader's token has expired, or is no longer accepted.
    TokenEnded,
}

impl Stop {
    /// Ends with the door's own token, or by [`Stop::revoke`].
    pub(crate) fn new(door: &CancellationToken) -> Self {
        Self { token: door.child_token(), reason: Arc::default() }
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    fn revoke(&self, reason: Reason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// How the query is booked and what its reader is told.
    pub(crate) fn ending(&self) -> (Outcome, Option<Fault>) {
        match self.reason.get() {
            Some(Reason::Revoked) => (Outcome::Revoked, Some(revoked())),
            Some(Reason::TokenEnded) => (Outcome::Revoked, Some(token_ended())),
            None => (Outcome::Cancelled, Some(cancelled())),
        }
    }
}

fn revoked() -> Fault {
    Fault::new(ErrorKind::Denied, "permission was revoked while the query ran")
        .with_hint("Run the query again to see what you may read now, or ask the product's stewards.")
}

fn token_ended() -> Fault {
    Fault::new(ErrorKind::SessionEnded, "the token of this session ended while the query ran").with_hint("Log in again with a new token.")
}

/// All running queries.
#[derive(Debug, Default)]
pub(crate) struct RunningQueries(Mutex<HashMap<QueryId, Arc<Record>>>);

/// What one query was permitted.
#[derive(Debug)]
pub(crate) struct Record {
    pub principal: Arc<Principal>,
    pub circumstances: Circumstances,
    pub permits: Vec<(PortRef, OpenPort, Permit)>,
    stop: Stop,
}

impl RunningQueries {
    /// Enters a query until the entry is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        query_id: QueryId,
        principal: Arc<Principal>,
        circumstances: Circumstances,
        permits: Vec<(PortRef, OpenPort, Permit)>,
        stop: Stop,
    ) -> Entry {
        self.0.lock().insert(query_id, Arc::new(Record { principal, circumstances, permits, stop: stop.clone() }));
        Entry { all: Arc::clone(self), query_id, stop }
    }

    /// Ends every query that may not go on.
    pub(crate) fn recheck(&self, lost: impl Fn(&Record) -> Option<Reason>) {
        let records: Vec<_> = self.0.lock().iter().map(|(id, record)| (*id, Arc::clone(record))).collect();
        for (query_id, record) in records {
            if let Some(reason) = lost(&record) {
                tracing::info!(query.id = %query_id, principal = %record.principal.name, ?reason, "ended while it ran");
                record.stop.revoke(reason);
            }
        }
    }
}

/// One running query in the list of all.
#[derive(Debug)]
pub(crate) struct Entry {
    all: Arc<RunningQueries>,
    query_id: QueryId,
    stop: Stop,
}

impl Entry {
    pub(crate) fn query_id(&self) -> QueryId {
        self.query_id
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.query_id);
    }
}
