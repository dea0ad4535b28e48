//! What depends on `TimeZone`: moments as dates and as local times, and back.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::functions::expr_fn::now;
use datafusion::logical_expr::{Expr, Operator, binary_expr, cast, lit};

use super::super::functions::zone;

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The session's zone, and what follows from it. The engine takes every clock for one in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(pub(super) Tz);

impl Clock {
    /// What the clock shows at a moment, or the moment at which it shows a local time.
    fn turned(self, time: Expr) -> Expr {
        zone::function().call(vec![lit(self.0.name()), time])
    }

    fn is_utc(self) -> bool {
        self.0 == Tz::UTC
    }

    /// A cast between moments and what clocks and calendars show.
    pub(super) fn cast(self, value: &Expr, from: &DataType, to: &DataType) -> Option<Expr> {
        use DataType as T;
        if self.is_utc() {
            return None;
        }
        match (from, to) {
            (T::Timestamp(_, Some(_)), T::Date32 | T::Time64(_) | T::Timestamp(_, None)) => {
                Some(cast(self.turned(value.clone()), to.clone()))
            }
            (T::Date32 | T::Timestamp(_, None), T::Timestamp(_, Some(_))) => {
                Some(cast(self.turned(cast(value.clone(), LOCAL)), to.clone()))
            }
            _ => None,
        }
    }

    /// The two sides of a comparison or a difference, as moments where one of them is.
    pub(super) fn moments(self, left: Expr, left_type: &DataType, right: Expr, right_type: &DataType) -> (Expr, Expr) {
        (self.beside(left, left_type, right_type), self.beside(right, right_type, left_type))
    }

    /// A date or a local time beside a moment is the moment at which it is shown.
    pub(super) fn beside(self, value: Expr, data_type: &DataType, other: &DataType) -> Expr {
        let shown = matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None));
        match other {
            DataType::Timestamp(_, Some(_)) if shown => self.cast(&value, data_type, other).unwrap_or(value),
            _ => value,
        }
    }

    /// A moment plus or minus an interval that is written down: months and days are those of the calendar, the rest is time that passes.
    pub(super) fn moved(self, moment: &Expr, op: Operator, interval: &Expr) -> Option<Expr> {
        let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(parts)), _) = interval else { return None };
        if self.is_utc() || (parts.months == 0 && parts.days == 0) {
            return None;
        }
        let of = |months, days, nanos| {
            let parts = IntervalMonthDayNano::new(months, days, nanos);
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(parts)), None)
        };
        let local = binary_expr(self.turned(moment.clone()), op, of(parts.months, parts.days, 0));
        let moved = self.turned(local);
        Some(if parts.nanoseconds == 0 { moved } else { binary_expr(moved, op, of(0, 0, parts.nanoseconds)) })
    }

    /// The day that the calendar shows.
    pub(super) fn today(self) -> Option<Expr> {
        (!self.is_utc()).then(|| cast(self.turned(moment(now())), DataType::Date32))
    }

    /// A text without a zone is what the clock shows.
    pub(super) fn read(self, text: &str) -> Option<Expr> {
        (!self.is_utc()).then(|| self.turned(cast(lit(text), LOCAL)))
    }
}

/// A moment in microseconds, as everything of PostgreSQL's is, and known for one.
pub(super) fn moment(now: Expr) -> Expr {
    cast(now, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
}

/// Whether a type is an interval.
pub(super) fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(IntervalUnit::MonthDayNano))
}
