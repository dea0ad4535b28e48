//! The one table of faults: what went wrong, in the words and codes of each protocol.
//!
//! Everything that reaches a user is a [`Fault`]: a closed [`ErrorKind`] with a sentence that was written for that user. Foreign errors
//! (DataFusion, Arrow, object stores) are never shown as they are, because they quote cells, paths and URLs; they travel along as
//! `source` for the log only.

mod causes;

use std::error::Error as StdError;
use std::fmt;

pub use causes::{causes, find_cause};

/// What kind of thing went wrong. Closed on purpose: a new kind must say its codes in [`ErrorKind::codes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The text is not SQL.
    Syntax,
    /// No such table, or none that this reader may know of.
    UndefinedTable,
    /// No such column.
    UndefinedColumn,
    /// No such function, or not for these types.
    UndefinedFunction,
    /// No such object of another kind: prepared statement (`26000` is [`ErrorKind::UndefinedStatement`]), type, role.
    UndefinedObject,
    /// No such thing at an address of the HTTP door, or none that this caller may know of.
    NotFound,
    /// A database that does not exist: there is one.
    UndefinedDatabase,
    /// A savepoint that does not exist.
    UndefinedSavepoint,
    /// A prepared statement that does not exist.
    UndefinedStatement,
    /// A cursor or portal that does not exist.
    UndefinedCursor,
    /// A name that exists already (prepared statement).
    DuplicateStatement,
    /// A name that exists already (cursor, portal).
    DuplicateCursor,
    /// A name that could be two things.
    AmbiguousColumn,
    /// An expression misuses grouping.
    Grouping,
    /// Types that do not go together.
    DatatypeMismatch,
    /// A parameter whose type cannot be told.
    IndeterminateDatatype,
    /// Division by zero.
    DivisionByZero,
    /// A text that is not a value of the type.
    InvalidText,
    /// A text that is no date or time, or a template of one that contradicts itself.
    InvalidDatetime,
    /// A date or time that there is not.
    DatetimeOverflow,
    /// A regular expression that is none.
    InvalidRegex,
    /// The logarithm of what has none.
    InvalidLogarithm,
    /// A power or root of what has none.
    InvalidPower,
    /// Bounds between which there are no buckets.
    InvalidBucket,
    /// NULL where a value is needed.
    NullValue,
    /// A binary value that is not one of the type.
    InvalidBinary,
    /// A value out of its type's range.
    OutOfRange,
    /// An argument or setting value that is not allowed.
    InvalidParameter,
    /// A setting that cannot be changed.
    CannotChange,
    /// An operation that the object is in no state for (backward fetch).
    NotInState,
    /// More than one row where one was asked for.
    Cardinality,
    /// Not entitled.
    Denied,
    /// A write or DDL.
    ReadOnly,
    /// Wrong user or password, or an unusable token.
    Login,
    /// No user was given, or one that the protocol cannot carry.
    LoginMalformed,
    /// The token of the session has expired, or is no longer accepted.
    SessionEnded,
    /// A statement in a transaction that failed.
    FailedTransaction,
    /// A statement that needs a transaction block.
    NoActiveTransaction,
    /// A statement that cannot run in a transaction block.
    ActiveTransaction,
    /// A transaction block in which nothing happened for too long.
    IdleTransaction,
    /// A scan limit or budget.
    ScanLimit,
    /// Too many connections, or too many queries waiting.
    TooManyConnections,
    /// Too many requests of one principal that wait for somebody else.
    TooManyPending,
    /// Out of memory.
    OutOfMemory,
    /// The reader, a timeout or an administrator ended the query.
    Cancelled,
    /// The gateway is going down.
    ShuttingDown,
    /// Too long or too large (`54000`).
    ProgramLimit,
    /// Too deep or too many terms (`54001`).
    TooComplex,
    /// The storage of a product did not answer, or with something unusable.
    Storage,
    /// The request breaks the protocol.
    Protocol,
    /// Not supported.
    Unsupported,
    /// A fault of ours.
    Internal,
}

/// The same fault in each vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// PostgreSQL's five characters.
    pub sqlstate: &'static str,
    /// gRPC's code.
    pub grpc: tonic::Code,
    /// HTTP's status.
    pub http: u16,
    /// A label for metrics and `ErrorInfo.reason`.
    pub label: &'static str,
}

