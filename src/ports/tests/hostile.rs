//! Data that is missing, broken or hostile: one product's queries fail, with a sentence that says nothing of where it lies.

use std::fs;
use std::sync::Arc;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::SessionContext;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;

use super::{PEOPLE, Product, World, add, commit, create_people, people, size};
use crate::catalog::Format;
use crate::error::{ErrorKind, Fault};
use crate::ports::testing::write_parquet;

fn assert_opaque(fault: &Fault, product: &Product) {
    let shown = format!("{} {} {}", fault.message(), fault.detail().unwrap_or_default(), fault.hint().unwrap_or_default());
    let place = product.domain.path().to_str().expect("text");
    for hidden in [place, "/", ".parquet", ".csv", ".json", "meshgate:", "person"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

async fn refused(product: &Product, message: &str) {
    let fault = World::new().query(product, "SELECT * FROM t").await.expect_err(message);
    assert_eq!(fault.kind(), ErrorKind::Storage, "{fault:?}");
    assert_eq!(fault.message(), format!("data of product claims.events {message}"), "{fault:?}");
    assert_opaque(&fault, product);
}

fn of(format: Format) -> Product {
    Product::new(format).contract(PEOPLE)
}

const FORMATS: [(Format, &str); 4] = [
    (Format::Parquet, "a.parquet"),
    (Format::Csv, "a.csv"),
    (Format::Json, "a.json"),
    (Format::Delta, "_delta_log/00000000000000000000.json"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_missing() {
    for (format, _) in FORMATS {
        refused(&of(format), "is missing").await;
        let gone = of(format);
        fs::remove_dir(&gone.location).expect("removed");
        refused(&gone, "is missing").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_files_cannot_be_read() {
    for (format, name) in FORMATS {
        let product = of(format);
        product.write(name, "");
        refused(&product, "cannot be read").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_cannot_be_read() {
    let gzip_bomb = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff".as_slice(), &[0xed; 4096]].concat();
    for (format, name) in FORMATS {
        for garbage in [b"PAR1\x00\x00\x00\x00PAR1".as_slice(), &gzip_bomb, b"\x00\xff\xfe no format at all \n\n\n", &[b'['; 100_000]] {
            let product = of(format);
            product.write(name, garbage);
            let fault = World::new().query(&product, "SELECT * FROM t").await.expect_err("a fault");
            assert_eq!(fault.kind(), ErrorKind::Storage, "{format:?} {fault:?}");
            assert_opaque(&fault, &product);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h6_cut_files_cannot_be_read() {
    let product = of(Format::Parquet);
    let path = product.write_parquet("a.parquet", &people(0, 1000));
    let whole = fs::read(&path).expect("bytes");
    for length in [1, 4, 11, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("written");
        refused(&product, "cannot be read").await;
    }
    let product = of(Format::Json);
    product.write("a.json", "{\"id\": 1, \"name\": \"person\"}\n{\"id\": 2, \"na");
    refused(&product, "cannot be read").await;
    let product = of(Format::Csv);
    product.write("a.csv", "id,name\n1,person\n2");
    refused(&product, "cannot be read").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h5_every_changed_byte_of_a_parquet_file_gives_rows_or_a_fault() {
    let product = of(Format::Parquet);
    let path = product.write_parquet("a.parquet", &people(0, 5));
    let whole = fs::read(&path).expect("bytes");
    // Every seventh, to stay quick.
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).expect("written");
        if let Err(fault) = World::new().query(&product, "SELECT * FROM t").await {
            assert_eq!(fault.kind(), ErrorKind::Storage, "byte {at}: {fault:?}");
            assert_opaque(&fault, &product);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_that_are_not_of_their_type_are_not_quoted() {
    let product = of(Format::Csv);
    product.write("a.csv", "id,name\nperson-secret,x\n");
    refused(&product, "cannot be read").await;
    let product = of(Format::Json);
    product.write("a.json", "{\"id\": \"person-secret\"}\n");
    refused(&product, "cannot be read").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_header_breaks_the_contract() {
    let product = of(Format::Csv);
    product.write("a.csv", "a,b\n1,2\n");
    let fault = World::new().query(&product, "SELECT count(*) FROM t").await.expect_err("a fault");
    assert_eq!(fault.message(), "data of product claims.events does not match its contract");
    assert_eq!(fault.detail(), Some("Column \"id\" is missing."));
    let product = of(Format::Json);
    product.write("a.json", "\n{\"a\": 1, \"b\": \"person\"}\n{\"id\": 2}\n");
    for sql in ["SELECT count(*) FROM t", "SELECT name FROM t"] {
        let fault = World::new().query(&product, sql).await.expect_err("a fault");
        assert_eq!(fault.message(), "data of product claims.events does not match its contract");
        assert_eq!(fault.detail(), Some("The first object of a file has none of the columns."));
        assert_opaque(&fault, &product);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rows_are_no_fault() {
    let product = of(Format::Parquet);
    product.write_parquet("a.parquet", &people(0, 0));
    assert_eq!(World::new().query(&product, "SELECT * FROM t").await.expect("rows").rows(), 0);
    let product = of(Format::Csv);
    product.write("a.csv", "id,name\n");
    assert_eq!(World::new().query(&product, "SELECT * FROM t").await.expect("rows").rows(), 0);
    let product = of(Format::Delta);
    commit(&product.location, 0, &create_people(&[]));
    assert_eq!(World::new().query(&product, "SELECT * FROM t").await.expect("rows").rows(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_to_come_say_so() {
    for (format, name) in [(Format::Avro, "avro"), (Format::Arrow, "arrow"), (Format::Iceberg, "iceberg"), (Format::Postgres, "postgres")] {
        let fault = World::new().query(&of(format), "SELECT 1 FROM t").await.expect_err("a fault");
        assert_eq!(fault.kind(), ErrorKind::Unsupported);
        assert_eq!(fault.message(), format!("product claims.events cannot be read: format {name} is not supported yet"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_a_file_that_changes_under_the_query_is_a_fault() {
    let product = of(Format::Csv);
    let path = product.write("a.csv", "id,name\n1,x\n");
    let world = World::new();
    let meter = crate::metering::Meter::unbilled();
    let open = world.open(&product, &meter).await.expect("open");
    fs::write(&path, "id,name\n2,y\n").expect("written");
    let error = open.store().get(&Path::from("claims.events.v1.sql/a.csv")).await.expect_err("changed");
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error}");
    // The next query sees the new file.
    assert_eq!(world.query(&product, "SELECT id FROM t").await.expect("rows").lines(), ["2"]);
}

/// What delta-rs does by itself: it reads whatever a log names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_plain_delta_follows_a_log_out_of_its_table_and_we_do_not() {
    for kind in ["up", "absolute"] {
        let product = of(Format::Delta);
        let victim = product.domain.path().join("victim.parquet");
        write_parquet(&victim, &people(0, 42));
        let target = match kind {
            "up" => "../victim.parquet".to_owned(),
            _ => url::Url::from_file_path(&victim).expect("a URL").to_string(),
        };
        commit(&product.location, 0, &[create_people(&[]), vec![add(&target, size(&victim), json!({}), None)]].concat());

        let url = url::Url::from_directory_path(&product.location).expect("a URL");
        let table = deltalake::open_table(url).await.expect("delta-rs opens it");
        let plain = SessionContext::new();
        plain.register_table("t", table.table_provider().await.expect("a provider")).expect("registered");
        let stolen = plain.sql("SELECT * FROM t").await.expect("planned").collect().await.expect("delta-rs reads it");
        assert_eq!(stolen.iter().map(|b| b.num_rows()).sum::<usize>(), 42);

        refused(&product, "cannot be read").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_names_another_port_of_the_same_query_is_refused() {
    let product = of(Format::Delta);
    let target = "meshgate://claims.other.v1.sql/claims.other.v1.sql/a.parquet";
    commit(&product.location, 0, &[create_people(&[]), vec![add(target, 100, json!({}), None)]].concat());
    refused(&product, "cannot be read").await;
}

/// What DataFusion does by itself: footers are cached by path, whatever the store, so one tenant's file answers for another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_plain_datafusion_mixes_the_footers_of_two_stores_and_we_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.parquet");
    let mut yours = people(0, 100);
    write_parquet(&file, &yours);
    let bytes_mine = fs::read(&file).expect("bytes");
    // The same size and the same time, but other names: that is all that the cache looks at.
    let names = arrow::array::StringArray::from_iter_values((0..100).map(|i| format!("nobody {i}")));
    yours = arrow::array::RecordBatch::try_new(yours.schema(), vec![Arc::clone(yours.column(0)), Arc::new(names)]).expect("a batch");
    write_parquet(&file, &yours);
    let bytes_yours = fs::read(&file).expect("bytes");
    assert_eq!(bytes_mine.len(), bytes_yours.len());

    let context = SessionContext::new();
    let stores = [("mine", bytes_mine), ("yours", bytes_yours)].map(|(name, bytes)| (name, bytes, Arc::new(InMemory::new())));
    for (name, bytes, store) in &stores {
        store.put(&Path::from("x.parquet"), PutPayload::from(bytes.clone())).await.expect("stored");
        context.register_object_store(&url::Url::parse(&format!("mem://{name}")).expect("a URL"), Arc::clone(store) as _);
    }
    let footer = |name: &'static str| {
        let context = context.clone();
        async move {
            use object_store::ObjectStore;
            let url = ListingTableUrl::parse(format!("mem://{name}/x.parquet")).expect("a URL");
            let store: Arc<dyn ObjectStore> = context.runtime_env().object_store(&url).expect("a store");
            let mut meta = store.head(&Path::from("x.parquet")).await.expect("a file");
            meta.last_modified = chrono::DateTime::UNIX_EPOCH; // as delta-rs sets it
            let cache = context.runtime_env().cache_manager.get_file_metadata_cache();
            let footer = crate::ports::footer::read(store.as_ref(), &meta, &cache).await.expect("a footer");
            format!("{:?}", footer.row_group(0).column(1).statistics())
        }
    };
    assert_eq!(footer("mine").await, footer("yours").await, "DataFusion answers for yours with mine");

    // Ours: two ports with the same file name, size and gateway.
    let world = World::new();
    let (first, mut second) = (of(Format::Parquet), of(Format::Parquet));
    second.id = crate::ports::testing::port("other");
    first.write("x.parquet", &stores[0].1);
    second.write("x.parquet", &stores[1].1);
    let now = fs::File::open(first.location.join("x.parquet")).expect("a file").metadata().expect("metadata").modified().expect("a time");
    fs::File::options().write(true).open(second.location.join("x.parquet")).expect("a file").set_modified(now).expect("set");
    let sql = "SELECT min(name) FROM t";
    assert_eq!(world.query(&first, sql).await.expect("rows").lines(), ["person 0"]);
    assert_eq!(world.query(&second, sql).await.expect("rows").lines(), ["nobody 0"]);
}
