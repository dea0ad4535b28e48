//! `meshgate statement`: the statement of a domain for a closed month, checked against its hash and the ledger before it is shown.

mod html;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::report::journal;
use super::{Failure, load_paths, printable, table, told};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::DomainName;
use crate::metering::statement::{By, Statement};
use crate::metering::{Month, Sheet};

/// The statement of a consumer domain for a closed month
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The consumer domain
    #[arg(long)]
    domain: DomainName,
    /// Such as 2026-11
    #[arg(long)]
    month: Month,
    /// What a line is about
    #[arg(long, value_enum, default_value = "product")]
    by: By,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How a statement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// RFC 4180, with exact amounts
    Csv,
    /// One object a statement in a list, with exact amounts as text
    Json,
    /// A page to print or to send
    Html,
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> std::result::Result<(), Failure> {
    let paths = load_paths(args.config.as_deref())?;
    run(&paths.state, &args.domain, args.month, args.by, args.format, &mut io::stdout().lock()).map_err(told)
}

fn run(state: &Path, domain: &DomainName, month: Month, by: By, format: Format, out: &mut dyn Write) -> Result<()> {
    let connection = journal(state)?.connect()?;
    let statements = Statement::of_domain(&connection, month, domain.as_str())?;
    let sheets = statements.iter().map(|statement| Ok((statement, statement.sheet(&connection, by)?))).collect::<Result<Vec<_>>>()?;
    let written = match format {
        Format::Table => sheets.iter().try_for_each(|(statement, sheet)| for_people(statement, sheet, out)),
        Format::Csv => sheets.iter().try_for_each(|(_, sheet)| sheet.csv(out)),
        Format::Json => as_json(&sheets, out),
        Format::Html => html::write(&sheets, out),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fault::new(ErrorKind::Storage, "the statement could not be written").with_source(error)),
        Ok(()) => Ok(()),
    }
}

/// What the statement is, in names and values.
fn head(statement: &Statement) -> [(&'static str, String); 7] {
    let purpose = match statement.mode.as_str() {
        "chargeback" => "chargeback: each line debits the cost centre and credits the producer's",
        _ => "showback: for information, nobody pays",
    };
    [
        ("Statement", statement.statement_id.clone()),
        ("Consumer domain", statement.consumer_domain.clone()),
        ("Month", statement.month.clone()),
        ("Issued", statement.issued()),
        ("Mode", purpose.to_owned()),
        ("Total", format!("{} {}", statement.total().decimal(), statement.currency)),
        ("SHA-256", statement.hash()),
    ]
}

fn for_people(statement: &Statement, sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    for (name, value) in head(statement) {
        writeln!(out, "{name:<16} {}", printable(&value))?;
    }
    writeln!(out)?;
    table::write(sheet, false, out)
}

fn as_json(sheets: &[(&Statement, Sheet)], out: &mut dyn Write) -> io::Result<()> {
    let documents = sheets.iter().map(|(statement, sheet)| {
        let mut document = sheet.json();
        if let Some(members) = document.as_object_mut() {
            members.insert("mode".to_owned(), json!(statement.mode));
            members.insert("issued_at".to_owned(), json!(statement.issued()));
            members.insert("hash".to_owned(), json!(statement.hash()));
            members.insert("previous".to_owned(), json!(statement.previous));
        }
        document
    });
    serde_json::to_writer_pretty(&mut *out, &documents.collect::<Vec<_>>())?;
    writeln!(out)
}

#[cfg(test)]
mod tests;
