//! Rows of a system table on their way to Arrow: built when a query reads them, and only the columns that it reads.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch, RecordBatchOptions,
    StringBuilder, TimestampMicrosecondBuilder, UInt32Builder, make_builder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};

/// Rows a batch.
const BATCH: usize = 8192;

/// One value of a system table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// NULL; in a column that is NOT NULL it means the type's zero.
    Null,
    /// boolean
    Bool(bool),
    /// Any integer, oids too.
    Int(i64),
    /// Any float.
    Float(f64),
    /// Text of any kind.
    Text(Cow<'a, str>),
    /// Microseconds since 1970, UTC.
    Micros(i64),
    /// An array.
    List(Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    /// Borrowed text.
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Owned text.
    pub(super) fn owned(text: impl Into<String>) -> Cell<'static> {
        Cell::Text(Cow::Owned(text.into()))
    }

    /// Text, or NULL.
    pub(super) fn maybe(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// `YES` or `NO`, as information_schema spells booleans.
    pub(super) fn yes_no(yes: bool) -> Self {
        Self::text(if yes { "YES" } else { "NO" })
    }
}

/// Reads one column of a row.
pub(super) type Get<R> = for<'a> fn(&'a R) -> Cell<'a>;

/// Makes the rows' columns; called with the schema's columns to make.
type Make = dyn Fn(&SchemaRef) -> Result<RecordBatch> + Send + Sync;

/// A table whose rows are made when a query reads them.
pub(super) struct Grid {
    schema: SchemaRef,
    make: Arc<Make>,
}

impl Grid {
    /// A table of `rows()`, whose columns `column` reads; a column that it does not know is NULL.
    pub(super) fn table<R: 'static>(
        schema: &SchemaRef,
        rows: impl Fn() -> Vec<R> + Send + Sync + 'static,
        column: fn(&str) -> Option<Get<R>>,
    ) -> Arc<dyn TableProvider> {
        let make = move |projected: &SchemaRef| {
            let rows = rows();
            let columns: Vec<ArrayRef> = projected
                .fields()
                .iter()
                .map(|field| match column(field.name()) {
                    Some(get) => array(field, rows.len(), rows.iter().map(get)),
                    None => array(field, rows.len(), rows.iter().map(|_| Cell::Null)),
                })
                .collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(projected), columns, &options)?)
        };
        Arc::new(Self { schema: Arc::clone(schema), make: Arc::new(make) })
    }

    /// A table without rows.
    pub(super) fn empty(schema: &SchemaRef) -> Arc<dyn TableProvider> {
        let make = |projected: &SchemaRef| Ok(RecordBatch::new_empty(Arc::clone(projected)));
        Arc::new(Self { schema: Arc::clone(schema), make: Arc::new(make) })
    }
}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grid")
    }
}

#[async_trait]
impl TableProvider for Grid {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(indices) => Arc::new(self.schema.project(indices)?),
            None => Arc::clone(&self.schema),
        };
        let part = Arc::new(Part { schema: Arc::clone(&schema), make: Arc::clone(&self.make) });
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![part], None, None, false, limit)?))
    }
}

/// The one partition of a [`Grid`].
struct Part {
    schema: SchemaRef,
    make: Arc<Make>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Makes the rows off the runtime: the columns of a big mesh are a hundred thousand rows.
    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, make) = (Arc::clone(&self.schema), Arc::clone(&self.make));
        let made = async move {
            tokio::task::spawn_blocking(move || make(&schema)).await.map_err(|fault| DataFusionError::External(Box::new(fault)))?
        };
        let batches = stream::once(made).map_ok(|batch| stream::iter(slices(&batch).into_iter().map(Ok))).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches.boxed()))
    }
}

fn slices(batch: &RecordBatch) -> Vec<RecordBatch> {
    (0..batch.num_rows()).step_by(BATCH).map(|start| batch.slice(start, BATCH.min(batch.num_rows() - start))).collect()
}

