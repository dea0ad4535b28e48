//! The barrier: a product with a row filter or masks, as the reader's planner sees it.
//!
//! DataFusion has no notion of a security barrier: it merges, reorders and pushes predicates and projections of the reader through every
//! filter, view and projection of ours, onto rows that the reader may not see (`docs/decisions/0001-the-barrier.md`). So the governed part
//! is not in the reader's plan at all. [`GovernedTable::scan`] plans it separately, with the gateway's own session, and hands out one
//! leaf whose stream holds governed rows in fresh buffers. Nothing of the reader's enters it but the names of the columns that are
//! needed, and comparisons that cannot fail of clear columns with literals ([`leakproof`]).
//!
//! Products that the decision leaves whole do not come here: they are planned as if the gateway were not there.

mod below;
mod exec;
mod fault;
mod leakproof;
mod scrub;
mod seen;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, Statistics, TableReference};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::FutureExt;

use crate::id::PortId;
use crate::policy::{Mask, MaskKeys, Permit};
use crate::ports::{OpenPort, Scope};

use below::Below;

pub use exec::GovernedExec;
pub use fault::BarrierError;
pub(crate) use seen::{Seen, SeenBy, Sight, sights};

/// The name of the governed table within its own, separate plan. No reader sees it.
const INNER: &str = "product";

/// Into how many times more partitions than threads a product is cut below the barrier: they are handed on in order, so each should be
/// small enough to wait in memory for the one before it.
const SLICES: usize = 8;

/// A step that a finished plan of scans goes through before it runs.
type Finish = Arc<dyn Fn(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> + Send + Sync>;

/// The scan of a filtered product as if nothing were filtered or left out, of the same columns. Planned only to say how large it is: what is left out
/// because of hidden rows would tell of them.
#[derive(Clone)]
struct Whole {
    plan: LogicalPlan,
    planner: Arc<SessionState>,
    finish: Finish,
}

impl Whole {
    async fn scan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        (self.finish)(self.planner.create_physical_plan(&self.plan).await?)
    }
}

/// A product behind its decision: the only way in which a filtered or masked port reaches a planner.
pub struct GovernedTable {
    port: PortId,
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    permit: Permit,
    keys: MaskKeys,
    /// Columns that the reader's predicates may choose rows by.
    clear: BTreeSet<String>,
    /// Those of them by which less may be read.
    prunable: BTreeSet<String>,
    planner: Arc<SessionState>,
    threads: usize,
    running: Arc<RuntimeEnv>,
    finish: Finish,
    seen: SeenBy,
}

impl GovernedTable {
    /// Puts the port behind the permit. `planner` is the gateway's own session over `scope.planning()`, never the reader's: its
    /// configuration decides how the product is read.
    pub(crate) fn new(
        port: &OpenPort,
        permit: Permit,
        keys: MaskKeys,
        scope: &Arc<Scope>,
        planner: Arc<SessionState>,
        seen: SeenBy,
    ) -> Self {
        let finisher = Arc::clone(scope);
        Self::over(
            port.id().clone(),
            Arc::clone(port.provider()),
            port.partition_columns(),
            permit,
            keys,
            planner,
            (Arc::clone(scope.running()), Arc::new(move |plan| finisher.instrument(plan)), seen),
        )
    }

