//! PostgreSQL's types and functions by name and oid, what an Arrow type is called among them, and how a type is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ObjectName, ObjectNamePart, TimezoneInfo};

use super::shape::field;
use crate::values::types::{list_of, named};

/// A row of `pg_type`.
#[derive(Debug)]
pub(super) struct PgType {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    pub(super) len: i64,
    pub(super) by_value: bool,
    pub(super) kind: &'static str,
    pub(super) category: &'static str,
    pub(super) preferred: bool,
    pub(super) delimiter: &'static str,
    pub(super) element: u32,
    pub(super) array: u32,
    pub(super) align: &'static str,
    pub(super) storage: &'static str,
    pub(super) collation: u32,
    /// input, output, receive, send, modin, modout, subscript: oids of functions.
    pub(super) functions: [u32; 7],
}

/// A row of `pg_proc`.
#[derive(Debug)]
pub(super) struct PgProc {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) strict: bool,
    pub(super) returns_set: bool,
    pub(super) volatility: &'static str,
    pub(super) parallel: &'static str,
    pub(super) result: u32,
    pub(super) arguments: Vec<u32>,
}

static PROCS: LazyLock<Vec<PgProc>> = LazyLock::new(|| lines(include_str!("data/pg_proc.txt")).filter_map(parse_proc).collect());
static PROC_NAMES: LazyLock<HashMap<u32, &'static str>> = LazyLock::new(|| PROCS.iter().map(|proc| (proc.oid, proc.name)).collect());
static PROC_OIDS: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| PROCS.iter().rev().map(|proc| (proc.name, proc.oid)).collect());
static TYPES: LazyLock<BTreeMap<u32, PgType>> =
    LazyLock::new(|| lines(include_str!("data/pg_type.txt")).filter_map(parse_type).map(|t| (t.oid, t)).collect());
static TYPE_OIDS: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| TYPES.values().map(|t| (t.name, t.oid)).collect());

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

fn parse_proc(line: &'static str) -> Option<PgProc> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    Some(PgProc {
        oid: next()?.parse().ok()?,
        name: next()?,
        kind: next()?,
        strict: next()? == "t",
        returns_set: next()? == "t",
        volatility: next()?,
        parallel: next()?,
        result: next()?.parse().ok()?,
        arguments: next()?.split(',').filter_map(|oid| oid.parse().ok()).collect(),
    })
}

fn parse_type(line: &'static str) -> Option<PgType> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    let (oid, name, len) = (next()?.parse().ok()?, next()?, next()?.parse().ok()?);
    let (by_value, kind, category) = (next()? == "t", next()?, next()?);
    let (preferred, delimiter) = (next()? == "t", next()?);
    let (element, array, align, storage) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?, next()?);
    let collation = next()?.parse().ok()?;
    let mut functions = [0; 7];
    for slot in &mut functions {
        *slot = proc_oid(next()?).unwrap_or(0);
    }
    Some(PgType { oid, name, len, by_value, kind, category, preferred, delimiter, element, array, align, storage, collation, functions })
}

/// All functions.
pub(super) fn procs() -> &'static [PgProc] {
    &PROCS
}

/// The oid of the first function of that name.
pub(super) fn proc_oid(name: &str) -> Option<u32> {
    PROC_OIDS.get(name).copied()
}

/// What a `regproc` is written as: the function's name, `-` for none, the number where it is not known.
pub fn regproc_name(oid: u32) -> String {
    match PROC_NAMES.get(&oid) {
        Some(name) => (*name).to_owned(),
        None if oid == 0 => "-".to_owned(),
        None => oid.to_string(),
    }
}

/// All types, by oid.
pub(super) fn types() -> &'static BTreeMap<u32, PgType> {
    &TYPES
}

