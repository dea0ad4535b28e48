//! The running query: rows on their way, counted, and settled before the reader hears that they are complete.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result as EngineResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::error::{ErrorKind, Fault, Result};
use crate::id::{ProductId, QueryId};
use crate::metering::{Account, Outcome, Protocol};
use crate::telemetry::Metrics;

use super::admit::Slot;
use super::fault::fault_of;
use super::govern::{Sight, sights};
use super::parse::Explained;
use super::plan::Planned;
use super::quote::Terms;
use super::running::Entry;
use super::workers::Workers;
use super::{Notice, parse::deep};

/// `57014`.
pub(crate) fn cancelled() -> Fault {
    Fault::new(ErrorKind::Cancelled, "canceling statement due to user request")
}

/// `XX000`: what a reader is told of a panic. The cause is in the log, by the panic hook.
pub(crate) fn panicked(query_id: QueryId) -> Fault {
    Fault::new(ErrorKind::Internal, "internal error")
        .with_detail(format!("The query's id is {query_id}."))
        .with_hint("Report it with the query's id.")
}

/// A result on its way to the reader: authorised, governed, counted. Made by the pipeline only.
///
/// It ends (`None`) only when the usage is durable, so a door may say "complete" as soon as it sees the end. After an error there is
/// nothing more. Dropped early, the query is settled as cancelled. Cancel-safe: `next()` may be dropped and called again.
pub struct MeteredRows {
    schema: SchemaRef,
    query_id: QueryId,
    notices: Vec<Notice>,
    state: State,
}

enum State {
    Running(Box<Running>),
    /// The usage is being made durable; then the reader hears the fault, or the end.
    Settling(BoxFuture<'static, Result<()>>, Option<Fault>),
    /// Rows that cost nothing: SHOW.
    Told(Option<RecordBatch>),
    Over,
}

/// A query that reads. What holds a meter comes first, so that it is gone when the account is settled.
struct Running {
    stream: SendableRecordBatchStream,
    rows: u64,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    entry: Entry,
    slot: Option<Slot>,
    /// Scans that are remembered when it succeeds.
    sights: Vec<Arc<Sight>>,
    books: OpenBooks,
}

/// What is needed to close a query's books.
pub(crate) struct OpenBooks {
    pub account: Account,
    pub metrics: Metrics,
    pub protocol: Protocol,
    pub begun: Instant,
}

impl OpenBooks {
    /// Makes the usage durable.
    pub(crate) async fn close(self, outcome: Outcome, fault: Option<&Fault>, rows: u64) -> Result<()> {
        let bytes = self.account.reading().bytes_scanned();
        let settled = self.account.settle(outcome, fault.map(Fault::sqlstate), rows).await;
        self.metrics.query(self.protocol, outcome, self.begun.elapsed().as_secs_f64(), bytes);
        settled
    }
}

/// How a query that ended with `fault` is booked.
pub(crate) fn outcome_of(fault: &Fault) -> Outcome {
    match fault.kind() {
        ErrorKind::Cancelled => Outcome::Cancelled,
        ErrorKind::ScanLimit => Outcome::LimitExceeded,
        _ => Outcome::Failed,
    }
}

impl MeteredRows {
    /// Starts a planned query.
    pub(super) fn start(
        planned: Planned,
        explain: Option<Explain>,
        workers: &Workers,
        slot: Option<Slot>,
        entry: Entry,
        books: OpenBooks,
        deadline: Option<Instant>,
    ) -> Self {
        let Planned { physical, schema, task, notices, constant: _, permits: _ } = planned;
        let plan = Arc::clone(&physical);
        let result = workers.rows(&plan, || match explain {
            None => execute_stream(physical, task).map(|stream| called(stream, schema)),
            Some(explain) => Ok(explain.stream(physical, task)),
        });
        let query_id = entry.query_id();
        let stop = Box::pin(entry.stop().token().clone().cancelled_owned());
        let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at)));
        match result {
            Ok(stream) => {
                let schema = stream.schema();
                let running = Running { stream, rows: 0, stop, deadline, entry, slot, sights: sights(&plan), books };
                Self { schema, query_id, notices, state: State::Running(Box::new(running)) }
            }
            Err(error) => {
                let fault = fault_of(error);
                let settling = async move { books.close(Outcome::Failed, None, 0).await };
                let state = State::Settling(settling.boxed(), Some(fault));
                Self { schema: Arc::new(Schema::empty()), query_id, notices, state }
            }
        }
    }

    /// Rows of a query that are known already. It is booked like any other.
    pub(super) fn known(rows: RecordBatch, entry: Entry, books: OpenBooks) -> Self {
        let (schema, query_id) = (rows.schema(), entry.query_id());
        let stop = Box::pin(entry.stop().token().clone().cancelled_owned());
        let stream = Box::pin(RecordBatchStreamAdapter::new(rows.schema(), futures::stream::iter([Ok(rows)])));
        let running = Running { stream, rows: 0, stop, deadline: None, entry, slot: None, sights: Vec::new(), books };
        Self { schema, query_id, notices: Vec::new(), state: State::Running(Box::new(running)) }
    }

    /// Rows that are known already and that no product was read for.
    pub(crate) fn told(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), query_id: QueryId::generate(), notices: Vec::new(), state: State::Told(Some(batch)) }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The query's id.
    pub fn query_id(&self) -> QueryId {
        self.query_id
    }

    /// Cancelled when the query must end: a right was taken away, or its door wants so. Rows that were handed out before and are not sent yet
    /// may then not be sent either; what is asked for next is the fault.
    pub fn ending(&self) -> CancellationToken {
        match &self.state {
            State::Running(running) => running.entry.stop().token().clone(),
            _ => CancellationToken::new(),
        }
    }

    /// The reader wants no more rows for now. Until it does, others of its domain may run in this query's place.
    pub fn rest(&mut self) {
        if let State::Running(running) = &mut self.state
            && let Some(slot) = &mut running.slot
        {
            slot.rest();
        }
    }

    /// What the reader is to be told.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

