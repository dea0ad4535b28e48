use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutPayload};

use super::*;
use crate::clock::Clock;
use crate::id::{DomainName, PortId, PortName, ProductId, ProductName};
use crate::metering::{Account, Journal, Protocol, QueryStart};

fn port() -> PortId {
    let product = ProductId { domain: DomainName::new("claims").expect("name"), product: ProductName::new("a").expect("name") };
    PortId { product, major: 1, port: PortName::new("sql").expect("name") }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

impl Source for InMemory {
    fn is_remote(&self) -> bool {
        true
    }
}

/// A folder with one file, and a counted store over it.
fn local(bytes: usize, meter: &Arc<Meter>) -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("secret_name.csv"), content(bytes)).expect("writes");
    let inner = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).expect("store"));
    let store = metered_store(inner, Arc::clone(meter), ReadKind::Data, &port());
    (folder, store)
}

async fn remote(bytes: usize, meter: &Arc<Meter>) -> Arc<dyn ObjectStore> {
    let inner = InMemory::new();
    inner.put(&file(), PutPayload::from(content(bytes))).await.expect("puts");
    metered_store(Arc::new(inner), Arc::clone(meter), ReadKind::Data, &port())
}

fn file() -> Path {
    Path::from("secret_name.csv")
}

struct Limited {
    account: Account,
    _journal: Journal,
    _folder: tempfile::TempDir,
}

/// An account whose query may scan so many bytes.
fn limited(max_scan_bytes: u64) -> Limited {
    let folder = tempfile::tempdir().expect("folder");
    let journal = Journal::open(folder.path(), Clock::system()).expect("opens");
    let account = journal.begin(QueryStart {
        protocol: Protocol::Flight,
        max_scan_bytes: Some(max_scan_bytes),
        ..QueryStart::for_test(DomainName::new("marketing").expect("name"), journal.now())
    });
    Limited { account: account.expect("begins"), _journal: journal, _folder: folder }
}

fn hit_the_limit(error: &Error) -> bool {
    let mut at: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = at {
        if error.is::<LimitReached>() {
            return true;
        }
        at = error.source();
    }
    false
}

#[tokio::test]
async fn a_whole_local_file_is_streamed_and_counted_to_the_byte() {
    let meter = Meter::unbilled();
    let (_folder, store) = local(3_000_001, &meter);
    let got = store.get(&file()).await.expect("gets").bytes().await.expect("reads");
    assert_eq!(got, content(3_000_001));
    assert_eq!(meter.reading(), Reading { bytes_from_storage: 3_000_001, storage_requests: 1, ..Reading::default() });
}

#[tokio::test]
async fn a_file_that_is_read_half_is_charged_by_the_pieces_that_were_read() {
    let meter = Meter::unbilled();
    let (_folder, store) = local(3_000_000, &meter);
    let mut stream = store.get(&file()).await.expect("gets").into_stream();
    let first = stream.next().await.expect("a piece").expect("reads");
    assert_eq!(meter.reading().bytes_from_storage, first.len() as u64);
    assert!(first.len() < 3_000_000);
}

#[tokio::test]
async fn ranges_are_read_exactly_wherever_they_lie() {
    let ranges = [10..20, 1000..1010, 5..12];
    let want: Vec<Bytes> = ranges.iter().map(|r| Bytes::from(content(5000)[r.start as usize..r.end as usize].to_vec())).collect();

    let meter = Meter::unbilled();
    let (_folder, store) = local(5000, &meter);
    assert_eq!(store.get_ranges(&file(), &ranges).await.expect("reads"), want);
    assert_eq!(meter.reading().bytes_from_storage, 27);

    let meter = Meter::unbilled();
    let store = remote(5000, &meter).await;
    assert_eq!(store.get_ranges(&file(), &ranges).await.expect("reads"), want);
    // Two of them overlap, and what they share is asked for once.
    assert_eq!(meter.reading().bytes_from_storage, 25);
    assert_eq!(store.get_range(&file(), 1..4).await.expect("reads"), content(5000)[1..4].to_vec());
    assert_eq!(meter.reading().bytes_from_storage, 28);
}

#[tokio::test]
async fn head_and_list_are_requests_without_bytes() {
    let meter = Meter::unbilled();
    let (_folder, store) = local(100, &meter);
    assert_eq!(store.head(&file()).await.expect("heads").size, 100);
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.expect("lists").len(), 1);
    assert_eq!(store.list_with_delimiter(None).await.expect("lists").objects.len(), 1);
    assert_eq!(meter.reading(), Reading { storage_requests: 3, ..Reading::default() });
}

#[tokio::test]
async fn metadata_is_counted_apart_and_is_outside_the_limit() {
    let limited = limited(10);
    let meter = limited.account.meter(&port(), "1.0.0", "");
    let inner = InMemory::new();
    inner.put(&file(), PutPayload::from(content(100))).await.expect("puts");
    let store = metered_store(Arc::new(inner), Arc::clone(&meter), ReadKind::Metadata, &port());
    store.get(&file()).await.expect("gets").bytes().await.expect("reads");
    assert_eq!(meter.reading(), Reading { bytes_metadata: 100, storage_requests: 1, ..Reading::default() });
}

