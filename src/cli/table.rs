//! A sheet for people: aligned, amounts rounded to what can be read, bytes in binary units.

use std::io::{self, Write};

use rust_decimal::{Decimal, RoundingStrategy};

use super::printable;
use crate::metering::{Cell, Sheet};

/// The longest bar, in characters.
const BAR: usize = 24;

/// Writes it. Columns without any value are left out; `bars` adds one that shows each line's share of the dearest.
pub(super) fn write(sheet: &Sheet, bars: bool, out: &mut dyn Write) -> io::Result<()> {
    let every = || sheet.lines.iter().chain(&sheet.totals);
    let shown: Vec<usize> = (0..sheet.columns.len()).filter(|at| every().any(|line| line.get(*at).is_some_and(has_value))).collect();
    let numeric: Vec<bool> = shown.iter().map(|at| every().any(|line| !matches!(line.get(*at), Some(Cell::Text(_)) | None))).collect();
    let mut rows: Vec<Vec<String>> = vec![shown.iter().filter_map(|at| sheet.columns.get(*at)).map(|name| header(name)).collect()];
    rows.extend(every().map(|line| shown.iter().filter_map(|at| line.get(*at)).map(cell).collect()));
    // The first cell of a total names nothing.
    for total in rows.iter_mut().skip(1 + sheet.lines.len()) {
        if let Some(first) = total.first_mut() {
            "total".clone_into(first);
        }
    }
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let share = shares(sheet, bars);
    for (at, cells) in rows.iter().enumerate() {
        if at == 1 + sheet.lines.len() {
            row(out, &rule, &widths, &numeric, "")?;
        }
        let bar = at.checked_sub(1).and_then(|line| share.get(line)).map_or("", String::as_str);
        row(out, cells, &widths, &numeric, bar)?;
        if at == 0 {
            row(out, &rule, &widths, &numeric, "")?;
        }
    }
    Ok(())
}

fn has_value(cell: &Cell) -> bool {
    *cell != Cell::Text(None)
}

fn header(name: &str) -> String {
    match name {
        "bytes_scanned" => "scanned".to_owned(),
        "bytes_charged" => "charged".to_owned(),
        "currency" => String::new(),
        name => name.replace('_', " "),
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Bytes(bytes) => binary(*bytes),
        Cell::Money(cost) => readable(cost.decimal()),
        Cell::Text(_) | Cell::Count(_) => printable(&cell.text()),
    }
}

/// Names on the left, numbers on the right.
fn row(out: &mut dyn Write, cells: &[String], widths: &[usize], numeric: &[bool], bar: &str) -> io::Result<()> {
    let mut text = String::new();
    for ((cell, width), right) in cells.iter().zip(widths).zip(numeric) {
        text.push_str(&if *right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") });
    }
    text.push_str(bar);
    writeln!(out, "{}", text.trim_end())
}

/// A bar for each line.
fn shares(sheet: &Sheet, bars: bool) -> Vec<String> {
    let amount =
        |line: &Vec<Cell>| line.iter().find_map(|cell| if let Cell::Money(cost) = cell { Some(cost.units().max(0)) } else { None });
    let amounts: Vec<i128> = sheet.lines.iter().filter_map(amount).collect();
    let Some(most) = amounts.iter().copied().max().filter(|most| bars && *most > 0) else { return Vec::new() };
    let long = |amount: &i128| usize::try_from((amount.saturating_mul(BAR as i128) + most / 2) / most).unwrap_or_default();
    amounts.iter().map(|amount| "█".repeat(long(amount))).collect()
}

/// `1.5 GiB`.
pub(super) fn binary(bytes: i64) -> String {
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
pub(super) fn readable(amount: Decimal) -> String {
    let mut digits = 2;
    while digits < 8 && !amount.is_zero() && amount.abs() < Decimal::new(10, digits) {
        digits += 1;
    }
    let rounded = amount.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
    format!("{rounded:.*}", digits as usize)
}
