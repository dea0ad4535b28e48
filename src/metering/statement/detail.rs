//! A statement as a sheet: its lines, or what they are made of, by principal or query.

use clap::ValueEnum;
use rusqlite::{Connection, Row, params};

use super::{Line, Statement};
use crate::error::Result;
use crate::metering::journal::Books;
use crate::metering::{Cell, Cost, Sheet};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The lines of the statement: products at their prices
    Product,
    /// Who read which product
    Principal,
    /// Every query and product
    Query,
}

impl Statement {
    /// The statement as a sheet. However fine, its lines add up to the statement.
    pub fn sheet(&self, connection: &Connection, by: By) -> Result<Sheet> {
        let (columns, lines) = match by {
            By::Product => (LINE.to_vec(), self.lines.iter().map(Line::cells).collect()),
            By::Principal => (PRINCIPAL.to_vec(), self.rows(connection, PRINCIPALS).map_err(Books::cannot_read)?),
            By::Query => (QUERY.to_vec(), self.rows(connection, QUERIES).map_err(Books::cannot_read)?),
        };
        let mut total = vec![Cell::Text(None); columns.len()];
        for (name, cell) in columns.iter().zip(&mut total) {
            match *name {
                "cost" => *cell = Cell::Money(self.total()),
                "bytes_scanned" => *cell = Cell::Bytes(self.lines.iter().map(|line| line.bytes_scanned).sum()),
                "bytes_charged" => *cell = Cell::Bytes(self.lines.iter().map(|line| line.bytes_charged).sum()),
                _ => {}
            }
        }
        let about = vec![
            ("statement_id", self.statement_id.clone()),
            ("month", self.month.clone()),
            ("consumer_domain", self.consumer_domain.clone()),
            ("currency", self.currency.clone()),
        ];
        Ok(Sheet { about, columns, lines, totals: vec![total] })
    }

    fn rows(&self, connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<Cell>>> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map(params![self.month, self.consumer_domain, self.currency], cells)?;
        rows.collect()
    }
}

const LINE: [&str; 13] = [
    "line",
    "kind",
    "of_month",
    "cost_center",
    "producer_domain",
    "producer_cost_center",
    "product",
    "price_id",
    "queries",
    "bytes_scanned",
    "bytes_charged",
    "cost",
    "reason",
];

impl Line {
    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Count(self.line),
            Cell::name(&self.kind),
            Cell::name(&self.of_month),
            Cell::Text(self.cost_center.clone()),
            Cell::name(&self.producer_domain),
            Cell::Text(self.producer_cost_center.clone()),
            Cell::name(&self.product),
            Cell::Text(self.price_id.clone()),
            Cell::Count(self.queries),
            Cell::Bytes(self.bytes_scanned),
            Cell::Bytes(self.bytes_charged),
            Cell::Money(self.cost),
            Cell::Text(self.reason.clone()),
        ]
    }
}

const PRINCIPAL: [&str; 7] = ["principal", "producer_domain", "product", "queries", "bytes_scanned", "bytes_charged", "cost"];

const PRINCIPALS: &str = "
    SELECT principal, producer_domain, product, count(DISTINCT query_id), sum(bytes_from_storage + bytes_from_cache),
        sum(coalesce(bytes_charged, bytes_from_storage + bytes_from_cache)), sum(cost_micros), sum(cost_rest)
    FROM own_usage WHERE month = ?1 AND consumer_domain = ?2 AND currency = ?3 GROUP BY 1, 2, 3
    UNION ALL
    SELECT NULL, producer_domain, product, 0, 0, 0, sum(cost_micros), sum(cost_rest)
    FROM corrections WHERE month = ?1 AND consumer_domain = ?2 AND currency = ?3 GROUP BY 2, 3
    ORDER BY 1, 2, 3";

const QUERY: [&str; 7] = ["query_id", "principal", "producer_domain", "product", "bytes_scanned", "bytes_charged", "cost"];

const QUERIES: &str = "
    SELECT query_id, principal, producer_domain, product, sum(bytes_from_storage + bytes_from_cache),
        sum(coalesce(bytes_charged, bytes_from_storage + bytes_from_cache)), sum(cost_micros), sum(cost_rest)
    FROM own_usage WHERE month = ?1 AND consumer_domain = ?2 AND currency = ?3 GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT correction_id, NULL, producer_domain, product, 0, 0, cost_micros, cost_rest
    FROM corrections WHERE month = ?1 AND consumer_domain = ?2 AND currency = ?3
    ORDER BY 1, 3, 4";

/// Texts and numbers as they come; two bytes' columns and an amount at the end.
fn cells(row: &Row<'_>) -> rusqlite::Result<Vec<Cell>> {
    let columns = row.as_ref().column_count();
    let mut cells = Vec::with_capacity(columns);
    for at in 0..columns.saturating_sub(2) {
        cells.push(match row.get_ref(at)? {
            rusqlite::types::ValueRef::Integer(number) if at + 4 >= columns => Cell::Bytes(number),
            rusqlite::types::ValueRef::Integer(number) => Cell::Count(number),
            value => Cell::Text(value.as_str_or_null()?.map(str::to_owned)),
        });
    }
    cells.push(Cell::Money(Cost::from_halves(row.get(columns - 2)?, row.get(columns - 1)?)));
    Ok(cells)
}
