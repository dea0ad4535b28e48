//! Prepared statements, portals and cursors: what a connection keeps between messages.
//!
//! A portal never holds rows. It holds the stream and the batch that it is in, so that `Execute` with any row limit, and a client that
//! stops asking, cost one batch.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use futures::StreamExt as _;
use tokio::io::AsyncWrite;

use super::cancel::{Halt, Running};
use super::encode::copy::Copier;
use super::encode::{self, Output};
use super::params::Parameter;
use super::reply::Outbox;
use crate::error::{ErrorKind, Fault};
use crate::query::{Description, Kind, MeteredRows, Parsed};
use crate::values::{Column, Style, Unwritable, types};

/// A prepared statement: a request, authorised again whenever it is run.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The statement; `None` is the empty one.
    pub parsed: Option<Parsed>,
    /// The types that the client declared; 0 is unknown.
    pub declared: Vec<u32>,
    /// What Bind must bring.
    pub parameters: Vec<Parameter>,
    /// What it gives, as of the pipeline with that number.
    pub described: Option<(u64, Description)>,
    /// The length of its text.
    pub bytes: usize,
}

impl Prepared {
    /// What it is.
    pub fn kind(&self) -> &Kind {
        self.parsed.as_ref().map_or(&Kind::Empty, Parsed::kind)
    }
}

/// The statement within a statement whose parameters and columns a client may ask for.
pub fn query_of(parsed: &Parsed) -> Option<&Parsed> {
    match parsed.kind() {
        Kind::Rows => Some(parsed),
        Kind::CopyOut(_) | Kind::Declare { .. } => parsed.inner(),
        _ => None,
    }
}

/// A statement with its values, running or not yet.
#[derive(Debug)]
pub struct Portal {
    /// The statement; `None` is the empty one.
    pub parsed: Option<Parsed>,
    /// Its values.
    pub values: Vec<ScalarValue>,
    /// The formats that Bind asked for.
    pub formats: Vec<i16>,
    /// What the client was told of its columns.
    pub described: Option<SchemaRef>,
    /// Counts up with each portal of the connection.
    pub number: u64,
    /// The prepared statement it is of.
    pub statement: String,
    /// DECLARE … WITH HOLD: outlives its transaction.
    pub hold: bool,
    /// DECLARE BINARY.
    pub binary: bool,
    /// Where it is.
    pub state: State,
    /// The length of its values.
    pub bytes: usize,
}

impl Portal {
    /// Nobody fetches from it for now: a cursor that a user looks at must not keep the rest of their domain waiting, nor a session that
    /// fetches from many in turns wait for itself.
    fn rest(&mut self) {
        if let State::Open(cursor) = &mut self.state {
            cursor.rows.rest();
        }
    }
}

/// Where a portal is.
#[derive(Debug)]
pub enum State {
    /// Not run yet.
    New,
    /// Running.
    Open(Box<Cursor>),
    /// A command that was run.
    Done,
}

/// A running query and where its reader is.
#[derive(Debug)]
pub struct Cursor {
    rows: Pin<Box<MeteredRows>>,
    /// One with rows left from `offset` on.
    batch: Option<RecordBatch>,
    offset: usize,
    ended: bool,
    /// Its clock and tokens.
    pub running: Running,
}

/// What rows become.
#[derive(Debug)]
pub enum Writer {
    /// DataRow messages.
    Rows,
    /// A COPY.
    Copy(Copier),
}

/// Batches that are encoded at once, where all rows are wanted.
const ENCODERS: usize = 2;
/// Bytes that are encoded ahead of each. Rows that come to more are encoded as they are sent.
const AHEAD: usize = 2 << 20;
/// Cells that are not worth a task.
const FEW_CELLS: usize = 4096;

/// The first rows of a batch, encoded, and what encodes the rest.
struct Encoded {
    bytes: Vec<u8>,
    batch: RecordBatch,
    done: usize,
    writer: Writer,
}

impl Writer {
    fn row(&mut self, columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        match self {
            Self::Rows => encode::data_row(columns, row, out),
            Self::Copy(copier) => copier.row(columns, row, out),
        }
    }

