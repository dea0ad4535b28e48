//! `to_char`, `to_date`, `to_timestamp` and `to_number` with PostgreSQL's templates.
//!
//! The templates are taken apart and filled in by the modules below, which know nothing of columns; their results are those of a
//! PostgreSQL 15, with which they were compared template by template.

mod moment;
mod moment_in;
mod moment_out;
mod moment_sum;
mod number;
mod number_in;
mod number_out;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Builder, TimestampMicrosecondBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};

use crate::error::{ErrorKind, Fault};

use super::calendar::DAY;
use super::own::{Own, Remembered, Rows, is_text, no_such, sent};
use super::zone::Zone;
use moment::Moment;
use moment_out::{Offset, Parts};
use number::Number;
use number_out::{DOUBLE, Digits, SINGLE, Value};

pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, coerce, returns, body| Own { name, volatility: Volatility::Stable, coerce, returns, body }.made();
    vec![
        own("to_char", coerce_to_char, |_| Ok(DataType::Utf8), to_char),
        own("to_date", coerce_texts, |_| Ok(DataType::Date32), to_date),
        own("to_timestamp", coerce_to_timestamp, |_| Ok(timestamptz()), to_timestamp),
        Own { name: "to_number", volatility: Volatility::Immutable, coerce: coerce_texts, returns: number_type, body: to_number }.made(),
    ]
}

/// A template longer than this is no template, and every row would be as long.
const LONGEST_TEMPLATE: usize = 8_192;

fn checked(template: &str) -> EngineResult<&str> {
    if template.len() > LONGEST_TEMPLATE {
        let fault = Fault::new(ErrorKind::ProgramLimit, "format string is too long");
        return Err(sent(fault.with_detail(format!("It may have {LONGEST_TEMPLATE} bytes."))));
    }
    Ok(template)
}

fn moment_of(template: &str) -> EngineResult<Moment> {
    Ok(Moment::parse(checked(template)?))
}

fn number_of(template: &str) -> EngineResult<Number> {
    Number::parse(checked(template)?).map_err(sent)
}

/// A type of dates, times or spans in the unit that the functions here work in.
pub(super) fn moment_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        _ => return None,
    })
}

fn coerce_to_char(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    let [value, template] = types else { return no_such(name, types) };
    let value_type = match value {
        DataType::Null => Some(TIMESTAMP),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(DataType::Int64),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Some(DataType::Int64),
        DataType::UInt64 => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => Some(DataType::Decimal128(*p, *s)),
        DataType::Decimal256(p, s) => Some(DataType::Decimal256(*p, *s)),
        DataType::Float16 | DataType::Float32 => Some(DataType::Float32),
        DataType::Float64 => Some(DataType::Float64),
        other => moment_type(other),
    };
    match value_type.filter(|_| is_text(template)) {
        Some(value_type) => Ok(vec![value_type, DataType::Utf8]),
        None => no_such(name, types),
    }
}

fn coerce_texts(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    if types.len() == 2 && types.iter().all(is_text) { Ok(vec![DataType::Utf8; 2]) } else { no_such(name, types) }
}

/// `to_timestamp(text, text)`, and of the seconds since 1970.
fn coerce_to_timestamp(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        // A text that is a number is one, as every constant in quotes.
        [seconds] if seconds.is_numeric() || is_text(seconds) => Ok(vec![DataType::Float64]),
        _ => coerce_texts(name, types),
    }
}

fn to_char(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = rows.column(0)?;
    if moment_type(values.data_type()).is_some() {
        let zone = Zone::of_session(&args.config_options);
        let mut template = Remembered::none();
        let parts = parts_of(values, zone)?;
        return rows.texts(|row, out| {
            let template = template.get(rows.text(1, row)?, moment_of)?;
            template.write(&parts(rows.at(0, row)), out).map_err(sent)
        });
    }
    let mut template = Remembered::none();
    let value = value_of(values)?;
    rows.texts(|row, out| {
        let template = template.get(rows.text(1, row)?, number_of)?;
        template.write(&value(rows.at(0, row)), out).map_err(sent)
    })
}

/// How a column of moments is taken apart, row by row.
fn parts_of(values: &ArrayRef, zone: Zone) -> EngineResult<Box<dyn Fn(usize) -> Parts + '_>> {
    let zoned = move |moment: i64| {
        let offset = Offset { seconds: zone.offset_at(moment), abbreviation: zone.abbreviation_at(moment) };
        Parts::of_moment(zone.local(moment), Some(offset))
    };
    Ok(match values.data_type() {
        DataType::Timestamp(_, zone) => {
            let (values, has_zone) = (values.as_primitive::<TimestampMicrosecondType>(), zone.is_some());
            Box::new(move |row| if has_zone { zoned(values.value(row)) } else { Parts::of_moment(values.value(row), None) })
        }
        // A date is the moment at which it begins here.
        DataType::Date32 => {
            let values = values.as_primitive::<Date32Type>();
            Box::new(move |row| zoned(zone.moment(i64::from(values.value(row)).saturating_mul(DAY))))
        }
        DataType::Time64(_) => {
            let values = values.as_primitive::<Time64MicrosecondType>();
            Box::new(move |row| Parts::of_interval(0, 0, values.value(row)))
        }
        DataType::Interval(_) => {
            let values = values.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(move |row| {
                let span = values.value(row);
                Parts::of_interval(span.months, span.days, span.nanoseconds / 1_000)
            })
        }
        other => return no_such("to_char", std::slice::from_ref(other)),
    })
}

