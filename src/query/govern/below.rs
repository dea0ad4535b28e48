//! What lies below a governed leaf: scans that are read several at once, and whose rows come up in one order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::future::ready;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::exec::{Veil, batch_of};
use super::{BarrierError, Whole};
use crate::id::PortId;

/// Bytes that each slice may hold for the slices before it, so that the one whose turn it is goes on whatever the others hold.
const OWN: usize = 1 << 20;
/// Bytes that all slices of a scan may hold together besides. A row group is one slice at most, so a thread that has read less than one when
/// its turn comes was idle before.
const AHEAD: usize = 64 << 20;
/// Bytes that all scans of this process may hold so. Not of their queries' memory: how far ahead slices are depends on hidden rows, and what
/// is left for the reader's own operators must not.
static ALL_AHEAD: Semaphore = Semaphore::const_new(256 << 20);

/// A scan, and what of it comes out.
#[derive(Clone)]
pub(super) struct Below {
    /// Its partitions are slices of the product, in the order of its files.
    pub(super) scan: Arc<dyn ExecutionPlan>,
    /// Which rows: the policy's filter and the reader's, over the scan's columns.
    pub(super) keep: Option<Arc<dyn PhysicalExpr>>,
    /// How many of the scan's columns, from the first.
    pub(super) columns: usize,
    /// Whether the reader wants a few rows only, so that nothing is read that has not its turn.
    pub(super) few: bool,
    /// Where rows are hidden: what there is to read with them.
    pub(super) whole: Option<Whole>,
}

/// What one slice sends: its batches, then that it is at its end. One that falls silent before has failed.
type Sent = Option<Result<(RecordBatch, Option<Place>)>>;

/// A slice that nobody reads yet.
struct Slice {
    number: usize,
    sender: UnboundedSender<Sent>,
    room: Room,
}

/// Where the batches of one slice wait: in room of its own, and in what the slices have together.
struct Room {
    own: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
}

/// The room that a batch has as long as this lives.
struct Place {
    _scans: OwnedSemaphorePermit,
    _of_all: Option<SemaphorePermit<'static>>,
}

impl Room {
    /// Room for a batch, as soon as there is; `None` where there never will be.
    async fn take(&self, batch: &RecordBatch) -> Option<Place> {
        let permits = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = batch.get_array_memory_size().max(1);
        if let Ok(ahead) = Arc::clone(&self.ahead).try_acquire_many_owned(permits(bytes))
            && let Ok(of_all) = ALL_AHEAD.try_acquire_many(permits(bytes))
        {
            return Some(Place { _scans: ahead, _of_all: Some(of_all) });
        }
        let own = Arc::clone(&self.own).acquire_many_owned(permits(bytes.min(OWN))).await.ok()?;
        Some(Place { _scans: own, _of_all: None })
    }
}

