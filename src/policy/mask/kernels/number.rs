//! Numbers, down to a step.
//!
//! Down is towards minus infinity, and the lowest step of a type begins at its lowest value: rounding is total, it cannot overflow.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};
use arrow::error::ArrowError;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::{map_primitive, not_taken};

/// Whether numbers of this type can be rounded down to the step.
pub(in super::super) fn takes_step(data_type: &DataType, step: Decimal) -> bool {
    match data_type {
        DataType::Int8 => whole::<i8>(step).is_some(),
        DataType::Int16 => whole::<i16>(step).is_some(),
        DataType::Int32 => whole::<i32>(step).is_some(),
        DataType::Int64 => whole::<i64>(step).is_some(),
        DataType::UInt8 => whole::<u8>(step).is_some(),
        DataType::UInt16 => whole::<u16>(step).is_some(),
        DataType::UInt32 => whole::<u32>(step).is_some(),
        DataType::UInt64 => whole::<u64>(step).is_some(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => unscaled(step, *precision, *scale).is_some(),
        _ => false,
    }
}

pub(super) fn round(array: &ArrayRef, step: Decimal) -> Result<ArrayRef, ArrowError> {
    let data_type = array.data_type();
    let refuse = || not_taken(data_type);
    macro_rules! integer {
        ($type:ty, $native:ty) => {
            Ok(map_primitive::<$type>(array, floor::<$type>(whole::<$native>(step).ok_or_else(refuse)?, <$native>::MIN)))
        };
    }
    macro_rules! decimal {
        ($type:ty, $precision:expr, $scale:expr, $native:expr) => {
            decimal!($type, $precision, $scale, $native, floor::<$type>)
        };
        ($type:ty, $precision:expr, $scale:expr, $native:expr, $floor:expr) => {{
            let step = unscaled(step, *$precision, *$scale).and_then($native).ok_or_else(refuse)?;
            let lowest = $native(-1)
                .and_then(|minus| $native(10)?.pow_checked(u32::from(*$precision)).ok()?.add_wrapping(minus).mul_checked(minus).ok())
                .ok_or_else(refuse)?;
            Ok(map_primitive::<$type>(array, $floor(step, lowest)))
        }};
    }
    match data_type {
        DataType::Int8 => integer!(Int8Type, i8),
        DataType::Int16 => integer!(Int16Type, i16),
        DataType::Int32 => integer!(Int32Type, i32),
        DataType::Int64 => integer!(Int64Type, i64),
        DataType::UInt8 => integer!(UInt8Type, u8),
        DataType::UInt16 => integer!(UInt16Type, u16),
        DataType::UInt32 => integer!(UInt32Type, u32),
        DataType::UInt64 => integer!(UInt64Type, u64),
        DataType::Decimal32(p, s) => decimal!(Decimal32Type, p, s, |v: i128| i32::try_from(v).ok()),
        DataType::Decimal64(p, s) => decimal!(Decimal64Type, p, s, |v: i128| i64::try_from(v).ok()),
        DataType::Decimal128(p, s) => decimal!(Decimal128Type, p, s, Some::<i128>, floor_wide),
        DataType::Decimal256(p, s) => decimal!(Decimal256Type, p, s, |v: i128| Some(i256::from_i128(v))),
        DataType::Float64 => Ok(map_primitive::<Float64Type>(array, |v| floor_float(v, step, f64::EPSILON))),
        #[expect(clippy::cast_possible_truncation, reason = "a multiple of the step nearest to a 32-bit value is one of 32 bits again")]
        DataType::Float32 => Ok(map_primitive::<Float32Type>(array, |v| floor_float(f64::from(v), step, f32::EPSILON.into()) as f32)),
        DataType::Float16 => cast(&round(&cast(array, &DataType::Float32)?, step)?, data_type),
        other => Err(not_taken(other)),
    }
}

/// The step as an integer of the type.
fn whole<T: TryFrom<u64>>(step: Decimal) -> Option<T> {
    step.is_integer().then(|| step.to_u64()).flatten().and_then(|step| T::try_from(step).ok())
}

/// The step as the unscaled integer of a decimal type, where it is exactly one.
fn unscaled(step: Decimal, precision: u8, scale: i8) -> Option<i128> {
    let shift = i64::from(scale) - i64::from(step.scale());
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    let unscaled = match shift {
        0.. => step.mantissa().checked_mul(power)?,
        _ => (step.mantissa() % power == 0).then(|| step.mantissa() / power)?,
    };
    let bound = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    (unscaled > 0 && unscaled < bound).then_some(unscaled)
}

/// Down to the step, but not below `lowest`.
fn floor<T: ArrowPrimitiveType>(step: T::Native, lowest: T::Native) -> impl Fn(T::Native) -> T::Native {
    move |value| {
        let rest = value.mod_wrapping(step);
        let rest = if rest.is_lt(T::Native::ZERO) { rest.add_wrapping(step) } else { rest };
        match value.sub_checked(rest) {
            Ok(down) if down.is_ge(lowest) => down,
            _ => lowest,
        }
    }
}

/// [`floor`] of 128 bits, by a division of 64 where that is enough, as it nearly always is: it takes a tenth of the time.
fn floor_wide(step: i128, lowest: i128) -> impl Fn(i128) -> i128 {
    let (narrow_step, floor) = (i64::try_from(step), floor::<Decimal128Type>(step, lowest));
    move |value| match (i64::try_from(value), narrow_step) {
        (Ok(narrow), Ok(step)) => (value - i128::from(narrow.rem_euclid(step))).max(lowest),
        _ => floor(value),
    }
}

/// Down to the step, in decimal terms: 0.29 is a multiple of 0.01 although `0.29 / 0.01` comes out a little short of 29 in binary. `epsilon` is the type's.
fn floor_float(value: f64, step: Decimal, epsilon: f64) -> f64 {
    let (Some(mantissa), scale) = (step.mantissa().to_f64(), 10_f64.powi(i32::try_from(step.scale()).unwrap_or(0))) else {
        return value;
    };
    let steps = value * scale / mantissa;
    if !steps.is_finite() {
        return value;
    }
    let nearest = steps.round();
    let whole = if (steps - nearest).abs() <= 4.0 * epsilon * steps.abs() { nearest } else { steps.floor() };
    // The sum turns a negative zero into zero.
    whole * mantissa / scale + 0.0
}
