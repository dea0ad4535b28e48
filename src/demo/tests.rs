//! A small demo in a temporary folder.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::catalog::{Catalog, Format, Location};
use crate::identity::users::UsersFile;

const SMALL: f64 = 0.002;

async fn small() -> (tempfile::TempDir, Prepared) {
    let folder = tempfile::tempdir().unwrap();
    let prepared = prepare(&folder.path().join("demo"), SMALL, &mut |_| {}).await.unwrap();
    (folder, prepared)
}

/// Every file under a folder with its size, by relative path.
fn files(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => todo.push(entry.path()),
                false => {
                    found.insert(entry.path().strip_prefix(folder).unwrap().display().to_string(), entry.metadata().unwrap().len());
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn everything_is_there_and_a_second_run_keeps_it() {
    let (_guard, demo) = small().await;
    let before = files(demo.folder());
    let catalog = Catalog::inspect(&demo.folder().join("catalog")).unwrap();
    assert!(catalog.problems.is_empty(), "{:?}", catalog.problems);
    for product in catalog.products.values() {
        let Location::File(location) = &product.newest().ports[0].location else { panic!("a file") };
        assert!(location.read_dir().unwrap().next().is_some(), "{}", product.id);
    }
    let users = UsersFile::load(&demo.folder().join("identity.yaml")).unwrap();
    assert_eq!(users.users().len(), PRINCIPALS.len());
    crate::config::Config::load(&demo.config()).unwrap();

    let mut said = Vec::new();
    let again = prepare(demo.folder(), 0.004, &mut |line| said.push(line.to_owned())).await.unwrap();
    assert_eq!((said.len(), files(again.folder()) == before), (0, true));
}

#[tokio::test]
async fn what_was_interrupted_is_made_anew() {
    let (_guard, demo) = small().await;
    let product = demo.folder().join("data/claims/fraud_signals");
    let partial = demo.folder().join("data/claims/.fraud_signals.partial");
    fs::rename(&product, &partial).unwrap();
    fs::write(partial.join("half.parquet"), "PAR1").unwrap();
    let mut said = Vec::new();
    prepare(demo.folder(), SMALL, &mut |line| said.push(line.to_owned())).await.unwrap();
    assert_eq!(said, ["generating claims.fraud_signals"]);
    assert!(!partial.exists() && !product.join("half.parquet").exists() && product.join("signals-0.parquet").exists());
}

#[tokio::test]
async fn two_at_once_and_odd_scales_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _held = lock(folder.path()).unwrap();
    let fault = prepare(folder.path(), SMALL, &mut |_| {}).await.unwrap_err();
    assert_eq!(fault.message(), "another demo is being prepared in this folder");
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1000.0] {
        assert!(prepare(folder.path(), scale, &mut |_| {}).await.is_err(), "{scale}");
    }
}

#[test]
fn the_binary_carries_the_whole_catalog() {
    let on_disk: BTreeSet<String> = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog")).into_keys().collect();
    let carried: BTreeSet<String> = embedded::CATALOG.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(on_disk, carried);
}

/// Checks rows against the manifest: names in order, types, and no NULL where none is promised.
fn keeps_the_contract(batch: &RecordBatch, product: &str, partitions: &[String]) {
    let catalog = Catalog::inspect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog")).unwrap();
    let (domain, name) = product.split_once('.').unwrap();
    let found = catalog.resolve(domain, name).unwrap();
    let columns: Vec<_> = found.port().columns.iter().flatten().filter(|column| !partitions.contains(&column.name)).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let schema = batch.schema();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), names, "{product}");
    for (column, array) in columns.iter().zip(batch.columns()) {
        assert!(column.data_type.reads(array.data_type()), "{product}.{}: {}", column.name, array.data_type());
        assert!(column.nullable || array.null_count() == 0, "{product}.{} holds NULL", column.name);
    }
}

#[tokio::test]
async fn rows_are_as_the_manifests_promise() {
    let (_guard, demo) = small().await;
    for table in TABLES {
        let product = format!("{}.{}", table.domain, table.product);
        match table.rows {
            Rows::Delta(_, rows) => rows(World::of(200)).unwrap().iter().for_each(|batch| keeps_the_contract(batch, &product, &[])),
            Rows::Files(_) => {
                let catalog = Catalog::inspect(&demo.folder().join("catalog")).unwrap();
                let found = catalog.resolve(table.domain, table.product).unwrap();
                if found.port().format != Format::Parquet {
                    continue;
                }
                let folder = demo.folder().join("data").join(table.domain).join(table.product);
                for file in files(&folder).into_keys() {
                    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(folder.join(file)).unwrap()).unwrap().build().unwrap();
                    for batch in reader {
                        keeps_the_contract(&batch.unwrap(), &product, &found.port().partitioning);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn the_same_scale_gives_the_same_rows() {
    let (_a, first) = small().await;
    let (_b, second) = small().await;
    for folder in ["data/policy/telematics_daily", "data/pricing/risk_factors", "data/finance/premium_ledger"] {
        let (first, second) = (first.folder().join(folder), second.folder().join(folder));
        assert_eq!(files(&first), files(&second));
        for file in files(&first).keys() {
            assert!(fs::read(first.join(file)).unwrap() == fs::read(second.join(file)).unwrap(), "{file}");
        }
    }
    for table in TABLES {
        if let Rows::Delta(_, rows) = table.rows {
            assert_eq!(rows(World::of(300)).unwrap(), rows(World::of(300)).unwrap());
        }
    }
}
