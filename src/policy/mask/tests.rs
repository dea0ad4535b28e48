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
    let list = DataType::List(std::sync::Arc::new(arrow::datatypes::Field::new("item", DataType::Int32, true)));
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
