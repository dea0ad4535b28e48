//! Every format: right values, exact bytes, and nothing but a clear fault for data that is not what it should be.

use std::sync::Arc;

use serde_json::json;

use super::testing::{Product, World, add, chunk_bytes, commit, create_people, people, size};
use crate::catalog::Format;
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::id::DomainName;
use crate::metering::{Journal, LimitReached, Meter, Outcome, QueryStart};

#[path = "../fuzz/delta.rs"]
mod fuzz;
mod hostile;

const PEOPLE: &[(&str, &str)] = &[("id", "bigint"), ("name", "text")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_costs_the_column_chunks_read_and_footers_are_metadata() {
    let product = Product::new(Format::Parquet).contract(PEOPLE);
    let one = product.write_parquet("a.parquet", &people(0, 1000));
    let two = product.write_parquet("b.parquet", &people(1000, 500));
    product.write("_SUCCESS", "");
    let world = World::new();

    let all = world.query(&product, "SELECT * FROM t").await.expect("rows");
    assert_eq!(all.rows(), 1500);
    assert_eq!(all.reading.bytes_scanned(), chunk_bytes(&one, &[]) + chunk_bytes(&two, &[]));
    assert_eq!(all.planned.bytes_scanned(), 0);
    assert!(all.reading.bytes_metadata > 0);

    let some = world.query(&product, "SELECT sum(id) FROM t").await.expect("rows");
    assert_eq!(some.lines(), ["1124250"]);
    assert_eq!(some.reading.bytes_scanned(), chunk_bytes(&one, &["id"]) + chunk_bytes(&two, &["id"]));

    // First or last, with warm caches or cold ones, with one partition or four.
    for partitions in [1, 2, 4] {
        let again = world.query_with(&product, "SELECT * FROM t", partitions).await.expect("rows");
        assert_eq!(again.reading.bytes_scanned(), all.reading.bytes_scanned());
        assert_eq!(again.reading.bytes_metadata, 0, "footers come from the cache");
        let cold = World::new().query_with(&product, "SELECT * FROM t", partitions).await.expect("rows");
        assert_eq!(cold.reading.bytes_scanned(), all.reading.bytes_scanned());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_groups_that_cannot_match_cost_nothing() {
    let product = Product::new(Format::Parquet).contract(PEOPLE);
    let path = product.write_parquet("a.parquet", &people(0, 1000));
    let world = World::new();
    let answer = world.query(&product, "SELECT id FROM t WHERE id >= 950").await.expect("rows");
    assert_eq!(answer.rows(), 50);
    assert!(answer.reading.bytes_scanned() > 0);
    assert!(answer.reading.bytes_scanned() < chunk_bytes(&path, &["id"]) / 4);
    let counted = world.query(&product, "SELECT count(*) FROM t").await.expect("rows");
    assert_eq!(counted.lines(), ["1000"]);
    assert_eq!(counted.reading.bytes_scanned(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hive_folders_are_columns_and_prune() {
    let product =
        Product::new(Format::Parquet).contract(&[("region", "text"), ("id", "bigint"), ("day", "date")]).partitioned(&["region", "day"]);
    let eu = product.write_parquet("region=eu/day=2026-01-02/a.parquet", &people(0, 10));
    product.write_parquet("region=us%2Feast/day=2026-01-03/a.parquet", &people(10, 20));
    product.write_parquet("region=__HIVE_DEFAULT_PARTITION__/day=2026-01-04/a.parquet", &people(30, 1));
    let world = World::new();
    let grouped = world.query(&product, "SELECT region, day, count(*) FROM t GROUP BY 1, 2").await.expect("rows");
    assert_eq!(grouped.lines(), [",2026-01-04,1", "eu,2026-01-02,10", "us/east,2026-01-03,20"]);
    assert_eq!(grouped.port.partition_columns(), ["region", "day"]);
    assert_eq!(grouped.port.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["region", "id", "day"]);
    let pruned = world.query(&product, "SELECT id FROM t WHERE region = 'eu' AND day < DATE '2026-01-03'").await.expect("rows");
    assert_eq!(pruned.rows(), 10);
    assert_eq!(pruned.reading.bytes_scanned(), chunk_bytes(&eu, &["id"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_may_be_one_file_and_sees_no_other() {
    let mut product = Product::new(Format::Parquet);
    product.write_parquet("other.parquet", &people(0, 7));
    product.location = product.write_parquet("a.parquet", &people(0, 3));
    let answer = World::new().query(&product, "SELECT * FROM t").await.expect("rows");
    assert_eq!(answer.rows(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_is_read_by_name_and_costs_its_size() {
    let product = Product::new(Format::Csv).contract(&[("id", "bigint"), ("name", "text"), ("amount", "numeric(10,2)"), ("ok", "boolean")]);
    let one = product.write("a.csv", "id,name,amount,ok,extra\n1,\"Ann, the\nfirst\",1.50,true,x\n2,,,,y\n");
    let two = product.write("b.csv", "\u{feff}ok,extra,amount,name,id\r\nfalse,x,2,Bob,3\r\n");
    let world = World::new();
    for partitions in [1, 4] {
        let answer = world.query_with(&product, "SELECT id, name, amount, ok FROM t", partitions).await.expect("rows");
        assert_eq!(answer.rows(), 3);
        assert_eq!(answer.reading.bytes_scanned(), size(&one) + size(&two));
        assert_eq!(answer.reading.bytes_metadata, 0);
    }
    let sums = world.query(&product, "SELECT sum(id), sum(amount), count(name), count(*) FROM t").await.expect("rows");
    assert_eq!(sums.lines(), ["6,3.50,2,3"]);
    assert_eq!(sums.reading.bytes_scanned(), size(&one) + size(&two));
    let counted = world.query(&product, "SELECT count(*) FROM t").await.expect("rows");
    assert_eq!(counted.lines(), ["3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_options_are_followed() {
    let product = Product::new(Format::Csv)
        .contract(&[("id", "integer"), ("name", "text"), ("raw", "bytea")])
        .option("header", "false")
        .option("delimiter", ";")
        .option("quote", "'")
        .option("escape", "\\")
        .option("comment", "#")
        .option("null", "\\N");
    product.write("a.csv", "# a comment\n1;'it\\'s; so';ab\n2;\\N;\\N\n3;;\n");
    let answer = World::new().query(&product, "SELECT id, name, name IS NULL, raw IS NULL FROM t").await.expect("rows");
    assert_eq!(answer.lines(), ["1,it's; so,false,false", "2,,true,true", "3,,false,false"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_cost_their_size_and_missing_keys_are_null() {
    let product = Product::new(Format::Json).contract(&[("id", "bigint"), ("name", "text"), ("tags", "text[]")]).partitioned(&["region"]);
    let one =
        product.write("region=eu/a.json", "{\"id\": 1, \"name\": \"Ann\", \"more\": {\"deep\": [1]}}\n{\"id\": 2, \"tags\": [\"x\"]}");
    let world = World::new();
    for partitions in [1, 4] {
        let answer = world.query_with(&product, "SELECT id, name, region FROM t", partitions).await.expect("rows");
        assert_eq!(answer.lines(), ["1,Ann,eu", "2,,eu"]);
        assert_eq!(answer.reading.bytes_scanned(), size(&one));
    }
    assert_eq!(world.query(&product, "SELECT count(*) FROM t").await.expect("rows").lines(), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta_is_read_at_its_newest_version_and_costs_its_chunks() {
    let product = Product::new(Format::Delta).contract(&[("region", "text"), ("name", "text"), ("id", "bigint")]);
    let eu = product.write_parquet("region=eu/a.parquet", &people(0, 1000));
    let mut actions = create_people(&["region"]);
    actions.push(add("region=eu/a.parquet", size(&eu), json!({"region": "eu"}), Some(1000)));
    commit(&product.location, 0, &actions);
    let world = World::new();
    let first = world.query(&product, "SELECT * FROM t").await.expect("rows");
    assert_eq!((first.rows(), first.port.table_version()), (1000, "0"));
    assert_eq!(first.reading.bytes_scanned(), chunk_bytes(&eu, &[]));
    assert!(first.port.last_modified().is_some());
    assert!(first.port.schema().fields().iter().all(|f| f.metadata().is_empty()));

    let us = product.write_parquet("region=us%20east/b.parquet", &people(1000, 10));
    commit(&product.location, 1, &[add("region=us%2520east/b.parquet", size(&us), json!({"region": "us east"}), None)]);
    let second = world.query(&product, "SELECT region, count(*), max(id) FROM t GROUP BY region").await.expect("rows");
    assert_eq!(second.lines(), ["eu,1000,999", "us east,10,1009"]);
    assert_eq!(second.port.table_version(), "1");
    let cold = World::new().query(&product, "SELECT region, count(*), max(id) FROM t GROUP BY region").await.expect("rows");
    assert_eq!(cold.reading.bytes_scanned(), second.reading.bytes_scanned());
    assert_eq!(second.reading.bytes_scanned(), chunk_bytes(&eu, &["id"]) + chunk_bytes(&us, &["id"]));

    let pruned = world.query(&product, "SELECT name FROM t WHERE region = 'us east'").await.expect("rows");
    assert_eq!((pruned.rows(), pruned.reading.bytes_scanned()), (10, chunk_bytes(&us, &["name"])));
    let groups = world.query(&product, "SELECT id FROM t WHERE id < 10").await.expect("rows");
    assert_eq!(groups.rows(), 10);
    assert!(groups.reading.bytes_scanned() < chunk_bytes(&eu, &["id"]) / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_table_made_anew_is_not_mistaken_for_the_old_one() {
    let product = Product::new(Format::Delta);
    let a = product.write_parquet("a.parquet", &people(0, 5));
    let with = |path: &str, bytes| [create_people(&[]), vec![add(path, bytes, json!({}), None)]].concat();
    commit(&product.location, 0, &with("a.parquet", size(&a)));
    let world = World::new();
    assert_eq!(world.query(&product, "SELECT * FROM t").await.expect("rows").rows(), 5);
    let b = product.write_parquet("b.parquet", &people(0, 9));
    std::fs::remove_dir_all(product.location.join("_delta_log")).expect("removed");
    commit(&product.location, 0, &with("b.parquet", size(&b)));
    assert_eq!(world.query(&product, "SELECT * FROM t").await.expect("rows").rows(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_decides_names_order_and_types() {
    let product = Product::new(Format::Parquet).contract(&[("name", "text"), ("id", "bigint!")]);
    product.write_parquet("a.parquet", &people(0, 3));
    let answer = World::new().query(&product, "SELECT * FROM t").await.expect("rows");
    assert_eq!(answer.lines(), ["person 0,0", "person 1,1", "person 2,2"]);

    for (columns, detail) in [
        (vec![("id", "bigint"), ("email", "text")], "Column \"email\" is missing."),
        (vec![("id", "bigint"), ("name", "integer")], "Column \"name\" is not of type integer."),
    ] {
        for format in [Format::Parquet, Format::Delta] {
            let product = Product::new(format).contract(&columns);
            let path = product.write_parquet("a.parquet", &people(0, 3));
            commit(&product.location, 0, &[create_people(&[]), vec![add("a.parquet", size(&path), json!({}), None)]].concat());
            let fault = World::new().query(&product, "SELECT * FROM t").await.expect_err("a fault");
            assert_eq!(fault.kind(), ErrorKind::Storage);
            assert_eq!(fault.message(), "data of product claims.events does not match its contract");
            assert_eq!(fault.detail(), Some(detail));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_outside_the_contract_are_not_there() {
    for format in [Format::Parquet, Format::Delta] {
        let product = Product::new(format).contract(&[("id", "bigint")]);
        let path = product.write_parquet("a.parquet", &people(0, 3));
        commit(&product.location, 0, &[create_people(&[]), vec![add("a.parquet", size(&path), json!({}), None)]].concat());
        let answer = World::new().query(&product, "SELECT * FROM t").await.expect("rows");
        assert_eq!(answer.lines(), ["0", "1", "2"]);
        assert_eq!(answer.reading.bytes_scanned(), chunk_bytes(&path, &["id"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_names_the_product_and_no_file() {
    for format in [Format::Parquet, Format::Delta] {
        let product = Product::new(format).contract(PEOPLE);
        let path = product.write_parquet("secret_name.parquet", &people(0, 3));
        commit(&product.location, 0, &[create_people(&[]), vec![add("secret_name.parquet", size(&path), json!({}), Some(3))]].concat());
        let world = World::new();
        for sql in ["SELECT id FROM t WHERE name = 'x'", "SELECT count(*) FROM t", "SELECT 1 FROM t", "SELECT id FROM t LIMIT 1"] {
            let plan = world.query(&product, sql).await.expect("rows").plan;
            for hidden in ["secret_name", "DataSourceExec", "Delta", "file", "meshgate", "/"] {
                assert!(!plan.contains(hidden), "{hidden} in {plan}");
            }
        }
        let plan = world.query(&product, "SELECT id, name FROM t").await.expect("rows").plan;
        assert_eq!(plan.trim(), "Scan: product=claims.events, columns=[id, name]");
    }
}

/// One product of each format, with the bytes of a full scan of it.
fn one_of_each() -> Vec<(Product, u64)> {
    let parquet = Product::new(Format::Parquet).contract(PEOPLE);
    let parquet_bytes = chunk_bytes(&parquet.write_parquet("a.parquet", &people(0, 1000)), &[]);
    let delta = Product::new(Format::Delta).contract(PEOPLE);
    let file = delta.write_parquet("a.parquet", &people(0, 1000));
    commit(&delta.location, 0, &[create_people(&[]), vec![add("a.parquet", size(&file), json!({}), None)]].concat());
    let csv = Product::new(Format::Csv).contract(PEOPLE);
    let csv_bytes = size(&csv.write("a.csv", format!("id,name\n{}", "1,x\n".repeat(1000))));
    let json = Product::new(Format::Json).contract(PEOPLE);
    let json_bytes = size(&json.write("a.json", "{\"id\": 1}\n".repeat(1000)));
    vec![(parquet, parquet_bytes), (delta, chunk_bytes(&file, &[])), (csv, csv_bytes), (json, json_bytes)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_limit_is_never_passed_and_not_blamed_on_the_product() {
    let state = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(state.path(), Clock::system()).expect("a journal");
    for (product, bytes) in one_of_each() {
        for limit in [0, bytes / 2, bytes - 1, bytes] {
            let account = journal.begin(start(limit)).expect("an account");
            let meter = account.meter(&product.id, "1.0.0", "1");
            let answer = World::new().query_on(&product, "SELECT * FROM t", 2, &meter).await;
            assert!(meter.reading().bytes_scanned() <= limit, "{:?}", product.format);
            match answer {
                Ok(answer) => assert_eq!((limit, answer.rows()), (bytes, 1000)),
                Err(fault) => {
                    assert!(limit < bytes, "{fault:?}");
                    assert_eq!(crate::error::find_cause::<LimitReached>(&fault).cloned(), Some(LimitReached::Scan { limit }), "{fault:?}");
                }
            }
            drop(meter);
            account.settle(Outcome::Completed, None, 0).await.expect("settled");
        }
    }
    journal.close().await.expect("closed");
}

fn start(limit: u64) -> QueryStart {
    QueryStart { max_scan_bytes: Some(limit), ..QueryStart::for_test(DomainName::new("marketing").expect("a name"), Clock::system().now()) }
}

/// A query is settled when the last handle to its meters is gone; what is kept for the next query must not hold one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_kept_holds_a_meter() {
    for (product, _) in one_of_each() {
        let (world, meter) = (World::new(), Meter::unbilled());
        drop(world.query_on(&product, "SELECT * FROM t", 2, &meter).await.expect("rows"));
        assert_eq!(Arc::strong_count(&meter), 1, "{:?}", product.format);
    }
}
