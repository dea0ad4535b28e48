//! What is kept of what was done, and the receipt that a reader is given.

use meshgate::config::Statements;

use crate::harness::{Builder, FINANCE, TestGateway};

const ORDERS: &str = "apiVersion: datamesh.io/v1
kind: DataProduct
metadata:
  name: orders
  domain: shop
  version: 1.0.0
  description: Orders.
  owner: {team: shop, contact: shop@test.example}
  status: active
spec:
  outputPorts:
    - name: files
      format: csv
      location: file:data/shop/orders/
      schema: [{name: id, type: bigint}, {name: region, type: text}, {name: note, type: text}]
  sla: {freshness: 1h}
  policies:
    access: public
    rowFilters: [{expression: \"region = $region\", bind: {region: principal.attributes.region}}]
    masks: [{column: note, mask: mask-alphanum}]
";

/// `shop.orders`, filtered and masked, beside a private product.
fn shop() -> Builder {
    let private = ORDERS.replace("orders", "hidden").replace("access: public", "access: private");
    TestGateway::new()
        .domain("shop")
        .domain("sales")
        .product(ORDERS)
        .product(&private)
        .file("shop/orders/a.csv", "id,region,note\n1,eu,one\n2,us,two\n")
        .file("shop/hidden/a.csv", "id,region,note\n1,eu,one\n")
        .user("owner", "shop", &[], &[("region", "eu")])
        .user("eve", "sales", &[], &[("region", "eu")])
        .user("ute", "sales", &[], &[("region", "us")])
}

const SECRET_LITERAL: &str = "SELECT count(*) FROM shop.orders WHERE note = /* a remark */ 'a literal'";

async fn statements(gateway: &TestGateway, user: &str) -> Vec<Vec<Option<String>>> {
    let sql = "SELECT principal, statement FROM audit.statements WHERE principal = 'eve' ORDER BY started_at";
    gateway.pg(user).await.text_rows(sql).await.unwrap()
}

#[tokio::test]
async fn the_text_of_statements_is_kept_only_where_the_configuration_says_so() {
    for kept in [Statements::Digest, Statements::Full] {
        let gateway = shop().config(move |config| config.statements = kept).start().await;
        gateway.pg("eve").await.text_rows(SECRET_LITERAL).await.unwrap();
        let text = (kept == Statements::Full).then(|| SECRET_LITERAL.to_owned());
        assert_eq!(statements(&gateway, FINANCE).await, [[Some("eve".to_owned()), text.clone()]]);
        // Their own domain sees them, the producer's does not.
        assert_eq!(statements(&gateway, "ute").await.len(), 1);
        assert!(statements(&gateway, "owner").await.is_empty());
        let journal = std::fs::read(gateway.folder().join("state/journal.sqlite-wal")).unwrap();
        let found = journal.windows(9).any(|bytes| bytes == b"a literal");
        assert_eq!(found, kept == Statements::Full, "literals are in the journal");
    }
}

/// The lines that tell of a receipt.
async fn receipts(gateway: &TestGateway, user: &str) -> Vec<String> {
    let mut pg = gateway.pg(user).await;
    // A query that runs while the rules change is ended, and says so.
    while let Err(error) = pg.text_rows("SELECT * FROM shop.orders").await {
        assert_eq!(error.as_db_error().map(|error| error.message()), Some("permission was revoked while the query ran"));
        pg = gateway.pg(user).await;
    }
    pg.take_notices().iter().map(|notice| notice.detail().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_receipt_of_the_reader_is_in_the_audit_and_changes_with_the_rules_and_with_nothing_else() {
    let gateway = shop().start().await;
    let first = receipts(&gateway, "eve").await;
    let [filter, masks] = first.as_slice() else { panic!("{first:?}") };
    assert!(filter.starts_with("Receipt: policy ") && masks.starts_with("Masked columns: note. Receipt: policy "), "{first:?}");
    let word = |line: &str, after: &str| {
        let (_, rest) = line.split_once(after).unwrap();
        rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>()
    };
    let (revision, filter_receipt, mask_receipt) = (word(filter, "policy "), word(filter, "filter "), word(masks, "masks "));
    assert!([&revision, &filter_receipt, &mask_receipt].iter().all(|digits| digits.len() == 16), "{first:?}");

    let sql = "SELECT policy_revision, array_to_string(reasons, '; ') FROM audit.decisions WHERE principal = 'eve'";
    let rows = gateway.pg(FINANCE).await.text_rows(sql).await.unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let (recorded, reasons) = (row[0].as_deref().unwrap(), row[1].as_deref().unwrap());
    assert!(recorded.starts_with(&revision), "{recorded}");
    assert!(reasons.contains(&format!("the filter's receipt is {filter_receipt}")), "{reasons}");
    assert!(reasons.contains(&format!("the masks' receipt is {mask_receipt}")), "{reasons}");

    // Another reader has another filter, and the same masks.
    let other = receipts(&gateway, "ute").await;
    assert_eq!(word(&other[1], "masks "), mask_receipt);
    assert_ne!(word(&other[0], "filter "), filter_receipt);

    // What a reader must not know of does not show in their receipts.
    let (hidden, orders) = ("shop/hidden/v1.yaml", "shop/orders/v1.yaml");
    let written = |file: &str| std::fs::read_to_string(gateway.folder().join("catalog").join(file)).unwrap();
    let text = written(hidden);
    gateway.rewrite(hidden, &text.replace("mask-alphanum", "replace-with-null"));
    let text = written(orders);
    let seen_hidden_change = || async {
        let sql = "SELECT id FROM shop.hidden WHERE note IS NULL";
        gateway.pg("owner").await.text_rows(sql).await.is_ok_and(|rows| rows.len() == 1)
    };
    assert!(crate::harness::eventually(std::time::Duration::from_secs(5), seen_hidden_change).await);
    assert_eq!(receipts(&gateway, "eve").await, first);

    gateway.rewrite(orders, &text.replace("mask-alphanum", "replace-with-null"));
    let changed = || async { receipts(&gateway, "eve").await != first };
    assert!(crate::harness::eventually(std::time::Duration::from_secs(5), changed).await);
    let last = receipts(&gateway, "eve").await;
    assert_ne!(word(&last[0], "policy "), revision);
    assert_eq!(word(&last[0], "filter "), filter_receipt);
    assert_ne!(word(&last[1], "masks "), mask_receipt);
}
