//! Text to statements: limits first, then syntax. Nothing here knows what a name means or who asks.
//!
//! Statements about the session (SET, FETCH, COPY's options, ...) are read here, token by token; queries go to the SQL parser. The text is
//! parsed once: what was authorised is the tree, and no later stage prints it and parses it again.

mod copy;
mod limits;
mod literals;
mod session;
mod spelling;
mod tokens;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace};
use sha2::{Digest, Sha256};

use crate::error::{ErrorKind, Fault, Result};

use self::tokens::Tokens;

/// How deep the SQL parser may recurse: a level of parentheses takes a few.
const PARSER_DEPTH: usize = 200;

/// One statement, parsed, within the limits. Cheap to clone. It is a request: it carries no right to anything.
#[derive(Debug, Clone)]
pub struct Parsed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    tag: &'static str,
    body: Body,
    inner: Option<Parsed>,
    digest: String,
    text: String,
    remark: String,
}

/// What a [`Kind::Rows`] statement runs.
#[derive(Debug)]
pub(crate) enum Body {
    /// A query.
    Query(Box<ast::Statement>),
    /// EXPLAIN of a query.
    Explain {
        /// The query.
        query: Box<ast::Statement>,
        /// What to say of it.
        what: Explained,
    },
    /// SHOW of one setting, or of all.
    Show(Option<String>),
    /// Not a [`Kind::Rows`] statement.
    Nothing,
}

/// What EXPLAIN says of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Explained {
    /// Its plan.
    Plan {
        /// Run it and say how it went.
        analyze: bool,
        /// Say more.
        verbose: bool,
    },
    /// What it would read and cost.
    Cost,
}

/// What a statement is, as far as a door must know.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing between two semicolons.
    Empty,
    /// SELECT, WITH, VALUES, TABLE, EXPLAIN, SHOW: gives rows.
    Rows,
    /// COPY (query) TO STDOUT; [`Parsed::inner`] gives the query to run.
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
        /// The literals, in order; text where they are quoted.
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
    /// Accepted and without effect here. Holds the command tag.
    NoOp(&'static str),
}

/// How far a cursor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// NEXT, FORWARD n, n.
    Forward(u64),
    /// ALL, FORWARD ALL.
    All,
    /// PRIOR, BACKWARD, FIRST, LAST, ABSOLUTE, RELATIVE and negative counts: for cursors that scroll, which these do not.
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
        &self.0.kind
    }

    /// The command tag without a count: `SELECT`, `BEGIN`, `SHOW`, `EXPLAIN`.
    pub fn tag(&self) -> &'static str {
        self.0.tag
    }

    /// The statement within PREPARE, DECLARE, COPY.
    pub fn inner(&self) -> Option<&Self> {
        self.0.inner.as_ref()
    }

    /// What it runs.
    pub(crate) fn body(&self) -> &Body {
        &self.0.body
    }

    /// SHA-256 of the statement with its literals removed, lower-case hexadecimal.
    pub(crate) fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The statement as it was written, without the semicolon.
    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The comment before it, or the first one in it: tools say there who asks. The beginning of it, where it is long.
    pub(crate) fn remark(&self) -> &str {
        &self.0.remark
    }
}

/// A statement without a body of its own.
fn plain(kind: Kind, tag: &'static str) -> Inner {
    Inner { kind, tag, body: Body::Nothing, inner: None, digest: String::new(), text: String::new(), remark: String::new() }
}

/// A statement that gives rows.
fn rows(body: Body, tag: &'static str) -> Inner {
    Inner { body, ..plain(Kind::Rows, tag) }
}

/// A statement around another.
fn around(kind: Kind, tag: &'static str, inner: Parsed) -> Inner {
    Inner { inner: Some(inner), ..plain(kind, tag) }
}

/// Splits and parses a text. `max_bytes` bounds its length.
pub(crate) fn parse(sql: &str, max_bytes: usize) -> Result<Vec<Parsed>> {
    if sql.len() > max_bytes {
        return Err(Fault::new(
            ErrorKind::ProgramLimit,
            format!("statement is too long: {} bytes, at most {max_bytes} are taken", sql.len()),
        ));
    }
    let source = Source::of(sql);
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().map_err(|e| source.lexical_fault(&e))?;
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let remark = remark(part);
        let part = literals::joined(part, &source)?;
        if part.is_empty() {
            continue;
        }
        limits::check(&part, &source)?;
        // Deep trees are built and dropped by recursion.
        let mut inner = deep(|| statement(Tokens::new(&part, &source), &source))?;
        // What is prepared or declared runs on its own later.
        if let Some(within) = inner.inner.as_mut().and_then(|within| Arc::get_mut(&mut within.0)) {
            within.remark.clone_from(&remark);
        }
        (inner.digest, inner.text, inner.remark) = (digest(&part), source.text(&part), remark);
        statements.push(Parsed(Arc::new(inner)));
    }
    if statements.is_empty() {
        statements.push(Parsed(Arc::new(plain(Kind::Empty, ""))));
    }
    Ok(statements)
}

