//! Usage as one relation, wherever its rows lie: in the journal, or published and kept in the copy beside it (`publish::mirror`).
//!
//! Here is the one list of the columns of `finops.usage`. What is published, what the copy keeps and what a reader's connection calls `usage`
//! all follow from it, so a column that is added here is in all of them.

use std::path::Path;
use std::sync::LazyLock;

use rusqlite::Connection;

use super::{Column, Kind, coarse, column, maybe, months};
use crate::id::DomainName;

/// The columns of `finops.usage`.
pub(crate) const USAGE: &[Column] = &[
    column("usage_id", Kind::Text, "gateway_id || '-' || boot || '-' || seq"),
    column("query_id", Kind::Text, "query_id"),
    column("gateway_id", Kind::Text, "gateway_id"),
    column("started_at", Kind::Time, "started_at"),
    column("ended_at", Kind::Time, "ended_at"),
    column("principal", Kind::Text, "principal"),
    column("consumer_domain", Kind::Text, "consumer_domain"),
    maybe("purpose", Kind::Text, "purpose"),
    column("protocol", Kind::Text, "protocol"),
    maybe("application_name", Kind::Text, "application_name"),
    column("producer_domain", Kind::Text, "producer_domain"),
    column("product", Kind::Text, "product"),
    column("port", Kind::Text, "port"),
    column("product_version", Kind::Text, "product_version"),
    column("table_version", Kind::Text, "table_version"),
    column("bytes_scanned", Kind::Int, "bytes_from_storage + bytes_from_cache"),
    column("bytes_from_storage", Kind::Int, "bytes_from_storage"),
    column("bytes_from_cache", Kind::Int, "bytes_from_cache"),
    column("bytes_metadata", Kind::Int, "bytes_metadata"),
    column("storage_requests", Kind::Int, "storage_requests"),
    column("rows_returned", Kind::Int, "rows_returned"),
    column("outcome", Kind::Text, "outcome"),
    maybe("price_id", Kind::Text, "price_id"),
    maybe("unit_price", Kind::Price, "unit_price"),
    maybe("currency", Kind::Text, "currency"),
    column("cost", Kind::Cost, "cost_micros, cost_rest"),
    column("month", Kind::Text, "month"),
    maybe("bytes_charged", Kind::Int, "bytes_charged"),
    maybe("volume_before", Kind::Int, "volume_before"),
    maybe("workload", Kind::Text, "workload"),
    maybe("tags", Kind::Text, "tags"),
];

/// What the published table has besides. First the number of the row in its gateway's journal, so that every file has statistics on it.
const NUMBER: Column = column("journal_entry", Kind::Int, "entry");
const COST_CENTER: Column = maybe("cost_center", Kind::Text, "cost_center");

/// The columns of the published table.
pub(crate) fn published() -> &'static [Column] {
    static COLUMNS: LazyLock<Vec<Column>> =
        LazyLock::new(|| std::iter::once(NUMBER).chain(USAGE.iter().copied()).chain([COST_CENTER]).collect());
    &COLUMNS
}

/// A column of the journal's table that is published as it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::metering) struct Stored {
    /// Its name, or both of its names where it is an amount: the halves.
    pub(in crate::metering) sql: &'static str,
    pub(in crate::metering) kind: Kind,
    /// What the published table calls it.
    pub(in crate::metering) published: &'static str,
}

/// The columns that a row of usage has wherever it is stored, besides those that say which row it is (entry, gateway, boot, seq). What is
/// computed from others is not stored.
pub(in crate::metering) fn stored() -> impl Iterator<Item = Stored> {
    let is_name = |sql: &str| sql.split(", ").all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let plain = move |column: &&Column| is_name(column.sql) && !matches!(column.name, "gateway_id" | "journal_entry");
    published().iter().filter(plain).map(|column| Stored { sql: column.sql, kind: column.kind, published: column.name })
}

/// The file beside a journal in which its gateway keeps the published rows that the journal does not have: other gateways', and its own
/// that retention has taken out.
pub(in crate::metering) const MIRROR: &str = "published.sqlite";