impl ErrorKind {
    /// The one table. Matched without `_`, so a new kind does not compile until it is listed.
    pub const fn codes(self) -> Codes {
        use tonic::Code as Grpc;
        let (sqlstate, grpc, http, label) = match self {
            Self::Syntax => ("42601", Grpc::InvalidArgument, 400, "SYNTAX"),
            Self::UndefinedTable => ("42P01", Grpc::NotFound, 404, "UNDEFINED_TABLE"),
            Self::UndefinedColumn => ("42703", Grpc::InvalidArgument, 400, "UNDEFINED_COLUMN"),
            Self::UndefinedFunction => ("42883", Grpc::InvalidArgument, 400, "UNDEFINED_FUNCTION"),
            Self::UndefinedObject => ("42704", Grpc::InvalidArgument, 400, "UNDEFINED_OBJECT"),
            Self::NotFound => ("42704", Grpc::NotFound, 404, "NOT_FOUND"),
            Self::UndefinedDatabase => ("3D000", Grpc::NotFound, 404, "UNDEFINED_DATABASE"),
            Self::UndefinedSavepoint => ("3B001", Grpc::NotFound, 404, "UNDEFINED_SAVEPOINT"),
            Self::UndefinedStatement => ("26000", Grpc::NotFound, 404, "UNDEFINED_STATEMENT"),
            Self::UndefinedCursor => ("34000", Grpc::NotFound, 404, "UNDEFINED_CURSOR"),
            Self::DuplicateStatement => ("42P05", Grpc::AlreadyExists, 409, "DUPLICATE_STATEMENT"),
            Self::DuplicateCursor => ("42P03", Grpc::AlreadyExists, 409, "DUPLICATE_CURSOR"),
            Self::AmbiguousColumn => ("42702", Grpc::InvalidArgument, 400, "AMBIGUOUS_COLUMN"),
            Self::Grouping => ("42803", Grpc::InvalidArgument, 400, "GROUPING"),
            Self::DatatypeMismatch => ("42804", Grpc::InvalidArgument, 400, "DATATYPE_MISMATCH"),
            Self::IndeterminateDatatype => ("42P18", Grpc::InvalidArgument, 400, "INDETERMINATE_DATATYPE"),
            Self::DivisionByZero => ("22012", Grpc::InvalidArgument, 400, "DIVISION_BY_ZERO"),
            Self::InvalidText => ("22P02", Grpc::InvalidArgument, 400, "INVALID_TEXT"),
            Self::InvalidDatetime => ("22007", Grpc::InvalidArgument, 400, "INVALID_DATETIME"),
            Self::DatetimeOverflow => ("22008", Grpc::OutOfRange, 400, "DATETIME_OVERFLOW"),
            Self::InvalidRegex => ("2201B", Grpc::InvalidArgument, 400, "INVALID_REGEX"),
            Self::InvalidLogarithm => ("2201E", Grpc::InvalidArgument, 400, "INVALID_LOGARITHM"),
            Self::InvalidPower => ("2201F", Grpc::InvalidArgument, 400, "INVALID_POWER"),
            Self::InvalidBucket => ("2201G", Grpc::InvalidArgument, 400, "INVALID_BUCKET"),
            Self::NullValue => ("22004", Grpc::InvalidArgument, 400, "NULL_VALUE"),
            Self::InvalidBinary => ("22P03", Grpc::InvalidArgument, 400, "INVALID_BINARY"),
            Self::OutOfRange => ("22003", Grpc::OutOfRange, 400, "OUT_OF_RANGE"),
            Self::InvalidParameter => ("22023", Grpc::InvalidArgument, 400, "INVALID_PARAMETER"),
            Self::CannotChange => ("55P02", Grpc::FailedPrecondition, 409, "CANNOT_CHANGE"),
            Self::NotInState => ("55000", Grpc::FailedPrecondition, 409, "NOT_IN_STATE"),
            Self::Cardinality => ("21000", Grpc::InvalidArgument, 400, "CARDINALITY"),
            Self::Denied => ("42501", Grpc::PermissionDenied, 403, "DENIED"),
            Self::ReadOnly => ("25006", Grpc::FailedPrecondition, 405, "READ_ONLY"),
            Self::Login => ("28P01", Grpc::Unauthenticated, 401, "LOGIN"),
            Self::LoginMalformed => ("28000", Grpc::Unauthenticated, 401, "LOGIN_MALFORMED"),
            Self::SessionEnded => ("28000", Grpc::Unauthenticated, 401, "SESSION_ENDED"),
            Self::FailedTransaction => ("25P02", Grpc::FailedPrecondition, 409, "FAILED_TRANSACTION"),
            Self::NoActiveTransaction => ("25P01", Grpc::FailedPrecondition, 409, "NO_ACTIVE_TRANSACTION"),
            Self::ActiveTransaction => ("25001", Grpc::FailedPrecondition, 409, "ACTIVE_TRANSACTION"),
            Self::IdleTransaction => ("25P03", Grpc::Aborted, 409, "IDLE_TRANSACTION"),
            Self::ScanLimit => ("53400", Grpc::ResourceExhausted, 429, "SCAN_LIMIT"),
            Self::TooManyConnections => ("53300", Grpc::ResourceExhausted, 503, "TOO_MANY_CONNECTIONS"),
            Self::TooManyPending => ("53400", Grpc::ResourceExhausted, 429, "TOO_MANY_PENDING"),
            Self::OutOfMemory => ("53200", Grpc::ResourceExhausted, 503, "OUT_OF_MEMORY"),
            Self::Cancelled => ("57014", Grpc::Cancelled, 499, "CANCELLED"),
            Self::ShuttingDown => ("57P01", Grpc::Unavailable, 503, "SHUTTING_DOWN"),
            Self::ProgramLimit => ("54000", Grpc::InvalidArgument, 413, "PROGRAM_LIMIT"),
            Self::TooComplex => ("54001", Grpc::InvalidArgument, 400, "TOO_COMPLEX"),
            Self::Storage => ("58030", Grpc::Unavailable, 502, "STORAGE"),
            Self::Protocol => ("08P01", Grpc::InvalidArgument, 400, "PROTOCOL"),
            Self::Unsupported => ("0A000", Grpc::Unimplemented, 501, "UNSUPPORTED"),
            Self::Internal => ("XX000", Grpc::Internal, 500, "INTERNAL"),
        };
        Codes { sqlstate, grpc, http, label }
    }

