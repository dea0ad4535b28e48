//! Tokens of an identity provider, at every door and for as long as they hold.

use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use jsonwebtoken::Algorithm;
use meshgate::config::{JwtIssuer, KeySource};
use serde_json::json;
use tokio_postgres::error::SqlState;
use tonic::transport::Channel;

use crate::harness::{Builder, Pg, TestGateway, eventually, flight_query, noon};
use crate::idp::{AUDIENCE, ISSUER, Signer, claims, key_set, unsigned};

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
      schema:
        - {name: id, type: bigint}
        - {name: region, type: text}
  sla: {freshness: 1d}
  policies:
    access: restricted
    rowFilters: [{expression: "region = $region", bind: {region: principal.attributes.region}}]
"#;

/// A query that does not end by itself.
const ENDLESS: &str = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN shop.orders o ON o.id = 1 WHERE n < 100000000) \
                       SELECT max(n) FROM r";

/// A gateway that believes one issuer, whose key file holds the public half of `key`.
fn believing(key: &Signer) -> Builder {
    let builder = shop();
    let jwks = builder.folder().join("jwks.json");
    std::fs::write(&jwks, key_set(&[key.public("k")])).unwrap();
    believing_keys_at(builder, KeySource::File(jwks))
}

pub fn shop() -> Builder {
    TestGateway::new().domain("shop").domain("claims").product(ORDERS).file("shop/orders.csv", "id,region\n1,eu\n2,us\n3,eu\n").user(
        "alice",
        "shop",
        &[],
        &[("region", "us")],
    )
}

pub fn believing_keys_at(builder: Builder, jwks: KeySource) -> Builder {
    builder.config(move |config| {
        config.jwt = vec![JwtIssuer {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks,
            name: "sub".to_owned(),
            prefix: String::new(),
            domain: "domain".to_owned(),
            groups: "groups".to_owned(),
            attributes: vec!["region".to_owned()],
            algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
            leeway: Duration::from_secs(30),
        }];
    })
}

fn now() -> i64 {
    noon().timestamp()
}

pub fn reader(key: &Signer, name: &str) -> String {
    key.token("k", &claims(name, "claims", &["dp-shop-orders-reader"], now()))
}

