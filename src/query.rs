//! One query, one stage a file. Both doors come through here, and differ in decoding and encoding only.
//!
//! ```text
//! text ─ parse ─► Parsed ─ resolve ─► Resolved ─ authorise ─► Authorised ─ view ─► Governed ─ plan ─► Planned ─ execute ─► MeteredRows
//!                 syntax,             names, in               permits, or          tables as the      physical,           rows, ending
//!                 limits              one snapshot            a denial             reader sees them   counted             when durable
//! ```
//!
//! Each stage is a type that only the stage before can make. `admit` stands before `authorise`: a query that waits for its turn has
//! touched nothing, and holds nothing that could be revoked meanwhile.

mod admit;
mod authorise;
mod check;
mod constants;
mod dialect;
mod execute;
mod fault;
mod functions;
mod govern;
mod pace;
mod parse;
mod plan;
mod quote;
mod resolve;
mod running;
mod session;
mod settings;
mod view;
mod visible;
mod workers;
mod workload;
mod written;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::FutureExt;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::catalog::{Catalog, ScanLimit};
use crate::clock::Clock;
use crate::config::{CredentialSettings, Limits, PseudonymKeys, Statements};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{CatalogVersion, DomainName, QueryId};
use crate::identity::{Identity, Principal};
use crate::metering::{Journal, PriceList, Protocol, QueryStart};
use crate::policy::{Circumstances, Decisions, MaskKeys};
use crate::ports::{Clients, Ports};
use crate::telemetry::Metrics;

pub use self::check::{Finding, Question};
pub use self::execute::MeteredRows;
pub use self::parse::{CopyFormat, CopyOptions, Direction, Kind, Parsed};
pub use self::session::Session;
pub use self::settings::{Settings, Snapshot};
pub use self::visible::VisibleTable;

use self::admit::Admission;
use self::authorise::Books;
use self::constants::Constants;
pub(crate) use self::dialect::{is_taken, moment_value};
use self::execute::{Explain, OpenBooks, cancelled, outcome_of, panicked};
use self::fault::fault_of;
#[cfg(test)]
pub(crate) use self::functions::json::functions as json_functions;
use self::parse::{Body, Explained, deep};
use self::plan::{Drafted, Engine, Planned};
use self::quote::Terms;
pub(crate) use self::resolve::Asker;
use self::resolve::Resolved;
use self::running::{Reason, Record, RunningQueries, Stop};
use self::visible::VisibleCache;
use self::workload::workload;

/// How often running queries are asked whether their readers' tokens still hold.
const TOKEN_CHECK: Duration = Duration::from_secs(1);

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// What exists.
    pub catalog: Catalog,
    /// Who is who.
    pub identity: Identity,
    /// Who was granted what.
    pub access: Access,
    /// The ledger.
    pub journal: Journal,
    /// Counters.
    pub metrics: Metrics,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// The time.
    pub clock: Clock,
    /// Where this gateway runs.
    pub region: Option<String>,
    /// The mesh's keys of pseudonyms, from which each consumer domain's is derived.
    pub pseudonym_keys: PseudonymKeys,
    /// What remote stores are opened with.
    pub credentials: BTreeMap<String, CredentialSettings>,
    /// How much of a statement is kept.
    pub statements: Statements,
    /// Where queries spill to. Made where it is missing, emptied at start.
    pub spill_dir: PathBuf,
}

/// The engine behind all doors.
#[derive(Debug)]
pub struct Gateway {
    parts: Parts,
    ports: Ports,
    engine: Arc<Engine>,
    admission: Admission,
    running: Arc<RunningQueries>,
    visible: VisibleCache,
    constants: Constants,
    decisions: Decisions,
}

