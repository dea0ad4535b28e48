//! Policies in Rego, from the file to the bytes that a reader gets, through both doors.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::harness::{Pg, TestGateway, eventually, flight_query};

const SECOND: Duration = Duration::from_secs(1);

const MANIFEST: &str = r#"
apiVersion: datamesh.io/v1
kind: DataProduct
metadata: {name: people, domain: hr, version: 1.0.0, description: Staff, owner: {team: hr-data, contact: hr@test.example}}
spec:
  outputPorts:
    - name: sql
      format: csv
      location: "file:data/hr/people/"
      schema:
        - {name: id, type: bigint}
        - {name: region, type: text}
        - {name: ssn, type: text, classification: PII.NationalID}
        - {name: note, type: text}
  sla: {freshness: 1h}
  policies: {access: restricted}
"#;

const ROWS: &str = "id,region,ssn,note\n1,eu,111,first note\n2,us,222,second note\n3,eu,333,third note\n";

const MESH: &str = r#"package mesh.global

deny contains "nobody reads at the weekend" if input.purpose == "weekend"
"#;

const DOMAIN: &str = r#"package mesh.domain.hr

default allow := false

allow if "hr-friends" in input.principal.groups

row_filters contains {"expression": "region = $region", "bind": {"region": "principal.attributes.region"}} if {
    input.principal.domain != "hr"
}
"#;

const PRODUCT: &str = r#"package mesh.product.hr.people

column_masks contains {"column": column.name, "mask": "show-last-4"} if {
    some column in input.columns
    column.name == "note"
    input.principal.domain != "hr"
}
"#;

async fn gateway() -> TestGateway {
    TestGateway::new()
        .domain("hr")
        .product(MANIFEST)
        .file("hr/people/a.csv", ROWS)
        .catalog_file("policies/global.rego", MESH)
        .catalog_file("hr/policies/domain.rego", DOMAIN)
        .catalog_file("hr/people/policies/product.rego", PRODUCT)
        .user("bob", "sales", &["hr-friends"], &[("region", "eu")])
        .user("carl", "sales", &["hr-friends"], &[])
        .user("dora", "sales", &[], &[("region", "eu")])
        .user("olga", "hr", &["audit-reader"], &[])
        .start()
        .await
}

