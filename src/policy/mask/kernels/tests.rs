use super::*;
use arrow::array::*;
use arrow::datatypes::{Decimal128Type, Field, Int32Type, TimeUnit, UInt16Type};
use proptest::prelude::*;

fn keys() -> MaskKeys {
    MaskKeys { pseudonym: *b"the key of the consumer domain..", query_salt: *b"salt of a query." }
}

fn masked(mask: &str, array: ArrayRef) -> ArrayRef {
    let parsed = Mask::parse(mask).unwrap();
    let masked = parsed.apply(&array, &keys()).unwrap();
    assert_eq!(*masked.data_type(), parsed.masked_type(array.data_type()), "{mask} keeps the type");
    assert_eq!(masked.len(), array.len(), "{mask} keeps the length");
    masked
}

fn texts(mask: &str, values: &[&str]) -> Vec<String> {
    let views = masked(mask, Arc::new(StringViewArray::from(values.to_vec())));
    let plain = masked(mask, Arc::new(StringArray::from(values.to_vec())));
    let large = masked(mask, Arc::new(LargeStringArray::from(values.to_vec())));
    assert_eq!(&cast(&views, &DataType::Utf8).unwrap(), &plain);
    assert_eq!(&cast(&large, &DataType::Utf8).unwrap(), &plain);
    plain.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
}

fn shown(array: ArrayRef) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let formatter = arrow::util::display::ArrayFormatter::try_new(&array, &options).unwrap();
    (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
}

#[test]
fn text_masks_give_what_iceberg_gives() {
    let email = "prashant010696@gmail.com";
    assert_eq!(
        texts("mask-alphanum", &[email, "(555) 12-3,4.5@", "", "Ünï 9🙂"]),
        ["xxxxxxxxnnnnnn@xxxxx.xxx", "(nnn)xnn-n,n.n@", "", "xxxxnx"]
    );
    assert_eq!(texts("show-first-4", &[email, "abcd", "abcde", "", "ÄÖÜß1"]), ["prasxxxxnnnnnn@xxxxx.xxx", "abcd", "abcdx", "", "ÄÖÜßn"]);
    assert_eq!(texts("show-last-4", &["123-45-6789", "abcd", "abcde", "", "1ÄÖÜß"]), ["nnn-nn-6789", "abcd", "xbcde", "", "nÄÖÜß"]);
    assert_eq!(texts("mask-to-fixed-value", &["secret", ""]), ["XXXXXXXX", "XXXXXXXX"]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(texts("sha-256-global", &["abc", ""]), [abc, empty]);
}

#[test]
fn hashes_of_numbers_are_the_digests_first_bytes_little_endian() {
    // SHA-256 of 01 00 00 00 begins 67 ab dd 72; of 01 00 00 00 00 00 00 00 it begins 7c 9f a1 36 d4 41 3f a6.
    let int = masked("sha-256-global", Arc::new(Int32Array::from(vec![1])));
    assert_eq!(int.as_primitive::<Int32Type>().value(0), i32::from_le_bytes([0x67, 0xab, 0xdd, 0x72]));
    let long = masked("sha-256-global", Arc::new(Int64Array::from(vec![1])));
    assert_eq!(
        long.as_primitive::<arrow::datatypes::Int64Type>().value(0),
        i64::from_le_bytes([0x7c, 0x9f, 0xa1, 0x36, 0xd4, 0x41, 0x3f, 0xa6])
    );
    let binary = masked("sha-256-global", Arc::new(BinaryArray::from(vec![b"abc".as_slice()])));
    assert_eq!(binary.as_binary::<i32>().value(0)[..4], [0xba, 0x78, 0x16, 0xbf]);
}

#[test]
fn a_query_local_hash_is_the_salted_digest_and_differs_between_queries() {
    use sha2::{Digest, Sha256};
    let expected: String = Sha256::digest(b"salt of a query.abc").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(texts("sha-256-query-local", &["abc"]), std::slice::from_ref(&expected));
    let other = MaskKeys { query_salt: [0; 16], ..keys() };
    let array: ArrayRef = Arc::new(StringArray::from(vec!["abc"]));
    assert_ne!(Mask::Sha256QueryLocal.apply(&array, &other).unwrap().as_string::<i32>().value(0), expected);
}

#[test]
fn fixed_values_are_those_of_each_type() {
    let empty = |data_type: DataType| new_null_array(&data_type, 1);
    let fixed = |data_type: DataType| {
        let one = fixed::value(&data_type).unwrap();
        assert_eq!(one.data_type(), &data_type);
        assert!(masked("mask-to-fixed-value", empty(data_type)).is_null(0));
        shown(one).remove(0)
    };
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    for (data_type, value) in [
        (DataType::Int32, "999999999"),
        (DataType::Int64, "999999999"),
        (DataType::UInt64, "999999999"),
        (DataType::Int16, "9999"),
        (DataType::Int8, "99"),
        (DataType::Float32, "0.0"),
        (DataType::Float64, "0.0"),
        (DataType::Decimal128(12, 2), "0.00"),
        (DataType::Decimal256(60, 3), "0.000"),
        (DataType::Boolean, "false"),
        (DataType::Utf8View, "XXXXXXXX"),
        (DataType::Binary, ""),
        (DataType::FixedSizeBinary(4), "00000000"),
        (DataType::Date32, "9999-12-31"),
        (DataType::Date64, "9999-12-31T00:00:00"),
        (DataType::Time64(TimeUnit::Microsecond), "00:00:00"),
        (DataType::Time32(TimeUnit::Second), "00:00:00"),
        (micros(None), "9999-12-31T00:00:00"),
        (micros(Some("UTC")), "9999-12-31T00:00:00Z"),
        (DataType::Timestamp(TimeUnit::Second, None), "9999-12-31T00:00:00"),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), "2261-12-31T00:00:00"),
    ] {
        assert_eq!(fixed(data_type.clone()), value, "{data_type}");
    }
}

