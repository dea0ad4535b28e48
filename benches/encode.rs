//! What encoding costs: a result like TPC-H's lineitem (16 columns) in every format of the PostgreSQL door, without a network.
//!
//! `cargo bench --bench encode [-- ROUNDS]` prints rows, cells and bytes a second for each format.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use meshgate::query::{CopyFormat, CopyOptions};
use meshgate::server::postgres::encode::copy::Copier;
use meshgate::server::postgres::encode::{columns, data_row, outputs};
use meshgate::values::Style;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ROWS: usize = 8192;

fn main() -> Result<()> {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let rounds: usize = argument.map_or(Ok(100), |text| text.parse())?;
    let batch = lineitem()?;
    for (name, format) in [("rows, text", 0), ("rows, binary", 1)] {
        measure(name, &batch, rounds, |out| {
            let outputs = outputs(&batch.schema(), &[format])?;
            let columns = columns(&batch, &outputs, &Style::default())?;
            for row in 0..batch.num_rows() {
                data_row(&columns, row, out).map_err(|error| error.0)?;
            }
            Ok(())
        })?;
    }
    for (name, format) in [("copy text", CopyFormat::Text), ("copy csv", CopyFormat::Csv), ("copy binary", CopyFormat::Binary)] {
        let options = options(format);
        measure(name, &batch, rounds, |out| {
            let mut outputs = outputs(&batch.schema(), &[])?;
            let mut copier = Copier::new(&options, &outputs)?;
            outputs.iter_mut().for_each(|output| output.format = copier.format());
            let columns = columns(&batch, &outputs, &Style::default())?;
            for row in 0..batch.num_rows() {
                copier.row(&columns, row, out).map_err(|error| error.0)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn measure(name: &str, batch: &RecordBatch, rounds: usize, write: impl Fn(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let mut out = Vec::new();
    // Once to grow the buffer.
    write(&mut out)?;
    let bytes = out.len() * rounds;
    let began = Instant::now();
    for _ in 0..rounds {
        out.clear();
        write(black_box(&mut out))?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let rows = (batch.num_rows() * rounds) as f64;
    let cells = rows * batch.num_columns() as f64;
    println!(
        "{name:<14} {:>8.2} million rows/s {:>8.1} ns/cell {:>8.0} MB/s",
        rows / seconds / 1e6,
        seconds * 1e9 / cells,
        bytes as f64 / seconds / 1e6
    );
    Ok(())
}

fn options(format: CopyFormat) -> CopyOptions {
    let (delimiter, null) = if format == CopyFormat::Csv { (b',', "") } else { (b'\t', "\\N") };
    CopyOptions { format, delimiter, null: null.to_owned(), header: false, quote: b'"', escape: b'"', force_quote: None }
}

/// Numbers that look random and are the same in each run.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    })
    .take(ROWS)
}

fn pick(seed: u64, words: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    numbers(seed).filter_map(move |number| words.get(number as usize % words.len()).copied())
}

fn lineitem() -> Result<RecordBatch> {
    let key = |seed| Arc::new(numbers(seed).map(|n| (n % 6_000_000) as i64).collect::<Int64Array>()) as ArrayRef;
    let money = |seed, most: u64| -> Result<ArrayRef> {
        let values = numbers(seed).map(|n| Some(i128::from(n % most)));
        Ok(Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(15, 2)?))
    };
    let day = |seed| Arc::new(numbers(seed).map(|n| Some(8_036 + (n % 2_526) as i32)).collect::<Date32Array>()) as ArrayRef;
    let word = |seed, words| Arc::new(StringViewArray::from_iter_values(pick(seed, words))) as ArrayRef;
    let comment = numbers(15).map(|n| "carefully final deposits detect slyly agai".get(..10 + n as usize % 32));
    Ok(RecordBatch::try_from_iter([
        ("l_orderkey", key(1)),
        ("l_partkey", key(2)),
        ("l_suppkey", key(3)),
        ("l_linenumber", Arc::new(numbers(4).map(|n| (n % 7) as i32 + 1).collect::<Int32Array>())),
        ("l_quantity", money(5, 5_000)?),
        ("l_extendedprice", money(6, 10_000_000)?),
        ("l_discount", money(7, 11)?),
        ("l_tax", money(8, 9)?),
        ("l_returnflag", word(9, &["A", "N", "R"])),
        ("l_linestatus", word(10, &["F", "O"])),
        ("l_shipdate", day(11)),
        ("l_commitdate", day(12)),
        ("l_receiptdate", day(13)),
        ("l_shipinstruct", word(14, &["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"])),
        ("l_shipmode", word(16, &["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"])),
        ("l_comment", Arc::new(comment.collect::<StringArray>())),
    ])?)
}
