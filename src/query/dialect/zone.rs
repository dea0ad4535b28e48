//! `AT TIME ZONE`: an instant's local time in a zone, and the instant of a local time.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::TZ_VARIANTS;
use datafusion::common::{DataFusionError, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::error::{ErrorKind, Fault};

/// PostgreSQL's function behind `AT TIME ZONE`.
pub(super) const TIMEZONE: &str = "timezone";

/// `timezone(zone, time)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeZoneOf(Signature);

pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(TimeZoneOf(Signature::user_defined(Volatility::Immutable))))
}

fn zoned() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

impl ScalarUDFImpl for TimeZoneOf {
    fn name(&self) -> &'static str {
        TIMEZONE
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn coerce_types(&self, types: &[DataType]) -> EngineResult<Vec<DataType>> {
        match types {
            [_, DataType::Timestamp(_, Some(_))] => Ok(vec![DataType::Utf8, zoned()]),
            // A text is taken for an instant, as PostgreSQL prefers.
            [_, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null] => Ok(vec![DataType::Utf8, zoned()]),
            [_, DataType::Timestamp(_, None) | DataType::Date32] => Ok(vec![DataType::Utf8, LOCAL]),
            _ => Err(DataFusionError::Plan("No function matches: a zone and a timestamp are needed".into())),
        }
    }

    fn return_type(&self, types: &[DataType]) -> EngineResult<DataType> {
        Ok(if matches!(types.get(1), Some(DataType::Timestamp(_, None))) { zoned() } else { LOCAL })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let plain = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [zones, times] = arrays.as_slice() else { return Err(DataFusionError::Internal("two arguments".into())) };
        let to_local = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
        let zones = cast(zones, &DataType::Utf8)?;
        let zones = zones.as_string::<i32>();
        let mut known: Option<(&str, Tz)> = None;
        let moved = times.as_primitive::<TimestampMicrosecondType>().iter().enumerate().map(|(row, micros)| {
            let (Some(micros), false) = (micros, zones.is_null(row)) else { return Ok(None) };
            let name = zones.value(row);
            let zone = match known {
                Some((same, zone)) if same == name => zone,
                _ => zone_of(name)?,
            };
            known = Some((name, zone));
            shifted(micros, zone, to_local).map(Some).ok_or_else(|| fault(ErrorKind::DatetimeOverflow, "timestamp out of range".to_owned()))
        });
        let moved = moved.collect::<EngineResult<TimestampMicrosecondArray>>()?;
        let moved: ArrayRef = if to_local { Arc::new(moved) } else { Arc::new(moved.with_timezone("UTC")) };
        if plain { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?)) } else { Ok(ColumnarValue::Array(moved)) }
    }
}

/// A zone by its name in any case. A bare offset has the sign of POSIX here: `+02` is west of Greenwich.
fn zone_of(name: &str) -> EngineResult<Tz> {
    let turned = match name.split_at_checked(1) {
        Some(("+", rest)) => Some(format!("-{rest}")),
        Some(("-", rest)) => Some(format!("+{rest}")),
        _ if name.eq_ignore_ascii_case("z") => Some("UTC".to_owned()),
        _ => TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)).map(|zone| zone.name().to_owned()),
    };
    Tz::from_str(turned.as_deref().unwrap_or(name))
        .map_err(|_| fault(ErrorKind::InvalidParameter, format!("time zone \"{name}\" not recognized")))
}

fn fault(kind: ErrorKind, message: String) -> DataFusionError {
    DataFusionError::External(Box::new(Fault::new(kind, message)))
}

fn shifted(micros: i64, zone: Tz, to_local: bool) -> Option<i64> {
    let time: NaiveDateTime = DateTime::from_timestamp_micros(micros)?.naive_utc();
    if to_local {
        let offset = zone.offset_from_utc_datetime(&time).fix();
        return micros.checked_add(i64::from(offset.local_minus_utc()).checked_mul(1_000_000)?);
    }
    let instant = match zone.from_local_datetime(&time) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(_, instant) => instant,
        // In the hour that is left out in spring, the offset of before holds.
        LocalResult::None => {
            let before = zone.from_local_datetime(&time.checked_sub_signed(TimeDelta::hours(3))?).latest()?;
            let offset = before.offset().fix();
            return micros.checked_sub(i64::from(offset.local_minus_utc()).checked_mul(1_000_000)?);
        }
    };
    Some(instant.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str, to_local: bool) -> String {
        let micros = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp_micros();
        let moved = shifted(micros, zone_of(zone).unwrap(), to_local).unwrap();
        DateTime::from_timestamp_micros(moved).unwrap().format("%Y-%m-%d %H:%M").to_string()
    }

    #[test]
    fn a_local_time_has_an_instant_and_an_instant_a_local_time() {
        assert_eq!(at("2024-03-05 14:00", "Europe/Berlin", false), "2024-03-05 13:00");
        assert_eq!(at("2024-03-05 14:00", "America/New_York", true), "2024-03-05 09:00");
        assert_eq!(at("2024-07-05 14:00", "+02:00", false), "2024-07-05 16:00");
        assert_eq!(at("2024-07-05 14:00", "utc", true), "2024-07-05 14:00");
        assert_eq!(at("2024-07-05 14:00", "america/new_york", true), "2024-07-05 10:00");
        // Left out, and twice there: PostgreSQL takes the offset of winter.
        assert_eq!(at("2024-03-31 02:30", "Europe/Berlin", false), "2024-03-31 01:30");
        assert_eq!(at("2024-10-27 02:30", "Europe/Berlin", false), "2024-10-27 01:30");
        assert!(zone_of("Nowhere").is_err());
    }
}
