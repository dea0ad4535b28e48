//! The leaf in the reader's plan: governed rows, and nothing that tells how they came about.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::{BarrierError, scrub};
use crate::id::PortId;
use crate::policy::{Mask, MaskKeys};

/// What is done to a batch on its way out.
#[derive(Clone)]
pub(super) struct Veil {
    pub(super) port: PortId,
    /// The columns that come out.
    pub(super) schema: SchemaRef,
    /// Their masks.
    pub(super) masks: Vec<Option<Mask>>,
    pub(super) keys: MaskKeys,
}

impl Veil {
    /// The governed batch: masked, and in fresh buffers throughout.
    pub(super) fn draw(&self, batch: &RecordBatch) -> Result<RecordBatch, BarrierError> {
        let fields = self.schema.fields().iter().zip(&self.masks);
        let columns = batch.columns().iter().zip(fields).map(|(column, (field, mask))| {
            let shown: ArrayRef = match mask {
                Some(mask) => mask.apply(column, &self.keys)?,
                None => Arc::clone(column),
            };
            #[cfg(test)]
            if crate::mutants::is("no scrub") {
                return arrow::compute::cast(&shown, field.data_type());
            }
            scrub::rebuild(&shown, field.data_type())
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options))
            .map_err(|error| BarrierError::internal(&self.port, error))
    }
}

/// Batches of one partition that may wait for the partitions before it.
const READ_AHEAD: usize = 64;

/// A governed product in a plan. A leaf: no optimiser rule, no EXPLAIN and no metric goes past it. It says nothing about its rows: no
/// statistics, no order, no constants. Which file a row lies in, and how large files and batches are, depends on hidden rows and values; so
/// there is one partition, in the order of the files, in batches cut anew, while several partitions below are read and masked at once.
pub struct GovernedExec {
    inner: Arc<dyn ExecutionPlan>,
    veil: Veil,
    context: Arc<TaskContext>,
    threads: usize,
    properties: Arc<PlanProperties>,
}

impl GovernedExec {
    pub(super) fn new(inner: Arc<dyn ExecutionPlan>, veil: Veil, context: Arc<TaskContext>, threads: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&veil.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { inner, veil, context, threads, properties: Arc::new(properties) }
    }

    /// All governed rows, one partition below after the other, of which some are read at once.
    fn in_order(&self) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
        let (inner, context, veil) = (Arc::clone(&self.inner), Arc::clone(&self.context), self.veil.clone());
        let below = 0..inner.properties().partitioning.partition_count();
        let started = stream::iter(below).map(move |below| {
            let (inner, context, veil) = (Arc::clone(&inner), Arc::clone(&context), veil.clone());
            async move { read_ahead(&inner, below, context, veil) }
        });
        started.buffered(self.threads.max(1)).try_flatten()
    }
}

/// A partition behind the veil, which is read whether or not its turn has come, as far as there is room.
fn read_ahead(
    inner: &Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    veil: Veil,
) -> Result<stream::BoxStream<'static, Result<RecordBatch>>> {
    let below = inner.execute(partition, context).map_err(|error| BarrierError::from_below(&veil.port, error))?;
    let schema = Arc::clone(&veil.schema);
    let mut rows = below.map(move |batch| {
        let batch = batch.map_err(|error| BarrierError::from_below(&veil.port, error))?;
        Ok(veil.draw(&batch)?)
    });
    if inner.properties().partitioning.partition_count() == 1 {
        return Ok(rows.boxed());
    }
    let mut builder = RecordBatchReceiverStream::builder(schema, READ_AHEAD);
    let ready = builder.tx();
    builder.spawn(async move {
        while let Some(batch) = rows.next().await {
            let ended = batch.is_err();
            if ready.send(batch).await.is_err() || ended {
                break;
            }
        }
        Ok(())
    });
    Ok(builder.build().boxed())
}

