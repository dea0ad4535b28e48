//! Dates, times and spans from their parts, and the clock.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, IntervalMonthDayNanoBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Float64Type, Int32Type, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};
use datafusion::scalar::ScalarValue;

use crate::error::{ErrorKind, Fault};

use super::calendar::{self, DAY};
use super::format::{TIMESTAMP, in_range, moment_type, timestamptz};
use super::own::{Own, Remembered, Rows, is_text, no_such, sent};
use super::zone::{Zone, known_zone, tz_of_session};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, volatility, coerce, returns, body| Own { name, volatility, coerce, returns, body }.made();
    vec![
        own("make_timestamp", Volatility::Immutable, coerce_parts, |_| Ok(TIMESTAMP), make_timestamp),
        own("make_timestamptz", Volatility::Stable, coerce_parts_and_zone, |_| Ok(timestamptz()), make_timestamptz),
        own("make_time", Volatility::Immutable, coerce_clock, |_| Ok(DataType::Time64(TimeUnit::Microsecond)), make_time),
        own("make_interval", Volatility::Immutable, coerce_span, |_| Ok(DataType::Interval(IntervalUnit::MonthDayNano)), make_interval),
        own("isfinite", Volatility::Immutable, coerce_moment, |_| Ok(DataType::Boolean), isfinite),
        own("timeofday", Volatility::Volatile, coerce_nothing, |_| Ok(DataType::Utf8), time_of_day),
        own("clock_timestamp", Volatility::Volatile, coerce_nothing, |_| Ok(timestamptz()), clock_timestamp),
    ]
}

fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer() || is_text(data_type)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || is_text(data_type)
}

/// Year, month, day, hour, minute as integers, seconds with a fraction.
fn coerce_parts(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [parts @ .., seconds] if parts.len() == 5 && parts.iter().all(is_integer) && is_number(seconds) => {
            Ok([vec![DataType::Int32; 5], vec![DataType::Float64]].concat())
        }
        _ => no_such(name, types),
    }
}

fn coerce_parts_and_zone(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [parts @ .., zone] if parts.len() == 6 && is_text(zone) => Ok([coerce_parts(name, parts)?, vec![DataType::Utf8]].concat()),
        _ => coerce_parts(name, types),
    }
}

/// Hour and minute as integers, seconds with a fraction.
fn coerce_clock(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [hour, minute, seconds] if is_integer(hour) && is_integer(minute) && is_number(seconds) => {
            Ok(vec![DataType::Int32, DataType::Int32, DataType::Float64])
        }
        _ => no_such(name, types),
    }
}

/// Years, months, weeks, days, hours, minutes as integers, seconds with a fraction; the last of them may be left out.
fn coerce_span(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    let fits = types.len() <= 7 && types.iter().take(6).all(is_integer) && types.iter().skip(6).all(is_number);
    if !fits {
        return no_such(name, types);
    }
    Ok((0..types.len()).map(|place| if place < 6 { DataType::Int32 } else { DataType::Float64 }).collect())
}

fn coerce_moment(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [DataType::Null] => Ok(vec![TIMESTAMP]),
        [one] if moment_type(one).is_some() => Ok(types.to_vec()),
        _ => no_such(name, types),
    }
}

fn coerce_nothing(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    if types.is_empty() { Ok(Vec::new()) } else { no_such(name, types) }
}

fn integer(rows: &Rows, argument: usize, row: usize) -> EngineResult<i64> {
    let value = rows.column(argument)?.as_primitive::<Int32Type>().value(rows.at(argument, row));
    Ok(i64::from(value))
}

fn seconds(rows: &Rows, argument: usize, row: usize) -> EngineResult<f64> {
    Ok(rows.column(argument)?.as_primitive::<Float64Type>().value(rows.at(argument, row)))
}

/// A time of day in microseconds.
fn clock(hour: i64, minute: i64, second: f64) -> EngineResult<i64> {
    let micros = (second * 1e6).round_ties_even();
    let clock = (hour * 60 + minute) * 60_000_000 + micros as i64;
    let fits = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60e6).contains(&micros) && clock <= DAY;
    if !fits {
        let text = format!("time field value out of range: {hour}:{minute:02}:{:02}", second);
        return Err(sent(Fault::new(ErrorKind::DatetimeOverflow, text)));
    }
    Ok(clock)
}

