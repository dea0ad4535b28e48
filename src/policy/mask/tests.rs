use super::*;
use arrow::datatypes::TimeUnit;

fn all() -> Vec<Mask> {
    let mut masks: Vec<Mask> = PLAIN.iter().map(|(_, mask)| mask.clone()).collect();
    masks.extend(["round:10", "round:100", "round:0.5", "constant:n/a", "constant:7"].map(|text| Mask::parse(text).unwrap()));
    masks
}

#[test]
fn every_mask_is_read_back_as_it_is_written() {
    for mask in all() {
        assert_eq!(Mask::parse(&mask.to_string()), Ok(mask));
    }
    assert_eq!(Mask::parse("round:10.50").unwrap().to_string(), "round:10.5");
}

#[test]
fn a_misspelt_mask_is_told_the_nearest_name() {
    let message = Mask::parse("pseudonim").unwrap_err();
    assert!(message.starts_with("unknown mask `pseudonim`; did you mean `pseudonym`? (there are replace-with-null, "), "{message}");
    for bad in ["", "null", "round", "round:", "round:0", "round:-5", "round:ten", "PSEUDONYM", "constant", " email"] {
        assert!(Mask::parse(bad).is_err(), "{bad}");
    }
    assert!(Mask::parse(&format!("constant:{}", "x".repeat(1025))).is_err());
}

#[test]
fn a_mask_takes_the_types_that_it_is_defined_for() {
    let decimal = DataType::Decimal128(12, 2);
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let dictionary = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let takes = |mask: &str, data_type: &DataType| Mask::parse(mask).unwrap().accepts(data_type);
    assert!(takes("replace-with-null", &list) && !takes("mask-to-fixed-value", &list) && !takes("constant:1", &list));
    assert!(
        takes("mask-alphanum", &DataType::Utf8View) && takes("mask-alphanum", &dictionary) && !takes("mask-alphanum", &DataType::Int32)
    );
    assert!(
        takes("truncate-to-month", &micros) && takes("truncate-to-year", &DataType::Date32) && !takes("truncate-to-year", &DataType::Utf8)
    );
    assert!(takes("sha-256-global", &DataType::Binary) && !takes("sha-256-global", &DataType::Float64));
    assert!(takes("pseudonym", &DataType::Int32) && !takes("pseudonym", &DataType::Int16) && !takes("pseudonym", &DataType::Binary));
    assert!(takes("round:100", &DataType::Int16) && !takes("round:0.5", &DataType::Int64) && !takes("round:300", &DataType::UInt8));
    assert!(takes("round:0.05", &decimal) && !takes("round:0.001", &decimal) && takes("round:0.001", &DataType::Float64));
    assert!(takes("constant:2020-01-01", &DataType::Date32) && !takes("constant:soon", &DataType::Date32));
    assert!(takes("constant:1.50", &decimal) && !takes("constant:one", &decimal) && takes("constant:", &DataType::Utf8));
}

fn any_mask() -> impl proptest::strategy::Strategy<Value = Mask> {
    use proptest::prelude::*;
    prop_oneof![
        proptest::sample::select(all()),
        (1_u32..200, 0_u32..3).prop_map(|(step, scale)| Mask::Round(Decimal::new(step.into(), scale).normalize())),
        "[a-z0-9]{0,3}".prop_map(Mask::Constant),
    ]
}

proptest::proptest! {
    #[test]
    fn the_join_is_commutative_and_idempotent_and_has_null_on_top(a in any_mask(), b in any_mask()) {
        proptest::prop_assert_eq!(a.join(&b), b.join(&a));
        proptest::prop_assert_eq!(a.join(&a), a.clone());
        proptest::prop_assert_eq!(a.join(&Mask::ReplaceWithNull), Mask::ReplaceWithNull);
        proptest::prop_assert!(a.join(&b).is_at_least_as_strict_as(&a) && a.join(&b).is_at_least_as_strict_as(&b));
    }

    #[test]
    fn strictness_is_a_partial_order(a in any_mask(), b in any_mask(), c in any_mask()) {
        let le = |x: &Mask, y: &Mask| y.is_at_least_as_strict_as(x);
        proptest::prop_assert!(le(&a, &a));
        proptest::prop_assert!(!(le(&a, &b) && le(&b, &c)) || le(&a, &c));
        proptest::prop_assert!(!(le(&a, &b) && le(&b, &a)) || a == b);
    }

    #[test]
    fn levels_are_joined_in_any_order_and_one_more_never_loosens(masks in proptest::collection::vec(any_mask(), 1..5), more in any_mask(), turn in 0_usize..5) {
        let before = Mask::strictest(&masks).unwrap();
        let mut turned = masks.clone();
        turned.rotate_left(turn % masks.len());
        turned.extend(masks.iter().take(1).cloned());
        proptest::prop_assert_eq!(Mask::strictest(&turned).unwrap(), before.clone());
        let after = Mask::strictest(masks.iter().chain([&more])).unwrap();
        proptest::prop_assert!(after.is_at_least_as_strict_as(&before) && after.is_at_least_as_strict_as(&more));
    }
}

