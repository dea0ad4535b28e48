//! The second look: whatever a provider planned, it reads from its own port.
//!
//! Every format's provider is wrapped in this. A provider that was talked into planning a foreign location, by a log or by a fault of its
//! own, is refused here, while the first line of defence is that provider's own checks and the last one is the query's registry of stores.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Fault;
use crate::id::PortId;
use crate::ports::scan::{PortExec, file_scan};
use crate::ports::{fault, store_url};

/// A provider whose plans are looked at.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn TableProvider>,
    id: PortId,
}

impl Guarded {
    /// Guards `inner`, which is to read `id` and nothing else.
    pub fn new(inner: Arc<dyn TableProvider>, id: PortId) -> Self {
        Self { inner, id }
    }

    fn check(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<bool, Fault> {
        let outside = || fault::unreadable(&self.id.product, "a scan outside the product");
        let mut reads = false;
        if let Some(config) = file_scan(plan) {
            reads = true;
            let prefix = format!("{}/", self.id.authority());
            let mut files = config.file_groups.iter().flat_map(|g| g.iter());
            if config.object_store_url.as_str() != store_url(&self.id)?.as_str()
                || files.any(|f| !f.object_meta.location.as_ref().starts_with(&prefix))
            {
                return Err(outside());
            }
        }
        for child in plan.children() {
            reads |= self.check(child)?;
        }
        Ok(reads)
    }
}

#[async_trait]
impl TableProvider for Guarded {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let product = &self.id.product;
        let plan = self.inner.scan(state, projection, filters, limit).await.map_err(|e| fault::from_below(product, e))?;
        match self.check(&plan) {
            Ok(true) => Ok(plan),
            // Answered from the log alone: there is nothing to push into it, and its name is not for readers either.
            Ok(false) => Ok(Arc::new(PortExec::new(plan, product.clone()))),
            Err(fault) => Err(DataFusionError::External(Box::new(fault))),
        }
    }
}