#[test]
fn dates_and_timestamps_are_cut_in_utc() {
    let days = |text: &[&str]| cast(&StringArray::from(text.to_vec()), &DataType::Date32).unwrap();
    let given = ["2024-07-15", "2024-02-29", "1969-12-31", "2000-01-01", "0001-12-31", "1900-03-01"];
    assert_eq!(
        shown(masked("truncate-to-year", days(&given))),
        ["2024-01-01", "2024-01-01", "1969-01-01", "2000-01-01", "0001-01-01", "1900-01-01"]
    );
    assert_eq!(
        shown(masked("truncate-to-month", days(&given))),
        ["2024-07-01", "2024-02-01", "1969-12-01", "2000-01-01", "0001-12-01", "1900-03-01"]
    );
    // 23:30 on New Year's Eve in UTC is the new year already in Berlin; the year is UTC's.
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        let zone = DataType::Timestamp(unit, Some("Europe/Berlin".into()));
        let eve = cast(&StringArray::from(vec!["2023-12-31T23:30:00Z", "1969-12-31T23:59:59Z"]), &zone).unwrap();
        assert_eq!(shown(masked("truncate-to-year", eve)), ["2023-01-01T01:00:00+01:00", "1969-01-01T01:00:00+01:00"]);
    }
}

#[test]
fn truncation_saturates_where_the_type_ends() {
    let first = masked("truncate-to-year", Arc::new(TimestampNanosecondArray::from(vec![i64::MIN, i64::MAX])));
    assert_eq!(first.as_primitive::<arrow::datatypes::TimestampNanosecondType>().value(0), i64::MIN);
    let days = masked("truncate-to-month", Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX])));
    assert_eq!(days.as_primitive::<arrow::datatypes::Date32Type>().value(0), i32::MIN);
}

