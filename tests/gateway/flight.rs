//! The Flight door: Flight SQL and plain Flight, and what tickets, handles and sessions are good for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt, SqlInfo, SqlSupportedGroupBy,
    SqlSupportedSubqueries, SqlSupportedUnions, XdbcDataType,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint,
    FlightInfo, RenewFlightEndpointRequest, Ticket,
};
use base64::Engine;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tokio::io::AsyncReadExt;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::harness::{Builder, PASSWORD, TestGateway, eventually};

type Client = FlightSqlServiceClient<Channel>;

/// It ends in some years.
const ENDLESS: &str = "SELECT count(*) FROM shop.orders a, shop.orders b, shop.orders c, shop.orders d, shop.orders e, shop.orders f";

/// In no row that `bob` may read, and in a column that is masked for him.
const CANARY: &str = "canary-4711-canary";

const ORDERS: &str = r#"
apiVersion: datamesh.io/v1
kind: DataProduct
metadata:
  name: orders
  domain: shop
  version: 1.0.0
  description: Orders.
  owner: {team: shop-data, contact: shop@test.example}
  status: active
spec:
  outputPorts:
    - name: sql
      format: csv
      location: file:data/shop/orders.csv
      options: {header: true}
      schema:
        - {name: order_id, type: bigint, nullable: false, description: Key}
        - {name: customer, type: text, classification: PII.NationalID}
        - {name: region, type: text}
        - {name: note, type: text}
  sla: {freshness: 1d}
  policies:
    access: restricted
    rowFilters: [{expression: "region = $region", bind: {region: principal.attributes.region}, exceptGroups: [shop-all]}]
    masks: [{column: note, mask: show-last-4, exceptGroups: [shop-all]}]
"#;

/// `alice` reads all of `shop.orders`, `bob` what his region and the masks let him, `carol` nothing.
fn shop() -> Builder {
    let mut rows = String::from("order_id,customer,region,note\n");
    for id in 0..1000 {
        let (region, note) = if id % 2 == 0 { ("eu", format!("{CANARY}-{id:04}")) } else { ("us", format!("{CANARY} of others {id}")) };
        rows.push_str(&format!("{id},N{id},{region},{note}\n"));
    }
    TestGateway::new()
        .domain("shop")
        .domain("sales")
        .product(ORDERS)
        .file("shop/orders.csv", rows)
        .user("alice", "shop", &["shop-all", "pii-clear"], &[("region", "eu")])
        .user("bob", "sales", &["dp-shop-orders-reader"], &[("region", "eu")])
        .user("carol", "sales", &[], &[("region", "eu")])
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let values = batches.iter().flat_map(|batch| batch.column(column).as_string::<i32>().iter().collect::<Vec<_>>());
    values.map(|value| value.unwrap_or("NULL").to_owned()).collect()
}

/// All rows of a query.
async fn rows(gateway: &TestGateway, user: &str, sql: &str) -> Result<Vec<RecordBatch>, Status> {
    let mut client = gateway.flight(user).await;
    read(&mut client, sql).await
}

