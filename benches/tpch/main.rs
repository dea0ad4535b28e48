//! TPC-H through the gateway, side by side with what it is measured against: `cargo bench --bench tpch [-- queries|governed|lineitem|copy|settle|small …]`.
//!
//! The gateway runs as users run it, as a process of its own; what it is compared with runs here, on the same files, with the same
//! settings and the same allocator. Both take turns, so that a busy machine is unfair to neither, and the best of each counts.

mod data;
mod gateway;
mod peak;
mod postgres;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;

use self::gateway::{FlightClient, Gateway};
use self::peak::Peak;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// TPC-H's scale factor: 1 is about 1 GB, 6 million rows of lineitem.
const SCALE: f64 = 1.0;

/// How often each side runs, after one run to warm up.
const ROUNDS: usize = 3;

const LINEITEM: &str = "SELECT * FROM lineitem";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs benches too, without this flag; measuring a debug build helps nobody.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("run with cargo bench");
        return Ok(());
    }
    let parts: Vec<&str> = arguments.iter().filter(|argument| !argument.starts_with('-')).map(String::as_str).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);

    let data = data_folder();
    data::generate(&data, SCALE)?;
    data::generate_rest(&data).await?;
    let home = tempfile::tempdir()?;
    let gateway = Gateway::start(home.path(), &data)?;
    let mut flight = gateway.client(gateway::OPEN).await?;
    let here = in_process(&data).await?;

    println!("\n| work | gateway | beside it | ratio | must reach |\n|---|---:|---:|---:|---:|");
    if wanted("queries") {
        queries(&mut flight, &here).await?;
    }
    if wanted("governed") {
        governed(&gateway).await?;
    }
    if wanted("lineitem") {
        lineitem(&gateway, &mut flight, &here).await?;
    }
    if wanted("copy") {
        copy(&gateway).await?;
    }
    if wanted("settle") {
        settle(&mut flight, &here).await?;
    }
    if wanted("small") {
        small(&gateway).await?;
    }
    Ok(())
}

/// `target/tpch-sf1`.
fn data_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join(format!("tpch-sf{SCALE}"))
}

/// The same engine on the same files, without a gateway.
async fn in_process(data: &Path) -> Result<SessionContext> {
    let context = SessionContext::new_with_config(meshgate::ports::session_config());
    for table in data::TABLES {
        let path = data::file(data, table);
        context.register_parquet(table, path.to_str().context("path is not text")?, ParquetReadOptions::default()).await?;
    }
    Ok(context)
}

/// Runs a query here and reads all of its result: rows.
async fn read(context: &SessionContext, sql: &str) -> Result<usize> {
    let mut batches = context.sql(sql).await?.execute_stream().await?;
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows();
    }
    Ok(rows)
}

/// The 22 queries over Flight SQL, against the same engine in process.
async fn queries(flight: &mut FlightClient, here: &SessionContext) -> Result<()> {
    let (mut total, mut total_here) = (Duration::ZERO, Duration::ZERO);
    for (name, sql) in statements() {
        ensure!(flight.read(sql).await? == read(here, sql).await?, "{name} gives different rows");
        let (mut best, mut best_here) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            best_here = best_here.min(timed(read(here, sql)).await?);
            best = best.min(timed(flight.read(sql)).await?);
        }
        total += best;
        total_here += best_here;
        row(&format!("TPC-H {name} over Flight"), best, best_here, "");
    }
    row("TPC-H, all 22 over Flight", total, total_here, "1.05");
    Ok(())
}

fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("queries.sql").split("-- Q").skip(1).filter_map(|part| part.split_once('\n')).map(|(name, sql)| (name, sql.trim()))
}

/// The 22 queries over masked tables and over filtered ones, against open ones: as they are, with the filters written into the query, and
/// over the rows that the filters leave.
async fn governed(gateway: &Gateway) -> Result<()> {
    const RUNS: [(&str, bool); 5] =
        [(gateway::OPEN, false), (gateway::MASKED, false), (gateway::FILTERED, false), (gateway::OPEN, true), (gateway::REST, false)];
    let mut totals = [Duration::ZERO; RUNS.len()];
    let mut clients = Vec::new();
    for (domain, by_hand) in RUNS {
        clients.push((gateway.client(domain).await?, by_hand));
    }
    for (name, sql) in statements() {
        let by_hand = filtered_by_hand(sql);
        let mut best = [Duration::MAX; RUNS.len()];
        let mut rows = [0; RUNS.len()];
        for round in 0..=ROUNDS {
            for (((client, hand), best), rows) in clients.iter_mut().zip(&mut best).zip(&mut rows) {
                let started = Instant::now();
                *rows = client.read(if *hand { &by_hand } else { sql }).await?;
                *best = if round == 0 { *best } else { started.elapsed().min(*best) };
            }
        }
        ensure!(rows[2] == rows[3] && rows[2] == rows[4], "{name} gives different rows: {rows:?}");
        let [open, masked, filtered, same, rest] = best;
        row(&format!("TPC-H {name} masked, against open"), masked, open, "");
        row(&format!("TPC-H {name} filtered, against the filters written into the query"), filtered, same, "");
        row(&format!("TPC-H {name} filtered, against the rows left"), filtered, rest, "");
        totals.iter_mut().zip(best).for_each(|(total, best)| *total += best);
    }
    let [open, masked, filtered, same, rest] = totals;
    row("TPC-H masked, against open", masked, open, "1.15");
    row("TPC-H filtered, against open", filtered, open, "");
    row("TPC-H filtered, against the filters written into the query", filtered, same, "");
    row("TPC-H filtered, against the rows left", filtered, rest, "1.15");
    Ok(())
}

