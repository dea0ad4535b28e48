//! The ledger says what was read, to the byte, however a query ends.
//!
//! What it is compared with is counted here from the files themselves, and shares nothing with the gateway: sizes of text files, and for
//! Parquet the column chunks that the footers list.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::{TryStreamExt, future};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use tokio_postgres::{Client, NoTls, RowStream};

use crate::harness::{Builder, FINANCE, PASSWORD, Pg, TestGateway, eventually};

const ROWS: i64 = 20_000;

/// A public product `shop.<name>` over `data/shop/<location>`.
fn product(name: &str, format: &str, location: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: shop\n  version: 1.0.0\n  description: Orders.\n  \
         owner: {{team: shop, contact: shop@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: {format}\n      \
         location: file:data/shop/{location}\n      schema: [{{name: id, type: bigint}}, {{name: note, type: text}}]\n  sla: {{freshness: 1h}}\n  \
         policies: {{access: public}}\n"
    )
}

fn note(id: i64) -> String {
    format!("note {id} {}", "x".repeat(80))
}

fn csv(ids: impl Iterator<Item = i64>) -> String {
    let lines = ids.map(|id| format!("{id},{}\n", note(id)));
    std::iter::once("id,note\n".to_owned()).chain(lines).collect()
}

fn json(ids: impl Iterator<Item = i64>) -> String {
    ids.map(|id| format!("{{\"id\":{id},\"note\":\"{}\"}}\n", note(id))).collect()
}

fn parquet(ids: impl Iterator<Item = i64> + Clone) -> Vec<u8> {
    let columns: [(&str, ArrayRef); 2] =
        [("id", Arc::new(Int64Array::from_iter_values(ids.clone()))), ("note", Arc::new(StringArray::from_iter_values(ids.map(note))))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3000)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Two commits: the second takes one file away and adds another.
fn delta(builder: Builder) -> Builder {
    let schema = r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}},{\"name\":\"note\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}"#;
    let files = [("a.parquet", parquet(0..5000)), ("gone.parquet", parquet(0..7)), ("b.parquet", parquet(5000..ROWS))];
    let add = |at: usize| {
        let (name, bytes) = &files[at];
        format!(
            r#"{{"add":{{"path":"{name}","partitionValues":{{}},"size":{},"modificationTime":1700000000000,"dataChange":true}}}}"#,
            bytes.len()
        )
    };
    let first = [
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#.to_owned(),
        format!(
            r#"{{"metaData":{{"id":"6e2b1ad8-9d0d-4f43-8b6f-4d3dc0f27c10","format":{{"provider":"parquet","options":{{}}}},"schemaString":"{schema}","partitionColumns":[],"configuration":{{}},"createdTime":1700000000000}}}}"#
        ),
        add(0),
        add(1),
    ];
    let second = [r#"{"remove":{"path":"gone.parquet","deletionTimestamp":1700000000000,"dataChange":true}}"#.to_owned(), add(2)];
    let mut builder = builder.product(&product("of_delta", "delta", "of_delta/"));
    for (name, bytes) in &files {
        builder = builder.file(&format!("shop/of_delta/{name}"), bytes);
    }
    builder
        .file("shop/of_delta/_delta_log/00000000000000000000.json", first.join("\n"))
        .file("shop/of_delta/_delta_log/00000000000000000001.json", second.join("\n"))
}

/// One product for each way in which data lies, all with the same rows.
fn every_format() -> Builder {
    let builder = TestGateway::new()
        .domain("shop")
        .domain("ops")
        .user("alice", "ops", &[], &[])
        .product(&product("one_csv", "csv", "one.csv"))
        .file("shop/one.csv", csv(0..ROWS))
        .product(&product("many_csv", "csv", "many_csv/"))
        .file("shop/many_csv/a.csv", csv(0..3))
        .file("shop/many_csv/b.csv", csv(3..ROWS))
        .product(&product("of_json", "json", "of_json/"))
        .file("shop/of_json/a.json", json(0..7000))
        .file("shop/of_json/b.json", json(7000..ROWS))
        .product(&product("of_parquet", "parquet", "of_parquet/"))
        .file("shop/of_parquet/a.parquet", parquet(0..9000))
        .file("shop/of_parquet/b.parquet", parquet(9000..ROWS));
    delta(builder)
}

/// What the files of a product hold: for text all of it, for Parquet the chunks of the columns.
fn independent_count(data: &Path, files: &[&str], column: Option<usize>) -> i64 {
    let one = |file: &&str| {
        let path = data.join("shop").join(file);
        if path.extension().is_some_and(|extension| extension == "parquet") {
            chunks(&path, column)
        } else {
            path.metadata().unwrap().len() as i64
        }
    };
    files.iter().map(one).sum()
}

fn chunks(path: &Path, column: Option<usize>) -> i64 {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let groups = reader.metadata().row_groups().iter();
    let columns = groups.flat_map(|group| group.columns().iter().enumerate());
    columns.filter(|(at, _)| column.is_none_or(|wanted| wanted == *at)).map(|(_, chunk)| chunk.compressed_size()).sum()
}

const PRODUCTS: [(&str, &[&str]); 5] = [
    ("one_csv", &["one.csv"]),
    ("many_csv", &["many_csv/a.csv", "many_csv/b.csv"]),
    ("of_json", &["of_json/a.json", "of_json/b.json"]),
    ("of_parquet", &["of_parquet/a.parquet", "of_parquet/b.parquet"]),
    ("of_delta", &["of_delta/a.parquet", "of_delta/b.parquet"]),
];

#[tokio::test]
async fn a_full_scan_costs_what_an_independent_count_says_cold_or_warm_alone_or_beside_others_on_either_door() {
    let gateway = every_format().start().await;
    let sessions = future::join_all((0..10).map(|_| gateway.pg("alice"))).await;
    for (name, _) in PRODUCTS {
        let sql = format!("SELECT * FROM shop.{name}");
        for _ in ["cold", "warm"] {
            assert_eq!(sessions[0].query(&sql, &[]).await.unwrap().len() as i64, ROWS);
        }
        future::try_join_all(sessions.iter().map(|session| session.query(&sql, &[]))).await.unwrap();
        let rows: usize = gateway.flight_rows("alice", &sql).await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows as i64, ROWS);
    }
    let ledger = gateway.ledger().await;
    for (name, files) in PRODUCTS {
        let expected = independent_count(&gateway.folder().join("data"), files, None);
        let charged: Vec<_> = ledger.iter().filter(|row| row.product == format!("shop.{name}")).map(|row| row.bytes_scanned).collect();
        assert_eq!(charged, vec![expected; 13], "{name}");
    }
    assert!(ledger.iter().all(|row| row.outcome == "completed" && row.consumer_domain == "ops" && row.principal == "alice"), "{ledger:?}");
}

#[tokio::test]
async fn one_column_of_a_columnar_product_costs_the_chunks_of_that_column() {
    let gateway = every_format().start().await;
    let client = gateway.pg("alice").await;
    for (name, files) in &PRODUCTS[3..] {
        client.query(&format!("SELECT id FROM shop.{name}"), &[]).await.unwrap();
        let expected = independent_count(&gateway.folder().join("data"), files, Some(0));
        assert_eq!(gateway.ledger().await.last().unwrap().bytes_scanned, expected, "{name}");
    }
}

/// What finance sees of the last query that alice ran: outcome, sqlstate, bytes.
async fn last_of_alice(finance: &Pg) -> (String, Option<String>, i64) {
    let sql = "SELECT outcome, sqlstate, bytes_scanned FROM finops.queries WHERE principal = 'alice' ORDER BY query_id DESC LIMIT 1";
    let row = finance.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn a_query_that_fails_is_charged_what_it_read() {
    let gateway = every_format().start().await;
    let (client, finance) = (gateway.pg("alice").await, gateway.pg(FINANCE).await);
    let error = client.query("SELECT 1 / (id - 10000) FROM shop.one_csv", &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("22012"));
    let (outcome, sqlstate, bytes) = last_of_alice(&finance).await;
    assert_eq!((outcome.as_str(), sqlstate.as_deref()), ("failed", Some("22012")));
    let whole = independent_count(&gateway.folder().join("data"), &["one.csv"], None);
    assert!(bytes > 0 && bytes <= whole, "{bytes} of {whole}");
}

#[tokio::test]
async fn a_scan_limit_ends_a_query_before_it_is_passed_and_holds_for_all_its_scans_together() {
    let gateway = every_format().start().await;
    let (client, finance) = (gateway.pg("alice").await, gateway.pg(FINANCE).await);
    let whole = independent_count(&gateway.folder().join("data"), &["one.csv"], None);
    let limit = whole - 1;
    client.batch_execute(&format!("SET meshgate.max_scan_bytes = '{limit}B'")).await.unwrap();
    for (sql, least) in [("SELECT * FROM shop.one_csv", whole / 4), ("SELECT * FROM shop.one_csv JOIN shop.of_json USING (id)", whole / 4)]
    {
        let error = client.query(sql, &[]).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("53400"), "{error:?}");
        let (outcome, sqlstate, bytes) = last_of_alice(&finance).await;
        assert_eq!((outcome.as_str(), sqlstate.as_deref()), ("limit_exceeded", Some("53400")));
        assert!(bytes >= least && bytes <= limit, "{bytes} of {limit}");
    }
    client.batch_execute(&format!("SET meshgate.max_scan_bytes = '{whole}B'")).await.unwrap();
    client.query("SELECT * FROM shop.one_csv", &[]).await.expect("the limit is not passed by reaching it");
    assert_eq!(last_of_alice(&finance).await.2, whole);
}

/// Rows of a result that does not fit into the sockets' buffers, so that a query stays under way for as long as nobody reads it.
const BIG: i64 = 400_000;

pub fn with_big() -> Builder {
    TestGateway::new()
        .domain("shop")
        .domain("ops")
        .user("alice", "ops", &[], &[])
        .user("bob", "shop", &[], &[])
        .product(&product("big", "csv", "big.csv"))
        .file("shop/big.csv", csv(0..BIG))
        .product(&product("small", "csv", "small.csv"))
        .file("shop/small.csv", csv(0..10))
}

/// A connection whose socket is gone when the task is aborted.
pub async fn connect(port: u16, user: &str, application: &str) -> (Client, tokio::task::JoinHandle<()>) {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(PASSWORD).dbname("mesh").application_name(application);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let task = tokio::spawn(async move {
        // It ends with an error when the gateway is killed, and that is what the test is about.
        let _ = connection.await;
    });
    (client, task)
}

/// Starts a query and reads its first row.
async fn begin_reading(client: &Client, sql: &str) -> std::pin::Pin<Box<RowStream>> {
    let mut rows = Box::pin(client.query_raw::<_, i64, _>(sql, []).await.unwrap());
    rows.try_next().await.unwrap().expect("a row");
    rows
}

#[tokio::test]
async fn a_client_that_vanishes_stops_the_scan_within_a_second_and_is_charged_as_cancelled() {
    let gateway = with_big().start().await;
    let finance = gateway.pg(FINANCE).await;
    let (client, connection) = connect(gateway.addresses().postgres.port(), "alice", "vanishing").await;
    let rows = begin_reading(&client, "SELECT * FROM shop.big").await;
    connection.abort();
    let _ = connection.await;
    let gone = Instant::now();
    let settled = eventually(Duration::from_secs(1), || async {
        !finance.query("SELECT 1 FROM finops.queries WHERE principal = 'alice'", &[]).await.unwrap().is_empty()
    });
    assert!(settled.await, "it is not settled {:?} after the client vanished", gone.elapsed());
    drop((rows, client));
    let (outcome, sqlstate, bytes) = last_of_alice(&finance).await;
    assert_eq!((outcome.as_str(), sqlstate.as_deref()), ("cancelled", Some("57014")));
    let whole = independent_count(&gateway.folder().join("data"), &["big.csv"], None);
    assert!(bytes > 0 && bytes < whole, "{bytes} of {whole}");
}

#[tokio::test]
async fn a_cancelled_query_and_one_that_timed_out_are_charged_what_they_read() {
    let gateway = with_big().start().await;
    let finance = gateway.pg(FINANCE).await;
    let whole = independent_count(&gateway.folder().join("data"), &["big.csv"], None);
    let (client, _connection) = connect(gateway.addresses().postgres.port(), "alice", "cancelling").await;
    let rows = begin_reading(&client, "SELECT * FROM shop.big").await;
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    let (outcome, sqlstate, bytes) = last_of_alice(&finance).await;
    assert_eq!((outcome.as_str(), sqlstate.as_deref()), ("cancelled", Some("57014")));
    assert!(bytes > 0 && bytes < whole, "{bytes} of {whole}");

    client.batch_execute("SET statement_timeout = '300ms'").await.unwrap();
    let error = client.query("SELECT count(*) FROM shop.small a, shop.big b, shop.big c WHERE a.id + b.id < c.id", &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    let (outcome, sqlstate, _) = last_of_alice(&finance).await;
    assert_eq!((outcome.as_str(), sqlstate.as_deref()), ("cancelled", Some("57014")));
}

#[tokio::test]
async fn a_refused_query_is_in_the_audit_and_a_query_without_products_in_the_queries() {
    let gateway = with_big().start().await;
    let (client, finance) = (gateway.pg("alice").await, gateway.pg(FINANCE).await);
    client.query("SELECT 1", &[]).await.unwrap();
    assert_eq!(last_of_alice(&finance).await, ("completed".into(), None, 0));
    client.query("SELECT * FROM shop.small", &[]).await.unwrap();
    let sql = "SELECT decision, policy_revision <> '' FROM audit.decisions WHERE principal = 'alice' AND product = 'shop.small'";
    let decision = finance.query_one(sql, &[]).await.unwrap();
    assert_eq!((decision.get::<_, &str>(0), decision.get::<_, bool>(1)), ("permit", true));
    assert_eq!(gateway.ledger().await.len(), 1);
}

#[tokio::test]
async fn costs_are_the_bytes_times_the_price_and_months_add_up() {
    let gateway = every_format().start().await;
    let (client, finance) = (gateway.pg("alice").await, gateway.pg(FINANCE).await);
    client.query("SELECT * FROM shop.one_csv", &[]).await.unwrap();
    client.query("SELECT * FROM shop.of_json", &[]).await.unwrap();
    let rows = finance.text_rows("SELECT bytes_scanned, unit_price, currency, cost FROM finops.usage").await.unwrap();
    let mut sum = rust_decimal::Decimal::ZERO;
    for row in &rows {
        let [bytes, price, currency, cost] = row.as_slice() else { panic!("{row:?}") };
        let number = |text: &Option<String>| text.as_deref().unwrap().parse::<rust_decimal::Decimal>().unwrap();
        assert_eq!((number(price), currency.as_deref()), (rust_decimal::Decimal::from(5), Some("USD")));
        let exact = number(bytes) * number(price) / rust_decimal::Decimal::from(1_u64 << 40);
        assert_eq!(number(cost), exact.round_dp(15));
        sum += number(cost);
    }
    assert_eq!(rows.len(), 2);
    let month = finance
        .text_rows("SELECT month, consumer_domain, cost_center, sum(queries), sum(cost) FROM finops.monthly_costs GROUP BY 1, 2, 3")
        .await;
    let month = month.unwrap();
    let [month] = month.as_slice() else { panic!("{month:?}") };
    let texts: Vec<_> = month.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    assert_eq!(&texts[..4], ["2026-11", "ops", "CC-ops", "2"]);
    assert_eq!(texts[4].parse::<rust_decimal::Decimal>().unwrap(), sum);
}

/// The real binary.
pub struct Process(Child);

impl Process {
    /// Serves `folder`, and answers with the PostgreSQL door's port once it is open.
    pub async fn serve(folder: &Path) -> (Self, u16) {
        Self::serve_as(folder, "meshgate", "").await
    }

    /// The same with a configuration of some name, and with more in it.
    pub async fn serve_as(folder: &Path, name: &str, more: &str) -> (Self, u16) {
        Self::serve_in(folder, name, more, &[]).await
    }

    /// The same in an environment with more in it.
    pub async fn serve_in(folder: &Path, name: &str, more: &str, environment: &[(&str, &Path)]) -> (Self, u16) {
        let config = format!("[server]\npostgres = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n{more}");
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshgate"));
        command.arg("serve").arg("--config").arg(file).env_remove("RUST_LOG").envs(environment.iter().copied());
        let mut process = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
        let stdout = process.0.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
            line
        });
        let line = line.await.unwrap();
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
        (process, port)
    }

    /// `kill -TERM`, and waits until it has gone in good order.
    pub fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for the small product over and over until the gateway is gone, and counts the answers.
async fn ask_on_and_on(port: u16, application: String, answered: Arc<AtomicU64>) {
    let (client, _connection) = connect(port, "bob", &application).await;
    while client.query("SELECT * FROM shop.small", &[]).await.is_ok() {
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_kill_9_amid_20_queries_every_acknowledged_one_is_in_the_ledger_once_and_the_unfinished_are_crashed() {
    let builder = with_big();
    let (process, port) = Process::serve(builder.folder()).await;
    let mut held = Vec::new();
    for at in 0..10 {
        let (client, connection) = connect(port, "alice", &format!("long-{at}")).await;
        let rows = begin_reading(&client, "SELECT * FROM shop.big").await;
        held.push((client, connection, rows));
    }
    let answered: Vec<_> = (0..10).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let asking: Vec<_> = answered
        .iter()
        .enumerate()
        .map(|(at, counter)| tokio::spawn(ask_on_and_on(port, format!("short-{at}"), Arc::clone(counter))))
        .collect();
    let busy = eventually(Duration::from_secs(60), || future::ready(answered.iter().all(|counter| counter.load(Ordering::SeqCst) >= 3)));
    assert!(busy.await, "the short queries are answered");
    // Progress is promised within a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    process.kill();
    for task in asking {
        task.await.unwrap();
    }
    drop(held);

    let (process, port) = Process::serve(builder.folder()).await;
    let (finance, _connection) = connect(port, FINANCE, "audit").await;
    let twice = "SELECT count(*) - count(DISTINCT query_id) FROM finops.queries WHERE application_name <> 'audit'";
    assert_eq!(finance.query_one(twice, &[]).await.unwrap().get::<_, i64>(0), 0);
    let twice = "SELECT query_id, product FROM finops.usage GROUP BY 1, 2 HAVING count(*) > 1";
    assert!(finance.query(twice, &[]).await.unwrap().is_empty());

    let data = builder.folder().join("data");
    let small = independent_count(&data, &["small.csv"], None);
    for (at, answered) in answered.iter().enumerate() {
        let answered = answered.load(Ordering::SeqCst) as i64;
        let of_one = format!(
            "SELECT count(*), min(q.bytes_scanned), max(q.bytes_scanned) FROM finops.queries q
             WHERE application_name = 'short-{at}' AND outcome = 'completed' AND rows_returned = 10"
        );
        let row = finance.query_one(&of_one, &[]).await.unwrap();
        let recorded: i64 = row.get(0);
        // The last one may have been durable without its client being told.
        assert!(recorded == answered || recorded == answered + 1, "{recorded} recorded, {answered} acknowledged");
        assert_eq!((row.get(1), row.get(2)), (small, small));
    }
    let big = independent_count(&data, &["big.csv"], None);
    let long = "SELECT outcome, bytes_scanned FROM finops.usage WHERE application_name LIKE 'long-%'";
    let long = finance.query(long, &[]).await.unwrap();
    assert_eq!(long.len(), 10);
    for row in long {
        let (outcome, bytes): (&str, i64) = (row.get(0), row.get(1));
        assert!(outcome == "crashed" && bytes > 0 && bytes < big, "{outcome} {bytes} of {big}");
    }
    process.kill();
}

#[tokio::test]
async fn the_report_reads_the_journal_beside_a_gateway_that_runs() {
    let builder = with_big();
    let folder = builder.folder().to_owned();
    let (process, port) = Process::serve(&folder).await;
    let (client, _connection) = connect(port, "bob", "psql").await;
    client.query("SELECT * FROM shop.small", &[]).await.unwrap();
    let report = |format: &str, by: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshgate"));
        command.args(["report", "--by", by, "--format", format, "--config"]).arg(folder.join("meshgate.toml"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let small = independent_count(&folder.join("data"), &["small.csv"], None);
    assert!(report("csv", "principal").contains(&format!(",bob,shop,1,{small},")), "{}", report("csv", "principal"));
    assert!(report("table", "product").contains("small"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&report("json", "domain")).unwrap()["totals"][0]["bytes_scanned"], small);
    let wrong = Command::new(env!("CARGO_BIN_EXE_meshgate")).args(["report", "--month", "2026-13"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    process.kill();
}

#[tokio::test]
async fn d2_a_budget_that_blocks_refuses_the_read_that_would_pass_it_on_either_door() {
    let yaml = |monthly: &str| {
        format!(
            "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: sales}}\nspec:\n  owner: {{team: s, contact: s@test.example}}\n  \
             storage: [{{prefix: \"file:data/sales/\"}}]\n  budget: {{monthly: \"{monthly}\", alerts: [50], action: block}}\n"
        )
    };
    // Three quarters of the file's price: it can be read once not even in part, because a text file is one read.
    let text = csv(0..20_000);
    let mesh = "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: dear}\nspec:\n  currency: USD\n  \
                prices: [{id: dear, from: 2026-01-01, perTiB: \"1000000000\"}]\n";
    let whole = text.len() as f64 * 1e9 / (1_u64 << 40) as f64;
    let gateway = TestGateway::new()
        .domain("shop")
        .catalog_file("mesh.yaml", mesh)
        .domain_yaml("sales", &yaml(&format!("{:.2}", whole * 0.75)))
        .product(&product("of_csv", "csv", "of_csv/"))
        .product(&product("filtered", "csv", "of_csv/").replace("access: public", "access: public, rowFilters: [{expression: \"id > 0\"}]"))
        .file("shop/of_csv/a.csv", &text)
        .user("sam", "sales", &[], &[])
        .user("shopper", "shop", &[], &[])
        .start()
        .await;
    let pg = gateway.pg("sam").await;
    for table in ["of_csv", "filtered"] {
        let sql = format!("SELECT count(note) FROM shop.{table}");
        let refused = pg.text_rows(&sql).await.unwrap_err();
        let refused = refused.as_db_error().unwrap();
        assert_eq!((refused.code().code(), refused.message()), ("53400", "the monthly budget of the domain sales is used up"));
        assert!(refused.detail().unwrap().contains(" USD for 2026-11"), "{refused:?}");
        assert!(refused.hint().unwrap().contains("The next month begins on 2026-12-01"), "{refused:?}");
        let flown = gateway.flight_rows("sam", &sql).await.unwrap_err().to_string();
        assert!(flown.contains("the monthly budget of the domain sales is used up"), "{flown}");
    }
    // It is the consumer's budget, and what costs nothing goes on.
    assert!(gateway.pg("shopper").await.text_rows("SELECT count(note) FROM shop.of_csv").await.is_ok());
    assert_eq!(pg.text_rows("SELECT action FROM finops.budgets").await.unwrap(), [[Some("block".to_owned())]]);
    // A budget that was raised holds at once.
    gateway.rewrite("sales/domain.yaml", &yaml(&format!("{:.2}", whole * 10.0)));
    let reads = || async { pg.text_rows("SELECT count(note) FROM shop.of_csv").await.is_ok() };
    assert!(eventually(Duration::from_secs(5), reads).await);
}
