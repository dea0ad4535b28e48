//! What may be scanned and spent: limits, overrides and alerts, on a gateway that runs.

use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use meshgate::metering::Webhook;
use sha2::Sha256;

use crate::finance::{file, product};
use crate::harness::{Builder, FINANCE, PASSWORD, TestGateway, eventually};

fn mesh(limits: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {{name: dear}}\nspec:\n  currency: USD\n  \
         prices: [{{id: dear, from: 2020-01-01, perTiB: \"1099511627776\"}}]\n  limits: [{limits}]\n"
    )
}

/// Two products of 401 bytes, a unit of money for each.
fn world(limits: &str) -> Builder {
    TestGateway::new()
        .catalog_file("mesh.yaml", &mesh(limits))
        .domain("shop")
        .domain("sales")
        .domain("other")
        .product(&product("one"))
        .product(&product("two"))
        .file("shop/one.csv", file(401))
        .file("shop/two.csv", file(401))
        .user("sam", "sales", &[], &[])
        .user("sue", "sales", &[], &[])
        .user("olga", "other", &[], &[])
        .user("sales_steward", "sales", &["sales-stewards"], &[])
        .user("shop_steward", "shop", &["shop-stewards"], &[])
        .user("admin", "platform", &["platform-admin"], &[])
}

const ONE: &str = "SELECT count(id) FROM shop.one";
const TWO: &str = "SELECT count(id) FROM shop.two";

/// Reads, and says what refused it: message, detail and hint.
async fn refused(gateway: &TestGateway, who: &str, sql: &str) -> Option<[String; 3]> {
    let error = gateway.pg(who).await.text_rows(sql).await.err()?;
    let error = error.as_db_error().expect("an answer").clone();
    assert_eq!(error.code().code(), "53400", "{error:?}");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Some([error.message().to_owned(), text(error.detail()), text(error.hint())])
}

/// Whether it would be refused, and why, as EXPLAIN (COST) has it.
async fn foreseen(gateway: &TestGateway, who: &str, sql: &str) -> (String, Option<String>) {
    let rows = gateway.pg(who).await.text_rows(&format!("EXPLAIN (COST) {sql}")).await.unwrap();
    let total = rows.last().unwrap();
    (total[9].clone().unwrap(), total[10].clone())
}

#[tokio::test]
async fn a_limit_refuses_the_read_that_would_pass_it_on_either_door_and_after_a_restart() {
    let limits =
        "{id: fair, each: principal, per: day, bytes: 1000B}, {id: two, each: product, per: month, bytes: 900B, products: [shop.two]}";
    let mut gateway = world(limits).start().await;
    assert_eq!(foreseen(&gateway, "sam", ONE).await, ("no".to_owned(), None));
    let may = |limit: &str| ("possible".to_owned(), Some(format!("it may pass the limit {limit} (53400)")));
    assert_eq!(foreseen(&gateway, "sam", TWO).await, may("two"), "what others read of it is not known");
    for _ in 0..2 {
        assert_eq!(refused(&gateway, "sam", ONE).await, None);
    }
    assert_eq!(foreseen(&gateway, "sam", ONE).await, ("yes".to_owned(), Some("it would pass the limit fair (53400)".to_owned())));
    assert_eq!(foreseen(&gateway, "sue", ONE).await.0, "no");
    let [message, detail, hint] = refused(&gateway, "sam", ONE).await.expect("a limit");
    assert_eq!(message, "the limit \"fair\" is reached");
    assert_eq!(
        detail,
        "A principal may scan 1000 bytes in a day, and the next read would pass that. At least 80 % of it is used or held by running queries; at \
         most 200 bytes are left."
    );
    assert_eq!(hint, "It begins anew at 2026-11-21T00:00:00Z; until then a steward can raise it.");
    let flown = gateway.flight_rows("sam", TWO).await.unwrap_err().to_string();
    assert!(flown.contains("SQLSTATE 53400") && flown.contains("A principal may scan 1000 bytes in a day"), "{flown}");
    gateway.restart().await;
    assert!(refused(&gateway, "sam", ONE).await.is_some());

    // What others read of a product is not told to who is refused.
    assert_eq!(refused(&gateway, "sue", TWO).await, None);
    assert_eq!(refused(&gateway, "olga", TWO).await, None);
    let [message, detail, _] = refused(&gateway, "olga", TWO).await.expect("a limit");
    assert_eq!(message, "the limit \"two\" is reached");
    assert_eq!(detail, "900 bytes of a product may be scanned in a month, and the next read would pass that.");
    assert_eq!(refused(&gateway, "olga", ONE).await, None);

    // The next day begins anew, the month does not.
    gateway.clock().advance(chrono::TimeDelta::days(1));
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    assert!(refused(&gateway, "sam", TWO).await.is_some());
}

#[tokio::test]
async fn a_bi_tools_own_looking_at_tables_has_a_limit_of_its_own() {
    let mut gateway = world("{id: crawlers, each: consumer, per: day, bytes: 900B, workload: crawl}").start().await;
    let values = "SELECT id FROM shop.one GROUP BY id ORDER BY id LIMIT 1000";
    let asked = format!("-- Metabase:: userID: 7 queryType: MBQL queryHash: 1f\n{values}");
    // The settings come from a connection that is opened once, as a tool's pool does.
    let tool = gateway.pg("sam").await;
    tool.text_rows("SET application_name = 'Metabase v0.54.2 [8d2c]'; SET meshgate.tags = 'team=growth, job=sync'").await.unwrap();
    for _ in 0..2 {
        tool.text_rows(values).await.unwrap();
    }
    let error = tool.text_rows(values).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.message()), ("53400", "the limit \"crawlers\" is reached"));
    assert_eq!(
        error.detail().unwrap(),
        "A consumer domain may scan 900 bytes in a day for crawling, and the next read would pass that. At least 85 % of it is used or held by \
         running queries; at most 135 bytes are left."
    );
    let quoted = tool.text_rows("EXPLAIN (COST) SELECT DISTINCT id FROM shop.one").await.unwrap();
    assert_eq!(quoted.last().unwrap()[9].as_deref(), Some("yes"), "a quote knows of the limit that its query would be held to");
    // A person who asks the same, through the tool or not, is not held to it; nor is the tool of another domain.
    tool.text_rows(&asked).await.unwrap();
    assert_eq!(refused(&gateway, "sam", values).await, None);
    let other = gateway.pg("olga").await;
    other.text_rows("SET application_name = 'metabase'").await.unwrap();
    other.text_rows(values).await.unwrap();
    gateway.restart().await;
    let tool = gateway.pg("sue").await;
    tool.text_rows("SET application_name = 'Metabase'").await.unwrap();
    assert!(tool.text_rows(values).await.is_err(), "a restart forgets nothing");

    let usage = "SELECT principal, workload, tags, outcome, sum(bytes_scanned), count(*) FROM finops.usage WHERE product = 'one' GROUP BY 1, 2, 3, 4
                 ORDER BY 1, 2, 3, 4";
    assert_eq!(
        told(&gateway, FINANCE, usage).await,
        [
            "olga|crawl||completed|401|1",
            r#"sam|crawl|{"job":"sync","team":"growth"}|completed|802|3"#,
            r#"sam|crawl|{"job":"sync","team":"growth"}|limit_exceeded|0|1"#,
            r#"sam|interactive|{"job":"sync","team":"growth"}|completed|401|1"#,
            "sam|interactive||completed|401|1",
            "sue|crawl||limit_exceeded|0|1",
        ]
    );
    let queries =
        "SELECT workload, tags, count(*) FROM finops.queries WHERE bytes_scanned > 0 AND principal = 'sam' GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(
        told(&gateway, "sam", queries).await,
        [r#"crawl|{"job":"sync","team":"growth"}|2"#, r#"interactive|{"job":"sync","team":"growth"}|1"#, "interactive||1"]
    );
    let consumers = "SELECT consumer_domain, workload, sum(bytes_scanned) FROM finops.top_consumers GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(told(&gateway, "shop_steward", consumers).await, ["other|crawl|401", "sales|crawl|802", "sales|interactive|802"]);
    let bill = r#"SELECT "Tags", sum("ConsumedQuantity") FROM finops.focus WHERE "SubAccountId" = 'sales' GROUP BY 1 ORDER BY 1"#;
    assert_eq!(
        told(&gateway, FINANCE, bill).await,
        [
            r#"{"job":"sync","mesh/consumer":"sales","mesh/producer":"shop","team":"growth"}|1203.0"#,
            r#"{"mesh/consumer":"sales","mesh/producer":"shop"}|401.0"#,
        ]
    );
}

