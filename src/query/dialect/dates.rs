//! Dates beside moments: `day < date '2026-01-01' + interval '1 month'` compares two timestamps in PostgreSQL. Once the moment is known,
//! the same is asked of the date itself, by which files, row groups and pages can be left out.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

const DAY: i64 = 86_400_000_000;

/// The rule that does it, where rows are chosen. It wants expressions that were simplified.
#[derive(Debug)]
pub(in crate::query) struct DatesAsDates;

impl OptimizerRule for DatesAsDates {
    fn name(&self) -> &'static str {
        "dates_as_dates"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> EngineResult<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        plan.map_expressions(|expr| expr.transform_up(|expr| Ok(compared(expr, &schema))))
    }
}

fn compared(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else { return Transformed::no(expr) };
    let asked = match (date(left, schema), moment(right), date(right, schema), moment(left)) {
        (Some(date), Some(moment), ..) => day(*op, moment).map(|(op, day)| (date, op, day)),
        (_, _, Some(date), Some(moment)) => op.swap().and_then(|op| day(op, moment)).map(|(op, day)| (date, op, day)),
        _ => None,
    };
    let Some((date, op, day)) = asked else { return Transformed::no(expr) };
    let day = Expr::Literal(ScalarValue::Date32(Some(day)), None);
    Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(date.clone()), op, Box::new(day))))
}

/// The date of a timestamp that is a date's first moment.
fn date<'a>(expr: &'a Expr, schema: &DFSchema) -> Option<&'a Expr> {
    match expr {
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Timestamp(TimeUnit::Microsecond, None) => {
            expr.get_type(schema).is_ok_and(|data_type| data_type == DataType::Date32).then_some(expr.as_ref())
        }
        _ => None,
    }
}

fn moment(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(moment, None), _) => *moment,
        _ => None,
    }
}

/// `op moment`, asked of the first moments of days, as a question about the day.
fn day(op: Operator, moment: i64) -> Option<(Operator, i32)> {
    let begins = moment.rem_euclid(DAY) == 0;
    let op = match op {
        Operator::Eq | Operator::NotEq if begins => op,
        Operator::Lt | Operator::GtEq if begins => op,
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    Some((op, i32::try_from(moment.div_euclid(DAY)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_asked_for_what_its_first_moment_was_asked_for() {
        for moment in [-DAY - 1, -DAY, -1, 0, 1, DAY - 1, DAY, DAY + 1] {
            for op in [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq] {
                let holds = |op: Operator, left: i64, right: i64| match op {
                    Operator::Eq => left == right,
                    Operator::NotEq => left != right,
                    Operator::Lt => left < right,
                    Operator::LtEq => left <= right,
                    Operator::Gt => left > right,
                    _ => left >= right,
                };
                let Some((asked, bound)) = day(op, moment) else {
                    assert!(matches!(op, Operator::Eq | Operator::NotEq) && moment % DAY != 0, "{op} {moment}");
                    continue;
                };
                for date in -3..=3 {
                    assert_eq!(holds(op, date * DAY, moment), holds(asked, date, bound.into()), "day {date} {op} {moment}");
                }
            }
        }
    }
}
