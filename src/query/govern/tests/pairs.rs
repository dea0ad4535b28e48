//! Two tables that differ only in what the reader may not see must be the same table to the reader: rows, types, errors, plans and the
//! bytes of the Arrow stream.

use super::*;
use arrow_flight::encode::FlightDataEncoderBuilder;
use futures::TryStreamExt;

/// A reader whose plans run on one thread: SQL promises no order between several, so the order would differ by chance.
fn alone(table: GovernedTable) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

/// Everything that a reader can observe of one statement.
async fn observed(context: &SessionContext, sql: &str) -> String {
    let frame = match context.sql(sql).await {
        Ok(frame) => frame,
        Err(error) => return format!("planning: {error}"),
    };
    let stream = match frame.execute_stream().await {
        Ok(stream) => stream,
        Err(error) => return format!("starting: {error}"),
    };
    let batches = stream.map_err(|e| arrow_flight::error::FlightError::ExternalError(Box::new(e)));
    match FlightDataEncoderBuilder::new().build(batches).try_collect::<Vec<_>>().await {
        Ok(messages) => format!("{messages:?}"),
        Err(error) => format!("running: {error}"),
    }
}

const FALLIBLE: [&str; 16] = [
    "1/(salary-100000)",
    "1/(salary-20)",
    "salary * 9223372036854775807",
    "CAST(ssn AS INT)",
    "CAST(name AS DATE)",
    "to_timestamp(ssn)",
    "substr(ssn, 1, salary - 50)",
    "arrow_cast(salary, 'Int8')",
    "regexp_like('x', ssn)",
    "CAST(salary AS DECIMAL(3,1))",
    "repeat(name, salary)",
    "chr(salary)",
    "log(salary - 15)",
    "(salary % (salary - 10))",
    "abs(salary - 9223372036854775807 - 2)",
    "date_trunc(name, now())",
];

fn statements() -> Vec<String> {
    let mut all: Vec<String> = [
        "SELECT * FROM t",
        "SELECT count(*), min(ssn), max(name), avg(salary) FROM t",
        "SELECT region, count(*) FROM t GROUP BY region ORDER BY region",
        "SELECT * FROM t ORDER BY salary DESC, id LIMIT 2",
        "SELECT * FROM t LIMIT 3",
        "SELECT a.ssn, b.name FROM t a JOIN t b ON a.ssn = b.ssn ORDER BY 1, 2",
        "EXPLAIN SELECT * FROM t WHERE salary > 5",
        "EXPLAIN VERBOSE SELECT count(*) FROM t",
        "EXPLAIN FORMAT TREE SELECT count(*) FROM t JOIN t u USING (id)",
        "SELECT approx_distinct(ssn), approx_median(salary) FROM t",
        "SELECT nothing FROM t",
        "SELECT t.*, arrow_typeof(ssn) FROM t",
    ]
    .map(str::to_owned)
    .into();
    for expression in FALLIBLE {
        all.push(format!("SELECT {expression} FROM t"));
        all.push(format!("SELECT region, {expression} FROM t WHERE region = 'EU'"));
        all.push(format!("SELECT id FROM t WHERE {expression} IS NOT NULL"));
        all.push(format!("SELECT id FROM t ORDER BY {expression}, id"));
        all.push(format!("SELECT count(*), {expression} FROM t GROUP BY 2 ORDER BY 2"));
        all.push(format!(
            "SELECT a.id FROM t a JOIN t b ON a.id = b.id AND (a.{0}) IS NOT NULL",
            expression.replace("salary", "a.salary").trim_start_matches("a.")
        ));
        all.push(format!("WITH c AS (SELECT {expression} AS e, id FROM t) SELECT max(id) FROM c WHERE e IS NOT NULL"));
        all.push(format!("SELECT (SELECT max({expression}) FROM t)"));
    }
    all
}

/// The tables: hidden rows harmless, hidden rows hostile, no hidden rows, hidden rows spread over many batches, masked values changed.
fn worlds() -> Vec<Vec<RecordBatch>> {
    let visible = |batch: &RecordBatch| {
        let keep: BooleanArray = batch["region"].as_string::<i32>().iter().map(|r| Some(r == Some("EU"))).collect();
        arrow::compute::filter_record_batch(batch, &keep).unwrap()
    };
    let hidden = hostile().slice(3, 4);
    let spread = (0..4).flat_map(|row| [visible(&hostile()).slice(row, 1), hidden.clone()]).collect();
    vec![vec![harmless()], vec![hostile()], vec![visible(&hostile())], spread]
}

#[tokio::test]
async fn worlds_that_differ_in_hidden_rows_only_cannot_be_told_apart() {
    let contexts: Vec<SessionContext> = worlds()
        .into_iter()
        .map(|batches| alone(governed(mem(batches), Some("region = 'EU'"), &[("ssn", "mask-alphanum")], &["region"])))
        .collect();
    for sql in statements() {
        let expected = observed(&contexts[0], &sql).await;
        assert!(!expected.contains(CANARY), "{sql}");
        for other in &contexts[1..] {
            assert_eq!(observed(other, &sql).await, expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn worlds_that_differ_in_masked_values_only_cannot_be_told_apart() {
    let with = |ssn: &str| {
        let batch = harmless();
        let mut columns = batch.columns().to_vec();
        columns[4] = Arc::new(StringViewArray::from_iter_values((0..batch.num_rows()).map(|row| format!("{ssn}{row}"))));
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        alone(governed(mem(vec![batch]), None, &[("ssn", "mask-to-fixed-value")], &["region"]))
    };
    let (one, other) = (with("1"), with(&format!("{CANARY} [( ")));
    for sql in statements() {
        assert_eq!(observed(&one, &sql).await, observed(&other, &sql).await, "{sql}");
    }
}