    fn over(
        port: PortId,
        inner: Arc<dyn TableProvider>,
        partition_columns: &[String],
        permit: Permit,
        keys: MaskKeys,
        planner: Arc<SessionState>,
        (running, finish, seen): (Arc<RuntimeEnv>, Finish, SeenBy),
    ) -> Self {
        let threads = planner.config().target_partitions();
        let mut own = planner.as_ref().clone();
        let options = own.config_mut().options_mut();
        // Rows come in the order of the files. Dealt out to several threads, they would come in an order that depends on the timing of hidden ones.
        options.optimizer.enable_round_robin_repartition = false;
        options.execution.target_partitions = threads * SLICES;
        let planner = Arc::new(own);
        let all = inner.schema();
        let schema = permit.governed_schema(&all);
        let is_clear = |name: &String| {
            #[cfg(test)]
            if crate::mutants::is("mask after filter") {
                return true;
            }
            !permit.masks().contains_key(name)
        };
        let clear: BTreeSet<String> = all.fields().iter().map(|field| field.name().clone()).filter(is_clear).collect();
        // Where rows are hidden, reading less because of the reader's predicate tells of the hidden rows' values; only what the layout
        // keeps in separate files anyway may do that.
        let prunable = match permit.filter() {
            None => clear.clone(),
            Some(_) => partition_columns.iter().filter(|name| clear.contains(*name)).cloned().collect(),
        };
        Self { port, inner, schema, permit, keys, clear, prunable, planner, threads, running, finish, seen }
    }

    /// The scan and what is kept of it, planned with the gateway's session alone: its columns are the needed ones, then those that only
    /// the filters look at. The filters of the scan leave out files, row groups and pages; what is left is looked at row by row.
    async fn below(&self, columns: &[usize], filters: &[Expr], limit: Option<usize>) -> Result<Below> {
        let all = self.inner.schema();
        let translated = |allowed: &BTreeSet<String>| -> Vec<Option<Expr>> {
            filters.iter().map(|filter| leakproof::translate(filter, allowed, &all)).collect()
        };
        let policy: Vec<Expr> = self.permit.filter().into_iter().flat_map(split_conjunction).cloned().collect();
        let prune: Vec<Expr> = policy.iter().cloned().chain(translated(&self.prunable).into_iter().flatten()).collect();
        let asked = translated(&self.clear).into_iter().collect::<Option<Vec<Expr>>>();
        #[cfg(test)]
        let asked = asked.or_else(|| crate::mutants::is("exact pushdown").then(Vec::new));
        let asked = asked.ok_or_else(|| BarrierError::internal(&self.port, "a filter that does not go below"))?;
        let keep = conjunction(policy.into_iter().chain(asked));
        let scanned = self.scanned(columns, keep.as_ref())?;
        let plan = self.logical(&scanned, self.understood(prune.clone())?, filters, limit)?;
        let scan = self.planner.create_physical_plan(&plan).await?;
        let schema = Arc::new(DFSchema::try_from(scan.schema())?);
        // As the optimiser does with a reader's own filter: a comparison with each of two values is faster than a look into a set of two.
        let simplify =
            SimplifyContext::builder().with_schema(Arc::clone(&schema)).with_config_options(Arc::clone(self.planner.config_options()));
        let simplifier = ExprSimplifier::new(simplify.build());
        let physical = |expr: Option<Expr>| {
            expr.map(|expr| self.planner.create_physical_expr(simplifier.simplify(simplifier.coerce(expr, &schema)?)?, &schema)).transpose()
        };
        let scan = match physical(conjunction(prune))? {
            Some(prune) => pruning(scan, prune, self.planner.config_options())?,
            None => scan,
        };
        let whole = match self.permit.filter() {
            Some(_) => Some(Whole {
                plan: self.logical(&scanned, Vec::new(), &[], None)?,
                planner: Arc::clone(&self.planner),
                finish: Arc::clone(&self.finish),
            }),
            None => None,
        };
        Ok(Below { scan: (self.finish)(scan)?, keep: physical(keep)?, columns: columns.len(), few: limit.is_some(), whole })
    }

    /// Those of the filters that the port can do something with.
    fn understood(&self, filters: Vec<Expr>) -> Result<Vec<Expr>> {
        let verdicts = self.inner.supports_filters_pushdown(&filters.iter().collect::<Vec<_>>())?;
        let understood = filters.into_iter().zip(verdicts).filter(|(_, verdict)| *verdict != TableProviderFilterPushDown::Unsupported);
        Ok(understood.map(|(filter, _)| filter).collect())
    }

