//! What settling costs: queries that are begun, metered and settled durably, from sixteen connections at once.
//!
//! `cargo bench --bench journal [-- SECONDS [FOLDER]]` prints figures; the folder should lie on the disk that a gateway would use. Beside them stands
//! what the disk does alone: one write and flush at a time, as every query would pay without group commit. And it publishes a million rows, with
//! what the process holds in memory at most.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use meshgate::catalog::{Budget, Each, Per, Price, ScanLimit, Workload};
use meshgate::clock::Clock;
use meshgate::id::{DomainName, PortId, PortName, PrincipalName, ProductId, ProductName, QueryId};
use meshgate::metering::{Journal, Meter, Outcome, PriceList, Protocol, Publisher, QueryStart, ReadKind, Rhythm, metered_store};
use meshgate::telemetry::Metrics;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CONNECTIONS: usize = 16;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let seconds = arguments.first().map_or(Ok(5), |text| text.parse())?;
    let folder = match arguments.get(1) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    flushes(folder.path())?;
    // Before anything else has needed much memory.
    runtime.block_on(publishes(&folder.path().join("published")))?;
    // A query without ports waits for nothing.
    for ports in [1, 3] {
        runtime.block_on(settles(folder.path(), ports, Duration::from_secs(seconds)))?;
    }
    reservations(folder.path())?;
    runtime.block_on(reads(folder.path()))
}

/// A million rows of usage into a table on the same disk.
async fn publishes(folder: &Path) -> Result<()> {
    const ROWS: usize = 1_000_000;
    let journal = Journal::open(folder, Clock::system())?;
    let account = journal.begin(start()?)?;
    account.meter(&port(0)?, "1.0.0", "7").add(ReadKind::Data, 1 << 20);
    account.settle(Outcome::Completed, None, 1).await?;
    // As many of the same kind, by the database itself.
    let names = "boot, query_id, started_at, ended_at, principal, consumer_domain, cost_center, purpose, protocol, application_name,
        producer_domain, product, port, product_version, table_version, bytes_from_storage, bytes_from_cache, bytes_metadata,
        storage_requests, rows_returned, outcome, price_id, unit_price, currency, cost_micros, cost_rest, month, bytes_charged";
    let database = rusqlite::Connection::open(folder.join("journal.sqlite"))?;
    database.execute_batch(&format!(
        "WITH RECURSIVE n (seq) AS (VALUES (2) UNION ALL SELECT seq + 1 FROM n WHERE seq < {ROWS})
         INSERT INTO usage (seq, {names}) SELECT n.seq, {} FROM n CROSS JOIN (SELECT * FROM usage WHERE entry = 1) AS first",
        names.replace("query_id", "hex(randomblob(16))")
    ))?;
    drop(database);
    let (before, metrics) = (memory("VmRSS"), Metrics::new());
    let store: Arc<dyn ObjectStore> = {
        std::fs::create_dir(folder.join("table"))?;
        Arc::new(LocalFileSystem::new_with_prefix(folder.join("table"))?)
    };
    let rhythm = Rhythm { every: Duration::from_secs(3600), keep: None };
    let began = Instant::now();
    let publishing = Publisher::new(&journal, store, rhythm, metrics.clone())?.start()?;
    let all = format!("meshgate_ledger_exported_rows_total {ROWS}");
    while !metrics.render().lines().any(|line| line == all) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("publish {ROWS} rows                    {:?}   {before} before, {} at most", began.elapsed(), memory("VmHWM"));
    publishing.finish().await;
    journal.close().await?;
    Ok(())
}

