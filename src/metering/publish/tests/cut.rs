//! A store that is cut off at an operation: for a publisher it is as if the process had been killed there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

use super::world::runtime;
use crate::metering::Publisher;

/// What becomes of the operation at which the store is cut off. None is answered afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does not happen.
    Before,
    /// It happens, and nobody is told.
    After,
    /// It fails, and so does every later one.
    Fail,
}

#[derive(Debug, Clone)]
pub struct Cut(Arc<State>);

#[derive(Debug)]
struct State {
    inner: Arc<dyn ObjectStore>,
    left: AtomicI64,
    mode: Mode,
    mended: AtomicBool,
    is_reached: AtomicBool,
    reached: Notify,
}

impl Cut {
    pub fn new(inner: Arc<dyn ObjectStore>, operation: i64, mode: Mode) -> Self {
        Self(Arc::new(State {
            inner,
            left: AtomicI64::new(operation),
            mode,
            mended: AtomicBool::new(false),
            is_reached: AtomicBool::new(false),
            reached: Notify::new(),
        }))
    }

    /// Waits until it is cut off.
    pub async fn reached(&self) {
        let notified = self.0.reached.notified();
        if !self.is_reached() {
            notified.await;
        }
    }

    pub fn is_reached(&self) -> bool {
        self.0.is_reached.load(Ordering::SeqCst)
    }

    pub fn mend(&self) {
        self.0.mended.store(true, Ordering::SeqCst);
    }

    async fn operation<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let left = self.0.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 || self.0.mended.load(Ordering::SeqCst) {
            return work.await;
        }
        if self.0.mode == Mode::Fail {
            return Err(Error::Generic { store: "cut", source: "the storage is away".into() });
        }
        if left == 0 && self.0.mode == Mode::After {
            let _ = work.await;
        }
        self.0.is_reached.store(true, Ordering::SeqCst);
        self.0.reached.notify_waiters();
        std::future::pending().await
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut")
    }
}

#[async_trait]
impl ObjectStore for Cut {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.operation(self.0.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.operation(self.0.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.operation(self.0.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.operation(self.0.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (cut, inner) = (self.clone(), Arc::clone(&self.0.inner));
        let deleted = async move { cut.operation(async { Ok(inner.delete_stream(locations)) }).await };
        stream::once(deleted).flat_map(|deleted| deleted.unwrap_or_else(|error| stream::iter([Err(error)]).boxed())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (cut, listing) = (self.clone(), self.0.inner.list(prefix));
        let listed = async move { cut.operation(async { Ok(listing) }).await };
        stream::once(listed).flat_map(|listed| listed.unwrap_or_else(|error| stream::iter([Err(error)]).boxed())).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.operation(self.0.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.operation(self.0.inner.copy_opts(from, to, options)).await
    }
}

/// A round that ends where its store is cut off; `None` where it does.
pub fn round_until(cut: &Cut, mut publisher: Publisher) -> Option<crate::error::Result<()>> {
    let (ends, ended) = channel();
    let reached = cut.clone();
    std::thread::spawn(move || {
        let round = runtime().block_on(async {
            tokio::select! {
                biased;
                () = reached.reached() => None,
                round = publisher.round() => Some(round),
            }
        });
        drop(publisher);
        let _ = ends.send(round);
    });
    loop {
        match ended.recv_timeout(Duration::from_millis(500)) {
            Ok(round) => return round,
            // The library holds the thread until the store answers. It is left alone with that, as what a killed process was about to do.
            Err(RecvTimeoutError::Timeout) if cut.is_reached() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => panic!("the round panicked"),
        }
    }
}
