//! Literals: texts that stand for values, checked and spelt in the one way that the engine reads.

use arrow::datatypes::DataType as ArrowType;
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr};

use super::moment::{self, Day, Written};
use super::syntax::{binary, number};
use crate::error::{ErrorKind, Fault, Result};
use crate::system::syntax;

/// What a text about time is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Date,
    Timestamp,
    Instant,
    Time,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Instant => "timestamp with time zone",
            Self::Time => "time",
        }
    }
}

/// A text about time, understood.
#[derive(Debug)]
pub(super) enum Moment {
    /// In the engine's spelling.
    Fixed { text: String, zoned: bool },
    /// So many days from the day that it is when the statement runs, or just now.
    Running(Day),
}

impl Moment {
    /// The expression that has this value.
    pub(super) fn into_expr(self, data_type: &DataType) -> Expr {
        match self {
            Self::Fixed { text, .. } => syntax::cast(syntax::literal(&text), data_type.clone()),
            Self::Running(Day::Now) => syntax::cast(syntax::call("now", Vec::new()), data_type.clone()),
            Self::Running(Day::Ahead(days)) => {
                let today = syntax::call("current_date", Vec::new());
                let day =
                    if days == 0 { today } else { Expr::Nested(Box::new(binary(today, BinaryOperator::Plus, number(&days.to_string())))) };
                syntax::cast(day, data_type.clone())
            }
        }
    }
}

/// Reads a date or time as PostgreSQL does (`DateStyle` ISO, MDY).
pub(super) fn moment(text: &str, kind: Kind) -> Result<Moment> {
    let wrong = || Fault::new(ErrorKind::InvalidDatetime, format!("invalid input syntax for type {}: \"{text}\"", kind.name()));
    let range = || Fault::new(ErrorKind::DatetimeOverflow, format!("date/time field value out of range: \"{text}\""));
    match moment::read(text).map_err(|error| if error.is_range { range() } else { wrong() })? {
        Written::Day(day) => Ok(Moment::Running(day)),
        Written::At { date, time, zone } => {
            let clock = time.map(|time| time.format("%H:%M:%S%.f").to_string());
            let zoned = zone.is_some();
            let zone = zone.unwrap_or_default();
            let fixed = |text| Ok(Moment::Fixed { text, zoned });
            match (kind, date, clock) {
                (Kind::Date, Some(date), _) => fixed(date.to_string()),
                (Kind::Time, _, Some(clock)) => fixed(clock),
                (Kind::Timestamp, Some(date), clock) => fixed(format!("{date} {}", clock.as_deref().unwrap_or("00:00:00"))),
                (Kind::Instant, Some(date), clock) => fixed(format!("{date} {}{zone}", clock.as_deref().unwrap_or("00:00:00"))),
                _ => Err(wrong()),
            }
        }
    }
}

/// Reads an interval, whose bare numbers are of `unit` or seconds, and spells it in months, days and seconds.
pub(super) fn interval(text: &str, unit: Option<&str>) -> Result<String> {
    let read = super::interval::read(text, unit);
    let parts =
        read.ok_or_else(|| Fault::new(ErrorKind::InvalidDatetime, format!("invalid input syntax for type interval: \"{text}\"")))?;
    let sign = if parts.micros < 0 { "-" } else { "" };
    let micros = parts.micros.unsigned_abs();
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    Ok(format!("{} months {} days {sign}{seconds}.{rest:06} seconds", parts.months, parts.days))
}

/// The value of a text about time that stands for a parameter of that type, in a session in `zone`.
pub(crate) fn moment_value(text: &str, data_type: &ArrowType, zone: Tz) -> Result<ScalarValue> {
    let kind = match data_type {
        ArrowType::Date32 => Kind::Date,
        ArrowType::Time64(_) => Kind::Time,
        ArrowType::Timestamp(_, None) => Kind::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => Kind::Instant,
        _ => return ScalarValue::from(interval(text, None)?).cast_to(data_type).map_err(Fault::internal),
    };
    let spelt = match moment(text, kind)? {
        Moment::Fixed { text, .. } => text,
        Moment::Running(day) => {
            let now = chrono::Utc::now().with_timezone(&zone).naive_local();
            match day {
                Day::Now if kind == Kind::Date => now.date().to_string(),
                Day::Now if kind == Kind::Time => now.time().to_string(),
                Day::Now => now.to_string(),
                Day::Ahead(days) => (now.date() + chrono::TimeDelta::days(days.into())).to_string(),
            }
        }
    };
    ScalarValue::from(spelt)
        .cast_to(data_type)
        .map_err(|_| Fault::new(ErrorKind::InvalidDatetime, format!("invalid input syntax for type {}: \"{text}\"", kind.name())))
}

