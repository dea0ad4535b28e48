//! Meanings that depend on types: casts, operators and functions that the engine would compute otherwise.
//!
//! The plan is the reader's own, over governed tables: what is computed here meets only rows and values that the reader may see. Policies'
//! filters are planned elsewhere, and total.

use arrow::datatypes::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::expr::{InList, ScalarFunction, WindowFunctionDefinition};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr, cast, lit};

use super::arithmetic::ANY_NUMERIC;
use super::clock::{Clock, is_interval};
use super::literal::{self, Kind, Moment};
use super::{arithmetic, clock, integer, named, records, span, written};

/// The plan with PostgreSQL's meanings, for a session in `zone`. Columns keep their names; their types may become PostgreSQL's.
pub(in crate::query) fn interpret(plan: LogicalPlan, zone: Tz) -> EngineResult<LogicalPlan> {
    let clock = Clock(zone);
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| one(expr, &schema, clock))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        // Types below may have changed, too.
        changed.map_data(|node| named::union(ordered(node).recompute_schema()?))
    })
    .map(|plan| plan.data)
}

/// What is ordered by intervals is ordered by their length.
fn ordered(mut node: LogicalPlan) -> LogicalPlan {
    if let LogicalPlan::Sort(sort) = &mut node {
        for item in &mut sort.expr {
            if item.expr.get_type(sort.input.schema()).is_ok_and(|data_type| is_interval(&data_type)) {
                item.expr = span::of(item.expr.clone());
            }
        }
    }
    node
}

