//! Products that are plain files: which files there are, what their folders say, and the table over them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion_datasource::compute_all_files_statistics;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use sha2::{Digest, Sha256};

use crate::catalog::Format;
use crate::error::Fault;
use crate::id::ProductId;
use crate::ports::PortSpec;
use crate::ports::fault;
use crate::ports::storage::{PortStore, is_hidden};
use crate::ports::text::TextFormat;

/// What a listing found: the product at one moment.
#[derive(Debug)]
pub struct Listing {
    /// Sorted by path.
    pub files: Vec<ObjectMeta>,
    /// Digest over paths, sizes and ETags.
    pub version: String,
    /// When the newest file was written.
    pub newest: Option<DateTime<Utc>>,
}

impl Listing {
    /// Of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }
}

/// Lists a product's files.
pub async fn list(spec: &PortSpec<'_>, store: &PortStore, metered: &Arc<dyn ObjectStore>) -> Result<Listing, Fault> {
    let product = &spec.id.product;
    let root = store.root();
    let mut files: Vec<ObjectMeta> = metered.list(Some(&root)).try_collect().await.map_err(|e| fault::unreadable(product, e))?;
    files.retain(|f| store.is_file() || relative(&root, &f.location).is_some_and(|r| !is_hidden(r) && has_extension(spec.format, r)));
    files.sort_by(|a, b| a.location.cmp(&b.location));
    if files.is_empty() {
        return Err(fault::missing(product));
    }
    if files.iter().any(|f| f.size == 0) {
        // No format's file is empty; an interrupted upload is.
        return Err(fault::unreadable(product, "an empty file"));
    }
    let mut digest = Sha256::new();
    for file in &files {
        let tag = file.e_tag.as_deref().unwrap_or_default();
        digest.update(format!("{}\0{}\0{tag}\n", file.location, file.size));
    }
    let version = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let newest = files.iter().map(|f| f.last_modified).max();
    Ok(Listing { files, version, newest })
}

fn has_extension(format: Format, relative: &str) -> bool {
    let known: &[&str] = match format {
        Format::Parquet => &["parquet", "parq"],
        Format::Csv => &["csv", "tsv", "txt"],
        Format::Json => &["json", "jsonl", "ndjson"],
        _ => &[],
    };
    relative.rsplit_once('.').is_some_and(|(_, extension)| known.iter().any(|k| extension.eq_ignore_ascii_case(k)))
}

fn relative<'a>(root: &Path, location: &'a Path) -> Option<&'a str> {
    location.as_ref().strip_prefix(root.as_ref())?.strip_prefix('/')
}

/// Which of the declared partition columns the folders carry (`region=eu/…`).
///
/// All files must agree. A column that no folder carries has to be in the files: `partitioning` in a manifest describes the data, not
/// only hive's folders.
pub fn hive_columns(spec: &PortSpec<'_>, root: &Path, files: &[ObjectMeta]) -> Result<Vec<String>, Fault> {
    let mut carried = Vec::new();
    for column in spec.partitioning {
        let with = files.iter().filter(|f| relative(root, &f.location).is_some_and(|r| segment(r, column).is_some())).count();
        match with {
            0 => {}
            n if n == files.len() => carried.push(column.clone()),
            _ => return Err(fault::contract(&spec.id.product, format!("Some files have no folder for partition column \"{column}\"."))),
        }
    }
    Ok(carried)
}

/// The raw value that a path's folders give a column.
fn segment<'a>(relative: &'a str, column: &str) -> Option<&'a str> {
    let (folders, _) = relative.rsplit_once('/')?;
    folders.split('/').find_map(|s| s.strip_prefix(column)?.strip_prefix('='))
}

