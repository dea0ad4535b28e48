//! Functions of the engine that need a look at their arguments or their result: those that could make more than there is memory for, and
//! those that answer NaN or an infinity where PostgreSQL has an error.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::scalar::ScalarValue;

use super::own::{MOST, columns, sent, too_long};
use crate::error::{ErrorKind, Fault};

/// What is done in a function's place. It is given the function.
type Guard = fn(&ScalarUDF, ScalarFunctionArgs) -> EngineResult<ColumnarValue>;

const GUARDS: &[(&str, Guard)] = &[
    ("repeat", |inner, args| {
        let widest = args.args.first().map(longest).transpose()?.unwrap_or(0);
        bounded(inner, args, widest)
    }),
    ("lpad", padded),
    ("rpad", padded),
    ("chr", |inner, args| {
        let codes = args.args.first().map(integers).transpose()?;
        if codes.is_some_and(|codes| codes.iter().flatten().any(|code| code == 0)) {
            return Err(sent(Fault::new(ErrorKind::ProgramLimit, "null character not permitted")));
        }
        inner.invoke_with_args(args)
    }),
    ("ln", logarithm),
    ("log", |inner, args| {
        if let [base, _] = args.args.as_slice()
            && floats(base)?.iter().flatten().any(|base| base == 1.0)
        {
            return Err(sent(Fault::new(ErrorKind::DivisionByZero, "division by zero")));
        }
        logarithm(inner, args)
    }),
    ("log2", logarithm),
    ("log10", logarithm),
    ("sqrt", |inner, args| {
        let negative = |numbers: &[f64]| numbers.first().is_some_and(|number| *number < 0.0);
        checked(inner, args, |numbers| {
            negative(numbers).then(|| Fault::new(ErrorKind::InvalidPower, "cannot take square root of a negative number"))
        })
    }),
    ("power", |inner, args| {
        let given = args.clone();
        let powers = checked(inner, args, |numbers| match numbers {
            [0.0, exponent] if *exponent < 0.0 => Some(Fault::new(ErrorKind::InvalidPower, "zero raised to a negative power is undefined")),
            [base, exponent] if *base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 => {
                Some(Fault::new(ErrorKind::InvalidPower, "a negative number raised to a non-integer power yields a complex result"))
            }
            _ => None,
        })?;
        finite(&given, powers)
    }),
    ("exp", |inner, args| {
        let given = args.clone();
        finite(&given, inner.invoke_with_args(args)?)
    }),
    ("asin", of_a_sine),
    ("acos", of_a_sine),
    // PostgreSQL rounds halves of doubles to the even neighbour, and halves of numerics away from zero.
    ("round", |inner, args| match args.args.as_slice() {
        [number] if number.data_type() == DataType::Float64 => columns(&args, |numbers| match numbers {
            [numbers] => Ok(Arc::new(numbers.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even))),
            _ => Err(too_long()),
        }),
        _ => inner.invoke_with_args(args),
    }),
];

/// The function, or the function behind its guard.
pub(super) fn guarded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match GUARDS.iter().find(|(name, _)| *name == function.name()) {
        Some((_, guard)) => Arc::new(ScalarUDF::new_from_impl(Guarded { inner: function, guard: *guard })),
        None => function,
    }
}

#[derive(Debug, Clone)]
struct Guarded {
    inner: Arc<ScalarUDF>,
    guard: Guard,
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Guarded {}

impl std::hash::Hash for Guarded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> EngineResult<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        (self.guard)(&self.inner, args)
    }
}

