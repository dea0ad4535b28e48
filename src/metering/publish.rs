//! The published ledger: the journal's usage as a Delta table that any reader of Delta can read, each row exactly once.
//!
//! Every so often, on a thread of its own, so that no query waits for it: what the table does not have yet is appended (`table`), what it has of
//! others is taken into the copy that the finance views read (`mirror`), small files are joined, and what is old enough leaves the journal.
//! Nothing is remembered between two rounds but what the table, the journal and the copy say themselves. So a round may end anywhere, by an
//! error or with the process, and the next one goes on from there. `docs/decisions/0010-the-published-ledger.md` says why it is this way.

mod mirror;
mod sorted;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::TryStreamExt;
use object_store::ObjectStore;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::mirror::{Mirror, SUMMARY, Summary};
use self::table::{DataFile, PublishedTable};
use super::Journal;
use super::ledger::{Ledger, Walk, published};
use crate::error::{ErrorKind, Fault, Result};
use crate::telemetry::{Metrics, explain};

/// Rows of one append: a file of a few megabytes, and what is held of it in memory.
const CHUNK: usize = 200_000;

/// After a failure it is tried again so soon, then in twice the time, and so on up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// How long a gateway that stops waits for the last rows to be published. The next start publishes what is left.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// How long it is waited for after that.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Rows leave the journal a day's worth at a time.
const STEP: TimeDelta = TimeDelta::days(1);

/// The stack of the thread: plans that join files are walked by recursion.
const STACK_BYTES: usize = 8 << 20;

/// The rows of this gateway, in a walk over all usage.
const OWN: &str = "gateway_id = (SELECT gateway_id FROM main.gateway)";

/// How usage is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The time between two rounds.
    pub every: Duration,
    /// How long published rows stay in the journal; `None` is for good.
    pub keep: Option<Duration>,
}

/// Publishes the usage of one journal.
pub struct Publisher {
    journal: Journal,
    ledger: Ledger,
    mirror: Mirror,
    store: Arc<dyn ObjectStore>,
    rhythm: Rhythm,
    metrics: Metrics,
    /// The table as the last round left it; nothing after a failure.
    table: Option<PublishedTable>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("rhythm", &self.rhythm).finish_non_exhaustive()
    }
}

impl Publisher {
    /// One that publishes to the root of `store`. Touches the state folder, and the store not yet.
    pub fn new(journal: &Journal, store: Arc<dyn ObjectStore>, rhythm: Rhythm, metrics: Metrics) -> Result<Self> {
        let state = journal.path().parent().unwrap_or(Path::new(""));
        let mirror = Mirror::open(state, journal.gateway_id())?;
        let ledger = Ledger::of(journal);
        Ok(Self { journal: journal.clone(), ledger, mirror, store, rhythm, metrics, table: None })
    }

    /// Starts it on a thread of its own.
    pub fn start(self) -> io::Result<Publishing> {
        let stop = CancellationToken::new();
        let (ends, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ledger-io")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        let stopped = stop.clone();
        std::thread::Builder::new().name("ledger".into()).stack_size(STACK_BYTES).spawn(move || {
            runtime.block_on(self.run(stopped));
            // A storage that does not answer is not waited for.
            runtime.shutdown_timeout(LAST_WORDS / 2);
            // Nobody may wait for it.
            let _ = ends.send(());
        })?;
        Ok(Publishing { stop: stop.drop_guard(), ended })
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        loop {
            let round = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                round = self.round() => round,
            };
            let pause = self.told(round, &mut failures);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        match tokio::time::timeout(LAST_ROUND, self.publish()).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(reason = explain(&fault), "the last usage was not published; the next start does it"),
            Err(_) => tracing::warn!("the last usage was not published in time; the next start does it"),
        }
    }

    /// Tells how a round went, and how long to wait for the next one.
    fn told(&mut self, round: Result<()>, failures: &mut u32) -> Duration {
        match round {
            Ok(()) => {
                if std::mem::take(failures) > 0 {
                    tracing::info!("usage is published again");
                }
                self.metrics.ledger_round(self.journal.now());
                self.rhythm.every
            }
            Err(fault) => {
                self.table = None;
                self.metrics.ledger_failed();
                let pause = MIN_PAUSE.saturating_mul(2_u32.saturating_pow(*failures)).min(MAX_PAUSE.max(self.rhythm.every));
                *failures = failures.saturating_add(1);
                tracing::warn!(reason = explain(&fault), retry_in = ?pause, "usage could not be published; nothing is lost by that");
                pause
            }
        }
    }

    /// One round.
    async fn round(&mut self) -> Result<()> {
        self.publish().await?;
        // A round that fails after this begins anew.
        let Some(mut table) = self.table.take() else { return Ok(()) };
        self.follow(&table).await?;
        table.compact(self.journal.gateway_id()).await?;
        self.retire(&table).await?;
        self.table = Some(table);
        Ok(())
    }