impl fmt::Debug for GovernedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedExec").field("product", &self.veil.port.product).finish_non_exhaustive()
    }
}

impl DisplayAs for GovernedExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "Governed: product={}", self.veil.port.product),
            DisplayFormatType::TreeRender => writeln!(f, "product={}", self.veil.port.product),
        }
    }
}

impl ExecutionPlan for GovernedExec {
    fn name(&self) -> &'static str {
        "Governed"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// None: the reader's rules have no business with the policy's expressions.
    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// A recursive query runs its plan again and again; what is below must begin anew each time.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            inner: reset_plan_states(Arc::clone(&self.inner))?,
            veil: self.veil.clone(),
            context: Arc::clone(&self.context),
            threads: self.threads,
            properties: Arc::clone(&self.properties),
        }))
    }

    #[cfg(test)]
    fn statistics_from_inputs(
        &self,
        _: &[Arc<datafusion::common::Statistics>],
        args: &datafusion::physical_plan::statistics::StatisticsArgs,
    ) -> Result<Arc<datafusion::common::Statistics>> {
        if crate::mutants::is("statistics forwarded") {
            return datafusion::physical_plan::statistics::StatisticsContext::new().compute(self.inner.as_ref(), args);
        }
        Ok(Arc::new(datafusion::common::Statistics::new_unknown(&self.veil.schema)))
    }

    /// The reader's context is not used: stores, memory and configuration are the gateway's.
    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let port = self.veil.port.clone();
        let cut = recut(self.in_order(), self.context.session_config().batch_size(), Arc::clone(&self.veil.schema));
        let governed = AssertUnwindSafe(cut).catch_unwind().map(move |item| {
            let batch = item.unwrap_or_else(|_| Err(BarrierError::internal(&port, "a panic below the barrier").into()));
            batch.map_err(|error| BarrierError::opaque(&port, error))
        });
        // After an error there is nothing more, whatever the stream below would say next.
        let governed = governed.scan(false, |ended, item| {
            let go_on = !std::mem::replace(ended, item.is_err());
            futures::future::ready(go_on.then_some(item))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.veil.schema), governed)))
    }
}

/// The same rows in batches of exactly `rows`, so that the cuts tell nothing of the rows that were dropped.
fn recut(
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    rows: usize,
    schema: SchemaRef,
) -> stream::BoxStream<'static, Result<RecordBatch>> {
    if schema.fields().is_empty() {
        return recount(batches, rows, schema);
    }
    let state = Some((Box::pin(batches), BatchCoalescer::new(schema, rows)));
    stream::try_unfold(state, |state| async move {
        let Some((mut batches, mut coalescer)) = state else { return Ok(None) };
        loop {
            if let Some(full) = coalescer.next_completed_batch() {
                return Ok(Some((full, Some((batches, coalescer)))));
            }
            match batches.try_next().await? {
                Some(batch) => coalescer.push_batch(batch)?,
                None => {
                    coalescer.finish_buffered_batch()?;
                    return Ok(coalescer.next_completed_batch().map(|last| (last, None)));
                }
            }
        }
    })
    .boxed()
}

/// The same for rows that have no columns: only their number counts.
fn recount(
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    rows: usize,
    schema: SchemaRef,
) -> stream::BoxStream<'static, Result<RecordBatch>> {
    let batch_of = move |count: usize| -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), Vec::new(), &options)?)
    };
    let state = (Some(Box::pin(batches)), 0_usize);
    stream::try_unfold((state, batch_of), move |((mut batches, mut count), batch_of)| async move {
        while let Some(more) = &mut batches {
            if count >= rows {
                break;
            }
            match more.try_next().await? {
                Some(batch) => count += batch.num_rows(),
                None => batches = None,
            }
        }
        let now = count.min(rows);
        if now == 0 {
            return Ok(None);
        }
        Ok(Some((batch_of(now)?, ((batches, count - now), batch_of))))
    })
    .boxed()
}
