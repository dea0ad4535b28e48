//! A gateway of a test's own: in process, on port 0, with its own catalog, data, users, state and clock.
//!
//! ```ignore
//! let gateway = TestGateway::new().domain("claims").product(YAML).file("claims/a.csv", b"…").user("alice", "claims", &[], &[]).start().await;
//! let rows = gateway.pg("alice").await.query("SELECT 1", &[]).await.unwrap();
//! ```
//!
//! It runs on a runtime of its own, with the stacks that the real one has. Its log goes to the test's output, which is shown when the
//! test fails.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use meshgate::app::{Addresses, App, RunError, STACK_BYTES};
use meshgate::clock::Clock;
use meshgate::config::{Config, Limits, TlsFiles};
use meshgate::identity::ScramVerifier;
use meshgate::identity::users::{UserEntry, add_user, make_verifier, remove_user};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, NoTls};
use tonic::transport::Channel;

/// Everybody's password.
pub const PASSWORD: &str = "demo";

/// A member of `finops-reader`, there in every gateway.
pub const FINANCE: &str = "finance_reader";

const MESH: &str = r#"
apiVersion: datamesh.io/v1
kind: Mesh
metadata: {name: test}
spec:
  currency: USD
  prices: [{id: standard, from: 2026-01-01, perTiB: "5.00", roundTo: 1B, minimumPerQuery: 0B, chargeFailed: true}]
  classifications:
    PII:            {mask: replace-with-null}
    PII.NationalID: {mask: pseudonym, clearGroups: [pii-clear]}
    PII.Email:      {mask: email, clearGroups: [pii-clear]}
    PII.BirthDate:  {mask: truncate-to-year}
  naming: {columns: "[a-z][a-z0-9_]*", timestamps: utc}
"#;

/// What time it is in every test, until it is told otherwise.
pub fn noon() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A gateway that is being set up.
pub struct Builder {
    folder: TempDir,
    clock: Clock,
    config: Box<dyn FnOnce(&mut Config) + Send>,
}

/// A gateway that runs.
pub struct TestGateway {
    folder: TempDir,
    clock: Clock,
    config: Config,
    running: Option<Running>,
}

struct Running {
    addresses: Addresses,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<Result<(), RunError>>>,
    ending: tokio_util::sync::CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TestGateway {
    /// A gateway with a mesh, no domain, and [`FINANCE`] as its only user.
    #[expect(clippy::new_ret_no_self, reason = "a gateway begins as its builder")]
    pub fn new() -> Builder {
        let folder = tempfile::tempdir().unwrap();
        let builder = Builder { folder, clock: Clock::fixed(noon()), config: Box::new(|_| ()) };
        // One key for all: pseudonyms and receipts are the same in two meshes only then.
        let key = builder.folder().join("state/pseudonym.key");
        write(&key, format!("{}=\n", "A".repeat(43)).as_bytes());
        for (path, mode) in [(key.as_path(), 0o600), (&builder.folder().join("state"), 0o700)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        builder.catalog_file("mesh.yaml", MESH).user(FINANCE, "finance", &["finops-reader", "audit-reader"], &[])
    }
}

impl Builder {
    /// A domain whose products lie under `data/<name>/`.
    pub fn domain(self, name: &str) -> Self {
        let yaml = format!(
            "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {name}}}\nspec:\n  owner: {{team: {name}-data, contact: {name}@test.example}}\n  \
             costCenter: CC-{name}\n  region: eu\n  stewards: [{name}-stewards]\n  storage: [{{prefix: \"file:data/{name}/\"}}]\n"
        );
        self.domain_yaml(name, &yaml)
    }

    /// A domain as it is written.
    pub fn domain_yaml(self, name: &str, yaml: &str) -> Self {
        self.catalog_file(&format!("{name}/domain.yaml"), yaml)
    }

    /// A product's manifest, put where its name, domain and version say.
    pub fn product(self, yaml: &str) -> Self {
        let file = product_file(yaml);
        self.catalog_file(&file, yaml)
    }

    /// A file of the catalog.
    pub fn catalog_file(self, path: &str, text: &str) -> Self {
        write(&self.folder.path().join("catalog").join(path), text.as_bytes());
        self
    }

    /// A file of data, under `data/`.
    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        write(&self.folder.path().join("data").join(path), bytes.as_ref());
        self
    }

    /// The folder that holds `catalog/` and `data/`, for what is not a plain file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A user, with the password [`PASSWORD`].
    pub fn user(self, name: &str, domain: &str, groups: &[&str], attributes: &[(&str, &str)]) -> Self {
        put_user(self.folder.path(), name, domain, groups, attributes);
        self
    }

    /// Changes the configuration.
    pub fn config(self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        let before = self.config;
        Self {
            config: Box::new(|config| {
                before(config);
                change(config);
            }),
            ..self
        }
    }

    /// Changes the limits.
    pub fn limits(self, change: impl FnOnce(&mut Limits) + Send + 'static) -> Self {
        self.config(|config| change(&mut config.limits))
    }

    /// TLS on all doors, with a certificate for `localhost` that is its own authority: `tls.crt` in the folder.
    pub fn tls(self) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (self.folder.path().join("tls.crt"), self.folder.path().join("tls.key"));
        write(&cert, made.cert.pem().as_bytes());
        write(&key, made.signing_key.serialize_pem().as_bytes());
        self.config(move |config| config.server.tls = Some(TlsFiles { cert, key, client_ca: None }))
    }

