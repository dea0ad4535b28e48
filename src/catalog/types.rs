//! The types of a contract: PostgreSQL's names, Arrow's meaning.
//!
//! Text and binary become the view types, because that is what the Parquet reader yields; a contract does not ask for them:
//! [`ColumnType::reads`] takes every physical spelling of the same values.

use arrow::datatypes::{DataType, Field, TimeUnit};
use std::sync::Arc;

use super::read::{clip, nearest};
use super::{Column, ColumnType};

/// The type whose columns list their fields.
pub(super) const STRUCT: &str = "struct";

/// The names as they are shown, with every spelling that is read as one.
const SPELLINGS: [(&str, &str); 27] = [
    ("smallint", "smallint"),
    ("int2", "smallint"),
    ("integer", "integer"),
    ("int", "integer"),
    ("int4", "integer"),
    ("bigint", "bigint"),
    ("int8", "bigint"),
    ("real", "real"),
    ("float4", "real"),
    ("double precision", "double precision"),
    ("double", "double precision"),
    ("float8", "double precision"),
    ("numeric", "numeric"),
    ("decimal", "numeric"),
    ("boolean", "boolean"),
    ("bool", "boolean"),
    ("text", "text"),
    ("varchar", "text"),
    ("character varying", "text"),
    ("date", "date"),
    ("timestamp", "timestamp"),
    ("timestamptz", "timestamptz"),
    ("timestamp with time zone", "timestamptz"),
    ("time", "time"),
    ("bytea", "bytea"),
    ("uuid", "uuid"),
    ("json", "json"),
];

impl ColumnType {
    /// Reads a type's name: `bigint`, `numeric(12,2)`, `text[]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 64 {
            return Err(unknown(text));
        }
        let lower = text.trim().to_ascii_lowercase();
        if let Some(element) = lower.strip_suffix("[]") {
            if element.ends_with("[]") {
                return Err(format!("`{}`: lists of lists are not supported", clip(text)));
            }
            return Ok(Self::parse(element)?.listed());
        }
        let (word, arguments) = match lower.strip_suffix(')').and_then(|open| open.split_once('(')) {
            Some((word, arguments)) => (word.trim(), Some(arguments)),
            None => (lower.as_str(), None),
        };
        let name = SPELLINGS.iter().find(|(spelling, _)| *spelling == word).map(|(_, name)| *name).ok_or_else(|| unknown(text))?;
        match (name, arguments) {
            ("numeric", arguments) => numeric(arguments)
                .ok_or_else(|| format!("`{}` needs a precision up to 76 and a scale within it, as `numeric(12,2)`", clip(text))),
            // A length says nothing about how a value is read.
            ("text", Some(length)) if length.trim().parse::<u32>().is_ok() => Ok(simple("text")),
            (name, None) => Ok(simple(name)),
            (name, Some(_)) => Err(format!("`{}`: `{name}` takes nothing in brackets", clip(text))),
        }
    }

    /// A struct of these fields.
    pub(super) fn of_fields(fields: &[Column]) -> Self {
        let fields = fields.iter().map(|field| Field::new(&field.name, field.data_type.arrow.clone(), field.nullable));
        Self { name: STRUCT.to_owned(), arrow: DataType::Struct(fields.collect()) }
    }

    /// A list of it.
    pub(super) fn listed(self) -> Self {
        let arrow = DataType::List(Arc::new(Field::new_list_field(self.arrow, true)));
        Self { name: format!("{}[]", self.name), arrow }
    }

    /// The name under which a contract would have this type; Arrow's own where it has none.
    pub fn name_of(arrow: &DataType) -> String {
        use DataType as T;
        let name = match arrow {
            T::Dictionary(_, values) => return Self::name_of(values),
            T::RunEndEncoded(_, values) => return Self::name_of(values.data_type()),
            T::List(item) | T::LargeList(item) | T::ListView(item) | T::LargeListView(item) | T::FixedSizeList(item, _) => {
                return format!("{}[]", Self::name_of(item.data_type()));
            }
            T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) => return format!("numeric({p},{s})"),
            T::Int16 => "smallint",
            T::Int32 => "integer",
            T::Int64 => "bigint",
            T::Float32 => "real",
            T::Float64 => "double precision",
            T::Boolean => "boolean",
            T::Utf8 | T::LargeUtf8 | T::Utf8View => "text",
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "bytea",
            T::Date32 | T::Date64 => "date",
            T::Time32(_) | T::Time64(_) => "time",
            T::Timestamp(_, None) => "timestamp",
            T::Timestamp(_, Some(_)) => "timestamptz",
            T::Struct(_) => STRUCT,
            other => return other.to_string(),
        };
        name.to_owned()
    }

    /// Whether data of this physical type holds what the contract promises, without a cast that could fail or lose.
    pub fn reads(&self, physical: &DataType) -> bool {
        reads(&self.arrow, physical)
    }
}

