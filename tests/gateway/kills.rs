//! `kill -9`, again and again, at random moments of one gateway's work: what was acknowledged is in the ledger once and exact, what was not is there
//! once at most, and the books balance.
//!
//! `MESHGATE_KILLS=all` kills 2,000 times (a number: so often), and a publishing gateway at each of its operations (`metering/publish/tests.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{FINANCE, eventually};
use crate::metering::{Process, connect, with_big};

const KILLS: u64 = 50;
const ALL_KILLS: u64 = 2_000;
/// Kills of one gateway: what its ledger has is added up after each.
const LIVES: u64 = 100;

/// Clients of one life of the gateway: most ask for little, one for much.
const CLIENTS: [(&str, &str); 4] = [
    ("small-a", "SELECT * FROM shop.small"),
    ("small-b", "SELECT count(*) FROM shop.small"),
    ("small-c", "SELECT a.id FROM shop.small a, shop.small b WHERE a.id = b.id"),
    ("big", "SELECT count(*) FROM shop.big"),
];

/// What the ledger has of one client of one life.
#[derive(Debug, Default)]
struct Recorded {
    completed: u64,
    /// Completed with another number of bytes than its files have.
    wrong: u64,
    unfinished: u64,
    /// More than there is to read.
    over: u64,
}

async fn ask_until_it_is_gone(client: Client, sql: &'static str, answered: Arc<AtomicU64>) {
    // The simple protocol: every statement that is sent is one query, and nothing is described before.
    while client.simple_query(sql).await.is_ok_and(|rows| matches!(rows.last(), Some(SimpleQueryMessage::CommandComplete(_)))) {
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// By client's name.
async fn recorded(finance: &Client, life: u64, small: i64, big: i64) -> BTreeMap<String, Recorded> {
    let sql = format!(
        "SELECT q.application_name, q.outcome, q.bytes_scanned FROM finops.queries q WHERE q.application_name LIKE 'life {life} %'"
    );
    let mut all: BTreeMap<String, Recorded> = BTreeMap::new();
    for row in finance.query(&sql, &[]).await.unwrap() {
        let (name, outcome, bytes): (&str, &str, i64) = (row.get(0), row.get(1), row.get(2));
        let reads = if name.ends_with("small-c") {
            2 * small
        } else if name.ends_with("big") {
            big
        } else {
            small
        };
        let of_client = all.entry(name.to_owned()).or_default();
        of_client.over += u64::from(bytes > reads);
        if outcome == "completed" {
            of_client.completed += 1;
            of_client.wrong += u64::from(bytes != reads);
        } else {
            assert!(["crashed", "cancelled"].contains(&outcome), "{name}: {outcome}");
            of_client.unfinished += 1;
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_it_is_killed_what_was_acknowledged_is_in_the_books_once_and_they_balance() {
    let kills: u64 = match std::env::var("MESHGATE_KILLS").as_deref() {
        Err(_) => KILLS,
        Ok("all") => ALL_KILLS,
        Ok(number) => number.parse().expect("MESHGATE_KILLS is a number, or \"all\""),
    };
    let (mut acknowledged, mut unfinished) = (0, 0);
    for begun in (0..kills).step_by(usize::try_from(LIVES).unwrap()) {
        let round = killed(LIVES.min(kills - begun)).await;
        acknowledged += round.0;
        unfinished += round.1;
        println!("{} kills: {acknowledged} queries were acknowledged and {unfinished} found unfinished", (begun + LIVES).min(kills));
    }
    assert!(acknowledged > 5 * kills && unfinished > 0, "killed amid work: {acknowledged} {unfinished}");
}

/// Kills one gateway so often: how many queries were acknowledged, and how many were found unfinished.
async fn killed(kills: u64) -> (u64, u64) {
    let builder = with_big();
    let size = |file: &str| std::fs::metadata(builder.folder().join("data/shop").join(file)).unwrap().len() as i64;
    let (small, big) = (size("small.csv"), size("big.csv"));
    let mut before: Vec<u64> = Vec::new();
    let (mut acknowledged, mut unfinished) = (0, 0);
    for life in 0..=kills {
        let (process, port) = Process::serve(builder.folder()).await;
        if life > 0 {
            // What the life before left behind.
            let (finance, _connection) = connect(port, FINANCE, "audit").await;
            let found = recorded(&finance, life - 1, small, big).await;
            for ((name, _), answered) in CLIENTS.iter().zip(&before) {
                let of_client = found.get(&format!("life {} {name}", life - 1));
                let (completed, wrong, over, open) = of_client.map_or((0, 0, 0, 0), |r| (r.completed, r.wrong, r.over, r.unfinished));
                // The last one may be durable without its client having been told; then it is not unfinished as well.
                assert!(
                    (completed == *answered || completed == answered + 1) && completed + open <= answered + 1 && wrong == 0 && over == 0,
                    "kill {life}, {name}: {answered} acknowledged, {of_client:?}"
                );
                acknowledged += answered;
                unfinished += open;
            }
            let sums = "SELECT (SELECT count(*) - count(DISTINCT query_id) FROM finops.queries)::bigint,
                 (SELECT count(*) - count(DISTINCT usage_id) FROM finops.usage)::bigint, (SELECT coalesce(sum(amount), 0) FROM finops.entries)::text";
            let row = finance.query_one(sums, &[]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), (0_i64, 0_i64), "kill {life}: each once");
            assert_eq!(row.get::<_, &str>(2).trim_matches(['0', '.']), "", "kill {life}: debits are credits");
        }
        let answered: Vec<Arc<AtomicU64>> = CLIENTS.iter().map(|_| Arc::default()).collect();
        let mut asking = Vec::new();
        for ((name, sql), answered) in CLIENTS.iter().zip(&answered) {
            let (client, _) = connect(port, "alice", &format!("life {life} {name}")).await;
            asking.push(tokio::spawn(ask_until_it_is_gone(client, sql, Arc::clone(answered))));
        }
        if life % 2 == 0 {
            // Amid the work; else wherever it is by then.
            let busy = || std::future::ready(answered.iter().take(3).all(|counter| counter.load(Ordering::SeqCst) > 0));
            assert!(eventually(Duration::from_secs(60), busy).await);
        }
        // Now and then long enough for progress to have been written.
        let most = if life % 10 == 5 { 1500 } else { 150 };
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..most * 1000))).await;
        process.kill();
        for task in asking {
            task.await.unwrap();
        }
        before = answered.iter().map(|counter| counter.load(Ordering::SeqCst)).collect();
    }
    (acknowledged, unfinished)
}
