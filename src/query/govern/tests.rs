//! The barrier, attacked at its own level: no doors, no catalog, MemTables and Parquet files under it.

mod buffers;
mod engine;
mod errors;
mod order;
mod pairs;
mod scrub;
mod seen;

use super::*;
use crate::catalog::PortRef;
use crate::id::PrincipalName;
use crate::identity::Principal;
use crate::policy::{Decision, decide, fixtures};
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

/// A marker in whatever a reader must not see.
const CANARY: &str = "CaNaRyCaNaRyCaNaRy";

/// Four people of the EU, three of the US, one of nowhere. The hidden ones hold everything that makes an expression fail.
fn people(hidden: &[(&str, i64, &str)]) -> RecordBatch {
    let visible = [("ann", "EU", 10, "111-22-3333"), ("bea", "EU", 20, "222-33-4444"), ("cyd", "EU", 20, "333-44-5555")];
    let last = [("dan", "EU", 40, "444-55-6666")];
    let mut names: Vec<(String, Option<&str>, i64, String)> = Vec::new();
    names.extend(visible.iter().map(|(n, r, s, i)| ((*n).into(), Some(*r), *s, (*i).into())));
    for (row, (name, salary, ssn)) in hidden.iter().enumerate() {
        names.push(((*name).into(), (row % 4 != 3).then_some("US"), *salary, (*ssn).into()));
    }
    names.extend(last.iter().map(|(n, r, s, i)| ((*n).into(), Some(*r), *s, (*i).into())));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8View, false),
        Field::new("region", DataType::Utf8, true),
        Field::new("salary", DataType::Int64, false),
        Field::new("ssn", DataType::Utf8View, false),
    ]);
    // Ids are the visible ones' own, so that hidden rows leave no gaps.
    let mut next = 0;
    let ids: Int64Array = names
        .iter()
        .map(|(_, region, ..)| {
            if *region == Some("EU") {
                next += 1;
                Some(next)
            } else {
                Some(1_000_000)
            }
        })
        .collect();
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(ids),
            Arc::new(StringViewArray::from_iter_values(names.iter().map(|n| &n.0))),
            Arc::new(names.iter().map(|n| n.1).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(names.iter().map(|n| n.2))),
            Arc::new(StringViewArray::from_iter_values(names.iter().map(|n| &n.3))),
        ],
    )
    .unwrap()
}

fn hostile() -> RecordBatch {
    let secret = format!("{CANARY} not a number");
    people(&[
        ("CaNaRyCaNaRyCaNaRy-eve", 100_000, &secret),
        ("CaNaRyCaNaRyCaNaRy-fay", i64::MAX, "("),
        ("CaNaRyCaNaRyCaNaRy-gil", i64::MIN, ""),
        ("CaNaRyCaNaRyCaNaRy-hal", 0, "["),
    ])
}

fn harmless() -> RecordBatch {
    people(&[("x", 1, "1")])
}

fn mem(batches: Vec<RecordBatch>) -> Arc<dyn TableProvider> {
    Arc::new(MemTable::try_new(batches[0].schema(), vec![batches]).unwrap())
}

/// A permit for these columns, decided by the real decision.
fn permit(schema: &SchemaRef, filter: Option<&str>, masks: &[(&str, &str)]) -> Permit {
    let mut product = fixtures::product();
    product.ports[0].columns = None;
    product.row_filters = filter.map(|text| fixtures::at(fixtures::filter_rule(text, &[], &[]), 1)).into_iter().collect();
    product.masks = masks.iter().map(|(column, mask)| fixtures::at(fixtures::column_mask(column, mask, &[]), 1)).collect();
    let target = PortRef { product: Arc::new(product), port: 0 };
    let (mesh, domain) = (fixtures::mesh(), fixtures::domain());
    let principal = fixtures::principal("marketing", &["dp-claims-claims_enriched-reader"], None);
    match decide(&fixtures::request(&principal, &target, &mesh, &domain), schema) {
        Decision::Permit(permit) => permit,
        Decision::Denied(denial) => panic!("{:?}", denial.reasons),
    }
}

fn port() -> PortId {
    let product = fixtures::product();
    PortId { product: product.id, major: 1, port: product.ports[0].name.clone() }
}

fn keys() -> MaskKeys {
    MaskKeys { pseudonym: [1; 32], query_salt: [2; 16] }
}

