//! Dates and times on the wire: counted from 2000-01-01 in binary. Their texts are [`crate::query::written::time`]'s.

use arrow::datatypes::TimeUnit;

use super::Unwritable;

pub use crate::query::written::time::{DAY, Interval, clock, date, interval, timestamp, timestamptz};

/// Days between 1970-01-01 and PostgreSQL's day zero, 2000-01-01.
pub const EPOCH_DAYS: i64 = 10_957;
/// Microseconds between the two.
pub const EPOCH_MICROS: i64 = EPOCH_DAYS * DAY;

/// A count of `unit` as microseconds.
pub fn micros(value: i64, unit: TimeUnit) -> Result<i64, Unwritable> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000)),
    }
    .ok_or(Unwritable("timestamp out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_too_far_away_is_an_error_and_not_another_moment() {
        assert!(micros(i64::MAX, TimeUnit::Second).is_err());
        assert_eq!(micros(-1, TimeUnit::Nanosecond).unwrap(), -1);
    }
}
