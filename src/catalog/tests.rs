//! Whole catalogs in temporary folders.

mod broken;
#[path = "../fuzz/manifest.rs"]
mod fuzz;
mod reload;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const MESH: &str = "\
apiVersion: datamesh.io/v1
kind: Mesh
metadata: {name: test}
spec:
  currency: USD
  prices: [{id: standard, from: 2026-01-01, perTiB: \"5.00\"}]
  classifications:
    PII: {mask: replace-with-null}
    PII.NationalID: {mask: pseudonym, clearGroups: [pii-clear]}
    PII.BirthDate: {mask: truncate-to-year}
  naming: {columns: \"[a-z][a-z0-9_]*\", timestamps: utc}
  requiredColumns: [{name: customer_id, type: bigint, whenTerm: Customer}]
";

const DOMAIN: &str = "\
apiVersion: datamesh.io/v1
kind: Domain
metadata: {name: sales}
spec:
  owner: {team: sales-data, contact: sales@example.com}
  storage: [{prefix: \"file:data/sales/\"}, {prefix: \"s3://sales/gold/\", credentials: sales-s3}]
";

const MANIFEST: &str = "\
apiVersion: datamesh.io/v1
kind: DataProduct
metadata:
  name: orders
  domain: sales
  version: 1.0.0
  description: One row per order.
  owner: {team: sales-data}
  status: active
spec:
  outputPorts:
    - name: sql
      format: parquet
      location: file:data/sales/orders/
      partitioning: [{field: region}]
      schema:
        - {name: order_id, type: bigint, nullable: false}
        - {name: region, type: text}
        - {name: national_id, type: text, classification: PII.NationalID}
        - {name: amount, type: \"numeric(12,2)\"}
  sla: {freshness: 1h}
  policies:
    access: restricted
    rowFilters: [{expression: \"region = $region\", bind: {region: principal.attributes.region}}]
    masks: [{column: region, mask: mask-alphanum, exceptGroups: [staff]}]
";

/// A folder with a catalog in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("mesh.yaml", MESH);
        folder.write("sales/domain.yaml", DOMAIN);
        folder.write("sales/orders/v1.yaml", MANIFEST);
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("catalog")
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    fn load(&self) -> Snapshot {
        Catalog::inspect(&self.path()).unwrap()
    }

    fn problems(&self) -> Vec<String> {
        match Catalog::inspect(&self.path()) {
            Ok(snapshot) => lines(&snapshot.problems),
            Err(problems) => lines(&problems),
        }
    }
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_catalog_has_no_problems() {
    let folder = Folder::new();
    let snapshot = folder.load();
    assert_eq!(lines(&snapshot.problems), Vec::<String>::new());
    let found = snapshot.resolve("sales", "orders").unwrap();
    let version = &found.product;
    assert_eq!((version.status, version.access), (Status::Active, Access::Restricted));
    assert_eq!(version.row_filters[0].origin.to_string(), "sales/orders/v1.yaml:24:31");
    let base = folder.0.path().canonicalize().unwrap();
    assert_eq!(found.port().location, Location::File(base.join("data/sales/orders")));
    assert_eq!(found.id().to_string(), "sales.orders_v1__sql");
}

#[test]
fn the_seed_manifest_loads_unchanged_as_a_draft() {
    let folder = Folder::new();
    folder.write(
        "commerce/domain.yaml",
        "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {name: commerce}\nspec:\n  owner: {team: commerce-engineering}\n  storage:\n    \
         - {prefix: \"s3://data/commerce/\"}\n    - {prefix: \"s3://schemas/commerce/\"}\n",
    );
    folder.write("commerce/orders/v1.yaml", include_str!("tests/seed.yaml"));
    let snapshot = folder.load();
    let said = "commerce/orders/v1.yaml:4:3: warning: `commerce.orders` is a draft: publishing needs a description (`metadata.description`), \
                a schema that can be checked here: the one given is at a location, list its columns under `schema`";
    assert_eq!(lines(&snapshot.problems), [said]);
    let seed = snapshot.resolve("commerce", "orders").unwrap();
    assert_eq!((seed.product.status, seed.port().name.as_str(), seed.port().format), (Status::Draft, "default", Format::Parquet));
    assert_eq!(seed.port().location, Location::Remote("s3://data/commerce/orders/".into()));
    assert_eq!(seed.port().partitioning, ["timestamp"]);
    assert_eq!(seed.product.sla.freshness, Some(std::time::Duration::from_secs(300)));
    assert_eq!(seed.product.sla.latency.as_deref(), Some("p99 < 1s"));
    assert_eq!(seed.product.quality[1].arguments, serde_json::json!({"values": ["created", "paid", "shipped", "cancelled"]}));
    assert_eq!(seed.product.upstream.len(), 2);
}

#[test]
fn names_mean_the_newest_published_major_unless_pinned() {
    let folder = Folder::new();
    let v2 = MANIFEST.replace("version: 1.0.0", "version: 2.1.0").replace("- name: sql", "- name: files");
    folder.write("sales/orders/v2.yaml", &v2);
    folder.write("sales/orders/v3.yaml", MANIFEST.replace("version: 1.0.0", "version: 3.0.0").replace("status: active", "status: draft"));
    let snapshot = folder.load();
    assert_eq!(lines(&snapshot.problems), Vec::<String>::new());
    let found = |table: &str| snapshot.resolve("sales", table).map(|found| found.id().to_string());
    assert_eq!(found("orders").as_deref(), Some("sales.orders_v2__files"));
    assert_eq!(found("orders_v1").as_deref(), Some("sales.orders_v1__sql"));
    assert_eq!(found("orders_v3").as_deref(), Some("sales.orders_v3__sql"));
    assert_eq!(found("orders__files").as_deref(), Some("sales.orders_v2__files"));
    assert_eq!(found("orders_v1__sql").as_deref(), Some("sales.orders_v1__sql"));
    for missing in
        ["orders__sql", "orders_v4", "orders_v01", "orders_v", "orders_v1__", "orders__", "__", "", "Orders", "order", "orders_v1__files"]
    {
        assert_eq!(found(missing), None, "{missing}");
    }
    assert!(snapshot.resolve("mesh", "orders").is_none() && snapshot.resolve("", "").is_none());
}

#[test]
fn a_product_named_like_a_pinned_one_wins_and_is_warned_of() {
    let folder = Folder::new();
    folder.write("sales/orders_v1/v1.yaml", MANIFEST.replace("name: orders\n", "name: orders_v1\n"));
    let snapshot = folder.load();
    assert_eq!(snapshot.resolve("sales", "orders_v1").unwrap().id().to_string(), "sales.orders_v1_v1__sql");
    assert_eq!(
        lines(&snapshot.problems),
        [
            "sales/orders_v1/v1.yaml: warning: `sales.orders_v1` is also a name of `sales.orders` (version 1), which cannot be reached by it: rename \
          one of the two"
        ]
    );
}

#[test]
fn a_policy_that_cannot_be_used_is_a_problem_with_its_place_and_another_revision() {
    for (file, package) in [
        ("policies/a.rego", "mesh.global"),
        ("sales/policies/a.rego", "mesh.domain.sales"),
        ("sales/orders/policies/a.rego", "mesh.product.sales.orders"),
    ] {
        let folder = Folder::new();
        let before = folder.load();
        folder.write(file, format!("package {package}\ndeny contains \"x\" if false\n"));
        let sound = folder.load();
        assert_eq!(lines(&sound.problems), Vec::<String>::new());
        folder.write(file, format!("package {package}\ndeny contains \"x\" if time.now_ns() == 0\n"));
        let broken = folder.load();
        let problem = lines(&broken.problems).join("\n");
        assert!(problem.starts_with(&format!("{file}:2:22: error: the function `time.now_ns` cannot be called")), "{problem}");
        assert!(broken.resolve("sales", "orders").is_some(), "it is denied, not missing");
        assert!(before.revision != sound.revision && sound.revision != broken.revision);
    }
}

#[test]
fn what_is_not_read_in_a_folder_of_policies_closes_it() {
    for file in ["policies/more/a.rego", "policies/a.rego.off", "policies/A.REGO"] {
        let folder = Folder::new();
        folder.write(file, "package mesh.global\n");
        let problems = lines(&folder.load().problems);
        assert!(problems.len() == 1 && problems[0].contains("every product is denied until it is mended"), "{file} {problems:?}");
    }
}

#[test]
fn the_example_catalog_is_sound() {
    let snapshot = Catalog::inspect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog")).unwrap();
    assert_eq!(lines(&snapshot.problems), Vec::<String>::new());
    assert_eq!((snapshot.domains.len(), snapshot.products.len()), (6, 8));
    assert!(snapshot.products.values().all(|product| product.newest().status == Status::Active));
}

#[test]
fn the_examples_of_the_manual_are_sound() {
    let manual = include_str!("../../docs/catalog.md");
    let mut examples = manual.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let folder = Folder(tempfile::tempdir().unwrap());
    folder.write("mesh.yaml", examples.next().unwrap());
    folder.write("claims/domain.yaml", examples.next().unwrap());
    folder.write("claims/claims_enriched/v1.yaml", examples.next().unwrap());
    let snapshot = folder.load();
    assert_eq!(lines(&snapshot.problems), Vec::<String>::new());
    assert_eq!(snapshot.resolve("claims", "claims_enriched").unwrap().product.status, Status::Active);
}
