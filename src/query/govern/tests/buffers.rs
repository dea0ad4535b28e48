//! What travels to a Flight client: whole Arrow buffers, whatever the values say.

use super::*;
use arrow_flight::encode::FlightDataEncoderBuilder;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

/// Every byte of the encoded stream.
async fn encoded(stream: SendableRecordBatchStream) -> Vec<u8> {
    let batches = stream.map_err(|e| arrow_flight::error::FlightError::ExternalError(Box::new(e)));
    let messages: Vec<_> = FlightDataEncoderBuilder::new().build(batches).try_collect().await.unwrap();
    messages.iter().flat_map(|m| m.data_header.iter().chain(m.data_body.iter()).copied()).collect()
}

async fn shipped(context: &SessionContext, sql: &str) -> Vec<u8> {
    encoded(context.sql(sql).await.unwrap().execute_stream().await.unwrap()).await
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Ten rows, six of which the policy shows: too many for the engine's coalescer to compact.
fn sixty_percent() -> RecordBatch {
    sixty_percent_of(10)
}

fn sixty_percent_of(rows: usize) -> RecordBatch {
    let names = (0..rows).map(|row| if row % 5 < 3 { format!("a visible name, number {row}") } else { format!("{CANARY} number {row}") });
    let regions = (0..rows).map(|row| if row % 5 < 3 { "EU" } else { "US" });
    let ssns = (0..rows).map(|row| format!("{CANARY} 123-45-{row}"));
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8View, false),
        Field::new("region", DataType::Utf8, false),
        Field::new("ssn", DataType::Utf8View, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(names)),
        Arc::new(StringArray::from_iter_values(regions)),
        Arc::new(StringViewArray::from_iter_values(ssns)),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

#[tokio::test]
async fn a_substring_mask_of_the_engine_ships_the_whole_value() {
    let context = SessionContext::new();
    context.register_table("raw", mem(vec![sixty_percent()])).unwrap();
    context.sql("CREATE VIEW t AS SELECT substr(ssn, 20, 3) AS ssn FROM raw").await.unwrap();
    assert_eq!(one(&context, "SELECT DISTINCT ssn FROM t").await, "123");
    assert!(holds(&shipped(&context, "SELECT ssn FROM t").await, CANARY));
}

#[tokio::test]
async fn a_row_filter_of_the_engine_ships_the_rows_that_it_drops() {
    let context = SessionContext::new();
    context.register_table("raw", mem(vec![sixty_percent_of(10_000)])).unwrap();
    context.sql("CREATE VIEW t AS SELECT name FROM raw WHERE region = 'EU'").await.unwrap();
    assert!(!one(&context, "SELECT * FROM t").await.contains(CANARY));
    assert!(holds(&shipped(&context, "SELECT name FROM t").await, CANARY));
}

#[tokio::test]
async fn the_barrier_ships_neither() {
    for mask in ["show-last-4", "replace-with-null", "pseudonym", "email", "mask-to-fixed-value", "constant:x", "sha-256-global"] {
        // Batches that are neither sliced nor so small that the engine's coalescer copies them: it would leave nothing to find.
        let many = (0..20).map(|_| sixty_percent_of(1_000)).collect();
        let table = reader(Arc::new(governed(mem(many), Some("region = 'EU'"), &[("ssn", mask)], &[])));
        for sql in [
            "SELECT * FROM t",
            "SELECT name FROM t",
            "SELECT substr(ssn, 1, 3), left(name, 4) FROM t",
            "SELECT nullif(ssn, ssn), name FROM t",
        ] {
            let bytes = shipped(&table, sql).await;
            assert!(bytes.len() > 100 && !holds(&bytes, &CANARY[..12]), "{mask}: {sql}");
        }
    }
    let masked = reader(Arc::new(governed(mem(vec![sixty_percent()]), None, &[("ssn", "show-last-4")], &[])));
    assert!(!holds(&shipped(&masked, "SELECT ssn FROM t").await, CANARY));
}

#[test]
fn a_batch_is_drawn_in_fresh_buffers_whatever_the_engine_left_in_its_own() {
    let batch = sixty_percent();
    let keep: BooleanArray = batch["region"].as_string::<i32>().iter().map(|region| Some(region == Some("EU"))).collect();
    let kept = arrow::compute::filter_record_batch(&batch, &keep).unwrap();
    let veil = exec::Veil { port: port(), schema: kept.schema(), masks: vec![None; 3], keys: keys() };
    let drawn = veil.draw(&kept).unwrap();
    let remains = |batch: &RecordBatch| batch.column(0).to_data().buffers().iter().any(|buffer| holds(buffer.as_slice(), CANARY));
    assert!(remains(&kept) && !remains(&drawn));
}

#[tokio::test]
async fn a_governed_stream_is_no_larger_than_its_rows() {
    let many: Vec<RecordBatch> = (0..200).map(|_| sixty_percent()).collect();
    let table = reader(Arc::new(governed(mem(many), Some("name = 'a visible name, number 0'"), &[], &[])));
    let lean = shipped(&table, "SELECT name FROM t").await.len();
    let copy = SessionContext::new();
    let rows = StringViewArray::from_iter_values((0..200).map(|_| "a visible name, number 0"));
    copy.register_table("t", mem(vec![RecordBatch::try_from_iter([("name", Arc::new(rows) as ArrayRef)]).unwrap()])).unwrap();
    let ideal = shipped(&copy, "SELECT name FROM t").await.len();
    assert!(lean * 10 <= ideal * 11, "{lean} bytes against {ideal}");
}

#[tokio::test]
async fn metadata_does_not_pass() {
    let batch = sixty_percent();
    let note = || [("note".to_owned(), CANARY.to_owned())].into();
    let fields: Vec<Field> = batch.schema().fields().iter().map(|f| f.as_ref().clone().with_metadata(note())).collect();
    let batch = batch.with_schema(Arc::new(Schema::new_with_metadata(fields, note()))).unwrap();
    let table = reader(Arc::new(governed(mem(vec![batch]), Some("region = 'EU'"), &[("ssn", "email")], &[])));
    assert!(!holds(&shipped(&table, "SELECT * FROM t").await, CANARY));
    assert_eq!(one(&table, "SELECT DISTINCT arrow_metadata(name, 'note') FROM t").await, "");
}