/// How a column of numbers becomes digits, row by row.
fn value_of(values: &ArrayRef) -> EngineResult<Box<dyn Fn(usize) -> Value + '_>> {
    Ok(match values.data_type() {
        DataType::Int64 => {
            let values = values.as_primitive::<Int64Type>();
            Box::new(move |row| Value::Exact(Digits::of(&values.value(row).to_string())))
        }
        DataType::Decimal128(precision, scale) => {
            let (values, precision, scale) = (values.as_primitive::<Decimal128Type>(), *precision, *scale);
            Box::new(move |row| Value::Exact(Digits::of(&Decimal128Type::format_decimal(values.value(row), precision, scale))))
        }
        DataType::Decimal256(precision, scale) => {
            let (values, precision, scale) = (values.as_primitive::<Decimal256Type>(), *precision, *scale);
            Box::new(move |row| Value::Exact(Digits::of(&Decimal256Type::format_decimal(values.value(row), precision, scale))))
        }
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            Box::new(move |row| Value::Float(f64::from(values.value(row)), SINGLE))
        }
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            Box::new(move |row| Value::Float(values.value(row), DOUBLE))
        }
        other => return no_such("to_char", std::slice::from_ref(other)),
    })
}

/// PostgreSQL's first day, in 4714 BC, and the first after its last, in days since 1970.
const FIRST_DAY: i64 = -2_440_588;
const LAST_DATE: i64 = 2_145_031_949;
const END_OF_MOMENTS: i64 = 9_223_371_331_200_000_000;

fn to_date(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut template = Remembered::none();
    let mut dates = Date32Builder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            dates.append_null();
            continue;
        }
        let (text, template) = (rows.text(0, row)?, template.get(rows.text(1, row)?, moment_of)?);
        let sum = template.read(text).and_then(|said| said.sum(text)).map_err(sent)?;
        let day = i32::try_from(sum.days).ok().filter(|_| (FIRST_DAY..=LAST_DATE).contains(&sum.days));
        let out_of_range = || sent(Fault::new(ErrorKind::DatetimeOverflow, format!("date out of range: \"{text}\"")));
        dates.append_value(day.ok_or_else(out_of_range)?);
    }
    rows.result(Arc::new(dates.finish()))
}

fn to_timestamp(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let zone = Zone::of_session(&args.config_options);
    let mut template = Remembered::none();
    let mut moments = TimestampMicrosecondBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            moments.append_null();
            continue;
        }
        if let Some(seconds) = rows.column(0)?.as_primitive_opt::<Float64Type>() {
            moments.append_value(of_seconds(seconds.value(rows.at(0, row))).map_err(sent)?);
            continue;
        }
        let (text, template) = (rows.text(0, row)?, template.get(rows.text(1, row)?, moment_of)?);
        let sum = template.read(text).and_then(|said| said.sum(text)).map_err(sent)?;
        let local = sum.days.checked_mul(DAY).and_then(|day| day.checked_add(sum.micros));
        let moment = local.map(|local| match sum.offset_seconds {
            Some(offset) => local.saturating_sub(offset * 1_000_000),
            None => zone.moment(local),
        });
        moments.append_value(in_range(moment).ok_or_else(|| sent(out_of_range("")))?);
    }
    rows.result(Arc::new(moments.finish().with_timezone("UTC")))
}

pub(super) fn in_range(moment: Option<i64>) -> Option<i64> {
    moment.filter(|moment| (FIRST_DAY * DAY..END_OF_MOMENTS).contains(moment))
}

fn out_of_range(what: &str) -> Fault {
    Fault::new(ErrorKind::DatetimeOverflow, format!("timestamp out of range{what}"))
}

fn of_seconds(seconds: f64) -> Result<i64, Fault> {
    if seconds.is_nan() {
        return Err(Fault::new(ErrorKind::InvalidParameter, "timestamp cannot be NaN"));
    }
    let micros = (seconds * 1e6).round_ties_even();
    // Past the range of i64 the cast saturates, and that is out of range too.
    in_range(Some(micros as i64)).ok_or_else(|| {
        let text = format!("{seconds:.5e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        out_of_range(&format!(": \"{mantissa}e+{exponent:0>2}\""))
    })
}

/// The scale of a number is what the template has places for. PostgreSQL's is what each text has, which a column cannot say.
fn number_type(args: &ReturnFieldArgs<'_>) -> EngineResult<DataType> {
    let template = args.scalar_arguments.get(1).copied().flatten().and_then(|value| value.try_as_str().flatten());
    let scale = match template {
        Some(template) => {
            let number = number_of(template)?;
            i8::try_from(number.fraction + number.shift).ok().filter(|scale| *scale <= 38)
        }
        None => Some(10),
    };
    let too_long = || sent(Fault::new(ErrorKind::OutOfRange, "numeric field overflow"));
    Ok(DataType::Decimal128(38, scale.ok_or_else(too_long)?))
}

fn to_number(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let DataType::Decimal128(_, scale) = *args.return_field.data_type() else {
        return Err(DataFusionError::Internal("to_number is no decimal".to_owned()));
    };
    let mut template = Remembered::none();
    let mut numbers = arrow::array::Decimal128Builder::with_capacity(rows.count).with_precision_and_scale(38, scale)?;
    for row in 0..rows.count {
        // An empty template reads nothing.
        if !rows.has_all(row) || rows.text(1, row)?.is_empty() {
            numbers.append_null();
            continue;
        }
        let template = template.get(rows.text(1, row)?, number_of)?;
        let text = template.read(rows.text(0, row)?).map_err(sent)?;
        let scaled = Digits::of(&text).scaled(template.shift, usize::try_from(scale).unwrap_or(0));
        let overflow = || sent(Fault::new(ErrorKind::OutOfRange, "numeric field overflow"));
        numbers.append_value(scaled.ok_or_else(overflow)?);
    }
    rows.result(Arc::new(numbers.finish()))
}
