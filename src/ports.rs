//! Where the data is: output ports opened in place, each behind a store of its own that reaches nothing else.
//!
//! `storage` is the jail around a location, of this machine or of a remote store; `delta`, `parquet`, `csv` and `json` are the formats (`files` and `text` what they share);
//! `guard` and `contract` check what they make; `scope`, `scan` and `footer` are the world that one query's scans live in, which decides
//! what is counted as what. Who may read what is decided elsewhere: a provider from here is ungoverned.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::FutureExt;
use parking_lot::Mutex;

use crate::catalog::{Column, Format, Location, PortRef, Snapshot, StoragePrefix};
use crate::error::{Fault, Result};
use crate::id::PortId;
use crate::metering::{Meter, ReadKind, metered_store};

mod bound;
mod contract;
mod csv;
mod delta;
pub mod fault;
mod files;
mod footer;
mod guard;
mod json;
mod parquet;
mod scan;
mod scope;
mod settings;
mod storage;
mod text;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use storage::PortStore;

pub use bound::Bound;
pub use scan::PortExec;
pub use scope::Scope;
pub use settings::session_config;
pub use storage::{Clients, open_ledger};

/// The scheme of the URLs that ports have inside the gateway.
const SCHEME: &str = "meshgate";
/// Opening a port reads listings, logs and footers. Longer than this, something is wrong with the storage.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// Ports whose last version is kept open.
const MAX_KEPT: usize = 4096;

/// The URL of a port's store.
fn store_url(id: &PortId) -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(format!("{SCHEME}://{}", id.authority())).map_err(Fault::internal)
}

/// What the manifest says about a port, as the formats need it.
#[derive(Debug)]
struct PortSpec<'a> {
    id: PortId,
    format: Format,
    location: &'a Location,
    partitioning: &'a [String],
    columns: Option<&'a [Column]>,
    options: &'a BTreeMap<String, String>,
    /// Where the domain's products may lie.
    prefixes: &'a [StoragePrefix],
    /// Of the manifest.
    digest: &'a str,
}

impl<'a> PortSpec<'a> {
    fn new(snapshot: &'a Snapshot, target: &'a PortRef) -> Self {
        let (product, port) = (&target.product, target.port());
        Self {
            id: target.id(),
            format: port.format,
            location: &port.location,
            partitioning: &port.partitioning,
            columns: port.columns.as_deref(),
            options: &port.options,
            prefixes: snapshot.domains.get(&product.id.domain).map_or(&[], |d| d.storage.as_slice()),
            digest: &product.digest,
        }
    }
}

/// What a format makes of a port.
#[derive(Debug)]
struct Opened {
    provider: Arc<dyn TableProvider>,
    partition_columns: Vec<String>,
    /// Of all files of this version.
    bytes: u64,
}

/// Opens ports, and holds what queries may share: parsed footers, described schemas. Nothing in it is shared between two ports.
#[derive(Debug)]
pub struct Ports {
    runtime: Arc<RuntimeEnv>,
    clients: Clients,
    logs: delta::Snapshots,
    last: Mutex<HashMap<PortId, (String, OpenPort)>>,
    described: Mutex<HashMap<PortId, (String, SchemaRef)>>,
}

impl Ports {
    /// Ports over the gateway's caches, which reach remote stores by `clients`.
    pub fn new(shared: &Arc<RuntimeEnv>, clients: Clients) -> Self {
        Self { runtime: Arc::clone(shared), clients, logs: Default::default(), last: Default::default(), described: Default::default() }
    }

    /// Opens a port for one query: pins the table version and learns the columns. What this reads is metadata on `meter`.
    pub async fn open(&self, snapshot: &Snapshot, target: &PortRef, meter: &Arc<Meter>) -> Result<OpenPort> {
        self.open_spec(&PortSpec::new(snapshot, target), meter).await
    }

    /// The columns of a port for a catalog listing: the contract's where it has them, else what the data says; cached.
    pub async fn describe(&self, snapshot: &Snapshot, target: &PortRef) -> Result<SchemaRef> {
        let spec = PortSpec::new(snapshot, target);
        if let Some(columns) = spec.columns {
            return Ok(contract::promised(columns));
        }
        let known = self.described.lock().get(&spec.id).cloned();
        if let Some((digest, schema)) = known
            && digest == spec.digest
        {
            return Ok(schema);
        }
        Ok(Arc::clone(self.open_spec(&spec, &Meter::unbilled()).await?.schema()))
    }

