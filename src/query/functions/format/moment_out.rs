//! A date or time, written by a template.

use std::borrow::Cow;

use crate::error::{ErrorKind, Fault, Result};

use super::super::calendar::{self, DAY, JULIAN_OF_EPOCH, MONTHS, WEEKDAYS};
use super::moment::{Case, Field, Item, Moment, Place};

pub(super) const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// The zone of a time that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offset {
    /// East of Greenwich.
    pub(super) seconds: i64,
    pub(super) abbreviation: Cow<'static, str>,
}

/// What a template's fields are filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// 0 is 1 BC; of an interval, its years.
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    /// Of an interval, its days with 360 to a year.
    pub(super) day_of_year: i64,
    /// Days since 1970-01-01.
    pub(super) days: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) micros: i64,
    pub(super) offset: Option<Offset>,
    pub(super) interval: bool,
}

impl Parts {
    /// Of a time in microseconds since 1970-01-01, as clocks there show it.
    pub(super) fn of_moment(local: i64, offset: Option<Offset>) -> Self {
        let days = local.div_euclid(DAY);
        let (year, month, day) = calendar::civil(days);
        let day_of_year = days - calendar::days_of(year, 1, 1) + 1;
        Self { year, month, day, day_of_year, days, offset, ..Self::of_clock(local.rem_euclid(DAY)) }
    }

    pub(super) fn of_interval(months: i32, days: i32, micros: i64) -> Self {
        let (year, month, day) = (i64::from(months / 12), i64::from(months % 12), i64::from(days));
        let day_of_year = (year * 12 + month) * 30 + day;
        let date = calendar::days_of(year, month, day);
        Self { year, month, day, day_of_year, days: date, interval: true, ..Self::of_clock(micros) }
    }

    fn of_clock(micros: i64) -> Self {
        let (hour, rest) = (micros / 3_600_000_000, micros % 3_600_000_000);
        let (minute, rest) = (rest / 60_000_000, rest % 60_000_000);
        let (second, micros) = (rest / 1_000_000, rest % 1_000_000);
        Self { year: 0, month: 0, day: 0, day_of_year: 0, days: 0, hour, minute, second, micros, offset: None, interval: false }
    }

    /// The year as people count it: there is none that is 0.
    fn shown(&self, year: i64) -> i64 {
        if self.interval || year > 0 { year } else { 1 - year }
    }
}

impl Moment {
    /// Appends `parts` as the template says.
    pub(super) fn write(&self, parts: &Parts, out: &mut String) -> Result<()> {
        for item in &self.items {
            match item {
                Item::Char(c) | Item::Space(c) | Item::Separator(c) => out.push(*c),
                Item::Exact => {}
                Item::Field(place) => place.write(parts, out)?,
            }
        }
        Ok(())
    }
}

impl Place {
    fn write(&self, parts: &Parts, out: &mut String) -> Result<()> {
        if parts.interval && self.needs_a_date() {
            return Err(Fault::new(ErrorKind::InvalidDatetime, "invalid format specification for an interval value")
                .with_hint("Intervals are not tied to specific calendar dates."));
        }
        match self.number(parts) {
            Some(number) => {
                out.push_str(&number);
                if let Some(case) = self.ordinal
                    && !number.is_empty()
                {
                    out.push_str(ordinal(&number, case));
                }
            }
            None => self.word(parts, out),
        }
        Ok(())
    }

    fn needs_a_date(&self) -> bool {
        matches!(
            self.field,
            Field::Era { .. }
                | Field::MonthName
                | Field::MonthAbbreviated
                | Field::DayName
                | Field::DayAbbreviated
                | Field::Weekday
                | Field::IsoWeekday
                | Field::Zone
                | Field::ZoneHours
                | Field::ZoneMinutes
                | Field::ZoneOffset
        )
    }

    /// The digits of a field that has some: empty where an interval has none to show.
    fn number(&self, parts: &Parts) -> Option<String> {
        let fill = |value: i64, width: usize| Some(if self.bare { value.to_string() } else { format!("{value:0width$}") });
        // A sign is one place more.
        let signed = |value: i64, width: usize| fill(value, width + usize::from(value < 0));
        let plain = |value: i64| Some(value.to_string());
        let weekday = calendar::iso_weekday(parts.days);
        let of_year = |year: i64, digits: u8| {
            let value = if digits == 4 { year } else { year % 10i64.pow(u32::from(digits)) };
            fill(value, usize::from(digits) + usize::from(parts.shown(parts.year) < 0))
        };
        match self.field {
            Field::Hour12 => fill(if parts.hour % 12 == 0 { 12 } else { parts.hour % 12 }, 2 + usize::from(parts.hour < 0)),
            Field::Hour24 => signed(parts.hour, 2),
            Field::Minute => signed(parts.minute, 2),
            Field::Second => signed(parts.second, 2),
            Field::Fraction(digits) => {
                let width = usize::from(digits);
                Some(format!("{:0width$}", parts.micros / 10i64.pow(6 - u32::from(digits.min(6)))))
            }
            Field::Millisecond => Some(format!("{:03}", parts.micros / 1_000)),
            Field::Microsecond => Some(format!("{:06}", parts.micros)),
            Field::SecondOfDay => plain(parts.hour * 3_600 + parts.minute * 60 + parts.second),
            Field::Day => fill(parts.day, 2),
            Field::DayOfYear => fill(parts.day_of_year, 3),
            Field::IsoDayOfYear => {
                let (year, _) = calendar::iso_week(parts.days);
                fill(parts.days - calendar::iso_year_start(year) + 1, 3)
            }
            Field::Weekday => plain(weekday % 7 + 1),
            Field::IsoWeekday => plain(weekday),
            Field::WeekOfYear => fill((parts.day_of_year - 1) / 7 + 1, 2),
            Field::WeekOfMonth => plain((parts.day - 1) / 7 + 1),
            Field::IsoWeek => fill(calendar::iso_week(parts.days).1, 2),
            Field::Julian => plain(parts.days + JULIAN_OF_EPOCH),
            Field::Month => signed(parts.month, 2),
            Field::Quarter if parts.month == 0 => Some(String::new()),
            Field::Quarter => plain((parts.month - 1) / 3 + 1),
            Field::Century => signed(
                match parts.year {
                    year if parts.interval => year / 100,
                    year if year > 0 => (year - 1) / 100 + 1,
                    year => year / 100 - 1,
                },
                2,
            ),
            Field::YearWithComma => {
                let year = parts.shown(parts.year);
                Some(format!("{},{:03}", year / 1_000, year % 1_000))
            }
            Field::Year(digits) => of_year(parts.shown(parts.year), digits),
            Field::IsoYear(digits) => of_year(parts.shown(calendar::iso_week(parts.days).0), digits),
            _ => None,
        }
    }

