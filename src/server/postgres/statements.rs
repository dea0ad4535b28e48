//! What statements do, whichever protocol they came by: the simple protocol, and the commands that give no rows.

use datafusion::scalar::ScalarValue;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, RowDescription};
use tokio::io::AsyncWrite;

use super::cancel::Halt;
use super::connection::Connection;
use super::encode::copy::Copier;
use super::encode::{self, Output};
use super::portal::{Cursor, Portal, Prepared, State, Writer, query_of};
use super::reply;
use super::transaction::Before;
use crate::error::{ErrorKind, Fault};
use crate::query::{CopyOptions, Direction, Kind, Parsed};
use crate::values::{Format, Style, types};

/// A statement to run, with its values: EXECUTE is what it executes.
pub struct Request {
    /// The statement.
    pub parsed: Parsed,
    /// Its values.
    pub values: Vec<ScalarValue>,
}

/// The columns of a result as clients are told.
pub fn row_description(outputs: &[Output]) -> RowDescription {
    let field = |output: &Output| {
        let name = output.name.replace('\0', "");
        let format = i16::from(output.format == Format::Binary);
        FieldDescription::new(name, 0, 0, output.ty.oid, output.ty.length, output.ty.modifier, format)
    };
    RowDescription::new(outputs.iter().map(field).collect())
}

impl<W: AsyncWrite + Unpin + Send> Connection<W> {
    /// A simple query: its statements one after the other, each answered before the next runs; the first error ends it.
    pub(super) async fn simple(&mut self, sql: &str) -> Result<(), Halt> {
        self.shelf.portals.remove("");
        self.shelf.statements.remove("");
        let statements = self.door.gateway.parse(&self.session, sql)?;
        let mut statements: Vec<Parsed> = statements.into_iter().filter(|parsed| *parsed.kind() != Kind::Empty).collect();
        if statements.is_empty() {
            self.outbox.put(&reply::empty());
            return Ok(());
        }
        self.several = statements.len() > 1;
        for parsed in statements.drain(..) {
            self.transaction.admit(parsed.kind())?;
            self.start();
            self.simple_statement(parsed).await?;
        }
        Ok(())
    }

    async fn simple_statement(&mut self, parsed: Parsed) -> Result<(), Halt> {
        match parsed.kind().clone() {
            Kind::Rows | Kind::Execute { .. } => {
                let request = self.request(parsed, Vec::new())?;
                let mut cursor = self.open(&request.parsed, &request.values).await?;
                let outputs = encode::outputs(&cursor.schema(), &[])?;
                self.outbox.put(&row_description(&outputs));
                let (rows, _) = self.rows(&mut cursor, &outputs, u64::MAX).await?;
                self.outbox.put(&reply::complete(rows_tag(request.parsed.tag(), rows)));
                Ok(())
            }
            Kind::CopyOut(options) => self.copy(&parsed, &options, &[]).await,
            Kind::Fetch { name, direction } => self.fetch(&name, direction, None).await,
            _ => {
                let tag = self.command(&parsed, &[]).await?;
                self.outbox.put(&reply::complete(tag));
                Ok(())
            }
        }
    }

    /// Sends at most so many rows of a cursor, while CancelRequests reach it.
    pub(super) async fn rows(&mut self, cursor: &mut Cursor, outputs: &[Output], most: u64) -> Result<(u64, bool), Halt> {
        let style = self.style();
        let _listening = cursor.running.listen(&self.registration);
        cursor.pump(&mut self.outbox, Some(&mut Writer::Rows), outputs, &style, most).await
    }

    /// What is to be run: for EXECUTE the prepared statement with the arguments as its types.
    pub(super) fn request(&self, parsed: Parsed, values: Vec<ScalarValue>) -> Result<Request, Fault> {
        let Kind::Execute { name, arguments } = parsed.kind() else { return Ok(Request { parsed, values }) };
        let prepared = self.shelf.statement(name)?;
        let Some(inner) = prepared.parsed.clone().filter(|inner| *inner.kind() == Kind::Rows) else {
            return Err(Fault::new(ErrorKind::Unsupported, format!("prepared statement \"{name}\" is not a query")));
        };
        if arguments.len() != prepared.parameters.len() {
            let detail = format!("Expected {} parameters but got {}.", prepared.parameters.len(), arguments.len());
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(Fault::new(ErrorKind::Syntax, message).with_detail(detail));
        }
        let convert = |(parameter, value): (&super::params::Parameter, &ScalarValue)| match value {
            value if value.is_null() => parameter.read(None, false, self.zone()),
            ScalarValue::Utf8(Some(text)) => parameter.read(Some(&bytes::Bytes::copy_from_slice(text.as_bytes())), false, self.zone()),
            value => parameter.convert(value.clone()),
        };
        let values = prepared.parameters.iter().zip(arguments).map(convert).collect::<Result<_, _>>()?;
        Ok(Request { parsed: inner, values })
    }

