//! Asking for access, deciding on it, ending it: over HTTP, and what queries then do.

use std::time::Duration;

use base64::Engine;
use chrono::TimeDelta;
use meshgate::identity::users::{UserEntry, add_user, make_verifier};
use serde_json::{Value, json};

use crate::harness::{Builder, FINANCE, PASSWORD, TestGateway, eventually, flight_query};
use crate::http::Process;

const SECOND: Duration = Duration::from_secs(1);
const ORDERS: &str = "SELECT count(*) FROM shop.orders";

fn product(name: &str, policies: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: shop\n  version: 1.0.0\n  description: One row per order.\n  \
         owner: {{team: shop, contact: shop@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: csv\n      \
         location: file:data/shop/orders.csv\n      options: {{header: true}}\n      schema: [{{name: id, type: bigint}}, {{name: mail, type: text, \
         classification: PII.Email}}]\n  sla: {{freshness: 1h}}\n  policies: {{{policies}}}\n"
    )
}

/// A shop with a restricted product, one for a purpose, a private one and a draft. `ann` and `bob` work elsewhere; `sam`, `sue` and `tim` are
/// stewards, `tim` of another domain.
fn shop() -> Builder {
    let draft = product("plans", "access: public").replace("status: active", "status: draft");
    TestGateway::new()
        .domain("shop")
        .domain("sales")
        .product(&product("orders", "access: restricted"))
        .product(&product("studied", "access: restricted, purposes: [fraud, audit]"))
        .product(&product("vault", "access: private"))
        .product(&product("abroad", "access: restricted, residency: [us]"))
        .product(&draft)
        .file("shop/orders.csv", "id,mail\n1,a@x.example\n2,b@x.example\n")
        .user("ann", "sales", &[], &[("region", "eu")])
        .user("bob", "sales", &[], &[("region", "eu")])
        .user("sam", "shop", &["shop-stewards"], &[])
        .user("sue", "shop", &["shop-stewards"], &[])
        .user("tim", "sales", &["shop-stewards"], &[])
        .user("clerk", "shop", &[], &[])
        .user("root", "platform", &["platform-admin"], &[])
}

fn basic(user: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}")))
}

/// A request with this head and body, as it is written: the status and the body.
async fn raw(gateway: &TestGateway, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n{body}");
    let answer = gateway.try_http(&request).await.expect("the HTTP door answers");
    (answer.status, answer.body)
}

async fn call(gateway: &TestGateway, user: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let head = format!("Authorization: {}\r\nContent-Type: application/json\r\n", basic(user));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, body) = raw(gateway, method, path, &head, &body).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn wish(product: &str) -> Value {
    json!({"product": product, "reason": "a study", "expires": "1h"})
}