pub async fn count(client: &Pg) -> String {
    match client.text_rows("SELECT count(*) FROM shop.orders").await {
        Ok(rows) => rows[0][0].clone().unwrap(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

async fn bearer(gateway: &TestGateway, token: &str) -> FlightSqlServiceClient<Channel> {
    let mut client = gateway.flight_stranger().await;
    client.set_token(token.to_owned());
    client
}

async fn flight_count(gateway: &TestGateway, token: &str) -> Result<i64, String> {
    let mut client = bearer(gateway, token).await;
    let batches = flight_query(&mut client, "SELECT count(*) AS n FROM shop.orders").await.map_err(|error| error.to_string())?;
    let counts = batches[0].column(0).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap();
    Ok(counts.value(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_every_door_with_the_rights_that_it_carries() {
    for key in [Signer::es256(), Signer::ed25519(), Signer::rs256()] {
        let gateway = believing(&key).start().await;
        let token = reader(&key, "ann");
        let session = gateway.try_pg("jwt", &token).await.unwrap();
        assert_eq!(session.text_rows("SELECT current_user").await.unwrap(), [[Some("ann".to_owned())]]);
        assert_eq!(count(&session).await, "2", "its region's rows, by the token's attribute");
        assert_eq!(flight_count(&gateway, &token).await, Ok(2));
        // As the password of Basic: Handshake gives the token back, and nothing that would outlive it.
        let mut client = gateway.flight_stranger().await;
        client.handshake("jwt", &token).await.unwrap();
        assert_eq!(client.token(), Some(&token));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_every_forged_token_is_refused_and_told_the_same_at_each_door() {
    let key = Signer::es256();
    let gateway = believing(&key).start().await;
    let sound = claims("ann", "claims", &[], now());
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = sound.clone();
        claims[name] = value;
        key.token("k", &claims)
    };
    let forged = [
        format!("{}.", unsigned(r#"{"alg":"none"}"#, &sound.to_string())),
        Signer::es256().token("k", &sound),
        key.token("other", &sound),
        with("aud", json!("other")),
        with("iss", json!("https://other.example/")),
        with("exp", json!(now() - 1)),
        with("nbf", json!(now() + 600)),
        with("domain", json!("nowhere")),
        with("sub", json!("alice")),
        "x".repeat(30_000),
        "demo".to_owned(),
        String::new(),
    ];
    for token in &forged {
        let error = gateway.try_pg("jwt", token).await.map(drop).expect_err("it is refused");
        let told = error.as_db_error().map(|told| (told.code().code().to_owned(), told.message().to_owned()));
        // An empty password does not even leave some clients.
        if !token.is_empty() {
            assert_eq!(told, Some(("28P01".to_owned(), "password authentication failed for user \"jwt\"".to_owned())), "{token:.60}");
            assert!(error.as_db_error().unwrap().detail().is_none() && error.as_db_error().unwrap().hint().is_none());
        }
        if token.len() < 10_000 {
            let error = flight_count(&gateway, token).await.unwrap_err();
            assert!(error.contains("invalid or expired bearer token") || token.is_empty(), "{error}");
            let error = gateway.flight_stranger().await.handshake("jwt", token).await.unwrap_err().to_string();
            assert!(error.contains("password authentication failed for user"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_never_speaks_for_a_user_of_the_users_file() {
    let key = Signer::es256();
    let gateway = believing(&key).start().await;
    // A token that says it is alice; a token as alice's password; alice's password as a token.
    let posing = key.token("k", &claims("alice", "shop", &["platform-admin"], now()));
    for (user, password) in [("jwt", posing.as_str()), ("alice", posing.as_str()), ("jwt", "demo")] {
        let error = gateway.try_pg(user, password).await.map(drop).expect_err("it is refused");
        assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD), "{user}");
    }
    // Whoever gets a user's name later ends the token's sessions.
    let session = gateway.try_pg("jwt", &reader(&key, "bea")).await.unwrap();
    assert_eq!(count(&session).await, "2");
    gateway.put_user("bea", "shop", &[], &[]);
    let ended = eventually(Duration::from_secs(2), || async { count(&session).await != "2" }).await;
    assert!(ended);
    assert_eq!(count(&gateway.pg("alice").await).await, "1", "users go on as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tokens_of_one_name_keep_their_rights_apart() {
    let key = Signer::ed25519();
    let gateway = believing(&key).start().await;
    let narrow = key.token("k", &claims("ann", "claims", &[], now()));
    let mut elsewhere = claims("ann", "claims", &["dp-shop-orders-reader"], now());
    elsewhere["region"] = "us".into();
    let elsewhere = key.token("k", &elsewhere);
    let wide = reader(&key, "ann");
    let (narrow_pg, wide_pg) = (gateway.try_pg("jwt", &narrow).await.unwrap(), gateway.try_pg("jwt", &wide).await.unwrap());
    let elsewhere_pg = gateway.try_pg("jwt", &elsewhere).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            (count(&wide_pg).await.as_str(), count(&elsewhere_pg).await.as_str(), count(&narrow_pg).await.as_str()),
            ("2", "1", "42501")
        );
        // Listings are cached by reader.
        let listed = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'shop'";
        assert_eq!(wide_pg.text_rows(listed).await.unwrap()[0][0].as_deref(), Some("1"));
        assert_eq!(narrow_pg.text_rows(listed).await.unwrap()[0][0].as_deref(), Some("0"));
    }
    // A ticket is a request: with the other token it has the other token's rights.
    let info = bearer(&gateway, &wide).await.execute("SELECT id FROM shop.orders".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert!(bearer(&gateway, &wide).await.do_get(ticket.clone()).await.is_ok());
    assert!(bearer(&gateway, &narrow).await.do_get(ticket).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_what_it_runs_end_with_the_token() {
    let key = Signer::es256();
    let gateway = believing(&key).start().await;
    let token = reader(&key, "ann");
    let (session, idle) = (gateway.try_pg("jwt", &token).await.unwrap(), gateway.try_pg("jwt", &token).await.unwrap());
    let info = bearer(&gateway, &token).await.execute("SELECT id FROM shop.orders".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let endless = tokio::spawn(async move { session.simple_query(ENDLESS).await.map(drop) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!endless.is_finished());
    gateway.clock().advance(TimeDelta::seconds(3601));
    let error = tokio::time::timeout(Duration::from_secs(5), endless).await.expect("within five seconds").unwrap().unwrap_err();
    assert_eq!(error.code().map(SqlState::code), Some("28000"), "{error}");
    let gone = eventually(Duration::from_secs(2), || async { idle.is_closed() }).await;
    assert!(gone, "an idle session is ended too");
    assert!(flight_count(&gateway, &token).await.unwrap_err().contains("invalid or expired bearer token"));
    assert!(bearer(&gateway, &token).await.do_get(ticket).await.is_err(), "a ticket does not outlive the token");
    let ended = gateway.ledger().await.into_iter().rfind(|usage| usage.principal == "ann" && usage.outcome == "revoked");
    assert_eq!(ended.map(|usage| usage.consumer_domain).as_deref(), Some("claims"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_away_ends_what_it_let_in() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let gateway = believing(&old).start().await;
    let session = gateway.try_pg("jwt", &reader(&old, "ann")).await.unwrap();
    let running = gateway.try_pg("jwt", &reader(&old, "ann")).await.unwrap();
    let endless = tokio::spawn(async move { running.simple_query(ENDLESS).await.map(drop) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A file that is no key set changes nothing.
    let jwks = gateway.folder().join("jwks.json");
    std::fs::write(&jwks, "{").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&session).await, "2");
    std::fs::write(&jwks, key_set(&[new.public("k")])).unwrap();
    let let_in = eventually(Duration::from_secs(2), || async { gateway.try_pg("jwt", &reader(&new, "ann")).await.is_ok() }).await;
    assert!(let_in, "the new key holds");
    assert!(gateway.try_pg("jwt", &reader(&old, "ann")).await.is_err());
    assert_ne!(count(&session).await, "2");
    let error = tokio::time::timeout(Duration::from_secs(5), endless).await.expect("within five seconds").unwrap().unwrap_err();
    assert_eq!(error.code().map(SqlState::code), Some("28000"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_issuer_the_name_jwt_is_like_any_other() {
    let key = Signer::es256();
    let gateway = believing(&key).config(|config| config.jwt.clear()).start().await;
    let token = reader(&key, "ann");
    let error = gateway.try_pg("jwt", &token).await.map(drop).expect_err("it is refused");
    assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD));
    assert!(flight_count(&gateway, &token).await.unwrap_err().contains("invalid or expired bearer token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_basic_header_is_no_token() {
    let key = Signer::es256();
    let gateway = believing(&key).start().await;
    let mut client = gateway.flight_stranger().await;
    client.set_header("authorization", format!("Basic {}", STANDARD.encode(reader(&key, "ann"))));
    assert!(client.execute("SELECT 1".to_owned(), None).await.is_err());
}