/// The query over open tables with the filters in it: the least that the engine can do for the same answer, out of the same files.
fn filtered_by_hand(sql: &str) -> String {
    let named = |table: &&str| sql.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == *table);
    let view = |table: &str| format!("{table} AS (SELECT * FROM {}.{table} WHERE {})", gateway::OPEN, data::filter(table));
    let views: Vec<String> = data::TABLES.into_iter().filter(named).map(view).collect();
    match sql.strip_prefix("WITH ") {
        Some(rest) => format!("WITH {}, {rest}", views.join(", ")),
        None => format!("WITH {} {sql}", views.join(", ")),
    }
}

/// All of lineitem over Flight, against reading it in process.
async fn lineitem(gateway: &Gateway, flight: &mut FlightClient, here: &SessionContext) -> Result<()> {
    ensure!(flight.read(LINEITEM).await? == read(here, LINEITEM).await?, "lineitem has different rows");
    let peak = Peak::of(gateway.process());
    let (mut best, mut best_here) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best_here = best_here.min(timed(read(here, LINEITEM)).await?);
        best = best.min(timed(flight.read(LINEITEM)).await?);
    }
    row("all of lineitem over Flight", best, best_here, "4.00");
    memory("memory while streaming it over Flight", peak.stop());
    Ok(())
}

/// All of lineitem by COPY binary, against PostgreSQL.
async fn copy(gateway: &Gateway) -> Result<()> {
    let Some(postgres) = postgres::Postgres::start().await? else {
        println!("| all of lineitem by COPY binary | | PostgreSQL is not installed | | 0.35 |");
        return Ok(());
    };
    postgres.load().await?;
    let ours = gateway.postgres_config()?;
    let theirs = postgres.config();
    let sql = "COPY (SELECT * FROM lineitem) TO STDOUT (FORMAT binary)";
    let bytes = postgres::copy_out(&ours, sql).await?;
    ensure!(bytes == postgres::copy_out(&theirs, sql).await?, "COPY gives different bytes");
    let peak = Peak::of(gateway.process());
    let (mut best, mut best_theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best_theirs = best_theirs.min(timed(postgres::copy_out(&theirs, sql)).await?);
        best = best.min(timed(postgres::copy_out(&ours, sql)).await?);
    }
    row("all of lineitem by COPY binary", best, best_theirs, "0.35");
    memory("memory while streaming it by COPY", peak.stop());
    Ok(())
}

/// A small query from call to durable settlement, against the same query in process, which settles nothing.
async fn settle(flight: &mut FlightClient, here: &SessionContext) -> Result<()> {
    let sql = "SELECT count(*), max(r_name) FROM region";
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        without.push(timed(read(here, sql)).await?);
        with.push(timed(flight.read(sql)).await?);
    }
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        row(&format!("small query with its settlement, {name}"), percentile(&mut with, percent), percentile(&mut without, percent), "");
    }
    Ok(())
}

/// Small statements with pgbench, against PostgreSQL: how many a second.
async fn small(gateway: &Gateway) -> Result<()> {
    let Some(postgres) = postgres::Postgres::start().await? else {
        println!("| small statements | | PostgreSQL is not installed | | |");
        return Ok(());
    };
    let (ours, theirs) = (gateway.postgres_config()?, postgres.config());
    let row_by_key = "SELECT n_name FROM nation WHERE n_nationkey = 7";
    for (sql, mode, must) in [("SELECT 1", "simple", "0.30"), ("SELECT 1", "prepared", ""), (row_by_key, "prepared", "")] {
        for connections in [1, 4, 16] {
            let there = postgres::a_second(&theirs, sql, mode, connections).await?;
            let here = postgres::a_second(&ours, sql, mode, connections).await?;
            let must = if connections == 4 { must } else { "" };
            println!("| {sql}, {mode}, {connections} connections, a second | {here:.0} | {there:.0} | {:.2} | {must} |", here / there);
        }
    }
    Ok(())
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<Duration> {
    let started = Instant::now();
    work.await?;
    Ok(started.elapsed())
}

fn row(work: &str, gateway: Duration, beside: Duration, must: &str) {
    let ratio = gateway.as_secs_f64() / beside.as_secs_f64();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("| {work} | {:.1} ms | {:.1} ms | {ratio:.2} | {must} |", milliseconds(gateway), milliseconds(beside));
}

fn memory(work: &str, bytes: u64) {
    println!("| {work} | {} MiB | | | 1024 MiB |", bytes >> 20);
}
