//! The jail: one product's files as an object store that cannot reach anything else, wherever they lie.
//!
//! Paths inside the store begin with the port's authority (`claims.events.v1.sql/…`), so nothing that is keyed by path alone, such as
//! DataFusion's footer and statistics caches, can mix two ports. A path without that first segment does not exist here.
//!
//! What a port's files have in common is here: which paths there are, which files a query has been promised, that nothing is written. How
//! they are reached is in `local` (this machine) and `s3`; `clients` holds the domains' credentials and `http` the wire.

mod clients;
mod http;
mod ledger;
mod local;
mod s3;

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use self::local::Jail;
use self::s3::Folder;
use crate::catalog::{Location, StoragePrefix};
use crate::error::{ErrorKind, Fault};
use crate::id::PortId;
use crate::metering::{Noted, Source, by_folder};
use crate::ports::fault;

pub use self::clients::Clients;
pub use self::ledger::open_ledger;

/// Files in one product. More is a mistake or an attack.
const MAX_FILES: usize = 1_000_000;

/// What a port's files are reached through.
#[derive(Debug, Clone)]
pub struct PortStore {
    authority: Arc<str>,
    place: Place,
    /// The only file that exists, where the location is a file.
    only: Option<Arc<str>>,
    pins: Option<Arc<HashMap<String, Pin>>>,
}

/// Where they are.
#[derive(Debug, Clone)]
enum Place {
    Local(Arc<Jail>),
    S3(Arc<Folder>),
}

/// A file as it was listed.
#[derive(Debug)]
struct Pin {
    tag: String,
    size: u64,
}

/// Opens a port's location as a store, or says why not. `folder`: it cannot be a file.
pub async fn open(
    id: &PortId,
    location: &Location,
    folder: bool,
    prefixes: &[StoragePrefix],
    clients: &Clients,
) -> crate::error::Result<PortStore> {
    let product = id.product.clone();
    let (place, only) = match location {
        Location::File(path) => {
            let path = path.clone();
            let roots: Vec<PathBuf> = prefixes
                .iter()
                .filter_map(|p| match &p.prefix {
                    Location::File(path) => Some(path.clone()),
                    Location::Remote(_) => None,
                })
                .collect();
            let entered = tokio::task::spawn_blocking(move || Jail::enter(&product, &path, &roots)).await.map_err(Fault::internal)??;
            (Place::Local(Arc::new(entered.0)), entered.1)
        }
        Location::Remote(url) if url.starts_with("s3://") => {
            // The longest prefix is the most exact word on whose credential it is.
            let mine = prefixes.iter().filter(|p| location.is_under(&p.prefix));
            let mine = mine.max_by_key(|p| match &p.prefix {
                Location::Remote(url) => url.len(),
                Location::File(_) => 0,
            });
            let prefix = mine.ok_or_else(|| fault::unreadable(&product, "the location leads out of the domain's storage"))?;
            let (entered, only) = Folder::enter(id, url, folder || location.is_folder(), prefix, clients)?;
            (Place::S3(Arc::new(entered)), only)
        }
        Location::Remote(_) => {
            return Err(Fault::new(ErrorKind::Storage, format!("data of product {product} cannot be reached"))
                .with_detail("This kind of storage is not supported yet."));
        }
    };
    Ok(PortStore { authority: id.authority().into(), place, only: only.map(Into::into), pins: None })
}

impl PortStore {
    /// The same store, answering only for the files as listed: a file that changed since is an error, never other data.
    pub fn pinned(&self, files: &[ObjectMeta]) -> Self {
        let pin = |f: &ObjectMeta| Some((f.location.to_string(), Pin { tag: f.e_tag.clone()?, size: f.size }));
        Self { pins: Some(Arc::new(files.iter().filter_map(pin).collect())), ..self.clone() }
    }

    /// Whether the location is one file.
    pub fn is_file(&self) -> bool {
        self.only.is_some()
    }

    /// The path inside the store below which everything lies.
    pub fn root(&self) -> Path {
        Path::from_iter([self.authority.as_ref()])
    }

