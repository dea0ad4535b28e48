//! A sheet as a bar chart: SVG, which browsers, slides and wikis show and every tool can turn into a picture.

use std::io::{self, Write};

use crate::cli::table::readable;
use crate::metering::{Cell, Sheet};

/// The dearest lines are shown, and how many more there are.
const BARS: usize = 20;
const ROW: usize = 26;
const LABEL: usize = 300;
const BAR: usize = 420;
/// Characters of a label that have room beside the bars.
const LETTERS: usize = 40;

pub(super) fn write(sheet: &Sheet, title: &str, out: &mut dyn Write) -> io::Result<()> {
    let bars: Vec<(String, i128, String)> = sheet.lines.iter().filter_map(|line| bar(line)).collect();
    let most = bars.iter().map(|(_, amount, _)| *amount).max().unwrap_or_default().max(1);
    let shown = bars.len().min(BARS);
    let (width, height) = (LABEL + BAR + 160, 60 + ROW * (shown + 1));
    writeln!(out, r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">"#)?;
    writeln!(out, r#"<rect width="{width}" height="{height}" fill="white"/>"#)?;
    writeln!(out, r#"<text x="16" y="30" font-size="17">{}</text>"#, escaped(title))?;
    for (at, (label, amount, value)) in bars.iter().take(BARS).enumerate() {
        let (y, long) = (48 + ROW * at, amount.saturating_mul(BAR as i128) / most);
        writeln!(out, r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#, LABEL - 8, y + 15, escaped(label))?;
        writeln!(out, r##"<rect x="{LABEL}" y="{y}" width="{long}" height="18" fill="#3b6ea5"/>"##)?;
        writeln!(out, r#"<text x="{}" y="{}">{}</text>"#, LABEL as i128 + long + 8, y + 15, escaped(value))?;
    }
    let rest = match (bars.len(), bars.len() - shown) {
        (0, _) => "Nothing was read.".to_owned(),
        (_, 0) => String::new(),
        (_, more) => format!("and {more} more"),
    };
    writeln!(out, r#"<text x="{LABEL}" y="{}" fill="gray">{rest}</text>"#, 63 + ROW * shown)?;
    writeln!(out, "</svg>")
}

/// The label, the length and the value of a line; what is owed to the consumer has no length.
fn bar(line: &[Cell]) -> Option<(String, i128, String)> {
    let names: Vec<&str> =
        line.iter().take(2).filter_map(|cell| if let Cell::Text(Some(name)) = cell { Some(name.as_str()) } else { None }).collect();
    let cost = line.iter().find_map(|cell| if let Cell::Money(cost) = cell { Some(*cost) } else { None })?;
    let currency = line.last().map(Cell::text).unwrap_or_default();
    let mut label = if names.is_empty() { "(none)".to_owned() } else { names.join(" · ") };
    if label.chars().count() > LETTERS {
        label = label.chars().take(LETTERS - 1).chain(['…']).collect();
    }
    Some((label, cost.units().max(0), format!("{} {currency}", readable(cost.decimal())).trim_end().to_owned()))
}

/// Text in XML and HTML. Characters that are none in XML become a mark.
pub(in crate::cli) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
