//! Joins that let others in between. A join with a condition may compare each row of one batch with millions before it has a row to give,
//! and neither a cancel nor a clock is heard before it asks for the next batch: so it is given less at once, the longer it takes.

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
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

/// Rows that a join is given first.
const FIRST: usize = 64;
/// What a join may take for one piece.
const LONG: Duration = Duration::from_millis(25);
/// What it must take for the next piece not to be larger.
const SHORT: Duration = Duration::from_millis(5);

/// The plan, with a join whose condition may be slow given its second input in pieces.
pub(super) fn paced(join: Arc<dyn ExecutionPlan>) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let slow = join.is::<NestedLoopJoinExec>() || join.downcast_ref::<HashJoinExec>().is_some_and(|join| join.filter().is_some());
    let [build, probe] = join.children()[..] else { return Ok(join) };
    if !slow {
        return Ok(join);
    }
    let inputs = vec![Arc::clone(build), Arc::new(Pieces(Arc::clone(probe))) as _];
    join.replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

/// Its input in pieces.
#[derive(Debug)]
struct Pieces(Arc<dyn ExecutionPlan>);

impl DisplayAs for Pieces {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pieces")
    }
}

impl ExecutionPlan for Pieces {
    fn name(&self) -> &'static str {
        "Pieces"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(children.pop().map_or(self, |input| Arc::new(Self(input)) as _))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> EngineResult<SendableRecordBatchStream> {
        let input = self.0.execute(partition, context)?;
        Ok(Box::pin(Slices { schema: input.schema(), input, rest: None, size: FIRST, given: None }))
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
            if took > SHORT {
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
