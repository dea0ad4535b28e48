//! Statements: what they give, and the rows as they travel.
//!
//! GetFlightInfo and GetSchema describe only: nothing is read before DoGet, and no count of rows is given. How large the data is that a statement names is
//! told only where its reader may see all of it, because it would tell of rows which the reader may not see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::error::{ErrorKind, Fault, Result};
use crate::query::{Kind, MeteredRows, Notice, Parsed, Session};

use super::cancel::RunningGuard;
use super::login::Caller;
use super::prepared::Bound;
use super::sealed::{Nonce, Statement};
use super::{Flight, columns, fault, prepared};

/// Messages of a result.
pub(super) type DataStream = BoxStream<'static, Result<FlightData, Status>>;

/// About how large a message of a result is. Clients take 4 MiB unless told otherwise, and the size is an estimate.
const MESSAGE_SIZE: usize = 2 << 20;
/// How many of them are made before the first is sent.
const MESSAGES_AHEAD: usize = 2;

/// What a statement needs and gives, as announced.
#[derive(Debug)]
pub(super) struct Described {
    /// The parameters' types, `$1` first.
    pub(super) parameters: Vec<FieldRef>,
    /// The result's columns; `None` for a statement that gives none.
    pub(super) schema: Option<SchemaRef>,
    /// The session's settings after a statement that changes them.
    pub(super) settings: Option<BTreeMap<String, String>>,
    /// Bytes of the products' data that it names, where they may be told.
    pub(super) bytes: Option<u64>,
}

/// The answer to DoGet.
pub(super) struct Answer {
    /// The result.
    pub(super) data: DataStream,
    /// Settings for the client to carry from now on.
    pub(super) settings: Option<BTreeMap<String, String>>,
}

/// One query's rows under way. Dropped with its stream, which settles the query as cancelled.
struct Sending {
    rows: MeteredRows,
    schema: SchemaRef,
    deadline: Option<Instant>,
    ending: CancellationToken,
}

/// The executions of a statement, one for each row of its parameters, one after the other. Each is a query of its own: authorised when its
/// turn comes, with its own slot and its own line in the ledger. So the bill is that of as many calls, and a revoked grant bites between two.
struct Executions {
    flight: Flight,
    session: Session,
    parsed: Parsed,
    bound: Bound,
    next: usize,
    options: IpcWriteOptions,
    deadline: Option<Instant>,
    cancel: CancellationToken,
    _running: RunningGuard,
    _cancel_when_dropped: DropGuard,
}

impl Flight {
    /// Describes a statement to somebody who may run it.
    pub(super) async fn describe(&self, caller: &Caller, statement: &Statement) -> Result<Described> {
        let session = self.open_session(caller, &statement.settings)?;
        let parsed = self.parse_one(&session, &statement.sql)?;
        match parsed.kind() {
            Kind::Rows => {}
            kind => {
                let settings = self.changed_by(caller, kind)?.ok_or_else(|| unsuitable(kind))?;
                return Ok(Described { parameters: Vec::new(), schema: None, settings: Some(settings), bytes: None });
            }
        }
        let types = prepared::decode(&statement.parameters)?.types();
        let description = self.door.gateway.describe(&session, &parsed, &types).await?;
        let schema = columns::result_schema(&description.schema);
        Ok(Described { parameters: description.parameters, schema: Some(schema), settings: None, bytes: description.bytes })
    }

    /// Runs a statement: authorised now, whatever was described before.
    pub(super) async fn run(&self, caller: &Caller, statement: &Statement, nonce: Nonce, deadline: Option<Instant>) -> Result<Answer> {
        self.admit()?;
        let session = self.open_session(caller, &statement.settings)?;
        let parsed = self.parse_one(&session, &statement.sql)?;
        if *parsed.kind() != Kind::Rows {
            let settings = self.changed_by(caller, parsed.kind())?.ok_or_else(|| unsuitable(parsed.kind()))?;
            let data = encode(&Arc::new(Schema::empty()), Bytes::new(), IpcWriteOptions::default(), stream::empty().boxed());
            return Ok(Answer { data, settings: Some(settings) });
        }
        let options = written(&session)?;
        let bound = prepared::decode(&statement.parameters)?;
        let cancel = self.door.ending.child_token();
        let mut executions = Executions {
            flight: self.clone(),
            session,
            parsed,
            bound,
            next: 0,
            options,
            deadline,
            _cancel_when_dropped: cancel.clone().drop_guard(),
            _running: self.running.enter(nonce, cancel.clone()),
            cancel,
        };
        let Some(rows) = executions.start().await? else {
            let schema = self.describe(caller, statement).await?.schema.unwrap_or_else(|| Arc::new(Schema::empty()));
            let data = encode(&schema, Bytes::new(), IpcWriteOptions::default(), stream::empty().boxed());
            return Ok(Answer { data, settings: None });
        };
        let schema = columns::result_schema(rows.schema());
        let first = executions.send(rows, &schema);
        Ok(Answer { data: ahead(executions.results(first, schema)), settings: None })
    }

