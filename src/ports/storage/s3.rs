//! A folder of a bucket, read with the credential of the domain that it belongs to.
//!
//! Keys are put together here from the location and a checked relative path, so a store of one product has no words for another's objects.
//! What goes wrong is told by kind and by S3's own code (`AccessDenied`): never with a bucket, a URL, a key or a credential.

use std::sync::Arc;

use futures::stream::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{Error, Extensions, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, Result};

use super::clients::Clients;
use super::http::Seen;
use super::{MAX_FILES, is_clean};
use crate::catalog::StoragePrefix;
use crate::id::PortId;
use crate::metering::Noted;
use crate::ports::fault;

/// Answers that one listing may take. A storage that always has one more page is not followed for ever.
const MAX_PAGES: usize = 100_000;

/// Where a port's objects are.
#[derive(Debug)]
pub(super) struct Folder {
    /// Whose, for the log.
    port: Arc<str>,
    client: AmazonS3,
    /// Of every key: empty, or ends in `/`.
    prefix: String,
}

impl Folder {
    /// Enters `s3://bucket/key` under the storage prefix that it lies in, and says which object it is if it is one.
    pub(super) fn enter(
        id: &PortId,
        url: &str,
        folder: bool,
        under: &StoragePrefix,
        clients: &Clients,
    ) -> crate::error::Result<(Self, Option<String>)> {
        let (product, port) = (&id.product, Arc::from(id.authority()));
        let outside = || fault::unreadable(product, "the location is not one of S3");
        let (bucket, key) = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(outside)?;
        let key = key.strip_suffix('/').unwrap_or(key);
        if !key.is_empty() && !is_clean(key) {
            return Err(outside());
        }
        let client = clients.s3(product, under.credentials.as_deref(), bucket)?;
        if folder {
            let prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
            return Ok((Self { port, client, prefix }, None));
        }
        let (prefix, name) = key.rsplit_once('/').map_or(("", key), |(folder, name)| (folder, name));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok((Self { port, client, prefix }, Some(name.to_owned())))
    }

    fn key(&self, relative: &str) -> String {
        format!("{}{relative}", self.prefix)
    }

    /// Reads an object. `relative` has been checked.
    pub(super) async fn get(&self, relative: &str, mut options: GetOptions) -> Result<GetResult> {
        let seen = Seen::of_object();
        options.extensions.insert(seen.clone());
        let key = Path::parse(self.key(relative))?;
        let found = self.client.get_opts(&key, options).await.map_err(|error| plain(&self.port, &error, &seen))?;
        let GetResult { payload, meta, range, attributes } = found;
        let port = Arc::clone(&self.port);
        let payload = match payload {
            GetResultPayload::Stream(body) => GetResultPayload::Stream(body.map_err(move |error| plain(&port, &error, &seen)).boxed()),
            GetResultPayload::File(..) => return Err(Error::Generic { store: "s3", source: "an answer that is a file".into() }),
        };
        Ok(GetResult { payload, meta, range, attributes })
    }

    /// The objects below a folder, with their paths relative to the location.
    pub(super) async fn list(&self, folder: &str, offset: Option<&str>, noted: &Noted) -> Result<Vec<(String, ObjectMeta)>> {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let prefix = self.key(&below);
        let (mut found, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let (objects, next) = self.page(prefix.clone(), offset.map(|offset| self.key(offset)), token, noted).await?;
            for object in objects {
                // A folder's own marker is no file; what a storage lists beyond the prefix is not the product's.
                let relative = object.location.as_ref().strip_prefix(&self.prefix).map(str::to_owned);
                if let Some(relative) = relative.filter(|relative| relative.starts_with(&below) && is_clean(relative)) {
                    found.push((relative, object));
                }
            }
            if found.len() > MAX_FILES {
                return Err(Error::Generic { store: "s3", source: "too many files".into() });
            }
            match next {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
        Err(Error::Generic { store: "s3", source: "a listing without end".into() })
    }

    /// One answer of a listing. Once asked for it is read to its end, so that it is noted whole.
    async fn page(
        &self,
        prefix: String,
        offset: Option<String>,
        page_token: Option<String>,
        noted: &Noted,
    ) -> Result<(Vec<ObjectMeta>, Option<String>)> {
        let (client, noted, seen) = (self.client.clone(), Noted::clone(noted), Seen::of_listing());
        let port = Arc::clone(&self.port);
        let mut extensions = Extensions::new();
        extensions.insert(seen.clone());
        let options = PaginatedListOptions { offset, page_token, extensions, ..PaginatedListOptions::default() };
        let asking = tokio::spawn(async move {
            let prefix = (!prefix.is_empty()).then_some(prefix.as_str());
            let page = client.list_paginated(prefix, options).await;
            noted(seen.listed());
            page.map(|page| (page.result.objects, page.page_token)).map_err(|error| plain(&port, &error, &seen))
        });
        asking.await.map_err(|_| Error::Generic { store: "s3", source: "the listing was stopped".into() })?
    }
}

/// An error of the same kind, without what it quotes: URLs, keys, answers. Whoever runs the gateway finds the reason in the log: a reader is
/// told that the product cannot be read.
fn plain(port: &str, error: &Error, seen: &Seen) -> Error {
    let reason = seen.describe(error);
    tracing::warn!(port, reason, "a storage was not read");
    let (path, source) = (String::new(), reason.into());
    match error {
        Error::NotFound { .. } => Error::NotFound { path, source },
        Error::Precondition { .. } => Error::Precondition { path, source },
        Error::NotModified { .. } => Error::NotModified { path, source },
        Error::PermissionDenied { .. } => Error::PermissionDenied { path, source },
        Error::Unauthenticated { .. } => Error::Unauthenticated { path, source },
        _ => Error::Generic { store: "s3", source },
    }
}
