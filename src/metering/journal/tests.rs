use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema::Store;
use super::*;
use crate::catalog::{Price, Tier};
use crate::id::{DomainName, PortId, PortName, PrincipalName, ProductId, ProductName, QueryId};
use crate::metering::{Outcome, PriceList, ReadKind};

mod power;

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_793_880_000, 0).expect("a time")
}

fn open(folder: &Path) -> Journal {
    Journal::open(folder, Clock::fixed(noon())).expect("opens")
}

fn port(product: &str) -> PortId {
    let domain = DomainName::new("claims").expect("name");
    let product = ProductId { domain, product: ProductName::new(product).expect("name") };
    PortId { product, major: 1, port: PortName::new("sql").expect("name") }
}

fn standard() -> Price {
    Price::flat("standard", noon().date_naive(), "5.00".parse().expect("decimal"))
}

fn start() -> QueryStart {
    QueryStart {
        cost_center: Some("CC-1".into()),
        application_name: Some("psql".into()),
        statement_digest: "00".into(),
        prices: PriceList::of_one("USD", standard()),
        ..QueryStart::for_test(DomainName::new("marketing").expect("name"), noon())
    }
}

/// What the file of a journal holds: query id, outcome, bytes of its usage rows.
fn settled(folder: &Path) -> Vec<(String, String, i64)> {
    let connection = Connection::open_with_flags(folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    let sql = "SELECT query_id, outcome, (SELECT coalesce(sum(bytes_from_storage), 0) FROM usage u WHERE u.query_id = q.query_id)
               FROM queries q ORDER BY entry";
    let mut statement = connection.prepare(sql).expect("prepares");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("queries");
    rows.map(|row| row.expect("row")).collect()
}

/// What a crash at this moment leaves behind: the files as they are, without the process.
fn as_after_a_kill(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("folder");
    for entry in std::fs::read_dir(folder).expect("lists") {
        let entry = entry.expect("entry");
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
        }
    }
    copy
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to hold within ten seconds");
}

#[tokio::test]
async fn a_settled_query_is_on_disk_before_settle_answers() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let start = start();
    let id = start.query_id.to_string();
    let account = journal.begin(start).expect("begins");
    let meter = account.meter(&port("a"), "1.0.0", "");
    meter.add(ReadKind::Data, 10);
    drop(meter);
    account.meter(&port("b"), "1.0.0", "7").add(ReadKind::Data, 5);
    assert_eq!(account.reading().bytes_from_storage, 15);
    account.settle(Outcome::Completed, None, 3).await.expect("settles");
    let copy = as_after_a_kill(folder.path());
    assert_eq!(settled(copy.path()), [(id, "completed".into(), 15)]);
}

#[tokio::test]
async fn an_account_that_nobody_settles_is_cancelled_when_its_last_read_is_over() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    let meter = account.meter(&port("a"), "1.0.0", "7");
    account.returned(3);
    drop(account);
    meter.add(ReadKind::Data, 99);
    assert_eq!(settled(folder.path()), []);
    drop(meter);
    until(|| !settled(folder.path()).is_empty()).await;
    assert!(matches!(settled(folder.path()).as_slice(), [(_, outcome, 99)] if outcome == "cancelled"));
    assert_eq!(one_text(folder.path(), "SELECT rows_returned || ' ' || sqlstate FROM queries"), "3 57014");
}

#[tokio::test]
async fn beginning_a_query_writes_nothing_and_a_query_without_ports_is_in_the_ledger_all_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    assert_eq!(settled(folder.path()), []);
    account.settle(Outcome::Failed, Some("22012"), 0).await.expect("settles");
    until(|| matches!(settled(folder.path()).as_slice(), [(_, outcome, 0)] if outcome == "failed")).await;
}

