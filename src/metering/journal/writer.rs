//! The thread that owns the journal's connection: takes what is queued, writes it in one transaction, and answers who waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::ffi;
use tokio::sync::oneshot;

use super::entries::Charge;
use super::record::Settlement;
use super::schema::Store;
use super::{DecisionRecord, Entry, Health, Held, Link, MAX_QUEUED, Settled};

/// How often the progress of running queries is made durable: twice as often as is promised.
const SWEEP: Duration = Duration::from_millis(500);

/// Entries of one transaction.
pub(super) const MAX_BATCH: usize = 1024;

/// How long the first of a batch waits for the others that came with it last time. Whoever is answered asks again at once: without this
/// the first to come back would be flushed alone and the rest wait for two flushes instead of one.
const GATHER: Duration = Duration::from_millis(1);

/// What goes into one transaction, and who waits for it.
#[derive(Default)]
struct Batch {
    /// Of those that wait for no answer. They go first: who waits may have come after.
    quiet: Vec<(Settlement, Held)>,
    /// Of those that wait, and what was read after a settlement, in the order in which they came: what a row costs depends on those before it.
    rows: Vec<Row>,
    decisions: Vec<DecisionRecord>,
    progress: Vec<Settlement>,
    /// Usage up to this entry may go.
    forget: Option<i64>,
    waiters: Vec<oneshot::Sender<Settled>>,
    /// A scan wants its progress written.
    progress_asked: bool,
    close: Option<Option<oneshot::Sender<Settled>>>,
}

/// A settlement, or what was read after one.
struct Row {
    settlement: Settlement,
    held: Held,
    late: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        let nothing_new = self.quiet.is_empty() && self.rows.is_empty() && self.decisions.is_empty();
        nothing_new && self.progress.is_empty() && self.forget.is_none()
    }

    /// Whether it is to be written now. A batch that is full is, lest it grow without bounds.
    fn urgent(&self) -> bool {
        let calm = self.waiters.is_empty() && self.close.is_none() && !self.progress_asked;
        !calm || self.decisions.len() + self.rows.len() >= MAX_BATCH
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Settle(settlement, held, waiter) => {
                self.rows.push(Row { settlement: *settlement, held, late: false });
                self.waiters.push(waiter);
            }
            Entry::Late(settlement, held) => self.rows.push(Row { settlement: *settlement, held, late: true }),
            Entry::Decisions(records) => self.decisions.extend(records),
            Entry::Progress => self.progress_asked = true,
            Entry::Flush(done) => self.waiters.push(done),
            Entry::Forget(up_to, waiter) => {
                self.forget = Some(up_to);
                self.waiters.push(waiter);
            }
            Entry::Close(done) => {
                if let Some(Some(earlier)) = self.close.replace(done) {
                    self.waiters.push(earlier);
                }
            }
        }
    }

    fn answer(&mut self, settled: Settled) {
        for waiter in self.waiters.drain(..) {
            // Who stopped waiting does not need the answer.
            let _ = waiter.send(settled);
        }
    }
}

pub(super) struct Writer {
    store: Store,
    inbox: Receiver<Entry>,
    link: Arc<Link>,
    /// What was last written of each running query, so that one at rest costs nothing.
    written: HashMap<u64, Settlement>,
    next_sweep: Instant,
    /// How many waited for the last transaction.
    together: usize,
    /// What could not be written because the disk was full. Bounded, because nothing new is admitted meanwhile.
    backlog: Option<Batch>,
}

impl Writer {
    pub(super) fn new(store: Store, inbox: Receiver<Entry>, link: Arc<Link>) -> Self {
        Self { store, inbox, link, written: HashMap::new(), next_sweep: Instant::now() + SWEEP, together: 0, backlog: None }
    }

    pub(super) fn run(mut self) {
        loop {
            let mut batch = self.collect();
            if batch.close.is_some() {
                self.seal_all(&mut batch);
            } else {
                self.sweep(&mut batch);
            }
            batch.quiet = self.link.take_quiet();
            let closing = batch.close.take();
            self.commit(batch);
            if self.link.health() == Health::Broken {
                return self.give_up(closing);
            }
            if let Some(done) = closing {
                return self.close(done);
            }
        }
    }

    /// Waits until somebody waits, or for the next sweep, then takes whatever else is there: what queued up while the last transaction was
    /// being flushed goes into this one together. What nobody waits for is in no hurry, decisions least of all: the end of their query follows
    /// them, and two flushes for one query would make its reader wait for both.
    fn collect(&mut self) -> Batch {
        let mut batch = Batch::default();
        while !batch.urgent() {
            match self.inbox.recv_timeout(self.next_sweep.saturating_duration_since(Instant::now())) {
                Ok(entry) => self.accept(&mut batch, entry),
                Err(RecvTimeoutError::Timeout) => return batch,
                Err(RecvTimeoutError::Disconnected) => batch.close = Some(None),
            }
        }
        let gathered = Instant::now() + GATHER;
        for _ in 1..MAX_BATCH {
            let entry = match self.inbox.try_recv() {
                Ok(entry) => entry,
                Err(_) if batch.waiters.is_empty() || batch.waiters.len() >= self.together || batch.close.is_some() => break,
                Err(_) => match self.inbox.recv_timeout(gathered.saturating_duration_since(Instant::now())) {
                    Ok(entry) => entry,
                    Err(_) => break,
                },
            };
            self.accept(&mut batch, entry);
        }
        self.together = batch.waiters.len();
        batch
    }

    fn accept(&mut self, batch: &mut Batch, entry: Entry) {
        self.link.queued.fetch_sub(1, Ordering::Relaxed);
        batch.take(entry);
    }

