//! The leaf in the reader's plan: governed rows, and nothing that tells how they came about.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{BatchCoalescer, cast};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties};
use futures::future::ready;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};

use super::{BarrierError, Below, Sight, scrub};
use crate::id::{PortId, ProductId};
use crate::policy::{Mask, MaskKeys};
use crate::ports::{Bound, PortExec};

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
    /// The batch with its masked columns masked.
    pub(super) fn mask(&self, batch: &RecordBatch) -> Result<RecordBatch, BarrierError> {
        let columns = batch.columns().iter().zip(&self.masks).map(|(column, mask)| {
            let shown = match mask {
                Some(mask) => mask.apply(column, &self.keys)?,
                None => Arc::clone(column),
            };
            // Put together, the dictionaries of many batches can have too many keys.
            match shown.data_type() {
                DataType::Dictionary(_, values) => cast(&shown, values),
                _ => Ok(shown),
            }
        });
        let masked = columns.collect::<Result<Vec<_>, _>>().and_then(|columns| {
            let names = self.schema.fields().iter().zip(&columns);
            let fields: Vec<Field> = names.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true)).collect();
            batch_of(Arc::new(Schema::new(fields)), columns, batch.num_rows())
        });
        masked.map_err(|error| BarrierError::internal(&self.port, error))
    }

    /// The governed batch, in fresh buffers throughout. Of a batch that is cut already: how large an allocation is shows too, in EXPLAIN
    /// ANALYZE, and depends on what was cut from what.
    pub(super) fn draw(&self, masked: &RecordBatch) -> Result<RecordBatch, BarrierError> {
        let columns = masked.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            #[cfg(test)]
            if crate::mutants::is("no scrub") {
                return cast(column, field.data_type());
            }
            scrub::rebuild(column, field.data_type())
        });
        columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| batch_of(Arc::clone(&self.schema), columns, masked.num_rows()))
            .map_err(|error| BarrierError::internal(&self.port, error))
    }
}

/// A batch that may have no columns.
pub(super) fn batch_of(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

/// A governed product in a plan. A leaf: no optimiser rule, no EXPLAIN and no metric goes past it. It says nothing about its rows but what
/// their reader may count: no order, no constants. Which file a row lies in, and how large files and batches are, depends on hidden rows
/// and values; so there is one partition, in the order of the files, in batches cut anew, while several partitions below are read,
/// filtered and masked at once.
pub struct GovernedExec {
    below: Below,
    /// Those of the reader's filters that are below, for EXPLAIN.
    filters: Vec<Expr>,
    veil: Veil,
    estimate: Arc<Statistics>,
    sight: Option<Arc<Sight>>,
    context: Arc<TaskContext>,
    threads: usize,
    properties: Arc<PlanProperties>,
}

impl GovernedExec {
    pub(super) fn new(
        below: Below,
        filters: &[Expr],
        veil: Veil,
        context: Arc<TaskContext>,
        threads: usize,
        estimate: Statistics,
        sight: Option<Sight>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&veil.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (filters, estimate, sight) = (filters.to_vec(), Arc::new(estimate), sight.map(Arc::new));
        Self { below, filters, veil, context, threads, estimate, sight, properties: Arc::new(properties) }
    }

    /// Where it is remembered how many rows came out, if it is.
    pub(super) fn sight(&self) -> Option<&Arc<Sight>> {
        self.sight.as_ref()
    }

    /// Whose data it reads.
    pub fn product(&self) -> &ProductId {
        &self.veil.port.product
    }

    /// The most that it can read. Where rows are hidden, that is what the needed columns of all rows take, with nothing left out. It still weighs hidden
    /// rows and values: who is told of it must be told roughly.
    pub async fn most(&self) -> Result<u64> {
        let sum = AssertUnwindSafe(async {
            let scan = match &self.below.whole {
                Some(whole) => whole.scan().await?,
                None => Arc::clone(&self.below.scan),
            };
            let mut sum = Bound::default();
            for port in PortExec::all(&scan) {
                if let Some(port) = port.downcast_ref::<PortExec>() {
                    sum = sum.plus(port.bound(&self.context).await?);
                }
            }
            // The policy's own predicate may look into Bloom filters.
            Ok(if self.below.whole.is_some() { sum.most.saturating_add(sum.filters) } else { sum.most })
        });
        let sum =
            sum.catch_unwind().await.unwrap_or_else(|_| Err(BarrierError::internal(&self.veil.port, "a panic below the barrier").into()));
        sum.map_err(|error| BarrierError::opaque(&self.veil.port, error))
    }
}

impl fmt::Debug for GovernedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedExec").field("product", &self.veil.port.product).finish_non_exhaustive()
    }
}

