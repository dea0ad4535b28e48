//! Fresh buffers.
//!
//! Arrow's kernels share and slice: a filtered view array keeps the bytes of every row that was dropped, a filtered dictionary all its
//! values, a NULL the value under it, and the IPC writer ships buffers as they are. So every column that leaves the barrier is rebuilt here
//! from nothing but its values: no spare bytes before, behind or between them, zeros under NULLs, no dictionaries, no metadata.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanArray, FixedSizeBinaryBuilder, FixedSizeListArray,
    GenericByteViewArray, GenericByteViewBuilder, GenericListArray, LargeBinaryBuilder, LargeStringBuilder, MapArray, NullArray,
    OffsetSizeTrait, PrimitiveArray, StringBuilder, StructArray, UInt64Array, downcast_primitive_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, nullif, take};
use arrow::datatypes::{ArrowNativeType, ByteViewType, DataType, FieldRef, Schema};
use arrow::error::ArrowError;

type Result<T, E = ArrowError> = std::result::Result<T, E>;

/// Whether every column can be rebuilt; the name of the first that cannot, where not.
pub(super) fn check(governed: &Schema) -> Result<(), String> {
    match governed.fields().iter().find(|field| !is_rebuildable(field.data_type())) {
        Some(field) => Err(field.name().clone()),
        None => Ok(()),
    }
}

fn is_rebuildable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::ListView(_) | DataType::LargeListView(_) | DataType::RunEndEncoded(..) => false,
        DataType::Dictionary(..) => false,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => is_rebuildable(item.data_type()),
        DataType::Map(entries, _) => is_rebuildable(entries.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_rebuildable(field.data_type())),
        _ => true,
    }
}