    /// Adds the progress of running queries, when it is due or a scan asked for it.
    fn sweep(&mut self, batch: &mut Batch) {
        let asked = self.link.progress_asked.swap(false, Ordering::AcqRel);
        if !asked && Instant::now() < self.next_sweep {
            return;
        }
        self.next_sweep = Instant::now() + SWEEP;
        let running = self.link.running();
        let mut written = HashMap::with_capacity(running.len());
        for (number, state) in running {
            let Some(settlement) = state.progress() else { continue };
            let old = self.written.remove(&number);
            if old.is_none_or(|old| old.ports != settlement.ports) {
                batch.progress.push(settlement.clone());
            }
            written.insert(number, settlement);
        }
        self.written = written;
    }

    /// Ends what still runs. Their settlements come through the queue like any other.
    fn seal_all(&mut self, batch: &mut Batch) {
        self.link.set_health(Health::Closed);
        for (_, state) in self.link.running() {
            state.seal();
        }
        while let Ok(entry) = self.inbox.try_recv() {
            self.accept(batch, entry);
        }
    }

    fn commit(&mut self, mut batch: Batch) {
        if let Some(backlog) = self.backlog.take() {
            batch = merged(backlog, batch);
        }
        if batch.is_empty() {
            batch.answer(Settled::Durable);
            return;
        }
        // Before the settlements: a query may have progressed and ended within one batch, and the end must be what stays.
        let mut charges = Vec::with_capacity(batch.quiet.len() + batch.rows.len());
        let result = self.store.write(|entries| {
            batch.decisions.iter().try_for_each(|decision| entries.decision(decision))?;
            batch.progress.iter().try_for_each(|settlement| entries.progress(settlement))?;
            for (settlement, _) in &batch.quiet {
                charges.push(entries.settle(settlement)?);
            }
            for Row { settlement, late, .. } in &batch.rows {
                charges.push(if *late { entries.late(settlement)? } else { entries.settle(settlement)? });
            }
            batch.forget.map_or(Ok(()), |up_to| entries.forget(up_to))
        });
        match result {
            Ok(()) => {
                if self.link.health() == Health::Full {
                    tracing::warn!("the usage journal can be written again");
                    self.link.set_health(Health::Good);
                }
                self.exchange(&mut batch, charges);
                batch.answer(Settled::Durable);
            }
            Err(error) => self.failed(batch, &error),
        }
    }

    /// Before anybody is answered: who asks again then finds the purse as the ledger is.
    fn exchange(&self, batch: &mut Batch, charges: Vec<Charge>) {
        let settled = batch.quiet.drain(..).chain(batch.rows.drain(..).map(|row| (row.settlement, row.held)));
        for ((settlement, held), charge) in settled.zip(charges) {
            self.link.purses().settle(&settlement, held, &charge);
        }
    }

    fn failed(&mut self, mut batch: Batch, error: &rusqlite::Error) {
        let full = error.sqlite_error().is_some_and(|error| error.extended_code & 0xff == ffi::SQLITE_FULL);
        if full && self.link.health() != Health::Closed {
            if self.link.health() == Health::Good {
                tracing::error!(%error, "the usage journal cannot be written: the disk is full; no query is admitted");
            }
            self.link.set_health(Health::Full);
            batch.answer(Settled::Lost);
            batch.progress.clear();
            batch.forget = None;
            batch.rows.iter_mut().filter(|row| !row.late).for_each(|row| row.settlement.unacknowledged());
            if batch.decisions.len() > MAX_QUEUED {
                tracing::error!(lost = batch.decisions.len() - MAX_QUEUED, "decisions could not be recorded");
                batch.decisions.truncate(MAX_QUEUED);
            }
            self.backlog = Some(batch);
        } else {
            tracing::error!(%error, "the usage journal cannot be written; no query is admitted until the gateway was restarted");
            self.link.set_health(Health::Broken);
            batch.answer(Settled::Lost);
        }
    }

    /// After a failed write or flush nothing is tried again: the journal on disk is what the next start recovers.
    fn give_up(self, closing: Option<Option<oneshot::Sender<Settled>>>) {
        self.store.abandon();
        if let Some(done) = closing {
            let _ = done.map(|done| done.send(Settled::Lost));
            return;
        }
        while let Ok(entry) = self.inbox.recv() {
            self.link.queued.fetch_sub(1, Ordering::Relaxed);
            match entry {
                Entry::Settle(_, _, waiter) | Entry::Flush(waiter) | Entry::Forget(_, waiter) => {
                    let _ = waiter.send(Settled::Lost);
                }
                Entry::Close(done) => {
                    if let Some(done) = done {
                        let _ = done.send(Settled::Lost);
                    }
                    return;
                }
                Entry::Late(..) | Entry::Decisions(_) | Entry::Progress => {}
            }
        }
    }

    fn close(self, done: Option<oneshot::Sender<Settled>>) {
        let Self { store, inbox, backlog, .. } = self;
        let settled = match store.finish() {
            Ok(()) if backlog.is_none() => Settled::Durable,
            Ok(()) => Settled::Lost,
            Err(error) => {
                tracing::error!(%error, "the usage journal could not be closed; the next start recovers it");
                Settled::Lost
            }
        };
        // From here on nothing can be sent, so nobody waits for what is not going to be written.
        drop(inbox);
        if let Some(done) = done {
            let _ = done.send(settled);
        }
    }
}

fn merged(mut earlier: Batch, mut later: Batch) -> Batch {
    earlier.quiet.append(&mut later.quiet);
    earlier.rows.append(&mut later.rows);
    earlier.decisions.append(&mut later.decisions);
    earlier.progress.append(&mut later.progress);
    earlier.waiters.append(&mut later.waiters);
    earlier
}
