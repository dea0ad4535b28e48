//! The small notations of catalog files: durations, sizes, percentages, amounts, patterns. Each reader's error says what would be right.

use std::time::Duration;

use rust_decimal::Decimal;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// A month of thirty days: these durations bound ages, they are not calendar arithmetic.
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// `5m`, `1h`, `90s`, `7d`, `2w`, `1y`, or ISO 8601: `PT5M`, `P1Y`, `P1DT12H`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.strip_prefix('P') {
        Some(iso) => iso_duration(iso),
        None => short_duration(text),
    };
    match seconds {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{}` is not a duration: write `5m`, `1h`, `7d`, `1y`, `PT5M` or `P1Y`", super::read::clip(text))),
    }
}

fn short_duration(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)?.trim() {
        "s" => 1,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => WEEK,
        "y" => YEAR,
        _ => return None,
    };
    whole(digits.trim_end())?.checked_mul(unit)
}

fn iso_duration(iso: &str) -> Option<u64> {
    let (date, time) = iso.split_once('T').unwrap_or((iso, ""));
    if (date.is_empty() && time.is_empty()) || (iso.contains('T') && time.is_empty()) {
        return None;
    }
    let dates = iso_parts(date, &[('Y', YEAR), ('M', MONTH), ('W', WEEK), ('D', DAY)])?;
    dates.checked_add(iso_parts(time, &[('H', HOUR), ('M', MINUTE), ('S', 1)])?)
}

/// Number-and-letter pairs with the letters in this order, each at most once.
fn iso_parts(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum: u64 = 0;
    for (letter, seconds) in units {
        let Some(end) = text.find(|c: char| !c.is_ascii_digit()) else { break };
        let (number, rest) = text.split_at_checked(end)?;
        if let Some(rest) = rest.strip_prefix(*letter) {
            sum = sum.checked_add(whole(number)?.checked_mul(*seconds)?)?;
            text = rest;
        }
    }
    text.is_empty().then_some(sum)
}

/// Digits only: `u64::from_str` would take a sign too.
fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// `1B`, `10MB`, `1TiB`: bytes, with decimal or binary units.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 11] = [
        ("B", 1),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("PiB", 1 << 50),
    ];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let value = factor.and_then(|factor| whole(digits.trim_end()).filter(|_| !digits.is_empty())?.checked_mul(factor));
    value.ok_or_else(|| format!("`{}` is not a size: write a whole number with a unit, as `0B`, `10MB` or `1TiB`", super::read::clip(text)))
}

/// An amount of money: exact, not negative, with at most ten decimals.
pub(crate) fn amount(text: &str) -> Result<Decimal, String> {
    let shape = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let parsed = shape.then(|| Decimal::from_str_exact(text).ok()).flatten().filter(|d| d.scale() <= 10);
    parsed.ok_or_else(|| format!("`{}` is not an amount: write a decimal, as \"5.00\"", super::read::clip(text)))
}

/// `20%`, more than zero.
pub(super) fn percentage(text: &str) -> Result<Decimal, String> {
    let number = text.strip_suffix('%').map(str::trim).and_then(|number| amount(number).ok()).filter(|d| !d.is_zero());
    number.ok_or_else(|| format!("`{}` is not a percentage: write `20%`", super::read::clip(text)))
}

/// `2026-01-01`.
pub(super) fn date(text: &str) -> Result<chrono::NaiveDate, String> {
    let shape = text.len() == 10;
    let parsed = shape.then(|| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    parsed.ok_or_else(|| format!("`{}` is not a date: write `2026-01-31`", super::read::clip(text)))
}

/// `1.2.0`.
pub(super) fn version(text: &str) -> Result<semver::Version, String> {
    let parsed = if text.len() <= 64 { semver::Version::parse(text).ok() } else { None };
    parsed.ok_or_else(|| format!("`{}` is not a semantic version: write `1.2.0`", super::read::clip(text)))
}

/// `USD`.
pub(super) fn currency(text: &str) -> Result<String, String> {
    if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a currency: write its three capital letters, as USD", super::read::clip(text)))
    }
}

/// A pattern that must hold for a whole name.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, String> {
    if text.len() > 1_000 {
        return Err("a pattern of more than 1000 characters".into());
    }
    regex::RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(1 << 20)
        .build()
        .map_err(|_| format!("`{}` is not a regular expression", super::read::clip(text)))
}

/// `PII.NationalID`: words with dots between them.
pub(super) fn label(text: &str) -> Result<String, String> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if text.len() <= 128 && text.split('.').all(word) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a classification: write words with dots between them, as PII.NationalID", super::read::clip(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_both_spellings() {
        for (text, seconds) in [
            ("5m", 300),
            ("1h", 3600),
            ("90s", 90),
            ("7d", 7 * DAY),
            ("2w", 14 * DAY),
            ("1y", YEAR),
            ("PT5M", 300),
            ("P1Y", YEAR),
            ("P1M", MONTH),
            ("P1DT12H", 36 * HOUR),
            ("PT1H30M15S", 5415),
            ("P2W", 14 * DAY),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "-5m",
            "+5m",
            "1.5h",
            "5 parsecs",
            "P",
            "PT",
            "P1",
            "P5H",
            "PT5",
            "P1YT",
            "PT1M1H",
            "0s",
            "99999999999999y",
            "é5m",
            "5é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_need_a_unit_and_do_not_overflow() {
        assert_eq!((bytes("0B"), bytes("10MB"), bytes("1TiB")), (Ok(0), Ok(10_000_000), Ok(1 << 40)));
        for text in ["", "5", "B", "-1B", "1.5GB", "1 XB", "99999999PiB", "MB5"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(amount("5.00").unwrap().to_string(), "5.00");
        for text in ["", ".", "-1", "1e3", "1,5", "5 USD", "0.00000000001", "99999999999999999999999999999999"] {
            assert!(amount(text).is_err(), "{text}");
        }
        assert_eq!(percentage("20%"), Ok(Decimal::from(20)));
        assert!(percentage("20").is_err() && percentage("0%").is_err() && percentage("-5%").is_err());
    }

    #[test]
    fn patterns_hold_for_the_whole_name() {
        let pattern = pattern("[a-z]+|x").unwrap();
        assert!(pattern.is_match("abc") && !pattern.is_match("abc1") && !pattern.is_match("1x"));
        assert!(super::pattern("(").is_err() && super::pattern("(a{1000}){1000}").is_err());
    }
}
