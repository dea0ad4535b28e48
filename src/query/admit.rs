//! Admission: how many queries of one consumer domain run at once, how many may wait, and how much memory each may take.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use datafusion::common::{Result as EngineResult, resources_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, PollSemaphore};

use crate::error::{ErrorKind, Fault, Result};
use crate::id::DomainName;

use super::execute::cancelled;

/// The queues of all consumer domains.
#[derive(Debug, Default)]
pub(crate) struct Admission(Mutex<HashMap<DomainName, Arc<Lane>>>);

/// One consumer domain's queue.
#[derive(Debug)]
struct Lane {
    width: usize,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to run, until it is dropped. It can be lent to others meanwhile.
#[derive(Debug)]
#[must_use]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    lane: PollSemaphore,
}

impl Slot {
    /// Lets others run until [`Slot::poll_ready`].
    pub(crate) fn rest(&mut self) {
        self.permit = None;
    }

    /// Waits for the right again where it was lent. There is no queue to be refused at: the query was let in.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.permit.is_none() {
            self.permit = ready!(self.lane.poll_acquire(cx));
        }
        Poll::Ready(())
    }
}

impl Admission {
    /// Waits for one of `width` slots of the domain behind at most `queue` others.
    pub(crate) async fn enter(&self, domain: &DomainName, width: usize, queue: usize, cancel: &CancellationToken) -> Result<Slot> {
        let lane = self.lane(domain, width);
        if let Ok(permit) = Arc::clone(&lane.slots).try_acquire_owned() {
            return Ok(lane.slot(permit));
        }
        let waiting = Waiting::begin(&lane.waiting);
        if waiting.before >= queue {
            return Err(Fault::new(ErrorKind::TooManyConnections, format!("too many queries of domain \"{domain}\" are waiting"))
                .with_detail(format!("{width} queries of the domain may run at once, and {queue} may wait."))
                .with_hint("Try again later, or ask for a higher concurrency in the domain's limits."));
        }
        tokio::select! {
            permit = Arc::clone(&lane.slots).acquire_owned() => permit.map(|permit| lane.slot(permit)).map_err(Fault::internal),
            () = cancel.cancelled() => Err(cancelled()),
        }
    }

    /// The domain's lane. A changed width opens a new one: queries in the old one finish there.
    fn lane(&self, domain: &DomainName, width: usize) -> Arc<Lane> {
        let width = width.max(1);
        let mut lanes = self.0.lock();
        let lane = lanes.entry(domain.clone()).or_insert_with(|| Lane::new(width));
        if lane.width != width {
            *lane = Lane::new(width);
        }
        Arc::clone(lane)
    }
}

impl Lane {
    fn new(width: usize) -> Arc<Self> {
        Arc::new(Self { width, slots: Arc::new(Semaphore::new(width)), waiting: AtomicUsize::new(0) })
    }

    fn slot(&self, permit: OwnedSemaphorePermit) -> Slot {
        Slot { permit: Some(permit), lane: PollSemaphore::new(Arc::clone(&self.slots)) }
    }
}

/// Counts one that waits, also when it gives up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The memory of consumer domains that have a limit: that of all their queries together.
#[derive(Debug, Default)]
pub(crate) struct DomainPools(Mutex<HashMap<DomainName, Arc<Share>>>);

impl DomainPools {
    /// A domain's, within the pool of all. A changed limit opens a new one: queries in the old one finish there.
    pub(crate) fn of(&self, domain: &DomainName, limit: u64, shared: &Arc<dyn MemoryPool>) -> Arc<Share> {
        let new = || Arc::new(Share::new(Arc::clone(shared), limit, "domain's"));
        let mut pools = self.0.lock();
        let pool = pools.entry(domain.clone()).or_insert_with(new);
        if pool.memory_limit_bytes() != limit {
            *pool = new();
        }
        Arc::clone(pool)
    }
}

/// A share of the gateway's memory, of one query or of one domain: a limit of its own within a larger pool.
pub(crate) struct Share {
    whose: &'static str,
    shared: Arc<dyn MemoryPool>,
    limit: usize,
    used: AtomicUsize,
}

