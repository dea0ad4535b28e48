//! What the engine does to policies that are built of its own operators: these tests document DataFusion, and fail when it changes. Each
//! has its twin, which shows that the barrier does not.

use super::*;
use async_trait::async_trait;

/// The obvious way to do it: an opaque provider that pushes nothing down, and answers with the engine's filter over the engine's scan.
#[derive(Debug)]
struct Naive {
    inner: Arc<dyn TableProvider>,
    policy: Expr,
}

#[async_trait]
impl TableProvider for Naive {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = self.schema();
        let columns: Vec<Expr> = match projection {
            Some(columns) => columns.iter().map(|i| Expr::Column(Column::new_unqualified(all.field(*i).name()))).collect(),
            None => all.fields().iter().map(|f| Expr::Column(Column::new_unqualified(f.name()))).collect(),
        };
        let plan = LogicalPlanBuilder::scan("x", provider_as_source(Arc::clone(&self.inner)), None)?;
        let plan = plan.filter(self.policy.clone())?.project(columns)?.build()?;
        session.create_physical_plan(&plan).await
    }
}

async fn view(batch: RecordBatch) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    context.register_table("raw", mem(vec![batch])).unwrap();
    context.sql("CREATE VIEW t AS SELECT * FROM raw WHERE region = 'EU'").await.unwrap();
    context
}

fn naive(batch: RecordBatch) -> SessionContext {
    let policy = datafusion::prelude::col("region").eq(datafusion::prelude::lit("EU"));
    reader(Arc::new(Naive { inner: mem(vec![batch]), policy }))
}

fn no_hidden_nulls() -> RecordBatch {
    people(&[("CaNaRyCaNaRyCaNaRy-eve", 100_000, "x")])
}

const IN_WHERE: &str = "SELECT id FROM t WHERE 1/(salary-100000) <= 0";
const IN_SELECT: &str = "SELECT region, 1/(salary-100000) FROM t";

fn divides_by_zero(result: &Result<String>) -> bool {
    result.as_ref().is_err_and(|error| error.to_string().contains("Divide by zero"))
}

#[tokio::test]
async fn a_view_lets_the_readers_division_meet_hidden_rows() {
    let view = view(no_hidden_nulls()).await;
    assert!(divides_by_zero(&rows(&view, IN_WHERE).await));
}

#[tokio::test]
async fn a_provider_that_answers_with_a_filter_lets_it_too() {
    let naive = naive(no_hidden_nulls());
    assert!(divides_by_zero(&rows(&naive, IN_WHERE).await) || divides_by_zero(&rows(&naive, IN_SELECT).await));
}

#[tokio::test]
async fn the_barrier_does_not() {
    let eu = eu(no_hidden_nulls(), "mask-alphanum");
    for sql in [IN_WHERE, IN_SELECT] {
        assert!(rows(&eu, sql).await.is_ok(), "{sql}");
    }
}

#[tokio::test]
async fn a_plan_of_the_engines_operators_tells_the_policy_to_everybody() {
    let naive = naive(no_hidden_nulls());
    let text = rows(&naive, "EXPLAIN SELECT id FROM t").await.unwrap();
    assert!(text.contains("FilterExec: region") && text.contains("EU"), "{text}");
}

