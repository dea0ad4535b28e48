//! Time zones: what clocks show at a moment, and which moment it is when they show something. With them `AT TIME ZONE`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{AsArray, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::{OffsetName as _, Tz};
use datafusion::common::Result as EngineResult;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};

use crate::error::{ErrorKind, Fault};

use super::format::{TIMESTAMP, in_range, timestamptz};
use super::own::{Own, Remembered, Rows, is_text, no_such, sent, types_of};

/// A time zone in PostgreSQL's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Named(Tz),
    /// So many seconds east of Greenwich, at all times.
    East(i32),
}

impl Zone {
    pub(super) fn of_session(options: &ConfigOptions) -> Self {
        Self::Named(tz_of_session(options))
    }

    /// A zone by its name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        tz_named(name).map(Self::Named)
    }

    /// The same, or a bare offset, whose sign is that of POSIX: `+02` is west of Greenwich.
    fn named_or_posix(name: &str) -> Option<Self> {
        let west = match name.split_at_checked(1) {
            Some(("+", digits)) => Some((1, digits)),
            Some(("-", digits)) => Some((-1, digits)),
            _ if name.eq_ignore_ascii_case("z") => return Some(Self::Named(Tz::UTC)),
            _ => None,
        };
        let Some((sign, digits)) = west else { return Self::named(name) };
        let (hours, minutes) = match digits.split_once(':') {
            Some(parts) => parts,
            None => digits.split_at_checked(2)?,
        };
        let number = |digits: &str| Some(digits).filter(|digits| digits.len() == 2)?.parse::<u8>().ok().map(i32::from);
        let (hours, minutes) = (number(hours)?, if minutes.is_empty() { 0 } else { number(minutes)? });
        (hours < 24 && minutes < 60).then_some(Self::East(-sign * (hours * 3_600 + minutes * 60)))
    }

    pub(super) fn is_utc(self) -> bool {
        matches!(self, Self::Named(Tz::UTC) | Self::East(0))
    }

    /// Seconds east of Greenwich at a moment, given in microseconds since 1970-01-01 UTC.
    pub(super) fn offset_at(self, moment: i64) -> i64 {
        match self {
            _ if self.is_utc() => 0,
            Self::Named(zone) => {
                naive(moment).map_or(0, |moment| i64::from(zone.offset_from_utc_datetime(&moment).fix().local_minus_utc()))
            }
            Self::East(seconds) => i64::from(seconds),
        }
    }

    /// What the zone is called at a moment: `CET`, `+03`.
    pub(super) fn abbreviation_at(self, moment: i64) -> Cow<'static, str> {
        match self {
            Self::Named(zone) if !self.is_utc() => {
                let offset = naive(moment).map(|moment| zone.offset_from_utc_datetime(&moment));
                Cow::Owned(offset.and_then(|offset| offset.abbreviation().map(str::to_owned)).unwrap_or_default())
            }
            _ => Cow::Borrowed("UTC"),
        }
    }

    /// What clocks show at a moment.
    pub(super) fn local(self, moment: i64) -> i64 {
        moment.saturating_add(self.offset_at(moment).saturating_mul(1_000_000))
    }

    /// The moment at which clocks show `local`. Of an hour that comes twice it is the second; in one that is left out, what would have
    /// been shown had it not been.
    pub(super) fn moment(self, local: i64) -> i64 {
        let seconds = match (self, naive(local)) {
            (Self::Named(zone), Some(shown)) if !self.is_utc() => match zone.offset_from_local_datetime(&shown) {
                chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
                chrono::LocalResult::Ambiguous(_, second) => second.fix().local_minus_utc(),
                chrono::LocalResult::None => {
                    let before = shown.checked_sub_signed(TimeDelta::days(1)).unwrap_or(shown);
                    zone.offset_from_local_datetime(&before).latest().map_or(0, |offset| offset.fix().local_minus_utc())
                }
            },
            (Self::East(seconds), _) => seconds,
            _ => 0,
        };
        local.saturating_sub(i64::from(seconds) * 1_000_000)
    }
}

/// The session's zone.
pub(in crate::query) fn tz_of_session(options: &ConfigOptions) -> Tz {
    options.execution.time_zone.as_deref().and_then(tz_named).unwrap_or(Tz::UTC)
}