    /// The needed columns, then those that only a filter looks at.
    fn scanned(&self, columns: &[usize], keep: Option<&Expr>) -> Result<Vec<usize>> {
        let mut scanned = columns.to_vec();
        for column in keep.map(Expr::column_refs).unwrap_or_default() {
            let index = self.inner.schema().index_of(column.name())?;
            if !scanned.contains(&index) {
                scanned.push(index);
            }
        }
        Ok(scanned)
    }

    fn logical(&self, columns: &[usize], prune: Vec<Expr>, filters: &[Expr], limit: Option<usize>) -> Result<LogicalPlan> {
        let all = self.inner.schema();
        // A limit below a filter of the reader's would count rows that the filter drops; below the policy's, rows that nobody may count. In
        // the scan, where it holds for each slice: one of all slices would take its rows from whichever was the first.
        let fetch = limit.filter(|_| filters.is_empty() && self.permit.filter().is_none());
        let source = provider_as_source(Arc::clone(&self.inner));
        let mut plan = LogicalPlanBuilder::scan_with_filters_fetch(INNER, source, None, prune, fetch)?;
        #[cfg(test)]
        if let (Some(limit), true) = (limit, crate::mutants::is("limit passed through")) {
            plan = plan.limit(0, Some(limit))?;
        }
        #[cfg(test)]
        if crate::mutants::is("exact pushdown") {
            for filter in filters {
                plan = plan.filter(crate::mutants::unqualified(filter)?)?;
            }
        }
        let needed = columns.iter().filter_map(|index| all.fields().get(*index));
        plan = plan.project(needed.map(|field| Expr::Column(Column::new(Some(TableReference::bare(INNER)), field.name()))))?;
        plan.build()
    }

    /// What the reader's planner is told to expect, by which it orders joins: never exact, so that nothing is answered from it. Where rows
    /// are hidden, that is how many this reader has been shown before. Where none are, their number and the clear columns' bounds, which the
    /// reader may ask for, and no sizes, which masked values change.
    fn estimate(&self, below: &Below, sight: Option<&Sight>, masks: &[Option<Mask>]) -> Result<Statistics> {
        let mut estimate = Statistics { column_statistics: vec![ColumnStatistics::new_unknown(); masks.len()], ..Statistics::default() };
        #[cfg(test)]
        let forwarded = crate::mutants::is("statistics forwarded");
        #[cfg(not(test))]
        let forwarded = false;
        if let (Some(sight), false) = (sight, forwarded) {
            let rows = sight.expected().and_then(|rows| usize::try_from(rows).ok());
            estimate.num_rows = rows.map_or(Precision::Absent, Precision::Inexact);
            return Ok(estimate);
        }
        let rows = match &below.keep {
            Some(keep) => Arc::new(FilterExec::try_new(Arc::clone(keep), Arc::clone(&below.scan))?),
            None => Arc::clone(&below.scan),
        };
        let known = StatisticsContext::new().compute(rows.as_ref(), &StatisticsArgs::new())?;
        estimate.num_rows = known.num_rows;
        for ((shown, column), mask) in estimate.column_statistics.iter_mut().zip(&known.column_statistics).zip(masks) {
            if mask.is_none() || forwarded {
                *shown = ColumnStatistics { byte_size: Precision::Absent, ..column.clone() };
            }
        }
        Ok(if forwarded { estimate } else { estimate.to_inexact() })
    }

    /// The mask of each needed column, checked once more against the data as it is now.
    fn masks(&self, columns: &[usize]) -> Result<Vec<Option<Mask>>, BarrierError> {
        let all = self.inner.schema();
        let refuse = || BarrierError::internal(&self.port, "the decision does not fit the data");
        let known = |name: &String| all.fields().find(name).is_some();
        if !self.permit.masks().keys().all(known) {
            return Err(refuse());
        }
        let mask_of = |index: &usize| {
            let field = all.fields().get(*index).ok_or_else(refuse)?;
            match self.permit.masks().get(field.name()) {
                Some(mask) if !mask.accepts(field.data_type()) => Err(refuse()),
                mask => Ok(mask.cloned()),
            }
        };
        columns.iter().map(mask_of).collect()
    }