    /// Appends what comes after all rows.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        match self {
            Self::Rows => Ok(()),
            Self::Copy(copier) => copier.end(out),
        }
    }

    /// One for the next `rows` rows, while this one goes on behind them.
    fn fork(&mut self, rows: usize) -> Self {
        match self {
            Self::Rows => Self::Rows,
            Self::Copy(copier) => Self::Copy(copier.fork(rows)),
        }
    }

    fn encode(mut self, batch: RecordBatch, outputs: &[Output], style: &Style) -> Result<Encoded, Fault> {
        let (mut bytes, mut done) = (Vec::new(), 0);
        let columns = encode::columns(&batch, outputs, style)?;
        while done < batch.num_rows() && bytes.len() < AHEAD {
            self.row(&columns, done, &mut bytes)?;
            done += 1;
        }
        drop(columns);
        Ok(Encoded { bytes, batch, done, writer: self })
    }

    /// Sends some rows of a batch.
    async fn send<W: AsyncWrite + Unpin>(
        &mut self,
        (running, outbox): (&Running, &mut Outbox<W>),
        batch: &RecordBatch,
        rows: Range<usize>,
        outputs: &[Output],
        style: &Style,
    ) -> Result<(), Halt> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = encode::columns(batch, outputs, style)?;
        for row in rows {
            self.row(&columns, row, &mut outbox.buffer)?;
            if outbox.is_full() {
                running.wait(outbox.flush()).await??;
            }
        }
        Ok(())
    }
}

impl Cursor {
    /// Starts before the first row.
    pub fn new(rows: MeteredRows, running: Running) -> Self {
        Self { rows: Box::pin(rows), batch: None, offset: 0, ended: false, running }
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.rows.schema())
    }

    /// Sends at most so many rows; says how many there were, and whether those were the last. Without a writer they are skipped: MOVE.
    ///
    /// A right that is taken away takes with it what was read and is not sent yet.
    pub async fn pump<W: AsyncWrite + Unpin>(
        &mut self,
        outbox: &mut Outbox<W>,
        writer: Option<&mut Writer>,
        outputs: &[Output],
        style: &Style,
        most: u64,
    ) -> Result<(u64, bool), Halt> {
        let ending = self.rows.ending();
        tokio::select! {
            biased;
            () = ending.cancelled() => {}
            pumped = self.pump_while(outbox, writer, outputs, style, most) => return pumped,
        }
        self.batch = None;
        while let Some(rows) = self.running.wait(self.rows.next()).await? {
            rows?;
        }
        Ok((0, true))
    }

    async fn pump_while<W: AsyncWrite + Unpin>(
        &mut self,
        outbox: &mut Outbox<W>,
        mut writer: Option<&mut Writer>,
        outputs: &[Output],
        style: &Style,
        most: u64,
    ) -> Result<(u64, bool), Halt> {
        let mut sent = 0;
        while sent < most {
            if let (u64::MAX, None, false, Some(writer)) = (most, &self.batch, self.ended, &mut writer) {
                return Ok((sent + self.pump_all(outbox, writer, outputs, style).await?, true));
            }
            let Some(batch) = self.current().await? else { return Ok((sent, true)) };
            let wanted = usize::try_from(most - sent).unwrap_or(usize::MAX);
            let end = batch.num_rows().min(self.offset.saturating_add(wanted));
            sent += (end - self.offset) as u64;
            if let Some(writer) = &mut writer {
                writer.send((&self.running, outbox), &batch, self.offset..end, outputs, style).await?;
            }
            self.offset = end;
            if self.offset == batch.num_rows() {
                self.batch = None;
            }
        }
        Ok((sent, false))
    }

    /// Sends all batches that are left, and says how many rows. They are encoded in tasks of their own, in order, so that a connection is not
    /// bound to what one processor can encode and send.
    async fn pump_all<W: AsyncWrite + Unpin>(
        &mut self,
        outbox: &mut Outbox<W>,
        writer: &mut Writer,
        outputs: &[Output],
        style: &Style,
    ) -> Result<u64, Halt> {
        let (shared, style) = (Arc::<[Output]>::from(outputs), *style);
        let mut encoding = self
            .rows
            .by_ref()
            .map(|batch| {
                let job = batch.map(|batch| (writer.fork(batch.num_rows()), batch));
                let outputs = Arc::clone(&shared);
                async move {
                    let (writer, batch) = job?;
                    if batch.num_rows().saturating_mul(outputs.len()) < FEW_CELLS {
                        return writer.encode(batch, &outputs, &style);
                    }
                    tokio::spawn(async move { writer.encode(batch, &outputs, &style) }).await.map_err(Fault::internal)?
                }
            })
            .buffered(ENCODERS);
        let mut sent = 0;
        while let Some(encoded) = self.running.wait(encoding.next()).await? {
            let Encoded { bytes, batch, done, mut writer } = encoded?;
            if outbox.buffer.is_empty() {
                outbox.buffer = bytes;
            } else {
                outbox.buffer.extend_from_slice(&bytes);
            }
            if outbox.is_full() {
                self.running.wait(outbox.flush()).await??;
            }
            writer.send((&self.running, outbox), &batch, done..batch.num_rows(), &shared, &style).await?;
            sent += batch.num_rows() as u64;
        }
        drop(encoding);
        self.ended = true;
        Ok(sent)
    }

    /// The batch with the next row.
    async fn current(&mut self) -> Result<Option<RecordBatch>, Halt> {
        while self.batch.is_none() && !self.ended {
            match self.running.wait(self.rows.next()).await? {
                Some(batch) => {
                    self.batch = Some(batch?).filter(|batch| batch.num_rows() > 0);
                    self.offset = 0;
                }
                None => self.ended = true,
            }
        }
        Ok(self.batch.clone())
    }
}