    /// Runs a statement that gives no rows: the settings after it.
    pub(super) fn update(&self, caller: &Caller, statement: &Statement) -> Result<BTreeMap<String, String>> {
        let session = self.open_session(caller, &statement.settings)?;
        let parsed = self.parse_one(&session, &statement.sql)?;
        match parsed.kind() {
            Kind::Rows => Err(Fault::new(ErrorKind::Unsupported, "statement gives rows").with_hint("Run it as a query.")),
            kind => self.changed_by(caller, kind)?.ok_or_else(|| unsuitable(kind)),
        }
    }

    /// A ready batch, as a result.
    pub(super) fn listed(&self, caller: &Caller, batch: RecordBatch) -> Result<DataStream> {
        let options = written(&self.open_session(caller, &caller.settings())?)?;
        Ok(encode(&batch.schema(), Bytes::new(), options, stream::once(async { Ok(batch) }).boxed()))
    }

    pub(super) fn parse_one(&self, session: &Session, sql: &str) -> Result<Parsed> {
        let mut statements = self.door.gateway.parse(session, sql)?.into_iter().filter(|parsed| *parsed.kind() != Kind::Empty);
        match (statements.next(), statements.next()) {
            (Some(parsed), None) => Ok(parsed),
            (None, _) => Err(Fault::new(ErrorKind::Syntax, "statement is empty")),
            (Some(_), Some(_)) => Err(Fault::new(ErrorKind::Syntax, "cannot run more than one statement in one call")),
        }
    }
}

impl Sending {
    fn batches(self) -> BoxStream<'static, Result<RecordBatch, FlightError>> {
        stream::unfold(Some(self), |state| async {
            let mut sending = state?;
            let batch = sending.next().await?;
            let state = batch.is_ok().then_some(sending);
            Some((batch.map_err(FlightError::from), state))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<RecordBatch, Status>> {
        let next = self.rows.next();
        let next = match self.deadline {
            None => next.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, next).await {
                Ok(next) => next,
                Err(_) => return Some(Err(fault::deadline())),
            },
        };
        let batch = next?.map_err(|fault| explain(&self.ending, fault));
        let plain = batch.and_then(|batch| columns::plain_batch(&batch, &self.schema).map_err(Fault::internal));
        Some(plain.map_err(fault::status))
    }
}

impl Executions {
    /// Runs the statement with the next row of parameters; `None` after the last.
    async fn start(&mut self) -> Result<Option<MeteredRows>> {
        if self.next == self.bound.executions() {
            return Ok(None);
        }
        let parameters = self.bound.values(self.next)?;
        self.next += 1;
        let running = self.flight.door.gateway.run(&self.session, &self.parsed, &parameters, self.cancel.clone());
        running.await.map(Some).map_err(|fault| explain(&self.flight.door.ending, fault))
    }

    /// One query's rows as messages, the schema first.
    fn send(&self, rows: MeteredRows, schema: &SchemaRef) -> DataStream {
        let told = told(&rows);
        let ending = self.flight.door.ending.clone();
        let sending = Sending { rows, schema: Arc::clone(schema), deadline: self.deadline, ending };
        encode(schema, told, self.options.clone(), sending.batches())
    }