#[test]
fn rounding_goes_down_to_the_step() {
    let ints = masked("round:100", Arc::new(Int64Array::from(vec![0, 99, 100, -1, -100, i64::MAX, i64::MIN])));
    assert_eq!(
        ints.as_primitive::<arrow::datatypes::Int64Type>().values().as_ref(),
        [0, 0, 100, -100, -100, i64::MAX / 100 * 100, i64::MIN]
    );
    let bytes = masked("round:100", Arc::new(Int8Array::from(vec![127, -1, -128])));
    assert_eq!(bytes.as_primitive::<arrow::datatypes::Int8Type>().values().as_ref(), [100, -100, -128]);
    let money = Decimal128Array::from(vec![1999, -1, 999_999]).with_precision_and_scale(6, 2).unwrap();
    assert_eq!(shown(masked("round:0.5", Arc::new(money))), ["19.50", "-0.50", "9999.50"]);
    let floats = masked("round:0.01", Arc::new(Float64Array::from(vec![0.29, 0.299, -0.001, 0.3, f64::INFINITY, -0.0])));
    assert_eq!(shown(floats), ["0.29", "0.29", "-0.01", "0.3", "inf", "0.0"]);
    let single = masked("round:0.01", Arc::new(Float32Array::from(vec![0.29, 0.299, 1e30])));
    assert_eq!(shown(single), ["0.29", "0.29", "1e30"]);
}

#[test]
fn an_email_shows_its_domain_and_nothing_else() {
    let given = [
        "john.doe@northpeak.example",
        "a@b@mail.example.org",
        "no address",
        "x@localhost",
        "y@555.123.4567",
        "z@+49 170",
        "@",
        "a@müller.de",
    ];
    let expected = ["x…@northpeak.example", "x…@mail.example.org", "x…", "x…", "x…", "x…", "x…", "x…"];
    assert_eq!(texts("email", &given), expected);
}

#[test]
fn a_pseudonym_is_stable_in_a_domain_and_different_in_another() {
    let mine = texts("pseudonym", &["alice", "bob", "alice"]);
    assert!(mine[0] == mine[2] && mine[0] != mine[1]);
    assert!(mine.iter().all(|p| p.len() == 26 && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())), "{mine:?}");
    let other = MaskKeys { pseudonym: [7; 32], ..keys() };
    let array: ArrayRef = Arc::new(StringArray::from(vec!["alice"]));
    assert_ne!(Mask::Pseudonym.apply(&array, &other).unwrap().as_string::<i32>().value(0), mine[0]);
}

#[test]
fn integer_pseudonyms_are_not_negative_and_join_across_signs() {
    let long = masked("pseudonym", Arc::new(Int64Array::from_iter_values(0..1000)));
    let unsigned = masked("pseudonym", Arc::new(UInt64Array::from_iter_values(0..1000)));
    assert_eq!(cast(&unsigned, &DataType::Int64).unwrap().to_data(), long.to_data());
    assert!(long.as_primitive::<arrow::datatypes::Int64Type>().values().iter().all(|v| *v >= 0));
    let int = masked("pseudonym", Arc::new(Int32Array::from(vec![-1, i32::MIN, 5])));
    assert!(int.as_primitive::<Int32Type>().values().iter().all(|v| *v >= 0));
}

#[test]
fn a_masked_dictionary_holds_masked_values_only() {
    let dictionary: DictionaryArray<UInt16Type> = [Some("secret one"), None, Some("secret two")].into_iter().collect();
    let masked = masked("mask-alphanum", Arc::new(dictionary));
    assert_eq!(shown(Arc::clone(&masked)), ["xxxxxxxxxx", "NULL", "xxxxxxxxxx"]);
    assert!(!holds(&masked.to_data(), b"secret"));
}

#[test]
fn a_mask_on_a_type_that_it_does_not_take_is_an_error() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    for mask in ["email", "truncate-to-year", "constant:x", "round:0.5"] {
        assert!(Mask::parse(mask).unwrap().apply(&ints, &keys()).is_err(), "{mask}");
    }
}

/// Whether any buffer of the array, whatever its validity and offsets say, holds the bytes.
fn holds(data: &ArrayData, needle: &[u8]) -> bool {
    data.buffers().iter().any(|buffer| buffer.as_slice().windows(needle.len()).any(|window| window == needle))
        || data.child_data().iter().any(|child| holds(child, needle))
}

const CANARY: &str = "CaNaRyTwElVe";

