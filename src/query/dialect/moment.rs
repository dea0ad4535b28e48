//! Dates and times as people write them, read as PostgreSQL reads them with `DateStyle` ISO, MDY.
//!
//! The forms are those of PostgreSQL's documentation, appendix B.1; years before Christ and the infinities are not read.

use chrono::{NaiveDate, NaiveTime, Timelike};
use chrono_tz::TZ_VARIANTS;

use super::super::functions::calendar::{MONTHS, WEEKDAYS, of_two_digits};

/// A day that depends on when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    /// This moment.
    Now,
    /// Midnight, so many days from today.
    Ahead(i8),
}

/// What was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Day(Day),
    At {
        date: Option<NaiveDate>,
        time: Option<NaiveTime>,
        /// As the engine reads it: `+02:00`, or a space and a name.
        zone: Option<String>,
    },
}

/// Why a text is no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    /// It looks like one, and has a field that is too large.
    pub(super) is_range: bool,
}

const SYNTAX: Wrong = Wrong { is_range: false };
const RANGE: Wrong = Wrong { is_range: true };

/// The longest text that is looked at.
const LONGEST: usize = 128;

/// Reads a text.
pub(super) fn read(text: &str) -> Result<Written, Wrong> {
    let lower = text.trim().to_ascii_lowercase();
    if lower.is_empty() || lower.len() > LONGEST || !lower.is_ascii() {
        return Err(SYNTAX);
    }
    match lower.as_str() {
        "now" => return Ok(Written::Day(Day::Now)),
        "today" => return Ok(Written::Day(Day::Ahead(0))),
        "tomorrow" => return Ok(Written::Day(Day::Ahead(1))),
        "yesterday" => return Ok(Written::Day(Day::Ahead(-1))),
        "epoch" => {
            let (date, time) = (NaiveDate::from_ymd_opt(1970, 1, 1), NaiveTime::from_hms_opt(0, 0, 0));
            return Ok(Written::At { date, time, zone: Some("+00:00".to_owned()) });
        }
        "allballs" => return Ok(Written::At { date: None, time: NaiveTime::from_hms_opt(0, 0, 0), zone: None }),
        _ => {}
    }
    let mut reader = Reader::default();
    for word in split(&lower) {
        reader.word(word)?;
    }
    reader.finish()
}

