//! Where the data is: output ports opened in place, each behind a store of its own that reaches nothing else.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;

use crate::catalog::{PortRef, Snapshot};
use crate::error::Result;
use crate::id::PortId;
use crate::metering::Meter;

/// Opens ports, and holds what queries may share: parsed footers, described schemas. Nothing in it is shared between two ports.
#[derive(Debug)]
pub struct Ports(());

impl Ports {
    /// Opens a port for one query: pins the table version and learns the columns. What this reads is metadata on `meter`.
    pub async fn open(&self, snapshot: &Snapshot, target: &PortRef, meter: &Arc<Meter>) -> Result<OpenPort> {
        todo!("{snapshot:?}{target:?}{meter:?}")
    }

    /// The columns of a port for a catalog listing: the contract's where it has them, else what the data says; cached.
    pub async fn describe(&self, snapshot: &Snapshot, target: &PortRef) -> Result<SchemaRef> {
        todo!("{snapshot:?}{target:?}")
    }
}

/// A port at one table version.
#[derive(Debug, Clone)]
pub struct OpenPort {
    id: PortId,
    schema: SchemaRef,
    table_version: String,
    provider: Arc<dyn TableProvider>,
    partition_columns: Vec<String>,
}

impl OpenPort {
    /// Which port.
    pub fn id(&self) -> &PortId {
        &self.id
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Delta version, or the digest of the listing (paths, sizes, ETags).
    pub fn table_version(&self) -> &str {
        &self.table_version
    }

    /// The ungoverned table. Only `query::govern` may hand it, wrapped or whole, to a planner.
    pub fn provider(&self) -> &Arc<dyn TableProvider> {
        &self.provider
    }

    /// Columns that the layout of the data already tells apart.
    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }
}

/// The world that one query's scans live in: two runtimes, one for planning and one for running, whose only stores are those of the
/// query's own ports, counted as metadata and as data.
#[derive(Debug)]
pub struct Scope(());

impl Scope {
    /// An empty world on `shared`'s memory pool, disk manager and caches.
    pub fn new(shared: &Arc<RuntimeEnv>) -> Self {
        todo!("{shared:?}")
    }

    /// Lets the query reach a port, counting on `meter`.
    pub fn add(&mut self, port: &OpenPort, meter: &Arc<Meter>) {
        todo!("{port:?}{meter:?}")
    }

    /// The runtime to plan with.
    pub fn planning(&self) -> &Arc<RuntimeEnv> {
        todo!()
    }

    /// The runtime to run with.
    pub fn running(&self) -> &Arc<RuntimeEnv> {
        todo!()
    }

    /// Finishes a physical plan: Parquet footers are counted as metadata and row data as data, every scan is wrapped in a leaf that
    /// names the product only, and faults from below name the product, never a path.
    pub fn instrument(&self, plan: Arc<dyn ExecutionPlan>) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        todo!("{plan:?}")
    }
}
