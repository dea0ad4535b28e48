//! The month that finance closes: prices, entries, statements and reports, beside a gateway that runs.

use std::process::Command;

use base64::Engine as _;
use chrono::{DateTime, TimeDelta, Utc};

use crate::harness::{Builder, FINANCE, PASSWORD, TestGateway};

/// One unit of money a byte, the first hundred free in a month.
const MESH: &str = "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: dear}\nspec:\n  currency: USD\n  billing: chargeback\n  prices:\n    \
    - {id: standard, from: 2020-01-01, perTiB: \"1099511627776\", freePerMonth: 100B}\n    \
    - {id: small, from: 2020-01-01, products: [shop.small], consumers: [sales], perTiB: \"2199023255552\"}\n";

/// A public product of text, which is read whole or not at all.
pub fn product(name: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: shop\n  version: 1.0.0\n  description: Rows.\n  \
         owner: {{team: shop, contact: shop@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: csv\n      \
         location: file:data/shop/{name}.csv\n      options: {{header: true}}\n      schema: [{{name: id, type: bigint}}]\n  sla: {{freshness: 1h}}\n  \
         policies: {{access: public}}\n"
    )
}

/// A file of so many bytes.
pub fn file(bytes: usize) -> String {
    let text = format!("id\n{}", "1\n".repeat((bytes - 3) / 2));
    assert_eq!(text.len(), bytes);
    text
}

fn world() -> Builder {
    TestGateway::new()
        .catalog_file("mesh.yaml", MESH)
        .domain("shop")
        .domain("sales")
        .domain("other")
        .product(&product("big"))
        .product(&product("small"))
        .file("shop/big.csv", file(401))
        .file("shop/small.csv", file(51))
        .user("sam", "sales", &[], &[])
        .user("olga", "other", &[], &[])
        .user("shopper", "shop", &[], &[])
}

/// A gateway in the past, because the command closes months by the machine's clock.
async fn started() -> TestGateway {
    let gateway = world().start().await;
    to(&gateway, "2020-01-15T12:00:00Z");
    std::fs::write(gateway.folder().join("meshgate.toml"), "").unwrap();
    gateway
}

fn to(gateway: &TestGateway, time: &str) {
    let now: DateTime<Utc> = time.parse().unwrap();
    gateway.clock().advance(now - gateway.clock().now());
}

/// What the command says, if it can do it.
fn meshgate(gateway: &TestGateway, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshgate"));
    let output = command.args(args).arg("--config").arg(gateway.folder().join("meshgate.toml")).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

async fn told(gateway: &TestGateway, who: &str, sql: &str) -> Vec<String> {
    let rows = gateway.pg(who).await.text_rows(sql).await.unwrap();
    rows.into_iter().map(|row| row.into_iter().map(|cell| cell.unwrap_or_default()).collect::<Vec<_>>().join(" ")).collect()
}

async fn http(gateway: &TestGateway, who: &str, query: &str) -> (u16, String) {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{who}:{PASSWORD}"));
    let request = format!("GET /finops/costs{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {basic}\r\n\r\n");
    let answer = gateway.try_http(&request).await.unwrap();
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_month_is_closed_beside_a_gateway_that_goes_on() {
    let gateway = started().await;
    for (who, product) in [("sam", "big"), ("sam", "big"), ("sam", "small"), ("olga", "big"), ("olga", "small")] {
        told(&gateway, who, &format!("SELECT count(id) FROM shop.{product}")).await;
    }
    // sam: 301 and 401 at one each, 51 at two each. olga: 301, then 51.
    let sql = "SELECT consumer_domain, product, queries, cost::bigint FROM finops.monthly_costs ORDER BY 1, 2";
    let costs = ["other big 1 301", "other small 1 51", "sales big 2 702", "sales small 1 102"];
    assert_eq!(told(&gateway, FINANCE, sql).await, costs);

    let closed = meshgate(&gateway, &["close", "2020-01"]).unwrap();
    assert!(closed.starts_with("2020-01 is closed; statements: 2\n2020-01-other-USD  352.00 USD  sha256:"), "{closed}");
    let again = meshgate(&gateway, &["close", "2020-01"]).unwrap();
    assert_eq!(again.replace("2020-01 was closed before; nothing was changed", "2020-01 is closed; statements: 2"), closed);
    let future = meshgate(&gateway, &["close", "2999-12"]).unwrap_err();
    assert!(future.contains("2999-12 is not over"), "{future}");

    // The gateway is still in January: what it settles now is late, and on February's bill, with February's allowance.
    told(&gateway, "sam", "SELECT count(id) FROM shop.big").await;
    let late =
        "SELECT month, started_at < '2020-02-01', bytes_charged, volume_before, cost::bigint FROM finops.usage WHERE month > '2020-01'";
    assert_eq!(told(&gateway, FINANCE, late).await, ["2020-02 t 401 0 301"]);
    let correct = [
        "correct",
        "--domain",
        "sales",
        "--product",
        "shop.big",
        "--month",
        "2020-01",
        "--amount",
        "-1.5",
        "--reason",
        "an outage",
        "--by",
        "fay",
    ];
    let booked = meshgate(&gateway, &correct).unwrap();
    assert!(booked.starts_with("-1.5 USD on the bill of sales for 2020-02: correction "), "{booked}");
    to(&gateway, "2020-02-10T12:00:00Z");
    told(&gateway, "sam", "SELECT count(id) FROM shop.big").await;

    // Every figure agrees: SQL, entries, statement, report, HTTP.
    let of_month =
        |month: &str| format!("SELECT sum(cost)::text FROM finops.monthly_costs WHERE month = '{month}' AND consumer_domain = 'sales'");
    assert_eq!(told(&gateway, FINANCE, &of_month("2020-01")).await, ["804.000000000000000"]);
    assert_eq!(told(&gateway, FINANCE, &of_month("2020-02")).await, ["700.500000000000000"]);
    let statement =
        meshgate(&gateway, &["statement", "--domain", "sales", "--month", "2020-01", "--by", "principal", "--format", "json"]).unwrap();
    let statement: serde_json::Value = serde_json::from_str(&statement).unwrap();
    assert_eq!((&statement[0]["totals"][0]["cost"], &statement[0]["mode"]), (&"804".into(), &"chargeback".into()));
    let report = meshgate(&gateway, &["report", "--from", "2020-01", "--to", "2020-02", "--by", "principal", "--format", "csv"]).unwrap();
    assert!(report.contains("2020-01/2020-02,sam,sales,5,1655,1506,USD\r\n"), "{report}");
    assert!(report.contains("2020-01/2020-02,,sales,0,0,-1.5,USD\r\n"), "{report}");
    let zero = "SELECT month, sum(amount)::bigint, count(*) FROM finops.entries GROUP BY 1 ORDER BY 1";
    assert_eq!(told(&gateway, FINANCE, zero).await, ["2020-01 0 10", "2020-02 0 6"]);
    let net = "SELECT domain, sum(amount)::text FROM finops.entries WHERE month = '2020-02' GROUP BY 1 ORDER BY 1";
    assert_eq!(told(&gateway, FINANCE, net).await, ["sales 700.500000000000000", "shop -700.500000000000000"]);

    // By their own rights: who pays sees its statements, who is paid the lines.
    let statements = "SELECT statement_id, cost::bigint, mode FROM finops.statements ORDER BY 1";
    assert_eq!(told(&gateway, FINANCE, statements).await, ["2020-01-other-USD 352 chargeback", "2020-01-sales-USD 804 chargeback"]);
    assert_eq!(told(&gateway, "shopper", statements).await, Vec::<String>::new());
    let lines = "SELECT statement_id, product, cost_center, producer_cost_center, cost::bigint FROM finops.statement_lines ORDER BY 1, 2";
    let all = ["2020-01-other-USD big CC-other CC-shop 301", "2020-01-other-USD small CC-other CC-shop 51"];
    let sales = ["2020-01-sales-USD big CC-sales CC-shop 702", "2020-01-sales-USD small CC-sales CC-shop 102"];
    assert_eq!(told(&gateway, "shopper", lines).await, [all, sales].concat());
}

#[tokio::test]
async fn costs_over_http_are_those_of_monthly_costs_for_whoever_asks() {
    let gateway = started().await;
    for (who, product) in [("sam", "big"), ("olga", "small"), ("shopper", "small")] {
        told(&gateway, who, &format!("SELECT count(id) FROM shop.{product}")).await;
    }
    for who in [FINANCE, "sam", "olga", "shopper"] {
        let sql = "SELECT consumer_domain, sum(cost)::text FROM finops.monthly_costs WHERE month = '2020-01' GROUP BY 1 ORDER BY 1";
        let plain = |row: &String| row.trim_end_matches('0').trim_end_matches('.').to_owned();
        let rows: Vec<String> = told(&gateway, who, sql).await.iter().map(plain).collect();
        let (status, body) = http(&gateway, who, "?month=2020-01&by=domain").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let line = |line: &serde_json::Value| format!("{} {}", text(&line["consumer_domain"]), text(&line["cost"]));
        let mut lines: Vec<String> = body["lines"].as_array().unwrap().iter().map(line).collect();
        lines.sort();
        assert_eq!((status, lines), (200, rows), "{who}");
    }
    // Without a month it is the gateway's.
    let (status, csv) = http(&gateway, FINANCE, "?by=product&format=csv").await;
    assert_eq!(status, 200);
    assert!(
        csv.starts_with("month,producer_domain,product,queries,bytes_scanned,cost,currency\r\n2020-01,shop,big,1,401,301,USD\r\n"),
        "{csv}"
    );
    assert_eq!(http(&gateway, FINANCE, "?from=2019-12&to=2020-01").await.0, 200);
    for wrong in
        ["?month=1", "?by=x", "?format=xml", "?to=2020-01", "?month=2020-01&from=2020-01", "?from=2020-02&to=2020-01", "?mnth=2020-01"]
    {
        let (status, body) = http(&gateway, FINANCE, wrong).await;
        assert!(status == 400 && body.contains("INVALID_PARAMETER"), "{wrong}: {status} {body}");
    }
    let nobody = gateway.http("GET", "/finops/costs").await;
    assert_eq!(nobody.status, 401);
    let guessed =
        gateway.try_http("GET /finops/costs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic eDp5\r\n\r\n").await.unwrap();
    assert_eq!(guessed.status, 401);
    gateway.clock().advance(TimeDelta::days(31));
    let (_, empty) = http(&gateway, FINANCE, "").await;
    assert!(empty.contains(r#""lines":[]"#) && empty.contains("2020-02"), "{empty}");
}

#[tokio::test]
async fn without_a_gateway_a_month_is_closed_too_and_a_gateway_goes_on_after_it() {
    let mut gateway = started().await;
    told(&gateway, "sam", "SELECT count(id) FROM shop.big").await;
    gateway.stop().await.unwrap();
    let closed = meshgate(&gateway, &["close", "2020-01"]).unwrap();
    assert!(closed.contains("2020-01-sales-USD  301.00 USD"), "{closed}");
    gateway.start().await;
    told(&gateway, "sam", "SELECT count(id) FROM shop.big").await;
    assert_eq!(told(&gateway, FINANCE, "SELECT month FROM finops.usage ORDER BY 1").await, ["2020-01", "2020-02"]);
    let statement = meshgate(&gateway, &["statement", "--domain", "sales", "--month", "2020-01"]).unwrap();
    assert!(statement.contains("301.00"), "{statement}");
}

#[tokio::test]
async fn a_clock_that_jumps_loses_nothing_repeats_nothing_and_opens_no_closed_month() {
    let gateway = started().await;
    let read = async |who: &str| told(&gateway, who, "SELECT count(id) FROM shop.big").await;
    read("sam").await;
    // Forward over two months, then back amid a query, whose cursor holds it open.
    to(&gateway, "2020-03-20T12:00:00Z");
    let held = gateway.pg("sam").await;
    held.text_rows("BEGIN; DECLARE c CURSOR FOR SELECT id FROM shop.big; FETCH 1 FROM c").await.unwrap();
    to(&gateway, "2020-02-10T12:00:00Z");
    held.text_rows("COMMIT").await.unwrap();
    read("sam").await;
    assert!(meshgate(&gateway, &["close", "2020-01"]).unwrap().starts_with("2020-01 is closed"));
    // Back into the month that is closed.
    to(&gateway, "2020-01-31T23:00:00Z");
    read("sam").await;
    to(&gateway, "2020-03-21T12:00:00Z");
    read("sam").await;
    let usage = "SELECT month, to_char(started_at, 'YYYY-MM-DD'), ended_at >= started_at, outcome, bytes_scanned FROM finops.usage ORDER BY usage_id";
    assert_eq!(
        told(&gateway, FINANCE, usage).await,
        [
            "2020-01 2020-01-15 t completed 401",
            "2020-03 2020-03-20 t cancelled 401",
            "2020-02 2020-02-10 t completed 401",
            "2020-02 2020-01-31 t completed 401",
            "2020-03 2020-03-21 t completed 401",
        ]
    );
    let sums = "SELECT (SELECT sum(cost) FROM finops.usage) = (SELECT sum(cost) FROM finops.monthly_costs),
        (SELECT count(DISTINCT usage_id) FROM finops.usage), (SELECT sum(amount) = 0 FROM finops.entries)";
    assert_eq!(told(&gateway, FINANCE, sums).await, ["t 5 t"]);
    // January was billed as it was closed; each of the others has its free hundred bytes once.
    let costs = "SELECT month, cost::bigint FROM finops.monthly_costs ORDER BY 1";
    assert_eq!(told(&gateway, FINANCE, costs).await, ["2020-01 301", "2020-02 702", "2020-03 702"]);
}
