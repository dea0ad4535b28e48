//! The session's time zone: what clocks show at a moment, and which moment it is when they show something.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::{OffsetName as _, Tz};
use datafusion::common::config::ConfigOptions;

/// A time zone in PostgreSQL's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone(Tz);

impl Zone {
    pub(super) fn of_session(options: &ConfigOptions) -> Self {
        options.execution.time_zone.as_deref().and_then(Self::named).unwrap_or(Self(Tz::UTC))
    }

    /// A zone by its name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let any_case = || chrono_tz::TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(name));
        name.parse().ok().or_else(any_case).map(Self)
    }

    pub(super) fn is_utc(self) -> bool {
        self.0 == Tz::UTC
    }

    /// Seconds east of Greenwich at a moment, given in microseconds since 1970-01-01 UTC.
    pub(super) fn offset_at(self, moment: i64) -> i64 {
        if self.is_utc() {
            return 0;
        }
        naive(moment).map_or(0, |moment| i64::from(self.0.offset_from_utc_datetime(&moment).fix().local_minus_utc()))
    }

    /// What the zone is called at a moment: `CET`, `+03`.
    pub(super) fn abbreviation_at(self, moment: i64) -> Cow<'static, str> {
        if self.is_utc() {
            return Cow::Borrowed("UTC");
        }
        let offset = naive(moment).map(|moment| self.0.offset_from_utc_datetime(&moment));
        Cow::Owned(offset.and_then(|offset| offset.abbreviation().map(str::to_owned)).unwrap_or_default())
    }

    /// What clocks show at a moment.
    pub(super) fn local(self, moment: i64) -> i64 {
        moment.saturating_add(self.offset_at(moment).saturating_mul(1_000_000))
    }

    /// The moment at which clocks show `local`. Of an hour that comes twice it is the second; in one that is left out, what would have
    /// been shown had it not been.
    pub(super) fn moment(self, local: i64) -> i64 {
        if self.is_utc() {
            return local;
        }
        let Some(shown) = naive(local) else { return local };
        let seconds = match self.0.offset_from_local_datetime(&shown) {
            chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            chrono::LocalResult::Ambiguous(_, second) => second.fix().local_minus_utc(),
            chrono::LocalResult::None => {
                let before = shown.checked_sub_signed(TimeDelta::days(1)).unwrap_or(shown);
                self.0.offset_from_local_datetime(&before).latest().map_or(0, |offset| offset.fix().local_minus_utc())
            }
        };
        local.saturating_sub(i64::from(seconds) * 1_000_000)
    }
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
}
