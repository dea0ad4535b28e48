//! Reports: what months cost, by whom or for what. The figures of `finops.monthly_costs`, summed otherwise.

use std::cmp::Reverse;
use std::fmt;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use clap::ValueEnum;
use rusqlite::types::Value;

use super::ledger::{Column, Kind, Ledger, column, maybe};
use super::{Cell, Cost, Month, Sheet};
use crate::error::Result;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The consumer domains: who pays
    Domain,
    /// The products: what was read
    Product,
    /// The principals: who asked
    Principal,
    /// The purposes that sessions declared: why
    Purpose,
    /// The applications, by what clients call themselves: with what
    Application,
}

impl By {
    /// As it is asked for.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Product => "product",
            Self::Principal => "principal",
            Self::Purpose => "purpose",
            Self::Application => "application",
        }
    }

    /// The names of the two columns that tell lines apart.
    const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Domain => ["consumer_domain", "cost_center"],
            Self::Product => ["producer_domain", "product"],
            Self::Principal => ["principal", "consumer_domain"],
            Self::Purpose => ["purpose", "consumer_domain"],
            Self::Application => ["application_name", "consumer_domain"],
        }
    }
}

/// Months that follow each other, written `2026-11`, or `2026-09/2026-11` with both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: Month,
    /// The last.
    pub to: Month,
}

impl Span {
    /// One month.
    pub fn of(month: Month) -> Self {
        Self { from: month, to: month }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to { self.from.fmt(f) } else { write!(f, "{}/{}", self.from, self.to) }
    }
}

const COLUMNS: &[Column] = &[
    maybe("first", Kind::Text, ""),
    maybe("second", Kind::Text, ""),
    column("queries", Kind::Int, ""),
    column("bytes_scanned", Kind::Int, ""),
    column("cost", Kind::Cost, ""),
    maybe("currency", Kind::Text, ""),
];

/// The charges for which `condition` holds, in which `values` are `?1`, `?2`, …: the dearest line first, and a total for each currency that counts
/// each query once. What no principal, purpose or application is known of, as corrections, has a line without a name.
pub(crate) fn report(ledger: &Ledger, span: Span, by: By, condition: &str, values: &[Value]) -> Result<Sheet> {
    let [first, second] = by.keys();
    let mut lines = figures(ledger, span, &format!("{first}, {second}"), "1, 2, currency", condition, values)?;
    lines.sort_by_cached_key(|line| (line.currency.clone(), Reverse(line.cost), Reverse(line.bytes), line.keys.clone()));
    let totals = figures(ledger, span, "NULL, NULL", "currency", condition, values)?;
    Ok(Sheet {
        about: vec![("month", span.to_string())],
        columns: vec![first, second, "queries", "bytes_scanned", "cost", "currency"],
        lines: lines.into_iter().map(Line::cells).collect(),
        totals: totals.into_iter().map(Line::cells).collect(),
    })
}

struct Line {
    keys: [Option<String>; 2],
    queries: i64,
    bytes: i64,
    cost: Cost,
    currency: Option<String>,
}

impl Line {
    fn cells(self) -> Vec<Cell> {
        let [first, second] = self.keys.map(Cell::Text);
        vec![first, second, Cell::Count(self.queries), Cell::Bytes(self.bytes), Cell::Money(self.cost), Cell::Text(self.currency)]
    }
}

fn figures(ledger: &Ledger, span: Span, keys: &str, group: &str, condition: &str, values: &[Value]) -> Result<Vec<Line>> {
    let (from, to) = (values.len() + 1, values.len() + 2);
    let sql = format!(
        "SELECT {keys}, count(DISTINCT query_id), sum(bytes_scanned), sum(cost_micros), sum(cost_rest), currency
         FROM charges WHERE ({condition}) AND month >= ?{from} AND month <= ?{to} GROUP BY {group}"
    );
    let months = [span.from, span.to].map(|month| Value::Text(month.to_string()));
    Ok(lines(&ledger.all(COLUMNS, &sql, &[values, &months].concat())?))
}

fn lines(batch: &RecordBatch) -> Vec<Line> {
    let texts = |at: usize| batch.column(at).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
    let numbers = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
    let costs = batch.column(4).as_primitive::<Decimal128Type>().values();
    let keys = texts(0).into_iter().zip(texts(1));
    let figures = numbers(2).into_iter().zip(numbers(3)).zip(costs).zip(texts(5));
    keys.zip(figures)
        .map(|((first, second), (((queries, bytes), cost), currency))| Line {
            keys: [first, second],
            queries,
            bytes,
            cost: Cost::from_units(*cost),
            currency,
        })
        .collect()
}