fn unknown(text: &str) -> String {
    match nearest(text, SPELLINGS.iter().map(|(spelling, _)| *spelling)) {
        Some(word) => format!("`{}` is not a type: did you mean `{word}`?", clip(text)),
        None => format!("`{}` is not a type: use PostgreSQL's, as bigint, text, numeric(12,2), date, timestamptz or text[]", clip(text)),
    }
}

fn simple(name: &str) -> ColumnType {
    let arrow = match name {
        "smallint" => DataType::Int16,
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double precision" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "bytea" => DataType::BinaryView,
        // Text, and what is carried as text: uuid and json.
        _ => DataType::Utf8View,
    };
    ColumnType { name: name.to_owned(), arrow }
}

fn numeric(arguments: Option<&str>) -> Option<ColumnType> {
    let (precision, scale) = arguments?.split_once(',').unwrap_or((arguments?, "0"));
    let (precision, scale) = (precision.trim().parse::<u8>().ok()?, scale.trim().parse::<u8>().ok()?);
    if precision == 0 || precision > 76 || scale > precision {
        return None;
    }
    let signed = i8::try_from(scale).ok()?;
    let arrow = if precision <= 38 { DataType::Decimal128(precision, signed) } else { DataType::Decimal256(precision, signed) };
    Some(ColumnType { name: format!("numeric({precision},{scale})"), arrow })
}

fn reads(contract: &DataType, physical: &DataType) -> bool {
    use DataType as T;
    match (contract, physical) {
        (_, T::Dictionary(_, values)) => reads(contract, values),
        (_, T::RunEndEncoded(_, values)) => reads(contract, values.data_type()),
        (T::Utf8View, T::Utf8 | T::LargeUtf8 | T::Utf8View) => true,
        (T::BinaryView, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_)) => true,
        (T::Date32, T::Date32 | T::Date64) => true,
        (T::Time64(_), T::Time32(_) | T::Time64(_)) => true,
        (T::Timestamp(_, None), T::Timestamp(_, None)) => true,
        (T::Timestamp(_, Some(_)), T::Timestamp(_, Some(_))) => true,
        (
            T::Decimal128(p, s) | T::Decimal256(p, s),
            T::Decimal32(q, t) | T::Decimal64(q, t) | T::Decimal128(q, t) | T::Decimal256(q, t),
        ) => s == t && q <= p,
        (
            T::List(contract),
            T::List(physical) | T::LargeList(physical) | T::ListView(physical) | T::LargeListView(physical) | T::FixedSizeList(physical, _),
        ) => reads(contract.data_type(), physical.data_type()),
        // By name, as columns are. Fields that nobody promised are not read.
        (T::Struct(contract), T::Struct(physical)) => contract.iter().all(|field| {
            let mut found = physical.iter().filter(|there| there.name() == field.name());
            matches!((found.next(), found.next()), (Some(there), None) if reads(field.data_type(), there.data_type()))
        }),
        (contract, physical) => contract == physical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_and_mean_arrow_types() {
        for (text, name, arrow) in [
            ("bigint", "bigint", DataType::Int64),
            ("INT8", "bigint", DataType::Int64),
            ("double", "double precision", DataType::Float64),
            ("varchar(20)", "text", DataType::Utf8View),
            ("numeric(12, 2)", "numeric(12,2)", DataType::Decimal128(12, 2)),
            ("numeric(50,0)", "numeric(50,0)", DataType::Decimal256(50, 0)),
            ("timestamp", "timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("json", "json", DataType::Utf8View),
        ] {
            let parsed = ColumnType::parse(text).unwrap();
            assert_eq!((parsed.name.as_str(), parsed.arrow), (name, arrow), "{text}");
        }
        assert_eq!(ColumnType::parse("text[]").unwrap().name, "text[]");
        for text in [
            "",
            "bigit",
            "numeric",
            "numeric(0)",
            "numeric(5,6)",
            "numeric(77)",
            "int(4)",
            "text[][]",
            "[]",
            "map<text>",
            "numeric(1,2,3)",
            ")",
        ] {
            assert!(ColumnType::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_physical_spelling_of_the_same_values_satisfies_a_contract() {
        let reads = |name: &str, physical: DataType| ColumnType::parse(name).unwrap().reads(&physical);
        for physical in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(physical.clone()));
            assert!(reads("text", physical) && reads("text", dictionary));
        }
        assert!(reads("timestamptz", DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Paris".into()))));
        assert!(reads("text[]", DataType::LargeList(Arc::new(Field::new("element", DataType::Utf8, false)))));
        assert!(reads("numeric(12,2)", DataType::Decimal64(10, 2)));
        for (name, physical) in [
            ("bigint", DataType::Utf8),
            ("bigint", DataType::Int32),
            ("text", DataType::Int64),
            ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("numeric(12,2)", DataType::Decimal128(12, 3)),
            ("numeric(12,2)", DataType::Decimal128(14, 2)),
        ] {
            assert!(!reads(name, physical.clone()), "{name} {physical}");
        }
    }
}
