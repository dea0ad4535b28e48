//! One query, one stage a file: parse, resolve, authorise, govern, plan, admit, execute. Both doors come through here.

pub mod govern;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::scalar::ScalarValue;
use futures::Stream;
use tokio_util::sync::CancellationToken;

use crate::catalog::PortRef;
use crate::error::Result;
use crate::id::QueryId;
use crate::identity::Principal;
use crate::metering::Protocol;

/// The engine behind all doors.
#[derive(Debug)]
pub struct Gateway(());

/// What a door holds for one authenticated connection (PostgreSQL) or one client session (Flight).
#[derive(Debug)]
pub struct Session(());

impl Session {
    /// A session of `principal`, with the settings at their defaults.
    pub fn new(gateway: &Arc<Gateway>, principal: Arc<Principal>, protocol: Protocol) -> Self {
        todo!("{gateway:?}{principal:?}{protocol:?}")
    }

    /// Who.
    pub fn principal(&self) -> &Arc<Principal> {
        todo!()
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        todo!()
    }
}

/// The settings of one session: one table of all of them, with PostgreSQL's names, defaults and checks. Interior mutability, because
/// `set_config()` in a query changes them too.
#[derive(Debug)]
pub struct Settings(());

impl Settings {
    /// The value as `SHOW` prints it; `42704` for a setting that does not exist.
    pub fn show(&self, name: &str) -> Result<String> {
        todo!("{name}")
    }

    /// All settings as `SHOW ALL` prints them: name, value, description.
    pub fn show_all(&self) -> Vec<(String, String, String)> {
        todo!()
    }

    /// `SET` (`local` ends with the transaction). Checks the value.
    pub fn set(&self, name: &str, value: &str, local: bool) -> Result<()> {
        todo!("{name}{value}{local}")
    }

    /// `RESET name`, or all of them.
    pub fn reset(&self, name: Option<&str>) -> Result<()> {
        todo!("{name:?}")
    }

    /// Marks the value from the client's startup packet as what `RESET` goes back to.
    pub fn set_startup(&self, name: &str, value: &str) -> Result<()> {
        todo!("{name}{value}")
    }

    /// The transaction began (`SET LOCAL` and rollback go back to here), or ended.
    pub fn begin(&self) {
        todo!()
    }

    /// The transaction ended; `SET LOCAL` ends, and where it did not commit every `SET` within it too.
    pub fn end(&self, committed: bool) {
        todo!("{committed}")
    }

    /// Settings that clients are told of (`ParameterStatus`) and that changed since the last call: name and value.
    pub fn take_reported(&self) -> Vec<(&'static str, String)> {
        todo!()
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> chrono_tz::Tz {
        todo!()
    }
}

/// One statement, parsed, within the limits. Cheap to clone. It is a request: it carries no right to anything.
#[derive(Debug, Clone)]
pub struct Parsed(Arc<()>);

/// What a statement is, as far as a door must know.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing between two semicolons.
    Empty,
    /// SELECT, WITH, VALUES, TABLE, EXPLAIN, SHOW: gives rows.
    Rows,
    /// COPY (query) TO STDOUT: rows in COPY format; [`Parsed::copy_query`] gives the statement to run.
    CopyOut(CopyOptions),
    /// SET name = value.
    Set {
        /// The setting.
        name: String,
        /// The value; `None` is DEFAULT.
        value: Option<String>,
        /// SET LOCAL.
        local: bool,
    },
    /// RESET name, RESET ALL.
    Reset(Option<String>),
    /// DISCARD ALL | PLANS | SEQUENCES | TEMP: the word.
    Discard(String),
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT name.
    Savepoint(String),
    /// RELEASE name.
    Release(String),
    /// ROLLBACK TO name.
    RollbackTo(String),
    /// PREPARE name (types) AS statement; [`Parsed::inner`] gives the statement.
    Prepare {
        /// Its name.
        name: String,
        /// The declared types, as written.
        types: Vec<String>,
    },
    /// EXECUTE name (arguments): the arguments are literals.
    Execute {
        /// Its name.
        name: String,
        /// Literals as text with their type, in order.
        arguments: Vec<ScalarValue>,
    },
    /// DEALLOCATE name, DEALLOCATE ALL.
    Deallocate(Option<String>),
    /// DECLARE name CURSOR FOR query; [`Parsed::inner`] gives the query.
    Declare {
        /// Its name.
        name: String,
        /// WITH HOLD.
        hold: bool,
        /// SCROLL was asked for.
        scroll: bool,
        /// BINARY.
        binary: bool,
    },
    /// FETCH … FROM name.
    Fetch {
        /// The cursor.
        name: String,
        /// How many, which way.
        direction: Direction,
    },
    /// MOVE … FROM name.
    Move {
        /// The cursor.
        name: String,
        /// How many, which way.
        direction: Direction,
    },
    /// CLOSE name, CLOSE ALL.
    Close(Option<String>),
    /// Accepted and without effect here: UNLISTEN, LISTEN is refused. Holds the command tag.
    NoOp(&'static str),
}

/// How far a cursor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// NEXT, FORWARD n, n.
    Forward(u64),
    /// ALL, FORWARD ALL.
    All,
    /// PRIOR, BACKWARD, FIRST, LAST, ABSOLUTE, RELATIVE and negative counts: refused with `55000`/`0A000` by a door without scroll.
    Other,
}

