//! Local files, read by offset off the runtime's threads, in large pieces.
//!
//! The store's own stream over a local file reads 8 KiB at a time, each through the blocking pool; ours reads half a mebibyte. Bytes are
//! counted where they are read, on the blocking thread: a read that is under way when its query is cancelled is still counted.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};

use super::store::Counted;

/// One read of a stream.
const CHUNK: u64 = 512 << 10;

/// A bounded range up to this is read at once: it is going to be put together in memory anyway.
const WHOLE: u64 = 8 << 20;

/// The bytes of `range` as a stream. A limit is checked before each piece is read.
pub(super) fn stream(counted: Counted, file: File, range: Range<u64>, bounded: bool) -> BoxStream<'static, object_store::Result<Bytes>> {
    let length = range.end.saturating_sub(range.start);
    let chunk = if bounded && length <= WHOLE { length.max(1) } else { CHUNK };
    let faults = counted.clone();
    let pieces = try_unfold((Arc::new(file), range.start), move |(file, at)| {
        let (counted, end) = (counted.clone(), range.end);
        async move {
            if at >= end {
                return Ok::<_, object_store::Error>(None);
            }
            let piece = at..end.min(at.saturating_add(chunk));
            let next = piece.end;
            let bytes = read(counted, Arc::clone(&file), vec![piece]).await?.into_iter().next().unwrap_or_default();
            Ok(Some((bytes, (file, next))))
        }
    });
    pieces.map_err(move |error| faults.fault(error)).boxed()
}

/// The bytes of each range, exactly those.
pub(super) async fn read(counted: Counted, file: Arc<File>, ranges: Vec<Range<u64>>) -> object_store::Result<Vec<Bytes>> {
    let total = ranges.iter().map(|range| range.end.saturating_sub(range.start)).fold(0, u64::saturating_add);
    let mut reserved = counted.reserve(total)?;
    let work = move || {
        let mut all = Vec::with_capacity(ranges.len());
        for range in ranges {
            let bytes = read_range(&file, range, |read| {
                counted.add(read);
                reserved.delivered(read);
            });
            all.push(bytes.map_err(|error| counted.fault_of(error))?);
        }
        Ok(all)
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

fn read_range(file: &File, range: Range<u64>, mut arrived: impl FnMut(u64)) -> io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut buffer = vec![0_u8; length];
    let (mut rest, mut at) = (buffer.as_mut_slice(), range.start);
    while !rest.is_empty() {
        match file.read_at(rest, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                arrived(read as u64);
                at += read as u64;
                rest = rest.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.into())
}