    /// COPY (query) TO STDOUT, from CopyOutResponse to its end.
    pub(super) async fn copy(&mut self, parsed: &Parsed, options: &CopyOptions, values: &[ScalarValue]) -> Result<(), Halt> {
        let Some(query) = parsed.inner() else { return Err(Fault::internal("a COPY without a query").into()) };
        let mut cursor = self.open(query, values).await?;
        let mut outputs = encode::outputs(&cursor.schema(), &[])?;
        let mut copier = Copier::new(options, &outputs)?;
        for output in &mut outputs {
            output.format = copier.format();
        }
        let code = i8::from(copier.format() == Format::Binary);
        let columns = i16::try_from(outputs.len()).unwrap_or(i16::MAX);
        self.outbox.put(&CopyOutResponse::new(code, columns, vec![i16::from(code); outputs.len()]));
        copier.begin(&mut self.outbox.buffer)?;
        let style = self.style();
        let mut writer = Writer::Copy(copier);
        let rows = {
            let _listening = cursor.running.listen(&self.registration);
            cursor.pump(&mut self.outbox, Some(&mut writer), &outputs, &style, u64::MAX).await?.0
        };
        writer.end(&mut self.outbox.buffer)?;
        self.outbox.put(&CopyDone::new());
        self.outbox.put(&reply::complete(format!("COPY {rows}")));
        Ok(())
    }

    /// FETCH. In the extended protocol `formats` are Bind's, and the columns were told by Describe.
    pub(super) async fn fetch(&mut self, name: &str, direction: Direction, formats: Option<&[i16]>) -> Result<(), Halt> {
        let most = how_many(direction)?;
        let mut portal = self.shelf.take_portal("cursor", name)?;
        let timeout = self.statement_timeout();
        let State::Open(cursor) = &mut portal.state else {
            self.shelf.put_portal(name, portal);
            return Err(Fault::new(ErrorKind::Unsupported, format!("portal \"{name}\" cannot be fetched from")).into());
        };
        cursor.running.restart(timeout);
        let asked: &[i16] = if portal.binary { &[1] } else { formats.unwrap_or(&portal.formats) };
        let outputs = encode::outputs(&cursor.schema(), asked)?;
        if formats.is_none() {
            self.outbox.put(&row_description(&outputs));
        }
        let (rows, _) = self.rows(cursor, &outputs, most).await?;
        self.shelf.put_portal(name, portal);
        self.outbox.put(&reply::complete(format!("FETCH {rows}")));
        Ok(())
    }

    async fn move_cursor(&mut self, name: &str, direction: Direction) -> Result<String, Halt> {
        let most = how_many(direction)?;
        let mut portal = self.shelf.take_portal("cursor", name)?;
        let timeout = self.statement_timeout();
        let mut moved = 0;
        if let State::Open(cursor) = &mut portal.state {
            cursor.running.restart(timeout);
            let _listening = cursor.running.listen(&self.registration);
            moved = cursor.pump(&mut self.outbox, None, &[], &Style::default(), most).await?.0;
        }
        self.shelf.put_portal(name, portal);
        Ok(format!("MOVE {moved}"))
    }

