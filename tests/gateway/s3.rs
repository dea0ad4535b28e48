//! Products on S3: what the ledger says is what the storage served, whatever goes wrong, and nobody reads with another's credential.
//!
//! Between the gateway and a small S3 (`server`) stands a proxy that counts the bodies as it sends them (`proxy`). What is compared:
//!
//! * of a query, whichever way it ends: `bytes_scanned + bytes_metadata` is what the proxy sent for the product, to the byte, and
//!   `storage_requests` is how many answers there were;
//! * `bytes_scanned` is also what the same files cost as local ones;
//! * where answers are spoilt, `bytes_scanned` is that of an undisturbed query, and the proxy has sent that and the spoilt bodies besides:
//!   a range that has to be asked for twice is charged once.
//!
//! Describing a statement reads listings and footers for nobody, so these tests ask by the simple protocol where they count metadata.

pub mod proxy;
pub mod server;

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use futures::{TryStreamExt, future};
use meshgate::config::{CredentialKind, CredentialSettings, Setting};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use tokio_postgres::{NoTls, SimpleQueryMessage, SimpleQueryStream};

use self::proxy::{Proxy, Spoil};
use self::server::Account;
use crate::harness::{Builder, FINANCE, PASSWORD, Pg, TestGateway, eventually};

pub const ROWS: i64 = 12_000;
const SHOP: (&str, &str) = ("SHOPKEYID", "shop-secret-of-the-test");
const VAULT: (&str, &str) = ("VAULTKEYID", "vault-secret-of-the-test");
const TOKEN: &str = "session-token-of-the-test";

/// Products of `shop`: name, format, location, files.
pub const PRODUCTS: [(&str, &str, &str); 5] = [
    ("of_csv", "csv", "of_csv/"),
    ("one_csv", "csv", "one_csv/only.csv"),
    ("of_json", "json", "of_json/"),
    ("of_parquet", "parquet", "of_parquet/"),
    ("of_delta", "delta", "of_delta/"),
];

struct Mesh {
    gateway: TestGateway,
    proxy: Proxy,
}

fn credential(key: (&str, &str), endpoint: &str, more: &[(&'static str, Setting)]) -> CredentialSettings {
    let secret = |text: &str| Setting::Secret(text.to_owned().into());
    let mut settings = BTreeMap::from([
        ("access_key_id", secret(key.0)),
        ("secret_access_key", secret(key.1)),
        ("endpoint", Setting::Text(endpoint.to_owned())),
        ("allow_http", Setting::Flag(true)),
    ]);
    settings.extend(more.iter().cloned());
    CredentialSettings { kind: CredentialKind::S3, settings }
}

/// A public product's manifest.
pub fn product(domain: &str, name: &str, format: &str, location: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: {domain}\n  version: 1.0.0\n  description: Orders.\n  \
         owner: {{team: shop, contact: shop@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: {format}\n      \
         location: {location}\n      schema: [{{name: id, type: bigint}}, {{name: kind, type: text}}, {{name: amount, type: double}}, {{name: note, type: text}}]\n  \
         sla: {{freshness: 1h}}\n  policies: {{access: public}}\n"
    )
}

fn domain(name: &str, storage: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {name}}}\nspec:\n  owner: {{team: {name}, contact: {name}@test.example}}\n  \
         storage: {storage}\n"
    )
}

pub fn kind(id: i64) -> &'static str {
    ["apple", "pear", "plum"][id as usize % 3]
}

pub fn note(id: i64) -> String {
    format!("note {id} {}", "x".repeat(60))
}

fn csv(ids: std::ops::Range<i64>) -> Vec<u8> {
    let lines = ids.map(|id| format!("{id},{},{},{}\n", kind(id), id as f64 / 4.0, note(id)));
    std::iter::once("id,kind,amount,note\n".to_owned()).chain(lines).collect::<String>().into()
}

fn json_lines(ids: std::ops::Range<i64>) -> Vec<u8> {
    let line = |id| format!("{}\n", json!({"id": id, "kind": kind(id), "amount": id as f64 / 4.0, "note": note(id)}));
    ids.map(line).collect::<String>().into()
}

fn parquet(ids: std::ops::Range<i64>) -> Vec<u8> {
    parquet_as(ids, WriterProperties::builder().set_max_row_group_row_count(Some(1000)).build())
}

