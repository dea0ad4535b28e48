//! The HTTP door, starting, draining and stopping.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use meshgate::identity::users::{UserEntry, add_user, make_verifier};

use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::{TestGateway, eventually};

const ORDERS: &str = "
apiVersion: datamesh.io/v1
kind: DataProduct
metadata:
  name: orders
  domain: shop
  version: 1.0.0
  description: One row per order.
  owner: {team: shop, contact: shop@test.example}
  status: active
spec:
  outputPorts:
    - name: files
      format: csv
      location: file:data/shop/orders.csv
      options: {header: true}
      schema: [{name: id, type: bigint}, {name: amount, type: bigint}]
  sla: {freshness: 1h}
  policies: {access: public}
";

fn shop() -> crate::harness::Builder {
    TestGateway::new().domain("shop").product(ORDERS).file("shop/orders.csv", "id,amount\n1,10\n2,20\n").user("alice", "shop", &[], &[])
}

#[tokio::test]
async fn health_readiness_and_metrics_are_there() {
    let gateway = shop().start().await;
    let health = gateway.http("GET", "/healthz").await;
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok"}"#));
    let ready = gateway.http("GET", "/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, r#"{"status":"ready"}"#));

    gateway.try_pg("alice", "wrong").await.err().expect("a wrong password is refused");
    let client = gateway.pg("alice").await;
    client.simple_query("SELECT * FROM shop.orders").await.unwrap();
    let metrics = gateway.http("GET", "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("application/openmetrics-text"), "{}", metrics.head);
    for line in [
        "meshgate_logins_failed_total{protocol=\"postgres\"} 1",
        "meshgate_connections{protocol=\"postgres\"} 1",
        "meshgate_queries_total{protocol=\"postgres\",outcome=\"completed\"} 1",
        "meshgate_decisions_total{decision=\"permit\"} 1",
        "meshgate_bytes_scanned_total 20",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\nis not in\n{}", metrics.body);
    }
}

#[tokio::test]
async fn anything_else_is_a_json_error() {
    let gateway = shop().start().await;
    let missing = gateway.http("GET", "/products").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.body, r#"{"error":{"code":"NOT_FOUND","sqlstate":"0A000","message":"there is nothing at /products"}}"#);
    let posted = gateway.http("POST", "/healthz").await;
    assert_eq!(posted.status, 405);
    assert!(posted.body.contains("METHOD_NOT_ALLOWED"), "{}", posted.body);
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_cut_off() {
    let gateway = shop().limits(|limits| limits.login_timeout = Duration::from_millis(200)).start().await;
    let begun = Instant::now();
    let _ = gateway.try_http("GET /healthz HTTP/1.1\r\nHost: x\r\n").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Rows of a product that is larger than what sockets hold.
const BIG_ROWS: usize = 200_000;

/// A shop with a big product.
fn big_shop() -> crate::harness::Builder {
    let manifest = ORDERS.replace("orders", "big").replace("{name: amount, type: bigint}", "{name: note, type: text}");
    let note = "n".repeat(100);
    let rows: String = (0..BIG_ROWS).map(|id| format!("{id},{note}\n")).collect();
    shop().product(&manifest).file("shop/big.csv", format!("id,note\n{rows}"))
}

/// A query of everything in the big product, of which one row was read.
async fn begun(client: &crate::harness::Pg) -> std::pin::Pin<Box<tokio_postgres::RowStream>> {
    let parameters: [&str; 0] = [];
    let mut rows = Box::pin(client.query_raw("SELECT id, note FROM shop.big", parameters).await.unwrap());
    rows.try_next().await.unwrap().expect("a first row");
    rows
}

async fn outcomes(gateway: &TestGateway) -> Vec<(String, String)> {
    gateway.ledger().await.into_iter().map(|usage| (usage.product, usage.outcome)).collect()
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_lets_what_runs_finish() {
    let mut gateway = big_shop().limits(|limits| limits.grace = Duration::from_secs(60)).start().await;
    let (client, idle) = (gateway.pg("alice").await, gateway.pg("alice").await);
    let rows = begun(&client).await;
    gateway.stop_soon();
    let draining = eventually(Duration::from_secs(5), || async { gateway.http("GET", "/readyz").await.status == 503 }).await;
    assert!(draining, "/readyz says so");
    assert_eq!(gateway.http("GET", "/readyz").await.body, r#"{"status":"not ready","reasons":["draining"]}"#);
    assert_eq!(gateway.http("GET", "/healthz").await.status, 200);
    let closed = eventually(Duration::from_secs(5), || async { idle.is_closed() }).await;
    assert!(closed, "an idle session is told to go");
    assert!(gateway.try_pg("alice", "demo").await.is_err(), "nobody is let in");
    assert_eq!(rows.try_fold(1, |count, _| async move { Ok(count + 1) }).await.unwrap(), BIG_ROWS);
    gateway.stop().await.unwrap();
    gateway.start().await;
    assert_eq!(outcomes(&gateway).await, [("shop.big".to_owned(), "completed".to_owned())]);
}

#[tokio::test]
async fn what_outlasts_the_grace_period_is_ended_and_charged() {
    let mut gateway = big_shop().limits(|limits| limits.grace = Duration::from_millis(200)).start().await;
    let client = gateway.pg("alice").await;
    let rows = begun(&client).await;
    gateway.stop().await.unwrap();
    let read = rows.try_fold(1, |count, _| async move { Ok(count + 1) }).await;
    assert!(read.is_err(), "the reader is told: {read:?}");
    gateway.start().await;
    let usage = gateway.ledger().await;
    assert_eq!(usage.len(), 1);
    assert!(usage[0].outcome != "completed" && usage[0].outcome != "crashed" && usage[0].bytes_scanned > 0, "{usage:?}");
}

#[tokio::test]
async fn what_was_read_is_in_the_ledger_after_a_restart() {
    let mut gateway = shop().start().await;
    gateway.pg("alice").await.query("SELECT * FROM shop.orders", &[]).await.unwrap();
    let before = gateway.ledger().await;
    gateway.restart().await;
    assert_eq!(gateway.ledger().await, before);
    assert_eq!(before.len(), 1);
    assert_eq!((before[0].product.as_str(), before[0].bytes_scanned, before[0].outcome.as_str()), ("shop.orders", 20, "completed"));
}

/// A TLS connection to a door, by somebody who trusts nobody but the test's certificate.
async fn tls_to(gateway: &TestGateway, mut stream: TcpStream, greet: Option<&[u8]>) -> std::io::Result<TlsStream<TcpStream>> {
    if let Some(greeting) = greet {
        stream.write_all(greeting).await?;
        assert_eq!(stream.read_u8().await?, b'S', "TLS is offered");
    }
    let pem = std::fs::read(gateway.folder().join("tls.crt")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn with_tls_every_door_speaks_it() {
    let gateway = shop().tls().start().await;
    let at = gateway.addresses();

    let mut https = tls_to(&gateway, TcpStream::connect(at.http).await.unwrap(), None).await.unwrap();
    https.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    https.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"status":"ready"}"#), "{answer}");
    let plain = gateway.try_http("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(plain.is_none(), "plain text is not understood: {plain:?}");

    const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    let mut postgres = tls_to(&gateway, TcpStream::connect(at.postgres).await.unwrap(), Some(SSL_REQUEST)).await.unwrap();
    postgres.write_all(b"\0\0\0\x22\0\x03\0\0user\0alice\0database\0mesh\0\0").await.unwrap();
    assert_eq!(postgres.read_u8().await.unwrap(), b'R', "it asks for a password");

    let ca = tonic::transport::Certificate::from_pem(std::fs::read(gateway.folder().join("tls.crt")).unwrap());
    let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    let endpoint = tonic::transport::Channel::from_shared(format!("https://{}", at.flight)).unwrap().tls_config(tls).unwrap();
    let mut flight = arrow_flight::sql::client::FlightSqlServiceClient::new(endpoint.connect().await.unwrap());
    flight.handshake("alice", "demo").await.unwrap();
}

/// The real binary, killed when the test ends.
pub struct Process(pub Child);

impl Process {
    fn serve(folder: &std::path::Path, config: &str) -> Self {
        Self::serve_with(folder, config, &[])
    }

    /// With these variables in its environment.
    pub fn serve_with(folder: &std::path::Path, config: &str, variables: &[(&str, &str)]) -> Self {
        std::fs::write(folder.join("meshgate.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshgate"));
        command.arg("serve").arg("--config").arg(folder.join("meshgate.toml")).env_remove("RUST_LOG").envs(variables.iter().copied());
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The lines that tell where the doors are.
    pub fn addresses(&mut self) -> Vec<String> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines.take(3).map(|line| line.unwrap()).collect()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status().unwrap().success());
    }

    /// The exit code, and what it wrote to standard error.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        std::io::Read::read_to_string(self.0.stderr.as_mut().unwrap(), &mut text).unwrap();
        (self.0.wait().unwrap().code(), text)
    }
}

impl Process {
    /// Waits for its end, whoever reads what it says.
    pub fn wait_quietly(mut self) {
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

/// A folder that the binary can serve.
fn served_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("catalog")).unwrap();
    let mesh = "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: test}\nspec: {currency: USD}\n";
    std::fs::write(folder.path().join("catalog/mesh.yaml"), mesh).unwrap();
    let entry = UserEntry::new("alice", "shop", vec![], Default::default(), make_verifier(&"demo".into()).unwrap()).unwrap();
    add_user(&folder.path().join("identity.yaml"), entry).unwrap();
    folder
}

const PORT_0: &str = "[server]\npostgres = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n";

#[tokio::test]
async fn the_binary_prints_its_doors_and_stops_in_good_order_on_sigterm() {
    let folder = served_folder();
    let mut process = Process::serve(folder.path(), PORT_0);
    let addresses = process.addresses();
    let named = |index: usize, door: &str| {
        let line = addresses.get(index).unwrap_or_else(|| panic!("{door}: {addresses:?}"));
        let (name, address) = line.split_once(' ').unwrap();
        assert_eq!(name, door);
        address.trim().parse::<std::net::SocketAddr>().unwrap()
    };
    let (postgres, _, http) = (named(0, "postgres"), named(1, "flight"), named(2, "http"));
    TcpStream::connect(http).await.unwrap();
    // An idle session does not hold up the end.
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(postgres.port()).user("alice").password("demo").dbname("mesh");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    process.signal("TERM");
    let (code, log) = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains("WARN") && !log.contains("ERROR"), "{log}");
    drop(client);
    let _ = connection.await;
}

#[test]
fn what_cannot_be_started_is_told_in_a_line_with_exit_code_1() {
    let cases: [(&str, &str); 5] = [
        ("[server]\npostgress = 1\n", "meshgate.toml:2:1: unknown key `postgress` in [server]; did you mean `postgres`?"),
        ("[server]\npostgres = \"0.0.0.0:0\"\n", "without TLS"),
        ("[catalog]\nlocation = \"absent\"\n", "absent"),
        ("[identity]\nusers = \"absent.yaml\"\n", "absent.yaml: no such file; make one with `meshgate user add`"),
        ("[server]\ntls = { cert = \"absent.pem\", key = \"absent.pem\" }\n", "absent.pem: No such file"),
    ];
    for (config, message) in cases {
        let folder = served_folder();
        let (code, log) = Process::serve(folder.path(), config).wait();
        assert_eq!(code, Some(1), "{config}{log}");
        let told: Vec<_> = log.lines().filter(|line| line.starts_with("meshgate: ")).collect();
        assert!(told.len() == 1 && told[0].contains(message), "{config}{log}");
    }
}
