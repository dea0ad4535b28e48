use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};

use super::*;
use crate::catalog::Price;
use crate::id::{DomainName, PortId, PortName, PrincipalName, ProductId, ProductName, QueryId};
use crate::metering::{Outcome, Protocol, ReadKind};

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

fn start() -> QueryStart {
    let price = Price {
        id: "standard".into(),
        from: noon().date_naive(),
        per_tib: "5.00".parse().expect("decimal"),
        round_to: 1,
        minimum_per_query: 0,
        charge_failed: true,
    };
    QueryStart {
        query_id: QueryId::generate(),
        started_at: noon(),
        principal: PrincipalName::new("ann"),
        consumer_domain: DomainName::new("marketing").expect("name"),
        cost_center: Some("CC-1".into()),
        purpose: None,
        protocol: Protocol::Postgres,
        application_name: Some("psql".into()),
        statement_digest: "00".into(),
        queued_ms: 0,
        price: Some((price, "USD".into())),
        max_scan_bytes: None,
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

use std::time::Duration;

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
    drop(account);
    meter.add(ReadKind::Data, 99);
    assert_eq!(settled(folder.path()), []);
    drop(meter);
    until(|| !settled(folder.path()).is_empty()).await;
    assert!(matches!(settled(folder.path()).as_slice(), [(_, outcome, 99)] if outcome == "cancelled"));
}
