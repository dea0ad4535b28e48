//! `date_trunc`: the beginning of the hour, month or century that a moment is in.
//!
//! The engine's own does it where it can: for columns without a zone, and in sessions in UTC.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoBuilder, TimestampMicrosecondBuilder};
use arrow::compute::{CastOptions, cast, cast_with_options, max, min};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};
use datafusion::scalar::ScalarValue;

use crate::error::{ErrorKind, Fault};

use super::calendar::{self, DAY};
use super::format::{TIMESTAMP, moment_type, timestamptz};
use super::own::{Own, Remembered, Rows, Udf, is_text, no_such, sent, types_of};
use super::part::type_name;
use super::units::Unit;
use super::zone::{Zone, known_zone};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let trunc = Own { name: "date_trunc", volatility: Volatility::Stable, coerce, returns, body: date_trunc };
    vec![Udf { ordering: Some(ordering), ..trunc.also("datetrunc") }.made()]
}

fn returns(args: &ReturnFieldArgs<'_>) -> EngineResult<DataType> {
    match types_of(args).as_slice() {
        [_, DataType::Date32, ..] | [_, DataType::Timestamp(_, None), _] => Ok(timestamptz()),
        [_, DataType::Time64(_), ..] => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
        [_, value, ..] => Ok(value.clone()),
        types => no_such("date_trunc", types),
    }
}

/// Columns keep their unit, so that the engine's function need not convert them.
fn coerce(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    let (unit, value, zone) = match types {
        [unit, value] => (unit, value, None),
        [unit, value, zone] => (unit, value, Some(zone)),
        _ => return no_such(name, types),
    };
    let value = match value {
        DataType::Null => Some(timestamptz()),
        DataType::Timestamp(_, None) => Some(value.clone()),
        DataType::Timestamp(unit, Some(_)) => Some(DataType::Timestamp(*unit, Some("UTC".into()))),
        DataType::Date32 | DataType::Date64 => Some(DataType::Date32),
        other if zone.is_none() => moment_type(other),
        _ => None,
    };
    match value.filter(|_| is_text(unit) && zone.is_none_or(is_text)) {
        Some(value) => Ok([DataType::Utf8, value].into_iter().chain(zone.map(|_| DataType::Utf8)).collect()),
        None => no_such(name, types),
    }
}

fn date_trunc(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let session = Zone::of_session(&args.config_options);
    if let Some(unit) = for_the_engine(args, session) {
        let mut args = args.clone();
        if let Some(first) = args.args.first_mut() {
            *first = ColumnarValue::Scalar(ScalarValue::Utf8(Some(unit.to_string())));
        }
        return datafusion::functions::datetime::date_trunc().invoke_with_args(args);
    }
    let rows = Rows::of(args)?;
    let truncated = match rows.column(1)?.data_type() {
        DataType::Interval(_) | DataType::Time64(_) => intervals(&rows)?,
        _ => moments(&rows, args.args.len() == 3, session)?,
    };
    // A moment that the column's unit cannot hold is an error, not NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    rows.result(cast_with_options(&truncated, args.return_field.data_type(), &options)?)
}

fn ordering(inputs: &[ExprProperties]) -> EngineResult<SortProperties> {
    match inputs.get(1).map(|value| value.range.data_type()) {
        Some(DataType::Timestamp(..)) if inputs.len() == 2 => datafusion::functions::datetime::date_trunc().output_ordering(inputs),
        _ => Ok(SortProperties::Unordered),
    }
}

/// The unit, where the engine's function has PostgreSQL's result for it.
fn for_the_engine(args: &ScalarFunctionArgs, session: Zone) -> Option<Unit> {
    let [ColumnarValue::Scalar(word), value] = args.args.as_slice() else { return None };
    let data_type = value.data_type();
    let known = match &data_type {
        DataType::Timestamp(_, None) => true,
        DataType::Timestamp(_, Some(zone)) => zone.as_ref() == "UTC" && session.is_utc(),
        _ => false,
    };
    let unit = Unit::named(word.try_as_str().flatten()?, type_name(&data_type)).ok()?;
    let has = matches!(
        unit,
        Unit::Microsecond
            | Unit::Millisecond
            | Unit::Second
            | Unit::Minute
            | Unit::Hour
            | Unit::Day
            | Unit::Week
            | Unit::Month
            | Unit::Quarter
            | Unit::Year
    );
    (known && has && is_tame(value)).then_some(unit)
}

/// Whether all values are so far from the end of their type that the engine's arithmetic stays within it.
fn is_tame(value: &ColumnarValue) -> bool {
    const FAR: i64 = 1 << 62;
    let Ok(array) = value.to_array(1) else { return false };
    // A timestamp is its 64 bits, whichever its unit.
    let Ok(numbers) = cast(&array, &DataType::Int64) else { return false };
    let numbers = numbers.as_primitive::<Int64Type>();
    min(numbers).is_none_or(|least| least > -FAR) && max(numbers).is_none_or(|most| most < FAR)
}

