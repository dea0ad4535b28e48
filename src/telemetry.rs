//! What the night shift sees: metrics in Prometheus' text format, and the log.
//!
//! Labels are closed enums, so a client cannot make a new time series. The log is written once, where a thing is handled; statements
//! and values are not in it above DEBUG.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::error::Fault;
use crate::metering::{Outcome, Protocol};

/// The gateway's metrics. Labels are closed enums. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    registry: Registry,
    connections: Family<ByProtocol, Gauge>,
    logins_failed: Family<ByProtocol, Counter>,
    refused_connections: Family<ByProtocol, Counter>,
    decisions: Family<ByDecision, Counter>,
    queries: Family<ByOutcome, Counter>,
    query_seconds: Family<ByProtocol, Histogram, fn() -> Histogram>,
    bytes_scanned: Counter,
    ledger: Published,
}

/// How the published ledger is.
#[derive(Debug, Default)]
struct Published {
    exported: Counter,
    waiting: Gauge,
    failures: Counter,
    in_step: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: ProtocolLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    protocol: ProtocolLabel,
    outcome: OutcomeLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDecision {
    decision: DecisionLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ProtocolLabel(&'static str);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OutcomeLabel(&'static str);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct DecisionLabel(&'static str);

/// Labels are words of ours, written as they are.
macro_rules! label_values {
    ($($name:ident)*) => {$(
        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&self.0, encoder)
            }
        }
    )*};
}
label_values!(ProtocolLabel OutcomeLabel DecisionLabel);

const PROTOCOLS: [Protocol; 3] = [Protocol::Postgres, Protocol::Flight, Protocol::Http];

impl From<Protocol> for ProtocolLabel {
    fn from(protocol: Protocol) -> Self {
        Self(match protocol {
            Protocol::Postgres => "postgres",
            Protocol::Flight => "flight",
            Protocol::Http => "http",
        })
    }
}

impl From<Outcome> for OutcomeLabel {
    fn from(outcome: Outcome) -> Self {
        Self(match outcome {
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::LimitExceeded => "limit_exceeded",
            Outcome::Revoked => "revoked",
            Outcome::Crashed => "crashed",
        })
    }
}

impl From<Protocol> for ByProtocol {
    fn from(protocol: Protocol) -> Self {
        Self { protocol: protocol.into() }
    }
}

/// From a point query in a cache to a long scan.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0])
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut shared = Shared {
            registry: Registry::with_prefix("meshgate"),
            connections: Family::default(),
            logins_failed: Family::default(),
            refused_connections: Family::default(),
            decisions: Family::default(),
            queries: Family::default(),
            query_seconds: Family::new_with_constructor(seconds),
            bytes_scanned: Counter::default(),
            ledger: Published::default(),
        };
        shared.register();
        // A series that is there from the start can be alerted on.
        for protocol in PROTOCOLS {
            drop(shared.connections.get_or_create(&protocol.into()));
            drop(shared.logins_failed.get_or_create(&protocol.into()));
            drop(shared.refused_connections.get_or_create(&protocol.into()));
        }
        for decision in ["permit", "deny"] {
            drop(shared.decisions.get_or_create(&ByDecision { decision: DecisionLabel(decision) }));
        }
        Self(Arc::new(shared))
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self, protocol: Protocol) -> ConnectionGuard {
        let gauge = self.0.connections.get_or_create_owned(&protocol.into());
        gauge.inc();
        ConnectionGuard(gauge)
    }

    /// A connection was turned away because there are too many.
    pub fn connection_refused(&self, protocol: Protocol) {
        self.0.refused_connections.get_or_create(&protocol.into()).inc();
    }

    /// A login failed.
    pub fn login_failed(&self, protocol: Protocol) {
        self.0.logins_failed.get_or_create(&protocol.into()).inc();
    }

    /// A decision was made.
    pub fn decision(&self, permitted: bool) {
        let decision = DecisionLabel(if permitted { "permit" } else { "deny" });
        self.0.decisions.get_or_create(&ByDecision { decision }).inc();
    }

    /// A query ended.
    pub fn query(&self, protocol: Protocol, outcome: Outcome, seconds: f64, bytes_scanned: u64) {
        self.0.queries.get_or_create(&ByOutcome { protocol: protocol.into(), outcome: outcome.into() }).inc();
        self.0.query_seconds.get_or_create(&protocol.into()).observe(seconds);
        self.0.bytes_scanned.inc_by(bytes_scanned);
    }

    /// Rows were appended to the published ledger.
    pub fn ledger_exported(&self, rows: u64) {
        self.0.ledger.exported.inc_by(rows);
    }

    /// So many settled rows are not in the published ledger yet.
    pub fn ledger_waiting(&self, rows: i64) {
        self.0.ledger.waiting.set(rows);
    }

    /// The published ledger and the gateway are in step.
    pub fn ledger_round(&self, at: DateTime<Utc>) {
        self.0.ledger.waiting.set(0);
        self.0.ledger.in_step.set(at.timestamp());
    }

    /// An attempt to publish failed.
    pub fn ledger_failed(&self) {
        self.0.ledger.failures.inc();
    }

    /// Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.0.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                String::new()
            }
        }
    }
}

