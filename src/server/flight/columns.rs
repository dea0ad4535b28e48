//! Columns as they travel: plain layouts that every Arrow client reads.
//!
//! View and dictionary layouts are what the engine likes to compute with, and what many clients (JDBC, older Go and Java) cannot read.
//! They also drag buffers along that hold more than the column's own values. So they become plain ones before they leave: a copy of
//! exactly what is shown. GetSchema, FlightInfo, prepared statements and the stream itself all announce the schema made here.
//!
//! Columns of results are all announced as nullable. Whether an expression can be NULL depends on the values of parameters, which are
//! not known yet when a statement is described, and ADBC refuses a stream whose schema differs from the announced one in any way.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, GenericByteViewArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{BinaryType, ByteArrayType, ByteViewType, DataType, Field, FieldRef, Schema, SchemaRef, Utf8Type};
use arrow::error::ArrowError;

/// The schema of a result, as announced and as sent.
pub(super) fn result_schema(schema: &SchemaRef) -> SchemaRef {
    let fields =
        plain_schema(schema).fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// The schema with plain columns.
pub(super) fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    if fields.iter().zip(schema.fields()).all(|(plain, field)| Arc::ptr_eq(plain, field)) {
        Arc::clone(schema)
    } else {
        Arc::new(Schema::new(fields))
    }
}

/// The batch in `schema`, which is [`result_schema`] or [`plain_schema`] of its own.
pub(super) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| plain_array(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn plain_array(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (DataType::Utf8View, DataType::Utf8) => plain_views::<_, Utf8Type>(array.as_string_view()),
        (DataType::BinaryView, DataType::Binary) => plain_views::<_, BinaryType>(array.as_binary_view()),
        _ => cast(array, to),
    }
}

/// What `cast` does, with short values, which most are, copied at a fixed width and without a call for each.
fn plain_views<V: ByteViewType, P: ByteArrayType<Offset = i32>>(views: &GenericByteViewArray<V>) -> Result<ArrayRef, ArrowError> {
    const INLINE: usize = 12;
    let total: usize = views.lengths().map(|length| length as usize).sum();
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total));
    }
    let mut values: Vec<u8> = Vec::with_capacity(total + INLINE);
    let mut offsets: Vec<i32> = Vec::with_capacity(views.len() + 1);
    offsets.push(0);
    for (row, view) in views.views().iter().enumerate() {
        let length = *view as u32 as usize;
        if views.is_null(row) {
            // Nothing, whatever lies there.
        } else if length <= INLINE {
            let end = values.len() + length;
            let [_, _, _, _, inline @ ..] = view.to_le_bytes();
            values.extend_from_slice(&inline);
            values.truncate(end);
        } else {
            let value: &[u8] = views.value(row).as_ref();
            values.extend_from_slice(value);
        }
        // It is at most `total`, which fits.
        offsets.push(values.len() as i32);
    }
    Ok(Arc::new(GenericByteArray::<P>::try_new(OffsetBuffer::new(offsets.into()), values.into(), views.nulls().cloned())?))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    match plain_type(field.data_type()) {
        Some(plain) => Arc::new(Field::new(field.name(), plain, field.is_nullable())),
        None => Arc::clone(field),
    }
}

