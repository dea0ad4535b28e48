//! Values within values: arrays in text and binary, `int2vector` and its like, and JSON for structs and maps.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field};
use serde_json::to_writer;

use super::types::{self, oid};
use super::{Cell, Column, Format, Style, Unwritable, patch};
use crate::error::{ErrorKind, Fault};

/// Where the items of a row's list begin and end.
type Range<'a> = Box<dyn Fn(usize) -> std::ops::Range<usize> + Send + Sync + 'a>;

/// The items of a list array, of each kind of list.
fn items(array: &dyn Array) -> Result<(&dyn Array, Range<'_>), Fault> {
    let span = |start: usize, end: usize| start..end;
    Ok(match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let at = move |row: usize| offsets.get(row).map_or(0, |offset| usize::try_from(*offset).unwrap_or(0));
            (list.values().as_ref(), Box::new(move |row| span(at(row), at(row + 1))))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            let at = move |row: usize| offsets.get(row).map_or(0, |offset| usize::try_from(*offset).unwrap_or(0));
            (list.values().as_ref(), Box::new(move |row| span(at(row), at(row + 1))))
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            (array.as_fixed_size_list().values().as_ref(), Box::new(move |row| span(row * size, (row + 1) * size)))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            let at = move |row: usize| offsets.get(row).map_or(0, |offset| usize::try_from(*offset).unwrap_or(0));
            (map.entries(), Box::new(move |row| span(at(row), at(row + 1))))
        }
        _ => return Err(Fault::internal("not a list")),
    })
}

/// A list of scalars as an array.
pub fn list<'a>(array: &'a dyn Array, array_oid: u32, format: Format, style: &Style) -> Result<Cell<'a>, Fault> {
    let (values, range) = items(array)?;
    let element = match (types::element_of(array_oid), types::of_arrow(values.data_type())) {
        (Some(element), _) => element,
        (None, Ok(known)) => known.oid,
        (None, Err(_)) => return Err(Fault::new(ErrorKind::Unsupported, "an array of this type cannot be sent over this protocol")),
    };
    let column = Column::new(values, element, format, style)?;
    let is_vector = matches!(array_oid, oid::INT2VECTOR | oid::OIDVECTOR);
    Ok(match format {
        Format::Text if is_vector => Box::new(move |row, out| {
            for (position, item) in range(row).enumerate() {
                if position > 0 {
                    out.push(b' ');
                }
                column.write(item, out)?;
            }
            Ok(())
        }),
        Format::Text => Box::new(move |row, out| {
            out.push(b'{');
            for (position, item) in range(row).enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                if column.is_null(item) {
                    out.extend_from_slice(b"NULL");
                    continue;
                }
                let start = out.len();
                column.write(item, out)?;
                quote_item(out, start);
            }
            out.push(b'}');
            Ok(())
        }),
        Format::Binary => Box::new(move |row, out| {
            let range = range(row);
            let has_nulls = range.clone().any(|item| column.is_null(item));
            array_header(range.len(), has_nulls, element, i32::from(!is_vector), out)?;
            range.into_iter().try_for_each(|item| column.write_with_length(item, out))
        }),
    })
}

fn array_header(length: usize, has_nulls: bool, element: u32, lower_bound: i32, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let dimensions = i32::from(length > 0);
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
    out.extend_from_slice(&element.to_be_bytes());
    if length > 0 {
        let length = i32::try_from(length).map_err(|_| Unwritable("an array is too long to send"))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&lower_bound.to_be_bytes());
    }
    Ok(())
}

/// Quotes the array item that begins at `start`, where it must be.
fn quote_item(out: &mut Vec<u8>, start: usize) {
    let item = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| matches!(byte, b'{' | b'}' | b'"' | b'\\' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    if !item.is_empty() && !item.eq_ignore_ascii_case(b"null") && !item.iter().any(special) {
        return;
    }
    let item = item.to_vec();
    out.truncate(start);
    out.push(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// `1 2 3` as an `int2vector` or `oidvector` in binary: an array that begins at 0.
pub fn vector(text: &str, element: u32, out: &mut Vec<u8>) {
    let numbers: Vec<i64> = text.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
    let _ = array_header(numbers.len(), false, element, 0, out);
    for number in numbers {
        put_number(number, element, out);
    }
}

fn put_number(number: i64, element: u32, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let width = usize::try_from(types::length(element)).unwrap_or(8).min(8);
    out.extend_from_slice(&(width as u32).to_be_bytes());
    out.extend_from_slice(bytes.get(8 - width..).unwrap_or_default());
}

/// `{a,b,NULL}` in binary, for catalog columns that are computed as text. Numbers are sent as numbers, all else as text.
pub fn array_from_text(text: &str, element: u32, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let items = split_array(text).unwrap_or_default();
    array_header(items.len(), items.iter().any(Option::is_none), element, 1, out)?;
    for item in items {
        let Some(item) = item else {
            out.extend_from_slice(&[0xff; 4]);
            continue;
        };
        if matches!(types::length(element), 2 | 4 | 8) && !matches!(element, oid::FLOAT4 | oid::FLOAT8) {
            put_number(item.parse().unwrap_or(0), element, out);
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(item.as_bytes());
        patch(out, start, 4)?;
    }
    Ok(())
}

/// Anything as JSON, in the layout of `jsonb`.
pub fn json<'a>(array: &'a dyn Array, oid: u32, format: Format) -> Result<Cell<'a>, Fault> {
    let value = json_value(array)?;
    let version = format == Format::Binary && oid == oid::JSONB;
    Ok(Box::new(move |row, out| {
        if version {
            out.push(1);
        }
        value(row, out)
    }))
}

/// Writes a row's value as JSON, `null` included.
fn json_value(array: &dyn Array) -> Result<Cell<'_>, Fault> {
    let nulls = array.logical_nulls();
    let value = json_present(array)?;
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        value(row, out)
    }))
}

