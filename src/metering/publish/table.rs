//! The published table: Delta Lake, through delta-rs.
//!
//! It is partitioned by gateway, so that each gateway compacts its own files and no two want to rewrite the same ones. How far a gateway has
//! got is the application transaction under its id: the number of the last entry of its journal that is in the table. It is in the same commit
//! as the rows, and delta-rs refuses a commit when another one with the same id came in between, so rows are appended once, even where the
//! storage took a commit and its answer was lost.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, StructField, StructType, Transaction};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableError, FilterOp, FilterValue};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use url::Url;

use super::sorted::Sorted;
use crate::error::{ErrorKind, Fault, Result, causes};
use crate::metering::ledger::{Column, published};

const PARTITION: &str = "gateway_id";

/// Files of one gateway smaller than [`SMALL`] that are left as they are.
const MANY: usize = 16;
const SMALL: u64 = 8 << 20;

/// How large a joined file becomes.
const JOINED: NonZeroU64 = NonZeroU64::MIN.saturating_add((32 << 20) - 1);

/// How many times a commit makes room for other gateways' before it is given up, to be tried again later.
const RETRIES: usize = 50;

/// The table at the version that was last looked at.
pub(super) struct PublishedTable {
    table: DeltaTable,
    store: Arc<dyn ObjectStore>,
}

/// A data file of the table.
#[derive(Debug, Clone)]
pub(super) struct DataFile {
    path: Path,
    pub(super) size: u64,
    pub(super) gateway: String,
    /// The first entry in it, where its statistics say.
    pub(super) first: Option<i64>,
    /// The last one.
    pub(super) last: Option<i64>,
}

impl PublishedTable {
    /// Opens the table that lies at the root of `store`, or makes it.
    pub(super) async fn open(store: &Arc<dyn ObjectStore>) -> Result<Self> {
        let log = log_in(store)?;
        let mut table = DeltaTable::new(Arc::clone(&log));
        match table.load().await {
            Ok(()) => {}
            Err(DeltaTableError::NotATable(_)) => table = Self::create(log).await?,
            Err(error) => return Err(unusable(&error)),
        }
        let mut opened = Self { table, store: Arc::clone(store) };
        opened.widen().await?;
        Ok(opened)
    }

    async fn create(log: LogStoreRef) -> Result<DeltaTable> {
        let created = DeltaTable::new(Arc::clone(&log))
            .create()
            .with_columns(fields(published())?)
            .with_partition_columns([PARTITION])
            // Rows of a ledger are neither changed nor deleted. Joining files is neither.
            .with_configuration([("delta.appendOnly", Some("true"))])
            .with_comment("Usage that meshgate has settled, one row for each query and output port.")
            // A second try would make the table of a gateway that was faster anew.
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match created {
            Ok(table) => Ok(table),
            // Another gateway may have been faster.
            Err(error) => {
                let mut table = DeltaTable::new(log);
                table.load().await.map_err(|_| unusable(&error))?;
                Ok(table)
            }
        }
    }

    /// Adds columns that this gateway knows and the table does not. Rows that are there have NULL in them.
    async fn widen(&mut self) -> Result<()> {
        let schema = self.table.snapshot().map_err(|error| unusable(&error))?.snapshot().schema();
        let missing: Vec<Column> = published().iter().filter(|column| schema.field(column.name).is_none()).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let widened = self.table.clone().add_columns().with_fields(fields(&missing)?).await;
        self.table = widened.map_err(|error| unusable(&error))?;
        Ok(())
    }

