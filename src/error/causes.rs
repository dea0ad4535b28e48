//! The chain of causes of an error from a library.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;

/// How far a chain is followed.
const MAX_CAUSES: usize = 64;

/// The error, its cause, the cause of that, and so on.
///
/// `source()` alone is not enough: some wrappers hand out what they were made from only by name.
pub fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| boxed(error).or_else(|| error.source())).take(MAX_CAUSES)
}

/// Finds an error of type `T` anywhere in the chain.
pub fn find_cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn boxed<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return io.get_ref().map(|inner| inner as &(dyn StdError + 'static));
    }
    if let Some(engine) = error.downcast_ref::<DataFusionError>() {
        return match engine {
            DataFusionError::External(inner) => Some(inner.as_ref()),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Some(inner.as_ref()),
            DataFusionError::Shared(inner) => Some(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => Some(inner.as_ref()),
            DataFusionError::ObjectStore(inner) => Some(inner.as_ref()),
            DataFusionError::ParquetError(inner) => Some(inner.as_ref()),
            DataFusionError::IoError(inner) => Some(inner),
            DataFusionError::Collection(errors) => errors.first().map(|first| first as _),
            _ => None,
        };
    }
    if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref::<ArrowError>() {
        return Some(inner.as_ref());
    }
    if let Some(ParquetError::External(inner)) = error.downcast_ref::<ParquetError>() {
        return Some(inner.as_ref());
    }
    match error.downcast_ref::<object_store::Error>() {
        Some(object_store::Error::Generic { source, .. }) => Some(source.as_ref()),
        _ => None,
    }
}
