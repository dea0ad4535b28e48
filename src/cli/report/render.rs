//! The three ways in which a report is written.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::json;

use super::{Line, Report};
use crate::cli::printable;

/// For people: aligned, amounts rounded to what can be read, bytes in binary units.
pub(super) fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Costs of {} by {}", report.month, report.by.word())?;
    if report.lines.is_empty() {
        return writeln!(out, "\nNothing was read in this month.");
    }
    let [first, second] = report.by.keys();
    let header = [first.replace('_', " "), second.replace('_', " "), "queries".into(), "scanned".into(), "cost".into(), String::new()];
    let mut rows: Vec<[String; 6]> = report.lines.iter().map(cells).collect();
    let lines = rows.len();
    rows.extend(report.totals.iter().map(|total| {
        let mut cells = cells(total);
        if let Some(first) = cells.first_mut() {
            "total".clone_into(first);
        }
        cells
    }));
    let mut widths = header.each_ref().map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    writeln!(out)?;
    row(out, &header, &widths)?;
    let rule = widths.map(|width| "-".repeat(width));
    row(out, &rule, &widths)?;
    for (at, cells) in rows.iter().enumerate() {
        if at == lines {
            row(out, &rule, &widths)?;
        }
        row(out, cells, &widths)?;
    }
    Ok(())
}

fn cells(line: &Line) -> [String; 6] {
    let [first, second] = line.keys.each_ref().map(|key| printable(key.as_deref().unwrap_or_default()));
    let currency = line.currency.clone().unwrap_or_default();
    [first, second, line.queries.to_string(), binary(line.bytes_scanned), readable(line.cost.decimal()), currency]
}

/// Names on the left, numbers on the right.
fn row(out: &mut dyn Write, cells: &[String; 6], widths: &[usize; 6]) -> io::Result<()> {
    let [first, second, queries, scanned, cost, currency] = cells;
    let [w1, w2, w3, w4, w5, _] = *widths;
    let text = format!("{first:<w1$}  {second:<w2$}  {queries:>w3$}  {scanned:>w4$}  {cost:>w5$}  {currency}");
    writeln!(out, "{}", text.trim_end())
}

/// RFC 4180, with the names of the specification.
pub(super) fn focus(batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new().with_header(true).with_timestamp_tz_format("%Y-%m-%dT%H:%M:%SZ".to_owned()).build(out);
    writer.write(batch).map_err(io::Error::other)
}

fn binary(bytes: i64) -> String {
    let mut amount = Decimal::from(bytes);
    let step = Decimal::from(1024);
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while amount >= step {
        let Some(larger) = units.next() else { break };
        (amount, unit) = (amount / step, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{:.1} {unit}", amount.round_dp(1)) }
}

/// Two digits after the point, and for a small amount as many as show its first two digits, at most eight.
fn readable(amount: Decimal) -> String {
    let mut digits = 2;
    while digits < 8 && !amount.is_zero() && amount.abs() < Decimal::new(10, digits) {
        digits += 1;
    }
    let rounded = amount.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
    format!("{rounded:.*}", digits as usize)
}

/// For spreadsheets and scripts: exact.
pub(super) fn csv(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let [first, second] = report.by.keys();
    write!(out, "month,{first},{second},queries,bytes_scanned,cost,currency\r\n")?;
    for line in &report.lines {
        let [first, second] = line.keys.each_ref().map(|key| quoted(key.as_deref().unwrap_or_default()));
        let (queries, bytes, cost) = (line.queries, line.bytes_scanned, line.cost.decimal());
        let currency = quoted(line.currency.as_deref().unwrap_or_default());
        write!(out, "{},{first},{second},{queries},{bytes},{cost},{currency}\r\n", report.month)?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// For programs: exact, amounts as text because JSON's numbers are not decimal everywhere.
pub(super) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let [first, second] = report.by.keys();
    let figures = |line: &Line| {
        json!({
            "queries": line.queries, "bytes_scanned": line.bytes_scanned, "cost": line.cost.decimal().to_string(), "currency": line.currency,
        })
    };
    let lines = report.lines.iter().map(|line| {
        let mut object = figures(line);
        let [first_value, second_value] = &line.keys;
        if let Some(members) = object.as_object_mut() {
            members.insert(first.to_owned(), json!(first_value));
            members.insert(second.to_owned(), json!(second_value));
        }
        object
    });
    let report = json!({
        "month": report.month.to_string(), "by": report.by.word(), "lines": lines.collect::<Vec<_>>(),
        "totals": report.totals.iter().map(figures).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}
