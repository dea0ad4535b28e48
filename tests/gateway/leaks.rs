//! Two gateways that differ only in what a reader may not see must be the same gateway to that reader.
//!
//! Every statement is sent to both worlds, through the simple and the extended protocol and through Flight, and what comes back is
//! compared byte by byte: rows, descriptions, tags, errors, notices, plans, catalog tables, Arrow buffers. Only query ids may differ. And
//! nothing that comes back, nor anything else that the reader can fetch, may hold a canary.
//!
//! What is not compared is what a reader is billed: bytes are the reader's own figures, and they do depend on what was read.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightData, FlightDescriptor};
use base64::Engine;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ArrowWriter;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;
use tonic::{Request, Status};

use crate::harness::{Builder, PASSWORD, TestGateway};

/// In every hidden row, every masked value and every private name.
pub const CANARY: &str = "canary4711";

pub const FORMATS: [&str; 4] = ["csv", "json", "parquet", "delta"];

/// One row of `hr.people_*`: id, name, region, salary, ssn, note.
type Row = (i64, String, &'static str, i64, String, String);

/// What only its owner sees of a world.
#[derive(Clone, Copy)]
pub struct Hidden {
    /// Rows of another region, by name, salary and ssn.
    pub rows: &'static [(&'static str, i64, &'static str)],
    /// What the masked columns of the visible rows hold.
    pub masked: [&'static str; 2],
    /// Whether there is a private product.
    pub secrets: bool,
}

pub const CALM: Hidden = Hidden { rows: &[("nobody", 1, "1")], masked: ["1", "a note"], secrets: false };

/// Everything that makes an expression fail, overflow or match.
pub const HOSTILE: Hidden = Hidden {
    rows: &[
        ("canary4711 (", 100_000, "canary4711 not a number"),
        ("canary4711 [", i64::MAX, "canary4711"),
        ("canary4711 99999999999999999999", i64::MIN, ""),
        ("canary4711 2026-13-45", 0, "canary4711 \\"),
        ("zzz canary4711", 20, "222-22-2222"),
        ("aaa canary4711", 40, "111-11-1111"),
    ],
    masked: ["canary4711 [(", "canary4711 {\"a\":"],
    secrets: true,
};

const NONE: Hidden = Hidden { rows: &[], masked: ["", ""], secrets: false };

fn rows_of(world: Hidden) -> Vec<Row> {
    let visible = [("ann", 10), ("bea", 20), ("cyd", 20), ("dan", 40), ("eve", 30)];
    let mut rows: Vec<Row> = Vec::new();
    for (index, (name, salary)) in visible.into_iter().enumerate() {
        let id = index as i64 + 1;
        rows.push((id, name.into(), "eu", salary, format!("{}{id}", world.masked[0]), format!("{}{id}", world.masked[1])));
        // Hidden rows lie between the visible ones, and share their ids.
        if index % 2 == 0 {
            rows.extend(world.rows.iter().map(|(name, salary, ssn)| (id, (*name).into(), "us", *salary, (*ssn).into(), CANARY.into())));
        }
    }
    rows
}

fn batch(rows: &[Row], with_region: bool) -> RecordBatch {
    let text = |pick: fn(&Row) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(pick))) as ArrayRef;
    let number = |pick: fn(&Row) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(pick))) as ArrayRef;
    let mut columns = vec![
        ("id", number(|r| r.0)),
        ("name", text(|r| &r.1)),
        ("salary", number(|r| r.3)),
        ("ssn", text(|r| &r.4)),
        ("note", text(|r| &r.5)),
    ];
    if with_region {
        columns.insert(2, ("region", text(|r| r.2)));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

fn parquet(rows: &[Row], with_region: bool) -> Vec<u8> {
    let batch = batch(rows, with_region);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn csv(rows: &[Row]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let line = |r: &Row| format!("{},{},{},{},{},{}\n", r.0, quoted(&r.1), r.2, r.3, quoted(&r.4), quoted(&r.5));
    format!("id,name,region,salary,ssn,note\n{}", rows.iter().map(line).collect::<String>())
}

fn json(rows: &[Row]) -> String {
    let line =
        |r: &Row| serde_json::json!({"id": r.0, "name": r.1, "region": r.2, "salary": r.3, "ssn": r.4, "note": r.5}).to_string() + "\n";
    rows.iter().map(line).collect()
}

/// A Delta table by hand: one partition a region, one file a partition.
fn delta(mut builder: Builder, folder: &str, rows: &[Row]) -> Builder {
    let field = |name: &str, kind: &str| serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let fields = [("id", "long"), ("name", "string"), ("region", "string"), ("salary", "long"), ("ssn", "string"), ("note", "string")];
    let schema = serde_json::json!({"type": "struct", "fields": fields.map(|(name, kind)| field(name, kind))});
    let mut log = vec![
        serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        serde_json::json!({"metaData": {"id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema.to_string(), "partitionColumns": ["region"], "configuration": {}, "createdTime": 1_700_000_000_000_i64}}),
    ];
    for region in ["eu", "us"] {
        let part: Vec<Row> = rows.iter().filter(|row| row.2 == region).cloned().collect();
        if part.is_empty() {
            continue;
        }
        let (path, bytes) = (format!("region={region}/part-0.parquet"), parquet(&part, false));
        log.push(serde_json::json!({"add": {"path": path, "partitionValues": {"region": region}, "size": bytes.len(),
            "modificationTime": 1_700_000_000_000_i64, "dataChange": true}}));
        builder = builder.file(&format!("{folder}/{path}"), bytes);
    }
    let log: String = log.iter().map(|action| format!("{action}\n")).collect();
    builder.file(&format!("{folder}/_delta_log/00000000000000000000.json"), log)
}

pub fn manifest(name: &str, format: &str, location: &str, extra: &str, access: &str) -> String {
    format!(
        r#"
apiVersion: datamesh.io/v1
kind: DataProduct
metadata:
  name: {name}
  domain: hr
  version: 1.0.0
  description: People.
  owner: {{team: hr-data, contact: hr@test.example}}
  status: active
spec:
  outputPorts:
    - name: sql
      format: {format}
      location: {location}
      {extra}
      schema:
        - {{name: id, type: bigint}}
        - {{name: name, type: text}}
        - {{name: region, type: text}}
        - {{name: salary, type: bigint}}
        - {{name: ssn, type: text}}
        - {{name: note, type: text}}
  sla: {{freshness: 9y}}
  policies:
    access: {access}
    rowFilters: [{{expression: "region = $region", bind: {{region: principal.attributes.region}}}}]
    masks: [{{column: ssn, mask: mask-to-fixed-value}}, {{column: note, mask: replace-with-null}}]
"#
    )
}

/// `bob` reads all four products of `hr`, filtered and masked, and must not know of a fifth.
pub async fn world(hidden: Hidden) -> TestGateway {
    set_up(hidden).start().await
}

/// The same, not yet started.
pub fn set_up(hidden: Hidden) -> Builder {
    let rows = rows_of(hidden);
    let mut builder = TestGateway::new()
        .domain("hr")
        .domain("sales")
        .product(&manifest("people_csv", "csv", "file:data/hr/people.csv", "options: {header: true}", "restricted"))
        .product(&manifest("people_json", "json", "file:data/hr/people.json", "", "restricted"))
        .product(&manifest("people_parquet", "parquet", "file:data/hr/people.parquet", "", "restricted"))
        .product(&manifest("people_delta", "delta", "file:data/hr/people_delta/", "partitioning: [{field: region}]", "restricted"))
        .file("hr/people.csv", csv(&rows))
        .file("hr/people.json", json(&rows))
        .file("hr/people.parquet", parquet(&rows, true));
    builder = delta(builder, "hr/people_delta", &rows);
    if hidden.secrets {
        builder = builder
            .product(&manifest("secrets", "csv", "file:data/hr/canary4711.csv", "options: {header: true}", "private"))
            .file("hr/canary4711.csv", csv(&rows));
    }
    let groups: Vec<String> = FORMATS.iter().map(|format| format!("dp-hr-people_{format}-reader")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    builder.user("bob", "sales", &groups, &[("region", "eu")])
}

pub const FALLIBLE: [&str; 14] = [
    "1/(salary-100000)",
    "1/(salary-20)",
    "salary * 9223372036854775807",
    "CAST(name AS INT)",
    "CAST(ssn AS BIGINT)",
    "CAST(note AS DATE)",
    "to_timestamp(name)",
    "substr(name, 1, CAST(salary - 50 AS INT))",
    "regexp_like('x', name)",
    "CAST(salary AS DECIMAL(3,1))",
    "repeat(name, CAST(salary AS INT))",
    "chr(CAST(salary AS INT))",
    "(salary % (salary - 10))",
    "ln(salary - 15)",
];

/// Statements about the products; `{t}` is one of them.
const SHAPES: [&str; 24] = [
    "SELECT * FROM {t} ORDER BY id",
    "SELECT * FROM {t} LIMIT 3",
    "SELECT count(*), min(ssn), max(name), min(salary), avg(salary) FROM {t}",
    "SELECT region, count(*) FROM {t} GROUP BY region ORDER BY region",
    "SELECT name FROM {t} ORDER BY salary DESC, id LIMIT 2",
    "SELECT count(*) FROM {t} WHERE region = 'us'",
    "SELECT count(*) FROM {t} WHERE region <> 'eu' OR name LIKE '%canary%'",
    "SELECT count(*) FROM {t} WHERE ssn = '222-22-2222'",
    "SELECT count(*) FROM {t} WHERE note IS NULL",
    "SELECT a.name FROM {t} a JOIN {t} b ON a.ssn = b.ssn AND a.id = b.id ORDER BY 1",
    "SELECT count(*) FROM {t} NATURAL JOIN (VALUES ('111-11-1111'), ('XXXXXXXX')) g(ssn)",
    "SELECT name FROM {t} WHERE EXISTS (SELECT 1 FROM {t} u WHERE u.salary > 50) ORDER BY 1",
    "SELECT (SELECT max(salary) FROM {t}), rank() OVER (ORDER BY salary, id) FROM {t} ORDER BY 2",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN {t} ON {t}.id = r.n) SELECT max(n) FROM r",
    "SELECT id FROM {t} UNION SELECT salary FROM {t} EXCEPT SELECT 10 ORDER BY 1",
    "SELECT string_agg(name, ',' ORDER BY id), array_agg(ssn ORDER BY id) FROM {t}",
    "SELECT nothing FROM {t}",
    "SELECT id + name FROM {t}",
    "SELECT CASE WHEN salary > 50 THEN 1/(salary-100000) ELSE 0 END FROM {t} ORDER BY id",
    "EXPLAIN SELECT name FROM {t} WHERE salary > 5 AND region = 'eu'",
    "EXPLAIN VERBOSE SELECT count(*) FROM {t}",
    "SELECT arrow_metadata(name) FROM {t}",
    "SELECT input_file_name() FROM {t}",
    "SET row_security = off; SELECT * FROM {t}; RESET row_security",
];

/// Statements about what exists, and about a product that does so in one world only.
const NAMES: [&str; 26] = [
    "SELECT * FROM hr.secrets",
    "SELECT * FROM hr.secrets_v1",
    "SELECT * FROM hr.secrets__sql",
    "SELECT nothing FROM hr.secrets",
    "SELECT nothing(1) FROM hr.secrets",
    "SELECT * FROM hr.secrets, nowhere.nothing",
    "SELECT * FROM nowhere.nothing, hr.secrets",
    "SELECT * FROM a.b, hr.secrets, hr.people_csv",
    "WITH c AS (SELECT * FROM hr.secrets) SELECT 1",
    "EXPLAIN SELECT * FROM hr.secrets",
    "PREPARE p AS SELECT * FROM hr.secrets",
    "COPY (SELECT * FROM hr.secrets) TO STDOUT",
    "SELECT 'hr.secrets'::regclass",
    "SELECT to_regclass('hr.secrets')",
    "SELECT has_table_privilege('hr.secrets', 'SELECT')",
    "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2",
    "SELECT * FROM information_schema.columns ORDER BY table_schema, table_name, ordinal_position",
    "SELECT oid, relname, relkind, reltuples FROM pg_catalog.pg_class ORDER BY oid",
    "SELECT attrelid, attname, atttypid, attnotnull FROM pg_catalog.pg_attribute ORDER BY attrelid, attnum",
    "SELECT * FROM pg_catalog.pg_namespace ORDER BY oid",
    "SELECT * FROM mesh.domains ORDER BY 1",
    "SELECT * FROM mesh.products ORDER BY 1, 2, 3",
    "SELECT * FROM mesh.output_ports ORDER BY 1, 2, 3, 4",
    "SELECT * FROM mesh.columns ORDER BY 1, 2, 3, 4, 5",
    "SELECT * FROM mesh.problems ORDER BY 1, 2",
    "SHOW ALL",
];

pub fn statements() -> Vec<String> {
    let table = |index: usize| format!("hr.people_{}", FORMATS[index % FORMATS.len()]);
    let mut all: Vec<String> = NAMES.map(str::to_owned).into();
    for (index, shape) in SHAPES.iter().enumerate() {
        all.push(shape.replace("{t}", &table(index)));
        all.push(shape.replace("{t}", &table(index + 1)));
    }
    for (index, expression) in FALLIBLE.iter().enumerate() {
        let table = table(index);
        all.push(format!("SELECT id, {expression} FROM {table} ORDER BY id"));
        all.push(format!("SELECT id FROM {table} WHERE {expression} IS NOT NULL ORDER BY id"));
        all.push(format!("SELECT count(*) FROM {table} WHERE region = 'eu' AND ({expression}) IS NULL GROUP BY {expression}"));
    }
    all
}

/// A wire between a client and a gateway that keeps what the gateway says.
struct Tap {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    async fn new(gateway: &TestGateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), gateway.addresses().postgres);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_gateway, mut to_gateway) = TcpStream::connect(to).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_gateway).await });
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = from_gateway.read(&mut buffer).await {
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
                if to_client.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        });
        Self { port, heard }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

