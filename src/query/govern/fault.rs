//! Errors from below the barrier.
//!
//! Readers of CSV, JSON and Parquet quote cells and paths in their errors, also of rows that the policy hides. None of these texts passes:
//! what passes is which kind of trouble it was. The cause stays reachable through `source()`, for the log and to tell a scan limit from a
//! broken disk.

use std::error::Error as StdError;
use std::fmt;

use datafusion::error::DataFusionError;

use crate::error::{ErrorKind, Fault, find_cause};
use crate::id::PortId;
use crate::metering::LimitReached;
use crate::query::fault::limit_fault;

/// Trouble below the barrier, with nothing of what is there.
pub struct BarrierError(Box<Trouble>);

struct Trouble {
    port: PortId,
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    cause: Box<dyn StdError + Send + Sync>,
}

impl BarrierError {
    /// What an error from below becomes.
    pub(super) fn from_below(port: &PortId, error: DataFusionError) -> Self {
        #[cfg(test)]
        if crate::mutants::is("raw errors") {
            return Self::new(port, ErrorKind::Storage, crate::mutants::causes(&error), error);
        }
        if let Some(limit) = find_cause::<LimitReached>(&error) {
            let fault = limit_fault(limit);
            let (detail, hint) = (fault.detail().map(str::to_owned), fault.hint().map(str::to_owned));
            let (kind, message) = (fault.kind(), fault.message().to_owned());
            return Self(Box::new(Trouble { port: port.clone(), kind, message, detail, hint, cause: error.into() }));
        }
        if let Some(fault) = find_cause::<Fault>(&error).filter(|fault| speaks_of_the_port(fault.kind())) {
            let (kind, message) = (fault.kind(), fault.message().to_owned());
            let (detail, hint) = (fault.detail().map(str::to_owned), fault.hint().map(str::to_owned));
            return Self(Box::new(Trouble { port: port.clone(), kind, message, detail, hint, cause: error.into() }));
        }
        if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
            return Self::new(port, ErrorKind::OutOfMemory, "out of memory".into(), error);
        }
        Self::new(port, ErrorKind::Storage, format!("data of product {} cannot be read", port.product), error)
    }

    /// An error on its way up: one of these as it is, anything else as from below.
    pub(super) fn opaque(port: &PortId, error: DataFusionError) -> DataFusionError {
        match error {
            DataFusionError::External(ours) if ours.is::<Self>() => DataFusionError::External(ours),
            other => Self::from_below(port, other).into(),
        }
    }

    /// A fault of ours. `cause` is for the log.
    pub(super) fn internal(port: &PortId, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(port, ErrorKind::Internal, "internal error".into(), cause)
    }

    /// A column of a type that cannot be rebuilt.
    pub(super) fn unsupported(port: &PortId, column: &str) -> Self {
        let message = format!("column \"{column}\" of product {} is of a type that cannot be read under a policy", port.product);
        Self::new(port, ErrorKind::Unsupported, message, "no scrub for the type")
    }

    fn new(port: &PortId, kind: ErrorKind, message: String, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Box::new(Trouble { port: port.clone(), kind, message, detail: None, hint: None, cause: cause.into() }))
    }

    /// Which port it happened to.
    pub fn port(&self) -> &PortId {
        &self.0.port
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the reader is told. The cause is not in it: log that from `source()`.
    pub fn to_fault(&self) -> Fault {
        let mut fault = Fault::new(self.0.kind, &self.0.message);
        if let Some(detail) = &self.0.detail {
            fault = fault.with_detail(detail);
        }
        if let Some(hint) = &self.0.hint {
            fault = fault.with_hint(hint);
        }
        fault
    }
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for BarrierError {
    /// Without the cause: errors are printed for debugging in places that nobody thinks of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierError").field("port", &self.0.port).field("kind", &self.0.kind).finish_non_exhaustive()
    }
}

impl StdError for BarrierError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.cause.as_ref())
    }
}

impl From<BarrierError> for DataFusionError {
    fn from(error: BarrierError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Kinds whose texts the ports write about themselves. Anything else from below would be about values.
fn speaks_of_the_port(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Storage
            | ErrorKind::ScanLimit
            | ErrorKind::Unsupported
            | ErrorKind::OutOfMemory
            | ErrorKind::Cancelled
            | ErrorKind::ShuttingDown
            | ErrorKind::Denied
    )
}
