//! A store that counts: every body that leaves it for the engine is on the meter, every fault that leaves it names the port and no path.
//!
//! All methods are written out, because one that falls through to a default of the trait would go round the meter. Writing is refused: a
//! query reads.

use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::{Meter, ReadKind, Reserved, file};
use crate::id::PortId;

/// How many merged ranges are fetched at once.
const PARALLEL_RANGES: usize = 10;

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

/// Wraps a port's store so that everything read through it is counted; whatever goes wrong names the port, never a path.
pub fn metered_store(inner: Arc<dyn ObjectStore>, meter: Arc<Meter>, kind: ReadKind, port: &PortId) -> Arc<dyn ObjectStore> {
    let counted = Counted { meter, kind, port: Arc::new(port.clone()) };
    Arc::new(MeteredStore { inner, counted, home: AtomicU8::new(UNKNOWN) })
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

    /// Counts a body as it streams by. What was reserved for it and does not come goes back when the stream is dropped.
    fn body(&self, body: BoxStream<'static, Result<Bytes>>, mut reserved: Reserved) -> BoxStream<'static, Result<Bytes>> {
        let counted = self.clone();
        body.map(move |piece| {
            let bytes = piece.map_err(|error| counted.fault(error))?;
            counted.add(bytes.len() as u64);
            reserved.delivered(bytes.len() as u64);
            Ok(bytes)
        })
        .boxed()
    }
}

const UNKNOWN: u8 = 0;
const LOCAL: u8 = 1;
const REMOTE: u8 = 2;

struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    counted: Counted,
    /// Whether the store hands out open files, learnt from its first answer. Gaps between ranges are read over for a remote store only.
    home: AtomicU8,
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

/// An answer before its body was read.
enum Opened {
    Local(File),
    Remote(BoxStream<'static, Result<Bytes>>),
}

impl MeteredStore {
    async fn ask(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.counted.meter.request();
        let result = self.inner.get_opts(location, options).await.map_err(|error| self.counted.fault(error))?;
        let home = if matches!(result.payload, GetResultPayload::File(..)) { LOCAL } else { REMOTE };
        self.home.store(home, Ordering::Relaxed);
        Ok(result)
    }

    async fn open(&self, location: &Path, range: Option<Range<u64>>) -> Result<Opened> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        Ok(match self.ask(location, options).await?.payload {
            GetResultPayload::File(file, _) => Opened::Local(file),
            GetResultPayload::Stream(body) => Opened::Remote(body),
        })
    }

    /// The exact ranges of a local file; nothing between them is read.
    async fn local_ranges(&self, file: File, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        file::read(self.counted.clone(), Arc::new(file), ranges.to_vec()).await
    }

    /// One merged range of a remote object, gaps counted, because the storage served them.
    async fn merged(&self, location: &Path, range: Range<u64>) -> Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        let reserved = self.counted.reserve(length)?;
        match self.open(location, Some(range.clone())).await? {
            Opened::Remote(body) => collect(self.counted.body(body, reserved), length).await,
            Opened::Local(file) => {
                drop(reserved);
                let bytes = self.local_ranges(file, std::slice::from_ref(&range)).await?;
                Ok(bytes.into_iter().next().unwrap_or_default())
            }
        }
    }

    async fn remote_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let merged = merge(ranges);
        let fetched: Vec<Bytes> =
            futures::stream::iter(merged.clone()).map(|range| self.merged(location, range)).buffered(PARALLEL_RANGES).try_collect().await?;
        slice(ranges, &merged, &fetched).ok_or_else(|| self.counted.fault_of("the storage answered with fewer bytes than asked for"))
    }

    /// Whether the store hands out open files, asked without reading anything.
    async fn is_local(&self, location: &Path) -> Result<bool> {
        if self.home.load(Ordering::Relaxed) == UNKNOWN {
            self.ask(location, GetOptions { head: true, ..GetOptions::default() }).await?;
        }
        Ok(self.home.load(Ordering::Relaxed) == LOCAL)
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
        let (head, bounded) = (options.head, matches!(options.range, Some(GetRange::Bounded(_))));
        // A local answer is only an open file: its pieces are reserved one by one. A remote one is on its way once it is asked for.
        let ahead = match &options.range {
            _ if head || self.home.load(Ordering::Relaxed) != REMOTE => 0,
            Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
            Some(GetRange::Suffix(bytes)) => *bytes,
            Some(GetRange::Offset(_)) | None => 0,
        };
        let mut reserved = self.counted.reserve(ahead)?;
        let result = self.ask(location, options).await?;
        let range = result.range.clone();
        let body = match result.payload {
            _ if head => futures::stream::empty().boxed(),
            GetResultPayload::File(file, _) => file::stream(self.counted.clone(), file, range, bounded),
            GetResultPayload::Stream(body) => {
                if ahead == 0 {
                    reserved = self.counted.reserve(range.end.saturating_sub(range.start))?;
                }
                self.counted.body(body, reserved)
            }
        };
        Ok(GetResult { payload: GetResultPayload::Stream(body), ..result })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_local(location).await? {
            return match self.open(location, None).await? {
                Opened::Local(file) => self.local_ranges(file, ranges).await,
                Opened::Remote(_) => Err(self.counted.fault_of("the storage changed its nature")),
            };
        }
        self.remote_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counted = self.counted.clone();
        locations.map(move |_| Err(counted.refused())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counted.meter.request();
        let counted = self.counted.clone();
        self.inner.list(prefix).map_err(move |error| counted.fault(error)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counted.meter.request();
        let counted = self.counted.clone();
        self.inner.list_with_offset(prefix, offset).map_err(move |error| counted.fault(error)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counted.meter.request();
        self.inner.list_with_delimiter(prefix).await.map_err(|error| self.counted.fault(error))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.counted.refused())
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(self.counted.refused())
    }
}

/// Puts a body together, without a copy where it came in one piece.
async fn collect(mut body: BoxStream<'static, Result<Bytes>>, length: u64) -> Result<Bytes> {
    let Some(first) = body.try_next().await? else { return Ok(Bytes::new()) };
    let Some(second) = body.try_next().await? else { return Ok(first) };
    let mut all = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    while let Some(piece) = body.try_next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

/// Ranges with what lies close between them, in order. The same ranges always merge to the same, whoever else is reading.
pub(super) fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(OBJECT_STORE_COALESCE_DEFAULT) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Cuts the wanted ranges out of the merged ones; `None` where a body was too short.
fn slice(ranges: &[Range<u64>], merged: &[Range<u64>], fetched: &[Bytes]) -> Option<Vec<Bytes>> {
    let cut = |range: &Range<u64>| {
        let at = merged.partition_point(|whole| whole.start <= range.start).checked_sub(1)?;
        let (whole, bytes) = (merged.get(at)?, fetched.get(at)?);
        let start = usize::try_from(range.start.checked_sub(whole.start)?).ok()?;
        let end = start.checked_add(usize::try_from(range.end.checked_sub(range.start)?).ok()?)?;
        (end <= bytes.len()).then(|| bytes.slice(start..end))
    };
    ranges.iter().map(cut).collect()
}