/// A name that clients see: quoted, or that there is none.
pub fn called(what: &str, name: &str) -> String {
    if name.is_empty() { format!("unnamed {what}") } else { format!("{what} \"{name}\"") }
}

/// Refuses a result that is not what the client was told.
pub fn check_unchanged(told: &SchemaRef, now: &SchemaRef) -> Result<(), Fault> {
    let same = told.fields().len() == now.fields().len()
        && told.fields().iter().zip(now.fields()).all(|(told, now)| match (types::of_field(told), types::of_field(now)) {
            (Ok(told), Ok(now)) => told.oid == now.oid,
            _ => false,
        });
    if same { Ok(()) } else { Err(Fault::new(ErrorKind::Unsupported, "cached plan must not change result type")) }
}

/// What a connection keeps under names, within its bounds.
#[derive(Debug)]
pub struct Shelf {
    /// Prepared statements; the unnamed one is "".
    pub statements: HashMap<String, Prepared>,
    /// Portals and cursors; the unnamed one is "".
    pub portals: HashMap<String, Portal>,
    last: u64,
    most_statements: usize,
    most_portals: usize,
    most_bytes: usize,
}

impl Shelf {
    /// Empty. The texts of all statements, and the values of all portals, have each at most `most_bytes`.
    pub fn new(most_statements: usize, most_portals: usize, most_bytes: usize) -> Self {
        Self { statements: HashMap::new(), portals: HashMap::new(), last: 0, most_statements, most_portals, most_bytes }
    }

    /// The number of the newest portal.
    pub fn last_portal(&self) -> u64 {
        self.last
    }

    /// Refuses a named statement that exists. The unnamed one is replaced.
    pub fn check_new_statement(&self, name: &str) -> Result<(), Fault> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(Fault::new(ErrorKind::DuplicateStatement, format!("{} already exists", called("prepared statement", name))));
        }
        Ok(())
    }

    /// Keeps a statement.
    pub fn add_statement(&mut self, name: &str, prepared: Prepared) -> Result<(), Fault> {
        self.check_new_statement(name)?;
        self.statements.remove(name);
        let bytes: usize = self.statements.values().map(|prepared| prepared.bytes).sum();
        if self.statements.len() >= self.most_statements || bytes + prepared.bytes > self.most_bytes {
            return Err(Fault::new(ErrorKind::ProgramLimit, "too many prepared statements").with_hint("Deallocate some of them."));
        }
        self.statements.insert(name.to_owned(), prepared);
        Ok(())
    }

    /// A statement by its name.
    pub fn statement(&self, name: &str) -> Result<&Prepared, Fault> {
        self.statements
            .get(name)
            .ok_or_else(|| Fault::new(ErrorKind::UndefinedStatement, format!("{} does not exist", called("prepared statement", name))))
    }

    /// Refuses a named portal that exists. The unnamed one is replaced.
    pub fn check_new_portal(&self, name: &str) -> Result<(), Fault> {
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(Fault::new(ErrorKind::DuplicateCursor, format!("cursor \"{name}\" already exists")));
        }
        Ok(())
    }

    /// Keeps a portal and numbers it.
    pub fn add_portal(&mut self, name: &str, mut portal: Portal) -> Result<(), Fault> {
        self.check_new_portal(name)?;
        self.portals.remove(name);
        let bytes: usize = self.portals.values().map(|portal| portal.bytes).sum();
        if self.portals.len() >= self.most_portals || bytes + portal.bytes > self.most_bytes {
            return Err(Fault::new(ErrorKind::ProgramLimit, "too many open portals and cursors").with_hint("Close some of them."));
        }
        self.last += 1;
        portal.number = self.last;
        portal.rest();
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Takes a portal out, to run it. What fails while it is out is gone.
    pub fn take_portal(&mut self, what: &str, name: &str) -> Result<Portal, Fault> {
        let missing = || Fault::new(ErrorKind::UndefinedCursor, format!("{what} \"{name}\" does not exist"));
        self.portals.remove(name).ok_or_else(missing)
    }

    /// Puts a portal back.
    pub fn put_portal(&mut self, name: &str, mut portal: Portal) {
        portal.rest();
        self.portals.insert(name.to_owned(), portal);
    }

    /// The transaction ended. `since` is the newest portal before it began.
    pub fn end_transaction(&mut self, committed: bool, since: u64) {
        self.portals.retain(|_, portal| portal.hold && (committed || portal.number <= since));
    }
}