/// The first comment of a statement, before it or in it.
fn remark(tokens: &[TokenWithSpan]) -> String {
    const MAX: usize = 256;
    let first = tokens.iter().find_map(|token| match &token.token {
        Token::Whitespace(Whitespace::SingleLineComment { comment, .. } | Whitespace::MultiLineComment(comment)) => Some(comment),
        _ => None,
    });
    first.map(|comment| comment.chars().take(MAX).collect()).unwrap_or_default()
}

/// Runs `work` with a stack that the limits' deepest statement fits in, whoever calls.
pub(crate) fn deep<T>(work: impl FnOnce() -> T) -> T {
    const NEEDED: usize = 6 << 20;
    const GROWN: usize = 16 << 20;
    stacker::maybe_grow(NEEDED, GROWN, work)
}

/// Reads one statement. Every kind is named: what is not, is refused.
fn statement(tokens: Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    let Some(first) = tokens.keyword() else {
        return if tokens.peek() == Some(&Token::LParen) { query(&tokens, source) } else { Err(tokens.unexpected()) };
    };
    match first.as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => query(&tokens, source),
        "EXPLAIN" => explain(tokens, source),
        "COPY" => copy::read(tokens, source),
        "PREPARE" | "EXECUTE" | "DEALLOCATE" | "DECLARE" | "FETCH" | "MOVE" | "CLOSE" => session::cursors_and_statements(tokens, source),
        "SHOW" | "SET" | "RESET" | "DISCARD" => session::settings(tokens),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => session::transactions(tokens),
        "UNLISTEN" => Ok(plain(Kind::NoOp("UNLISTEN"), "UNLISTEN")),
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "CREATE" | "ALTER" | "DROP" | "GRANT" | "REVOKE" | "COMMENT" | "VACUUM"
        | "ANALYZE" | "REINDEX" | "CLUSTER" | "REFRESH" | "IMPORT" | "REASSIGN" | "SECURITY" | "LOCK" | "NOTIFY" | "UPSERT" | "REPLACE" => {
            Err(read_only(&first))
        }
        "LISTEN" | "LOAD" | "DO" | "CALL" | "CHECKPOINT" | "ATTACH" | "DETACH" | "INSTALL" | "DESCRIBE" | "DESC" | "USE" | "PRAGMA"
        | "UNLOAD" | "MSCK" | "KILL" | "CACHE" | "UNCACHE" | "EXPORT" | "RUN" => {
            Err(Fault::new(ErrorKind::Unsupported, format!("{first} is not supported")))
        }
        _ => Err(tokens.unexpected()),
    }
}

/// What PostgreSQL says of a write in a read-only transaction.
fn read_only(what: &str) -> Fault {
    Fault::new(ErrorKind::ReadOnly, format!("cannot execute {what} in a read-only transaction"))
        .with_hint("The gateway only reads. Data products are written by their domains, in their own storage.")
}

/// A query: SELECT, WITH, VALUES, TABLE, or one in parentheses.
fn query(tokens: &Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    Ok(rows(Body::Query(Box::new(query_tree(tokens.rest(), source)?)), "SELECT"))
}

/// The tree of a query's tokens.
fn query_tree(tokens: &[TokenWithSpan], source: &Source<'_>) -> Result<ast::Statement> {
    let mut parser =
        Parser::new(&PostgreSqlDialect {}).with_recursion_limit(PARSER_DEPTH).with_tokens_with_locations(spelling::readable(tokens));
    let mut query = parser.parse_query().map_err(|e| source.syntax_fault(&e, tokens))?;
    let left = parser.peek_token();
    if left.token != Token::EOF {
        return Err(tokens::unexpected(&left, source));
    }
    if let ControlFlow::Break(refusal) = query.visit(&mut Refusals) {
        return Err(match refusal {
            Refusal::Write(what) => read_only(what),
            Refusal::Alias(text) => {
                let is_it = |token: &&TokenWithSpan| matches!(&token.token, Token::SingleQuotedString(found) if *found == text);
                let fault = tokens.iter().find(is_it).map(|token| tokens::unexpected(token, source));
                fault.unwrap_or_else(|| Fault::new(ErrorKind::Syntax, "syntax error"))
            }
        });
    }
    limits::check_expansion(&query)?;
    desugar_table(&mut query.body);
    Ok(ast::Statement::Query(query))
}

