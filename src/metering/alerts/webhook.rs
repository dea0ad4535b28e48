//! Telling alerts to a webhook, as Standard Webhooks 1.0 writes it: an id by which a receiver knows what it has, a time, and a signature of both
//! and the body. What is not taken is sent again, later and later, in the order in which it was raised, for a week.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use super::{Alerts, Owed};
use crate::error::{Fault, Result};
use crate::outbound;
use crate::telemetry::explain;

/// How long a receiver may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How often it is looked whether there is something to tell.
const TICK: Duration = Duration::from_millis(500);
/// After a failure it is tried again so soon, then in twice the time, and so on up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// An alert that was not taken for so long is of no use any more.
const STALE: TimeDelta = TimeDelta::days(7);

/// Where alerts are sent to.
#[derive(Clone)]
pub struct Webhook {
    url: String,
    key: std::sync::Arc<SecretBox<Vec<u8>>>,
}

impl Webhook {
    /// One whose messages are signed with `secret`: text as it is, or base64 after `whsec_`. The URL begins with `https://`, or with `http://`
    /// where it is this machine's.
    pub fn new(url: &str, secret: &str) -> std::result::Result<Self, &'static str> {
        let parsed = url::Url::parse(url).map_err(|_| "a webhook is an URL, as \"https://alerts.example/meshgate\"")?;
        if !outbound::is_guarded(&parsed) {
            return Err("a webhook is told over https");
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("a webhook's URL holds no user or password: messages are signed with its credential");
        }
        let key = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "the secret of a webhook is base64 after `whsec_`")?,
            None => secret.as_bytes().to_vec(),
        };
        Ok(Self { url: parsed.into(), key: std::sync::Arc::new(SecretBox::new(Box::new(key))) })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path may be a secret too.
        f.write_str("Webhook")
    }
}

/// The way to a webhook.
#[derive(Debug)]
pub(super) struct Delivery {
    webhook: Webhook,
    client: reqwest::Client,
}

impl Delivery {
    /// Opens nothing yet.
    pub(super) fn new(webhook: Webhook) -> Result<Self> {
        let client = outbound::seldom(webhook.url.starts_with("https://")).timeout(ANSWER).build();
        Ok(Self { webhook, client: client.map_err(Fault::internal)? })
    }

    /// Sends an alert once. An error is why it was not taken, without the URL.
    async fn send(&self, alert: &Owed, sent_at: i64) -> std::result::Result<(), String> {
        let signature = sign(self.webhook.key.expose_secret(), &alert.id, sent_at, &alert.body);
        let request = self
            .client
            .post(&self.webhook.url)
            .header("content-type", "application/json")
            .header("webhook-id", &alert.id)
            .header("webhook-timestamp", sent_at.to_string())
            .header("webhook-signature", signature.ok_or("the secret cannot sign")?)
            .body(alert.body.clone());
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("the receiver answered {}", answer.status().as_u16())) }
    }
}

/// `v1,` and the HMAC-SHA-256 of id, time and body, in base64.
fn sign(key: &[u8], id: &str, sent_at: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{sent_at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

impl Alerts {
    /// Sends what is owed until the token is cancelled. What is under way then is sent again by the next start, under the same id.
    pub(super) async fn deliver(self, stop: CancellationToken) {
        let Some(delivery) = &self.0.delivery else { return };
        let mut failures = 0;
        let mut pause = TICK;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let Some(round) = stop.run_until_cancelled(self.deliver_next(delivery, &mut failures)).await else { return };
            pause = round.unwrap_or_else(|fault| {
                tracing::error!(reason = explain(&fault), "alerts could not be read or noted as told; it is tried again");
                MIN_PAUSE
            });
        }
    }

    /// Sends the oldest that is owed, and says how long to wait then.
    async fn deliver_next(&self, delivery: &Delivery, failures: &mut u32) -> Result<Duration> {
        let alerts = self.clone();
        let Some(alert) = blocking(move || alerts.owed()).await? else { return Ok(TICK) };
        let now = self.0.journal.now();
        let entry = alert.entry;
        let pause = if now - alert.raised_at > STALE {
            tracing::error!(alert = alert.id, "an alert was given up: the webhook has not taken it for a week");
            Duration::ZERO
        } else if let Err(reason) = delivery.send(&alert, now.timestamp()).await {
            let pause = MIN_PAUSE.saturating_mul(2_u32.saturating_pow(*failures)).min(MAX_PAUSE);
            *failures = failures.saturating_add(1);
            tracing::warn!(alert = alert.id, reason, retry_in = ?pause, "the webhook has not taken an alert");
            return Ok(pause);
        } else {
            *failures = 0;
            Duration::ZERO
        };
        let alerts = self.clone();
        blocking(move || alerts.settled(entry)).await?;
        Ok(pause)
    }
}

/// Runs what waits for the disk where nobody else waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_standard_has_it() {
        // The example of the specification's own libraries.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_webhook_is_told_over_tls_or_on_this_machine() {
        for url in ["https://alerts.example/x", "http://127.0.0.1:9/x", "http://localhost/", "http://[::1]:80/"] {
            assert!(Webhook::new(url, "0123456789abcdef").is_ok(), "{url}");
        }
        for url in ["http://alerts.example/x", "http://127.0.0.1.example/", "ftp://localhost/", "alerts", "https://u:p@alerts.example/"] {
            assert!(Webhook::new(url, "0123456789abcdef").is_err(), "{url}");
        }
        assert!(Webhook::new("https://alerts.example/x", "whsec_?").is_err());
        assert_eq!(format!("{:?}", Webhook::new("https://a.example/secret", "secret").unwrap()), "Webhook");
    }
}