/// The gateway's own session, as the barrier wants it.
fn planner(partitions: usize) -> Arc<SessionState> {
    let config = crate::ports::session_config().with_target_partitions(partitions);
    Arc::new(SessionStateBuilder::new().with_config(config).with_default_features().build())
}

fn governed(inner: Arc<dyn TableProvider>, filter: Option<&str>, masks: &[(&str, &str)], partition_columns: &[&str]) -> GovernedTable {
    governed_for(inner, filter, masks, partition_columns, Seen::default().by(&named("ann")))
}

fn named(name: &str) -> Principal {
    Principal { name: PrincipalName::new(name), ..fixtures::principal("marketing", &[], None) }
}

fn governed_for(
    inner: Arc<dyn TableProvider>,
    filter: Option<&str>,
    masks: &[(&str, &str)],
    partition_columns: &[&str],
    seen: SeenBy,
) -> GovernedTable {
    let permit = permit(&inner.schema(), filter, masks);
    let planner = planner(2);
    let running = Arc::clone(planner.runtime_env());
    let columns: Vec<String> = partition_columns.iter().map(|name| (*name).to_owned()).collect();
    GovernedTable::over(port(), inner, &columns, permit, keys(), planner, (running, Arc::new(Ok), seen))
}

/// A reader's session in which the table is `t`.
fn reader(table: Arc<dyn TableProvider>) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    context.register_table("t", table).unwrap();
    context
}

/// The usual case: rows of the EU, `ssn` masked.
fn eu(batch: RecordBatch, mask: &str) -> SessionContext {
    reader(Arc::new(governed(mem(vec![batch]), Some("region = 'EU'"), &[("ssn", mask)], &[])))
}

