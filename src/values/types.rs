//! Which PostgreSQL type stands for which Arrow type, and back.
//!
//! - Unsigned integers take the next larger signed type; `UInt64` is `numeric(20,0)`.
//! - A list of scalars is an array. Structs, maps, and lists of anything else are `jsonb`: PostgreSQL's anonymous records cannot be
//!   read by drivers, and its arrays must be rectangular.
//! - A field's metadata `pg_type` says another type for catalog columns, whose Arrow type is only how they are computed.
//! - Unions, run-end encoding and list views have no counterpart: `0A000`, when the result is described and not in mid-stream.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::error::{ErrorKind, Fault};

/// Object ids of types, as PostgreSQL fixes them.
#[allow(missing_docs, reason = "the names are PostgreSQL's own")]
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT2VECTOR: u32 = 22;
    pub const INT4: u32 = 23;
    pub const REGPROC: u32 = 24;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const XID: u32 = 28;
    pub const CID: u32 = 29;
    pub const OIDVECTOR: u32 = 30;
    pub const JSON: u32 = 114;
    pub const PG_NODE_TREE: u32 = 194;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const ACLITEM: u32 = 1033;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const REGPROCEDURE: u32 = 2202;
    pub const REGOPER: u32 = 2203;
    pub const REGOPERATOR: u32 = 2204;
    pub const REGCLASS: u32 = 2205;
    pub const REGTYPE: u32 = 2206;
    pub const ANYARRAY: u32 = 2277;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
    pub const REGNAMESPACE: u32 = 4089;
    pub const REGROLE: u32 = 4096;
    pub const XID8: u32 = 5069;
}

/// A type's name, its oid, the oid of arrays of it, and its length (negative: varying).
struct Known(&'static str, u32, u32, i16);

/// The scalar types that the door can name.
const KNOWN: [Known; 39] = [
    Known("bool", oid::BOOL, 1000, 1),
    Known("bytea", oid::BYTEA, 1001, -1),
    Known("char", oid::CHAR, 1002, 1),
    Known("name", oid::NAME, 1003, 64),
    Known("int8", oid::INT8, 1016, 8),
    Known("int2", oid::INT2, 1005, 2),
    Known("int2vector", oid::INT2VECTOR, 1006, -1),
    Known("int4", oid::INT4, 1007, 4),
    Known("regproc", oid::REGPROC, 1008, 4),
    Known("text", oid::TEXT, 1009, -1),
    Known("oid", oid::OID, 1028, 4),
    Known("xid", oid::XID, 1011, 4),
    Known("cid", oid::CID, 1012, 4),
    Known("oidvector", oid::OIDVECTOR, 1013, -1),
    Known("json", oid::JSON, 199, -1),
    Known("pg_node_tree", oid::PG_NODE_TREE, 0, -1),
    Known("float4", oid::FLOAT4, 1021, 4),
    Known("float8", oid::FLOAT8, 1022, 8),
    Known("unknown", oid::UNKNOWN, 0, -2),
    Known("aclitem", oid::ACLITEM, 1034, 16),
    Known("bpchar", oid::BPCHAR, 1014, -1),
    Known("varchar", oid::VARCHAR, 1015, -1),
    Known("date", oid::DATE, 1182, 4),
    Known("time", oid::TIME, 1183, 8),
    Known("timestamp", oid::TIMESTAMP, 1115, 8),
    Known("timestamptz", oid::TIMESTAMPTZ, 1185, 8),
    Known("interval", oid::INTERVAL, 1187, 16),
    Known("numeric", oid::NUMERIC, 1231, -1),
    Known("regprocedure", oid::REGPROCEDURE, 2207, 4),
    Known("regoper", oid::REGOPER, 2208, 4),
    Known("regoperator", oid::REGOPERATOR, 2209, 4),
    Known("regclass", oid::REGCLASS, 2210, 4),
    Known("regtype", oid::REGTYPE, 2211, 4),
    Known("anyarray", oid::ANYARRAY, 0, -1),
    Known("uuid", oid::UUID, 2951, 16),
    Known("jsonb", oid::JSONB, 3807, -1),
    Known("regnamespace", oid::REGNAMESPACE, 4090, 4),
    Known("regrole", oid::REGROLE, 4097, 4),
    Known("xid8", oid::XID8, 271, 8),
];

/// What a column is called in a RowDescription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgType {
    /// The type.
    pub oid: u32,
    /// Its length; negative: varying.
    pub length: i16,
    /// Precision and the like; −1 for none.
    pub modifier: i32,
}

