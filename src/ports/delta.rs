//! Delta Lake, through delta-rs, with nothing of it trusted.
//!
//! A Delta log is written by the product's owner and says where the files are: relative, absolute, with another scheme. delta-rs follows
//! whatever it says. Here the log is read and every path in it is checked before anything is planned; the scan is checked again when it is
//! planned ([`super::guard`]); and the stores that a query has know no other place anyway. The kernel's default engine fetches URLs with a
//! signature in their query string by itself, past any store; the engine used here finds its stores in a registry that holds one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as PlanResult;
use datafusion::datasource::TableType;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use delta_kernel::Engine;
use deltalake::DeltaResult;
use deltalake::delta_datafusion::engine::DataFusionEngine;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::{EagerSnapshot, StorageType, Version};
use deltalake::logstore::{CommitOrBytes, LogStore, LogStoreConfig, StorageConfig};
use deltalake::table::state::DeltaTableState;
use futures::TryStreamExt;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::Mutex;
use url::Url;
use uuid::Uuid;

use crate::error::Fault;
use crate::id::{PortId, ProductId};
use crate::ports::storage::PortStore;
use crate::ports::{Opened, PortSpec, contract, fault, scope};

/// Largest file of a log. A larger one is not read: it would have to be held in memory.
const MAX_LOG_FILE: u64 = 1 << 30;
/// Tables whose state is kept.
const MAX_KEPT: usize = 1024;

/// Loaded table states by port, so that a query reads only the commits since the last one.
#[derive(Debug, Default)]
pub struct Snapshots(Mutex<HashMap<PortId, Kept>>);

#[derive(Debug, Clone)]
struct Kept {
    head: Head,
    state: Arc<DeltaTableState>,
}

/// The newest commit: its version, and what tells it from another commit of that version, should the table be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The table version.
    pub version: u64,
    /// When it was written.
    pub written: DateTime<Utc>,
    mark: Option<String>,
}

/// A table at one version.
#[derive(Debug)]
pub struct Table {
    /// Which version.
    pub head: Head,
    state: Arc<DeltaTableState>,
}

/// Finds the newest version and loads it, or what has been added since the last time.
pub async fn load(
    spec: &PortSpec<'_>,
    store: &PortStore,
    metered: &Arc<dyn ObjectStore>,
    runtime: &RuntimeEnv,
    kept: &Snapshots,
) -> Result<Table, Fault> {
    let product = &spec.id.product;
    let log = list_log(product, store, metered).await?;
    let head = newest(&log).ok_or_else(|| fault::missing(product))?;
    let known = kept.0.lock().get(&spec.id).cloned();
    if let Some(known) = &known
        && known.head == head
    {
        return Ok(Table { head, state: Arc::clone(&known.state) });
    }
    let source = LogSource::new(&spec.id, store, metered, runtime)?;
    // Only a history that still holds the commit we know can be continued.
    let base = known.filter(|k| k.head.version < head.version && log.iter().any(|f| at(f).as_ref() == Some(&k.head)));
    let loaded = match base {
        Some(known) => {
            let mut state = known.state.as_ref().clone();
            state.update(&source, Some(head.version)).await.map(|()| state)
        }
        None => EagerSnapshot::try_new(&source, Some(head.version)).await.map(DeltaTableState::new),
    };
    let state = Arc::new(loaded.map_err(|e| fault::unreadable(product, e))?);
    check_paths(product, state.snapshot())?;
    let mut all = kept.0.lock();
    if all.len() >= MAX_KEPT && !all.contains_key(&spec.id) {
        all.clear();
    }
    all.insert(spec.id.clone(), Kept { head: head.clone(), state: Arc::clone(&state) });
    Ok(Table { head, state })
}

