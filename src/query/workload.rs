//! What kind of work a query is: somebody's question, or a BI tool's look at tables on its own account.
//!
//! Such tools sample every table, list the values of every column and profile them, at night and whenever their administrator says so. Nobody asked, so
//! it is worth a limit of its own, which must not stop those who do ask. A query is taken for a crawler's where its application is one that
//! crawls, its form is one of those that crawlers send, and its remark names no person.
//!
//! What it is told from is what the client says: it decides which limits count the query's bytes and what the ledger calls it, and never what may be
//! read.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, DuplicateTreatment, Expr, Function, FunctionArguments, GroupByExpr, LimitClause, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, Value, Visit, Visitor,
};

use super::parse::{Body, Parsed};
use crate::catalog::Workload;

/// What the names begin with of tools that look at tables on their own account, without case.
const CRAWLERS: [&str; 11] = [
    "metabase",
    "superset",
    "apache superset",
    "tableau",
    "looker",
    "power bi",
    "powerbi",
    "microsoft power bi",
    "redash",
    "datahub",
    "openmetadata",
];
/// The largest sample that is taken for a fingerprint: Metabase takes ten thousand rows, others fewer.
const SAMPLE: u64 = 10_000;
/// How Metabase marks what a person asked for.
const PERSON: &str = "userID";

/// What kind of work a statement is, of a client that calls itself `application`. `crawlers` is the mesh's list, where it has one.
pub(super) fn workload(parsed: &Parsed, application: Option<&str>, crawlers: Option<&[String]>) -> Workload {
    let statement = parsed.inner().unwrap_or(parsed);
    let crawls = application.is_some_and(|name| match crawlers {
        Some(list) => list.iter().any(|known| begins_with(name, known)),
        None => CRAWLERS.iter().any(|known| begins_with(name, known)),
    });
    let query = match statement.body() {
        // A quote is held to what its query would be held to.
        Body::Query(query) | Body::Explain { query, .. } => query,
        Body::Show(_) | Body::Nothing => return Workload::Interactive,
    };
    match &**query {
        Statement::Query(query) if crawls && !statement.remark().contains(PERSON) && looks_at_a_table(query) => Workload::Crawl,
        _ => Workload::Interactive,
    }
}

fn begins_with(name: &str, known: &str) -> bool {
    name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
}

/// Whether a query asks what a table looks like, and nothing about what is in it: one table, no condition, and a sample, the values of a
/// column, or figures about columns.
fn looks_at_a_table(query: &Query) -> bool {
    let select = match &*query.body {
        SetExpr::Select(select) => select,
        SetExpr::Query(inner) if is_bare(query) => return looks_at_a_table(inner),
        _ => return false,
    };
    let Some(condition) = of_one_table(select).filter(|_| query.with.is_none() && !has_subquery(select)) else { return false };
    let limit = limit(query);
    let sampled = limit.is_some_and(|limit| limit <= SAMPLE) && query.order_by.is_none() && gives_rows(select);
    condition == Condition::Never || limit == Some(0) || lists_values(select) || profiles(select) || sampled
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// None, or that a value is there.
    None,
    /// `WHERE 1 = 0`: only the columns are wanted.
    Never,
}