/// A struct in a list in a struct.
fn nested() -> DataType {
    let phone = Fields::from(vec![Field::new("number", DataType::Utf8, true), Field::new("since", DataType::Date32, true)]);
    let phones = DataType::List(Arc::new(Field::new("item", DataType::Struct(phone), true)));
    DataType::Struct(Fields::from(vec![Field::new("name", DataType::Utf8, true), Field::new("phones", phones, true)]))
}

/// What happens to a field of it, by a mask of the whole: told without the code under test.
fn on(mask: &Mask, path: &[&str]) -> Option<Mask> {
    let Mask::Fields(masks) = mask else {
        // Only NULL takes a list. In the plain struct the mask falls on what it takes.
        let takes = path.len() == 1 && path == ["name"] && mask.accepts(&DataType::Utf8);
        return Some(if takes { mask.clone() } else { Mask::ReplaceWithNull });
    };
    let (first, rest) = path.split_first()?;
    match (masks.get(*first)?, rest) {
        (whole, []) => Some(whole.clone()),
        (Mask::ReplaceWithNull, _) => Some(Mask::ReplaceWithNull),
        (inner, rest) => {
            inner.leaves("").into_iter().find(|(name, _)| *name == format!(".{}", rest.join("."))).map(|(_, mask)| mask.clone())
        }
    }
}

proptest::proptest! {
    #[test]
    fn of_a_struct_every_field_gets_the_strictest_of_what_was_asked_for_it(
        asked in proptest::collection::vec((proptest::sample::select(vec!["", "name", "phones", "phones.number", "phones.since"]), any_mask()), 1..6)
    ) {
        let root = Fields::from(vec![Field::new("person", nested(), true)]);
        let aimed: Vec<Mask> = asked.into_iter().filter_map(|(path, mask)| {
            let path = if path.is_empty() { "person".to_owned() } else { format!("person.{path}") };
            let (_, mask) = mask.aimed(&path, &root).unwrap();
            mask.accepts(&nested()).then_some(mask)
        }).collect();
        let strictest = Mask::strictest_of(&aimed.iter().collect::<Vec<_>>(), &nested());
        proptest::prop_assert_eq!(strictest.is_none(), aimed.is_empty());
        for path in [&["name"][..], &["phones", "number"], &["phones", "since"]] {
            let each: Vec<Mask> = aimed.iter().filter_map(|mask| on(mask, path)).collect();
            let found = strictest.as_ref().and_then(|mask| on(mask, path));
            proptest::prop_assert_eq!(found, Mask::strictest(&each), "{:?} of {:?}", path, aimed);
        }
        if let Some(mask) = strictest {
            proptest::prop_assert!(mask.accepts(&nested()));
        }
    }
}

#[test]
fn a_path_names_the_column_that_has_its_name_before_a_field() {
    let dotted = Fields::from(vec![Field::new("a", nested(), true), Field::new("a.name", DataType::Utf8, true)]);
    assert_eq!(Mask::Email.aimed("a.name", &dotted), Some((1, Mask::Email)));
    let number = Mask::Email.aimed("a.phones.number", &dotted).unwrap();
    assert_eq!((number.0, number.1.to_string().as_str()), (0, "fields(phones=fields(number=email))"));
    for nothing in ["a.", "a.phone", "a.phones.number.x", "", ".name", "a.name.x"] {
        assert_eq!(Mask::Email.aimed(nothing, &dotted), None, "{nothing}");
    }
}

#[test]
fn comparable_masks_give_the_stricter_and_the_others_null() {
    let join = |a: &str, b: &str| Mask::parse(a).unwrap().join(&Mask::parse(b).unwrap()).to_string();
    for (a, b, expected) in [
        ("show-first-4", "mask-alphanum", "mask-alphanum"),
        ("mask-alphanum", "mask-to-fixed-value", "mask-to-fixed-value"),
        ("truncate-to-month", "truncate-to-year", "truncate-to-year"),
        ("truncate-to-year", "constant:2020-01-01", "constant:2020-01-01"),
        ("round:10", "round:100", "round:100"),
        ("sha-256-global", "pseudonym", "pseudonym"),
        ("pseudonym", "sha-256-query-local", "sha-256-query-local"),
        ("round:10", "round:25", "replace-with-null"),
        ("show-first-4", "show-last-4", "replace-with-null"),
        ("email", "mask-alphanum", "replace-with-null"),
        ("pseudonym", "show-last-4", "replace-with-null"),
        ("constant:a", "constant:b", "replace-with-null"),
    ] {
        assert_eq!(join(a, b), expected, "{a} and {b}");
    }
    let parsed = ["show-first-4", "show-last-4", "mask-alphanum"].map(|mask| Mask::parse(mask).unwrap());
    assert_eq!(Mask::strictest(&parsed), Some(Mask::ReplaceWithNull));
    assert_eq!(Mask::strictest([]), None);
}
