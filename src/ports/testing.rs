//! What the tests of this floor share: temporary products of every format, and queries over them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;

use super::{Clients, OpenPort, PortSpec, Ports, Scope, fault, session_config};
use crate::catalog::{Column, ColumnType, Format, Location, StoragePrefix};
use crate::error::{Fault, Result};
use crate::id::{DomainName, PortId, PortName, ProductId, ProductName};
use crate::metering::{Meter, Reading};

/// `claims.events`.
pub fn product() -> ProductId {
    ProductId { domain: DomainName::new("claims").expect("a name"), product: ProductName::new("events").expect("a name") }
}

/// Its port `name`.
pub fn port(name: &str) -> PortId {
    PortId { product: product(), major: 1, port: PortName::new(name).expect("a name") }
}

/// A product's port over a folder of its own, under a domain's folder.
pub struct Product {
    /// The domain's folder.
    pub domain: Arc<tempfile::TempDir>,
    /// The port's identity.
    pub id: PortId,
    /// The port's location.
    pub location: PathBuf,
    /// As in the manifest.
    pub format: Format,
    /// As in the manifest.
    pub partitioning: Vec<String>,
    /// As in the manifest.
    pub columns: Option<Vec<Column>>,
    /// As in the manifest.
    pub options: BTreeMap<String, String>,
}

impl Product {
    /// An empty folder `claims/events` in a new place.
    pub fn new(format: Format) -> Self {
        let domain = Arc::new(tempfile::tempdir().expect("a folder"));
        let location = domain.path().join("events");
        fs::create_dir(&location).expect("a folder");
        Self { domain, id: port("sql"), location, format, partitioning: Vec::new(), columns: None, options: BTreeMap::new() }
    }

    /// With a contract: `name type`, or `name type!` for columns that may not be NULL.
    #[must_use]
    pub fn contract(mut self, columns: &[(&str, &str)]) -> Self {
        let column = |(name, data_type): &(&str, &str)| Column {
            name: (*name).to_owned(),
            data_type: ColumnType::parse(data_type.trim_end_matches('!')).expect("a type"),
            nullable: !data_type.ends_with('!'),
            description: None,
            unique: false,
            classification: None,
            fields: Vec::new(),
        };
        self.columns = Some(columns.iter().map(column).collect());
        self
    }

    /// With an option.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With partition columns.
    #[must_use]
    pub fn partitioned(mut self, columns: &[&str]) -> Self {
        self.partitioning = columns.iter().map(|c| (*c).to_owned()).collect();
        self
    }

    /// Writes a file below the location.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.location.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Writes a Parquet file below the location.
    pub fn write_parquet(&self, name: &str, batch: &RecordBatch) -> PathBuf {
        let path = self.location.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        write_parquet(&path, batch);
        path
    }

    /// What the formats get to see. `prefixes` has to outlive it.
    pub fn spec<'a>(&'a self, location: &'a Location, prefixes: &'a [StoragePrefix]) -> PortSpec<'a> {
        PortSpec {
            id: self.id.clone(),
            format: self.format,
            location,
            partitioning: &self.partitioning,
            columns: self.columns.as_deref(),
            options: &self.options,
            prefixes,
            digest: "d",
        }
    }
}

/// What a query gave and cost.
#[derive(Debug)]
pub struct Answer {
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// The plan as EXPLAIN shows it.
    pub plan: String,
    /// The meter when it was over.
    pub reading: Reading,
    /// The meter before it ran.
    pub planned: Reading,
    /// The port as opened.
    pub port: OpenPort,
}

impl Answer {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows as text, one a line, sorted.
    pub fn lines(&self) -> Vec<String> {
        let text = arrow::util::pretty::pretty_format_batches(&self.batches).expect("printable").to_string();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|l| l.starts_with('|'))
            .skip(1)
            .map(|l| l.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(","))
            .collect();
        lines.sort();
        lines
    }
}

/// A gateway's ports, without the gateway.
pub struct World {
    shared: Arc<RuntimeEnv>,
    /// The ports.
    pub ports: Ports,
}

impl World {
    /// With empty caches.
    pub fn new() -> Self {
        let shared = Arc::new(RuntimeEnv::default());
        Self { ports: Ports::new(&shared, Clients::default()), shared }
    }

    /// Opens a port on a meter.
    pub async fn open(&self, product: &Product, meter: &Arc<Meter>) -> Result<OpenPort> {
        let location = Location::File(product.location.clone());
        let prefixes = [StoragePrefix { prefix: Location::File(product.domain.path().to_owned()), credentials: None }];
        self.ports.open_spec(&product.spec(&location, &prefixes), meter).await
    }

