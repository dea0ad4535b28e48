//! A: the optimiser, expressions, buffers.

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use parquet::arrow::ArrowWriter;
use std::sync::Arc;

use super::{Both, ask};
use crate::harness::TestGateway;
use crate::leaks::{CANARY, FALLIBLE, FORMATS, holds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_division_by_zero_on_a_hidden_row() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} WHERE 1/(salary-100000) <= 0").await, "5");
    // On a row that is shown it is an error.
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} WHERE 1/(salary-40) <= 0").await, "22012");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_division_by_zero_in_the_select_list() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT region, 1/(salary-100000) FROM {t} ORDER BY id").await, "eu|0;eu|0;eu|0;eu|0;eu|0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_cast_that_fails_prints_a_masked_value_at_most() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} WHERE CAST(ssn AS INT) > 0").await, "22P02");
    assert_eq!(both.everywhere("SELECT count(CAST(note AS INT)) FROM {t}").await, "0");
    assert!(holds(&both.hostile.simple("SELECT CAST(ssn AS INT) FROM hr.people_csv").await, "XXXXXXXX"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a4_every_fallible_function_in_every_clause() {
    let mut both = Both::new().await;
    for (at, expression) in FALLIBLE.iter().enumerate() {
        let table = format!("hr.people_{}", FORMATS[at % FORMATS.len()]);
        for sql in [
            format!("SELECT {expression} FROM {table}"),
            format!("SELECT id FROM {table} WHERE {expression} IS NOT NULL"),
            format!("SELECT count(*), {expression} FROM {table} GROUP BY 2 ORDER BY 2"),
            format!("SELECT max({expression}) FROM {table} HAVING max({expression}) IS NOT NULL"),
            format!("SELECT id FROM {table} ORDER BY {expression}, id"),
            format!("SELECT (SELECT max({expression}) FROM {table})"),
        ] {
            both.ask(&sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_a_guard_that_the_engine_may_evaluate_late() {
    let mut both = Both::new().await;
    let guarded = "SELECT count(*) FROM {t} WHERE region = 'eu' AND 1/(salary-100000) <= 0";
    assert_eq!(both.everywhere(guarded).await, "5");
    assert_eq!(both.everywhere("SELECT count(CASE WHEN salary > 1000 THEN 1/(salary-100000) END) FROM {t}").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_a_masked_column_in_every_clause() {
    let mut both = Both::new().await;
    for (sql, answer) in [
        ("SELECT count(*) FROM {t} WHERE ssn = '222-22-2222'", "0"),
        ("SELECT count(*) FROM {t} WHERE ssn = 'XXXXXXXX'", "5"),
        ("SELECT count(*) FROM {t} WHERE ssn < 'M' OR ssn LIKE '1%'", "0"),
        ("SELECT count(*) FROM {t} t JOIN (VALUES ('11'), ('222-22-2222'), ('111-11-1111')) g(ssn) ON t.ssn = g.ssn", "0"),
        ("SELECT count(*) FROM {t} t JOIN (VALUES ('XXXXXXXX')) g(ssn) USING (ssn)", "5"),
        ("SELECT count(*) FROM {t} NATURAL JOIN (SELECT 'XXXXXXXX' AS ssn) g", "5"),
        ("SELECT ssn, count(*) FROM {t} GROUP BY ssn HAVING ssn > 'A' ORDER BY ssn", "XXXXXXXX|5"),
        ("SELECT DISTINCT ssn, note FROM {t} ORDER BY ssn", "XXXXXXXX|NULL"),
        ("SELECT max(r) FROM (SELECT rank() OVER (ORDER BY ssn) AS r FROM {t}) w", "1"),
        ("SELECT id FROM {t} ORDER BY ssn DESC, id LIMIT 2", "1;2"),
        ("SELECT count(*) FROM {t} a JOIN {t} b USING (ssn)", "25"),
        ("SELECT min(ssn), max(ssn), string_agg(DISTINCT ssn, ',') FROM {t}", "XXXXXXXX|XXXXXXXX|XXXXXXXX"),
    ] {
        assert_eq!(both.everywhere(sql).await, answer, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_a_field_or_an_element_of_a_masked_column() {
    let fields = vec![Arc::new(Field::new("ssn", DataType::Utf8, true))];
    let secret: ArrayRef = Arc::new(StringArray::from(vec![CANARY, CANARY]));
    let buyer = StructArray::try_new(fields.into(), vec![secret], None).unwrap();
    let marks = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(4711)]), Some(vec![Some(4711), None])]);
    let columns: [(&str, ArrayRef); 3] =
        [("id", Arc::new(Int64Array::from(vec![1, 2]))), ("buyer", Arc::new(buyer)), ("marks", Arc::new(marks))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let product = "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata: {name: nested, domain: hr, version: 1.0.0, description: d, \
         owner: {team: t, contact: c@test.example}, status: active}\nspec:\n  outputPorts: [{name: sql, format: parquet, location: file:data/hr/nested/}]\n  \
         sla: {freshness: 9y}\n  policies:\n    access: public\n    \
         masks: [{column: buyer, mask: replace-with-null}, {column: marks, mask: replace-with-null}]\n";
    let gateway = TestGateway::new().domain("hr").product(product).file("hr/nested/a.parquet", writer.into_inner().unwrap());
    let gateway = gateway.domain("sales").user("bob", "sales", &[], &[]).start().await;
    for sql in [
        "SELECT buyer['ssn'] FROM hr.nested",
        "SELECT (buyer).ssn FROM hr.nested",
        "SELECT marks[1] FROM hr.nested",
        "SELECT array_length(marks, 1) FROM hr.nested",
        "SELECT unnest(marks) FROM hr.nested",
        "SELECT buyer FROM hr.nested",
        "SELECT count(buyer), count(marks) FROM hr.nested",
        "SELECT id FROM hr.nested WHERE buyer['ssn'] IS NOT NULL OR marks[1] > 0",
    ] {
        let answer = ask(&gateway, "bob", sql).await;
        assert!(!answer.contains("4711") && !answer.contains("1;2"), "{sql}: {answer}");
    }
    assert_eq!(ask(&gateway, "bob", "SELECT marks[1], buyer FROM hr.nested").await, "NULL|NULL;NULL|NULL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a8_wildcards_give_the_governed_columns() {
    let mut both = Both::new().await;
    let row = "1|ann|eu|10|XXXXXXXX|NULL";
    for sql in
        ["SELECT * FROM {t} WHERE id = 1", "SELECT t.* FROM {t} t WHERE t.id = 1", "SELECT * FROM (SELECT * FROM {t}) t WHERE id = 1"]
    {
        let answer = both.ask(&sql.replace("{t}", "hr.people_csv")).await;
        assert_eq!(answer, row, "{sql}");
    }
    for sql in ["SELECT * EXCLUDE (id) FROM {t}", "SELECT t FROM {t} t", "SELECT * FROM {t} GROUP BY 1", "SELECT 1 FROM {t} GROUP BY 7"] {
        both.everywhere(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_the_same_predicate_in_every_shape_of_query() {
    let mut both = Both::new().await;
    let ids = "2;3";
    for sql in [
        "SELECT id FROM {t} WHERE salary = 20 ORDER BY id",
        "WITH c AS (SELECT * FROM {t}) SELECT id FROM c WHERE salary = 20 ORDER BY id",
        "SELECT id FROM (SELECT * FROM {t} WHERE salary = 20) d ORDER BY id",
        "SELECT id FROM {t} WHERE id IN (SELECT id FROM {t} WHERE salary = 20) ORDER BY id",
        "SELECT id FROM {t} a WHERE EXISTS (SELECT 1 FROM {t} b WHERE b.id = a.id AND b.salary = 20) ORDER BY id",
        "SELECT id FROM {t} WHERE salary = (SELECT min(salary) FROM {t} WHERE salary > 10) ORDER BY id",
        "SELECT id FROM {t} INTERSECT SELECT id FROM {t} WHERE salary = 20 ORDER BY id",
        "SELECT id FROM {t} EXCEPT SELECT id FROM {t} WHERE salary <> 20 ORDER BY id",
        "SELECT id FROM {t} WHERE salary = 20 UNION SELECT id FROM {t} WHERE salary = 20 ORDER BY id",
        "SELECT t.id FROM {t} t JOIN (VALUES (20)) v(s) ON t.salary = v.s ORDER BY id",
        "SELECT id FROM (SELECT id, sum(salary) OVER (PARTITION BY id) s FROM {t}) w WHERE s = 20 ORDER BY id",
        "WITH RECURSIVE r AS (SELECT 0 AS id UNION ALL SELECT t.id FROM r JOIN {t} t ON r.id = 0 AND t.salary = 20) \
         SELECT id FROM r WHERE id > 0 ORDER BY id",
    ] {
        assert_eq!(both.everywhere(sql).await, ids, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_a_product_that_is_joined_with_itself() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} a JOIN {t} b ON a.id = b.id").await, "5");
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} a, {t} b, {t} c").await, "125");
    for format in FORMATS {
        let table = format!("hr.people_{format}");
        let plan = both.ask(&format!("EXPLAIN SELECT 1 FROM {table} a JOIN {table} b ON a.id = b.id AND a.id = a.id")).await;
        assert_eq!(plan.matches("Governed:").count(), 2, "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_counts_and_bounds_are_those_of_governed_rows() {
    let mut both = Both::new().await;
    let sql = "SELECT count(*), min(ssn), max(ssn), min(salary), max(salary), max(name), count(note) FROM {t}";
    assert_eq!(both.everywhere(sql).await, "5|XXXXXXXX|XXXXXXXX|10|40|eve|0");
    assert!(!both.everywhere(&format!("EXPLAIN {sql}")).await.contains("Placeholder"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_limit_counts_governed_rows() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT count(*) FROM (SELECT * FROM {t} LIMIT 4) l").await, "4");
    assert_eq!(both.everywhere("SELECT id FROM {t} LIMIT 3").await, "1;2;3");
    assert_eq!(both.everywhere("SELECT id FROM {t} ORDER BY id LIMIT 9 OFFSET 4").await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_what_learns_while_it_runs_stays_above_the_barrier() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT name FROM {t} ORDER BY salary DESC LIMIT 1").await, "dan");
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} JOIN (VALUES (10), (100000)) g(salary) USING (salary)").await, "1");
    assert!(!both.everywhere("EXPLAIN SELECT name FROM {t} ORDER BY salary DESC LIMIT 1").await.contains("DynamicFilter"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_nobody_steers_how_a_product_is_read() {
    let mut both = Both::new().await;
    for option in ["pushdown_filters", "reorder_filters", "pruning"] {
        assert_eq!(both.ask(&format!("SET datafusion.execution.parquet.{option} = true")).await, "42704");
    }
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} WHERE 1/(salary-100000) <= 0 AND region = 'eu'").await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_a_column_that_is_masked_to_null_is_nullable() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} WHERE note IS NULL").await, "5");
    assert_eq!(both.everywhere("SELECT count(*) FROM {t} WHERE note IS NOT NULL OR note = note").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_no_order_and_no_key_of_hidden_rows_is_known() {
    let mut both = Both::new().await;
    assert!(both.everywhere("EXPLAIN SELECT id FROM {t} ORDER BY id").await.contains("SortExec"));
    // The ids of hidden rows are those of visible ones: were `id` taken for unique, DISTINCT would be dropped.
    assert!(both.everywhere("EXPLAIN SELECT DISTINCT id FROM {t}").await.contains("AggregateExec"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_no_metadata_of_fields_comes_through() {
    let mut both = Both::new().await;
    assert_eq!(both.everywhere("SELECT arrow_metadata(name) FROM {t}").await, "42883");
    let defaults = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'hr' AND column_default IS NOT NULL";
    assert_eq!(both.ask(defaults).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_no_hidden_byte_is_left_in_a_buffer() {
    let mut both = Both::new().await;
    for sql in [
        "SELECT * FROM {t}",
        "SELECT name FROM {t}",
        "SELECT substr(name, 1, 2), left(ssn, 1), right(name, 2) FROM {t}",
        "SELECT nullif(name, 'ann'), CASE WHEN id > 2 THEN name END FROM {t}",
        "SELECT array_agg(name ORDER BY id), array_agg(ssn) FROM {t}",
    ] {
        // `ask` looks for canaries in the Flight bodies too, and compares them byte by byte.
        both.everywhere(sql).await;
    }
}