/// What the system says of this process.
fn memory(what: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

/// The disk alone.
fn flushes(folder: &Path) -> Result<()> {
    let mut file = std::fs::File::create(folder.join("flush"))?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    println!("disk alone, write and flush 4 KiB       {}", percentiles(&mut took));
    Ok(())
}

async fn settles(folder: &Path, ports: usize, lasts: Duration) -> Result<()> {
    let journal = Journal::open(&folder.join(format!("state-{ports}")), Clock::system())?;
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let journal = journal.clone();
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < lasts {
                let account = journal.begin(start()?)?;
                for at in 0..ports {
                    account.meter(&port(at)?, "1.0.0", "7").add(ReadKind::Data, 1 << 20);
                }
                let settling = Instant::now();
                account.settle(Outcome::Completed, None, 1).await?;
                took.push(settling.elapsed());
            }
            Result::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    println!("settle, {CONNECTIONS} connections, {ports} ports a query      {}   {rate:.0} queries/s", percentiles(&mut took));
    journal.close().await?;
    Ok(())
}

/// What a read pays for being limited.
fn reservations(folder: &Path) -> Result<()> {
    let journal = Journal::open(&folder.join("state-r"), Clock::system())?;
    let limited = QueryStart { max_scan_bytes: Some(u64::MAX), ..start()? };
    let limit = |each, per| ScanLimit { id: "l".into(), each, per, bytes: u64::MAX, products: vec![], consumers: vec![], workload: None };
    let limits = [(Each::Principal, Per::Day), (Each::Consumer, Per::Month), (Each::Product, Per::Month)];
    let budget = Budget { monthly: u64::MAX.into(), alerts: vec![], forecast_alerts: vec![], block: true };
    let held = QueryStart {
        budget: Some(budget),
        limits: limits.into_iter().map(|(each, per)| Arc::new(limit(each, per))).collect(),
        query_id: QueryId::generate(),
        ..limited.clone()
    };
    for (what, start) in [("a query's limit", limited), ("that, a budget and three limits", held)] {
        let account = journal.begin(start)?;
        let meter = account.meter(&port(0)?, "1.0.0", "7");
        let rounds = 1_000_000_u32;
        let began = Instant::now();
        for _ in 0..rounds {
            meter.reserve(std::hint::black_box(4096))?;
            meter.add(ReadKind::Data, 4096);
        }
        println!("reserve and count one read under {what:32} {:?}", began.elapsed() / rounds);
    }
    Ok(())
}

/// A local file through the meter against the same without: whole, and in the ranges of column chunks.
async fn reads(folder: &Path) -> Result<()> {
    const SIZE: u64 = 256 << 20;
    std::fs::write(folder.join("data"), vec![7; usize::try_from(SIZE)?])?;
    let files = Arc::new(LocalFileSystem::new_with_prefix(folder)?);
    let plain: Arc<dyn ObjectStore> = Arc::clone(&files) as _;
    let metered = metered_store(files, Meter::unbilled(), ReadKind::Data, &port(0)?);
    let path = object_store::path::Path::from("data");
    let small: Vec<_> = (0..SIZE).step_by(1 << 20).map(|at| at..at + (64 << 10)).collect();
    let large: Vec<_> = (0..SIZE).step_by(4 << 20).map(|at| at..at + (4 << 20)).collect();
    for (name, store) in [("plain", &plain), ("metered", &metered), ("plain", &plain), ("metered", &metered)] {
        let began = Instant::now();
        let mut stream = store.get(&path).await?.into_stream();
        let mut bytes = 0;
        while let Some(piece) = futures::TryStreamExt::try_next(&mut stream).await? {
            bytes += piece.len();
        }
        let (whole, began) = (began.elapsed(), Instant::now());
        for ranges in small.chunks(16) {
            bytes += store.get_ranges(&path, ranges).await?.len();
        }
        let (few, began) = (began.elapsed(), Instant::now());
        for range in &large {
            bytes += store.get_range(&path, range.clone()).await?.len();
        }
        std::hint::black_box(bytes);
        println!("{name:<8} 256 MiB stream {whole:?}, 256 ranges of 64 KiB {few:?}, 64 ranges of 4 MiB {:?}", began.elapsed());
    }
    Ok(())
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
    format!("p50 {:?}   p99 {:?}   max {:?}", at(50), at(99), at(100))
}

fn port(at: usize) -> Result<PortId> {
    let product = ProductId { domain: DomainName::new("claims")?, product: ProductName::new(&format!("product_{at}"))? };
    Ok(PortId { product, major: 1, port: PortName::new("sql")? })
}

fn start() -> Result<QueryStart> {
    let price = Price::flat("standard", Utc::now().date_naive(), "5.00".parse()?);
    Ok(QueryStart {
        query_id: QueryId::generate(),
        started_at: Utc::now(),
        principal: PrincipalName::new("bench"),
        consumer_domain: DomainName::new("marketing")?,
        cost_center: Some("CC-1".into()),
        purpose: None,
        protocol: Protocol::Postgres,
        workload: Workload::Interactive,
        application_name: Some("bench".into()),
        tags: None,
        statement_digest: "0".repeat(64),
        statement: None,
        queued_ms: 0,
        prices: PriceList::of_one("USD", price),
        max_scan_bytes: None,
        budget: None,
        limits: Vec::new(),
    })
}
