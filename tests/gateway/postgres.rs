//! The PostgreSQL door over real sockets: what drivers do, and what hostile clients try.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use futures::TryStreamExt;
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::harness::{Builder, PASSWORD, TestGateway, eventually};
use crate::raw::{Message, READ_ALL, Raw, startup};

const NUMBERS: &str = "
apiVersion: datamesh.io/v1
kind: DataProduct
metadata:
  name: numbers
  domain: shop
  version: 1.0.0
  description: A thousand numbers with their words.
  owner: {team: shop, contact: shop@test.example}
  status: active
spec:
  outputPorts:
    - name: files
      format: csv
      location: file:data/shop/numbers.csv
      options: {header: true}
      schema: [{name: id, type: bigint}, {name: word, type: text}]
  sla: {freshness: 1h}
  policies: {access: public}
";

/// So many rows that nobody waits for the last.
const ENDLESS: &str = "SELECT a.id, a.word FROM shop.numbers a, shop.numbers b, shop.numbers c";

fn shop() -> Builder {
    let mut csv = String::from("id,word\n");
    for id in 1..=1000 {
        csv.push_str(&format!("{id},word {id}\n"));
    }
    TestGateway::new().domain("shop").product(NUMBERS).file("shop/numbers.csv", csv).user("alice", "shop", &[], &[]).user(
        "bob",
        "shop",
        &[],
        &[],
    )
}

/// An error's field.
fn field(message: &Message, code: u8) -> String {
    assert_eq!(message.0, b'E', "not an error: {message:?}");
    let fields = message.1.split(|byte| *byte == 0);
    let found = fields.filter(|field| field.first() == Some(&code)).map(|field| String::from_utf8_lossy(&field[1..]).into_owned());
    found.into_iter().next().unwrap_or_default()
}

fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|(kind, _)| char::from(*kind)).collect()
}

fn tags(messages: &[Message]) -> Vec<String> {
    let complete = messages.iter().filter(|(kind, _)| *kind == b'C');
    complete.map(|(_, body)| String::from_utf8_lossy(&body[..body.len() - 1]).into_owned()).collect()
}

fn code_of(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("no SQLSTATE", SqlState::code)
}

async fn code<T>(result: impl Future<Output = Result<T, tokio_postgres::Error>>) -> String {
    match result.await {
        Ok(_) => "no error".to_owned(),
        Err(error) => code_of(&error).to_owned(),
    }
}

