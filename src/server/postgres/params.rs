//! Parameters: what Bind carries, in text or binary, into values of the types that the statement needs.
//!
//! Every read is bounded, and a value that does not fit is `22P02`, `22P03` or `22003` and never another value.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit, i256};
use bytes::{Buf, Bytes};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;

use crate::error::{ErrorKind, Fault};
use crate::values::nested::split_array;
use crate::values::time;
use crate::values::types::{self, oid};

/// Arrays longer than this are refused: each item costs far more memory than its bytes.
const LONGEST_ARRAY: usize = 100_000;

/// What a parameter is: what the client called it, and what the statement computes with.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The client's type, or the one that follows from the statement.
    pub oid: u32,
    /// The statement's type.
    pub target: DataType,
}

impl Parameter {
    /// Puts the client's declaration and the statement's inference together.
    pub fn new(declared: u32, inferred: Option<&Field>) -> Self {
        let inferred = inferred.filter(|field| !field.data_type().is_null());
        let target = inferred.map_or_else(|| types::to_arrow(declared).unwrap_or(DataType::Utf8), |field| field.data_type().clone());
        let oid = match declared {
            0 | oid::UNKNOWN => inferred.and_then(|field| types::of_field(field).ok()).map_or(oid::TEXT, |known| known.oid),
            declared => declared,
        };
        Self { oid, target }
    }

    /// Reads a value. `binary` as Bind said; `zone` is the session's.
    pub fn read(&self, value: Option<&Bytes>, binary: bool, zone: Tz) -> Result<ScalarValue, Fault> {
        let Some(value) = value else {
            return ScalarValue::try_from(&self.target).map_err(Fault::internal);
        };
        let natural = if binary { from_binary(self.oid, value.clone())? } else { from_text(self.oid, utf8(value)?, zone)? };
        self.convert(natural)
    }

    /// A value of another type as one of the statement's.
    pub fn convert(&self, natural: ScalarValue) -> Result<ScalarValue, Fault> {
        if crate::query::is_taken(&natural.data_type(), &self.target) {
            return Ok(natural);
        }
        let converted = natural.cast_to(&self.target);
        if natural.data_type().is_decimal() {
            // `amount = 12.345` is false for every amount with two digits; rounding the value could make it true.
            let exact = converted.as_ref().ok().and_then(|value| value.cast_to(&natural.data_type()).ok()) == Some(natural.clone());
            return Ok(if exact { converted.unwrap_or(natural) } else { natural });
        }
        converted.map_err(|_| {
            let message = format!("a parameter of type {} cannot be converted to the type that the statement needs", name(self.oid));
            Fault::new(ErrorKind::InvalidText, message)
        })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(Fault::new(ErrorKind::InvalidText, "invalid byte sequence for encoding \"UTF8\"")),
    }
}

/// The type's name for messages.
fn name(type_oid: u32) -> &'static str {
    match type_oid {
        oid::BOOL => "boolean",
        oid::INT2 => "smallint",
        oid::INT4 => "integer",
        oid::INT8 => "bigint",
        oid::FLOAT4 => "real",
        oid::FLOAT8 => "double precision",
        oid::TIMESTAMP => "timestamp",
        oid::TIMESTAMPTZ => "timestamp with time zone",
        oid::VARCHAR => "character varying",
        oid::BPCHAR => "character",
        other => types::name(other).unwrap_or("array"),
    }
}

fn invalid(type_oid: u32, text: &str) -> Fault {
    let shown: String = text.chars().take(100).collect();
    Fault::new(ErrorKind::InvalidText, format!("invalid input syntax for type {}: \"{shown}\"", name(type_oid)))
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(type_oid: u32, text: &str) -> Result<T, Fault> {
    text.trim().parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            let shown: String = text.chars().take(100).collect();
            Fault::new(ErrorKind::OutOfRange, format!("value \"{shown}\" is out of range for type {}", name(type_oid)))
        }
        _ => invalid(type_oid, text),
    })
}