/// The id of a request that must be taken.
async fn asked(gateway: &TestGateway, user: &str, wish: Value) -> String {
    let (status, answer) = call(gateway, user, "POST", "/access-requests", wish).await;
    assert_eq!(status, 201, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// The id of a grant that `sam` must be able to give.
async fn granted(gateway: &TestGateway, user: &str, wish: Value) -> String {
    let id = asked(gateway, user, wish).await;
    let (status, grant) = call(gateway, "sam", "POST", &format!("/access-requests/{id}/approve"), json!({"reason": "it helps"})).await;
    assert_eq!(status, 200, "{grant}");
    grant["id"].as_str().unwrap().to_owned()
}

async fn revoke(gateway: &TestGateway, user: &str, grant: &str) -> u16 {
    call(gateway, user, "DELETE", &format!("/grants/{grant}"), Value::Null).await.0
}

/// The rows as text, or the SQLSTATE.
async fn told(client: &crate::harness::Pg, sql: &str) -> String {
    match client.text_rows(sql).await {
        Ok(rows) => {
            let text = |row: Vec<Option<String>>| row.into_iter().map(|cell| cell.unwrap_or("NULL".into())).collect::<Vec<_>>().join("|");
            rows.into_iter().map(text).collect::<Vec<_>>().join(";")
        }
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

async fn sql(gateway: &TestGateway, user: &str, sql: &str) -> String {
    told(&gateway.pg(user).await, sql).await
}

#[tokio::test]
async fn an_approved_request_opens_the_product_to_its_reader_from_the_next_statement() {
    let gateway = shop().start().await;
    let (ann, bob) = (gateway.pg("ann").await, gateway.pg("bob").await);
    let listed = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'orders'";
    assert_eq!((told(&ann, ORDERS).await, told(&ann, listed).await), ("42501".into(), "0".into()));
    let id = asked(&gateway, "ann", wish("shop.orders")).await;
    assert_eq!(told(&ann, ORDERS).await, "42501", "asking opens nothing");
    let (status, grant) = call(&gateway, "sam", "POST", &format!("/access-requests/{id}/approve"), json!({"reason": "it helps"})).await;
    assert_eq!((status, &grant["expires_at"], &grant["granted_by"]), (200, &json!("2026-11-20T13:00:00Z"), &json!("sam")));
    assert_eq!((told(&ann, ORDERS).await, told(&ann, listed).await), ("2".into(), "1".into()));
    assert_eq!(told(&ann, "SELECT mail FROM shop.orders ORDER BY id").await, "x…@x.example;x…@x.example", "governed as for any reader");
    assert_eq!((told(&bob, ORDERS).await, told(&bob, listed).await), ("42501".into(), "0".into()));
    let why = format!(
        "SELECT count(*) FROM audit.decisions WHERE decision = 'permit' AND array_to_string(reasons, ';') LIKE '%the grant {}, approved by sam, holds until 2026-11-20 13:00:00 UTC%'",
        grant["id"].as_str().unwrap()
    );
    assert_ne!(sql(&gateway, FINANCE, &why).await, "0");
}

#[tokio::test]
async fn a_grant_runs_out_on_the_gateways_clock() {
    let gateway = shop().start().await;
    granted(&gateway, "ann", wish("shop.orders")).await;
    let ann = gateway.pg("ann").await;
    gateway.clock().advance(TimeDelta::minutes(59));
    assert_eq!(told(&ann, ORDERS).await, "2");
    gateway.clock().advance(TimeDelta::minutes(1));
    assert_eq!(told(&ann, ORDERS).await, "42501");
    assert_eq!(told(&ann, "SELECT status FROM mesh.grants").await, "expired");
}

/// Reads the product over and over.
const ENDLESS: &str = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN shop.orders o ON o.id = 1 WHERE n < 100000000) \
                       SELECT max(n) FROM r";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_query_ends_when_its_grant_is_revoked_or_runs_out() {
    let gateway = shop().start().await;
    for by_the_clock in [false, true] {
        let grant = granted(&gateway, "ann", wish("shop.orders")).await;
        let ann = gateway.pg("ann").await;
        let endless = tokio::spawn(async move { told(&ann, ENDLESS).await });
        tokio::time::sleep(SECOND).await;
        assert!(!endless.is_finished());
        if by_the_clock {
            gateway.clock().advance(TimeDelta::hours(1));
        } else {
            assert_eq!(revoke(&gateway, "sam", &grant).await, 204);
        }
        let answer = tokio::time::timeout(5 * SECOND, endless).await.expect("it ends within five seconds").unwrap();
        assert_eq!(answer, "42501", "by the clock: {by_the_clock}");
    }
    assert!(gateway.ledger().await.iter().all(|usage| usage.outcome == "revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_grant_bites_on_what_was_prepared_opened_and_ticketed() {
    let gateway = shop().start().await;
    let grant = granted(&gateway, "ann", wish("shop.orders")).await;
    let (prepared, cursor, mut flight) = (gateway.pg("ann").await, gateway.pg("ann").await, gateway.flight("ann").await);
    let statement = prepared.prepare(ORDERS).await.unwrap();
    assert_eq!(prepared.query(&statement, &[]).await.unwrap().len(), 1);
    told(&prepared, &format!("PREPARE p AS {ORDERS}")).await;
    assert_eq!(told(&cursor, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM shop.orders ORDER BY id; FETCH 1 FROM c").await, "1");
    let info = flight.execute(ORDERS.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert_eq!(revoke(&gateway, "sam", &grant).await, 204);
    // At once: whoever revoked was answered when it held.
    let error = prepared.query(&statement, &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("42501"));
    assert_eq!(told(&prepared, "EXECUTE p").await, "42501");
    assert_eq!(told(&prepared, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'orders'").await, "0");
    assert!(prepared.prepare(ORDERS).await.is_err(), "not even described");
    assert!(flight.do_get(ticket).await.is_err());
    assert!(flight_query(&mut flight, ORDERS).await.is_err());
    assert!(eventually(5 * SECOND, || async { told(&cursor, "FETCH 1 FROM c").await != "2" }).await, "a cursor outlives its right");
}

#[tokio::test]
async fn a_grant_for_a_purpose_holds_where_the_session_declares_it() {
    let gateway = shop().start().await;
    granted(&gateway, "ann", json!({"product": "shop.orders", "purpose": "fraud", "reason": "a study", "expires": "30d"})).await;
    let ann = gateway.pg("ann").await;
    let error = ann.simple_query(ORDERS).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "42501");
    assert_eq!(error.hint(), Some("Your grant for shop.orders is for the purpose fraud. Declare it with SET meshgate.purpose = 'fraud'."));
    assert_eq!(told(&ann, &format!("SET meshgate.purpose = 'audit'; {ORDERS}")).await, "42501");
    assert_eq!(told(&ann, &format!("SET meshgate.purpose = 'fraud'; {ORDERS}")).await, "2");
    // A product with purposes needs one of its own, whatever was granted.
    granted(&gateway, "bob", wish("shop.studied")).await;
    let bob = gateway.pg("bob").await;
    assert_eq!(told(&bob, "SELECT count(*) FROM shop.studied").await, "42501");
    assert_eq!(told(&bob, "SET meshgate.purpose = 'audit'; SELECT count(*) FROM shop.studied").await, "2");
    let other = json!({"product": "shop.studied", "purpose": "fun", "reason": "a study", "expires": "1h"});
    let (status, answer) = call(&gateway, "ann", "POST", "/access-requests", other).await;
    assert_eq!((status, &answer["error"]["hint"]), (400, &json!("Its purposes are: fraud, audit.")));
}

#[tokio::test]
async fn a_grant_does_not_override_residency() {
    let gateway = shop().start().await;
    granted(&gateway, "ann", wish("shop.abroad")).await;
    assert_eq!(sql(&gateway, "ann", "SELECT count(*) FROM shop.abroad").await, "42501");
}

#[tokio::test]
async fn what_one_must_not_know_of_is_missing_in_every_call() {
    let gateway = shop().start().await;
    for (hidden, missing) in [("shop.vault", "shop.wault"), ("shop.plans", "shop.qlans")] {
        for path in ["/access-requests", "/governance/policy-check"] {
            let body = |product: &str| match path {
                "/access-requests" => wish(product),
                _ => json!({"product": product}),
            };
            let mut answers = Vec::new();
            for product in [hidden, missing] {
                let head = format!("Authorization: {}\r\nContent-Type: application/json\r\n", basic("ann"));
                let (status, answer) = raw(&gateway, "POST", path, &head, &body(product).to_string()).await;
                assert_eq!(status, 404, "{answer}");
                answers.push(answer.replace(product, "it"));
            }
            assert_eq!(answers[0], answers[1], "{path}");
            assert!(answers[0].contains("UNDEFINED_TABLE"), "{}", answers[0]);
        }
    }
    let other = json!({"product": "shop.vault", "principal": "bob"});
    assert_eq!(call(&gateway, "ann", "POST", "/governance/policy-check", other).await.0, 404);
    // Whoever is granted it knows of it, as long as the grant holds.
    gateway.put_user("ann", "sales", &["dp-shop-vault-reader"], &[]);
    let known = eventually(3 * SECOND, || async { call(&gateway, "ann", "POST", "/access-requests", wish("shop.vault")).await.0 == 201 });
    assert!(known.await);
    gateway.put_user("ann", "sales", &[], &[]);
    let vault = "SELECT count(*) FROM shop.vault";
    let stranger =
        eventually(3 * SECOND, || async { gateway.try_pg("ann", PASSWORD).await.is_ok() && sql(&gateway, "ann", vault).await == "42P01" });
    assert!(stranger.await);
    let (_, all) = call(&gateway, "sam", "GET", "/access-requests?status=pending", Value::Null).await;
    let id = all["access_requests"][0]["id"].as_str().unwrap();
    let (_, grant) = call(&gateway, "sam", "POST", &format!("/access-requests/{id}/approve"), json!({"reason": "yes"})).await;
    assert_eq!(sql(&gateway, "ann", vault).await, "2");
    assert_eq!(sql(&gateway, "ann", "SELECT count(*) FROM mesh.products WHERE product = 'vault'").await, "1");
    assert_eq!(revoke(&gateway, "ann", grant["id"].as_str().unwrap()).await, 204, "it can be given back");
    assert_eq!(sql(&gateway, "ann", vault).await, "42P01");
    assert_eq!(sql(&gateway, "ann", "SELECT count(*) FROM mesh.products WHERE product = 'vault'").await, "0");
}

#[tokio::test]
async fn only_other_stewards_of_the_product_decide_and_of_two_at_once_one_is_told() {
    let gateway = shop().start().await;
    let own = asked(&gateway, "tim", wish("shop.orders")).await;
    let (status, answer) = call(&gateway, "tim", "POST", &format!("/access-requests/{own}/approve"), json!({"reason": "me"})).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("DENIED")), "{answer}");
    assert_eq!(answer["error"]["message"], "nobody decides on their own request");
    assert_eq!(sql(&gateway, "tim", ORDERS).await, "42501");
    let id = asked(&gateway, "ann", wish("shop.orders")).await;
    let decide = |user: &'static str, verdict: &'static str| {
        let path = format!("/access-requests/{id}/{verdict}");
        let gateway = &gateway;
        async move { call(gateway, user, "POST", &path, json!({"reason": "so be it"})).await }
    };
    for (user, status) in [("ann", 403), ("root", 403), ("bob", 404), ("clerk", 404), (FINANCE, 404)] {
        for verdict in ["approve", "reject"] {
            assert_eq!(decide(user, verdict).await.0, status, "{user} {verdict}");
        }
    }
    assert_eq!(sql(&gateway, "ann", ORDERS).await, "42501");
    let (one, other) = tokio::join!(decide("sam", "approve"), decide("sue", "reject"));
    let mut both = [one.0, other.0];
    both.sort_unstable();
    assert_eq!(both, [200, 409], "{one:?} {other:?}");
    let told = if one.0 == 409 { one.1 } else { other.1 };
    assert!(told["error"]["message"].as_str().unwrap().contains("already"), "{told}");
}

#[tokio::test]
async fn the_door_asks_who_it_is_and_counts_those_who_get_it_wrong() {
    let gateway = shop().start().await;
    let calls = [
        ("POST", "/access-requests"),
        ("GET", "/access-requests"),
        ("POST", "/access-requests/x/approve"),
        ("POST", "/access-requests/x/reject"),
        ("DELETE", "/access-requests/x"),
        ("DELETE", "/grants/x"),
        ("POST", "/governance/policy-check"),
    ];
    let wrong = format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode("ann:guess"));
    for (method, path) in calls {
        assert_eq!(raw(&gateway, method, path, "", "").await.0, 401, "{method} {path}");
        let (status, body) = raw(&gateway, method, path, &wrong, "not json").await;
        assert!(status == 401 && body.contains("28P01"), "{method} {path}: {body}");
    }
    let metrics = gateway.http("GET", "/metrics").await.body;
    let counted = format!("meshgate_logins_failed_total{{protocol=\"http\"}} {}", calls.len());
    assert!(metrics.lines().any(|line| line == counted), "{counted}\n{metrics}");
}

#[tokio::test]
async fn a_body_that_is_not_as_it_should_be_is_refused_with_what_would_be_right() {
    let gateway = shop().start().await;
    let json_head = format!("Authorization: {}\r\nContent-Type: application/json; charset=utf-8\r\n", basic("ann"));
    let long = format!("{{\"reason\": \"{}\"}}", "x".repeat(20_000));
    let deep = "[".repeat(10_000);
    let cases: [(&str, u16, &str); 15] = [
        ("", 400, "\\\"product\\\" is missing"),
        ("{", 400, "the body is not JSON: line 1, column 1"),
        ("[]", 400, "not an object"),
        ("\"x\"", 400, "not an object"),
        (&deep, 400, "the body is not JSON"),
        (&long, 413, "longer than 16384 bytes"),
        (r#"{"produkt": "shop.orders"}"#, 400, "unknown key `produkt`; did you mean `product`?"),
        (r#"{"product": 3, "reason": "r", "expires": "1h"}"#, 400, "\\\"product\\\" must be a text"),
        (r#"{"product": "orders", "reason": "r", "expires": "1h"}"#, 400, "domain.product"),
        (r#"{"product": "Shop.Orders'--", "reason": "r", "expires": "1h"}"#, 400, "domain.product"),
        (r#"{"product": "shop.orders", "reason": " ", "expires": "1h"}"#, 400, "\\\"reason\\\" has 1 to 1000 characters"),
        (r#"{"product": "shop.orders", "reason": "r", "expires": "soon"}"#, 400, "neither a duration nor a time"),
        (r#"{"product": "shop.orders", "reason": "r", "expires": "91d"}"#, 400, "too far away"),
        (r#"{"product": "shop.orders", "reason": "r", "expires": "2026-11-20T11:59:59Z"}"#, 400, "lies in the past"),
        (r#"{"product": "shop.orders", "reason": "r", "expires": "2027-11-20T11:59:59Z"}"#, 400, "too far away"),
    ];
    for (body, status, message) in cases {
        let shown: String = body.chars().take(80).collect();
        let (found, answer) = raw(&gateway, "POST", "/access-requests", &json_head, body).await;
        assert!(found == status && answer.contains(message) && answer.starts_with(r#"{"error":{"code":""#), "{shown}: {found} {answer}");
    }
    // A form of a web page cannot be sent with somebody's password.
    for content_type in ["Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n", ""] {
        let head = format!("Authorization: {}\r\n{content_type}", basic("ann"));
        assert_eq!(raw(&gateway, "POST", "/access-requests", &head, &wish("shop.orders").to_string()).await.0, 415);
    }
    for (path, status) in
        [("/access-requests?status=lost", 400), ("/access-requests?stat=pending", 400), ("/access-requests?status=pending", 200)]
    {
        assert_eq!(call(&gateway, "ann", "GET", path, Value::Null).await.0, status, "{path}");
    }
    for id in ["x", "..%2f", "00000000-0000-0000-0000-000000000000", "%00"] {
        assert_eq!(revoke(&gateway, "sam", id).await, 404, "{id}");
        let path = format!("/access-requests/{id}/approve");
        assert_eq!(call(&gateway, "sam", "POST", &path, json!({"reason": "r"})).await.0, 404, "{id}");
    }
    let (_, all) = call(&gateway, "root", "GET", "/access-requests", Value::Null).await;
    assert_eq!(all, json!({"access_requests": []}), "nothing of all this was taken");
}

#[tokio::test]
async fn requests_wait_in_bounded_numbers() {
    let gateway = shop().limits(|limits| limits.access_requests = 1).start().await;
    let id = asked(&gateway, "ann", wish("shop.orders")).await;
    let (status, answer) = call(&gateway, "ann", "POST", "/access-requests", wish("shop.studied")).await;
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("TOO_MANY_PENDING")), "{answer}");
    let (status, answer) = call(&gateway, "ann", "DELETE", &format!("/access-requests/{id}"), Value::Null).await;
    assert_eq!((status, &answer["status"]), (200, &json!("withdrawn")));
    asked(&gateway, "ann", wish("shop.studied")).await;
}

#[tokio::test]
async fn the_tables_show_grants_and_acts_to_those_whom_they_concern() {
    let gateway = shop().start().await;
    let grant = granted(&gateway, "ann", wish("shop.orders")).await;
    let rejected = asked(&gateway, "bob", wish("shop.orders")).await;
    call(&gateway, "sue", "POST", &format!("/access-requests/{rejected}/reject"), json!({"reason": "not now"})).await;
    call(&gateway, "root", "DELETE", &format!("/grants/{grant}"), json!({"reason": "an audit"})).await;
    let grants = "SELECT principal, domain, product, status, granted_by, revoked_by, reason FROM mesh.grants";
    for (user, sees) in [("ann", true), ("sam", true), ("tim", true), ("root", true), (FINANCE, true), ("bob", false), ("clerk", false)] {
        let expected = if sees { "ann|shop|orders|revoked|sam|root|a study" } else { "" };
        assert_eq!(sql(&gateway, user, grants).await, expected, "{user}");
    }
    let acts = "SELECT action, actor, principal, product, reason FROM audit.access ORDER BY occurred_at, request_id, action";
    let all = sql(&gateway, FINANCE, acts).await;
    for act in [
        "requested|ann|ann|shop.orders|a study",
        "approved|sam|ann|shop.orders|it helps",
        "revoked|root|ann|shop.orders|an audit",
        "requested|bob|bob|shop.orders|a study",
        "rejected|sue|bob|shop.orders|not now",
    ] {
        assert!(all.split(';').any(|line| line == act), "{act} is not in {all}");
    }
    assert_eq!(all.split(';').count(), 5);
    for (user, count) in [("clerk", "5"), ("ann", "5"), ("root", "0")] {
        assert_eq!(sql(&gateway, user, "SELECT count(*) FROM audit.access").await, count, "{user}");
    }
}

#[tokio::test]
async fn a_check_says_what_the_query_then_does() {
    let gateway = shop().start().await;
    granted(&gateway, "ann", json!({"product": "shop.orders", "purpose": "fraud", "reason": "a study", "expires": "30d"})).await;
    for user in ["ann", "bob", "sam", "clerk"] {
        for table in ["orders", "studied", "vault", "abroad", "plans", "nothing"] {
            for purpose in ["", "fraud", "audit"] {
                let question = json!({"product": format!("shop.{table}"), "purpose": purpose});
                let (status, answer) = call(&gateway, user, "POST", "/governance/policy-check", question).await;
                let found = sql(&gateway, user, &format!("SET meshgate.purpose = '{purpose}'; SELECT count(*) FROM shop.{table}")).await;
                let said = match (status, answer["decision"].as_str()) {
                    (200, Some("permit")) => "2",
                    (200, Some("deny")) => answer["sqlstate"].as_str().unwrap(),
                    (404, None) => "42P01",
                    other => panic!("{other:?}: {answer}"),
                };
                assert_eq!(said, found, "{user} of {table} for {purpose:?}: {answer}");
            }
        }
    }
    let about = |principal: &str| json!({"product": "shop.orders", "purpose": "fraud", "principal": principal});
    for user in ["sam", "tim", "root", "ann"] {
        let (status, answer) = call(&gateway, user, "POST", "/governance/policy-check", about("ann")).await;
        assert_eq!((status, &answer["decision"]), (200, &json!("permit")), "{user}: {answer}");
        assert_eq!(answer["masks"], json!([{"column": "mail", "mask": "email"}]));
        assert!(answer["reasons"][0].as_str().unwrap().contains("approved by sam"), "{answer}");
    }
    for user in ["bob", "clerk", FINANCE] {
        assert_eq!(call(&gateway, user, "POST", "/governance/policy-check", about("ann")).await.0, 403, "{user}");
    }
    assert_eq!(call(&gateway, "sam", "POST", "/governance/policy-check", about("nobody")).await.0, 404);
    // To its stewards a private product is no secret; what a stranger would be told is said.
    let vault = json!({"product": "shop.vault", "principal": "ann"});
    let (status, answer) = call(&gateway, "sam", "POST", "/governance/policy-check", vault).await;
    assert_eq!((status, &answer["decision"], &answer["sqlstate"]), (200, &json!("deny"), &json!("42P01")), "{answer}");
}

#[tokio::test]
async fn what_was_granted_is_there_after_a_restart() {
    let mut gateway = shop().start().await;
    let revoked = granted(&gateway, "bob", wish("shop.orders")).await;
    granted(&gateway, "ann", wish("shop.orders")).await;
    assert_eq!(revoke(&gateway, "bob", &revoked).await, 204);
    gateway.restart().await;
    assert_eq!((sql(&gateway, "ann", ORDERS).await, sql(&gateway, "bob", ORDERS).await), ("2".into(), "42501".into()));
}

/// One call of the real binary's API: the status and the body.
async fn posted(address: &str, user: &str, path: &str, body: &Value) -> (u16, Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (body, mut answer) = (body.to_string(), String::new());
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\n", basic(user));
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let folder = shop_on_disk();
    let config = "[server]\npostgres = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n";
    let address = |process: &mut Process| {
        let lines = process.addresses();
        lines.iter().find_map(|line| line.strip_prefix("http")).unwrap().trim().to_owned()
    };
    let mut process = Process::serve_with(folder.path(), config, &[]);
    let http = address(&mut process);
    let (status, request) = posted(&http, "ann", "/access-requests", &wish("shop.orders")).await;
    assert_eq!(status, 201, "{request}");
    let path = format!("/access-requests/{}/approve", request["id"].as_str().unwrap());
    assert_eq!(posted(&http, "sam", &path, &json!({"reason": "yes"})).await.0, 200);
    process.signal("KILL");
    process.wait_quietly();
    let mut process = Process::serve_with(folder.path(), config, &[]);
    let http = address(&mut process);
    let (_, answer) = posted(&http, "ann", "/governance/policy-check", &json!({"product": "shop.orders"})).await;
    assert_eq!(answer["decision"], "permit", "{answer}");
    assert_eq!(posted(&http, "sam", &path, &json!({"reason": "yes"})).await.0, 409, "it is decided");
}

/// The shop for the real binary.
fn shop_on_disk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "catalog/mesh.yaml",
        "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: test}\nspec: {currency: USD, classifications: {PII.Email: {mask: email}}}\n",
    );
    write(
        "catalog/shop/domain.yaml",
        "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {name: shop}\nspec:\n  owner: {team: t, contact: c@x.example}\n  stewards: \
         [shop-stewards]\n  storage: [{prefix: \"file:data/shop/\"}]\n",
    );
    write("catalog/shop/orders/v1.yaml", &product("orders", "access: restricted"));
    write("data/shop/orders.csv", "id,mail\n1,a@x.example\n");
    for (name, domain, group) in [("ann", "sales", vec![]), ("sam", "shop", vec!["shop-stewards".to_owned()])] {
        let entry = UserEntry::new(name, domain, group, Default::default(), make_verifier(&PASSWORD.into()).unwrap()).unwrap();
        add_user(&folder.path().join("identity.yaml"), entry).unwrap();
    }
    folder
}
