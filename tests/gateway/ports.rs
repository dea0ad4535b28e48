//! Data that is missing, broken or hostile fails its own product's queries, through either door, and nothing else: `58030`, a sentence that
//! names the product and nothing of where it lies, and the gateway goes on.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tokio_postgres::error::DbError;

use crate::harness::{Builder, TestGateway};

/// A public product `shop.<name>` of `(id bigint, note text)` over `data/shop/<name>/`.
fn product(name: &str, format: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: shop\n  version: 1.0.0\n  description: Orders.\n  \
         owner: {{team: shop, contact: shop@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: files\n      format: {format}\n      \
         location: file:data/shop/{name}/\n      schema: [{{name: id, type: bigint}}, {{name: note, type: text}}]\n  sla: {{freshness: 1h}}\n  \
         policies: {{access: public}}\n"
    )
}

fn parquet_of(ids: std::ops::Range<i64>) -> Vec<u8> {
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("note", Arc::new(StringArray::from_iter_values(ids.map(|id| format!("note-of {id}"))))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A Delta table whose only commit adds `path`.
fn delta_log(path: &str, size: usize) -> String {
    let column = |name: &str, kind: &str| serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let schema = serde_json::json!({"type": "struct", "fields": [column("id", "long"), column("note", "string")]}).to_string();
    let actions = [
        serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        serde_json::json!({"metaData": {
            "id": "6e2b1ad8-9d0d-4f43-8b6f-4d3dc0f27c11", "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
            "partitionColumns": [], "configuration": {}, "createdTime": 1_700_000_000_000_i64,
        }}),
        serde_json::json!({"add": {
            "path": path, "partitionValues": {}, "size": size, "modificationTime": 1_700_000_000_000_i64, "dataChange": true,
        }}),
    ];
    actions.iter().map(|action| format!("{action}\n")).collect()
}

const COMMIT: &str = "_delta_log/00000000000000000000.json";

/// A product that cannot be read: name, format, files, what is said.
type Broken = (&'static str, &'static str, Vec<(&'static str, Vec<u8>)>, &'static str);

fn broken() -> Vec<Broken> {
    let whole = parquet_of(0..1000);
    let cut = whole[..whole.len() / 2].to_vec();
    let foreign = {
        let batch = RecordBatch::try_from_iter([("other", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let (missing, unreadable, contract) = ("is missing", "cannot be read", "does not match its contract");
    let log = |path: &str| delta_log(path, whole.len()).into_bytes();
    vec![
        ("nothing_parquet", "parquet", vec![], missing),
        ("nothing_csv", "csv", vec![], missing),
        ("nothing_delta", "delta", vec![], missing),
        ("empty_parquet", "parquet", vec![("a.parquet", vec![])], unreadable),
        ("empty_csv", "csv", vec![("a.csv", vec![])], unreadable),
        ("empty_json", "json", vec![("a.json", vec![])], unreadable),
        ("cut_parquet", "parquet", vec![("a.parquet", cut)], unreadable),
        ("cut_json", "json", vec![("a.json", br#"{"id": 1, "note": "note-of"#.to_vec())], unreadable),
        ("text_as_parquet", "parquet", vec![("a.parquet", b"no Parquet at all".repeat(9))], unreadable),
        ("foreign_parquet", "parquet", vec![("a.parquet", foreign)], contract),
        ("foreign_csv", "csv", vec![("a.csv", b"a,b\n1,2\n".to_vec())], contract),
        ("wrong_cell", "csv", vec![("a.csv", b"id,note\nnote-of,x\n".to_vec())], unreadable),
        ("delta_up", "delta", vec![(COMMIT, log("../good/a.parquet"))], unreadable),
        ("delta_encoded", "delta", vec![(COMMIT, log("%2e%2e/good/a.parquet"))], unreadable),
        ("delta_absolute", "delta", vec![(COMMIT, log("file:///etc/passwd"))], unreadable),
        ("delta_remote", "delta", vec![(COMMIT, log("https://127.0.0.1:1/x?X-Amz-Signature=1"))], unreadable),
        ("delta_neighbour", "delta", vec![(COMMIT, log("meshgate://shop.good.v1.files/shop.good.v1.files/a.parquet"))], unreadable),
        ("delta_gone", "delta", vec![(COMMIT, log("gone.parquet"))], unreadable),
    ]
}

fn gateway() -> Builder {
    let mut builder = TestGateway::new()
        .domain("shop")
        .user("ann", "shop", &[], &[])
        .product(&product("good", "parquet"))
        .file("shop/good/a.parquet", parquet_of(0..100));
    for (name, format, files, _) in broken() {
        builder = builder.product(&product(name, format));
        for (file, bytes) in files {
            builder = builder.file(&format!("shop/{name}/{file}"), bytes);
        }
    }
    builder
}

fn assert_opaque(text: &str, folder: &str) {
    for hidden in [folder, "data/shop", ".parquet", ".csv", ".json", "meshgate:", "note-of", "passwd", "127.0.0.1", "panic"] {
        assert!(!text.contains(hidden), "{hidden:?} in {text:?}");
    }
}

fn shown(error: &DbError) -> String {
    format!("{} {} {}", error.message(), error.detail().unwrap_or_default(), error.hint().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_data_fails_its_own_queries_and_nothing_else() {
    let gateway = gateway().start().await;
    let folder = gateway.folder().to_str().unwrap().to_owned();
    let pg = gateway.pg("ann").await;
    for (name, _, _, said) in broken() {
        for sql in [format!("SELECT * FROM shop.{name}"), format!("SELECT g.id FROM shop.good g JOIN shop.{name} b ON g.id = b.id")] {
            let error = pg.query(&sql, &[]).await.expect_err(name);
            let error = error.as_db_error().expect("the gateway's own error");
            assert_eq!(error.code().code(), "58030", "{name}: {error:?}");
            assert_eq!(error.message(), format!("data of product shop.{name} {said}"), "{name}");
            assert_opaque(&shown(error), &folder);
        }
        let error = gateway.flight_rows("ann", &format!("SELECT * FROM shop.{name}")).await.expect_err(name).to_string();
        assert!(error.contains(&format!("shop.{name} {said}")), "{name}: {error}");
        assert_opaque(&error, &folder);
        // The neighbour, in the same session.
        let rows = pg.text_rows("SELECT count(*), max(note) FROM shop.good").await.unwrap();
        assert_eq!(rows, [[Some("100".to_owned()), Some("note-of 99".to_owned())]]);
    }
    assert_eq!(gateway.http("GET", "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_is_mended_is_read_by_the_next_query() {
    let gateway = gateway().start().await;
    let pg = gateway.pg("ann").await;
    assert!(pg.query("SELECT * FROM shop.cut_parquet", &[]).await.is_err());
    std::fs::write(gateway.folder().join("data/shop/cut_parquet/a.parquet"), parquet_of(0..7)).unwrap();
    assert_eq!(pg.query("SELECT * FROM shop.cut_parquet", &[]).await.unwrap().len(), 7);
    std::fs::write(gateway.folder().join("data/shop/cut_parquet/b.parquet"), parquet_of(7..9)).unwrap();
    assert_eq!(pg.query("SELECT * FROM shop.cut_parquet", &[]).await.unwrap().len(), 9);
    std::fs::remove_dir_all(gateway.folder().join("data/shop/cut_parquet")).unwrap();
    let error = pg.query("SELECT * FROM shop.cut_parquet", &[]).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().message(), "data of product shop.cut_parquet is missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plan_names_a_file() {
    let gateway = gateway().start().await;
    let folder = gateway.folder().to_str().unwrap().to_owned();
    let pg = gateway.pg("ann").await;
    for explain in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE"] {
        // Some of them may be refused; what is shown must show nothing.
        let text = match pg.text_rows(&format!("{explain} SELECT note FROM shop.good WHERE id > 5")).await {
            Ok(rows) => format!("{rows:?}"),
            Err(error) => error.as_db_error().map(shown).unwrap_or_default(),
        };
        assert!(!text.is_empty(), "{explain}");
        assert_opaque(&text, &folder);
        assert!(!text.contains("file_groups") && !text.contains("DataSourceExec"), "{text}");
    }
    let error = pg.query("SELECT input_file_name() FROM shop.good", &[]).await.unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("42883"));
}
