//! Small files of records that the gateway keeps for itself, beside the journal: SQLite in write-ahead mode with full synchronisation, so that
//! what was answered is on disk. Each file is this process's alone: the journal's lock is the state folder's.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use crate::error::{ErrorKind, Fault, Result};

/// What a file is, so that another is told from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// What it holds, as errors say it: "access records".
    pub(crate) name: &'static str,
    /// Marks the file as ours (`file` and others show it).
    pub(crate) application_id: i64,
    /// Raised with every change of the tables. A file of another version is not opened.
    pub(crate) version: i64,
    /// The statements that make its tables.
    pub(crate) tables: &'static str,
}

impl Kind {
    /// Opens and checks the file, or makes it.
    pub(crate) fn open(&self, path: &Path) -> Result<Connection> {
        let mut connection = connect(path).map_err(|error| self.unusable("cannot be opened", error))?;
        self.check(&connection)?;
        self.make_tables(&mut connection).map_err(|error| self.cannot_write(error))?;
        Ok(connection)
    }

    /// Writes in one transaction, which is on disk when this answers. What is refused is not written.
    pub(crate) fn write<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>,
    ) -> Result<T> {
        let run = || {
            let transaction = connection.transaction()?;
            let answer = work(&transaction)?;
            if answer.is_ok() {
                transaction.commit()?;
            }
            Ok(answer)
        };
        run().map_err(|error| self.cannot_write(error))?
    }

    /// The fault of what could not be written.
    pub(crate) fn cannot_write(&self, error: rusqlite::Error) -> Fault {
        self.unusable("cannot be written", error)
    }

    /// The fault of what could not be read.
    pub(crate) fn cannot_read(&self, error: rusqlite::Error) -> Fault {
        self.unusable("cannot be read", error)
    }

    fn unusable(&self, what: &str, error: rusqlite::Error) -> Fault {
        Fault::new(ErrorKind::Storage, format!("the {} {what}", self.name))
            .with_hint("Ask the gateway's operator to look at the state folder.")
            .with_source(error)
    }

    /// Refuses a file that is damaged or not ours. A new one is empty and passes.
    fn check(&self, connection: &Connection) -> Result<()> {
        let damaged = |error| self.unusable("are damaged", error);
        let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damaged)?;
        if finding != "ok" {
            return Err(Fault::new(ErrorKind::Storage, format!("the {} are damaged", self.name)).with_source(finding));
        }
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(damaged);
        match (number("application_id")?, number("user_version")?) {
            (0, 0) => Ok(()),
            (id, version) if id == self.application_id && version == self.version => Ok(()),
            (id, _) if id == self.application_id => {
                Err(Fault::new(ErrorKind::Storage, format!("the {} were written by another version of meshgate", self.name)))
            }
            _ => Err(Fault::new(ErrorKind::Storage, format!("the {}' file belongs to another program", self.name))),
        }
    }

    fn make_tables(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            transaction.execute_batch(self.tables)?;
            transaction.pragma_update(None, "application_id", self.application_id)?;
            transaction.pragma_update(None, "user_version", self.version)?;
        }
        transaction.commit()
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // For the gateway's own user: SQLite gives its other files the mode of this one.
    let made = File::options().create(true).append(true).mode(0o600).open(path);
    made.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}
