//! The published ledger: what is settled is in the table once, whatever becomes of the gateways that publish it.
//!
//! What the table holds is read here from its log and files, by the letter of Delta's protocol, and shares no code with the gateway.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Decimal128Type;
use meshgate::catalog::Location;
use meshgate::config::Publish;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::{Builder, FINANCE, TestGateway, eventually};
use crate::metering::{Process, connect};
use crate::s3::server::{Account, Hold, serve_holding};

/// The rows of a table: usage_id, and the cost in units of 10^-15.
fn rows_of(table: &Path) -> Vec<(String, i128)> {
    let mut files = BTreeSet::new();
    for version in 0.. {
        let Ok(commit) = std::fs::read_to_string(table.join(format!("_delta_log/{version:020}.json"))) else { break };
        for action in commit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            if let Some(path) = action["add"]["path"].as_str() {
                assert!(files.insert(path.to_owned()), "{path} is added twice");
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                assert!(files.remove(path), "{path} is removed and was not there");
            }
        }
    }
    let mut rows = Vec::new();
    for path in files {
        let file = std::fs::File::open(table.join(path.replace("%3D", "="))).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let ids = arrow::compute::cast(batch.column_by_name("usage_id").unwrap(), &arrow::datatypes::DataType::Utf8).unwrap();
            let costs = batch.column_by_name("cost").unwrap().as_primitive::<Decimal128Type>().clone();
            rows.extend((0..batch.num_rows()).map(|at| (ids.as_string::<i32>().value(at).to_owned(), costs.value(at))));
        }
    }
    rows.sort();
    let ids: BTreeSet<_> = rows.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), rows.len(), "each row once");
    rows
}

/// The rows of a journal, the same.
fn settled(state: &Path) -> Vec<(String, i128)> {
    let journal = Connection::open_with_flags(state.join("journal.sqlite"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT (SELECT gateway_id FROM gateway) || '-' || boot || '-' || seq, cost_micros, cost_rest FROM usage";
    let mut statement = journal.prepare(sql).unwrap();
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, i128::from(row.get::<_, i64>(1)?) * 1_000_000_000 + i128::from(row.get::<_, i64>(2)?)));
    let mut rows: Vec<_> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}

fn mesh() -> Builder {
    let product = "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: small\n  domain: shop\n  version: 1.0.0\n  description: Orders.\n  \
         owner: {team: shop, contact: shop@test.example}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: csv\n      \
         location: file:data/shop/small.csv\n      schema: [{name: id, type: bigint}]\n  sla: {freshness: 1h}\n  policies: {access: public}\n";
    TestGateway::new().domain("shop").domain("ops").user("alice", "ops", &[], &[]).product(product).file("shop/small.csv", "id\n1\n2\n3\n")
}

/// Asks so many times.
async fn ask(port: u16, times: usize) {
    let (client, _connection) = connect(port, "alice", "asking").await;
    for _ in 0..times {
        client.query("SELECT * FROM shop.small", &[]).await.unwrap();
    }
}