#[tokio::test]
async fn who_owes_nothing_waits_for_no_flush_and_who_reads_the_ledger_does() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let elsewhere = Connection::open(folder.path().join(FILE)).expect("opens");
    elsewhere.execute_batch("BEGIN IMMEDIATE").expect("nobody else can write");
    let free = journal.begin(start()).expect("begins").settle(Outcome::Completed, None, 1);
    tokio::time::timeout(Duration::from_secs(1), free).await.expect("at once").expect("settles");
    let judged = journal.begin(start()).expect("begins");
    judged.decided(decision("because".into()));
    let reading = journal.begin(start()).expect("begins");
    reading.meter(&port("a"), "1.0.0", "7");
    let (judged, reading) = (judged.settle(Outcome::Completed, None, 1), reading.settle(Outcome::Completed, None, 1));
    let mut both = std::pin::pin!(futures::future::join(judged, reading));
    assert!(tokio::time::timeout(Duration::from_millis(1500), &mut both).await.is_err(), "these are to be on disk");
    elsewhere.execute_batch("ROLLBACK").expect("others can write");
    let (judged, reading) = both.await;
    assert!(judged.is_ok() && reading.is_ok());
    journal.begin(start()).expect("begins").settle(Outcome::Completed, None, 1).await.expect("settles");
    let ledger = crate::metering::ledger::Ledger::of(&journal);
    let count = move || ledger.connect().expect("opens").query_row("SELECT count(*) FROM queries", [], |row| row.get(0));
    assert_eq!(tokio::task::spawn_blocking(count).await.expect("runs"), Ok(4_i64), "readers see all that ended before");
}

#[test]
fn a_task_that_has_used_up_its_turn_waits_for_a_flush_as_any_other() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let (ends, ended) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            // From here on the runtime's own channels tell this task that they have nothing for it.
            while tokio::task::coop::has_budget_remaining() {
                let _ = tokio::task::coop::consume_budget().now_or_never();
            }
            journal.flush();
        });
        let _ = ends.send(());
    });
    ended.recv_timeout(Duration::from_secs(10)).expect("it ends");
}

#[tokio::test]
async fn a_port_that_was_opened_has_a_row_even_where_nothing_was_read() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    account.meter(&port("a"), "1.2.0", "");
    account.meter(&port("a"), "1.2.0", "41");
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
    let rows = one_text(folder.path(), "SELECT count(*) || ' ' || table_version || ' ' || product_version FROM usage");
    assert_eq!(rows, "1 41 1.2.0");
}

#[tokio::test]
async fn the_sums_of_a_month_count_a_query_once_however_often_it_read_a_product() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    for _ in 0..2 {
        let account = journal.begin(start()).expect("begins");
        let other = PortId { port: PortName::new("files").expect("name"), ..port("a") };
        account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 5);
        account.meter(&other, "1.0.0", "7").add(ReadKind::Data, 6);
        account.meter(&port("b"), "1.0.0", "7").add(ReadKind::Data, 7);
        account.settle(Outcome::Completed, None, 0).await.expect("settles");
    }
    let sums = "SELECT group_concat(product || ' ' || queries || ' ' || bytes_scanned, ', ') FROM usage_months";
    assert_eq!(one_text(folder.path(), sums), "a 2 22, b 2 14");
}

#[tokio::test]
async fn a_row_of_usage_looks_for_others_of_its_query_and_not_of_its_month() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), noon()).expect("opens");
    let connection = store.connection();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRIGGER_EQP, true).expect("is set");
    let mut plan = connection.prepare("EXPLAIN QUERY PLAN INSERT INTO usage SELECT * FROM usage").expect("prepares");
    let steps = plan.query_map([], |row| row.get::<_, String>("detail")).expect("explains");
    let steps: Vec<String> = steps.collect::<rusqlite::Result<_>>().expect("reads");
    let looks = |index: &str| steps.iter().any(|step| step.contains("SEARCH u") && step.contains(index));
    assert!(looks("usage_of_query") && !looks("usage_by_month"), "{steps:?}");
}

