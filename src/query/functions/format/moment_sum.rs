//! The moment that follows from what a text said.

use crate::error::{ErrorKind, Fault, Result};

use super::super::calendar::{self, JULIAN_OF_EPOCH};
use super::moment_in::{Convention, Said};

/// A date and a time of day, with the offset from UTC where one was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    /// Since 1970-01-01.
    pub(super) days: i64,
    /// Since midnight.
    pub(super) micros: i64,
    /// East of Greenwich.
    pub(super) offset_seconds: Option<i64>,
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::InvalidDatetime, message)
}

fn overflow(text: &str) -> Fault {
    let shown: String = text.chars().take(60).collect();
    Fault::new(ErrorKind::DatetimeOverflow, format!("date/time field value out of range: \"{shown}\""))
}

impl Said {
    /// Adds everything up. `text` is what was read, for messages.
    pub(super) fn sum(&self, text: &str) -> Result<Sum> {
        let hour = self.hour_of_day()?;
        let days = self.date(text)?;
        let micros = self.time(hour, text)?;
        let offset_seconds = match self.zone_sign {
            0 => None,
            sign => {
                if !(0..=15).contains(&self.zone_hours) || !(0..60).contains(&self.zone_minutes) {
                    return Err(Fault::new(ErrorKind::DatetimeOverflow, format!("time zone displacement out of range: \"{text}\"")));
                }
                Some(sign * (self.zone_hours * 3_600 + self.zone_minutes * 60))
            }
        };
        Ok(Sum { days, micros, offset_seconds })
    }

    fn hour_of_day(&self) -> Result<i64> {
        let hour = if self.hour == 0 { self.second_of_day / 3_600 } else { self.hour };
        if !self.twelve {
            return Ok(hour);
        }
        if !(1..=12).contains(&hour) {
            return Err(invalid(format!("hour \"{hour}\" is invalid for the 12-hour clock"))
                .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
        }
        Ok(hour % 12 + if self.afternoon { 12 } else { 0 })
    }

    fn time(&self, hour: i64, text: &str) -> Result<i64> {
        let minute = if self.minute == 0 { self.second_of_day % 3_600 / 60 } else { self.minute };
        let second = if self.second == 0 { self.second_of_day % 60 } else { self.second };
        let micros = self.millis * 1_000 + self.micros;
        let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second) && (0..1_000_000).contains(&micros);
        if !fits {
            return Err(overflow(text));
        }
        let unit = 10i64.pow(6 - u32::from(self.precision.unwrap_or(6).min(6)));
        let micros = (micros + unit / 2) / unit * unit;
        Ok(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
    }

    /// The year, where one was given or follows from a century. 0 is 1 BC.
    fn year_given(&self) -> Option<i64> {
        let century = if self.before_christ != 0 { -self.century } else { self.century };
        match (self.year, century) {
            (0, 0) => None,
            (0, century) if century > 0 => Some((century - 1) * 100 + 1),
            (0, century) => Some(century * 100 + 1),
            (year, century) if century != 0 && self.year_digits <= 2 => Some(match (year % 100, century > 0) {
                (0, true) => century * 100,
                (0, false) => century * 100 + 1,
                (year, true) => (century - 1) * 100 + year,
                (year, false) => (century + 1) * 100 - year + 1,
            }),
            (year, _) => {
                let year = if self.before_christ != 0 { -year } else { year };
                Some(if year < 0 { year + 1 } else { year })
            }
        }
    }

    fn date(&self, text: &str) -> Result<i64> {
        let iso = self.convention == Some(Convention::Iso);
        let given = self.year_given();
        let (mut year, mut month, mut day) = (given.unwrap_or(0), 1, 1);
        let (mut month_given, mut day_given) = (false, false);
        let mut day_of_year = self.day_of_year;
        let mut found = given.is_some();
        if self.julian != 0 {
            (year, month, day) = calendar::civil(self.julian - JULIAN_OF_EPOCH);
            (found, month_given, day_given) = (true, true, true);
        }
        if self.week != 0 && iso {
            // Sunday, the first day of PostgreSQL's week, is the last of this one.
            let weekday = match self.weekday {
                0 => 0,
                day if day > 1 => day - 2,
                _ => 6,
            };
            let start = calendar::iso_year_start(year);
            (year, month, day) = calendar::civil(start.saturating_add((self.week - 1) * 7 + weekday));
            (found, month_given, day_given) = (true, true, true);
        } else if self.week != 0 {
            day_of_year = (self.week - 1) * 7 + 1;
        }
        let day_said = if self.week_of_month != 0 { (self.week_of_month - 1) * 7 + 1 } else { self.day };
        if day_said != 0 {
            (day, day_given) = (day_said, true);
        }
        if self.month != 0 {
            (month, month_given) = (self.month, true);
        }
        if day_of_year != 0 && (month <= 1 || day <= 1) {
            if year == 0 && self.before_christ == 0 {
                return Err(invalid("cannot calculate day of year without year information"));
            }
            let start = if iso { calendar::iso_year_start(year) } else { calendar::days_of(year, 1, 1) };
            let (y, m, d) = calendar::civil(start.saturating_add(day_of_year - 1));
            if iso {
                (year, month, day) = (y, m, d);
            } else {
                if month <= 1 {
                    month = m;
                }
                if day <= 1 {
                    day = d;
                }
                if y != year {
                    return Err(overflow(text));
                }
            }
            (month_given, day_given) = (true, true);
        }
        let month_fits = !month_given || (1..=12).contains(&month);
        let day_fits = !day_given || (1..=31).contains(&day);
        let exists = !(found && month_given && day_given) || day <= calendar::days_in_month(year, month);
        if !(month_fits && day_fits && exists) {
            return Err(overflow(text));
        }
        Ok(calendar::days_of(year, month, day))
    }
}
