//! The domains' credentials, and the clients that are made of them: one for each credential and bucket, made when first needed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, RetryConfig};
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use super::http::Wire;
use crate::config::{CredentialSettings, S3Settings, objection};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::ProductId;
use crate::ports::fault;

/// Attempts after the first.
const RETRIES: usize = 3;
/// No attempt begins later than so long after the first.
const RETRY_FOR: Duration = Duration::from_secs(20);
/// Clients that are kept.
const MAX_KEPT: usize = 1024;

/// Makes clients of remote stores, each with the credential of one domain's storage prefix. There are no others: nothing is taken from the
/// environment, from a file of another program or from the machine that this runs on.
#[derive(Default)]
pub struct Clients {
    credentials: BTreeMap<String, CredentialSettings>,
    wires: Mutex<HashMap<String, Wire>>,
    s3: Mutex<HashMap<(String, String), AmazonS3>>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("credentials", &self.credentials.keys()).finish_non_exhaustive()
    }
}

impl Clients {
    /// Clients with these credentials and no others.
    pub fn new(credentials: &BTreeMap<String, CredentialSettings>) -> Self {
        Self { credentials: credentials.clone(), ..Self::default() }
    }

    /// The client for a bucket, with the credential that the domain's storage names.
    pub(super) fn s3(&self, product: &ProductId, credential: Option<&str>, bucket: &str) -> Result<AmazonS3> {
        let unusable = |why: String| {
            Fault::new(ErrorKind::Storage, format!("data of product {product} cannot be reached"))
                .with_detail("The credential of the domain's storage cannot be used.")
                .with_hint("Whoever runs the gateway finds the reason in mesh.problems.")
                .with_source(why)
        };
        if let Some(why) = objection(&self.credentials, &product.domain, "s3", credential) {
            return Err(unusable(why));
        }
        let name = credential.unwrap_or_default();
        let key = (name.to_owned(), bucket.to_owned());
        if let Some(client) = self.s3.lock().get(&key) {
            return Ok(client.clone());
        }
        let settings = self.credentials.get(name).and_then(CredentialSettings::s3).ok_or_else(|| unusable("it is not whole".into()))?;
        let client =
            make(&settings, self.wire(name, &settings)?, bucket).map_err(|_| fault::unreadable(product, "the bucket has no address"))?;
        let mut kept = self.s3.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, client.clone());
        Ok(client)
    }

    fn wire(&self, name: &str, settings: &S3Settings) -> Result<Wire> {
        let mut wires = self.wires.lock();
        if let Some(wire) = wires.get(name) {
            return Ok(wire.clone());
        }
        let wire = Wire::of(settings).map_err(Fault::internal)?;
        wires.insert(name.to_owned(), wire.clone());
        Ok(wire)
    }
}

/// A client for a bucket.
pub(super) fn make(settings: &S3Settings, wire: Wire, bucket: &str) -> object_store::Result<AmazonS3> {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_access_key_id(settings.access_key_id.expose_secret())
        .with_secret_access_key(settings.secret_access_key.expose_secret())
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(settings.virtual_hosted_style)
        .with_allow_http(settings.allow_http)
        .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_FOR })
        .with_http_connector(wire);
    if let Some(token) = &settings.session_token {
        builder = builder.with_token(token.expose_secret());
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(match settings.virtual_hosted_style {
            true => endpoint.replacen("://", &format!("://{bucket}."), 1),
            false => endpoint.clone(),
        });
    }
    builder.build()
}
