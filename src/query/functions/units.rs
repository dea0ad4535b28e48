//! The words for parts of dates and times: `year`, `years`, `isodow`, `epoch`.

use std::fmt;

use crate::error::{ErrorKind, Fault};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    IsoYear,
    Weekday,
    IsoWeekday,
    DayOfYear,
    Julian,
    Epoch,
    Zone,
    ZoneHour,
    ZoneMinute,
}

/// A unit and the words for it, the first of which names it.
const WORDS: &[(Unit, &[&str])] = &[
    (Unit::Microsecond, &["microsecond", "microseconds", "microsecon", "us", "usec", "usecs", "usecond", "useconds"]),
    (Unit::Millisecond, &["millisecond", "milliseconds", "millisecon", "ms", "msec", "msecs", "msecond", "mseconds"]),
    (Unit::Second, &["second", "seconds", "s", "sec", "secs"]),
    (Unit::Minute, &["minute", "minutes", "m", "min", "mins"]),
    (Unit::Hour, &["hour", "hours", "h", "hr", "hrs"]),
    (Unit::Day, &["day", "days", "d"]),
    (Unit::Week, &["week", "weeks", "w"]),
    (Unit::Month, &["month", "months", "mon", "mons"]),
    (Unit::Quarter, &["quarter", "qtr"]),
    (Unit::Year, &["year", "years", "y", "yr", "yrs"]),
    (Unit::Decade, &["decade", "decades", "dec", "decs"]),
    (Unit::Century, &["century", "centuries", "c", "cent"]),
    (Unit::Millennium, &["millennium", "millennia", "mil", "mils"]),
    (Unit::IsoYear, &["isoyear"]),
    (Unit::Weekday, &["dow"]),
    (Unit::IsoWeekday, &["isodow"]),
    (Unit::DayOfYear, &["doy"]),
    (Unit::Julian, &["julian", "j", "jd"]),
    (Unit::Epoch, &["epoch"]),
    (Unit::Zone, &["timezone"]),
    (Unit::ZoneHour, &["timezone_hour", "timezone_h"]),
    (Unit::ZoneMinute, &["timezone_minute", "timezone_m"]),
];

impl Unit {
    /// The unit that a word names, for values of the type that `of` is PostgreSQL's name of.
    pub(super) fn named(word: &str, of: &str) -> Result<Self, Fault> {
        let lower = word.to_ascii_lowercase();
        let found = WORDS.iter().find(|(_, words)| words.contains(&lower.as_str())).map(|(unit, _)| *unit);
        found.ok_or_else(|| unknown(&lower, of))
    }

    /// The same, of what a value can be cut to.
    pub(super) fn length_named(word: &str, of: &str) -> Result<Self, Fault> {
        match Self::named(word, of)? {
            Self::IsoYear | Self::Weekday | Self::IsoWeekday | Self::DayOfYear | Self::Julian | Self::Epoch => {
                Err(unknown(&word.to_ascii_lowercase(), of))
            }
            unit => Ok(unit),
        }
    }

    /// The unit exists, but not in values of that type.
    pub(super) fn not_in(self, of: &str) -> Fault {
        Fault::new(ErrorKind::Unsupported, format!("unit \"{self}\" not supported for type {of}"))
    }
}

fn unknown(word: &str, of: &str) -> Fault {
    let shown: String = word.chars().take(60).collect();
    Fault::new(ErrorKind::InvalidParameter, format!("unit \"{shown}\" not recognized for type {of}"))
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(unit, _)| unit == self).and_then(|(_, words)| words.first());
        f.write_str(word.copied().unwrap_or_default())
    }
}
