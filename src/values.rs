//! Values as PostgreSQL writes them, text and binary, and which of its types stands for which of Arrow's.
//!
//! A column of a batch is looked at once: its array is downcast, its format, type and time zone are resolved, and what remains is one
//! [`Cell`] writer that appends value after value to the output buffer, with no allocation and no second copy. Results, all formats of COPY
//! and casts to text share these writers.

mod float;
pub mod nested;
pub mod number;
mod scalar;
pub mod time;
pub mod types;

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use chrono_tz::Tz;

pub use self::float::{FloatDigits, float4, float8};
use crate::error::{ErrorKind, Fault};

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
pub fn patch(out: &mut [u8], at: usize, excluded: usize) -> Result<(), Unwritable> {
    let length = i32::try_from(out.len() - at - excluded).map_err(|_| Unwritable("a value is too long to send"))?;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
