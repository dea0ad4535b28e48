//! Intervals as people write them: PostgreSQL's own form, SQL's, and ISO 8601's.

use super::super::functions::calendar::DAY;

/// What an interval is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parts {
    pub(super) months: i64,
    pub(super) days: i64,
    pub(super) micros: i64,
}

const SECOND: i64 = 1_000_000;
/// Largest interval in any unit: ten thousand years and more.
const MOST: f64 = 1e17;

/// Units with what one of them is.
const UNITS: [(&[&str], Parts); 13] = [
    (&["us", "usec", "usecs", "microsecond", "microseconds"], Parts { months: 0, days: 0, micros: 1 }),
    (&["ms", "msec", "msecs", "millisecond", "milliseconds"], Parts { months: 0, days: 0, micros: 1_000 }),
    (&["s", "sec", "secs", "second", "seconds"], Parts { months: 0, days: 0, micros: SECOND }),
    (&["m", "min", "mins", "minute", "minutes"], Parts { months: 0, days: 0, micros: 60 * SECOND }),
    (&["h", "hr", "hrs", "hour", "hours"], Parts { months: 0, days: 0, micros: 3_600 * SECOND }),
    (&["d", "day", "days"], Parts { months: 0, days: 1, micros: 0 }),
    (&["w", "week", "weeks"], Parts { months: 0, days: 7, micros: 0 }),
    (&["mon", "mons", "month", "months"], Parts { months: 1, days: 0, micros: 0 }),
    (&["quarter", "quarters"], Parts { months: 3, days: 0, micros: 0 }),
    (&["y", "yr", "yrs", "year", "years"], Parts { months: 12, days: 0, micros: 0 }),
    (&["dec", "decs", "decade", "decades"], Parts { months: 120, days: 0, micros: 0 }),
    (&["c", "cent", "century", "centuries"], Parts { months: 1_200, days: 0, micros: 0 }),
    (&["mil", "mils", "millennium", "millennia"], Parts { months: 12_000, days: 0, micros: 0 }),
];

/// Reads an interval. A number without a unit is of `unit`, or seconds.
pub(super) fn read(text: &str, unit: Option<&str>) -> Option<Parts> {
    let lower = text.trim().to_ascii_lowercase();
    if lower.len() > 256 || !lower.is_ascii() {
        return None;
    }
    if let Some(iso) = lower.strip_prefix('p') {
        return read_iso(iso);
    }
    let mut words = words(&lower);
    let ago = words.last() == Some(&"ago");
    if ago {
        words.pop();
    }
    if words.first() == Some(&"@") {
        words.remove(0);
    }
    if words.is_empty() {
        return None;
    }
    let mut all = Parts::default();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let one = if word.contains(':') {
            clock(word)?
        } else if let Some((years, months)) = year_month(word) {
            Parts { months: years.checked_mul(12)?.checked_add(months)?, ..Parts::default() }
        } else {
            let number = number(word)?;
            let named = words.next_if(|next| next.starts_with(|c: char| c.is_ascii_alphabetic()));
            // Without a unit only as the last one.
            if named.is_none() && words.peek().is_some_and(|next| !next.contains(':')) {
                return None;
            }
            let unit_name = match named {
                Some(name) => name.to_owned(),
                // `1 02:03:04`: days.
                None if words.peek().is_some() => "day".to_owned(),
                None if all != Parts::default() && unit.is_none() => return None,
                None => unit.unwrap_or("second").to_ascii_lowercase(),
            };
            times(unit_of(&unit_name)?, number)?
        };
        all = plus(all, one)?;
    }
    if ago { times(all, -1.0) } else { Some(all) }
}

/// The words, with a number apart from the unit that is written close behind it.
fn words(text: &str) -> Vec<&str> {
    let blank = |c: char| c.is_ascii_whitespace() || c == ',';
    text.split(blank)
        .filter(|word| !word.is_empty())
        .flat_map(|word| {
            let unit = word.find(|c: char| c.is_ascii_alphabetic()).filter(|at| *at > 0 && !word.contains(':'));
            match unit.and_then(|at| word.split_at_checked(at)) {
                Some((number, unit)) => vec![number, unit],
                None => vec![word],
            }
        })
        .collect()
}

