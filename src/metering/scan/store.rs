//! A store that counts: every body that leaves it for the engine is on the meter, every fault that leaves it names the port and no path.
//!
//! All methods are written out, because one that falls through to a default of the trait would go round the meter. Writing is refused: a
//! query reads.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::remote::Remote;
use super::{Meter, ReadKind, Reserved, file};
use crate::id::PortId;

/// What went wrong while a port was read. Its text names the port; the cause, which may quote paths, is for the log and for finding a
/// [`super::LimitReached`].
#[derive(Debug)]
pub struct PortFault {
    port: PortId,
    cause: Box<dyn StdError + Send + Sync>,
}

impl PortFault {
    /// Which port.
    pub fn port(&self) -> &PortId {
        &self.port
    }
}

impl fmt::Display for PortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not read {}", self.port)
    }
}

impl StdError for PortFault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.cause.as_ref())
    }
}

/// Called for each request of a listing, with how many bytes it was answered with.
pub type Noted = Arc<dyn Fn(u64) + Send + Sync>;

/// A store that can be metered: it says what an object store does not.
pub trait Source: ObjectStore {
    /// Whether its answers come from elsewhere, so that reading is asking.
    fn is_remote(&self) -> bool {
        false
    }

    /// The size of an object, where it is known without asking.
    fn known_size(&self, _location: &Path) -> Option<u64> {
        None
    }

    /// Lists what lies below `prefix`, from behind `offset` on, and notes each request.
    fn list_noted(&self, prefix: Option<&Path>, offset: Option<&Path>, noted: Noted) -> BoxStream<'static, Result<ObjectMeta>> {
        noted(0);
        match offset {
            Some(offset) => self.list_with_offset(prefix, offset),
            None => self.list(prefix),
        }
    }
}

/// For benches and tests, which measure the meter without a jail.
impl Source for LocalFileSystem {}

/// Wraps a port's store so that everything read through it is counted; whatever goes wrong names the port, never a path.
pub fn metered_store(inner: Arc<dyn Source>, meter: Arc<Meter>, kind: ReadKind, port: &PortId) -> Arc<dyn ObjectStore> {
    Arc::new(MeteredStore { inner, counted: Counted { meter, kind, port: Arc::new(port.clone()) } })
}

/// What was listed below a prefix as its files and its folders.
pub fn by_folder(prefix: Option<&Path>, listed: Vec<ObjectMeta>) -> ListResult {
    let depth = prefix.map_or(0, |p| p.parts().count());
    let (mut folders, mut objects) = (BTreeSet::new(), Vec::new());
    for meta in listed {
        let parts: Vec<_> = meta.location.parts().collect();
        match parts.len().checked_sub(depth + 1) {
            Some(0) | None => objects.push(meta),
            Some(_) => _ = folders.insert(Path::from_iter(parts.into_iter().take(depth + 1))),
        }
    }
    ListResult { common_prefixes: folders.into_iter().collect(), objects }
}

/// Where to count, and whom to name.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    meter: Arc<Meter>,
    kind: ReadKind,
    port: Arc<PortId>,
}

impl Counted {
    pub(super) fn add(&self, bytes: u64) {
        self.meter.add(self.kind, bytes);
    }

    pub(super) fn reserve(&self, bytes: u64) -> Result<Reserved> {
        Reserved::new(&self.meter, self.kind, bytes).map_err(|limit| self.fault_of(limit))
    }

    /// A fault of this port with its cause.
    pub(super) fn fault_of(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::Generic { store: "port", source: self.named(cause.into()) }
    }

    fn named(&self, cause: Box<dyn StdError + Send + Sync>) -> Box<dyn StdError + Send + Sync> {
        Box::new(PortFault { port: PortId::clone(&self.port), cause })
    }

    /// The same kind of error without its path. The kind must stay: a table log is read by asking for files until one is not found.
    pub(super) fn fault(&self, error: Error) -> Error {
        let path = self.port.to_string();
        match error {
            Error::Generic { store: "port", source } => Error::Generic { store: "port", source },
            Error::NotFound { source, .. } => Error::NotFound { path, source: self.named(source) },
            Error::AlreadyExists { source, .. } => Error::AlreadyExists { path, source: self.named(source) },
            Error::Precondition { source, .. } => Error::Precondition { path, source: self.named(source) },
            Error::NotModified { source, .. } => Error::NotModified { path, source: self.named(source) },
            Error::PermissionDenied { source, .. } => Error::PermissionDenied { path, source: self.named(source) },
            Error::Unauthenticated { source, .. } => Error::Unauthenticated { path, source: self.named(source) },
            other => self.fault_of(other),
        }
    }

    fn refused(&self) -> Error {
        Error::NotSupported { source: self.named("a query may only read".into()) }
    }

    pub(super) fn request(&self) {
        self.meter.request();
    }
}

struct MeteredStore {
    inner: Arc<dyn Source>,
    counted: Counted,
}

impl fmt::Debug for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeteredStore({})", self.counted.port)
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.counted.port)
    }
}

impl MeteredStore {
    fn remote(&self) -> Option<Remote> {
        self.inner.is_remote().then(|| Remote { source: Arc::clone(&self.inner), counted: self.counted.clone() })
    }

    /// An answer of a store whose files are here. It is an open file: nothing has been read yet.
    async fn open(&self, location: &Path, options: GetOptions) -> Result<(GetResult, Option<File>)> {
        self.counted.request();
        let mut result = self.inner.get_opts(location, options).await.map_err(|error| self.counted.fault(error))?;
        let nothing = GetResultPayload::Stream(futures::stream::empty().boxed());
        match std::mem::replace(&mut result.payload, nothing) {
            GetResultPayload::File(file, _) => Ok((result, Some(file))),
            GetResultPayload::Stream(_) => Ok((result, None)),
        }
    }

    fn not_a_file(&self) -> Error {
        self.counted.fault_of("a local store answered without a file")
    }

    /// Listings are metadata, whatever they are listed for.
    fn listed(&self, prefix: Option<&Path>, offset: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (counted, meter) = (self.counted.clone(), Arc::clone(&self.counted.meter));
        let noted = move |bytes| {
            meter.request();
            meter.add(ReadKind::Metadata, bytes);
        };
        self.inner.list_noted(prefix, offset, Arc::new(noted)).map_err(move |error| counted.fault(error)).boxed()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(self.counted.refused())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(self.counted.refused())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(remote) = self.remote() {
            return remote.read(location, options).await;
        }
        let (head, bounded) = (options.head, matches!(options.range, Some(GetRange::Bounded(_))));
        let (mut result, file) = self.open(location, options).await?;
        if !head {
            let file = file.ok_or_else(|| self.not_a_file())?;
            result.payload = GetResultPayload::Stream(file::stream(self.counted.clone(), file, result.range.clone(), bounded));
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(remote) = self.remote() {
            return remote.ranges(location, ranges).await;
        }
        let (_, file) = self.open(location, GetOptions::default()).await?;
        let file = file.ok_or_else(|| self.not_a_file())?;
        // The exact ranges; nothing between them is read.
        file::read(self.counted.clone(), Arc::new(file), ranges.to_vec()).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counted = self.counted.clone();
        locations.map(move |_| Err(counted.refused())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(by_folder(prefix, self.listed(prefix, None).try_collect().await?))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.counted.refused())
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(self.counted.refused())
    }
}