/// A type by any of the names that it goes by: `int4`, `integer`, `pg_catalog.int4`, `"char"`, `text[]`, `numeric(12,2)`.
pub(super) fn type_oid(text: &str) -> Option<u32> {
    let text = text.trim();
    let text = text.strip_prefix("pg_catalog.").unwrap_or(text);
    if let Some(element) = text.strip_suffix("[]") {
        return types().get(&type_oid(element)?).map(|t| t.array).filter(|oid| *oid != 0);
    }
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return TYPE_OIDS.get(quoted).copied();
    }
    let lower = text.to_ascii_lowercase();
    let (base, rest) = lower.split_once('(').map_or((lower.as_str(), ""), |(base, rest)| (base.trim(), rest));
    let zone = rest.split_once(')').map_or("", |(_, zone)| zone);
    let name = match (base, zone.trim()) {
        ("boolean", _) => "bool",
        ("smallint", _) => "int2",
        ("integer" | "int", _) => "int4",
        ("bigint", _) => "int8",
        ("real", _) => "float4",
        ("double precision" | "float", _) => "float8",
        ("decimal" | "dec", _) => "numeric",
        ("character varying", _) => "varchar",
        ("character" | "char", _) => "bpchar",
        ("bit varying", _) => "varbit",
        ("timestamp" | "timestamp without time zone", "" | "without time zone") => "timestamp",
        ("timestamp" | "timestamp with time zone", _) => "timestamptz",
        ("time" | "time without time zone", "" | "without time zone") => "time",
        ("time" | "time with time zone", _) => "timetz",
        (other, _) => other,
    };
    TYPE_OIDS.get(name).copied()
}

/// How PostgreSQL's `format_type` writes a type; `???` for one that does not exist.
pub fn format_type(oid: u32, typmod: Option<i64>) -> String {
    let Some(found) = types().get(&oid) else { return if oid == 0 { "-".to_owned() } else { "???".to_owned() } };
    if found.category == "A" && found.element != 0 && found.len == -1 && found.name.starts_with('_') {
        return format!("{}[]", format_type(found.element, typmod));
    }
    let typmod = typmod.filter(|typmod| *typmod >= 0);
    let sized = |name: &str| typmod.map_or_else(|| name.to_owned(), |typmod| format!("{name}({})", typmod - 4));
    let precise = |name: &str, zone: &str| {
        typmod.map_or_else(|| format!("{name} {zone} time zone"), |precision| format!("{name}({precision}) {zone} time zone"))
    };
    match found.name {
        "bool" => "boolean".to_owned(),
        "int2" => "smallint".to_owned(),
        "int4" => "integer".to_owned(),
        "int8" => "bigint".to_owned(),
        "float4" => "real".to_owned(),
        "float8" => "double precision".to_owned(),
        "numeric" => typmod
            .map_or_else(|| "numeric".to_owned(), |typmod| format!("numeric({},{})", ((typmod - 4) >> 16) & 0xffff, (typmod - 4) & 0x7ff)),
        "varchar" => sized("character varying"),
        "bpchar" if typmod.is_none() => "bpchar".to_owned(),
        "bpchar" => sized("character"),
        "bit" => "bit".to_owned(),
        "varbit" => "bit varying".to_owned(),
        "char" => "\"char\"".to_owned(),
        "any" => "\"any\"".to_owned(),
        "timestamp" => precise("timestamp", "without"),
        "timestamptz" => precise("timestamp", "with"),
        "time" => precise("time", "without"),
        "timetz" => precise("time", "with"),
        other => other.to_owned(),
    }
}

/// The oid and modifier of a column's type, as `pg_attribute` and a row description tell them.
pub fn type_of(field: &Field) -> (u32, i32) {
    if let Some(oid) = named(field).and_then(|name| TYPE_OIDS.get(name)) {
        return (*oid, -1);
    }
    match field.data_type() {
        DataType::List(element) | DataType::LargeList(element) | DataType::ListView(element) | DataType::FixedSizeList(element, _) => {
            let (oid, typmod) = type_of(element);
            (types().get(&oid).map_or(1009, |t| t.array), typmod)
        }
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            (1700, ((i32::from(*precision) << 16) | i32::from(*scale)) + 4)
        }
        other => (scalar_type(other), -1),
    }
}

fn scalar_type(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => 16,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => 21,
        DataType::Int32 | DataType::UInt16 => 23,
        DataType::Int64 | DataType::UInt32 => 20,
        DataType::UInt64 | DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => 1700,
        DataType::Float16 | DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => 17,
        DataType::Date32 | DataType::Date64 => 1082,
        DataType::Time32(_) | DataType::Time64(_) => 1083,
        DataType::Timestamp(_, None) => 1114,
        DataType::Timestamp(_, Some(_)) => 1184,
        DataType::Interval(_) | DataType::Duration(_) => 1186,
        DataType::Dictionary(_, value) => scalar_type(value),
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => 114,
        _ => 25,
    }
}

/// Teaches the planner PostgreSQL's type names: `oid`, `name`, `"char"`, `regclass`, `bpchar`, `jsonb`, `timestamptz`, and `pg_catalog.…`.
#[derive(Debug, Default, Clone, Copy)]
pub struct PgTypePlanner;

