//! The ledger of record: SQLite in write-ahead mode with full synchronisation, one writer thread, group commit.
//!
//! Queries talk to the writer over a channel and never touch the database. The writer takes everything that is queued, writes it in one
//! transaction, and tells those who wait once the commit is on disk: one flush serves them all. A query that has only begun writes
//! nothing; its state becomes a row of `open` with the first progress, and that row gives way to the final ones when it is settled, in one
//! transaction. So after a crash whatever is left in `open` is what was not settled.
//!
//! Reading is elsewhere (`ledger`), over connections of its own.

mod before;
mod books;
mod entries;
mod record;
mod schema;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use super::account::{Account, QueryState};
use super::budget::{Held, Purses};
use super::{DecisionRecord, QueryStart};
use crate::clock::Clock;
use crate::error::{ErrorKind, Fault, Result};

pub(super) use books::Books;
pub(super) use entries::Charge;
pub(super) use record::{PortRecord, Settlement};
pub(super) use schema::VERSION;

/// Progress of a port is made durable whenever so many more bytes were read.
pub(super) const PROGRESS_BYTES: u64 = 64 << 20;

/// The journal's file within the state folder.
pub(super) const FILE: &str = "journal.sqlite";

/// Records that may wait for the writer. Past it the disk does not keep up, and no query is admitted.
const MAX_QUEUED: usize = 100_000;

/// The ledger of this gateway: SQLite, one writer thread, group commit. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    link: Arc<Link>,
    path: PathBuf,
    gateway_id: String,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or makes the journal in `folder`, checks it, and settles what an earlier process left unfinished as `crashed`.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self> {
        let store = schema::Store::open(folder, clock.now())?;
        Self::over(store, folder, clock)
    }

    /// Starts the writer.
    fn over(store: schema::Store, folder: &Path, clock: Clock) -> Result<Self> {
        let (queue, inbox) = channel();
        let unreadable = |error| cannot_write().with_source(error);
        let purses = Purses::new(store.spent(clock.now()).map_err(unreadable)?);
        purses.correct(store.corrected(clock.now()).map_err(unreadable)?);
        let link = Arc::new(Link::new(queue, clock, Arc::new(purses)));
        let gateway_id = store.gateway_id().to_owned();
        let writer = writer::Writer::new(store, inbox, Arc::clone(&link));
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run()).map_err(Fault::internal)?;
        Ok(Self(Arc::new(Handle { link, path: folder.join(FILE), gateway_id, thread: Mutex::new(Some(thread)) })))
    }

    /// Whether it can be written. Where not, no query is admitted.
    pub fn is_writable(&self) -> bool {
        self.0.link.is_writable()
    }

    /// This gateway's id in the ledger.
    pub fn gateway_id(&self) -> &str {
        &self.0.gateway_id
    }

    /// Opens the account of a query that was admitted. Touches no disk.
    pub fn begin(&self, start: QueryStart) -> Result<Account> {
        if !self.is_writable() || self.0.link.queued.load(Ordering::Relaxed) > MAX_QUEUED {
            return Err(cannot_write());
        }
        Ok(Account::open(start, Arc::clone(&self.0.link)))
    }

    /// Records decisions. Durable no later than the query's settlement.
    pub fn decisions(&self, records: Vec<DecisionRecord>) {
        self.0.link.decisions(records);
    }

    /// Waits until everything that was sent to it before is on disk, or cannot be. Blocks the thread.
    pub(crate) fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.0.link.send(Entry::Flush(done));
        // Unconstrained: within a task that has used up its turn the channel would say for ever that there is nothing in it yet. What cannot be
        // written is told to those whose it is.
        let _ = futures::executor::block_on(unconstrained(flushed));
    }

    /// Takes rows of usage out, up to an entry: some of them, and never the newest row. They must be somewhere else by then. Durable when it answers.
    pub(super) async fn forget(&self, up_to: i64) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.0.link.send(Entry::Forget(up_to, done));
        match answer.await {
            Ok(Settled::Durable) => Ok(()),
            _ => Err(cannot_write()),
        }
    }

    /// What is spent, scanned and held.
    pub(super) fn purses(&self) -> &Arc<Purses> {
        self.0.link.purses()
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The time, by the clock that the journal was opened with.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.link.now()
    }

    /// Writes out what is pending and stops the writer. Queries that still run are settled as `cancelled` with what they have read.
    pub async fn close(&self) -> Result<()> {
        let (done, closed) = oneshot::channel();
        self.0.link.send(Entry::Close(Some(done)));
        let answer = closed.await;
        if let Some(thread) = self.0.thread.lock().take() {
            // The writer answers last, so this does not wait.
            let _ = thread.join();
        }
        match (answer, self.0.link.health()) {
            (Ok(Settled::Durable), _) | (Err(_), Health::Closed) => Ok(()),
            _ => Err(cannot_write()),
        }
    }
}

