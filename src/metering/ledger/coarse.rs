//! What a reader is told of their own bill for a product whose rows are filtered for them.
//!
//! How many bytes a query read depends on rows that its reader may not see: a predicate on a column of the layout, asked again and again,
//! would weigh them. So such figures are rounded up to a power of two of mebibytes. The owner and finance see them as they are, and what
//! is charged is exact: only this telling of it is not.

use rusqlite::Connection;

use crate::id::DomainName;

/// Views in front of the ledger's rows and of statements' lines, under their own names, for this connection alone.
///
/// A row is told exactly where the reader's domain owns the product, or where the audit has it that no row was filtered. What the audit does
/// not have is rounded. A cost is that of the rounded bytes, up to a millionth. Where cost depends on the month's volume it tells of all that the
/// domain read under that price, so it is told at the price without tiers and allowance, rounded the same way, and the volume is not told.
const VIEW: &str = "
    CREATE TEMP VIEW usage AS
    SELECT entry, boot, seq, query_id, started_at, ended_at, principal, consumer_domain, cost_center, purpose, protocol, application_name,
        producer_domain, product, port, product_version, table_version,
        iif(filtered, scanned, bytes_from_storage) AS bytes_from_storage,
        iif(filtered, 0, bytes_from_cache) AS bytes_from_cache,
        iif(filtered, metadata, bytes_metadata) AS bytes_metadata,
        iif(filtered, requests, storage_requests) AS storage_requests,
        rows_returned, outcome, price_id, unit_price, currency,
        iif(filtered, iif(owed, CAST(ceiling_of AS INTEGER) + 1, 0), cost_micros) AS cost_micros,
        iif(filtered, 0, cost_rest) AS cost_rest,
        month, iif(filtered, scanned, bytes_charged) AS bytes_charged, NULL AS volume_before
    FROM (
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
            FROM main.usage u));
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

/// Puts the views in front, and names the reader; without one the table `reader` is empty.
pub(super) fn round_up(connection: &Connection, domain: &DomainName) -> rusqlite::Result<()> {
    connection.execute_batch(VIEW)?;
    connection.execute("INSERT INTO temp.reader VALUES (?1)", [domain.as_str()])?;
    Ok(())
}
