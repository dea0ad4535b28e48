//! The published rows that this gateway's journal does not have: other gateways', and its own that retention has taken out.
//!
//! It is a file of SQLite beside the journal, so that the finance views answer from this machine, whatever the storage of the published
//! table does. It is written by the publisher alone, a table version at a time: what a version has of a gateway comes in one transaction, since
//! every version has of each gateway all rows up to some entry, but its files may have them in any order. So the newest entry that is here says
//! what is missing.
//!
//! A lost file is made again from the published table, and a lost table from journal and file.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params, params_from_iter};
use rust_decimal::Decimal;

use crate::error::{ErrorKind, Fault, Result};
use crate::metering::ledger::{Kind, MIRROR, Stored, months, stored};
use crate::metering::price::Cost;

/// What is kept of a gateway's rows, to be compared with what is there elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) rows: i64,
    pub(super) bytes: i64,
    pub(super) cost: Cost,
}

/// The SQL of a [`Summary`].
pub(super) const SUMMARY: &str =
    "count(*), coalesce(sum(bytes_from_storage + bytes_from_cache), 0), coalesce(sum(cost_micros), 0), coalesce(sum(cost_rest), 0)";

impl Summary {
    pub(super) fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { rows: row.get(0)?, bytes: row.get(1)?, cost: Cost::from_halves(row.get(2)?, row.get(3)?) })
    }
}

/// The file, open for writing. There is one writer.
pub(super) struct Mirror {
    connection: Connection,
    /// This gateway: its rows keep their entries, others' get entries of this file's own, which are negative.
    own: String,
    /// The newest entry of each gateway that is here.
    newest: HashMap<String, i64>,
}

impl Mirror {
    /// Opens or makes the one of a state folder.
    pub(super) fn open(state: &Path, own: &str) -> Result<Self> {
        Self::make(state, own).map_err(|fault| {
            fault.with_detail(format!("{MIRROR} in the state folder is made again from the published table where it is missing."))
        })
    }

    fn make(state: &Path, own: &str) -> Result<Self> {
        let connection = Connection::open(state.join(MIRROR)).map_err(broken)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(broken)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(broken)?;
        // What retention takes out of the journal is on this disk here alone.
        connection.pragma_update(None, "synchronous", "full").map_err(broken)?;
        let columns: String = stored().flat_map(|column| column.sql.split(", ").map(move |name| declared(name, column.kind))).collect();
        let tables = format!(
            "CREATE TABLE IF NOT EXISTS usage (
                 entry INTEGER PRIMARY KEY, gateway_id TEXT NOT NULL, number INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL
                 {columns}, UNIQUE (gateway_id, number)) STRICT;
             CREATE INDEX IF NOT EXISTS usage_of_query ON usage (query_id);
             CREATE INDEX IF NOT EXISTS usage_by_time ON usage (started_at);"
        );
        connection.execute_batch(&format!("BEGIN; {tables} COMMIT;")).map_err(broken)?;
        widen(&connection).map_err(broken)?;
        sum_up(&connection).map_err(broken)?;
        let newest = newest(&connection).map_err(broken)?;
        Ok(Self { connection, own: own.to_owned(), newest })
    }

    /// The newest entry of a gateway's journal that is here; 0 where there is none.
    pub(super) fn newest(&self, gateway: &str) -> i64 {
        self.newest.get(gateway).copied().unwrap_or_default()
    }

    /// Begins to take what a table version has of a gateway between what is here and an entry, which is the last that is taken.
    pub(super) fn begin(&mut self, gateway: &str, up_to: i64) -> Result<Taking<'_>> {
        let behind = self.newest(gateway);
        let lowest: i64 =
            self.connection.query_row("SELECT min(coalesce(min(entry), 0), 0) FROM usage", [], |row| row.get(0)).map_err(broken)?;
        let key = (gateway != self.own).then_some(lowest);
        let transaction = self.connection.transaction().map_err(broken)?;
        Ok(Taking { transaction, newest: &mut self.newest, gateway: gateway.to_owned(), behind, up_to, reached: behind, key, rows: 0 })
    }

    /// This gateway's rows up to an entry, from another one on.
    pub(super) fn summary(&self, from: i64, to: i64) -> Result<Summary> {
        let sql = format!("SELECT {SUMMARY} FROM usage WHERE gateway_id = ?1 AND number BETWEEN ?2 AND ?3");
        self.connection.query_row(&sql, params![self.own, from, to], Summary::of).map_err(broken)
    }
}

/// A column that an older file lacks is added, and NULL in its rows, as it is in those that were published without it.
fn widen(connection: &Connection) -> rusqlite::Result<()> {
    for column in stored() {
        for name in column.sql.split(", ") {
            let there: bool =
                connection
                    .query_row("SELECT EXISTS (SELECT 1 FROM pragma_table_info('usage') WHERE name = ?1)", [name], |row| row.get(0))?;
            if !there {
                connection
                    .execute_batch(&format!("ALTER TABLE usage ADD COLUMN {}", declared(name, column.kind).trim_start_matches(',')))?;
            }
        }
    }
    Ok(())
}

