//! The jail: one product's local files as an object store that cannot reach anything else.
//!
//! Paths inside the store begin with the port's authority (`claims.events.v1.sql/…`), so nothing that is keyed by path alone, such as
//! DataFusion's footer and statistics caches, can mix two ports. A path without that first segment does not exist here.
//!
//! A file is opened first and checked afterwards, on the opened handle: it must be a regular file, and the same inode must be reachable at
//! a canonical path below the root. So neither a symlink nor a file swapped between check and use gets out. Hard links cannot be told from
//! files and are not looked for: making one needs write access to the product's folder and to the file.
//!
//! A read is answered with the checked handle, not with bytes: the meter above reads from it, exactly what was asked for.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::catalog::{Location, StoragePrefix};
use crate::error::{ErrorKind, Fault};
use crate::id::{PortId, ProductId};
use crate::ports::fault;

/// Files in one product. More is a mistake or an attack.
const MAX_FILES: usize = 1_000_000;
/// Folders within folders.
const MAX_DEPTH: usize = 32;

/// What a port's files are reached through.
#[derive(Debug, Clone)]
pub struct PortStore {
    authority: Arc<str>,
    jail: Arc<Jail>,
    pins: Option<Arc<HashMap<String, String>>>,
}

/// The part of the disk that a port is.
#[derive(Debug)]
struct Jail {
    /// Canonical.
    root: PathBuf,
    /// The only file that exists, where the location is a file.
    only: Option<String>,
}

/// Opens a port's location as a store, or says why not.
pub async fn open(id: &PortId, location: &Location, prefixes: &[StoragePrefix]) -> crate::error::Result<PortStore> {
    let product = id.product.clone();
    let Location::File(path) = location else {
        return Err(Fault::new(ErrorKind::Storage, format!("data of product {product} cannot be reached"))
            .with_detail("Remote stores are not supported yet."));
    };
    let path = path.clone();
    let roots: Vec<PathBuf> = prefixes
        .iter()
        .filter_map(|p| match &p.prefix {
            Location::File(path) => Some(path.clone()),
            Location::Remote(_) => None,
        })
        .collect();
    let authority: Arc<str> = id.authority().into();
    let jail = tokio::task::spawn_blocking(move || Jail::enter(&product, &path, &roots)).await.map_err(Fault::internal)??;
    Ok(PortStore { authority, jail: Arc::new(jail), pins: None })
}

impl PortStore {
    /// The same store, answering only for the files as listed: a file that changed since is an error, never other data.
    pub fn pinned(&self, files: &[ObjectMeta]) -> Self {
        let pins = files.iter().filter_map(|f| Some((f.location.to_string(), f.e_tag.clone()?))).collect();
        Self { pins: Some(Arc::new(pins)), ..self.clone() }
    }

    /// Whether the location is one file.
    pub fn is_file(&self) -> bool {
        self.jail.only.is_some()
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
        let clean = rest.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && !s.contains('\0'));
        if first != self.authority.as_ref() || !clean || self.jail.only.as_ref().is_some_and(|only| only != rest) {
            return Err(outside());
        }
        Ok(rest.to_owned())
    }

    fn meta(&self, relative: &str, metadata: &Metadata) -> Result<ObjectMeta> {
        Ok(ObjectMeta {
            location: Path::parse(format!("{}/{relative}", self.authority))?,
            last_modified: metadata.modified().map_or(DateTime::UNIX_EPOCH, DateTime::<Utc>::from),
            size: metadata.len(),
            e_tag: Some(e_tag(metadata)),
            version: None,
        })
    }

    /// Opens a file and checks what was opened.
    fn open_file(&self, location: &Path) -> Result<(File, ObjectMeta)> {
        let relative = self.relative(location)?;
        let (file, metadata) = self.jail.open_file(&relative).map_err(|e| io_error(location, e))?;
        let meta = self.meta(&relative, &metadata)?;
        if let (Some(pins), Some(now)) = (&self.pins, &meta.e_tag)
            && pins.get(location.as_ref()) != Some(now)
        {
            return Err(Error::Precondition { path: location.to_string(), source: "the file changed while it was read".into() });
        }
        Ok((file, meta))
    }

    fn list_below(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let start = match prefix.map(Path::as_ref) {
            None | Some("") => String::new(),
            Some(p) if p == self.authority.as_ref() => String::new(),
            Some(p) => match p.strip_prefix(self.authority.as_ref()).and_then(|p| p.strip_prefix('/')) {
                Some(rest) => rest.to_owned(),
                None => return Ok(Vec::new()),
            },
        };
        let found = self.jail.list(&start).map_err(|e| io_error(&self.root(), e))?;
        let mut out: Vec<ObjectMeta> = found.iter().filter_map(|(relative, metadata)| self.meta(relative, metadata).ok()).collect();
        // Log replay relies on the order of names; a folder's order is any.
        out.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(out)
    }
}