/// The same rows under the columns' names for readers.
fn called(stream: SendableRecordBatchStream, schema: SchemaRef) -> SendableRecordBatchStream {
    if stream.schema() == schema {
        return stream;
    }
    let to = Arc::clone(&schema);
    let renamed = stream.map(move |batch| {
        let batch = batch?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&to), batch.columns().to_vec(), &rows)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, renamed))
}

impl Running {
    /// The next rows, or how the query ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<RecordBatch, (Outcome, Option<Fault>)>> {
        loop {
            if self.stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(self.entry.stop().ending()));
            }
            if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
                let fault = Fault::new(ErrorKind::Cancelled, "canceling statement due to statement timeout");
                return Poll::Ready(Err((Outcome::Cancelled, Some(fault))));
            }
            if let Some(slot) = &mut self.slot {
                ready!(slot.poll_ready(cx));
            }
            // A panic of the engine ends this query and nothing else.
            let polled = catch_unwind(AssertUnwindSafe(|| deep(|| self.stream.poll_next_unpin(cx))));
            let Ok(polled) = polled else {
                tracing::error!(query.id = %self.entry.query_id(), "the engine panicked");
                return Poll::Ready(Err((Outcome::Failed, Some(panicked(self.entry.query_id())))));
            };
            match ready!(polled) {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => {
                    self.rows += batch.num_rows() as u64;
                    self.books.account.returned(batch.num_rows() as u64);
                    return Poll::Ready(Ok(batch));
                }
                Some(Err(error)) => {
                    let fault = fault_of(error);
                    if fault.kind() == ErrorKind::Internal {
                        tracing::error!(query.id = %self.entry.query_id(), error = ?fault, "a query failed");
                    }
                    return Poll::Ready(Err((outcome_of(&fault), Some(fault))));
                }
                None => {
                    self.sights.iter().for_each(|sight| sight.remember());
                    return Poll::Ready(Err((Outcome::Completed, None)));
                }
            }
        }
    }
}