/// The value that a file's folders give a column, in the column's type.
pub fn hive_value(product: &ProductId, root: &Path, file: &ObjectMeta, column: &Field) -> Result<ScalarValue, Fault> {
    let raw = relative(root, &file.location).and_then(|r| segment(r, column.name())).unwrap_or_default();
    let of_type = |text: String| ScalarValue::try_from_string(text, column.data_type());
    let value = match raw {
        "__HIVE_DEFAULT_PARTITION__" | "" => ScalarValue::try_from(column.data_type()),
        raw => of_type(percent_decoded(raw)),
    };
    value.map_err(|e| {
        fault::contract(product, format!("A folder's value for partition column \"{}\" is not of its type.", column.name())).with_source(e)
    })
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let (mut out, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(i) {
        match (byte, digit(i + 1), digit(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                i += 3;
            }
            _ => {
                out.push(*byte);
                i += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The type that a partition column has without a contract.
pub fn hive_default() -> DataType {
    DataType::Utf8View
}

/// How a file's bytes become rows.
#[derive(Debug, Clone)]
pub enum Reading {
    /// Parquet, with all that DataFusion can skip in it.
    Parquet,
    /// CSV or JSON, whole files only.
    Text(TextFormat),
}

/// A table over files that were listed once. It never lists again: a query reads what its version says.
#[derive(Debug)]
pub struct FileTable {
    url: ObjectStoreUrl,
    /// With partition values, and with statistics where the format has them.
    files: Vec<PartitionedFile>,
    /// Columns of the files, then those of the folders.
    physical: TableSchema,
    /// The contract's order: index into `physical` for each column of `schema`.
    columns: Vec<usize>,
    schema: SchemaRef,
    reading: Reading,
}

impl FileTable {
    /// A table whose columns are `order`, found in the files or in the folders.
    pub fn new(
        spec: &PortSpec<'_>,
        in_files: Vec<FieldRef>,
        in_folders: Vec<FieldRef>,
        order: &[String],
        files: Vec<PartitionedFile>,
        reading: Reading,
    ) -> Result<Self, Fault> {
        let url = crate::ports::store_url(&spec.id)?;
        let physical = TableSchema::builder(Arc::new(Schema::new(in_files))).with_table_partition_cols(in_folders).build();
        let table = physical.table_schema();
        let columns = order.iter().map(|name| table.index_of(name)).collect::<Result<Vec<_>, _>>().map_err(Fault::internal)?;
        let schema = Arc::new(table.project(&columns).map_err(Fault::internal)?);
        Ok(Self { url, files, physical, columns, schema, reading })
    }

    fn folder_columns(&self) -> Vec<&str> {
        self.physical.table_partition_cols().iter().map(|f| f.name().as_str()).collect()
    }

    fn is_folder_filter(&self, filter: &Expr) -> bool {
        let names = self.folder_columns();
        !names.is_empty() && expr_applicable_for_cols(&names, filter)
    }

    /// The files that filters on folders leave.
    fn pruned(&self, filters: &[Expr]) -> PlanResult<Vec<PartitionedFile>> {
        let filters: Vec<Expr> = filters.iter().filter(|f| self.is_folder_filter(f)).cloned().collect();
        if filters.is_empty() {
            return Ok(self.files.clone());
        }
        let fields = self.physical.table_partition_cols().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let schema = DFSchema::from_unqualified_fields(fields.into(), Default::default())?;
        let kept = self.files.iter().cloned().map(|f| filter_partitioned_file(f, &filters, &schema));
        kept.filter_map(Result::transpose).collect()
    }

    fn source(&self, state: &dyn Session) -> Arc<dyn FileSource> {
        match &self.reading {
            Reading::Parquet => {
                let options = TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
                Arc::new(ParquetSource::new(self.physical.clone()).with_table_parquet_options(options))
            }
            Reading::Text(format) => Arc::new(format.source(self.physical.clone())),
        }
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        use TableProviderFilterPushDown::{Exact, Inexact};
        Ok(filters.iter().map(|f| if self.is_folder_filter(f) { Exact } else { Inexact }).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let files = self.pruned(filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let chosen: Vec<usize> = match projection {
            Some(wanted) => wanted.iter().filter_map(|i| self.columns.get(*i).copied()).collect(),
            None => self.columns.clone(),
        };
        let bytes: u64 = files.iter().map(|f| f.object_meta.size).sum();
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let (groups, mut statistics) = compute_all_files_statistics(groups, Arc::clone(self.physical.table_schema()), true, false)?;
        if statistics.total_byte_size == Precision::Absent {
            statistics = Statistics { total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)), ..statistics };
        }
        // A limit reaches a scan only where nothing is filtered after it.
        let limit = limit.filter(|_| filters.iter().all(|f| self.is_folder_filter(f)));
        let config = FileScanConfigBuilder::new(self.url.clone(), self.source(state))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(chosen))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Names that appear twice cannot be told apart.
pub fn no_duplicates<'a>(product: &ProductId, names: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(fault::contract(product, format!("Column \"{name}\" is there twice.")));
        }
    }
    Ok(())
}