    /// The messages of the next query. What it gives has the columns of the first, which are announced already.
    async fn following(&mut self, schema: &SchemaRef) -> Result<Option<DataStream>, Status> {
        let deadline = self.deadline;
        let started = match deadline {
            None => self.start().await,
            Some(deadline) => tokio::time::timeout_at(deadline, self.start()).await.map_err(|_| fault::deadline())?,
        };
        let Some(rows) = started.map_err(fault::status)? else { return Ok(None) };
        if columns::result_schema(rows.schema()) != *schema {
            let fault = Fault::new(ErrorKind::NotInState, "columns of the result changed between two rows of parameters");
            return Err(fault::status(fault.with_hint("Run the statement again.")));
        }
        Ok(Some(self.send(rows, schema).skip(1).boxed()))
    }

    /// All results as one, of which `first` is the first.
    fn results(self, first: DataStream, schema: SchemaRef) -> DataStream {
        stream::unfold(Some((first, self, schema)), |state| async {
            let (mut current, mut executions, schema) = state?;
            loop {
                if let Some(message) = current.next().await {
                    let state = message.is_ok().then_some((current, executions, schema));
                    return Some((message, state));
                }
                match executions.following(&schema).await {
                    Ok(next) => current = next?,
                    Err(status) => return Some((Err(status), None)),
                }
            }
        })
        .boxed()
    }
}

/// Encodes batches of one schema: the schema first, even where there are no rows. `told` goes with the schema and, because some clients
/// (pyarrow) show the metadata of rows only, with the first rows.
fn encode(
    schema: &SchemaRef,
    told: Bytes,
    options: IpcWriteOptions,
    batches: BoxStream<'static, Result<RecordBatch, FlightError>>,
) -> DataStream {
    let encoder = FlightDataEncoderBuilder::new()
        .with_schema(Arc::clone(schema))
        .with_options(options)
        .with_max_flight_data_size(MESSAGE_SIZE)
        .with_metadata(told.clone())
        .build(batches);
    let messages = encoder.enumerate().map(move |(at, message)| {
        let mut message = message.map_err(encoding_failed)?;
        if at == 1 {
            message.app_metadata = told.clone();
        }
        Ok(message)
    });
    messages.boxed()
}

/// How results are written for a session: compressed where it asks for that. Every reader of Arrow knows both codecs.
fn written(session: &Session) -> Result<IpcWriteOptions> {
    let codec = match session.settings().compression().as_str() {
        "lz4" => Some(CompressionType::LZ4_FRAME),
        "zstd" => Some(CompressionType::ZSTD),
        _ => None,
    };
    IpcWriteOptions::default().try_with_compression(codec).map_err(Fault::internal)
}

/// Runs a stream in a task of its own, so that what follows is read and encoded while what was encoded is sent. A panic there is an error
/// here: an end that nobody announced must not look like the last row.
fn ahead(mut messages: DataStream) -> DataStream {
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    let task = tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = messages.next() => next,
                () = sender.closed() => return,
            };
            let Some(message) = next else { return };
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    let messages = stream::unfold((receiver, Some(task)), |(mut receiver, task)| async move {
        if let Some(message) = receiver.recv().await {
            return Some((message, (receiver, task)));
        }
        let ended = task?.await;
        ended.is_err().then(|| (Err(fault::status(Fault::internal("encoding a result panicked"))), (receiver, None)))
    });
    messages.boxed()
}

/// A status goes through as it is; what the encoder itself says stays here.
fn encoding_failed(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        error => fault::status(Fault::internal(error)),
    }
}

/// What the reader is told once a query, as JSON.
fn told(rows: &MeteredRows) -> Bytes {
    let notices: Vec<_> = rows.notices().iter().map(notice).collect();
    json!({ "query_id": rows.query_id().to_string(), "notices": notices }).to_string().into()
}

fn notice(notice: &Notice) -> serde_json::Value {
    json!({ "message": notice.message, "detail": notice.detail, "hint": notice.hint })
}

/// A query that was cancelled because the gateway ends says so.
fn explain(ending: &CancellationToken, fault: Fault) -> Fault {
    if ending.is_cancelled() && fault.kind() == ErrorKind::Cancelled { fault::shutting_down() } else { fault }
}

