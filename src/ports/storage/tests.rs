use std::fs;
use std::os::unix::fs::symlink;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;
use crate::ports::testing::port;

struct Place {
    _folder: tempfile::TempDir,
    domain: PathBuf,
    product: PathBuf,
    outside: PathBuf,
}

/// A domain with a product, and a secret beside it.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (domain, outside) = (folder.path().join("domain"), folder.path().join("outside"));
    let product = domain.join("product");
    fs::create_dir_all(&product).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(domain.join("neighbour"), "neighbour").unwrap();
    fs::write(product.join("a"), "hello").unwrap();
    Place { _folder: folder, domain, product, outside }
}

fn prefix(path: &FsPath) -> [StoragePrefix; 1] {
    [StoragePrefix { prefix: Location::File(path.to_owned()), credentials: None }]
}

async fn jail(at: &FsPath, domain: &FsPath) -> crate::error::Result<PortStore> {
    open(&port("sql"), &Location::File(at.to_owned()), false, &prefix(domain), &Clients::default()).await
}

fn key(relative: &str) -> Path {
    Path::parse(format!("claims.events.v1.sql/{relative}")).unwrap()
}

async fn names(store: &PortStore) -> Vec<String> {
    let files: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    files.into_iter().map(|f| f.location.to_string()).collect()
}

#[tokio::test]
async fn a_file_is_read_whole_and_in_ranges() {
    let place = place();
    let store = jail(&place.product, &place.domain).await.unwrap();
    let whole = store.get(&key("a")).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole, "hello");
    assert_eq!(store.get_range(&key("a"), 1..3).await.unwrap(), "el");
    assert_eq!(store.get_ranges(&key("a"), &[0..1, 4..5]).await.unwrap(), ["h", "o"]);
    assert!(store.get_ranges(&key("a"), std::slice::from_ref(&(3..6))).await.is_err());
    assert_eq!(store.head(&key("a")).await.unwrap().size, 5);
}