impl DisplayAs for GovernedExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "Governed: product={}", self.veil.port.product)?,
            DisplayFormatType::TreeRender => writeln!(f, "product={}", self.veil.port.product)?,
        }
        let filters: Vec<String> = self.filters.iter().map(|filter| filter.human_display().to_string()).collect();
        match (filters.is_empty(), kind) {
            (true, _) => Ok(()),
            (false, DisplayFormatType::TreeRender) => writeln!(f, "filter={}", filters.join(" AND ")),
            (false, _) => write!(f, ", filter={}", filters.join(" AND ")),
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
            below: Below { scan: reset_plan_states(Arc::clone(&self.below.scan))?, ..self.below.clone() },
            filters: self.filters.clone(),
            veil: self.veil.clone(),
            context: Arc::clone(&self.context),
            threads: self.threads,
            estimate: Arc::clone(&self.estimate),
            sight: self.sight.clone(),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&self.estimate))
    }

    /// The reader's context is not used: stores, memory and configuration are the gateway's.
    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let port = self.veil.port.clone();
        let rows = self.below.in_order(Arc::clone(&self.context), self.veil.clone(), self.threads);
        let (veil, rows_each) = (self.veil.clone(), self.context.session_config().batch_size());
        let drawn = recut(rows, rows_each, &self.veil.schema).map(move |batch| Ok(veil.draw(&batch?)?));
        let governed = AssertUnwindSafe(drawn).catch_unwind().map(move |item| {
            let batch = item.unwrap_or_else(|_| Err(BarrierError::internal(&port, "a panic below the barrier").into()));
            batch.map_err(|error| BarrierError::opaque(&port, error))
        });
        // After an error there is nothing more, whatever the stream below would say next.
        let governed = governed.scan(false, |ended, item| {
            let go_on = !std::mem::replace(ended, item.is_err());
            ready(go_on.then_some(item))
        });
        let (sight, mut rows) = (self.sight.clone(), Some(0));
        let governed = governed.map(Some).chain(stream::iter([None])).filter_map(move |item| {
            match (&item, rows) {
                (Some(Ok(batch)), Some(sum)) => rows = Some(sum + batch.num_rows() as u64),
                (Some(Err(_)), _) => rows = None,
                (None, Some(sum)) => sight.iter().for_each(|sight| sight.ended(sum)),
                _ => {}
            }
            ready(item)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.veil.schema), governed)))
    }
}

/// The same rows in batches of exactly `rows`, so that the cuts tell nothing of the rows that were dropped.
fn recut(
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    rows: usize,
    schema: &SchemaRef,
) -> stream::BoxStream<'static, Result<RecordBatch>> {
    if schema.fields().is_empty() {
        return recount(batches, rows, Arc::clone(schema));
    }
    let state = Some((Box::pin(batches), None));
    stream::try_unfold(state, move |state| async move {
        let Some((mut batches, mut coalescer)) = state else { return Ok(None) };
        loop {
            if let Some(full) = coalescer.as_mut().and_then(BatchCoalescer::next_completed_batch) {
                return Ok(Some((full, Some((batches, coalescer)))));
            }
            match batches.try_next().await? {
                Some(batch) => {
                    // A batch that is as it should be goes through as it is.
                    let new = || BatchCoalescer::new(batch.schema(), rows).with_biggest_coalesce_batch_size(Some(rows.saturating_sub(1)));
                    let coalescer = coalescer.get_or_insert_with(new);
                    let cuts = (0..batch.num_rows()).step_by(rows);
                    cuts.map(|cut| batch.slice(cut, rows.min(batch.num_rows() - cut))).try_for_each(|part| coalescer.push_batch(part))?;
                }
                None => {
                    let Some(mut coalescer) = coalescer else { return Ok(None) };
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
    let state = (Some(Box::pin(batches)), 0_usize, schema);
    stream::try_unfold(state, move |(mut batches, mut count, schema)| async move {
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
        Ok(Some((batch_of(Arc::clone(&schema), Vec::new(), now)?, (batches, count - now, schema))))
    })
    .boxed()
}