/// What is asked of the rows of the one table that a query reads, itself or in a derived table that gives its rows as they are; `None` where it
/// reads more or asks otherwise.
fn of_one_table(select: &Select) -> Option<Condition> {
    let [from] = select.from.as_slice() else { return None };
    if !from.joins.is_empty() || select.having.is_some() || select.qualify.is_some() {
        return None;
    }
    let here = match &select.selection {
        None => Condition::None,
        Some(expr) if is_never(expr) => Condition::Never,
        Some(Expr::IsNotNull(inner)) if is_column(inner) => Condition::None,
        Some(_) => return None,
    };
    match &from.relation {
        TableFactor::Table { args: None, sample: None, .. } => Some(here),
        TableFactor::Derived { subquery, .. } => match &*subquery.body {
            SetExpr::Select(inner) if is_bare(subquery) && gives_rows(inner) => {
                let inner = of_one_table(inner)?;
                Some(if here == Condition::Never { here } else { inner })
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a query is its body and nothing around it.
fn is_bare(query: &Query) -> bool {
    query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none()
}

/// A comparison of whole numbers that does not hold. Others could.
fn is_never(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_never(inner),
        Expr::Value(value) => value.value == Value::Boolean(false),
        Expr::BinaryOp { left, op, right } => match (whole_number(left), op, whole_number(right)) {
            (Some(left), BinaryOperator::Eq, Some(right)) => left != right,
            (Some(left), BinaryOperator::NotEq, Some(right)) => left == right,
            _ => false,
        },
        _ => false,
    }
}

fn whole_number(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn limit(query: &Query) -> Option<u64> {
    match (&query.limit_clause, &query.fetch) {
        (Some(LimitClause::LimitOffset { limit, .. }), _) => whole_number(limit.as_ref()?),
        (Some(LimitClause::OffsetCommaLimit { limit, .. }), _) => whole_number(limit),
        (None, Some(fetch)) => fetch.quantity.as_ref().map_or(Some(1), whole_number),
        (None, None) => None,
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_column(inner),
        _ => false,
    }
}

fn expression(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// `SELECT DISTINCT a FROM t`, or `SELECT a, count(*) FROM t GROUP BY a`: the values of a column.
fn lists_values(select: &Select) -> bool {
    let mut columns = 0;
    for item in &select.projection {
        match expression(item) {
            Some(expr) if is_column(expr) => columns += 1,
            Some(Expr::Function(function)) if is_called(function, &["count"]) => {}
            _ => return false,
        }
    }
    let distinct = matches!(select.distinct, Some(Distinct::Distinct)) && select.projection.len() == 1 && groups(select) == Some(0);
    columns == 1 && (distinct || select.distinct.is_none() && groups(select) == Some(1))
}

/// How many expressions rows are grouped by; `None` where it cannot be told.
fn groups(select: &Select) -> Option<usize> {
    match &select.group_by {
        GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => Some(list.len()),
        GroupByExpr::Expressions(..) | GroupByExpr::All(_) => None,
    }
}

/// Several figures about columns, and no groups: how many values, the least, the greatest.
fn profiles(select: &Select) -> bool {
    const FIGURES: [&str; 8] = ["count", "min", "max", "avg", "sum", "stddev", "variance", "stddev_pop"];
    let figures: Vec<&Function> = select
        .projection
        .iter()
        .filter_map(|item| match expression(item) {
            Some(Expr::Function(function)) if is_called(function, &FIGURES) => Some(function),
            _ => None,
        })
        .collect();
    let distinct = |function: &&Function| matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct));
    let of = |name: &str| -> Vec<String> {
        figures.iter().filter(|figure| is_called(figure, &[name])).map(|figure| figure.args.to_string()).collect()
    };
    let (least, most) = (of("min"), of("max"));
    figures.len() == select.projection.len()
        && figures.len() > 1
        && groups(select) == Some(0)
        && (figures.iter().any(distinct) || least.iter().any(|column| most.contains(column)))
}

/// Whether it gives rows as they are.
fn gives_rows(select: &Select) -> bool {
    let plain = |item: &SelectItem| match item {
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), _) => true,
        // Long texts are cut.
        item => expression(item).is_some_and(|expr| is_column(expr) || matches!(expr, Expr::Substring { expr, .. } if is_column(expr))),
    };
    select.distinct.is_none() && groups(select) == Some(0) && select.projection.iter().all(plain)
}

fn has_subquery(select: &Select) -> bool {
    struct Finds;
    impl Visitor for Finds {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    select.projection.visit(&mut Finds).is_break()
}

fn is_called(function: &Function, names: &[&str]) -> bool {
    let plain = function.over.is_none() && function.filter.is_none();
    plain && matches!(function.name.0.as_slice(), [only] if names.iter().any(|name| only.to_string().eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse::parse;

    fn of(application: &str, sql: &str) -> Workload {
        let statements = parse(sql, 1 << 20).unwrap();
        workload(&statements[0], Some(application).filter(|name| !name.is_empty()), None)
    }

    const LOOKS: [&str; 18] = [
        "(SELECT DISTINCT city FROM shop.orders)",
        "SELECT CAST(o.city AS TEXT) AS city FROM shop.orders o GROUP BY 1",
        "SELECT id FROM shop.orders FETCH FIRST ROW ONLY",
        "SELECT * FROM shop.orders WHERE 1 <> 1 LIMIT 0",
        "SELECT * FROM shop.orders WHERE 1=0",
        "SELECT * FROM shop.orders WHERE (false)",
        "SELECT TRUE AS \"_\" FROM \"shop\".\"orders\" WHERE 1 <> 1 LIMIT 0",
        "SELECT \"shop\".\"orders\".\"city\" AS \"city\" FROM \"shop\".\"orders\" GROUP BY \"shop\".\"orders\".\"city\" ORDER BY \
         \"shop\".\"orders\".\"city\" ASC LIMIT 1000",
        "SELECT city, count(*) FROM shop.orders WHERE city IS NOT NULL GROUP BY city ORDER BY 2 DESC",
        "SELECT DISTINCT city FROM shop.orders LIMIT 10000",
        "SELECT \"source\".\"substring1\" AS \"a\" FROM (SELECT SUBSTRING(o.note FROM 1 FOR 1234) AS \"substring1\" FROM shop.orders o) \
         AS \"source\" LIMIT 10000",
        "SELECT id, city, SUBSTRING(note FROM 1 FOR 100) FROM shop.orders LIMIT 10000",
        "SELECT * FROM shop.orders FETCH FIRST 5 ROWS ONLY",
        "SELECT o.* FROM shop.orders o LIMIT 5",
        "SELECT count(*), count(DISTINCT city), min(city), max(city) FROM shop.orders",
        "SELECT min(day), max(day) FROM shop.orders",
        "EXPLAIN SELECT min(day), max(day) FROM shop.orders",
        "EXPLAIN (COST) SELECT min(day), max(day) FROM shop.orders",
    ];

    #[test]
    fn what_a_tool_looks_at_on_its_own_account_is_a_crawl() {
        for sql in LOOKS {
            assert_eq!(of("Metabase v0.54.2 [8d2c]", sql), Workload::Crawl, "{sql}");
            assert_eq!(of("METABASE", &format!("-- Metabase\n{sql}")), Workload::Crawl, "{sql}");
        }
        assert_eq!(of("metabase", "DECLARE c CURSOR FOR SELECT DISTINCT city FROM shop.orders"), Workload::Crawl);
    }

    #[test]
    fn the_same_is_a_question_where_a_person_asks() {
        for sql in LOOKS {
            for application in ["", "psql", "PostgreSQL JDBC Driver", "my metabase", "meta", "méta", "é"] {
                assert_eq!(of(application, sql), Workload::Interactive, "{application} {sql}");
            }
            let marked = format!("-- Metabase:: userID: 3 queryType: MBQL queryHash: 1f\n{sql}");
            assert_eq!(of("Metabase v0.54.2", &marked), Workload::Interactive, "{sql}");
            for around in ["DECLARE c CURSOR FOR ", "PREPARE x AS ", "COPY ("].map(|before| {
                let after = if before.ends_with('(') { ") TO STDOUT" } else { "" };
                [format!("-- Metabase:: userID: 3\n{before}{sql}{after}"), format!("{before}/* Metabase:: userID: 3 */ {sql}{after}")]
            }) {
                for marked in around.iter().filter(|_| !sql.starts_with("EXPLAIN")) {
                    assert_eq!(of("Metabase", marked), Workload::Interactive, "{marked}");
                    let runs = parse(marked, 1 << 20).unwrap()[0].inner().cloned().unwrap();
                    assert_eq!(workload(&runs, Some("Metabase"), None), Workload::Interactive, "what is run later: {marked}");
                }
            }
        }
    }

    #[test]
    fn a_tools_question_about_what_is_in_a_table_is_no_crawl() {
        for sql in [
            "SELECT 1",
            "SHOW ALL",
            "SELECT city, sum(total) FROM shop.orders GROUP BY city",
            "SELECT city, region, count(*) FROM shop.orders GROUP BY city, region",
            "SELECT count(*) FROM shop.orders",
            "SELECT sum(total), avg(total) FROM shop.orders",
            "SELECT min(day), max(total) FROM shop.orders",
            "SELECT min(day), max(day) FROM shop.orders WHERE city = 'Ulm'",
            "SELECT min(day), max(day) FROM shop.orders HAVING count(*) > 1",
            "SELECT DISTINCT city FROM shop.orders WHERE day > '2026-01-01' LIMIT 100",
            "SELECT DISTINCT city, region FROM shop.orders",
            "SELECT * FROM shop.orders",
            "SELECT * FROM shop.orders LIMIT 10001",
            "SELECT * FROM shop.orders ORDER BY total DESC LIMIT 10",
            "SELECT * FROM shop.orders o JOIN shop.items i ON i.order_id = o.id LIMIT 100",
            "SELECT * FROM shop.orders, shop.items LIMIT 100",
            "SELECT * FROM generate_series(1, 10) LIMIT 5",
            "SELECT a, (SELECT max(b) FROM shop.items) FROM shop.orders LIMIT 5",
            // One row of a question is a question.
            "SELECT city, sum(total) FROM shop.orders GROUP BY city ORDER BY 2 DESC LIMIT 1",
            "SELECT row_number() OVER (ORDER BY total), id FROM shop.orders LIMIT 1",
            "SELECT avg(total) - (SELECT avg(total) FROM shop.items) FROM shop.orders LIMIT 1",
            "SELECT (SELECT count(*) FROM shop.items) FROM shop.orders WHERE 1 = 0",
            // So is one within a sample.
            "SELECT * FROM (SELECT city, sum(total) s FROM shop.orders GROUP BY ALL) x LIMIT 50",
            "SELECT * FROM (SELECT city, sum(total) s FROM shop.orders GROUP BY ROLLUP (city)) x LIMIT 50",
            "SELECT city FROM (SELECT city, total FROM shop.orders ORDER BY total DESC LIMIT 1000) AS virtual_table LIMIT 1000",
            "SELECT * FROM (SELECT DISTINCT ON (city) * FROM shop.orders ORDER BY city, total DESC) x LIMIT 50",
            "SELECT * FROM (SELECT max(total) OVER (PARTITION BY city) m FROM shop.orders) x LIMIT 50",
            "SELECT * FROM (SELECT (SELECT count(*) FROM shop.items) n FROM shop.orders) x LIMIT 50",
            "SELECT DISTINCT ON (city) city FROM shop.orders",
            // Conditions that hold, or could.
            "SELECT city FROM shop.orders WHERE 1 = 1.0",
            "SELECT city FROM shop.orders WHERE 1 = '1'",
            "SELECT city FROM shop.orders WHERE 1 = $1",
            "SELECT city FROM shop.orders WHERE 1 = 1",
            "SELECT x FROM (SELECT city AS x, sum(total) FROM shop.orders GROUP BY city) AS s LIMIT 5",
            "SELECT x FROM (SELECT city AS x FROM shop.orders WHERE total > 5) AS s LIMIT 5",
            "WITH o AS (SELECT * FROM shop.orders) SELECT DISTINCT city FROM o",
            "SELECT city FROM shop.orders UNION SELECT city FROM shop.items LIMIT 5",
        ] {
            assert_eq!(of("Metabase", sql), Workload::Interactive, "{sql}");
        }
    }

    #[test]
    fn a_mesh_names_its_own_crawlers_or_none() {
        let parsed = &parse("SELECT DISTINCT city FROM shop.orders", 1 << 20).unwrap()[0];
        let of = |application, list: &[&str]| {
            let list: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
            workload(parsed, Some(application), Some(&list))
        };
        assert_eq!(of("Nightly sync 4", &["nightly"]), Workload::Crawl);
        assert_eq!(of("Metabase", &["nightly"]), Workload::Interactive);
        assert_eq!(of("Metabase", &[]), Workload::Interactive);
    }
}
