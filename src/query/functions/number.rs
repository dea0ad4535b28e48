//! Numbers: `div`, `width_bucket`, `scale` and `min_scale`, `to_hex`.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int32Array, StringArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type, i256};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::super::dialect::as_decimal;
use super::own::{Own, Rows, is_text, no_such, sent};
use crate::error::{ErrorKind, Fault, Result};

const WIDEST: u8 = 38;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, coerce, returns, body| Own { name, volatility: Volatility::Immutable, coerce, returns, body }.made();
    vec![
        own("div", |name, types| decimals(name, types, 2), |_| Ok(DataType::Decimal128(WIDEST, 0)), div),
        own("width_bucket", coerce_bucket, |_| Ok(DataType::Int32), width_bucket),
        own("scale", |name, types| decimals(name, types, 1), |_| Ok(DataType::Int32), scale),
        own("min_scale", |name, types| decimals(name, types, 1), |_| Ok(DataType::Int32), min_scale),
        own("to_hex", coerce_hex, |_| Ok(DataType::Utf8), to_hex),
    ]
}

/// So many exact numbers, with as many decimals as the one that has most.
fn decimals(name: &str, types: &[DataType], count: usize) -> EngineResult<Vec<DataType>> {
    let scale = |of: &DataType| match of {
        text if is_text(text) => Some(0),
        other => as_decimal(other).and_then(|of| if let DataType::Decimal128(_, scale) = of { Some(scale) } else { None }),
    };
    let scales: Option<Vec<i8>> = types.iter().map(scale).collect();
    match scales.filter(|scales| scales.len() == count).and_then(|scales| scales.into_iter().max()) {
        Some(scale) => Ok(vec![DataType::Decimal128(WIDEST, scale); count]),
        None => no_such(name, types),
    }
}

fn fault(kind: ErrorKind, message: &'static str) -> DataFusionError {
    sent(Fault::new(kind, message))
}

/// The unscaled value of a row.
fn unscaled(rows: &Rows, argument: usize, row: usize) -> EngineResult<i128> {
    Ok(rows.column(argument)?.as_primitive::<Decimal128Type>().value(rows.at(argument, row)))
}

/// The quotient without what is behind the point.
fn div(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let quotient = |row| {
        let (left, right) = (unscaled(&rows, 0, row)?, unscaled(&rows, 1, row)?);
        if right == 0 {
            return Err(fault(ErrorKind::DivisionByZero, "division by zero"));
        }
        left.checked_div(right).ok_or_else(|| fault(ErrorKind::OutOfRange, "value overflows numeric format"))
    };
    let quotients = (0..rows.count).map(|row| if rows.has_all(row) { quotient(row).map(Some) } else { Ok(None) });
    let quotients = quotients.collect::<EngineResult<Decimal128Array>>()?;
    rows.result(Arc::new(quotients.with_precision_and_scale(WIDEST, 0)?))
}

/// An operand, two bounds and a count, exact or not; or an operand and an array of thresholds.
fn coerce_bucket(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [operand, DataType::List(item)] => match comparison_coercion(operand, item.data_type()) {
            Some(common) => Ok(vec![common.clone(), DataType::new_list(common, true)]),
            None => no_such(name, types),
        },
        [numbers @ .., count] if numbers.len() == 3 && (count.is_integer() || is_text(count)) => {
            let is_number = |of: &DataType| of.is_numeric() || is_text(of);
            let mut coerced = match decimals(name, numbers, 3) {
                Ok(exact) => exact,
                Err(_) if numbers.iter().all(is_number) => vec![DataType::Float64; 3],
                Err(_) => return no_such(name, types),
            };
            coerced.push(DataType::Int32);
            Ok(coerced)
        }
        _ => no_such(name, types),
    }
}

fn width_bucket(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = rows.column(0)?;
    let bucket: Box<dyn Fn(usize) -> EngineResult<i32>> = match values.data_type() {
        _ if args.args.len() == 2 => among(&rows)?,
        DataType::Float64 => Box::new(|row| {
            let number =
                |argument| Ok::<_, DataFusionError>(rows.column(argument)?.as_primitive::<Float64Type>().value(rows.at(argument, row)));
            bucket_of_float(number(0)?, number(1)?, number(2)?, count(&rows, row)?).map_err(sent)
        }),
        _ => Box::new(|row| {
            let number = |argument| unscaled(&rows, argument, row).map(i256::from_i128);
            bucket_of_exact(number(0)?, number(1)?, number(2)?, count(&rows, row)?).map_err(sent)
        }),
    };
    let buckets = (0..rows.count).map(|row| if rows.has_all(row) { bucket(row).map(Some) } else { Ok(None) });
    rows.result(Arc::new(buckets.collect::<EngineResult<Int32Array>>()?))
}

fn count(rows: &Rows, row: usize) -> EngineResult<i32> {
    Ok(rows.column(3)?.as_primitive::<Int32Type>().value(rows.at(3, row)))
}

fn wrong(message: &'static str) -> Fault {
    Fault::new(ErrorKind::InvalidBucket, message)
}

