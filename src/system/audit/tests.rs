use std::path::Path;

use datafusion::prelude::SessionContext;

use super::*;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::id::{DomainName, GroupName, PrincipalName, QueryId};
use crate::metering::{DecisionRecord, DecisionRequest};

fn domain(name: &str) -> DomainName {
    DomainName::new(name).expect("name")
}

/// `claims` with a restricted product and a private one.
fn snapshot(folder: &Path) -> Arc<Snapshot> {
    std::fs::write(folder.join("mesh.yaml"), "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {currency: USD}\n")
        .expect("writes");
    let claims = folder.join("claims");
    std::fs::create_dir(&claims).expect("makes");
    let text = "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {name: claims}\nspec:\n  owner: {team: t, contact: c@x.example}\n  \
        storage: [{prefix: \"file:data/claims/\"}]\n";
    std::fs::write(claims.join("domain.yaml"), text).expect("writes");
    for (name, access) in [("shown", "restricted"), ("hidden", "private")] {
        std::fs::create_dir(claims.join(name)).expect("makes");
        let text = format!(
            "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: claims\n  version: 1.0.0\n  \
             description: d\n  owner: {{team: t, contact: c@x.example}}\nspec:\n  outputPorts:\n    - name: sql\n      format: csv\n      \
             location: file:data/claims/{name}/\n      schema: [{{name: a, type: bigint}}]\n  sla: {{freshness: 1h}}\n  \
             policies: {{access: {access}}}\n"
        );
        std::fs::write(claims.join(name).join("v1.yaml"), text).expect("writes");
    }
    let snapshot = Catalog::open(folder).expect("loads").current();
    assert_eq!(snapshot.products.len(), 2, "{:?}", snapshot.problems);
    snapshot
}

fn decision(consumer: &str, product: &str, permitted: bool) -> DecisionRecord {
    DecisionRecord {
        decided_at: "2026-11-20T12:00:00Z".parse().expect("a time"),
        query_id: QueryId::generate(),
        principal: PrincipalName::new(&format!("of_{consumer}")),
        consumer_domain: domain(consumer),
        product: product.into(),
        permitted,
        reasons: vec!["a reason, with a comma".into(), "another".into()],
        row_filters: vec!["region = $region".into()],
        masks: vec![],
        policy_revision: "r1".into(),
        request: DecisionRequest::default(),
    }
}

async fn seen_by(own: &str, groups: &[&str], sql: &str) -> Vec<String> {
    let folders = [tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder")];
    let journal = Journal::open(folders[0].path(), Clock::system()).expect("opens");
    let asked = ["claims.shown", "claims.hidden", "claims.gone"];
    journal.decisions(asked.iter().flat_map(|product| [true, false].map(|permitted| decision("marketing", product, permitted))).collect());
    // `_` is a letter and not a wildcard: this is another domain.
    journal.decisions(vec![decision("claimsx", "claimsx.shown", true)]);
    journal.close().await.expect("closes");
    let groups = groups.iter().map(|group| GroupName::new(group)).collect();
    let who = Principal { name: PrincipalName::new("me"), domain: domain(own), groups, attributes: Default::default(), token: None };
    let table = rows("decisions", &who, &snapshot(folders[1].path()), &journal).expect("a table");
    assert_eq!(Some(table.schema()), schema("decisions"));
    let context = SessionContext::new();
    context.register_table("decisions", table).expect("registers");
    let batches = context.sql(sql).await.expect("plans").collect().await.expect("runs");
    let text = arrow::util::pretty::pretty_format_batches(&batches).expect("prints").to_string();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    rows.map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")).collect()
}

const ROWS: &str = "SELECT product, decision FROM decisions ORDER BY 1, 2";

#[tokio::test]
async fn a_decision_says_what_was_decided_and_why() {
    let sql = "SELECT principal, product, decision, reasons, row_filters, masks, policy_revision FROM decisions LIMIT 1";
    let want = "of_marketing claims.shown permit [a reason, with a comma, another] [region = $region] [] r1";
    assert_eq!(seen_by("policy", &[READERS], sql).await, [want]);
    let sql = "SELECT array_length(reasons) FROM decisions LIMIT 1";
    assert_eq!(seen_by("policy", &[READERS], sql).await, ["2"]);
}

#[tokio::test]
async fn members_of_audit_reader_see_all_and_a_domain_what_concerns_it() {
    assert_eq!(seen_by("policy", &[READERS], ROWS).await.len(), 7);
    assert_eq!(seen_by("claims", &[], ROWS).await.len(), 6);
    assert_eq!(seen_by("claimsx", &[], ROWS).await, ["claimsx.shown permit"]);
    assert!(seen_by("policy", &["finops-reader"], ROWS).await.is_empty());
}

#[tokio::test]
async fn a_refusal_does_not_tell_the_refused_that_a_private_product_exists() {
    let want = ["claims.gone permit", "claims.hidden permit", "claims.shown deny", "claims.shown permit"];
    assert_eq!(seen_by("marketing", &[], ROWS).await, want);
}
