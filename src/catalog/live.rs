//! The live catalog: the newest snapshot, and the watch on the folder that makes the next one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorKind, Fault, Result};
use crate::id::{CatalogVersion, DomainName};

use super::load::{Memory, load};
use super::{Problem, Severity, Snapshot, StoragePrefix, folder};

/// Changes come in bursts: an editor empties a file, writes it, renames and touches. The folder is read when it has been quiet for so long,
const SETTLE: Duration = Duration::from_millis(150);
/// or has not been for so long, because a change has a second to bite.
const RESTLESS: Duration = Duration::from_millis(450);
/// How often to look where the system tells us of changes, in case it did not.
const SLOW_POLL: Duration = Duration::from_secs(3);
/// How often to look where it does not.
const FAST_POLL: Duration = Duration::from_millis(500);

/// The live catalog: loads a folder, watches it, and hands out the newest snapshot. Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Live>);

/// Says why a domain's storage cannot be read with the credential that it names, where it cannot. A catalog knows no credentials: whoever
/// opens it does.
#[derive(Clone)]
pub struct CredentialCheck(Arc<Check>);

type Check = dyn Fn(&DomainName, &StoragePrefix) -> Option<String> + Send + Sync;

impl CredentialCheck {
    /// A check that asks `why_not`.
    pub fn new(why_not: impl Fn(&DomainName, &StoragePrefix) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(why_not))
    }

    pub(super) fn why_not(&self, domain: &DomainName, prefix: &StoragePrefix) -> Option<String> {
        (self.0)(domain, prefix)
    }
}

impl fmt::Debug for CredentialCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialCheck")
    }
}

struct Live {
    folder: PathBuf,
    current: ArcSwap<Snapshot>,
    /// Held while a reload runs, so that two never race.
    memory: Mutex<Memory>,
    versions: watch::Sender<CatalogVersion>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("version", &self.current().version).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Loads a folder. Problems of single files are in the snapshot; an error is a folder or a `mesh.yaml` that cannot be used at all.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_with(folder, None)
    }

    /// The same, with a check of the credentials that its domains name: what it says is among the problems.
    pub fn open_with(folder: &Path, credentials: Option<CredentialCheck>) -> Result<Self> {
        let mut memory = Memory::checking(credentials);
        let first = CatalogVersion(1);
        let snapshot = load(folder, first, &mut memory).map_err(|problems| unusable(&problems))?;
        log_new(&snapshot.problems, &[]);
        let live = Live {
            folder: folder.to_path_buf(),
            current: ArcSwap::from_pointee(snapshot),
            memory: Mutex::new(memory),
            versions: watch::Sender::new(first),
        };
        Ok(Self(Arc::new(live)))
    }

    /// Loads a folder once: the snapshot, or the problems that leave none.
    pub fn inspect(folder: &Path) -> std::result::Result<Snapshot, Vec<Problem>> {
        Self::inspect_with(folder, None)
    }

    /// The same, with a check of the credentials that its domains name.
    pub fn inspect_with(folder: &Path, credentials: Option<CredentialCheck>) -> std::result::Result<Snapshot, Vec<Problem>> {
        load(folder, CatalogVersion(1), &mut Memory::checking(credentials))
    }

    /// The newest snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Tells of every new snapshot. What runs under an older one asks again whether it still may.
    pub fn subscribe(&self) -> watch::Receiver<CatalogVersion> {
        self.0.versions.subscribe()
    }

    /// Reads the folder now. Blocking. Says whether anything changed, which is when there is a new snapshot.
    pub fn reload(&self) -> bool {
        let mut memory = self.0.memory.lock();
        let old = self.current();
        let version = CatalogVersion(old.version.0.saturating_add(1));
        let new = load(&self.0.folder, version, &mut memory).unwrap_or_else(|problems| kept(&old, version, problems));
        if new.revision == old.revision && new.problems == old.problems {
            return false;
        }
        log_new(&new.problems, &old.problems);
        tracing::info!(
            catalog.version = version.0,
            policy.revision = new.revision.as_str(),
            products = new.products.len(),
            "catalog reloaded"
        );
        self.0.current.store(Arc::new(new));
        self.0.versions.send_replace(version);
        true
    }

    /// Watches the folder until the token is cancelled; a change becomes a new snapshot within a second.
    pub async fn watch(&self, stop: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let watcher = watcher(&self.0.folder, &changed);
        let poll = if watcher.is_some() { SLOW_POLL } else { FAST_POLL };
        let mut seen = None;
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => true,
                () = tokio::time::sleep(if seen.is_none() { Duration::ZERO } else { poll }) => false,
            };
            if told && stop.run_until_cancelled(settled(&changed)).await.is_none() {
                return;
            }
            let (catalog, before, again) = (self.clone(), seen.take(), Arc::clone(&changed));
            let look = move || {
                let now = folder::fingerprint(&catalog.0.folder);
                if told {
                    catalog.reload();
                } else if before.as_ref() != Some(&now) {
                    // Found by looking, perhaps in the middle of it.
                    again.notify_one();
                }
                now
            };
            match tokio::task::spawn_blocking(look).await {
                Ok(now) => seen = Some(now),
                Err(error) => tracing::error!(%error, "catalog reload failed"),
            }
        }
    }
}

