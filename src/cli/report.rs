//! `meshgate report`: what a month cost, from the journal of a state folder. A gateway that runs is not disturbed: the journal is only read.

mod render;

use std::io::{self, Write};
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use chrono::Utc;
use clap::ValueEnum;
use rusqlite::types::Value;

use crate::error::{ErrorKind, Fault, Result};
use crate::metering::focus::{self, Version};
use crate::metering::ledger::{Column, Kind, Ledger, column, maybe};
use crate::metering::{Cost, Month};

/// What a line of the report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The consumer domains: who pays.
    Domain,
    /// The products: what was read.
    Product,
    /// The principals: who asked.
    Principal,
}

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// RFC 4180, with exact amounts.
    Csv,
    /// One object, with exact amounts as text.
    Json,
    /// FOCUS 1.2, Cost and Usage, as CSV: a line a day, consumer, output port and price; `--by` has no say
    #[value(name = "focus-1.2")]
    Focus12,
    /// FOCUS 1.4, the same
    #[value(name = "focus-1.4")]
    Focus14,
}

/// Writes the report of a month, the current one (UTC) where none is given. `mesh` gives the mesh's name, where a format asks for it.
pub fn run(
    state: &Path,
    mesh: impl FnOnce() -> Result<String>,
    month: Option<Month>,
    by: By,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let month = month.unwrap_or_else(|| Month::of(Utc::now()));
    let written = match format {
        Format::Table => render::table(&Report::read(state, month, by)?, out),
        Format::Csv => render::csv(&Report::read(state, month, by)?, out),
        Format::Json => render::json(&Report::read(state, month, by)?, out),
        Format::Focus12 => render::focus(&focus(state, month, Version::V1_2, &mesh()?)?, out),
        Format::Focus14 => render::focus(&focus(state, month, Version::V1_4, &mesh()?)?, out),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads the report may stop early: `meshgate report | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fault::new(ErrorKind::Storage, "the report could not be written").with_source(error)),
        Ok(()) => Ok(()),
    }
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Product => "product",
            Self::Principal => "principal",
        }
    }

    /// The names of the two columns that tell lines apart.
    fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Domain => ["consumer_domain", "cost_center"],
            Self::Product => ["producer_domain", "product"],
            Self::Principal => ["principal", "consumer_domain"],
        }
    }
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    keys: [Option<String>; 2],
    queries: i64,
    bytes_scanned: i64,
    cost: Cost,
    currency: Option<String>,
}

/// A month's figures: the dearest first, and a total for each currency.
#[derive(Debug)]
struct Report {
    month: Month,
    by: By,
    lines: Vec<Line>,
    totals: Vec<Line>,
}

const COLUMNS: &[Column] = &[
    maybe("first", Kind::Text, ""),
    maybe("second", Kind::Text, ""),
    column("queries", Kind::Int, ""),
    column("bytes_scanned", Kind::Int, ""),
    column("cost", Kind::Cost, ""),
    maybe("currency", Kind::Text, ""),
];

impl Report {
    fn read(state: &Path, month: Month, by: By) -> Result<Self> {
        let ledger = journal(state)?;
        let [first, second] = by.keys();
        let lines = figures(&ledger, month, &format!("{first}, {second}"), "GROUP BY 1, 2, currency")?;
        let totals = figures(&ledger, month, "NULL, NULL", "GROUP BY currency")?;
        Ok(Self { month, by, lines, totals })
    }
}

fn journal(state: &Path) -> Result<Ledger> {
    let ledger = Ledger::in_folder(state);
    if ledger.exists() {
        return Ok(ledger);
    }
    Err(Fault::new(ErrorKind::Storage, "there is no usage journal in the state folder")
        .with_hint("A gateway makes it when it first serves; `--config` says which state folder is meant."))
}

fn focus(state: &Path, month: Month, version: Version, mesh: &str) -> Result<RecordBatch> {
    focus::cost_and_usage(&journal(state)?, version, mesh, "month = ?1", &[Value::Text(month.to_string())])
}

fn figures(ledger: &Ledger, month: Month, keys: &str, group: &str) -> Result<Vec<Line>> {
    let sql = format!(
        "SELECT {keys}, count(DISTINCT query_id), sum(bytes_from_storage + bytes_from_cache), sum(cost_micros), sum(cost_rest), currency
         FROM usage WHERE month = ?1 {group}"
    );
    let batch = ledger.all(COLUMNS, &sql, &[Value::Text(month.to_string())])?;
    let mut lines = lines_of(&batch);
    lines.sort_by(|a, b| (&a.currency, b.cost, b.bytes_scanned, &a.keys).cmp(&(&b.currency, a.cost, a.bytes_scanned, &b.keys)));
    Ok(lines)
}

fn lines_of(batch: &RecordBatch) -> Vec<Line> {
    let text = |column: usize, row: usize| {
        let texts = batch.column(column).as_string::<i32>();
        texts.iter().nth(row).flatten().map(str::to_owned)
    };
    let (queries, bytes) = (batch.column(2).as_primitive::<Int64Type>(), batch.column(3).as_primitive::<Int64Type>());
    let costs = batch.column(4).as_primitive::<Decimal128Type>();
    let line = |row: usize| Line {
        keys: [text(0, row), text(1, row)],
        queries: queries.value(row),
        bytes_scanned: bytes.value(row),
        cost: Cost::from_units(costs.value(row)),
        currency: text(5, row),
    };
    (0..batch.num_rows()).map(line).collect()
}

#[cfg(test)]
mod tests;
