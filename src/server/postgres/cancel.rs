//! Ending what runs: CancelRequests that come by another connection, timeouts, clients that vanish, and the gateway's own end.
//!
//! [`Running`] is one statement (or portal) at work. Everything that it waits for goes through [`Running::wait`], so that planning,
//! reading, encoding and writing all end at once and what they held is freed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorKind, Fault};

/// The length of a key in protocol 3.2.
const LONG_KEY: usize = 32;
/// The length of a key in protocol 3.0.
const SHORT_KEY: usize = 4;

/// The connections that can be told to cancel.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<HashMap<i32, Arc<Slot>>>>);

/// What the registry knows of a connection.
#[derive(Debug)]
struct Slot {
    key: Vec<u8>,
    running: Mutex<Option<CancellationToken>>,
}

/// A connection's place in the registry. Dropping it frees the place.
#[derive(Debug)]
pub struct Registration {
    registry: Registry,
    slot: Arc<Slot>,
    pid: i32,
}

impl Registry {
    /// Takes a place under a number and key that nobody can guess.
    pub fn register(&self, long_key: bool) -> Registration {
        let key: Vec<u8> = {
            let random: [u8; LONG_KEY] = rand::random();
            random.into_iter().take(if long_key { LONG_KEY } else { SHORT_KEY }).collect()
        };
        let slot = Arc::new(Slot { key, running: Mutex::new(None) });
        let mut slots = self.0.lock();
        loop {
            // Positive, because some clients print it as unsigned and others as signed.
            let pid = (rand::random::<u32>() >> 1).cast_signed().max(1);
            if let std::collections::hash_map::Entry::Vacant(place) = slots.entry(pid) {
                place.insert(Arc::clone(&slot));
                return Registration { registry: self.clone(), slot, pid };
            }
        }
    }

    /// Cancels what the connection runs, where the key is right. Says nothing, and does the same work for a wrong number as for a wrong
    /// key.
    pub fn cancel(&self, pid: i32, key: &[u8]) {
        let slot = self.0.lock().get(&pid).map(Arc::clone);
        let expected: &[u8] = slot.as_ref().map_or(&[0; LONG_KEY], |slot| &slot.key);
        let matches = bool::from(expected.ct_eq(key));
        if let Some(slot) = slot.filter(|_| matches)
            && let Some(running) = slot.running.lock().take()
        {
            running.cancel();
        }
    }
}

impl Registration {
    /// The number that the client is told.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The key that the client is told.
    pub fn key(&self) -> &[u8] {
        &self.slot.key
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.0.lock().remove(&self.pid);
    }
}

/// What ends a connection from outside its statements.
#[derive(Debug, Clone)]
pub struct Signals {
    /// The client is gone.
    pub gone: CancellationToken,
    /// The gateway waits no longer.
    pub ending: CancellationToken,
}

/// Why something ended that was not done.
#[derive(Debug)]
pub enum Halt {
    /// The statement failed.
    Fault(Box<Fault>),
    /// The connection ends after the client was told.
    Fatal(Box<Fault>),
    /// The client is gone.
    Gone,
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl From<crate::values::Unwritable> for Halt {
    fn from(value: crate::values::Unwritable) -> Self {
        Fault::from(value).into()
    }
}

impl From<std::io::Error> for Halt {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// One statement or portal at work. Dropping it cancels the query.
#[derive(Debug)]
pub struct Running {
    /// For the pipeline: cancelled when the query must end.
    query: CancellationToken,
    /// Cancelled by the reader.
    asked: CancellationToken,
    deadline: Option<(Duration, Instant)>,
    signals: Signals,
}

impl Running {
    /// Begins now. A zero timeout is none.
    pub fn begin(signals: &Signals, timeout: Duration) -> Self {
        let mut running =
            Self { query: CancellationToken::new(), asked: CancellationToken::new(), deadline: None, signals: signals.clone() };
        running.restart(timeout);
        running
    }

