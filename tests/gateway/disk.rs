//! What a disk does with the journal of a real gateway: flushes that are made, flushes that fail, no room.
//!
//! The disk is `disk.c`, a library between the process and the system's, because the gateway itself must not know that it is tried.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio_postgres::Client;

use crate::harness::{Builder, FINANCE, eventually};
use crate::metering::{Process, connect, with_big};

const READ: &str = "SELECT count(*) FROM shop.small";

/// A disk that can be told what to do.
struct Disk {
    _folder: tempfile::TempDir,
    library: PathBuf,
    plan: PathBuf,
    log: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [library, plan, log] = ["disk.so", "plan", "log"].map(|name| folder.path().join(name));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/disk.c");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl").status();
        assert!(made.unwrap().success());
        Self { _folder: folder, library, plan, log }
    }

    async fn serve(&self, builder: &Builder) -> (Process, u16) {
        let environment = [("LD_PRELOAD", self.library.as_path()), ("DISK_PLAN", &self.plan), ("DISK_LOG", &self.log)];
        Process::serve_in(builder.folder(), "meshgate", "", &environment).await
    }

    fn does(&self, what: &str) {
        std::fs::write(&self.plan, what).unwrap();
    }

    /// How often the journal was flushed.
    fn flushes(&self) -> u64 {
        std::fs::metadata(&self.log).unwrap().len()
    }
}

async fn refused(client: &Client) -> Option<String> {
    client.simple_query(READ).await.err().map(|error| error.as_db_error().expect("an answer").code().code().to_owned())
}

/// What the ledger has of one application's queries: outcome, code and bytes.
async fn recorded(builder: &Builder, application: &str) -> Vec<(String, Option<String>, i64)> {
    let (process, port) = Process::serve(builder.folder()).await;
    let (finance, _connection) = connect(port, FINANCE, "audit").await;
    let sql =
        format!("SELECT outcome, sqlstate, bytes_scanned FROM finops.queries WHERE application_name = '{application}' ORDER BY started_at");
    let rows = finance.query(&sql, &[]).await.unwrap();
    process.stop();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn no_client_is_told_that_a_query_is_complete_before_the_journal_was_flushed() {
    let (disk, builder) = (Disk::new(), with_big());
    let (_process, port) = disk.serve(&builder).await;
    let (client, _connection) = connect(port, "alice", "one by one").await;
    for at in 0..20 {
        let before = disk.flushes();
        client.simple_query(READ).await.unwrap();
        assert!(disk.flushes() > before, "query {at}");
    }
}

#[tokio::test]
async fn after_a_flush_that_failed_nothing_is_admitted_and_the_next_start_has_what_was_acknowledged() {
    let (disk, builder) = (Disk::new(), with_big());
    let small = std::fs::metadata(builder.folder().join("data/shop/small.csv")).unwrap().len() as i64;
    let (process, port) = disk.serve(&builder).await;
    let (client, _connection) = connect(port, "alice", "before").await;
    for _ in 0..5 {
        client.simple_query(READ).await.unwrap();
    }
    let (unlucky, _connection) = connect(port, "alice", "unlucky").await;
    disk.does("broken");
    assert_eq!(refused(&unlucky).await.as_deref(), Some("58030"));
    // What the disk holds is not known any more: that it says it works again changes nothing.
    disk.does("well");
    for _ in 0..3 {
        assert_eq!(refused(&client).await.as_deref(), Some("58030"));
    }
    process.kill();
    assert_eq!(recorded(&builder, "before").await, vec![("completed".to_owned(), None, small); 5]);
    assert!(recorded(&builder, "unlucky").await.len() <= 1, "what was not acknowledged is there once at most");
}

#[tokio::test]
async fn while_the_disk_is_full_nothing_is_admitted_and_what_was_read_before_is_charged_once_there_is_room() {
    let (disk, builder) = (Disk::new(), with_big());
    let small = std::fs::metadata(builder.folder().join("data/shop/small.csv")).unwrap().len() as i64;
    let (process, port) = disk.serve(&builder).await;
    let (client, _connection) = connect(port, "alice", "unlucky").await;
    disk.does("full");
    assert_eq!(refused(&client).await.as_deref(), Some("58030"));
    let (other, _connection) = connect(port, "alice", "meanwhile").await;
    assert_eq!(refused(&other).await.as_deref(), Some("58030"));
    disk.does("well");
    assert!(eventually(Duration::from_secs(10), || async { refused(&other).await.is_none() }).await);
    process.stop();
    assert_eq!(recorded(&builder, "unlucky").await, [("failed".to_owned(), Some("58030".to_owned()), small)]);
}