impl Below {
    /// All governed rows, slice after slice, while as many are read as there are threads. Nothing is read before the first poll.
    pub(super) fn in_order(&self, context: Arc<TaskContext>, veil: Veil, threads: usize) -> BoxStream<'static, Result<RecordBatch>> {
        let below = self.clone();
        stream::once(ready(())).flat_map(move |()| below.start(&context, &veil, threads)).boxed()
    }

    fn start(&self, context: &Arc<TaskContext>, veil: &Veil, threads: usize) -> BoxStream<'static, Result<RecordBatch>> {
        let slices = self.scan.properties().partitioning.partition_count();
        if slices == 1 || self.few {
            let (below, context, veil) = (self.clone(), Arc::clone(context), veil.clone());
            return stream::iter(0..slices).flat_map(move |slice| below.read(slice, Arc::clone(&context), veil.clone())).boxed();
        }
        let ahead = Arc::new(Semaphore::new(AHEAD));
        let (waiting, coming): (Vec<_>, Vec<_>) = (0..slices)
            .map(|number| {
                let room = Room { own: Arc::new(Semaphore::new(OWN)), ahead: Arc::clone(&ahead) };
                let (sender, receiver) = unbounded_channel();
                (Slice { number, sender, room }, receiver)
            })
            .unzip();
        // Slices are begun in order, so the one whose turn it is has always been begun, and is never kept waiting by a later one.
        let waiting = Arc::new(Mutex::new(waiting.into_iter()));
        let read_some = |_| {
            let (below, context, veil, waiting) = (self.clone(), Arc::clone(context), veil.clone(), Arc::clone(&waiting));
            SpawnedTask::spawn(async move {
                loop {
                    let Some(slice) = waiting.lock().next() else { break };
                    slice.fill(below.read(slice.number, Arc::clone(&context), veil.clone()), &veil.port).await;
                }
            })
        };
        let readers: Vec<_> = (0..threads.max(1).min(slices)).map(read_some).collect();
        let port = veil.port.clone();
        let rows = stream::iter(coming).flat_map(move |receiver| arriving(receiver, port.clone()));
        // Whoever stops listening stops the readers.
        rows.inspect(move |_| _ = &readers).boxed()
    }

    /// The governed rows of one slice.
    fn read(&self, slice: usize, context: Arc<TaskContext>, veil: Veil) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
        let (below, port) = (self.clone(), veil.port.clone());
        let scan = Arc::clone(&self.scan);
        let scanned = stream::once(async move { scan.execute(slice, context) }).try_flatten();
        let kept = scanned.map(move |batch| below.kept(&batch?)).map_err(move |error| BarrierError::from_below(&port, error));
        kept.try_filter(|batch| ready(batch.num_rows() > 0)).map(move |batch| Ok(veil.mask(&batch?)?))
    }

    /// The rows of a batch that come out. In an operator of the engine's own, its optimiser would move other expressions to below it.
    fn kept(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let shown = batch.project(&(0..self.columns).collect::<Vec<_>>())?;
        let Some(keep) = &self.keep else { return Ok(shown) };
        let keep = keep.evaluate(batch)?.into_array(batch.num_rows())?;
        let kept = filter_record_batch(&shown, as_boolean_array(&keep)?)?;
        // Views of a few rows would keep the pages of all rows in memory while they wait.
        if kept.num_rows() > batch.num_rows() / 2 {
            return Ok(kept);
        }
        let columns = kept.columns().iter().map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        });
        Ok(batch_of(kept.schema(), columns.collect(), kept.num_rows())?)
    }

    /// As a plan of the engine's operators would be.
    #[cfg(test)]
    pub(super) fn naive(self) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(keep) = self.keep else { return Ok(self.scan) };
        super::filtered(self.scan, keep, self.columns)
    }
}

impl Slice {
    /// Sends what is read, as far as there is room.
    async fn fill(&self, rows: impl Stream<Item = Result<RecordBatch>> + Send, port: &PortId) {
        let mut rows = std::pin::pin!(AssertUnwindSafe(rows).catch_unwind());
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap_or_else(|_| Err(BarrierError::internal(port, "a panic below the barrier").into()));
            let sent = match batch {
                Ok(batch) => {
                    let place = self.room.take(&batch).await;
                    Ok((batch, place))
                }
                Err(error) => Err(error),
            };
            let failed = sent.is_err();
            if self.sender.send(Some(sent)).is_err() || failed {
                return;
            }
        }
        let _ = self.sender.send(None);
    }
}

/// What a slice sent, when its turn has come.
fn arriving(receiver: UnboundedReceiver<Sent>, port: PortId) -> impl Stream<Item = Result<RecordBatch>> + Send {
    stream::unfold(Some(receiver), move |receiver| {
        let port = port.clone();
        async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Some(Ok((batch, _)))) => Some((Ok(batch), Some(receiver))),
                Some(Some(Err(error))) => Some((Err(error), None)),
                Some(None) => None,
                None => Some((Err(BarrierError::internal(&port, "a slice without an end").into()), None)),
            }
        }
    })
}