/// The plain type, or `None` where it is plain already.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    let inner = |field: &FieldRef| {
        let plain = plain_field(field);
        (!Arc::ptr_eq(&plain, field)).then_some(plain)
    };
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        DataType::Dictionary(_, values) => Some(plain_type(values).unwrap_or_else(|| values.as_ref().clone())),
        DataType::ListView(field) => Some(DataType::List(plain_field(field))),
        DataType::LargeListView(field) => Some(DataType::LargeList(plain_field(field))),
        DataType::List(field) => inner(field).map(DataType::List),
        DataType::LargeList(field) => inner(field).map(DataType::LargeList),
        DataType::FixedSizeList(field, size) => inner(field).map(|field| DataType::FixedSizeList(field, *size)),
        DataType::Map(field, sorted) => inner(field).map(|field| DataType::Map(field, *sorted)),
        DataType::Struct(fields) => {
            let plain: Vec<FieldRef> = fields.iter().map(plain_field).collect();
            let changed = plain.iter().zip(fields).any(|(plain, field)| !Arc::ptr_eq(plain, field));
            changed.then(|| DataType::Struct(plain.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StringArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_plain_at_any_depth() {
        let text = DataType::Utf8View;
        let nested = DataType::List(Arc::new(Field::new("item", DataType::Struct(vec![Field::new("a", text.clone(), true)].into()), true)));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(text.clone()));
        let schema = Arc::new(Schema::new(vec![
            Field::new("v", text, false),
            Field::new("n", nested, true),
            Field::new("d", dictionary, true),
            Field::new("i", DataType::Int64, false),
        ]));
        let plain = plain_schema(&schema);
        assert_eq!(plain.field(0), &Field::new("v", DataType::Utf8, false));
        assert_eq!(plain.field(1).data_type().to_string(), "List(Struct(\"a\": Utf8))");
        assert_eq!(plain.field(2).data_type(), &DataType::Utf8);
        assert!(Arc::ptr_eq(&plain.fields()[3], &schema.fields()[3]));
        assert_eq!(plain_schema(&plain), plain);
    }

    #[test]
    fn every_column_of_a_result_is_announced_as_nullable_and_without_metadata() {
        let field = Field::new("a", DataType::Utf8View, false).with_metadata([("k".to_owned(), "v".to_owned())].into());
        let result = result_schema(&Arc::new(Schema::new(vec![field])));
        assert_eq!(*result, Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    }

    #[test]
    fn a_plain_batch_holds_the_same_values_and_nothing_of_the_shared_buffers() {
        let hidden = "a value that only other rows hold, long enough for a buffer";
        let all = StringViewArray::from(vec![Some("shown, and long enough for a buffer"), None, Some(hidden)]);
        let shown: ArrayRef = Arc::new(all.slice(0, 2));
        let codes: DictionaryArray<Int32Type> = vec!["x", hidden].into_iter().collect();
        let code: ArrayRef = Arc::new(codes.slice(0, 1));
        let code = arrow::compute::concat(&[code.as_ref(), code.as_ref()]).unwrap();
        let schema =
            Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8View, true), Field::new("d", codes.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![shown, code]).unwrap();
        let plain = plain_batch(&batch, &plain_schema(&schema)).unwrap();
        let texts = plain.column(0).as_string::<i32>();
        assert_eq!(texts, &StringArray::from(vec![Some("shown, and long enough for a buffer"), None]));
        assert_eq!(texts.value_data(), b"shown, and long enough for a buffer");
        assert_eq!(plain.column(1).as_string::<i32>().value_data(), b"xx");
    }

    #[test]
    fn texts_of_every_length_are_what_a_cast_makes_of_them() {
        let texts = (0..60).map(|length| (length % 7 != 3).then(|| "äbcdefghijklm".repeat(5).chars().take(length).collect::<String>()));
        let views: StringViewArray = texts.collect();
        for (offset, length) in [(0, 60), (0, 0), (5, 20), (13, 1), (59, 1)] {
            let slice: ArrayRef = Arc::new(views.slice(offset, length));
            assert_eq!(&plain_array(&slice, &DataType::Utf8).unwrap(), &cast(&slice, &DataType::Utf8).unwrap());
            let bytes = cast(&slice, &DataType::BinaryView).unwrap();
            assert_eq!(&plain_array(&bytes, &DataType::Binary).unwrap(), &cast(&bytes, &DataType::Binary).unwrap());
        }
    }

    #[test]
    fn a_batch_without_columns_keeps_its_row_count() {
        let schema = Arc::new(Schema::empty());
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &RecordBatchOptions::new().with_row_count(Some(7))).unwrap();
        assert_eq!(plain_batch(&batch, &schema).unwrap().num_rows(), 7);
    }
}
