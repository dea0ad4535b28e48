//! The leaf that stands for a product's scan in a finished plan.
//!
//! Below it are DataFusion's and Delta's own operators, which name files, print predicates on them, quote cells in errors and may panic on
//! hostile bytes. Above it there is a product with columns and rows.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use deltalake::delta_datafusion::DeltaScanExec;
use futures::{FutureExt, StreamExt};

use crate::id::ProductId;
use crate::ports::bound::Bound;
use crate::ports::scope::Reach;
use crate::ports::{SCHEME, contract, fault};

/// Finds a port by the authority of its URL.
type Find<'a> = &'a dyn Fn(&str) -> Option<Reach>;

/// Wraps every scan of a port in a [`PortExec`].
pub(super) fn instrument(plan: Arc<dyn ExecutionPlan>, find: Find<'_>) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.is::<PortExec>() {
        return Ok(plan);
    }
    if plan.is::<DeltaScanExec>() || authority_of(&plan).is_some() {
        return wrap(plan, find);
    }
    with_children(plan, |child| instrument(child, find))
}

fn with_children(
    plan: Arc<dyn ExecutionPlan>,
    mut change: impl FnMut(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let old: Vec<_> = plan.children().into_iter().map(Arc::clone).collect();
    if old.is_empty() {
        return Ok(plan);
    }
    let new = old.iter().map(|child| change(Arc::clone(child))).collect::<Result<Vec<_>>>()?;
    if old.iter().zip(&new).all(|(a, b)| Arc::ptr_eq(a, b)) {
        return Ok(plan);
    }
    plan.replace_children(new, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

/// One scan, whole: its readers exchanged, and the leaf over it.
fn wrap(plan: Arc<dyn ExecutionPlan>, find: Find<'_>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut product = None;
    let inner = exchange(plan, find, &mut product)?;
    match product {
        Some(product) => Ok(Arc::new(PortExec::new(inner, product))),
        // A Delta scan without files reads nothing and says nothing.
        None => Ok(inner),
    }
}

fn exchange(plan: Arc<dyn ExecutionPlan>, find: Find<'_>, product: &mut Option<ProductId>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(authority) = authority_of(&plan) else {
        return with_children(plan, |child| exchange(child, find, product));
    };
    let outside = || DataFusionError::Execution("a scan of something outside the query's products".into());
    let reach = find(&authority).ok_or_else(outside)?;
    if product.as_ref().is_some_and(|p| *p != reach.product) {
        return Err(outside());
    }
    *product = Some(reach.product.clone());
    let Some(config) = file_scan(&plan) else { return Ok(plan) };
    let Some(parquet) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(plan) };
    let source = parquet.clone().with_parquet_file_reader_factory(reach.readers);
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The file scan that a node is, if it is one.
pub(super) fn file_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// The authority that a file scan reads from. A foreign scheme gives a name that no port has.
fn authority_of(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let url: &url::Url = file_scan(plan)?.object_store_url.as_ref();
    Some(if url.scheme() == SCHEME { url.host_str().unwrap_or_default().to_owned() } else { String::new() })
}

/// A product's scan as the plan shows it: one line, no children.
pub struct PortExec {
    inner: Arc<dyn ExecutionPlan>,
    product: ProductId,
    metrics: ExecutionPlanMetricsSet,
}

impl PortExec {
    /// Hides `inner`.
    pub(super) fn new(inner: Arc<dyn ExecutionPlan>, product: ProductId) -> Self {
        Self { inner, product, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Whose data it reads.
    pub fn product(&self) -> &ProductId {
        &self.product
    }

    /// The scans of a plan, in its order.
    pub fn all(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
        if plan.is::<Self>() {
            return vec![Arc::clone(plan)];
        }
        plan.children().into_iter().flat_map(Self::all).collect()
    }

    /// What it would read. No row data is read for that; footers are, on the query's account. Errors are those of a scan.
    pub async fn bound(&self, context: &Arc<TaskContext>) -> Result<Bound> {
        let bound = AssertUnwindSafe(super::bound::bound(&self.inner, context)).catch_unwind().await;
        let bound = bound.unwrap_or_else(|panic| Err(panicked(&self.product, panic.as_ref())));
        bound.map_err(|e| fault::from_below(&self.product, e))
    }

    fn columns(&self) -> String {
        self.inner.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for PortExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortExec").field("product", &self.product).finish_non_exhaustive()
    }
}

impl DisplayAs for PortExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "Scan: product={}, columns=[{}]", self.product, self.columns())
            }
            DisplayFormatType::TreeRender => writeln!(f, "product={}", self.product),
        }
    }
}

impl ExecutionPlan for PortExec {
    fn name(&self) -> &'static str {
        "Scan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// None to show: what is below is not for the plan above.
    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let product = self.product.clone();
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.execute(partition, context)))
            .unwrap_or_else(|panic| Err(panicked(&product, panic.as_ref())))
            .map_err(|e| fault::from_below(&product, e))?;
        let schema = inner.schema();
        let spelt = contract::Spelt::of(&schema);
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let stream = AssertUnwindSafe(inner).catch_unwind().map(move |item| {
            let batch = item.unwrap_or_else(|panic| Err(panicked(&product, panic.as_ref()))).map_err(|e| fault::from_below(&product, e))?;
            spelt.check(&product, &batch)?;
            rows.add(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(self.inner.as_ref(), args)
    }
}

/// A decoder that panics on hostile bytes ends its query, and nothing else.
fn panicked(product: &ProductId, panic: &(dyn Any + Send)) -> DataFusionError {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "a panic without a text".to_owned());
    DataFusionError::External(Box::new(fault::unreadable(product, format!("panic below the scan: {text}"))))
}