/// Sums up other gateways' rows, which are those with negative entries: the journal has the sums of this one's.
fn sum_up(connection: &Connection) -> rusqlite::Result<()> {
    let there = connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'usage_months')", [], |row| row.get(0))?;
    if there {
        return Ok(());
    }
    let (tables, rows) = (months::tables("NEW.entry < 0"), months::catch_up("(SELECT * FROM usage WHERE entry < 0)"));
    connection.execute_batch(&format!("BEGIN; {tables} {rows} COMMIT;"))
}

fn declared(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Int | Kind::Time | Kind::Cost => format!(", {name} INTEGER"),
        Kind::Text | Kind::Price | Kind::Texts => format!(", {name} TEXT"),
    }
}

fn newest(connection: &Connection) -> rusqlite::Result<HashMap<String, i64>> {
    let mut statement = connection.prepare("SELECT gateway_id, max(number) FROM usage GROUP BY gateway_id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Rows of one gateway that are being taken, all or none.
pub(super) struct Taking<'m> {
    transaction: Transaction<'m>,
    newest: &'m mut HashMap<String, i64>,
    gateway: String,
    behind: i64,
    up_to: i64,
    reached: i64,
    /// The entry that was given to the last row here, where the gateway is another.
    key: Option<i64>,
    rows: u64,
}

impl Taking<'_> {
    /// Takes what is missing of a batch of the published table.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns: Vec<(Stored, Option<ArrayRef>)> =
            stored().map(|column| Ok((column, read(batch, column.published, column.kind)?))).collect::<Result<_>>()?;
        let numbers = read(batch, "journal_entry", Kind::Int)?.ok_or_else(|| foreign("it has no journal_entry"))?;
        let ids = read(batch, "usage_id", Kind::Text)?.ok_or_else(|| foreign("it has no usage_id"))?;
        let (numbers, ids) = (numbers.as_primitive::<Int64Type>(), ids.as_string::<i32>());
        let names: Vec<&str> = columns.iter().flat_map(|(column, _)| column.sql.split(", ")).collect();
        let sql = format!(
            "INSERT OR IGNORE INTO usage (entry, gateway_id, number, boot, seq, {}) VALUES (?{})",
            names.join(", "),
            ", ?".repeat(names.len() + 4)
        );
        let mut insert = self.transaction.prepare_cached(&sql).map_err(broken)?;
        for (at, number) in numbers.values().iter().copied().enumerate() {
            if number <= self.behind || number > self.up_to {
                continue;
            }
            let (boot, seq) = boot_and_seq(ids.value(at)).ok_or_else(|| foreign("a usage_id is not one of meshgate's"))?;
            let entry = match &mut self.key {
                Some(key) => {
                    *key -= 1;
                    *key
                }
                None => number,
            };
            let which = [Value::Integer(entry), Value::Text(self.gateway.clone()), Value::Integer(number), boot, seq];
            let values = columns.iter().flat_map(|(column, array)| values(column, array.as_ref(), at));
            let new = insert.execute(params_from_iter(which.into_iter().chain(values))).map_err(broken)?;
            self.rows += new as u64;
            self.reached = self.reached.max(number);
        }
        Ok(())
    }

    /// Makes it durable, and says how many rows are new.
    pub(super) fn commit(self) -> Result<u64> {
        self.transaction.commit().map_err(broken)?;
        self.newest.insert(self.gateway, self.reached);
        Ok(self.rows)
    }
}

/// A column as the published table is meant to have it, if this file of it has it at all.
fn read(batch: &RecordBatch, name: &str, kind: Kind) -> Result<Option<ArrayRef>> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    cast(array, &kind.data_type()).map(Some).map_err(|_| foreign("a column has another type"))
}

/// What the journal's columns would hold: an amount is two.
fn values(column: &Stored, array: Option<&ArrayRef>, at: usize) -> Vec<Value> {
    let count = column.sql.split(", ").count();
    let Some(array) = array.filter(|array| array.is_valid(at)) else { return vec![Value::Null; count] };
    match column.kind {
        Kind::Text | Kind::Texts => vec![Value::Text(array.as_string::<i32>().value(at).to_owned())],
        Kind::Int => vec![Value::Integer(array.as_primitive::<Int64Type>().value(at))],
        Kind::Time => vec![Value::Integer(array.as_primitive::<TimestampMicrosecondType>().value(at))],
        Kind::Cost => {
            let (upper, lower) = Cost::from_units(array.as_primitive::<Decimal128Type>().value(at)).halves();
            vec![Value::Integer(upper), Value::Integer(lower)]
        }
        Kind::Price => {
            let scale = u32::from(array.as_primitive::<Decimal128Type>().scale().unsigned_abs());
            let price = Decimal::try_from_i128_with_scale(array.as_primitive::<Decimal128Type>().value(at), scale);
            vec![price.map_or(Value::Null, |price| Value::Text(price.normalize().to_string()))]
        }
    }
}

/// The end of `<gateway>-<boot>-<seq>`.
fn boot_and_seq(usage_id: &str) -> Option<(Value, Value)> {
    let mut parts = usage_id.rsplit('-');
    let seq = parts.next()?.parse().ok()?;
    let boot = parts.next()?.parse().ok()?;
    Some((Value::Integer(boot), Value::Integer(seq)))
}

fn broken(error: rusqlite::Error) -> Fault {
    Fault::new(ErrorKind::Storage, "the copy of published usage cannot be used").with_source(error)
}

fn foreign(why: &str) -> Fault {
    Fault::new(ErrorKind::Storage, "the published ledger has files that no meshgate wrote").with_detail(why)
}
