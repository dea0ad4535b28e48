//! Rows and copies on the wire.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;

use super::copy::Copier;
use super::{columns, data_row, outputs};
use crate::query::{CopyFormat, CopyOptions};
use crate::values::{Column, Format, Style, types};

#[test]
fn a_row_is_one_message() {
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(Int32Array::from(vec![Some(7), None])) as ArrayRef),
        ("b", Arc::new(StringArray::from(vec!["x", "yz"]))),
    ])
    .unwrap();
    let outputs = outputs(&batch.schema(), &[1, 0]).unwrap();
    let columns = columns(&batch, &outputs, &Style::default()).unwrap();
    let mut out = Vec::new();
    data_row(&columns, 0, &mut out).unwrap();
    data_row(&columns, 1, &mut out).unwrap();
    assert_eq!(out[..20], *b"D\0\0\0\x13\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x");
    assert_eq!(out[20..], *b"D\0\0\0\x10\0\x02\xff\xff\xff\xff\0\0\0\x02yz");
}

#[test]
fn formats_are_none_one_or_one_each() {
    let schema = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int32, true)]);
    let formats = |asked: &[i16]| outputs(&schema, asked).map(|outputs| outputs.iter().map(|output| output.format).collect::<Vec<_>>());
    assert_eq!(formats(&[]).unwrap(), [Format::Text; 2]);
    assert_eq!(formats(&[1]).unwrap(), [Format::Binary; 2]);
    assert_eq!(formats(&[1, 0]).unwrap(), [Format::Binary, Format::Text]);
    assert_eq!(formats(&[1, 0, 1]).unwrap_err().sqlstate(), "08P01");
}

fn copy(options: &CopyOptions, batch: &RecordBatch) -> Vec<u8> {
    let mut outputs = outputs(&batch.schema(), &[]).unwrap();
    let mut copier = Copier::new(options, &outputs).unwrap();
    for output in &mut outputs {
        output.format = copier.format();
    }
    let columns = columns(batch, &outputs, &Style::default()).unwrap();
    let mut out = Vec::new();
    copier.begin(&mut out).unwrap();
    for row in 0..batch.num_rows() {
        copier.row(&columns, row, &mut out).unwrap();
    }
    copier.end(&mut out).unwrap();
    payload(&out)
}

/// What is in the CopyData messages.
fn payload(mut messages: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let [b'd', a, b, c, d, rest @ ..] = messages {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        data.extend_from_slice(&rest[..length]);
        messages = &rest[length..];
    }
    assert!(messages.is_empty());
    data
}

fn options(format: CopyFormat) -> CopyOptions {
    let (delimiter, null) = if format == CopyFormat::Csv { (b',', "") } else { (b'\t', "\\N") };
    CopyOptions { format, delimiter, null: null.into(), header: false, quote: b'"', escape: b'"', force_quote: None }
}

fn copied() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
        ("what", Arc::new(StringArray::from(vec!["a\tb\\c\nd", ""]))),
    ])
    .unwrap()
}

#[test]
fn copy_text_escapes() {
    assert_eq!(copy(&options(CopyFormat::Text), &copied()), b"1\ta\\tb\\\\c\\nd\n\\N\t\n");
}

#[test]
fn copy_csv_quotes() {
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
        ("what", Arc::new(StringArray::from(vec!["say \"hi\", you", ""]))),
    ])
    .unwrap();
    let plain = CopyOptions { header: true, ..options(CopyFormat::Csv) };
    assert_eq!(copy(&plain, &batch), b"id,what\n1,\"say \"\"hi\"\", you\"\n,\"\"\n");
    let forced = CopyOptions { force_quote: Some(vec!["id".into()]), ..options(CopyFormat::Csv) };
    assert_eq!(copy(&forced, &batch), b"\"1\",\"say \"\"hi\"\", you\"\n,\"\"\n");
    let unknown = CopyOptions { force_quote: Some(vec!["no".into()]), ..options(CopyFormat::Csv) };
    assert_eq!(Copier::new(&unknown, &outputs(&batch.schema(), &[]).unwrap()).unwrap_err().sqlstate(), "42703");
}

#[test]
fn copy_binary_has_header_and_trailer() {
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let sent = copy(&options(CopyFormat::Binary), &copied());
    assert_eq!(sent[..19], *header);
    assert_eq!(sent[19..33], *b"\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x07");
    assert_eq!(sent[sent.len() - 2..], [255, 255]);
    let empty = copy(&options(CopyFormat::Binary), &copied().slice(0, 0));
    assert_eq!(empty, [&header[..], &[255, 255]].concat());
}

#[test]
fn what_is_out_of_range_is_an_error_and_leaves_nothing() {
    for array in [
        Arc::new(TimestampSecondArray::from(vec![i64::MAX])) as ArrayRef,
        Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN])),
        Arc::new(Date32Array::from(vec![i32::MIN])),
        Arc::new(Time64MicrosecondArray::from(vec![-1])),
        Arc::new(DurationSecondArray::from(vec![i64::MAX])),
    ] {
        let oid = types::of_arrow(array.data_type()).unwrap().oid;
        let columns = [Column::new(array.as_ref(), oid, Format::Binary, &Style::default()).unwrap()];
        let mut out = b"before".to_vec();
        assert!(data_row(&columns, 0, &mut out).is_err(), "{array:?}");
        assert_eq!(out, b"before");
    }
}
