//! Remote objects, read in pieces: what a storage was asked to serve is served to its end, and all of it is on the meter.
//!
//! A request that is dropped half-way leaves bytes that the storage has sent and nobody has counted. So a read is cut into ranges of a few
//! mebibytes, and each of them, once it is asked for, is fetched by a task of its own that goes on when its query does not: a query that
//! fails, is cancelled or loses its client is charged the pieces that were under way, to the byte. What has not been asked for by then is
//! not, and a limit is checked before each.
//!
//! Ranges are merged only where they touch: nothing between them is read, so a scan costs the same wherever the data lies.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};
use object_store::path::Path;
use object_store::{Attributes, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result};
use tokio::sync::{mpsc, oneshot};

use super::Reserved;
use super::store::{Counted, Source};

/// The most that one request asks for. Larger makes a cancelled query dearer, smaller makes more requests.
const PIECE: u64 = 8 << 20;
/// How many pieces of one call are fetched at once.
const PARALLEL: usize = 10;
/// How long a piece that nobody waits for any more may still take. A storage that drips is not read for ever.
const GRACE: Duration = Duration::from_secs(5);

/// A remote store with its meter.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) source: Arc<dyn Source>,
    pub(super) counted: Counted,
}

/// The beginning of an answer; its bytes arrive whether or not they are waited for.
struct Piece {
    meta: ObjectMeta,
    range: Range<u64>,
    attributes: Attributes,
    body: mpsc::UnboundedReceiver<Result<Bytes>>,
}

