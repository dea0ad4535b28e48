//! The queries that run now, so that a right that is taken away ends them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::catalog::PortRef;
use crate::error::{ErrorKind, Fault};
use crate::id::{PrincipalName, QueryId};
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
enum Reason {
    Revoked,
}

impl Stop {
    /// Ends with the door's own token, or by [`Stop::revoke`].
    pub(crate) fn new(door: &CancellationToken) -> Self {
        Self { token: door.child_token(), reason: Arc::default() }
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    fn revoke(&self) {
        let _ = self.reason.set(Reason::Revoked);
        self.token.cancel();
    }

    /// How the query is booked and what its reader is told.
    pub(crate) fn ending(&self) -> (Outcome, Option<Fault>) {
        match self.reason.get() {
            Some(Reason::Revoked) => (Outcome::Revoked, Some(revoked())),
            None => (Outcome::Cancelled, Some(cancelled())),
        }
    }
}

fn revoked() -> Fault {
    Fault::new(ErrorKind::Denied, "permission was revoked while the query ran")
        .with_hint("Run the query again to see what you may read now, or ask the product's stewards.")
}

/// All running queries.
#[derive(Debug, Default)]
pub(crate) struct RunningQueries(Mutex<HashMap<QueryId, Arc<Record>>>);

/// What one query was permitted.
#[derive(Debug)]
pub(crate) struct Record {
    pub principal: PrincipalName,
    pub circumstances: Circumstances,
    pub permits: Vec<(PortRef, OpenPort, Permit)>,
    stop: Stop,
}

impl RunningQueries {
    /// Enters a query until the entry is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        query_id: QueryId,
        principal: PrincipalName,
        circumstances: Circumstances,
        permits: Vec<(PortRef, OpenPort, Permit)>,
        stop: Stop,
    ) -> Entry {
        self.0.lock().insert(query_id, Arc::new(Record { principal, circumstances, permits, stop: stop.clone() }));
        Entry { all: Arc::clone(self), query_id, stop }
    }

    /// Ends every query whose permits no longer hold.
    pub(crate) fn recheck(&self, holds: impl Fn(&Record) -> bool) {
        let records: Vec<_> = self.0.lock().iter().map(|(id, record)| (*id, Arc::clone(record))).collect();
        for (query_id, record) in records {
            if !holds(&record) {
                tracing::info!(query.id = %query_id, principal = %record.principal, "ended: a permission was revoked");
                record.stop.revoke();
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
