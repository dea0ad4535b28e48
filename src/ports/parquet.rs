//! Parquet: a file, a folder, hive partitions.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;

use crate::error::Fault;
use crate::ports::contract;
use crate::ports::fault;
use crate::ports::files::{self, FileTable, Listing, Reading};
use crate::ports::storage::PortStore;
use crate::ports::{Opened, PortSpec};

/// Footers read at once.
const READ_AHEAD: usize = 16;

/// Opens a listing of Parquet files: reads all footers, checks the contract, collects statistics.
pub async fn open(
    spec: &PortSpec<'_>,
    store: &PortStore,
    metered: &Arc<dyn ObjectStore>,
    listing: &Listing,
    cache: &Arc<FileMetadataCache>,
) -> Result<Opened, Fault> {
    let product = &spec.id.product;
    let reads: Vec<_> = listing.files.iter().map(|file| crate::ports::footer::read(metered.as_ref(), file, cache)).collect();
    let footers: Vec<Arc<ParquetMetaData>> =
        stream::iter(reads).buffered(READ_AHEAD).try_collect().await.map_err(|e| fault::unreadable(product, e))?;
    let schemas = footers.iter().map(|f| physical_schema(f)).collect::<Result<Vec<_>, _>>().map_err(|e| fault::unreadable(product, e))?;
    let hive = files::hive_columns(spec, &store.root(), &listing.files)?;
    let (in_files, order) = columns(spec, &schemas, &hive)?;
    let in_folders = hive_fields(spec, &hive);
    let file_schema = Arc::new(Schema::new(in_files.clone()));
    let mut parts = Vec::with_capacity(listing.files.len());
    for (file, footer) in listing.files.iter().zip(&footers) {
        let mut part = PartitionedFile::new_from_meta(file.clone());
        let values = in_folders.iter().map(|c| files::hive_value(product, &store.root(), file, c));
        // Values first: statistics of the folders' columns are made from them.
        part.partition_values = values.collect::<Result<_, _>>()?;
        let statistics = DFParquetMetadata::statistics_from_parquet_metadata(footer, &file_schema);
        parts.push(part.with_statistics(Arc::new(statistics.map_err(|e| fault::unreadable(product, e))?)));
    }
    let provider = FileTable::new(spec, in_files, in_folders, &order, parts, Reading::Parquet)?;
    Ok(Opened { provider: Arc::new(provider), partition_columns: hive, bytes: listing.bytes() })
}

fn physical_schema(footer: &ParquetMetaData) -> Result<Schema, ParquetError> {
    let file = footer.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    Ok(Schema::new(schema.fields().iter().map(|f| contract::plain_field(f)).collect::<Vec<_>>()))
}

/// The folders' columns, in the contract's types where it names them.
pub fn hive_fields(spec: &PortSpec<'_>, hive: &[String]) -> Vec<FieldRef> {
    let promised = |name: &str| spec.columns.and_then(|c| c.iter().find(|c| c.name == name)).map(|c| c.field(true));
    hive.iter().map(|name| Arc::new(promised(name).unwrap_or_else(|| Field::new(name, files::hive_default(), true)))).collect()
}

/// The columns to read from the files, and the order in which all columns are shown.
fn columns(spec: &PortSpec<'_>, schemas: &[Schema], hive: &[String]) -> Result<(Vec<FieldRef>, Vec<String>), Fault> {
    let product = &spec.id.product;
    for schema in schemas {
        files::no_duplicates(product, schema.fields().iter().map(|f| f.name().as_str()))?;
    }
    let in_folder = |name: &str| hive.iter().any(|h| h == name);
    let Some(promised) = spec.columns else {
        let merged = Schema::try_merge(schemas.iter().cloned())
            .map_err(|e| fault::contract(product, "Its files do not have the same columns.").with_source(e))?;
        let fields: Vec<FieldRef> = merged
            .fields()
            .iter()
            .filter(|f| !in_folder(f.name()))
            .map(|f| {
                let nullable = f.is_nullable() || schemas.iter().any(|s| s.field_with_name(f.name()).is_err());
                Arc::new(Field::new(f.name(), contract::as_scanned(f.data_type()), nullable))
            })
            .collect();
        let order = fields.iter().map(|f| f.name().clone()).chain(hive.iter().cloned()).collect();
        return Ok((fields, order));
    };
    let mut fields: Vec<FieldRef> = Vec::new();
    for column in promised.iter().filter(|c| !in_folder(&c.name)) {
        let (mut found, mut nullable) = (false, false);
        for schema in schemas {
            match schema.field_with_name(&column.name) {
                Ok(field) => {
                    contract::check_type(product, column, field.data_type())?;
                    (found, nullable) = (true, nullable || field.is_nullable());
                }
                // A column that was added later is missing from older files: NULL, where the contract allows it.
                Err(_) if column.nullable => nullable = true,
                Err(_) => return Err(contract::absent(product, &column.name)),
            }
        }
        if !found {
            return Err(contract::absent(product, &column.name));
        }
        fields.push(Arc::new(column.field(nullable)));
    }
    Ok((fields, promised.iter().map(|c| c.name.clone()).collect()))
}