/// The words: at blanks and commas, and at the `T` between a date and a time.
fn split(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|word| !word.is_empty());
    let iso = |word: &str| word.find('t').filter(|at| word.get(..*at).is_some_and(|date| date.starts_with(|c: char| c.is_ascii_digit())));
    words
        .flat_map(|word| match iso(word).and_then(|at| Some((word.get(..at)?, word.get(at + 1..)?))) {
            Some((date, time)) => vec![date, time],
            None => vec![word],
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[derive(Default)]
struct Reader {
    /// Numbers of the date in the order in which they were written, with how many digits they had.
    numbers: Vec<(u32, usize)>,
    month: Option<u32>,
    /// How many numbers came before the month's name.
    before: usize,
    date: Option<NaiveDate>,
    time: Option<NaiveTime>,
    half: Option<bool>,
    zone: Option<String>,
}

impl Reader {
    fn word(&mut self, word: &str) -> Result<(), Wrong> {
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        if word.contains(':') || (self.has_date() && self.time.is_none() && digits && (word.len() == 6 || word.len() == 4)) {
            return self.clock(word);
        }
        if let Some(half) = [("am", false), ("pm", true)].into_iter().find_map(|(name, half)| (name == word).then_some(half)) {
            return if self.half.replace(half).is_some() { Err(SYNTAX) } else { Ok(()) };
        }
        if self.time.is_some() && word.starts_with(['+', '-']) {
            return self.offset(word);
        }
        if named(&WEEKDAYS, word).is_some() {
            return Ok(());
        }
        if let Some(zone) = zone_named(word) {
            return if self.zone.replace(zone).is_some() { Err(SYNTAX) } else { Ok(()) };
        }
        if self.date.is_some() {
            return Err(SYNTAX);
        }
        if digits && word.len() == 8 && self.numbers.is_empty() && self.month.is_none() {
            let parts = (word.get(..4), word.get(4..6), word.get(6..));
            let (Some(year), Some(month), Some(day)) = parts else { return Err(SYNTAX) };
            self.numbers = vec![(number(year)?, 4), (number(month)?, 2), (number(day)?, 2)];
            return Ok(());
        }
        for part in word.split(['-', '/', '.']) {
            match named(&MONTHS, part) {
                Some(month) => {
                    self.before = self.numbers.len();
                    if self.month.replace(month).is_some() {
                        return Err(SYNTAX);
                    }
                }
                None => self.numbers.push((number(part)?, part.len())),
            }
        }
        Ok(())
    }

    fn has_date(&self) -> bool {
        self.numbers.len() + usize::from(self.month.is_some()) == 3
    }

    /// `14:07:09.5`, with a zone close behind it or not.
    fn clock(&mut self, word: &str) -> Result<(), Wrong> {
        if self.time.is_some() {
            return Err(SYNTAX);
        }
        let end = word.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(word.len());
        let (clock, rest) = word.split_at_checked(end).ok_or(SYNTAX)?;
        let parts: Vec<&str> = if clock.contains(':') {
            clock.split(':').collect()
        } else {
            (0..clock.len()).step_by(2).filter_map(|at| clock.get(at..at + 2)).collect()
        };
        let (hours, minutes, seconds) = match parts.as_slice() {
            [hours, minutes] => (*hours, *minutes, "0"),
            [hours, minutes, seconds] => (*hours, *minutes, *seconds),
            _ => return Err(SYNTAX),
        };
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
        let micros = number(&digits)?;
        let time = NaiveTime::from_hms_micro_opt(number(hours)?, number(minutes)?, number(whole)?, micros);
        self.time = Some(time.ok_or(RANGE)?);
        match rest {
            "" => Ok(()),
            _ if rest.starts_with(['+', '-']) => self.offset(rest),
            "am" | "pm" => self.word(rest),
            _ => match zone_named(rest) {
                Some(zone) if self.zone.is_none() => {
                    self.zone = Some(zone);
                    Ok(())
                }
                _ => Err(SYNTAX),
            },
        }
    }

    /// `+02`, `-05:30`, `+0530`.
    fn offset(&mut self, word: &str) -> Result<(), Wrong> {
        let (sign, digits) = word.split_at_checked(1).ok_or(SYNTAX)?;
        let plain: String = digits.chars().filter(|c| *c != ':').collect();
        let (hours, minutes) = match plain.len() {
            1 | 2 => (number(&plain)?, 0),
            4 => (number(plain.get(..2).unwrap_or_default())?, number(plain.get(2..).unwrap_or_default())?),
            _ => return Err(SYNTAX),
        };
        if hours > 15 || minutes > 59 {
            return Err(RANGE);
        }
        match self.zone.replace(format!("{sign}{hours:02}:{minutes:02}")) {
            Some(_) => Err(SYNTAX),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Written, Wrong> {
        if let (Some(time), Some(half)) = (self.time, self.half) {
            let hour = time.hour();
            if !(1..=12).contains(&hour) {
                return Err(RANGE);
            }
            self.time = time.with_hour(hour % 12 + if half { 12 } else { 0 });
        } else if self.half.is_some() {
            return Err(SYNTAX);
        }
        let date = match (self.month, self.numbers.as_slice()) {
            (None, []) => None,
            // Year first where it looks like one, else month, day, year.
            (None, [(year, 3..), (month, _), (day, _)]) => Some((i64::from(*year), *month, *day)),
            (None, [(month, _), (day, _), year]) => Some((full(*year), *month, *day)),
            (Some(month), [first @ (_, 3..), (day, _)]) => Some((full(*first), month, *day)),
            (Some(month), [(day, _), year]) => Some((full(*year), month, *day)),
            _ => return Err(SYNTAX),
        };
        let date = date.map(|(year, month, day)| {
            let year = i32::try_from(year).ok().filter(|year| (1..=9999).contains(year));
            NaiveDate::from_ymd_opt(year.ok_or(RANGE)?, month, day).ok_or(RANGE)
        });
        let date = date.transpose()?;
        if date.is_none() && self.time.is_none() {
            return Err(SYNTAX);
        }
        Ok(Written::At { date, time: self.time, zone: self.zone })
    }
}

/// The year that digits say, of which there may be two.
fn full((year, digits): (u32, usize)) -> i64 {
    if digits < 3 { of_two_digits(year.into()) } else { year.into() }
}

fn number(digits: &str) -> Result<u32, Wrong> {
    let plain = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().map_err(|_| SYNTAX) } else { Err(SYNTAX) }
}

/// The number, from 1, of a name of which at least three letters are written.
fn named(names: &[&str], word: &str) -> Option<u32> {
    let place =
        names.iter().position(|name| word.len() >= 3 && name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))?;
    u32::try_from(place + 1).ok()
}

fn zone_named(word: &str) -> Option<String> {
    if matches!(word, "z" | "utc" | "gmt" | "zulu" | "ut") {
        return Some("+00:00".to_owned());
    }
    let zone = TZ_VARIANTS.iter().find(|zone| word.contains('/') && zone.name().eq_ignore_ascii_case(word))?;
    Some(format!(" {}", zone.name()))
}
