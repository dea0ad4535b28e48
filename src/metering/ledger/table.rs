//! Figures as tables that a query can scan: each batch is fetched off the runtime's threads when the query asks for it.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::try_unfold;

use super::Walk;
use crate::error::{Fault, Result};

pub(crate) type Begin = Box<dyn Fn() -> Result<Walk> + Send + Sync>;
type Make = Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>;

/// A table that is walked page by page.
pub(crate) fn paged_table(schema: SchemaRef, begin: impl Fn() -> Result<Walk> + Send + Sync + 'static) -> Option<Arc<dyn TableProvider>> {
    provider(schema, vec![Source::Paged(Box::new(begin))])
}

/// A table of several walks.
pub(crate) fn paged_tables(schema: SchemaRef, walks: Vec<Begin>) -> Option<Arc<dyn TableProvider>> {
    provider(schema, walks.into_iter().map(Source::Paged).collect())
}

/// A table that is made whole when it is scanned: a few totals.
pub(crate) fn fixed_table(
    schema: SchemaRef,
    make: impl Fn() -> Result<RecordBatch> + Send + Sync + 'static,
) -> Option<Arc<dyn TableProvider>> {
    provider(schema, vec![Source::Fixed(Box::new(make))])
}

fn provider(schema: SchemaRef, sources: Vec<Source>) -> Option<Arc<dyn TableProvider>> {
    let partition = |source| -> Arc<dyn PartitionStream> { Arc::new(Figures { schema: Arc::clone(&schema), source: Arc::new(source) }) };
    let partitions = sources.into_iter().map(partition).collect();
    // Fails only for a partition of another schema than the table's, and there is one schema.
    let table = StreamingTable::try_new(Arc::clone(&schema), partitions).ok()?;
    Some(Arc::new(table))
}

enum Source {
    Paged(Begin),
    Fixed(Make),
}

struct Figures {
    schema: SchemaRef,
    source: Arc<Source>,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

enum Step {
    Begin(Arc<Source>),
    Walking(Box<Walk>),
    Done,
}

impl Step {
    fn next(self) -> Result<Option<(RecordBatch, Self)>> {
        let mut walk = match self {
            Self::Done => return Ok(None),
            Self::Walking(walk) => walk,
            Self::Begin(source) => match source.as_ref() {
                Source::Fixed(make) => return Ok(Some((make()?, Self::Done))),
                Source::Paged(begin) => Box::new(begin()?),
            },
        };
        Ok(walk.page()?.map(|batch| (batch, Self::Walking(walk))))
    }
}

impl PartitionStream for Figures {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = try_unfold(Step::Begin(Arc::clone(&self.source)), |step| async move { in_background(move || step.next()).await });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> PlanResult<T> {
    let outside = |fault: Fault| DataFusionError::External(Box::new(fault));
    tokio::task::spawn_blocking(work).await.map_err(|error| outside(Fault::internal(error)))?.map_err(outside)
}