/// Attaches the copy of published rows to a connection to the journal at `path`, where there is one: whether there is.
///
/// `own_usage` is then what this gateway settled, wherever it lies: what statements are drawn up from. Other gateways' rows have negative entries.
pub(in crate::metering) fn attach_own(connection: &Connection, path: &Path) -> rusqlite::Result<bool> {
    // Files may be opened for reading only; what is temporary is in memory.
    connection.pragma_update(None, "temp_store", "memory")?;
    let mirror = path.with_file_name(MIRROR);
    let mirrored = match (mirror.is_file(), mirror.to_str()) {
        (true, Some(mirror)) => {
            connection.execute("ATTACH DATABASE ?1 AS mirror", [mirror])?;
            // It is there before its table is, when it is made.
            connection.query_row("SELECT EXISTS (SELECT 1 FROM mirror.sqlite_schema WHERE name = 'usage')", [], |row| row.get(0))?
        }
        _ => false,
    };
    let columns: Vec<&str> = stored().map(|column| column.sql).collect();
    let columns = format!("entry, boot, seq, {}", columns.join(", "));
    let moved = match mirrored {
        true => format!(
            "SELECT entry, boot, seq, {} FROM mirror.usage
             WHERE entry > 0 AND entry < (SELECT coalesce(min(entry), 9223372036854775807) FROM main.usage) UNION ALL",
            in_mirror(connection, |column| column.sql.to_owned())?
        ),
        false => String::new(),
    };
    connection.execute_batch(&format!("CREATE TEMP VIEW own_usage AS {moved} SELECT {columns} FROM main.usage"))?;
    Ok(mirrored)
}

/// The columns of the copy, each as `written`. One that it has not got is NULL: no publisher has opened it since there is such a column.
fn in_mirror(connection: &Connection, written: impl Fn(&Stored) -> String) -> rusqlite::Result<String> {
    let mut names = connection.prepare("SELECT name FROM pragma_table_info('usage', 'mirror')")?;
    let there: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let sql = |column: Stored| {
        let names = column.sql.split(", ");
        match names.clone().all(|name| there.iter().any(|known| known == name)) {
            true => written(&column),
            false => names.map(|name| format!("NULL AS {name}")).collect::<Vec<_>>().join(", "),
        }
    };
    Ok(stored().map(sql).collect::<Vec<_>>().join(", "))
}

/// How one connection sees usage.
///
/// `usage_here` is what the journal has, `usage_elsewhere` what only the copy of published rows has, `usage` both: other gateways' rows, which
/// have negative entries, then this gateway's, whose entries are the same in both places. A row that retention moves is in both for a
/// moment and is then taken from the journal. So that this holds without a lock, `usage_elsewhere` asks the journal first: SQLite
/// begins to read the databases of a statement in the order in which they were attached.
pub(super) fn define(connection: &Connection, mirrored: bool, reader: Option<&DomainName>) -> rusqlite::Result<()> {
    connection.execute_batch("CREATE TEMP TABLE reader (domain TEXT NOT NULL)")?;
    let columns: Vec<String> = stored().map(|column| of_kind(&column)).collect();
    let columns = columns.join(", ");
    let (here, elsewhere) = match reader {
        Some(_) => ("exact_here", "exact_elsewhere"),
        None => ("usage_here", "usage_elsewhere"),
    };
    let elsewhere_rows = match mirrored {
        true => format!(
            "SELECT entry, gateway_id, boot, seq, {} FROM mirror.usage
             WHERE entry < (SELECT coalesce(min(entry), 9223372036854775807) FROM main.usage)",
            in_mirror(connection, of_kind)?
        ),
        false => format!("SELECT entry, '' AS gateway_id, boot, seq, {columns} FROM main.usage WHERE FALSE"),
    };
    connection.execute_batch(&format!(
        "CREATE TEMP VIEW {here} AS SELECT entry, (SELECT gateway_id FROM main.gateway) AS gateway_id, boot, seq, {columns} FROM main.usage;
         CREATE TEMP VIEW {elsewhere} AS {elsewhere_rows};"
    ))?;
    if let Some(domain) = reader {
        coarse::round_up(connection, domain, &[(here, "usage_here"), (elsewhere, "usage_elsewhere")])?;
    }
    // Without a copy there is nothing to unite, and the engine of the journal plans better.
    let both = if mirrored { " UNION ALL SELECT * FROM usage_elsewhere" } else { "" };
    connection.execute_batch(&format!("CREATE TEMP VIEW usage AS SELECT * FROM usage_here{both};"))?;
    months::define(connection, mirrored, reader.is_some())
}

/// A price is text in the journal, as it was configured. One price is one text here: 5.00 and 5 are grouped together.
fn of_kind(column: &Stored) -> String {
    match column.kind {
        Kind::Price => format!("iif(instr({0}, '.') > 0, rtrim(rtrim({0}, '0'), '.'), {0}) AS {0}", column.sql),
        _ => column.sql.to_owned(),
    }
}
