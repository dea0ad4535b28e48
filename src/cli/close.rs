//! `meshgate close`: freezes a month and issues its statements.

use std::path::PathBuf;

use chrono::Utc;

use super::{Failure, load_catalog, load_paths, print_line, table, told};
use crate::metering::{Closed, Month, Terms, close};

/// Close a month: nothing of it changes any more, and each consumer domain that was charged has a statement
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Such as 2026-11
    month: Month,
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> Result<(), Failure> {
    let paths = load_paths(args.config.as_deref())?;
    let terms = Terms::of(load_catalog(&paths)?.as_ref());
    let Closed { before, statements } = close(&paths.state, args.month, Utc::now(), &terms).map_err(told)?;
    let month = args.month;
    print_line(&match (before, statements.len()) {
        (true, _) => format!("{month} was closed before; nothing was changed"),
        (false, 0) => format!("{month} is closed; nothing was charged in it"),
        (false, number) => format!("{month} is closed; statements: {number}"),
    });
    for statement in &statements {
        let total = table::readable(statement.total().decimal());
        print_line(&format!("{}  {total} {}  sha256:{}", statement.statement_id, statement.currency, statement.hash()));
    }
    Ok(())
}
