//! The months that bills are made of.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};

/// A calendar month (UTC), written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(NaiveDate);

impl Month {
    /// The month that a moment lies in.
    pub fn of(at: DateTime<Utc>) -> Self {
        let day = at.date_naive();
        Self(day.with_day(1).unwrap_or(day))
    }

    /// The month that a moment lies in, given in microseconds since 1970.
    pub(super) fn of_micros(at: i64) -> Self {
        Self::of(DateTime::from_timestamp_micros(at).unwrap_or_default())
    }

    /// Its first day.
    pub fn first_day(self) -> NaiveDate {
        self.0
    }

    /// The month after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX))
    }

    /// The first moment after it.
    pub fn end(self) -> DateTime<Utc> {
        self.next().0.and_time(NaiveTime::MIN).and_utc()
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let well_formed =
            text.len() == 7 && text.bytes().enumerate().all(|(at, byte)| if at == 4 { byte == b'-' } else { byte.is_ascii_digit() });
        let day = well_formed.then(|| format!("{text}-01").parse().ok()).flatten();
        day.map(Self).ok_or_else(|| format!("`{text}` is not a month: write it as 2026-11"))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.format("%Y-%m").fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_four_digits_and_two() {
        for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "+026-11", "2026/11", "november"] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
        let december = "2026-12".parse::<Month>().expect("a month");
        assert_eq!((december.to_string(), december.next().to_string()), ("2026-12".into(), "2027-01".into()));
        assert_eq!(Month::of_micros(december.end().timestamp_micros() - 1), december);
        assert_eq!(Month::of(december.end()), december.next());
    }
}
