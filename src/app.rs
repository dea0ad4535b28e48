//! Wires the parts, runs them, drains them.
//!
//! Starting is all or nothing: a part that cannot be had ends the start with one line that says which and why. Ending goes in steps:
//! nothing new is let in, what runs may finish within the grace period, then everything is ended, and the journal is closed last.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Bounds};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::{Config, PseudonymKeys};
use crate::error::Fault;
use crate::identity::{Identity, IdentityError, KeyError, load_or_make_key};
use crate::metering::{Alerts, Journal, Overrides, Publisher, Publishing, Rhythm};
use crate::ports::open_ledger;
use crate::query::{Gateway, Parts};
use crate::server::http::Watched;
use crate::server::tls::{self, TlsError};
use crate::server::{Door, flight, http, postgres};
use crate::telemetry::{Metrics, explain};

/// The stack of a thread that plans queries: plans are walked by recursion.
pub const STACK_BYTES: usize = 16 << 20;
/// Between ending everything and leaving without those that do not end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A gateway whose doors are bound, and that answers once it runs.
#[derive(Debug)]
pub struct App {
    door: Door,
    catalog: Catalog,
    journal: Journal,
    overrides: Overrides,
    alerts: Alerts,
    publisher: Option<Publisher>,
    listeners: Listeners,
    addresses: Addresses,
}

#[derive(Debug)]
struct Listeners {
    postgres: TcpListener,
    flight: TcpListener,
    http: TcpListener,
}

/// Where the doors are bound.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The PostgreSQL door.
    pub postgres: SocketAddr,
    /// The Flight door.
    pub flight: SocketAddr,
    /// The HTTP door.
    pub http: SocketAddr,
}