async fn rows(context: &SessionContext, sql: &str) -> Result<String> {
    let batches = context.sql(sql).await?.collect().await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

async fn one(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let texts = (0..batch.num_rows()).map(|row| {
        let cells = batch.columns().iter().map(|c| arrow::util::display::array_value_to_string(c, row).unwrap());
        cells.collect::<Vec<_>>().join("|")
    });
    texts.collect::<Vec<_>>().join(";")
}

#[tokio::test]
async fn only_the_rows_and_values_of_the_decision_come_out() {
    let eu = eu(hostile(), "show-last-4");
    assert_eq!(one(&eu, "SELECT name, ssn FROM t ORDER BY id").await, "ann|nnn-nn-3333;bea|nnn-nn-4444;cyd|nnn-nn-5555;dan|nnn-nn-6666");
    assert_eq!(one(&eu, "SELECT count(*), min(salary), max(salary), min(ssn) FROM t").await, "4|10|40|nnn-nn-3333");
    assert_eq!(one(&eu, "SELECT count(*) FROM t").await, "4");
}

#[tokio::test]
async fn fallible_expressions_of_the_reader_never_meet_a_hidden_row() {
    let eu = eu(hostile(), "mask-alphanum");
    for sql in [
        "SELECT id FROM t WHERE 1/(salary-100000) <= 0",
        "SELECT region, 1/(salary-100000) FROM t",
        "SELECT id FROM t WHERE region = 'EU' AND 1/(salary-100000) <= 0",
        "SELECT salary * 1000000000000 FROM t",
        "SELECT CASE WHEN salary > 50 THEN 1/(salary-100000) ELSE 0 END FROM t",
        "SELECT id FROM t WHERE name ~ '^[a-d]' ORDER BY 1/(salary-100000)",
    ] {
        rows(&eu, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let error = rows(&eu, "SELECT CAST(ssn AS INT) FROM t").await.unwrap_err().to_string();
    assert!(error.contains("nnn-nn-nnnn") && !error.contains(CANARY), "{error}");
}

#[tokio::test]
async fn masked_values_are_what_every_clause_sees() {
    let eu = eu(hostile(), "mask-alphanum");
    assert_eq!(one(&eu, "SELECT count(*) FROM t WHERE ssn = '111-22-3333'").await, "0");
    assert_eq!(one(&eu, "SELECT count(*) FROM t WHERE ssn = 'nnn-nn-nnnn'").await, "4");
    assert_eq!(one(&eu, "SELECT count(*) FROM t JOIN (VALUES ('111-22-3333'), ('222-33-4444')) g(ssn) USING (ssn)").await, "0");
    assert_eq!(one(&eu, "SELECT count(*) FROM t NATURAL JOIN (SELECT 'nnn-nn-nnnn' AS ssn) g").await, "4");
    assert_eq!(one(&eu, "SELECT ssn, count(*) FROM t GROUP BY ssn HAVING ssn > 'a'").await, "nnn-nn-nnnn|4");
    assert_eq!(one(&eu, "SELECT DISTINCT ssn FROM t ORDER BY ssn").await, "nnn-nn-nnnn");
    assert_eq!(one(&eu, "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY ssn) AS r FROM t) w").await, "1");
    assert_eq!(one(&eu, "SELECT count(*) FROM t a JOIN t b ON a.ssn = b.ssn").await, "16");
}

#[tokio::test]
async fn a_masked_column_admits_the_nulls_that_it_shows() {
    let eu = eu(hostile(), "replace-with-null");
    assert_eq!(one(&eu, "SELECT count(*) FROM t WHERE ssn IS NULL").await, "4");
    assert_eq!(one(&eu, "SELECT count(ssn), count(*) FROM t WHERE ssn IS NOT NULL").await, "0|0");
}

#[tokio::test]
async fn a_limit_counts_governed_rows_only() {
    let mut batches: Vec<RecordBatch> = (0..20).map(|_| people(&[("x", 1, "1"), ("y", 1, "1")]).slice(3, 2)).collect();
    batches.push(harmless());
    let table = reader(Arc::new(governed(mem(batches), Some("region = 'EU'"), &[], &[])));
    assert_eq!(one(&table, "SELECT count(*) FROM (SELECT * FROM t LIMIT 4)").await, "4");
    assert_eq!(one(&table, "SELECT count(*) FROM (SELECT * FROM t LIMIT 3 OFFSET 2)").await, "2");
    assert_eq!(one(&table, "SELECT salary FROM t ORDER BY salary DESC LIMIT 1").await, "40");
}

#[tokio::test]
async fn a21_null_and_a_filter_that_holds_for_nobody_hide_the_row() {
    let not_us = reader(Arc::new(governed(mem(vec![hostile()]), Some("region <> 'US'"), &[], &[])));
    assert_eq!(one(&not_us, "SELECT count(*) FROM t").await, "4", "the row without a region is hidden");
    let nobody = reader(Arc::new(governed(mem(vec![hostile()]), Some("FALSE"), &[], &[])));
    assert_eq!(one(&nobody, "SELECT count(*), max(salary) FROM t").await, "0|");
}

#[tokio::test]
async fn every_shape_of_query_reads_the_same_governed_rows() {
    let eu = eu(hostile(), "pseudonym");
    let total = "70";
    for sql in [
        "SELECT sum(salary) FROM t WHERE salary <> 20 OR name = 'bea'",
        "WITH c AS (SELECT * FROM t WHERE name <> 'cyd') SELECT sum(salary) FROM c",
        "SELECT sum(salary) FROM (SELECT DISTINCT salary FROM t) d",
        "SELECT sum(s) FROM (SELECT salary s FROM t WHERE id <= 2 UNION ALL SELECT salary FROM t WHERE id = 4) u",
        "SELECT sum(salary) FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE u.id = t.id AND u.name <> 'cyd')",
        "SELECT sum(salary) FROM t WHERE id IN (SELECT id FROM t WHERE name <> 'cyd')",
        "SELECT (SELECT sum(salary) FROM t WHERE name <> 'cyd')",
        "SELECT sum(salary) FROM (SELECT * FROM t EXCEPT SELECT * FROM t WHERE name = 'cyd') e",
        "SELECT sum(salary) FROM (SELECT * FROM t INTERSECT SELECT * FROM t WHERE name <> 'cyd') i",
        "SELECT sum(t.salary) FROM t LEFT JOIN t u ON t.id = u.id AND u.name <> 'cyd' WHERE u.id IS NOT NULL",
    ] {
        assert_eq!(one(&eu, sql).await, total, "{sql}");
    }
    let recursive = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN t ON t.id = r.n) SELECT max(n) FROM r";
    assert_eq!(one(&eu, recursive).await, "5", "the table is read anew in each round");
}

#[tokio::test]
async fn the_plan_shows_one_opaque_line() {
    let eu = eu(hostile(), "show-last-4");
    for explain in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE", "EXPLAIN FORMAT TREE"] {
        let text = rows(&eu, &format!("{explain} SELECT name, ssn FROM t WHERE salary > 5 AND region = 'EU'")).await.unwrap();
        assert!(text.contains("Governed"), "{explain}: {text}");
        for secret in [CANARY, "MemoryExec", "DataSourceExec", "show-last-4", "partition_sizes", "pushdown"] {
            assert!(!text.contains(secret), "{explain}: {text}");
        }
    }
}

#[tokio::test]
async fn the_table_gives_nothing_away_about_itself() {
    let inner = mem(vec![hostile()]);
    let table = governed(inner, Some("region = 'EU'"), &[("ssn", "email")], &["region", "ssn"]);
    assert!(table.statistics().is_none() && table.constraints().is_none() && table.get_logical_plan().is_none());
    assert!(table.get_table_definition().is_none() && table.get_column_default("id").is_none());
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], Some(1)).await.unwrap();
    assert!(plan.children().is_empty() && plan.metrics().is_none());
    assert_eq!(plan.properties().partitioning.partition_count(), 1, "however many files there are");
    assert!(plan.properties().eq_properties.oeq_class().is_empty());
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).unwrap();
    assert!(statistics.num_rows.get_value().is_none() && statistics.total_byte_size.get_value().is_none());
    assert!(!format!("{table:?}{plan:?}").contains(CANARY));
}

