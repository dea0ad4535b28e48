//! Parquet files below a scan: footers and page indexes through the metadata handle, row data through the data handle.
//!
//! Footers are kept in the gateway's bounded footer cache. Its keys are paths, and paths inside a port's store begin with the port's
//! authority, so an entry can only ever answer for the port that it was read from. An entry holds for one size and modification time.
//! The page index is always loaded with the footer: otherwise whether a scan reads it would depend on who filled the cache.
//! Bloom filters are read for one query's predicate and are row data.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// Read from the end of a file in the first request. Most footers with their page index fit.
const TAIL: usize = 64 << 10;
/// Rows that one row group may claim.
const MAX_ROWS: i64 = 1 << 32;
/// Bytes that one column of one row group may claim to hold once decompressed.
const MAX_CHUNK: i64 = 4 << 30;

/// Reads a file's footer and page index, from the cache where it is there.
pub async fn read(
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    cache: &Arc<FileMetadataCache>,
) -> datafusion::common::Result<Arc<ParquetMetaData>> {
    let footer = DFParquetMetadata::new(store, file)
        .with_file_metadata_cache(Some(Arc::clone(cache)))
        .with_metadata_size_hint(Some(TAIL))
        .with_page_index_policy(Some(PageIndexPolicy::Optional))
        .fetch_metadata()
        .await?;
    plausible(&footer, file.size)?;
    Ok(footer)
}

/// Refuses footers that promise what the file cannot hold, before anything is allocated for them.
fn plausible(footer: &ParquetMetaData, size: u64) -> Result<()> {
    let refuse = |what: &str| Err(ParquetError::General(format!("implausible footer: {what}")));
    for group in footer.row_groups() {
        if !(0..=MAX_ROWS).contains(&group.num_rows()) {
            return refuse("rows");
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
            let end = start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
            if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > size) {
                return refuse("a column lies outside the file");
            }
            if !(0..=MAX_CHUNK).contains(&column.uncompressed_size()) || column.num_values() < 0 {
                return refuse("a column's size");
            }
        }
    }
    Ok(())
}

/// Makes readers that count footers as metadata and everything else as data.
#[derive(Debug)]
pub struct PortReaderFactory {
    pub(super) metadata: Arc<dyn ObjectStore>,
    pub(super) data: Arc<dyn ObjectStore>,
    pub(super) cache: Arc<FileMetadataCache>,
}

impl ParquetFileReaderFactory for PortReaderFactory {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        _: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> datafusion::common::Result<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(PortReader {
            file: file.object_meta,
            metadata: Arc::clone(&self.metadata),
            data: Arc::clone(&self.data),
            cache: Arc::clone(&self.cache),
        }))
    }
}

struct PortReader {
    file: ObjectMeta,
    metadata: Arc<dyn ObjectStore>,
    data: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for PortReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.data.get_range(&self.file.location, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.data.get_ranges(&self.file.location, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move { read(self.metadata.as_ref(), &self.file, &self.cache).await.map_err(external) }.boxed()
    }
}
