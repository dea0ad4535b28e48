//! The command line: one file a command. Exit codes: 0, 1 failed, 2 usage.

pub mod check;
mod close;
mod correct;
pub mod demo;
mod explain_access;
mod offline;
mod replay;
mod report;
mod serve;
mod statement;
mod table;
mod user;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::catalog::{Catalog, Snapshot};
use crate::config::{Config, DEFAULT_FILE, Paths};
use crate::error::Fault;
use crate::telemetry::explain;

/// The SQL gateway of a data mesh: governed, metered queries over PostgreSQL and Arrow Flight.
#[derive(Debug, Parser)]
#[command(name = "meshgate", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Demo(demo::Args),
    User(user::Args),
    ExplainAccess(explain_access::Args),
    Replay(replay::Args),
    Report(report::Args),
    Close(close::Args),
    Correct(correct::Args),
    Statement(statement::Args),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be done: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// It was asked in a wrong way: exit code 2.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// It could not be done, for this reason.
    pub fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

impl Cli {
    /// Does what is asked.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(args) => serve::run(&args),
            Command::Check(args) => check::command(&args),
            Command::Demo(args) => serve::demo(&args),
            Command::User(args) => user::run(&args),
            Command::ExplainAccess(args) => explain_access::command(&args),
            Command::Replay(args) => replay::command(&args),
            Command::Report(args) => report::command(&args),
            Command::Close(args) => close::command(&args),
            Command::Correct(args) => correct::command(&args),
            Command::Statement(args) => statement::command(&args),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                // Standard error may be gone; there is nobody else to tell.
                let _ = writeln!(std::io::stderr(), "meshgate: {failure}");
                ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
            }
        }
    }
}

/// The file that is named; without one `meshgate.toml`, and the defaults where there is no such file.
fn config_file(named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()))
}

/// The paths alone, which need none of the gateway's secrets.
fn load_paths(named: Option<&Path>) -> Result<Paths, Failure> {
    config_file(named)
        .map_or_else(|| Config::defaults().map(|config| config.paths()), |file| Config::load_paths(&file))
        .map_err(Failure::failed)
}

/// The catalog as it is now.
fn load_catalog(paths: &Paths) -> Result<Arc<Snapshot>, Failure> {
    Catalog::open(&paths.catalog).map(|catalog| catalog.current()).map_err(told)
}

/// What a fault says to whoever runs the gateway.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn told(fault: Fault) -> Failure {
    Failure::Failed(explain(&fault))
}

fn load_config(named: Option<&Path>) -> Result<Config, Failure> {
    config_file(named).map_or_else(Config::defaults, |file| Config::load(&file)).map_err(Failure::failed)
}

/// A runtime whose threads have the stack that deep plans need.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(crate::app::STACK_BYTES).build().map_err(Failure::failed)
}

/// Prints a line for people or pipes; a reader that went away is no failure.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// How something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// A reader that went away is no failure.
fn written(done: std::io::Result<()>) -> Result<(), Failure> {
    done.or_else(|error| if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }).map_err(Failure::failed)
}

/// A text from outside must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