/// Raises a budget or limit, as far as whoever asks may.
async fn raise(gateway: &TestGateway, who: &str, body: &str) -> (u16, serde_json::Value) {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{who}:{PASSWORD}"));
    let request = format!(
        "POST /finops/overrides HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {basic}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = gateway.try_http(&request).await.unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

async fn told(gateway: &TestGateway, who: &str, sql: &str) -> Vec<String> {
    let rows = gateway.pg(who).await.text_rows(sql).await.unwrap();
    rows.into_iter().map(|row| row.into_iter().map(|cell| cell.unwrap_or_default()).collect::<Vec<_>>().join("|")).collect()
}

/// A domain of consumers with a budget.
fn with_budget(name: &str, budget: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {name}}}\nspec:\n  owner: {{team: s, contact: s@test.example}}\n  \
         stewards: [{name}-stewards]\n  budget: {budget}\n"
    )
}

#[tokio::test]
async fn a_steward_raises_a_budget_until_the_month_ends_and_nobody_else_does() {
    let budget = with_budget("sales", "{monthly: \"500\", alerts: [100], action: block}");
    let mut gateway = world("").domain_yaml("sales", &budget).start().await;
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    let [message, detail, _] = refused(&gateway, "sam", ONE).await.expect("a budget");
    assert_eq!(message, "the monthly budget of the domain sales is used up");
    assert_eq!(
        detail,
        "It is 500 USD for 2026-11, and the next read would pass it. At least 80 % of it is used or held by running queries; at most 100 USD are \
         left."
    );

    let wish = r#"{"domain": "sales", "amount": "400.5", "reason": "closing the quarter"}"#;
    for who in ["sam", "shop_steward", "olga"] {
        let (status, answer) = raise(&gateway, who, wish).await;
        assert_eq!((status, answer["error"]["message"].as_str()), (403, Some("only stewards of the domain sales raise this")), "{who}");
    }
    for (wrong, status) in [
        (r#"{"domain": "sales", "amount": "0", "reason": "x"}"#, 400),
        (r#"{"domain": "sales", "amount": "-5", "reason": "x"}"#, 400),
        (r#"{"domain": "sales", "amount": "1000000000001", "reason": "x"}"#, 400),
        (r#"{"domain": "sales", "amount": "5", "reason": " "}"#, 400),
        (r#"{"domain": "sales", "reason": "x"}"#, 400),
        (r#"{"domain": "sales", "amount": "5"}"#, 400),
        (r#"{"domain": "sales", "limit": "none", "bytes": "1B", "reason": "x"}"#, 404),
    ] {
        assert_eq!(raise(&gateway, "sales_steward", wrong).await.0, status, "{wrong}");
    }
    assert_eq!(raise(&gateway, "admin", r#"{"domain": "other", "amount": "5", "reason": "x"}"#).await.0, 404);
    assert!(refused(&gateway, "sam", ONE).await.is_some());

    let (status, answer) = raise(&gateway, "sales_steward", wish).await;
    assert_eq!((status, answer["month"].as_str(), answer["until"].as_str()), (201, Some("2026-11"), Some("2026-12-01T00:00:00Z")));
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    let state = "SELECT budget::numeric(10,2), spent::numeric(10,2), percent, raised::numeric(10,2) FROM finops.budgets";
    assert_eq!(told(&gateway, "sam", state).await, ["900.50|802.00|89.06|400.50"]);
    let record = "SELECT raised_by, consumer_domain, month, amount::numeric(10,2), currency, reason FROM finops.budget_overrides";
    let want = ["sales_steward|sales|2026-11|400.50|USD|closing the quarter"];
    assert_eq!(told(&gateway, "sam", record).await, want);
    assert_eq!(told(&gateway, FINANCE, &record.replace("finops.budget_overrides", "audit.overrides")).await, want);
    assert_eq!(told(&gateway, "olga", record).await, Vec::<String>::new());

    // A restart keeps it, a second adds to it, and the month after begins without.
    gateway.restart().await;
    assert_eq!(told(&gateway, "sam", state).await, ["900.50|802.00|89.06|400.50"]);
    assert!(refused(&gateway, "sam", ONE).await.is_some());
    assert_eq!(raise(&gateway, "admin", &wish.replace("400.5", "302.5")).await.0, 201);
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    gateway.clock().advance(chrono::TimeDelta::days(11));
    assert_eq!(told(&gateway, "sam", state).await, ["500.00|0.00|0.00|0.00"]);
}

#[tokio::test]
async fn what_finance_corrects_counts_against_the_budget_at_once() {
    let budget = with_budget("sales", "{monthly: \"500\", alerts: [100], action: block}");
    let mut gateway = world("").domain_yaml("sales", &budget).start().await;
    // The command corrects by the machine's clock.
    let past: chrono::DateTime<chrono::Utc> = "2020-01-15T12:00:00Z".parse().unwrap();
    gateway.clock().advance(past - gateway.clock().now());
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    assert!(refused(&gateway, "sam", ONE).await.is_some());
    std::fs::write(gateway.folder().join("meshgate.toml"), "").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_meshgate"));
    command.args([
        "correct",
        "--domain",
        "sales",
        "--product",
        "shop.one",
        "--month",
        "2020-01",
        "--amount",
        "-350",
        "--reason",
        "twice",
        "--by",
        "fay",
    ]);
    let corrected = command.arg("--config").arg(gateway.folder().join("meshgate.toml")).output().unwrap();
    assert!(corrected.status.success(), "{corrected:?}");
    let state = "SELECT spent::numeric(10,2), percent FROM finops.budgets";
    let counts = || async { told(&gateway, "sam", state).await == ["51.00|10.20"] };
    assert!(eventually(Duration::from_secs(10), counts).await);
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    assert!(refused(&gateway, "sam", ONE).await.is_some());
    gateway.restart().await;
    assert_eq!(told(&gateway, "sam", state).await, ["452.00|90.40"]);
}

#[tokio::test]
async fn a_limit_is_raised_by_the_steward_of_who_reads_or_of_the_product() {
    let limits = "{id: fair, each: principal, per: day, bytes: 500B}, \
                  {id: pair, each: consumer-product, per: month, bytes: 900B, products: [shop.two]}";
    let gateway = world(limits).start().await;
    for who in ["sam", "olga"] {
        assert_eq!(refused(&gateway, who, TWO).await, None);
        assert!(refused(&gateway, who, TWO).await.is_some());
    }
    // What sales reads is for its steward to say, and what is read of shop's product for shop's.
    let fair = r#"{"limit": "fair", "domain": "sales", "bytes": "1kB", "reason": "a backfill"}"#;
    assert_eq!(raise(&gateway, "shop_steward", fair).await.0, 403);
    assert_eq!(raise(&gateway, "sales_steward", fair).await.0, 201);
    assert_eq!(refused(&gateway, "sam", TWO).await, None);
    assert_eq!(refused(&gateway, "sam", TWO).await.expect("a limit")[0], "the limit \"pair\" is reached");
    assert_eq!(refused(&gateway, "olga", ONE).await.expect("a limit")[0], "the limit \"fair\" is reached");
    let pair = r#"{"limit": "pair", "domain": "sales", "product": "shop.two", "bytes": "401B", "reason": "agreed"}"#;
    assert_eq!(raise(&gateway, "sales_steward", pair).await.0, 403);
    assert_eq!(raise(&gateway, "shop_steward", &pair.replace("shop.two", "shop.one")).await.0, 404);
    assert_eq!(raise(&gateway, "shop_steward", pair).await.0, 201);
    assert_eq!(refused(&gateway, "sam", TWO).await, None);
    // A query's own pace: 1203 of the 1500 bytes of its principal's day.
    assert_eq!(refused(&gateway, "sam", ONE).await.expect("a limit")[0], "the limit \"fair\" is reached");
    let record = "SELECT limit_id, consumer_domain, product, bytes FROM finops.budget_overrides ORDER BY raised_at";
    assert_eq!(told(&gateway, "sam", record).await, ["fair|sales||1000", "pair|sales|shop.two|401"]);
    assert_eq!(told(&gateway, "shop_steward", record).await, ["pair|sales|shop.two|401"]);
}

/// A receiver of alerts that fails first and is slow then. What it has heard: id, time, signature, body.
async fn receiver(answers: Vec<u16>) -> (String, std::sync::Arc<std::sync::Mutex<Vec<[String; 4]>>>) {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts", listener.local_addr().unwrap());
    let (all, answers) = (std::sync::Arc::clone(&heard), std::sync::Arc::new(std::sync::Mutex::new(answers.into_iter())));
    let hear = move |headers: axum::http::HeaderMap, body: String| {
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        all.lock().unwrap().push([header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"), body]);
        let status = answers.lock().unwrap().next().unwrap_or(204);
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            axum::http::StatusCode::from_u16(status).unwrap()
        }
    };
    let app = axum::Router::new().route("/alerts", axum::routing::post(hear));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, heard)
}

#[tokio::test]
async fn alerts_are_told_to_a_webhook_once_signed_and_over_failures_and_restarts() {
    const SECRET: &str = "a secret of sixteen bytes or more";
    let (url, heard) = receiver(vec![503, 302, 200]).await;
    let webhook = Webhook::new(&url, SECRET).unwrap();
    let budget = with_budget("sales", "{monthly: \"1000\", alerts: [40, 80, 100], forecastAlerts: [120], action: warn}");
    let mut gateway = world("").domain_yaml("sales", &budget).config(|config| config.alerts = Some(webhook)).start().await;
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    let taken = |least: usize| {
        let heard = std::sync::Arc::clone(&heard);
        move || {
            let enough = heard.lock().unwrap().len() >= least;
            async move { enough }
        }
    };
    // 40.1 % was spent: the same message three times, until it is taken.
    assert!(eventually(Duration::from_secs(20), taken(3)).await);
    gateway.restart().await;
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    // 80.2 % was spent by 65 % of the month: 123 % are expected.
    assert!(eventually(Duration::from_secs(20), taken(5)).await);
    gateway.restart().await;
    // Another alert comes last, so that a repeated one would have come before.
    assert_eq!(refused(&gateway, "sam", ONE).await, None);
    let last = || {
        let told = heard.lock().unwrap().iter().any(|one| one[3].contains("\"percent\":100"));
        async move { told }
    };
    assert!(eventually(Duration::from_secs(20), last).await);

    let heard = heard.lock().unwrap().clone();
    let mut told: Vec<String> = Vec::new();
    for [id, sent_at, signature, body] in &heard {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{id}.{sent_at}.{body}").as_bytes());
        let signed = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(*signature, format!("v1,{signed}"));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let data = &body["data"];
        assert_eq!((&data["id"], &body["type"]), (&serde_json::json!(id), &"budget.threshold".into()));
        let text = |key: &str| data[key].as_str().unwrap().to_owned();
        told.push(format!(
            "{} {} {} {} {} {}",
            text("consumer_domain"),
            text("month"),
            text("kind"),
            data["percent"],
            text("spent"),
            text("budget")
        ));
    }
    // What was not taken, and what was under way when the gateway stopped, is told again under the same id.
    let mut ids: Vec<&String> = heard.iter().map(|one| &one[0]).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    ids.dedup();
    told.dedup();
    let want = [
        "sales 2026-11 actual 40 401 1000",
        "sales 2026-11 actual 80 802 1000",
        "sales 2026-11 forecast 120 802 1000",
        "sales 2026-11 actual 100 1203 1000",
    ];
    assert_eq!((told, ids.len()), (want.map(str::to_owned).to_vec(), 4));
}