fn from_text(type_oid: u32, text: &str, zone: Tz) -> Result<ScalarValue, Fault> {
    let moment = |target: DataType| crate::query::moment_value(text, &target, zone);
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(boolean(text).ok_or_else(|| invalid(type_oid, text))?)),
        oid::INT2 => ScalarValue::Int16(Some(integer(type_oid, text)?)),
        oid::INT4 => ScalarValue::Int32(Some(integer(type_oid, text)?)),
        oid::INT8 | oid::XID8 => ScalarValue::Int64(Some(integer(type_oid, text)?)),
        oid::OID | oid::XID | oid::CID => ScalarValue::Int64(Some(i64::from(integer::<u32>(type_oid, text)?))),
        oid::FLOAT4 => ScalarValue::Float32(Some(text.trim().parse().map_err(|_| invalid(type_oid, text))?)),
        oid::FLOAT8 => ScalarValue::Float64(Some(text.trim().parse().map_err(|_| invalid(type_oid, text))?)),
        oid::NUMERIC => numeric(text.trim()).ok_or_else(|| invalid(type_oid, text))?,
        oid::BYTEA => ScalarValue::Binary(Some(bytea(text).ok_or_else(|| invalid(type_oid, text))?)),
        oid::DATE => moment(DataType::Date32)?,
        oid::TIME => moment(DataType::Time64(TimeUnit::Microsecond))?,
        oid::TIMESTAMP => moment(DataType::Timestamp(TimeUnit::Microsecond, None))?,
        oid::TIMESTAMPTZ => moment(DataType::Timestamp(TimeUnit::Microsecond, Some(zone.name().into())))?,
        oid::INTERVAL => moment(DataType::Interval(IntervalUnit::MonthDayNano))?,
        oid::UUID => {
            let uuid = uuid::Uuid::try_parse(text.trim()).map_err(|_| invalid(type_oid, text))?;
            ScalarValue::from(uuid.as_hyphenated().to_string())
        }
        array => match types::element_of(array) {
            Some(element) => {
                let items = split_array(text).ok_or_else(|| {
                    let shown: String = text.chars().take(100).collect();
                    Fault::new(ErrorKind::InvalidText, format!("malformed array literal: \"{shown}\""))
                })?;
                let read = |item: Option<String>| item.map(|item| from_text(element, &item, zone)).transpose();
                list(element, items.into_iter().map(read))?
            }
            None => ScalarValue::from(text),
        },
    })
}

fn list(element: u32, items: impl ExactSizeIterator<Item = Result<Option<ScalarValue>, Fault>>) -> Result<ScalarValue, Fault> {
    if items.len() > LONGEST_ARRAY {
        return Err(Fault::new(ErrorKind::ProgramLimit, format!("an array parameter has more than {LONGEST_ARRAY} items")));
    }
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let data_type = match types::to_arrow(element) {
        Some(known) => known,
        None => items.iter().flatten().next().map_or(DataType::Utf8, ScalarValue::data_type),
    };
    let null = ScalarValue::try_from(&data_type).map_err(Fault::internal)?;
    let convert = |item: Option<ScalarValue>| match item {
        Some(item) => item.cast_to(&data_type).map_err(|_| Fault::new(ErrorKind::InvalidText, "an array's items are of different types")),
        None => Ok(null.clone()),
    };
    let items = items.into_iter().map(convert).collect::<Result<Vec<_>, _>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list(&items, &data_type, true)))
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Some(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        };
        return digits.chunks(2).map(pair).collect();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// An exact number of as many digits as it has.
