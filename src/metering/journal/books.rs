//! The journal for commands that write to it: beside a gateway that runs, or where none does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};

use super::schema::{Store, VERSION};
use super::{FILE, cannot_write};
use crate::error::{ErrorKind, Fault, Result};
use crate::metering::ledger::attach_own;

/// A journal that is there, of this version, with nothing left unsettled by a process that is gone.
pub(in crate::metering) struct Books(PathBuf);

impl Books {
    /// Where no gateway has it open, what an earlier one left unfinished is settled first, as its next start would.
    pub(in crate::metering) fn open(state: &Path, now: DateTime<Utc>) -> Result<Self> {
        let path = state.join(FILE);
        if !path.is_file() {
            return Err(Fault::new(ErrorKind::Storage, "there is no usage journal in the state folder")
                .with_hint("A gateway makes it when it first serves; `--config` says which state folder is meant."));
        }
        if let Some(store) = Store::open_unless_used(state, now)? {
            store.finish().map_err(Self::cannot_write)?;
        }
        Ok(Self(path))
    }

    /// A connection that writes. Whoever uses it keeps its transactions short: a gateway waits for them.
    pub(in crate::metering) fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags).map_err(Self::cannot_read)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(Self::cannot_read)?;
        connection.pragma_update(None, "synchronous", "full").map_err(Self::cannot_read)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(Self::cannot_read)?;
        if version == VERSION {
            attach_own(&connection, &self.0).map_err(Self::cannot_read)?;
            return Ok(connection);
        }
        // Only beside a gateway of another version.
        Err(Fault::new(ErrorKind::Storage, "the usage journal was written by another version of meshgate")
            .with_hint("Use the version of the gateway that runs."))
    }

    pub(in crate::metering) fn cannot_read(error: rusqlite::Error) -> Fault {
        Fault::new(ErrorKind::Storage, "the usage journal cannot be read").with_source(error)
    }

    pub(in crate::metering) fn cannot_write(error: rusqlite::Error) -> Fault {
        Fault::new(ErrorKind::Storage, cannot_write().message().to_owned()).with_source(error)
    }
}
