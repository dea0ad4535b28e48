//! Usage summed up by month while it is written, so that the bill of years of usage is there as fast as that of a day.
//!
//! The sums stand beside the rows that they are of, in the journal and in the copy of published rows, and a trigger keeps them: they are in the same
//! transaction as the row, whoever writes it. Rows of usage never change, and those that retention moves from one file into the other stay
//! in the sums of the journal: it has this gateway's, the copy other gateways'.

use rusqlite::Connection;

/// What is summed up apart. Of what is missing there is one group, under an empty text.
const GROUP: [&str; 6] = ["month", "consumer_domain", "cost_center", "producer_domain", "product", "currency"];

/// The table in an SQLite file whose table `usage` is summed up, as far as `which` holds for the new row, and what keeps it.
pub(in crate::metering) fn tables(which: &str) -> String {
    let group = grouped("NEW.");
    // With a sign no index is used for them: the index on the query has few rows for each, that on the month has all.
    let same: Vec<String> = GROUP.iter().map(|name| format!("+u.{name} IS NEW.{name}")).collect();
    format!(
        "CREATE TABLE usage_months (
             month TEXT NOT NULL, consumer_domain TEXT NOT NULL, cost_center TEXT NOT NULL, producer_domain TEXT NOT NULL,
             product TEXT NOT NULL, currency TEXT NOT NULL, queries INTEGER NOT NULL, bytes_scanned INTEGER NOT NULL,
             cost_micros INTEGER NOT NULL, cost_rest INTEGER NOT NULL, PRIMARY KEY ({names})) STRICT, WITHOUT ROWID;
         CREATE TRIGGER usage_adds_up AFTER INSERT ON usage WHEN {which} BEGIN
             INSERT INTO usage_months VALUES ({group},
                 NOT EXISTS (SELECT 1 FROM usage u WHERE u.query_id = NEW.query_id AND u.entry <> NEW.entry AND {same}),
                 coalesce(NEW.bytes_from_storage + NEW.bytes_from_cache, 0), coalesce(NEW.cost_micros, 0), coalesce(NEW.cost_rest, 0))
             ON CONFLICT DO UPDATE SET queries = queries + excluded.queries, bytes_scanned = bytes_scanned + excluded.bytes_scanned,
                 cost_micros = cost_micros + excluded.cost_micros, cost_rest = cost_rest + excluded.cost_rest;
         END;",
        names = GROUP.join(", "),
        same = same.join(" AND "),
    )
}

/// Sums up the rows of a relation that were written before there were sums.
pub(in crate::metering) fn catch_up(rows: &str) -> String {
    format!("INSERT INTO usage_months SELECT {group}, {SUMS} FROM {rows} GROUP BY {group};", group = grouped(""))
}

const SUMS: &str = "count(DISTINCT query_id) AS queries, coalesce(sum(bytes_from_storage + bytes_from_cache), 0) AS bytes_scanned,
    coalesce(sum(cost_micros), 0) AS cost_micros, coalesce(sum(cost_rest), 0) AS cost_rest";

fn grouped(of: &str) -> String {
    GROUP.map(|name| format!("coalesce({of}{name}, '')")).join(", ")
}

/// The view `months` of a connection: the sums as they stand, of the journal and, where it is attached, of the copy; or, where they are not for
/// the reader, who is told rounded figures, those of the rows as they are told.
pub(super) fn define(connection: &Connection, mirrored: bool, rounded: bool) -> rusqlite::Result<()> {
    const COLUMNS: &str = "month, consumer_domain, nullif(cost_center, '') AS cost_center, producer_domain, product,
        nullif(currency, '') AS currency, queries, bytes_scanned, cost_micros, cost_rest";
    // A copy that no publisher has opened since there are sums has none.
    let without = |connection: &Connection| {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM mirror.sqlite_schema WHERE name = 'usage_months')";
        connection.query_row(sql, [], |row| row.get::<_, bool>(0))
    };
    let rows = match (rounded || mirrored && without(connection)?, mirrored) {
        (true, _) => format!("SELECT {names}, {SUMS} FROM usage GROUP BY {names}", names = GROUP.join(", ")),
        (false, false) => format!("SELECT {COLUMNS} FROM main.usage_months"),
        (false, true) => format!("SELECT {COLUMNS} FROM main.usage_months UNION ALL SELECT {COLUMNS} FROM mirror.usage_months"),
    };
    connection.execute_batch(&format!("CREATE TEMP VIEW months AS {rows};"))
}
