//! Figures in rows and columns, as programs read them: CSV, JSON, Arrow. Exact in each of them.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use serde_json::{Map, Value, json};

use super::Cost;
use super::ledger::Kind;
use crate::error::{Fault, Result};

/// One value of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A name; `None` where there is none.
    Text(Option<String>),
    /// A number of things.
    Count(i64),
    /// A number of bytes.
    Bytes(i64),
    /// An amount of money.
    Money(Cost),
}

/// Lines that have the same columns, and totals of them.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// What holds for all of it.
    pub about: Vec<(&'static str, String)>,
    /// The names of the columns.
    pub columns: Vec<&'static str>,
    /// The lines.
    pub lines: Vec<Vec<Cell>>,
    /// One for each currency. What has no total is `Cell::Text(None)`.
    pub totals: Vec<Vec<Cell>>,
}

impl Sheet {
    /// RFC 4180. `about` are the first columns of each line.
    pub fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let names: Vec<&str> = self.about.iter().map(|(name, _)| *name).chain(self.columns.iter().copied()).collect();
        write!(out, "{}\r\n", names.join(","))?;
        for line in &self.lines {
            let about = self.about.iter().map(|(_, value)| quoted(value));
            let cells = about.chain(line.iter().map(|cell| quoted(&cell.text()))).collect::<Vec<_>>();
            write!(out, "{}\r\n", cells.join(","))?;
        }
        Ok(())
    }

    /// One object. Amounts are texts, because JSON's numbers are not decimal everywhere.
    pub fn json(&self) -> Value {
        let objects = |lines: &[Vec<Cell>], gaps: bool| -> Vec<Value> {
            let member =
                |(name, cell): (&&'static str, &Cell)| (gaps || *cell != Cell::Text(None)).then(|| ((*name).to_owned(), cell.json()));
            lines.iter().map(|line| Value::Object(self.columns.iter().zip(line).filter_map(member).collect())).collect()
        };
        let mut all: Map<String, Value> = self.about.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        all.insert("lines".to_owned(), json!(objects(&self.lines, true)));
        all.insert("totals".to_owned(), json!(objects(&self.totals, false)));
        Value::Object(all)
    }

    /// The lines as a batch, with `about` as the first columns.
    pub fn batch(&self) -> Result<RecordBatch> {
        let about = self.about.iter().map(|(name, value)| {
            let texts: StringArray = self.lines.iter().map(|_| Some(value.as_str())).collect();
            (*name, Kind::Text, Arc::new(texts) as ArrayRef)
        });
        let columns = self.columns.iter().enumerate().map(|(at, name)| {
            let (kind, array) = column(self.lines.iter().map(|line| line.get(at)).collect());
            (*name, kind, array)
        });
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) =
            about.chain(columns).map(|(name, kind, array)| (Field::new(name, kind.data_type(), true), array)).unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(Fault::internal)
    }
}

/// A column is what its first value is.
fn column(cells: Vec<Option<&Cell>>) -> (Kind, ArrayRef) {
    match cells.first().copied().flatten() {
        Some(Cell::Money(_)) => {
            let units = cells.into_iter().map(|cell| if let Some(Cell::Money(cost)) = cell { Some(cost.units()) } else { None });
            (Kind::Cost, Arc::new(units.collect::<Decimal128Array>().with_data_type(Kind::Cost.data_type())))
        }
        Some(Cell::Count(_) | Cell::Bytes(_)) => {
            let numbers = cells.into_iter().map(|cell| if let Some(Cell::Count(n) | Cell::Bytes(n)) = cell { Some(*n) } else { None });
            (Kind::Int, Arc::new(numbers.collect::<Int64Array>()))
        }
        _ => {
            let texts = cells.into_iter().map(|cell| if let Some(Cell::Text(text)) = cell { text.as_deref() } else { None });
            (Kind::Text, Arc::new(texts.collect::<StringArray>()))
        }
    }
}

impl Cell {
    /// A name that there is.
    pub fn name(text: impl Into<String>) -> Self {
        Self::Text(Some(text.into()))
    }

    /// Exact, without a unit.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone().unwrap_or_default(),
            Self::Count(number) | Self::Bytes(number) => number.to_string(),
            Self::Money(cost) => cost.decimal().to_string(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Count(number) | Self::Bytes(number) => json!(number),
            Self::Money(cost) => json!(cost.decimal().to_string()),
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
