//! What is between two moments as people count it, and spans in larger units: `age`, `justify_hours`, `justify_days`, `justify_interval`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, IntervalMonthDayNanoBuilder};
use arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};

use crate::error::{ErrorKind, Fault};

use super::calendar::{self, DAY};
use super::format::{INTERVAL, TIMESTAMP, timestamptz};
use super::own::{Own, Rows, is_text, no_such, sent};
use super::zone::Zone;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, volatility, coerce, body| Own { name, volatility, coerce, returns: |_| Ok(INTERVAL), body }.made();
    vec![
        own("age", Volatility::Stable, coerce_moments, age),
        own("justify_hours", Volatility::Immutable, coerce_span, |args| justified(args, justify_hours)),
        own("justify_days", Volatility::Immutable, coerce_span, |args| justified(args, justify_days)),
        own("justify_interval", Volatility::Immutable, coerce_span, |args| justified(args, justify_interval)),
    ]
}

/// Two moments. A text is one of the other's kind.
fn coerce_moments(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    if types.len() != 2 {
        return no_such(name, types);
    }
    let other = if types.iter().any(|of| matches!(of, DataType::Timestamp(_, None))) { TIMESTAMP } else { timestamptz() };
    let moment = |of: &DataType| match of {
        DataType::Date32 | DataType::Date64 => Ok(DataType::Date32),
        DataType::Timestamp(_, None) => Ok(TIMESTAMP),
        DataType::Timestamp(..) => Ok(timestamptz()),
        text if is_text(text) => Ok(other.clone()),
        _ => no_such(name, types),
    };
    types.iter().map(moment).collect()
}

fn coerce_span(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [DataType::Interval(_)] => Ok(vec![INTERVAL]),
        [text] if is_text(text) => Ok(vec![INTERVAL]),
        _ => no_such(name, types),
    }
}

/// The span between two moments by the clocks and calendar here, in years, months, days and time.
fn age(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let zone = Zone::of_session(&args.config_options);
    let shown = |argument: usize, row: usize| {
        let column = rows.column(argument)?;
        let at = rows.at(argument, row);
        Ok::<i64, datafusion::error::DataFusionError>(match column.data_type() {
            DataType::Date32 => i64::from(column.as_primitive::<Date32Type>().value(at)).saturating_mul(DAY),
            DataType::Timestamp(_, None) => column.as_primitive::<TimestampMicrosecondType>().value(at),
            _ => zone.local(column.as_primitive::<TimestampMicrosecondType>().value(at)),
        })
    };
    // Of the hour that comes twice, what is shown does not say which is later.
    let instants = (0..2).map(|argument| rows.column(argument)).collect::<EngineResult<Vec<_>>>()?;
    let instants: Option<Vec<_>> = instants
        .into_iter()
        .map(|column| column.as_primitive_opt::<TimestampMicrosecondType>().filter(|moments| moments.timezone().is_some()))
        .collect();
    let mut spans = IntervalMonthDayNanoBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            spans.append_null();
            continue;
        }
        let (end, start) = (shown(0, row)?, shown(1, row)?);
        let backwards = match instants.as_deref() {
            Some([ends, starts]) => ends.value(rows.at(0, row)) < starts.value(rows.at(1, row)),
            _ => end < start,
        };
        spans.append_value(between(start, end, backwards));
    }
    rows.result(Arc::new(spans.finish()))
}

/// Each part is counted on its own, and what is missing of one is taken from the next larger. A month that is taken is that of the earlier
/// moment.
fn between(start: i64, end: i64, backwards: bool) -> IntervalMonthDayNano {
    let sign = if backwards { -1 } else { 1 };
    let parts = |local: i64| (calendar::civil(local.div_euclid(DAY)), local.rem_euclid(DAY));
    let (((end_year, end_month, end_day), end_clock), ((year, month, day), clock)) = (parts(end), parts(start));
    let mut micros = sign * (end_clock - clock);
    let mut days = sign * (end_day - day);
    let mut months = sign * ((end_year - year) * 12 + end_month - month);
    let (first_year, first_month) = if backwards { (end_year, end_month) } else { (year, month) };
    if micros < 0 {
        (micros, days) = (micros + DAY, days - 1);
    }
    while days < 0 {
        (days, months) = (days + calendar::days_in_month(first_year, first_month), months - 1);
    }
    // What a column can hold is less than 600,000 years from the other.
    IntervalMonthDayNano::new((sign * months) as i32, (sign * days) as i32, sign * micros * 1_000)
}

/// A span in months, days and microseconds.
type Parts = (i64, i64, i64);

fn justified(args: &ScalarFunctionArgs, justify: fn(Parts) -> Parts) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let given = rows.column(0)?.as_primitive::<IntervalMonthDayNanoType>();
    let mut spans = IntervalMonthDayNanoBuilder::with_capacity(rows.count);
    for row in 0..rows.count {
        if given.is_null(row) {
            spans.append_null();
            continue;
        }
        let span = given.value(row);
        let (months, days, micros) = justify((span.months.into(), span.days.into(), span.nanoseconds / 1_000));
        let small = |part: i64| i32::try_from(part).map_err(|_| sent(Fault::new(ErrorKind::DatetimeOverflow, "interval out of range")));
        // Less than was there, so that it is still within nanoseconds.
        spans.append_value(IntervalMonthDayNano::new(small(months)?, small(days)?, micros * 1_000));
    }
    rows.result(Arc::new(spans.finish()))
}

/// The smaller part with the sign of the larger, of which there are `length` to one.
fn same_sign(large: i64, small: i64, length: i64) -> (i64, i64) {
    match (large.signum(), small.signum()) {
        (1, -1) => (large - 1, small + length),
        (-1, 1) => (large + 1, small - length),
        _ => (large, small),
    }
}

fn justify_hours((months, days, micros): Parts) -> Parts {
    let (days, micros) = same_sign(days + micros / DAY, micros % DAY, DAY);
    (months, days, micros)
}

fn justify_days((months, days, micros): Parts) -> Parts {
    let (months, days) = same_sign(months + days / 30, days % 30, 30);
    (months, days, micros)
}

fn justify_interval((months, days, micros): Parts) -> Parts {
    let (days, micros) = (days + micros / DAY, micros % DAY);
    let (mut months, mut days) = (months + days / 30, days % 30);
    if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    let (days, micros) = same_sign(days, micros, DAY);
    (months, days, micros)
}
