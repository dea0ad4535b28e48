//! Every Arrow type against what PostgreSQL prints and sends for the same value.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::types::{self, oid};
use super::*;

fn styled(array: &dyn Array, style: &Style) -> Vec<Option<String>> {
    let ty = types::of_arrow(array.data_type()).unwrap();
    let column = Column::new(array, ty.oid, Format::Text, style).unwrap();
    (0..array.len())
        .map(|row| {
            (!column.is_null(row)).then(|| {
                let mut out = Vec::new();
                column.write(row, &mut out).unwrap();
                String::from_utf8(out).unwrap()
            })
        })
        .collect()
}

fn text(array: impl Array) -> Vec<Option<String>> {
    styled(&array, &Style::default())
}

fn one(array: impl Array) -> String {
    text(array).remove(0).unwrap()
}

fn as_type(array: &dyn Array, oid: u32, format: Format) -> Result<Vec<u8>, Unwritable> {
    let mut out = Vec::new();
    Column::new(array, oid, format, &Style::default()).unwrap().write(0, &mut out)?;
    Ok(out)
}

fn binary(array: impl Array) -> Vec<u8> {
    as_type(&array, types::of_arrow(array.data_type()).unwrap().oid, Format::Binary).unwrap()
}

#[test]
fn integers_take_the_width_of_their_type() {
    assert_eq!(text(Int8Array::from(vec![Some(-128), None])), [Some("-128".to_owned()), None]);
    assert_eq!(one(Int64Array::from(vec![i64::MIN])), "-9223372036854775808");
    assert_eq!(one(UInt64Array::from(vec![u64::MAX])), "18446744073709551615");
    assert_eq!(binary(Int8Array::from(vec![-1])), [255, 255]);
    assert_eq!(binary(UInt8Array::from(vec![255])), [0, 255]);
    assert_eq!(binary(UInt16Array::from(vec![65535])), [0, 0, 255, 255]);
    assert_eq!(binary(UInt32Array::from(vec![u32::MAX])), [0, 0, 0, 0, 255, 255, 255, 255]);
    assert_eq!(binary(UInt64Array::from(vec![12345])), [0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0x09, 0x29]);
}

#[test]
fn booleans_floats_and_bytes() {
    assert_eq!(text(BooleanArray::from(vec![Some(true), Some(false), None])), [Some("t".to_owned()), Some("f".to_owned()), None]);
    assert_eq!(binary(BooleanArray::from(vec![true])), [1]);
    assert_eq!(one(Float64Array::from(vec![f64::NAN])), "NaN");
    assert_eq!(one(Float32Array::from(vec![0.1])), "0.1");
    assert_eq!(one(Float16Array::from_iter_values([half_of(1.5)])), "1.5");
    assert_eq!(binary(Float32Array::from(vec![1.0])), 1_f32.to_be_bytes());
    let bytes: Vec<&[u8]> = vec![&[0, 171, 255]];
    assert_eq!(one(BinaryArray::from(bytes.clone())), "\\x00abff");
    assert_eq!(one(BinaryViewArray::from(bytes.clone())), "\\x00abff");
    assert_eq!(binary(LargeBinaryArray::from(bytes)), [0, 171, 255]);
    let fixed = FixedSizeBinaryArray::try_from_iter([[7_u8; 16]].into_iter()).unwrap();
    assert_eq!(one(fixed), format!("\\x{}", "07".repeat(16)));
    let escape = Style { escape_bytea: true, ..Style::default() };
    assert_eq!(styled(&BinaryArray::from(vec![&b"a\\\x00\xff"[..]]), &escape), [Some("a\\\\\\000\\377".to_owned())]);
}