/// Rows as lines, or the SQLSTATE.
async fn told(client: &Pg, sql: &str) -> String {
    match client.text_rows(sql).await {
        Ok(rows) => {
            let line = |row: &Vec<Option<String>>| row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|");
            rows.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

/// Whether the audit comes to say so of the last query of somebody. Decisions are written down after they are made.
async fn said_to_the_audit(gateway: &TestGateway, principal: &str, said: &[&str]) -> bool {
    let sql =
        format!("SELECT reasons FROM audit.decisions WHERE principal = '{principal}' ORDER BY decided_at DESC, query_id DESC LIMIT 1");
    let finance = gateway.pg("finance_reader").await;
    let (finance, sql) = (&finance, &sql);
    eventually(3 * SECOND, || async move {
        let reasons = told(finance, sql).await;
        said.iter().all(|part| reasons.contains(part))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_levels_entitle_filter_mask_and_deny_through_both_doors() {
    let gateway = gateway().await;
    let (bob, dora, olga) = (gateway.pg("bob").await, gateway.pg("dora").await, gateway.pg("olga").await);
    let all = "SELECT id, region, note FROM hr.people ORDER BY id";
    assert_eq!(told(&bob, all).await, "1|eu|xxxxxxnote\n3|eu|xxxxxxnote");
    assert_eq!(told(&bob, "SELECT count(*) FROM hr.people WHERE ssn IN ('111', '222', '333')").await, "0", "the classification masks too");
    let notices: Vec<String> = bob.take_notices().iter().map(|notice| notice.message().to_owned()).collect();
    assert!(
        notices.iter().any(|notice| notice.contains("filtered")) && notices.iter().any(|notice| notice.contains("masked")),
        "{notices:?}"
    );
    assert_eq!(told(&olga, "SELECT count(*), max(note) FROM hr.people").await, "3|third note", "the owner's policies leave the owner be");
    assert_eq!(told(&dora, all).await, "42501", "no rule allows her");
    let mut flight = gateway.flight("bob").await;
    let batches = flight_query(&mut flight, "SELECT id, note FROM hr.people ORDER BY id").await.unwrap();
    let ids: Vec<i64> = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(ids, [1, 3]);
    assert!(gateway.flight_rows("dora", all).await.is_err());
    // The mesh's word is the last, also for the owner.
    assert_eq!(told(&olga, "SET meshgate.purpose = 'weekend'").await, "");
    assert_eq!(told(&olga, all).await, "42501");
    assert!(
        said_to_the_audit(&gateway, "olga", &["the policy mesh.global denies: nobody reads at the weekend (policies/global.rego:3)"]).await
    );
    // A binding that a reader lacks denies, and is told to the audit alone.
    let carl = gateway.pg("carl").await;
    assert_eq!(told(&carl, all).await, "42501");
    let said = "the row filter region = $region cannot be applied: the principal has no attribute `region` (hr/policies/domain.rego:7)";
    assert!(said_to_the_audit(&gateway, "carl", &[said]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_bites_within_a_second_and_ends_what_runs() {
    let gateway = gateway().await;
    let (bob, running) = (gateway.pg("bob").await, gateway.pg("bob").await);
    assert_eq!(told(&bob, "PREPARE p AS SELECT count(*) FROM hr.people; EXECUTE p").await, "2");
    let sql = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN hr.people p ON p.id = 1 WHERE n < 100000000) SELECT max(n) FROM r";
    let endless = tokio::spawn(async move { told(&running, sql).await });
    tokio::time::sleep(SECOND / 2).await;
    assert!(!endless.is_finished());
    gateway.rewrite("hr/policies/domain.rego", &DOMAIN.replace("hr-friends", "hr-family"));
    let changed = eventually(2 * SECOND, || async { told(&bob, "EXECUTE p").await == "42501" }).await;
    assert!(changed, "what was prepared is decided again");
    let answer = tokio::time::timeout(5 * SECOND, endless).await.expect("it ends within five seconds").unwrap();
    assert_eq!(answer, "42501");
    // And back.
    gateway.rewrite("hr/policies/domain.rego", DOMAIN);
    assert!(eventually(2 * SECOND, || async { told(&bob, "EXECUTE p").await == "2" }).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_be_used_denies_what_it_guards_and_says_where() {
    let gateway = gateway().await;
    let (bob, olga) = (gateway.pg("bob").await, gateway.pg("olga").await);
    let count = "SELECT count(*) FROM hr.people";
    let problem = "SELECT file || ':' || line || ':' || \"column\" || ' ' || message FROM mesh.problems";
    for (text, said) in [
        ("package mesh.domain.hr\ndeny contains \"x\" if {\n", ""),
        ("package mesh.global\n", "1:1 the package is `mesh.global`"),
        ("package mesh.domain.hr\ndeny contains \"x\" if http.send({}).status == 1\n", "2:22 the function `http.send` cannot be called"),
        ("package mesh.domain.hr\ndeny contains \"x\" if time.now_ns() == 1\n", "2:22 the function `time.now_ns` cannot"),
        ("package mesh.domain.hr\ndeny contains \"x\" if data.mesh.domain.sales.deny\n", "2:22 a policy reads `input` and its own package"),
    ] {
        gateway.rewrite("hr/policies/domain.rego", text);
        assert!(eventually(2 * SECOND, || async { told(&olga, count).await == "42501" }).await, "{text}");
        // The first may have been one that ran already, and lost its right.
        assert_eq!(told(&olga, count).await, "42501", "{text}");
        let problems = told(&olga, problem).await;
        assert!(problems.starts_with("hr/policies/domain.rego:") && problems.contains(said), "{problems}");
        assert!(said_to_the_audit(&gateway, "olga", &["a policy cannot be used: "]).await, "{text}");
        gateway.rewrite("hr/policies/domain.rego", DOMAIN);
        assert!(eventually(2 * SECOND, || async { told(&olga, count).await == "3" }).await);
    }
    // One that fails or does not end while it is asked.
    let slow = "deny contains \"x\" if {\n".to_owned() + &"  some _ in input.columns\n".repeat(16) + "  false\n}\n";
    for (rule, said) in [
        (slow.as_str(), "time limit"),
        ("deny contains \"x\" if to_number(input.principal.name) == 1\n", "could not parse string as number"),
    ] {
        gateway.rewrite("hr/policies/domain.rego", &format!("package mesh.domain.hr\n{rule}"));
        assert!(eventually(2 * SECOND, || async { told(&olga, count).await == "42501" }).await, "{rule}");
        assert_eq!(told(&olga, count).await, "42501", "{rule}");
        let parts = ["`deny` of the policy mesh.domain.hr failed", said, "hr/policies/domain.rego:2"];
        assert!(said_to_the_audit(&gateway, "olga", &parts).await, "{rule}");
        gateway.rewrite("hr/policies/domain.rego", DOMAIN);
        assert!(eventually(2 * SECOND, || async { told(&bob, count).await == "2" }).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_product_is_known_of_by_whom_a_policy_allows() {
    let private = MANIFEST.replace("access: restricted", "access: private");
    let gateway = TestGateway::new()
        .domain("hr")
        .product(&private)
        .file("hr/people/a.csv", ROWS)
        .catalog_file(
            "hr/people/policies/a.rego",
            "package mesh.product.hr.people\nallow if input.principal.attributes.badge == \"gold\"\n",
        )
        .user("bob", "sales", &[], &[("badge", "gold")])
        .user("dora", "sales", &[], &[("badge", "tin")])
        .start()
        .await;
    assert_eq!(told(&gateway.pg("bob").await, "SELECT count(*) FROM hr.people").await, "3");
    let dora = gateway.pg("dora").await;
    assert_eq!(told(&dora, "SELECT count(*) FROM hr.people").await, "42P01");
    let listed = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'hr'";
    assert_eq!((told(&dora, listed).await.as_str(), told(&gateway.pg("bob").await, listed).await.as_str()), ("0", "1"));
}
