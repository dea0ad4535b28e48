//! Reading the journal back: columns as SQL says them, batches as Arrow wants them, a page at a time.
//!
//! Rows of the ledger never change and are numbered as they come, so a reader notes the last number when it begins and then reads pages,
//! each in a short transaction of its own. That is a consistent picture in bounded memory, and a slow reader never keeps the writer from
//! tidying its log. Connections are read-only; the writer is not asked.

mod coarse;
pub(super) mod months;
mod table;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Decimal128Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Row, params_from_iter};

use super::journal::{FILE, Journal, VERSION};
use super::price::{COST_SCALE, Cost};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::DomainName;

pub(crate) use coarse::told;
pub(crate) use table::{Begin, fixed_table, paged_table, paged_tables};
pub(super) use usage::{MIRROR, Stored, attach_own, stored};
pub(crate) use usage::{USAGE, published};

/// Rows of one page. Even, so that both sides of an entry are in one.
const PAGE: i64 = 8192;

/// What is owed: usage as the connection's reader may see it, and corrections.
const CHARGES: &str = "
    CREATE TEMP VIEW charges AS
    SELECT month, consumer_domain, cost_center, producer_domain, product, query_id, principal, purpose, application_name, workload,
        bytes_from_storage + bytes_from_cache AS bytes_scanned, cost_micros, cost_rest, currency FROM usage
    UNION ALL
    SELECT month, consumer_domain, cost_center, producer_domain, product, NULL, NULL, NULL, NULL, NULL, 0, cost_micros, cost_rest, currency
    FROM main.corrections;
";

/// The same by month.
const MONTHLY: &str = "
    CREATE TEMP VIEW monthly AS
    SELECT month, consumer_domain, cost_center, producer_domain, product, queries, bytes_scanned, cost_micros, cost_rest, currency FROM months
    UNION ALL
    SELECT month, consumer_domain, cost_center, producer_domain, product, 0, 0, cost_micros, cost_rest, currency FROM main.corrections;
";

/// The digits of every amount and price: 23 before the point.
const MONEY_PRECISION: u8 = 38;

/// Digits after the point of a price for a tebibyte, and of a percentage.
const PRICE_SCALE: u32 = 10;

/// What a column holds, and so how SQLite's value becomes Arrow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// A number of bytes, rows, milliseconds.
    Int,
    /// Microseconds since 1970, UTC.
    Time,
    /// An amount, from two SQL columns: its halves.
    Cost,
    /// A price for a tebibyte, from text.
    Price,
    /// A list of texts, from JSON.
    Texts,
}

impl Kind {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Cost => DataType::Decimal128(MONEY_PRECISION, COST_SCALE as i8),
            Self::Price => DataType::Decimal128(MONEY_PRECISION, PRICE_SCALE as i8),
            Self::Texts => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        }
    }
}

/// A column of a system table: its name, what it holds, and the SQL that gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) sql: &'static str,
}

/// A column that always has a value.
pub(crate) const fn column(name: &'static str, kind: Kind, sql: &'static str) -> Column {
    Column { name, kind, nullable: false, sql }
}

/// A column that may be NULL.
pub(crate) const fn maybe(name: &'static str, kind: Kind, sql: &'static str) -> Column {
    Column { name, kind, nullable: true, sql }
}

/// The columns as Arrow's schema.
pub(crate) fn schema_of(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new(column.name, column.kind.data_type(), column.nullable)).collect();
    Arc::new(Schema::new(fields))
}

/// Where the figures are. Cheap to clone; each reading opens a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    path: PathBuf,
    is_journal: bool,
    /// Whose member reads it, where not everything is for them: what they read of other domains' filtered products is rounded up.
    reader: Option<DomainName>,
    /// Who writes it, where that is this process: what it was sent is on disk before it is read.
    writer: Option<Journal>,
}

impl Ledger {
    /// The journal of a state folder.
    pub(crate) fn in_folder(state: &Path) -> Self {
        Self { is_journal: true, ..Self::at(&state.join(FILE)) }
    }