impl TypePlanner for PgTypePlanner {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let name = match sql_type {
            SqlType::Regclass => "regclass",
            SqlType::JSONB => "jsonb",
            SqlType::JSON => "json",
            SqlType::Uuid => "uuid",
            // Of microseconds, as PostgreSQL's: the planner's own end in 2262.
            SqlType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                return Ok(Some(Arc::new(Field::new("", DataType::Timestamp(TimeUnit::Microsecond, None), true))));
            }
            SqlType::Custom(name, _) => return Ok(custom(name)),
            SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
                let element = self.plan_type_field(element)?;
                return Ok(element.map(|element| Arc::new(list_of(&element))));
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(field("", name, true))))
    }
}

/// The last part of a type's name, where the part before it is nothing or a catalog schema.
pub(super) fn type_name(name: &ObjectName) -> Option<String> {
    let parts: Vec<_> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
    let (last, schemas) = parts.split_last()?;
    let ours = schemas.iter().all(|schema| ["pg_catalog", "information_schema"].contains(&schema.value.to_ascii_lowercase().as_str()));
    let text = if last.quote_style.is_some() { last.value.clone() } else { last.value.to_ascii_lowercase() };
    (ours && schemas.len() <= 1).then_some(text)
}

fn custom(name: &ObjectName) -> Option<FieldRef> {
    let name = type_name(name)?;
    let data_type = match name.as_str() {
        "bool" | "boolean" => DataType::Boolean,
        "int2" | "smallint" => DataType::Int16,
        "int4" | "integer" | "int" | "cardinal_number" => DataType::Int32,
        "int8" | "bigint" => DataType::Int64,
        "float4" | "real" => DataType::Float32,
        "float8" => DataType::Float64,
        "text" => DataType::Utf8,
        "bytea" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" | "time_stamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "sql_identifier" | "character_data" | "yes_or_no" | "name" | "char" | "varchar" | "bpchar" | "oid" | "xid" | "cid" | "regclass"
        | "regproc" | "regprocedure" | "regtype" | "regnamespace" | "regrole" | "int2vector" | "oidvector" | "json" | "jsonb" | "uuid"
        | "inet" | "aclitem" | "pg_node_tree" | "unknown" | "xml" => return Some(Arc::new(field("", &name, true))),
        other => other.strip_prefix('_').and_then(type_oid).map(|_| super::shape::arrow_type(other))?,
    };
    Some(Arc::new(Field::new("", data_type, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_functions_and_its_array() {
        for found in types().values() {
            assert_ne!(found.functions[0], 0, "{} has no input function", found.name);
            if found.array != 0 {
                assert_eq!(types()[&found.array].element, found.oid, "{}", found.name);
            }
        }
        assert_eq!(regproc_name(types()[&16].functions[2]), "boolrecv");
        assert_eq!(regproc_name(types()[&1009].functions[2]), "array_recv");
        assert_eq!(regproc_name(0), "-");
    }

    #[test]
    fn types_are_written_as_postgresql_writes_them() {
        for (oid, typmod, text) in [
            (1700, Some(786_438), "numeric(12,2)"),
            (1700, Some(-1), "numeric"),
            (20, None, "bigint"),
            (1184, Some(-1), "timestamp with time zone"),
            (1184, Some(3), "timestamp(3) with time zone"),
            (1009, None, "text[]"),
            (18, None, "\"char\""),
            (22, None, "int2vector"),
            (1043, Some(24), "character varying(20)"),
            (424_242, None, "???"),
        ] {
            assert_eq!(format_type(oid, typmod), text);
        }
    }

    #[test]
    fn types_are_found_by_all_their_names() {
        for (text, oid) in [
            ("int4", 23),
            ("INTEGER", 23),
            ("pg_catalog.text[]", 1009),
            ("\"char\"", 18),
            ("char", 1042),
            ("numeric(12,2)", 1700),
            ("timestamp(3) with time zone", 1184),
            ("timestamp", 1114),
            ("double precision", 701),
        ] {
            assert_eq!(type_oid(text), Some(oid), "{text}");
        }
        assert_eq!(type_oid("hstore"), None);
    }

    #[test]
    fn a_decimal_column_keeps_its_precision_and_scale() {
        assert_eq!(type_of(&Field::new("a", DataType::Decimal128(12, 2), true)), (1700, 786_438));
        assert_eq!(type_of(&field("a", "oid", false)), (26, -1));
        assert_eq!(type_of(&field("a", "_text", false)), (1009, -1));
    }
}