/// Rows of these ids, in a file that is written so.
pub fn parquet_as(ids: std::ops::Range<i64>, properties: WriterProperties) -> Vec<u8> {
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("kind", Arc::new(StringArray::from_iter_values(ids.clone().map(kind)))),
        ("amount", Arc::new(Float64Array::from_iter_values(ids.clone().map(|id| id as f64 / 4.0)))),
        ("note", Arc::new(StringArray::from_iter_values(ids.map(note)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// The log of a table of these files, one commit for each.
fn delta_log(files: &[(&str, usize)]) -> Vec<(String, String)> {
    let column = |(name, kind): &(&str, &str)| json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let columns: Vec<_> = [("id", "long"), ("kind", "string"), ("amount", "double"), ("note", "string")].iter().map(column).collect();
    let schema = json!({"type": "struct", "fields": columns}).to_string();
    let mut first = format!(
        "{}\n{}\n",
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        json!({"metaData": {
            "id": "6e2b1ad8-9d0d-4f43-8b6f-4d3dc0f27c12", "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
            "partitionColumns": [], "configuration": {}, "createdTime": 1_700_000_000_000_i64,
        }})
    );
    let mut log = Vec::new();
    for (version, (path, size)) in files.iter().enumerate() {
        let add = json!({"add": {
            "path": path, "partitionValues": {}, "size": size, "modificationTime": 1_700_000_000_000_i64, "dataChange": true,
        }});
        log.push((format!("_delta_log/{version:020}.json"), format!("{}{add}\n", std::mem::take(&mut first))));
    }
    log
}

/// `shop` on S3 and `near` over the same files, and `vault` on S3 with a credential of its own.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("of_csv/a.csv".into(), csv(0..10)),
        ("of_csv/deep/b.csv".into(), csv(10..9000)),
        ("of_csv/c.csv".into(), csv(9000..ROWS)),
        ("one_csv/only.csv".into(), csv(0..ROWS)),
        ("one_csv/other.csv".into(), csv(0..5)),
        ("of_json/a.json".into(), json_lines(0..7000)),
        ("of_json/b.json".into(), json_lines(7000..ROWS)),
        ("of_parquet/a.parquet".into(), parquet(0..5000)),
        ("of_parquet/b.parquet".into(), parquet(5000..ROWS)),
    ];
    let tables = [("a.parquet", parquet(0..4000)), ("b.parquet", parquet(4000..ROWS))];
    let log = delta_log(&tables.each_ref().map(|(name, bytes)| (*name, bytes.len())));
    files.extend(tables.into_iter().map(|(name, bytes)| (format!("of_delta/{name}"), bytes)));
    files.extend(log.into_iter().map(|(name, text)| (format!("of_delta/{name}"), text.into_bytes())));
    files.into_iter().map(|(path, bytes)| (format!("shop-data/gold/{path}"), bytes)).collect()
}

/// The mesh that is being set up, and the proxy before its storage.
pub async fn mesh() -> (Builder, Proxy) {
    let mut builder = TestGateway::new()
        .domain("ops")
        .user("alice", "ops", &[], &[])
        .user("bob", "ops", &[], &[])
        .domain_yaml("shop", &domain("shop", "[{prefix: \"s3://shop-data/gold/\", credentials: shop-s3}]"))
        .domain_yaml("near", &domain("near", "[{prefix: \"file:data/shop-data/gold/\"}]"))
        .domain_yaml("vault", &domain("vault", "[{prefix: \"s3a://vault-data/\", credentials: vault-s3}]"))
        .product(&product("vault", "coins", "csv", "s3://vault-data/coins/"))
        .file("vault-data/coins/a.csv", csv(0..100));
    for (name, format, location) in PRODUCTS {
        builder = builder.product(&product("shop", name, format, &format!("s3://shop-data/gold/{location}")));
        builder = builder.product(&product("near", name, format, &format!("file:data/shop-data/gold/{location}")));
    }
    for (path, bytes) in files() {
        builder = builder.file(&path, bytes);
    }
    let account = |key: (&str, &str), token: Option<&str>, bucket: &str| {
        (key.0.to_owned(), Account { secret: key.1.to_owned(), token: token.map(str::to_owned), bucket: bucket.to_owned() })
    };
    let accounts = HashMap::from([account(SHOP, None, "shop-data"), account(VAULT, Some(TOKEN), "vault-data")]);
    let storage = server::serve(builder.folder().join("data"), accounts).await;
    let proxy = Proxy::before(storage).await;
    let endpoint = format!("http://{}", proxy.address);
    let builder = builder.config(move |config| {
        config.credentials.insert("shop-s3".to_owned(), credential(SHOP, &endpoint, &[("timeout", Setting::Time(SILENCE))]));
        let token = Setting::Secret(TOKEN.to_owned().into());
        config.credentials.insert("vault-s3".to_owned(), credential(VAULT, &endpoint, &[("session_token", token)]));
    });
    (builder, proxy)
}

/// How long the storage may say nothing.
const SILENCE: Duration = Duration::from_secs(2);

async fn started() -> Mesh {
    let (builder, proxy) = mesh().await;
    Mesh { gateway: builder.start().await, proxy }
}

/// Of a product, in the ledger: how many queries, data, metadata, requests.
async fn charged(finance: &Pg, product: &str) -> (i64, i64, i64, i64) {
    let sql = format!(
        "SELECT count(DISTINCT query_id), coalesce(sum(bytes_scanned), 0)::bigint, coalesce(sum(bytes_metadata), 0)::bigint,
         coalesce(sum(storage_requests), 0)::bigint FROM finops.usage WHERE producer_domain || '.' || product = '{product}'"
    );
    let row = finance.query_one(&sql, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

/// The ledger of a product is what the proxy served of it.
async fn assert_exact(mesh: &Mesh, finance: &Pg, name: &str) -> (i64, i64) {
    let (bytes, answers) = mesh.proxy.served(&format!("gold/{name}"));
    let (_, data, metadata, requests) = charged(finance, &format!("shop.{name}")).await;
    assert_eq!((data + metadata, requests), (bytes as i64, answers as i64), "{name}: {data} of data, {metadata} of metadata");
    (data, metadata)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_costs_what_the_storage_served_and_what_local_files_cost_cold_or_warm_alone_or_beside_others() {
    let mesh = started().await;
    let sessions = future::join_all((0..4).map(|_| mesh.gateway.pg("alice"))).await;
    let finance = mesh.gateway.pg(FINANCE).await;
    let mut answers = Vec::new();
    for (name, ..) in PRODUCTS {
        let sql = |domain: &str| format!("SELECT count(*), sum(id), min(kind), sum(amount), max(note) FROM {domain}.{name}");
        let near = sessions[0].text_rows(&sql("near")).await.unwrap();
        assert_eq!(near[0][0].as_deref(), Some("12000"));
        for _ in ["cold", "warm"] {
            assert_eq!(sessions[0].text_rows(&sql("shop")).await.unwrap(), near, "{name}");
        }
        let beside = future::try_join_all(sessions.iter().map(|session| async { session.text_rows(&sql("shop")).await })).await.unwrap();
        assert!(beside.iter().all(|rows| *rows == near), "{name}");
        let (data, metadata) = assert_exact(&mesh, &finance, name).await;
        // A single object is not listed: the answer to HEAD has no body.
        assert_eq!(metadata > 0, name != "one_csv", "{name}");
        answers.push((name, data));
    }
    for (name, data) in answers {
        let (_, local, ..) = charged(&finance, &format!("near.{name}")).await;
        assert_eq!(data, 6 * local, "{name}: the same number as local files, six times");
        assert!(local > 0);
        mesh.gateway.flight_rows("alice", &format!("SELECT * FROM shop.{name}")).await.unwrap();
        mesh.gateway.flight_rows("alice", &format!("SELECT * FROM near.{name}")).await.unwrap();
        let (near, shop) = (charged(&finance, &format!("near.{name}")).await, charged(&finance, &format!("shop.{name}")).await);
        assert_eq!(shop.1 - data, near.1 - local, "{name}: and over Flight");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_does_not_end_well_is_charged_what_the_storage_served_for_it() {
    let (builder, proxy) = mesh().await;
    // Several pieces, and more than the sockets to a reader hold.
    let builder =
        builder.file("shop-data/gold/big/big.csv", csv(0..250_000)).product(&product("shop", "big", "csv", "s3://shop-data/gold/big/"));
    let mesh = Mesh { gateway: builder.start().await, proxy };
    let finance = mesh.gateway.pg(FINANCE).await;
    let whole = mesh.gateway.folder().join("data/shop-data/gold/big/big.csv").metadata().unwrap().len() as i64;
    let outcome = async || {
        let sql = "SELECT outcome, bytes_scanned FROM finops.usage WHERE product = 'big' ORDER BY query_id DESC LIMIT 1";
        let row = finance.query_one(sql, &[]).await.unwrap();
        (row.get::<_, String>(0), row.get::<_, i64>(1))
    };
    let mut at_least = 0;
    let mut rows_of_big = 0;
    let mut settled = async |expected: &str, whole_file: bool| {
        rows_of_big += 1;
        let exact = eventually(Duration::from_secs(20), async || {
            let ((bytes, answers), sums) = (mesh.proxy.served("gold/big"), charged(&finance, "shop.big").await);
            sums.0 == rows_of_big && (sums.1 + sums.2, sums.3) == (bytes as i64, answers as i64)
        });
        let exact = exact.await;
        let (sums, served) = (charged(&finance, "shop.big").await, mesh.proxy.served("gold/big"));
        assert!(exact, "{expected}: {sums:?} in the ledger, {served:?} at the proxy");
        let (outcome, _) = outcome().await;
        assert_eq!(outcome, expected);
        let read = sums.1 - std::mem::replace(&mut at_least, sums.1);
        assert!(if whole_file { read == whole } else { read > 0 && read < whole }, "{expected}: {read} of {whole}");
    };

    let pg = mesh.gateway.pg("alice").await;
    pg.text_rows("SELECT count(*) FROM shop.big").await.unwrap();
    settled("completed", true).await;

    let error = pg.text_rows("SELECT sum(1 / (id - 1000)) FROM shop.big").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("22012"), "{error:?}");
    settled("failed", false).await;

    let limit = whole - 1;
    pg.batch_execute(&format!("SET meshgate.max_scan_bytes = '{limit}B'")).await.unwrap();
    let error = pg.text_rows("SELECT count(*) FROM shop.big").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("53400"), "{error:?}");
    settled("limit_exceeded", false).await;
    pg.batch_execute("RESET meshgate.max_scan_bytes").await.unwrap();

    let rows = begin_reading(&pg).await;
    pg.cancel_token().cancel_query(NoTls).await.unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error:?}");
    settled("cancelled", false).await;

    let (vanishing, connection) = connect(&mesh.gateway, "alice").await;
    let rows = begin_reading(&vanishing).await;
    connection.abort();
    let _ = connection.await;
    drop((rows, vanishing));
    settled("cancelled", false).await;
}

/// A connection whose socket is gone when the task is aborted.
async fn connect(gateway: &TestGateway, user: &str) -> (tokio_postgres::Client, tokio::task::JoinHandle<()>) {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(gateway.addresses().postgres.port()).user(user).password(PASSWORD).dbname("mesh");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let task = tokio::spawn(async move {
        // It ends when it is aborted, and with it the socket.
        let _ = connection.await;
    });
    (client, task)
}

/// Starts a query by the simple protocol and reads its first row.
async fn begin_reading(client: &tokio_postgres::Client) -> Pin<Box<SimpleQueryStream>> {
    let mut rows = Box::pin(client.simple_query_raw("SELECT * FROM shop.big").await.unwrap());
    while !matches!(rows.try_next().await.unwrap().expect("a row"), SimpleQueryMessage::Row(_)) {}
    rows
}

/// Numbers that look random and are the same for a seed.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to before `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A statement of a kind that always reads the same.
fn steady(random: &mut Random, domain: &str, names: &[&str; 2]) -> String {
    let [one, other] = names.map(|name| format!("{domain}.{name}"));
    let at = random.below(ROWS as u64);
    match random.below(8) {
        0 => format!("SELECT count(*) FROM {one}"),
        1 => format!("SELECT sum(id), max(note) FROM {one} WHERE id > {at}"),
        2 => format!("SELECT kind, count(*), sum(amount) FROM {one} WHERE kind <> 'pear' GROUP BY kind ORDER BY kind"),
        3 => format!("SELECT a.id FROM {one} a JOIN {other} b ON a.id = b.id WHERE a.id = {at}"),
        4 => format!("SELECT id, amount FROM {one} WHERE amount = {at} / 4.0 ORDER BY id"),
        5 => format!("SELECT note FROM {one} ORDER BY id DESC LIMIT 3"),
        6 => format!("SELECT count(DISTINCT kind) FROM {one} WHERE id IN (SELECT id FROM {other} WHERE id < {at})"),
        _ => format!("SELECT max(id) AS i FROM {one} UNION ALL SELECT min(id) FROM {other} WHERE note LIKE '%{at}%' ORDER BY i"),
    }
}

/// A statement that stops or fails somewhere.
fn unsteady(random: &mut Random, name: &str) -> String {
    let at = random.below(ROWS as u64);
    match random.below(4) {
        0 => format!("SELECT * FROM shop.{name} LIMIT {}", random.below(100) + 1),
        1 => format!("SELECT 1 / (id - {at}) FROM shop.{name}"),
        2 => format!("SELECT note::bigint FROM shop.{name}"),
        _ => format!("SELECT a.note, b.note FROM shop.{name} a, shop.{name} b WHERE a.id < b.id"),
    }
}

/// `MESHGATE_S3_QUERIES=10000` asks more of them, `MESHGATE_SEED=n` others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_the_ledger_is_what_the_storage_served() {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let (queries, seed) = (setting("MESHGATE_S3_QUERIES").unwrap_or(1_000), setting("MESHGATE_SEED").unwrap_or(1));
    let mesh = started().await;
    let finance = mesh.gateway.pg(FINANCE).await;
    let reading = |reader: u64| {
        let mesh = &mesh;
        async move {
            let mut random = Random(seed * 1000 + reader);
            let (alice, mut bob) = (mesh.gateway.pg("alice").await, connect(&mesh.gateway, "bob").await);
            for number in 0..queries / 2 {
                let names = [0, 1].map(|_| PRODUCTS[random.below(PRODUCTS.len() as u64) as usize].0);
                if number % 4 < 3 {
                    let mut again = random.clone();
                    let near = alice.text_rows(&steady(&mut random, "near", &names)).await.unwrap();
                    let sql = steady(&mut again, "shop", &names);
                    assert_eq!(alice.text_rows(&sql).await.unwrap(), near, "{sql}");
                    continue;
                }
                let sql = unsteady(&mut random, names[0]);
                let patience = Duration::from_millis(random.below(120) + 1);
                // It answers, fails or takes too long: then it is cancelled, or its reader is gone.
                if tokio::time::timeout(patience, bob.0.simple_query(&sql)).await.is_err() {
                    if random.below(2) == 0 {
                        bob.0.cancel_token().cancel_query(NoTls).await.unwrap();
                    } else {
                        bob.1.abort();
                    }
                    bob = connect(&mesh.gateway, "bob").await;
                }
            }
        }
    };
    future::join(reading(1), reading(2)).await;
    for (name, ..) in PRODUCTS {
        let exact = eventually(Duration::from_secs(20), async || {
            let ((bytes, answers), sums) = (mesh.proxy.served(&format!("gold/{name}")), charged(&finance, &format!("shop.{name}")).await);
            (sums.1 + sums.2, sums.3) == (bytes as i64, answers as i64)
        });
        let exact = exact.await;
        let (sums, served) = (charged(&finance, &format!("shop.{name}")).await, mesh.proxy.served(&format!("gold/{name}")));
        assert!(exact, "seed {seed}, {name}: {sums:?} in the ledger, {served:?} at the proxy");
    }
    let sql = "SELECT producer_domain, product, sum(bytes_scanned)::bigint FROM finops.usage WHERE principal = 'alice' GROUP BY 1, 2 ORDER BY 1, 2";
    let sums = finance.text_rows(sql).await.unwrap();
    let (near, shop): (Vec<_>, Vec<_>) = sums.iter().partition(|row| row[0].as_deref() == Some("near"));
    assert_eq!(near.iter().map(|row| &row[1..]).collect::<Vec<_>>(), shop.iter().map(|row| &row[1..]).collect::<Vec<_>>());
    assert_eq!(near.len(), PRODUCTS.len());
}

/// Nothing of where the data lies or how it is opened.
fn assert_tells_nothing(text: &str, proxy: &Proxy) {
    let port = proxy.address.port().to_string();
    let secrets =
        [SHOP.0, SHOP.1, VAULT.0, VAULT.1, TOKEN, "shop-data", "vault-data", "gold/", "127.0.0.1", "LEAKYKEY", "leaky-bucket", &port];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

fn told(error: &tokio_postgres::Error) -> (String, String) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    (error.code().code().to_owned(), format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_falters_gives_the_right_answer_for_the_same_price_or_a_clean_error() {
    let mesh = started().await;
    let (pg, finance) = (mesh.gateway.pg("alice").await, mesh.gateway.pg(FINANCE).await);
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redirect = Spoil::Redirect(format!("http://{}/shop-data/gold/of_csv/a.csv", elsewhere.local_addr().unwrap()));
    let healed = [
        ("503", 2, Spoil::Status(503)),
        ("reset", 1, Spoil::Reset(100)),
        ("closed", 1, Spoil::Close(100)),
        ("dripping", 1, Spoil::Drip(100_000, Duration::from_millis(20))),
        ("silent", 1, Spoil::Silence(SILENCE * 3)),
    ];
    let fatal = [
        ("503 for ever", 99, Spoil::Status(503), true),
        ("403", 1, Spoil::Status(403), true),
        ("404", 1, Spoil::Status(404), true),
        ("412", 1, Spoil::Status(412), true),
        ("redirect", 1, redirect, true),
        ("short", 1, Spoil::Short(50), false),
        ("another tag", 1, Spoil::Tag("\"another\"".to_owned()), false),
    ];
    // A Delta table is pinned by its version: its log knows no tags.
    let applies = |name: &str, how: &Spoil| name != "of_delta" || !matches!(how, Spoil::Tag(_));
    for (name, ..) in PRODUCTS {
        let sql = format!("SELECT count(*), sum(id), max(note) FROM shop.{name}");
        let right = pg.text_rows(&sql).await.unwrap();
        let (_, price, ..) = charged(&finance, &format!("shop.{name}")).await;
        let object = format!("shop-data/gold/{name}/");
        let listing = format!("shop-data?gold/{name}/");
        let mut queries = 1;
        for (what, times, how) in &healed {
            for about in [&object, &listing] {
                let before = (charged(&finance, &format!("shop.{name}")).await, mesh.proxy.served(&format!("gold/{name}")).0);
                mesh.proxy.spoil(about, *times, how.clone());
                assert_eq!(pg.text_rows(&sql).await.unwrap(), right, "{name}: {what} of {about}");
                mesh.proxy.behave();
                let now = (charged(&finance, &format!("shop.{name}")).await, mesh.proxy.served(&format!("gold/{name}")).0);
                assert_eq!(now.0.1 - before.0.1, price, "{name}: {what} of {about}");
                let recorded = (now.0.1 + now.0.2) - (before.0.1 + before.0.2);
                assert!(now.1 - before.1 >= recorded as u64, "{name}: {what} of {about}: {recorded} recorded, {} served", now.1 - before.1);
                queries += 1;
            }
        }
        for (what, times, how, of_listings) in fatal.iter().filter(|(_, _, how, _)| applies(name, how)) {
            // A single object is not listed; a listing has no tag.
            let abouts: &[_] = if *of_listings && name != "one_csv" { &[&object, &listing] } else { &[&object] };
            for about in abouts {
                mesh.proxy.spoil(about, *times, how.clone());
                let asked = Instant::now();
                let error = pg.text_rows(&sql).await.expect_err(&format!("{name}: {what} of {about}"));
                let (code, text) = told(&error);
                assert_eq!(code, "58030", "{name}: {what} of {about}: {text}");
                assert!(text.contains(&format!("data of product shop.{name} ")), "{text}");
                assert_tells_nothing(&text, &mesh.proxy);
                assert!(asked.elapsed() < Duration::from_secs(15), "{name}: {what} of {about}: {:?}", asked.elapsed());
                mesh.proxy.behave();
                queries += 1;
            }
        }
        assert_eq!(pg.text_rows(&sql).await.unwrap(), right, "{name}: all is well again");
        let (recorded, ..) = charged(&finance, &format!("shop.{name}")).await;
        assert_eq!(recorded, queries + 1, "each of them is in the ledger");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(200), elsewhere.accept()).await;
    assert!(nobody.is_err(), "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_used_for_its_domains_prefixes_and_nothing_else() {
    let (builder, proxy) = mesh().await;
    let endpoint = format!("http://{}", proxy.address);
    // Each is wrong in its own way: a credential of others, one that there is not, one of another kind, none, a wrong secret.
    let wrong = [
        ("thief", "[{prefix: \"s3://shop-data/gold/\", credentials: kept-s3}]"),
        ("careless", "[{prefix: \"s3://shop-data/gold/\", credentials: lost-s3}]"),
        ("mistaken", "[{prefix: \"s3://shop-data/gold/\", credentials: a-key}]"),
        ("bare", "[{prefix: \"s3://shop-data/gold/\"}]"),
        ("guessing", "[{prefix: \"s3://shop-data/gold/\", credentials: guess-s3}]"),
        // The longest prefix says whose: the credential of the vault has no business in the shop's bucket.
        ("nested", "[{prefix: \"s3://shop-data/\", credentials: shop-s3}, {prefix: \"s3://shop-data/gold/\", credentials: vault-s3}]"),
    ];
    let mut builder = builder.config(move |config| {
        let only = Setting::Text("shop, vault".to_owned());
        config.credentials.insert("kept-s3".to_owned(), credential(SHOP, &endpoint, &[("domains", only)]));
        config.credentials.insert("guess-s3".to_owned(), credential((SHOP.0, "a-wrong-secret"), &endpoint, &[]));
        let key = BTreeMap::from([("secret", Setting::Secret("0123456789abcdef".to_owned().into()))]);
        config.credentials.insert("a-key".to_owned(), CredentialSettings { kind: CredentialKind::Key, settings: key });
    });
    for (name, storage) in wrong {
        builder = builder.domain_yaml(name, &domain(name, storage)).product(&product(name, "taken", "csv", "s3://shop-data/gold/of_csv/"));
    }
    let mesh = Mesh { gateway: builder.start().await, proxy };
    let (pg, finance) = (mesh.gateway.pg("alice").await, mesh.gateway.pg(FINANCE).await);
    for (name, _) in wrong {
        let (code, text) = told(&pg.text_rows(&format!("SELECT count(*) FROM {name}.taken")).await.unwrap_err());
        assert_eq!(code, "58030", "{name}: {text}");
        assert!(text.contains(&format!("data of product {name}.taken ")), "{text}");
        assert_tells_nothing(&text, &mesh.proxy);
    }
    assert_eq!(pg.text_rows("SELECT count(*) FROM shop.of_csv").await.unwrap(), [[Some("12000".to_owned())]]);
    assert_eq!(pg.text_rows("SELECT count(*) FROM vault.coins").await.unwrap(), [[Some("100".to_owned())]], "s3a is s3");
    let exchanges = mesh.proxy.exchanges();
    let good = exchanges.iter().filter(|exchange| (200..300).contains(&exchange.status));
    for exchange in good {
        let owner = if exchange.path.starts_with("shop-data") { SHOP.0 } else { VAULT.0 };
        assert_eq!(exchange.access_key, owner, "{exchange:?}");
        assert_eq!(exchange.head.contains(TOKEN), owner == VAULT.0, "a session's token goes with its own key");
        assert!(!exchange.head.contains(SHOP.1) && !exchange.head.contains(VAULT.1), "no secret goes over the wire");
    }
    // Who has no credential asks nothing; the others were refused by the storage, and nothing of the shop was read with the vault's key.
    assert_eq!(exchanges.iter().filter(|exchange| exchange.status == 403).count(), 2, "{exchanges:?}");
    let problems = finance.text_rows("SELECT file, message FROM mesh.problems ORDER BY file").await.unwrap();
    let problems: Vec<_> = problems.iter().map(|row| format!("{}: {}", row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    for (name, why) in
        [("thief", "not for this domain"), ("careless", "does not have"), ("mistaken", "not of the type"), ("bare", "names no credential")]
    {
        assert!(problems.iter().any(|line| line.starts_with(&format!("{name}/domain.yaml")) && line.contains(why)), "{name}: {problems:?}");
    }
    let sound = |line: &&String| line.contains("credential") && (line.starts_with("shop/") || line.starts_with("vault/"));
    assert_eq!(problems.iter().find(sound), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_storage_fails_its_own_products_soon_and_no_others() {
    let (builder, proxy) = mesh().await;
    // Nobody listens at the one; at the other somebody does and never says a word.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = mute.local_addr().unwrap();
    let mut builder = builder.config(move |config| {
        for (name, address) in [("dead-s3", closed), ("mute-s3", silent)] {
            let settings = credential(SHOP, &format!("http://{address}"), &[("timeout", Setting::Time(SILENCE))]);
            config.credentials.insert(name.to_owned(), settings);
        }
    });
    for name in ["dead", "mute"] {
        builder = builder
            .domain_yaml(name, &domain(name, &format!("[{{prefix: \"s3://shop-data/gold/\", credentials: {name}-s3}}]")))
            .product(&product(name, "table", "delta", "s3://shop-data/gold/of_delta/"));
    }
    let mesh = Mesh { gateway: builder.start().await, proxy };
    let pg = mesh.gateway.pg("alice").await;
    let failing = async |name: &str| {
        let pg = mesh.gateway.pg("bob").await;
        let asked = Instant::now();
        let (code, text) = told(&pg.text_rows(&format!("SELECT count(*) FROM {name}.table")).await.unwrap_err());
        assert_eq!(code, "58030", "{text}");
        assert_tells_nothing(&text, &mesh.proxy);
        assert!(!text.contains(&closed.port().to_string()) && !text.contains(&silent.port().to_string()), "{text}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    };
    let beside = async {
        for (name, ..) in PRODUCTS {
            assert_eq!(pg.text_rows(&format!("SELECT count(*) FROM shop.{name}")).await.unwrap(), [[Some("12000".to_owned())]]);
        }
    };
    future::join3(failing("dead"), failing("mute"), beside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_under_a_query_is_an_error_and_what_lies_beside_a_product_is_out_of_reach() {
    let (builder, proxy) = mesh().await;
    let log = delta_log(&[("../of_parquet/a.parquet", 1000)]).remove(0);
    let builder = builder
        .file("shop-data/gold/big/big.csv", csv(0..250_000))
        .product(&product("shop", "big", "csv", "s3://shop-data/gold/big/"))
        .file(&format!("shop-data/gold/climbing/{}", log.0), &log.1)
        .product(&product("shop", "climbing", "delta", "s3://shop-data/gold/climbing/"))
        .product(&product("shop", "nothing", "parquet", "s3://shop-data/gold/nothing/"))
        .product(&product("shop", "gone", "csv", "s3://shop-data/gold/gone.csv"));
    let mesh = Mesh { gateway: builder.start().await, proxy };
    let pg = mesh.gateway.pg("alice").await;
    for name in ["climbing", "nothing", "gone"] {
        let (code, text) = told(&pg.text_rows(&format!("SELECT * FROM shop.{name}")).await.unwrap_err());
        assert_eq!(code, "58030", "{name}: {text}");
        assert_tells_nothing(&text, &mesh.proxy);
    }
    assert_eq!(mesh.proxy.served("of_parquet").1, 0, "nothing beside the product was asked for");

    let file = mesh.gateway.folder().join("data/shop-data/gold/big/big.csv");
    let rows = begin_reading(&pg).await;
    let unfinished = mesh.gateway.folder().join("unfinished");
    std::fs::write(&unfinished, csv(1..250_001)).unwrap();
    std::fs::rename(&unfinished, &file).unwrap();
    let (code, text) = told(&rows.try_collect::<Vec<_>>().await.unwrap_err());
    assert_eq!(code, "58030", "{text}");
    assert_eq!(
        pg.text_rows("SELECT max(id) FROM shop.big").await.unwrap(),
        [[Some("250000".to_owned())]],
        "the next query reads what is there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_secrets_nor_places_are_in_the_log_or_in_a_table() {
    let (builder, proxy) = mesh().await;
    let folder = builder.folder().to_owned();
    std::fs::write(folder.join("secret"), format!("{}\n", SHOP.1)).unwrap();
    let config = format!(
        "[server]\npostgres = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nregion = \"eu\"\n\
         [credentials.shop-s3]\ntype = \"s3\"\naccess_key_id = {{ env = \"SHOP_KEY\" }}\nsecret_access_key = {{ file = \"secret\" }}\n\
         endpoint = \"http://{}\"\nallow_http = true\ntimeout = \"2s\"\n",
        proxy.address
    );
    std::fs::write(folder.join("meshgate.toml"), config).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_meshgate"));
    command.arg("serve").arg("--config").arg(folder.join("meshgate.toml")).env_remove("RUST_LOG").env("SHOP_KEY", SHOP.0);
    // What other programs would take a credential from is there, and is not looked at.
    command.env("AWS_ACCESS_KEY_ID", "AMBIENTKEY").env("AWS_SECRET_ACCESS_KEY", "ambient").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command.env("http_proxy", "http://127.0.0.1:1").env("HTTP_PROXY", "http://127.0.0.1:1");
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(folder.join("log")).unwrap());
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.take().unwrap()), &mut line).unwrap();
    let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
    let session = async |user: &str| {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user(user).password(PASSWORD).dbname("mesh");
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let (alice, finance) = (session("alice").await, session(FINANCE).await);
    let mut said = String::new();
    for (name, ..) in PRODUCTS {
        let sql = format!("SELECT count(*) FROM shop.{name}");
        assert!(alice.simple_query(&sql).await.is_ok(), "{name}");
        for how in [Spoil::Status(403), Spoil::Status(404), Spoil::Short(10), Spoil::Redirect("http://127.0.0.1:1/".to_owned())] {
            proxy.spoil(&format!("gold/{name}"), 99, how);
            said += &told(&alice.simple_query(&sql).await.unwrap_err()).1;
            proxy.behave();
        }
        proxy.spoil(&format!("gold/{name}"), 1, Spoil::Close(10));
        assert!(alice.simple_query(&sql).await.is_ok(), "{name}");
        for sql in [format!("EXPLAIN VERBOSE SELECT * FROM shop.{name}"), format!("EXPLAIN ANALYZE SELECT count(*) FROM shop.{name}")] {
            said += &format!("{:?}", alice.simple_query(&sql).await.unwrap());
        }
    }
    // The vault's credential is not in this configuration.
    said += &told(&alice.simple_query("SELECT * FROM vault.coins").await.unwrap_err()).1;
    let tables = finance
        .query("SELECT schemaname || '.' || tablename FROM pg_catalog.pg_tables WHERE schemaname IN ('mesh', 'finops', 'audit')", &[]);
    let tables = tables.await.unwrap();
    assert!(tables.len() > 5);
    for table in tables {
        for client in [&alice, &finance] {
            said += &format!("{:?}", client.simple_query(&format!("SELECT * FROM {}", table.get::<_, &str>(0))).await);
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert_tells_nothing(&said.replace("client_addr", ""), &proxy);
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    for reason in ["the storage answered 403 SlowDown", "the storage answered 307", "port=\"shop.of_csv.v1.files\""] {
        assert!(log.contains(reason), "{reason} is not in the log: {log}");
    }
    let addresses: String = log.lines().filter(|line| !line.contains("listening")).map(|line| format!("{line}\n")).collect();
    assert_tells_nothing(&addresses.replace("127.0.0.1", "loopback"), &proxy);
}