/// What a statement needs and gives, told only to those who may run it.
#[derive(Debug, Clone)]
pub struct Description {
    /// The parameters' types, `$1` first; like a column, one may name PostgreSQL's type.
    pub parameters: Vec<FieldRef>,
    /// The result's columns.
    pub schema: SchemaRef,
    /// Bytes of the files of the products that it names, each as often as it is named: no run of it reads more row data, unless a nested loop join runs
    /// out of memory. `None` where that is not known, and where the reader may not see all rows and values of them.
    pub bytes: Option<u64>,
}

/// Something that a reader is told once a query: what was filtered, masked, stale or deprecated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// A lower-case fragment.
    pub message: String,
    /// A sentence.
    pub detail: Option<String>,
    /// A sentence.
    pub hint: Option<String>,
}

impl Gateway {
    /// An engine of these parts.
    pub fn new(parts: Parts) -> Result<Arc<Self>> {
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![parts.spill_dir.clone()]))
            .with_max_temp_directory_size(parts.limits.spill);
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc().map_err(fault_of)?;
        let (ports, engine) =
            (Ports::new(&runtime, Clients::new(&parts.credentials)), Arc::new(Engine::new(parts.limits.memory, &runtime)?));
        let (admission, running, visible) = (Admission::default(), Arc::default(), VisibleCache::default());
        let (constants, decisions) = (Constants::default(), Decisions::default());
        Ok(Arc::new(Self { parts, ports, engine, admission, running, visible, constants, decisions }))
    }

    /// Ends running queries whose readers lost the right to them, until the token is cancelled.
    pub async fn watch(&self, stop: CancellationToken) {
        let (mut catalog, mut identity) = (self.parts.catalog.subscribe(), self.parts.identity.subscribe());
        let mut ticks = tokio::time::interval(TOKEN_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut grants = self.parts.access.subscribe();
        loop {
            tokio::select! {
                changed = catalog.changed() => if changed.is_err() { return },
                changed = identity.changed() => if changed.is_err() { return },
                changed = grants.changed() => if changed.is_err() { return },
                // Nobody announces that time has passed.
                _ = ticks.tick() => {
                    self.running.recheck(|record| match self.parts.identity.current(&record.principal) {
                        Err(_) if record.principal.token.is_some() => Some(Reason::TokenEnded),
                        _ => None,
                    });
                    continue;
                }
                () = stop.cancelled() => return,
            }
            self.running.recheck(|record| self.lost(record));
        }
    }

    /// Why a running query may not go on, where it may not.
    fn lost(&self, record: &Record) -> Option<Reason> {
        match self.asker_for(&record.principal, record.circumstances.clone(), Vec::new()) {
            Err(fault) if fault.kind() == ErrorKind::SessionEnded => Some(Reason::TokenEnded),
            Ok(asker) if record.permits.iter().all(|permit| authorise::still_holds(permit, &asker)) => None,
            _ => Some(Reason::Revoked),
        }
    }

    /// Changes with everything that a decision is made from.
    fn world(&self) -> (CatalogVersion, u64, u64) {
        (self.parts.catalog.current().version, self.parts.identity.epoch(), self.parts.access.epoch())
    }

    /// Splits and parses a text, within the limits of length and depth.
    pub fn parse(&self, _session: &Session, sql: &str) -> Result<Vec<Parsed>> {
        parse::parse(sql, self.parts.limits.statement_bytes)
    }

    /// Resolves, authorises, governs and plans a [`Kind::Rows`] statement without running it. `types` are the client's, `None` where it did
    /// not say.
    pub async fn describe(&self, session: &Session, parsed: &Parsed, types: &[Option<DataType>]) -> Result<Description> {
        let (statement, explain) = match parsed.body() {
            Body::Query(statement) => match self.constants.get(session.settings().time_zone(), parsed.text()) {
                Some(row) => return Ok(Description { parameters: Vec::new(), schema: row.schema(), bytes: Some(0) }),
                None => (statement, None),
            },
            Body::Explain { query, what } => (query, Some(*what)),
            Body::Show(name) => {
                return Ok(Description { parameters: Vec::new(), schema: show(session, name.as_deref())?.schema(), bytes: None });
            }
            Body::Nothing => return Ok(Description { parameters: Vec::new(), schema: Arc::new(Schema::empty()), bytes: None }),
        };
        let drafted = guarded(self.draft(session, self.asker(session)?, statement, types, Books::Description)).await?;
        let schema = explain.map_or_else(|| drafted.schema(), Explain::schema);
        let bytes = if explain.is_none() { deep(|| drafted.bytes()) } else { None };
        Ok(Description { parameters: drafted.parameters()?, schema, bytes })
    }

    /// Runs a [`Kind::Rows`] statement from the start: authorised now, whatever was described before.
    pub async fn run(
        &self,
        session: &Session,
        parsed: &Parsed,
        parameters: &[ScalarValue],
        cancel: CancellationToken,
    ) -> Result<MeteredRows> {
        let (statement, explain) = match parsed.body() {
            Body::Query(statement) => (statement, None),
            Body::Explain { query, what } => (query, Some(*what)),
            Body::Show(name) => return show(session, name.as_deref()).map(MeteredRows::told),
            Body::Nothing => return Err(Fault::new(ErrorKind::Unsupported, format!("{} gives no rows", parsed.tag()))),
        };
        let stop = Stop::new(&cancel);
        let running = self.run_query(session, parsed, statement, explain, parameters, &stop);
        tokio::select! {
            result = guarded(running) => result,
            () = cancel.cancelled() => Err(cancelled()),
        }
    }

    /// One query from resolve to its first row.
    async fn run_query(
        &self,
        session: &Session,
        parsed: &Parsed,
        statement: &ast::Statement,
        explain: Option<Explained>,
        parameters: &[ScalarValue],
        stop: &Stop,
    ) -> Result<MeteredRows> {
        let world = self.world();
        let asker = self.asker(session)?;
        let begun = Instant::now();
        let zone = session.settings().time_zone();
        let alike = explain.is_none() && parameters.is_empty();
        if let Some(row) = self.constants.get(zone, parsed.text()).filter(|_| alike) {
            let query_id = QueryId::generate();
            let account = self.parts.journal.begin(self.query_start(session, &asker, parsed, query_id, begun))?;
            let books = OpenBooks { account, metrics: self.parts.metrics.clone(), protocol: session.protocol(), begun };
            let entry = self.running.enter(query_id, asker.principal, asker.circumstances, Vec::new(), stop.clone());
            return Ok(MeteredRows::known(row, entry, books));
        }
        let resolved = Resolved::new(asker.clone(), statement.clone())?;
        let alike = alike && resolved.is_slight();
        let slot = if resolved.reads_products() { Some(self.admit(&asker, stop).await?) } else { None };
        let query_id = QueryId::generate();
        let start = self.query_start(session, &asker, parsed, query_id, begun);
        let explain = explain.map(|what| match what {
            Explained::Plan { analyze, verbose } => Explain::Plan { analyze, verbose },
            Explained::Cost => Explain::Cost(Box::new(Terms::new(&asker, &self.parts.journal, &start))),
        });
        let account = self.parts.journal.begin(start)?;
        let books = OpenBooks { account, metrics: self.parts.metrics.clone(), protocol: session.protocol(), begun };
        let types: Vec<_> = parameters.iter().map(|value| Some(value.data_type()).filter(|t| *t != DataType::Null)).collect();
        match Box::pin(self.plan(session, resolved, &types, parameters, Books::Query(query_id, &books.account))).await {
            Ok(mut planned) => {
                if let Some(row) = planned.constant.take().filter(|_| alike) {
                    self.constants.keep(zone, parsed.text(), row);
                }
                let permits = std::mem::take(&mut planned.permits);
                let explain = explain.map(|explain| explain.of(permits.iter().map(|(target, ..)| &target.product.id)));
                let entry = self.running.enter(query_id, Arc::clone(&asker.principal), asker.circumstances.clone(), permits, stop.clone());
                // What was taken away while it was planned was told to those that ran, and it was not among them.
                if self.world() != world {
                    self.running.recheck(|record| self.lost(record));
                }
                let deadline = self.deadline(session, begun);
                Ok(MeteredRows::start(planned, explain, self.engine.workers(), slot, entry, books, deadline))
            }
            Err(fault) => {
                books.close(outcome_of(&fault), Some(&fault), 0).await?;
                Err(fault)
            }
        }
    }

    async fn plan(
        &self,
        session: &Session,
        resolved: Resolved,
        types: &[Option<DataType>],
        parameters: &[ScalarValue],
        books: Books<'_>,
    ) -> Result<Planned> {
        let slight = resolved.is_slight();
        let draft = Box::pin(self.governed(session, resolved, types, books)).await?;
        if slight {
            return draft()?.bind(parameters)?.plan().await;
        }
        let parameters = parameters.to_vec();
        off_thread(move || {
            let bound = draft()?.bind(&parameters)?;
            Handle::current().block_on(bound.plan())
        })
        .await
    }

    async fn draft(
        &self,
        session: &Session,
        asker: Asker,
        statement: &ast::Statement,
        types: &[Option<DataType>],
        books: Books<'_>,
    ) -> Result<Drafted> {
        let resolved = Resolved::new(asker, statement.clone())?;
        let slight = resolved.is_slight();
        let draft = Box::pin(self.governed(session, resolved, types, books)).await?;
        if slight { draft() } else { off_thread(draft).await }
    }

    /// Authorises and governs; what is left to do is the planner's, and takes a thread for as long as it takes.
    async fn governed(
        &self,
        session: &Session,
        resolved: Resolved,
        types: &[Option<DataType>],
        books: Books<'_>,
    ) -> Result<impl FnOnce() -> Result<Drafted> + Send + 'static> {
        let time_zone = session.settings().time_zone();
        let keys = self.mask_keys(&resolved.asker);
        let governed = resolved.authorise(self, session, books).await?.govern(self, session, keys, time_zone).await?;
        let (engine, types) = (Arc::clone(&self.engine), types.to_vec());
        Ok(move || governed.draft(&engine, time_zone, &types))
    }

    /// Who asks, as they are now.
    fn asker(&self, session: &Session) -> Result<Asker> {
        let asker = self.asker_for(session.principal(), session.circumstances(), session.settings().search_path())?;
        #[cfg(test)]
        if crate::mutants::is("stale plan") {
            return Ok(Asker { principal: Arc::clone(session.principal()), ..asker });
        }
        Ok(asker)
    }

    /// Somebody in circumstances, as they are now and in the world of now.
    fn asker_for(&self, principal: &Arc<Principal>, circumstances: Circumstances, search_path: Vec<String>) -> Result<Asker> {
        let principal = self.parts.identity.current(principal)?;
        let grants = self.parts.access.held_by(&principal);
        Ok(Asker {
            principal,
            snapshot: self.parts.catalog.current(),
            circumstances,
            search_path,
            region: self.parts.region.clone(),
            grants,
        })
    }

    /// Waits for a slot of the consumer domain.
    async fn admit(&self, asker: &Asker, stop: &Stop) -> Result<admit::Slot> {
        let domain = &asker.principal.domain;
        let limits = &self.parts.limits;
        let width = asker.snapshot.domains.get(domain).and_then(|d| d.limits.concurrency).unwrap_or(limits.concurrency);
        self.admission.enter(domain, width, limits.queue, stop.token()).await
    }

    fn query_start(&self, session: &Session, asker: &Asker, parsed: &Parsed, query_id: QueryId, begun: Instant) -> QueryStart {
        let now = self.now();
        let domain = asker.snapshot.domains.get(&asker.principal.domain);
        let mesh = &asker.snapshot.mesh;
        let limits = [session.settings().max_scan_bytes(), domain.and_then(|d| d.limits.max_scan_bytes), self.parts.limits.max_scan_bytes];
        let application_name = session.settings().application_name();
        let workload = workload(parsed, application_name.as_deref(), mesh.crawlers.as_deref());
        let holds = |limit: &&Arc<ScanLimit>| limit.holds(&asker.principal.domain) && limit.counts(workload);
        QueryStart {
            query_id,
            started_at: now,
            principal: asker.principal.name.clone(),
            consumer_domain: asker.principal.domain.clone(),
            cost_center: domain.and_then(|d| d.cost_center.clone()),
            purpose: asker.circumstances.purpose.clone(),
            protocol: session.protocol(),
            workload,
            application_name,
            tags: session.settings().tags(),
            statement_digest: parsed.digest().to_owned(),
            statement: (self.parts.statements == Statements::Full).then(|| parsed.text().to_owned()),
            queued_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            prices: PriceList::new(&mesh.currency, &mesh.prices, &asker.principal.domain, now.date_naive()),
            max_scan_bytes: limits.into_iter().flatten().min(),
            budget: domain.and_then(|d| d.budget.clone()),
            limits: mesh.limits.iter().filter(holds).cloned().collect(),
        }
    }

    /// The PostgreSQL door times each Execute itself, because a suspended portal's clock stands still; elsewhere a statement is one run.
    fn deadline(&self, session: &Session, begun: Instant) -> Option<Instant> {
        let timeout = session.settings().statement_timeout()?;
        (session.protocol() != Protocol::Postgres).then(|| begun + timeout)
    }

    /// The mask keys of one query of one consumer domain.
    fn mask_keys(&self, asker: &Asker) -> MaskKeys {
        let mut derive = derived(self.parts.pseudonym_keys.of(&asker.principal.domain));
        derive.update(b"meshgate pseudonym ");
        derive.update(asker.principal.domain.as_str().as_bytes());
        MaskKeys { pseudonym: derive.finalize().into_bytes().into(), query_salt: rand::random() }
    }

    /// A keyed digest of a text: equal for equal texts, and nothing else can be told from it without the key. 64 bits, in hexadecimal.
    pub(crate) fn receipt(&self, consumer: &DomainName, text: &str) -> String {
        let mut derive = derived(self.parts.pseudonym_keys.of(consumer));
        derive.update(b"meshgate receipt ");
        derive.update(text.as_bytes());
        derive.finalize().into_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The ledger.
    pub fn journal(&self) -> &Journal {
        &self.parts.journal
    }

    /// Who was granted what.
    pub fn access(&self) -> &Access {
        &self.parts.access
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// The live catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.parts.catalog
    }
}