/// Appends every cell to a builder by one reading of it; whatever is not of that kind is NULL, or zero in a NOT NULL column.
macro_rules! fill {
    ($builder:expr, $field:expr, $cells:expr, $zero:expr, $($pattern:pat => $value:expr),+) => {{
        let mut builder = $builder;
        for cell in $cells {
            match cell {
                $($pattern => builder.append_value($value),)+
                _ if $field.is_nullable() => builder.append_null(),
                _ => builder.append_value($zero),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// The integer as `T`, or zero where it does not fit, which no table here makes.
fn narrow<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

/// An array of `field`'s type.
#[expect(clippy::cast_possible_truncation, reason = "float4 is what the column holds")]
pub(super) fn array<'a>(field: &Field, rows: usize, cells: impl Iterator<Item = Cell<'a>>) -> ArrayRef {
    match field.data_type() {
        DataType::Boolean => fill!(BooleanBuilder::with_capacity(rows), field, cells, false, Cell::Bool(v) => v),
        DataType::Int16 => fill!(Int16Builder::with_capacity(rows), field, cells, 0, Cell::Int(v) => narrow(v)),
        DataType::Int32 => fill!(Int32Builder::with_capacity(rows), field, cells, 0, Cell::Int(v) => narrow(v)),
        DataType::Int64 => fill!(Int64Builder::with_capacity(rows), field, cells, 0, Cell::Int(v) => v),
        DataType::UInt32 => fill!(UInt32Builder::with_capacity(rows), field, cells, 0, Cell::Int(v) => narrow(v)),
        DataType::Float32 => fill!(Float32Builder::with_capacity(rows), field, cells, 0.0, Cell::Float(v) => v as f32),
        DataType::Float64 => fill!(Float64Builder::with_capacity(rows), field, cells, 0.0, Cell::Float(v) => v),
        DataType::Utf8 => fill!(StringBuilder::with_capacity(rows, rows * 16), field, cells, "", Cell::Text(v) => v),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let builder = TimestampMicrosecondBuilder::with_capacity(rows).with_timezone_opt(zone.clone());
            fill!(builder, field, cells, 0, Cell::Micros(v) => v)
        }
        DataType::List(element) => list(element, field.is_nullable(), cells),
        other => {
            debug_assert!(field.is_nullable(), "no table here fills {other}");
            if field.is_nullable() { new_null_array(other, rows) } else { make_builder(other, 0).finish() }
        }
    }
}

fn list<'a>(element: &Arc<Field>, nullable: bool, cells: impl Iterator<Item = Cell<'a>>) -> ArrayRef {
    let (mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        if let Cell::List(items) = cell {
            lengths.push(items.len());
            valid.push(true);
            values.extend(items);
        } else {
            lengths.push(0);
            valid.push(!nullable);
        }
    }
    let values = array(element, values.len(), values.into_iter());
    let nulls = NullBuffer::from(valid);
    Arc::new(arrow::array::ListArray::new(Arc::clone(element), OffsetBuffer::from_lengths(lengths), values, Some(nulls)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    #[test]
    fn a_missing_value_is_null_where_it_may_be_and_zero_where_not() {
        let cells = || [Cell::Null, Cell::Int(7)].into_iter();
        let may = array(&Field::new("a", DataType::Int32, true), 2, cells());
        let must = array(&Field::new("a", DataType::Int32, false), 2, cells());
        assert!(may.is_null(0) && !must.is_null(0));
        assert_eq!(must.as_primitive::<arrow::datatypes::Int32Type>().values().as_ref(), &[0, 7]);
    }

    #[test]
    fn lists_keep_their_lengths_and_nulls() {
        let field = super::super::shape::field("a", "_text", true);
        let made = array(&field, 2, [Cell::List(vec![Cell::text("x"), Cell::Null]), Cell::Null].into_iter());
        let made = made.as_list::<i32>();
        assert_eq!((made.value_length(0), made.is_null(1)), (2, true));
        assert!(made.value(0).is_null(1));
    }
}