    /// Starts the clock again, for the next part of a portal.
    pub fn restart(&mut self, timeout: Duration) {
        self.deadline = Some(timeout).filter(|timeout| !timeout.is_zero()).map(|timeout| (timeout, Instant::now()));
    }

    /// The token that the pipeline listens to.
    pub fn token(&self) -> CancellationToken {
        self.query.clone()
    }

    /// Lets CancelRequests reach this until the guard is dropped.
    pub fn listen<'a>(&self, registration: &'a Registration) -> Listening<'a> {
        *registration.slot.running.lock() = Some(self.asked.clone());
        Listening(registration)
    }

    /// Waits for `work`, or for what ends it earlier. Then the query is cancelled and `work` is dropped.
    pub async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        let timeout = async {
            match self.deadline {
                Some((timeout, since)) => tokio::time::sleep_until(since + timeout).await,
                None => std::future::pending().await,
            }
        };
        let halt = tokio::select! {
            biased;
            () = self.signals.gone.cancelled() => Halt::Gone,
            () = self.signals.ending.cancelled() => Halt::Fatal(Box::new(shutting_down())),
            () = self.asked.cancelled() => Fault::new(ErrorKind::Cancelled, "canceling statement due to user request").into(),
            () = timeout => Fault::new(ErrorKind::Cancelled, "canceling statement due to statement timeout").into(),
            done = work => return Ok(done),
        };
        self.query.cancel();
        Err(halt)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.query.cancel();
    }
}

/// While this lives, a CancelRequest ends the statement.
#[derive(Debug)]
pub struct Listening<'a>(&'a Registration);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        *self.0.slot.running.lock() = None;
    }
}

/// What a client is told when the gateway goes down.
pub fn shutting_down() -> Fault {
    Fault::new(ErrorKind::ShuttingDown, "terminating connection due to administrator command")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals() -> Signals {
        Signals { gone: CancellationToken::new(), ending: CancellationToken::new() }
    }

    fn message(halt: Halt) -> String {
        match halt {
            Halt::Fault(fault) => format!("{} {}", fault.sqlstate(), fault.message()),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_right_key_cancels_and_a_wrong_one_does_nothing() {
        let registry = Registry::default();
        let registration = registry.register(true);
        let running = Running::begin(&signals(), Duration::ZERO);
        let _listening = running.listen(&registration);
        registry.cancel(registration.pid(), &[0; 32]);
        registry.cancel(registration.pid(), &registration.key()[..31]);
        registry.cancel(registration.pid().wrapping_add(1), registration.key());
        assert_eq!(running.wait(async { 1 }).await.unwrap(), 1);
        registry.cancel(registration.pid(), registration.key());
        let halt = running.wait(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(message(halt), "57014 canceling statement due to user request");
        assert!(running.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_cancel_between_statements_does_not_hit_the_next_one() {
        let registry = Registry::default();
        let registration = registry.register(false);
        assert_eq!(registration.key().len(), 4);
        drop(Running::begin(&signals(), Duration::ZERO).listen(&registration));
        registry.cancel(registration.pid(), registration.key());
        let next = Running::begin(&signals(), Duration::ZERO);
        let _listening = next.listen(&registration);
        assert!(next.wait(async {}).await.is_ok());
    }

    #[test]
    fn a_connection_that_ended_is_forgotten() {
        let registry = Registry::default();
        drop(registry.register(true));
        assert!(registry.0.lock().is_empty());
    }

    #[tokio::test]
    async fn the_timeout_covers_all_waits_together() {
        let running = Running::begin(&signals(), Duration::from_millis(300));
        running.wait(tokio::time::sleep(Duration::from_millis(10))).await.unwrap();
        let halt = running.wait(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(message(halt), "57014 canceling statement due to statement timeout");
        assert!(running.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_everything() {
        let signals = signals();
        let running = Running::begin(&signals, Duration::ZERO);
        signals.gone.cancel();
        assert!(matches!(running.wait(std::future::pending::<()>()).await, Err(Halt::Gone)));
    }
}