fn json_present(array: &dyn Array) -> Result<Cell<'_>, Fault> {
    match array.data_type() {
        DataType::Struct(fields) => json_struct(array, fields),
        DataType::Map(..) => json_map(array),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            let (values, range) = items(array)?;
            let value = json_value(values)?;
            Ok(Box::new(move |row, out| separated(b'[', b']', range(row), out, |item, out| value(item, out))))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                return Ok(Box::new(|_, _| Ok(())));
            }
            let keys = dictionary.normalized_keys();
            let values = json_value(dictionary.values().as_ref())?;
            Ok(Box::new(move |row, out| keys.get(row).map_or(Ok(()), |key| values(*key, out))))
        }
        scalar => json_scalar(array, scalar),
    }
}

/// JSON's own types as they are, anything else as a string of its text.
fn json_scalar<'a>(array: &'a dyn Array, data_type: &DataType) -> Result<Cell<'a>, Fault> {
    let oid = types::of_arrow(data_type)
        .map_err(|_| Fault::new(ErrorKind::Unsupported, "a column's type cannot be sent over this protocol"))?
        .oid;
    let text = super::scalar::cell(array, oid, Format::Text, &Style::default())?;
    let is_number = matches!(oid, oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC);
    let is_moment = matches!(oid, oid::TIMESTAMP | oid::TIMESTAMPTZ);
    let is_boolean = oid == oid::BOOL;
    Ok(Box::new(move |row, out| {
        let start = out.len();
        text(row, out)?;
        let written = out.get(start..).unwrap_or_default();
        if is_boolean {
            let name: &[u8] = if written == b"t" { b"true" } else { b"false" };
            out.truncate(start);
            out.extend_from_slice(name);
            return Ok(());
        }
        // NaN and the infinities are no JSON numbers.
        if is_number && written.last().is_some_and(u8::is_ascii_digit) {
            return Ok(());
        }
        let mut string = String::from_utf8_lossy(written).into_owned();
        if is_moment {
            string = string.replacen(' ', "T", 1);
        }
        out.truncate(start);
        put_string(&string, out);
        Ok(())
    }))
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = to_writer(out, text);
}

fn json_struct<'a>(array: &'a dyn Array, fields: &[std::sync::Arc<Field>]) -> Result<Cell<'a>, Fault> {
    let columns = array.as_struct().columns();
    let mut members = Vec::with_capacity(fields.len());
    for (field, column) in fields.iter().zip(columns) {
        let mut key = Vec::new();
        put_string(field.name(), &mut key);
        members.push((key, json_value(column.as_ref())?));
    }
    Ok(Box::new(move |row, out| {
        separated(b'{', b'}', members.iter(), out, |(key, value), out| {
            out.extend_from_slice(key);
            out.extend_from_slice(b": ");
            value(row, out)
        })
    }))
}

fn json_map(array: &dyn Array) -> Result<Cell<'_>, Fault> {
    let (_, range) = items(array)?;
    let map = array.as_map();
    let key = json_value(map.keys().as_ref())?;
    let value = json_value(map.values().as_ref())?;
    Ok(Box::new(move |row, out| {
        separated(b'{', b'}', range(row), out, |entry, out| {
            let start = out.len();
            key(entry, out)?;
            // A key is a string, whatever its type.
            if out.get(start) != Some(&b'"') {
                out.insert(start, b'"');
                out.push(b'"');
            }
            out.extend_from_slice(b": ");
            value(entry, out)
        })
    }))
}

fn separated<T>(
    open: u8,
    close: u8,
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<(), Unwritable>,
) -> Result<(), Unwritable> {
    out.push(open);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        write(item, out)?;
    }
    out.push(close);
    Ok(())
}

/// The items of a one-dimensional array literal; `None` where it is malformed.
pub fn split_array(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut characters = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let mut item = String::new();
        let quoted = characters.next_if_eq(&'"').is_some();
        loop {
            match characters.peek() {
                None if quoted => return None,
                Some('"') if quoted => break,
                None | Some(',') if !quoted => break,
                Some('{' | '}' | '"') if !quoted => return None,
                _ => {}
            }
            match characters.next() {
                Some('\\') => item.push(characters.next()?),
                Some(other) => item.push(other),
                None => return None,
            }
        }
        if quoted {
            characters.next();
            while characters.next_if(|c| c.is_whitespace()).is_some() {}
            items.push(Some(item));
        } else {
            let item = item.trim();
            match item {
                "" => return None,
                _ if item.eq_ignore_ascii_case("null") => items.push(None),
                _ => items.push(Some(item.to_owned())),
            }
        }
        match characters.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}
