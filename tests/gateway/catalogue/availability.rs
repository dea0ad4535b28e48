//! G: statements that would take the gateway down.

use super::{ask, told};
use crate::harness::TestGateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_deep_and_long_statements_are_refused_and_the_gateway_lives() {
    let gateway = TestGateway::new().domain("shop").user("bob", "shop", &[], &[]).start().await;
    let client = gateway.pg("bob").await;
    let list = |item: &str, many: usize, between: &str| vec![item; many].join(between);
    for sql in [
        format!("SELECT {}", list("1", 20_000, "+")),
        format!("SELECT 1 WHERE {}", list("1=1", 10_000, " OR ")),
        list("SELECT 1", 5_000, " UNION ALL "),
        format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000)),
        format!("SELECT {}1", "- ".repeat(30_000)),
        format!("SELECT {}1", "NOT ".repeat(30_000)),
        format!("SELECT 1 -- {}", "x".repeat(2 << 20)),
        // What is said of each of many is a tree of its own.
        format!("SELECT 'x' LIKE ANY (ARRAY[{}])", list("'y'", 5_000, ",")),
        (0..20)
            .fold("'x'".to_owned(), |inner, _| format!("(upper('x') LIKE ANY (ARRAY[{inner}, {}]))::text", list("'y'", 99, ",")))
            .replacen('(', "SELECT (", 1),
        (0..20).fold("'x'".to_owned(), |inner, _| format!("({inner} LIKE ANY (ARRAY['y', 'z']))::text")).replacen('(', "SELECT (", 1),
    ] {
        let answer = told(&client, &sql).await;
        assert!(["54001", "54000", "42601"].contains(&answer.as_str()), "{}: {answer}", &sql[..40]);
    }
    assert_eq!(ask(&gateway, "bob", "SELECT 7").await, "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_memory_of_a_query_is_bounded() {
    let gateway = TestGateway::new().domain("shop").user("bob", "shop", &[], &[]).start().await;
    let client = gateway.pg("bob").await;
    for sql in [
        "SELECT length(repeat('x', 2147483647))",
        "SELECT length(lpad('x', 2000000000, 'y'))",
        "WITH RECURSIVE r AS (SELECT 'x' AS t UNION ALL SELECT t || t FROM r) SELECT max(t) FROM r",
    ] {
        let answer = told(&client, &format!("SET statement_timeout = '5s'; {sql}")).await;
        assert!(answer.len() == 5 && answer != "XX000" || answer == "100000", "{sql}: {answer}");
    }
    assert_eq!(ask(&gateway, "bob", "SELECT 7").await, "7");
}