    async fn open_spec(&self, spec: &PortSpec<'_>, meter: &Arc<Meter>) -> Result<OpenPort> {
        let product = &spec.id.product;
        // A hostile file can make a parser panic or a storage never answer. Either ends this query and no other.
        let opening = AssertUnwindSafe(self.open_format(spec, meter)).catch_unwind();
        let port = match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok(opened)) => opened?,
            Ok(Err(_)) => return Err(fault::unreadable(product, "panic while opening")),
            Err(elapsed) => return Err(fault::unreadable(product, elapsed)),
        };
        bounded(&self.described).insert(spec.id.clone(), (spec.digest.to_owned(), Arc::clone(&port.schema)));
        Ok(port)
    }

    async fn open_format(&self, spec: &PortSpec<'_>, meter: &Arc<Meter>) -> Result<OpenPort> {
        let product = &spec.id.product;
        let unsupported = |name| Err(fault::unsupported(product, &format!("format {name}")));
        match spec.format {
            Format::Delta | Format::Parquet | Format::Csv | Format::Json => {}
            Format::Avro => return unsupported("avro"),
            Format::Arrow => return unsupported("arrow"),
            Format::Iceberg => return unsupported("iceberg"),
            Format::Postgres => return unsupported("postgres"),
        }
        let store = storage::open(&spec.id, spec.location, spec.format == Format::Delta, spec.prefixes, &self.clients).await?;
        let metered = metered_store(Arc::new(store.clone()), Arc::clone(meter), ReadKind::Metadata, &spec.id);
        if spec.format == Format::Delta {
            if store.is_file() {
                return Err(fault::unreadable(product, "a Delta table is a folder"));
            }
            let table = delta::load(spec, &store, &metered, &self.runtime, &self.logs).await?;
            let version = table.head.version.to_string();
            if let Some(known) = self.known(spec, &version, Some(table.head.written)) {
                return Ok(known);
            }
            let opened = delta::open(spec, &table)?;
            return Ok(self.keep(spec, opened, version, Some(table.head.written), store));
        }
        let listing = files::list(spec, &store, &metered).await?;
        if let Some(known) = self.known(spec, &listing.version, listing.newest) {
            return Ok(known);
        }
        let store = store.pinned(&listing.files);
        let opened = match spec.format {
            Format::Csv => csv::open(spec, &store, &listing)?,
            Format::Json => json::open(spec, &store, &listing)?,
            _ => {
                let cache = self.runtime.cache_manager.get_file_metadata_cache();
                parquet::open(spec, &store, &metered, &listing, &cache).await?
            }
        };
        Ok(self.keep(spec, opened, listing.version, listing.newest, store))
    }

    /// The port as it was opened before, where neither the manifest nor the data changed since.
    fn known(&self, spec: &PortSpec<'_>, version: &str, written: Option<DateTime<Utc>>) -> Option<OpenPort> {
        let last = self.last.lock();
        let (digest, port) = last.get(&spec.id)?;
        (digest == spec.digest && port.table_version == version && port.last_modified == written).then(|| port.clone())
    }

    fn keep(
        &self,
        spec: &PortSpec<'_>,
        opened: Opened,
        table_version: String,
        last_modified: Option<DateTime<Utc>>,
        store: PortStore,
    ) -> OpenPort {
        let provider: Arc<dyn TableProvider> = Arc::new(guard::Guarded::new(opened.provider, spec.id.clone()));
        let port = OpenPort {
            id: spec.id.clone(),
            schema: provider.schema(),
            table_version,
            provider,
            partition_columns: opened.partition_columns,
            bytes: opened.bytes,
            last_modified,
            store,
        };
        bounded(&self.last).insert(spec.id.clone(), (spec.digest.to_owned(), port.clone()));
        port
    }
}

/// A cache with room for one more.
fn bounded<V>(cache: &Mutex<HashMap<PortId, V>>) -> parking_lot::MutexGuard<'_, HashMap<PortId, V>> {
    let mut entries = cache.lock();
    if entries.len() >= MAX_KEPT {
        entries.clear();
    }
    entries
}

/// A port at one table version.
#[derive(Debug, Clone)]
pub struct OpenPort {
    id: PortId,
    schema: SchemaRef,
    table_version: String,
    provider: Arc<dyn TableProvider>,
    partition_columns: Vec<String>,
    bytes: u64,
    last_modified: Option<DateTime<Utc>>,
    store: PortStore,
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

    /// Bytes of all its files, as the listing or the table log has them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When this version was written: the Delta commit, or the newest file. For telling a reader that it is staler than its SLA.
    pub fn last_modified(&self) -> Option<DateTime<Utc>> {
        self.last_modified
    }

    /// The ungoverned table. Only `query::govern` may hand it, wrapped or whole, to a planner.
    pub fn provider(&self) -> &Arc<dyn TableProvider> {
        &self.provider
    }

    /// Columns that the layout of the data already tells apart.
    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }

    /// The jail around its data, uncounted. For [`Scope`] only.
    fn store(&self) -> &PortStore {
        &self.store
    }
}
