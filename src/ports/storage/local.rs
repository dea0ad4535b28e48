//! The jail around a location of this machine.
//!
//! A file is opened first and checked afterwards, on the opened handle: it must be a regular file, and the same inode must be reachable at
//! a canonical path below the root. So neither a symlink nor a file swapped between check and use gets out. Hard links cannot be told from
//! files and are not looked for: making one needs write access to the product's folder and to the file.
//!
//! A read is answered with the checked handle, not with bytes: the meter above reads from it, exactly what was asked for.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::MAX_FILES;
use crate::error::Result;
use crate::id::ProductId;
use crate::ports::fault;

/// Folders within folders.
const MAX_DEPTH: usize = 32;

/// The part of the disk that a port is.
#[derive(Debug)]
pub(super) struct Jail {
    /// Canonical.
    root: PathBuf,
}

impl Jail {
    /// Enters a location, and says which file it is if it is one.
    pub(super) fn enter(product: &ProductId, path: &Path, prefixes: &[PathBuf]) -> Result<(Self, Option<String>)> {
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
            return Ok((Self { root: real }, None));
        }
        if !metadata.is_file() {
            return Err(fault::unreadable(product, "not a regular file"));
        }
        match (real.parent(), real.file_name().and_then(|n| n.to_str())) {
            (Some(parent), Some(name)) => Ok((Self { root: parent.to_owned() }, Some(name.to_owned()))),
            _ => Err(fault::unreadable(product, "the file's name is not text")),
        }
    }

    /// Opens a file and checks what was opened.
    pub(super) fn open_file(&self, relative: &str) -> io::Result<(File, Metadata)> {
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

    /// The regular files below a folder, or the one that `start` is.
    pub(super) fn list(&self, start: &str) -> io::Result<Vec<(String, Metadata)>> {
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
    pub(super) fn entry(&self, relative: &str) -> io::Result<Option<(String, Metadata)>> {
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
pub(super) fn e_tag(metadata: &Metadata) -> String {
    format!("{:x}-{:x}.{:x}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}