fn tz_named(name: &str) -> Option<Tz> {
    let any_case = || chrono_tz::TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(name));
    name.parse().ok().or_else(any_case)
}

/// The zone of a name, or the fault that there is none.
pub(super) fn known_zone(name: &str) -> Result<Zone, Fault> {
    known(name, Zone::named)
}

fn known(name: &str, find: impl FnOnce(&str) -> Option<Zone>) -> Result<Zone, Fault> {
    let shown = || name.chars().take(60).collect::<String>();
    find(name).ok_or_else(|| Fault::new(ErrorKind::InvalidParameter, format!("time zone \"{}\" not recognized", shown())))
}

/// `timezone(zone, time)`, which is `time AT TIME ZONE zone`.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function()]
}

/// `timezone(zone, time)`: what is behind `AT TIME ZONE`.
pub(in crate::query) fn function() -> Arc<ScalarUDF> {
    Own { name: "timezone", volatility: Volatility::Immutable, coerce, returns, body: at_time_zone }.made()
}

fn coerce(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        // A text is taken for an instant, as PostgreSQL prefers.
        [_, time] if matches!(time, DataType::Timestamp(_, Some(_))) || is_text(time) => Ok(vec![DataType::Utf8, timestamptz()]),
        [_, DataType::Timestamp(_, None) | DataType::Date32] => Ok(vec![DataType::Utf8, TIMESTAMP]),
        _ => no_such(name, types),
    }
}

fn returns(args: &ReturnFieldArgs<'_>) -> EngineResult<DataType> {
    Ok(if matches!(types_of(args).as_slice(), [_, DataType::Timestamp(_, None)]) { timestamptz() } else { TIMESTAMP })
}

fn at_time_zone(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let times = rows.column(1)?.as_primitive::<TimestampMicrosecondType>();
    let to_local = times.timezone().is_some();
    let mut named = Remembered::none();
    let mut moved = TimestampMicrosecondBuilder::with_capacity(rows.count).with_data_type(args.return_field.data_type().clone());
    for row in 0..rows.count {
        if !rows.has_all(row) {
            moved.append_null();
            continue;
        }
        let zone = named.get(rows.text(0, row)?, |name| known(name, Zone::named_or_posix).map_err(sent))?;
        let time = times.value(rows.at(1, row));
        let time = if to_local { zone.local(time) } else { zone.moment(time) };
        let out_of_range = || sent(Fault::new(ErrorKind::DatetimeOverflow, "timestamp out of range"));
        moved.append_value(in_range(Some(time)).ok_or_else(out_of_range)?);
    }
    rows.result(Arc::new(moved.finish()))
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|moment| moment.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From PostgreSQL: `SET TimeZone = 'Europe/Paris'; SELECT extract(epoch FROM timestamptz '2024-03-31 02:30')` and its like.
    #[test]
    fn hours_that_come_twice_or_never() {
        let paris = Zone::named("europe/paris").unwrap();
        let hour = 3_600_000_000;
        let at = |days: i64, hours: i64| days * 24 * hour + hours * hour;
        let (march, october) = (19_813, 20_023);
        assert_eq!(paris.moment(at(march, 2)), at(march, 1));
        assert_eq!(paris.moment(at(march, 3)), at(march, 1));
        assert_eq!(paris.moment(at(october, 2)), at(october, 1));
        assert_eq!(paris.local(at(october, 1)), at(october, 2));
        assert_eq!(paris.abbreviation_at(at(october, 0)), "CEST");
        assert_eq!(paris.abbreviation_at(at(october, 1)), "CET");
        for extreme in [i64::MIN, i64::MAX] {
            paris.local(extreme);
            paris.moment(extreme);
        }
    }

    #[test]
    fn a_bare_offset_is_west_of_greenwich() {
        for (name, east) in [("+02", -7_200), ("-05:30", 19_800), ("+0130", -5_400)] {
            assert_eq!(Zone::named_or_posix(name), Some(Zone::East(east)), "{name}");
        }
        assert_eq!(Zone::named_or_posix("z"), Zone::named("utc"));
        for name in ["Nowhere", "+", "+2", "+2x", "+25", "-01:60", "+é1", ""] {
            assert_eq!(Zone::named_or_posix(name), None, "{name}");
        }
    }
}
