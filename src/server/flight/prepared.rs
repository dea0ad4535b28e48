//! Prepared statements: sealed requests with, once bound, the values of their parameters.
//!
//! Binding gives the client a new handle that holds the values; the old one stays as it was. So a handle can be used by several calls at
//! once, nothing is kept here, and closing one has nothing to close.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
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
        statement.parameters = match only_row(data).await? {
            Some(row) => encode(&row)?,
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
fn parameter_schema(types: &[DataType]) -> SchemaRef {
    let fields = types.iter().enumerate().map(|(at, data_type)| Field::new(format!("${}", at + 1), data_type.clone(), true));
    columns::plain_schema(&Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Reads the one row that a client binds; `None` where it sent none.
async fn only_row(data: impl Stream<Item = Result<FlightData, Status>> + Send + 'static) -> Result<Option<RecordBatch>> {
    let mut left = MAX_VALUES;
    let bounded =
        data.filter(|message| std::future::ready(message.as_ref().map_or(true, |data| !data.data_header.is_empty()))).map(move |message| {
            let message = message.map_err(FlightError::from)?;
            left = left.checked_sub(message.data_body.len() + message.data_header.len()).ok_or_else(|| FlightError::from(too_large()))?;
            Ok(message)
        });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(bounded);
    let mut row: Option<RecordBatch> = None;
    while let Some(batch) = batches.try_next().await.map_err(unreadable)? {
        match (batch.num_rows(), &row) {
            (0, _) => {}
            (1, None) => row = Some(batch),
            _ => {
                let fault = fault::unsupported("cannot bind more than one row of parameters");
                return Err(fault.with_hint("Execute the statement once for each row."));
            }
        }
    }
    Ok(row)
}

/// Marks that the limit was passed, on its way through the decoder.
fn too_large() -> Status {
    Status::out_of_range("")
}

/// What the decoder says may quote values, so it is not repeated.
fn unreadable(error: FlightError) -> Fault {
    match error {
        FlightError::Tonic(status) if status.code() == tonic::Code::OutOfRange => {
            Fault::new(ErrorKind::ProgramLimit, format!("parameters take more than {MAX_VALUES} bytes"))
        }
        _ => Fault::new(ErrorKind::InvalidBinary, "parameters are not readable as Arrow data"),
    }
}

/// One row as an Arrow IPC stream, its columns in the order of the parameters.
fn encode(row: &RecordBatch) -> Result<Bytes> {
    let row = row.project(&order(row.schema_ref())?).map_err(Fault::internal)?;
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, row.schema_ref()).map_err(Fault::internal)?;
    writer.write(&row).and_then(|()| writer.finish()).map_err(Fault::internal)?;
    drop(writer);
    Ok(bytes.into())
}

/// The values, `$1` first. Empty where nothing was bound.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<ScalarValue>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = StreamReader::try_new(bytes, None).map_err(Fault::internal)?;
    let Some(row) = reader.next().transpose().map_err(Fault::internal)? else { return Ok(Vec::new()) };
    row.columns().iter().map(|column| value(column.as_ref())).collect()
}

fn value(column: &dyn Array) -> Result<ScalarValue> {
    let column = arrow::array::make_array(column.to_data());
    match ScalarValue::try_from_array(&column, 0).map_err(Fault::internal)? {
        ScalarValue::Dictionary(_, value) => Ok(*value),
        value => Ok(value),
    }
}

/// The order in which a row's columns are the parameters: by number where they are named `$1` to `$n`, as they come where not. By number,
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
    use arrow::array::{ArrayRef, Int32Array, Int64Array, NullArray, StringArray};
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::stream;

    use super::*;

    fn row(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
    }

    fn numbers(names: &[&str]) -> RecordBatch {
        row(names.iter().enumerate().map(|(at, name)| (*name, Arc::new(Int64Array::from(vec![at as i64])) as ArrayRef)).collect())
    }

    fn values(batch: &RecordBatch) -> Vec<i64> {
        let values = decode(&encode(batch).unwrap()).unwrap();
        values.into_iter().map(|value| if let ScalarValue::Int64(Some(value)) = value { value } else { panic!("{value}") }).collect()
    }

    #[test]
    fn the_tenth_parameter_comes_after_the_second() {
        let names = ["$1", "$10", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9"];
        assert_eq!(values(&numbers(&names)), [0, 2, 3, 4, 5, 6, 7, 8, 9, 1]);
        let types = vec![DataType::Int64; 11];
        let schema = parameter_schema(&types);
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
        let values = decode(&encode(&batch).unwrap()).unwrap();
        assert_eq!(values, [ScalarValue::Int32(None), ScalarValue::Null, ScalarValue::from("x")]);
        assert_eq!(decode(b"").unwrap(), []);
    }

    async fn sent(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
        let schema = batches[0].schema();
        let encoder = FlightDataEncoderBuilder::new().with_schema(schema).build(stream::iter(batches.into_iter().map(Ok)));
        only_row(encoder.map_err(Status::from)).await
    }

    #[tokio::test]
    async fn exactly_one_row_can_be_bound() {
        let one = numbers(&["a"]);
        assert_eq!(sent(vec![one.clone()]).await.unwrap(), Some(one.clone()));
        assert_eq!(sent(vec![one.slice(0, 0)]).await.unwrap(), None);
        assert_eq!(sent(vec![one.clone(), one]).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(only_row(stream::iter([Ok(FlightData::default())])).await.unwrap(), None);
    }

    #[tokio::test]
    async fn values_are_bounded_and_rubbish_is_not_quoted() {
        let large = row(vec![("a", Arc::new(StringArray::from(vec!["x".repeat(MAX_VALUES)])) as ArrayRef)]);
        assert_eq!(sent(vec![large]).await.unwrap_err().kind(), ErrorKind::ProgramLimit);
        let rubbish = FlightData { data_header: Bytes::from_static(b"rubbish"), ..FlightData::default() };
        let fault = only_row(stream::iter([Ok(rubbish)])).await.unwrap_err();
        assert_eq!((fault.kind(), fault.message()), (ErrorKind::InvalidBinary, "parameters are not readable as Arrow data"));
    }
}
