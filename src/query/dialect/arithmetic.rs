//! Arithmetic that PostgreSQL does otherwise: whole numbers that do not go round, divisions of decimals with digits enough, intervals times
//! a number.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, DurationMicrosecondArray, IntervalMonthDayNanoArray, PrimitiveArray,
};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit, i256};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr_common::datum::apply;

use super::super::functions::calendar::DAY;
use super::super::functions::own::{columns, sent};
use super::interval::{self, Parts};
use crate::error::{ErrorKind, Fault};

/// Decimals behind the point of a quotient, at least: what PostgreSQL shows of most.
const QUOTIENT_SCALE: i8 = 16;
const WIDEST: u8 = 38;

/// A chain of operators of one precedence, from left to right, as a function of its values. One for each would be as deep as the chain is
/// long, and the planner names and types an expression anew at each depth.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Infix {
    kind: Kind,
    ops: Vec<Operator>,
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Integer,
    Decimal,
    Float,
    Interval,
    Days,
}

/// A difference of two timestamps in days and a rest, as PostgreSQL's is.
pub(super) fn in_days(difference: Expr) -> Expr {
    new(Kind::Days, Operator::Minus, vec![difference])
}

/// `left op right` of whole numbers, which fails where the type is too narrow for the result.
pub(super) fn integers(left: Expr, op: Operator, right: Expr) -> Expr {
    infix(Kind::Integer, left, op, right)
}

/// The quotient of two decimals.
pub(super) fn quotient(left: Expr, right: Expr) -> Expr {
    infix(Kind::Decimal, left, Operator::Divide, right)
}

/// The quotient of two numbers, one of which is floating.
pub(super) fn float_quotient(left: Expr, right: Expr) -> Expr {
    infix(Kind::Float, left, Operator::Divide, right)
}

/// An interval times or by a number.
pub(super) fn scaled(interval: Expr, op: Operator, factor: Expr) -> Expr {
    infix(Kind::Interval, interval, op, factor)
}

fn infix(kind: Kind, left: Expr, op: Operator, right: Expr) -> Expr {
    if let Expr::ScalarFunction(mut call) = left {
        let chain = call.func.inner().downcast_ref::<Infix>().filter(|chain| chain.goes_on(kind, op)).cloned();
        if let Some(mut chain) = chain {
            chain.ops.push(op);
            call.args.push(right);
            return ScalarUDF::new_from_impl(chain).call(call.args);
        }
        return new(kind, op, vec![Expr::ScalarFunction(call), right]);
    }
    new(kind, op, vec![left, right])
}

fn new(kind: Kind, op: Operator, args: Vec<Expr>) -> Expr {
    ScalarUDF::new_from_impl(Infix { kind, ops: vec![op], signature: Signature::user_defined(Volatility::Immutable) }).call(args)
}

impl Infix {
    /// Whether the next operator is computed after these, with no other between.
    fn goes_on(&self, kind: Kind, op: Operator) -> bool {
        let sums = |op: &Operator| matches!(op, Operator::Plus | Operator::Minus);
        self.kind == kind && kind != Kind::Days && self.ops.iter().all(|before| sums(before) == sums(&op))
    }

    /// Operators among the sides stand in brackets: two expressions of one name would be one column.
    fn joined<'a>(&self, sides: impl Iterator<Item = (&'a Expr, String)>) -> String {
        let side = |(expr, text): (&Expr, String)| match expr {
            Expr::BinaryExpr(_) | Expr::ScalarFunction(_) => format!("({text})"),
            _ => text,
        };
        let mut text = String::new();
        for (place, part) in sides.map(side).enumerate() {
            if let Some(op) = place.checked_sub(1).and_then(|before| self.ops.get(before)) {
                text.push_str(&format!(" {op} "));
            }
            text.push_str(&part);
        }
        text
    }
}

/// What the planner takes `numeric` without a scale for.
pub(super) const ANY_NUMERIC: DataType = DataType::Decimal128(38, 10);

/// Whether a parameter of one type is taken as it is where the other is asked for: `numeric` without a scale has every scale.
pub(crate) fn is_taken(from: &DataType, to: &DataType) -> bool {
    from == to || (*to == ANY_NUMERIC && from.is_decimal())
}

pub(super) fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// The decimals that hold a whole number.
pub(in crate::query) fn as_decimal(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Int16 => Some(DataType::Decimal128(5, 0)),
        DataType::Int32 => Some(DataType::Decimal128(10, 0)),
        DataType::Int64 => Some(DataType::Decimal128(19, 0)),
        DataType::Decimal128(..) => Some(data_type.clone()),
        _ => None,
    }
}

