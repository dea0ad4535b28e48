//! What a plan is told of earlier ones: what its reader was shown, and nothing else.

use super::*;
use datafusion::physical_plan::collect;

/// A mesh in which one product is read by several: the rows of the EU.
struct Mesh {
    seen: Seen,
    rows: RecordBatch,
}

impl Mesh {
    fn of(rows: RecordBatch) -> Self {
        Self { seen: Seen::default(), rows }
    }

    /// Runs a statement as the pipeline does. What its scan was expected to give before.
    async fn run(&self, reader: &str, filter: &str, sql: &str) -> Precision<usize> {
        let table = governed_for(mem(vec![self.rows.clone()]), Some(filter), &[], &[], self.seen.by(&named(reader)));
        let context = super::reader(Arc::new(table));
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let expected = expected(&plan).unwrap_or(Precision::Absent);
        let sights = sights(&plan);
        if collect(plan, context.task_ctx()).await.is_ok() {
            sights.iter().for_each(|sight| sight.remember());
        }
        expected
    }
}

fn expected(plan: &Arc<dyn ExecutionPlan>) -> Option<Precision<usize>> {
    match plan.downcast_ref::<GovernedExec>() {
        Some(leaf) => Some(leaf.statistics_from_inputs(&[], &StatisticsArgs::new()).unwrap().num_rows),
        None => plan.children().into_iter().find_map(expected),
    }
}

const EU: &str = "region = 'EU'";

#[tokio::test]
async fn a_reader_who_was_shown_all_rows_is_told_how_many_to_expect() {
    for rows in [hostile(), harmless(), people(&[])] {
        let mesh = Mesh::of(rows);
        assert_eq!(mesh.run("ann", EU, "SELECT name FROM t").await, Precision::Absent);
        assert_eq!(mesh.run("ann", EU, "SELECT salary FROM t").await, Precision::Inexact(4));
        assert_eq!(mesh.run("ann", EU, "SELECT name FROM t WHERE salary = 20").await, Precision::Inexact(0));
        assert_eq!(mesh.run("ann", EU, "SELECT name FROM t WHERE salary = 20").await, Precision::Inexact(2));
        assert_eq!(mesh.run("ann", EU, "SELECT count(*) FROM t").await, Precision::Inexact(4));
    }
}

#[tokio::test]
async fn nobody_is_told_what_another_reader_or_another_policy_showed() {
    let mesh = Mesh::of(hostile());
    mesh.run("ann", EU, "SELECT name FROM t").await;
    assert_eq!(mesh.run("bob", EU, "SELECT name FROM t").await, Precision::Absent);
    assert_eq!(mesh.run("ann", "region = 'US'", "SELECT name FROM t").await, Precision::Absent);
}

#[tokio::test]
async fn a_query_that_may_stop_early_or_that_failed_is_not_remembered() {
    let mesh = Mesh::of(hostile());
    for sql in [
        "SELECT name FROM t LIMIT 2",
        "SELECT upper(name) FROM t WHERE upper(name) > 'A' LIMIT 2",
        "SELECT count(*) FROM (SELECT name FROM t LIMIT 1000) s",
        "SELECT 1 / (salary - 20) FROM t",
        "SELECT rn, count(*) FROM (SELECT row_number() OVER () AS rn, name FROM t) q GROUP BY rn ORDER BY rn LIMIT 3",
        "SELECT DISTINCT rn, name FROM (SELECT row_number() OVER () AS rn, name FROM t) q ORDER BY rn LIMIT 3",
        "SELECT rn, name FROM (SELECT row_number() OVER () AS rn, name FROM t) q ORDER BY rn, name LIMIT 3",
    ] {
        mesh.run("ann", EU, sql).await;
        assert_eq!(mesh.run("ann", EU, "SELECT name FROM t LIMIT 1").await, Precision::Absent, "{sql}");
    }
    mesh.run("ann", EU, "SELECT name FROM t ORDER BY name LIMIT 2").await;
    assert_eq!(mesh.run("ann", EU, "SELECT name FROM t").await, Precision::Inexact(4));
}

#[test]
fn what_is_remembered_is_bounded_and_nobody_is_forgotten_for_what_another_asks() {
    let seen = Seen::default();
    let policy = datafusion::prelude::col("region").eq(datafusion::prelude::lit("EU"));
    let look = |by: &SeenBy, number: i64| {
        let asked = [datafusion::prelude::col("id").eq(datafusion::prelude::lit(number))];
        let sight = by.sight(&port(), &policy, &asked);
        sight.ended(7);
        sight.remember();
        assert_eq!(by.sight(&port(), &policy, &asked).expected(), Some(7));
    };
    let (ann, bob) = (seen.by(&named("ann")), seen.by(&named("bob")));
    look(&bob, -1);
    (0..5_000).for_each(|number| look(&ann, number));
    let asked = [datafusion::prelude::col("id").eq(datafusion::prelude::lit(-1_i64))];
    assert_eq!(bob.sight(&port(), &policy, &asked).expected(), Some(7));
    assert!(seen.remembered() <= 1_001);
    (0..5_000).for_each(|number| look(&seen.by(&named(&format!("reader {number}"))), 1));
    assert!(seen.remembered() <= 2_000 && seen.remembered() >= 1_000);
}