/// What the six parts of a row say, as clocks show it.
fn local(rows: &Rows, row: usize) -> EngineResult<i64> {
    let part = |argument| integer(rows, argument, row);
    let (year, month, day) = (part(0)?, part(1)?, part(2)?);
    // Before Christ the years are negative, and there is none that is 0.
    let counted = if year < 0 { year + 1 } else { year };
    if year == 0 || !(1..=12).contains(&month) || !(1..=calendar::days_in_month(counted, month)).contains(&day) {
        let text = format!("date field value out of range: {year}-{month:02}-{day:02}");
        return Err(sent(Fault::new(ErrorKind::DatetimeOverflow, text)));
    }
    let clock = clock(part(3)?, part(4)?, seconds(rows, 5, row)?)?;
    let moment = calendar::days_of(counted, month, day).checked_mul(DAY).and_then(|day| day.checked_add(clock));
    in_range(moment).ok_or_else(|| sent(Fault::new(ErrorKind::DatetimeOverflow, "timestamp out of range")))
}

fn make_timestamp(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut moments = TimestampMicrosecondBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        moments.append_option(if rows.has_all(row) { Some(local(&rows, row)?) } else { None });
    }
    rows.result(Arc::new(moments.finish()))
}

fn make_time(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut times = Time64MicrosecondBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        times.append_option(if rows.has_all(row) {
            Some(clock(integer(&rows, 0, row)?, integer(&rows, 1, row)?, seconds(&rows, 2, row)?)?)
        } else {
            None
        });
    }
    rows.result(Arc::new(times.finish()))
}

fn make_timestamptz(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let (session, mut named) = (Zone::of_session(&args.config_options), Remembered::none());
    let mut moments = TimestampMicrosecondBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            moments.append_null();
            continue;
        }
        let zone = if args.args.len() == 7 { *named.get(rows.text(6, row)?, |name| known_zone(name).map_err(sent))? } else { session };
        moments.append_value(zone.moment(local(&rows, row)?));
    }
    rows.result(Arc::new(moments.finish().with_timezone("UTC")))
}

fn make_interval(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let given = args.args.len();
    let mut spans = IntervalMonthDayNanoBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            spans.append_null();
            continue;
        }
        let part = |argument| if argument < given { integer(&rows, argument, row) } else { Ok(0) };
        let months = part(0)? * 12 + part(1)?;
        let days = part(2)? * 7 + part(3)?;
        let seconds = if given == 7 { seconds(&rows, 6, row)? } else { 0.0 };
        // The nanoseconds of an interval of the engine end after 292 years.
        let micros = Some((seconds * 1e6).round_ties_even()).filter(|micros| micros.abs() < 9e15).map(|micros| micros as i64);
        let minutes = part(4)? * 60 + part(5)?;
        let nanos = micros.and_then(|micros| minutes.checked_mul(60_000_000)?.checked_add(micros)?.checked_mul(1_000));
        let span = nanos.and_then(|nanos| Some(IntervalMonthDayNano::new(i32::try_from(months).ok()?, i32::try_from(days).ok()?, nanos)));
        spans.append_value(span.ok_or_else(|| sent(Fault::new(ErrorKind::DatetimeOverflow, "interval out of range")))?);
    }
    // Without arguments there is nothing to tell how many rows there are: one, for all.
    rows.result(Arc::new(spans.finish()))
}

/// There is no infinite date here.
fn isfinite(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let answers: BooleanArray = (0..rows.count).map(|row| rows.has_all(row).then_some(true)).collect();
    rows.result(Arc::new(answers))
}

/// The clock as a text for people.
fn time_of_day(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let now = chrono::Utc::now().with_timezone(&tz_of_session(&args.config_options));
    Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(now.format("%a %b %d %H:%M:%S%.6f %Y %Z").to_string()))))
}

fn clock_timestamp(_: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let now = chrono::Utc::now().timestamp_micros();
    Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(now), Some("UTC".into()))))
}