/// `bob` at one gateway, through all doors.
pub struct Reader {
    pub gateway: TestGateway,
    tap: Tap,
    pub postgres: tokio_postgres::Client,
    flight: FlightServiceClient<tonic::transport::Channel>,
}

impl Reader {
    pub async fn of(hidden: Hidden) -> Self {
        let gateway = world(hidden).await;
        let tap = Tap::new(&gateway).await;
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(tap.port).user("bob").password(PASSWORD).dbname("mesh");
        let (postgres, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        // The login's nonces and keys are nobody's data.
        tap.take();
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", gateway.addresses().flight)).unwrap();
        let flight = FlightServiceClient::new(channel.connect().await.unwrap());
        Self { gateway, tap, postgres, flight }
    }

    pub async fn simple(&mut self, sql: &str) -> Vec<u8> {
        let _ = self.postgres.simple_query(sql).await;
        self.tap.take()
    }

    pub async fn extended(&mut self, sql: &str) -> Vec<u8> {
        let _ = self.postgres.query(sql, &[]).await;
        self.settled().await
    }

    pub async fn copied(&mut self, sql: &str) -> Vec<u8> {
        if let Ok(rows) = self.postgres.copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)")).await {
            rows.for_each(|_| async {}).await;
        }
        self.settled().await
    }

    /// What was heard up to now, with the answers to what the client sent after it had what it wanted (closing a statement).
    pub async fn settled(&mut self) -> Vec<u8> {
        let _ = self.postgres.simple_query("").await;
        self.tap.take()
    }

    pub async fn flown(&mut self, sql: &str) -> Vec<u8> {
        match self.fly(sql).await {
            Ok(messages) => {
                let bytes = |m: FlightData| [&m.data_header[..], b"|", &m.data_body[..], b"|", &m.app_metadata[..], b"\n"].concat();
                messages.into_iter().flat_map(bytes).collect()
            }
            Err(status) => [status.code().to_string().as_bytes(), status.message().as_bytes(), status.details()].concat(),
        }
    }

    async fn fly(&mut self, sql: &str) -> Result<Vec<FlightData>, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = self.flight.get_flight_info(self.signed(descriptor)).await?.into_inner();
        // Who names no product reads no byte of any.
        assert!(info.total_records == -1 && [-1, 0].contains(&info.total_bytes), "{sql}: {} {}", info.total_records, info.total_bytes);
        let mut all = vec![FlightData { data_header: info.schema.clone(), ..FlightData::default() }];
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or_else(|| Status::internal("no ticket"))?;
            all.extend(self.flight.do_get(self.signed(ticket)).await?.into_inner().try_collect::<Vec<_>>().await?);
        }
        Ok(all)
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("bob:{PASSWORD}"));
        request.metadata_mut().insert("authorization", format!("Basic {basic}").parse().unwrap());
        request
    }
}