    /// Looks at the newest version.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        self.table.update_state().await.map_err(|error| unusable(&error))
    }

    /// The last entry of a gateway's journal that is in the table; 0 where none is.
    pub(super) async fn exported(&self, gateway: &str) -> Result<i64> {
        let log = self.table.log_store();
        let state = self.table.snapshot().map_err(|error| unusable(&error))?;
        let version = state.snapshot().transaction_version(log.as_ref(), gateway).await;
        Ok(version.map_err(|error| unusable(&error))?.unwrap_or_default())
    }

    /// Writes batches into files of their own. They are no part of the table yet: what becomes of them if nothing follows is of no matter.
    pub(super) async fn write(&self, mut next: impl FnMut() -> Result<Option<RecordBatch>>) -> Result<Vec<Add>> {
        let mut writer = RecordBatchWriter::for_table(&self.table).map_err(|error| unusable(&error))?;
        while let Some(batch) = next()? {
            writer.write(batch).await.map_err(|error| unusable(&error))?;
        }
        writer.flush().await.map_err(|error| unusable(&error))
    }

    /// Makes files a part of the table, together with how far the gateway has got. Other gateways' commits are made room for; a commit of
    /// this gateway that this one does not know of is a conflict. Answers whether it is in the table, as the table itself says.
    pub(super) async fn append(&mut self, files: Vec<Add>, gateway: &str, up_to: i64) -> Result<()> {
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec![PARTITION.to_owned()]), predicate: None };
        let mark = CommitProperties::default().with_application_transaction(Transaction::new(gateway, up_to));
        let state = self.table.snapshot().map_err(|error| unusable(&error))?;
        let committed = CommitBuilder::from(mark)
            .with_max_retries(RETRIES)
            .with_actions(files.into_iter().map(Action::Add).collect())
            .build(Some(state), self.table.log_store(), operation)
            .await;
        // The storage may have taken the commit and failed to say so; or taken it, and what came after it (a checkpoint) failed.
        self.refresh().await?;
        match (committed, self.exported(gateway).await?) {
            (_, exported) if exported >= up_to => Ok(()),
            (Err(error), _) => Err(unusable(&error)),
            (Ok(_), _) => Err(Fault::new(ErrorKind::Storage, "the published ledger does not show what was appended to it")),
        }
    }

    /// The files of the table at this version.
    pub(super) async fn files(&self) -> Result<Vec<DataFile>> {
        let views = self.table.get_active_add_actions_by_partitions(&[]);
        let files = views.map_ok(|view| {
            let stats = view.stats().and_then(|stats| serde_json::from_str::<serde_json::Value>(&stats).ok());
            let entry = |which| stats.as_ref()?.get(which)?.get("journal_entry")?.as_i64();
            DataFile {
                path: view.object_store_path(),
                size: u64::try_from(view.size()).unwrap_or_default(),
                gateway: view.partition_values_map().remove(PARTITION).flatten().unwrap_or_default(),
                first: entry("minValues"),
                last: entry("maxValues"),
            }
        });
        files.try_collect().await.map_err(|error| unusable(&error))
    }

    /// The rows of a file, without the gateway, which is in its path.
    pub(super) async fn read(&self, file: &DataFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let broken = |_| Fault::new(ErrorKind::Storage, "a file of the published ledger cannot be read");
        let reader = FileReader { store: Arc::clone(&self.store), file: file.clone() };
        let rows = ParquetRecordBatchStreamBuilder::new(reader).await.and_then(ParquetRecordBatchStreamBuilder::build).map_err(broken)?;
        Ok(rows.map_err(broken).boxed())
    }

    /// Joins a gateway's small files where there are many. The rows stay as they are, and so does what others append meanwhile.
    pub(super) async fn compact(&mut self, gateway: &str) -> Result<bool> {
        let small = self.files().await?.iter().filter(|file| file.gateway == gateway && file.size < SMALL).count();
        if small < MANY {
            return Ok(false);
        }
        let own = [(PARTITION, FilterOp::Eq, FilterValue::Scalar(gateway))];
        let joined = self.table.clone().optimize().with_filters(&own).with_target_size(JOINED).with_max_concurrent_tasks(1).await;
        let (table, _) = joined.map_err(|error| unusable(&error))?;
        self.table = table;
        Ok(true)
    }
}

/// The log of the table at the root of a store. Its address is of no scheme that anything else is reached by.
pub(super) fn log_in(store: &Arc<dyn ObjectStore>) -> Result<LogStoreRef> {
    let location = Url::parse("ledger://usage/").map_err(Fault::internal)?;
    let store: Arc<dyn ObjectStore> = Arc::new(Sorted(Arc::clone(store)));
    Ok(default_logstore(Arc::clone(&store), store, &location, &StorageConfig::default()))
}

/// Reads a file range by range, as they are needed.
struct FileReader {
    store: Arc<dyn ObjectStore>,
    file: DataFile,
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { self.store.get_range(&self.file.path, range).await.map_err(|error| ParquetError::External(Box::new(error))) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.file.size;
            ParquetMetaDataReader::new().load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

/// All may be NULL: a reader must not depend on what this version of the gateway promises itself.
pub(super) fn fields(columns: &[Column]) -> Result<Vec<StructField>> {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new(column.name, column.kind.data_type(), true)).collect();
    let schema: StructType = (&Schema::new(fields)).try_into_kernel().map_err(Fault::internal)?;
    Ok(schema.fields().cloned().collect())
}

/// A fault of the table, told by kind: what the libraries say quotes paths and addresses.
fn unusable(error: &DeltaTableError) -> Fault {
    let storage = causes(error).find_map(|cause| cause.downcast_ref::<object_store::Error>());
    let why = match storage {
        Some(object_store::Error::NotFound { .. }) => "a file of it is missing",
        Some(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
            "the storage refuses the credential"
        }
        Some(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
            "the storage cannot do what Delta needs"
        }
        Some(_) => "the storage cannot be reached, or answers with an error",
        None => match error {
            DeltaTableError::Transaction { .. } | DeltaTableError::VersionAlreadyExists(_) => "another writer was faster",
            _ => "it is not a table that this gateway can use",
        },
    };
    Fault::new(ErrorKind::Storage, "the published ledger cannot be used").with_detail(why)
}