#[tokio::test]
async fn a_read_that_would_pass_the_limit_does_not_happen() {
    let limited = limited(1000);
    let meter = limited.account.meter(&port(), "1.0.0", "");
    let (_folder, near) = local(5000, &meter);
    let far = remote(5000, &meter).await;

    near.get_range(&file(), 0..600).await.expect("fits");
    for error in [
        near.get_range(&file(), 0..401).await.expect_err("too much"),
        far.get_range(&file(), 0..401).await.expect_err("too much"),
        near.get_ranges(&file(), &[0..200, 300..501]).await.expect_err("too much"),
        far.get_ranges(&file(), &[0..200, 300..501]).await.expect_err("too much"),
        far.get(&file()).await.map(|_| ()).expect_err("too much"),
        near.get(&file()).await.expect("opens").bytes().await.expect_err("too much"),
    ] {
        assert!(hit_the_limit(&error), "{error:?}");
    }
    assert_eq!(meter.reading().bytes_from_storage, 600);
    near.get_range(&file(), 0..400).await.expect("what is left still fits");
    assert_eq!(meter.reading().bytes_from_storage, 1000);
}

#[tokio::test]
async fn what_was_reserved_and_not_delivered_goes_back() {
    let limited = limited(5000);
    let meter = limited.account.meter(&port(), "1.0.0", "");
    let far = remote(900, &meter).await;
    assert_eq!(far.get_range(&file(), 0..2000).await.expect("what there is").len(), 900);
    assert_eq!(meter.reading().bytes_from_storage, 900);
    drop(meter.reserve(4101).expect_err("too much"));
    meter.reserve(4100).expect("all that is left");
}

#[tokio::test]
async fn a_remote_piece_that_was_asked_for_is_read_and_charged_whoever_waits_for_it() {
    let limited = limited(9 << 20);
    let meter = limited.account.meter(&port(), "1.0.0", "");
    let far = remote(9 << 20, &meter).await;
    drop(far.get(&file()).await.expect("fits"));
    let charged = async {
        while Arc::strong_count(&meter) > 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), charged).await.expect("it ends");
    assert_eq!(meter.reading(), Reading { bytes_from_storage: 8 << 20, storage_requests: 1, ..Reading::default() }, "one piece, not two");
    far.get_range(&file(), 0..1 << 20).await.expect("what was not asked for was given back");
}

#[test]
fn two_ports_of_one_query_never_reserve_more_than_its_limit() {
    let limited = limited(100_000);
    let other = PortId { port: PortName::new("csv").expect("name"), ..port() };
    let meters = [limited.account.meter(&port(), "1", ""), limited.account.meter(&other, "1", "")];
    let granted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|at| {
                let meter = Arc::clone(&meters[at % 2]);
                scope.spawn(move || (0..10_000).filter(|_| meter.reserve(7).is_ok()).count() as u64 * 7)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).sum()
    });
    assert_eq!(granted, 100_000 / 7 * 7);
}

#[tokio::test]
async fn faults_keep_their_kind_and_name_the_port_and_no_path() {
    let meter = Meter::unbilled();
    let (folder, store) = local(100, &meter);
    let missing = Path::from("another_secret.csv");
    let not_found = store.get(&missing).await.map(|_| ()).expect_err("is not there");
    assert!(matches!(not_found, Error::NotFound { .. }));
    let changed = GetOptions { if_match: Some("another".into()), ..GetOptions::default() };
    let precondition = store.get_opts(&file(), changed).await.map(|_| ()).expect_err("has changed");
    assert!(matches!(precondition, Error::Precondition { .. }));

    let stream = store.get(&file()).await.expect("opens").into_stream();
    std::fs::File::options().write(true).open(folder.path().join("secret_name.csv")).and_then(|f| f.set_len(50)).expect("truncates");
    let short = stream.try_collect::<Vec<_>>().await.expect_err("is short");
    let folder = folder.path().to_string_lossy().into_owned();
    for error in [not_found, precondition, short] {
        let text = error.to_string();
        assert!(text.contains("claims.a_v1__sql"), "{text}");
        assert!(!text.contains("secret") && !text.contains(&folder), "{text}");
    }
}

#[tokio::test]
async fn nothing_can_be_written_through_it() {
    let meter = Meter::unbilled();
    let (folder, store) = local(100, &meter);
    assert!(store.put(&Path::from("x"), PutPayload::from_static(b"x")).await.is_err());
    assert!(store.put_multipart(&Path::from("x")).await.is_err());
    assert!(store.delete(&file()).await.is_err());
    assert!(store.copy(&file(), &Path::from("x")).await.is_err());
    assert!(store.rename(&file(), &Path::from("x")).await.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    assert_eq!(std::fs::metadata(folder.path().join("secret_name.csv")).expect("is there").len(), 100);
}