impl Remote {
    /// Answers a read of any shape, in pieces.
    pub(super) async fn read(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            self.counted.request();
            let (source, asked) = (Arc::clone(&self.source), location.clone());
            // What is counted is sent, whoever is still there to hear the answer.
            let found = tokio::spawn(async move { source.get_opts(&asked, options).await }).await;
            let found = found.map_err(|_| self.counted.fault_of("the read was stopped"))?.map_err(|error| self.counted.fault(error))?;
            return Ok(GetResult { payload: GetResultPayload::Stream(futures::stream::empty().boxed()), ..found });
        }
        let size = self.source.known_size(location);
        let (first, end) = first_piece(options.range.as_ref(), size);
        let reserved = match end {
            Some(end) => Some(self.counted.reserve(end.min(first.end).saturating_sub(first.start))?),
            None => None,
        };
        let asked = if first.is_empty() { options.range.clone() } else { Some(GetRange::Bounded(first.clone())) };
        let mut next = GetOptions { range: None, ..options.clone() };
        let piece = self.begin(location.clone(), GetOptions { range: asked, ..options }, reserved).await?;
        let end = if first.is_empty() { piece.range.end } else { end.unwrap_or(u64::MAX).min(piece.meta.size) };
        // The pieces that follow are of the same object or none.
        next.if_match = next.if_match.or_else(|| piece.meta.e_tag.clone());
        let range = piece.range.start..end.max(piece.range.end);
        let body = self.clone().stream(location.clone(), next, piece.body, piece.range.end..end);
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta: piece.meta, range, attributes: piece.attributes })
    }

    /// The bytes of each range, and no others.
    pub(super) async fn ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let pieces = cut(&merge(ranges));
        let mut reserved = self.counted.reserve(pieces.iter().map(length).fold(0, u64::saturating_add))?;
        let jobs: Vec<_> = pieces.iter().map(|piece| (piece.clone(), reserved.part(length(piece)))).collect();
        let fetch = |(range, reserved): (Range<u64>, Reserved)| {
            let (remote, location) = (self.clone(), location.clone());
            async move { remote.whole(location, range, reserved).await }
        };
        let fetched: Vec<(Bytes, Option<String>)> = futures::stream::iter(jobs).map(fetch).buffered(PARALLEL).try_collect().await?;
        let (bytes, tags): (Vec<_>, Vec<_>) = fetched.into_iter().unzip();
        if tags.windows(2).any(|two| matches!(two, [one, other] if one != other)) {
            return Err(self.counted.fault_of("the object changed while it was read"));
        }
        slice(ranges, &pieces, &bytes).ok_or_else(|| self.counted.fault_of("the storage answered with fewer bytes than asked for"))
    }

    async fn whole(self, location: Path, range: Range<u64>, reserved: Reserved) -> Result<(Bytes, Option<String>)> {
        let expected = usize::try_from(length(&range)).unwrap_or_default();
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let mut piece = self.begin(location, options, Some(reserved)).await?;
        let mut all = BytesMut::with_capacity(expected);
        while let Some(bytes) = piece.body.recv().await {
            all.extend_from_slice(&bytes?);
        }
        Ok((all.freeze(), piece.meta.e_tag))
    }

    /// Asks for a piece. From here on it is read to its end, whoever is still there to see it.
    async fn begin(&self, location: Path, options: GetOptions, reserved: Option<Reserved>) -> Result<Piece> {
        let ((answer, answered), (pieces, body)) = (oneshot::channel(), mpsc::unbounded_channel());
        tokio::spawn(self.clone().fetch(location, options, reserved, answer, pieces));
        let (meta, range, attributes) = answered.await.map_err(|_| self.counted.fault_of("the read was stopped"))??;
        Ok(Piece { meta, range, attributes, body })
    }

    async fn fetch(
        self,
        location: Path,
        options: GetOptions,
        reserved: Option<Reserved>,
        answer: oneshot::Sender<Result<(ObjectMeta, Range<u64>, Attributes)>>,
        pieces: mpsc::UnboundedSender<Result<Bytes>>,
    ) {
        let abandoned = async {
            pieces.closed().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::pin!(abandoned);
        self.counted.request();
        let result = tokio::select! {
            result = self.source.get_opts(&location, options) => result.map_err(|error| self.counted.fault(error)),
            () = &mut abandoned => return,
        };
        let reserve = |found: &GetResult| match reserved {
            Some(reserved) => Ok(reserved),
            None => self.counted.reserve(length(&found.range)),
        };
        // What nobody hears any more is of no interest; the bytes are.
        let (found, mut reserved) = match result.and_then(|found| reserve(&found).map(|reserved| (found, reserved))) {
            Ok(both) => both,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let mut left = length(&found.range);
        let _ = answer.send(Ok((found.meta.clone(), found.range.clone(), found.attributes.clone())));
        let mut body = found.into_stream();
        loop {
            let bytes = tokio::select! {
                bytes = body.next() => bytes,
                () = &mut abandoned => return,
            };
            match bytes {
                Some(Ok(bytes)) => {
                    let read = bytes.len() as u64;
                    self.counted.add(read);
                    reserved.delivered(read);
                    left = left.saturating_sub(read);
                    let _ = pieces.send(Ok(bytes));
                }
                Some(Err(error)) => return drop(pieces.send(Err(self.counted.fault(error)))),
                None if left > 0 => {
                    return drop(pieces.send(Err(self.counted.fault_of("the storage answered with fewer bytes than asked for"))));
                }
                None => return,
            }
        }
    }

    /// The first piece's bytes, and then those of `rest`.
    fn stream(
        self,
        location: Path,
        options: GetOptions,
        first: mpsc::UnboundedReceiver<Result<Bytes>>,
        rest: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes>> {
        let state = (self, location, options, first, rest);
        try_unfold(state, |(remote, location, options, mut body, mut rest)| async move {
            loop {
                if let Some(bytes) = body.recv().await {
                    return Ok(Some((bytes?, (remote, location, options, body, rest))));
                }
                if rest.is_empty() {
                    return Ok(None);
                }
                let piece = rest.start..rest.end.min(rest.start.saturating_add(PIECE));
                rest.start = piece.end;
                let reserved = remote.counted.reserve(length(&piece))?;
                let options = GetOptions { range: Some(GetRange::Bounded(piece)), ..options.clone() };
                body = remote.begin(location.clone(), options, Some(reserved)).await?.body;
            }
        })
        .boxed()
    }
}

/// The range to ask for first, and where the whole ends if that is known. An empty range stands for what cannot be cut.
fn first_piece(range: Option<&GetRange>, size: Option<u64>) -> (Range<u64>, Option<u64>) {
    let within = |end: u64| size.map_or(end, |size| end.min(size));
    let (start, end) = match range {
        None => (0, size),
        Some(GetRange::Offset(start)) => (*start, size),
        Some(GetRange::Bounded(range)) => (range.start, Some(within(range.end))),
        Some(GetRange::Suffix(bytes)) => match size {
            Some(size) => (size.saturating_sub(*bytes), Some(size)),
            None => return (0..0, None),
        },
    };
    (start..end.unwrap_or(u64::MAX).min(start.saturating_add(PIECE)), end)
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Ranges that touch or overlap as one, in order. The same ranges always merge to the same, whoever else is reading.
pub(super) fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// No range longer than a piece.
fn cut(merged: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut pieces = Vec::with_capacity(merged.len());
    for range in merged {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start.saturating_add(PIECE));
            pieces.push(start..end);
            start = end;
        }
    }
    pieces
}

/// Puts the wanted ranges together from the pieces; `None` where they do not hold them. Copies only what lies across a cut.
fn slice(ranges: &[Range<u64>], pieces: &[Range<u64>], fetched: &[Bytes]) -> Option<Vec<Bytes>> {
    let part = |piece: &Range<u64>, bytes: &Bytes, wanted: &Range<u64>| {
        let start = usize::try_from(wanted.start.checked_sub(piece.start)?).ok()?;
        let end = start.checked_add(usize::try_from(length(wanted)).ok()?)?;
        (end <= bytes.len()).then(|| bytes.slice(start..end))
    };
    let one = |range: &Range<u64>| {
        let mut at = pieces.partition_point(|piece| piece.end <= range.start);
        let (mut start, mut parts) = (range.start, Vec::new());
        while start < range.end {
            let (piece, bytes) = (pieces.get(at)?, fetched.get(at)?);
            let end = range.end.min(piece.end);
            parts.push(part(piece, bytes, &(start..end))?);
            (start, at) = (end, at + 1);
        }
        match parts.len() {
            0 => Some(Bytes::new()),
            1 => parts.pop(),
            _ => Some(Bytes::from(parts.concat())),
        }
    };
    ranges.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn ranges_merge_where_they_touch_and_whatever_their_order() {
        assert_eq!(merge(&[20..30, 0..10, 10..15, 3..3, 12..18]), [0..18, 20..30]);
        assert_eq!(merge(&[]), []);
    }

    #[test]
    fn long_ranges_are_cut_and_put_together_again() {
        let content: Vec<u8> = (0..20 * MIB).map(|at| (at % 251) as u8).collect();
        let wanted = [5..7, 7..9 * MIB, 9 * MIB..9 * MIB, 19 * MIB..20 * MIB, 1..17 * MIB];
        let pieces = cut(&merge(&wanted));
        assert_eq!(pieces, [1..PIECE + 1, PIECE + 1..2 * PIECE + 1, 2 * PIECE + 1..17 * MIB, 19 * MIB..20 * MIB]);
        let of = |range: &Range<u64>| Bytes::from(content[range.start as usize..range.end as usize].to_vec());
        let fetched: Vec<Bytes> = pieces.iter().map(of).collect();
        assert_eq!(slice(&wanted, &pieces, &fetched), Some(wanted.iter().map(of).collect()));
        let mut short = fetched;
        short[3].truncate(10);
        assert_eq!(slice(&wanted, &pieces, &short), None);
    }

    #[test]
    fn the_first_piece_never_asks_for_more_than_is_wanted() {
        assert_eq!(first_piece(None, None), (0..PIECE, None));
        assert_eq!(first_piece(None, Some(10)), (0..10, Some(10)));
        assert_eq!(first_piece(Some(&GetRange::Bounded(5..100)), Some(10)), (5..10, Some(10)));
        assert_eq!(first_piece(Some(&GetRange::Bounded(5..100)), None), (5..100, Some(100)));
        assert_eq!(first_piece(Some(&GetRange::Offset(5)), Some(10)), (5..10, Some(10)));
        assert_eq!(first_piece(Some(&GetRange::Suffix(4)), Some(10)), (6..10, Some(10)));
        assert_eq!(first_piece(Some(&GetRange::Suffix(4)), None), (0..0, None));
    }
}