/// Why a statement of this kind does not run over Flight, and what does instead.
fn unsuitable(kind: &Kind) -> Fault {
    match kind {
        Kind::CopyOut(_) => {
            fault::unsupported("COPY is not supported over Flight").with_hint("Run its query: results are columnar already.")
        }
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Savepoint(_) | Kind::Release(_) | Kind::RollbackTo(_) => {
            fault::unsupported("transactions are not supported over Flight").with_hint("Each query reads one version of each product.")
        }
        Kind::Prepare { .. } | Kind::Execute { .. } | Kind::Deallocate(_) => {
            fault::unsupported("SQL-level PREPARE is not supported over Flight")
                .with_hint("Use the prepared statements of Flight SQL: the action CreatePreparedStatement.")
        }
        Kind::Declare { .. } | Kind::Fetch { .. } | Kind::Move { .. } | Kind::Close(_) => {
            fault::unsupported("cursors are not supported over Flight").with_hint("Run the query: results are streamed.")
        }
        _ => fault::unsupported("statement is not supported over Flight"),
    }
}

/// When the call's own deadline (`grpc-timeout`) is over. The transport applies it to the first answer only, not to the stream.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let timeout = match unit {
        "H" => Duration::from_secs(amount.saturating_mul(3600)),
        "M" => Duration::from_secs(amount.saturating_mul(60)),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field};
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_result_without_rows_still_has_its_schema_and_what_the_reader_is_told() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let data: Vec<_> =
            encode(&schema, Bytes::from_static(b"told"), IpcWriteOptions::default(), stream::empty().boxed()).try_collect().await.unwrap();
        assert_eq!(data.len(), 1);
        assert_eq!(data[0].app_metadata, "told");
        assert_eq!(Schema::try_from(&data[0]).unwrap(), *schema);
    }

    #[tokio::test]
    async fn large_batches_travel_in_messages_that_every_client_takes() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from_iter_values(0..2_000_000))]).unwrap();
        let batches = stream::iter([Ok(batch)]).boxed();
        let data: Vec<_> = encode(&schema, Bytes::from_static(b"told"), IpcWriteOptions::default(), batches).try_collect().await.unwrap();
        assert!(data.len() > 8);
        assert!(data.iter().all(|message| message.data_body.len() < 4 << 20));
        let told: Vec<_> = data.iter().filter(|message| !message.app_metadata.is_empty()).collect();
        assert_eq!(told.len(), 2);
    }

    #[tokio::test]
    async fn a_panic_while_encoding_is_an_error_and_no_end() {
        let messages = stream::once(async { Ok(FlightData::new()) }).chain(stream::once(async { panic!("a test's panic") }));
        let sent: Vec<_> = ahead(messages.boxed()).collect().await;
        let [Ok(_), Err(status)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(status.code(), tonic::Code::Internal);
        let whole = stream::iter([Ok(FlightData::new()), Ok(FlightData::new())]);
        assert_eq!(ahead(whole.boxed()).count().await, 2);
    }

    #[tokio::test]
    async fn a_fault_in_the_stream_keeps_its_code() {
        let schema = Arc::new(Schema::empty());
        let fault = FlightError::from(fault::status(Fault::new(ErrorKind::ScanLimit, "scan limit reached")));
        let error = encode(&schema, Bytes::new(), IpcWriteOptions::default(), stream::iter([Err(fault)]).boxed())
            .try_collect::<Vec<_>>()
            .await
            .unwrap_err();
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        let error = encoding_failed(FlightError::Arrow(arrow::error::ArrowError::ComputeError("a cell".to_owned())));
        assert_eq!((error.code(), error.message()), (tonic::Code::Internal, "internal error (SQLSTATE XX000)"));
    }

    #[test]
    fn the_deadline_of_a_call_is_read_in_every_unit() {
        let with = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline(&metadata).map(|at| at.duration_since(Instant::now()).as_secs_f64().round())
        };
        assert_eq!(with("2H"), Some(7200.0));
        assert_eq!(with("3M"), Some(180.0));
        assert_eq!(with("4S"), Some(4.0));
        assert_eq!(with("5000m"), Some(5.0));
        assert_eq!(with("6000000u"), Some(6.0));
        for bad in ["", "5", "S", "-1S", "1x", "123456789S", "1µ"] {
            let parsed = bad.parse().ok().and_then(|value| {
                let mut metadata = MetadataMap::new();
                metadata.insert("grpc-timeout", value);
                deadline(&metadata)
            });
            assert_eq!(parsed, None, "{bad}");
        }
    }
}