fn integers(value: &ColumnarValue) -> EngineResult<Int64Array> {
    Ok(cast(&value.to_array(1)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn floats(value: &ColumnarValue) -> EngineResult<Float64Array> {
    Ok(cast(&value.to_array(1)?, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Refuses to make more than [`MOST`] bytes of one batch: `repeat('x', 2000000000)` is allocated outside every memory pool, and would end
/// the process. The second argument says how many there are of what takes up to `widest` bytes.
fn bounded(inner: &ScalarUDF, args: ScalarFunctionArgs, widest: i64) -> EngineResult<ColumnarValue> {
    let total = match args.args.get(1) {
        Some(scalar @ ColumnarValue::Scalar(_)) => {
            let length = integers(scalar)?.iter().flatten().next().unwrap_or(0);
            let rows = if args.args.iter().any(|a| matches!(a, ColumnarValue::Array(_))) { args.number_rows.max(1) } else { 1 };
            length.max(0).saturating_mul(i64::try_from(rows).unwrap_or(i64::MAX))
        }
        Some(lengths) => integers(lengths)?.iter().flatten().map(|length| length.max(0)).fold(0i64, i64::saturating_add),
        None => 0,
    };
    if usize::try_from(total.saturating_mul(widest)).map_or(true, |total| total > MOST) {
        return Err(too_long());
    }
    inner.invoke_with_args(args)
}

/// A negative length is none, which the engine takes for the largest there is. A character of UTF-8 takes up to four bytes.
fn padded(inner: &ScalarUDF, mut args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    if let Some(lengths) = args.args.get_mut(1) {
        let known: Int64Array = integers(lengths)?.unary(|length| length.max(0));
        *lengths = match lengths {
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::Int64(known.iter().next().flatten())),
            ColumnarValue::Array(_) => ColumnarValue::Array(Arc::new(known)),
        };
    }
    bounded(inner, args, 4)
}

/// The longest text of a column, in bytes.
fn longest(text: &ColumnarValue) -> EngineResult<i64> {
    let lengths = match text {
        ColumnarValue::Scalar(scalar) => {
            return Ok(scalar.try_as_str().flatten().map_or(0, |t| i64::try_from(t.len()).unwrap_or(i64::MAX)));
        }
        ColumnarValue::Array(array) => arrow::compute::kernels::length::length(&cast(array, &DataType::LargeUtf8)?)?,
    };
    Ok(arrow::compute::max(lengths.as_primitive::<Int64Type>()).unwrap_or(0))
}

/// Asks `wrong` about the numbers of each row in which there is no NULL, then the function.
fn checked(inner: &ScalarUDF, args: ScalarFunctionArgs, wrong: impl Fn(&[f64]) -> Option<Fault>) -> EngineResult<ColumnarValue> {
    let numbers = args.args.iter().map(floats).collect::<EngineResult<Vec<_>>>()?;
    let rows = numbers.iter().map(|column| column.len()).max().unwrap_or(0);
    let mut row_of = Vec::with_capacity(numbers.len());
    for row in 0..rows {
        row_of.clear();
        let places = numbers.iter().map(|column| (column, if column.len() == 1 { 0 } else { row }));
        row_of.extend(places.filter(|(column, at)| column.is_valid(*at)).map(|(column, at)| column.value(at)));
        if row_of.len() == numbers.len()
            && let Some(fault) = wrong(&row_of)
        {
            return Err(sent(fault));
        }
    }
    inner.invoke_with_args(args)
}

fn logarithm(inner: &ScalarUDF, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    checked(inner, args, |numbers| {
        let fault = |of: &str| Some(Fault::new(ErrorKind::InvalidLogarithm, format!("cannot take logarithm of {of}")));
        match numbers {
            _ if numbers.iter().any(|number| *number < 0.0) => fault("a negative number"),
            _ if numbers.contains(&0.0) => fault("zero"),
            _ => None,
        }
    })
}

fn of_a_sine(inner: &ScalarUDF, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    checked(inner, args, |numbers| {
        let outside = numbers.iter().any(|number| number.abs() > 1.0);
        outside.then(|| Fault::new(ErrorKind::OutOfRange, "input is out of range"))
    })
}

/// The results, none of which is infinite where the arguments were not.
fn finite(args: &ScalarFunctionArgs, results: ColumnarValue) -> EngineResult<ColumnarValue> {
    if !results.data_type().is_floating() || !floats(&results)?.iter().flatten().any(f64::is_infinite) {
        return Ok(results);
    }
    let infinite = args.args.iter().map(floats).collect::<EngineResult<Vec<_>>>()?;
    if infinite.iter().any(|numbers| numbers.iter().flatten().any(f64::is_infinite)) {
        return Ok(results);
    }
    Err(sent(Fault::new(ErrorKind::OutOfRange, "value out of range: overflow")))
}