impl PgType {
    fn of(oid: u32) -> Self {
        Self { oid, length: length(oid), modifier: -1 }
    }

    fn modified(oid: u32, modifier: i32) -> Self {
        Self { modifier, ..Self::of(oid) }
    }
}

/// The metadata key with which a field names a type that Arrow cannot say: `oid`, `name`, `regproc`, `int2vector`, `uuid`.
pub const PG_TYPE: &str = "pg_type";

/// The type that a field names.
pub fn named(field: &Field) -> Option<&str> {
    field.metadata().get(PG_TYPE).map(String::as_str)
}

/// A list of such items, which names what it is a list of.
pub fn list_of(item: &Field) -> Field {
    let list = Field::new_list("", Field::new_list_field(item.data_type().clone(), true), true);
    match named(item) {
        Some(name) => list.with_metadata([(PG_TYPE.to_owned(), format!("_{name}"))].into()),
        None => list,
    }
}

/// The type of a result column.
pub fn of_field(field: &Field) -> Result<PgType, Fault> {
    if let Some(oid) = named(field).and_then(by_name) {
        return Ok(PgType::of(oid));
    }
    match (field.metadata().get("ARROW:extension:name").map(String::as_str), field.data_type()) {
        (Some("arrow.uuid"), DataType::FixedSizeBinary(16)) => return Ok(PgType::of(oid::UUID)),
        (Some("arrow.json"), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => return Ok(PgType::of(oid::JSON)),
        _ => {}
    }
    of_arrow(field.data_type()).map_err(|unsupported| {
        let detail = format!("Column \"{}\" is of the Arrow type {}.", field.name(), kind_of(unsupported));
        Fault::new(ErrorKind::Unsupported, "a column's type cannot be sent over this protocol").with_detail(detail)
    })
}

/// The type for an Arrow type, or the part of it that has none.
pub fn of_arrow(data_type: &DataType) -> Result<PgType, &DataType> {
    use DataType as A;
    Ok(match data_type {
        A::Null | A::Utf8 | A::LargeUtf8 | A::Utf8View => PgType::of(oid::TEXT),
        A::Boolean => PgType::of(oid::BOOL),
        A::Int8 | A::Int16 | A::UInt8 => PgType::of(oid::INT2),
        A::Int32 | A::UInt16 => PgType::of(oid::INT4),
        A::Int64 | A::UInt32 => PgType::of(oid::INT8),
        A::UInt64 => PgType::modified(oid::NUMERIC, numeric_modifier(20, 0)),
        A::Float16 | A::Float32 => PgType::of(oid::FLOAT4),
        A::Float64 => PgType::of(oid::FLOAT8),
        A::Decimal32(p, s) | A::Decimal64(p, s) | A::Decimal128(p, s) | A::Decimal256(p, s) => {
            PgType::modified(oid::NUMERIC, numeric_modifier(*p, *s))
        }
        A::Binary | A::LargeBinary | A::BinaryView | A::FixedSizeBinary(_) => PgType::of(oid::BYTEA),
        A::Date32 | A::Date64 => PgType::of(oid::DATE),
        A::Time32(unit) | A::Time64(unit) => PgType::modified(oid::TIME, fraction_modifier(unit)),
        A::Timestamp(unit, None) => PgType::modified(oid::TIMESTAMP, fraction_modifier(unit)),
        A::Timestamp(unit, Some(_)) => PgType::modified(oid::TIMESTAMPTZ, fraction_modifier(unit)),
        A::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) | A::Duration(_) => {
            PgType::of(oid::INTERVAL)
        }
        A::Dictionary(_, values) => of_arrow(values)?,
        A::List(item) | A::LargeList(item) | A::FixedSizeList(item, _) => {
            let element = of_field_or_arrow(item)?;
            array_of(element.oid).filter(|_| !is_nested(item.data_type())).map_or(PgType::of(oid::JSONB), PgType::of)
        }
        A::Struct(fields) => {
            fields.iter().try_for_each(|field| of_arrow(field.data_type()).map(drop))?;
            PgType::of(oid::JSONB)
        }
        A::Map(entries, _) => {
            of_arrow(entries.data_type())?;
            PgType::of(oid::JSONB)
        }
        A::Union(..) | A::RunEndEncoded(..) | A::ListView(_) | A::LargeListView(_) => return Err(data_type),
    })
}

