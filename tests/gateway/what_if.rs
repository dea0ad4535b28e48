//! `meshgate explain-access` and `meshgate replay`, as a steward runs them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::TestGateway;

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
      schema:
        - {name: id, type: bigint}
        - {name: region, type: text}
        - {name: mail, type: text, classification: PII.Email}
        - {name: note, type: text}
  sla: {freshness: 1h}
  policies:
    access: restricted
    rowFilters: [{expression: \"region = $region\", bind: {region: principal.attributes.region}}]
    masks: [{column: note, mask: mask-alphanum, exceptGroups: [shop-clear]}]
";

const READER: &str = "dp-shop-orders-reader";

/// `shop.orders`, and three who may read it more or less.
async fn shop() -> TestGateway {
    let gateway = TestGateway::new()
        .domain("shop")
        .domain("sales")
        .product(ORDERS)
        .file("shop/orders/a.csv", "id,region,mail,note\n1,eu,a@x.example,one\n2,us,b@x.example,two\n")
        .user("eve", "sales", &[READER], &[("region", "eu")])
        .user("cleo", "sales", &[READER, "shop-clear", "pii-clear"], &[("region", "eu")])
        .user("new", "sales", &[], &[]);
    let config = "[server]\nregion = \"eu\"\n";
    fs::write(gateway.folder().join("meshgate.toml"), config).unwrap();
    gateway.start().await
}

/// What the command prints: on standard output where it succeeds, else on standard error.
fn meshgate(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let config = folder.join("meshgate.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_meshgate")).args(arguments).arg("--config").arg(config).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn a_steward_is_told_why_somebody_reads_what_they_read() {
    let gateway = shop().await;
    let explained = |arguments: &[&str]| meshgate(gateway.folder(), &[&["explain-access"], arguments].concat());

    let eve = explained(&["eve", "shop.orders"]).unwrap();
    let want = [
        "eve (domain sales) and shop.orders 1.0.0 (port files): may read it, filtered and masked",
        "  - the principal is a member of dp-shop-orders-reader (shop/orders/v1.yaml:1)",
        "  - rows are filtered by region = $region (shop/orders/v1.yaml:23)",
        "  - the column mail (PII.Email) is masked by email, the rule for PII.Email (mesh.yaml:",
        "  - the column note is masked by mask-alphanum (shop/orders/v1.yaml:24)",
        "\n  region = eu\n",
        "  mail    text                  email",
        "  region  text                  clear",
    ];
    for line in want {
        assert!(eve.contains(line), "{line}\nis not in\n{eve}");
    }
    assert!(explained(&["cleo", "shop.orders"]).unwrap().contains("may read it, filtered\n"));

    let new = explained(&["new", "shop.orders_v1__files"]).unwrap();
    assert!(new.contains("may not read it") && new.contains("nothing entitles the principal to shop.orders"), "{new}");
    assert!(new.contains("42501: permission denied for table orders") && new.contains("Ask shop (shop@test.example)"), "{new}");
    // Somebody who is not there yet.
    let dan = ["dan", "shop.orders", "--domain", "sales", "--group", READER, "--attribute", "region=us"];
    assert!(explained(&dan).unwrap().contains("region = us"));
    // A binding that cannot be resolved denies.
    assert!(explained(&["dan", "shop.orders", "--domain", "sales", "--group", READER]).unwrap().contains("may not read it"));

    let json: serde_json::Value = serde_json::from_str(&explained(&["eve", "shop.orders", "--format", "json"]).unwrap()).unwrap();
    assert_eq!((&json["decision"], &json["reasons"][1]["line"]), (&"permit".into(), &23.into()));
    assert_eq!(json["columns"][2], serde_json::json!({ "name": "mail", "type": "text", "mask": "email" }));

    assert!(explained(&["nobody", "shop.orders"]).unwrap_err().contains("there is no user `nobody`"));
    let unknown = explained(&["eve", "shop.order"]).unwrap_err();
    assert!(unknown.contains("there is no product `shop.order` in the catalog; did you mean `shop.orders`?"), "{unknown}");
    assert!(explained(&["eve", "\u{1b}[2J"]).unwrap_err().contains("`\\u{1b}[2J`"));
}

#[tokio::test]
async fn a_candidate_policy_is_replayed_over_what_was_really_asked() {
    let mut gateway = shop().await;
    for (user, times) in [("eve", 3), ("cleo", 1)] {
        let pg = gateway.pg(user).await;
        for _ in 0..times {
            pg.text_rows("SELECT * FROM shop.orders").await.unwrap();
        }
    }
    assert!(gateway.pg("new").await.text_rows("SELECT * FROM shop.orders").await.is_err());
    gateway.stop().await.unwrap();

    let folder = gateway.folder();
    let candidate = folder.join("candidate");
    let put = |file: &str, text: &str| {
        fs::create_dir_all(candidate.join(file).parent().unwrap()).unwrap();
        fs::write(candidate.join(file), text).unwrap();
    };
    for file in ["mesh.yaml", "shop/domain.yaml", "sales/domain.yaml"] {
        put(file, &fs::read_to_string(folder.join("catalog").join(file)).unwrap());
    }
    let replayed = |orders: &str, since: &str| {
        put("shop/orders/v1.yaml", orders);
        meshgate(folder, &["replay", "--policy", candidate.to_str().unwrap(), "--since", since])
    };

    // The policy that was in force changes nothing.
    assert_eq!(replayed(ORDERS, "2026-11-20").unwrap(), "5 decisions, 3 different requests: 0 changes\n");
    // One of each kind.
    let open = ORDERS.replace("access: restricted", "access: public").replace(", exceptGroups: [shop-clear]", "");
    let found = replayed(&open, "2026-11-20").unwrap();
    assert_eq!(
        found,
        "clear to masked  cleo reading shop.orders (1×)  note: mask-alphanum\n5 decisions, 3 different requests: 1 changes\n"
    );
    let filter = "    rowFilters: [{expression: \"region = $region\", bind: {region: principal.attributes.region}}]\n";
    let found = replayed(&open.replace(filter, ""), "2026-11-20").unwrap();
    assert!(found.starts_with("deny to allow    new reading shop.orders (1×)\n"), "{found}");
    assert!(found.contains("other rows       eve reading shop.orders (3×)  region = $region → all rows\n"), "{found}");
    let laxer = ORDERS.replace("    masks: [{column: note, mask: mask-alphanum, exceptGroups: [shop-clear]}]\n", "");
    let found = replayed(&laxer, "2026-11-01T00:00:00Z").unwrap();
    assert_eq!(
        found,
        "masked to clear  eve reading shop.orders (3×)  note, was mask-alphanum\n5 decisions, 3 different requests: 1 changes\n"
    );
    let other = ORDERS.replace("region = $region", "region <> $region").replace("mask: mask-alphanum", "mask: replace-with-null");
    let found = replayed(&other, "2026-11-20").unwrap();
    assert!(found.contains("other rows       eve reading shop.orders (3×)  region = $region → region <> $region\n"), "{found}");
    assert!(found.contains("other mask       eve reading shop.orders (3×)  note: mask-alphanum → replace-with-null\n"), "{found}");
    let private = ORDERS.replace("name: orders", "name: others");
    let found = replayed(&private, "2026-11-20").unwrap();
    assert!(found.contains("allow to deny    eve reading shop.orders (3×)  the candidate does not have it\n"), "{found}");

    assert_eq!(replayed(ORDERS, "2026-11-21").unwrap(), "0 decisions, 0 different requests: 0 changes\n");
    assert!(replayed(ORDERS, "yesterday").unwrap_err().contains("write it as 2026-11-01"));
}