fn one_text(folder: &Path, sql: &str) -> String {
    let connection = Connection::open_with_flags(folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    connection.query_row(sql, [], |row| row.get(0)).expect("one row")
}

#[tokio::test]
async fn after_a_kill_the_unfinished_are_crashed_at_their_last_progress_and_the_finished_are_there_once() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let done = journal.begin(start()).expect("begins");
    done.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 5);
    done.settle(Outcome::Completed, None, 1).await.expect("settles");

    let running = journal.begin(start()).expect("begins");
    let meter = running.meter(&port("a"), "1.0.0", "7");
    meter.add(ReadKind::Data, PROGRESS_BYTES + 3);
    until(|| one_text(folder.path(), "SELECT count(*) || '' FROM open") == "1").await;

    let copy = as_after_a_kill(folder.path());
    for _ in 0..2 {
        let reopened = open(copy.path());
        let rows = settled(copy.path());
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!((rows[0].1.as_str(), rows[0].2), ("completed", 5));
        assert_eq!((rows[1].1.as_str(), rows[1].2), ("crashed", PROGRESS_BYTES as i64 + 3));
        assert_eq!(one_text(copy.path(), "SELECT count(*) || '' FROM open"), "0");
        reopened.close().await.expect("closes");
    }
    let ids = one_text(copy.path(), "SELECT group_concat(boot || '-' || seq, ' ' ORDER BY entry) FROM usage");
    assert_eq!(ids, "1-1 2-1");
}

#[tokio::test]
async fn progress_is_durable_within_a_second_however_little_was_read() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 1);
    let began = std::time::Instant::now();
    until(|| one_text(folder.path(), "SELECT count(*) || '' FROM open") == "1").await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
    assert_eq!(one_text(folder.path(), "SELECT count(*) || '' FROM open"), "0");
}

#[tokio::test]
async fn what_is_read_after_the_settlement_becomes_a_row_of_its_own() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    let held = account.meter(&port("a"), "1.0.0", "7");
    held.add(ReadKind::Data, 10);
    account.settle(Outcome::Completed, None, 1).await.expect("settles although a read is under way");
    held.add(ReadKind::Data, 4);
    drop(held);
    until(|| settled(folder.path()).iter().any(|(_, _, bytes)| *bytes == 14)).await;
    assert_eq!(settled(folder.path()).len(), 1);
    assert_eq!(one_text(folder.path(), "SELECT group_concat(outcome) FROM usage"), "completed,completed");
}

#[tokio::test]
async fn a_settlement_that_nobody_waits_for_still_happens_as_it_was_told() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    let held = account.meter(&port("a"), "1.0.0", "7");
    {
        let mut settling = std::pin::pin!(account.settle(Outcome::LimitExceeded, Some("53400"), 0));
        assert!(futures::poll!(settling.as_mut()).is_pending());
    }
    held.add(ReadKind::Data, 8);
    drop(held);
    until(|| !settled(folder.path()).is_empty()).await;
    assert!(matches!(settled(folder.path()).as_slice(), [(_, outcome, 8)] if outcome == "limit_exceeded"));
}

#[tokio::test]
async fn closing_settles_what_runs_and_leaves_one_whole_file() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 6);
    journal.close().await.expect("closes");
    journal.close().await.expect("twice is once");
    assert!(!journal.is_writable());
    assert_eq!(journal.begin(start()).expect_err("is closed").message(), "the usage journal cannot be written");
    let lone = tempfile::tempdir().expect("folder");
    std::fs::copy(folder.path().join(FILE), lone.path().join(FILE)).expect("copies");
    assert!(matches!(settled(lone.path()).as_slice(), [(_, outcome, 6)] if outcome == "cancelled"));
    account.settle(Outcome::Completed, None, 0).await.expect_err("it was settled without it");
    assert_eq!(settled(folder.path()).len(), 1);
}