fn of_field_or_arrow(item: &Field) -> Result<PgType, &DataType> {
    match named(item).and_then(by_name) {
        Some(oid) => Ok(PgType::of(oid)),
        None => of_arrow(item.data_type()),
    }
}

/// Whether a list of these is sent as JSON and not as an array.
pub fn is_nested(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_nested(values),
        other => other.is_nested(),
    }
}

/// The kind of an Arrow type without its fields' names.
fn kind_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Union(..) => "union",
        DataType::RunEndEncoded(..) => "run-end encoded",
        _ => "list view",
    }
}

fn numeric_modifier(precision: u8, scale: i8) -> i32 {
    // A negative scale is legal since PostgreSQL 15: eleven bits, two's complement.
    ((i32::from(precision) << 16) | (i32::from(scale) & 0x7ff)) + 4
}

fn fraction_modifier(unit: &TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => -1,
    }
}

/// A type's length; arrays and what we do not know vary.
pub fn length(oid: u32) -> i16 {
    KNOWN.iter().find(|known| known.1 == oid).map_or(-1, |known| known.3)
}

/// A type's name in the catalog.
pub fn name(oid: u32) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.1 == oid).map(|known| known.0)
}

/// The array type of an element type.
pub fn array_of(element: u32) -> Option<u32> {
    KNOWN.iter().find(|known| known.1 == element && known.2 != 0).map(|known| known.2)
}

/// The element type of an array type.
pub fn element_of(array: u32) -> Option<u32> {
    match array {
        oid::INT2VECTOR => Some(oid::INT2),
        oid::OIDVECTOR => Some(oid::OID),
        0 => None,
        _ => KNOWN.iter().find(|known| known.2 == array).map(|known| known.1),
    }
}

/// A type by its catalog name, arrays with `_` before it.
pub fn by_name(name: &str) -> Option<u32> {
    let find = |name: &str| KNOWN.iter().find(|known| known.0 == name);
    match name.strip_prefix('_') {
        Some(element) => find(element).map(|known| known.2).filter(|array| *array != 0),
        None => find(name).map(|known| known.1),
    }
}

