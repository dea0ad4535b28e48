//! What one query owes, from admission to settlement.
//!
//! A query's state is shared by its account and by all its meters, and is settled by being dropped: so it happens exactly once, and only
//! when nothing can read for the query any more. [`Account::settle`] says how the query ended and waits for that moment; without it the
//! query ends as `cancelled`, which covers every early return, panic and lost client at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::budget::{Held, Spending};
use super::journal::{Link, PortRecord, Settled, Settlement, cannot_write};
use super::scan::{Allowance, Counters, Meter, Reading};
use super::{DecisionRecord, Outcome, QueryStart};
use crate::error::Result;
use crate::id::PortId;

/// How long a settlement waits for the last read of its query. A read that is still under way then is charged in a row of its own.
const LAST_READ: Duration = Duration::from_secs(1);

/// What one query owes. Dropped without [`Account::settle`], it is settled as `cancelled` once its last read is over.
#[derive(Debug)]
pub struct Account {
    state: Arc<QueryState>,
    meters: Mutex<HashMap<PortId, Arc<Meter>>>,
    decided: AtomicBool,
}

impl Account {
    pub(super) fn open(start: QueryStart, link: Arc<Link>) -> Self {
        Self { state: QueryState::enter(start, link), meters: Mutex::new(HashMap::new()), decided: AtomicBool::new(false) }
    }

    /// The meter for one port; the same one for the same port. The table version is known only once the port is open, and opening it needs
    /// the meter already: ask first with an empty one, and again with the true one.
    pub fn meter(&self, port: &PortId, product_version: &str, table_version: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock();
        let usage = self.state.port(port, product_version, table_version);
        let meter = meters.entry(port.clone()).or_insert_with(|| Meter::of(Arc::clone(&self.state), port.product.clone(), usage));
        Arc::clone(meter)
    }

    /// What all meters show together.
    pub fn reading(&self) -> Reading {
        self.state.reading()
    }

    /// Records a decision about the query. Durable no later than its settlement.
    pub fn decided(&self, record: DecisionRecord) {
        self.decided.store(true, Ordering::Relaxed);
        self.state.link.decisions(vec![record]);
    }

    /// Notes rows that the reader was given. Whoever settles says the number anyway; this is what is known where nobody does.
    pub fn returned(&self, rows: u64) {
        self.state.returned.fetch_add(rows, Ordering::Relaxed);
    }

    /// Makes the usage durable. When this answers, a crash cannot lose it. Cancel-safe: dropped, the settlement still happens.
    ///
    /// A query that no port was opened for and nothing was decided about owes nothing: `SELECT 1`. Its row is on its way when this answers, and
    /// durable with the next flush, a second later at the latest.
    ///
    /// It waits for the last read of the query, so whoever settles has dropped the query's streams, plans and stores before. An account is
    /// settled once, because settling takes it:
    ///
    /// ```compile_fail,E0382
    /// # use meshgate::metering::{Account, Outcome};
    /// async fn twice(account: Account) {
    ///     let _ = account.settle(Outcome::Completed, None, 1).await;
    ///     let _ = account.settle(Outcome::Failed, None, 0).await;
    /// }
    /// ```
    pub async fn settle(self, outcome: Outcome, sqlstate: Option<&'static str>, rows_returned: u64) -> Result<()> {
        let Self { state, meters, decided } = self;
        let end = End { outcome, sqlstate, rows_returned, at: state.link.now(), lasted: state.begun.elapsed() };
        if meters.lock().is_empty() && !decided.into_inner() {
            state.end(end, None);
            return if state.link.is_writable() { Ok(()) } else { Err(cannot_write()) };
        }
        let (waiter, mut durable) = oneshot::channel();
        state.end(end, Some(waiter));
        drop(meters);
        let held = Arc::downgrade(&state);
        drop(state);
        let answer = match tokio::time::timeout(LAST_READ, &mut durable).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some(state) = held.upgrade() {
                    tracing::warn!(query.id = %state.start.query_id, "settled while a read of the query was still under way");
                    state.seal();
                }
                durable.await
            }
        };
        answer.unwrap_or(Settled::Lost).into_result()
    }
}

/// How a query ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    outcome: Outcome,
    sqlstate: Option<&'static str>,
    rows_returned: u64,
    at: DateTime<Utc>,
    lasted: Duration,
}

/// What was read of one port.
#[derive(Debug)]
struct PortUsage {
    port: PortId,
    product_version: String,
    table_version: Mutex<String>,
    counters: Arc<Counters>,
}

#[derive(Default)]
enum Phase {
    /// Nobody said yet how it ended.
    #[default]
    Running,
    /// It ended, and somebody may wait to hear that this is durable.
    Ended(End, Option<oneshot::Sender<Settled>>),
    /// It was written while something still read; here is what was written.
    Sealed(Vec<Reading>),
}

/// One query as its account and its meters share it. Its drop is its settlement.
pub(super) struct QueryState {
    number: u64,
    start: QueryStart,
    begun: Instant,
    returned: AtomicU64,
    allowance: Allowance,
    spending: Option<Spending>,
    ports: Mutex<Vec<PortUsage>>,
    phase: Mutex<Phase>,
    link: Arc<Link>,
}