/// An array of the type, with the canary under NULLs, before and behind the slice, and in the values.
fn laden(data_type: &DataType, tail: &[Option<String>]) -> ArrayRef {
    let around = [Some(format!("{CANARY} before")), Some(format!("{CANARY} under a null"))];
    let all: StringArray = around.into_iter().chain(tail.iter().map(|t| t.as_ref().map(|t| format!("{CANARY}{t}")))).collect();
    let nulls = arrow::buffer::NullBuffer::from_iter((0..all.len()).map(|row| row != 1 && all.is_valid(row)));
    let all = cast(&all, data_type).unwrap();
    let laden = all.to_data().into_builder().nulls(Some(nulls)).build().unwrap();
    make_array(laden).slice(1, tail.len() + 1)
}

proptest! {
    #[test]
    fn no_mask_leaves_a_byte_of_its_input_in_a_buffer(tail in proptest::collection::vec(proptest::option::of(".{0,40}"), 0..20)) {
        let binary = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView];
        for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View].into_iter().chain(binary) {
            let array = laden(&data_type, &tail);
            prop_assert!(holds(&array.to_data(), CANARY.as_bytes()));
            for text in ["replace-with-null", "mask-to-fixed-value", "mask-alphanum", "show-first-4", "show-last-4", "sha-256-global",
                         "sha-256-query-local", "pseudonym", "email", "constant:n/a"] {
                let mask = Mask::parse(text).unwrap();
                if !mask.accepts(&data_type) { continue }
                let out = mask.apply(&array, &keys()).unwrap();
                prop_assert!(!holds(&out.to_data(), &CANARY.as_bytes()[4..8]), "{text} of {data_type}");
                prop_assert_eq!((out.len(), out.data_type()), (array.len(), array.data_type()));
                let nulls = (0..array.len()).all(|row| out.is_null(row) == (array.is_null(row) || text == "replace-with-null"));
                prop_assert!(nulls, "{text} moves NULLs");
            }
        }
    }

    #[test]
    fn number_masks_keep_nulls_and_leave_nothing_under_them(values in proptest::collection::vec(proptest::option::of(any::<i64>()), 1..40), hidden in 1_000_000_000_i64..) {
        let nulls = arrow::buffer::NullBuffer::from_iter(values.iter().map(Option::is_some));
        let slots: Vec<i64> = values.iter().map(|value| value.unwrap_or(hidden)).collect();
        let array: ArrayRef = Arc::new(Int64Array::new(slots.into(), Some(nulls)));
        for text in ["mask-to-fixed-value", "sha-256-global", "pseudonym", "round:100", "constant:7"] {
            let out = Mask::parse(text).unwrap().apply(&array, &keys()).unwrap();
            let longs = out.as_primitive::<arrow::datatypes::Int64Type>();
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(out.is_null(row), value.is_none());
                prop_assert!(value.is_some() || longs.values()[row] != hidden);
            }
        }
        let times = cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).unwrap();
        for text in ["truncate-to-year", "truncate-to-month"] {
            let out = Mask::parse(text).unwrap().apply(&times, &keys()).unwrap();
            let again = Mask::parse(text).unwrap().apply(&out, &keys()).unwrap();
            prop_assert_eq!(out.to_data(), again.to_data());
        }
    }

    #[test]
    fn a_truncated_day_is_the_first_of_its_year_or_month(day in -10_000_000_i32..10_000_000) {
        use chrono::Datelike;
        let date = |day: i32| chrono::NaiveDate::from_epoch_days(day).unwrap();
        let array: ArrayRef = Arc::new(Date32Array::from(vec![day]));
        let cut = |mask: &Mask| date(mask.apply(&array, &keys()).unwrap().as_primitive::<arrow::datatypes::Date32Type>().value(0));
        prop_assert_eq!(cut(&Mask::TruncateToMonth), date(day).with_day(1).unwrap());
        prop_assert_eq!(cut(&Mask::TruncateToYear), date(day).with_ordinal(1).unwrap());
    }

    /// The order's own promise: the stricter mask's result can be made from the looser one's, so equal loose results are equal strict ones.
    #[test]
    fn a_stricter_mask_never_tells_apart_what_a_looser_one_does_not(pairs in proptest::collection::vec(("[a-c1-2@]{0,6}", any::<i8>()), 2..40)) {
        let names = ["show-first-4", "show-last-4", "mask-alphanum", "email", "pseudonym", "sha-256-global", "sha-256-query-local",
                     "mask-to-fixed-value", "constant:1", "round:2", "round:4", "round:10", "round:20", "replace-with-null"];
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|(text, _)| text)));
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(pairs.iter().map(|(_, number)| i32::from(*number))));
        for array in [texts, numbers] {
            let results: Vec<(Mask, Vec<String>)> = names.iter().map(|name| Mask::parse(name).unwrap())
                .filter(|mask| mask.accepts(array.data_type()))
                .map(|mask| { let out = mask.apply(&array, &keys()).unwrap(); (mask, shown(out)) }).collect();
            for (loose, from) in &results {
                for (strict, to) in &results {
                    if !strict.is_at_least_as_strict_as(loose) { continue }
                    for a in 0..from.len() {
                        for b in 0..a {
                            prop_assert!(from[a] != from[b] || to[a] == to[b], "{strict} over {loose}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_mask_on_a_struct_masks_its_fields_and_hides_those_that_it_does_not_take() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("secret one"), Some("secret two"), None]));
    let age: ArrayRef = Arc::new(Int32Array::from(vec![41, 42, 43]));
    let street: ArrayRef = Arc::new(StringArray::from(vec!["Elm 1", "Oak 2", "Ash 3"]));
    let inner: ArrayRef = Arc::new(StructArray::from(vec![(Arc::new(Field::new("street", DataType::Utf8, false)), street)]));
    let fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("age", DataType::Int32, false),
        Field::new("address", inner.data_type().clone(), false),
    ];
    let nulls = arrow::buffer::NullBuffer::from(vec![true, false, true]);
    let person: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![text, age, inner], Some(nulls)));
    let mask = Mask::parse("show-last-4").unwrap();
    let out = masked("show-last-4", Arc::clone(&person));
    assert_eq!(*out.data_type(), mask.masked_type(person.data_type()));
    let out = out.as_struct();
    assert_eq!(shown(Arc::clone(out.column(0))), ["xxxxxx one", "NULL", "NULL"], "what is under a NULL is gone");
    assert_eq!(out.column(1).null_count(), 3, "a number is no text");
    let address = out.column(2).as_struct();
    assert_eq!(shown(Arc::clone(address.column(0))), ["xlm 1", "NULL", "xsh 3"]);
    assert!(out.is_valid(0) && out.is_null(1) && out.is_valid(2));
    for mask in ["email", "pseudonym", "mask-to-fixed-value", "sha-256-global", "replace-with-null", "constant:7"] {
        let out = masked(mask, Arc::clone(&person));
        let mut bytes = Vec::new();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(
            &mut bytes,
            &arrow::datatypes::Schema::new(vec![Field::new("p", out.data_type().clone(), true)]),
        )
        .unwrap();
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![Field::new("p", out.data_type().clone(), true)]));
        writer.write(&RecordBatch::try_new(schema, vec![out]).unwrap()).unwrap();
        writer.finish().unwrap();
        for clear in ["secret", "Elm", "Oak", "Ash"] {
            assert!(!bytes.windows(clear.len()).any(|window| window == clear.as_bytes()), "{mask} leaves {clear}");
        }
    }
    let numbers: ArrayRef = Arc::new(StructArray::from(vec![(
        Arc::new(Field::new("n", DataType::Int16, false)),
        Arc::new(Int16Array::from(vec![1])) as ArrayRef,
    )]));
    assert!(!mask.accepts(numbers.data_type()), "a mask that takes nothing of it is a mistake");
}

