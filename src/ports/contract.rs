//! Does the data have the columns that the manifest promises?
//!
//! What the contract says about NULL is a promise to readers and no fact: the optimiser is told only what the files themselves guarantee.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::catalog::Column;
use crate::error::Fault;
use crate::id::ProductId;
use crate::ports::fault;

/// The contract's columns as a schema, for catalog listings.
pub fn promised(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| c.field(c.nullable)).collect::<Vec<_>>()))
}

/// Checks one physical column against its promise.
pub fn check_type(product: &ProductId, column: &Column, physical: &DataType) -> Result<(), Fault> {
    if column.data_type.reads(physical) {
        return Ok(());
    }
    Err(fault::contract(product, format!("Column \"{}\" is not of type {}.", column.name, column.data_type.name)))
}

/// A promised column that is not there.
pub fn absent(product: &ProductId, column: &str) -> Fault {
    fault::contract(product, format!("Column \"{column}\" is missing."))
}

/// A type as scans yield it where no contract says otherwise: strings and bytes as views, everything without metadata.
pub fn as_scanned(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, value) => as_scanned(value),
        other => plain(other),
    }
}

/// A field without metadata, at every depth: what writers put there (descriptions, tags, serialised schemas) is not for readers.
pub fn plain_field(field: &Field) -> Field {
    Field::new(field.name(), plain(field.data_type()), field.is_nullable())
}

fn plain(data_type: &DataType) -> DataType {
    let one = |f: &Arc<Field>| Arc::new(plain_field(f));
    match data_type {
        DataType::List(f) => DataType::List(one(f)),
        DataType::LargeList(f) => DataType::LargeList(one(f)),
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(one(f), *n),
        DataType::Map(f, sorted) => DataType::Map(one(f), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(one).collect::<Fields>()),
        other => other.clone(),
    }
}
