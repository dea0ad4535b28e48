//! Does the data have the columns that the manifest promises?
//!
//! What the contract says about NULL is a promise to readers and no fact: the optimiser is told only what the files themselves guarantee.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::error::DataFusionError;

use crate::catalog::Column;
use crate::error::Fault;
use crate::id::ProductId;
use crate::ports::fault;
use crate::values::types::named;

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

/// The columns whose values have one spelling in text, in which filters and comparisons expect them.
#[derive(Debug)]
pub struct Spelt(Vec<usize>);

impl Spelt {
    /// Those of a scan.
    pub fn of(schema: &Schema) -> Self {
        Self(schema.fields().iter().enumerate().filter(|(_, field)| named(field) == Some("uuid")).map(|(at, _)| at).collect())
    }

    /// Whether each value is a UUID with hyphens and in small letters. It is not said which is not: its reader may not know of it.
    pub fn check(&self, product: &ProductId, batch: &RecordBatch) -> Result<(), DataFusionError> {
        for at in &self.0 {
            let texts = batch.columns().get(*at).and_then(|column| column.as_string_view_opt());
            if texts.is_some_and(|texts| texts.iter().flatten().any(|text| !is_spelt(text.as_bytes()))) {
                let name = batch.schema_ref().fields().get(*at).map(|field| field.name().clone()).unwrap_or_default();
                let detail = format!("Column \"{name}\" is not of type uuid, written with hyphens and in small letters.");
                return Err(DataFusionError::External(Box::new(fault::contract(product, detail))));
            }
        }
        Ok(())
    }
}

fn is_spelt(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
