//! What comes through the barrier when something below it goes wrong.

use super::*;
use crate::error::ErrorKind;
use crate::metering::LimitReached;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use std::error::Error as StdError;

/// A port that gives some rows, and then trouble, and then more rows.
struct Trouble {
    schema: SchemaRef,
    what: fn() -> Result<RecordBatch>,
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trouble")
    }
}

impl PartitionStream for Trouble {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let what = self.what;
        let items = futures::stream::iter(0..3).map(move |turn| if turn == 1 { what() } else { Ok(harmless()) });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), items))
    }
}

use futures::StreamExt;

async fn after(what: fn() -> Result<RecordBatch>) -> DataFusionError {
    let trouble = Trouble { schema: harmless().schema(), what };
    let inner = StreamingTable::try_new(harmless().schema(), vec![Arc::new(trouble)]).unwrap();
    let table = reader(Arc::new(governed(Arc::new(inner), Some("region = 'EU'"), &[("ssn", "email")], &[])));
    rows(&table, "SELECT * FROM t").await.unwrap_err()
}

fn barrier(error: &DataFusionError) -> &BarrierError {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref().unwrap(),
        DataFusionError::Context(_, inner) => barrier(inner),
        DataFusionError::Shared(inner) => barrier(inner),
        other => panic!("{other:?}"),
    }
}

fn texts(error: &DataFusionError) -> String {
    let fault = barrier(error).to_fault();
    format!("{error} {error:?} {fault} {fault:?} {:?} {:?}", fault.detail(), fault.hint())
}

#[tokio::test]
async fn an_error_from_below_names_the_product_and_nothing_else() {
    let error = after(|| Err(DataFusionError::Execution(format!("/data/secret.csv line 3: cannot parse '{CANARY}'")))).await;
    assert_eq!(barrier(&error).kind(), ErrorKind::Storage);
    assert_eq!(barrier(&error).to_string(), "data of product claims.claims_enriched cannot be read");
    assert!(!texts(&error).contains(CANARY) && !texts(&error).contains("secret"), "{}", texts(&error));
    assert!(barrier(&error).source().is_some(), "the log gets the cause");
}

#[tokio::test]
async fn a_panic_below_ends_the_query_and_nothing_else() {
    let error = after(|| panic!("{CANARY}")).await;
    assert_eq!(barrier(&error).kind(), ErrorKind::Internal);
    assert!(!texts(&error).contains(CANARY));
}

#[tokio::test]
async fn a_scan_limit_and_exhausted_memory_stay_what_they_are() {
    let limit = || {
        DataFusionError::External(Box::new(object_store::Error::Generic { store: "s", source: Box::new(LimitReached::Scan { limit: 7 }) }))
    };
    let error = after(move || {
        Err(DataFusionError::External(Box::new(object_store::Error::Generic {
            store: "s",
            source: Box::new(LimitReached::Scan { limit: 7 }),
        })))
    })
    .await;
    assert_eq!((barrier(&error).kind(), barrier(&error).to_string().as_str()), (ErrorKind::ScanLimit, "scan limit reached"));
    let nested = BarrierError::from_below(
        &port(),
        DataFusionError::ArrowError(Box::new(arrow::error::ArrowError::ExternalError(Box::new(limit()))), None),
    );
    assert_eq!(nested.kind(), ErrorKind::ScanLimit);
    let io = BarrierError::from_below(&port(), DataFusionError::IoError(std::io::Error::other(LimitReached::Scan { limit: 7 })));
    assert_eq!(io.kind(), ErrorKind::ScanLimit);
    let error = after(|| Err(DataFusionError::ResourcesExhausted(format!("pool of {CANARY}")))).await;
    assert_eq!(barrier(&error).kind(), ErrorKind::OutOfMemory);
    assert!(!texts(&error).contains(CANARY));
}

#[tokio::test]
async fn a_fault_that_a_port_wrote_keeps_its_words_and_any_other_does_not() {
    use crate::error::Fault;
    let error = after(|| {
        let fault = Fault::new(ErrorKind::Storage, "data of product claims.claims_enriched is missing").with_hint("Publish it again.");
        Err(DataFusionError::External(Box::new(fault.with_source(CANARY))))
    })
    .await;
    let fault = barrier(&error).to_fault();
    assert_eq!(
        (fault.kind(), fault.message(), fault.hint()),
        (ErrorKind::Storage, "data of product claims.claims_enriched is missing", Some("Publish it again."))
    );
    assert!(!texts(&error).contains(CANARY));
    let error = after(|| Err(DataFusionError::External(Box::new(Fault::new(ErrorKind::InvalidText, CANARY))))).await;
    assert_eq!(barrier(&error).kind(), ErrorKind::Storage);
    assert!(!texts(&error).contains(CANARY));
}

#[tokio::test]
async fn data_that_breaks_its_own_schema_is_a_fault_without_values() {
    let error = after(|| Ok(RecordBatch::try_from_iter([("other", Arc::new(StringArray::from(vec![CANARY])) as ArrayRef)]).unwrap())).await;
    assert!(!texts(&error).contains(CANARY));
}

#[tokio::test]
async fn after_an_error_there_is_nothing_more() {
    let trouble = Trouble { schema: harmless().schema(), what: || Err(DataFusionError::Execution("x".into())) };
    let inner = StreamingTable::try_new(harmless().schema(), vec![Arc::new(trouble)]).unwrap();
    let table = governed(Arc::new(inner), None, &[("ssn", "email")], &[]);
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    let items: Vec<bool> = plan.execute(0, context.task_ctx()).unwrap().map(|item| item.is_ok()).collect().await;
    assert_eq!(items, [false]);
}