/// COPY … TO STDOUT's options.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyOptions {
    /// text, csv or binary.
    pub format: CopyFormat,
    /// Between the values.
    pub delimiter: u8,
    /// How NULL is written.
    pub null: String,
    /// A header line first.
    pub header: bool,
    /// csv's quote.
    pub quote: u8,
    /// csv's escape.
    pub escape: u8,
    /// csv's columns that are always quoted: `None` where not asked for, empty for `*`.
    pub force_quote: Option<Vec<String>>,
}

/// COPY's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// PostgreSQL's text.
    Text,
    /// RFC 4180, as PostgreSQL writes it.
    Csv,
    /// PostgreSQL's binary.
    Binary,
}

impl Parsed {
    /// What it is.
    pub fn kind(&self) -> &Kind {
        todo!()
    }

    /// The command tag without a count: `SELECT`, `BEGIN`, `SHOW`, `EXPLAIN`.
    pub fn tag(&self) -> &'static str {
        todo!()
    }

    /// The statement within PREPARE, DECLARE, COPY.
    pub fn inner(&self) -> Option<&Parsed> {
        todo!()
    }
}

/// What a statement needs and gives, told only to those who may run it.
#[derive(Debug, Clone)]
pub struct Description {
    /// The parameters' types, `$1` first.
    pub parameters: Vec<DataType>,
    /// The result's columns.
    pub schema: SchemaRef,
}

impl Gateway {
    /// Splits and parses a text, within the limits of length and depth.
    pub fn parse(&self, session: &Session, sql: &str) -> Result<Vec<Parsed>> {
        todo!("{session:?}{sql}")
    }

    /// Resolves, authorises, governs and plans a [`Kind::Rows`] statement without running it. `types` are the client's, `None` where it did
    /// not say.
    pub async fn describe(&self, session: &Session, parsed: &Parsed, types: &[Option<DataType>]) -> Result<Description> {
        todo!("{session:?}{parsed:?}{types:?}")
    }

    /// Runs a [`Kind::Rows`] statement from the start: authorised now, whatever was described before.
    pub async fn run(
        &self,
        session: &Session,
        parsed: &Parsed,
        parameters: &[ScalarValue],
        cancel: CancellationToken,
    ) -> Result<MeteredRows> {
        todo!("{session:?}{parsed:?}{parameters:?}{cancel:?}")
    }

    /// The tables that the session's principal may read, for catalog listings: sorted by schema and name.
    pub async fn visible(&self, session: &Session) -> Result<Arc<Vec<VisibleTable>>> {
        todo!("{session:?}")
    }
}

/// A table that a principal may read, as they see it.
#[derive(Debug, Clone)]
pub struct VisibleTable {
    /// The SQL schema.
    pub schema: String,
    /// The SQL name; the unpinned one of the default port, and pinned ones where a product has several.
    pub name: String,
    /// The columns as governed; `None` where the port cannot be described at the moment.
    pub columns: Option<SchemaRef>,
    /// What it is: product, or a system table where `None`.
    pub target: Option<PortRef>,
}

/// Something that a reader is told once a query: what was filtered, masked, stale or deprecated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// A lower-case fragment.
    pub message: String,
    /// A sentence.
    pub detail: Option<String>,
    /// A sentence.
    pub hint: Option<String>,
}

/// A result on its way to the reader: authorised, governed, counted. Made by the pipeline only.
///
/// It ends (`None`) only when the usage is durable, so a door may say "complete" as soon as it sees the end. After an error there is
/// nothing more. Dropped early, the query is settled as cancelled. Cancel-safe: `next()` may be dropped and called again.
#[derive(Debug)]
pub struct MeteredRows(());

impl MeteredRows {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        todo!()
    }

    /// The query's id.
    pub fn query_id(&self) -> QueryId {
        todo!()
    }

    /// What the reader is to be told.
    pub fn notices(&self) -> &[Notice] {
        todo!()
    }
}

impl Stream for MeteredRows {
    type Item = Result<RecordBatch>;

    fn poll_next(self: std::pin::Pin<&mut Self>, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        todo!()
    }
}
