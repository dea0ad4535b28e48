//! The wire to a remote store: one connection pool for each credential, nothing ambient, nothing followed.
//!
//! A request carries a [`Seen`], in which this layer notes what the libraries above do not tell: how long a listing was, and what the
//! storage answered when it refused. The body of a refusal quotes keys, addresses and key ids; its code is kept and the rest dropped.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use object_store::{ClientOptions, Result};
use parking_lot::Mutex;

use crate::config::S3Settings;
use crate::outbound;

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(5);
/// One answer takes no longer, body and all, whatever it drips.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of one answer of a listing, which holds a thousand keys of at most a kibibyte.
const MAX_LISTING: usize = 16 << 20;
/// Bytes that are looked through for the code of a refusal.
const MAX_REFUSAL: usize = 64 << 10;

/// What was seen of one request.
#[derive(Debug, Clone)]
pub(super) struct Seen(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    /// Its answer is read whole, here.
    listing: bool,
    listed: AtomicU64,
    status: AtomicU16,
    code: Mutex<Option<String>>,
}

impl Seen {
    /// Of a request for an object.
    pub(super) fn of_object() -> Self {
        Self(Arc::default())
    }

    /// Of a request for a listing.
    pub(super) fn of_listing() -> Self {
        Self(Arc::new(Notes { listing: true, ..Notes::default() }))
    }

    /// Bytes of the listing.
    pub(super) fn listed(&self) -> u64 {
        self.0.listed.load(Ordering::Acquire)
    }

    /// What went wrong, in words that name no place.
    pub(super) fn describe(&self, error: &(dyn StdError + 'static)) -> String {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(wire) = error.downcast_ref::<HttpError>() {
                return transport(wire.kind()).to_owned();
            }
            at = error.source();
        }
        match (self.0.status.load(Ordering::Acquire), self.0.code.lock().as_deref()) {
            (0, _) => "the storage's answer is not understood".to_owned(),
            (status, None) => format!("the storage answered {status}"),
            (status, Some(code)) => format!("the storage answered {status} {code}"),
        }
    }
}

fn transport(kind: HttpErrorKind) -> &'static str {
    match kind {
        HttpErrorKind::Connect => "the storage cannot be reached",
        HttpErrorKind::Timeout => "the storage did not answer in time",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "the storage broke off its answer",
        _ => "the storage's answer is not understood",
    }
}

/// One credential's connections.
#[derive(Debug, Clone)]
pub(super) struct Wire(reqwest::Client);

impl Wire {
    /// Those of a credential: without TLS only where its endpoint says so.
    pub(super) fn of(settings: &S3Settings) -> std::result::Result<Self, reqwest::Error> {
        Self::new(!settings.endpoint.as_ref().is_some_and(|url| url.starts_with("http://")), settings.timeout)
    }

    /// Opens nothing yet. `tls`: anything else is refused, and without it no roots are needed. `silence`: a storage that says nothing for so
    /// long is not waited for.
    fn new(tls: bool, silence: Duration) -> std::result::Result<Self, reqwest::Error> {
        outbound::client(tls).connect_timeout(CONNECT).read_timeout(silence).timeout(ANSWER).build().map(Self)
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let seen = request.extensions().get::<Seen>().cloned().unwrap_or_else(Seen::of_object);
        let (parts, body) = HttpService::call(&self.0, request).await?.into_parts();
        seen.0.status.store(parts.status.as_u16(), Ordering::Release);
        if !parts.status.is_success() {
            // An answer that cannot be read to its end is no better than none.
            let refusal = beginning(body, MAX_REFUSAL).await.unwrap_or_default();
            *seen.0.code.lock() = code(&refusal);
            return Ok(HttpResponse::from_parts(parts, Bytes::new().into()));
        }
        if !seen.0.listing {
            return Ok(HttpResponse::from_parts(parts, body));
        }
        // Read here, so that one that breaks off is asked for again, and is noted once.
        let listing = beginning(body, MAX_LISTING).await?;
        if listing.len() > MAX_LISTING {
            return Err(HttpError::new(HttpErrorKind::Decode, std::io::Error::other("a listing that is too long")));
        }
        seen.0.listed.store(listing.len() as u64, Ordering::Release);
        Ok(HttpResponse::from_parts(parts, listing.into()))
    }
}

/// A body, or what it begins with where it is longer than `most`.
async fn beginning(body: HttpResponseBody, most: usize) -> std::result::Result<Bytes, HttpError> {
    let (mut body, mut all) = (body.bytes_stream(), BytesMut::new());
    while let Some(bytes) = body.try_next().await? {
        all.extend_from_slice(&bytes);
        if all.len() > most {
            break;
        }
    }
    Ok(all.freeze())
}

/// S3's own word for a refusal: `<Code>AccessDenied</Code>`.
fn code(refusal: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(refusal);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_leaves_its_code_behind_and_nothing_else() {
        let refusal = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(code(refusal).as_deref(), Some("AccessDenied"));
        for odd in ["", "<Code></Code>", "<Code>bucket secret</Code>", "<Code>a/b</Code>", "<Code>AccessDenied"] {
            assert_eq!(code(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn what_went_wrong_is_told_without_the_place() {
        let seen = Seen::of_object();
        seen.0.status.store(403, Ordering::Release);
        let error = object_store::Error::Generic { store: "s3", source: "http://secret/bucket".into() };
        assert_eq!(seen.describe(&error), "the storage answered 403");
        *seen.0.code.lock() = Some("SignatureDoesNotMatch".to_owned());
        assert_eq!(seen.describe(&error), "the storage answered 403 SignatureDoesNotMatch");
        let wire = HttpError::new(HttpErrorKind::Connect, std::io::Error::other("http://secret"));
        let error = object_store::Error::Generic { store: "s3", source: Box::new(wire) };
        assert_eq!(seen.describe(&error), "the storage cannot be reached");
    }
}