/// The statement within PREPARE, DECLARE or COPY.
fn inner_query(tokens: &[TokenWithSpan], source: &Source<'_>) -> Result<Parsed> {
    let inner = rows(Body::Query(Box::new(query_tree(tokens, source)?)), "SELECT");
    Ok(Parsed(Arc::new(Inner { digest: digest(tokens), text: source.text(tokens), ..inner })))
}

/// What a query can carry and must not.
enum Refusal {
    /// What is not reading: SELECT INTO, data-modifying WITH, row locks.
    Write(&'static str),
    /// A string constant for a name, which the SQL parser takes.
    Alias(String),
}

struct Refusals;

impl Visitor for Refusals {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Refusal> {
        if query.locks.is_empty() { Self::body(&query.body) } else { ControlFlow::Break(Refusal::Write("SELECT FOR UPDATE")) }
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<Refusal> {
        select.projection.iter().try_for_each(|item| match item {
            ast::SelectItem::ExprWithAlias { alias, .. } => Self::name(alias),
            _ => ControlFlow::Continue(()),
        })
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<Refusal> {
        match factor {
            ast::TableFactor::Table { alias: Some(alias), .. } | ast::TableFactor::Derived { alias: Some(alias), .. } => {
                Self::name(&alias.name)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Refusals {
    fn name(name: &ast::Ident) -> ControlFlow<Refusal> {
        if name.quote_style == Some('\'') { ControlFlow::Break(Refusal::Alias(name.value.clone())) } else { ControlFlow::Continue(()) }
    }

    fn body(set: &ast::SetExpr) -> ControlFlow<Refusal> {
        let write = |what| ControlFlow::Break(Refusal::Write(what));
        match set {
            ast::SetExpr::Select(select) if select.into.is_some() => write("SELECT INTO"),
            ast::SetExpr::Select(_) | ast::SetExpr::Values(_) | ast::SetExpr::Table(_) | ast::SetExpr::Query(_) => {
                ControlFlow::Continue(())
            }
            ast::SetExpr::SetOperation { left, right, .. } => {
                Self::body(left)?;
                Self::body(right)
            }
            ast::SetExpr::Insert(_) => write("INSERT"),
            ast::SetExpr::Update(_) => write("UPDATE"),
            ast::SetExpr::Delete(_) => write("DELETE"),
            ast::SetExpr::Merge(_) => write("MERGE"),
        }
    }
}

/// `TABLE name` is `SELECT * FROM name`, which the planner knows.
fn desugar_table(body: &mut Box<ast::SetExpr>) {
    match body.as_mut() {
        ast::SetExpr::Table(table) => {
            let parts = [table.schema_name.as_ref(), table.table_name.as_ref()];
            let name: Vec<String> =
                parts.into_iter().flatten().map(|part| ast::Ident::with_quote('"', part.to_lowercase()).to_string()).collect();
            let sql = format!("SELECT * FROM {}", name.join("."));
            if let Ok(mut parser) = Parser::new(&PostgreSqlDialect {}).try_with_sql(&sql)
                && let Ok(query) = parser.parse_query()
            {
                *body = query.body;
            }
        }
        ast::SetExpr::SetOperation { left, right, .. } => {
            desugar_table(left);
            desugar_table(right);
        }
        ast::SetExpr::Query(query) => desugar_table(&mut query.body),
        _ => {}
    }
}

/// EXPLAIN [ANALYZE] [VERBOSE] query, EXPLAIN (options) query. `COSTS` is PostgreSQL's, for its planner's guesses; `COST` is ours.
fn explain(mut tokens: Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    tokens.word("EXPLAIN");
    let (mut analyze, mut verbose, mut cost) = (false, false, false);
    let has_options = tokens.peek() == Some(&Token::LParen)
        && matches!(tokens.rest().get(1).map(|t| &t.token), Some(Token::Word(w)) if !["SELECT", "WITH", "VALUES", "TABLE"].contains(&w.value.to_ascii_uppercase().as_str()));
    if has_options {
        tokens.take();
        loop {
            let option = tokens.identifier()?;
            let value = match tokens.peek() {
                Some(Token::Comma | Token::RParen) | None => "true".to_owned(),
                Some(Token::Number(number, _)) => {
                    tokens.take();
                    number.clone()
                }
                Some(_) => tokens.identifier()?,
            };
            let on = !matches!(value.as_str(), "false" | "off" | "0");
            match option.as_str() {
                "analyze" => analyze = on,
                "verbose" => verbose = on,
                "cost" => cost = on,
                "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" | "memory" => {}
                "format" if value == "text" => {}
                "format" => {
                    return Err(Fault::new(ErrorKind::Unsupported, format!("EXPLAIN format \"{value}\" is not supported"))
                        .with_hint("Use FORMAT TEXT."));
                }
                _ => return Err(Fault::new(ErrorKind::Unsupported, format!("EXPLAIN option \"{option}\" is not supported"))),
            }
            if !tokens.token(&Token::Comma) {
                break;
            }
        }
        if !tokens.token(&Token::RParen) {
            return Err(tokens.unexpected());
        }
    } else {
        analyze = tokens.word("ANALYZE");
        verbose = tokens.word("VERBOSE");
    }
    if cost && analyze {
        return Err(Fault::new(ErrorKind::Unsupported, "EXPLAIN options COST and ANALYZE cannot be used together")
            .with_hint("COST says what the query would read; it is not run."));
    }
    match tokens.keyword().as_deref() {
        Some("SELECT" | "WITH" | "VALUES" | "TABLE") => {}
        None if tokens.peek() == Some(&Token::LParen) => {}
        Some(word @ ("INSERT" | "UPDATE" | "DELETE" | "MERGE" | "CREATE")) => return Err(read_only(word)),
        _ => return Err(tokens.unexpected()),
    }
    let query = Box::new(query_tree(tokens.rest(), source)?);
    let what = if cost { Explained::Cost } else { Explained::Plan { analyze, verbose } };
    Ok(rows(Body::Explain { query, what }, "EXPLAIN"))
}

/// SHA-256 over the tokens, with each literal as `?` and words in lower case.
fn digest(tokens: &[TokenWithSpan]) -> String {
    let mut hash = Sha256::new();
    for token in tokens {
        match &token.token {
            Token::Word(word) if word.quote_style.is_none() => hash.update(word.value.to_lowercase()),
            Token::Word(word) => hash.update(format!("\"{}\"", word.value)),
            Token::Comma | Token::LParen | Token::RParen | Token::Period | Token::Placeholder(_) => hash.update(token.token.to_string()),
            Token::Number(..) => hash.update("?"),
            text if literals::is_text(text) => hash.update("?"),
            other => hash.update(other.to_string()),
        }
        hash.update(" ");
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text, for turning lines and columns into positions.
#[derive(Debug)]
struct Source<'a> {
    sql: &'a str,
    /// The byte at which each line begins.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn of(sql: &'a str) -> Self {
        let after = sql.match_indices('\n').map(|(at, _)| at + 1);
        Self { sql, lines: std::iter::once(0).chain(after).collect() }
    }

    /// The bytes before a place.
    fn byte(&self, at: Location) -> Option<usize> {
        let line = *self.lines.get(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let rest = self.sql.get(line..)?;
        Some(line + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte))
    }

    /// What tokens were read from.
    fn text(&self, tokens: &[TokenWithSpan]) -> String {
        let text = || {
            let (first, last) = (tokens.first()?, tokens.last()?);
            self.sql.get(self.byte(first.span.start)?..self.byte(last.span.end)?)
        };
        text().unwrap_or_default().to_owned()
    }

    /// Characters from 1, as PostgreSQL counts.
    fn position(&self, at: Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(1).max(1);
        let column = usize::try_from(at.column).unwrap_or(1).max(1);
        let before: usize = self.sql.split_inclusive('\n').take(line - 1).map(|l| l.chars().count()).sum();
        before + column
    }

    fn end(&self) -> usize {
        self.sql.chars().count() + 1
    }

    fn lexical_fault(&self, error: &TokenizerError) -> Fault {
        Fault::new(ErrorKind::Syntax, lower_first(&error.message)).with_position(self.position(error.location))
    }

    /// The SQL parser's error in PostgreSQL's words: at which token it gave up.
    fn syntax_fault(&self, error: &ParserError, tokens: &[TokenWithSpan]) -> Fault {
        let text = match error {
            ParserError::RecursionLimitExceeded => return limits::too_complex("it is nested too deeply"),
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        };
        let Some(at) = location_in(text) else {
            return Fault::new(ErrorKind::Syntax, "syntax error at end of input").with_position(self.end());
        };
        let fault = match tokens.iter().find(|token| token.span.start == at) {
            Some(token) => {
                Fault::new(ErrorKind::Syntax, format!("syntax error at or near \"{}\"", tokens::shorten(&token.token.to_string())))
            }
            None => Fault::new(ErrorKind::Syntax, "syntax error"),
        };
        fault.with_position(self.position(at))
    }
}

/// The `Line: 1, Column: 8` that the SQL parser puts into its messages.
fn location_in(text: &str) -> Option<Location> {
    let (_, rest) = text.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.parse().ok()?, column: digits.parse().ok()? })
}

/// `Unterminated string literal` to `unterminated string literal`.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../fuzz/sql.rs"]
mod fuzz;