/// The bytes with every UUID blanked: a query's id is its own.
pub fn canonical(mut bytes: Vec<u8>) -> Vec<u8> {
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    for at in 0..bytes.len().saturating_sub(35) {
        if is_uuid(&bytes[at..at + 36]) {
            bytes[at..at + 36].fill(b'?');
        }
    }
    bytes
}

pub fn readable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().chars().take(1_500).collect()
}

/// What three worlds said to the same statements, and where they differ.
#[derive(Default)]
struct Comparison {
    compared: usize,
    refused: Vec<String>,
    differences: Vec<String>,
}

impl Comparison {
    fn add(&mut self, door: &str, sql: &str, worlds: [Vec<u8>; 3]) {
        let [first, rest @ ..] = worlds.map(canonical);
        for other in rest {
            if first != other {
                self.differences.push(format!("{door}: {sql}\n  {}\n  {}", readable(&first), readable(&other)));
            }
            if holds(&other, CANARY) {
                self.differences.push(format!("{door}: {sql} holds a canary\n  {}", readable(&other)));
            }
        }
        if first.is_empty() {
            self.differences.push(format!("{door}: {sql} says nothing"));
        }
        if first.starts_with(b"E") || holds(&first, "SQLSTATE") {
            self.refused.push(format!("{door}: {sql}\n  {}", readable(&first)));
        }
        self.compared += 1;
    }

