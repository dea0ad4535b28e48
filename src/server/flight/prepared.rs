//! Prepared statements: sealed requests with, once bound, the values of their parameters.
//!
//! Binding gives the client a new handle that holds the values; the old one stays as it was. So a handle can be used by several calls at
//! once, nothing is kept here, and closing one has nothing to close.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, DoPutPreparedStatementResult};
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

use crate::error::{ErrorKind, Fault, Result};

use super::login::Caller;
use super::sealed::{self, Statement};
use super::{Flight, asked, columns, fault};

/// Most bytes of bound values.
const MAX_VALUES: usize = 1 << 20;

/// Most rows of bound values: each is an execution.
const MAX_ROWS: usize = 1000;

/// What is bound to a statement's parameters: a row for each execution.
#[derive(Debug)]
pub(super) struct Bound(Option<RecordBatch>);

impl Flight {
    /// The action CreatePreparedStatement.
    pub(super) async fn prepare(
        &self,
        caller: &Caller,
        request: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult> {
        asked::no_transaction(request.transaction_id)?;
        let statement = Statement { sql: request.query, parameters: Bytes::new(), settings: caller.settings() };
        let described = self.describe(caller, &statement).await?;
        // Without columns it stays empty: that is how clients tell statements without rows.
        let dataset_schema = described.schema.map(|schema| schema_message(&schema)).transpose()?.unwrap_or_default();
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: sealed::handle(&self.door.identity, &caller.principal.name, statement)?,
            dataset_schema,
            parameter_schema: schema_message(&parameter_schema(&described.parameters))?,
        })
    }

    /// DoPut of values for a prepared statement's parameters.
    pub(super) async fn bind(
        &self,
        caller: &Caller,
        handle: &[u8],
        data: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Result<DoPutPreparedStatementResult> {
        let mut statement = sealed::open_handle(&self.door.identity, &caller.principal.name, handle)?;
        statement.parameters = match read(data).await? {
            Some(rows) => encode(&rows)?,
            None => Bytes::new(),
        };
        let handle = sealed::handle(&self.door.identity, &caller.principal.name, statement)?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }
}

/// A schema as an encapsulated IPC message.
pub(super) fn schema_message(schema: &Schema) -> Result<Bytes> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(Fault::internal)?;
    Ok(bytes)
}

