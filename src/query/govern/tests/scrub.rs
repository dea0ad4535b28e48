//! Rebuilt columns: equal to what they were, with nothing else in their buffers.

use crate::query::govern::scrub::{check, rebuild};
use arrow::array::types::*;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use std::sync::Arc;

const CANARY: &str = "CaNaRyCaNaRyCaNaRy";

fn holds(data: &ArrayData, needle: &[u8]) -> bool {
    data.buffers().iter().any(|buffer| buffer.as_slice().windows(needle.len()).any(|window| window == needle))
        || data.child_data().iter().any(|child| holds(child, needle))
}

/// Row 0 and 3 hold the canary and are dropped, row 2 holds it under a NULL.
fn texts() -> StringArray {
    StringArray::from(vec![CANARY, "a value that is longer than a view", CANARY, CANARY, "b"])
}

fn with_null(array: &ArrayRef) -> ArrayRef {
    let nulls = NullBuffer::from(vec![true, true, false, true, true]);
    make_array(array.to_data().into_builder().nulls(Some(nulls)).build().unwrap())
}

fn kept(array: &ArrayRef) -> ArrayRef {
    filter(array, &BooleanArray::from(vec![false, true, true, false, true])).unwrap()
}

fn assert_clean(array: &ArrayRef, governed: &DataType) {
    let rebuilt = rebuild(array, governed).unwrap();
    assert_eq!(rebuilt.data_type(), governed);
    rebuilt.to_data().validate_full().unwrap();
    assert!(!holds(&rebuilt.to_data(), CANARY.as_bytes()), "{governed}");
    let plain =
        |array: &ArrayRef| format!("{:?}", arrow::util::pretty::pretty_format_columns("c", &[Arc::clone(array)]).unwrap().to_string());
    assert_eq!(plain(&rebuilt), plain(array), "{governed}");
}

#[test]
fn flat_columns_keep_their_values_and_lose_the_rest() {
    let long = |array: ArrayRef| kept(&with_null(&array));
    for data_type in
        [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, DataType::Binary, DataType::LargeBinary, DataType::BinaryView]
    {
        let array = long(cast(&texts(), &data_type).unwrap());
        assert_clean(&array, &data_type);
        assert_clean(&with_null(&cast(&texts(), &data_type).unwrap()).slice(1, 2), &data_type);
    }
    let fixed =
        FixedSizeBinaryArray::try_from_iter((0..5).map(|row| if row == 1 { [7; 18] } else { CANARY.as_bytes().try_into().unwrap() }))
            .unwrap();
    assert_clean(&with_null(&(Arc::new(fixed) as ArrayRef)).slice(1, 2), &DataType::FixedSizeBinary(18));
}

#[test]
fn under_a_null_there_is_zero() {
    let numbers: ArrayRef = Arc::new(Int64Array::new(vec![1, 424_242, 3].into(), Some(vec![true, false, true].into())));
    let rebuilt = rebuild(&numbers, &DataType::Int64).unwrap();
    assert_eq!(rebuilt.as_primitive::<Int64Type>().values().as_ref(), [1, 0, 3]);
    let flags: ArrayRef = Arc::new(BooleanArray::new(vec![true, true, false].into(), Some(vec![true, false, true].into())));
    let rebuilt = rebuild(&flags, &DataType::Boolean).unwrap();
    assert_eq!(rebuilt.as_boolean().values().iter().collect::<Vec<_>>(), [true, false, false]);
    let sliced: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None]).slice(1, 2));
    let rebuilt = rebuild(&sliced, &DataType::Int64).unwrap();
    assert_eq!((rebuilt.nulls().unwrap().offset(), rebuilt.nulls().unwrap().buffer().as_slice()[0]), (0, 0b10));
}

#[test]
fn types_keep_their_parameters() {
    let zoned = TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("Europe/Berlin");
    let money = Decimal128Array::from(vec![Some(150), None]).with_precision_and_scale(12, 2).unwrap();
    for array in [Arc::new(zoned) as ArrayRef, Arc::new(money), Arc::new(NullArray::new(2)), Arc::new(Date32Array::from(vec![1, 2]))] {
        assert_clean(&array, array.data_type());
    }
}