    /// A location inside the store as a path relative to the root, checked segment by segment.
    fn relative(&self, location: &Path) -> Result<String> {
        let text = location.as_ref();
        let outside = || Error::NotFound { path: text.to_owned(), source: "no such file".into() };
        let (first, rest) = text.split_once('/').ok_or_else(outside)?;
        if first != self.authority.as_ref() || !is_clean(rest) || self.only.as_deref().is_some_and(|only| only != rest) {
            return Err(outside());
        }
        Ok(rest.to_owned())
    }

    /// A prefix of a listing as a folder relative to the root; `None` where it is somewhere else.
    fn folder(&self, prefix: Option<&Path>) -> Option<String> {
        match prefix.map(Path::as_ref) {
            None | Some("") => Some(String::new()),
            Some(p) if p == self.authority.as_ref() => Some(String::new()),
            Some(p) => p.strip_prefix(self.authority.as_ref())?.strip_prefix('/').filter(|rest| is_clean(rest)).map(str::to_owned),
        }
    }

    fn location(&self, relative: &str) -> Result<Path> {
        Ok(Path::parse(format!("{}/{relative}", self.authority))?)
    }

    fn local_meta(&self, relative: &str, metadata: &Metadata) -> Result<ObjectMeta> {
        Ok(ObjectMeta {
            location: self.location(relative)?,
            last_modified: metadata.modified().map_or(DateTime::UNIX_EPOCH, DateTime::<Utc>::from),
            size: metadata.len(),
            e_tag: Some(local::e_tag(metadata)),
            version: None,
        })
    }

    /// Whether a file is the one that was listed.
    fn check_pin(&self, location: &Path, meta: &ObjectMeta) -> Result<()> {
        let same = self.pins.as_ref().is_none_or(|pins| {
            pins.get(location.as_ref()).is_some_and(|pin| meta.e_tag.as_ref().is_some_and(|now| *now == pin.tag) && meta.size == pin.size)
        });
        same.then_some(()).ok_or_else(|| changed(location))
    }

    /// Opens a local file and checks what was opened.
    fn open_file(&self, jail: &Jail, location: &Path) -> Result<(File, ObjectMeta)> {
        let relative = self.relative(location)?;
        let (file, metadata) = jail.open_file(&relative).map_err(|e| io_error(location, e))?;
        let meta = self.local_meta(&relative, &metadata)?;
        self.check_pin(location, &meta)?;
        Ok((file, meta))
    }

    fn local_get(&self, jail: &Jail, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let (file, meta) = self.open_file(jail, location)?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            _ if options.head => 0..0,
            Some(wanted) => wanted.as_range(meta.size).map_err(|e| Error::Generic { store: "port", source: e.into() })?,
            None => 0..meta.size,
        };
        Ok(GetResult { payload: GetResultPayload::File(file, PathBuf::new()), meta, range, attributes: Attributes::default() })
    }

    /// An object as it was listed or not at all: the storage is told which one is meant, and its answer is looked at nevertheless.
    async fn s3_get(&self, folder: &Folder, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let relative = self.relative(location)?;
        if let Some(pins) = &self.pins {
            let pin = pins.get(location.as_ref()).ok_or_else(|| changed(location))?;
            if options.if_match.as_ref().is_some_and(|wanted| *wanted != pin.tag) {
                return Err(changed(location));
            }
            options.if_match = Some(pin.tag.clone());
        }
        let wanted = options.if_match.clone();
        let mut found = folder.get(&relative, options).await?;
        found.meta.location = location.clone();
        self.check_pin(location, &found.meta)?;
        if wanted.is_some() && wanted != found.meta.e_tag {
            return Err(changed(location));
        }
        Ok(found)
    }

    fn local_list(&self, jail: &Jail, start: &str) -> Result<Vec<ObjectMeta>> {
        let found = match self.only.as_deref() {
            Some(only) => jail.entry(only).map(|entry| entry.into_iter().filter(|_| start.is_empty() || start == only).collect()),
            None => jail.list(start),
        };
        let found: Vec<_> = found.map_err(|e| io_error(&self.root(), e))?;
        Ok(found.iter().filter_map(|(relative, metadata)| self.local_meta(relative, metadata).ok()).collect())
    }

    async fn s3_list(&self, folder: &Folder, start: &str, offset: Option<&Path>, noted: &Noted) -> Result<Vec<ObjectMeta>> {
        if let Some(only) = self.only.as_deref() {
            if !start.is_empty() && start != only {
                return Ok(Vec::new());
            }
            noted(0);
            let head = GetOptions { head: true, ..GetOptions::default() };
            return match self.s3_get(folder, &self.location(only)?, head).await {
                Ok(found) => Ok(vec![found.meta]),
                Err(Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        // An offset of another port is none of this listing's.
        let offset = offset.and_then(|o| o.as_ref().strip_prefix(self.authority.as_ref())?.strip_prefix('/'));
        let found = folder.list(start, offset, noted).await?;
        found.into_iter().map(|(relative, meta)| Ok(ObjectMeta { location: self.location(&relative)?, ..meta })).collect()
    }

    async fn list_below(self, prefix: Option<Path>, offset: Option<Path>, noted: Noted) -> Result<Vec<ObjectMeta>> {
        let Some(start) = self.folder(prefix.as_ref()) else { return Ok(Vec::new()) };
        let mut out = match self.place.clone() {
            Place::Local(jail) => {
                noted(0);
                blocking(move || self.local_list(&jail, &start)).await?
            }
            Place::S3(folder) => self.s3_list(&folder, &start, offset.as_ref(), &noted).await?,
        };
        out.retain(|meta| offset.as_ref().is_none_or(|offset| meta.location > *offset));
        // Log replay relies on the order of names; a folder's order is any.
        out.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(out)
    }
}

/// Whether a relative path goes down only.
fn is_clean(relative: &str) -> bool {
    relative.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && !s.contains('\0'))
}

fn changed(location: &Path) -> Error {
    Error::Precondition { path: location.to_string(), source: "the file changed while it was read".into() }
}

fn io_error(location: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound { path: location.to_string(), source: error.into() },
        _ => Error::Generic { store: "port", source: error.into() },
    }
}

