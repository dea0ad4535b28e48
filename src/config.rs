//! How it is set up: `meshgate.toml`, raw and then validated.
//!
//! Every key is declared once, in `keys`, with its default and its documentation; what is read, what `Limits::default()` says and
//! `docs/config.md` all come from there. All mistakes of a file are reported at once.

mod alerts;
mod credentials;
mod docs;
mod document;
mod jwt;
mod keys;
mod kinds;
mod pseudonyms;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::catalog::{CredentialCheck, Location};
use crate::metering::Webhook;

pub use credentials::{CredentialKind, CredentialSettings, S3Settings, Setting, objection};
pub use docs::markdown;
use document::Reader;
pub(crate) use document::unknown;
pub use jwt::{JwtIssuer, KeySource};
pub use pseudonyms::PseudonymKeys;
pub use publish::Publish;

/// Where the gateway is told how to run, where no other file is named.
pub const DEFAULT_FILE: &str = "meshgate.toml";
/// Bytes of a configuration file.
const MAX_FILE: u64 = 1 << 20;

/// A valid configuration. Paths are absolute or relative to the working directory.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the doors are.
    pub server: Server,
    /// The catalog's folder.
    pub catalog: PathBuf,
    /// The folder of the journal, the keys and spilled data.
    pub state: PathBuf,
    /// The users file.
    pub users: PathBuf,
    /// How long a bearer token is valid.
    pub token_lifetime: Duration,
    /// Whose tokens are accepted.
    pub jwt: Vec<JwtIssuer>,
    /// Credentials by name.
    pub credentials: BTreeMap<String, CredentialSettings>,
    /// Bounds.
    pub limits: Limits,
    /// How much of a statement is kept.
    pub statements: Statements,
    /// Where and how usage is published, if it is.
    pub publish: Option<Publish>,
    /// Where alerts of budgets are sent to; `None` is nowhere but the log.
    pub alerts: Option<Webhook>,
}

/// How much of a statement the audit keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statements {
    /// A digest of it without its literals.
    Digest,
    /// Its text too.
    Full,
}

/// Where things are, for commands that need no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The catalog's folder.
    pub catalog: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// The users file.
    pub users: PathBuf,
}

/// Where the doors are, and how they are guarded.
#[derive(Debug, Clone)]
pub struct Server {
    /// The PostgreSQL door.
    pub postgres: SocketAddr,
    /// The Flight door.
    pub flight: SocketAddr,
    /// The HTTP door.
    pub http: SocketAddr,
    /// Where this gateway runs, for residency.
    pub region: Option<String>,
    /// TLS for all doors.
    pub tls: Option<TlsFiles>,
    /// Whether doors beyond loopback may do without TLS.
    pub insecure: bool,
}

/// The files that TLS needs, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates; where set, every client needs one.
    pub client_ca: Option<PathBuf>,
}

/// Bounds on everything that a client can ask for. Every field has a default that works on a laptop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, per door.
    pub connections: usize,
    /// From accept to authenticated.
    pub login_timeout: Duration,
    /// Bytes that an unauthenticated client may make us buffer.
    pub login_bytes: usize,
    /// Default of `statement_timeout`; zero is none.
    pub statement_timeout: Duration,
    /// Longest statement, in bytes.
    pub statement_bytes: usize,
    /// Largest protocol message, in bytes.
    pub message_bytes: usize,
    /// Prepared statements per connection.
    pub prepared_statements: usize,
    /// Portals and cursors per connection.
    pub portals: usize,
    /// Memory for all queries together, in bytes.
    pub memory: u64,
    /// Memory for one query, in bytes.
    pub query_memory: u64,
    /// Disk that queries may spill to, all together, in bytes.
    pub spill: u64,
    /// Queries of one consumer domain at once, where its `domain.yaml` does not say.
    pub concurrency: usize,
    /// Queries of one consumer domain that may wait.
    pub queue: usize,
    /// Bytes that one query may scan, where nothing else says; `None` is no limit.
    pub max_scan_bytes: Option<u64>,
    /// Access requests of one principal that may wait for a decision.
    pub access_requests: usize,
    /// The longest time for which access to a product is granted.
    pub grant: Duration,
    /// From SIGTERM until running queries are ended.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Reader::new("", Path::new(""), &|_| None).section::<keys::Limits>().into()
    }
}

/// All that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    lines: Vec<String>,
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |message: String| ConfigError { lines: vec![format!("{}: {message}", path.display())] };
    let bytes = document::read_bounded(path, MAX_FILE).map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| failed("the file is not UTF-8".to_owned()))
}

impl ConfigError {
    fn of(path: &Path, problems: &[document::Problem]) -> Self {
        Self { lines: problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect() }
    }