    /// Nothing differed, and enough was answered for that to mean something.
    fn assert(self, answered: usize) {
        assert!(self.differences.is_empty(), "{} differences\n{}", self.differences.len(), self.differences.join("\n"));
        let refused = self.refused.len();
        assert!(self.compared >= refused + answered, "{refused} of {} were refused:\n{}", self.compared, self.refused.join("\n"));
    }
}

pub fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

async fn three() -> [Reader; 3] {
    [Reader::of(CALM).await, Reader::of(HOSTILE).await, Reader::of(NONE).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worlds_that_differ_in_what_is_hidden_cannot_be_told_apart_through_postgres() {
    let [mut a, mut b, mut c] = three().await;
    let mut all = Comparison::default();
    for sql in statements() {
        // The client cannot speak COPY in the simple protocol, and does not need to: only a refusal is expected of it here.
        all.add("simple", &sql, [a.simple(&sql).await, b.simple(&sql).await, c.simple(&sql).await]);
        all.add("extended", &sql, [a.extended(&sql).await, b.extended(&sql).await, c.extended(&sql).await]);
    }
    for format in FORMATS {
        let sql = format!("SELECT * FROM hr.people_{format} ORDER BY id");
        all.add("copy", &sql, [a.copied(&sql).await, b.copied(&sql).await, c.copied(&sql).await]);
    }
    all.assert(110);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worlds_that_differ_in_what_is_hidden_cannot_be_told_apart_through_flight() {
    let [mut a, mut b, mut c] = three().await;
    let mut all = Comparison::default();
    for sql in statements() {
        all.add("flight", &sql, [a.flown(&sql).await, b.flown(&sql).await, c.flown(&sql).await]);
    }
    all.assert(60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_the_rows_that_remain_are_the_right_ones_in_every_format() {
    let bob = Reader::of(HOSTILE).await;
    for format in FORMATS {
        let sql = format!("SELECT id, name, region, salary, ssn, note FROM hr.people_{format} ORDER BY id");
        let rows = bob.postgres.query(&sql, &[]).await.unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(names, ["ann", "bea", "cyd", "dan", "eve"], "{format}");
        assert!(rows.iter().all(|row| row.get::<_, &str>(4) == "XXXXXXXX" && row.get::<_, Option<&str>>(5).is_none()), "{format}");
        assert_eq!(rows.iter().map(|row| row.get::<_, i64>(3)).collect::<Vec<_>>(), [10, 20, 20, 40, 30], "{format}");
    }
    bob.tap.take();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_door_tells_a_canary_even_where_plans_and_metrics_are_shown() {
    let mut bob = Reader::of(HOSTILE).await;
    let mut heard = Vec::new();
    for format in FORMATS {
        for explain in ["EXPLAIN ANALYZE", "EXPLAIN (ANALYZE, VERBOSE)", "EXPLAIN (FORMAT JSON)"] {
            heard.extend(bob.simple(&format!("{explain} SELECT name, ssn FROM hr.people_{format} WHERE salary > 5")).await);
        }
    }
    for path in ["/metrics", "/healthz", "/readyz", "/openapi.json", "/products/hr.secrets"] {
        heard.extend(format!("{:?}", bob.gateway.http("GET", path).await).into_bytes());
    }
    assert!(heard.len() > 1_000);
    for secret in [CANARY, "DataSourceExec", ".parquet", "people.csv", "data/hr"] {
        assert!(!holds(&heard, secret), "{secret}: {}", readable(&heard));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_cannot_be_read_is_told_without_a_path_or_a_cell() {
    let broken = "id,name,region,salary,ssn,note\n1,\"canary4711\",us,canary4711 is no number,x,y\n";
    let mut bob = Reader::of(CALM).await;
    std::fs::write(bob.gateway.folder().join("data/hr/people.csv"), broken).unwrap();
    std::fs::write(bob.gateway.folder().join("data/hr/people.parquet"), b"PAR1canary4711PAR1").unwrap();
    std::fs::remove_file(bob.gateway.folder().join("data/hr/people.json")).unwrap();
    for format in ["csv", "parquet", "json"] {
        let sql = format!("SELECT name, salary FROM hr.people_{format}");
        let error = bob.postgres.query(&sql, &[]).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code().to_owned()), Some("58030".to_owned()), "{sql}: {error:?}");
        let heard = [bob.settled().await, bob.flown(&sql).await].concat();
        for secret in [CANARY, "data/hr", "people.csv", "people.parquet", "people.json"] {
            assert!(!holds(&heard, secret), "{secret}: {}", readable(&heard));
        }
    }
}