#[tokio::test]
async fn predicates_go_below_only_where_they_cannot_leak() {
    use datafusion::prelude::{col, lit};
    let verdicts = |table: &GovernedTable, filters: &[Expr]| -> Vec<bool> {
        let filters: Vec<&Expr> = filters.iter().collect();
        let all = table.supports_filters_pushdown(&filters).unwrap();
        all.iter().map(|verdict| *verdict == TableProviderFilterPushDown::Exact).collect()
    };
    let safe = [
        col("region").eq(lit("EU")),
        lit("EU").lt(col("region")),
        col("region").in_list(vec![lit("EU"), lit("US")], true),
        col("region").between(lit("A"), lit("Z")),
        col("region").is_null().or(col("region").not_eq(lit("US"))).and(Expr::Not(Box::new(col("region").eq(lit("x"))))),
    ];
    let unsafe_ones = [
        col("salary").gt(lit(5.0)),
        col("ssn").eq(lit("1")),
        col("region").like(lit("E%")),
        col("region").eq(col("name")),
        (lit(1_i64) / (col("salary") - lit(5_i64))).gt(lit(0_i64)),
        datafusion::logical_expr::cast(col("region"), DataType::Int32).eq(lit(1)),
        col("region").eq(lit("EU")).and(col("salary").gt(lit(5.0))),
        datafusion::functions::expr_fn::random().lt(lit(0.5)),
        lit(1_i64).eq(lit(0_i64)),
    ];
    let filtered = governed(mem(vec![hostile()]), Some("region = 'EU'"), &[("ssn", "email")], &["region", "ssn"]);
    assert_eq!(verdicts(&filtered, &safe), [true; 5]);
    assert_eq!(verdicts(&filtered, &unsafe_ones), [false; 9]);
    let masked = governed(mem(vec![hostile()]), None, &[("ssn", "email")], &[]);
    assert_eq!(verdicts(&masked, &safe), [true; 5]);
    assert_eq!(
        verdicts(&masked, &[col("salary").gt(lit(5_i64)), col("salary").gt(lit(5.0)), col("ssn").eq(lit("1"))]),
        [true, false, false]
    );
    let layout_masked = governed(mem(vec![hostile()]), Some("salary > 1"), &[("region", "show-first-4")], &["region"]);
    assert_eq!(verdicts(&layout_masked, &safe), [false; 5]);
}

/// A table that remembers by what it was asked to read less.
#[derive(Debug)]
struct Asked(Arc<dyn TableProvider>, parking_lot::Mutex<Vec<String>>);

#[async_trait]
impl TableProvider for Asked {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.1.lock().extend(filters.iter().map(ToString::to_string));
        self.0.scan(state, projection, &[], limit).await
    }
}

