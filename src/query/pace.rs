//! Operators that let others in between. A join with a condition may compare each row of one batch with millions before it has a row to give,
//! and neither a cancel nor a clock is heard before it asks for the next batch: so it is given less at once, the longer it takes. What
//! cannot be given less leaves its thread to others for as long as it takes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as EngineResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};
use tokio::task::block_in_place;

/// Rows that a join is given first.
const FIRST: usize = 64;
/// What a join may take for one piece, and before it lets others in between.
const LONG: Duration = Duration::from_millis(25);
/// What it must take for the next piece not to be larger.
const SHORT: Duration = Duration::from_millis(5);

/// The operator, paced where it may be slow: a join with a condition gets its second input in pieces.
pub(super) fn paced(plan: Arc<dyn ExecutionPlan>) -> EngineResult<Arc<dyn ExecutionPlan>> {
    // All of its rows at once.
    if plan.is::<WindowAggExec>() {
        return Ok(Arc::new(Paced { plan, how: How::Aside { at_once: true } }));
    }
    let slow = plan.is::<NestedLoopJoinExec>() || plan.downcast_ref::<HashJoinExec>().is_some_and(|join| join.filter().is_some());
    let [build, probe] = plan.children()[..] else { return Ok(plan) };
    if !slow {
        return Ok(plan);
    }
    let inputs = vec![Arc::clone(build), Arc::new(Paced { plan: Arc::clone(probe), how: How::InPieces }) as _];
    let join = plan.replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))?;
    Ok(Arc::new(Paced { plan: join, how: How::Aside { at_once: false } }))
}

/// An operator whose rows come at another pace.
#[derive(Debug)]
pub(super) struct Paced {
    plan: Arc<dyn ExecutionPlan>,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// A few rows of a batch after the other.
    InPieces,
    /// Its thread goes on with other work meanwhile: always, or once it took long.
    Aside { at_once: bool },
}

impl DisplayAs for Paced {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paced")
    }
}

impl ExecutionPlan for Paced {
    fn name(&self) -> &'static str {
        "Paced"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.plan]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let how = self.how;
        Ok(children.pop().map_or(self, |plan| Arc::new(Self { plan, how }) as _))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> EngineResult<SendableRecordBatchStream> {
        let (input, schema) = (self.plan.execute(partition, context)?, self.plan.schema());
        Ok(match self.how {
            How::InPieces => Box::pin(Slices { schema, input, rest: None, size: FIRST, given: None, yielded: Instant::now() }),
            How::Aside { at_once } => Box::pin(Aside { schema, input, at_once, long: false }),
        })
    }
}

/// What takes long is polled where it keeps no thread from other work.
struct Aside {
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    at_once: bool,
    /// Whether the last poll took long.
    long: bool,
}

impl Stream for Aside {
    type Item = EngineResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let begun = Instant::now();
        let aside = self.at_once || self.long;
        let polled = if aside { block_in_place(|| self.input.poll_next_unpin(cx)) } else { self.input.poll_next_unpin(cx) };
        self.long = begun.elapsed() > SHORT;
        polled
    }
}

impl RecordBatchStream for Aside {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

struct Slices {
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    /// What is left of a batch.
    rest: Option<RecordBatch>,
    size: usize,
    /// When the last piece was given.
    given: Option<Instant>,
    /// When others were let in between.
    yielded: Instant,
}

impl Stream for Slices {
    type Item = EngineResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(given) = self.given.take() {
            let took = given.elapsed();
            if took > LONG {
                self.size = (self.size / 2).max(1);
            } else if took < SHORT {
                self.size = self.size.saturating_mul(2);
            }
            // Off its thread nothing else would make it stop.
            if took > SHORT || self.yielded.elapsed() > LONG {
                self.yielded = Instant::now();
                // Once round: whoever else waits for this thread, and the reader's own cancel, come first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.input.poll_next_unpin(cx)) {
                Some(Ok(batch)) => batch,
                other => return Poll::Ready(other),
            },
        };
        let size = self.size.min(batch.num_rows());
        if size < batch.num_rows() {
            self.rest = Some(batch.slice(size, batch.num_rows() - size));
        }
        self.given = Some(Instant::now());
        Poll::Ready(Some(Ok(batch.slice(0, size))))
    }
}

impl RecordBatchStream for Slices {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    use super::*;

    #[test]
    fn what_is_polled_aside_leaves_its_thread_to_others() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let (begins, begun) = mpsc::channel();
        let slow = stream::once(async move {
            begins.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(2));
            Ok(RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())))
        });
        let input = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), slow));
        let mut aside = Aside { schema, input, at_once: true, long: false };
        let slow = runtime.spawn(async move { aside.next().await.unwrap().is_ok() });
        begun.recv().unwrap();
        let asked = Instant::now();
        runtime.block_on(runtime.spawn(async {})).unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1), "the only thread is free");
        assert!(runtime.block_on(slow).unwrap());
    }
}
