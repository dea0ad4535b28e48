//! A date or time, read by a template: what the text says of each field. What follows from that is in [`super::moment_sum`].

use crate::error::{ErrorKind, Fault, Result};

use super::super::calendar::{MONTHS, WEEKDAYS, of_two_digits};
use super::moment::{Field, Item, Moment, Place, is_separator};
use super::moment_out::ROMAN;

/// Whether a date is told by the year, month and day, or by the weeks of ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convention {
    Gregorian,
    Iso,
}

/// What a text said. Nothing and zero are the same, as in PostgreSQL.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) convention: Option<Convention>,
    pub(super) hour: i64,
    pub(super) afternoon: bool,
    /// The hour is of a clock of twelve.
    pub(super) twelve: bool,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) second_of_day: i64,
    pub(super) millis: i64,
    pub(super) micros: i64,
    /// How many digits of the second the template keeps: those of `FF1` to `FF6`.
    pub(super) precision: Option<u8>,
    /// Sunday is 1.
    pub(super) weekday: i64,
    pub(super) day: i64,
    pub(super) day_of_year: i64,
    pub(super) month: i64,
    pub(super) year: i64,
    /// How many digits of the year the template has.
    pub(super) year_digits: u8,
    pub(super) before_christ: i64,
    pub(super) week: i64,
    pub(super) week_of_month: i64,
    pub(super) century: i64,
    pub(super) julian: i64,
    /// 1 or -1 where a zone was given.
    pub(super) zone_sign: i64,
    pub(super) zone_hours: i64,
    pub(super) zone_minutes: i64,
    halves: i64,
}

fn fault(message: String) -> Fault {
    Fault::new(ErrorKind::InvalidDatetime, message)
}

/// A text, of which a part has been read.
struct Reader<'a> {
    all: &'a str,
    at: usize,
    exact: bool,
    /// Blanks that were passed without the template's having asked for them.
    extra: i64,
}

impl Moment {
    /// What `text` says by this template. Where it ends early, the rest is not said; what comes after the template is not read.
    pub(super) fn read(&self, text: &str) -> Result<Said> {
        let mut said = Said::default();
        let mut reader = Reader { all: text, at: 0, exact: false, extra: 0 };
        for (index, item) in self.items.iter().enumerate() {
            if reader.rest().is_empty() {
                break;
            }
            if !reader.exact && (index == 0 || matches!(item, Item::Field(_))) {
                reader.extra += reader.blanks();
            }
            match item {
                Item::Space(_) | Item::Separator(_) => reader.separator(),
                Item::Char(_) if reader.exact || reader.extra <= 0 => reader.skip(1),
                Item::Char(_) => reader.extra -= 1,
                Item::Exact => reader.exact = true,
                Item::Field(place) => {
                    place.read(&mut reader, &mut said, self.ends_after(index))?;
                    if !reader.exact {
                        reader.extra = reader.blanks();
                    }
                }
            }
        }
        Ok(said)
    }

    /// Whether what follows an item cannot be taken for one of its digits.
    fn ends_after(&self, index: usize) -> bool {
        match self.items.get(index + 1) {
            Some(Item::Field(next)) => !next.field.is_number(),
            Some(Item::Char(c) | Item::Space(c) | Item::Separator(c)) => !c.is_ascii_digit(),
            Some(Item::Exact) | None => true,
        }
    }
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, characters: usize) {
        self.at += self.rest().chars().take(characters).map(char::len_utf8).sum::<usize>();
    }

    fn blanks(&mut self) -> i64 {
        let before = self.at;
        while self.next().is_some_and(is_blank) {
            self.at += 1;
        }
        i64::try_from(self.at - before).unwrap_or(i64::MAX)
    }

    /// A separator of the template: one of the text, whichever, or none.
    fn separator(&mut self) {
        if self.exact {
            return self.skip(1);
        }
        self.extra -= 1;
        if self.next().is_some_and(|c| is_blank(c) || is_separator(c)) {
            self.skip(1);
            self.extra += 1;
        }
    }

    /// The text up to the next blank, for messages.
    fn word(&self) -> String {
        self.rest().chars().take_while(|c| !is_blank(*c)).take(40).collect()
    }
}

/// Keeps a value, unless another was given before.
fn set(slot: &mut i64, value: i64, place: &Place) -> Result<()> {
    if *slot != 0 && *slot != value {
        return Err(fault(format!("conflicting values for \"{}\" field in formatting string", place.word))
            .with_detail("This value contradicts a previous setting for the same field type."));
    }
    *slot = value;
    Ok(())
}

impl Place {
    fn convention(&self) -> Option<Convention> {
        match self.field {
            Field::IsoYear(_) | Field::IsoWeek | Field::IsoWeekday | Field::IsoDayOfYear => Some(Convention::Iso),
            Field::Month
            | Field::MonthName
            | Field::MonthAbbreviated
            | Field::MonthRoman
            | Field::DayOfYear
            | Field::Day
            | Field::Weekday
            | Field::WeekOfYear
            | Field::WeekOfMonth
            | Field::YearWithComma
            | Field::Year(_) => Some(Convention::Gregorian),
            _ => None,
        }
    }