    /// A field of letters, or of a zone.
    fn word(&self, parts: &Parts, out: &mut String) {
        let width = |width: usize| if self.bare || self.translated { 0 } else { width };
        let month = || usize::try_from(parts.month - 1).ok();
        let weekday = || usize::try_from(calendar::iso_weekday(parts.days) - 1).ok().and_then(|day| WEEKDAYS.get(day)).copied();
        let (word, width) = match self.field {
            Field::Half { points } => (half(parts.hour % 24 >= 12, points), 0),
            Field::Era { points } => (era(parts.year <= 0, points), 0),
            Field::MonthName => (month().and_then(|m| MONTHS.get(m)).copied().unwrap_or_default(), width(9)),
            Field::MonthAbbreviated => (month().and_then(|m| MONTHS.get(m)).and_then(|name| name.get(..3)).unwrap_or_default(), 0),
            Field::DayName => (weekday().unwrap_or_default(), width(9)),
            Field::DayAbbreviated => (weekday().and_then(|name| name.get(..3)).unwrap_or_default(), 0),
            Field::MonthRoman => match roman(parts) {
                Some(roman) => (roman, if self.bare { 0 } else { 4 }),
                None => return,
            },
            _ => return self.zone(parts, out),
        };
        let word = match self.case {
            Case::Upper => word.to_ascii_uppercase(),
            Case::Lower => word.to_ascii_lowercase(),
            Case::Title => word.to_owned(),
        };
        out.push_str(&format!("{word:<width$}"));
    }

    fn zone(&self, parts: &Parts, out: &mut String) {
        let (seconds, abbreviation) = match &parts.offset {
            Some(offset) => (offset.seconds, offset.abbreviation.as_ref()),
            None => (0, ""),
        };
        let sign = if seconds < 0 { '-' } else { '+' };
        let (hours, minutes) = (seconds.abs() / 3_600, seconds.abs() % 3_600 / 60);
        match self.field {
            Field::Zone if self.case == Case::Lower => out.push_str(&abbreviation.to_ascii_lowercase()),
            Field::Zone => out.push_str(abbreviation),
            Field::ZoneHours => out.push_str(&format!("{sign}{hours:02}")),
            Field::ZoneMinutes => out.push_str(&format!("{minutes:02}")),
            _ => {
                let width = if self.bare { 0 } else { 2 };
                out.push_str(&format!("{sign}{hours:0width$}"));
                if minutes != 0 {
                    out.push_str(&format!(":{minutes:02}"));
                }
            }
        }
    }
}

fn half(afternoon: bool, points: bool) -> &'static str {
    match (afternoon, points) {
        (false, false) => "AM",
        (true, false) => "PM",
        (false, true) => "A.M.",
        (true, true) => "P.M.",
    }
}

fn era(before: bool, points: bool) -> &'static str {
    match (before, points) {
        (false, false) => "AD",
        (true, false) => "BC",
        (false, true) => "A.D.",
        (true, true) => "B.C.",
    }
}

/// The month of a year in Roman numbers. An interval of whole years ends where its last year does, and months of a negative one count
/// from there.
fn roman(parts: &Parts) -> Option<&'static str> {
    if parts.month == 0 && parts.year == 0 {
        return None;
    }
    let month = match parts.month {
        0 if parts.year > 0 => 12,
        0 => 1,
        month if month < 0 => 13 + month,
        month => month,
    };
    ROMAN.get(usize::try_from(month - 1).ok()?).copied()
}

/// The English ending of a number.
pub(super) fn ordinal(number: &str, case: Case) -> &'static str {
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
    let teen = digits.len() > 1 && digits.get(digits.len() - 2) == Some(&b'1');
    let lower = case == Case::Lower;
    match digits.last() {
        Some(b'1') if !teen => {
            if lower {
                "st"
            } else {
                "ST"
            }
        }
        Some(b'2') if !teen => {
            if lower {
                "nd"
            } else {
                "ND"
            }
        }
        Some(b'3') if !teen => {
            if lower {
                "rd"
            } else {
                "RD"
            }
        }
        _ => {
            if lower {
                "th"
            } else {
                "TH"
            }
        }
    }
}
