//! What a reader is told of their own bill for a product whose rows are filtered for them.
//!
//! How many bytes a query read depends on rows that its reader may not see: a predicate on a column of the layout, asked again and again,
//! would weigh them. So such figures are rounded up to a power of two of mebibytes. The owner and finance see them as they are, and what
//! is charged is exact: only this telling of it is not.

use rusqlite::Connection;

use super::usage::stored;
use crate::id::DomainName;

/// The least that is told.
const LEAST: u64 = 1 << 20;

/// Bytes as they are told to who must not know them exactly: what the views below do to them.
pub(crate) fn told(bytes: u64) -> u64 {
    bytes.max(LEAST).checked_next_power_of_two().unwrap_or(u64::MAX)
}

/// What is told otherwise where a row is `filtered`. The other columns are as they are.
const ROUNDED: [(&str, &str); 7] = [
    ("bytes_from_storage", "scanned"),
    ("bytes_from_cache", "0"),
    ("bytes_metadata", "metadata"),
    ("storage_requests", "requests"),
    ("cost_micros", "iif(owed, CAST(ceiling_of AS INTEGER) + 1, 0)"),
    ("cost_rest", "0"),
    ("bytes_charged", "scanned"),
];

/// Rows of usage, each with whether it is filtered and what it is rounded up to.
///
/// A row is told exactly where the reader's domain owns the product, or where the audit has it that no row was filtered. What the audit does
/// not have, such as another gateway's decisions, is rounded. A cost is that of the rounded bytes, up to a millionth. Where cost depends on the
/// month's volume it tells of all that the domain read under that price, so it is told at the price without tiers and allowance, rounded the
/// same way, and the volume is not told.
const ROUNDING: &str = "(
        SELECT *, coalesce(CAST(unit_price AS REAL), 0.0) * scanned / 1099511.627776 AS ceiling_of,
            unit_price IS NOT NULL AND (outcome = 'completed' OR cost_micros + cost_rest > 0) AS owed
        FROM (
            SELECT *,
                producer_domain <> (SELECT domain FROM reader) AND (volume_before IS NOT NULL OR coalesce((
                    SELECT max(d.row_filters <> '[]' OR NOT d.permitted) FROM main.decisions d
                    WHERE d.query_id = u.query_id AND d.product = u.producer_domain || '.' || u.product), 1)) AS filtered,
                (WITH RECURSIVE p (b) AS (VALUES (1048576) UNION ALL SELECT b * 2 FROM p WHERE b < u.bytes_from_storage + u.bytes_from_cache)
                    SELECT max(b) FROM p) AS scanned,
                (WITH RECURSIVE p (b) AS (VALUES (1048576) UNION ALL SELECT b * 2 FROM p WHERE b < u.bytes_metadata)
                    SELECT max(b) FROM p) AS metadata,
                (WITH RECURSIVE p (b) AS (VALUES (64) UNION ALL SELECT b * 2 FROM p WHERE b < u.storage_requests)
                    SELECT max(b) FROM p) AS requests
            FROM exact_rows u))";

/// A view in front of statements' lines, under their own name, for this connection alone.
const LINES: &str = "
    CREATE TEMP VIEW statement_lines AS
    SELECT statement_id, line, kind, of_month, cost_center, producer_domain, producer_cost_center, product, price_id, unit_price, queries,
        iif(rounded, scanned, bytes_scanned) AS bytes_scanned, iif(rounded, scanned, bytes_charged) AS bytes_charged,
        iif(rounded, CAST(coalesce(CAST(unit_price AS REAL), 0.0) * scanned / 1099511.627776 AS INTEGER) + 1, cost_micros) AS cost_micros,
        iif(rounded, 0, cost_rest) AS cost_rest, reason, rounded AS told_rounded
    FROM (
        SELECT *, told_rounded AND producer_domain <> (SELECT domain FROM reader) AS rounded,
            (WITH RECURSIVE p (b) AS (VALUES (1048576) UNION ALL SELECT b * 2 FROM p WHERE b < l.bytes_scanned) SELECT max(b) FROM p) AS scanned
        FROM main.statement_lines l);
";

/// Puts views in front of statements' lines and of each relation of exact rows, for this connection alone, and names the reader. Relations are
/// pairs of names, exact and rounded.
pub(super) fn round_up(connection: &Connection, domain: &DomainName, relations: &[(&str, &str)]) -> rusqlite::Result<()> {
    let told = |name: &str| match (name, ROUNDED.iter().find(|(rounded, _)| *rounded == name)) {
        ("volume_before", _) => "NULL AS volume_before".to_owned(),
        (_, Some((_, as_told))) => format!("iif(filtered, {as_told}, {name}) AS {name}"),
        (_, None) => name.to_owned(),
    };
    let columns: Vec<String> = stored().flat_map(|column| column.sql.split(", ")).map(told).collect();
    connection.execute_batch(LINES)?;
    connection.execute("INSERT INTO temp.reader VALUES (?1)", [domain.as_str()])?;
    for (exact, rounded) in relations {
        let rows = ROUNDING.replace("exact_rows", exact);
        let list = columns.join(", ");
        connection.execute_batch(&format!("CREATE TEMP VIEW {rounded} AS SELECT entry, gateway_id, boot, seq, {list} FROM {rows}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_the_views_tell_them() {
        let connection = Connection::open_in_memory().expect("a database");
        for bytes in [0_u64, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20, 5 << 30, (1 << 41) - 1, 1 << 41] {
            let sql = "WITH RECURSIVE p (b) AS (VALUES (1048576) UNION ALL SELECT b * 2 FROM p WHERE b < ?1) SELECT max(b) FROM p";
            let viewed: i64 = connection.query_row(sql, [bytes as i64], |row| row.get(0)).expect("a number");
            assert_eq!(told(bytes), viewed as u64, "{bytes}");
        }
        assert_eq!(told(u64::MAX), u64::MAX);
    }
}