/// One expression, whose parts have been turned.
fn one(expr: Expr, schema: &DFSchema, clock: Clock) -> EngineResult<Transformed<Expr>> {
    let type_of = |expr: &Expr| expr.get_type(schema).ok();
    Ok(match expr {
        Expr::Cast(Cast { expr: inner, field }) => {
            if let Some(read) = named::to_uuid(&inner, &field, schema)? {
                return Ok(Transformed::yes(read));
            }
            let from = if matches!(*inner, Expr::Placeholder(_)) { None } else { type_of(&inner) };
            let turned = match (from, field.data_type()) {
                // A number that the planner was told the type of, as one: some functions want to see it.
                (Some(DataType::Int64), DataType::Int32) if small(&inner).is_some() => {
                    Transformed::yes(Expr::Literal(ScalarValue::Int32(small(&inner)), None))
                }
                // `numeric` without a scale takes every value as it is.
                (Some(DataType::Decimal128(..)), to) if *to == ANY_NUMERIC => Transformed::yes(*inner),
                (Some(from), to) if *to == ANY_NUMERIC && arithmetic::is_integer(&from) => {
                    Transformed::yes(cast(*inner, arithmetic::as_decimal(&from).unwrap_or(ANY_NUMERIC)))
                }
                (Some(from), to) if integer::differs(&from, to) => Transformed::yes(integer::integer(*inner, to)),
                (Some(from), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) if written::differs(&from) => {
                    Transformed::yes(cast(written::text(*inner), field.data_type().clone()))
                }
                (Some(from), to) => match clock.cast(&inner, &from, to) {
                    Some(turned) => Transformed::yes(turned),
                    None => Transformed::no(Expr::Cast(Cast { expr: inner, field })),
                },
                _ => Transformed::no(Expr::Cast(Cast { expr: inner, field })),
            };
            named::unnamed(turned, schema)
        }
        Expr::Negative(inner) => match *inner {
            Expr::Literal(ScalarValue::Int32(Some(number)), _) => Transformed::yes(lit(-number)),
            inner => Transformed::no(Expr::Negative(Box::new(inner))),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = named::beside(*left, *right, schema)?;
            let (left, right) = (Box::new(left), Box::new(right));
            let types = type_of(&left).zip(type_of(&right));
            match types {
                Some((left_type, right_type)) => binary(*left, &left_type, op, *right, &right_type, clock)?,
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        // A date between moments is compared with each.
        Expr::Between(Between { expr, negated, low, high })
            if matches!(*expr, Expr::Column(_))
                && type_of(&expr) == Some(DataType::Date32)
                && [&low, &high].into_iter().any(|bound| matches!(type_of(bound), Some(DataType::Timestamp(_, None)))) =>
        {
            let side = |op, bound: Expr| match type_of(&bound) {
                Some(data_type) => Ok(binary((*expr).clone(), &DataType::Date32, op, bound, &data_type, clock)?.data),
                None => Ok::<_, DataFusionError>(binary_expr((*expr).clone(), op, bound)),
            };
            let between = side(Operator::GtEq, *low)?.and(side(Operator::LtEq, *high)?);
            Transformed::yes(if negated { !between } else { between })
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let value = type_of(&expr);
            let bound = |bound: Expr| {
                let bound = spelt(named::uuid(bound, &expr, schema)?, value.as_ref().and_then(kind_of), clock)?;
                Ok::<_, DataFusionError>(match (type_of(&bound), &value) {
                    (Some(data_type), Some(value)) => clock.beside(bound, &data_type, value),
                    _ => bound,
                })
            };
            let (low, high) = (bound(*low)?, bound(*high)?);
            Transformed::yes(Expr::Between(Between::new(expr, negated, Box::new(low), Box::new(high))))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let kind = type_of(&expr).as_ref().and_then(kind_of);
            let list =
                list.into_iter().map(|item| spelt(named::uuid(item, &expr, schema)?, kind, clock)).collect::<EngineResult<Vec<_>>>()?;
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        Expr::AggregateFunction(mut call) => {
            call.params.args = gathered(call.func.name(), call.params.args, &type_of);
            Transformed::yes(Expr::AggregateFunction(call))
        }
        Expr::WindowFunction(mut call) => {
            if let WindowFunctionDefinition::AggregateUDF(function) = &call.fun {
                call.params.args = gathered(function.name(), call.params.args, &type_of);
            }
            Transformed::yes(Expr::WindowFunction(call))
        }
        Expr::ScalarFunction(mut function) if named::is_plain_twice(&function) => Transformed::yes(function.args.remove(0)),
        Expr::ScalarFunction(function) => scalar(function, &type_of, clock),
        #[expect(deprecated, reason = "the planner still makes it of `t.*` in an argument")]
        Expr::Wildcard { qualifier: Some(table), .. } => Transformed::yes(records::record(&table, schema)),
        other => Transformed::no(other),
    })
}

/// A whole number that `integer` holds.
fn small(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => i32::try_from(*number).ok(),
        _ => None,
    }
}

/// The sum of `bigint` is `numeric`, which does not go round, and so are all averages of whole numbers.
fn gathered(name: &str, args: Vec<Expr>, type_of: &dyn Fn(&Expr) -> Option<DataType>) -> Vec<Expr> {
    let wide = |arg: Expr| match (name, type_of(&arg)) {
        ("sum", Some(DataType::Int64 | DataType::UInt64)) => cast(arg, DataType::Decimal128(20, 0)),
        // Of more than 25 digits the engine's average is gathered in 256 bits: with sixteen decimals, 128 are too few for large keys.
        ("avg", Some(DataType::Int64 | DataType::UInt64)) => cast(arg, DataType::Decimal128(26, 0)),
        ("avg", Some(DataType::Int16 | DataType::Int32)) => cast(arg, DataType::Decimal128(10, 0)),
        _ => arg,
    };
    args.into_iter().map(wide).collect()
}

fn scalar(mut function: ScalarFunction, type_of: &dyn Fn(&Expr) -> Option<DataType>, clock: Clock) -> Transformed<Expr> {
    match function.name() {
        "concat" | "concat_ws" => {
            let differs = |data_type: DataType| written::differs(&data_type) || data_type == DataType::Boolean;
            let text = |arg: Expr| if type_of(&arg).is_some_and(differs) { written::text(arg) } else { arg };
            function.args = function.args.into_iter().map(text).collect();
        }
        "now" => return Transformed::yes(clock::moment(Expr::ScalarFunction(function))),
        "current_date" => match clock.today() {
            Some(today) => return Transformed::yes(today),
            None => return Transformed::no(Expr::ScalarFunction(function)),
        },
        // As many decimals as are asked for.
        "trunc" if function.args.len() == 2 => {
            let asked = function.args.get(1).and_then(|asked| match asked {
                Expr::Literal(ScalarValue::Int32(Some(asked)), _) => i8::try_from(*asked).ok(),
                _ => None,
            });
            if let (Some(DataType::Decimal128(precision, scale)), Some(asked @ 0..)) = (function.args.first().and_then(type_of), asked)
                && asked < scale
            {
                return Transformed::yes(cast(Expr::ScalarFunction(function), DataType::Decimal128(precision, asked)));
            }
        }
        "date_part" | "to_char" | "date_trunc" | "justify_days" | "justify_hours" | "justify_interval" => {
            let counted = |arg: Expr| if type_of(&arg).as_ref().is_some_and(is_duration) { arithmetic::in_days(arg) } else { arg };
            function.args = function.args.into_iter().map(counted).collect();
        }
        "floor" | "ceil" | "round" | "trunc" if function.args.len() == 1 => {
            if let Some(DataType::Decimal128(precision, scale @ 1..)) = function.args.first().and_then(type_of) {
                // 9.95 goes up to 10, which has a digit more.
                let wider = (precision + 1).min(38);
                let args = function.args.into_iter().map(|arg| cast(arg, DataType::Decimal128(wider, scale))).collect();
                let whole = Expr::ScalarFunction(ScalarFunction::new_udf(function.func, args));
                return Transformed::yes(cast(whole, DataType::Decimal128(wider, 0)));
            }
        }
        _ => return Transformed::no(Expr::ScalarFunction(function)),
    }
    Transformed::yes(Expr::ScalarFunction(function))
}

fn binary(
    left: Expr,
    left_type: &DataType,
    op: Operator,
    right: Expr,
    right_type: &DataType,
    clock: Clock,
) -> EngineResult<Transformed<Expr>> {
    use DataType as T;
    use Operator as O;
    let back = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    let integers = arithmetic::is_integer(left_type) && arithmetic::is_integer(right_type);
    let timestamp = T::Timestamp(TimeUnit::Microsecond, None);
    let compares = matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom);
    Ok(match (left_type, op, right_type) {
        (_, O::Plus | O::Minus | O::Multiply, _) if integers => Transformed::yes(arithmetic::integers(left, op, right)),
        (T::Utf8 | T::Utf8View | T::LargeUtf8, O::StringConcat, other) if written::differs(other) => {
            Transformed::yes(back(left, written::text(right)))
        }
        (other, O::StringConcat, T::Utf8 | T::Utf8View | T::LargeUtf8) if written::differs(other) => {
            Transformed::yes(back(written::text(left), right))
        }
        (_, O::Divide, T::Float32 | T::Float64) | (T::Float32 | T::Float64, O::Divide, _)
            if left_type.is_numeric() && right_type.is_numeric() =>
        {
            Transformed::yes(arithmetic::float_quotient(left, right))
        }
        (_, O::Divide, _) if !integers && arithmetic::as_decimal(left_type).is_some() && arithmetic::as_decimal(right_type).is_some() => {
            Transformed::yes(arithmetic::quotient(left, right))
        }
        // A day and a time of day make a timestamp.
        (T::Date32, O::Plus | O::Minus, T::Interval(_)) => Transformed::yes(back(cast(left, timestamp), right)),
        (T::Interval(_), O::Plus, T::Date32) => Transformed::yes(back(left, cast(right, timestamp))),
        // The engine would take both for nanoseconds, which end in 2262.
        (T::Date32, _, T::Timestamp(_, None)) if compares || op == O::Minus => Transformed::yes(back(cast(left, timestamp), right)),
        (T::Timestamp(_, None), _, T::Date32) if compares || op == O::Minus => Transformed::yes(back(left, cast(right, timestamp))),
        (T::Timestamp(_, Some(_)), O::Plus | O::Minus, T::Interval(_)) => match clock.moved(&left, op, &right) {
            Some(moved) => Transformed::yes(moved),
            None => Transformed::no(back(left, right)),
        },
        (T::Timestamp(_, Some(_)), O::Minus, T::Date32 | T::Timestamp(_, None))
        | (T::Date32 | T::Timestamp(_, None), O::Minus, T::Timestamp(_, Some(_))) => {
            let (left, right) = clock.moments(left, left_type, right, right_type);
            Transformed::yes(back(left, right))
        }
        (T::Interval(_), O::Plus, T::Timestamp(_, Some(_))) => match clock.moved(&right, op, &left) {
            Some(moved) => Transformed::yes(moved),
            None => Transformed::no(back(left, right)),
        },
        (T::Duration(_), _, T::Interval(_)) if op.supports_propagation() => Transformed::yes(back(arithmetic::in_days(left), right)),
        (T::Interval(_), _, T::Duration(_)) if op.supports_propagation() => Transformed::yes(back(left, arithmetic::in_days(right))),
        _ if compares && is_interval(left_type) && is_interval(right_type) => Transformed::yes(back(span::of(left), span::of(right))),
        _ if op.supports_propagation() || compares => {
            let (left, right) = (spelt(left, kind_of(right_type), clock)?, spelt(right, kind_of(left_type), clock)?);
            let (left, right) = clock.moments(left, left_type, right, right_type);
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
fn spelt(expr: Expr, kind: Option<Kind>, clock: Clock) -> EngineResult<Expr> {
    let (Some(kind), Expr::Literal(value, _)) = (kind, &expr) else { return Ok(expr) };
    let Some(text) = value.try_as_str().flatten() else { return Ok(expr) };
    match literal::moment(text, kind) {
        Ok(Moment::Fixed { text, zoned: false }) if kind == Kind::Instant => {
            Ok(clock.read(&text).unwrap_or(Expr::Literal(ScalarValue::Utf8(Some(text)), None)))
        }
        Ok(Moment::Fixed { text, .. }) => Ok(Expr::Literal(ScalarValue::Utf8(Some(text)), None)),
        Ok(Moment::Running(_)) => Ok(expr),
        Err(fault) => Err(DataFusionError::External(Box::new(fault))),
    }
}
