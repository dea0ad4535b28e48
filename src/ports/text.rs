//! Text files as tables, read whole: what CSV and JSON lines share.
//!
//! DataFusion's own sources split a file by byte ranges and read past the end of each range to find the next line, so that the bytes of a
//! query depend on how it was parallelised. Here a file is read once from its first byte to its last: a scan costs the files' sizes.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{Buf, Bytes, BytesMut};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{PhysicalExpr, apply_expression_roots};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};

use crate::id::ProductId;
use crate::ports::csv::{self, CsvFormat};
use crate::ports::{fault, json};

/// Bytes that may be read without one batch coming of it: a line without an end must not fill the memory.
const MAX_PENDING: usize = 256 << 20;

/// Which text.
#[derive(Debug, Clone)]
pub enum TextFormat {
    /// Comma-separated values.
    Csv(Arc<CsvFormat>),
    /// One JSON object a line.
    Json(ProductId),
}

impl TextFormat {
    /// A scan of files with these columns.
    pub fn source(&self, table_schema: TableSchema) -> TextSource {
        TextSource {
            format: self.clone(),
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_size: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn product(&self) -> &ProductId {
        match self {
            Self::Csv(format) => &format.product,
            Self::Json(product) => product,
        }
    }
}

/// DataFusion's view of a [`TextFormat`].
#[derive(Clone)]
pub struct TextSource {
    format: TextFormat,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for TextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextSource").field("format", &self.format).finish_non_exhaustive()
    }
}

impl FileSource for TextSource {
    fn create_file_opener(&self, store: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let opener = TextOpener {
            format: self.format.clone(),
            all: Arc::clone(file_schema),
            wanted: Arc::new(file_schema.project(&self.projection.file_indices)?),
            batch_size: self.batch_size,
            store,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size, ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match self.format {
            TextFormat::Csv(_) => "csv",
            TextFormat::Json(_) => "json",
        }
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }
}

struct TextOpener {
    format: TextFormat,
    all: SchemaRef,
    wanted: SchemaRef,
    batch_size: usize,
    store: Arc<dyn ObjectStore>,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (format, all, wanted) = (self.format.clone(), Arc::clone(&self.all), Arc::clone(&self.wanted));
        let (batch_size, store) = (self.batch_size, Arc::clone(&self.store));
        Ok(Box::pin(async move {
            let body = store.get(&file.object_meta.location).await?.into_stream().map_err(DataFusionError::from).boxed();
            let decoded = decodable(&wanted);
            let (body, decoder) = match &format {
                TextFormat::Csv(csv) => {
                    let (body, decoder) = csv::start(csv, body, &all, &decoded, batch_size).await?;
                    (body, Decoder::Csv(Box::new(decoder)))
                }
                TextFormat::Json(product) => {
                    let body = json::start(product, body, &all).await?;
                    let builder = arrow::json::ReaderBuilder::new(Arc::clone(&decoded)).with_batch_size(batch_size);
                    (body, Decoder::Json(Box::new(builder.build_decoder()?)))
                }
            };
            let product = format.product().clone();
            Ok(batches(body, decoder, product).map(move |batch| fit(&batch?, &wanted)).boxed())
        }))
    }
}

/// Reads the beginning of a file: until there is `enough` of it, or more than `most` bytes, or no more. Also says whether it is all.
pub async fn head(body: &mut BoxStream<'static, Result<Bytes>>, most: usize, enough: impl Fn(&[u8]) -> bool) -> Result<(Bytes, bool)> {
    let mut head = BytesMut::new();
    while head.len() <= most && !enough(&head) {
        match body.try_next().await? {
            Some(bytes) => head.extend_from_slice(&bytes),
            None => return Ok((head.freeze(), true)),
        }
    }
    Ok((head.freeze(), false))
}

/// The text decoders know most types; the others are decoded as text and cast.
fn decodable(wanted: &Schema) -> SchemaRef {
    let fields = wanted.fields().iter().map(|field| Field::new(field.name(), decodable_type(field.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn decodable_type(wanted: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(Field::new(field.name(), decodable_type(field.data_type()), true));
    match wanted {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::LargeUtf8 => DataType::Utf8,
        DataType::List(item) => DataType::List(inner(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// Casts what was decoded as text.
fn fit(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..Default::default() };
    let columns = batch.columns().iter().zip(wanted.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        Ok(cast_with_options(column, field.data_type(), &options)?)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &rows)?)
}

enum Decoder {
    Csv(Box<arrow::csv::reader::Decoder>),
    Json(Box<arrow::json::reader::Decoder>),
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(match self {
            Self::Csv(decoder) => decoder.decode(bytes)?,
            Self::Json(decoder) => decoder.decode(bytes)?,
        })
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>> {
        Ok(match self {
            Self::Csv(decoder) => decoder.flush()?,
            Self::Json(decoder) => decoder.flush()?,
        })
    }
}

struct Pending {
    body: BoxStream<'static, Result<Bytes>>,
    decoder: Decoder,
    buffer: Bytes,
    ended: bool,
    since: usize,
    product: ProductId,
}

fn batches(body: BoxStream<'static, Result<Bytes>>, decoder: Decoder, product: ProductId) -> BoxStream<'static, Result<RecordBatch>> {
    let pending = Pending { body, decoder, buffer: Bytes::new(), ended: false, since: 0, product };
    stream::try_unfold(pending, |mut pending| async move { Ok(pending.next().await?.map(|batch| (batch, pending))) }).boxed()
}

impl Pending {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.buffer.is_empty() && !self.ended {
                match self.body.try_next().await? {
                    Some(bytes) if bytes.is_empty() => continue,
                    Some(bytes) => self.buffer = bytes,
                    None => self.ended = true,
                }
            }
            // Decoding nothing tells the decoder that the text is over.
            let used = self.decoder.decode(&self.buffer)?;
            self.buffer.advance(used);
            self.since = self.since.saturating_add(used);
            if self.since > MAX_PENDING {
                return Err(DataFusionError::External(Box::new(fault::unreadable(&self.product, "a line without end"))));
            }
            if used > 0 && !self.ended {
                continue;
            }
            let batch = self.decoder.flush()?;
            self.since = 0;
            match batch {
                Some(batch) => return Ok(Some(batch)),
                None if self.ended => return Ok(None),
                None => {}
            }
        }
    }
}