async fn read(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, Status> {
    let found = client.execute(sql.to_owned(), None).await?;
    Ok(client.do_get(ticket(&found)).await?.try_collect().await?)
}

async fn refused(gateway: &TestGateway, user: &str, sql: &str) -> Status {
    rows(gateway, user, sql).await.unwrap_err()
}

fn command(sql: &str) -> FlightDescriptor {
    FlightDescriptor::new_cmd(sql.as_bytes().to_vec())
}

/// A plain Flight client, and the header that it sends.
async fn plain(gateway: &TestGateway, user: &str) -> (FlightServiceClient<Channel>, String) {
    let channel = Channel::from_shared(format!("http://{}", gateway.addresses().flight)).unwrap().connect().await.unwrap();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
    (FlightServiceClient::new(channel), format!("Basic {basic}"))
}

fn with<T>(authorization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

async fn info(gateway: &TestGateway, user: &str, sql: &str) -> FlightInfo {
    let (mut client, login) = plain(gateway, user).await;
    client.get_flight_info(with(&login, command(sql))).await.unwrap().into_inner()
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

/// Reads all of a ticket: how many messages, or why not.
async fn get(gateway: &TestGateway, user: &str, ticket: Ticket) -> Result<usize, Status> {
    let (mut client, login) = plain(gateway, user).await;
    let messages: Vec<_> = client.do_get(with(&login, ticket)).await?.into_inner().try_collect().await?;
    Ok(messages.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_gets_their_rows_and_no_other_byte() {
    let gateway = shop().start().await;
    let sql = "SELECT order_id, customer, note FROM shop.orders ORDER BY order_id";
    let all = rows(&gateway, "alice", sql).await.unwrap();
    assert_eq!(numbers(&all), (0..1000).collect::<Vec<_>>());
    assert_eq!(texts(&all, 1)[7], "N7");

    let (mut client, login) = plain(&gateway, "bob").await;
    let found = client.get_flight_info(with(&login, command(sql))).await.unwrap().into_inner();
    assert_eq!((found.total_records, found.total_bytes), (-1, -1));
    let stream = client.do_get(with(&login, ticket(&found))).await.unwrap().into_inner();
    let messages: Vec<_> = stream.try_collect().await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&messages[0].app_metadata).unwrap();
    assert!(!told["notices"].as_array().unwrap().is_empty(), "{told}");
    assert_eq!(messages[0].app_metadata, messages[1].app_metadata);
    for message in &messages {
        let hidden = message.data_body.windows(6).any(|bytes| bytes == b"canary");
        assert!(!hidden, "a value that is masked or filtered is in the stream");
    }
    let some = rows(&gateway, "bob", sql).await.unwrap();
    assert_eq!(numbers(&some), (0..1000).step_by(2).collect::<Vec<_>>());
    assert!(texts(&some, 2).iter().zip(numbers(&some)).all(|(note, id)| note.ends_with(&format!("{id:04}"))), "the mask keeps four");
    assert!(texts(&some, 1).iter().all(|customer| !customer.starts_with('N') || customer.len() > 8), "pseudonyms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_is_what_is_sent() {
    let gateway = shop().start().await;
    let (mut client, login) = plain(&gateway, "alice").await;
    for sql in ["SELECT * FROM shop.orders", "SELECT order_id + 1 AS a, 'x' AS b FROM shop.orders WHERE order_id < 0", "SHOW search_path"] {
        let descriptor =
            FlightDescriptor::new_cmd(CommandStatementQuery { query: sql.to_owned(), transaction_id: None }.as_any().encode_to_vec());
        let found = client.get_flight_info(with(&login, descriptor.clone())).await.unwrap().into_inner();
        let announced = found.clone().try_decode_schema().unwrap();
        let described: Schema = (&client.get_schema(with(&login, descriptor.clone())).await.unwrap().into_inner()).try_into().unwrap();
        let polled = client.poll_flight_info(with(&login, descriptor)).await.unwrap().into_inner();
        let mut stream = client.do_get(with(&login, ticket(&found))).await.unwrap().into_inner();
        let sent = Schema::try_from(&stream.message().await.unwrap().unwrap()).unwrap();
        assert_eq!(announced, sent, "{sql}");
        assert_eq!(described, sent, "{sql}");
        assert!(polled.flight_descriptor.is_none() && polled.progress == Some(1.0), "there is nothing more to wait for");
        let polled = polled.info.unwrap();
        assert!(get(&gateway, "alice", ticket(&polled)).await.is_ok(), "{sql}");
        assert_eq!(polled.try_decode_schema().unwrap(), sent, "{sql}");
        assert!(sent.fields().iter().all(|field| !matches!(field.data_type(), DataType::Utf8View | DataType::Dictionary(..))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e9_a_ticket_is_good_for_its_reader_alone_and_not_when_edited() {
    let gateway = shop().start().await;
    let bobs = ticket(&info(&gateway, "bob", "SELECT * FROM shop.orders").await);
    assert!(get(&gateway, "bob", bobs.clone()).await.unwrap() > 1);
    let stolen = get(&gateway, "alice", bobs.clone()).await.unwrap_err();
    assert_eq!(stolen.code(), Code::PermissionDenied);
    for at in [0, bobs.ticket.len() / 2, bobs.ticket.len() - 1] {
        let mut edited = bobs.ticket.to_vec();
        edited[at] ^= 1;
        let error = get(&gateway, "bob", Ticket { ticket: edited.into() }).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (stolen.code(), stolen.message()));
    }
    let made_up = get(&gateway, "bob", Ticket { ticket: "SELECT 1".into() }).await.unwrap_err();
    assert_eq!(made_up.code(), Code::PermissionDenied);
}

/// The action RenewFlightEndpoint.
async fn renew(gateway: &TestGateway, user: &str, endpoint: Option<FlightEndpoint>) -> Result<FlightEndpoint, Status> {
    let (mut client, login) = plain(gateway, user).await;
    let action = Action::new("RenewFlightEndpoint", RenewFlightEndpointRequest { endpoint }.encode_to_vec());
    let answer = client.do_action(with(&login, action)).await?.into_inner().message().await?;
    Ok(FlightEndpoint::decode(answer.unwrap().body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_says_when_it_expires_and_is_renewed_for_its_reader_alone() {
    let gateway = shop().start().await;
    let found = info(&gateway, "bob", "SELECT * FROM shop.orders").await;
    let old = found.endpoint[0].clone();
    let expires = |endpoint: &FlightEndpoint| endpoint.expiration_time.as_ref().unwrap().seconds;
    let life = expires(&old) - chrono::Utc::now().timestamp();
    assert!((14 * 60..=15 * 60).contains(&life), "{life}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = renew(&gateway, "bob", Some(old.clone())).await.unwrap();
    assert!(expires(&new) > expires(&old));
    assert_ne!(new.ticket, old.ticket);
    assert!(get(&gateway, "bob", new.ticket.clone().unwrap()).await.unwrap() > 1);
    assert_eq!(get(&gateway, "alice", new.ticket.clone().unwrap()).await.unwrap_err().code(), Code::PermissionDenied);

    let stolen = renew(&gateway, "alice", Some(old.clone())).await.unwrap_err();
    let mut edited = old.ticket.clone().unwrap().ticket.to_vec();
    edited[5] ^= 1;
    let edited = FlightEndpoint { ticket: Some(Ticket { ticket: edited.into() }), ..old.clone() };
    let edited = renew(&gateway, "bob", Some(edited)).await.unwrap_err();
    assert_eq!((stolen.code(), stolen.message()), (edited.code(), edited.message()));
    assert_eq!(stolen.code(), Code::PermissionDenied);
    assert_eq!(renew(&gateway, "bob", None).await.unwrap_err().code(), Code::InvalidArgument);

    let (mut client, login) = plain(&gateway, "bob").await;
    let actions: Vec<_> = client.list_actions(with(&login, Empty {})).await.unwrap().into_inner().try_collect().await.unwrap();
    assert!(actions.iter().any(|action| action.r#type == "RenewFlightEndpoint"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_carries_no_right_so_a_revocation_bites() {
    let gateway = shop().start().await;
    let bobs = ticket(&info(&gateway, "bob", "SELECT * FROM shop.orders").await);
    gateway.put_user("bob", "sales", &[], &[("region", "eu")]);
    let bitten = eventually(Duration::from_secs(5), || async { get(&gateway, "bob", bobs.clone()).await.is_err() }).await;
    assert!(bitten);
    let error = get(&gateway, "bob", bobs).await.unwrap_err();
    assert!(error.code() == Code::PermissionDenied && error.message().contains("42501"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_bind_in_the_order_of_their_numbers() {
    let gateway = shop().start().await;
    let mut client = gateway.flight("alice").await;
    let sql = format!("SELECT {}", (1..=12).map(|n| format!("CAST(${n} AS BIGINT)")).collect::<Vec<_>>().join(", "));
    let mut statement = client.prepare(sql, None).await.unwrap();
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 12);
    assert_eq!(statement.parameter_schema().unwrap().field(9).name(), "$10");
    let columns = (1..=12).map(|n| (format!("p{n}"), Arc::new(Int64Array::from(vec![(n != 5).then_some(n)])) as ArrayRef, true));
    statement.set_parameters(RecordBatch::try_from_iter_with_nullable(columns).unwrap()).unwrap();
    let found = statement.execute().await.unwrap();
    let rows: Vec<_> = client.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    let row: Vec<Option<i64>> = rows[0].columns().iter().map(|column| column.as_primitive::<Int64Type>().iter().next().unwrap()).collect();
    assert_eq!(row, (1..=12).map(|n| (n != 5).then_some(n)).collect::<Vec<_>>());
    statement.close().await.unwrap();

    let mut statement =
        client.prepare("SELECT order_id FROM shop.orders WHERE customer = $1 AND order_id > $2".to_owned(), None).await.unwrap();
    assert_eq!(statement.dataset_schema().unwrap().field(0).name(), "order_id");
    let bound = [("1", Arc::new(StringArray::from(vec!["N7"])) as ArrayRef), ("2", Arc::new(Int64Array::from(vec![5])) as ArrayRef)];
    statement.set_parameters(RecordBatch::try_from_iter(bound).unwrap()).unwrap();
    let found = statement.execute().await.unwrap();
    let rows: Vec<_> = client.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(numbers(&rows), [7]);
}

/// Prepares `sql`, binds a row for each of `values`, and asks for the flight info.
async fn bound(client: &mut Client, sql: &str, values: &[i64]) -> Result<FlightInfo, Status> {
    let mut statement = client.prepare(sql.to_owned(), None).await?;
    let rows = RecordBatch::try_from_iter([("$1", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).unwrap();
    statement.set_parameters(rows).unwrap();
    Ok(statement.execute().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_of_parameters_is_a_query_of_its_own() {
    let gateway = shop().start().await;
    let size = std::fs::metadata(gateway.folder().join("data/shop/orders.csv")).unwrap().len() as i64;
    let sql = "SELECT order_id, note FROM shop.orders WHERE order_id = $1";
    let mut alice = gateway.flight("alice").await;
    let found = bound(&mut alice, sql, &[5, 3, 999_999, 7]).await.unwrap();
    assert_eq!(found.endpoint.len(), 1);
    let mut stream = alice.do_get(ticket(&found)).await.unwrap();
    let rows: Vec<RecordBatch> = stream.by_ref().try_collect().await.unwrap();
    assert_eq!(numbers(&rows), [5, 3, 7], "in the order of the rows");
    assert_eq!(stream.schema().unwrap().as_ref(), &found.try_decode_schema().unwrap());
    let ledger = gateway.ledger().await;
    let told: Vec<_> = ledger.iter().map(|usage| (usage.bytes_scanned, usage.outcome.as_str())).collect();
    assert_eq!(told, [(size, "completed"); 4]);
    let ids: std::collections::BTreeSet<_> = ledger.iter().map(|usage| usage.query_id.as_str()).collect();
    assert_eq!(ids.len(), 4);

    // What each query has to tell comes with its first rows.
    let (mut client, login) = plain(&gateway, "bob").await;
    let mut bob = gateway.flight("bob").await;
    let found = bound(&mut bob, sql, &[1, 2, 4]).await.unwrap();
    let messages: Vec<_> = client.do_get(with(&login, ticket(&found))).await.unwrap().into_inner().try_collect().await.unwrap();
    let told = messages.iter().map(|message| serde_json::from_slice(&message.app_metadata).unwrap());
    let told: Vec<_> = told.map(|told: serde_json::Value| told["query_id"].as_str().unwrap().to_owned()).collect();
    let bobs: Vec<_> = gateway.ledger().await.into_iter().filter(|usage| usage.principal == "bob").map(|usage| usage.query_id).collect();
    assert_eq!(told, bobs, "the schema, and the rows of the two that he may read");

    // No rows, no queries; but somebody who may ask.
    let found = bound(&mut alice, sql, &[]).await.unwrap();
    let mut stream = alice.do_get(ticket(&found)).await.unwrap();
    assert_eq!(stream.by_ref().try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(stream.schema().unwrap().fields().len(), 2);
    assert_eq!(gateway.ledger().await.len(), 7);
    gateway.put_user("alice", "sales", &[], &[("region", "eu")]);
    let bitten = eventually(Duration::from_secs(5), || async { get(&gateway, "alice", ticket(&found)).await.is_err() });
    assert!(bitten.await, "also to be told the columns");
    assert_eq!(get(&gateway, "alice", ticket(&found)).await.unwrap_err().code(), Code::PermissionDenied);

    let many: Vec<i64> = (0..1001).collect();
    let error = bound(&mut bob, sql, &many).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("more than 1000 rows"), "{error}");
    let found = bound(&mut bob, "SELECT $1::bigint AS a", &many[..100]).await.unwrap();
    let rows: Vec<RecordBatch> = bob.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(numbers(&rows), many[..100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_execution_ends_by_deadline_and_by_cancellation_like_the_first() {
    let gateway = shop().start().await;
    let (mut client, login) = plain(&gateway, "alice").await;
    let mut alice = gateway.flight("alice").await;
    let found = bound(&mut alice, &format!("{ENDLESS} WHERE a.order_id < $1"), &[0, 1000, 0]).await.unwrap();
    let mut request = with(&login, ticket(&found));
    request.metadata_mut().insert("grpc-timeout", "2S".parse().unwrap());
    let read = async { client.do_get(request).await?.into_inner().try_collect::<Vec<_>>().await };
    let error = tokio::time::timeout(Duration::from_secs(30), read).await.expect("it ends").unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");

    let running = tokio::spawn({
        let (mut client, request) = (client.clone(), with(&login, ticket(&found)));
        async move { client.do_get(request).await?.into_inner().try_collect::<Vec<_>>().await }
    });
    let outcomes = || async { gateway.ledger().await.into_iter().map(|usage| usage.outcome).collect::<Vec<_>>() };
    assert!(eventually(Duration::from_secs(20), || async { outcomes().await.len() == 3 }).await, "the first of its rows is settled");
    let mut answers =
        client.do_action(with(&login, Action::new("CancelFlightInfo", CancelFlightInfoRequest::new(found).encode_to_vec()))).await.unwrap();
    let answer = CancelFlightInfoResult::decode(answers.get_mut().message().await.unwrap().unwrap().body).unwrap();
    assert_eq!(answer.status, CancelStatus::Cancelled as i32);
    assert_eq!(running.await.unwrap().unwrap_err().code(), Code::Cancelled);
    assert!(eventually(Duration::from_secs(10), || async { outcomes().await.len() == 4 }).await);
    assert_eq!(outcomes().await, ["completed", "cancelled", "completed", "cancelled"], "the third row was never begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_that_claim_to_be_huge_when_unpacked_are_refused() {
    let gateway = shop().start().await;
    let mut alice = gateway.flight("alice").await;
    let (mut client, login) = plain(&gateway, "alice").await;
    let prepared = ActionCreatePreparedStatementRequest { query: "SELECT $1::text AS a".to_owned(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", prepared.as_any().encode_to_vec());
    let body = client.do_action(with(&login, action)).await.unwrap().into_inner().message().await.unwrap().unwrap().body;
    let prepared: ActionCreatePreparedStatementResult = Any::decode(body).unwrap().unpack().unwrap().unwrap();
    let rows = RecordBatch::try_from_iter([("$1", Arc::new(StringArray::from(vec!["x".repeat(1000)])) as ArrayRef)]).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let encoder = FlightDataEncoderBuilder::new().with_options(options).build(futures::stream::iter([Ok(rows)]));
    let mut messages: Vec<FlightData> = encoder.try_collect().await.unwrap();
    let command = CommandPreparedStatementQuery { prepared_statement_handle: prepared.prepared_statement_handle };
    messages[0].flight_descriptor = Some(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
    // The length of the values, which comes before them: a petabyte.
    let mut body = messages[1].data_body.to_vec();
    let at = body.windows(8).rposition(|bytes| bytes == 1000_i64.to_le_bytes()).expect("the values' length is in the body");
    body[at..at + 8].copy_from_slice(&(1_i64 << 50).to_le_bytes());
    messages[1].data_body = body.into();
    let error = client.do_put(with(&login, futures::stream::iter(messages))).await.map(drop).unwrap_err();
    assert!(error.code() == Code::Unimplemented && error.message().contains("compressed"), "{error}");
    assert_eq!(numbers(&read(&mut alice, "SELECT 1::bigint").await.unwrap()), [1], "the gateway lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_statement_is_described_only_to_those_who_may_run_it() {
    let gateway = shop().start().await;
    let mut carol = gateway.flight("carol").await;
    let error = carol.prepare("SELECT * FROM shop.orders".to_owned(), None).await.unwrap_err();
    assert_eq!(Status::from(error).code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_postgresql_says() {
    let gateway = shop().start().await;
    for (user, sql, code, sqlstate) in [
        ("carol", "SELECT * FROM shop.orders", Code::PermissionDenied, "42501"),
        ("carol", "SELECT * FROM shop.nothing", Code::NotFound, "42P01"),
        ("alice", "SELECT nothing FROM shop.orders", Code::InvalidArgument, "42703"),
        ("alice", "SELEC 1", Code::InvalidArgument, "42601"),
        ("alice", "SELECT 1; SELECT 2", Code::InvalidArgument, "42601"),
        ("alice", "DELETE FROM shop.orders", Code::FailedPrecondition, "25006"),
        ("alice", "BEGIN", Code::Unimplemented, "0A000"),
        ("alice", "COPY (SELECT 1) TO STDOUT", Code::Unimplemented, "0A000"),
        ("alice", "SELECT 1/0", Code::InvalidArgument, "22012"),
    ] {
        let error = refused(&gateway, user, sql).await;
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(error.message().contains(&format!("(SQLSTATE {sqlstate})")), "{sql}: {error}");
        assert!(error.details().windows(8).any(|bytes| bytes == b"meshgate"), "{sql} has its ErrorInfo");
    }
    assert!(refused(&gateway, "carol", "SELECT * FROM shop.orders").await.message().contains("HINT:"));
    let mut client = gateway.flight("alice").await;
    assert_eq!(Status::from(client.begin_transaction().await.unwrap_err()).code(), Code::Unimplemented);
    let update = client.execute_update("INSERT INTO shop.orders VALUES (1)".to_owned(), None).await.unwrap_err();
    assert_eq!(Status::from(update).code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_nowhere() {
    let gateway = shop().start().await;
    let mut stranger = gateway.flight_stranger().await;
    let error = stranger.execute("SELECT 1".to_owned(), None).await.unwrap_err();
    assert_eq!(Status::from(error).code(), Code::Unauthenticated);
    let (mut client, _) = plain(&gateway, "alice").await;
    let mut handshake = async |name: &str| {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{name}:wrong"));
        client.handshake(with(&format!("Basic {basic}"), futures::stream::empty())).await.map(drop).unwrap_err()
    };
    let (wrong, unknown) = (handshake("alice").await, handshake("alicf").await);
    assert_eq!((wrong.code(), wrong.message().replace("alice", "alicf")), (unknown.code(), unknown.message().to_owned()));
    assert_eq!(wrong.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_show_what_may_be_read_with_or_without_a_catalog() {
    let gateway = shop().start().await;
    let mut alice = gateway.flight("alice").await;
    let mut carol = gateway.flight("carol").await;
    async fn tables(client: &mut Client, command: CommandGetTables) -> Vec<RecordBatch> {
        let found = client.get_tables(command).await.unwrap();
        client.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap()
    }
    let products = || CommandGetTables { table_types: vec!["TABLE".to_owned()], ..CommandGetTables::default() };
    assert_eq!(texts(&tables(&mut alice, products()).await, 2), ["orders"]);
    assert!(texts(&tables(&mut carol, products()).await, 2).is_empty());
    let named = CommandGetTables { catalog: Some("mesh".to_owned()), include_schema: true, ..products() };
    let described = tables(&mut alice, named).await;
    let schema = described[0].column(4).as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(arrow_flight::IpcMessage(schema.into())).unwrap();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["order_id", "customer", "region", "note"]);
    assert_eq!(schema.field(0).metadata()["ARROW:FLIGHT:SQL:REMARKS"], "Key");

    let found = alice.get_catalogs().await.unwrap();
    let catalogs: Vec<_> = alice.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(texts(&catalogs, 0), ["mesh"]);
    let found =
        alice.get_db_schemas(CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: Some("sh%".to_owned()) }).await.unwrap();
    let schemas: Vec<_> = alice.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(texts(&schemas, 1), ["shop"]);
    let found = alice.get_primary_keys(CommandGetPrimaryKeys { table: "orders".to_owned(), ..Default::default() }).await.unwrap();
    assert_eq!(found.clone().try_decode_schema().unwrap().fields().len(), 6);
    let keys: Vec<RecordBatch> = alice.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(keys.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_types_are_told_in_the_schemas_of_flight_sql() {
    let gateway = shop().start().await;
    let mut alice = gateway.flight("alice").await;
    let table = || "orders".to_owned();
    let keys = [
        alice.get_exported_keys(CommandGetExportedKeys { table: table(), ..Default::default() }).await.unwrap(),
        alice.get_imported_keys(CommandGetImportedKeys { table: table(), ..Default::default() }).await.unwrap(),
        alice.get_cross_reference(CommandGetCrossReference { pk_table: table(), fk_table: table(), ..Default::default() }).await.unwrap(),
        alice.get_primary_keys(CommandGetPrimaryKeys { table: table(), ..Default::default() }).await.unwrap(),
    ];
    for (found, columns) in keys.into_iter().zip([13, 13, 13, 6]) {
        let mut stream = alice.do_get(ticket(&found)).await.unwrap();
        let rows: usize = stream.by_ref().try_fold(0, async |rows, batch| Ok(rows + batch.num_rows())).await.unwrap();
        let announced = found.try_decode_schema().unwrap();
        assert_eq!((rows, announced.fields().len()), (0, columns));
        assert_eq!(stream.schema().unwrap().as_ref(), &announced);
    }
    let types = async |client: &mut Client, data_type: Option<i32>| {
        let found = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type }).await.unwrap();
        let batches: Vec<RecordBatch> = client.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
        assert_eq!(batches[0].schema().as_ref(), &found.try_decode_schema().unwrap());
        texts(&batches, 0)
    };
    assert!(types(&mut alice, None).await.len() > 15);
    assert_eq!(types(&mut alice, Some(XdbcDataType::XdbcTimestamp as i32)).await, ["timestamp", "timestamptz"]);
    let named = "SELECT 1::smallint, 1::integer, 1::bigint, 1::real, 1::double precision, 1::numeric(76,0), true::boolean, 'a'::text, \
                 '2026-01-01'::date, '2026-01-01'::timestamp, '2026-01-01'::timestamptz, '10:00'::time, 'a'::bytea, interval '1 day'";
    assert_eq!(read(&mut alice, named).await.unwrap()[0].num_columns(), 14, "types go by these names");
}

/// What SqlInfo says, by code: as far as it is a set, a Boolean or a list of names.
async fn facts(client: &mut Client) -> HashMap<u32, String> {
    let found = client.get_sql_info(Vec::new()).await.unwrap();
    let batches: Vec<RecordBatch> = client.do_get(ticket(&found)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches[0].schema().as_ref(), &found.try_decode_schema().unwrap());
    let (names, values) = (batches[0].column(0).as_primitive::<UInt32Type>(), batches[0].column(1).as_union());
    let told = names.values().iter().enumerate().map(|(at, name)| {
        let value = values.value(at);
        let options = FormatOptions::default();
        (*name, ArrayFormatter::try_new(value.as_ref(), &options).unwrap().value(0).to_string())
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_it_can_do_it_does() {
    let gateway = shop().start().await;
    let mut alice = gateway.flight("alice").await;
    let facts = facts(&mut alice).await;
    let fact = |info: SqlInfo| facts[&(info as u32)].clone();
    let bit = |info: SqlInfo, ordinal: i32| (fact(info).parse::<i32>().unwrap() >> ordinal & 1 == 1).to_string();
    let (group, sub, union) = (SqlInfo::SqlSupportedGroupBy, SqlInfo::SqlSupportedSubqueries, SqlInfo::SqlSupportedUnions);
    let claims = [
        (fact(SqlInfo::SqlSupportsColumnAliasing), "SELECT order_id AS a FROM shop.orders"),
        (fact(SqlInfo::SqlSupportsTableCorrelationNames), "SELECT a.order_id FROM shop.orders a"),
        (fact(SqlInfo::SqlSupportsExpressionsInOrderBy), "SELECT order_id FROM shop.orders ORDER BY order_id % 7"),
        (fact(SqlInfo::SqlSupportsOrderByUnrelated), "SELECT order_id FROM shop.orders ORDER BY note"),
        (fact(SqlInfo::SqlSupportsLikeEscapeClause), "SELECT note LIKE 'a!_' ESCAPE '!' FROM shop.orders"),
        (
            fact(SqlInfo::SqlCorrelatedSubqueriesSupported),
            "SELECT 1 FROM shop.orders a WHERE EXISTS (SELECT 1 FROM shop.orders b WHERE b.order_id = a.order_id)",
        ),
        (fact(SqlInfo::SqlCatalogAtStart), "SELECT order_id FROM mesh.shop.orders"),
        (fact(SqlInfo::SqlSelectForUpdateSupported), "SELECT order_id FROM shop.orders FOR UPDATE"),
        (fact(SqlInfo::SqlDdlTable), "CREATE TABLE a (b int)"),
        (fact(SqlInfo::SqlTransactionsSupported), "BEGIN"),
        (fact(SqlInfo::SqlSavepointsSupported), "SAVEPOINT a"),
        (fact(SqlInfo::SqlStoredProceduresSupported), "CALL a()"),
        (bit(group, SqlSupportedGroupBy::SqlGroupByUnrelated as i32), "SELECT count(*) FROM shop.orders GROUP BY region"),
        (bit(group, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32), "SELECT region FROM shop.orders GROUP BY region, note"),
        (bit(sub, SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32), "SELECT 1 FROM shop.orders WHERE order_id = (SELECT 1)"),
        (bit(sub, SqlSupportedSubqueries::SqlSubqueriesInExists as i32), "SELECT 1 FROM shop.orders WHERE EXISTS (SELECT 1)"),
        (bit(sub, SqlSupportedSubqueries::SqlSubqueriesInIns as i32), "SELECT 1 FROM shop.orders WHERE order_id IN (SELECT 1)"),
        (
            bit(sub, SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32),
            "SELECT 1 FROM shop.orders WHERE order_id > ALL (SELECT 1) OR order_id = ANY (SELECT 1)",
        ),
        (bit(union, SqlSupportedUnions::SqlUnion as i32), "SELECT 1 UNION SELECT 2"),
        (bit(union, SqlSupportedUnions::SqlUnionAll as i32), "SELECT 1 UNION ALL SELECT 2"),
    ];
    for (claimed, sql) in claims {
        assert_eq!(claimed, read(&mut alice, sql).await.is_ok().to_string(), "{sql}");
    }
    let joined = "SELECT 1 FROM shop.orders a FULL OUTER JOIN shop.orders b ON a.order_id = b.order_id + 1";
    assert_eq!(fact(SqlInfo::SqlOuterJoinsSupportLevel), "2");
    assert!(read(&mut alice, joined).await.is_ok());
    assert_eq!((fact(SqlInfo::SqlNullOrdering).as_str(), fact(SqlInfo::SqlNullPlusNullIsNull).as_str()), ("0", "true"), "NULLs sort high");
    let sorted = read(&mut alice, "SELECT coalesce(a, -1) FROM (VALUES (1::bigint), (NULL + NULL), (2)) t(a) ORDER BY a").await.unwrap();
    assert_eq!(numbers(&sorted), [1, 2, -1]);
    let escape = fact(SqlInfo::SqlSearchStringEscape);
    let like = format!("SELECT count(*) FROM (VALUES ('a_'), ('ab')) t(a) WHERE a LIKE 'a{escape}_'");
    assert_eq!(numbers(&read(&mut alice, &like).await.unwrap()), [1]);

    let calls = [
        (
            SqlInfo::SqlNumericFunctions,
            "abs(1) acos(1) asin(1) atan(1) atan2(1, 1) ceil(1.5) ceiling(1.5) cos(1) cot(1) degrees(1) exp(1) \
            floor(1.5) ln(1) log10(1) pi() power(1, 1) radians(1) random() round(1.5) sign(1) sin(1) sqrt(1)",
        ),
        (
            SqlInfo::SqlStringFunctions,
            "ascii('a') btrim('a') char_length('a') chr(65) concat('a') initcap('a') left('a', 1) length('a') lower('a') \
            lpad('a', 2) ltrim('a') octet_length('a') repeat('a', 2) replace('a', 'a', 'b') reverse('a') right('a', 1) rpad('a', 2) rtrim('a') \
            strpos('a', 'a') substr('a', 1) translate('a', 'a', 'b') upper('a')",
        ),
        (SqlInfo::SqlSystemFunctions, "coalesce(1) current_database() current_schema() nullif(1, 1)"),
        (SqlInfo::SqlDatetimeFunctions, "current_date date_part('year', now()) date_trunc('day', now()) now() to_char(now(), '%Y')"),
    ];
    for (info, calls) in calls {
        let listed = fact(info);
        let names: Vec<_> = listed.trim_matches(['[', ']']).split(", ").collect();
        assert!(names.iter().all(|name| calls.contains(name)), "{names:?}");
        let sql = format!("SELECT {}", calls.replace(") ", "), ").replace("current_date ", "current_date, "));
        let columns = read(&mut alice, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))[0].num_columns();
        assert_eq!(columns, names.len(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_flight_lists_paths_and_reads_them() {
    let gateway = shop().start().await;
    let (mut client, login) = plain(&gateway, "bob").await;
    let flights: Vec<_> = client.list_flights(with(&login, Criteria::default())).await.unwrap().into_inner().try_collect().await.unwrap();
    let path = |info: &FlightInfo| info.flight_descriptor.as_ref().unwrap().path.clone();
    let orders = flights.iter().find(|info| path(info) == ["shop", "orders"]).expect("bob's flight is listed");
    assert!(get(&gateway, "bob", ticket(orders)).await.unwrap() > 1);
    let descriptor = FlightDescriptor::new_path(vec!["shop".to_owned(), "orders".to_owned()]);
    let found = client.get_flight_info(with(&login, descriptor.clone())).await.unwrap().into_inner();
    assert!(get(&gateway, "bob", ticket(&found)).await.unwrap() > 1);
    let (mut client, login) = plain(&gateway, "carol").await;
    assert_eq!(client.get_flight_info(with(&login, descriptor)).await.unwrap_err().code(), Code::PermissionDenied);
    let flights: Vec<_> = client.list_flights(with(&login, Criteria::default())).await.unwrap().into_inner().try_collect().await.unwrap();
    assert!(flights.iter().all(|info| path(info) != ["shop", "orders"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_carries_its_session() {
    let gateway = shop().start().await;
    let (mut client, login) = plain(&gateway, "alice").await;
    let answer = client.get_flight_info(with(&login, command("SET meshgate.purpose = 'audit'"))).await.unwrap();
    let (token, cookie) = (answer.metadata().get("authorization").unwrap(), answer.metadata().get("set-cookie").unwrap());
    let (token, cookie) = (token.to_str().unwrap().to_owned(), cookie.to_str().unwrap().split(';').next().unwrap().to_owned());

    let shown = |mut client: FlightServiceClient<Channel>, headers: Vec<(&'static str, String)>| async move {
        let request = |message: FlightDescriptor| {
            let mut request = Request::new(message);
            headers.iter().for_each(|(name, value)| drop(request.metadata_mut().insert(*name, value.parse().unwrap())));
            request
        };
        let found = client.get_flight_info(request(command("SHOW meshgate.purpose"))).await?.into_inner();
        let request = request(FlightDescriptor::default()).map(|_| ticket(&found));
        let stream = client.do_get(request).await?.into_inner();
        let batches: Vec<RecordBatch> =
            FlightRecordBatchStream::new_from_flight_data(stream.map_err(Into::into)).try_collect().await.unwrap();
        Ok::<_, Status>(texts(&batches, 0).remove(0))
    };
    assert_eq!(shown(client.clone(), vec![("authorization", login.clone())]).await.unwrap(), "");
    assert_eq!(shown(client.clone(), vec![("authorization", token.clone())]).await.unwrap(), "audit");
    assert_eq!(shown(client.clone(), vec![("authorization", login.clone()), ("cookie", cookie.clone())]).await.unwrap(), "audit");
    let header = ("x-meshgate-purpose", "fraud".to_owned());
    assert_eq!(shown(client.clone(), vec![("authorization", token), header]).await.unwrap(), "fraud");

    // A session is its principal's own, and cannot be made up.
    let (client, bobs_login) = plain(&gateway, "bob").await;
    let stolen = shown(client.clone(), vec![("authorization", bobs_login), ("cookie", cookie)]).await.unwrap_err();
    assert!(stolen.message().contains("session is not valid"), "{stolen}");
    let made_up = shown(client, vec![("authorization", login), ("cookie", "meshgate-session=abc".to_owned())]).await.unwrap_err();
    assert_eq!(made_up.message(), stolen.message());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_under_way_can_be_cancelled_by_its_reader_only() {
    let gateway = shop().start().await;
    let endless = info(&gateway, "bob", ENDLESS).await;
    let (mut client, login) = plain(&gateway, "bob").await;
    let running = tokio::spawn({
        let (mut client, request) = (client.clone(), with(&login, ticket(&endless)));
        async move { client.do_get(request).await?.into_inner().try_collect::<Vec<_>>().await }
    });
    let cancel = |mut client: FlightServiceClient<Channel>, login: String| {
        let body = CancelFlightInfoRequest::new(endless.clone()).encode_to_vec();
        async move {
            let mut answers = client.do_action(with(&login, Action::new("CancelFlightInfo", body))).await.unwrap().into_inner();
            let answer = CancelFlightInfoResult::decode(answers.message().await.unwrap().unwrap().body).unwrap();
            answer.status == CancelStatus::Cancelled as i32
        }
    };
    let (other, others_login) = plain(&gateway, "alice").await;
    assert!(!cancel(other, others_login).await, "somebody else's result");
    assert!(eventually(Duration::from_secs(10), || cancel(client.clone(), login.clone())).await);
    let error = running.await.unwrap().unwrap_err();
    assert!(error.code() == Code::Cancelled && error.message().contains("57014"), "{error}");
    // By its older name too, when it is over.
    let body = ActionCancelQueryRequest { info: endless.encode_to_vec().into() }.as_any().encode_to_vec();
    let mut answers = client.do_action(with(&login, Action::new("CancelQuery", body))).await.unwrap().into_inner();
    let answer: ActionCancelQueryResult = Any::decode(answers.message().await.unwrap().unwrap().body).unwrap().unpack().unwrap().unwrap();
    assert_eq!(answer.result, CancelStatus::NotCancellable as i32);
    assert!(client.list_actions(with(&login, Empty {})).await.is_ok(), "the connection goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_stream_that_it_is_for() {
    let gateway = shop().start().await;
    let endless = info(&gateway, "bob", ENDLESS).await;
    let (mut client, login) = plain(&gateway, "bob").await;
    let mut request = with(&login, ticket(&endless));
    // Not through the client's own timer: the header alone.
    request.metadata_mut().insert("grpc-timeout", "500m".parse().unwrap());
    let ended =
        tokio::time::timeout(Duration::from_secs(20), async { client.do_get(request).await?.into_inner().try_collect::<Vec<_>>().await });
    let error = ended.await.expect("it ends").unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_is_charged_as_cancelled() {
    let gateway = shop().start().await;
    let sql = "SELECT a.order_id FROM shop.orders a, shop.orders b, shop.orders c";
    let endless = info(&gateway, "alice", sql).await;
    {
        let (mut client, login) = plain(&gateway, "alice").await;
        let mut stream = client.do_get(with(&login, ticket(&endless))).await.unwrap().into_inner();
        stream.message().await.unwrap();
        stream.message().await.unwrap();
    }
    let settled =
        eventually(Duration::from_secs(10), || async { gateway.ledger().await.iter().any(|usage| usage.outcome == "cancelled") }).await;
    let ledger = gateway.ledger().await;
    assert!(settled, "{ledger:?}");
    assert_eq!(ledger.iter().filter(|usage| usage.principal == "alice").count(), 1, "flight info reads nothing, so it owes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_results_fit_clients_that_take_4_mib() {
    let gateway = shop().start().await;
    let large = rows(&gateway, "alice", "SELECT repeat('x', 1000) AS a FROM shop.orders b, shop.orders c LIMIT 50000").await.unwrap();
    assert_eq!(large.iter().map(RecordBatch::num_rows).sum::<usize>(), 50_000);
}

/// The codec of each message with rows, how many bytes they take, and the rows.
async fn packed(gateway: &TestGateway, ticket: Ticket, word: Option<&'static str>) -> Result<(Vec<Option<i8>>, usize, i64), Status> {
    let (mut client, login) = plain(gateway, "alice").await;
    let mut request = with(&login, ticket);
    word.map(|word| request.metadata_mut().insert("x-meshgate-compression", word.parse().unwrap()));
    let messages: Vec<FlightData> = client.do_get(request).await?.into_inner().try_collect().await?;
    let codecs = messages.iter().filter_map(|message| {
        let batch = arrow::ipc::root_as_message(&message.data_header).unwrap().header_as_record_batch()?;
        Some(batch.compression().map(|compression| compression.codec().0))
    });
    let (codecs, bytes) = (codecs.collect(), messages.iter().map(|message| message.data_body.len()).sum());
    let batches = FlightRecordBatchStream::new_from_flight_data(futures::stream::iter(messages.into_iter().map(Ok)));
    Ok((codecs, bytes, numbers(&batches.try_collect::<Vec<_>>().await.unwrap()).iter().sum()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_results_are_compressed_for_those_who_ask_and_for_nobody_else() {
    let gateway = shop().start().await;
    let sql = "SELECT order_id, repeat('x', 500) AS a FROM shop.orders";
    let found = ticket(&info(&gateway, "alice", sql).await);
    let (codecs, plain_bytes, sum) = packed(&gateway, found.clone(), None).await.unwrap();
    assert!(!codecs.is_empty() && codecs.iter().all(Option::is_none));
    assert_eq!(sum, 499_500);
    for (word, codec) in [("zstd", CompressionType::ZSTD), ("LZ4", CompressionType::LZ4_FRAME)] {
        let (codecs, bytes, sum) = packed(&gateway, found.clone(), Some(word)).await.unwrap();
        assert!(!codecs.is_empty() && codecs.iter().all(|found| *found == Some(codec.0)), "{word}: {codecs:?}");
        assert!(bytes * 4 < plain_bytes && sum == 499_500, "{word}: {bytes} of {plain_bytes}");
    }
    assert_eq!(packed(&gateway, found.clone(), Some("none")).await.unwrap().1, plain_bytes);
    let error = packed(&gateway, found, Some("brotli")).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("meshgate.compression"), "{error}");

    // Asked for with the flight info, or for a session, it goes with the ticket.
    let (mut client, login) = plain(&gateway, "alice").await;
    let mut request = with(&login, command(sql));
    request.metadata_mut().insert("x-meshgate-compression", "zstd".parse().unwrap());
    let found = ticket(&client.get_flight_info(request).await.unwrap().into_inner());
    assert!(packed(&gateway, found, None).await.unwrap().1 * 4 < plain_bytes);
    // Listings too.
    let tables = FlightDescriptor::new_cmd(CommandGetTables::default().as_any().encode_to_vec());
    let found = ticket(&client.get_flight_info(with(&login, tables)).await.unwrap().into_inner());
    let mut request = with(&login, found);
    request.metadata_mut().insert("x-meshgate-compression", "brotli".parse().unwrap());
    assert_eq!(client.do_get(request).await.map(drop).unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_gzip_is_answered_in_gzip_and_a_stranger_is_not_unpacked() {
    let gateway = shop().start().await;
    let sql = "SELECT repeat('x', 500) AS a FROM shop.orders";
    let (client, login) = plain(&gateway, "alice").await;
    let mut packing = client.clone().send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let stranger = packing.get_flight_info(with(&login, command(sql))).await.unwrap_err();
    assert!(stranger.code() == Code::Unimplemented && stranger.message().contains("before a login"), "{stranger}");

    let hands = packing.handshake(with(&login, futures::stream::empty())).await.unwrap();
    drop(hands);
    let found = packing.get_flight_info(with(&login, command(sql))).await.unwrap();
    let encoding = |metadata: &MetadataMap| metadata.get("grpc-encoding").map(|encoding| encoding.to_str().unwrap().to_owned());
    assert_eq!(encoding(found.metadata()).as_deref(), Some("gzip"));
    let found = ticket(found.get_ref());
    let answer = packing.do_get(with(&login, found.clone())).await.unwrap();
    assert_eq!(encoding(answer.metadata()).as_deref(), Some("gzip"));
    let rows = FlightRecordBatchStream::new_from_flight_data(answer.into_inner().map_err(Into::into));
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1000);

    // As C++ and Java do: an offer, and plain messages.
    let mut offering = client.accept_compressed(CompressionEncoding::Gzip);
    assert_eq!(encoding(offering.do_get(with(&login, found)).await.unwrap().metadata()), None);

    // Unpacked, it is bound as it would be unpacked.
    let bomb = command(&format!("SELECT '{}'", "x".repeat(5 << 20)));
    let error = packing.get_flight_info(with(&login, bomb)).await.unwrap_err();
    assert!(matches!(error.code(), Code::ResourceExhausted | Code::OutOfRange), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e6_who_does_not_log_in_is_shown_out() {
    let gateway = shop().limits(|limits| limits.login_timeout = Duration::from_millis(300)).start().await;
    let mut idle = tokio::net::TcpStream::connect(gateway.addresses().flight).await.unwrap();
    let mut heard = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), idle.read_to_end(&mut heard)).await;
    assert!(closed.is_ok(), "a connection that says nothing is closed");
    let mut client = gateway.flight("alice").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(numbers(&read(&mut client, "SELECT 1::bigint").await.unwrap()), [1], "one that logged in stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_limit_a_connection_is_closed_and_a_closed_one_makes_room() {
    let gateway = shop().limits(|limits| limits.connections = 1).start().await;
    let first = gateway.flight("alice").await;
    let mut second = tokio::net::TcpStream::connect(gateway.addresses().flight).await.unwrap();
    let mut heard = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), second.read_to_end(&mut heard)).await;
    assert!(closed.is_ok() && heard.is_empty(), "closed without a word");
    drop(first);
    let room = eventually(Duration::from_secs(10), || async {
        let channel = Channel::from_shared(format!("http://{}", gateway.addresses().flight)).unwrap().connect().await;
        match channel {
            Ok(channel) => FlightSqlServiceClient::new(channel).handshake("alice", PASSWORD).await.is_ok(),
            Err(_) => false,
        }
    });
    assert!(room.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_lets_streams_finish_and_starts_none() {
    let mut gateway = shop().start().await;
    let (mut client, login) = plain(&gateway, "alice").await;
    let slow = info(&gateway, "alice", "SELECT a.order_id FROM shop.orders a, shop.orders b").await;
    let mut stream = client.do_get(with(&login, ticket(&slow))).await.unwrap().into_inner();
    stream.message().await.unwrap();
    gateway.stop_soon();
    let refused = eventually(Duration::from_secs(5), || async {
        let mut client = client.clone();
        client.do_get(with(&login, ticket(&slow))).await.is_err()
    });
    assert!(refused.await, "no query is started any more");
    let mut messages = 0;
    while stream.message().await.expect("the stream finishes").is_some() {
        messages += 1;
    }
    assert!(messages > 10);
    gateway.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_where_it_is_set_up() {
    let gateway = shop().tls().start().await;
    let certificate = std::fs::read(gateway.folder().join("tls.crt")).unwrap();
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(certificate))
        .domain_name("localhost");
    let endpoint = Channel::from_shared(format!("https://{}", gateway.addresses().flight)).unwrap().tls_config(tls).unwrap();
    let mut client = FlightSqlServiceClient::new(endpoint.connect().await.unwrap());
    client.handshake("alice", PASSWORD).await.unwrap();
    assert_eq!(numbers(&read(&mut client, "SELECT 1::bigint").await.unwrap()), [1]);
    let plain = Channel::from_shared(format!("http://{}", gateway.addresses().flight)).unwrap().connect().await;
    let answered = match plain {
        Ok(channel) => FlightSqlServiceClient::new(channel).handshake("alice", PASSWORD).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "nothing is said without TLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_options_are_all_or_nothing() {
    let gateway = shop().start().await;
    let (mut client, login) = plain(&gateway, "alice").await;
    let set = |options: &[(&str, &str)]| {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), OptionValue { text: Some((*value).to_owned()) })).collect();
        SetOptions { options }.encode_to_vec()
    };
    let answer =
        client.do_action(with(&login, Action::new("SetSessionOptions", set(&[("schema", "sales"), ("nonsense", "1")])))).await.unwrap();
    let mut body = answer.into_inner();
    let errors = SetResult::decode(body.message().await.unwrap().unwrap().body).unwrap().errors;
    assert_eq!(errors.into_iter().map(|(name, error)| (name, error.value)).collect::<Vec<_>>(), [("nonsense".to_owned(), 1)]);
    let answer = client.do_action(with(&login, Action::new("SetSessionOptions", set(&[("schema", "sales")])))).await.unwrap();
    let token = answer.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
    let mut answer = client.do_action(with(&token, Action::new("GetSessionOptions", Vec::new()))).await.unwrap().into_inner();
    let options = SetOptions::decode(answer.message().await.unwrap().unwrap().body).unwrap().options;
    assert_eq!(options["schema"].text.as_deref(), Some("sales"));
    assert_eq!(options["catalog"].text.as_deref(), Some("mesh"));
}

/// `SetSessionOptionsRequest` and `GetSessionOptionsResult` of Flight, as far as texts go.
#[derive(Clone, PartialEq, Message)]
struct SetOptions {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}