    fn read(&self, reader: &mut Reader<'_>, said: &mut Said, ends: bool) -> Result<()> {
        if let Some(convention) = self.convention()
            && *said.convention.get_or_insert(convention) != convention
        {
            return Err(fault("invalid combination of date conventions".to_owned())
                .with_hint("Do not mix Gregorian and ISO week date conventions in a formatting template."));
        }
        let free = self.bare || self.ordinal.is_some() || ends;
        let mut number = |width: usize| self.integer(reader, width, free);
        match self.field {
            Field::Hour12 | Field::Hour24 => {
                set(&mut said.hour, number(2)?.0, self)?;
                if self.field == Field::Hour12 {
                    said.twelve = true;
                }
            }
            Field::Minute => set(&mut said.minute, number(2)?.0, self)?,
            Field::Second => set(&mut said.second, number(2)?.0, self)?,
            Field::SecondOfDay => set(&mut said.second_of_day, number(self.word.len())?.0, self)?,
            Field::Millisecond => {
                let (value, digits) = number(3)?;
                set(&mut said.millis, value, self)?;
                said.millis = scaled(value, digits, 3);
            }
            Field::Microsecond => {
                let (value, digits) = number(6)?;
                set(&mut said.micros, value, self)?;
                said.micros = scaled(value, digits, 6);
            }
            Field::Fraction(width) => {
                let (value, digits) = number(usize::from(width))?;
                set(&mut said.micros, value, self)?;
                said.micros = scaled(value, digits, 6);
                said.precision = Some(width);
            }
            Field::Month => set(&mut said.month, number(2)?.0, self)?,
            Field::Day => set(&mut said.day, number(2)?.0, self)?,
            Field::DayOfYear | Field::IsoDayOfYear => set(&mut said.day_of_year, number(3)?.0, self)?,
            Field::Weekday => set(&mut said.weekday, number(1)?.0, self)?,
            Field::IsoWeekday => {
                let day = number(1)?.0;
                set(&mut said.weekday, day, self)?;
                said.weekday = if day + 1 > 7 { 1 } else { day + 1 };
            }
            Field::WeekOfYear | Field::IsoWeek => set(&mut said.week, number(2)?.0, self)?,
            Field::WeekOfMonth => set(&mut said.week_of_month, number(1)?.0, self)?,
            // A quarter names no day.
            Field::Quarter => drop(number(1)?),
            Field::Century => set(&mut said.century, number(2)?.0, self)?,
            Field::Julian => set(&mut said.julian, number(1)?.0, self)?,
            Field::Year(width) | Field::IsoYear(width) => {
                let (value, digits) = number(usize::from(width))?;
                set(&mut said.year, value, self)?;
                if width < 4 && digits < 4 {
                    said.year = near_2020(value);
                }
                said.year_digits = width;
            }
            Field::ZoneHours => {
                match reader.next() {
                    Some(sign @ ('+' | '-' | ' ')) => {
                        said.zone_sign = if sign == '-' { -1 } else { 1 };
                        reader.skip(1);
                    }
                    _ => {
                        let passed = reader.all.get(..reader.at).unwrap_or_default();
                        said.zone_sign = if reader.extra > 0 && passed.ends_with('-') { -1 } else { 1 };
                    }
                }
                set(&mut said.zone_hours, self.integer(reader, 2, free)?.0, self)?;
                return Ok(());
            }
            Field::ZoneMinutes => {
                set(&mut said.zone_minutes, number(2)?.0, self)?;
                if said.zone_sign == 0 {
                    said.zone_sign = 1;
                }
                return Ok(());
            }
            _ => return self.read_word(reader, said),
        }
        if self.ordinal.is_some() {
            reader.skip(2);
        }
        Ok(())
    }

