//! Which results are being sent, so that CancelFlightInfo can end them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::sealed::Nonce;

/// The results under way, by the nonce of their ticket. One ticket may be in use more than once.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    streams: Arc<Mutex<BTreeMap<(Nonce, u64), CancellationToken>>>,
    next: Arc<AtomicU64>,
}

impl Running {
    /// Lists a result until the guard is dropped.
    pub(super) fn enter(&self, nonce: Nonce, cancel: CancellationToken) -> RunningGuard {
        let key = (nonce, self.next.fetch_add(1, Ordering::Relaxed));
        self.streams.lock().insert(key, cancel);
        RunningGuard { running: self.clone(), key }
    }

    /// Cancels all results under way for a ticket; whether there were any.
    pub(super) fn cancel(&self, nonce: Nonce) -> bool {
        let streams = self.streams.lock();
        let mut found = false;
        for (_, cancel) in streams.range((nonce, 0)..=(nonce, u64::MAX)) {
            cancel.cancel();
            found = true;
        }
        found
    }
}

/// A result under way.
#[derive(Debug)]
pub(super) struct RunningGuard {
    running: Running,
    key: (Nonce, u64),
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.streams.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_cancels_its_own_results_only_and_only_while_they_run() {
        let running = Running::default();
        let (mine, again, other) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let guard = running.enter(Nonce([1; 16]), mine.clone());
        let _again = running.enter(Nonce([1; 16]), again.clone());
        let _other = running.enter(Nonce([2; 16]), other.clone());
        drop(guard);
        assert!(running.cancel(Nonce([1; 16])));
        assert!(!mine.is_cancelled() && again.is_cancelled() && !other.is_cancelled());
        assert!(!running.cancel(Nonce([3; 16])));
        assert_eq!(running.streams.lock().len(), 2);
    }
}