impl Stream for MeteredRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Running(running) => match ready!(running.poll(cx)) {
                    Ok(batch) => return Poll::Ready(Some(Ok(batch))),
                    Err((outcome, fault)) => self.settle(outcome, fault),
                },
                State::Settling(settling, _) => {
                    let settled = ready!(settling.poll_unpin(cx));
                    let State::Settling(_, fault) = std::mem::replace(&mut self.state, State::Over) else { return Poll::Ready(None) };
                    return Poll::Ready(match (fault, settled) {
                        (Some(fault), _) => Some(Err(fault)),
                        (None, Err(fault)) => Some(Err(fault)),
                        (None, Ok(())) => None,
                    });
                }
                State::Told(batch) => return Poll::Ready(batch.take().map(Ok)),
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl MeteredRows {
    /// Lets go of everything that reads, then closes the books.
    fn settle(&mut self, outcome: Outcome, fault: Option<Fault>) {
        let State::Running(running) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Running { stream, rows, entry, slot, books, .. } = *running;
        drop(stream);
        drop(entry);
        drop(slot);
        let sqlstate_of = fault.as_ref().map(|fault| Fault::new(fault.kind(), ""));
        let settling = async move { books.close(outcome, sqlstate_of.as_ref(), rows).await };
        self.state = State::Settling(settling.boxed(), fault);
    }
}

impl fmt::Debug for MeteredRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Running(_) => "running",
            State::Settling(..) => "settling",
            State::Told(_) => "told",
            State::Over => "over",
        };
        f.debug_struct("MeteredRows").field("query_id", &self.query_id).field("state", &state).finish()
    }
}

/// EXPLAIN: what is told of a query instead of its rows.
#[derive(Debug)]
pub(crate) enum Explain {
    /// The plan as text. Scans are leaves that show their product only, so the text has nothing of what lies below them.
    Plan {
        /// It is run first and its rows are thrown away.
        analyze: bool,
        verbose: bool,
    },
    /// What it would read and cost.
    Cost(Box<Terms>),
}

impl Explain {
    /// The columns.
    pub(crate) fn schema(what: Explained) -> SchemaRef {
        match what {
            Explained::Plan { .. } => Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)])),
            Explained::Cost => Terms::schema(),
        }
    }

    /// Of a query of these products.
    #[must_use]
    pub(crate) fn of<'a>(self, products: impl Iterator<Item = &'a ProductId>) -> Self {
        match self {
            Self::Plan { .. } => self,
            Self::Cost(terms) => Self::Cost(Box::new(terms.of(products))),
        }
    }

    fn stream(self, plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (what, rows) = match self {
            Self::Plan { analyze, verbose } => (Explained::Plan { analyze, verbose }, plan_text(plan, task, analyze, verbose).boxed()),
            Self::Cost(terms) => (Explained::Cost, terms.quote(plan, task).boxed()),
        };
        Box::pin(RecordBatchStreamAdapter::new(Self::schema(what), futures::stream::once(rows)))
    }
}

async fn plan_text(plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>, analyze: bool, verbose: bool) -> EngineResult<RecordBatch> {
    if analyze {
        let mut stream = execute_stream(Arc::clone(&plan), task)?;
        while stream.try_next().await?.is_some() {}
    }
    let display =
        if analyze { DisplayableExecutionPlan::with_metrics(plan.as_ref()) } else { DisplayableExecutionPlan::new(plan.as_ref()) };
    let text = display.indent(verbose).to_string();
    let lines: ArrayRef = Arc::new(text.lines().map(Some).collect::<StringArray>());
    Ok(RecordBatch::try_new(Explain::schema(Explained::Plan { analyze, verbose }), vec![lines])?)
}