    /// The governed columns of the rows that the filters ask for, all of which may go below.
    async fn leaf(&self, columns: &[usize], filters: &[Expr], limit: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema: SchemaRef = Arc::new(self.schema.project(columns).map_err(|e| BarrierError::from_below(&self.port, e.into()))?);
        scrub::check(&schema).map_err(|column| BarrierError::unsupported(&self.port, &column))?;
        let masks = self.masks(columns)?;
        let sight = self.permit.filter().map(|policy| self.seen.sight(&self.port, policy, filters));
        let planned = AssertUnwindSafe(async {
            let below = self.below(columns, filters, limit).await?;
            let estimate = self.estimate(&below, sight.as_ref(), &masks).unwrap_or_else(|_| Statistics::new_unknown(&schema));
            Ok((below, estimate))
        });
        let (below, estimate) = planned
            .catch_unwind()
            .await
            .map_err(|_| BarrierError::internal(&self.port, "planning panicked"))?
            .map_err(|error| BarrierError::from_below(&self.port, error))?;
        #[cfg(test)]
        if crate::mutants::is("naive filter") && masks.iter().all(Option::is_none) {
            return below.naive();
        }
        let veil = exec::Veil { port: self.port.clone(), schema, masks, keys: self.keys.clone() };
        // What a limit ends is not all that there is to see.
        let sight = sight.filter(|_| limit.is_none());
        Ok(Arc::new(GovernedExec::new(below, filters, veil, self.task_context(), self.threads, estimate, sight)))
    }

    /// What the governed part runs in: the stores and memory of the query's scope, the configuration of the gateway.
    fn task_context(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(self.planner.as_ref()).with_runtime(Arc::clone(&self.running)))
    }
}

impl fmt::Debug for GovernedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GovernedTable").field("port", &self.port).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for GovernedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// What passes down is done there, row by row; everything else stays above the barrier, on governed rows.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        #[cfg(test)]
        if crate::mutants::is("exact pushdown") {
            return Ok(vec![TableProviderFilterPushDown::Exact; filters.len()]);
        }
        let all = self.inner.schema();
        let verdict = |filter: &&Expr| match leakproof::translate(filter, &self.clear, &all) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(verdict).collect())
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        #[cfg(test)]
        if crate::mutants::is("exact pushdown") {
            return self.leaf(&columns, filters, limit).await;
        }
        // A filter that was taken may have been rewritten since, into something that has to stay above.
        let all = self.inner.schema();
        let safe = |filter: &Expr| leakproof::translate(filter, &self.clear, &all).is_some();
        let (below, above): (Vec<Expr>, Vec<Expr>) = filters.iter().cloned().partition(safe);
        let Some(above) = conjunction(above) else { return self.leaf(&columns, filters, limit).await };
        let leaf = self.leaf(&self.scanned(&columns, Some(&above))?, &below, None).await?;
        let above = self.planner.create_physical_expr(above, &DFSchema::try_from(leaf.schema())?)?;
        filtered(leaf, above, columns.len())
    }
}

/// The rows that an operator of the engine keeps, and of their columns so many from the first.
fn filtered(plan: Arc<dyn ExecutionPlan>, keep: Arc<dyn PhysicalExpr>, columns: usize) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(Arc::new(FilterExecBuilder::new(keep, plan).apply_projection(Some((0..columns).collect()))?.build()?))
}

/// The scan with a predicate by which it may leave out row groups and pages. The engine's rule for that wants an operator that filters, which
/// is taken away again: what filters is the leaf.
fn pruning(scan: Arc<dyn ExecutionPlan>, predicate: Arc<dyn PhysicalExpr>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let pushed = FilterPushdown::new().optimize(Arc::new(FilterExec::try_new(predicate, scan)?), config)?;
    Ok(pushed.downcast_ref::<FilterExec>().map_or_else(|| Arc::clone(&pushed), |filter| Arc::clone(filter.input())))
}

#[cfg(test)]
mod tests;