    /// The mistakes, each with its place.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base, &|name| std::env::var(name).ok())
            .map_err(|problems| ConfigError { lines: problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect() })
    }

    /// What holds where there is no file. Paths are relative to the working directory.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::parse("", Path::new(""), &|_| None).map_err(|problems| ConfigError::of(Path::new(DEFAULT_FILE), &problems))
    }

    /// The paths that a configuration names. Reads nothing else of it, so that whoever manages users or reads reports needs none of its
    /// secrets.
    pub fn load_paths(path: &Path) -> Result<Paths, ConfigError> {
        let text = read_text(path)?;
        let mut reader = Reader::new(&text, path.parent().unwrap_or(Path::new("")), &|_| None);
        let catalog: keys::Catalog = reader.section();
        let state: keys::State = reader.section();
        let identity: keys::Identity = reader.section();
        reader.finish().map_err(|problems| ConfigError::of(path, &problems))?;
        Ok(Paths { catalog: catalog.location, state: state.location, users: identity.users })
    }

    /// The paths alone.
    pub fn paths(&self) -> Paths {
        Paths { catalog: self.catalog.clone(), state: self.state.clone(), users: self.users.clone() }
    }

    /// Checks a text. Relative paths are relative to `base`; `env` answers for the environment.
    fn parse(text: &str, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<document::Problem>> {
        let mut reader = Reader::new(text, base, env);
        let server: keys::Server = reader.section();
        let catalog: keys::Catalog = reader.section();
        let state: keys::State = reader.section();
        let identity: keys::Identity = reader.section();
        let limits: keys::Limits = reader.section();
        let audit: keys::Audit = reader.section();
        let metering: keys::Metering = reader.section();
        let credentials = credentials::read(&mut reader);
        let alerts = alerts::read(&mut reader, &metering, &credentials);
        let publish = publish::read(&mut reader, metering, &credentials);
        let server = Server {
            postgres: server.postgres,
            flight: server.flight,
            http: server.http,
            region: server.region,
            tls: server.tls,
            insecure: server.insecure,
        };
        server.check(&mut reader);
        reader.finish()?;
        Ok(Self {
            server,
            catalog: catalog.location,
            state: state.location,
            users: identity.users,
            token_lifetime: identity.token_lifetime,
            jwt: identity.jwt,
            credentials,
            limits: limits.into(),
            statements: audit.statements,
            publish,
            alerts,
        })
    }

    /// The same with other doors where they are given, which are checked as those of a file are.
    pub fn with_doors(
        mut self,
        postgres: Option<SocketAddr>,
        flight: Option<SocketAddr>,
        http: Option<SocketAddr>,
    ) -> Result<Self, ConfigError> {
        let server = &mut self.server;
        for (door, given) in [(&mut server.postgres, postgres), (&mut server.flight, flight), (&mut server.http, http)] {
            *door = given.unwrap_or(*door);
        }
        let lines: Vec<_> = server.exposed().map(|(_, message)| message).collect();
        if lines.is_empty() { Ok(self) } else { Err(ConfigError { lines }) }
    }

    /// A check of the credentials that a catalog's domains name.
    pub fn credential_check(&self) -> CredentialCheck {
        let credentials = self.credentials.clone();
        CredentialCheck::new(move |domain, prefix| match &prefix.prefix {
            Location::File(_) => None,
            Location::Remote(url) => {
                let scheme = url.split(':').next().unwrap_or_default();
                objection(&credentials, domain, scheme, prefix.credentials.as_deref())
            }
        })
    }

    /// The keys that pseudonyms are made with, where the configuration has them.
    pub fn pseudonym_keys(&self) -> Option<PseudonymKeys> {
        self.credentials.get(credentials::PSEUDONYMS).and_then(CredentialSettings::pseudonyms)
    }
}

impl Server {
    /// The doors that would carry passwords and data in the clear: beyond loopback, without TLS, and not on demand.
    fn exposed(&self) -> impl Iterator<Item = (&'static str, String)> {
        let doors = [("postgres", self.postgres), ("flight", self.flight), ("http", self.http)];
        let guarded = self.tls.is_some() || self.insecure;
        doors.into_iter().filter(move |(_, address)| !guarded && !address.ip().is_loopback()).map(|(name, address)| {
            (name, format!("`{name}` would listen on {address} without TLS; set `tls`, use 127.0.0.1, or say `insecure = true`"))
        })
    }

    fn check(&self, reader: &mut Reader<'_>) {
        for (name, message) in self.exposed() {
            reader.problem_at("server", name, message);
        }
    }
}

impl From<keys::Limits> for Limits {
    fn from(raw: keys::Limits) -> Self {
        Self {
            connections: raw.connections,
            login_timeout: raw.login_timeout,
            login_bytes: to_usize(raw.login_bytes),
            statement_timeout: raw.statement_timeout,
            statement_bytes: to_usize(raw.statement_bytes),
            message_bytes: to_usize(raw.message_bytes),
            prepared_statements: raw.prepared_statements,
            portals: raw.portals,
            memory: raw.memory,
            query_memory: raw.query_memory.min(raw.memory),
            spill: raw.spill,
            concurrency: raw.concurrency,
            queue: raw.queue,
            max_scan_bytes: raw.max_scan_bytes,
            access_requests: raw.access_requests,
            grant: raw.grant,
            grace: raw.grace,
        }
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