/// The array as one of `governed` type, rebuilt.
pub(super) fn rebuild(array: &ArrayRef, governed: &DataType) -> Result<ArrayRef> {
    macro_rules! each {
        ($builder:expr, $values:expr) => {{
            let mut builder = $builder;
            $values.iter().for_each(|value| builder.append_option(value));
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    let plain;
    let array = match array.data_type() {
        DataType::Dictionary(_, values) => {
            plain = cast(array, values)?;
            return rebuild(&plain, governed);
        }
        DataType::RunEndEncoded(_, values) => {
            plain = cast(array, values.data_type())?;
            return rebuild(&plain, governed);
        }
        DataType::ListView(item) => {
            plain = cast(array, &DataType::List(Arc::clone(item)))?;
            &plain
        }
        DataType::LargeListView(item) => {
            plain = cast(array, &DataType::LargeList(Arc::clone(item)))?;
            &plain
        }
        _ => array,
    };
    let rows = array.len();
    downcast_primitive_array! {
        array => Ok(Arc::new(primitive(array)) as ArrayRef),
        DataType::Null => Ok(Arc::new(NullArray::new(rows))),
        DataType::Boolean => Ok(Arc::new(boolean(array.as_boolean()))),
        DataType::Utf8 => each!(StringBuilder::with_capacity(rows, 0), array.as_string::<i32>()),
        DataType::LargeUtf8 => each!(LargeStringBuilder::with_capacity(rows, 0), array.as_string::<i64>()),
        DataType::Utf8View => Ok(Arc::new(views(array.as_string_view())?)),
        DataType::Binary => each!(BinaryBuilder::with_capacity(rows, 0), array.as_binary::<i32>()),
        DataType::LargeBinary => each!(LargeBinaryBuilder::with_capacity(rows, 0), array.as_binary::<i64>()),
        DataType::BinaryView => Ok(Arc::new(views(array.as_binary_view())?)),
        DataType::FixedSizeBinary(width) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, *width);
            for value in array.as_fixed_size_binary().iter() {
                match value {
                    Some(bytes) => builder.append_value(bytes)?,
                    None => builder.append_null(),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        _ => nested(array, governed),
    }
}

fn nested(array: &ArrayRef, governed: &DataType) -> Result<ArrayRef> {
    match (array.data_type(), governed) {
        (DataType::List(_), DataType::List(item)) => list(array.as_list::<i32>(), item),
        (DataType::LargeList(_), DataType::LargeList(item)) => list(array.as_list::<i64>(), item),
        (DataType::FixedSizeList(..), DataType::FixedSizeList(item, size)) => fixed_size_list(array.as_fixed_size_list(), item, *size),
        (DataType::Map(..), DataType::Map(entries, sorted)) => map(array.as_map(), entries, *sorted),
        (DataType::Struct(_), DataType::Struct(_)) => structure(array.as_struct(), governed),
        (other, _) => Err(ArrowError::NotYetImplemented(format!("a column of type {other} under a policy"))),
    }
}

/// Whether fixed-width values are already as rebuilt ones would be: nothing under a NULL, and nothing in their allocation but themselves.
/// Most columns that were decoded or filtered are, and copying them again would take as long as that did.
fn is_whole<T: ArrowNativeType>(values: &ScalarBuffer<T>, nulls: Option<&NullBuffer>) -> bool {
    nulls.is_none_or(|nulls| nulls.null_count() == 0) && values.inner().capacity() == size_of_val(values.as_ref())
}

/// Views over nothing but the values that they show, which lie in one allocation of their size.
fn views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Result<GenericByteViewArray<T>> {
    if !is_whole(array.views(), array.nulls()) {
        let mut builder = GenericByteViewBuilder::<T>::with_capacity(array.len());
        array.iter().for_each(|value| builder.append_option(value));
        return Ok(builder.finish().gc());
    }
    let whole = array.gc();
    match whole.nulls() {
        None => Ok(whole),
        Some(_) => GenericByteViewArray::try_new(whole.views().clone(), whole.data_buffers().to_vec(), None),
    }
}

/// The validity of these rows and of no others.
fn validity(nulls: Option<&NullBuffer>) -> Option<NullBuffer> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
    Some(NullBuffer::new(BooleanBuffer::collect_bool(nulls.len(), |row| nulls.is_valid(row))))
}

fn primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> PrimitiveArray<T> {
    if is_whole(array.values(), array.nulls()) {
        return PrimitiveArray::<T>::new(array.values().clone(), None).with_data_type(array.data_type().clone());
    }
    let nulls = validity(array.nulls());
    let mut values = array.values().to_vec();
    if let Some(nulls) = &nulls {
        values.iter_mut().zip(nulls).filter(|(_, valid)| !valid).for_each(|(value, _)| *value = T::Native::default());
    }
    PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(array.data_type().clone())
}

fn boolean(array: &BooleanArray) -> BooleanArray {
    let values = BooleanBuffer::collect_bool(array.len(), |row| array.is_valid(row) && array.value(row));
    BooleanArray::new(values, validity(array.nulls()))
}

/// The entries of the valid rows, one after the other, and where each row's begin.
fn entries<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, nulls: Option<&NullBuffer>) -> (UInt64Array, OffsetBuffer<O>) {
    let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let ranges = offsets.windows(2).enumerate().map(|(row, window)| match window {
        [start, end] if is_valid(row) => start.as_usize()..end.as_usize(),
        _ => 0..0,
    });
    let lengths = ranges.clone().map(|range| range.len());
    (ranges.clone().flatten().map(|entry| entry as u64).collect(), OffsetBuffer::from_lengths(lengths))
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>, item: &FieldRef) -> Result<ArrayRef> {
    let (kept, offsets) = entries(array.offsets(), array.nulls());
    let values = rebuild(&take(array.values(), &kept, None)?, item.data_type())?;
    Ok(Arc::new(GenericListArray::try_new(Arc::clone(item), offsets, values, validity(array.nulls()))?))
}

fn map(array: &MapArray, field: &FieldRef, sorted: bool) -> Result<ArrayRef> {
    let (kept, offsets) = entries(array.offsets(), array.nulls());
    let pairs: ArrayRef = Arc::new(array.entries().clone());
    let pairs = rebuild(&take(&pairs, &kept, None)?, field.data_type())?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(field), offsets, pairs.as_struct().clone(), validity(array.nulls()), sorted)?))
}

/// A NULL row has entries here like any other, so they become NULLs themselves.
fn fixed_size_list(array: &FixedSizeListArray, item: &FieldRef, size: i32) -> Result<ArrayRef> {
    let width = u64::try_from(size).unwrap_or(0);
    let slots = (0..array.len()).flat_map(|row| {
        let start = u64::try_from(array.value_offset(row)).unwrap_or(0);
        let valid = array.is_valid(row);
        (start..start + width).map(move |slot| valid.then_some(slot))
    });
    let values = rebuild(&take(array.values(), &slots.collect::<UInt64Array>(), None)?, item.data_type())?;
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::clone(item), size, values, validity(array.nulls()))?))
}

/// What is under a NULL of the whole becomes NULL in each part, and so zeros.
fn structure(array: &StructArray, governed: &DataType) -> Result<ArrayRef> {
    let DataType::Struct(fields) = governed else { return Err(ArrowError::SchemaError("a struct".into())) };
    let nulls = validity(array.nulls());
    let gone = nulls.as_ref().map(|nulls| BooleanArray::from_unary(&BooleanArray::new(nulls.inner().clone(), None), |valid| !valid));
    let part = |(column, field): (&ArrayRef, &FieldRef)| match &gone {
        Some(gone) if column.data_type() != &DataType::Null => rebuild(&nullif(column, gone)?, field.data_type()),
        _ => rebuild(column, field.data_type()),
    };
    if fields.len() != array.num_columns() {
        return Err(ArrowError::SchemaError("a struct of other fields".into()));
    }
    let parts = array.columns().iter().zip(fields).map(part).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), parts, nulls, array.len())?))
}
