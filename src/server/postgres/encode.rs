//! Results on their way out: Arrow batches into DataRow and COPY messages.

pub mod copy;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::error::{ErrorKind, Fault};
use crate::values::types::{self, PgType};
use crate::values::{Column, Format, Style, Unwritable, patch};

/// A column of a result: its type and the format that was asked for.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: PgType,
    /// Its format.
    pub format: Format,
}

/// The columns of a result in the formats that a Bind asked for: none, one for all, or one each.
pub fn outputs(schema: &Schema, formats: &[i16]) -> Result<Vec<Output>, Fault> {
    const MOST: usize = 1664;
    let fields = schema.fields();
    if fields.len() > MOST {
        return Err(Fault::new(ErrorKind::ProgramLimit, format!("target lists can have at most {MOST} entries")));
    }
    if formats.len() > 1 && formats.len() != fields.len() {
        let message = format!("bind message has {} result formats but query has {} columns", formats.len(), fields.len());
        return Err(Fault::new(ErrorKind::Protocol, message));
    }
    let format = |index: usize| match formats.get(index).or_else(|| formats.first()) {
        Some(1) => Format::Binary,
        _ => Format::Text,
    };
    let output = |(index, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
        Ok(Output { name: field.name().clone(), ty: types::of_field(field)?, format: format(index) })
    };
    fields.iter().enumerate().map(output).collect()
}

/// The columns of a batch.
pub fn columns<'a>(batch: &'a RecordBatch, outputs: &[Output], style: &Style) -> Result<Vec<Column<'a>>, Fault> {
    if batch.num_columns() != outputs.len() {
        return Err(Fault::internal("a batch does not have the columns of its schema"));
    }
    batch.columns().iter().zip(outputs).map(|(array, output)| Column::new(array.as_ref(), output.ty.oid, output.format, style)).collect()
}

/// Appends a DataRow message. On an error nothing of it stays.
pub fn data_row(columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    framed(b'D', out, |out| {
        out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
        columns.iter().try_for_each(|column| column.write_with_length(row, out))
    })
}

/// Appends a message around what `body` appends. On an error nothing of it stays.
fn framed(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Result<(), Unwritable>) -> Result<(), Unwritable> {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0, 0, 0]);
    let written = body(out).and_then(|()| patch(out, start + 1, 0));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

#[cfg(test)]
mod tests;