/// What a gateway shows of all gateways: usage_id and cost as text.
async fn shown(port: u16) -> BTreeMap<String, String> {
    let (client, _connection) = connect(port, FINANCE, "finance").await;
    let rows = client.query("SELECT usage_id, cost::text FROM finops.usage", &[]).await.unwrap();
    let shown: BTreeMap<_, _> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(shown.len(), rows.len(), "each row once");
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_killed_at_random_publish_each_row_once_into_one_table() {
    let builder = mesh();
    let folder = builder.folder().to_owned();
    let config =
        |name: &str| format!("[state]\nlocation = \"state-{name}\"\n[metering]\npublish = \"file:ledger/\"\npublish_every = \"1s\"\n");
    let start = async |name: &str| Process::serve_as(&folder, name, &config(name)).await;
    let mut running = [Some(start("a").await), Some(start("b").await)];
    for round in 0..8 {
        for (_, port) in running.iter().flatten() {
            ask(*port, 3).await;
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..1500))).await;
        let who = round % 2;
        running[who].take().unwrap().0.kill();
        running[who] = Some(start(["a", "b"][who]).await);
    }
    let ports: Vec<u16> = running.iter().flatten().map(|(_, port)| *port).collect();
    let mut all = [settled(&folder.join("state-a")), settled(&folder.join("state-b"))].concat();
    all.sort();
    assert!(all.len() >= 48, "{}", all.len());
    let ids: Vec<&String> = all.iter().map(|(id, _)| id).collect();
    // Each shows the rows of both, once both have published and looked.
    for port in ports {
        let together = || async { shown(port).await.keys().collect::<Vec<_>>() == ids };
        assert!(eventually(Duration::from_secs(20), together).await);
    }
    for (process, _) in running.into_iter().flatten() {
        process.stop();
    }
    assert_eq!(rows_of(&folder.join("ledger")), all);
}

/// A kind of PUT, by key and body.
type Which = fn(&str, &[u8]) -> bool;

fn is_data(key: &str, _: &[u8]) -> bool {
    key.contains("gateway_id=")
}

fn is_append(key: &str, body: &[u8]) -> bool {
    key.ends_with(".json") && contains(body, b"\"WRITE\"")
}

fn is_checkpoint(key: &str, _: &[u8]) -> bool {
    key.contains(".checkpoint")
}

fn is_compaction(key: &str, body: &[u8]) -> bool {
    key.ends_with(".json") && contains(body, b"\"OPTIMIZE\"")
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|found| found == word)
}

