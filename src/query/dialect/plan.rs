//! Meanings that depend on types: casts, operators and functions that the engine would compute otherwise.
//!
//! The plan is the reader's own, over governed tables: what is computed here meets only rows and values that the reader may see. Policies'
//! filters are planned elsewhere, and total.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, cast};

use super::literal::{self, Kind, Moment};
use super::{arithmetic, float, integer, records};

/// The plan with PostgreSQL's meanings. Columns keep their names; their types may become PostgreSQL's.
pub(in crate::query) fn interpret(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| one(expr, &schema))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        // Types below may have changed, too.
        changed.map_data(LogicalPlan::recompute_schema)
    })
    .map(|plan| plan.data)
}

/// Functions of spans, which look at their days.
const IN_DAYS: &[&str] = &["date_part", "to_char", "date_trunc", "justify_days", "justify_hours", "justify_interval"];

/// One expression, whose parts have been turned.
fn one(expr: Expr, schema: &DFSchema) -> EngineResult<Transformed<Expr>> {
    let type_of = |expr: &Expr| expr.get_type(schema).ok();
    Ok(match expr {
        Expr::Cast(Cast { expr: inner, field }) => {
            let from = if matches!(*inner, Expr::Placeholder(_)) { None } else { type_of(&inner) };
            match (from, field.data_type()) {
                (Some(from), to) if integer::differs(&from, to) => Transformed::yes(integer::integer(*inner, to)),
                (Some(from), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) if float::differs(&from) => {
                    Transformed::yes(cast(float::text(*inner), field.data_type().clone()))
                }
                _ => Transformed::no(Expr::Cast(Cast { expr: inner, field })),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let types = type_of(&left).zip(type_of(&right));
            match types {
                Some((left_type, right_type)) => binary(*left, &left_type, op, *right, &right_type)?,
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let kind = type_of(&expr).as_ref().and_then(kind_of);
            let (low, high) = (spelt(*low, kind)?, spelt(*high, kind)?);
            Transformed::yes(Expr::Between(Between::new(expr, negated, Box::new(low), Box::new(high))))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let kind = type_of(&expr).as_ref().and_then(kind_of);
            let list = list.into_iter().map(|item| spelt(item, kind)).collect::<EngineResult<Vec<_>>>()?;
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        Expr::ScalarFunction(mut function) if matches!(function.name(), "concat" | "concat_ws") => {
            let written = |arg: Expr| if type_of(&arg).as_ref().is_some_and(float::differs) { float::text(arg) } else { arg };
            function.args = function.args.into_iter().map(written).collect();
            Transformed::yes(Expr::ScalarFunction(function))
        }
        Expr::ScalarFunction(mut function) if IN_DAYS.contains(&function.name()) => {
            let counted = |arg: Expr| if type_of(&arg).as_ref().is_some_and(is_duration) { arithmetic::in_days(arg) } else { arg };
            function.args = function.args.into_iter().map(counted).collect();
            Transformed::yes(Expr::ScalarFunction(function))
        }
        Expr::ScalarFunction(function) => {
            let whole = matches!(function.name(), "floor" | "ceil" | "round" | "trunc") && function.args.len() == 1;
            let decimal = function.args.first().and_then(&type_of);
            match decimal {
                Some(DataType::Decimal128(precision, scale)) if whole && scale > 0 => {
                    // 9.95 goes up to 10, which has a digit more.
                    let wider = (precision + 1).min(38);
                    let args = function.args.into_iter().map(|arg| cast(arg, DataType::Decimal128(wider, scale))).collect();
                    let whole = Expr::ScalarFunction(ScalarFunction::new_udf(function.func, args));
                    Transformed::yes(cast(whole, DataType::Decimal128(wider, 0)))
                }
                _ => Transformed::no(Expr::ScalarFunction(function)),
            }
        }
        #[expect(deprecated, reason = "the planner still makes it of `t.*` in an argument")]
        Expr::Wildcard { qualifier: Some(table), .. } => Transformed::yes(records::record(&table, schema)),
        other => Transformed::no(other),
    })
}

fn binary(left: Expr, left_type: &DataType, op: Operator, right: Expr, right_type: &DataType) -> EngineResult<Transformed<Expr>> {
    use DataType as T;
    use Operator as O;
    let back = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    let integers = arithmetic::is_integer(left_type) && arithmetic::is_integer(right_type);
    let timestamp = T::Timestamp(TimeUnit::Microsecond, None);
    Ok(match (left_type, op, right_type) {
        (_, O::Plus | O::Minus | O::Multiply, _) if integers => Transformed::yes(arithmetic::integers(left, op, right)),
        (T::Float32 | T::Float64, O::StringConcat, _) => Transformed::yes(back(float::text(left), right)),
        (_, O::StringConcat, T::Float32 | T::Float64) => Transformed::yes(back(left, float::text(right))),
        (_, O::Divide, _) if !integers && arithmetic::as_decimal(left_type).is_some() && arithmetic::as_decimal(right_type).is_some() => {
            Transformed::yes(arithmetic::quotient(left, right))
        }
        // A day and a time of day make a timestamp.
        (T::Date32, O::Plus | O::Minus, T::Interval(_)) => Transformed::yes(back(cast(left, timestamp), right)),
        (T::Interval(_), O::Plus, T::Date32) => Transformed::yes(back(left, cast(right, timestamp))),
        (T::Duration(_), _, T::Interval(_)) if op.supports_propagation() => Transformed::yes(back(arithmetic::in_days(left), right)),
        (T::Interval(_), _, T::Duration(_)) if op.supports_propagation() => Transformed::yes(back(left, arithmetic::in_days(right))),
        _ if op.supports_propagation() || matches!(op, O::IsDistinctFrom | O::IsNotDistinctFrom | O::NotEq) => {
            let (left, right) = (spelt(left, kind_of(right_type))?, spelt(right, kind_of(left_type))?);
            Transformed::yes(back(left, right))
        }
        _ => Transformed::no(back(left, right)),
    })
}

fn is_duration(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(_))
}

/// What a text beside a value of this type is read as.
fn kind_of(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Date32 => Some(Kind::Date),
        DataType::Timestamp(_, None) => Some(Kind::Timestamp),
        DataType::Timestamp(_, Some(_)) => Some(Kind::Instant),
        DataType::Time64(_) => Some(Kind::Time),
        _ => None,
    }
}

/// A text literal about time in the engine's spelling.
fn spelt(expr: Expr, kind: Option<Kind>) -> EngineResult<Expr> {
    let (Some(kind), Expr::Literal(value, _)) = (kind, &expr) else { return Ok(expr) };
    let Some(text) = value.try_as_str().flatten() else { return Ok(expr) };
    match literal::moment(text, kind) {
        Ok(Moment::Fixed(text)) => Ok(Expr::Literal(ScalarValue::Utf8(Some(text)), None)),
        Ok(Moment::Running(_)) => Ok(expr),
        Err(fault) => Err(DataFusionError::External(Box::new(fault))),
    }
}
