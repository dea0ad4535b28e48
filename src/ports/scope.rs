//! The world that one query's scans live in.
//!
//! Two runtimes that differ in one thing: what a read through them is counted as. The planner reads footers, logs and listings; running
//! scans read rows. Neither runtime knows any store but those of the query's own ports: no local disk, nothing registered later.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectStore;
use parking_lot::RwLock;
use url::Url;

use crate::id::ProductId;
use crate::metering::{Meter, ReadKind, metered_store};
use crate::ports::footer::PortReaderFactory;
use crate::ports::{OpenPort, SCHEME, scan};

/// The world that one query's scans live in: two runtimes, one for planning and one for running, whose only stores are those of the
/// query's own ports, counted as metadata and as data.
#[derive(Debug)]
pub struct Scope {
    planning: Arc<RuntimeEnv>,
    running: Arc<RuntimeEnv>,
    metadata: Arc<Registry>,
    data: Arc<Registry>,
    ports: HashMap<String, Reach>,
}

/// A port within a scope.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    pub(super) product: ProductId,
    pub(super) readers: Arc<PortReaderFactory>,
}

impl Scope {
    /// An empty world on `shared`'s memory pool, disk manager and caches.
    pub fn new(shared: &Arc<RuntimeEnv>) -> Self {
        let (metadata, data) = (Arc::new(Registry::default()), Arc::new(Registry::default()));
        let over = |registry: &Arc<Registry>| {
            let mut env = RuntimeEnv::clone(shared);
            env.object_store_registry = Arc::clone(registry) as Arc<dyn ObjectStoreRegistry>;
            Arc::new(env)
        };
        Self { planning: over(&metadata), running: over(&data), metadata, data, ports: HashMap::new() }
    }

    /// Lets the query reach a port, counting on `meter`.
    pub fn add(&mut self, port: &OpenPort, meter: &Arc<Meter>) {
        let authority = port.id().authority();
        let over = |kind| metered_store(Arc::new(port.store().clone()), Arc::clone(meter), kind, port.id());
        let (metadata, data) = (over(ReadKind::Metadata), over(ReadKind::Data));
        self.metadata.insert(&authority, &metadata);
        self.data.insert(&authority, &data);
        let cache = self.planning.cache_manager.get_file_metadata_cache();
        let readers = Arc::new(PortReaderFactory { metadata, data, cache });
        self.ports.insert(authority, Reach { product: port.id().product.clone(), readers });
    }

    /// The runtime to plan with.
    pub fn planning(&self) -> &Arc<RuntimeEnv> {
        &self.planning
    }

    /// The runtime to run with.
    pub fn running(&self) -> &Arc<RuntimeEnv> {
        &self.running
    }

    /// Finishes a physical plan: Parquet footers are counted as metadata and row data as data, every scan is wrapped in a leaf that
    /// names the product only, and faults from below name the product, never a path.
    pub fn instrument(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        scan::instrument(plan, &|authority| self.ports.get(authority).cloned())
    }
}

/// `base` with one port's store and no other.
pub(super) fn only(base: &RuntimeEnv, authority: &str, store: &Arc<dyn ObjectStore>) -> Arc<RuntimeEnv> {
    let registry = Registry::default();
    registry.insert(authority, store);
    let mut env = base.clone();
    env.object_store_registry = Arc::new(registry);
    Arc::new(env)
}

/// Stores by the authority of their URL, filled by the scope alone.
#[derive(Default)]
struct Registry(RwLock<HashMap<String, Arc<dyn ObjectStore>>>);

impl Registry {
    fn insert(&self, authority: &str, store: &Arc<dyn ObjectStore>) {
        self.0.write().insert(authority.to_owned(), Arc::clone(store));
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.read().keys()).finish()
    }
}

impl ObjectStoreRegistry for Registry {
    /// Does nothing: what a query may reach is decided by its scope.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let plain = url.scheme() == SCHEME && url.port().is_none() && url.username().is_empty() && url.password().is_none();
        let found = url.host_str().filter(|_| plain).and_then(|host| self.0.read().get(host).map(Arc::clone));
        found.ok_or_else(|| DataFusionError::Execution("a location outside the query's products".into()))
    }
}
