//! `date_part`, and with it `extract`: parts of dates and times as PostgreSQL counts them.
//!
//! The result is double precision. PostgreSQL's `extract` gives numeric since version 14; its values are the same.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Builder};
use arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, Volatility};
use datafusion::scalar::ScalarValue;

use crate::error::Fault;

use super::calendar::{self, DAY, JULIAN_OF_EPOCH};
use super::format::{TIMESTAMP, moment_type};
use super::own::{Own, Remembered, Rows, Udf, is_text, no_such, sent};
use super::units::Unit;
use super::zone::Zone;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    // PostgreSQL's is stable for what depends on the zone. A statement has one zone from its planning to its end, so it makes no
    // difference here; and only for what is immutable does the engine ask which range a year is.
    let part = Own { name: "date_part", volatility: Volatility::Immutable, coerce, returns: |_| Ok(DataType::Float64), body: date_part };
    vec![Udf { preimage: Some(preimage), ..part.also("datepart") }.made()]
}

/// `extract(year FROM d) = 2024` is a range of `d`, by which files and row groups are skipped.
fn preimage(args: &[Expr], year: &Expr, info: &SimplifyContext) -> EngineResult<PreimageResult> {
    let ([unit, value], Expr::Literal(ScalarValue::Float64(Some(year)), _)) = (args, year) else { return Ok(PreimageResult::None) };
    let word = unit.as_literal().and_then(|word| word.try_as_str().flatten());
    let is_year = word.is_some_and(|word| matches!(Unit::named(word, ""), Ok(Unit::Year)));
    let data_type = info.get_data_type(value)?;
    let counted = year.fract() == 0.0 && (1.0..=9_998.0).contains(year);
    let bound = |year: i64| {
        let days = calendar::days_of(year, 1, 1);
        match data_type {
            DataType::Date32 => i32::try_from(days).ok().map(|days| ScalarValue::Date32(Some(days))),
            TIMESTAMP => Some(ScalarValue::TimestampMicrosecond(Some(days * DAY), None)),
            _ => None,
        }
    };
    match (bound(*year as i64), bound(*year as i64 + 1)) {
        (Some(from), Some(to)) if is_year && counted => {
            Ok(PreimageResult::Range { expr: value.clone(), interval: Box::new(Interval::try_new(from, to)?) })
        }
        _ => Ok(PreimageResult::None),
    }
}

fn coerce(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    let [unit, value] = types else { return no_such(name, types) };
    let value = if value.is_null() { Some(TIMESTAMP) } else { moment_type(value) };
    match value.filter(|_| is_text(unit)) {
        Some(value) => Ok(vec![DataType::Utf8, value]),
        None => no_such(name, types),
    }
}

/// PostgreSQL's name of a type that the functions of this family take.
pub(super) fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Date32 => "date",
        DataType::Time64(_) => "time without time zone",
        _ => "interval",
    }
}