    /// Appends what the table does not have of this gateway.
    async fn publish(&mut self) -> Result<()> {
        let own = self.journal.gateway_id().to_owned();
        let mut table = match self.table.take() {
            Some(mut table) => {
                table.refresh().await?;
                table
            }
            None => PublishedTable::open(&self.store).await?,
        };
        loop {
            let exported = table.exported(&own).await?;
            let mut walk = Walk::begin(&self.ledger, published(), "usage", OWN, Vec::new())?.behind(exported);
            if walk.last() < exported {
                return Err(Fault::new(
                    ErrorKind::Storage,
                    "the published ledger has usage of this gateway that its journal does not have",
                )
                .with_hint("Was the state folder restored from a backup? Nothing is published until it has the journal of before."));
            }
            self.metrics.ledger_waiting(walk.last().saturating_sub(exported));
            let mut rows = 0;
            let files = table.write(|| match rows {
                CHUNK.. => Ok(None),
                _ => {
                    let page = walk.page()?;
                    rows += page.as_ref().map_or(0, arrow::array::RecordBatch::num_rows);
                    Ok(page)
                }
            });
            let files = files.await?;
            if rows == 0 {
                self.table = Some(table);
                return Ok(());
            }
            table.append(files, &own, walk.at()).await?;
            self.metrics.ledger_exported(rows as u64);
        }
    }

    /// Takes into the copy what the table has and neither it nor the journal does: other gateways' rows, and, where the copy was lost, this
    /// gateway's from before what the journal begins with.
    async fn follow(&mut self, table: &PublishedTable) -> Result<()> {
        let own = self.journal.gateway_id().to_owned();
        let kept_from = self.ledger.number("SELECT coalesce(min(entry), 1) FROM main.usage", &[])?;
        let mut gateways: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
        for file in table.files().await? {
            gateways.entry(file.gateway.clone()).or_default().push(file);
        }
        for (gateway, files) in gateways {
            let up_to = if gateway == own { kept_from - 1 } else { i64::MAX };
            self.take(table, &gateway, files, up_to).await?;
        }
        Ok(())
    }

    /// Takes into the copy what it lacks of a gateway, up to an entry.
    async fn take(&mut self, table: &PublishedTable, gateway: &str, files: Vec<DataFile>, up_to: i64) -> Result<()> {
        let newest = self.mirror.newest(gateway);
        let wanted = |file: &&DataFile| file.last.is_none_or(|last| last > newest) && file.first.is_none_or(|first| first <= up_to);
        let files: Vec<&DataFile> = files.iter().filter(wanted).collect();
        if newest >= up_to || files.is_empty() {
            return Ok(());
        }
        let mut taking = self.mirror.begin(gateway, up_to)?;
        for file in files {
            let mut rows = table.read(file).await?;
            while let Some(batch) = rows.try_next().await? {
                taking.take(&batch)?;
            }
        }
        taking.commit()?;
        Ok(())
    }

    /// Takes out of the journal what is older than it is to be kept. It is read back from the table first, into the copy, and compared.
    async fn retire(&mut self, table: &PublishedTable) -> Result<()> {
        let Some(keep) = self.rhythm.keep.and_then(|keep| TimeDelta::from_std(keep).ok()) else { return Ok(()) };
        let micros = |age: TimeDelta| self.journal.now().checked_sub_signed(age).map_or(i64::MIN, |at| at.timestamp_micros());
        const FIRST: &str = "SELECT coalesce(min(entry), 1) FROM main.usage";
        // The entry before the first one that is to be kept. The newest is always: the next one is numbered after it.
        const OLD: &str = "SELECT coalesce((SELECT entry FROM main.usage WHERE started_at >= ?1 ORDER BY entry LIMIT 1),
            (SELECT max(entry) FROM main.usage), 1) - 1";
        let from = self.ledger.number(FIRST, &[])?;
        if self.ledger.number(OLD, &[micros(keep + STEP)])? < from {
            return Ok(());
        }
        let own = self.journal.gateway_id().to_owned();
        let to = self.ledger.number(OLD, &[micros(keep)])?.min(table.exported(&own).await?);
        let files = table.files().await?.into_iter().filter(|file| file.gateway == own).collect();
        self.take(table, &own, files, to).await?;
        let here: Summary =
            self.ledger.row(&format!("SELECT {SUMMARY} FROM main.usage WHERE entry BETWEEN ?1 AND ?2"), &[from, to], Summary::of)?;
        if here != self.mirror.summary(from, to)? {
            return Err(Fault::new(ErrorKind::Storage, "the published ledger differs from the journal")
                .with_detail(format!("No usage is taken out of the journal. The entries from {from} to {to} were compared.")));
        }
        while self.ledger.number(FIRST, &[])? <= to {
            self.journal.forget(to).await?;
        }
        tracing::info!(rows = here.rows, "usage that is published and old has left the journal");
        Ok(())
    }
}

/// A publisher that runs. Dropped, it stops by itself.
#[derive(Debug)]
pub struct Publishing {
    stop: DropGuard,
    ended: oneshot::Receiver<()>,
}

impl Publishing {
    /// Publishes what is left, within a few seconds, and stops.
    pub async fn finish(self) {
        drop(self.stop);
        // It bounds its time itself, but for a call below it that holds its thread. An error is that it has ended already.
        let _ = tokio::time::timeout(LAST_ROUND + LAST_WORDS, self.ended).await;
    }
}

#[cfg(test)]
mod tests;