#[tokio::test]
async fn without_its_authority_a_path_does_not_exist() {
    let place = place();
    let store = jail(&place.product, &place.domain).await.unwrap();
    for path in ["a", "claims.other.v1.sql/a", "claims.events.v1.sql", "claims.events.v1.sqla/a"] {
        let error = store.get(&Path::from(path)).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{path}: {error}");
    }
    let other = Path::from("claims.other.v1.sql");
    assert!(store.list(Some(&other)).try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn h3_links_that_leave_are_neither_listed_nor_opened() {
    let place = place();
    symlink(place.outside.join("secret"), place.product.join("link")).unwrap();
    symlink(&place.outside, place.product.join("folder")).unwrap();
    symlink("../neighbour", place.product.join("near")).unwrap();
    symlink("a", place.product.join("inside")).unwrap();
    symlink("loop", place.product.join("loop")).unwrap();
    let store = jail(&place.product, &place.domain).await.unwrap();
    assert_eq!(names(&store).await, ["claims.events.v1.sql/a", "claims.events.v1.sql/inside"]);
    for name in ["link", "folder/secret", "near", "loop"] {
        assert!(store.get(&key(name)).await.is_err(), "{name}");
        assert!(store.get_ranges(&key(name), std::slice::from_ref(&(0..1))).await.is_err(), "{name}");
        assert!(store.head(&key(name)).await.is_err(), "{name}");
    }
    assert_eq!(store.get(&key("inside")).await.unwrap().bytes().await.unwrap(), "hello");
    let folder = key("folder");
    assert!(store.list(Some(&folder)).try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_location_must_lie_in_the_domains_storage_in_truth() {
    let place = place();
    symlink(&place.outside, place.domain.join("out")).unwrap();
    let refused = [place.outside.clone(), place.domain.join("out"), place.domain.join("product/../../outside"), "/etc".into()];
    for location in refused {
        let fault = jail(&location, &place.domain).await.unwrap_err();
        assert_eq!(fault.message(), "data of product claims.events cannot be read", "{location:?}");
    }
    // The operator's own prefix may be a link.
    let alias = place.outside.join("alias");
    symlink(&place.domain, &alias).unwrap();
    assert!(jail(&place.product, &alias).await.is_ok());
}

#[tokio::test]
async fn pipes_and_devices_are_not_files_and_nothing_waits_for_them() {
    let place = place();
    let pipe = place.product.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    symlink("/dev/zero", place.product.join("zero")).unwrap();
    let store = jail(&place.product, &place.domain).await.unwrap();
    assert_eq!(names(&store).await, ["claims.events.v1.sql/a"]);
    for name in ["pipe", "zero"] {
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), store.get(&key(name))).await;
        assert!(read.expect("no wait").is_err(), "{name}");
    }
    assert!(jail(&pipe, &place.domain).await.is_err());
    assert!(jail(&place.product.join("zero"), &place.domain).await.is_err());
}

#[tokio::test]
async fn a_location_that_is_a_file_has_no_neighbours() {
    let place = place();
    fs::write(place.product.join("b"), "other").unwrap();
    let store = jail(&place.product.join("a"), &place.domain).await.unwrap();
    assert_eq!(names(&store).await, ["claims.events.v1.sql/a"]);
    assert!(store.get(&key("a")).await.is_ok());
    assert!(store.get(&key("b")).await.is_err());
}

#[tokio::test]
async fn pinned_files_do_not_change() {
    let place = place();
    let store = jail(&place.product, &place.domain).await.unwrap();
    let files: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    let pinned = store.pinned(&files);
    assert!(pinned.get(&key("a")).await.is_ok());
    fs::write(place.product.join("new"), "x").unwrap();
    assert!(pinned.get(&key("new")).await.is_err());
    fs::write(place.product.join("a"), "HELLO").unwrap();
    assert!(matches!(pinned.get(&key("a")).await, Err(Error::Precondition { .. })));
}

#[tokio::test]
async fn nothing_is_written() {
    let place = place();
    let store = jail(&place.product, &place.domain).await.unwrap();
    assert!(store.put(&key("b"), "x".into()).await.is_err());
    assert!(store.delete(&key("a")).await.is_err());
    assert!(store.copy(&key("a"), &key("b")).await.is_err());
    assert!(store.rename(&key("a"), &key("b")).await.is_err());
    assert!(store.put_multipart(&key("b")).await.is_err());
    assert_eq!(names(&store).await, ["claims.events.v1.sql/a"]);
}

#[tokio::test]
async fn remote_locations_without_a_credential_are_not_read_and_not_told() {
    let prefix = |credentials: Option<&str>| StoragePrefix {
        prefix: Location::Remote("s3://bucket/".into()),
        credentials: credentials.map(str::to_owned),
    };
    for (prefixes, detail) in [
        (vec![], None),
        (vec![prefix(None)], Some("The credential of the domain's storage cannot be used.")),
        (vec![prefix(Some("of-nobody"))], Some("The credential of the domain's storage cannot be used.")),
    ] {
        let location = Location::Remote("s3://bucket/secret/".into());
        let fault = open(&port("sql"), &location, false, &prefixes, &Clients::default()).await.unwrap_err();
        assert_eq!((fault.kind(), fault.detail()), (ErrorKind::Storage, detail));
        assert!(!format!("{}{:?}", fault.message(), fault.detail()).contains("bucket"));
    }
    let fault = open(&port("sql"), &Location::Remote("gs://bucket/x".into()), false, &[], &Clients::default()).await.unwrap_err();
    assert_eq!(fault.detail(), Some("This kind of storage is not supported yet."));
}

#[test]
fn hidden_names_are_those_of_markers_and_logs() {
    for hidden in ["_SUCCESS", "_delta_log/0.json", "a/.b.crc", ".hidden/x"] {
        assert!(is_hidden(hidden), "{hidden}");
    }
    for shown in ["a.parquet", "_region=eu/a.parquet", "a_b/c"] {
        assert!(!is_hidden(shown), "{shown}");
    }
}
