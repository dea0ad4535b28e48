//! The arrays that masks give.
//!
//! Every kernel reads values one by one and writes its results into fresh builders. None of them slices, shares or patches a buffer of
//! its input, and the slots under NULLs are zeros, because Arrow buffers travel to Flight clients as they are: whatever is left in them
//! has left the gateway.

mod fixed;
mod hash;
mod number;
mod text;
mod time;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, LargeStringBuilder, ListArray, PrimitiveArray, StringBuilder,
    StringViewBuilder, StructArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, nullif, take};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

pub(super) use number::takes_step;

use super::{Mask, MaskKeys, constant};

/// The masked array.
pub(super) fn apply(mask: &Mask, array: &ArrayRef, keys: &MaskKeys) -> Result<ArrayRef, ArrowError> {
    let data_type = array.data_type();
    if !mask.accepts(data_type) {
        return Err(ArrowError::InvalidArgumentError(format!("the mask {mask} does not take {data_type}")));
    }
    if let DataType::Dictionary(_, values) = data_type {
        let plain = apply(mask, &cast(array, values)?, keys)?;
        return cast(&plain, data_type);
    }
    match (data_type, mask) {
        (_, Mask::ReplaceWithNull) => {}
        (DataType::Struct(_), _) => return structure(mask, array.as_struct(), keys),
        (DataType::List(_), Mask::Fields(_)) => return list(mask, array.as_list(), keys),
        _ => {}
    }
    match mask {
        Mask::ReplaceWithNull => Ok(new_null_array(data_type, array.len())),
        Mask::ToFixedValue => broadcast(&fixed::value(data_type)?, array),
        Mask::Constant(literal) => broadcast(&constant(literal, data_type)?, array),
        Mask::Alphanum => map_text(array, text::alphanum),
        Mask::ShowFirst4 => map_text(array, text::show_first_4),
        Mask::ShowLast4 => map_text(array, text::show_last_4),
        Mask::Email => map_text(array, text::email),
        Mask::TruncateToYear => time::truncate(array, time::Part::Year),
        Mask::TruncateToMonth => time::truncate(array, time::Part::Month),
        Mask::Sha256Global => hash::sha256(array, &[]),
        Mask::Sha256QueryLocal => hash::sha256(array, &keys.query_salt),
        Mask::Pseudonym => hash::pseudonym(array, &keys.pseudonym),
        Mask::Round(step) => number::round(array, *step),
        Mask::Fields(_) => Err(not_taken(data_type)),
    }
}

/// A list whose structs are masked.
fn list(mask: &Mask, array: &ListArray, keys: &MaskKeys) -> Result<ArrayRef, ArrowError> {
    let DataType::List(item) = mask.masked_type(array.data_type()) else { return Err(not_taken(array.data_type())) };
    let values = apply(mask, array.values(), keys)?;
    Ok(Arc::new(ListArray::try_new(item, array.offsets().clone(), values, array.nulls().cloned())?))
}

/// A struct whose fields are masked, each by its mask. Under a NULL there is nothing to mask.
fn structure(mask: &Mask, array: &StructArray, keys: &MaskKeys) -> Result<ArrayRef, ArrowError> {
    let DataType::Struct(fields) = mask.masked_type(array.data_type()) else { return Err(not_taken(array.data_type())) };
    let gone = array.nulls().map(|nulls| BooleanArray::new(!nulls.inner(), None));
    let masked = |(column, field): (&ArrayRef, &FieldRef)| {
        let Some(mask) = mask.of_field(field) else { return Ok(Arc::clone(column)) };
        match &gone {
            Some(gone) => apply(mask, &nullif(column, gone)?, keys),
            None => apply(mask, column, keys),
        }
    };
    let columns = array.columns().iter().zip(&fields).map(masked).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields, columns, array.nulls().cloned(), array.len())?))
}

/// One value for every row that has one.
fn broadcast(one: &ArrayRef, like: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let rows = UInt32Array::new(vec![0; like.len()].into(), like.logical_nulls());
    take(one, &rows, None)
}

/// Each text through `f`, which appends its result to an empty buffer.
fn map_text(array: &ArrayRef, f: impl Fn(&str, &mut String)) -> Result<ArrayRef, ArrowError> {
    macro_rules! build {
        ($builder:expr, $texts:expr) => {{
            let mut builder = $builder;
            let mut buffer = String::new();
            for text in $texts.iter() {
                match text {
                    Some(text) => {
                        buffer.clear();
                        f(text, &mut buffer);
                        builder.append_value(&buffer);
                    }
                    None => builder.append_null(),
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match array.data_type() {
        DataType::Utf8 => build!(StringBuilder::new(), array.as_string::<i32>()),
        DataType::LargeUtf8 => build!(LargeStringBuilder::new(), array.as_string::<i64>()),
        DataType::Utf8View => build!(StringViewBuilder::new(), array.as_string_view()),
        other => Err(not_taken(other)),
    }
}

/// Each number through `f`. The type's parameters (time zone, precision) are kept.
fn map_primitive<T: ArrowPrimitiveType>(array: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let values = array.as_primitive::<T>();
    let masked: PrimitiveArray<T> = match values.null_count() {
        0 => values.unary(f),
        // Not under NULLs, where anything may lie.
        _ => values.iter().map(|value| value.map(&f)).collect(),
    };
    Arc::new(masked.with_data_type(array.data_type().clone()))
}

fn not_taken(data_type: &DataType) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("the mask does not take {data_type}"))
}

#[cfg(test)]
mod tests;