#[test]
fn masked_fields_of_the_structs_of_a_list_lie_under_the_same_rows() {
    let number: ArrayRef = Arc::new(StringArray::from(vec![Some("unused"), Some("secret1"), None, Some("secret2"), Some("secret3")]));
    let kind: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2, 3, 4]));
    let fields = vec![Field::new("number", DataType::Utf8, true), Field::new("kind", DataType::Int32, false)];
    let phones = StructArray::new(fields.into(), vec![number, kind], Some(vec![true, true, true, false, true].into()));
    let item = Arc::new(Field::new("item", phones.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::new(vec![1, 3, 3, 4, 5].into());
    let list: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(phones), Some(vec![true, true, true, false].into())));
    let mask = Mask::Fields([("number".to_owned(), Mask::ShowLast4)].into());
    assert!(mask.accepts(list.data_type()) && !mask.accepts(&DataType::Utf8));
    let out = mask.apply(&list, &keys()).unwrap();
    assert_eq!(*out.data_type(), mask.masked_type(list.data_type()));
    assert_eq!(shown(Arc::clone(&out)), ["[{number: xxxret1, kind: 1}, {number: NULL, kind: 2}]", "[]", "[NULL]", "NULL"]);
    assert!(!format!("{:?}", out.as_list::<i32>().values().to_data()).contains("secret"));
    let missing = Mask::Fields([("none".to_owned(), Mask::ShowLast4)].into());
    assert!(!missing.accepts(list.data_type()) && missing.apply(&list, &keys()).is_err(), "a mask of nothing is a mistake");
}

