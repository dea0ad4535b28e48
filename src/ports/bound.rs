//! What a scan would read, found without reading it.
//!
//! Which bytes of a Parquet file a scan fetches is decided deep in its reader: by the columns, by the statistics of row groups, by the page index. Nothing
//! of that is told a second time here. The scan is run for each row group alone, with readers that note what they are asked for and answer with an
//! error; so only footers are read, which are metadata. Text is read whole.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::scan::file_scan;

/// Footers read, and row groups asked about, at once.
const AT_ONCE: usize = 16;

/// Bytes of row data that a scan reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// At least, if it is read to its end.
    pub least: u64,
    /// At most, in one run.
    pub most: u64,
    /// What another predicate could make it read besides, to leave out more: Bloom filters.
    pub filters: u64,
}

impl Bound {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            least: self.least.saturating_add(other.least),
            most: self.most.saturating_add(other.most),
            filters: self.filters.saturating_add(other.filters),
        }
    }
}

/// Of all file scans of a plan together.
pub(super) async fn bound(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Bound> {
    let mut sum = Bound::default();
    for scan in scans(plan) {
        let Some(config) = file_scan(&scan) else { continue };
        let one = match config.file_source().downcast_ref::<ParquetSource>() {
            Some(source) => parquet(config, source, context).await?,
            None => text(config),
        };
        sum = sum.plus(if config.limit.is_some() { Bound { least: 0, ..one } } else { one });
    }
    Ok(sum)
}

fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    let own = file_scan(plan).map(|_| Arc::clone(plan));
    own.into_iter().chain(plan.children().into_iter().flat_map(scans)).collect()
}

fn files(config: &FileScanConfig) -> impl Iterator<Item = &PartitionedFile> {
    config.file_groups.iter().flat_map(FileGroup::iter)
}

fn text(config: &FileScanConfig) -> Bound {
    let size = files(config).map(|file| file.object_meta.size).fold(0, u64::saturating_add);
    Bound { least: size, most: size, filters: 0 }
}

async fn parquet(config: &FileScanConfig, source: &ParquetSource, context: &Arc<TaskContext>) -> Result<Bound> {
    let readers = source.parquet_file_reader_factory();
    let readers = readers.ok_or_else(|| DataFusionError::Internal("a scan without readers of its own".into()))?;
    // Without its files, of which there may be many: it is copied for every row group.
    let bare = FileScanConfigBuilder::from(config.clone()).with_file_groups(Vec::new()).with_limit(None).build();
    let probe = Probe { config: bare, source: source.clone(), readers: Arc::clone(readers), context: Arc::clone(context) };
    let of_files: Vec<_> = files(config).map(|file| probe.file(file)).collect();
    stream::iter(of_files).buffer_unordered(AT_ONCE).try_fold(Bound::default(), |sum, one| ready(Ok(sum.plus(one)))).await
}

/// A scan that is asked what it would fetch.
struct Probe {
    config: FileScanConfig,
    source: ParquetSource,
    readers: Arc<dyn ParquetFileReaderFactory>,
    context: Arc<TaskContext>,
}

/// What one row group's reader was asked for.
#[derive(Debug, Default)]
struct Asked {
    anything: AtomicBool,
    /// Bytes of columns.
    columns: AtomicU64,
    /// Bytes of Bloom filters, by which it may then do without the columns.
    filters: AtomicU64,
}

impl Probe {
    /// Of a file, or of the part of it that its range is.
    async fn file(&self, file: &PartitionedFile) -> Result<Bound> {
        let footer = self.readers.create_reader(0, file.clone(), None, &ExecutionPlanMetricsSet::new())?.get_metadata(None).await?;
        let (size, groups) = (file.object_meta.size, footer.num_row_groups());
        let all_filters = filters(&footer);
        let mut sum = Bound { filters: all_filters.unwrap_or(size), ..Bound::default() };
        for group in 0..groups {
            let mut alone = ParquetAccessPlan::new_none(groups);
            alone.scan(group);
            let asked = self.ask(file.clone().with_extension(alone)).await?;
            let (columns, filters) = (asked.columns.load(Ordering::Acquire), asked.filters.load(Ordering::Acquire));
            sum.least = sum.least.saturating_add(if filters > 0 { 0 } else { columns });
            // Where a filter's size is not in the footer, it is known only to whoever reads it.
            let filters = if filters > 0 && all_filters.is_none() { size } else { filters };
            sum.most = sum.most.saturating_add(columns).saturating_add(filters);
        }
        sum.most = sum.most.min(size);
        Ok(sum)
    }

    async fn ask(&self, group: PartitionedFile) -> Result<Arc<Asked>> {
        let asked = Arc::new(Asked::default());
        let readers = Arc::new(Noting { readers: Arc::clone(&self.readers), asked: Arc::clone(&asked) });
        let source = self.source.clone().with_parquet_file_reader_factory(readers);
        let config = FileScanConfigBuilder::from(self.config.clone())
            .with_source(Arc::new(source))
            .with_file_groups(vec![FileGroup::new(vec![group])])
            .build();
        let mut rows = DataSourceExec::from_data_source(config).execute(0, Arc::clone(&self.context))?;
        while let Some(batch) = rows.next().await {
            match batch {
                Ok(_) => {}
                // The error is ours: it has asked for data.
                Err(_) if asked.anything.load(Ordering::Acquire) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(asked)
    }
}

/// Bytes of all Bloom filters of a file; `None` where the footer does not tell.
fn filters(footer: &ParquetMetaData) -> Option<u64> {
    let columns = footer.row_groups().iter().flat_map(|group| group.columns());
    columns
        .filter(|column| column.bloom_filter_offset().is_some())
        .try_fold(0, |sum: u64, column| Some(sum.saturating_add(u64::try_from(column.bloom_filter_length()?).ok()?)))
}

/// Makes readers that read footers and note everything else.
#[derive(Debug)]
struct Noting {
    readers: Arc<dyn ParquetFileReaderFactory>,
    asked: Arc<Asked>,
}

impl ParquetFileReaderFactory for Noting {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader = self.readers.create_reader(partition, file, hint, metrics)?;
        Ok(Box::new(Notebook { reader, asked: Arc::clone(&self.asked) }))
    }
}

struct Notebook {
    reader: Box<dyn AsyncFileReader + Send>,
    asked: Arc<Asked>,
}

impl Notebook {
    fn note(&self, counter: &AtomicU64, ranges: &[Range<u64>]) -> ParquetError {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).fold(0, u64::saturating_add);
        counter.fetch_add(bytes, Ordering::AcqRel);
        self.asked.anything.store(true, Ordering::Release);
        ParquetError::General("noted, not read".to_owned())
    }
}

impl AsyncFileReader for Notebook {
    /// A Bloom filter: nothing else is fetched by itself. What is answered with an error is done without.
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        ready(Err(self.note(&self.asked.filters, &[range]))).boxed()
    }

    /// All columns of a row group at once.
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        ready(Err(self.note(&self.asked.columns, &ranges))).boxed()
    }

    fn get_metadata<'a>(&'a mut self, options: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.reader.get_metadata(options)
    }
}