    /// Records in another file than a journal.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), is_journal: false, reader: None, writer: None }
    }

    /// This gateway's own journal.
    pub(crate) fn of(journal: &Journal) -> Self {
        Self { is_journal: true, writer: Some(journal.clone()), ..Self::at(journal.path()) }
    }

    /// The same figures as a member of a domain may see them.
    pub(crate) fn seen_from(self, domain: &DomainName) -> Self {
        Self { reader: Some(domain.clone()), ..self }
    }

    /// Whether there is one at all.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_file()
    }

    /// A read-only connection.
    pub(crate) fn connect(&self) -> Result<Connection> {
        if let Some(writer) = &self.writer {
            writer.flush();
        }
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = connection.map_err(cannot_read)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(cannot_read)?;
        if self.is_journal {
            self.define(&connection)?;
        }
        Ok(connection)
    }

    /// What figures are asked of on a connection: rows as the reader is told them, and what is owed.
    fn define(&self, connection: &Connection) -> Result<()> {
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(cannot_read)?;
        if version != VERSION {
            return Err(Fault::new(ErrorKind::Storage, "the usage journal was written by another version of meshgate")
                .with_hint("A gateway of this version brings an older journal up to date when it starts."));
        }
        let mirrored = attach_own(connection, &self.path).map_err(cannot_read)?;
        usage::define(connection, mirrored, self.reader.as_ref()).map_err(cannot_read)?;
        connection.execute_batch(CHARGES).and_then(|()| connection.execute_batch(MONTHLY)).map_err(cannot_read)
    }

    /// The one number that a query gives.
    pub(super) fn number(&self, sql: &str, values: &[i64]) -> Result<i64> {
        self.row(sql, values, |row| row.get(0))
    }

    /// The one row that a query gives.
    pub(super) fn row<T>(&self, sql: &str, values: &[i64], read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> Result<T> {
        self.connect()?.query_row(sql, params_from_iter(values), read).map_err(cannot_read)
    }

    /// All rows of a query that gives few: totals. `sql` gives the columns in order.
    pub(crate) fn all(&self, columns: &[Column], sql: &str, values: &[Value]) -> Result<RecordBatch> {
        let connection = self.connect()?;
        let mut builders = Builders::new(columns);
        let mut statement = connection.prepare(sql).map_err(cannot_read)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(cannot_read)?;
        while let Some(row) = rows.next().map_err(cannot_read)? {
            builders.push(row, 0).map_err(cannot_read)?;
        }
        builders.finish()
    }
}

/// A walk over the rows of one table of the journal, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Walk {
    connection: Connection,
    columns: &'static [Column],
    /// One statement for each relation in which the rows lie, in the order of their entries.
    sql: Vec<String>,
    values: Vec<Value>,
    after: i64,
    last: i64,
}

impl Walk {
    /// Begins one: the rows that are there now and for which `condition` holds, in which `values` are `?1`, `?2`, ….
    pub(crate) fn begin(ledger: &Ledger, columns: &'static [Column], table: &str, condition: &str, values: Vec<Value>) -> Result<Self> {
        Self::join(ledger, columns, table, "", condition, values)
    }

    /// The same where each row is joined with rows of something else: always with two.
    pub(crate) fn join(
        ledger: &Ledger,
        columns: &'static [Column],
        table: &str,
        with: &str,
        condition: &str,
        values: Vec<Value>,
    ) -> Result<Self> {
        let connection = ledger.connect()?;
        let last = connection
            .query_row(&format!("SELECT coalesce(max(entry), 0) FROM main.{table}"), [], |row| row.get(0))
            .map_err(cannot_read)?;
        let list: Vec<&str> = columns.iter().map(|column| column.sql).collect();
        let (from, to) = (values.len() + 1, values.len() + 2);
        // A page of `usage` as a whole would sort all that is left of it.
        let relations: &[&str] = if table == "usage" { &["usage_elsewhere", "usage_here"] } else { &[table] };
        let statement = |relation: &&str| {
            format!(
                "SELECT entry, {} FROM {relation} {with} WHERE ({condition}) AND entry > ?{from} AND entry <= ?{to} ORDER BY entry LIMIT {PAGE}",
                list.join(", ")
            )
        };
        let sql = relations.iter().map(statement).collect();
        Ok(Self { connection, columns, sql, values, after: i64::MIN, last })
    }

    /// The same from behind an entry on.
    pub(super) fn behind(self, entry: i64) -> Self {
        Self { after: entry, ..self }
    }