    /// A command that gives no rows; its tag.
    pub(super) async fn command(&mut self, parsed: &Parsed, values: &[ScalarValue]) -> Result<String, Halt> {
        let tag = parsed.tag();
        match parsed.kind() {
            Kind::Begin => Ok({
                let step = self.transaction.begin(tag);
                self.follow(step)
            }),
            Kind::Commit => Ok({
                let step = self.transaction.commit();
                self.follow(step)
            }),
            Kind::Rollback => Ok({
                let step = self.transaction.rollback();
                self.follow(step)
            }),
            Kind::Savepoint(name) => Ok({
                let before = Before { portals: self.shelf.last_portal(), settings: self.session.settings().snapshot() };
                let step = self.transaction.savepoint(name, before)?;
                self.follow(step)
            }),
            Kind::Release(name) => Ok({
                let step = self.transaction.release(name)?;
                self.follow(step)
            }),
            Kind::RollbackTo(name) => Ok({
                let step = self.transaction.rollback_to(name)?;
                self.follow(step)
            }),
            Kind::Set { name, value, local } => {
                self.set(name, value.as_deref(), *local)?;
                Ok("SET".to_owned())
            }
            Kind::Reset(name) => {
                self.session.settings().reset(name.as_deref())?;
                Ok("RESET".to_owned())
            }
            Kind::Discard(what) => Ok(self.discard(what)?),
            Kind::Prepare { name, types } => self.prepare_sql(name, types, parsed).await,
            Kind::Deallocate(name) => Ok(self.deallocate(name.as_deref())?),
            Kind::Declare { .. } => self.declare(parsed, values).await,
            Kind::Move { name, direction } => self.move_cursor(name, *direction).await,
            Kind::Close(name) => Ok(self.close_cursor(name.as_deref())?),
            Kind::NoOp(tag) => Ok((*tag).to_owned()),
            Kind::Empty | Kind::Rows | Kind::CopyOut(_) | Kind::Execute { .. } | Kind::Fetch { .. } => {
                Err(Fault::internal("a statement with rows was run as a command").into())
            }
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Fault> {
        if local && !self.transaction.in_block() && !self.several {
            self.outbox.put(&reply::warning("25P01", "SET LOCAL can only be used in transaction blocks"));
        }
        match value {
            Some(value) => self.session.settings().set(name, value, local),
            None if local => self.session.settings().reset_local(name),
            None => self.session.settings().reset(Some(name)),
        }
    }

    fn discard(&mut self, what: &str) -> Result<String, Fault> {
        let what = what.to_ascii_uppercase();
        if what == "ALL" {
            if self.transaction.in_block() {
                return Err(Fault::new(ErrorKind::ActiveTransaction, "DISCARD ALL cannot run inside a transaction block"));
            }
            self.shelf.portals.clear();
            self.shelf.statements.clear();
            self.session.settings().reset(None)?;
        }
        Ok(format!("DISCARD {what}"))
    }

    async fn prepare_sql(&mut self, name: &str, types: &[String], parsed: &Parsed) -> Result<String, Halt> {
        self.shelf.check_new_statement(name)?;
        let unknown = |written: &String| Fault::new(ErrorKind::UndefinedObject, format!("type \"{written}\" does not exist"));
        let known = |written: &String| types::by_sql_name(written).ok_or_else(|| unknown(written));
        let declared = types.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let Some(inner) = parsed.inner().cloned() else { return Err(Fault::internal("a PREPARE without a statement").into()) };
        let prepared: Prepared = self.prepare(Some(inner), declared, self.door.limits.statement_bytes.min(16 << 10)).await?;
        self.shelf.add_statement(name, prepared)?;
        Ok("PREPARE".to_owned())
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<String, Fault> {
        let Some(name) = name else {
            self.shelf.statements.clear();
            return Ok("DEALLOCATE ALL".to_owned());
        };
        self.shelf.statement(name)?;
        self.shelf.statements.remove(name);
        Ok("DEALLOCATE".to_owned())
    }

    async fn declare(&mut self, parsed: &Parsed, values: &[ScalarValue]) -> Result<String, Halt> {
        let Kind::Declare { name, hold, scroll, binary } = parsed.kind() else {
            return Err(Fault::internal("not a DECLARE").into());
        };
        if !hold && !self.several {
            self.transaction.require_block("DECLARE CURSOR")?;
        }
        if *scroll {
            let fault = Fault::new(ErrorKind::Unsupported, "scrollable cursors are not supported");
            return Err(fault.with_hint("Declare the cursor with NO SCROLL.").into());
        }
        self.shelf.check_new_portal(name)?;
        let Some(query) = query_of(parsed) else { return Err(Fault::internal("a DECLARE without a query").into()) };
        let cursor = self.open(query, values).await?;
        encode::outputs(&cursor.schema(), &[])?;
        let portal = Portal {
            parsed: Some(query.clone()),
            values: Vec::new(),
            formats: Vec::new(),
            described: None,
            number: 0,
            statement: String::new(),
            hold: *hold,
            binary: *binary,
            state: State::Open(Box::new(cursor)),
            bytes: 0,
        };
        self.shelf.add_portal(name, portal)?;
        Ok("DECLARE CURSOR".to_owned())
    }

    fn close_cursor(&mut self, name: Option<&str>) -> Result<String, Fault> {
        match name {
            None => {
                self.shelf.portals.clear();
                Ok("CLOSE CURSOR ALL".to_owned())
            }
            Some(name) => {
                self.shelf.take_portal("cursor", name)?;
                Ok("CLOSE CURSOR".to_owned())
            }
        }
    }
}

/// The tag of a statement with rows: only SELECT counts them.
pub fn rows_tag(tag: &str, rows: u64) -> String {
    if tag == "SELECT" { format!("SELECT {rows}") } else { tag.to_owned() }
}

fn how_many(direction: Direction) -> Result<u64, Fault> {
    match direction {
        Direction::Forward(0) => Err(Fault::new(ErrorKind::Unsupported, "FETCH 0 is not supported")),
        Direction::Forward(count) => Ok(count),
        Direction::All => Ok(u64::MAX),
        Direction::Other => {
            Err(Fault::new(ErrorKind::Unsupported, "cursor can only scan forward").with_hint("Use FETCH NEXT, FETCH FORWARD or FETCH ALL."))
        }
    }
}
