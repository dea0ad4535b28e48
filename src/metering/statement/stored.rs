//! Statements in the journal: written once, and checked whenever they are read.

use rusqlite::{Connection, Row, Transaction, params, params_from_iter};

use super::{Line, Statement};
use crate::error::{ErrorKind, Fault, Result};
use crate::metering::close::is_issued;
use crate::metering::journal::Books;
use crate::metering::{Cost, Month};

impl Line {
    pub(in crate::metering) fn insert(&self, transaction: &Transaction<'_>, statement_id: &str) -> rusqlite::Result<()> {
        let (micros, rest) = self.cost.halves();
        let mut insert = transaction.prepare_cached(
            "INSERT INTO statement_lines (statement_id, line, kind, of_month, cost_center, producer_domain, producer_cost_center, product,
                 price_id, unit_price, queries, bytes_scanned, bytes_charged, cost_micros, cost_rest, reason, told_rounded)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?;
        insert.execute(params![
            statement_id,
            self.line,
            self.kind,
            self.of_month,
            self.cost_center,
            self.producer_domain,
            self.producer_cost_center,
            self.product,
            self.price_id,
            self.unit_price,
            self.queries,
            self.bytes_scanned,
            self.bytes_charged,
            micros,
            rest,
            self.reason,
            self.told_rounded,
        ])?;
        Ok(())
    }

    fn stored(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            line: row.get(0)?,
            kind: row.get(1)?,
            of_month: row.get(2)?,
            cost_center: row.get(3)?,
            producer_domain: row.get(4)?,
            producer_cost_center: row.get(5)?,
            product: row.get(6)?,
            price_id: row.get(7)?,
            unit_price: row.get(8)?,
            queries: row.get(9)?,
            bytes_scanned: row.get(10)?,
            bytes_charged: row.get(11)?,
            cost: Cost::from_halves(row.get(12)?, row.get(13)?),
            reason: row.get(14)?,
            told_rounded: row.get(15)?,
        })
    }
}

impl Statement {
    /// The statements of a month, each checked.
    pub(in crate::metering) fn of_month(connection: &Connection, month: Month) -> Result<Vec<Self>> {
        Self::read(connection, "month = ?1", &[&month.to_string()])
    }

    /// The statements of a domain for a month, one for each currency, each checked.
    ///
    /// # Errors
    /// Where there is none, or it is not what was issued, or the ledger does not hold its lines any more.
    pub fn of_domain(connection: &Connection, month: Month, domain: &str) -> Result<Vec<Self>> {
        let statements = Self::read(connection, "month = ?1 AND consumer_domain = ?2", &[&month.to_string(), domain])?;
        if statements.is_empty() {
            return Err(none(connection, month, domain)?);
        }
        Ok(statements)
    }

    fn read(connection: &Connection, condition: &str, values: &[&str]) -> Result<Vec<Self>> {
        let sql = format!(
            "SELECT statement_id, (SELECT gateway_id FROM gateway), month, consumer_domain, currency, mode, issued_at, previous, hash,
                 (SELECT b.hash FROM statements b WHERE b.entry < s.entry ORDER BY b.entry DESC LIMIT 1)
             FROM statements s WHERE {condition} ORDER BY consumer_domain, currency"
        );
        let mut heads = connection.prepare(&sql).map_err(Books::cannot_read)?;
        let heads = heads.query_map(params_from_iter(values), |row| {
            let statement = Self {
                statement_id: row.get(0)?,
                gateway_id: row.get(1)?,
                month: row.get(2)?,
                consumer_domain: row.get(3)?,
                currency: row.get(4)?,
                mode: row.get(5)?,
                issued_at: row.get(6)?,
                previous: row.get(7)?,
                lines: Vec::new(),
            };
            Ok((statement, row.get::<_, String>(8)?, row.get::<_, Option<String>>(9)?))
        });
        let mut statements = Vec::new();
        for head in heads.map_err(Books::cannot_read)? {
            let (mut statement, hash, before) = head.map_err(Books::cannot_read)?;
            statement.read_lines(connection).map_err(Books::cannot_read)?;
            if statement.hash() != hash || statement.previous != before {
                return Err(changed(&statement.statement_id, "It is not what was issued: its hash is another."));
            }
            statement.check(connection)?;
            statements.push(statement);
        }
        Ok(statements)
    }

    fn read_lines(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut lines = connection.prepare_cached(
            "SELECT line, kind, of_month, cost_center, producer_domain, producer_cost_center, product, price_id, unit_price, queries,
                 bytes_scanned, bytes_charged, cost_micros, cost_rest, reason, told_rounded
             FROM statement_lines WHERE statement_id = ?1 ORDER BY line",
        )?;
        self.lines = lines.query_map([&self.statement_id], Line::stored)?.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    /// That the ledger's rows still are what the statement says.
    fn check(&self, connection: &Connection) -> Result<()> {
        let sql = "SELECT coalesce(sum(cost_micros), 0), coalesce(sum(cost_rest), 0) FROM (
                       SELECT cost_micros, cost_rest FROM own_usage WHERE month = ?1 AND consumer_domain = ?2 AND currency = ?3
                       UNION ALL
                       SELECT cost_micros, cost_rest FROM corrections WHERE month = ?1 AND consumer_domain = ?2 AND currency = ?3)";
        let sum = connection.query_row(sql, params![self.month, self.consumer_domain, self.currency], |row| {
            Ok(Cost::from_halves(row.get(0)?, row.get(1)?))
        });
        if sum.map_err(Books::cannot_read)? == self.total() {
            return Ok(());
        }
        Err(changed(&self.statement_id, "The ledger's rows add up to another amount than its lines."))
    }
}

fn changed(statement: &str, detail: &str) -> Fault {
    Fault::new(ErrorKind::Storage, format!("the statement {statement} cannot be trusted"))
        .with_detail(detail)
        .with_hint("Somebody changed the journal's file. Compare it with a backup of the state folder.")
}

/// Why there is no statement.
fn none(connection: &Connection, month: Month, domain: &str) -> Result<Fault> {
    let fault = if is_issued(connection, month)? {
        Fault::new(ErrorKind::NotFound, format!("the domain {domain} was charged nothing in {month}"))
    } else {
        Fault::new(ErrorKind::NotInState, format!("{month} is not closed"))
    };
    Ok(fault.with_hint(format!("`meshgate report --month {month}` shows what there is.")))
}