/// Why the gateway does not start. One line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The catalog.
    #[error("catalog {path}: {reason}")]
    Catalog {
        /// Its folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The users.
    #[error("identity: {0}")]
    Identity(#[from] IdentityError),
    /// The pseudonyms' key.
    #[error("state: {0}")]
    Key(#[from] KeyError),
    /// The state folder, or the journal in it.
    #[error("state {path}: {reason}")]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The place where usage is published, or the copy of what is there.
    #[error("metering: {0}")]
    Publish(String),
    /// An address.
    #[error("{door} door: cannot listen on {address}: {source}")]
    Bind {
        /// Which door.
        door: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The engine.
    #[error("engine: {0}")]
    Engine(String),
    /// A task of the start died.
    #[error("the start was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Why the gateway stopped, where nobody asked it to, or not in good order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A door fell shut.
    #[error("{door} door: {reason}")]
    Door {
        /// Which.
        door: &'static str,
        /// Why.
        reason: String,
    },
    /// Nothing can be published.
    #[error("the publisher of usage could not be started: {0}")]
    Publisher(String),
    /// The journal's last words were not written.
    #[error("the usage journal was not closed: {0}")]
    Journal(String),
}

/// The parts that are read from disk.
struct Opened {
    catalog: Catalog,
    identity: Identity,
    journal: Journal,
    overrides: Overrides,
    alerts: Alerts,
    access: Access,
    pseudonym_keys: PseudonymKeys,
    spill: PathBuf,
}

impl App {
    /// Opens every part and binds every door.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        tls::install_provider();
        let tls = config.server.tls.as_ref().map(tls::load).transpose()?;
        let config = Arc::new(config);
        let opening = {
            let (config, clock) = (Arc::clone(&config), clock.clone());
            tokio::task::spawn_blocking(move || open(&config, &clock))
        };
        let opened = opening.await??;
        let (metrics, limits) = (Metrics::new(), Arc::new(config.limits.clone()));
        let gateway = Gateway::new(Parts {
            catalog: opened.catalog.clone(),
            identity: opened.identity.clone(),
            journal: opened.journal.clone(),
            access: opened.access,
            metrics: metrics.clone(),
            limits: Arc::clone(&limits),
            clock,
            region: config.server.region.clone(),
            pseudonym_keys: opened.pseudonym_keys,
            credentials: config.credentials.clone(),
            statements: config.statements,
            spill_dir: opened.spill,
        })
        .map_err(|fault| StartError::Engine(explain(&fault)))?;
        let publisher = publisher(&config, &opened.journal, &metrics)?;
        let (listeners, addresses) = bind(&config).await?;
        let door = Door {
            gateway,
            identity: opened.identity,
            limits,
            metrics,
            tls,
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Ok(Self {
            door,
            catalog: opened.catalog,
            journal: opened.journal,
            overrides: opened.overrides,
            alerts: opened.alerts,
            publisher,
            listeners,
            addresses,
        })
    }

    /// Where the doors are bound; a port 0 of the configuration is the one that was given.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Ends the gateway when it is cancelled, without a grace period or early in it.
    pub fn ending(&self) -> CancellationToken {
        self.door.ending.clone()
    }

    /// Serves until `shutdown`, then drains. Everything that was read is in the journal when this answers.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { door, catalog, journal, overrides, alerts, publisher, listeners, .. } = self;
        let publishing = publisher.map(Publisher::start).transpose().map_err(|error| RunError::Publisher(error.to_string()))?;
        let watching = watch(&door, &catalog, alerts);
        let watched = Watched { journal: journal.clone(), overrides, catalog };
        let mut doors = open_doors(&door, listeners, watched);
        let fallen = tokio::select! {
            biased;
            () = shutdown => None,
            () = door.ending.cancelled() => None,
            ended = doors.join_next() => Some(fell_shut(ended)),
        };
        if let Some(error) = &fallen {
            tracing::error!(%error, "a door fell shut, the gateway stops");
        }
        drain(&door, &mut doors).await;
        watching.wait().await;
        journal.close().await.map_err(|fault| RunError::Journal(explain(&fault)))?;
        // What was settled last is published too.
        if let Some(publishing) = publishing {
            Publishing::finish(publishing).await;
        }
        tracing::info!("stopped");
        fallen.map_or(Ok(()), Err)
    }
}

/// Everything that is on disk. Blocks.
fn open(config: &Config, clock: &Clock) -> Result<Opened, StartError> {
    let catalog = Catalog::open_with(&config.catalog, Some(config.credential_check()))
        .map_err(|fault| StartError::Catalog { path: config.catalog.clone(), reason: explain(&fault) })?;
    let state = |reason: String| StartError::State { path: config.state.clone(), reason };
    private_folder(&config.state).map_err(|error| state(error.to_string()))?;
    let identity = Identity::open(&config.users, &config.state, config.token_lifetime, clock.clone())?;
    let domains = catalog.clone();
    identity.trust(&config.jwt, move |domain| domains.current().domains.contains_key(domain))?;
    // The journal's lock makes this process the folder's only owner, so it comes before anything there is cleaned.
    let journal = Journal::open(&config.state, clock.clone()).map_err(|fault| state(explain(&fault)))?;
    let overrides = Overrides::open(&config.state, &journal).map_err(|fault| state(explain(&fault)))?;
    let alerts = Alerts::open(&config.state, &journal, config.alerts.clone()).map_err(|fault| state(explain(&fault)))?;
    let bounds = Bounds { pending: config.limits.access_requests, grant: config.limits.grant };
    let access = Access::open(&config.state, bounds, clock.clone()).map_err(|fault| state(explain(&fault)))?;
    let pseudonym_keys = match config.pseudonym_keys() {
        Some(keys) => keys,
        None => PseudonymKeys::new(load_or_make_key(&config.state, "pseudonym.key")?, None, Default::default()),
    };
    let spill = config.state.join("spill");
    emptied_folder(&spill).map_err(|error| state(error.to_string()))?;
    Ok(Opened { catalog, identity, journal, overrides, alerts, access, pseudonym_keys, spill })
}

/// The publisher of usage, where the configuration asks for one.
fn publisher(config: &Config, journal: &Journal, metrics: &Metrics) -> Result<Option<Publisher>, StartError> {
    let Some(publish) = &config.publish else { return Ok(None) };
    let unusable = |fault: Fault| StartError::Publish(explain(&fault));
    let rhythm = Rhythm { every: publish.every, keep: publish.keep };
    let store = open_ledger(publish).map_err(unusable)?;
    Publisher::new(journal, store, rhythm, metrics.clone()).map(Some).map_err(unusable)
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What an earlier process spilled before it died is of no use.
fn emptied_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private_folder(path)
}

async fn bind(config: &Config) -> Result<(Listeners, Addresses), StartError> {
    let server = &config.server;
    let (postgres, at_postgres) = listen("postgres", server.postgres).await?;
    let (flight, at_flight) = listen("flight", server.flight).await?;
    let (http, at_http) = listen("http", server.http).await?;
    let addresses = Addresses { postgres: at_postgres, flight: at_flight, http: at_http };
    for (door, address) in [("postgres", at_postgres), ("flight", at_flight), ("http", at_http)] {
        if server.tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(door, %address, "listening without TLS: passwords and data can be read on the wire");
        }
    }
    Ok((Listeners { postgres, flight, http }, addresses))
}

async fn listen(door: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|source| StartError::Bind { door, address, source })
}

