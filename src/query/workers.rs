//! The threads that queries run on. The doors, the clocks and what watches for changes have others, and what works long on one batch steps
//! aside (`pace`): nobody waits for it but its own reader.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, coop::CooperativeExec};
use futures::{Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::execute::cancelled;
use super::parse::deep;
use crate::error::{Fault, Result};

/// Batches that lie ready for a reader.
const AHEAD: usize = 1;
/// Of one thread.
const STACK_BYTES: usize = 16 << 20;

/// Runs queries.
#[derive(Debug)]
pub(super) struct Workers(Option<Runtime>);

impl Workers {
    pub(super) fn start() -> Result<Self> {
        // As many threads as processors, which is the default: with more, batches change processors on their way up, and TPC-H behind masks
        // took a sixth longer.
        let runtime = Builder::new_multi_thread().thread_name("query").thread_stack_size(STACK_BYTES).enable_all().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(Fault::internal)
    }

    /// The rows of a plan. Nothing is read before they are asked for.
    pub(super) fn rows(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        execute: impl FnOnce() -> EngineResult<SendableRecordBatchStream>,
    ) -> EngineResult<SendableRecordBatchStream> {
        let Some(runtime) = self.0.as_ref().filter(|_| !is_slight(plan)) else { return execute() };
        // What the plan's operators start, they start here too.
        let entered = runtime.enter();
        let stream = execute()?;
        drop(entered);
        let (schema, workers) = (stream.schema(), runtime.handle().clone());
        Ok(Box::pin(Handed { schema, state: State::Waiting(stream, workers) }))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Whoever drops this may be on a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Whether a plan is done sooner than it is handed to another thread: `SELECT 1`.
fn is_slight(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let slight = plan.is::<PlaceholderRowExec>() || plan.is::<EmptyExec>() || plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>();
    slight && plan.children().into_iter().all(is_slight)
}

/// Rows that another thread makes.
struct Handed {
    schema: SchemaRef,
    state: State,
}

enum State {
    Waiting(SendableRecordBatchStream, Handle),
    Running(mpsc::Receiver<Message>, AbortOnDropHandle<()>),
    Over,
}

enum Message {
    Rows(RecordBatch),
    Failed(DataFusionError),
    Panicked(Box<dyn Any + Send>),
    /// Without it, what was sent is not all.
    End,
}

/// Makes rows until there are none, nobody wants them, or one cannot be made. Whatever reads is gone before the end is told.
async fn work(mut stream: SendableRecordBatchStream, out: mpsc::Sender<Message>) {
    let last = loop {
        let next = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| deep(|| stream.poll_next_unpin(cx)))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        });
        match next.await {
            Ok(Some(Ok(rows))) => {
                if out.send(Message::Rows(rows)).await.is_err() {
                    return;
                }
            }
            Ok(Some(Err(error))) => break Message::Failed(error),
            Ok(None) => break Message::End,
            Err(panic) => break Message::Panicked(panic),
        }
    };
    drop(stream);
    // A reader that has gone is told nothing.
    let _ = out.send(last).await;
}

impl Stream for Handed {
    type Item = EngineResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Waiting(stream, workers) => {
                    let (out, rows) = mpsc::channel(AHEAD);
                    let task = AbortOnDropHandle::new(workers.spawn(work(stream, out)));
                    self.state = State::Running(rows, task);
                }
                State::Running(mut rows, task) => {
                    let Poll::Ready(message) = rows.poll_recv(cx) else {
                        self.state = State::Running(rows, task);
                        return Poll::Pending;
                    };
                    return Poll::Ready(match message {
                        Some(Message::Rows(batch)) => {
                            self.state = State::Running(rows, task);
                            Some(Ok(batch))
                        }
                        Some(Message::Failed(error)) => Some(Err(error)),
                        Some(Message::Panicked(panic)) => resume_unwind(panic),
                        Some(Message::End) => None,
                        // The gateway is ending.
                        None => Some(Err(DataFusionError::External(Box::new(cancelled())))),
                    });
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl RecordBatchStream for Handed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use datafusion::physical_plan::coop::CooperativeExec;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::union::UnionExec;
    use futures::stream;

    use super::*;

    /// A plan that is not slight.
    fn plan() -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let empty = || Arc::new(EmptyExec::new(Arc::clone(&schema))) as Arc<dyn ExecutionPlan>;
        UnionExec::try_new(vec![empty(), empty()]).unwrap()
    }

    fn of(rows: impl Stream<Item = EngineResult<RecordBatch>> + Send + 'static) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(Arc::new(arrow::datatypes::Schema::empty()), rows))
    }

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()))
    }

    #[tokio::test]
    async fn a_thread_that_is_kept_busy_keeps_nobody_else_waiting() {
        let workers = Workers::start().unwrap();
        let busy = of(stream::once(async {
            std::thread::sleep(Duration::from_secs(2));
            Ok(batch())
        }));
        let mut busy = workers.rows(&plan(), || Ok(busy)).unwrap();
        let begun = Instant::now();
        let waited = tokio::time::timeout(Duration::from_millis(100), busy.next()).await;
        assert!(waited.is_err() && begun.elapsed() < Duration::from_secs(1), "the clock goes on");
        let mut other = workers.rows(&plan(), || Ok(of(stream::iter([Ok(batch())])))).unwrap();
        assert!(other.next().await.unwrap().is_ok());
        assert!(begun.elapsed() < Duration::from_secs(1), "so do other queries");
        assert!(busy.next().await.unwrap().is_ok());
        assert!(busy.next().await.is_none());
    }

    #[tokio::test]
    async fn an_error_ends_the_rows_and_a_panic_goes_on_to_its_reader() {
        let workers = Workers::start().unwrap();
        let failing = of(stream::iter([Ok(batch()), Err(DataFusionError::Execution("no".into())), Ok(batch())]));
        let mut rows = workers.rows(&plan(), || Ok(failing)).unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        assert!(rows.next().await.unwrap().is_err());
        assert!(rows.next().await.is_none());
        let panicking = of(stream::once(async { resume_unwind(Box::new("a bug")) }));
        let mut rows = workers.rows(&plan(), || Ok(panicking)).unwrap();
        let caught = AssertUnwindSafe(rows.next());
        assert!(futures::FutureExt::catch_unwind(caught).await.is_err());
    }

    #[tokio::test]
    async fn nothing_runs_before_rows_are_asked_for_nor_after_they_are_dropped() {
        struct Reader(Arc<()>);
        let workers = Workers::start().unwrap();
        let reading = Arc::new(());
        let reader = Reader(Arc::clone(&reading));
        let (asked, mut was_asked) = mpsc::unbounded_channel();
        let endless = of(stream::repeat_with(move || {
            let _ = (&reader.0, asked.send(()));
            Ok(batch())
        }));
        let mut rows = workers.rows(&plan(), || Ok(endless)).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(was_asked.try_recv().is_err());
        assert!(rows.next().await.unwrap().is_ok());
        drop(rows);
        let gone = async {
            while Arc::strong_count(&reading) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    }

    #[test]
    fn a_row_of_constants_is_not_worth_another_thread() {
        let row: Arc<dyn ExecutionPlan> = Arc::new(PlaceholderRowExec::new(Arc::new(arrow::datatypes::Schema::empty())));
        assert!(is_slight(&row));
        assert!(is_slight(&(Arc::new(CooperativeExec::new(row)) as _)));
        assert!(!is_slight(&plan()));
    }
}
