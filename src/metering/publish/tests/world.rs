//! Gateways' state folders and a table, in a temporary folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use deltalake::DeltaTable;
use futures::{TryStreamExt, future};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;

use super::super::table::{PublishedTable, fields, log_in};
use super::super::{Publisher, Rhythm};
use crate::catalog::Price;
use crate::clock::Clock;
use crate::id::{DomainName, PortId, PortName, PrincipalName, ProductId, ProductName};
use crate::metering::ledger::{Column, Ledger, Walk, published};
use crate::metering::{Journal, Outcome, PriceList, Protocol, QueryStart, ReadKind};
use crate::telemetry::Metrics;

/// A row as it is told apart: gateway, entry, usage_id, and what it costs in units of 10^-15.
pub type Row = (String, i64, String, i128);

/// A runtime of its own for each life of a gateway: what is under way ends with it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

pub struct World {
    folder: TempDir,
    pub clock: Clock,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("table")).expect("makes");
        Self { folder, clock: Clock::fixed("2026-11-20T12:00:00Z".parse().expect("a time")) }
    }

    pub fn copy_of(other: &Self) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        copy_folder(other.folder.path(), folder.path());
        Self { folder, clock: other.clock.clone() }
    }

    pub fn table(&self) -> PathBuf {
        self.folder.path().join("table")
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(LocalFileSystem::new_with_prefix(self.table()).expect("a store"))
    }

    pub fn gateway(&self, name: &str) -> Gateway {
        Gateway::in_folder(&self.folder.path().join(name), self)
    }

    /// What the journals have, of gateways that need not run.
    pub fn all_of(&self, names: &[&str]) -> Vec<Row> {
        let mut rows: Vec<Row> =
            names.iter().flat_map(|name| rows(&self.folder.path().join(name).join("journal.sqlite"), "main.usage")).collect();
        rows.sort();
        rows
    }

    pub fn has_checkpoint(&self) -> bool {
        self.table().join("_delta_log/_last_checkpoint").is_file()
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("makes");
    for entry in std::fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("kind").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

pub struct Gateway {
    pub journal: Journal,
    state: PathBuf,
    store: Arc<dyn ObjectStore>,
    clock: Clock,
}

impl Gateway {
    pub fn in_folder(state: &Path, world: &World) -> Self {
        let journal = Journal::open(state, world.clock.clone()).expect("opens");
        Self { journal, state: state.to_owned(), store: world.store(), clock: world.clock.clone() }
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn publisher(&self) -> Publisher {
        self.publisher_to(Arc::clone(&self.store))
    }

    pub fn publisher_to(&self, store: Arc<dyn ObjectStore>) -> Publisher {
        self.publisher_with(store, Rhythm { every: Duration::from_secs(1), keep: None })
    }

    pub fn publisher_with(&self, store: Arc<dyn ObjectStore>, rhythm: Rhythm) -> Publisher {
        Publisher::new(&self.journal, store, rhythm, Metrics::new()).expect("is made")
    }

    /// Settles queries of one row of usage each.
    pub async fn settle(&self, queries: usize) {
        future::join_all((0..queries).map(|at| self.query(at as u64 + 1))).await;
    }

    async fn query(&self, bytes: u64) {
        let price = Price::flat("standard", self.clock.now().date_naive(), "5.00".parse().expect("decimal"));
        let domain = |name| DomainName::new(name).expect("name");
        let start = QueryStart {
            principal: PrincipalName::new("someone"),
            cost_center: Some("CC-1".into()),
            protocol: Protocol::Flight,
            application_name: Some("notebook".into()),
            statement_digest: "d1".into(),
            queued_ms: 3,
            prices: PriceList::of_one("USD", price),
            ..QueryStart::for_test(domain("marketing"), self.clock.now())
        };
        let account = self.journal.begin(start).expect("begins");
        let product = ProductId { domain: domain("claims"), product: ProductName::new("fraud").expect("name") };
        let port = PortId { product, major: 1, port: PortName::new("sql").expect("name") };
        account.meter(&port, "1.0.0", "v7").add(ReadKind::Data, bytes << 20);
        account.settle(Outcome::Completed, None, 4).await.expect("settles");
    }

    /// What the journal has.
    pub fn rows(&self) -> Vec<Row> {
        rows(self.journal.path(), "main.usage")
    }

    /// What the finance views show.
    pub fn shown(&self) -> Vec<Row> {
        rows(self.journal.path(), "usage")
    }

    /// What they show of this gateway's own.
    pub fn own_shown(&self) -> Vec<Row> {
        let own = self.journal.gateway_id();
        self.shown().into_iter().filter(|row| row.0 == own).collect()
    }

    /// Whether the sums of the months are those of the rows.
    pub fn adds_up(&self) -> bool {
        const GROUP: &str = "month, consumer_domain, cost_center, producer_domain, product, currency";
        let kept =
            format!("SELECT {GROUP}, sum(queries), sum(bytes_scanned), sum(cost_micros), sum(cost_rest) FROM months GROUP BY {GROUP}");
        let told = format!(
            "SELECT {GROUP}, count(DISTINCT query_id), sum(bytes_from_storage + bytes_from_cache), sum(cost_micros), sum(cost_rest)
             FROM usage GROUP BY {GROUP}"
        );
        let differ = format!("SELECT count(*) FROM (SELECT * FROM ({kept} EXCEPT {told}) UNION ALL SELECT * FROM ({told} EXCEPT {kept}))");
        Ledger::of(&self.journal).number(&differ, &[]).expect("counts") == 0
    }

    pub fn walk(&self) -> Walk {
        Walk::begin(&Ledger::of(&self.journal), published(), "usage", "TRUE", vec![]).expect("begins")
    }
}

/// What a reader's connection finds in a relation, sorted. Others' rows have entries of the copy's own, so theirs are told by the usage_id.
fn rows(journal: &Path, relation: &str) -> Vec<Row> {
    let connection = Ledger::in_folder(journal.parent().expect("a folder")).connect().expect("connects");
    let gateway = if relation == "usage" { "gateway_id" } else { "(SELECT gateway_id FROM gateway)" };
    let sql = format!("SELECT {gateway}, boot, seq, cost_micros, cost_rest FROM {relation}");
    let mut statement = connection.prepare(&sql).expect("prepares");
    let row = |row: &rusqlite::Row<'_>| {
        let (gateway, boot, seq): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let cost = crate::metering::Cost::from_halves(row.get(3)?, row.get(4)?).units();
        let id = format!("{gateway}-{boot}-{seq}");
        Ok((gateway, boot * 1_000_000 + seq, id, cost))
    };
    let mut found: Vec<Row> = statement.query_map([], row).expect("queries").collect::<rusqlite::Result<_>>().expect("reads");
    found.sort();
    found
}

pub fn together(gateways: &[&Gateway]) -> Vec<Row> {
    let mut all: Vec<Row> = gateways.iter().flat_map(|gateway| gateway.rows()).collect();
    all.sort();
    all
}

/// All rows of the table, sorted, as its files say.
pub async fn in_table(store: &Arc<dyn ObjectStore>) -> Vec<Row> {
    let table = PublishedTable::open(store).await.expect("opens");
    let mut found = Vec::new();
    for file in table.files().await.expect("files") {
        let batches: Vec<_> = table.read(&file).await.expect("opens").try_collect().await.expect("reads");
        for batch in batches {
            let text =
                arrow::compute::cast(batch.column_by_name("usage_id").expect("a column"), &arrow::datatypes::DataType::Utf8).expect("text");
            let costs = batch.column_by_name("cost").expect("a column").as_primitive::<Decimal128Type>().clone();
            let entries = batch.column_by_name("journal_entry").expect("a column").as_primitive::<Int64Type>().clone();
            for at in 0..batch.num_rows() {
                let id = text.as_string::<i32>().value(at).to_owned();
                let mut parts = id.rsplit('-').map(|part| part.parse::<i64>());
                let (seq, boot) = (parts.next().expect("seq").expect("seq"), parts.next().expect("boot").expect("boot"));
                assert!(entries.value(at) > 0);
                found.push((file.gateway.clone(), boot * 1_000_000 + seq, id, costs.value(at)));
            }
        }
    }
    found.sort();
    let ids: BTreeSet<_> = found.iter().map(|row| &row.2).collect();
    assert_eq!(ids.len(), found.len(), "each row once");
    found
}

/// A table as a gateway would have made it that does not know of some columns, with a checkpoint of every so many commits.
pub async fn make_table(store: &Arc<dyn ObjectStore>, unknown: &[&str], checkpoint: u32) {
    let known: Vec<Column> = published().iter().filter(|column| !unknown.contains(&column.name)).copied().collect();
    let log = log_in(store).expect("a log");
    let made = DeltaTable::new(log)
        .create()
        .with_columns(fields(&known).expect("fields"))
        .with_partition_columns(["gateway_id"])
        .with_configuration([("delta.appendOnly", Some("true")), ("delta.checkpointInterval", Some(checkpoint.to_string().as_str()))]);
    made.await.expect("makes");
}

pub async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come about");
}
