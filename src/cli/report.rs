//! `meshgate report`: what months cost, from the journal of a state folder. A gateway that runs is not disturbed: the journal is only read.

mod chart;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use chrono::Utc;
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use rusqlite::types::Value;
use serde_json::json;

use super::{Failure, load_catalog, load_paths, table, told};
use crate::error::{ErrorKind, Fault, Result};
use crate::metering::focus::{self, Version};
use crate::metering::ledger::Ledger;
use crate::metering::report::{By, Span, report};
use crate::metering::{Month, Sheet};

pub(super) use chart::escaped;

/// What months cost
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Such as 2026-11; without one the current month (UTC)
    #[arg(long, conflicts_with_all = ["from", "to"])]
    month: Option<Month>,
    /// The first of several months
    #[arg(long, value_name = "MONTH")]
    from: Option<Month>,
    /// The last of several months; without one the current one
    #[arg(long, value_name = "MONTH", requires = "from")]
    to: Option<Month>,
    /// What a line is about
    #[arg(long, value_enum, default_value = "domain")]
    by: By,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people; with bars on a terminal
    Table,
    /// RFC 4180, with exact amounts
    Csv,
    /// One object, with exact amounts as text
    Json,
    /// A Parquet file, with exact amounts
    Parquet,
    /// A bar chart
    Svg,
    /// FOCUS 1.2, Cost and Usage, as CSV: a line a day, consumer, output port and price; `--by` has no say
    #[value(name = "focus-1.2")]
    Focus12,
    /// FOCUS 1.4, the same
    #[value(name = "focus-1.4")]
    Focus14,
    /// FOCUS 1.2 as a Parquet file
    #[value(name = "focus-1.2-parquet")]
    Focus12Parquet,
    /// FOCUS 1.4 as a Parquet file
    #[value(name = "focus-1.4-parquet")]
    Focus14Parquet,
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> std::result::Result<(), Failure> {
    let paths = load_paths(args.config.as_deref())?;
    let now = Month::of(Utc::now());
    let from = args.from.or(args.month).unwrap_or(now);
    let span = Span { from, to: if args.from.is_some() { args.to.unwrap_or(now.max(from)) } else { from } };
    if span.to < span.from {
        return Err(Failure::Usage("--to lies before --from".to_owned()));
    }
    let out = io::stdout();
    if matches!(args.format, Format::Parquet | Format::Focus12Parquet | Format::Focus14Parquet) && out.is_terminal() {
        return Err(Failure::Usage("a Parquet file is not for a terminal: redirect it to a file".to_owned()));
    }
    let mesh = match args.format {
        Format::Table | Format::Csv | Format::Json | Format::Parquet | Format::Svg => String::new(),
        _ => load_catalog(&paths)?.mesh.name.clone(),
    };
    let bars = out.is_terminal();
    run(&paths.state, &mesh, span, args.by, (args.format, bars), &mut out.lock()).map_err(told)
}

/// Writes the report. `mesh` is the mesh's name, for FOCUS.
fn run(state: &Path, mesh: &str, span: Span, by: By, (format, bars): (Format, bool), out: &mut dyn Write) -> Result<()> {
    let ledger = journal(state)?;
    let sheet = || report(&ledger, span, by, "TRUE", &[]);
    let written = match format {
        Format::Table => for_people(&sheet()?, span, by, bars, out),
        Format::Csv => sheet()?.csv(out),
        Format::Json => as_json(&sheet()?, by, out),
        Format::Parquet => parquet(&sheet()?.batch()?, out),
        Format::Svg => chart::write(&sheet()?, &format!("Costs of {span} by {}", by.word()), out),
        Format::Focus12 => as_focus(&focus(&ledger, span, Version::V1_2, mesh)?, out),
        Format::Focus14 => as_focus(&focus(&ledger, span, Version::V1_4, mesh)?, out),
        Format::Focus12Parquet => parquet(&focus(&ledger, span, Version::V1_2, mesh)?, out),
        Format::Focus14Parquet => parquet(&focus(&ledger, span, Version::V1_4, mesh)?, out),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads the report may stop early: `meshgate report | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fault::new(ErrorKind::Storage, "the report could not be written").with_source(error)),
        Ok(()) => Ok(()),
    }
}

/// The ledger of a state folder that has one.
pub(super) fn journal(state: &Path) -> Result<Ledger> {
    let ledger = Ledger::in_folder(state);
    if ledger.exists() {
        return Ok(ledger);
    }
    Err(Fault::new(ErrorKind::Storage, "there is no usage journal in the state folder")
        .with_hint("A gateway makes it when it first serves; `--config` says which state folder is meant."))
}

fn focus(ledger: &Ledger, span: Span, version: Version, mesh: &str) -> Result<RecordBatch> {
    let months = [span.from, span.to].map(|month| Value::Text(month.to_string()));
    focus::cost_and_usage(ledger, version, mesh, "month >= ?1 AND month <= ?2", &months)
}

fn for_people(sheet: &Sheet, span: Span, by: By, bars: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Costs of {span} by {}\n", by.word())?;
    if sheet.lines.is_empty() {
        return writeln!(out, "Nothing was read.");
    }
    table::write(sheet, bars, out)
}

fn as_json(sheet: &Sheet, by: By, out: &mut dyn Write) -> io::Result<()> {
    let mut document = sheet.json();
    if let Some(members) = document.as_object_mut() {
        members.insert("by".to_owned(), json!(by.word()));
    }
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn parquet(batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).map_err(io::Error::other)?;
    writer.write(batch).and_then(|()| writer.close()).map_err(io::Error::other)?;
    out.write_all(&file)
}

/// RFC 4180, with the names of the specification.
fn as_focus(batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new().with_header(true).with_timestamp_tz_format("%Y-%m-%dT%H:%M:%SZ".to_owned()).build(out);
    writer.write(batch).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