    /// Runs a query over the product, which is the table `t`.
    pub async fn query(&self, product: &Product, sql: &str) -> Result<Answer> {
        self.query_with(product, sql, 2).await
    }

    /// The same with a number of partitions.
    pub async fn query_with(&self, product: &Product, sql: &str, partitions: usize) -> Result<Answer> {
        self.query_on(product, sql, partitions, &Meter::unbilled()).await
    }

    /// The same, counted on a meter of the caller's.
    pub async fn query_on(&self, product: &Product, sql: &str, partitions: usize, meter: &Arc<Meter>) -> Result<Answer> {
        let id = &product.id.product;
        let port = self.open(product, meter).await?;
        let mut scope = Scope::new(&self.shared);
        scope.add(&port, meter);
        let state = SessionStateBuilder::new()
            .with_config(session_config().with_target_partitions(partitions))
            .with_runtime_env(Arc::clone(scope.planning()))
            .with_default_features()
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_table("t", Arc::clone(port.provider())).map_err(Fault::internal)?;
        let frame = context.sql(sql).await.map_err(|e| fault::opened(id, e))?;
        let plan = frame.create_physical_plan().await.map_err(|e| fault::opened(id, e))?;
        let plan = scope.instrument(plan).map_err(|e| fault::opened(id, e))?;
        let planned = meter.reading();
        let shown = displayable(plan.as_ref()).indent(true).to_string();
        let task = Arc::into_inner(context.task_ctx()).expect("a new context").with_runtime(Arc::clone(scope.running()));
        let batches = collect(Arc::clone(&plan), Arc::new(task)).await.map_err(|e| fault::opened(id, e))?;
        Ok(Answer { batches, plan: shown, reading: meter.reading(), planned, port })
    }
}

/// A batch with `id`, counting up from `from`, and `name`.
pub fn people(from: i64, rows: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + rows).map(|i| format!("person {i}"))));
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![ids, names]).expect("a batch")
}

/// Writes a Parquet file with several row groups.
pub fn write_parquet(path: &Path, batch: &RecordBatch) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).expect("a file"), batch.schema(), Some(properties)).expect("a writer");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
}

/// All column chunks of a Parquet file, counted by reading its footer another way.
pub fn chunk_bytes(path: &Path, columns: &[&str]) -> u64 {
    use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(File::open(path).expect("a file")).expect("a Parquet file");
    let groups = reader.metadata().row_groups().iter();
    groups
        .flat_map(|g| g.columns())
        .filter(|c| columns.is_empty() || columns.contains(&c.column_path().string().as_str()))
        .map(|c| u64::try_from(c.compressed_size()).expect("a size"))
        .sum()
}

/// Writes a Delta commit by hand, so that hostile ones can be written too.
pub fn commit(table: &Path, version: u64, actions: &[serde_json::Value]) {
    let log = table.join("_delta_log");
    fs::create_dir_all(&log).expect("a folder");
    let text: String = actions.iter().map(|a| format!("{a}\n")).collect();
    fs::write(log.join(format!("{version:020}.json")), text).expect("a commit");
}

/// The actions that make a table with `id` and `name`.
pub fn create_people(partitions: &[&str]) -> Vec<serde_json::Value> {
    let mut fields = vec![
        serde_json::json!({"name": "id", "type": "long", "nullable": true, "metadata": {"comment": "secret comment"}}),
        serde_json::json!({"name": "name", "type": "string", "nullable": true, "metadata": {}}),
    ];
    fields.extend(partitions.iter().map(|p| serde_json::json!({"name": p, "type": "string", "nullable": true, "metadata": {}})));
    let schema = serde_json::json!({"type": "struct", "fields": fields}).to_string();
    vec![
        serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        serde_json::json!({"metaData": {
            "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
            "partitionColumns": partitions, "configuration": {}, "createdTime": 1_700_000_000_000_i64,
        }}),
    ]
}

/// An add action.
pub fn add(path: &str, size: u64, values: serde_json::Value, records: Option<u64>) -> serde_json::Value {
    let stats = records.map(|n| serde_json::json!({"numRecords": n}).to_string());
    serde_json::json!({"add": {
        "path": path, "partitionValues": values, "size": size, "modificationTime": 1_700_000_000_000_i64, "dataChange": true, "stats": stats,
    }})
}

/// How large a file is.
pub fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len()
}