fn numeric(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, magnitude) = match mantissa.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    if whole.len() + fraction.len() == 0 || !(whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let mut digits = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
    let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    if scale < 0 {
        // Beyond this it cannot be represented, and must not be written out.
        let zeros = usize::try_from(-scale).ok().filter(|zeros| *zeros <= 76)?;
        digits.extend(std::iter::repeat_n('0', if digits.is_empty() { 0 } else { zeros }));
        scale = 0;
    }
    let scale = i8::try_from(scale).ok().filter(|scale| *scale <= 76)?;
    let sign = if negative { "-" } else { "" };
    let written = format!("{sign}{}", if digits.is_empty() { "0" } else { &digits });
    let precision = digits.len().max(usize::from(scale.unsigned_abs())).max(1);
    match precision {
        0..=38 => Some(ScalarValue::Decimal128(Some(written.parse().ok()?), u8::try_from(precision).ok()?, scale)),
        39..=76 => Some(ScalarValue::Decimal256(Some(i256::from_string(&written)?), u8::try_from(precision).ok()?, scale)),
        _ => None,
    }
}

fn from_binary(type_oid: u32, mut value: Bytes) -> Result<ScalarValue, Fault> {
    let bad = || Fault::new(ErrorKind::InvalidBinary, format!("incorrect binary data format for type {}", name(type_oid)));
    let range = || Fault::new(ErrorKind::OutOfRange, format!("{} out of range", name(type_oid)));
    let short = |_| bad();
    let value = &mut value;
    let read = match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(value.try_get_u8().map_err(short)? != 0)),
        oid::INT2 => ScalarValue::Int16(Some(value.try_get_i16().map_err(short)?)),
        oid::INT4 => ScalarValue::Int32(Some(value.try_get_i32().map_err(short)?)),
        oid::INT8 | oid::XID8 => ScalarValue::Int64(Some(value.try_get_i64().map_err(short)?)),
        oid::FLOAT4 => ScalarValue::Float32(Some(value.try_get_f32().map_err(short)?)),
        oid::FLOAT8 => ScalarValue::Float64(Some(value.try_get_f64().map_err(short)?)),
        oid::NUMERIC => binary_numeric(value).ok_or_else(bad)?,
        oid::BYTEA => ScalarValue::Binary(Some(value.split_off(0).to_vec())),
        oid::DATE => {
            let days = value.try_get_i32().map_err(short)?;
            let days = i64::from(days) + time::EPOCH_DAYS;
            ScalarValue::Date32(Some(i32::try_from(days).map_err(|_| range())?))
        }
        oid::TIME => ScalarValue::Time64Microsecond(Some(
            Some(value.try_get_i64().map_err(short)?).filter(|micros| (0..time::DAY).contains(micros)).ok_or_else(range)?,
        )),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let since = value.try_get_i64().map_err(short)?;
            let micros = since.checked_add(time::EPOCH_MICROS).filter(|_| since != i64::MIN).ok_or_else(range)?;
            ScalarValue::TimestampMicrosecond(Some(micros), (type_oid == oid::TIMESTAMPTZ).then(|| "UTC".into()))
        }
        oid::INTERVAL => {
            let (micros, days) = (value.try_get_i64().map_err(short)?, value.try_get_i32().map_err(short)?);
            let months = value.try_get_i32().map_err(short)?;
            let nanos = micros.checked_mul(1_000).ok_or_else(range)?;
            ScalarValue::new_interval_mdn(months, days, nanos)
        }
        oid::UUID => {
            let bytes = value.split_off(0);
            ScalarValue::from(uuid::Uuid::from_slice(&bytes).map_err(|_| bad())?.as_hyphenated().to_string())
        }
        oid::JSONB => match value.try_get_u8().map_err(short)? {
            1 => ScalarValue::from(utf8(&value.split_off(0))?),
            _ => return Err(Fault::new(ErrorKind::InvalidBinary, "unsupported jsonb version number")),
        },
        other if types::length(other) == 4 => ScalarValue::Int64(Some(i64::from(value.try_get_u32().map_err(short)?))),
        array if types::element_of(array).is_some() => binary_array(value).ok_or_else(bad)??,
        _ => ScalarValue::from(utf8(&value.split_off(0))?),
    };
    if value.has_remaining() { Err(bad()) } else { Ok(read) }
}