/// `$1`, `$2`, …, in the order of their numbers.
fn parameter_schema(types: &[FieldRef]) -> SchemaRef {
    let fields = types.iter().enumerate().map(|(at, field)| Field::new(format!("${}", at + 1), field.data_type().clone(), true));
    columns::plain_schema(&Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Reads the rows that a client binds; `None` where it sent no columns, as some clients do for statements without parameters.
async fn read(data: impl Stream<Item = Result<FlightData, Status>> + Send + 'static) -> Result<Option<RecordBatch>> {
    let mut left = MAX_VALUES;
    let bounded =
        data.filter(|message| std::future::ready(message.as_ref().map_or(true, |data| !data.data_header.is_empty()))).map(move |message| {
            let message = message.map_err(FlightError::from)?;
            left = left.checked_sub(message.data_body.len() + message.data_header.len()).ok_or_else(|| FlightError::from(too_large()))?;
            if is_compressed(&message) { Err(FlightError::from(compressed())) } else { Ok(message) }
        });
    let mut stream = FlightRecordBatchStream::new_from_flight_data(bounded);
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(batch) = stream.try_next().await.map_err(unreadable)? {
        rows += batch.num_rows();
        if rows > MAX_ROWS {
            let fault = Fault::new(ErrorKind::ProgramLimit, format!("cannot bind more than {MAX_ROWS} rows of parameters"));
            return Err(fault.with_hint("Bind them in several calls, or write them as VALUES."));
        }
        batches.push(batch);
    }
    let Some(schema) = stream.schema().filter(|schema| rows > 0 || !schema.fields().is_empty()) else { return Ok(None) };
    if batches.iter().any(|batch| batch.schema_ref() != schema) {
        return Err(fault::protocol("rows of parameters differ in their columns"));
    }
    concat_batches(schema, &batches).map(Some).map_err(Fault::internal)
}

/// Whether a message's body is compressed. Such a body says itself how long it is, and the decoder takes that much memory before it looks: a
/// few bytes could end the process.
fn is_compressed(message: &FlightData) -> bool {
    let Ok(header) = arrow::ipc::root_as_message(&message.data_header) else { return false };
    let dictionary = header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    header.header_as_record_batch().or(dictionary).is_some_and(|batch| batch.compression().is_some())
}

/// Marks that the limit was passed, on its way through the decoder.
fn too_large() -> Status {
    Status::out_of_range("")
}

/// Marks a compressed body, on its way through the decoder.
fn compressed() -> Status {
    Status::unimplemented("")
}

/// What the decoder says may quote values, so it is not repeated.
fn unreadable(error: FlightError) -> Fault {
    match error {
        FlightError::Tonic(status) if status.code() == tonic::Code::OutOfRange => {
            Fault::new(ErrorKind::ProgramLimit, format!("parameters take more than {MAX_VALUES} bytes"))
        }
        FlightError::Tonic(status) if status.code() == tonic::Code::Unimplemented => {
            fault::unsupported("compressed parameters are not supported").with_hint("Results can be compressed: set meshgate.compression.")
        }
        _ => Fault::new(ErrorKind::InvalidBinary, "parameters are not readable as Arrow data"),
    }
}

/// Rows as an Arrow IPC stream, their columns in the order of the parameters.
fn encode(rows: &RecordBatch) -> Result<Bytes> {
    let rows = rows.project(&order(rows.schema_ref())?).map_err(Fault::internal)?;
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, rows.schema_ref()).map_err(Fault::internal)?;
    writer.write(&rows).and_then(|()| writer.finish()).map_err(Fault::internal)?;
    drop(writer);
    Ok(bytes.into())
}

/// What [`encode`] wrote. Nothing is bound where it wrote nothing.
pub(super) fn decode(bytes: &[u8]) -> Result<Bound> {
    if bytes.is_empty() {
        return Ok(Bound(None));
    }
    let mut reader = StreamReader::try_new(bytes, None).map_err(Fault::internal)?;
    reader.next().transpose().map(Bound).map_err(Fault::internal)
}

impl Bound {
    /// How often the statement is executed: once for each row, and once where nothing is bound.
    pub(super) fn executions(&self) -> usize {
        self.0.as_ref().map_or(1, RecordBatch::num_rows)
    }

    /// The values of one row, `$1` first. Made when they are needed: a value that all rows share is here once, however long it is.
    pub(super) fn values(&self, row: usize) -> Result<Vec<ScalarValue>> {
        let columns = self.0.as_ref().map(RecordBatch::columns).unwrap_or_default();
        columns.iter().map(|column| value(column, row)).collect()
    }

    /// The types of the values, `$1` first; an untyped NULL has none.
    pub(super) fn types(&self) -> Vec<Option<DataType>> {
        let columns = self.0.as_ref().map(RecordBatch::columns).unwrap_or_default();
        let known = columns.iter().map(|column| match column.data_type() {
            DataType::Null => None,
            DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
            known => Some(known.clone()),
        });
        known.collect()
    }
}

fn value(column: &ArrayRef, row: usize) -> Result<ScalarValue> {
    match ScalarValue::try_from_array(column, row).map_err(Fault::internal)? {
        ScalarValue::Dictionary(_, value) => Ok(*value),
        value => Ok(value),
    }
}

/// The order in which rows' columns are the parameters: by number where they are named `$1` to `$n`, as they come where not. By number,
/// not by text: `$10` comes after `$2`.
fn order(schema: &Schema) -> Result<Vec<usize>> {
    let numbers: Option<Vec<usize>> = schema.fields().iter().map(|field| field.name().strip_prefix('$')?.parse().ok()).collect();
    let Some(numbers) = numbers else { return Ok((0..schema.fields().len()).collect()) };
    let mut order: Vec<(usize, usize)> = numbers.into_iter().enumerate().map(|(at, number)| (number, at)).collect();
    order.sort_unstable();
    if order.iter().enumerate().any(|(at, (number, _))| *number != at + 1) {
        return Err(Fault::new(ErrorKind::InvalidParameter, "parameters are not numbered from $1 without gaps"));
    }
    Ok(order.into_iter().map(|(_, at)| at).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int32Array, Int64Array, NullArray, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::CompressionType;
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
    use futures::stream;

    use super::*;

    fn row(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
    }

    fn numbers(names: &[&str]) -> RecordBatch {
        row(names.iter().enumerate().map(|(at, name)| (*name, Arc::new(Int64Array::from(vec![at as i64])) as ArrayRef)).collect())
    }

    fn values(batch: &RecordBatch) -> Vec<i64> {
        let values = decode(&encode(batch).unwrap()).unwrap().values(0).unwrap();
        values.into_iter().map(|value| if let ScalarValue::Int64(Some(value)) = value { value } else { panic!("{value}") }).collect()
    }

    #[test]
    fn the_tenth_parameter_comes_after_the_second() {
        let names = ["$1", "$10", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9"];
        assert_eq!(values(&numbers(&names)), [0, 2, 3, 4, 5, 6, 7, 8, 9, 1]);
        let number = Arc::new(Field::new("", DataType::Int64, false));
        let schema = parameter_schema(&vec![number; 11]);
        assert_eq!(schema.field(9).name(), "$10");
        assert!(schema.field(9).is_nullable());
    }

    #[test]
    fn columns_without_numbers_are_taken_as_they_come() {
        assert_eq!(values(&numbers(&["b", "a", "$1"])), [0, 1, 2]);
        assert_eq!(values(&numbers(&["0", "1"])), [0, 1]);
    }

    #[test]
    fn gaps_and_repetitions_are_refused() {
        for names in [&["$2"][..], &["$1", "$3"], &["$1", "$1"], &["$0", "$1"]] {
            assert_eq!(encode(&numbers(names)).unwrap_err().kind(), ErrorKind::InvalidParameter, "{names:?}");
        }
    }

    #[test]
    fn nulls_keep_their_place_and_their_type() {
        let batch = row(vec![
            ("0", Arc::new(Int32Array::from(vec![None])) as ArrayRef),
            ("1", Arc::new(NullArray::new(1)) as ArrayRef),
            ("2", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ]);
        let bound = decode(&encode(&batch).unwrap()).unwrap();
        assert_eq!(bound.values(0).unwrap(), [ScalarValue::Int32(None), ScalarValue::Null, ScalarValue::from("x")]);
        assert_eq!(bound.types(), [Some(DataType::Int32), None, Some(DataType::Utf8)]);
    }

    #[test]
    fn each_row_is_an_execution_and_nothing_bound_is_one() {
        let names: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let batch = row(vec![("$2", Arc::new(names) as ArrayRef), ("$1", Arc::new(Int64Array::from(vec![7, 8, 9])) as ArrayRef)]);
        let bound = decode(&encode(&batch).unwrap()).unwrap();
        assert_eq!(bound.executions(), 3);
        assert_eq!(bound.values(2).unwrap(), [ScalarValue::from(9_i64), ScalarValue::from("a")]);
        assert_eq!(bound.types(), [Some(DataType::Int64), Some(DataType::Utf8)]);
        assert_eq!(decode(&encode(&batch.slice(0, 0)).unwrap()).unwrap().executions(), 0);
        let nothing = decode(b"").unwrap();
        assert_eq!((nothing.executions(), nothing.values(0).unwrap(), nothing.types()), (1, vec![], vec![]));
    }

    async fn sent_with(options: IpcWriteOptions, batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
        let schema = batches[0].schema();
        let encoder =
            FlightDataEncoderBuilder::new().with_options(options).with_schema(schema).build(stream::iter(batches.into_iter().map(Ok)));
        read(encoder.map_err(Status::from)).await
    }

    async fn sent(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
        sent_with(IpcWriteOptions::default(), batches).await
    }

    #[tokio::test]
    async fn rows_are_taken_in_their_order_up_to_the_limit() {
        let batch = |from: i64, to: i64| row(vec![("a", Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef)]);
        assert_eq!(sent(vec![batch(0, 1), batch(1, 3)]).await.unwrap(), Some(batch(0, 3)));
        assert_eq!(sent(vec![batch(0, 0)]).await.unwrap(), Some(batch(0, 0)));
        assert_eq!(sent(vec![batch(0, 600), batch(600, 1000)]).await.unwrap().unwrap().num_rows(), 1000);
        let fault = sent(vec![batch(0, 600), batch(600, 1001)]).await.unwrap_err();
        assert_eq!((fault.kind(), fault.kind().codes().grpc), (ErrorKind::ProgramLimit, tonic::Code::InvalidArgument));
        assert_eq!(read(stream::iter([Ok(FlightData::default())])).await.unwrap(), None);
        let without_columns = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert_eq!(sent(vec![without_columns]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_compressed_body_is_not_taken_at_its_word() {
        for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            let options = IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
            let plain = row(vec![("a", Arc::new(StringArray::from(vec!["x".repeat(1000)])) as ArrayRef)]);
            assert_eq!(sent_with(options.clone(), vec![plain]).await.unwrap_err().kind(), ErrorKind::Unsupported);
            // The same in a dictionary, whose values come in a message of their own.
            let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new_dictionary("a", DataType::Int32, DataType::Utf8, true)]));
            let names: DictionaryArray<Int32Type> = vec!["x".repeat(1000).as_str()].into_iter().collect();
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(names)]).unwrap();
            let encoder = FlightDataEncoderBuilder::new()
                .with_options(options)
                .with_dictionary_handling(DictionaryHandling::Resend)
                .build(stream::iter([Ok(batch)]));
            let messages: Vec<FlightData> = encoder.try_collect().await.unwrap();
            assert!(is_compressed(&messages[1]), "the dictionary");
            assert_eq!(read(stream::iter(messages.into_iter().map(Ok))).await.unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }

    #[tokio::test]
    async fn values_are_bounded_and_rubbish_is_not_quoted() {
        let large = row(vec![("a", Arc::new(StringArray::from(vec!["x".repeat(MAX_VALUES)])) as ArrayRef)]);
        assert_eq!(sent(vec![large]).await.unwrap_err().kind(), ErrorKind::ProgramLimit);
        let rubbish = FlightData { data_header: Bytes::from_static(b"rubbish"), ..FlightData::default() };
        let fault = read(stream::iter([Ok(rubbish)])).await.unwrap_err();
        assert_eq!((fault.kind(), fault.message()), (ErrorKind::InvalidBinary, "parameters are not readable as Arrow data"));
    }
}
