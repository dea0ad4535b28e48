//! Results on their way out: Arrow batches into DataRow and COPY messages, text and binary.
//!
//! Each column of a batch is looked at once: its array is downcast, its format, type and time zone are resolved, and what remains is one
//! [`Cell`] writer that appends value after value to the output buffer, with no allocation and no second copy. Text, binary and all COPY
//! formats share these writers. What a type is called on the wire is in `types`.

pub mod copy;
pub mod nested;
pub mod number;
mod scalar;
pub mod time;

use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Schema;
use chrono_tz::Tz;

use super::types::{self, PgType};
use crate::error::{ErrorKind, Fault};
use crate::query::FloatDigits;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As text.
    Text,
    /// As the type's send function does.
    Binary,
}

/// The session's settings that change what values look like.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// `TimeZone`.
    pub zone: Tz,
    /// `extra_float_digits`.
    pub digits: FloatDigits,
    /// `bytea_output` is `escape`.
    pub escape_bytea: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { zone: Tz::UTC, digits: FloatDigits::default(), escape_bytea: false }
    }
}

/// A value that the wire format cannot hold: what is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable(pub &'static str);

impl From<Unwritable> for Fault {
    fn from(value: Unwritable) -> Self {
        Self::new(ErrorKind::OutOfRange, value.0)
    }
}

/// Appends the value of a row, which is not NULL.
pub type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), Unwritable> + Send + Sync + 'a>;

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

/// A column of one batch, ready to be written.
pub struct Column<'a> {
    nulls: Option<NullBuffer>,
    cell: Cell<'a>,
}

impl std::fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Column").finish_non_exhaustive()
    }
}

impl<'a> Column<'a> {
    /// Looks at an array once. Values inside lists are written in the same format.
    pub fn new(array: &'a dyn Array, oid: u32, format: Format, style: &Style) -> Result<Self, Fault> {
        Ok(Self { nulls: array.logical_nulls(), cell: scalar::cell(array, oid, format, style)? })
    }

    /// Whether a row's value is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a row's value, which is not NULL.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        (self.cell)(row, out)
    }

    /// Appends a row's value with its length before it, or −1 for NULL.
    #[inline]
    pub fn write_with_length(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        if self.is_null(row) {
            out.extend_from_slice(&[0xff; 4]);
            return Ok(());
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.write(row, out)?;
        patch(out, start, 4)
    }
}

/// Puts the length of all that follows `at` into the four bytes that were left for it there; `excluded` of them do not count.
#[inline]
fn patch(out: &mut [u8], at: usize, excluded: usize) -> Result<(), Unwritable> {
    let length = i32::try_from(out.len() - at - excluded).map_err(|_| Unwritable("a value is too long to send"))?;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
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