/// Waits until nothing has changed for a while.
async fn settled(changed: &Notify) {
    let quiet = async { while tokio::time::timeout(SETTLE, changed.notified()).await.is_ok() {} };
    // Whoever never stops writing is read while they write, and again afterwards.
    let _ = tokio::time::timeout(RESTLESS, quiet).await;
}

/// What is served when even the folder or `mesh.yaml` is gone: what was served before, with the problems of now.
fn kept(old: &Snapshot, version: CatalogVersion, problems: Vec<Problem>) -> Snapshot {
    Snapshot {
        version,
        revision: old.revision.clone(),
        mesh: old.mesh.clone(),
        environments: old.environments.clone(),
        domains: old.domains.clone(),
        products: old.products.clone(),
        rego: Arc::clone(&old.rego),
        problems,
    }
}

fn unusable(problems: &[Problem]) -> Fault {
    const SHOWN: usize = 5;
    let lines: Vec<String> = problems.iter().filter(|p| p.severity == Severity::Error).take(SHOWN).map(ToString::to_string).collect();
    Fault::new(ErrorKind::InvalidParameter, "the catalog cannot be used")
        .with_detail(lines.join("\n"))
        .with_hint("Run \"meshgate check\" for the whole list.")
}

/// Logs problems that were not there before, once.
fn log_new(now: &[Problem], before: &[Problem]) {
    const MOST: usize = 200;
    let before: std::collections::HashSet<(&super::Origin, &str)> = before.iter().map(|p| (&p.origin, p.message.as_str())).collect();
    for problem in now.iter().filter(|p| !before.contains(&(&p.origin, p.message.as_str()))).take(MOST) {
        match problem.severity {
            Severity::Error => tracing::warn!(catalog.problem = %problem, "catalog file not used"),
            Severity::Warning => tracing::info!(catalog.problem = %problem, "catalog file used with a warning"),
        }
    }
}

fn watcher(folder: &Path, changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let tell = Arc::clone(changed);
    let heard = move |event: notify::Result<notify::Event>| {
        // Our own reading opens files: that is no change.
        let is_change = match event.map(|event| event.kind) {
            Ok(EventKind::Access(AccessKind::Close(AccessMode::Write))) | Err(_) => true,
            Ok(EventKind::Access(_)) => false,
            Ok(_) => true,
        };
        if is_change {
            tell.notify_one();
        }
    };
    let watching = notify::recommended_watcher(heard).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watching.inspect_err(|error| tracing::warn!(%error, "the catalog is polled for changes, because it cannot be watched")).ok()
}