    /// Starts it.
    pub async fn start(self) -> TestGateway {
        meshgate::server::tls::install_provider();
        let log = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error,meshgate=info,buoyant_kernel=off".into());
        // An error is that another test of this process was first.
        let _ = tracing_subscriber::fmt().with_env_filter(log).with_test_writer().with_ansi(false).try_init();
        let path = self.folder.path();
        let mut config = Config::defaults().unwrap();
        for address in [&mut config.server.postgres, &mut config.server.flight, &mut config.server.http] {
            address.set_port(0);
        }
        config.server.region = Some("eu".to_owned());
        config.catalog = path.join("catalog");
        config.state = path.join("state");
        config.users = path.join("identity.yaml");
        config.limits.memory = 256 << 20;
        config.limits.query_memory = 128 << 20;
        (self.config)(&mut config);
        let mut gateway = TestGateway { folder: self.folder, clock: self.clock, config, running: None };
        gateway.run().await;
        gateway
    }
}

impl TestGateway {
    async fn run(&mut self) {
        let (config, clock) = (self.config.clone(), self.clock.clone());
        let (started, starts) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().thread_stack_size(STACK_BYTES).build().unwrap();
            runtime.block_on(async {
                match App::build(config, clock).await {
                    Err(error) => drop(started.send(Err(error.to_string()))),
                    Ok(app) => {
                        let _ = started.send(Ok((app.addresses(), app.ending())));
                        let shutdown = async {
                            let _ = stopped.await;
                        };
                        let _ = end.send(app.run(shutdown).await);
                    }
                }
            });
        });
        let (addresses, ending) = starts.await.unwrap().unwrap_or_else(|error: String| panic!("the gateway does not start: {error}"));
        self.running = Some(Running { addresses, stop: Some(stop), ended: Some(ended), ending, thread: Some(thread) });
    }

    /// Where the doors are.
    pub fn addresses(&self) -> Addresses {
        self.running.as_ref().expect("it runs").addresses
    }

    /// Gives a file of the catalog another text under the gateway that runs, at once: half of a policy would be another policy.
    pub fn rewrite(&self, file: &str, text: &str) {
        let unfinished = self.folder().join("unfinished");
        std::fs::write(&unfinished, text).unwrap();
        std::fs::rename(unfinished, self.folder().join("catalog").join(file)).unwrap();
    }

    /// The folder that holds `catalog/`, `data/`, `identity.yaml` and `state/`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The users file.
    pub fn users_file(&self) -> PathBuf {
        self.folder.path().join("identity.yaml")
    }

    /// Its clock, to be moved.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Tells it to stop, and does not wait.
    pub fn stop_soon(&mut self) {
        if let Some(stop) = self.running.as_mut().and_then(|running| running.stop.take()) {
            let _ = stop.send(());
        }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(&mut self) -> Result<(), RunError> {
        self.stop_soon();
        let ended = self.running.as_mut().and_then(|running| running.ended.take()).expect("it runs");
        let ended = ended.await.expect("the gateway's thread does not panic");
        let thread = self.running.take().and_then(|mut running| running.thread.take());
        thread.into_iter().for_each(|thread| thread.join().unwrap());
        ended
    }

    /// Stops it and starts it on the same folder. The ports change.
    pub async fn restart(&mut self) {
        self.stop().await.unwrap();
        self.start().await;
    }

    /// Starts it again after [`TestGateway::stop`].
    pub async fn start(&mut self) {
        self.run().await;
    }

    /// Adds a user, or puts another in their place; bites within a second.
    pub fn put_user(&self, name: &str, domain: &str, groups: &[&str], attributes: &[(&str, &str)]) {
        put_user(self.folder.path(), name, domain, groups, attributes);
    }

    /// A PostgreSQL session.
    pub async fn pg(&self, user: &str) -> Pg {
        self.try_pg(user, PASSWORD).await.unwrap_or_else(|error| panic!("{user} cannot log in: {error:?}"))
    }

    /// A PostgreSQL session, if the password is right.
    pub async fn try_pg(&self, user: &str, password: &str) -> Result<Pg, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        let address = self.addresses().postgres;
        config.host(address.ip().to_string()).port(address.port()).user(user).password(password).dbname("mesh");
        config.application_name("harness").connect_timeout(Duration::from_secs(10));
        let (client, mut connection) = config.connect(NoTls).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    heard.lock().unwrap().push(notice);
                }
            }
        });
        Ok(Pg { client, notices })
    }

    /// A Flight SQL session.
    pub async fn flight(&self, user: &str) -> FlightSqlServiceClient<Channel> {
        let mut client = self.flight_stranger().await;
        client.handshake(user, PASSWORD).await.unwrap_or_else(|error| panic!("{user} cannot log in: {error}"));
        client
    }

    /// A Flight client that has not logged in.
    pub async fn flight_stranger(&self) -> FlightSqlServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.addresses().flight)).unwrap();
        FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// All rows of a query over Flight.
    pub async fn flight_rows(&self, user: &str, sql: &str) -> Result<Vec<RecordBatch>, FlightError> {
        let mut client = self.flight(user).await;
        flight_query(&mut client, sql).await
    }

    /// A request to the HTTP door.
    pub async fn http(&self, method: &str, path: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.try_http(&request).await.expect("the HTTP door answers")
    }

    /// A request to the HTTP door as it is written; `None` where nobody answers.
    pub async fn try_http(&self, request: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.addresses().http).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        Answer::parse(&String::from_utf8_lossy(&bytes))
    }

    /// What finance reads in `finops.usage`, oldest first.
    pub async fn ledger(&self) -> Vec<Usage> {
        let client = self.pg(FINANCE).await;
        let sql = "SELECT query_id, principal, consumer_domain, producer_domain, product, bytes_scanned, outcome FROM finops.usage ORDER BY started_at, usage_id";
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter()
            .map(|row| Usage {
                query_id: row.get("query_id"),
                principal: row.get("principal"),
                consumer_domain: row.get("consumer_domain"),
                product: format!("{}.{}", row.get::<_, &str>("producer_domain"), row.get::<_, &str>("product")),
                bytes_scanned: row.get("bytes_scanned"),
                outcome: row.get("outcome"),
            })
            .collect()
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.stop_soon();
        if let Some(mut running) = self.running.take() {
            running.ending.cancel();
            // So that the folder outlives the gateway. A panic in there was told by the test already.
            let _ = running.thread.take().map(std::thread::JoinHandle::join);
        }
    }
}