/// Plans where nobody else waits: the planner does not yield, and a large statement takes it seconds. A statement that is cancelled meanwhile
/// is answered at once; its plan is thrown away when it is made.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(panicked(QueryId::generate())))
}

/// A panic while planning ends the statement and nothing else. Boxed, because a plan on its way is large and its callers are not.
fn guarded<'a, T: 'a>(work: impl Future<Output = Result<T>> + Send + 'a) -> BoxFuture<'a, Result<T>> {
    AssertUnwindSafe(work).catch_unwind().map(|done| done.unwrap_or_else(|_| Err(panicked(QueryId::generate())))).boxed()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn derived(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// SHOW's rows.
fn show(session: &Session, name: Option<&str>) -> Result<RecordBatch> {
    let column = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let field = |name: &str| Field::new(name, DataType::Utf8, false);
    let (fields, columns) = match name {
        Some(name) => (vec![field(&name.to_lowercase())], vec![column(vec![session.settings().show(name)?])]),
        None => {
            let all = session.settings().show_all();
            let names = all.iter().map(|(name, ..)| name.clone()).collect();
            let values = all.iter().map(|(_, value, _)| value.clone()).collect();
            let descriptions = all.into_iter().map(|(.., description)| description).collect();
            (vec![field("name"), field("setting"), field("description")], vec![column(names), column(values), column(descriptions)])
        }
    };
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Fault::internal)
}
