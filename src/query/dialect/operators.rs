//! Operators that the planner refuses before a plan is there.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::arithmetic::scaled;

/// Plans an interval times, or by, a number.
#[derive(Debug)]
pub(in crate::query) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> EngineResult<PlannerResult<RawBinaryExpr>> {
        let op = match raw.op {
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let types = raw.left.get_type(schema).ok().zip(raw.right.get_type(schema).ok());
        // `$1 * interval '1 day'`
        if let (Expr::Placeholder(_), Some((_, DataType::Interval(_))), Operator::Multiply) = (&raw.left, &types, op) {
            return Ok(PlannerResult::Planned(scaled(raw.right, op, cast(raw.left, DataType::Float64))));
        }
        Ok(match types {
            Some((DataType::Interval(_), number)) if number.is_numeric() => PlannerResult::Planned(scaled(raw.left, op, raw.right)),
            Some((number, DataType::Interval(_))) if number.is_numeric() && op == Operator::Multiply => {
                PlannerResult::Planned(scaled(raw.right, op, raw.left))
            }
            _ => PlannerResult::Original(raw),
        })
    }
}