#[tokio::test]
async fn what_is_read_of_a_filtered_product_does_not_depend_on_what_the_reader_looks_for() {
    let sql = "SELECT name FROM t WHERE salary > 15 AND region <> 'CH'";
    for (filter, columns, asked) in [
        (Some("id < 1000"), &["region"][..], &["id < Int64(1000)", "region != Utf8(\"CH\")"][..]),
        (Some("id < 1000"), &[], &["id < Int64(1000)"]),
        (None, &[], &["salary > Int64(15)", "region != Utf8(\"CH\")"]),
    ] {
        let below = Arc::new(Asked(mem(vec![harmless()]), Default::default()));
        let table = governed(Arc::clone(&below) as Arc<dyn TableProvider>, filter, &[("ssn", "email")], columns);
        let reader = reader(Arc::new(table));
        assert_eq!(one(&reader, sql).await, "bea;cyd;dan", "{filter:?}");
        let plan = rows(&reader, &format!("EXPLAIN {sql}")).await.unwrap();
        assert!(plan.contains("filter=salary > 15 AND region != CH") && !plan.contains("1000"), "{plan}");
        below.1.lock().iter().for_each(|filter| assert!(asked.contains(&filter.as_str()), "{filter}"));
        assert_eq!(below.1.lock().iter().collect::<BTreeSet<_>>().len(), asked.len(), "{:?}", below.1.lock());
    }
}

#[tokio::test]
async fn a_planner_is_told_to_expect_what_its_reader_may_count_and_no_more() {
    let expected = async |filter| {
        let table = governed(mem(vec![hostile()]), filter, &[("ssn", "email")], &[]);
        let plan = table.scan(&SessionContext::new().state(), None, &[], None).await.unwrap();
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).unwrap()
    };
    let masked = expected(None).await;
    assert_eq!(masked.num_rows, Precision::Inexact(8), "an exact number would be an answer");
    assert_eq!(masked.total_byte_size, Precision::Absent, "masked values have a length");
    let filtered = expected(Some("region = 'EU'")).await;
    assert_eq!(*filtered, Statistics::new_unknown(&hostile().schema()));
}

#[tokio::test]
async fn a_filter_that_was_rewritten_after_it_was_taken_is_done_above() {
    use datafusion::prelude::{col, lit};
    let table = governed(mem(vec![hostile()]), Some("region = 'EU'"), &[("ssn", "email")], &[]);
    let (context, name) = (SessionContext::new(), vec![1]);
    for (filters, names) in [
        (vec![lit(false)], vec![]),
        (
            vec![(lit(1_i64) / (col("salary") - lit(100_000_i64))).lt_eq(lit(0_i64)), col("salary").gt(lit(15_i64))],
            vec!["bea", "cyd", "dan"],
        ),
        (vec![col("ssn").is_not_null(), col("id").eq(lit(1_i64) + lit(1_i64))], vec!["bea"]),
    ] {
        let plan = table.scan(&context.state(), Some(&name), &filters, Some(1)).await.unwrap();
        let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
        let found: Vec<_> = batches.iter().flat_map(|batch| batch.column(0).as_string_view().iter().flatten()).collect();
        assert_eq!(found, names, "{filters:?}");
    }
    // The optimiser does so where a column is known to hold no NULL only when it has arrived there.
    let reader = reader(Arc::new(table));
    reader
        .register_table(
            "v",
            mem(vec![
                RecordBatch::try_from_iter_with_nullable([("id", Arc::new(Int64Array::from(vec![None, Some(9)])) as ArrayRef, true)])
                    .unwrap(),
            ]),
        )
        .unwrap();
    assert_eq!(one(&reader, "SELECT count(*) FROM (SELECT id FROM t UNION ALL SELECT id FROM v) u WHERE id IS NULL").await, "1");
}

#[tokio::test]
async fn a_scan_leaves_out_what_the_policy_or_a_masked_products_reader_does_not_want() {
    use datafusion::prelude::{col, lit};
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("a.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, harmless().schema(), None).unwrap();
    writer.write(&harmless()).unwrap();
    writer.close().unwrap();
    let context = SessionContext::new();
    context.register_parquet("f", folder.path().to_str().unwrap(), Default::default()).await.unwrap();
    let inner = context.table_provider("f").await.unwrap();
    let asked = [col("salary").gt(lit(15_i64))];
    for (filter, by, not_by) in [(None, "salary", "region"), (Some("region = 'EU' AND id < 1000"), "region", "salary")] {
        let table = governed(Arc::clone(&inner), filter, &[("ssn", "email")], &[]);
        let below = table.below(&[1], &asked, None).await.unwrap();
        let plan = datafusion::physical_plan::displayable(below.scan.as_ref()).indent(true).to_string();
        let (_, predicate) = plan.split_once("pruning_predicate=").unwrap_or_else(|| panic!("{plan}"));
        assert!(predicate.contains(by) && !predicate.contains(not_by), "{plan}");
    }
}