    /// Every kind there is, for the reference in `docs/errors.md`.
    pub const ALL: &[Self] = &[
        Self::Syntax,
        Self::UndefinedTable,
        Self::UndefinedColumn,
        Self::UndefinedFunction,
        Self::UndefinedObject,
        Self::NotFound,
        Self::UndefinedDatabase,
        Self::UndefinedSavepoint,
        Self::UndefinedStatement,
        Self::UndefinedCursor,
        Self::DuplicateStatement,
        Self::DuplicateCursor,
        Self::AmbiguousColumn,
        Self::Grouping,
        Self::DatatypeMismatch,
        Self::IndeterminateDatatype,
        Self::DivisionByZero,
        Self::InvalidText,
        Self::InvalidDatetime,
        Self::DatetimeOverflow,
        Self::InvalidRegex,
        Self::InvalidLogarithm,
        Self::InvalidPower,
        Self::InvalidBucket,
        Self::NullValue,
        Self::InvalidBinary,
        Self::OutOfRange,
        Self::InvalidParameter,
        Self::CannotChange,
        Self::NotInState,
        Self::Cardinality,
        Self::Denied,
        Self::ReadOnly,
        Self::Login,
        Self::LoginMalformed,
        Self::SessionEnded,
        Self::FailedTransaction,
        Self::NoActiveTransaction,
        Self::ActiveTransaction,
        Self::IdleTransaction,
        Self::ScanLimit,
        Self::TooManyConnections,
        Self::TooManyPending,
        Self::OutOfMemory,
        Self::Cancelled,
        Self::ShuttingDown,
        Self::ProgramLimit,
        Self::TooComplex,
        Self::Storage,
        Self::Protocol,
        Self::Unsupported,
        Self::Internal,
    ];

    /// PostgreSQL's five characters.
    pub const fn sqlstate(self) -> &'static str {
        self.codes().sqlstate
    }
}

/// What a user is told. The texts follow PostgreSQL: the message is a lower-case fragment without a full stop, detail and hint are
/// sentences.
pub struct Fault {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A result whose error can be shown.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A fault with its message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: None, hint: None, position: None, source: None }
    }

    /// A fault of ours. The reader gets a fixed sentence; `source` goes to the log.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Internal, "internal error").with_source(source)
    }

    /// Adds a sentence that says more.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a sentence that says what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where in the statement: characters, from 1.
    #[must_use]
    pub fn with_position(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    /// Adds the cause, for the log only.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same fault, for where an error can only be borrowed. Its cause stays behind.
    #[must_use]
    pub fn without_source(&self) -> Self {
        Self {
            kind: self.kind,
            message: self.message.clone(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            position: self.position,
            source: None,
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// PostgreSQL's five characters.
    pub fn sqlstate(&self) -> &'static str {
        self.kind.sqlstate()
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence that says more.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The sentence that says what to do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where in the statement: characters, from 1.
    pub fn position(&self) -> Option<usize> {
        self.position
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Fault {
    /// For the log: with the cause, which no user sees.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("sqlstate", &self.sqlstate())
            .field("message", &self.message)
            .field("detail", &self.detail)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/errors.md`, from the table.
    fn reference() -> String {
        let mut text = "# Errors\n\n<!-- Generated from the source: run the tests with MESHGATE_UPDATE_DOCS=1 to bring it up to date. -->\n\n\
            The same fault in each vocabulary. PostgreSQL clients get the SQLSTATE; Flight clients get the gRPC code, and `google.rpc.ErrorInfo` with\n\
            the reason and the SQLSTATE; HTTP clients get the status.\n\n\
            | SQLSTATE | gRPC | HTTP | reason |\n|---|---|---|---|\n"
            .to_owned();
        let mut all: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.codes()).collect();
        all.sort_by_key(|codes| (codes.sqlstate, codes.label));
        for codes in all {
            text.push_str(&format!("| `{}` | `{:?}` | {} | `{}` |\n", codes.sqlstate, codes.grpc, codes.http, codes.label));
        }
        text
    }

    #[test]
    fn the_reference_lists_every_kind() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        if std::env::var_os("MESHGATE_UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "docs/errors.md is stale: run this test again with MESHGATE_UPDATE_DOCS=1");
    }

    #[test]
    fn labels_are_unique_and_the_list_has_every_kind_once() {
        let labels: std::collections::BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.codes().label).collect();
        assert_eq!(labels.len(), ErrorKind::ALL.len());
    }
}
