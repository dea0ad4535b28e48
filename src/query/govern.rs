//! The barrier: a product with a row filter or masks, as the reader's planner sees it.
//!
//! DataFusion has no notion of a security barrier: it merges, reorders and pushes predicates and projections of the reader through every
//! filter, view and projection of ours, onto rows that the reader may not see (`docs/decisions/0001-the-barrier.md`). So the governed part
//! is not in the reader's plan at all. [`GovernedTable::scan`] plans it separately, with the gateway's own session, and hands out one
//! leaf whose stream holds governed rows in fresh buffers. Nothing of the reader's enters it but the names of the columns that are
//! needed, and comparisons that cannot fail with literals, on columns whose layout the reader may know ([`leakproof`]).
//!
//! Products that the decision leaves whole do not come here: they are planned as if the gateway were not there.

mod exec;
mod fault;
mod leakproof;
mod scrub;

use std::collections::BTreeSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;

use crate::id::PortId;
use crate::policy::{Mask, MaskKeys, Permit};
use crate::ports::{OpenPort, Scope};

pub use exec::GovernedExec;
pub use fault::BarrierError;

/// The name of the governed table within its own, separate plan. No reader sees it.
const INNER: &str = "product";

/// Into how many times more partitions than threads a product is cut below the barrier: they are handed on in order, so each should be
/// small enough to wait in memory for the one before it.
const SLICES: usize = 8;

/// A step that a finished plan of scans goes through before it runs.
type Finish = Arc<dyn Fn(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> + Send + Sync>;

/// A product behind its decision: the only way in which a filtered or masked port reaches a planner.
pub struct GovernedTable {
    port: PortId,
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    permit: Permit,
    keys: MaskKeys,
    prunable: BTreeSet<String>,
    planner: Arc<SessionState>,
    threads: usize,
    running: Arc<RuntimeEnv>,
    finish: Finish,
}

impl GovernedTable {
    /// Puts the port behind the permit. `planner` is the gateway's own session over `scope.planning()`, never the reader's: its
    /// configuration decides how the product is read.
    pub fn new(port: &OpenPort, permit: Permit, keys: MaskKeys, scope: &Arc<Scope>, planner: Arc<SessionState>) -> Self {
        let finisher = Arc::clone(scope);
        Self::over(
            port.id().clone(),
            Arc::clone(port.provider()),
            port.partition_columns(),
            permit,
            keys,
            planner,
            (Arc::clone(scope.running()), Arc::new(move |plan| finisher.instrument(plan))),
        )
    }

    fn over(
        port: PortId,
        inner: Arc<dyn TableProvider>,
        partition_columns: &[String],
        permit: Permit,
        keys: MaskKeys,
        planner: Arc<SessionState>,
        (running, finish): (Arc<RuntimeEnv>, Finish),
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
        // Where rows are hidden, reading less because of the reader's predicate tells of the hidden rows' values; only what the layout
        // keeps in separate files anyway may do that.
        let prunable = match permit.filter() {
            None => all.fields().iter().map(|field| field.name().clone()).filter(is_clear).collect(),
            Some(_) => partition_columns.iter().filter(|name| is_clear(name)).cloned().collect(),
        };
        Self { port, inner, schema, permit, keys, prunable, planner, threads, running, finish }
    }

    /// Scan, filter of the policy, leakproof filters of the reader, needed columns: planned with the gateway's session alone.
    async fn plan(&self, columns: &[usize], filters: &[Expr], limit: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.logical(columns, filters, limit)?;
        let physical = self.planner.create_physical_plan(&plan).await?;
        (self.finish)(physical)
    }

    fn logical(&self, columns: &[usize], filters: &[Expr], limit: Option<usize>) -> Result<LogicalPlan> {
        let all = self.inner.schema();
        let mut plan = LogicalPlanBuilder::scan(INNER, provider_as_source(Arc::clone(&self.inner)), None)?;
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
        if let Some(policy) = self.permit.filter() {
            plan = plan.filter(policy.clone())?;
        }
        for filter in filters {
            if let Some(safe) = leakproof::translate(filter, &self.prunable, &all) {
                plan = plan.filter(safe)?;
            }
        }
        let needed = columns.iter().filter_map(|index| all.fields().get(*index));
        plan = plan.project(needed.map(|field| Expr::Column(Column::new(Some(TableReference::bare(INNER)), field.name()))))?;
        // A limit below a filter of the reader's would count rows that the filter drops; below the policy's, rows that nobody may count.
        if let (Some(limit), true, true) = (limit, filters.is_empty(), self.permit.filter().is_none()) {
            plan = plan.limit(0, Some(limit))?;
        }
        plan.build()
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

    /// Never exact: the reader's own filter stays above the barrier, so that no answer depends on what was let through.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        #[cfg(test)]
        if crate::mutants::is("exact pushdown") {
            return Ok(vec![TableProviderFilterPushDown::Exact; filters.len()]);
        }
        let all = self.inner.schema();
        let verdict = |filter: &&Expr| match leakproof::translate(filter, &self.prunable, &all) {
            Some(_) => TableProviderFilterPushDown::Inexact,
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
        let schema: SchemaRef = Arc::new(self.schema.project(&columns).map_err(|e| BarrierError::from_below(&self.port, e.into()))?);
        scrub::check(&schema).map_err(|column| BarrierError::unsupported(&self.port, &column))?;
        let masks = self.masks(&columns)?;
        let planned = AssertUnwindSafe(self.plan(&columns, filters, limit)).catch_unwind().await;
        let inner = planned
            .map_err(|_| BarrierError::internal(&self.port, "planning panicked"))?
            .map_err(|error| BarrierError::from_below(&self.port, error))?;
        #[cfg(test)]
        if crate::mutants::is("naive filter") && masks.iter().all(Option::is_none) {
            return Ok(inner);
        }
        let veil = exec::Veil { port: self.port.clone(), schema, masks, keys: self.keys.clone() };
        Ok(Arc::new(GovernedExec::new(inner, veil, self.task_context(), self.threads)))
    }
}

#[cfg(test)]
mod tests;