impl ScalarUDFImpl for Infix {
    fn name(&self) -> &str {
        match self.ops.first() {
            Some(Operator::Plus) => "+",
            Some(Operator::Minus) => "-",
            Some(Operator::Multiply) => "*",
            _ => "/",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> EngineResult<String> {
        Ok(self.joined(args.iter().map(|arg| (arg, arg.to_string()))))
    }

    fn schema_name(&self, args: &[Expr]) -> EngineResult<String> {
        Ok(self.joined(args.iter().map(|arg| (arg, arg.schema_name().to_string()))))
    }

    fn coerce_types(&self, types: &[DataType]) -> EngineResult<Vec<DataType>> {
        if self.kind == Kind::Days {
            return Ok(vec![DataType::Duration(TimeUnit::Microsecond)]);
        }
        let fits: Option<Vec<DataType>> = match self.kind {
            Kind::Integer => {
                let wider = [DataType::Int64, DataType::Int32, DataType::Int16].into_iter().find(|wide| types.contains(wide));
                wider.map(|wide| vec![wide; types.len()])
            }
            Kind::Decimal => types.iter().map(as_decimal).collect(),
            Kind::Float => {
                let single = types.iter().all(|part| *part == DataType::Float32);
                Some(vec![if single { DataType::Float32 } else { DataType::Float64 }; types.len()])
            }
            Kind::Days => None,
            Kind::Interval => {
                let factors = std::iter::repeat_n(DataType::Float64, types.len().saturating_sub(1));
                Some(std::iter::once(DataType::Interval(IntervalUnit::MonthDayNano)).chain(factors).collect())
            }
        };
        fits.ok_or_else(|| DataFusionError::Plan(format!("Cannot get result type of {types:?} {}", self.name())))
    }

    fn return_type(&self, types: &[DataType]) -> EngineResult<DataType> {
        match self.kind {
            Kind::Days => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
            Kind::Decimal => {
                let scales = types.iter().filter_map(|part| if let DataType::Decimal128(_, scale) = part { Some(*scale) } else { None });
                Ok(DataType::Decimal128(WIDEST, scales.fold(QUOTIENT_SCALE, i8::max)))
            }
            Kind::Integer | Kind::Float | Kind::Interval => Ok(types.first().cloned().unwrap_or(DataType::Null)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let result_type = args.return_field.data_type();
        match (self.kind, args.args.as_slice()) {
            (Kind::Integer, [first, rest @ ..]) => rest.iter().zip(&self.ops).try_fold(first.clone(), |left, (right, op)| {
                apply(&left, right, |left, right| {
                    match op {
                        Operator::Plus => numeric::add(left, right),
                        Operator::Minus => numeric::sub(left, right),
                        _ => numeric::mul(left, right),
                    }
                    .map_err(|error| range(result_type, error))
                })
            }),
            _ => columns(&args, |parts| {
                let Some((first, rest)) = parts.split_first() else { return Err(DataFusionError::Internal("no arguments".into())) };
                if self.kind == Kind::Days {
                    return Ok(days(first.as_primitive()));
                }
                rest.iter().zip(&self.ops).try_fold(Arc::clone(first), |left, (right, op)| match self.kind {
                    Kind::Float if *left.data_type() == DataType::Float32 => float_quotients::<Float32Type>(&left, right),
                    Kind::Float => float_quotients::<Float64Type>(&left, right),
                    Kind::Decimal => quotients(left.as_primitive(), right.as_primitive(), result_type),
                    _ => intervals(left.as_primitive(), right.as_primitive(), *op),
                })
            }),
        }
    }
}

/// The quotients of floats. A NaN by zero is one.
fn float_quotients<T: ArrowPrimitiveType<Native: Into<f64>>>(left: &ArrayRef, right: &ArrayRef) -> EngineResult<ArrayRef> {
    let (dividends, divisors) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    let zero = |(dividend, divisor): (Option<T::Native>, Option<T::Native>)| match (dividend, divisor) {
        (Some(dividend), Some(divisor)) => divisor.into() == 0.0 && !dividend.into().is_nan(),
        _ => false,
    };
    if dividends.iter().zip(divisors).any(zero) {
        return Err(DataFusionError::External(Box::new(Fault::new(ErrorKind::DivisionByZero, "division by zero"))));
    }
    Ok(numeric::div(left, right)?)
}

fn days(differences: &DurationMicrosecondArray) -> ArrayRef {
    let days = differences.iter().map(|micros| {
        micros.map(|micros| {
            let days = i32::try_from(micros / DAY).unwrap_or(i32::MAX);
            IntervalMonthDayNano::new(0, days, micros % DAY * 1_000)
        })
    });
    Arc::new(days.collect::<IntervalMonthDayNanoArray>())
}

fn range(data_type: &DataType, error: ArrowError) -> ArrowError {
    match error {
        ArrowError::ArithmeticOverflow(_) => {
            let name = match data_type {
                DataType::Int16 => "smallint",
                DataType::Int32 => "integer",
                _ => "bigint",
            };
            ArrowError::ExternalError(Box::new(Fault::new(ErrorKind::OutOfRange, format!("{name} out of range"))))
        }
        other => other,
    }
}

/// Each quotient, rounded half away from zero.
fn quotients(left: &Decimal128Array, right: &Decimal128Array, result: &DataType) -> EngineResult<ArrayRef> {
    let (DataType::Decimal128(_, a), DataType::Decimal128(_, b), DataType::Decimal128(precision, scale)) =
        (left.data_type(), right.data_type(), result)
    else {
        return Err(DataFusionError::Internal("a quotient of decimals".into()));
    };
    let overflow = || sent(Fault::new(ErrorKind::OutOfRange, "value overflows numeric format"));
    let shift = u32::try_from(i32::from(*scale) - i32::from(*a) + i32::from(*b)).map_err(|_| overflow())?;
    let narrow = 10_i128.checked_pow(shift);
    let wide = i256::from_i128(10).checked_pow(shift).ok_or_else(overflow)?;
    let one = |left: i128, right: i128| -> EngineResult<i128> {
        if right == 0 {
            return Err(sent(Fault::new(ErrorKind::DivisionByZero, "division by zero")));
        }
        if let Some(scaled) = narrow.and_then(|factor| left.checked_mul(factor)) {
            let (quotient, rest) = (scaled.checked_div(right).ok_or_else(overflow)?, scaled % right);
            let up = rest.unsigned_abs() >= right.unsigned_abs() - rest.unsigned_abs();
            return Ok(if up { quotient + if (scaled < 0) == (right < 0) { 1 } else { -1 } } else { quotient });
        }
        let (scaled, right) = (i256::from_i128(left).checked_mul(wide).ok_or_else(overflow)?, i256::from_i128(right));
        let half = right.wrapping_abs().checked_div(i256::from_i128(2)).ok_or_else(overflow)?;
        let away = if scaled.is_negative() { half.wrapping_neg() } else { half };
        scaled.checked_add(away).and_then(|sum| sum.checked_div(right)).and_then(i256::to_i128).ok_or_else(overflow)
    };
    let rows = left.iter().zip(right).map(|pair| match pair {
        (Some(left), Some(right)) => one(left, right).map(Some),
        _ => Ok(None),
    });
    let quotients: PrimitiveArray<Decimal128Type> = rows.collect::<EngineResult<_>>()?;
    let quotients = quotients.with_precision_and_scale(*precision, *scale)?;
    quotients.validate_decimal_precision(*precision).map_err(|_| overflow())?;
    Ok(Arc::new(quotients))
}

fn intervals(left: &IntervalMonthDayNanoArray, right: &PrimitiveArray<Float64Type>, op: Operator) -> EngineResult<ArrayRef> {
    let overflow = || sent(Fault::new(ErrorKind::OutOfRange, "interval out of range"));
    let rows = left.iter().zip(right).map(|pair| {
        let (Some(one), Some(number)) = pair else { return Ok(None) };
        let factor = match op {
            Operator::Divide if number == 0.0 => {
                return Err(sent(Fault::new(ErrorKind::DivisionByZero, "division by zero")));
            }
            Operator::Divide => 1.0 / number,
            _ => number,
        };
        let parts = Parts { months: one.months.into(), days: one.days.into(), micros: one.nanoseconds / 1_000 };
        let product = if factor.is_finite() { interval::times(parts, factor) } else { None };
        let product = product.ok_or_else(overflow)?;
        let small = |number: i64| i32::try_from(number).map_err(|_| overflow());
        let nanoseconds = product.micros.checked_mul(1_000).ok_or_else(overflow)?;
        Ok(Some(IntervalMonthDayNano::new(small(product.months)?, small(product.days)?, nanoseconds)))
    });
    Ok(Arc::new(rows.collect::<EngineResult<IntervalMonthDayNanoArray>>()?))
}
