//! Dates, times and intervals as PostgreSQL writes them (ISO date style, `postgres` interval style).
//!
//! Everything is counted in 64 bits from 1970 and written by hand, because chrono ends at the year 262143 and its format strings are
//! slow. Nanoseconds are cut to microseconds, which is all that PostgreSQL has.

use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::Unwritable;
use super::number;

/// Days between 1970-01-01 and PostgreSQL's day zero, 2000-01-01.
pub const EPOCH_DAYS: i64 = 10_957;
/// Microseconds between the two.
pub const EPOCH_MICROS: i64 = EPOCH_DAYS * DAY;
/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian; the year before 1 is 0).
pub fn civil(days: i64) -> (i64, u8, u8) {
    // Years are counted from March, so that the leap day is the last; an era is 400 years.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u8, day as u8)
}

/// The day counted from 1970-01-01; the inverse of [`civil`].
pub fn days_of(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

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

fn two(value: i64, out: &mut Vec<u8>) {
    if value > 99 {
        return number::signed(value, out);
    }
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// `YYYY-MM-DD`, and whether ` BC` must follow.
fn calendar(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let before_christ = year <= 0;
    let shown = if before_christ { 1 - year } else { year };
    if shown < 1000 {
        out.extend_from_slice(if shown < 10 {
            b"000"
        } else if shown < 100 {
            b"00"
        } else {
            b"0"
        });
    }
    number::signed(shown, out);
    out.push(b'-');
    two(i64::from(month), out);
    out.push(b'-');
    two(i64::from(day), out);
    before_christ
}

/// `HH:MM:SS` with up to six digits of a fraction, without trailing zeros.
pub fn clock(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    two(seconds / 3_600, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    out.push(b':');
    two(seconds % 60, out);
    let mut fraction = micros % 1_000_000;
    if fraction != 0 {
        out.push(b'.');
        let mut unit = 100_000;
        while fraction != 0 {
            out.push(b'0' + (fraction / unit) as u8);
            fraction %= unit;
            unit /= 10;
        }
    }
}

/// Appends a `date`.
pub fn date(days: i64, out: &mut Vec<u8>) {
    if calendar(days, out) {
        out.extend_from_slice(b" BC");
    }
}

/// Appends a `timestamp`.
pub fn timestamp(micros: i64, out: &mut Vec<u8>) {
    let before_christ = calendar(micros.div_euclid(DAY), out);
    out.push(b' ');
    clock(micros.rem_euclid(DAY), out);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Appends a `timestamptz`, as the clock of a zone shows it.
pub fn timestamptz(micros: i64, zone: Tz, out: &mut Vec<u8>) {
    let offset = offset_at(micros, zone);
    let local = micros.saturating_add(offset * 1_000_000);
    let before_christ = calendar(local.div_euclid(DAY), out);
    out.push(b' ');
    clock(local.rem_euclid(DAY), out);
    zone_offset(offset, out);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Seconds east of UTC at a moment.
pub fn offset_at(micros: i64, zone: Tz) -> i64 {
    if matches!(zone, Tz::UTC | Tz::Etc__UTC | Tz::GMT | Tz::Etc__GMT) {
        return 0;
    }
    // Beyond chrono's calendar the rules are those of its last moment.
    let moment =
        DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC });
    i64::from(zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc())
}

/// `+HH`, `+HH:MM` or `+HH:MM:SS`.
fn zone_offset(offset: i64, out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let seconds = offset.abs();
    two(seconds / 3_600, out);
    if seconds % 3_600 != 0 {
        out.push(b':');
        two(seconds / 60 % 60, out);
    }
    if seconds % 60 != 0 {
        out.push(b':');
        two(seconds % 60, out);
    }
}

/// An interval's three independent parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Months and years.
    pub months: i32,
    /// Days, of which none has a fixed length.
    pub days: i32,
    /// The rest.
    pub micros: i64,
}

/// Appends an `interval` in the `postgres` style: `1 year 2 mons -3 days +04:05:06.7`.
pub fn interval(value: Interval, out: &mut Vec<u8>) {
    let start = out.len();
    let mut after_negative = false;
    let parts = [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")];
    for (amount, unit) in parts {
        if amount == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if after_negative && amount > 0 {
            out.push(b'+');
        }
        number::signed(i64::from(amount), out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if amount != 1 {
            out.push(b's');
        }
        after_negative = amount < 0;
    }
    if value.micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if value.micros < 0 {
        out.push(b'-');
    } else if after_negative {
        out.push(b'+');
    }
    // The smallest value has no positive counterpart, and rounds by one microsecond.
    clock(value.micros.checked_abs().unwrap_or(i64::MAX), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_go_beyond_four_digits_and_before_christ() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (10_957, "2000-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-735_160, "0044-03-15 BC"),
            (2_932_897, "10000-01-01"),
            (19_782, "2024-02-29"),
        ] {
            assert_eq!(text(|out| date(days, out)), expected, "{days}");
        }
    }

    #[test]
    fn timestamps_have_no_trailing_zeros() {
        for (micros, expected) in [
            (0, "1970-01-01 00:00:00"),
            (1, "1970-01-01 00:00:00.000001"),
            (1_500_000, "1970-01-01 00:00:01.5"),
            (-1, "1969-12-31 23:59:59.999999"),
            (951_825_600_120_000, "2000-02-29 12:00:00.12"),
            (-719_163 * DAY, "0001-12-31 00:00:00 BC"),
        ] {
            assert_eq!(text(|out| timestamp(micros, out)), expected);
        }
    }

    #[test]
    fn moments_are_shown_by_the_clock_of_the_session() {
        let at = 1_720_000_000_000_000;
        assert_eq!(text(|out| timestamptz(at, Tz::UTC, out)), "2024-07-03 09:46:40+00");
        assert_eq!(text(|out| timestamptz(at, Tz::Europe__Berlin, out)), "2024-07-03 11:46:40+02");
        assert_eq!(text(|out| timestamptz(at, Tz::Asia__Kolkata, out)), "2024-07-03 15:16:40+05:30");
        assert_eq!(text(|out| timestamptz(at, Tz::America__St_Johns, out)), "2024-07-03 07:16:40-02:30");
        assert_eq!(text(|out| timestamptz(-4_000_000_000_000_000, Tz::Europe__Berlin, out)), "1843-03-31 17:46:48+00:53:28");
        assert_eq!(text(|out| timestamptz(i64::MAX, Tz::Europe__Berlin, out)).len(), "294247-01-10 05:00:54.775807+01".len());
    }

    #[test]
    fn intervals_sign_each_part_as_postgres_does() {
        let of = |months, days, micros| text(|out| interval(Interval { months, days, micros }, out));
        assert_eq!(of(0, 0, 0), "00:00:00");
        assert_eq!(of(14, 3, 14_706_789_000), "1 year 2 mons 3 days 04:05:06.789");
        assert_eq!(of(1, 1, 0), "1 mon 1 day");
        assert_eq!(of(-14, 0, 0), "-1 years -2 mons");
        assert_eq!(of(-1, 3, 4_000_000), "-1 mons +3 days 00:00:04");
        assert_eq!(of(0, -1, 4_000_000), "-1 days +00:00:04");
        assert_eq!(of(0, 0, -1_000_000), "-00:00:01");
        assert_eq!(of(0, 0, 100 * 3_600_000_000), "100:00:00");
    }

    #[test]
    fn a_moment_too_far_away_is_an_error_and_not_another_moment() {
        assert!(micros(i64::MAX, TimeUnit::Second).is_err());
        assert_eq!(micros(-1, TimeUnit::Nanosecond).unwrap(), -1);
    }

    proptest! {
        #[test]
        fn the_calendar_agrees_with_chrono(days in -90_000_000_i64..90_000_000) {
            use chrono::{Datelike as _, NaiveDate};
            let (year, month, day) = civil(days);
            prop_assert_eq!(days_of(year, month, day), days);
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
            if let Some(known) = epoch.checked_add_signed(chrono::TimeDelta::days(days)) {
                prop_assert_eq!((i64::from(known.year()), known.month(), known.day()), (year, u32::from(month), u32::from(day)));
            }
        }
    }
}