    fn read_word(&self, reader: &mut Reader<'_>, said: &mut Said) -> Result<()> {
        let abbreviated = |names: &[&'static str]| names.iter().map(|name| name.get(..3).unwrap_or(name)).collect::<Vec<_>>();
        let pick = |reader: &mut Reader<'_>, names: &[&str]| self.pick(reader, names);
        match self.field {
            Field::Half { points } => {
                let names = if points { ["a.m.", "p.m."] } else { ["am", "pm"] };
                let half = pick(reader, &names)?;
                set(&mut said.halves, half, self)?;
                (said.afternoon, said.twelve) = (half == 1, true);
            }
            Field::Era { points } => {
                let names = if points { ["a.d.", "b.c."] } else { ["ad", "bc"] };
                set(&mut said.before_christ, pick(reader, &names)?, self)?;
            }
            Field::MonthName => set(&mut said.month, pick(reader, &MONTHS)? + 1, self)?,
            Field::MonthAbbreviated => set(&mut said.month, pick(reader, &abbreviated(&MONTHS))? + 1, self)?,
            Field::MonthRoman => {
                // The longer of two that begin alike.
                let mut names = ROMAN;
                names.reverse();
                set(&mut said.month, 12 - pick(reader, &names)?, self)?;
            }
            Field::DayName | Field::DayAbbreviated => {
                let names = if self.field == Field::DayName { WEEKDAYS.to_vec() } else { abbreviated(&WEEKDAYS) };
                let monday = pick(reader, &names)?;
                let sunday = (monday + 1) % 7;
                set(&mut said.weekday, sunday, self)?;
                said.weekday += 1;
            }
            Field::YearWithComma => self.read_year_with_comma(reader, said)?,
            _ => {
                let message = format!("formatting field \"{}\" is only supported in to_char", self.word);
                return Err(Fault::new(ErrorKind::Unsupported, message));
            }
        }
        Ok(())
    }

    /// The place in a list of names of the one that the text goes on with.
    fn pick(&self, reader: &mut Reader<'_>, names: &[&str]) -> Result<i64> {
        let rest = reader.rest().as_bytes();
        let found = names.iter().position(|name| rest.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name.as_bytes())));
        let Some((index, name)) = found.and_then(|index| Some((index, names.get(index)?))) else {
            return Err(fault(format!("invalid value \"{}\" for \"{}\"", reader.word(), self.word))
                .with_detail("The given value did not match any of the allowed values for this field."));
        };
        reader.at += name.len();
        Ok(i64::try_from(index).unwrap_or(0))
    }

    fn read_year_with_comma(&self, reader: &mut Reader<'_>, said: &mut Said) -> Result<()> {
        let invalid = || fault("invalid input string for \"Y,YYY\"".to_owned());
        let integer = |text: &str, most: usize| {
            let blanks = text.len() - text.trim_ascii_start().len();
            let sign = usize::from(text.get(blanks..).is_some_and(|text| text.starts_with(['-', '+'])));
            let digits = text.bytes().take(blanks + most).skip(blanks + sign).take_while(u8::is_ascii_digit).count();
            let end = blanks + sign + digits;
            text.get(blanks..end).and_then(|text| text.parse::<i64>().ok()).map(|value| (value, end))
        };
        let rest = reader.rest();
        let (head, thousands) = integer(rest, 10).ok_or_else(invalid)?;
        let tail = rest.get(thousands..).and_then(|rest| rest.strip_prefix(',')).ok_or_else(invalid)?;
        let (tail, years) = integer(tail, 3).ok_or_else(invalid)?;
        reader.at += thousands + 1 + years;
        let year = Some(head * 1_000 + tail).filter(|year| i32::try_from(*year).is_ok());
        let out_of_range = || fault("value for \"Y,YYY\" in source string is out of range".to_owned());
        set(&mut said.year, year.ok_or_else(out_of_range)?, self)?;
        said.year_digits = 4;
        Ok(())
    }

    /// A number and how many characters it has, blanks included: up to `width`, or as many as there are where nothing could be mistaken
    /// for one.
    fn integer(&self, reader: &mut Reader<'_>, width: usize, free: bool) -> Result<(i64, usize)> {
        let start = reader.at;
        reader.blanks();
        let rest = reader.rest();
        let there = rest.chars().take(width).count();
        if !free && there < width {
            return Err(fault(format!("source string too short for \"{}\" formatting field", self.word))
                .with_detail(format!("Field requires {width} characters, but only {there} remain."))
                .with_hint("If your source string is not fixed-width, try using the \"FM\" modifier."));
        }
        let part: String = rest.chars().take(width).collect();
        let text = if free { rest } else { part.as_str() };
        let sign = usize::from(text.starts_with(['-', '+']));
        let length = sign + text.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
        if length == sign {
            return Err(fault(format!("invalid value \"{part}\" for \"{}\"", self.word)).with_detail("Value must be an integer."));
        }
        if !free && length < part.len() {
            return Err(fault(format!("invalid value \"{part}\" for \"{}\"", self.word))
                .with_detail(format!("Field requires {width} characters, but only {length} could be parsed."))
                .with_hint("If your source string is not fixed-width, try using the \"FM\" modifier."));
        }
        let value = text.get(..length).and_then(|text| text.parse::<i32>().ok()).ok_or_else(|| {
            Fault::new(ErrorKind::DatetimeOverflow, format!("value for \"{}\" in source string is out of range", self.word))
                .with_detail(format!("Value must be in the range {} to {}.", i32::MIN, i32::MAX))
        })?;
        reader.at += length;
        Ok((i64::from(value), reader.at - start))
    }
}

/// The digits of a fraction as so many.
fn scaled(value: i64, digits: usize, to: usize) -> i64 {
    (digits..to).fold(value, |value, _| value * 10)
}

/// A year of less than four digits is the one next to 2020.
fn near_2020(year: i64) -> i64 {
    match year {
        i64::MIN..=99 => of_two_digits(year),
        100..=519 => year + 2_000,
        520..=999 => year + 1_000,
        _ => year,
    }
}
