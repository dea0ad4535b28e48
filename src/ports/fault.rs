//! What a reader is told when a product's data cannot be read, and how foreign errors become that.
//!
//! Every text names the product and nothing of where it lies: object stores quote paths, Parquet and CSV readers quote cells. The cause
//! travels as `source` for the log, so that a scan limit further down can still be found.

use std::error::Error as StdError;

use datafusion::error::DataFusionError;

use crate::error::{ErrorKind, Fault, find_cause};
use crate::id::ProductId;
use crate::metering::LimitReached;

/// There is nothing at the product's location.
pub fn missing(product: &ProductId) -> Fault {
    Fault::new(ErrorKind::Storage, format!("data of product {product} is missing"))
        .with_hint("The product's owner has to publish its data again.")
}

/// Something is there, and it is not what the manifest says, or the storage failed.
pub fn unreadable(product: &ProductId, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Fault {
    Fault::new(ErrorKind::Storage, format!("data of product {product} cannot be read")).with_source(source)
}

/// The data is readable, but its columns are not the contract's.
pub fn contract(product: &ProductId, detail: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::Storage, format!("data of product {product} does not match its contract")).with_detail(detail)
}

/// Known, and not yet built.
pub fn unsupported(product: &ProductId, what: &str) -> Fault {
    Fault::new(ErrorKind::Unsupported, format!("product {product} cannot be read: {what} is not supported yet"))
}

/// Turns whatever came from below a scan into what the reader may see. Faults that are already ours stay as they are.
pub fn from_below(product: &ProductId, error: DataFusionError) -> DataFusionError {
    if find_cause::<Fault>(&error).is_some() || is_resource(&error) {
        return error;
    }
    // How a limit is worded is the query's business: it knows whose limit it was.
    if let Some(limit) = find_cause::<LimitReached>(&error) {
        return DataFusionError::External(Box::new(limit.clone()));
    }
    DataFusionError::External(Box::new(unreadable(product, error)))
}

/// The same for a fault on the way to a plan.
pub fn opened(product: &ProductId, error: DataFusionError) -> Fault {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(inner) => unreadable(product, inner),
        },
        other => match find_cause::<Fault>(&other) {
            Some(found) => copy(found).with_source(other),
            None => unreadable(product, other),
        },
    }
}

/// A fault's texts without its source.
fn copy(fault: &Fault) -> Fault {
    let mut out = Fault::new(fault.kind(), fault.message());
    if let Some(detail) = fault.detail() {
        out = out.with_detail(detail);
    }
    if let Some(hint) = fault.hint() {
        out = out.with_hint(hint);
    }
    out
}

/// Memory and internal cancellation are not the product's doing.
fn is_resource(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

#[cfg(test)]
mod tests {
    use datafusion::parquet::errors::ParquetError;

    use super::*;
    use crate::ports::testing::product;

    #[test]
    fn a_scan_limit_is_found_however_deep_it_lies() {
        let limit = LimitReached::Scan { limit: 10 };
        let store = object_store::Error::Generic { store: "x", source: Box::new(std::io::Error::other(limit)) };
        let error = DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(store))));
        let mapped = from_below(&product(), error);
        assert_eq!(find_cause::<LimitReached>(&mapped).cloned(), Some(LimitReached::Scan { limit: 10 }));
        assert!(find_cause::<Fault>(&mapped).is_none(), "the product is not to blame");
    }

    #[test]
    fn a_foreign_error_is_replaced_and_kept_for_the_log_only() {
        let error = DataFusionError::Execution("cannot open /secret/place/x.parquet: cell 'Jane'".into());
        let mapped = from_below(&product(), error);
        let fault = find_cause::<Fault>(&mapped).expect("a fault");
        assert_eq!(fault.to_string(), "data of product claims.events cannot be read");
        assert_eq!(fault.kind(), ErrorKind::Storage);
        assert!(std::error::Error::source(fault).is_some());
    }

    #[test]
    fn running_out_of_memory_is_not_blamed_on_the_product() {
        let mapped = from_below(&product(), DataFusionError::ResourcesExhausted("pool".into()));
        assert!(matches!(mapped, DataFusionError::ResourcesExhausted(_)));
    }
}