impl Drop for Handle {
    /// Without [`Journal::close`] the writer still writes out what was queued before it stops.
    fn drop(&mut self) {
        self.link.send(Entry::Close(None));
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("gateway_id", &self.0.gateway_id).field("health", &self.0.link.health()).finish()
    }
}

/// The fault of everything that needs a journal that cannot be written.
pub(super) fn cannot_write() -> Fault {
    Fault::new(ErrorKind::Storage, "the usage journal cannot be written")
        .with_detail("No query is run that could not be accounted for.")
        .with_hint("Ask the gateway's operator to look at the state folder.")
}

/// Whether something is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Durable,
    Lost,
}

/// Whether the journal can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// Yes.
    Good,
    /// Not now: the disk is full. It is tried again.
    Full,
    /// Not any more: a write or a flush failed, and what the disk holds is not known.
    Broken,
    /// It was closed.
    Closed,
}

/// One thing for the writer to do.
enum Entry {
    Settle(Box<Settlement>, Held, oneshot::Sender<Settled>),
    Late(Box<Settlement>, Held),
    Decisions(Vec<DecisionRecord>),
    Progress,
    Flush(oneshot::Sender<Settled>),
    Forget(i64, oneshot::Sender<Settled>),
    Close(Option<oneshot::Sender<Settled>>),
}

/// What the writer and everybody else share.
pub(super) struct Link {
    queue: Sender<Entry>,
    queued: AtomicUsize,
    clock: Clock,
    health: AtomicU8,
    numbers: AtomicU64,
    progress_asked: AtomicBool,
    running: Mutex<HashMap<u64, Weak<QueryState>>>,
    /// Settlements that nobody waits for. The writer takes them when it is awake anyway.
    quiet: Mutex<Vec<(Settlement, Held)>>,
    purses: Arc<Purses>,
}

impl Link {
    fn new(queue: Sender<Entry>, clock: Clock, purses: Arc<Purses>) -> Self {
        Self {
            queue,
            queued: AtomicUsize::new(0),
            clock,
            health: AtomicU8::new(Health::Good as u8),
            numbers: AtomicU64::new(0),
            progress_asked: AtomicBool::new(false),
            running: Mutex::default(),
            quiet: Mutex::default(),
            purses,
        }
    }

    pub(super) fn purses(&self) -> &Arc<Purses> {
        &self.purses
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn enter(&self, number: u64, state: &Arc<QueryState>) {
        self.running.lock().insert(number, Arc::downgrade(state));
    }

    pub(super) fn leave(&self, number: u64) {
        self.running.lock().remove(&number);
    }

    pub(super) fn settle(&self, settlement: Settlement, held: Held, waiter: Option<oneshot::Sender<Settled>>) {
        let Some(waiter) = waiter else { return self.settle_quietly(settlement, held) };
        self.send(Entry::Settle(Box::new(settlement), held, waiter));
    }

    fn settle_quietly(&self, settlement: Settlement, held: Held) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        let mut quiet = self.quiet.lock();
        quiet.push((settlement, held));
        let many = quiet.len() >= writer::MAX_BATCH;
        drop(quiet);
        if many {
            self.ask_for_progress();
        }
    }

    fn take_quiet(&self) -> Vec<(Settlement, Held)> {
        let quiet = std::mem::take(&mut *self.quiet.lock());
        self.queued.fetch_sub(quiet.len(), Ordering::Relaxed);
        quiet
    }

    pub(super) fn decisions(&self, records: Vec<DecisionRecord>) {
        if !records.is_empty() {
            self.send(Entry::Decisions(records));
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.health() == Health::Good
    }

    /// What was read after the settlement, which may be nothing.
    pub(super) fn late(&self, settlement: Settlement, held: Held) {
        if settlement.has_read() || !held.is_empty() {
            self.send(Entry::Late(Box::new(settlement), held));
        }
    }

    /// Wakes the writer to record progress, once however many ask.
    pub(super) fn ask_for_progress(&self) {
        if !self.progress_asked.swap(true, Ordering::AcqRel) {
            self.send(Entry::Progress);
        }
    }

    fn send(&self, entry: Entry) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if self.queue.send(entry).is_err() {
            // The writer is gone. Waiters hear of it, because their end of the channel was just dropped.
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Everything that runs, alive for the caller. The lock is not held when the last handle of one of them goes.
    fn running(&self) -> Vec<(u64, Arc<QueryState>)> {
        self.running.lock().iter().filter_map(|(number, state)| Some((*number, state.upgrade()?))).collect()
    }

    fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Good,
            1 => Health::Full,
            2 => Health::Broken,
            _ => Health::Closed,
        }
    }

    fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
