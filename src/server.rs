//! The doors: PostgreSQL, Flight, HTTP. They differ in decoding and encoding only; all queries go through `query`.

mod accept;
pub mod flight;
pub mod http;
pub mod postgres;
pub mod tls;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::identity::Identity;
use crate::query::Gateway;
use crate::telemetry::Metrics;

/// What every door needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    /// The engine.
    pub gateway: Arc<Gateway>,
    /// Who is who.
    pub identity: Identity,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// Counters.
    pub metrics: Metrics,
    /// TLS, where it is set up.
    pub tls: Option<tls::Tls>,
    /// Cancelled when the gateway drains: accept nothing new, start no query, close idle connections.
    pub draining: CancellationToken,
    /// Cancelled when the grace period is over: end everything.
    pub ending: CancellationToken,
    /// Connection tasks, waited for when draining.
    pub tasks: TaskTracker,
}