/// Parquet carries exact counts and bounds, and the engine answers from them.
async fn parquet(folder: &std::path::Path, batch: &RecordBatch) -> Arc<dyn TableProvider> {
    let file = std::fs::File::create(folder.join("part.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    let context = SessionContext::new();
    let options = datafusion::prelude::ParquetReadOptions::default();
    context.register_parquet("f", folder.to_str().unwrap(), options).await.unwrap();
    context.table_provider("f").await.unwrap()
}

#[tokio::test]
async fn statistics_of_files_answer_for_whole_products_and_never_for_governed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let files = parquet(folder.path(), &hostile()).await;
    let sql = "SELECT count(*), min(salary), max(salary), min(name), max(name) FROM t";
    let whole = rows(&reader(Arc::clone(&files)), &format!("EXPLAIN {sql}")).await.unwrap();
    assert!(whole.contains("PlaceholderRowExec"), "{whole}");
    for (filter, masks) in [(Some("region = 'EU'"), &[][..]), (Some("region = 'EU'"), &[("name", "pseudonym")])] {
        let governed = reader(Arc::new(governed(Arc::clone(&files), filter, masks, &[])));
        let plan = rows(&governed, &format!("EXPLAIN {sql}")).await.unwrap();
        assert!(plan.contains("Governed: product=claims.claims_enriched") && !plan.contains("PlaceholderRowExec"), "{plan}");
        assert!(one(&governed, sql).await.starts_with("4|10|40|"));
    }
}

#[tokio::test]
async fn filters_of_topk_and_joins_that_learn_while_running_stop_at_the_barrier() {
    let folder = tempfile::tempdir().unwrap();
    let files = parquet(folder.path(), &hostile()).await;
    let topk = "SELECT salary FROM t ORDER BY salary DESC LIMIT 1";
    let join = "SELECT count(*) FROM t JOIN (VALUES (10), (40)) g(salary) USING (salary)";
    let whole = rows(&reader(Arc::clone(&files)), &format!("EXPLAIN {topk}")).await.unwrap();
    assert!(whole.contains("DynamicFilter"), "{whole}");
    let governed = reader(Arc::new(governed(files, Some("region = 'EU'"), &[], &[])));
    for sql in [topk, join] {
        let plan = rows(&governed, &format!("EXPLAIN {sql}")).await.unwrap();
        assert!(!plan.contains("DynamicFilter"), "{plan}");
    }
    assert_eq!(one(&governed, topk).await, "40");
    assert_eq!(one(&governed, join).await, "2");
}

#[tokio::test]
async fn a19_a_function_of_the_reader_is_shown_governed_values_only() {
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    let seen: Arc<parking_lot::Mutex<BTreeSet<String>>> = Arc::default();
    let spy = Arc::clone(&seen);
    let watch = move |arguments: &[ColumnarValue]| {
        let array = arguments[0].to_array(1)?;
        let texts = arrow::compute::cast(&array, &DataType::Utf8)?;
        spy.lock().extend(texts.as_string::<i32>().iter().flatten().map(str::to_owned));
        Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::Boolean(Some(true))))
    };
    let eu = eu(hostile(), "mask-alphanum");
    for (name, data_type) in [("leak", DataType::Utf8View), ("leak_number", DataType::Int64), ("leak_region", DataType::Utf8)] {
        eu.register_udf(create_udf(name, vec![data_type], DataType::Boolean, Volatility::Immutable, Arc::new(watch.clone())));
    }
    for sql in [
        "SELECT leak(name), leak(ssn) FROM t",
        "SELECT id FROM t WHERE leak(name) AND leak(ssn) AND leak_number(salary)",
        "SELECT id FROM t WHERE leak_region(region) AND region = 'EU' OR leak(ssn)",
        "SELECT leak(ssn), count(*) FROM t GROUP BY 1 HAVING leak(max(name))",
        "SELECT id FROM t ORDER BY leak(ssn), leak_number(salary) LIMIT 1",
        "SELECT a.id FROM t a JOIN t b ON leak(a.ssn) AND a.id = b.id AND leak(b.name)",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE leak(u.ssn) AND leak(t.name))",
        "SELECT sum(salary) FILTER (WHERE leak(ssn)) OVER (PARTITION BY leak(name)) FROM t",
        "WITH v AS (SELECT * FROM t WHERE leak(ssn)) SELECT v.id FROM v JOIN t USING (id) WHERE leak(t.name)",
        "SELECT CASE WHEN leak(ssn) THEN leak(name) END FROM t",
    ] {
        rows(&eu, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let allowed = ["10", "20", "40", "EU", "ann", "bea", "cyd", "dan", "nnn-nn-nnnn"].map(str::to_owned);
    let seen = seen.lock();
    assert!(seen.len() >= 6 && seen.iter().all(|value| allowed.contains(value)), "{seen:?}");
}