/// The first commit of a table that makes a checkpoint of every third one, and whose other columns its gateways have to add.
fn first_commit() -> String {
    let column = |(name, kind): &(&str, &str)| json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let columns: Vec<_> = [("journal_entry", "long"), ("usage_id", "string"), ("gateway_id", "string")].iter().map(column).collect();
    let metadata = json!({"metaData": {
        "id": "6e2b1ad8-9d0d-4f43-8b6f-4d3dc0f27c13", "format": {"provider": "parquet", "options": {}},
        "schemaString": json!({"type": "struct", "fields": columns}).to_string(), "partitionColumns": ["gateway_id"],
        "configuration": {"delta.checkpointInterval": "3"}, "createdTime": 1_700_000_000_000_i64,
    }});
    format!("{}\n{metadata}\n", json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_point_of_publishing_to_s3_each_row_is_there_once() {
    let builder = mesh();
    let folder = builder.folder().to_owned();
    let table = folder.join("s3/finance-bucket/ledger");
    std::fs::create_dir_all(table.join("_delta_log")).unwrap();
    std::fs::write(table.join("_delta_log/00000000000000000000.json"), first_commit()).unwrap();
    let account = Account { secret: "secret-of-the-ledger".into(), token: None, bucket: "finance-bucket".into() };
    let hold = Hold::default();
    let storage = serve_holding(folder.join("s3"), HashMap::from([("LEDGERKEY".to_owned(), account)]), hold.clone()).await;
    std::fs::write(folder.join("key"), "LEDGERKEY").unwrap();
    std::fs::write(folder.join("secret"), "secret-of-the-ledger").unwrap();
    let config = format!(
        "[metering]\npublish = \"s3://finance-bucket/ledger/\"\npublish_credentials = \"ledger\"\npublish_every = \"1s\"\n\
         [credentials.ledger]\ntype = \"s3\"\naccess_key_id = {{ file = \"key\" }}\nsecret_access_key = {{ file = \"secret\" }}\n\
         endpoint = \"http://{storage}\"\nallow_http = true\n"
    );
    let points: [(&str, Which); 4] =
        [("data", is_data), ("append", is_append), ("checkpoint", is_checkpoint), ("compaction", is_compaction)];
    for (point, which) in points {
        for stored in [false, true] {
            let (process, port) = Process::serve_as(&folder, "meshgate", &config).await;
            let asking = async {
                loop {
                    ask(port, 1).await;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            };
            tokio::select! {
                () = hold.next(which, stored) => {}
                () = asking => {}
                () = tokio::time::sleep(Duration::from_secs(60)) => panic!("there is no {point}"),
            }
            process.kill();
        }
    }
    let (process, port) = Process::serve_as(&folder, "meshgate", &config).await;
    ask(port, 1).await;
    process.stop();
    assert_eq!(rows_of(&table), settled(&folder.join("state")));
    assert!(table.join("_delta_log/_last_checkpoint").exists());
}

#[tokio::test]
async fn meshgate_reads_the_ledger_that_it_published_and_finds_what_finops_shows() {
    let columns = "[{name: usage_id, type: text}, {name: principal, type: text}, {name: cost, type: \"numeric(38,15)\"}, {name: journal_entry, type: bigint}]";
    let product = format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: ledger\n  domain: shop\n  version: 1.0.0\n  description: Usage.\n  \
         owner: {{team: shop, contact: shop@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: delta\n      \
         location: file:data/shop/ledger/\n      schema: {columns}\n  sla: {{freshness: 1h}}\n  policies: {{access: public}}\n"
    );
    let builder = mesh().product(&product);
    let place = Location::File(builder.folder().join("data/shop/ledger"));
    let publish = Publish { place, credential: None, every: Duration::from_secs(1), keep: None };
    let gateway = builder.config(move |config| config.publish = Some(publish)).start().await;
    let (alice, finance) = (gateway.pg("alice").await, gateway.pg(FINANCE).await);
    for _ in 0..5 {
        alice.query("SELECT * FROM shop.small", &[]).await.unwrap();
    }
    let there = || async {
        alice.query("SELECT 1 FROM shop.ledger WHERE principal = 'alice' LIMIT 5", &[]).await.is_ok_and(|rows| rows.len() == 5)
    };
    assert!(eventually(Duration::from_secs(20), there).await);
    let sum = "SELECT sum(cost)::text FROM shop.ledger l JOIN finops.usage u USING (usage_id) WHERE u.product = 'small'";
    // A query reads products or system tables' rows alike.
    let published = finance.query_one(&sum.replace("sum(cost)", "sum(l.cost)"), &[]).await.unwrap();
    let monthly = finance.query_one("SELECT sum(cost)::text FROM finops.monthly_costs WHERE product = 'small'", &[]).await.unwrap();
    assert_eq!(published.get::<_, &str>(0), monthly.get::<_, &str>(0));
    let metrics = gateway.http("GET", "/metrics").await.body;
    assert!(metrics.contains("meshgate_ledger_failures_total 0"), "{metrics}");
}

#[tokio::test]
async fn a_place_that_is_away_stops_no_query_and_no_view() {
    let builder = mesh();
    // A file where the folder of the log ought to be.
    let place = builder.folder().join("ledger");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("_delta_log"), "in the way").unwrap();
    let publish = Publish { place: Location::File(place.clone()), credential: None, every: Duration::from_secs(1), keep: None };
    let mut gateway = builder.config(move |config| config.publish = Some(publish)).start().await;
    let alice = gateway.pg("alice").await;
    let failing = || async { !gateway.http("GET", "/metrics").await.body.contains("meshgate_ledger_failures_total 0") };
    assert!(eventually(Duration::from_secs(10), failing).await);
    alice.query("SELECT * FROM shop.small", &[]).await.unwrap();
    assert_eq!(gateway.ledger().await.len(), 1);
    std::fs::remove_file(place.join("_delta_log")).unwrap();
    let published = || async { gateway.http("GET", "/metrics").await.body.contains("meshgate_ledger_exported_rows_total 1") };
    assert!(eventually(Duration::from_secs(20), published).await);
    drop(alice);
    gateway.stop().await.unwrap();
    assert_eq!(rows_of(&place).len(), 1);
}
