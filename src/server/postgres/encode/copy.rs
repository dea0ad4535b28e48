//! COPY … TO STDOUT: text, csv and binary, one CopyData message a row.

use std::sync::Arc;

use super::{Output, framed};
use crate::error::{ErrorKind, Fault};
use crate::query::{CopyFormat, CopyOptions};
use crate::values::{Column, Format, Unwritable};

/// What begins every binary copy: signature, flags, length of the header's extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Writes the rows of one COPY.
#[derive(Debug, Clone)]
pub struct Copier {
    options: Arc<CopyOptions>,
    names: Arc<[String]>,
    forced: Arc<[bool]>,
    begun: bool,
    /// A value before it is escaped.
    scratch: Vec<u8>,
}

impl Copier {
    /// Checks the options against the columns.
    pub fn new(options: &CopyOptions, outputs: &[Output]) -> Result<Self, Fault> {
        let names: Arc<[String]> = outputs.iter().map(|output| output.name.clone()).collect();
        let forced = match &options.force_quote {
            None => vec![false; names.len()],
            Some(all) if all.is_empty() => vec![true; names.len()],
            Some(some) => {
                if let Some(unknown) = some.iter().find(|name| !names.contains(name)) {
                    let message = format!("FORCE_QUOTE column \"{unknown}\" not referenced by COPY");
                    return Err(Fault::new(ErrorKind::UndefinedColumn, message));
                }
                names.iter().map(|name| some.contains(name)).collect()
            }
        };
        Ok(Self { options: Arc::new(options.clone()), names, forced: forced.into(), begun: false, scratch: Vec::new() })
    }

    /// In which format the columns must be written.
    pub fn format(&self) -> Format {
        match self.options.format {
            CopyFormat::Binary => Format::Binary,
            CopyFormat::Text | CopyFormat::Csv => Format::Text,
        }
    }

    /// Appends what comes before the rows.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        if !self.options.header || self.options.format == CopyFormat::Binary {
            return Ok(());
        }
        framed(b'd', out, |out| {
            for (position, name) in self.names.iter().enumerate() {
                if position > 0 {
                    out.push(self.options.delimiter);
                }
                match self.options.format {
                    CopyFormat::Csv => csv(name.as_bytes(), &self.options, false, self.names.len() == 1, out),
                    _ => escape(name.as_bytes(), self.options.delimiter, out),
                }
            }
            out.push(b'\n');
            Ok(())
        })
    }

    /// Appends a row. On an error nothing of it stays.
    pub fn row(&mut self, columns: &[Column<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        match self.options.format {
            CopyFormat::Binary => {
                // PostgreSQL sends the header in one message with the first row, and some clients rely on it.
                let first = !std::mem::replace(&mut self.begun, true);
                framed(b'd', out, |out| {
                    if first {
                        out.extend_from_slice(HEADER);
                    }
                    out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
                    columns.iter().try_for_each(|column| column.write_with_length(row, out))
                })
            }
            CopyFormat::Text | CopyFormat::Csv => {
                let Self { options, forced, scratch, .. } = self;
                framed(b'd', out, |out| text_row(options, forced, scratch, columns, row, out))
            }
        }
    }

    /// One that writes the next `rows` rows elsewhere, while this one goes on behind them.
    pub fn fork(&mut self, rows: usize) -> Self {
        let fork = self.clone();
        self.begun |= rows > 0;
        fork
    }

    /// Appends what comes after the rows.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        if self.options.format != CopyFormat::Binary {
            return Ok(());
        }
        framed(b'd', out, |out| {
            if !self.begun {
                out.extend_from_slice(HEADER);
            }
            out.extend_from_slice(&(-1_i16).to_be_bytes());
            Ok(())
        })
    }
}

fn text_row(
    options: &CopyOptions,
    forced: &[bool],
    scratch: &mut Vec<u8>,
    columns: &[Column<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unwritable> {
    for (position, (column, forced)) in columns.iter().zip(forced).enumerate() {
        if position > 0 {
            out.push(options.delimiter);
        }
        if column.is_null(row) {
            out.extend_from_slice(options.null.as_bytes());
            continue;
        }
        scratch.clear();
        column.write(row, scratch)?;
        match options.format {
            CopyFormat::Csv => csv(scratch, options, *forced, columns.len() == 1, out),
            _ => escape(scratch, options.delimiter, out),
        }
    }
    out.push(b'\n');
    Ok(())
}

/// The text format's escapes.
fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in value {
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            other if *other == delimiter => delimiter,
            other => {
                out.push(*other);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// A csv value, quoted where it could be taken for something else.
fn csv(value: &[u8], options: &CopyOptions, forced: bool, alone: bool, out: &mut Vec<u8>) {
    let special = |byte: &u8| *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r');
    let quoted = forced || value == options.null.as_bytes() || (alone && value == b"\\.") || value.iter().any(special);
    if !quoted {
        return out.extend_from_slice(value);
    }
    out.push(options.quote);
    for byte in value {
        if *byte == options.quote || *byte == options.escape {
            out.push(options.escape);
        }
        out.push(*byte);
    }
    out.push(options.quote);
}