fn unit_of(name: &str) -> Option<Parts> {
    UNITS.iter().find(|(names, _)| names.contains(&name)).map(|(_, unit)| *unit)
}

fn number(word: &str) -> Option<f64> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte)) && word.bytes().any(|byte| byte.is_ascii_digit());
    word.parse::<f64>().ok().filter(|number| plain && number.abs() < MOST)
}

/// `1-2`: years and months.
fn year_month(word: &str) -> Option<(i64, i64)> {
    let (sign, plain) = word.strip_prefix('-').map_or((1, word.strip_prefix('+').unwrap_or(word)), |rest| (-1, rest));
    let (years, months) = plain.split_once('-')?;
    let (years, months): (i32, i32) = (years.parse().ok()?, months.parse().ok()?);
    (0..12).contains(&months).then(|| (sign * i64::from(years), sign * i64::from(months)))
}

/// `[+-]hh:mm[:ss[.f]]`.
fn clock(word: &str) -> Option<Parts> {
    let (sign, plain) = word.strip_prefix('-').map_or((1, word.strip_prefix('+').unwrap_or(word)), |rest| (-1, rest));
    let mut parts = plain.split(':');
    let hours: u32 = parts.next()?.parse().ok()?;
    let minutes: u32 = parts.next()?.parse().ok()?;
    let seconds = parts.next().map_or(Some(0.0), number)?;
    if parts.next().is_some() || minutes > 59 || !(0.0..60.0).contains(&seconds) {
        return None;
    }
    let whole = i64::from(hours).checked_mul(3_600)?.checked_add(i64::from(minutes) * 60)?.checked_mul(SECOND)?;
    let micros = whole.checked_add(rounded(seconds * 1e6)?)?;
    Some(Parts { micros: sign * micros, ..Parts::default() })
}

/// `1Y2M3DT4H5M6S`, behind the `P`.
fn read_iso(text: &str) -> Option<Parts> {
    let (date, time) = text.split_once('t').unwrap_or((text, ""));
    let one = |part: &str, units: &[(char, &str)]| {
        let (mut rest, mut all) = (part, Parts::default());
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (digits, after) = rest.split_at_checked(at)?;
            let letter = after.chars().next()?;
            let (_, unit) = units.iter().find(|(known, _)| *known == letter)?;
            all = plus(all, times(unit_of(unit)?, number(digits)?)?)?;
            rest = after.get(1..)?;
        }
        Some(all)
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let date = one(date, &[('y', "year"), ('m', "month"), ('w', "week"), ('d', "day")])?;
    plus(date, one(time, &[('h', "hour"), ('m', "minute"), ('s', "second")])?)
}

fn plus(a: Parts, b: Parts) -> Option<Parts> {
    Some(Parts { months: a.months.checked_add(b.months)?, days: a.days.checked_add(b.days)?, micros: a.micros.checked_add(b.micros)? })
}

/// So many of them. What is left of a month becomes days, thirty to the month, and what is left of a day becomes time.
pub(super) fn times(one: Parts, factor: f64) -> Option<Parts> {
    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL multiplies intervals as doubles")]
    let (months, days, micros) = (one.months as f64 * factor, one.days as f64 * factor, one.micros as f64 * factor);
    let left = (months - months.trunc()) * 30.0;
    // Thirds of months come a hair short of whole days.
    let left = (left * 1e6).round() / 1e6;
    let more = ((days - days.trunc() + left - left.trunc()) * 1e6).round() / 1e6;
    #[expect(clippy::cast_precision_loss, reason = "a day in microseconds is small")]
    let time = micros + more * DAY as f64;
    Some(Parts { months: rounded(months.trunc())?, days: rounded(days.trunc() + left.trunc())?, micros: rounded(time)? })
}

#[expect(clippy::cast_possible_truncation, reason = "bounded before")]
fn rounded(number: f64) -> Option<i64> {
    (number.abs() < 9e18).then(|| number.round_ties_even() as i64)
}