#[test]
fn dictionaries_and_runs_become_values() {
    let dictionary: ArrayRef = Arc::new(texts().iter().collect::<DictionaryArray<UInt16Type>>());
    assert_clean(&kept(&with_null(&dictionary)), &DataType::Utf8);
    assert_clean(&dictionary.slice(1, 1), &DataType::Utf8);
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec![CANARY, "b"])).unwrap();
    assert_clean(&(Arc::new(runs) as ArrayRef).slice(2, 1), &DataType::Utf8);
}

#[test]
fn lists_structs_and_maps_are_clean_all_the_way_down() {
    let item = Arc::new(Field::new("item", DataType::Utf8View, true));
    let values = cast(&texts(), &DataType::Utf8View).unwrap();
    let one_each = || OffsetBuffer::from_lengths([1; 5]);
    let list: ArrayRef = Arc::new(ListArray::new(Arc::clone(&item), one_each(), Arc::clone(&values), None));
    assert_clean(&kept(&with_null(&list)), &DataType::List(Arc::clone(&item)));
    assert_clean(&with_null(&list).slice(1, 2), &DataType::List(Arc::clone(&item)));
    let fixed: ArrayRef = Arc::new(FixedSizeListArray::new(Arc::clone(&item), 1, Arc::clone(&values), None));
    assert_clean(&with_null(&fixed).slice(1, 2), &DataType::FixedSizeList(Arc::clone(&item), 1));
    let fields: Fields = vec![Field::new("a", DataType::Utf8View, false), Field::new("b", DataType::Int64, true)].into();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
    let parts: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![Arc::clone(&values), numbers], None));
    assert_clean(&with_null(&parts).slice(1, 2), &DataType::Struct(fields.clone()));
    let deep = Arc::new(Field::new("item", DataType::Struct(fields), true));
    let nested: ArrayRef = Arc::new(ListArray::new(Arc::clone(&deep), one_each(), parts, None));
    assert_clean(&kept(&with_null(&nested)), &DataType::List(deep));
    let pair: Fields = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8View, true)].into();
    let keys: ArrayRef = Arc::new(texts());
    let entries = StructArray::new(pair.clone(), vec![keys, values], None);
    let field = Arc::new(Field::new("entries", DataType::Struct(pair), false));
    let map: ArrayRef = Arc::new(MapArray::new(Arc::clone(&field), one_each(), entries, None, false));
    assert_clean(&with_null(&map).slice(1, 2), &DataType::Map(field, false));
}

#[test]
fn a_type_that_cannot_be_rebuilt_is_found_before_anything_is_read() {
    let union = DataType::Union([(0, Arc::new(Field::new("a", DataType::Int32, true)))].into_iter().collect(), UnionMode::Sparse);
    let hidden = Schema::new(vec![Field::new("fine", DataType::Utf8, true), Field::new("odd", DataType::new_list(union, true), true)]);
    assert_eq!(check(&hidden), Err("odd".to_owned()));
    assert_eq!(check(&Schema::new(vec![Field::new("fine", DataType::Utf8View, true)])), Ok(()));
}

use arrow::datatypes::UnionMode;

#[test]
fn how_a_column_came_about_does_not_show_in_its_allocations() {
    let texts = |text: fn(usize) -> String| StringViewArray::from_iter_values((0..100).map(text));
    let (long, short) = (|row: usize| format!("a text of many letters, {row}"), |row: usize| format!("{row}"));
    for text in [long as fn(usize) -> String, short] {
        let (plain, mut builder) = (texts(text), StringViewBuilder::new().with_fixed_block_size(1 << 16));
        (0..200).for_each(|row| builder.append_value(if row % 2 == 0 { text(row / 2) } else { CANARY.to_owned() }));
        let even = BooleanArray::from_iter((0..200).map(|row| Some(row % 2 == 0)));
        let filtered = filter(&builder.finish(), &even).unwrap();
        let sliced = texts(text).slice(0, 100);
        for other in [filtered, Arc::new(sliced) as ArrayRef] {
            let [a, b] = [Arc::new(plain.clone()) as ArrayRef, other].map(|array| rebuild(&array, &DataType::Utf8View).unwrap());
            assert_eq!(a.get_array_memory_size(), b.get_array_memory_size());
            assert_eq!(a.as_ref(), b.as_ref());
        }
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let longer: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
    let [a, b] = [numbers, longer.slice(0, 100)].map(|array| rebuild(&array, &DataType::Int64).unwrap());
    assert_eq!(a.get_array_memory_size(), b.get_array_memory_size());
}