impl Jail {
    fn enter(product: &ProductId, path: &FsPath, prefixes: &[PathBuf]) -> crate::error::Result<Self> {
        let real = fs::canonicalize(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => fault::missing(product),
            _ => fault::unreadable(product, e),
        })?;
        // A prefix is the operator's word and may itself be a link; what a product's owner put below it may not lead out.
        if !prefixes.iter().filter_map(|p| fs::canonicalize(p).ok()).any(|p| real.starts_with(p)) {
            return Err(fault::unreadable(product, "the location leads out of the domain's storage"));
        }
        let metadata = fs::metadata(&real).map_err(|e| fault::unreadable(product, e))?;
        if metadata.is_dir() {
            return Ok(Self { root: real, only: None });
        }
        if !metadata.is_file() {
            return Err(fault::unreadable(product, "not a regular file"));
        }
        match (real.parent(), real.file_name().and_then(|n| n.to_str())) {
            (Some(parent), Some(name)) => Ok(Self { root: parent.to_owned(), only: Some(name.to_owned()) }),
            _ => Err(fault::unreadable(product, "the file's name is not text")),
        }
    }

    fn open_file(&self, relative: &str) -> io::Result<(File, Metadata)> {
        let path = self.root.join(relative);
        // Looked at before it is opened, because opening a device can do things; what counts is looked at afterwards.
        if !fs::metadata(&path)?.is_file() {
            return Err(not_a_file());
        }
        // Not blocking: should the file have become a pipe in between, this must not wait for a writer.
        let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        let real = fs::canonicalize(&path)?;
        let reached = fs::metadata(&real)?;
        if !real.starts_with(&self.root) || reached.dev() != metadata.dev() || reached.ino() != metadata.ino() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file leads out of the product"));
        }
        Ok((file, metadata))
    }

    fn list(&self, start: &str) -> io::Result<Vec<(String, Metadata)>> {
        if let Some(only) = &self.only {
            let here = start.is_empty() || start == only;
            return if here { Ok(self.entry(only)?.into_iter().collect()) } else { Ok(Vec::new()) };
        }
        if start.split('/').any(|s| s == "." || s == "..") {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        let mut folders = vec![(start.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = match fs::canonicalize(&path) {
                Ok(real) if real.starts_with(&self.root) => match fs::read_dir(&real) {
                    Ok(entries) => entries,
                    Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => continue,
                    Err(e) if matches!(e.kind(), io::ErrorKind::NotADirectory) => {
                        out.extend(self.entry(&folder)?);
                        continue;
                    }
                    Err(e) => return Err(e),
                },
                _ => continue,
            };
            for entry in entries {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
                let relative = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    if depth + 1 > MAX_DEPTH {
                        return Err(io::Error::other("folders are nested too deep"));
                    }
                    folders.push((relative, depth + 1));
                } else {
                    out.extend(self.entry(&relative)?);
                }
                if out.len() > MAX_FILES || folders.len() > MAX_FILES {
                    return Err(io::Error::other("too many files"));
                }
            }
        }
        Ok(out)
    }

    /// A regular file that lies below the root, also through a link; nothing otherwise. Links to folders are not followed.
    fn entry(&self, relative: &str) -> io::Result<Option<(String, Metadata)>> {
        let path = self.root.join(relative);
        let (real, metadata) = match (fs::canonicalize(&path), fs::metadata(&path)) {
            (Ok(real), Ok(metadata)) => (real, metadata),
            _ => return Ok(None),
        };
        Ok((real.starts_with(&self.root) && metadata.is_file()).then(|| (relative.to_owned(), metadata)))
    }
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Changes whenever the content does: inode, modification time to the nanosecond, size.
fn e_tag(metadata: &Metadata) -> String {
    format!("{:x}-{:x}.{:x}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
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

impl fmt::Display for PortStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.authority)
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
        let (store, location) = (self.clone(), location.clone());
        blocking(move || {
            let (file, meta) = store.open_file(&location)?;
            options.check_preconditions(&meta)?;
            let range = match &options.range {
                _ if options.head => 0..0,
                Some(wanted) => wanted.as_range(meta.size).map_err(|e| Error::Generic { store: "port", source: e.into() })?,
                None => 0..meta.size,
            };
            Ok(GetResult { payload: GetResultPayload::File(file, PathBuf::new()), meta, range, attributes: Attributes::default() })
        })
        .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (store, location, ranges) = (self.clone(), location.clone(), ranges.to_vec());
        blocking(move || {
            let (file, meta) = store.open_file(&location)?;
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
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(blocking(move || store.list_below(prefix.as_ref())))
            .flat_map(|found| match found {
                Ok(files) => stream::iter(files).map(Ok).left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        blocking(move || {
            let depth = prefix.as_ref().map_or(0, |p| p.parts().count());
            let mut folders = std::collections::BTreeSet::new();
            let mut objects = Vec::new();
            for meta in store.list_below(prefix.as_ref())? {
                let parts: Vec<_> = meta.location.parts().collect();
                match parts.len().checked_sub(depth + 1) {
                    Some(0) | None => objects.push(meta),
                    Some(_) => _ = folders.insert(Path::from_iter(parts.into_iter().take(depth + 1))),
                }
            }
            Ok(ListResult { common_prefixes: folders.into_iter().collect(), objects })
        })
        .await
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
