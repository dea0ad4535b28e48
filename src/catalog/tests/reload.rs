//! What a change of the folder does to a catalog that is already open.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;

fn status(catalog: &Catalog) -> Option<String> {
    catalog.current().resolve("sales", "orders").map(|found| found.product.version.to_string())
}

#[test]
fn a_manifest_that_breaks_keeps_its_last_valid_version() {
    let folder = Folder::new();
    let catalog = Catalog::open(&folder.path()).unwrap();
    let before = catalog.current();
    folder.write("sales/orders/v1.yaml", MANIFEST.replace("version: 1.0.0", "version: 1.1.0").replace("bigint", "bigit"));
    assert!(catalog.reload());
    assert_eq!(status(&catalog).as_deref(), Some("1.0.0"));
    let after = catalog.current();
    assert_eq!((after.version, &after.revision), (CatalogVersion(2), &before.revision));
    assert_eq!(lines(&after.problems), ["sales/orders/v1.yaml:17:34: error: `type`: `bigit` is not a type: did you mean `bigint`?"]);
    assert!(!catalog.reload(), "nothing changed since");

    folder.write("sales/orders/v1.yaml", MANIFEST.replace("version: 1.0.0", "version: 1.1.0"));
    assert!(catalog.reload());
    assert_eq!(status(&catalog).as_deref(), Some("1.1.0"));
    assert!(catalog.current().problems.is_empty() && catalog.current().revision != before.revision);
}

#[test]
fn a_file_that_goes_takes_its_product_along() {
    let folder = Folder::new();
    let catalog = Catalog::open(&folder.path()).unwrap();
    folder.write("sales/orders/v1.yaml", "broken: [");
    assert!(catalog.reload());
    folder.remove("sales/orders/v1.yaml");
    assert!(catalog.reload());
    assert_eq!(status(&catalog), None);
    folder.write("sales/orders/v1.yaml", "broken: [");
    assert!(catalog.reload());
    assert_eq!(status(&catalog), None, "a deleted product does not come back from memory");
}

#[test]
fn an_old_manifest_does_not_outlive_the_rules_it_was_valid_under() {
    let folder = Folder::new();
    let catalog = Catalog::open(&folder.path()).unwrap();
    folder.write("sales/orders/v1.yaml", "broken: [");
    folder.write("sales/domain.yaml", DOMAIN.replace("file:data/sales/", "file:data/moved/"));
    assert!(catalog.reload());
    assert_eq!(status(&catalog), None, "its storage prefix is gone");

    folder.write("sales/domain.yaml", DOMAIN);
    folder.write("sales/orders/v1.yaml", MANIFEST);
    assert!(catalog.reload());
    folder.write("mesh.yaml", MESH.replace("PII", "Secret"));
    assert!(catalog.reload());
    assert_eq!(status(&catalog), None, "its classification is gone");
}

#[test]
fn broken_mesh_and_domain_files_keep_what_was() {
    let folder = Folder::new();
    let catalog = Catalog::open(&folder.path()).unwrap();
    folder.write("mesh.yaml", "kind: [");
    folder.write("sales/domain.yaml", "");
    assert!(catalog.reload());
    assert_eq!(status(&catalog).as_deref(), Some("1.0.0"));
    assert_eq!(catalog.current().problems.len(), 2, "{:?}", lines(&catalog.current().problems));
    fs::rename(folder.path(), folder.0.path().join("elsewhere")).unwrap();
    assert!(catalog.reload());
    assert_eq!(status(&catalog).as_deref(), Some("1.0.0"));
}

#[test]
fn a_catalog_without_a_usable_mesh_does_not_open() {
    let folder = Folder::new();
    folder.write("mesh.yaml", "kind: Mash\n");
    let fault = Catalog::open(&folder.path()).unwrap_err();
    assert_eq!(fault.message(), "the catalog cannot be used");
    assert!(fault.detail().unwrap().starts_with("mesh.yaml:1:1: error: `file` needs `apiVersion`"), "{:?}", fault.detail());
}

#[tokio::test]
async fn a_change_is_served_within_a_second() {
    let folder = Folder::new();
    let catalog = Catalog::open(&folder.path()).unwrap();
    let mut versions = catalog.subscribe();
    let stop = CancellationToken::new();
    let watching = tokio::task::spawn({
        let (catalog, stop) = (catalog.clone(), stop.clone());
        async move { catalog.watch(stop).await }
    });
    // In a folder that was not there when the watch began, too.
    for (file, text) in [
        ("sales/orders/v1.yaml", MANIFEST.replace("1.0.0", "1.2.0")),
        ("sales/new/v1.yaml", MANIFEST.replace("name: orders\n", "name: new\n")),
    ] {
        versions.borrow_and_update();
        folder.write(file, text);
        tokio::time::timeout(Duration::from_secs(5), versions.changed()).await.unwrap().unwrap();
    }
    assert_eq!(status(&catalog).as_deref(), Some("1.2.0"));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), watching).await.unwrap().unwrap();
}
