//! Broken files and the one line that is said about each.

use super::*;

const MANIFEST_FILE: &str = "sales/orders/v1.yaml";
const DOMAIN_FILE: &str = "sales/domain.yaml";
const MESH_FILE: &str = "mesh.yaml";

/// Replaces `from` with `to` in a sound file and gives what is said then.
fn said(file: &str, from: &str, to: &str) -> Vec<String> {
    let sound = match file {
        MANIFEST_FILE => MANIFEST,
        DOMAIN_FILE => DOMAIN,
        _ => MESH,
    };
    assert!(sound.contains(from), "{from:?} is not in {file}");
    let folder = Folder::new();
    folder.write(file, sound.replacen(from, to, 1));
    folder.problems()
}

#[test]
fn every_mistake_has_its_line() {
    let mut wrong = Vec::new();
    for (file, from, to, line) in CASES {
        let all = said(file, from, to);
        let expected = format!("{file}:{line}");
        if all.first() != Some(&expected) {
            wrong.push(format!("{from:?} -> {to:?}\n  expected {expected}\n  said     {}", all.join("\n           ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CASES: &[(&str, &str, &str, &str)] = &[
    // The shape of the file.
    (MANIFEST_FILE, "kind: DataProduct", "kind: DataProdukt", "2:7: error: `kind` must be `DataProduct`, not `DataProdukt`"),
    (MANIFEST_FILE, "datamesh.io/v1", "datamesh.io/v2", "1:13: error: `apiVersion` must be `datamesh.io/v1`, not `datamesh.io/v2`"),
    (MANIFEST_FILE, "  owner:", "  ower:", "8:3: error: unknown key `ower` in `metadata`: did you mean `owner`?"),
    (MANIFEST_FILE, "  status: active", "  status: active\n  status: draft", "10:3: error: `status` is given twice, first on line 9"),
    (MANIFEST_FILE, "  status: active", "  status: aktive", "9:11: error: `status` must be draft, active or deprecated, not `aktive`"),
    (MANIFEST_FILE, "  status: active", "  status: [active", "10:5: error: not YAML: illegal placement of ':' indicator"),
    (
        MANIFEST_FILE,
        "  status: active",
        "\tstatus: active",
        "9:2: error: not YAML: tabs disallowed within this context (block indentation)",
    ),
    (MANIFEST_FILE, "  status: active", "  <<: {status: active}", "9:3: error: merge keys (`<<`) are not supported: write the keys out"),
    (MANIFEST_FILE, "  status: active", "  status: !!str active", "9:17: error: YAML tags (`!…`) are not supported: write the plain value"),
    (MANIFEST_FILE, "  status: active", "  tier: 12", "9:9: error: `tier` must be a whole number from 1 to 9, not `12`"),
    (
        MANIFEST_FILE,
        "  description: One row per order.",
        "  description: [One, row]",
        "7:16: error: `description` must be text, not a list",
    ),
    (
        MANIFEST_FILE,
        "metadata:",
        "metadata: orders\nx:",
        "3:11: error: `metadata` must be a map with name, domain, version, description, owner, status, tier, tags, terms, not `orders`",
    ),
    // Names and versions.
    (MANIFEST_FILE, "name: orders", "name: order", "4:9: error: `name` is `order` but the folder is `orders`: they must agree"),
    (
        MANIFEST_FILE,
        "domain: sales",
        "domain: marketing",
        "5:11: error: `domain` is `marketing` but the folder is `sales`: they must agree",
    ),
    (MANIFEST_FILE, "version: 1.0.0", "version: 1.0", "6:12: error: `version`: `1.0` is not a semantic version: write `1.2.0`"),
    (MANIFEST_FILE, "version: 1.0.0", "version: 2.0.0", "6:12: error: version 2.0.0 does not belong in v1.yaml: it belongs in v2.yaml"),
    (
        MANIFEST_FILE,
        "- name: sql",
        "- name: SQL",
        "12:13: error: `name`: `SQL` is not a name: use lower-case letters, digits and `_`, starting with a letter, at most 63 characters",
    ),
    // Ports.
    (MANIFEST_FILE, "format: parquet", "format: parkett", "13:15: error: `format`: `parkett` is not a format: did you mean `parquet`?"),
    (MANIFEST_FILE, "format: parquet", "format: parquet\n      options: {header: true}", "14:17: error: format parquet takes no options"),
    (
        MANIFEST_FILE,
        "format: parquet",
        "format: csv\n      options: {delimiter: tab}",
        "14:28: error: `delimiter` must be one ASCII character, not `tab`",
    ),
    (
        MANIFEST_FILE,
        "file:data/sales/orders/",
        "file:data/claims/orders/",
        "14:17: error: the location is under no storage prefix of domain `sales`: see `storage` in sales/domain.yaml",
    ),
    (
        MANIFEST_FILE,
        "file:data/sales/orders/",
        "file:data/sales/../claims/",
        "14:17: error: `location`: `file:data/sales/../claims/` holds `..`: write the path without it",
    ),
    (
        MANIFEST_FILE,
        "file:data/sales/orders/",
        "file:data/sales/%2e%2e/claims/",
        "14:17: error: `location`: `file:data/sales/%2e%2e/claims/` holds an escape (`%`): write the name itself",
    ),
    (
        MANIFEST_FILE,
        "file:data/sales/orders/",
        "data/sales/orders/",
        "14:17: error: `location`: `data/sales/orders/` does not say where: write `file:data/…` or a URL as `s3://bucket/…`",
    ),
    (
        MANIFEST_FILE,
        "file:data/sales/orders/",
        "s4://sales/gold/orders/",
        "14:17: error: `location`: `s4://sales/gold/orders/` has an unknown scheme: use file, s3, s3a, gs, az, abfs, abfss, http, https or postgres",
    ),
    (
        MANIFEST_FILE,
        "file:data/sales/orders/",
        "s3://other/gold/orders/",
        "14:17: error: the location is under no storage prefix of domain `sales`: see `storage` in sales/domain.yaml",
    ),
    (MANIFEST_FILE, "{field: region}", "{field: regoin}", "15:30: error: column `regoin` is not in the schema: did you mean `region`?"),
    (MANIFEST_FILE, "type: bigint", "type: bigit", "17:34: error: `type`: `bigit` is not a type: did you mean `bigint`?"),
    (
        MANIFEST_FILE,
        "numeric(12,2)",
        "numeric(2,12)",
        "20:32: error: `type`: `numeric(2,12)` needs a precision up to 76 and a scale within it, as `numeric(12,2)`",
    ),
    (MANIFEST_FILE, "nullable: false", "nullable: no", "17:52: error: `nullable` must be true or false, not `no`"),
    (MANIFEST_FILE, "name: region, type: text", "name: order_id, type: text", "15:30: error: column `region` is not in the schema"),
    (
        MANIFEST_FILE,
        "PII.NationalID",
        "PPI.NationalID",
        "19:59: error: classification `PPI.NationalID` is not in mesh.yaml: did you mean `PII.NationalID`?",
    ),
    (
        MANIFEST_FILE,
        "PII.NationalID",
        "PII.BirthDate",
        "19:59: error: classification `PII.BirthDate` masks with `truncate-to-year`, which does not take type text",
    ),
    (
        MANIFEST_FILE,
        "type: text, classification",
        "type: struct, classification",
        "19:37: error: `struct` needs `fields`, a list like the one of the columns",
    ),
    (
        MANIFEST_FILE,
        "type: text, classification: PII.NationalID",
        "type: text, fields: [{name: a, type: text}]",
        "19:51: error: `fields` goes with the type `struct` or `struct[]`",
    ),
    (
        MANIFEST_FILE,
        "type: text, classification: PII.NationalID",
        "type: \"struct[]\", fields: [{name: a, type: bigint, classification: PII.BirthDate}]",
        "19:98: error: classification `PII.BirthDate` masks with `truncate-to-year`, which does not take type bigint",
    ),
    (
        MANIFEST_FILE,
        "type: text, classification: PII.NationalID",
        "type: struct, fields: [{name: a, type: text}, {name: a, type: date}]",
        "19:53: error: field `a` is given twice",
    ),
    (
        MANIFEST_FILE,
        "name: amount",
        "name: Amount",
        "20:11: warning: column `Amount` does not hold the mesh's pattern `[a-z][a-z0-9_]*`: a draft until it does",
    ),
    // Promises and policies.
    (
        MANIFEST_FILE,
        "freshness: 1h",
        "freshness: hourly",
        "21:20: error: `freshness`: `hourly` is not a duration: write `5m`, `1h`, `7d`, `1y`, `PT5M` or `P1Y`",
    ),
    (
        MANIFEST_FILE,
        "freshness: 1h",
        "availability: 101",
        "21:23: error: `availability` must be a percentage from 0 to 100, as 99.9, not `101`",
    ),
    (MANIFEST_FILE, "access: restricted", "access: secret", "23:13: error: `access` must be public, restricted or private, not `secret`"),
    (
        MANIFEST_FILE,
        "access: restricted",
        "purposes: []",
        "23:15: error: `purposes` is an empty list: leave the key out where there is no restriction",
    ),
    (
        MANIFEST_FILE,
        "mask-alphanum",
        "mask-alfanum",
        "25:36: error: `mask`: unknown mask `mask-alfanum`; did you mean `mask-alphanum`? (there are replace-with-null, mask-to-fixed-value, mask-alphanum, show-first-4, show-last-4, truncate-to-year, truncate-to-month, sha-256-global, sha-256-query-local, pseudonym, email, round:<step> and constant:<literal>)",
    ),
    (
        MANIFEST_FILE,
        "mask: mask-alphanum",
        "mask: truncate-to-year",
        "25:36: error: mask `truncate-to-year` does not take column `region` of type text",
    ),
    (
        MANIFEST_FILE,
        "{column: region, mask",
        "{column: regio, mask",
        "25:22: error: column `regio` is not in the schema: did you mean `region`?",
    ),
    (
        MANIFEST_FILE,
        "region = $region",
        "region = ",
        "24:31: error: the row filter is not a SQL expression: sql parser error: Expected: an expression, found: EOF",
    ),
    (MANIFEST_FILE, "region = $region", "region = $regoin", "24:31: error: `$regoin` is not bound"),
    (MANIFEST_FILE, "region = $region", "regio = $region", "24:31: error: there is no column `regio`"),
    (
        MANIFEST_FILE,
        "region = $region",
        "1 / order_id > 0 AND region = $region",
        "24:31: error: `1 / order_id` cannot stand in a row filter: only columns, literals, bound values, comparisons, AND, OR, NOT, IS, IN, BETWEEN and LIKE can, because a filter must not be able to fail",
    ),
    (
        MANIFEST_FILE,
        "principal.attributes.region",
        "principal.password",
        "24:66: error: `region`: `principal.password` is not known: use principal.name, principal.domain or principal.attributes.<name>",
    ),
    // Domains.
    (DOMAIN_FILE, "name: sales", "name: sale", "3:18: error: `name` is `sale` but the folder is `sales`: they must agree"),
    (
        DOMAIN_FILE,
        "file:data/sales/",
        "file:data/sales",
        "6:22: error: a storage prefix ends in `/`, so that it cannot also mean a sibling with the same beginning",
    ),
    (DOMAIN_FILE, "file:data/sales/", "file:catalog/x/", "6:22: error: a storage prefix must not lie in the catalog"),
    (DOMAIN_FILE, "file:data/sales/", "file:///", "6:22: error: `prefix`: `file:///` names no folder"),
    (
        DOMAIN_FILE,
        "s3://sales/gold/",
        "s3://key:secret@sales/gold/",
        "6:52: error: `prefix`: the location holds a user or password: name a credential in domain.yaml instead",
    ),
    (
        DOMAIN_FILE,
        "  owner: {team: sales-data, contact: sales@example.com}",
        "  budget: {monthly: 5 EUR}",
        "5:3: error: `spec` needs `owner`",
    ),
    (
        DOMAIN_FILE,
        "  owner: {",
        "  limits: {memory: 4}\n  owner: {",
        "5:20: error: `memory`: `4` is not a size: write a whole number with a unit, as `0B`, `10MB` or `1TiB`",
    ),
    // The mesh.
    (
        MESH_FILE,
        "currency: USD",
        "currency: dollars",
        "5:13: error: `currency`: `dollars` is not a currency: write its three capital letters, as USD",
    ),
    (
        MESH_FILE,
        "perTiB: \"5.00\"}",
        "perTiB: \"5.00\"}, {id: b, from: 2026-01-01, perTiB: \"1\"}",
        "6:62: error: two prices hold from 2026-01-01 for the same: only one of `standard` and `b` can",
    ),
    (MESH_FILE, "perTiB: \"5.00\"", "perTiB: \"5.00\", products: []", "6:71: error: the list is empty: leave it out where all are meant"),
    (
        MESH_FILE,
        "perTiB: \"5.00\"",
        "perTiB: \"5.00\", products: [orders]",
        "6:72: error: `products`: `orders` is not a product: write it as domain.product",
    ),
    (
        MESH_FILE,
        "  classifications:",
        "  limits: [{id: a, each: consumer, per: week, bytes: 1GiB}]\n  classifications:",
        "7:41: error: `per` must be query, day or month, not `week`",
    ),
    (
        MESH_FILE,
        "  classifications:",
        "  limits: [{id: a, each: consumer, per: day, bytes: 1GiB, products: [sales.orders]}]\n  classifications:",
        "7:69: error: `products` goes with `each: product` and `each: consumer-product`",
    ),
    (
        MESH_FILE,
        "  classifications:",
        "  limits: [{id: a, each: product, per: day, bytes: 1GiB, consumers: [sales]}]\n  classifications:",
        "7:69: error: `each: product` counts what all read: `consumers` goes with `each: consumer-product`",
    ),
    (
        MESH_FILE,
        "  classifications:",
        "  limits: [{id: a, each: principal, per: day, bytes: 1GiB}, {id: a, each: consumer, per: day, bytes: 1GiB}]\n  classifications:",
        "7:61: error: limit `a` is given twice: an override refers to a limit by its id",
    ),
    (MESH_FILE, "perTiB: \"5.00\"", "perTiB: \"5.00\", until: 2025-12-31", "6:68: error: `until` lies before `from`"),
    (
        MESH_FILE,
        "from: 2026-01-01, perTiB: \"5.00\"",
        "from: 2026-01-02, perTiB: \"5.00\", freePerMonth: 1GiB",
        "6:33: error: `from` must be the first day of a month where a price has `tiers` or `freePerMonth`",
    ),
    (
        MESH_FILE,
        "perTiB: \"5.00\"",
        "perTiB: \"5.00\", tiers: [{above: 1TiB, perTiB: \"4\"}, {above: 1TiB, perTiB: \"3\"}]",
        "6:97: error: `above` must be more than that of the tier before it, and not less than `freePerMonth`",
    ),
    (MESH_FILE, "perTiB: \"5.00\"", "perTiB: \"-5\"", "6:53: error: `perTiB`: `-5` is not an amount: write a decimal, as \"5.00\""),
    (MESH_FILE, "2026-01-01", "01.01.2026", "6:33: error: `from`: `01.01.2026` is not a date: write `2026-01-31`"),
    (
        MESH_FILE,
        "replace-with-null",
        "nullify",
        "8:17: error: `mask`: unknown mask `nullify` (there are replace-with-null, mask-to-fixed-value, mask-alphanum, show-first-4, show-last-4, truncate-to-year, truncate-to-month, sha-256-global, sha-256-query-local, pseudonym, email, round:<step> and constant:<literal>)",
    ),
    (MESH_FILE, "[a-z][a-z0-9_]*", "[a-z", "11:21: error: `columns`: `[a-z` is not a regular expression"),
    (
        MESH_FILE,
        "type: bigint",
        "type: long",
        "12:47: error: `type`: `long` is not a type: use PostgreSQL's, as bigint, text, numeric(12,2), date, timestamptz or text[]",
    ),
];

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let folder = Folder::new();
    let text = MANIFEST.replace("status: active", "status: on").replace("format: parquet", "format: xls").replace("bigint", "long");
    folder.write(MANIFEST_FILE, text.replace("freshness: 1h", "freshness: often"));
    let all = folder.problems();
    assert_eq!(all.len(), 4, "{all:?}");
}

#[test]
fn files_that_are_not_text_of_a_size_are_refused() {
    for (contents, line) in [
        (b"".to_vec(), "sales/orders/v1.yaml: error: the file is empty"),
        (b"# nothing\n".to_vec(), "sales/orders/v1.yaml: error: the file is empty"),
        (b"a: b\nc: \xff\xfe".to_vec(), "sales/orders/v1.yaml:2:4: error: the text is not UTF-8 from here"),
        (vec![b'#'; (256 << 10) + 1], "sales/orders/v1.yaml: error: the file is larger than 256 KiB"),
        (b"[]".to_vec(), "sales/orders/v1.yaml:1:1: error: `file` must be a map with apiVersion, kind, metadata, spec, not a list"),
    ] {
        let folder = Folder::new();
        folder.write(MANIFEST_FILE, contents);
        assert_eq!(folder.problems(), [line]);
    }
}

#[test]
fn links_out_of_the_catalog_are_refused_and_links_within_are_followed() {
    let folder = Folder::new();
    folder.remove(MANIFEST_FILE);
    let outside = folder.0.path().join("outside.yaml");
    fs::write(&outside, MANIFEST).unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join(MANIFEST_FILE)).unwrap();
    assert_eq!(folder.problems(), ["sales/orders/v1.yaml: error: a symbolic link that leaves the catalog is not followed"]);
    folder.remove(MANIFEST_FILE);
    folder.write(".data/orders.yaml", MANIFEST);
    std::os::unix::fs::symlink("../../.data/orders.yaml", folder.path().join(MANIFEST_FILE)).unwrap();
    assert_eq!(folder.problems(), Vec::<String>::new());
}

#[test]
fn h10_folders_and_files_in_the_wrong_place_are_told() {
    for (file, text, lines) in [
        ("mesh/domain.yaml", DOMAIN, vec!["mesh/domain.yaml: error: `mesh` is a schema of the gateway itself: name the domain otherwise"]),
        (
            "Sales/domain.yaml",
            DOMAIN,
            vec![
                "Sales/domain.yaml: error: `Sales` is not a name: use lower-case letters, digits and `_`, starting with a letter, at most 63 characters",
            ],
        ),
        (
            "sales/Orders/v1.yaml",
            MANIFEST,
            vec![
                "sales/Orders: error: `Orders` is not a name: use lower-case letters, digits and `_`, starting with a letter, at most 63 characters",
            ],
        ),
        (
            "sales/orders/v01.yaml",
            MANIFEST,
            vec!["sales/orders/v01.yaml: warning: the file is not read: a manifest is named after its major version, as v1.yaml"],
        ),
        ("sales/domain.yml", DOMAIN, vec!["sales/domain.yml: warning: the file is not read: did you mean `domain.yaml`?"]),
        (
            "other/orders/v1.yaml",
            MANIFEST,
            vec!["other/domain.yaml: error: the file is missing: without it the products of `other` are not served"],
        ),
        ("README.md", "# hello", vec![]),
        ("docs/notes.txt", "hello", vec![]),
    ] {
        let folder = Folder::new();
        folder.write(file, text);
        assert_eq!(folder.problems(), lines, "{file}");
    }
}

#[test]
fn what_publishing_needs_makes_a_draft_and_not_an_error() {
    for (from, to, needs) in [
        ("  description: One row per order.\n", "", "a description (`metadata.description`)"),
        ("  owner: {team: sales-data}\n", "", "an owner (`metadata.owner`)"),
        ("  sla: {freshness: 1h}\n", "", "a freshness (`spec.sla.freshness`)"),
    ] {
        let folder = Folder::new();
        folder.write(MANIFEST_FILE, MANIFEST.replace(from, to));
        let snapshot = folder.load();
        assert_eq!(snapshot.resolve("sales", "orders").unwrap().product.status, Status::Draft);
        let line = format!("sales/orders/v1.yaml:4:3: warning: `sales.orders` is a draft: publishing needs {needs}");
        assert_eq!(lines(&snapshot.problems), [line]);
    }
    let folder = Folder::new();
    let text = MANIFEST.replace("  status: active", "  terms: [Customer]").replace("name: amount", "name: Amount");
    folder.write(MANIFEST_FILE, text);
    let snapshot = folder.load();
    assert_eq!(snapshot.resolve("sales", "orders").unwrap().product.status, Status::Draft);
    assert_eq!(
        lines(&snapshot.problems),
        [
            "sales/orders/v1.yaml:17:9: warning: the term `Customer` needs a column `customer_id` of type bigint: a draft until it is there",
            "sales/orders/v1.yaml:20:11: warning: column `Amount` does not hold the mesh's pattern `[a-z][a-z0-9_]*`: a draft until it does",
        ]
    );
}