#[test]
fn a_mask_gives_the_same_on_every_spelling_of_a_type() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("(555) 010-9999"), Some("a@corp.example"), None, Some("")]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"one"), None, Some(b"")]));
    let days: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(1_700_000_000), None, Some(-1)]));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8));
    let kinds = [
        (texts, vec![DataType::LargeUtf8, DataType::Utf8View, dictionary]),
        (bytes, vec![DataType::LargeBinary, DataType::BinaryView]),
        (
            days,
            vec![
                DataType::Timestamp(TimeUnit::Millisecond, None),
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                DataType::Timestamp(TimeUnit::Nanosecond, None),
            ],
        ),
    ];
    let mut seen = 0;
    for (name, mask) in super::super::PLAIN {
        for (array, others) in &kinds {
            for other in others {
                assert_eq!(mask.accepts(array.data_type()), mask.accepts(other), "{name} {other}");
                // 64 bits of nanoseconds do not reach the year 9999.
                let too_far = mask == Mask::ToFixedValue && matches!(other, DataType::Timestamp(TimeUnit::Nanosecond, _));
                if !mask.accepts(other) || too_far {
                    continue;
                }
                let plain = |array: &ArrayRef| match other {
                    DataType::Timestamp(_, zone) => {
                        let seconds = cast(array, &DataType::Timestamp(TimeUnit::Second, zone.clone())).unwrap();
                        shown(cast(&seconds, &DataType::Int64).unwrap())
                    }
                    DataType::LargeBinary | DataType::BinaryView => shown(cast(array, &DataType::Binary).unwrap()),
                    _ => shown(cast(array, &DataType::Utf8).unwrap()),
                };
                let one = masked(name, Arc::clone(array));
                let same = masked(name, cast(array, other).unwrap());
                assert_eq!(same.data_type(), other, "{name}");
                assert_eq!(plain(&one), plain(&same), "{name} {other}");
                seen += 1;
            }
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn decimals_are_rounded_alike_whether_they_are_divided_in_64_bits_or_in_128() {
    let values = [
        0,
        1,
        -1,
        99,
        -99,
        i128::from(i64::MAX),
        i128::from(i64::MIN),
        i128::from(i64::MAX) + 1,
        i128::from(i64::MIN) - 1,
        -(10_i128.pow(30)),
    ];
    let array: ArrayRef = Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(38, 0).unwrap());
    let rounded = Mask::parse("round:100").unwrap().apply(&array, &keys()).unwrap();
    let expected: Vec<i128> = values.iter().map(|value| value.div_euclid(100) * 100).collect();
    assert_eq!(rounded.as_primitive::<Decimal128Type>().values().as_ref(), expected);
}
