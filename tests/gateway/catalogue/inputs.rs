//! H: what domains put into manifests, logs and files.

use std::time::Duration;

use super::{ask, told};
use crate::harness::{TestGateway, eventually};
use crate::leaks::{HOSTILE, Reader, manifest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h8_statistics_that_lie_do_not_answer_for_a_governed_product() {
    let bob = Reader::of(HOSTILE).await;
    let log = bob.gateway.folder().join("data/hr/people_delta/_delta_log/00000000000000000000.json");
    let honest = std::fs::read_to_string(&log).unwrap();
    let lie =
        serde_json::json!({"numRecords": 4711, "minValues": {"salary": -4711}, "maxValues": {"salary": 4711}, "nullCount": {"salary": 0}});
    let lines = honest.lines().map(|line| {
        let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(add) = action.get_mut("add") {
            add["stats"] = lie.to_string().into();
        }
        format!("{action}\n")
    });
    std::fs::write(&log, lines.collect::<String>()).unwrap();
    let sql = "SELECT count(*), min(salary), max(salary) FROM hr.people_delta";
    assert_eq!(told(&bob.postgres, sql).await, "5|10|40");
    assert_eq!(told(&bob.postgres, "SELECT id FROM hr.people_delta WHERE salary > 35").await, "4");
    assert_eq!(told(&bob.postgres, "SELECT count(*) FROM hr.people_delta WHERE salary > 0").await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h9_a_query_sees_one_policy_whole_while_policies_change() {
    let rows = "id,name,region,salary,ssn,note\n1,a,eu,1,secret,n\n2,b,us,2,secret,n\n";
    let product = |filter: &str, mask: &str| {
        let yaml = manifest("people_csv", "csv", "file:data/hr/people.csv", "options: {header: true}", "public");
        let at = yaml.find("    rowFilters:").unwrap();
        format!("{}    rowFilters: [{{expression: \"{filter}\"}}]\n    masks: [{{column: ssn, mask: \"{mask}\"}}]\n", &yaml[..at])
    };
    let policies = [("region = 'eu'", "constant:one", "1|one"), ("region = 'us'", "constant:two", "2|two")];
    let gateway = TestGateway::new().domain("hr").domain("sales").product(&product(policies[0].0, policies[0].1));
    let gateway = gateway.file("hr/people.csv", rows).user("bob", "sales", &[], &[]).start().await;
    let client = gateway.pg("bob").await;
    for round in 0..4 {
        let (filter, mask, expected) = policies[round % 2];
        gateway.rewrite("hr/people_csv/v1.yaml", &product(filter, mask));
        let arrived = eventually(Duration::from_secs(5), || async {
            let answer = told(&client, "SELECT id, ssn FROM hr.people_csv").await;
            // A query that runs while its policy changes is ended.
            assert!(
                answer == "42501" || policies.iter().any(|(.., whole)| *whole == answer),
                "half of one policy and half of another: {answer}"
            );
            answer == expected
        });
        assert!(arrived.await, "{expected}");
    }
    assert_eq!(ask(&gateway, "bob", "SELECT count(*) FROM mesh.problems").await, "0");
}