fn half_of(value: f32) -> <Float16Type as ArrowPrimitiveType>::Native {
    <Float16Type as ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn all_kinds_of_text_are_text() {
    assert_eq!(one(StringArray::from(vec!["grün"])), "grün");
    assert_eq!(one(LargeStringArray::from(vec!["a"])), "a");
    assert_eq!(binary(StringViewArray::from(vec!["a longer text than fits"])), b"a longer text than fits");
    assert_eq!(text(NullArray::new(2)), [None, None]);
}

#[test]
fn decimals_are_exact_whatever_their_scale() {
    let decimal = |value: i128, precision, scale| Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap();
    assert_eq!(one(decimal(123_456, 12, 2)), "1234.56");
    assert_eq!(one(decimal(-1, 5, 3)), "-0.001");
    assert_eq!(one(decimal(12, 5, -3)), "12000");
    assert_eq!(one(decimal(99_999_999_999_999_999_999_999_999_999_999_999_999, 38, 10)), "9999999999999999999999999999.9999999999");
    let wide = Decimal256Array::from(vec![i256::from_i128(i128::MAX)]).with_precision_and_scale(76, 0).unwrap();
    assert_eq!(one(wide), i128::MAX.to_string());
    assert_eq!(one(Decimal32Array::from(vec![150]).with_precision_and_scale(9, 2).unwrap()), "1.50");
    assert_eq!(one(Decimal64Array::from(vec![150]).with_precision_and_scale(18, 2).unwrap()), "1.50");
    assert_eq!(binary(decimal(15_000, 12, 2)), [0, 1, 0, 0, 0, 0, 0, 2, 0, 150]);
}

#[test]
fn dates_and_times_in_every_unit() {
    assert_eq!(one(Date32Array::from(vec![19_782])), "2024-02-29");
    assert_eq!(one(Date64Array::from(vec![-1])), "1969-12-31");
    assert_eq!(binary(Date32Array::from(vec![10_957])), [0; 4]);
    assert_eq!(one(Time32SecondArray::from(vec![3_661])), "01:01:01");
    assert_eq!(one(Time32MillisecondArray::from(vec![1_500])), "00:00:01.5");
    assert_eq!(one(Time64MicrosecondArray::from(vec![86_399_999_999])), "23:59:59.999999");
    assert_eq!(one(Time64NanosecondArray::from(vec![1_999])), "00:00:00.000001");
    assert_eq!(binary(Time64MicrosecondArray::from(vec![1])), 1_i64.to_be_bytes());
    assert_eq!(one(TimestampSecondArray::from(vec![0])), "1970-01-01 00:00:00");
    assert_eq!(one(TimestampNanosecondArray::from(vec![1_500_000_000])), "1970-01-01 00:00:01.5");
    assert_eq!(binary(TimestampMillisecondArray::from(vec![946_684_800_001])), 1_000_i64.to_be_bytes());
    let zoned = TimestampMicrosecondArray::from(vec![1_720_000_000_000_000]).with_timezone("America/New_York");
    assert_eq!(one(zoned.clone()), "2024-07-03 09:46:40+00", "the session's zone counts, not the column's");
    let berlin = Style { zone: Tz::Europe__Berlin, ..Style::default() };
    assert_eq!(styled(&zoned, &berlin), [Some("2024-07-03 11:46:40+02".to_owned())]);
}

#[test]
fn intervals_of_all_three_kinds_and_durations() {
    assert_eq!(one(IntervalYearMonthArray::from(vec![14])), "1 year 2 mons");
    assert_eq!(one(IntervalDayTimeArray::from(vec![IntervalDayTime::new(2, 1_500)])), "2 days 00:00:01.5");
    let all = IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, -2, 3_000_000_000)), None]);
    assert_eq!(text(all.clone()), [Some("1 mon -2 days +00:00:03".to_owned()), None]);
    assert_eq!(binary(all), [3_000_000_i64.to_be_bytes().to_vec(), (-2_i32).to_be_bytes().to_vec(), 1_i32.to_be_bytes().to_vec()].concat());
    assert_eq!(one(DurationSecondArray::from(vec![90_061])), "1 day 01:01:01");
    assert_eq!(one(DurationNanosecondArray::from(vec![-1_000])), "-00:00:00.000001");
}

#[test]
fn arrays_quote_what_must_be_quoted() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for item in [Some("plain"), Some(""), Some("a b"), Some("NULL"), None, Some("q\"b\\c"), Some("x,y"), Some("{}")] {
        builder.values().append_option(item);
    }
    builder.append(true);
    builder.append(true);
    builder.append(false);
    assert_eq!(
        text(builder.finish()),
        [Some(r#"{plain,"","a b","NULL",NULL,"q\"b\\c","x,y","{}"}"#.to_owned()), Some("{}".to_owned()), None]
    );
}

#[test]
fn arrays_in_binary_have_their_header() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    let expected = [&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1][..], &[255; 4]].concat();
    assert_eq!(binary(list), expected);
    let empty = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(Vec::<Option<i32>>::new())]);
    assert_eq!(binary(empty), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int16Type, _, _>([Some([Some(1), Some(2)])], 2);
    assert_eq!(one(fixed), "{1,2}");
    let sliced = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), Some([Some(2)])]).slice(1, 1);
    assert_eq!(one(sliced), "{2}");
}

