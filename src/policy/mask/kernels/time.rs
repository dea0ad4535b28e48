//! Dates and timestamps, down to the year or month. In UTC whatever the column's time zone, as Iceberg has it; the arithmetic is total
//! over every value that the types can hold, and saturates at the type's earliest value.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::error::ArrowError;

use super::{map_primitive, not_taken};

const SECONDS_A_DAY: i64 = 86_400;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Year,
    Month,
}

pub(super) fn truncate(array: &ArrayRef, part: Part) -> Result<ArrayRef, ArrowError> {
    let instants = |per_second: i64| move |value: i64| floor(value, SECONDS_A_DAY * per_second, part);
    Ok(match array.data_type() {
        DataType::Date32 => map_primitive::<Date32Type>(array, |days| i32::try_from(first_day(days.into(), part)).unwrap_or(i32::MIN)),
        DataType::Date64 => map_primitive::<Date64Type>(array, instants(1_000)),
        DataType::Timestamp(TimeUnit::Second, _) => map_primitive::<TimestampSecondType>(array, instants(1)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => map_primitive::<TimestampMillisecondType>(array, instants(1_000)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => map_primitive::<TimestampMicrosecondType>(array, instants(1_000_000)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => map_primitive::<TimestampNanosecondType>(array, instants(1_000_000_000)),
        other => return Err(not_taken(other)),
    })
}

/// The instant at which the year or month of `value` began, `a_day` being a day's length in the value's unit.
fn floor(value: i64, a_day: i64, part: Part) -> i64 {
    first_day(value.div_euclid(a_day), part).checked_mul(a_day).unwrap_or(i64::MIN)
}

/// The first day of the year or month that holds the day, counted from 1970-01-01.
fn first_day(day: i64, part: Part) -> i64 {
    let (year, month) = year_and_month(day);
    match part {
        Part::Year => day_of(year, 1),
        Part::Month => day_of(year, month),
    }
}

/// Years are counted from March, so that the leap day is the last of its year; 400 such years have 146,097 days.
fn year_and_month(day: i64) -> (i64, i64) {
    let from_march_0000 = day + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month)
}

/// The first of the month, in days from 1970-01-01.
pub(super) fn day_of(year: i64, month: i64) -> i64 {
    let from_march = if month <= 2 { year - 1 } else { year };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