#[tokio::test]
async fn two_processes_cannot_open_one_journal() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let fault = Journal::open(folder.path(), Clock::system()).expect_err("is in use");
    assert_eq!((fault.sqlstate(), fault.message()), ("58030", "the usage journal is in use by another gateway"));
    journal.close().await.expect("closes");
    open(folder.path());
}

#[tokio::test]
async fn boots_count_up_and_the_gateway_keeps_its_id() {
    let folder = tempfile::tempdir().expect("folder");
    let first = open(folder.path());
    let id = first.gateway_id().to_owned();
    first.close().await.expect("closes");
    let second = open(folder.path());
    assert_eq!(second.gateway_id(), id);
    assert_eq!(one_text(folder.path(), "SELECT max(boot) || '' FROM boots"), "2");
}

#[test]
fn a_damaged_or_foreign_file_is_refused_in_one_clear_line() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join(FILE), "this is no database, but it is longer than a header of one hundred bytes, ".repeat(9))
        .expect("writes");
    let fault = Journal::open(folder.path(), Clock::system()).expect_err("no database");
    assert_eq!((fault.sqlstate(), fault.message()), ("58030", "the usage journal is damaged"));

    let folder = tempfile::tempdir().expect("folder");
    Connection::open(folder.path().join(FILE)).and_then(|c| c.execute_batch("CREATE TABLE x (y); PRAGMA user_version = 3")).expect("makes");
    let fault = Journal::open(folder.path(), Clock::system()).expect_err("another program's");
    assert_eq!(fault.message(), "the usage journal's file belongs to another program");
}

#[tokio::test]
async fn a_page_that_was_overwritten_is_found_when_the_journal_is_opened() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    for _ in 0..200 {
        journal.begin(start()).expect("begins").settle(Outcome::Completed, None, 0).await.expect("settles");
    }
    journal.close().await.expect("closes");
    let path = folder.path().join(FILE);
    let mut bytes = std::fs::read(&path).expect("reads");
    let rows = one_text(folder.path(), "SELECT rootpage || '' FROM sqlite_schema WHERE name = 'queries'");
    let page: usize = rows.parse().expect("a page");
    bytes[(page - 1) * 4096..page * 4096].fill(0xa5);
    std::fs::write(&path, bytes).expect("writes");
    let fault = Journal::open(folder.path(), Clock::system()).expect_err("is damaged");
    assert_eq!(fault.message(), "the usage journal is damaged");
}

fn decision(reason: String) -> DecisionRecord {
    DecisionRecord {
        decided_at: noon(),
        query_id: QueryId::generate(),
        principal: PrincipalName::new("ann"),
        consumer_domain: DomainName::new("marketing").expect("name"),
        product: "claims.a".into(),
        permitted: true,
        reasons: vec![reason],
        row_filters: vec![],
        masks: vec![],
        policy_revision: "r".into(),
        request: crate::metering::DecisionRequest::default(),
    }
}

#[tokio::test]
async fn decisions_are_durable_with_the_settlement_that_follows() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    account.decided(decision("because".into()));
    account.decided(decision("also".into()));
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
    let copy = as_after_a_kill(folder.path());
    assert_eq!(one_text(copy.path(), "SELECT group_concat(reasons) FROM decisions"), r#"["because"],["also"]"#);
}

