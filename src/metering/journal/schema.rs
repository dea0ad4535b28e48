//! The journal's file: its lock, its tables, and what is checked when it is opened.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::entries::{Entries, Volumes};
use super::record::Settlement;
use super::{FILE, before};
use crate::error::{ErrorKind, Fault, Result};
use crate::metering::Month;
use crate::metering::budget::Whose;
use crate::metering::correct::booked_in;
use crate::metering::ledger::{attach_own, months};

/// Raised with every change of the tables. A journal of another version is not opened.
pub(in crate::metering) const VERSION: i64 = 5;

/// Pages (of 4 KiB) that the write-ahead log may hold before it is moved into the file.
const LOG_PAGES: i64 = 8000;

/// Marks the file as ours (`file` and others show it): "MESG".
const APPLICATION_ID: i64 = 0x4d45_5347;

const TABLES: &str = "
    CREATE TABLE gateway (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), gateway_id TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
    CREATE TABLE boots (boot INTEGER PRIMARY KEY, started_at INTEGER NOT NULL) STRICT;
    CREATE TABLE open (query_id TEXT PRIMARY KEY, boot INTEGER NOT NULL, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE queries (
        entry INTEGER PRIMARY KEY, query_id TEXT NOT NULL UNIQUE, boot INTEGER NOT NULL, started_at INTEGER NOT NULL,
        ended_at INTEGER NOT NULL, principal TEXT NOT NULL, consumer_domain TEXT NOT NULL, cost_center TEXT, purpose TEXT,
        protocol TEXT NOT NULL, application_name TEXT, statement_digest TEXT NOT NULL, duration_ms INTEGER NOT NULL,
        queued_ms INTEGER NOT NULL, rows_returned INTEGER NOT NULL, outcome TEXT NOT NULL, sqlstate TEXT, statement TEXT,
        workload TEXT, tags TEXT) STRICT;
    CREATE TABLE usage (
        entry INTEGER PRIMARY KEY, boot INTEGER NOT NULL, seq INTEGER NOT NULL, query_id TEXT NOT NULL, started_at INTEGER NOT NULL,
        ended_at INTEGER NOT NULL, principal TEXT NOT NULL, consumer_domain TEXT NOT NULL, cost_center TEXT, purpose TEXT,
        protocol TEXT NOT NULL, application_name TEXT, producer_domain TEXT NOT NULL, product TEXT NOT NULL, port TEXT NOT NULL,
        product_version TEXT NOT NULL, table_version TEXT NOT NULL, bytes_from_storage INTEGER NOT NULL, bytes_from_cache INTEGER NOT NULL,
        bytes_metadata INTEGER NOT NULL, storage_requests INTEGER NOT NULL, rows_returned INTEGER NOT NULL, outcome TEXT NOT NULL,
        price_id TEXT, unit_price TEXT, currency TEXT, cost_micros INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
        month TEXT NOT NULL, bytes_charged INTEGER, volume_before INTEGER, workload TEXT, tags TEXT, UNIQUE (boot, seq)) STRICT;
    CREATE INDEX usage_of_query ON usage (query_id);
    CREATE TABLE decisions (
        entry INTEGER PRIMARY KEY, decided_at INTEGER NOT NULL, query_id TEXT NOT NULL, principal TEXT NOT NULL,
        consumer_domain TEXT NOT NULL, product TEXT NOT NULL, permitted INTEGER NOT NULL, reasons TEXT NOT NULL, row_filters TEXT NOT NULL,
        masks TEXT NOT NULL, policy_revision TEXT NOT NULL, request TEXT) STRICT;
    CREATE TRIGGER queries_stay BEFORE UPDATE ON queries BEGIN SELECT RAISE(ABORT, 'the ledger is not changed'); END;
    CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END;
";

/// What every version since the third has: rows by the month that bills them, the volumes that tiers count, and what was closed.
const BILLING: &str = "
    CREATE TABLE closes (month TEXT PRIMARY KEY, closed_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE corrections (
        entry INTEGER PRIMARY KEY, correction_id TEXT NOT NULL UNIQUE, month TEXT NOT NULL, of_month TEXT NOT NULL,
        corrected_at INTEGER NOT NULL, corrected_by TEXT NOT NULL, reason TEXT NOT NULL, consumer_domain TEXT NOT NULL, cost_center TEXT,
        producer_domain TEXT NOT NULL, product TEXT NOT NULL, currency TEXT NOT NULL, cost_micros INTEGER NOT NULL,
        cost_rest INTEGER NOT NULL) STRICT;
    CREATE TABLE statements (
        entry INTEGER PRIMARY KEY, statement_id TEXT NOT NULL UNIQUE, month TEXT NOT NULL, consumer_domain TEXT NOT NULL,
        currency TEXT NOT NULL, mode TEXT NOT NULL, issued_at INTEGER NOT NULL, previous TEXT, hash TEXT NOT NULL,
        UNIQUE (month, consumer_domain, currency)) STRICT;
    CREATE TABLE statement_lines (
        entry INTEGER PRIMARY KEY, statement_id TEXT NOT NULL, line INTEGER NOT NULL, kind TEXT NOT NULL, of_month TEXT NOT NULL,
        cost_center TEXT, producer_domain TEXT NOT NULL, producer_cost_center TEXT, product TEXT NOT NULL, price_id TEXT, unit_price TEXT,
        queries INTEGER NOT NULL, bytes_scanned INTEGER NOT NULL, bytes_charged INTEGER NOT NULL, cost_micros INTEGER NOT NULL,
        cost_rest INTEGER NOT NULL, reason TEXT, told_rounded INTEGER NOT NULL, UNIQUE (statement_id, line)) STRICT;
    CREATE TRIGGER closes_stay BEFORE UPDATE ON closes BEGIN SELECT RAISE(ABORT, 'a close is not changed'); END;
    CREATE TRIGGER closes_remain BEFORE DELETE ON closes BEGIN SELECT RAISE(ABORT, 'a close is not taken back'); END;
    CREATE TRIGGER corrections_stay BEFORE UPDATE ON corrections BEGIN SELECT RAISE(ABORT, 'the ledger is not changed'); END;
    CREATE TRIGGER corrections_remain BEFORE DELETE ON corrections BEGIN SELECT RAISE(ABORT, 'the ledger is not changed'); END;
    CREATE TRIGGER statements_stay BEFORE UPDATE ON statements BEGIN SELECT RAISE(ABORT, 'a statement is not changed'); END;
    CREATE TRIGGER statements_remain BEFORE DELETE ON statements BEGIN SELECT RAISE(ABORT, 'a statement is not taken back'); END;
    CREATE TRIGGER lines_stay BEFORE UPDATE ON statement_lines BEGIN SELECT RAISE(ABORT, 'a statement is not changed'); END;
    CREATE TRIGGER lines_remain BEFORE DELETE ON statement_lines BEGIN SELECT RAISE(ABORT, 'a statement is not taken back'); END;
    CREATE TRIGGER closed_usage BEFORE INSERT ON usage WHEN NEW.month <= (SELECT max(month) FROM closes)
        BEGIN SELECT RAISE(ABORT, 'the month is closed'); END;
    CREATE TRIGGER closed_corrections BEFORE INSERT ON corrections WHEN NEW.month <= (SELECT max(month) FROM closes)
        BEGIN SELECT RAISE(ABORT, 'the month is closed'); END;
    CREATE INDEX usage_by_month ON usage (month);
    CREATE INDEX usage_volumes ON usage (month, consumer_domain, price_id, bytes_charged) WHERE volume_before IS NOT NULL;
    CREATE TRIGGER usage_stays BEFORE UPDATE ON usage BEGIN SELECT RAISE(ABORT, 'the ledger is not changed'); END;
";

/// What a journal of version 1 lacks: the text of statements, and what a decision was about.
const SINCE_VERSION_1: &str = "
    ALTER TABLE queries ADD COLUMN statement TEXT;
    ALTER TABLE decisions ADD COLUMN request TEXT;
";

/// What a journal of version 2 lacks. What its rows were charged for in bytes was not kept.
const SINCE_VERSION_2: &str = "
    DROP TRIGGER usage_stays;
    DROP INDEX usage_by_time;
    ALTER TABLE usage ADD COLUMN month TEXT NOT NULL DEFAULT '';
    ALTER TABLE usage ADD COLUMN bytes_charged INTEGER;
    ALTER TABLE usage ADD COLUMN volume_before INTEGER;
    UPDATE usage SET month = strftime('%Y-%m', started_at / 1000000, 'unixepoch');
";

/// What a journal of version 4 lacks: what kind of work a query is, and its session's tags.
const SINCE_VERSION_4: &str = "
    ALTER TABLE queries ADD COLUMN workload TEXT;
    ALTER TABLE queries ADD COLUMN tags TEXT;
    ALTER TABLE usage ADD COLUMN workload TEXT;
    ALTER TABLE usage ADD COLUMN tags TEXT;
";

/// The one connection that writes, and the lock that makes it the only one.
pub(super) struct Store {
    connection: Connection,
    gateway_id: String,
    boot: i64,
    seq: i64,
    volumes: Volumes,
    _lock: File,
}

impl Store {
    /// Locks, opens, checks and recovers the journal in `folder`.
    pub(super) fn open(folder: &Path, now: DateTime<Utc>) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| unusable("the state folder cannot be made").with_source(error))?;
        Self::open_unless_used(folder, now)?.ok_or_else(|| {
            unusable("the usage journal is in use by another gateway")
                .with_hint("Stop the other process, or give this gateway a state folder of its own.")
        })
    }

    /// The same in a folder that is there; `None` where a gateway has it open.
    pub(super) fn open_unless_used(folder: &Path, now: DateTime<Utc>) -> Result<Option<Self>> {
        let Some(lock) = lock(folder)? else { return Ok(None) };
        let open = || connect(&folder.join(FILE)).map_err(|error| opening(error, "the usage journal cannot be opened"));
        let mut connection = open()?;
        let version = check(&connection)?;
        if (1..VERSION).contains(&version) {
            upgrade(connection, &folder.join(FILE), version)
                .map_err(|error| opening(error, "the usage journal cannot be brought up to this version"))?;
            connection = open()?;
        }
        let (gateway_id, boot) = begin_boot(&mut connection, now).map_err(|error| opening(error, "the usage journal cannot be written"))?;
        let mut store = Self { connection, gateway_id, boot, seq: 0, volumes: Volumes::new(), _lock: lock };
        let crashed = store.recover().map_err(|error| opening(error, "the usage journal cannot be recovered"))?;
        if crashed > 0 {
            tracing::warn!(queries = crashed, "settled queries that an earlier process left unfinished");
        }
        Ok(Some(store))
    }

    pub(super) fn gateway_id(&self) -> &str {
        &self.gateway_id
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Writes in one transaction; what it wrote is on disk when this answers.
    pub(super) fn write(&mut self, work: impl FnOnce(&mut Entries<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let Self { connection, boot, seq, volumes, .. } = self;
        let written = Entries::begin(connection, *boot, *seq, volumes).and_then(|mut entries| {
            work(&mut entries)?;
            entries.commit()
        });
        match written {
            Ok(last) => *seq = last,
            // They may count rows that were not written.
            Err(_) => volumes.clear(),
        }
        written.map(drop)
    }

    /// Settles what earlier boots left open, at their last durable progress.
    fn recover(&mut self) -> rusqlite::Result<usize> {
        let boot = self.boot;
        let left: Vec<String> = {
            let mut statement = self.connection.prepare("SELECT record FROM open WHERE boot < ?1")?;
            let rows = statement.query_map([boot], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        self.write(|entries| {
            for record in &left {
                let mut settlement: Settlement =
                    serde_json::from_str(record).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                settlement.inherit_price();
                entries.settle(&settlement)?;
            }
            Ok(())
        })?;
        Ok(left.len())
    }

    /// What was spent in the month, and scanned in the month and on the day.
    pub(super) fn spent(&self, now: DateTime<Utc>) -> rusqlite::Result<Vec<(Whose, i128)>> {
        before::spent(&self.connection, now)
    }

    /// What the corrections of the month add to that.
    pub(super) fn corrected(&self, now: DateTime<Utc>) -> rusqlite::Result<Vec<(Whose, i128)>> {
        booked_in(&self.connection, Month::of(now))
    }

    /// Moves everything from the write-ahead log into the file, so that the file alone is the journal.
    pub(super) fn finish(self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Lets go of the file without touching it again: what the disk holds after a failed flush is not known.
    pub(super) fn abandon(self) {
        if let Err(error) = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
            tracing::error!(%error, "the usage journal could not be let go of");
        }
    }
}

/// Two processes must not write one journal. The lock goes with the process, however it ends.
fn lock(folder: &Path) -> Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("journal.lock"));
    let file = file.map_err(|error| unusable("the state folder cannot be written").with_source(error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable("the usage journal cannot be locked").with_source(error)),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // For the gateway's own user: SQLite gives its other files the mode of this one.
    let made = File::options().create(true).append(true).mode(0o600).open(path);
    made.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Tidying the log stalls the settlements of that moment: seldom and more of it at once keeps that out of the 99th percentile.
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    Ok(connection)
}

/// Refuses a file that is damaged or not ours, and says its version: 0 for a new one, which is empty.
fn check(connection: &Connection) -> Result<i64> {
    let mistake = |error| opening(error, "the usage journal is damaged");
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(mistake)?;
    if finding != "ok" {
        return Err(unusable("the usage journal is damaged").with_detail("SQLite's integrity check failed.").with_source(finding));
    }
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(mistake);
    match (number("application_id")?, number("user_version")?) {
        (0, 0) => Ok(0),
        (APPLICATION_ID, version @ 1..=VERSION) => Ok(version),
        (APPLICATION_ID, _) => Err(unusable("the usage journal was written by another version of meshgate")),
        _ => Err(unusable("the usage journal's file belongs to another program")),
    }
}

/// Gives an older journal what it lacks, all of it or nothing.
fn upgrade(mut connection: Connection, path: &Path, version: i64) -> rusqlite::Result<()> {
    attach_own(&connection, path)?;
    let transaction = connection.transaction()?;
    if version == 1 {
        transaction.execute_batch(SINCE_VERSION_1)?;
    }
    if version <= 2 {
        transaction.execute_batch(SINCE_VERSION_2)?;
        transaction.execute_batch(BILLING)?;
    }
    transaction.execute_batch(SINCE_VERSION_4)?;
    if version <= 3 {
        transaction.execute_batch(&months::tables("TRUE"))?;
        // With the rows that retention has moved.
        transaction.execute_batch(&months::catch_up("own_usage"))?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Makes the tables where there are none, and notes that a process begins.
fn begin_boot(connection: &mut Connection, now: DateTime<Utc>) -> rusqlite::Result<(String, i64)> {
    let transaction = connection.transaction()?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(BILLING)?;
        transaction.execute_batch(&months::tables("TRUE"))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        let id = Uuid::now_v7().as_simple().to_string();
        transaction.execute("INSERT INTO gateway VALUES (1, ?1, ?2)", params![id, now.timestamp_micros()])?;
    }
    // Readers of the ledger ask what was decided for each of its rows.
    transaction.execute_batch("CREATE INDEX IF NOT EXISTS decisions_of_query ON decisions (query_id)")?;
    transaction.execute("INSERT INTO boots (started_at) VALUES (?1)", [now.timestamp_micros()])?;
    let boot = transaction.last_insert_rowid();
    let gateway_id = transaction.query_row("SELECT gateway_id FROM gateway", [], |row| row.get(0))?;
    transaction.commit()?;
    Ok((gateway_id, boot))
}

fn unusable(message: &str) -> Fault {
    Fault::new(ErrorKind::Storage, message)
}

fn opening(error: rusqlite::Error, otherwise: &str) -> Fault {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let message = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => "the usage journal is damaged",
        _ => otherwise,
    };
    unusable(message).with_source(error)
}
