//! An issuer's public keys at an address of its own.
//!
//! The address is the configuration's and never a token's. It is asked every so often, and sooner when a token names a key that is not there;
//! but not again right after an answer, so that whoever sends tokens with made-up keys cannot have it asked at will. What an answer lacks
//! is lacking until the next one.

use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use url::Url;

use super::keys::{JwksError, MAX_BYTES};
use crate::outbound;

/// The time between two questions, at least. Also how soon it is tried again after a failure.
const PAUSE: Duration = Duration::from_secs(30);
/// How long keys are believed that cannot be asked for any more: so long, or twice the time between two questions. Then a key that its issuer has taken away would be believed for too long.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a login waits for one: less than it may take by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for keys.
#[derive(Debug)]
pub(super) struct Fetch {
    url: Url,
    client: Client,
    every: Duration,
    pause: Duration,
    stale: Duration,
    /// Somebody waits for a key that is not there.
    wanted: Notify,
    /// When the last answer came, good or bad.
    answers: watch::Sender<Option<Instant>>,
    /// When the last good one came.
    good: Mutex<Option<Instant>>,
}

impl Fetch {
    /// Asks nothing yet.
    pub fn new(url: Url, every: Duration) -> Result<Self, JwksError> {
        let client = outbound::seldom(url.scheme() == "https").timeout(ANSWER).build();
        let client =
            client.map_err(|_| JwksError::new(place(&url), "no connection can be made, with TLS and this machine's certificates"))?;
        let (wanted, answers, good) = (Notify::new(), watch::Sender::new(None), Mutex::new(None));
        Ok(Self { url, client, every, pause: PAUSE.min(every), stale: STALE.max(2 * every), wanted, answers, good })
    }

    /// Asks once.
    pub async fn ask(&self) -> Result<Vec<u8>, JwksError> {
        let broken = |error: reqwest::Error| self.failed(reason(&error));
        let mut answer =
            self.client.get(self.url.clone()).header(ACCEPT, "application/jwk-set+json, application/json").send().await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(self.failed(format!("the answer is {}", answer.status().as_u16())));
        }
        let mut body = Vec::new();
        // One byte too many is enough to know.
        while body.len() <= MAX_BYTES
            && let Some(part) = answer.chunk().await.map_err(broken)?
        {
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// What is wrong, and where.
    pub fn failed(&self, reason: impl Into<String>) -> JwksError {
        JwksError::new(place(&self.url), reason)
    }

    /// Tells those who wait that there was an answer.
    pub fn answered(&self, good: bool) {
        let now = Instant::now();
        if good {
            *self.good.lock() = Some(now);
        }
        self.answers.send_replace(Some(now));
    }

    /// Whether the keys are too old to be believed, were they not to be had now.
    pub fn is_stale(&self) -> bool {
        self.good.lock().is_none_or(|at| at.elapsed() >= self.stale)
    }

    /// Waits until it is to be asked again.
    pub async fn due(&self, good: bool) {
        tokio::time::sleep(self.pause).await;
        if good {
            // Either way it is time.
            let _ = tokio::time::timeout(self.every - self.pause, self.wanted.notified()).await;
        }
    }

    /// Has it asked, and waits for the answer, though not for long. Not where it may not be asked so soon after the last one.
    pub async fn soon(&self) {
        let mut answers = self.answers.subscribe();
        let pause = answers.borrow_and_update().map_or(Duration::ZERO, |at| self.pause.saturating_sub(at.elapsed()));
        if pause > PATIENCE {
            return;
        }
        self.wanted.notify_one();
        // Without an answer the token is judged by the keys that are there.
        let _ = tokio::time::timeout(PATIENCE.max(2 * pause), answers.changed()).await;
    }
}

/// An address, without what may be a secret in it.
fn place(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.into()
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "it cannot be reached, or its certificate is not trusted"
    } else {
        "the answer breaks off or is not understood"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_that_cannot_be_asked_for_any_more_are_believed_for_a_while() {
        let hour = Duration::from_secs(3600);
        let mut fetch = Fetch::new("http://127.0.0.1:9/keys?code=secret".parse().unwrap(), hour).unwrap();
        assert_eq!((fetch.pause, fetch.stale), (PAUSE, STALE));
        assert!(fetch.is_stale(), "there never were any");
        fetch.answered(true);
        fetch.answered(false);
        assert!(!fetch.is_stale());
        fetch.stale = Duration::ZERO;
        assert!(fetch.is_stale());
        assert_eq!(
            fetch.ask().await.unwrap_err().to_string(),
            "http://127.0.0.1:9/keys: it cannot be reached, or its certificate is not trusted"
        );
    }

    #[tokio::test]
    async fn what_was_asked_just_now_is_not_waited_for_again() {
        let fetch = Fetch::new("http://127.0.0.1:9/keys".parse().unwrap(), Duration::from_secs(3600)).unwrap();
        fetch.answered(true);
        let begin = Instant::now();
        fetch.soon().await;
        assert!(begin.elapsed() < PATIENCE / 2);
    }
}