#[tokio::test]
async fn a_journal_of_the_first_version_is_brought_up_to_this_one_and_keeps_its_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let account = journal.begin(start()).expect("begins");
    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 5);
    account.settle(Outcome::Completed, None, 1).await.expect("settles");
    journal.close().await.expect("closes");
    // What version 1 had not.
    let old = Connection::open(folder.path().join(FILE)).expect("opens");
    old.execute_batch(
        "ALTER TABLE queries DROP COLUMN statement; ALTER TABLE decisions DROP COLUMN request; DROP INDEX usage_by_month;
         DROP INDEX usage_volumes; DROP TRIGGER closed_usage; DROP TABLE statement_lines; DROP TABLE statements; DROP TABLE closes; DROP TABLE corrections; DROP TRIGGER usage_adds_up; DROP TABLE usage_months; ALTER TABLE usage DROP COLUMN month; ALTER TABLE usage DROP COLUMN bytes_charged;
         ALTER TABLE usage DROP COLUMN volume_before; ALTER TABLE usage DROP COLUMN workload; ALTER TABLE usage DROP COLUMN tags;
         ALTER TABLE queries DROP COLUMN workload; ALTER TABLE queries DROP COLUMN tags; CREATE INDEX usage_by_time ON usage (started_at); PRAGMA user_version = 1",
    )
    .expect("is taken back");
    drop(old);
    let journal = open(folder.path());
    journal.decisions(vec![decision("because".into())]);
    let full = QueryStart { statement: Some("SELECT 'x'".into()), ..start() };
    journal.begin(full).expect("begins").settle(Outcome::Completed, None, 1).await.expect("settles");
    journal.close().await.expect("closes");
    assert_eq!(settled_queries(folder.path()), 2);
    assert_eq!(one_text(folder.path(), "SELECT group_concat(coalesce(statement, 'none'), ', ') FROM queries"), "none, SELECT 'x'");
    assert!(one_text(folder.path(), "SELECT request FROM decisions").contains("\"groups\":[]"));
    assert_eq!(one_text(folder.path(), "SELECT month || ' ' || (bytes_charged IS NULL) FROM usage"), "2026-11 1");
    assert_eq!(
        one_text(folder.path(), "SELECT month || ' ' || cost_center || ' ' || queries || ' ' || bytes_scanned FROM usage_months"),
        "2026-11 CC-1 1 5"
    );
    let operator = Connection::open(folder.path().join(FILE)).expect("opens");
    assert!(operator.execute_batch("UPDATE usage SET month = '2026-12'").is_err());
}

/// What a query of `marketing` is charged that reads so many bytes.
async fn charged(journal: &Journal, price: &Price, outcome: Outcome, bytes: u64) {
    let start = QueryStart { prices: PriceList::of_one("USD", price.clone()), ..start() };
    let account = journal.begin(start).expect("begins");
    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, bytes);
    account.settle(outcome, None, 0).await.expect("settles");
}

#[tokio::test]
async fn tiers_and_allowance_count_the_months_volume_across_restarts_and_not_what_is_not_charged() {
    const TIB: u64 = 1 << 40;
    let folder = tempfile::tempdir().expect("folder");
    let tiers = vec![Tier { above: 3 * TIB, per_tib: 2.into() }];
    let price = Price { free_per_month: TIB, tiers, charge_failed: false, ..standard() };
    let journal = open(folder.path());
    charged(&journal, &price, Outcome::Completed, TIB / 2).await;
    charged(&journal, &price, Outcome::Failed, 9 * TIB).await;
    journal.close().await.expect("closes");
    let journal = open(folder.path());
    charged(&journal, &price, Outcome::Completed, TIB).await;
    charged(&journal, &price, Outcome::Completed, 2 * TIB).await;
    charged(&journal, &price, Outcome::Completed, TIB).await;
    // Half a tebibyte is free, and half of the next; two at five up to three; the rest at two.
    let rows = "SELECT group_concat((volume_before / 549755813888) || ':' || cost_micros, ' ') FROM usage ORDER BY entry";
    assert_eq!(one_text(folder.path(), rows), "0:0 1:0 1:2500000 3:8500000 7:2000000");
}

