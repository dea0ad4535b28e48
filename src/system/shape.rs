//! The shapes of PostgreSQL's catalog relations: names, oids, columns and their types, read once from the lists in `data/`.
//!
//! A list names every relation a client may ask for; which of them hold rows is the business of `pg_catalog` and
//! `information_schema`. The rest are empty and have the right columns, which is what clients need of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, Schema, SchemaRef, TimeUnit};

pub use crate::values::types::PG_TYPE;

/// A catalog relation.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Its name.
    pub(super) name: &'static str,
    /// Its oid, the same in every PostgreSQL for the tables that clients know by number.
    pub(super) oid: u32,
    /// `r` or `v`.
    pub(super) kind: char,
    /// Its columns.
    pub(super) schema: SchemaRef,
}

/// Relations by name.
pub(super) type Shapes = BTreeMap<&'static str, Shape>;

static PG_CATALOG: LazyLock<Shapes> = LazyLock::new(|| parse(include_str!("data/pg_catalog.txt")));
static INFORMATION_SCHEMA: LazyLock<Shapes> = LazyLock::new(|| parse(include_str!("data/information_schema.txt")));

/// The relations of `pg_catalog`.
pub(super) fn pg_catalog() -> &'static Shapes {
    &PG_CATALOG
}

/// The relations of `information_schema`.
pub(super) fn information_schema() -> &'static Shapes {
    &INFORMATION_SCHEMA
}

fn parse(text: &'static str) -> Shapes {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).map(|shape| (shape.name, shape)).collect()
}

fn parse_line(line: &'static str) -> Option<Shape> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let oid = words.next()?.parse().ok()?;
    let kind = words.next()?.chars().next()?;
    let fields: Vec<FieldRef> = words.filter_map(parse_column).collect();
    Some(Shape { name, oid, kind, schema: Arc::new(Schema::new(fields)) })
}

fn parse_column(word: &'static str) -> Option<FieldRef> {
    let (name, pg_type) = word.split_once(':')?;
    let (pg_type, nullable) = pg_type.strip_suffix('!').map_or((pg_type, true), |stripped| (stripped, false));
    Some(Arc::new(field(name, pg_type, nullable)))
}

/// A field of a PostgreSQL type, with the metadata that says so where the Arrow type does not.
pub(super) fn field(name: &str, pg_type: &str, nullable: bool) -> Field {
    let pg_type = match pg_type {
        "sql_identifier" => "name",
        "character_data" | "yes_or_no" => "varchar",
        "cardinal_number" => "int4",
        "time_stamp" => "timestamptz",
        other => other,
    };
    let field = Field::new(name, arrow_type(pg_type), nullable);
    match pg_type {
        "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "text" | "bytea" | "timestamptz" | "interval" | "numeric" => field,
        _ => field.with_metadata(HashMap::from([(PG_TYPE.to_owned(), pg_type.to_owned())])),
    }
}

/// The Arrow type that carries a PostgreSQL type.
pub(super) fn arrow_type(pg_type: &str) -> DataType {
    match pg_type {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "oid" | "xid" | "cid" | "regproc" | "regprocedure" | "regclass" | "regtype" | "regnamespace" | "regrole" | "regoper"
        | "regoperator" | "regcollation" | "regconfig" | "regdictionary" => DataType::UInt32,
        "numeric" => DataType::Decimal128(38, 0),
        "bytea" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "int2vector" => list(DataType::Int16),
        "oidvector" => list(DataType::UInt32),
        "anyarray" => list(DataType::Utf8),
        other => other.strip_prefix('_').map_or(DataType::Utf8, |element| list(arrow_type(element))),
    }
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_lists_is_read() {
        for (text, shapes) in
            [(include_str!("data/pg_catalog.txt"), pg_catalog()), (include_str!("data/information_schema.txt"), information_schema())]
        {
            let lines = text.lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(lines, shapes.len());
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let mut words = line.split(' ');
                let shape = &shapes[words.next().unwrap()];
                assert_eq!(words.count() - 2, shape.schema.fields().len(), "{line}");
            }
        }
    }

    #[test]
    fn relations_that_clients_know_by_number_have_those_numbers() {
        for (name, oid) in [("pg_class", 1259), ("pg_type", 1247), ("pg_namespace", 2615), ("pg_constraint", 2606), ("pg_proc", 1255)] {
            assert_eq!(pg_catalog()[name].oid, oid);
        }
    }

    #[test]
    fn no_relation_that_holds_secrets_or_statistics_is_listed() {
        for name in ["pg_authid", "pg_shadow", "pg_statistic", "pg_subscription", "pg_hba_file_rules", "pg_user_mapping"] {
            assert!(!pg_catalog().contains_key(name), "{name}");
        }
    }
}