async fn list_log(product: &ProductId, store: &PortStore, metered: &Arc<dyn ObjectStore>) -> Result<Vec<ObjectMeta>, Fault> {
    let folder = store.root().join("_delta_log");
    let files: Vec<ObjectMeta> = metered.list(Some(&folder)).try_collect().await.map_err(|e| fault::unreadable(product, e))?;
    if files.iter().any(|f| f.size > MAX_LOG_FILE) {
        return Err(fault::unreadable(product, "a file of the log is too large"));
    }
    Ok(files)
}

/// The version in a log file's name: twenty digits, then what kind it is.
fn version_of(file: &ObjectMeta) -> Option<(u64, &str)> {
    let (digits, kind) = file.location.filename()?.split_once('.')?;
    let is_version = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| is_version)?, kind))
}

fn at(file: &ObjectMeta) -> Option<Head> {
    let (version, kind) = version_of(file)?;
    (kind == "json").then(|| Head { version, written: file.last_modified, mark: file.e_tag.clone() })
}

fn newest(log: &[ObjectMeta]) -> Option<Head> {
    log.iter().filter_map(at).max_by_key(|h| h.version)
}

/// Refuses a table whose log names anything but files below the table.
fn check_paths(product: &ProductId, snapshot: &EagerSnapshot) -> Result<(), Fault> {
    let files = snapshot.try_log_data().map_err(|e| fault::unreadable(product, e))?;
    for file in files.iter() {
        if !stays_below(&file.path()) {
            return Err(fault::unreadable(product, "the log names a file outside the table"));
        }
        if let Some(vector) = file.deletion_vector_descriptor() {
            if vector.storage_type == StorageType::AbsolutePath {
                return Err(fault::unreadable(product, "the log names a deletion vector outside the table"));
            }
            // Its reader is chosen while planning and cannot be exchanged, so its rows would be counted as metadata. And the kernel makes
            // a mask as long as the highest row number in it, unchecked: a vector of a few bytes could end the process.
            return Err(fault::unsupported(product, "a Delta table with deletion vectors"));
        }
    }
    Ok(())
}

/// Whether a path of a log, percent-decoded, is relative and goes down only.
fn stays_below(path: &str) -> bool {
    let has_scheme = path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let clean = !path.is_empty() && !path.starts_with('/') && !path.contains(['\\', '\0', '?', '#']);
    clean && !has_scheme && path.split('/').all(|segment| !matches!(segment, "." | ".." | ""))
}

/// Makes the table's provider: the contract's columns in the contract's order and types.
pub fn open(spec: &PortSpec<'_>, table: &Table) -> Result<Opened, Fault> {
    let product = &spec.id.product;
    let snapshot = table.state.snapshot();
    let physical = snapshot.arrow_schema();
    let partition_columns: Vec<String> = snapshot.metadata().partition_columns().to_vec();
    let promised = |name: &str| spec.columns.and_then(|columns| columns.iter().find(|c| c.name == name));
    let mut fields = Vec::with_capacity(physical.fields().len());
    for field in physical.fields() {
        fields.push(match promised(field.name()) {
            Some(column) => {
                contract::check_type(product, column, field.data_type())?;
                column.field(field.is_nullable())
            }
            None => Field::new(field.name(), contract::as_scanned(field.data_type()), field.is_nullable()),
        });
    }
    let full = Arc::new(Schema::new(fields));
    let shown = match spec.columns {
        Some(columns) => {
            columns.iter().map(|c| full.index_of(&c.name).map_err(|_| contract::absent(product, &c.name))).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..full.fields().len()).collect(),
    };
    let config = DeltaScanConfig::new().with_wrap_partition_values(false).with_parquet_pushdown(false).with_schema(Arc::clone(&full));
    let scan = DeltaScanNext::new(Arc::new(snapshot.clone()), config).map_err(|e| fault::unreadable(product, e))?;
    let provider = Chosen::new(Arc::new(scan), shown)?;
    let files = snapshot.try_log_data().map_err(|e| fault::unreadable(product, e))?;
    let bytes = files.iter().filter_map(|file| u64::try_from(file.size()).ok()).fold(0, u64::saturating_add);
    Ok(Opened { provider: Arc::new(provider), partition_columns, bytes })
}