fn moments(rows: &Rows, has_zone: bool, session: Zone) -> EngineResult<ArrayRef> {
    let values = rows.column(1)?;
    let is_date = values.data_type() == &DataType::Date32;
    let is_plain = matches!(values.data_type(), DataType::Timestamp(_, None));
    // A date, and a timestamp that is asked about in a zone, is the moment at which clocks here show it.
    let becomes_moment = is_date || (is_plain && has_zone);
    let is_zoned = becomes_moment || !is_plain;
    let name = type_name(&if is_zoned { timestamptz() } else { TIMESTAMP });
    let dates = values.as_primitive_opt::<Date32Type>();
    let values = if is_date { Arc::clone(values) } else { cast(values, &if is_plain { TIMESTAMP } else { timestamptz() })? };
    let value = |at: usize| match dates {
        Some(dates) => i64::from(dates.value(at))
            .checked_mul(DAY)
            .ok_or_else(|| sent(Fault::new(ErrorKind::DatetimeOverflow, "date out of range for timestamp"))),
        None => Ok(values.as_primitive::<TimestampMicrosecondType>().value(at)),
    };
    let (mut unit, mut named) = (Remembered::none(), Remembered::none());
    let mut moments = TimestampMicrosecondBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            moments.append_null();
            continue;
        }
        let unit = *unit.get(rows.text(0, row)?, |word| Unit::length_named(word, name).map_err(sent))?;
        let zone = if has_zone { *named.get(rows.text(2, row)?, |name| known_zone(name).map_err(sent))? } else { session };
        let value = value(rows.at(1, row))?;
        let value = if becomes_moment { session.moment(value) } else { value };
        let truncated = if is_zoned { truncate_in(zone, unit, value) } else { truncate(unit, value) };
        moments.append_value(truncated.ok_or_else(|| sent(unit.not_in(name)))?);
    }
    let moments = moments.finish();
    Ok(if is_zoned { Arc::new(moments.with_timezone("UTC")) } else { Arc::new(moments) })
}

/// The beginning of what a moment is in, by the clocks of a zone.
fn truncate_in(zone: Zone, unit: Unit, moment: i64) -> Option<i64> {
    let local = zone.local(moment);
    let truncated = truncate(unit, local)?;
    // Within a day, the offset does not change: of the hour that comes twice, each has a beginning of its own.
    let within = matches!(unit, Unit::Microsecond | Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour);
    Some(if within { truncated.saturating_sub(local.saturating_sub(moment)) } else { zone.moment(truncated) })
}

/// The first year of a run of so many that begins with the year 1.
fn first_of_run(year: i64, years: i64) -> i64 {
    (year - 1).div_euclid(years) * years + 1
}

fn truncate(unit: Unit, local: i64) -> Option<i64> {
    let of = |micros: i64| Some(local.saturating_sub(local.rem_euclid(micros)));
    let days = local.div_euclid(DAY);
    let begins = |year: i64, month: i64| Some(calendar::days_of(year, month, 1).saturating_mul(DAY));
    let (year, month, _) = calendar::civil(days);
    match unit {
        Unit::Microsecond => Some(local),
        Unit::Millisecond => of(1_000),
        Unit::Second => of(1_000_000),
        Unit::Minute => of(60_000_000),
        Unit::Hour => of(3_600_000_000),
        Unit::Day => of(DAY),
        Unit::Week => Some((days - calendar::iso_weekday(days) + 1).saturating_mul(DAY)),
        Unit::Month => begins(year, month),
        Unit::Quarter => begins(year, (month - 1) / 3 * 3 + 1),
        Unit::Year => begins(year, 1),
        Unit::Decade => begins(year.div_euclid(10) * 10, 1),
        Unit::Century => begins(first_of_run(year, 100), 1),
        Unit::Millennium => begins(first_of_run(year, 1_000), 1),
        _ => None,
    }
}

fn intervals(rows: &Rows) -> EngineResult<ArrayRef> {
    let values = rows.column(1)?;
    let span = |row: usize| match values.as_primitive_opt::<Time64MicrosecondType>() {
        Some(times) => IntervalMonthDayNano::new(0, 0, times.value(row).saturating_mul(1_000)),
        None => values.as_primitive::<IntervalMonthDayNanoType>().value(row),
    };
    let mut unit = Remembered::none();
    let mut spans = IntervalMonthDayNanoBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            spans.append_null();
            continue;
        }
        let unit = *unit.get(rows.text(0, row)?, |word| Unit::length_named(word, "interval").map_err(sent))?;
        let span = truncate_span(unit, span(rows.at(1, row)));
        spans.append_value(span.ok_or_else(|| {
            let fault = unit.not_in("interval");
            sent(if unit == Unit::Week { fault.with_detail("Months usually have fractional weeks.") } else { fault })
        })?);
    }
    Ok(Arc::new(spans.finish()))
}

/// A span without what is smaller than a unit. Each of its three parts is cut towards zero.
fn truncate_span(unit: Unit, span: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let months = |months: i32| Some(IntervalMonthDayNano::new(span.months / months * months, 0, 0));
    let nanos = |nanos: i64| Some(IntervalMonthDayNano { nanoseconds: span.nanoseconds / nanos * nanos, ..span });
    match unit {
        Unit::Microsecond => nanos(1_000),
        Unit::Millisecond => nanos(1_000_000),
        Unit::Second => nanos(1_000_000_000),
        Unit::Minute => nanos(60_000_000_000),
        Unit::Hour => nanos(3_600_000_000_000),
        Unit::Day => Some(IntervalMonthDayNano { nanoseconds: 0, ..span }),
        Unit::Month => months(1),
        Unit::Quarter => months(3),
        Unit::Year => months(12),
        Unit::Decade => months(120),
        Unit::Century => months(1_200),
        Unit::Millennium => months(12_000),
        _ => None,
    }
}