    /// The entry of the last row that was read.
    pub(super) fn at(&self) -> i64 {
        self.after
    }

    /// The entry of the last row that there is.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// The next page, or `None` at the end.
    pub(crate) fn page(&mut self) -> Result<Option<RecordBatch>> {
        // One transaction for all relations: a row that moves from one to another is seen in one of them.
        let transaction = self.connection.unchecked_transaction().map_err(cannot_read)?;
        for sql in &self.sql {
            let mut builders = Builders::new(self.columns);
            let mut statement = transaction.prepare_cached(sql).map_err(cannot_read)?;
            let window = [Value::Integer(self.after), Value::Integer(self.last)];
            let mut rows = statement.query(params_from_iter(self.values.iter().chain(&window))).map_err(cannot_read)?;
            while let Some(row) = rows.next().map_err(cannot_read)? {
                self.after = row.get(0).map_err(cannot_read)?;
                builders.push(row, 1).map_err(cannot_read)?;
            }
            let batch = builders.finish()?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

fn cannot_read(error: rusqlite::Error) -> Fault {
    Fault::new(ErrorKind::Storage, "the usage journal cannot be read").with_source(error)
}

enum Builder {
    Text(StringBuilder),
    Int(Int64Builder),
    Time(TimestampMicrosecondBuilder),
    Cost(Decimal128Builder),
    Price(Decimal128Builder),
    Texts(ListBuilder<StringBuilder>),
}

/// One Arrow builder a column.
struct Builders {
    schema: SchemaRef,
    builders: Vec<Builder>,
}

impl Builders {
    fn new(columns: &[Column]) -> Self {
        let builders = columns.iter().map(|column| match column.kind {
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Int => Builder::Int(Int64Builder::new()),
            Kind::Time => Builder::Time(TimestampMicrosecondBuilder::new().with_data_type(column.kind.data_type())),
            Kind::Cost => Builder::Cost(Decimal128Builder::new().with_data_type(column.kind.data_type())),
            Kind::Price => Builder::Price(Decimal128Builder::new().with_data_type(column.kind.data_type())),
            Kind::Texts => Builder::Texts(ListBuilder::new(StringBuilder::new())),
        });
        Self { schema: schema_of(columns), builders: builders.collect() }
    }

    /// Takes one row, whose values begin at column `at`.
    fn push(&mut self, row: &Row<'_>, mut at: usize) -> rusqlite::Result<()> {
        for builder in &mut self.builders {
            match builder {
                Builder::Text(texts) => texts.append_option(text(row.get_ref(at)?)?),
                Builder::Int(numbers) => numbers.append_option(row.get(at)?),
                Builder::Time(times) => times.append_option(row.get(at)?),
                Builder::Cost(costs) => {
                    costs.append_value(Cost::from_halves(row.get(at)?, row.get(at + 1)?).units());
                    at += 1;
                }
                Builder::Price(prices) => prices.append_option(text(row.get_ref(at)?)?.and_then(price)),
                Builder::Texts(lists) => {
                    let list: Vec<String> = text(row.get_ref(at)?)?.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
                    list.iter().for_each(|item| lists.values().append_value(item));
                    lists.append(true);
                }
            }
            at += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<RecordBatch> {
        let arrays = self.builders.into_iter().map(|builder| -> ArrayRef {
            match builder {
                Builder::Text(mut texts) => Arc::new(texts.finish()),
                Builder::Int(mut numbers) => Arc::new(numbers.finish()),
                Builder::Time(mut times) => Arc::new(times.finish()),
                Builder::Cost(mut decimals) | Builder::Price(mut decimals) => Arc::new(decimals.finish()),
                Builder::Texts(mut lists) => Arc::new(lists.finish()),
            }
        });
        RecordBatch::try_new(self.schema, arrays.collect()).map_err(Fault::internal)
    }
}

fn text(value: ValueRef<'_>) -> rusqlite::Result<Option<&str>> {
    Ok(value.as_str_or_null()?)
}

/// A stored price in units of 10^-10.
fn price(text: &str) -> Option<i128> {
    let mut price: rust_decimal::Decimal = text.parse().ok()?;
    price.rescale(PRICE_SCALE);
    (price.scale() == PRICE_SCALE).then(|| price.mantissa())
}