impl Share {
    /// `whose` is for the message: "query's".
    pub(crate) fn new(shared: Arc<dyn MemoryPool>, limit: u64, whose: &'static str) -> Self {
        Self { whose, shared, limit: usize::try_from(limit).unwrap_or(usize::MAX), used: AtomicUsize::new(0) }
    }

    fn memory_limit_bytes(&self) -> u64 {
        self.limit as u64
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.shared.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> EngineResult<()> {
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        let result = if used > self.limit {
            Err(resources_datafusion_err!("the {} memory limit of {} bytes is reached", self.whose, self.limit))
        } else {
            self.shared.try_grow(reservation, additional)
        };
        if result.is_err() {
            self.used.fetch_sub(additional, Ordering::Relaxed);
        }
        result
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} {} of {})", self.whose, self.reserved(), self.limit)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[tokio::test]
    async fn d4_a_full_lane_waits_a_full_queue_refuses_and_other_domains_pass() {
        let admission = Arc::new(Admission::default());
        let (claims, policy) = (DomainName::new("claims").unwrap(), DomainName::new("policy").unwrap());
        let cancel = CancellationToken::new();
        let running = admission.enter(&claims, 1, 1, &cancel).await.unwrap();
        let waiting = tokio::spawn({
            let (admission, claims, cancel) = (Arc::clone(&admission), claims.clone(), cancel.clone());
            async move { admission.enter(&claims, 1, 1, &cancel).await }
        });
        while admission.lane(&claims, 1).waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.enter(&claims, 1, 1, &cancel).await.unwrap_err().sqlstate(), "53300");
        let _other = admission.enter(&policy, 1, 1, &cancel).await.unwrap();
        drop(running);
        let _admitted = waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_slot_that_rests_is_for_others_until_it_is_wanted_again() {
        let admission = Admission::default();
        let claims = DomainName::new("claims").unwrap();
        let cancel = CancellationToken::new();
        let mut idle = admission.enter(&claims, 1, 0, &cancel).await.unwrap();
        idle.rest();
        let other = admission.enter(&claims, 1, 0, &cancel).await.unwrap();
        let mut again = std::pin::pin!(std::future::poll_fn(|cx| idle.poll_ready(cx)));
        assert!(futures::poll!(again.as_mut()).is_pending());
        drop(other);
        again.await;
        assert_eq!(admission.enter(&claims, 1, 0, &cancel).await.unwrap_err().sqlstate(), "53300");
    }

    #[test]
    fn the_queries_of_a_domain_have_its_memory_together_and_others_have_theirs() {
        let shared: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
        let pools = DomainPools::default();
        let (claims, policy) = (DomainName::new("claims").unwrap(), DomainName::new("policy").unwrap());
        let query = |domain: &DomainName| -> Arc<dyn MemoryPool> { Arc::new(Share::new(pools.of(domain, 300, &shared), 200, "query's")) };
        let take = |pool: &Arc<dyn MemoryPool>| MemoryConsumer::new("sort").register(pool);
        let (one, two, other) = (query(&claims), query(&claims), query(&policy));
        let (first, second, third) = (take(&one), take(&two), take(&other));
        first.try_grow(200).unwrap();
        assert!(first.try_grow(1).unwrap_err().to_string().contains("query's memory limit of 200 bytes"));
        assert!(second.try_grow(101).unwrap_err().to_string().contains("domain's memory limit of 300 bytes"));
        second.try_grow(100).unwrap();
        third.try_grow(200).unwrap();
        first.free();
        second.try_grow(100).unwrap();
    }

    #[tokio::test]
    async fn a_waiting_query_can_be_cancelled() {
        let admission = Admission::default();
        let claims = DomainName::new("claims").unwrap();
        let cancel = CancellationToken::new();
        let _running = admission.enter(&claims, 1, 5, &cancel).await.unwrap();
        cancel.cancel();
        assert_eq!(admission.enter(&claims, 1, 5, &cancel).await.unwrap_err().sqlstate(), "57014");
    }
}