/// The bucket behind the last.
fn past(count: i32) -> Result<i32> {
    count.checked_add(1).ok_or_else(|| Fault::new(ErrorKind::OutOfRange, "integer out of range"))
}

#[expect(clippy::cast_possible_truncation, reason = "less than the count, which is an i32")]
fn bucket_of_float(value: f64, from: f64, to: f64, count: i32) -> Result<i32> {
    if count <= 0 {
        return Err(wrong("count must be greater than zero"));
    }
    if value.is_nan() || from.is_nan() || to.is_nan() {
        return Err(wrong("operand, lower bound, and upper bound cannot be NaN"));
    }
    if from.is_infinite() || to.is_infinite() {
        return Err(wrong("lower and upper bounds must be finite"));
    }
    // Downwards everything is turned round.
    let (value, from, to) = if from > to { (-value, -from, -to) } else { (value, from, to) };
    match from.partial_cmp(&to) {
        Some(Ordering::Less) if value < from => Ok(0),
        Some(Ordering::Less) if value >= to => past(count),
        Some(Ordering::Less) => {
            let part =
                if (to - from).is_finite() { (value - from) / (to - from) } else { (value / 2.0 - from / 2.0) / (to / 2.0 - from / 2.0) };
            Ok(((f64::from(count) * part) as i32).min(count - 1) + 1)
        }
        _ => Err(wrong("lower bound cannot equal upper bound")),
    }
}

/// The same of numbers of one scale, of which 256 bits hold every product with a count.
fn bucket_of_exact(value: i256, from: i256, to: i256, count: i32) -> Result<i32> {
    if count <= 0 {
        return Err(wrong("count must be greater than zero"));
    }
    let turned = |number: i256| if from > to { number.wrapping_neg() } else { number };
    let (value, low, high) = (turned(value), turned(from), turned(to));
    match low.cmp(&high) {
        Ordering::Less if value < low => Ok(0),
        Ordering::Less if value >= high => past(count),
        Ordering::Less => {
            let part = value.wrapping_sub(low).wrapping_mul(i256::from_i128(count.into())).checked_div(high.wrapping_sub(low));
            let bucket = part.and_then(i256::to_i128).and_then(|bucket| i32::try_from(bucket).ok());
            bucket.map(|bucket| bucket + 1).ok_or_else(|| Fault::new(ErrorKind::OutOfRange, "integer out of range"))
        }
        _ => Err(wrong("lower bound cannot equal upper bound")),
    }
}

/// How many of the thresholds, which are in order, are not greater.
fn among(rows: &Rows) -> EngineResult<Box<dyn Fn(usize) -> EngineResult<i32> + '_>> {
    let lists = rows.column(1)?.as_list::<i32>();
    let thresholds: &ArrayRef = lists.values();
    let compare = make_comparator(thresholds.as_ref(), rows.column(0)?.as_ref(), SortOptions::default())?;
    Ok(Box::new(move |row| {
        let at = rows.at(1, row);
        let offset = |at: usize| lists.value_offsets().get(at).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
        let (start, end) = (offset(at), offset(at + 1));
        if (start..end).any(|threshold| thresholds.is_null(threshold)) {
            return Err(fault(ErrorKind::NullValue, "thresholds array must not contain NULLs"));
        }
        let (mut low, mut high) = (start, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if compare(middle, rows.at(0, row)) == Ordering::Greater {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        i32::try_from(low - start).map_err(|_| fault(ErrorKind::OutOfRange, "integer out of range"))
    }))
}

fn scale_of(rows: &Rows) -> EngineResult<i32> {
    Ok(if let DataType::Decimal128(_, scale) = rows.column(0)?.data_type() { i32::from(*scale) } else { 0 })
}

/// Decimals of a number: here, those of its type.
fn scale(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let scale = scale_of(&rows)?;
    rows.result(Arc::new((0..rows.count).map(|row| rows.has_all(row).then_some(scale)).collect::<Int32Array>()))
}

/// How many of them are not zeros at the end.
fn min_scale(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let scale = scale_of(&rows)?;
    let needed = |row| {
        let (mut value, mut scale) = (unscaled(&rows, 0, row)?, scale);
        while scale > 0 && value % 10 == 0 {
            (value, scale) = (value / 10, scale - 1);
        }
        Ok(Some(scale))
    };
    let scales = (0..rows.count).map(|row| if rows.has_all(row) { needed(row) } else { Ok(None) });
    rows.result(Arc::new(scales.collect::<EngineResult<Int32Array>>()?))
}

fn coerce_hex(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16] => Ok(vec![DataType::Int32]),
        [number] if number.is_integer() || is_text(number) => Ok(vec![DataType::Int64]),
        _ => no_such(name, types),
    }
}

fn to_hex(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let numbers = rows.column(0)?;
    let written: StringArray = match numbers.as_primitive_opt::<Int32Type>() {
        Some(numbers) => numbers.iter().map(|number| number.map(|number| format!("{number:x}"))).collect(),
        None => numbers.as_primitive::<Int64Type>().iter().map(|number| number.map(|number| format!("{number:x}"))).collect(),
    };
    rows.result(Arc::new(written))
}