#[tokio::test]
async fn g5_a_full_disk_refuses_queries_and_nothing_is_lost_once_there_is_room() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path(), noon()).expect("opens");
    store.connection().pragma_update(None, "max_page_count", 200).expect("limits");
    let journal = Journal::over(store, folder.path(), Clock::fixed(noon())).expect("starts");
    let account = journal.begin(start()).expect("begins");
    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 77);

    journal.decisions(vec![decision("x".repeat(600_000))]);
    until(|| one_text(folder.path(), "SELECT count(*) || '' FROM decisions") == "1").await;
    journal.decisions(vec![decision("y".repeat(600_000))]);
    until(|| !journal.is_writable()).await;
    let fault = journal.begin(start()).expect_err("cannot be written");
    assert_eq!((fault.sqlstate(), fault.message()), ("58030", "the usage journal cannot be written"));
    let fault = account.settle(Outcome::Completed, None, 1).await.expect_err("cannot be written");
    assert_eq!(fault.sqlstate(), "58030");

    let operator = Connection::open(folder.path().join(FILE)).expect("opens");
    operator.execute("DELETE FROM decisions", []).expect("makes room");
    until(|| journal.is_writable()).await;
    assert!(matches!(settled(folder.path()).as_slice(), [(_, outcome, 77)] if outcome == "failed"));
    assert_eq!(one_text(folder.path(), "SELECT substr(reasons, 1, 3) FROM decisions"), r#"["y"#);
}

#[tokio::test]
async fn after_a_write_that_failed_for_another_reason_nothing_is_tried_again() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let operator = Connection::open(folder.path().join(FILE)).expect("opens");
    let account = journal.begin(start()).expect("begins");
    account.meter(&port("a"), "1.0.0", "7");
    operator.execute_batch("DROP TABLE usage").expect("breaks it");
    account.settle(Outcome::Completed, None, 1).await.expect_err("cannot be written");
    assert!(!journal.is_writable());
    assert_eq!(journal.begin(start()).expect_err("is broken").sqlstate(), "58030");
    journal.close().await.expect_err("it did not end well");
    assert_eq!(settled_queries(folder.path()), 0);
}

fn settled_queries(folder: &Path) -> usize {
    one_text(folder, "SELECT count(*) || '' FROM queries").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_number_at_once_is_each_settled_exactly_once() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for at in 0..50_u64 {
                    let account = journal.begin(start()).expect("begins");
                    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, at);
                    match (task + at) % 3 {
                        0 => account.settle(Outcome::Completed, None, at).await.expect("settles"),
                        1 => drop(account),
                        _ => account.settle(Outcome::Cancelled, Some("57014"), at).await.expect("settles"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("ends");
    }
    journal.close().await.expect("closes");
    let rows = settled(folder.path());
    assert_eq!(rows.len(), 800);
    assert_eq!(rows.iter().map(|row| row.2).sum::<i64>(), 16 * (0..50).sum::<i64>());
    assert_eq!(one_text(folder.path(), "SELECT count(DISTINCT query_id) || ' ' || count(*) FROM usage"), "800 800");
}

#[tokio::test]
async fn whether_what_did_not_complete_is_charged_is_the_prices_to_say() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    for (charge_failed, outcome) in [(true, Outcome::Failed), (false, Outcome::Failed), (false, Outcome::Completed)] {
        let price = Price { charge_failed, minimum_per_query: 1 << 40, ..standard() };
        let start = QueryStart { prices: PriceList::of_one("USD", price), ..start() };
        let account = journal.begin(start).expect("begins");
        account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, 1);
        account.settle(outcome, None, 0).await.expect("settles");
    }
    assert_eq!(one_text(folder.path(), "SELECT group_concat(cost_micros) FROM usage"), "5000000,0,5000000");
}

#[test]
fn the_ledger_is_not_changed_even_by_hand() {
    let folder = tempfile::tempdir().expect("folder");
    let _journal = open(folder.path());
    let operator = Connection::open(folder.path().join(FILE)).expect("opens");
    operator.execute_batch("INSERT INTO decisions VALUES (1, 0, 'q', 'p', 'd', 'x.y', 1, '[]', '[]', '[]', 'r', NULL)").expect("inserts");
    assert!(operator.execute_batch("UPDATE decisions SET product = 'z'").is_err());
}
