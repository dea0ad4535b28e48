//! What the night shift sees: metrics in Prometheus' text format, and the log.

use crate::metering::{Outcome, Protocol};

/// The gateway's metrics. Labels are closed enums. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(());

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        todo!()
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self, protocol: Protocol) -> ConnectionGuard {
        todo!("{protocol:?}")
    }

    /// A login failed.
    pub fn login_failed(&self, protocol: Protocol) {
        todo!("{protocol:?}")
    }

    /// A decision was made.
    pub fn decision(&self, permitted: bool) {
        todo!("{permitted}")
    }

    /// A query ended.
    pub fn query(&self, protocol: Protocol, outcome: Outcome, seconds: f64, bytes_scanned: u64) {
        todo!("{protocol:?}{outcome:?}{seconds}{bytes_scanned}")
    }

    /// Prometheus' text format.
    pub fn render(&self) -> String {
        todo!()
    }
}

/// Counts one open connection.
#[derive(Debug)]
pub struct ConnectionGuard(());