/// A PostgreSQL session, with the notices that it heard.
pub struct Pg {
    client: tokio_postgres::Client,
    notices: Arc<Mutex<Vec<DbError>>>,
}

impl Pg {
    /// The notices since the last call.
    pub fn take_notices(&self) -> Vec<DbError> {
        std::mem::take(&mut self.notices.lock().unwrap())
    }

    /// The rows of a query by the simple protocol, as text.
    pub async fn text_rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }
}

impl Deref for Pg {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl std::ops::DerefMut for Pg {
    fn deref_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.client
    }
}

/// What the HTTP door answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub query_id: String,
    pub principal: String,
    pub consumer_domain: String,
    pub product: String,
    pub bytes_scanned: i64,
    pub outcome: String,
}

/// All rows of a query.
pub async fn flight_query(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Result<Vec<RecordBatch>, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.expect("an endpoint has a ticket");
        let rows = client.do_get(ticket).await?;
        batches.extend(rows.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

/// Waits until `condition` holds, for at most `limit`.
pub async fn eventually<F: Future<Output = bool>>(limit: Duration, mut condition: impl FnMut() -> F) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    while tokio::time::Instant::now() < deadline {
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    condition().await
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// One verifier is enough: making one is slow on purpose.
fn verifier() -> ScramVerifier {
    static VERIFIER: OnceLock<ScramVerifier> = OnceLock::new();
    VERIFIER.get_or_init(|| make_verifier(&PASSWORD.into()).unwrap()).clone()
}

fn put_user(folder: &Path, name: &str, domain: &str, groups: &[&str], attributes: &[(&str, &str)]) {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let attributes: BTreeMap<_, _> = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let entry = UserEntry::new(name, domain, groups, attributes, verifier()).unwrap();
    let file = folder.join("identity.yaml");
    if file.exists() {
        // An error is that there is none.
        let _ = remove_user(&file, name);
    }
    add_user(&file, entry).unwrap();
}

/// Where a manifest belongs in the catalog.
fn product_file(yaml: &str) -> String {
    let manifest: serde_json::Value = serde_saphyr::from_str(yaml).expect("a manifest is YAML");
    let field = |name: &str| manifest["metadata"][name].as_str().unwrap_or_else(|| panic!("metadata.{name} is missing")).to_owned();
    let version = field("version");
    let major = version.split('.').next().unwrap();
    format!("{}/{}/v{major}.yaml", field("domain"), field("name"))
}