fn read_exactly(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    // The length was checked against the size of the opened file, so a lie in a footer allocates nothing.
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer.into())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::Generic { store: "port", source: source.into() })?
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "a product is read only".into() })
}

fn unnoted() -> Noted {
    Arc::new(|_| ())
}

impl fmt::Display for PortStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.authority)
    }
}

impl Source for PortStore {
    fn is_remote(&self) -> bool {
        matches!(self.place, Place::S3(_))
    }

    fn known_size(&self, location: &Path) -> Option<u64> {
        Some(self.pins.as_ref()?.get(location.as_ref())?.size)
    }

    fn list_noted(&self, prefix: Option<&Path>, offset: Option<&Path>, noted: Noted) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(self.clone().list_below(prefix.cloned(), offset.cloned(), noted))
            .flat_map(|found| match found {
                Ok(files) => stream::iter(files).map(Ok).left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            })
            .boxed()
    }
}

#[async_trait]
impl ObjectStore for PortStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.place.clone() {
            Place::Local(jail) => {
                let (store, location) = (self.clone(), location.clone());
                blocking(move || store.local_get(&jail, &location, &options)).await
            }
            Place::S3(folder) => self.s3_get(&folder, location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Place::Local(jail) = self.place.clone() else {
            return stream::iter(ranges.to_vec()).then(|range| self.get_range(location, range)).try_collect().await;
        };
        let (store, location, ranges) = (self.clone(), location.clone(), ranges.to_vec());
        blocking(move || {
            let (file, meta) = store.open_file(&jail, &location)?;
            ranges
                .into_iter()
                .map(|range| {
                    if range.start > range.end || range.end > meta.size {
                        return Err(Error::Generic { store: "port", source: "a range past the end of the file".into() });
                    }
                    read_exactly(&file, range).map_err(|e| io_error(&location, e))
                })
                .collect()
        })
        .await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([read_only()]).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_noted(prefix, None, unnoted())
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_noted(prefix, Some(offset), unnoted())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(by_folder(prefix, self.list(prefix).try_collect().await?))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

/// Whether a path is one that readers of data folders leave alone: `_SUCCESS`, `_delta_log`, `.crc`.
pub fn is_hidden(relative: &str) -> bool {
    FsPath::new(relative).components().any(|c| match c {
        Component::Normal(name) => name.to_str().is_none_or(|n| n.starts_with('_') && !n.contains('=') || n.starts_with('.')),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