impl Shared {
    fn register(&mut self) {
        let Self { registry, connections, logins_failed, refused_connections, decisions, queries, query_seconds, bytes_scanned, ledger } =
            self;
        registry.register("connections", "Open connections", connections.clone());
        registry.register("logins_failed", "Failed logins", logins_failed.clone());
        registry.register("connections_refused", "Connections turned away because there were too many", refused_connections.clone());
        registry.register("decisions", "Access decisions", decisions.clone());
        registry.register("queries", "Queries that ended", queries.clone());
        registry.register_with_unit("query", "From parse to settlement", Unit::Seconds, query_seconds.clone());
        registry.register("bytes_scanned", "Billable bytes read", bytes_scanned.clone());
        let registry = registry.sub_registry_with_prefix("ledger");
        registry.register("exported_rows", "Rows of usage appended to the published ledger", ledger.exported.clone());
        registry.register("waiting_rows", "Rows of usage that are not in the published ledger yet", ledger.waiting.clone());
        registry.register("failures", "Attempts to publish usage that failed", ledger.failures.clone());
        registry.register("in_step_timestamp_seconds", "When the published ledger was last in step, since 1970", ledger.in_step.clone());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts one open connection.
#[derive(Debug)]
pub struct ConnectionGuard(Gauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A fault in one line for the operator, with its detail and its causes, which no reader is told.
pub fn explain(fault: &Fault) -> String {
    let mut text = fault.to_string();
    if let Some(detail) = fault.detail() {
        text = format!("{text}: {detail}");
    }
    let mut cause = std::error::Error::source(fault);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines for machines.
    Json,
}

/// What is in the log where `RUST_LOG` does not say: ours, and what is wrong elsewhere. Delta's kernel calls an error what is none (a
/// table that does not exist yet), and libraries below quote paths.
const DEFAULT_FILTER: &str = "error,meshgate=info,buoyant_kernel=off";

/// Sends the log to standard error. `RUST_LOG` says what is in it.
pub fn start_log(format: LogFormat) {
    use std::io::IsTerminal;
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // A log that somebody else has set up already (a test) stays.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_counted_under_the_documented_names() {
        let metrics = Metrics::new();
        let guard = metrics.connection(Protocol::Flight);
        metrics.login_failed(Protocol::Postgres);
        metrics.decision(true);
        metrics.decision(false);
        metrics.decision(false);
        metrics.query(Protocol::Postgres, Outcome::LimitExceeded, 0.02, 4096);
        metrics.ledger_waiting(7);
        metrics.ledger_exported(5);
        metrics.ledger_failed();
        let text = metrics.render();
        for line in [
            "meshgate_connections{protocol=\"flight\"} 1",
            "meshgate_connections{protocol=\"http\"} 0",
            "meshgate_logins_failed_total{protocol=\"postgres\"} 1",
            "meshgate_decisions_total{decision=\"permit\"} 1",
            "meshgate_decisions_total{decision=\"deny\"} 2",
            "meshgate_queries_total{protocol=\"postgres\",outcome=\"limit_exceeded\"} 1",
            "meshgate_query_seconds_count{protocol=\"postgres\"} 1",
            "meshgate_query_seconds_bucket{le=\"0.01\",protocol=\"postgres\"} 0",
            "meshgate_query_seconds_bucket{le=\"0.05\",protocol=\"postgres\"} 1",
            "meshgate_bytes_scanned_total 4096",
            "meshgate_ledger_waiting_rows 7",
            "meshgate_ledger_exported_rows_total 5",
            "meshgate_ledger_failures_total 1",
            "meshgate_ledger_in_step_timestamp_seconds 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        drop(guard);
        assert!(metrics.render().contains("meshgate_connections{protocol=\"flight\"} 0"));
    }
}
