//! Statements as one page that needs nothing else.

use std::io::{self, Write};

use super::head;
use crate::cli::report::escaped;
use crate::metering::statement::Statement;
use crate::metering::{Cell, Sheet};

const STYLE: &str = "body{font-family:sans-serif;margin:2em auto;max-width:80em}table{border-collapse:collapse;margin:1.5em 0}\
    th,td{padding:.25em .8em;border-bottom:1px solid #ccc;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}\
    tfoot td{font-weight:bold}dt{float:left;width:10em;color:#555}dd{margin-left:10em}";

pub(super) fn write(sheets: &[(&Statement, Sheet)], out: &mut dyn Write) -> io::Result<()> {
    let title = sheets.first().map(|(statement, _)| statement.statement_id.as_str()).unwrap_or_default();
    writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>", escaped(title))?;
    writeln!(out, "<style>{STYLE}</style></head><body>")?;
    for (statement, sheet) in sheets {
        writeln!(out, "<h1>Statement {}</h1>\n<dl>", escaped(&statement.statement_id))?;
        for (name, value) in head(statement) {
            writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(&value))?;
        }
        writeln!(out, "</dl>\n<table><thead><tr>")?;
        for column in &sheet.columns {
            writeln!(out, "<th>{}</th>", column.replace('_', " "))?;
        }
        writeln!(out, "</tr></thead><tbody>")?;
        sheet.lines.iter().try_for_each(|line| row(line, out))?;
        writeln!(out, "</tbody><tfoot>")?;
        sheet.totals.iter().try_for_each(|line| row(line, out))?;
        writeln!(out, "</tfoot></table>")?;
    }
    writeln!(out, "</body></html>")
}

fn row(line: &[Cell], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "<tr>")?;
    for cell in line {
        let class = if matches!(cell, Cell::Text(_)) { "" } else { " class=\"n\"" };
        write!(out, "<td{class}>{}</td>", escaped(&cell.text()))?;
    }
    writeln!(out, "</tr>")
}