fn date_part(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let zone = Zone::of_session(&args.config_options);
    let values = rows.column(1)?;
    let name = type_name(values.data_type());
    let part: Box<dyn Fn(Unit, usize) -> Result<f64, Fault>> = match values.data_type() {
        DataType::Timestamp(_, has_zone) => {
            let (values, has_zone) = (values.as_primitive::<TimestampMicrosecondType>(), has_zone.is_some());
            Box::new(move |unit, row| {
                let moment = values.value(row);
                let offset = if has_zone { Some(zone.offset_at(moment)) } else { None };
                of_moment(unit, moment, offset).ok_or_else(|| unit.not_in(name))
            })
        }
        DataType::Date32 => {
            let values = values.as_primitive::<Date32Type>();
            Box::new(move |unit, row| {
                of_moment(unit, i64::from(values.value(row)).saturating_mul(DAY), None).ok_or_else(|| unit.not_in(name))
            })
        }
        DataType::Time64(_) => {
            let values = values.as_primitive::<Time64MicrosecondType>();
            Box::new(move |unit, row| of_clock(unit, values.value(row)).ok_or_else(|| unit.not_in(name)))
        }
        _ => {
            let values = values.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(move |unit, row| {
                let span = values.value(row);
                of_interval(unit, span.months, span.days, span.nanoseconds / 1_000).ok_or_else(|| unit.not_in(name))
            })
        }
    };
    let mut unit = Remembered::none();
    let mut parts = Float64Builder::with_capacity(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            parts.append_null();
            continue;
        }
        let unit = *unit.get(rows.text(0, row)?, |word| Unit::named(word, name).map_err(sent))?;
        parts.append_value(part(unit, rows.at(1, row)).map_err(sent)?);
    }
    rows.result(Arc::new(parts.finish()))
}

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// A part of what clocks show at a time of day, or in a span of hours.
fn of_clock(unit: Unit, micros: i64) -> Option<f64> {
    let second = micros % MINUTE;
    Some(match unit {
        Unit::Microsecond => second as f64,
        Unit::Millisecond => second as f64 / 1e3,
        Unit::Second => second as f64 / 1e6,
        Unit::Minute => (micros % HOUR / MINUTE) as f64,
        Unit::Hour => (micros / HOUR) as f64,
        Unit::Epoch => micros as f64 / 1e6,
        _ => return None,
    })
}

/// Which run of so many years a year is in, the first beginning with the year 1. There is no year 0, and before it they count down.
fn run_of(year: i64, years: i64) -> i64 {
    if year > 0 { (year + years - 1) / years } else { (year - years) / years }
}

/// A part of a moment, or of a date. One without an offset has no zone.
fn of_moment(unit: Unit, moment: i64, offset: Option<i64>) -> Option<f64> {
    let local = moment.saturating_add(offset.unwrap_or(0).saturating_mul(1_000_000));
    let (days, clock) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let counted = |year: i64| if year > 0 { year } else { year - 1 };
    let civil = || calendar::civil(days);
    let value = match unit {
        Unit::Epoch => return Some(moment as f64 / 1e6),
        Unit::Julian => return Some((days + JULIAN_OF_EPOCH) as f64 + clock as f64 / DAY as f64),
        Unit::Day => civil().2,
        Unit::Week => calendar::iso_week(days).1,
        Unit::Month => civil().1,
        Unit::Quarter => (civil().1 - 1) / 3 + 1,
        Unit::Year => counted(civil().0),
        Unit::Decade => civil().0.div_euclid(10),
        Unit::Century => run_of(civil().0, 100),
        Unit::Millennium => run_of(civil().0, 1_000),
        Unit::IsoYear => counted(calendar::iso_week(days).0),
        Unit::Weekday => calendar::iso_weekday(days) % 7,
        Unit::IsoWeekday => calendar::iso_weekday(days),
        Unit::DayOfYear => days - calendar::days_of(civil().0, 1, 1) + 1,
        Unit::Zone => offset?,
        Unit::ZoneHour => offset? / 3_600,
        Unit::ZoneMinute => offset? % 3_600 / 60,
        _ => return of_clock(unit, clock),
    };
    Some(value as f64)
}

/// A part of a span. Its years are of 365.25 days where it is counted in seconds, and its months of 30.
fn of_interval(unit: Unit, months: i32, days: i32, micros: i64) -> Option<f64> {
    let (years, months) = (months / 12, months % 12);
    let value = match unit {
        Unit::Day => days,
        Unit::Month => months,
        Unit::Quarter => months / 3 + 1,
        Unit::Year => years,
        Unit::Decade => years / 10,
        Unit::Century => years / 100,
        Unit::Millennium => years / 1_000,
        Unit::Epoch => {
            let days = f64::from(years) * 365.25 + f64::from(months) * 30.0 + f64::from(days);
            return Some(days * 86_400.0 + micros as f64 / 1e6);
        }
        _ => return of_clock(unit, micros),
    };
    Some(f64::from(value))
}