impl QueryState {
    fn enter(start: QueryStart, link: Arc<Link>) -> Arc<Self> {
        let allowance = Allowance::new(start.max_scan_bytes);
        let (ports, phase, begun) = (Mutex::default(), Mutex::default(), Instant::now());
        let number = link.next_number();
        let spending = Spending::open(link.purses(), &start);
        let state = Arc::new(Self { number, start, begun, returned: AtomicU64::new(0), allowance, spending, ports, phase, link });
        state.link.enter(number, &state);
        state
    }

    pub(super) fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    pub(super) fn spending(&self) -> Option<&Spending> {
        self.spending.as_ref()
    }

    pub(super) fn ask_for_progress(&self) {
        self.link.ask_for_progress();
    }

    fn port(&self, port: &PortId, product_version: &str, table_version: &str) -> Arc<Counters> {
        let mut ports = self.ports.lock();
        if let Some(usage) = ports.iter().find(|usage| usage.port == *port) {
            if !table_version.is_empty() {
                table_version.clone_into(&mut usage.table_version.lock());
            }
            return Arc::clone(&usage.counters);
        }
        let counters = Arc::new(Counters::default());
        let (product_version, table_version) = (product_version.to_owned(), Mutex::new(table_version.to_owned()));
        ports.push(PortUsage { port: port.clone(), product_version, table_version, counters: Arc::clone(&counters) });
        counters
    }

    fn readings(&self) -> Vec<Reading> {
        self.ports.lock().iter().map(|usage| usage.counters.reading()).collect()
    }

    fn reading(&self) -> Reading {
        self.readings().iter().fold(Reading::default(), |sum, reading| sum.plus(reading))
    }

    fn end(&self, end: End, waiter: Option<oneshot::Sender<Settled>>) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Running) {
            *phase = Phase::Ended(end, waiter);
        }
        // Else the journal was closed under the query: the waiter is dropped and the caller hears that nothing was written for it.
    }

    /// Writes it as it stands, because nobody can wait any longer. What is read after this becomes a row of its own.
    pub(super) fn seal(&self) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Sealed(_)) {
            return;
        }
        let readings = self.readings();
        let (settlement, waiter) = self.settlement(std::mem::take(&mut *phase), &readings);
        let held = self.held_for(&settlement);
        self.link.settle(settlement, held, waiter);
        *phase = Phase::Sealed(readings);
    }

    /// How it stands, for the progress records; `None` where it is written already.
    pub(super) fn progress(&self) -> Option<Settlement> {
        let phase = self.phase.lock();
        if matches!(*phase, Phase::Sealed(_)) {
            return None;
        }
        let end = self.end_as(Outcome::Crashed);
        Some(self.record(end, &self.readings()))
    }

    /// What it holds of all purses: the journal exchanges it for what it is charged.
    fn held(&self) -> Held {
        self.spending.as_ref().map(Spending::held).unwrap_or_default()
    }

    /// The same while something may still read.
    fn held_for(&self, settlement: &Settlement) -> Held {
        self.spending.as_ref().map(|spending| spending.held_for(&settlement.scanned())).unwrap_or_default()
    }

    fn end_as(&self, outcome: Outcome) -> End {
        let rows_returned = self.returned.load(Ordering::Relaxed);
        End { outcome, sqlstate: None, rows_returned, at: self.link.now(), lasted: self.begun.elapsed() }
    }

    fn settlement(&self, phase: Phase, readings: &[Reading]) -> (Settlement, Option<oneshot::Sender<Settled>>) {
        match phase {
            Phase::Ended(end, waiter) => (self.record(end, readings), waiter),
            Phase::Running | Phase::Sealed(_) => {
                let end = End { sqlstate: Some("57014"), ..self.end_as(Outcome::Cancelled) };
                (self.record(end, readings), None)
            }
        }
    }

    fn record(&self, end: End, readings: &[Reading]) -> Settlement {
        let ports = self.ports.lock();
        let records = ports.iter().zip(readings).map(|(usage, reading)| {
            PortRecord::new(&usage.port, &self.start.prices, &usage.product_version, &usage.table_version.lock(), *reading)
        });
        let ended = (end.at, end.lasted);
        Settlement::new(&self.start, ended, end.outcome, end.sqlstate, end.rows_returned, records.collect())
    }
}

impl Drop for QueryState {
    fn drop(&mut self) {
        let readings = self.readings();
        match std::mem::take(self.phase.get_mut()) {
            Phase::Sealed(written) => {
                let late: Vec<Reading> =
                    readings.iter().enumerate().map(|(i, now)| now.since(&written.get(i).copied().unwrap_or_default())).collect();
                let record = self.record(self.end_as(Outcome::Cancelled), &late);
                self.link.late(record, self.held());
            }
            phase => {
                let (settlement, waiter) = self.settlement(phase, &readings);
                self.link.settle(settlement, self.held(), waiter);
            }
        }
        self.link.leave(self.number);
    }
}

impl fmt::Debug for QueryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryState").field("query_id", &self.start.query_id).field("reading", &self.reading()).finish()
    }
}

impl Settled {
    fn into_result(self) -> Result<()> {
        match self {
            Self::Durable => Ok(()),
            Self::Lost => Err(cannot_write()),
        }
    }
}