/// How many queries of a user ended as `outcome`.
async fn ended(gateway: &TestGateway, user: &str, outcome: &str) -> usize {
    gateway.ledger().await.iter().filter(|usage| usage.principal == user && usage.outcome == outcome).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_behind_a_bad_password_is_never_run() {
    let gateway = shop().start().await;
    let mut raw = Raw::dial(&gateway).await;
    let mut bytes = startup("alice", "mesh");
    frontend::sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abcdefgh", &mut bytes).unwrap();
    raw.send(&bytes).await;
    raw.receive().await;
    let (_, challenge) = raw.receive().await;
    let challenge = String::from_utf8_lossy(&challenge[4..]).into_owned();
    let nonce = challenge.split(',').next().unwrap();
    let mut bytes = BytesMut::new();
    frontend::sasl_response(format!("c=biws,{nonce},p={}=", "A".repeat(43)).as_bytes(), &mut bytes).unwrap();
    frontend::query("SELECT count(*) FROM shop.numbers", &mut bytes).unwrap();
    raw.send(&bytes).await;
    let messages = raw.until_closed().await;
    assert_eq!(kinds(&messages), "E");
    assert_eq!((field(&messages[0], b'C').as_str(), field(&messages[0], b'S').as_str()), ("28P01", "FATAL"));
    assert_eq!(gateway.ledger().await.iter().filter(|usage| usage.principal == "alice").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_no_further_than_their_first_wrong_byte() {
    let gateway = shop().limits(|limits| limits.login_timeout = Duration::from_millis(700)).start().await;
    let mut early = Raw::dial(&gateway).await;
    early.send(&startup("alice", "mesh")).await;
    early.receive().await;
    early.query("SELECT 1").await;
    let messages = early.until_closed().await;
    assert_eq!(field(&messages[0], b'C'), "08P01");

    for bytes in [&b"\0\0\0\x04"[..], b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff\0\x03\0\0", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut raw = Raw::dial(&gateway).await;
        raw.send(bytes).await;
        let messages = raw.until_closed().await;
        assert!(messages.iter().all(|message| message.0 == b'E'), "{bytes:?}");
    }

    let begun = Instant::now();
    let mut slow = Raw::dial(&gateway).await;
    let dripping = async {
        for byte in startup("alice", "mesh") {
            if slow.stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    dripping.await;
    assert!(slow.until_closed().await.is_empty());
    assert!(begun.elapsed() < READ_ALL);
    gateway.pg("alice").await.simple_query("SELECT 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_a_malformed_message_is_an_error_and_the_session_goes_on() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.send(b"B\0\0\0\x0cp\0s\0\0\x01\0\x01").await;
    raw.send(b"S\0\0\0\x04").await;
    let messages = raw.until_ready().await;
    assert_eq!(kinds(&messages), "EZ");
    assert_eq!((field(&messages[0], b'C').as_str(), field(&messages[0], b'S').as_str()), ("08P01", "ERROR"));
    raw.query("SELECT 7").await;
    assert_eq!(tags(&raw.until_ready().await), ["SELECT 1"]);

    for bytes in [&b"Q\xff\xff\xff\xff"[..], b"Q\0\0\0\0", b"Q\x7f\xff\xff\xff", b"!\0\0\0\x04"] {
        let mut raw = Raw::log_in(&gateway, "alice").await;
        raw.send(bytes).await;
        let messages = raw.until_closed().await;
        assert_eq!((kinds(&messages).as_str(), field(&messages[0], b'S').as_str()), ("E", "FATAL"), "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e5_only_the_right_key_cancels_and_the_session_goes_on() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query(ENDLESS).await;
    while raw.receive().await.0 != b'D' {}
    let cancel = async |key: i32| {
        let mut other = Raw::dial(&gateway).await;
        let mut bytes = BytesMut::new();
        frontend::cancel_request(raw.pid, key, &mut bytes);
        other.send(&bytes).await;
        assert!(other.until_closed().await.is_empty());
    };
    cancel(raw.key.wrapping_add(1)).await;
    for _ in 0..10_000 {
        assert_eq!(raw.receive().await.0, b'D', "a wrong key changes nothing");
    }
    let mut other = Raw::dial(&gateway).await;
    let mut bytes = BytesMut::new();
    frontend::cancel_request(raw.pid, raw.key, &mut bytes);
    other.send(&bytes).await;
    let error = raw.after_rows().await;
    assert_eq!(field(&error, b'C'), "57014");
    assert_eq!(field(&error, b'M'), "canceling statement due to user request");
    raw.until_ready().await;
    raw.query("SELECT 1").await;
    assert_eq!(tags(&raw.until_ready().await), ["SELECT 1"]);
    assert!(eventually(Duration::from_secs(5), || async { ended(&gateway, "alice", "cancelled").await == 1 }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_the_statement_timeout_ends_rows_copies_and_portals() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query("SET statement_timeout = 400").await;
    raw.until_ready().await;
    let copy = format!("COPY ({ENDLESS}) TO STDOUT");
    for sql in [ENDLESS, &copy] {
        raw.query(sql).await;
        let messages = raw.until_ready().await;
        let error = &messages[messages.len() - 2];
        assert_eq!(field(error, b'C'), "57014");
        assert_eq!(field(error, b'M'), "canceling statement due to statement timeout");
    }
    raw.build(|bytes| {
        frontend::parse("", ENDLESS, [], bytes).unwrap();
        bind("", "", 1, bytes);
        frontend::execute("", 0, bytes).unwrap();
        frontend::sync(bytes);
    })
    .await;
    let messages = raw.until_ready().await;
    assert_eq!(field(&messages[messages.len() - 2], b'C'), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_has_given_nothing_yet_ends_in_time() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query("SET statement_timeout = 300").await;
    raw.until_ready().await;
    let begun = Instant::now();
    raw.query("SELECT count(*) FROM shop.numbers a, shop.numbers b, shop.numbers c, shop.numbers d").await;
    let messages = raw.until_ready().await;
    assert_eq!(field(&messages[messages.len() - 2], b'C'), "57014");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(eventually(Duration::from_secs(30), || async { ended(&gateway, "alice", "cancelled").await == 1 }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_timeout_covers_planning() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query("SET statement_timeout = 50").await;
    raw.until_ready().await;
    // Sums that the limits let through, and that keep the planner busy for longer.
    let sums = vec![vec!["id"; 900].join(" + "); 4].join(", ");
    raw.query(&format!("SELECT {sums} FROM shop.numbers")).await;
    let messages = raw.until_ready().await;
    assert_eq!(field(&messages[messages.len() - 2], b'C'), "57014");
    raw.query("SET statement_timeout = 0").await;
    raw.until_ready().await;
    raw.query("SELECT 1").await;
    assert_eq!(tags(&raw.until_ready().await), ["SELECT 1"]);
}

/// Looks at each of 3.6 thousand million pairs, and finds none.
const SLOW: &str = "WITH many AS (SELECT a.id FROM shop.numbers a CROSS JOIN shop.numbers b LIMIT 60000) \
                    SELECT count(*) FROM many x JOIN many y ON x.id + y.id < 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_slow_joins_keep_nobody_else_waiting_and_hear_their_own_timeout() {
    let gateway = shop().start().await;
    let begun = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..3 {
        let client = gateway.pg("alice").await;
        client.simple_query("SET statement_timeout = '15s'").await.unwrap();
        slow.push(tokio::spawn(async move { client.simple_query(SLOW).await.unwrap_err().code().cloned() }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = gateway.pg("alice").await;
    assert_eq!(other.query_one("SELECT count(*) FROM shop.numbers", &[]).await.unwrap().get::<_, i64>(0), 1000);
    assert!(begun.elapsed() < Duration::from_secs(15) && slow.iter().all(|query| !query.is_finished()), "{:?}", begun.elapsed());
    for query in slow {
        assert_eq!(query.await.unwrap(), Some(SqlState::QUERY_CANCELED));
    }
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
}

/// A Bind without values, with all columns in one format.
fn bind(portal: &str, statement: &str, format: i16, bytes: &mut BytesMut) {
    let nothing = std::iter::empty::<()>();
    let bound = frontend::bind(portal, statement, [], nothing, |(), _| Ok(postgres_protocol::IsNull::Yes), [format], bytes);
    assert!(bound.is_ok());
}

/// Parse, Bind and an Execute for each limit, then Sync.
fn executes(sql: &str, limits: &[i32]) -> BytesMut {
    let mut bytes = BytesMut::new();
    frontend::parse("", sql, [], &mut bytes).unwrap();
    bind("", "", 0, &mut bytes);
    for limit in limits {
        frontend::execute("", *limit, &mut bytes).unwrap();
    }
    frontend::sync(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn row_limits_slice_a_portal_and_size_nothing() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    let five = "SELECT id FROM shop.numbers ORDER BY id LIMIT 5";
    for (limits, expected, last) in [
        (&[i32::MAX][..], "12DDDDDCZ", "SELECT 5"),
        (&[-1], "12DDDDDCZ", "SELECT 5"),
        (&[i32::MIN], "12DDDDDCZ", "SELECT 5"),
        (&[2, 2, 2], "12DDsDDsDCZ", "SELECT 1"),
        (&[5, 1, 1], "12DDDDDsCCZ", "SELECT 0"),
    ] {
        raw.send(&executes(five, limits)).await;
        let messages = raw.until_ready().await;
        assert_eq!((kinds(&messages).as_str(), tags(&messages).last().unwrap().as_str()), (expected, last), "{limits:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_query_and_pays_for_it() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query(ENDLESS).await;
    while raw.receive().await.0 != b'D' {}
    drop(raw);
    assert!(eventually(Duration::from_secs(5), || async { ended(&gateway, "alice", "cancelled").await == 1 }).await);
    // One that never reads, and then leaves.
    let mut deaf = Raw::log_in(&gateway, "bob").await;
    deaf.query(ENDLESS).await;
    deaf.stream.readable().await.unwrap();
    gateway.pg("alice").await.simple_query("SELECT count(*) FROM shop.numbers").await.unwrap();
    drop(deaf);
    assert!(eventually(Duration::from_secs(5), || async { ended(&gateway, "bob", "cancelled").await == 1 }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_thousand_clients_that_come_and_go_leave_room() {
    let gateway = shop().limits(|limits| limits.connections = 20).start().await;
    for _ in 0..1000 {
        drop(Raw::dial(&gateway).await);
    }
    let free = eventually(Duration::from_secs(10), || async { gateway.try_pg("alice", PASSWORD).await.is_ok() }).await;
    assert!(free);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so() {
    let gateway = shop().limits(|limits| limits.connections = 1).start().await;
    let first = gateway.pg("alice").await;
    assert_eq!(code(gateway.try_pg("bob", PASSWORD)).await, "53300");
    drop(first);
    assert!(eventually(Duration::from_secs(5), || async { gateway.try_pg("bob", PASSWORD).await.is_ok() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_database() {
    let gateway = shop().start().await;
    let address = gateway.addresses().postgres;
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port()).user("alice").password(PASSWORD).dbname("alice");
    assert_eq!(code(config.connect(tokio_postgres::NoTls)).await, "3D000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_query_answers_statement_by_statement_until_one_fails() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query("SELECT 1; SELECT id FROM shop.numbers WHERE id < 3; SELECT * FROM shop.nothing; SELECT 2").await;
    let messages = raw.until_ready().await;
    assert_eq!(kinds(&messages), "TDCTDDCEZ");
    assert_eq!(field(&messages[7], b'C'), "42P01");
    raw.query(" ; ; ").await;
    assert_eq!(kinds(&raw.until_ready().await), "IZ");
    for (sql, kinds_of, status) in [
        ("BEGIN", "CZ", b'T'),
        ("SELECT nonsense", "EZ", b'E'),
        ("SELECT 1", "EZ", b'E'),
        ("COMMIT", "CZ", b'I'),
        ("COMMIT", "NCZ", b'I'),
        ("BEGIN; SAVEPOINT a; SELECT 1", "CCTDCZ", b'T'),
        ("SELECT nonsense", "EZ", b'E'),
        ("ROLLBACK TO a", "CZ", b'T'),
        ("BEGIN", "NCZ", b'T'),
        ("ROLLBACK", "CZ", b'I'),
    ] {
        raw.query(sql).await;
        let messages = raw.until_ready().await;
        assert_eq!((kinds(&messages).as_str(), messages.last().unwrap().1[0]), (kinds_of, status), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_to_a_savepoint_takes_back_what_was_set_since_and_says_so() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    for (sql, reported) in [
        ("BEGIN; SET TimeZone = 'Asia/Tokyo'", Some("Asia/Tokyo")),
        ("SAVEPOINT s; SET TimeZone = 'Europe/Paris'", Some("Europe/Paris")),
        ("SET LOCAL TimeZone = 'America/Lima'", Some("America/Lima")),
        ("SELECT nonsense", Some("Asia/Tokyo")),
        ("ROLLBACK TO s; SET TimeZone = 'Asia/Seoul'", Some("Asia/Seoul")),
        ("ROLLBACK TO s", Some("Asia/Tokyo")),
        ("SET LOCAL TimeZone TO DEFAULT", Some("UTC")),
        ("COMMIT", Some("Asia/Tokyo")),
    ] {
        raw.query(sql).await;
        let messages = raw.until_ready().await;
        let told = messages.iter().find_map(|(kind, body)| (*kind == b'S').then(|| String::from_utf8_lossy(body).into_owned()));
        assert_eq!(told, reported.map(|zone| format!("TimeZone\0{zone}\0")), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_skips_the_rest_of_its_pipeline_and_no_more() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    let mut bytes = executes("SELECT nonsense", &[0]);
    bytes.put(executes("SELECT 1", &[0]));
    bytes.put(executes("SELECT 1; SELECT 2", &[0]));
    raw.send(&bytes).await;
    assert_eq!(kinds(&raw.until_ready().await), "EZ");
    assert_eq!(kinds(&raw.until_ready().await), "12DCZ");
    let several = raw.until_ready().await;
    assert_eq!((kinds(&several).as_str(), field(&several[0], b'C').as_str()), ("EZ", "42601"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_pipeline_is_told_before_its_sync() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.build(|bytes| {
        frontend::parse("", "SELECT nope FROM shop.numbers", [], bytes).unwrap();
        frontend::describe(b'S', "", bytes).unwrap();
        frontend::flush(bytes);
    })
    .await;
    let told = raw.receive().await;
    assert_eq!(field(&told, b'C'), "42703");
    raw.build(frontend::sync).await;
    assert_eq!(kinds(&raw.until_ready().await), "Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cast_parameter_has_the_type_of_the_cast() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    let sql =
        "SELECT $1::int4, $2::date, $3::text, $4, id + $1::int4, $6::uuid, $7::oid[], $8::jsonb FROM shop.numbers WHERE id = $5::int8";
    let statement = client.prepare(sql).await.unwrap();
    let types: Vec<_> = statement.params().iter().map(|known| known.name()).collect();
    assert_eq!(types, ["int4", "date", "text", "text", "int8", "uuid", "_oid", "jsonb"]);
}

/// The bytes of a UUID.
#[derive(Debug, PartialEq)]
struct Uuid(Vec<u8>);

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(known: &Type) -> bool {
        *known == Type::UUID
    }
}

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(known: &Type) -> bool {
        *known == Type::UUID
    }

    to_sql_checked!();
}

/// Texts that a contract calls something else, with rules for whoever is not of the shop.
const TYPED: &str = "
apiVersion: datamesh.io/v1
kind: DataProduct
metadata: {name: typed, domain: shop, version: 1.0.0, description: Keys., owner: {team: shop, contact: shop@test.example}}
spec:
  outputPorts:
    - name: files
      format: csv
      location: file:data/shop/typed.csv
      options: {header: true}
      schema: [{name: key, type: uuid}, {name: more, type: json}, {name: other, type: uuid}]
  sla: {freshness: 9y}
  policies:
    access: public
    rowFilters: [{expression: \"key <> 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'\", exceptGroups: [shop-all]}]
    masks: [{column: other, mask: show-last-4, exceptGroups: [shop-all]}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_column_is_a_uuid_or_json_where_its_contract_says_so_and_it_is_not_masked() {
    let csv = "key,more,other
a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,\"{\"\"a\"\": 1}\",b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11
a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12,null,b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12
";
    let broken = TYPED.replace("name: typed", "name: broken").replace("typed.csv", "broken.csv");
    let builder = shop()
        .product(TYPED)
        .file("shop/typed.csv", csv)
        .product(&broken)
        .file("shop/broken.csv", csv.to_uppercase().replace("KEY,MORE,OTHER", "key,more,other"))
        .domain("sales");
    let gateway = builder.user("carl", "sales", &[], &[]).user("cleo", "sales", &["shop-all"], &[]).start().await;
    let first = Uuid(b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11".to_vec());
    for (user, other) in [("carl", "text"), ("cleo", "uuid")] {
        let client = gateway.pg(user).await;
        let statement = client.prepare("SELECT key, more, other, count(*) FROM shop.typed WHERE key = $1 GROUP BY 1, 2, 3").await.unwrap();
        assert_eq!(statement.params(), [Type::UUID], "{user}");
        let types: Vec<_> = statement.columns().iter().map(|column| column.type_().name()).collect();
        assert_eq!(types, ["uuid", "json", other, "int8"], "{user}");
        let found = client.query_one(&statement, &[&first]).await.unwrap();
        assert_eq!(found.get::<_, Uuid>(0), first, "{user}");
        let listed = "SELECT data_type FROM information_schema.columns WHERE table_name = 'typed' ORDER BY ordinal_position";
        let listed: Vec<String> = client.query(listed, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(listed[..2], ["uuid", "json"], "{user}");
    }
    let cleo = gateway.pg("cleo").await;
    let texts = "SELECT key::text, more::text, pg_typeof(key::text), key::text LIKE $1 FROM shop.typed WHERE key = 'A0EEBC999C0B4EF8BB6D6BB9BD380A11'";
    let statement = cleo.prepare(texts).await.unwrap();
    assert_eq!((statement.params(), statement.columns()[0].type_()), ([Type::TEXT].as_slice(), &Type::TEXT));
    assert!(cleo.query_one(&statement, &[&"a0%"]).await.unwrap().get::<_, bool>(3));
    for (sql, code) in [
        ("SELECT 1 FROM shop.typed WHERE key = 'zz'", "22P02"),
        ("SELECT more::uuid FROM shop.typed", "22P02"),
        // What is not as its contract says is told: a filter would compare it with another text.
        ("SELECT other FROM shop.broken", "58030"),
        ("SELECT count(*) FROM shop.broken WHERE key <> 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "58030"),
    ] {
        assert_eq!(self::code(cleo.simple_query(sql)).await, code, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_called_what_postgresql_calls_them() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    let sql = "SELECT count(*), max(id) + 1, min(id)::text, upper('x'), 1 AS \"One\" FROM shop.numbers";
    let names = ["count", "?column?", "min", "upper", "One"];
    let statement = client.prepare(sql).await.unwrap();
    assert_eq!(statement.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), names);
    for message in client.simple_query(sql).await.unwrap() {
        if let SimpleQueryMessage::Row(row) = message {
            assert_eq!(row.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), names);
            assert_eq!(row.get("count"), Some("1000"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_take_typed_values() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    let statement = client.prepare("SELECT id, word FROM shop.numbers WHERE id > $1 AND word <> $2 ORDER BY id LIMIT 2").await.unwrap();
    assert_eq!(statement.params(), [Type::INT8, Type::TEXT]);
    for after in [10_i64, 500] {
        let rows = client.query(&statement, &[&after, &format!("word {}", after + 1)]).await.unwrap();
        let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
        assert_eq!(ids, [after + 2, after + 3]);
    }
    let none: Option<i64> = None;
    assert!(client.query(&statement, &[&none, &"x"]).await.unwrap().is_empty());
    let typed = client.prepare_typed("SELECT $1 + 1", &[Type::INT4]).await.unwrap();
    assert_eq!(client.query_one(&typed, &[&41_i32]).await.unwrap().columns().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_portals_have_postgres_codes() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    type Case = (&'static str, fn(&mut BytesMut));
    let cases: [Case; 6] = [
        ("26000", |bytes| bind("", "nothing", 0, bytes)),
        ("34000", |bytes| frontend::execute("nothing", 0, bytes).unwrap()),
        ("26000", |bytes| frontend::describe(b'S', "nothing", bytes).unwrap()),
        ("34000", |bytes| frontend::describe(b'P', "nothing", bytes).unwrap()),
        ("42P05", |bytes| {
            frontend::parse("twice", "SELECT 1", [], bytes).unwrap();
            frontend::parse("twice", "SELECT 1", [], bytes).unwrap();
        }),
        ("08P01", |bytes| {
            frontend::parse("one", "SELECT id FROM shop.numbers WHERE id = $1", [], bytes).unwrap();
            bind("", "one", 0, bytes);
        }),
    ];
    for (expected, build) in cases {
        raw.build(|bytes| {
            build(bytes);
            frontend::sync(bytes);
        })
        .await;
        let messages = raw.until_ready().await;
        assert_eq!(field(&messages[messages.len() - 2], b'C'), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_come_whole_and_in_order() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    let sql = "SELECT a.id, b.id FROM shop.numbers a, shop.numbers b WHERE b.id <= 30 ORDER BY 1, 2";
    let expected: String = (1..=1000).flat_map(|a| (1..=30).map(move |b| format!("{a}\t{b}\n"))).collect();
    let copied: Vec<_> = client.copy_out(&format!("COPY ({sql}) TO STDOUT")).await.unwrap().try_collect().await.unwrap();
    assert_eq!(copied.concat(), expected.as_bytes());
    let rows = client.text_rows(sql).await.unwrap();
    let told: String = rows.iter().map(|row| format!("{}\t{}\n", row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    assert_eq!(told, expected);
    // Rows that come to more than is encoded ahead.
    let wide = "COPY (SELECT id, repeat(word, 3000) FROM shop.numbers ORDER BY id) TO STDOUT (FORMAT csv)";
    let copied: Vec<_> = client.copy_out(wide).await.unwrap().try_collect().await.unwrap();
    let expected = (1..=1000).map(|id| format!("{id},{}\n", format!("word {id}").repeat(3000)));
    assert!(copied.concat() == expected.collect::<String>().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_sends_text_csv_and_binary() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    let copy = async |options: &str| {
        let sql = format!("COPY (SELECT id, word FROM shop.numbers WHERE id <= 2 ORDER BY id) TO STDOUT {options}");
        let chunks: Vec<_> = client.copy_out(&sql).await.unwrap().try_collect().await.unwrap();
        chunks.concat()
    };
    assert_eq!(copy("").await, b"1\tword 1\n2\tword 2\n");
    assert_eq!(copy("(FORMAT csv, HEADER)").await, b"id,word\n1,word 1\n2,word 2\n");
    let binary = copy("(FORMAT binary)").await;
    assert_eq!(binary[..11], *b"PGCOPY\n\xff\r\n\0");
    assert_eq!(binary[19..21], [0, 2]);
    assert_eq!(binary[binary.len() - 2..], [255, 255]);
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query("COPY (SELECT id FROM shop.numbers) TO STDOUT").await;
    let messages = raw.until_ready().await;
    assert_eq!(tags(&messages), ["COPY 1000"]);
    raw.build(|bytes| {
        frontend::parse("c", "COPY (SELECT 1) TO STDOUT", [], bytes).unwrap();
        frontend::describe(b'S', "c", bytes).unwrap();
        frontend::sync(bytes);
    })
    .await;
    assert_eq!(kinds(&raw.until_ready().await), "1tnZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_go_forward_and_close_with_their_transaction() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    assert_eq!(code(client.simple_query("DECLARE c CURSOR FOR SELECT 1")).await, "25P01");
    client.simple_query("BEGIN").await.unwrap();
    client.simple_query("DECLARE c CURSOR FOR SELECT id FROM shop.numbers ORDER BY id").await.unwrap();
    let ids = async |sql: &str| -> Vec<String> {
        client.text_rows(sql).await.unwrap().into_iter().map(|mut row| row.remove(0).unwrap()).collect()
    };
    assert_eq!(ids("FETCH 2 FROM c").await, ["1", "2"]);
    assert_eq!(ids("FETCH NEXT FROM c").await, ["3"]);
    assert!(matches!(client.simple_query("MOVE 990 FROM c").await.unwrap()[..], [SimpleQueryMessage::CommandComplete(990)]));
    assert_eq!(ids("FETCH ALL FROM c").await.len(), 7);
    assert!(ids("FETCH ALL FROM c").await.is_empty());
    client.simple_query("DECLARE h CURSOR WITH HOLD FOR SELECT id FROM shop.numbers ORDER BY id").await.unwrap();
    client.simple_query("COMMIT").await.unwrap();
    assert_eq!(code(client.simple_query("FETCH c")).await, "34000");
    assert_eq!(ids("FETCH 1 FROM h").await, ["1"]);
    client.simple_query("CLOSE h").await.unwrap();
    assert_eq!(code(client.simple_query("CLOSE h")).await, "34000");
    client.simple_query("BEGIN").await.unwrap();
    assert_eq!(code(client.simple_query("DECLARE s SCROLL CURSOR FOR SELECT 1")).await, "0A000");
    client.simple_query("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_cursors_that_nobody_fetches_from_keep_nobody_waiting() {
    // As a foreign table does that is joined with others: as many cursors as tables, in turns. One query at a time may run here.
    let gateway = shop().config(|config| config.limits.concurrency = 1).start().await;
    let (client, other) = (gateway.pg("alice").await, gateway.pg("alice").await);
    client.simple_query("BEGIN").await.unwrap();
    let patient = Duration::from_secs(20);
    let in_turns = async {
        for cursor in ["a", "b", "c"] {
            client.simple_query(&format!("DECLARE {cursor} CURSOR FOR SELECT id FROM shop.numbers ORDER BY id")).await.unwrap();
        }
        for turn in 1..=3 {
            for cursor in ["a", "b", "c"] {
                let rows = client.text_rows(&format!("FETCH 1 FROM {cursor}")).await.unwrap();
                assert_eq!(rows, [[Some(turn.to_string())]], "{cursor}");
            }
            assert_eq!(other.text_rows("SELECT count(*) FROM shop.numbers").await.unwrap(), [[Some("1000".to_owned())]]);
        }
    };
    tokio::time::timeout(patient, in_turns).await.expect("nobody waits for an idle cursor");
    client.simple_query("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_prepared_by_sql_too() {
    let gateway = shop().start().await;
    let client = gateway.pg("alice").await;
    client.simple_query("PREPARE p (bigint) AS SELECT word FROM shop.numbers WHERE id = $1").await.unwrap();
    assert_eq!(client.text_rows("EXECUTE p (7)").await.unwrap(), [[Some("word 7".to_owned())]]);
    assert_eq!(client.text_rows("EXECUTE p ('8')").await.unwrap(), [[Some("word 8".to_owned())]]);
    assert_eq!(code(client.simple_query("EXECUTE p")).await, "42601");
    assert_eq!(code(client.simple_query("PREPARE p AS SELECT 1")).await, "42P05");
    assert_eq!(code(client.simple_query("EXECUTE p ('x')")).await, "22P02");
    client.simple_query("DEALLOCATE p").await.unwrap();
    assert_eq!(code(client.simple_query("EXECUTE p (7)")).await, "26000");
    client.simple_query("PREPARE q AS SELECT 1; DISCARD ALL").await.unwrap();
    assert_eq!(code(client.simple_query("EXECUTE q")).await, "26000");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_told_and_roll_back() {
    let gateway = shop().start().await;
    let mut raw = Raw::log_in(&gateway, "alice").await;
    raw.query("SET TimeZone = 'Europe/Berlin'").await;
    let messages = raw.until_ready().await;
    assert_eq!(kinds(&messages), "CSZ");
    assert_eq!(messages[1].1, b"TimeZone\0Europe/Berlin\0");
    raw.query("BEGIN; SET TimeZone = 'Asia/Tokyo'").await;
    raw.until_ready().await;
    raw.query("ROLLBACK").await;
    assert_eq!(raw.until_ready().await[1].1, b"TimeZone\0Europe/Berlin\0");
    raw.query("SELECT 1; SET TimeZone = 'Asia/Tokyo'; SELECT nonsense").await;
    let messages = raw.until_ready().await;
    assert_eq!(kinds(&messages), "TDCCEZ", "a failed query takes its settings back");
}