/// A type as it is written in SQL: `integer`, `varchar(10)`, `timestamp with time zone`, `bigint[]`.
pub fn by_sql_name(written: &str) -> Option<u32> {
    let lower = written.trim().to_ascii_lowercase();
    if let Some(element) = lower.strip_suffix("[]") {
        return array_of(by_sql_name(element)?);
    }
    // A length or precision is checked by the cast within the statement, if any; the parameter's type does not depend on it.
    let mut plain = lower.clone();
    while let (Some(open), Some(close)) = (plain.find('('), plain.find(')')) {
        if close < open {
            return None;
        }
        plain.replace_range(open..=close, "");
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    let name = words.join(" ");
    Some(match name.strip_prefix("pg_catalog.").unwrap_or(&name) {
        "boolean" => oid::BOOL,
        "smallint" => oid::INT2,
        "int" | "integer" => oid::INT4,
        "bigint" => oid::INT8,
        "real" => oid::FLOAT4,
        "float" | "double precision" | "double" => oid::FLOAT8,
        "decimal" | "dec" => oid::NUMERIC,
        "string" => oid::TEXT,
        "char" | "character" => oid::BPCHAR,
        "\"char\"" => oid::CHAR,
        "character varying" | "char varying" => oid::VARCHAR,
        "timestamp without time zone" | "datetime" => oid::TIMESTAMP,
        "timestamp with time zone" => oid::TIMESTAMPTZ,
        "time without time zone" => oid::TIME,
        other => by_name(other)?,
    })
}

/// The Arrow type in which a parameter of this type is computed; `None`: the statement decides.
pub fn to_arrow(oid: u32) -> Option<DataType> {
    use DataType as A;
    Some(match oid {
        oid::BOOL => A::Boolean,
        oid::BYTEA => A::Binary,
        oid::INT2 => A::Int16,
        oid::INT4 => A::Int32,
        oid::INT8 | oid::OID | oid::XID | oid::CID | oid::XID8 => A::Int64,
        oid::FLOAT4 => A::Float32,
        oid::FLOAT8 => A::Float64,
        // A value says its own precision; which one the statement needs is the statement's business.
        oid::NUMERIC => return None,
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::CHAR | oid::JSON | oid::JSONB | oid::UUID => A::Utf8,
        oid::DATE => A::Date32,
        oid::TIME => A::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => A::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => A::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::INTERVAL => A::Interval(IntervalUnit::MonthDayNano),
        array => {
            let element = to_arrow(element_of(array)?)?;
            A::List(std::sync::Arc::new(Field::new_list_field(element, true)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn numbers_say_their_precision() {
        assert_eq!(of_arrow(&DataType::Decimal128(12, 2)), Ok(PgType { oid: 1700, length: -1, modifier: 786_438 }));
        assert_eq!(of_arrow(&DataType::Decimal256(50, -2)), Ok(PgType { oid: 1700, length: -1, modifier: (50 << 16 | 0x7fe) + 4 }));
        assert_eq!(of_arrow(&DataType::Int32), Ok(PgType { oid: 23, length: 4, modifier: -1 }));
    }

    #[test]
    fn lists_of_scalars_are_arrays_and_other_lists_are_json() {
        let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
        assert_eq!(of_arrow(&list(DataType::Int64)).unwrap().oid, 1016);
        assert_eq!(of_arrow(&list(list(DataType::Int64))).unwrap().oid, oid::JSONB);
        assert_eq!(of_arrow(&list(DataType::Struct(vec![Field::new("a", DataType::Int8, true)].into()))).unwrap().oid, oid::JSONB);
    }

    #[test]
    fn metadata_names_the_type_of_a_catalog_column() {
        let field = |name: &str| Field::new("c", DataType::UInt32, true).with_metadata([(PG_TYPE.to_owned(), name.to_owned())].into());
        assert_eq!(of_field(&field("oid")).unwrap(), PgType { oid: 26, length: 4, modifier: -1 });
        assert_eq!(of_field(&field("_text")).unwrap().oid, 1009);
        assert_eq!(of_field(&field("no such type")).unwrap().oid, oid::INT8);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_when_it_is_described() {
        let union = DataType::Union(arrow::datatypes::UnionFields::empty(), arrow::datatypes::UnionMode::Sparse);
        let fault = of_field(&Field::new("u", union, true)).unwrap_err();
        assert_eq!(fault.sqlstate(), "0A000");
    }

    #[test]
    fn types_are_known_as_sql_writes_them() {
        for (written, expected) in [
            ("INT", 23),
            ("varchar(10)", 1043),
            ("numeric(12, 2)", 1700),
            ("timestamp(3) with time zone", 1184),
            ("pg_catalog.int8", 20),
            ("BIGINT[]", 1016),
            ("text", 25),
            ("double precision", 701),
        ] {
            assert_eq!(by_sql_name(written), Some(expected), "{written}");
        }
        assert_eq!(by_sql_name("nonsense"), None);
        assert_eq!(by_sql_name(")("), None);
    }
}
