//! The NorthPeak demo: its catalog, its principals and its data, written to a folder and kept there.
//!
//! Nothing here serves anything. Everything is written beside its place and then renamed into it, so that what was interrupted is not
//! taken for whole, and what is already there is never touched.

mod embedded;
mod people;
mod random;
mod tables;
mod welcome;
mod world;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableError};
use parquet::errors::ParquetError;

use crate::error::{ErrorKind, Fault, Result};

pub use people::{PASSWORD, PRINCIPALS, Person};
use tables::{Rows, TABLES, Table};
pub use welcome::{Doors, FRAUD_QUERY, welcome};
use world::World;

/// Customers at scale 1.
const CUSTOMERS: f64 = 100_000.0;
/// The largest scale: rows are made in memory, a product at a time.
const MAX_SCALE: f64 = 20.0;

/// A demo that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    folder: PathBuf,
}

impl Prepared {
    /// The folder that holds all of it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its `meshgate.toml`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("meshgate.toml")
    }
}

/// Why a part of the demo could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error(transparent)]
    Delta(#[from] DeltaTableError),
    #[error(transparent)]
    User(#[from] people::UserError),
    #[error("the folder has no absolute path")]
    Path,
    #[error("the work was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Writes what is missing in `folder`: catalog, users, configuration, and about 100,000 customers times `scale` with what goes with
/// them. Says on `progress` what it does.
pub async fn prepare(folder: &Path, scale: f64, progress: &mut dyn FnMut(&str)) -> Result<Prepared> {
    if !(scale > 0.0 && scale <= MAX_SCALE) {
        return Err(Fault::new(ErrorKind::InvalidParameter, format!("a scale of {scale} cannot be used"))
            .with_hint(format!("Use a number above 0 and up to {MAX_SCALE}; 1 is about 100,000 customers.")));
    }
    let folder = std::path::absolute(folder).map_err(|error| failed("the folder", error))?;
    fs::create_dir_all(&folder).map_err(|error| failed("the folder", error))?;
    let _lock = lock(&folder)?;
    place(&folder.join("catalog"), write_catalog).map_err(|error| failed("the catalog", error))?;
    let users = folder.join("identity.yaml");
    let written = tokio::task::spawn_blocking(move || place(&users, |partial| Ok(people::write(partial)?))).await;
    written.map_err(Fault::internal)?.map_err(|error| failed("the users", error))?;
    place(&folder.join("meshgate.toml"), |partial| Ok(fs::write(partial, CONFIG)?)).map_err(|error| failed("the configuration", error))?;
    // A float of this range is a whole number of customers without loss.
    let world = World::of((CUSTOMERS * scale).round() as u64);
    for table in TABLES {
        let name = format!("{}.{}", table.domain, table.product);
        let target = folder.join("data").join(table.domain).join(table.product);
        if target.exists() {
            continue;
        }
        progress(&format!("generating {name}"));
        generate(table, world, &target).await.map_err(|error| failed(&name, error))?;
    }
    Ok(Prepared { folder })
}

const CONFIG: &str = "\
# The NorthPeak demo. Every key that is not here has its default; docs/config.md lists them all.
[server]
region = \"eu\"
[catalog]
location = \"catalog\"
[state]
location = \"state\"
[identity]
users = \"identity.yaml\"
";

fn failed(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    let error = error.into();
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let fault = Fault::new(ErrorKind::Storage, format!("{what} of the demo could not be written"));
    let fault = match kind {
        Some(kind) => fault.with_detail(format!("The system says: {kind}.")),
        None => fault,
    };
    fault.with_source(error)
}

/// Two that prepare the same folder would write into each other's files.
fn lock(folder: &Path) -> Result<File> {
    let file = File::create(folder.join(".lock")).map_err(|error| failed("the folder", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::new(ErrorKind::Storage, "another demo is being prepared in this folder")
            .with_hint("Wait until it is ready, or choose another folder with --dir.")),
        Err(TryLockError::Error(error)) => Err(failed("the folder", error)),
    }
}

/// Makes `target` by writing beside it and renaming, unless it is there.
fn place(target: &Path, write: impl FnOnce(&Path) -> Result<(), WriteError>) -> Result<(), WriteError> {
    if target.exists() {
        return Ok(());
    }
    let partial = partial(target)?;
    write(&partial)?;
    Ok(fs::rename(&partial, target)?)
}

/// Where `target` is written before it is whole. What an interrupted run left there is removed; the lock keeps others away.
fn partial(target: &Path) -> Result<PathBuf, WriteError> {
    let name = target.file_name().and_then(|name| name.to_str()).ok_or(WriteError::Path)?;
    let partial = target.with_file_name(format!(".{name}.partial"));
    match fs::symlink_metadata(&partial) {
        Ok(left) if left.is_dir() => fs::remove_dir_all(&partial)?,
        Ok(_) => fs::remove_file(&partial)?,
        Err(_) => {}
    }
    Ok(partial)
}

fn write_catalog(folder: &Path) -> Result<(), WriteError> {
    for (file, text) in embedded::CATALOG {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

async fn generate(table: Table, world: World, target: &Path) -> Result<(), WriteError> {
    let partial = partial(target)?;
    fs::create_dir_all(&partial)?;
    match table.rows {
        Rows::Files(write) => {
            let folder = partial.clone();
            tokio::task::spawn_blocking(move || write(world, &folder)).await??;
        }
        Rows::Delta(partitions, rows) => {
            let commits = tokio::task::spawn_blocking(move || rows(world)).await??;
            let url = url::Url::from_directory_path(&partial).map_err(|()| WriteError::Path)?;
            let mut delta = DeltaTable::try_from_url(url).await?;
            for batch in commits {
                let write = delta.write(vec![batch]).with_save_mode(SaveMode::Append);
                delta = write.with_partition_columns(partitions.iter().copied()).await?;
            }
        }
    }
    Ok(fs::rename(&partial, target)?)
}

#[cfg(test)]
mod tests;