#[test]
fn structs_and_maps_are_json() {
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b \"x\"", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Second, None), true),
        Field::new("nan", DataType::Float64, true),
        Field::new("yes", DataType::Boolean, true),
    ]);
    let array = StructArray::new(
        fields,
        vec![
            Arc::new(Int32Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec!["line\nbreak", "t"])),
            Arc::new(TimestampSecondArray::from(vec![0, 0])),
            Arc::new(Float64Array::from(vec![f64::NAN, 1.5])),
            Arc::new(BooleanArray::from(vec![true, false])),
        ],
        None,
    );
    assert_eq!(
        text(array.clone()),
        [
            Some(r#"{"a": 1, "b \"x\"": "line\nbreak", "at": "1970-01-01T00:00:00", "nan": "NaN", "yes": true}"#.to_owned()),
            Some(r#"{"a": null, "b \"x\"": "t", "at": "1970-01-01T00:00:00", "nan": 1.5, "yes": false}"#.to_owned()),
        ]
    );
    assert_eq!(binary(array.clone())[..2], [1, b'{'], "jsonb has a version");
    let list = ListArray::new(
        Arc::new(Field::new_list_field(array.data_type().clone(), true)),
        OffsetBuffer::new(ScalarBuffer::from(vec![0, 1])),
        Arc::new(array.slice(1, 1)),
        None,
    );
    assert!(one(list).starts_with(r#"[{"a": null"#));
    let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
    map.keys().append_value(7);
    map.values().append_null();
    map.append(true).unwrap();
    assert_eq!(one(map.finish()), r#"{"7": null}"#);
}

#[test]
fn dictionaries_are_their_values_and_their_nulls() {
    let array: DictionaryArray<Int8Type> = vec![Some("b"), None, Some("a"), Some("b")].into_iter().collect();
    assert_eq!(text(array), [Some("b".to_owned()), None, Some("a".to_owned()), Some("b".to_owned())]);
    let empty: DictionaryArray<Int8Type> = vec![None::<&str>].into_iter().collect();
    assert_eq!(text(empty), [None]);
    let null_value = DictionaryArray::new(Int8Array::from(vec![0, 1]), Arc::new(StringArray::from(vec![None, Some("x")])));
    assert_eq!(text(null_value), [None, Some("x".to_owned())]);
}

#[test]
fn catalog_types_have_their_own_binary_form() {
    let number = UInt32Array::from(vec![u32::MAX]);
    assert_eq!(as_type(&number, oid::OID, Format::Binary).unwrap(), [255; 4]);
    assert_eq!(as_type(&Int64Array::from(vec![26]), oid::REGCLASS, Format::Binary).unwrap(), [0, 0, 0, 26]);
    assert!(as_type(&Int64Array::from(vec![1_i64 << 40]), oid::OID, Format::Binary).is_err());
    let names = StringArray::from(vec!["21 23"]);
    assert_eq!(as_type(&names, oid::INT2VECTOR, Format::Text).unwrap(), b"21 23");
    let vector = as_type(&names, oid::INT2VECTOR, Format::Binary).unwrap();
    assert_eq!(vector, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 21, 0, 0, 0, 2, 0, 23]);
    let oids = ListArray::from_iter_primitive::<UInt32Type, _, _>([Some([Some(26), Some(25)])]);
    assert_eq!(as_type(&oids, oid::OIDVECTOR, Format::Text).unwrap(), b"26 25");
    assert_eq!(as_type(&oids, 1028, Format::Text).unwrap(), b"{26,25}");
    let array = StringArray::from(vec!["{a,\"b c\",NULL}"]);
    let sent = as_type(&array, 1009, Format::Binary).unwrap();
    assert_eq!(sent[..20], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 3, 0, 0, 0, 1]);
    assert_eq!(sent[20..], *b"\0\0\0\x01a\0\0\0\x03b c\xff\xff\xff\xff");
    let uuid = StringArray::from(vec!["00112233-4455-6677-8899-aabbccddeeff"]);
    assert_eq!(as_type(&uuid, oid::UUID, Format::Binary).unwrap()[..3], [0, 0x11, 0x22]);
    assert_eq!(as_type(&StringArray::from(vec!["{}"]), oid::JSONB, Format::Binary).unwrap(), b"\x01{}");
    assert_eq!(as_type(&StringArray::from(vec!["r"]), oid::CHAR, Format::Binary).unwrap(), b"r");
}

#[test]
fn an_array_is_its_items() {
    let items = |text: &str| {
        nested::split_array(text).map(|items| items.into_iter().map(|item| item.unwrap_or_else(|| "-".into())).collect::<Vec<_>>())
    };
    assert_eq!(items("{}"), Some(vec![]));
    assert_eq!(items("{1, 2 ,NULL}"), Some(vec!["1".into(), "2".into(), "-".into()]));
    assert_eq!(items(r#"{"a,b","c\"d",e f}"#), Some(vec!["a,b".into(), "c\"d".into(), "e f".into()]));
    for text in ["1,2", "{1,}", "{,1}", "{{1},{2}}", "{\"a}", "{a\"b}"] {
        assert_eq!(items(text), None, "{text}");
    }
}