/// A UUID in small letters with hyphens. PostgreSQL reads one in braces, too, and with a hyphen after any four digits, or none.
pub(super) fn uuid(text: &str) -> Result<String> {
    let written = text.trim();
    let written = written.strip_prefix('{').map_or(Some(written), |inner| inner.strip_suffix('}')).unwrap_or_default();
    let groups = written.split('-').map(str::len).collect::<Vec<_>>();
    let whole = groups.iter().all(|digits| *digits > 0 && digits % 4 == 0);
    let read = uuid::Uuid::try_parse(&written.replace('-', "")).ok().filter(|_| whole);
    read.map(|uuid| uuid.to_string())
        .ok_or_else(|| Fault::new(ErrorKind::InvalidText, format!("invalid input syntax for type uuid: \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str, kind: Kind) -> String {
        match moment(text, kind) {
            Ok(Moment::Fixed { text, .. }) => text,
            Ok(Moment::Running(day)) => format!("{day:?}"),
            Err(fault) => fault.sqlstate().to_owned(),
        }
    }

    #[test]
    fn a_date_is_read_in_all_of_postgresqls_spellings() {
        for text in [
            "2024-03-05",
            "20240305",
            "March 5, 2024",
            "5 Mar 2024",
            "Mar-05-2024",
            "03/05/2024",
            "2024/3/5",
            "Tue Mar 5 2024 10:00",
            "2024-03-05T14:07:09Z",
        ] {
            assert_eq!(fixed(text, Kind::Date), "2024-03-05", "{text}");
        }
        for (text, code) in [
            ("2024-13-01", "22008"),
            ("2024-02-30", "22008"),
            ("nope", "22007"),
            ("", "22007"),
            ("14:07", "22007"),
            ("2024-03", "22007"),
            ("1-2-3-4", "22007"),
        ] {
            assert_eq!(fixed(text, Kind::Date), code, "{text}");
        }
        assert_eq!(
            (fixed("today", Kind::Date), fixed("TOMORROW", Kind::Date), fixed("now", Kind::Timestamp)),
            ("Ahead(0)".into(), "Ahead(1)".into(), "Now".into())
        );
    }

    #[test]
    fn a_timestamp_may_leave_out_what_is_nothing() {
        for (text, kind, read) in [
            ("2024-03-05 14:07", Kind::Timestamp, "2024-03-05 14:07:00"),
            ("2024-03-05", Kind::Timestamp, "2024-03-05 00:00:00"),
            ("2024-03-05 2:07 PM", Kind::Timestamp, "2024-03-05 14:07:00"),
            ("2024-03-05 14:07:09.5+02", Kind::Timestamp, "2024-03-05 14:07:09.500"),
            ("2024-03-05 14:07:09+02", Kind::Instant, "2024-03-05 14:07:09+02:00"),
            ("2024-03-05T14:07:09.123456-0530", Kind::Instant, "2024-03-05 14:07:09.123456-05:30"),
            ("2024-03-05 14:07:09 Europe/Berlin", Kind::Instant, "2024-03-05 14:07:09 Europe/Berlin"),
            ("2024-03-05 14:07 UTC", Kind::Instant, "2024-03-05 14:07:00+00:00"),
            ("epoch", Kind::Instant, "1970-01-01 00:00:00+00:00"),
            ("14:07", Kind::Time, "14:07:00"),
            ("2:07:09 am", Kind::Time, "02:07:09"),
            ("25:00", Kind::Time, "22008"),
            ("14:07 Nowhere/Land", Kind::Instant, "22007"),
        ] {
            assert_eq!(fixed(text, kind), read, "{text}");
        }
    }

    #[test]
    fn an_interval_is_months_days_and_seconds() {
        for (text, unit, read) in [
            ("1 day 02:03:04", None, "0 months 1 days 7384.000000 seconds"),
            ("1-2", None, "14 months 0 days 0.000000 seconds"),
            ("1.5 hours", None, "0 months 0 days 5400.000000 seconds"),
            ("1 mon -1 hour", None, "1 months 0 days -3600.000000 seconds"),
            ("3", Some("DAY"), "0 months 3 days 0.000000 seconds"),
            ("1.5", None, "0 months 0 days 1.500000 seconds"),
            ("P1Y2M3DT4H5M6.5S", None, "14 months 3 days 14706.500000 seconds"),
            ("2 weeks ago", None, "0 months -14 days 0.000000 seconds"),
            ("1.5 months", None, "1 months 15 days 0.000000 seconds"),
            ("1 year 6 mons", None, "18 months 0 days 0.000000 seconds"),
            ("-02:30", None, "0 months 0 days -9000.000000 seconds"),
            ("500 milliseconds", None, "0 months 0 days 0.500000 seconds"),
        ] {
            assert_eq!(interval(text, unit).unwrap(), read, "{text}");
        }
        for text in ["", "day", "1 fortnight", "1 day 2", "x", "P", "1:2:3:4", "99999999999999999999 days"] {
            assert!(interval(text, None).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_the_reader(text in "[0-9a-zA-Z:+,./ {}\"\\\\-]{0,24}|.{0,12}", unit in proptest::option::of("[a-z]{1,7}")) {
            for kind in [Kind::Date, Kind::Timestamp, Kind::Instant, Kind::Time] {
                let _ = moment(&text, kind);
            }
            let _ = (interval(&text, unit.as_deref()), uuid(&text));
        }
    }
}