/// `None` where the bytes are not an array.
fn binary_array(value: &mut Bytes) -> Option<Result<ScalarValue, Fault>> {
    let dimensions = value.try_get_i32().ok()?;
    value.try_get_i32().ok()?;
    let element = value.try_get_u32().ok()?;
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = usize::try_from(value.try_get_i32().ok()?).ok()?;
            value.try_get_i32().ok()?;
            length
        }
        _ => return Some(Err(Fault::new(ErrorKind::Unsupported, "array parameters of more than one dimension are not supported"))),
    };
    // Each item has at least its length.
    if value.remaining() / 4 < length || types::element_of(element).is_some() {
        return None;
    }
    let mut items = Vec::with_capacity(length);
    for _ in 0..length {
        let item = match value.try_get_i32().ok()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= value.remaining())?;
                from_binary(element, value.split_to(length)).map(Some)
            }
        };
        items.push(item);
    }
    Some(list(element, items.into_iter()))
}

fn binary_numeric(value: &mut Bytes) -> Option<ScalarValue> {
    let groups = usize::from(value.try_get_u16().ok()?);
    let weight = i32::from(value.try_get_i16().ok()?);
    let sign = value.try_get_u16().ok()?;
    let scale = usize::from(value.try_get_u16().ok()?);
    if !matches!(sign, 0 | 0x4000) || groups * 2 != value.remaining() || scale > 76 || weight > 20 {
        return None;
    }
    let (mut whole, mut fraction) = (String::new(), String::new());
    let mut position = weight;
    for _ in 0..groups {
        let group = Some(value.try_get_u16().ok()?).filter(|group| *group < 10_000)?;
        if position >= 0 {
            whole.push_str(&format!("{group:04}"));
        } else {
            while fraction.len() < usize::try_from(-position - 1).ok()? * 4 {
                fraction.push('0');
            }
            fraction.push_str(&format!("{group:04}"));
        }
        position -= 1;
    }
    for _ in 0..=position {
        whole.push_str("0000");
    }
    while fraction.len() < scale {
        fraction.push('0');
    }
    fraction.truncate(scale);
    let sign = if sign == 0 { "" } else { "-" };
    numeric(&format!("{sign}{}.{fraction}", if whole.is_empty() { "0" } else { &whole }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::number::{Unscaled, numeric_binary};
    use proptest::prelude::*;

    fn text(declared: u32, value: &str) -> Result<ScalarValue, Fault> {
        Parameter::new(declared, None).read(Some(&Bytes::copy_from_slice(value.as_bytes())), false, Tz::Europe__Berlin)
    }

    fn binary(declared: u32, value: &[u8]) -> Result<ScalarValue, Fault> {
        Parameter::new(declared, None).read(Some(&Bytes::copy_from_slice(value)), true, Tz::UTC)
    }

    #[test]
    fn text_values_are_read_as_postgres_reads_them() {
        assert_eq!(text(oid::BOOL, "yes").unwrap(), ScalarValue::from(true));
        assert_eq!(text(oid::INT4, " -7 ").unwrap(), ScalarValue::from(-7_i32));
        assert_eq!(text(oid::FLOAT8, "-Infinity").unwrap(), ScalarValue::from(f64::NEG_INFINITY));
        assert_eq!(text(oid::BYTEA, "\\x0aFf").unwrap(), ScalarValue::Binary(Some(vec![10, 255])));
        assert_eq!(text(oid::BYTEA, "a\\\\b\\001").unwrap(), ScalarValue::Binary(Some(b"a\\b\x01".to_vec())));
        assert_eq!(text(oid::DATE, "1970-01-02").unwrap(), ScalarValue::Date32(Some(1)));
        assert_eq!(text(1007, "{1,NULL,3}").unwrap().to_string(), "[1, , 3]");
        assert_eq!(text(0, "it's").unwrap(), ScalarValue::from("it's"));
    }

    #[test]
    fn a_moment_without_an_offset_is_one_of_the_sessions_zone() {
        let ScalarValue::TimestampMicrosecond(Some(micros), _) = text(oid::TIMESTAMPTZ, "2024-07-03 11:46:40").unwrap() else { panic!() };
        assert_eq!(micros, 1_720_000_000_000_000);
        let ScalarValue::TimestampMicrosecond(Some(micros), _) = text(oid::TIMESTAMPTZ, "2024-07-03 09:46:40+00").unwrap() else {
            panic!()
        };
        assert_eq!(micros, 1_720_000_000_000_000);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_with_its_code() {
        for (declared, value, code) in [
            (oid::INT4, "x", "22P02"),
            (oid::INT4, "5000000000", "22003"),
            (oid::BOOL, "maybe", "22P02"),
            (oid::NUMERIC, "1.2.3", "22P02"),
            (oid::NUMERIC, "1e1000000000", "22P02"),
            (oid::UUID, "no", "22P02"),
            (oid::BYTEA, "\\x0", "22P02"),
            (1007, "1,2", "22P02"),
            (1007, "{1,x}", "22P02"),
        ] {
            assert_eq!(text(declared, value).unwrap_err().sqlstate(), code, "{value}");
        }
        for (declared, value) in
            [(oid::INT4, &[0, 0, 1][..]), (oid::INT2, &[0, 0, 1]), (oid::UUID, &[0; 15]), (1007, &[0, 0, 0, 1, 0, 0, 0, 0])]
        {
            assert_eq!(binary(declared, value).unwrap_err().sqlstate(), "22P03", "{declared}");
        }
    }

    #[test]
    fn null_has_the_statements_type() {
        let parameter = Parameter::new(0, Some(&Field::new("", DataType::Int64, true)));
        assert_eq!(parameter.read(None, true, Tz::UTC).unwrap(), ScalarValue::Int64(None));
    }

    #[test]
    fn a_number_is_not_rounded_into_the_columns_scale() {
        let parameter = Parameter::new(oid::NUMERIC, Some(&Field::new("", DataType::Decimal128(12, 2), true)));
        let read = |value: &'static [u8]| parameter.read(Some(&Bytes::from_static(value)), false, Tz::UTC).unwrap();
        assert_eq!(read(b"12.3"), ScalarValue::Decimal128(Some(1230), 12, 2));
        assert_eq!(read(b"12.345"), ScalarValue::Decimal128(Some(12345), 5, 3));
    }

    #[test]
    fn binary_moments_count_from_2000() {
        assert_eq!(binary(oid::DATE, &[0; 4]).unwrap(), ScalarValue::Date32(Some(10_957)));
        assert_eq!(binary(oid::TIMESTAMP, &[0; 8]).unwrap(), ScalarValue::TimestampMicrosecond(Some(946_684_800_000_000), None));
        assert_eq!(binary(oid::TIMESTAMP, &i64::MAX.to_be_bytes()).unwrap_err().sqlstate(), "22003");
    }

    proptest! {
        #[test]
        fn numerics_read_what_the_encoder_writes(value: i64, scale in 0_i8..30) {
            let mut bytes = Vec::new();
            numeric_binary(Unscaled::Small(i128::from(value)), scale, &mut bytes);
            let read = from_binary(oid::NUMERIC, bytes.into()).unwrap();
            let ScalarValue::Decimal128(Some(unscaled), _, read_scale) = read else { panic!("{read}") };
            prop_assert_eq!((unscaled, read_scale), (i128::from(value), scale));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(index in 0_usize..40, bytes: Vec<u8>, is_binary: bool) {
            let oids = [16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 3802, 1000, 1001, 1005,
                1007, 1009, 1016, 1021, 1022, 1115, 1182, 1185, 1187, 1231, 2951, 22, 30, 2205, 1043, 18, 19, 705, 99_999];
            let _ = Parameter::new(oids[index], None).read(Some(&bytes.into()), is_binary, Tz::UTC);
        }
    }
}
