//! The Gregorian calendar for every day that a column can hold: years far outside chrono's range, and no panic.

use crate::values::time;

pub(in crate::query) use crate::values::time::DAY;

pub(in crate::query) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub(in crate::query) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The year that two digits mean: one between 1970 and 2069.
pub(in crate::query) fn of_two_digits(year: i64) -> i64 {
    if year < 70 { year + 2_000 } else { year + 1_900 }
}

/// Days since 1970-01-01 of a date. Months and days past their range carry over.
pub(super) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let months = year.saturating_mul(12).saturating_add(month - 1);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before = year.saturating_mul(365).saturating_add(leaps) + (153 * month + 2) / 5;
    before.saturating_add(day - 1) - 719_468
}

/// Year (0 is 1 BC), month and day of a day since 1970-01-01.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let (year, month, day) = time::civil(days);
    (year, month.into(), day.into())
}

pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday is 1, Sunday 7.
pub(super) fn iso_weekday(days: i64) -> i64 {
    days.saturating_add(3).rem_euclid(7) + 1
}

/// Year and week of ISO 8601: a week belongs to the year of its Thursday.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - iso_weekday(days) + 4;
    let (year, ..) = civil(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// The Monday on which a year of ISO 8601 begins.
pub(super) fn iso_year_start(year: i64) -> i64 {
    let fourth = days_of(year, 1, 4);
    fourth - iso_weekday(fourth) + 1
}

/// The Julian day number of a day since 1970-01-01.
pub(super) const JULIAN_OF_EPOCH: i64 = 2_440_588;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_one_another_s_inverse() {
        for days in (-800_000..800_000).chain([i64::from(i32::MIN), i64::from(i32::MAX)]) {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), days);
            assert!((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day));
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(days_of(2000, 2, 29)), (2000, 2, 29));
    }

    #[test]
    fn weeks_belong_to_the_year_of_their_thursday() {
        assert_eq!(iso_week(days_of(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(days_of(2024, 12, 30)), (2025, 1));
        assert_eq!(iso_weekday(0), 4);
    }
}