/// Some of a table's columns, in another order.
#[derive(Debug)]
struct Chosen {
    inner: Arc<dyn TableProvider>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Chosen {
    fn new(inner: Arc<dyn TableProvider>, columns: Vec<usize>) -> Result<Self, Fault> {
        let schema = Arc::new(inner.schema().project(&columns).map_err(Fault::internal)?);
        Ok(Self { inner, columns, schema })
    }
}

#[async_trait]
impl TableProvider for Chosen {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(wanted) => wanted.iter().filter_map(|i| self.columns.get(*i).copied()).collect(),
            None => self.columns.clone(),
        };
        self.inner.scan(state, Some(&columns), filters, limit).await
    }
}

/// Where delta-rs reads a log: one port's store, and an engine that knows no other.
struct LogSource {
    root: Arc<dyn ObjectStore>,
    table: Arc<dyn ObjectStore>,
    config: LogStoreConfig,
    context: Arc<TaskContext>,
}

impl LogSource {
    fn new(id: &PortId, store: &PortStore, metered: &Arc<dyn ObjectStore>, runtime: &RuntimeEnv) -> Result<Self, Fault> {
        let authority = id.authority();
        let url = Url::parse(&format!("{}{authority}/", crate::ports::store_url(id)?)).map_err(Fault::internal)?;
        let runtime = scope::only(runtime, &authority, metered);
        Ok(Self {
            root: Arc::clone(metered),
            table: Arc::new(PrefixStore::new(Arc::clone(metered), store.root())),
            config: LogStoreConfig::new(&url, StorageConfig::default()),
            context: Arc::new(TaskContext::default().with_runtime(runtime)),
        })
    }
}

impl fmt::Debug for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSource").finish_non_exhaustive()
    }
}

fn read_only() -> TransactionError {
    TransactionError::from(object_store::Error::NotSupported { source: "a product is read only".into() })
}

#[async_trait]
impl LogStore for LogSource {
    fn name(&self) -> String {
        "port".to_owned()
    }

    async fn read_commit_entry(&self, version: Version) -> DeltaResult<Option<Bytes>> {
        deltalake::logstore::read_commit_entry(self.table.as_ref(), version).await
    }

    async fn write_commit_entry(&self, _: Version, _: CommitOrBytes, _: Uuid) -> Result<(), TransactionError> {
        Err(read_only())
    }

    async fn abort_commit_entry(&self, _: Version, _: CommitOrBytes, _: Uuid) -> Result<(), TransactionError> {
        Err(read_only())
    }

    async fn get_latest_version(&self, from: Version) -> DeltaResult<Version> {
        deltalake::logstore::get_latest_version(self, from).await
    }

    fn object_store(&self, _: Option<Uuid>) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.table)
    }

    fn root_object_store(&self, _: Option<Uuid>) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.root)
    }

    fn engine(&self, _: Option<Uuid>) -> Arc<dyn Engine> {
        DataFusionEngine::new_from_context(Arc::clone(&self.context))
    }

    fn config(&self) -> &LogStoreConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::stays_below;

    #[test]
    fn only_paths_below_the_table_are_read() {
        for good in ["part-0.parquet", "region=eu/part-0.parquet", "ts=2024-01-01 00:00:00/x.parquet", "a..b/c.parquet"] {
            assert!(stays_below(good), "{good}");
        }
        let bad = [
            "",
            "../x.parquet",
            "a/../../x.parquet",
            "/etc/passwd",
            "file:///etc/passwd",
            "s3://victim/x",
            "meshgate://a.b.v1.c/x",
            "//host/x",
            "a//b",
            "./x",
            "c:\\x",
            "https://169.254.169.254/?X-Amz-Signature=1",
            "x?sp=1",
        ];
        for bad in bad {
            assert!(!stays_below(bad), "{bad}");
        }
    }
}
