//! The arrays that masks give.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::{Mask, MaskKeys};

/// Whether numbers of this type can be rounded down to the step.
pub(super) fn takes_step(data_type: &DataType, step: Decimal) -> bool {
    let whole = step.is_integer().then(|| step.to_u64()).flatten();
    match data_type {
        DataType::Int8 => whole.is_some_and(|step| i8::try_from(step).is_ok()),
        DataType::Int16 => whole.is_some_and(|step| i16::try_from(step).is_ok()),
        DataType::Int32 => whole.is_some_and(|step| i32::try_from(step).is_ok()),
        DataType::Int64 => whole.is_some_and(|step| i64::try_from(step).is_ok()),
        DataType::UInt8 => whole.is_some_and(|step| u8::try_from(step).is_ok()),
        DataType::UInt16 => whole.is_some_and(|step| u16::try_from(step).is_ok()),
        DataType::UInt32 => whole.is_some_and(|step| u32::try_from(step).is_ok()),
        DataType::UInt64 => whole.is_some(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => decimal_step(step, *precision, *scale).is_some(),
        _ => false,
    }
}

/// The step as the unscaled integer of a decimal type, where it is exactly one.
pub(super) fn decimal_step(step: Decimal, precision: u8, scale: i8) -> Option<i128> {
    let shift = i64::from(scale) - i64::from(step.scale());
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    let unscaled =
        if shift >= 0 { step.mantissa().checked_mul(power)? } else { (step.mantissa() % power == 0).then(|| step.mantissa() / power)? };
    let bound = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    (unscaled > 0 && unscaled < bound).then_some(unscaled)
}

/// The masked array.
pub(super) fn apply(mask: &Mask, array: &ArrayRef, keys: &MaskKeys) -> Result<ArrayRef, ArrowError> {
    todo!("{mask}{array:?}{keys:?}")
}