/// Keeps catalog and users in step with their files, and running queries in step with both, until the gateway ends.
fn watch(door: &Door, catalog: &Catalog, alerts: Alerts) -> TaskTracker {
    let watching = TaskTracker::new();
    let (catalog, identity, gateway) = (catalog.clone(), door.identity.clone(), Arc::clone(&door.gateway));
    let (access, stop_access) = (gateway.access().clone(), door.ending.clone());
    let (stop_catalog, stop_identity, stop_gateway) = (door.ending.clone(), door.ending.clone(), door.ending.clone());
    watching.spawn(alerts.watch(catalog.clone(), door.ending.clone()));
    watching.spawn(async move { catalog.watch(stop_catalog).await });
    watching.spawn(async move { identity.watch(stop_identity).await });
    watching.spawn(async move { access.watch(stop_access).await });
    watching.spawn(async move { gateway.watch(stop_gateway).await });
    watching.close();
    watching
}

type Doors = JoinSet<(&'static str, io::Result<()>)>;

fn open_doors(door: &Door, listeners: Listeners, watched: Watched) -> Doors {
    let mut doors = JoinSet::new();
    let (for_postgres, for_flight, for_http) = (door.clone(), door.clone(), door.clone());
    doors.spawn(async move { ("postgres", postgres::serve(listeners.postgres, for_postgres).await) });
    doors.spawn(async move { ("flight", flight::serve(listeners.flight, for_flight).await) });
    doors.spawn(async move { ("http", http::serve(listeners.http, for_http, watched).await) });
    doors
}

fn fell_shut(ended: Option<Result<(&'static str, io::Result<()>), tokio::task::JoinError>>) -> RunError {
    match ended {
        Some(Ok((door, Err(error)))) => RunError::Door { door, reason: error.to_string() },
        Some(Ok((door, Ok(())))) => RunError::Door { door, reason: "it closed by itself".to_owned() },
        Some(Err(error)) => RunError::Door { door: "a", reason: error.to_string() },
        None => RunError::Door { door: "no", reason: "none was opened".to_owned() },
    }
}

/// Lets nothing new in, waits for what runs, and ends what is left. The HTTP door stays until the end, to say so.
async fn drain(door: &Door, doors: &mut Doors) {
    let grace = door.limits.grace;
    tracing::info!(connections = door.tasks.len(), ?grace, "draining");
    door.draining.cancel();
    door.tasks.close();
    tokio::select! {
        () = door.tasks.wait() => {}
        () = tokio::time::sleep(grace) => tracing::warn!(connections = door.tasks.len(), "grace period over, ending what runs"),
        () = door.ending.cancelled() => tracing::warn!(connections = door.tasks.len(), "grace period cut short, ending what runs"),
    }
    door.ending.cancel();
    let rest = async {
        door.tasks.wait().await;
        while let Some(ended) = doors.join_next().await {
            if let Ok((door, Err(error))) = ended {
                tracing::warn!(door, %error, "door closed with an error");
            }
        }
    };
    if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
        tracing::error!(connections = door.tasks.len(), "connections that did not end were cut");
        doors.abort_all();
    }
}
