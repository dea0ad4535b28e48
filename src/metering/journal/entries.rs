//! The statements that write the journal, and what rows cost.
//!
//! What a row costs is decided here, where rows have an order: prices with tiers or an allowance need the volume that the month had before it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::DecisionRecord;
use super::record::{PortRecord, PriceRecord, Settlement, whole};
use crate::metering::price::Cost;
use crate::metering::{Month, Outcome, Reading};

/// A transaction of the journal.
pub(super) struct Entries<'c> {
    transaction: Transaction<'c>,
    boot: i64,
    seq: i64,
    volumes: &'c mut Volumes,
}

/// Bytes that were charged: of which month, to which consumer domain, under which price. Read once, then kept in step: nobody else writes them.
pub(super) type Volumes = HashMap<(Month, String, String), u64>;

/// What a settlement was charged, and in which month.
#[derive(Debug, Clone, Copy)]
pub(in crate::metering) struct Charge {
    pub(in crate::metering) cost: Cost,
    pub(in crate::metering) month: Month,
    /// Whether rows were written: a settlement that comes twice is written once.
    pub(in crate::metering) is_new: bool,
}

impl<'c> Entries<'c> {
    /// Begins one. It takes the right to write at once: to read first and write then could fail where another process wrote in between.
    pub(super) fn begin(connection: &'c mut Connection, boot: i64, seq: i64, volumes: &'c mut Volumes) -> rusqlite::Result<Self> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self { transaction, boot, seq, volumes })
    }

    /// Ends it: what was written is on disk. Answers the last sequence number.
    pub(super) fn commit(self) -> rusqlite::Result<i64> {
        let seq = self.seq;
        self.transaction.commit()?;
        Ok(seq)
    }

    /// The final rows of a query. Twice is once: the query's id is unique.
    pub(super) fn settle(&mut self, settlement: &Settlement) -> rusqlite::Result<Charge> {
        let mut written = self.transaction.prepare_cached(
            "INSERT INTO queries (query_id, boot, started_at, ended_at, principal, consumer_domain, cost_center, purpose, protocol,
                 application_name, statement_digest, duration_ms, queued_ms, rows_returned, outcome, sqlstate, statement, workload, tags)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) ON CONFLICT (query_id) DO NOTHING",
        )?;
        let new = written.execute(params![
            settlement.query_id,
            self.boot,
            settlement.started_at,
            settlement.ended_at,
            settlement.principal,
            settlement.consumer_domain,
            settlement.cost_center,
            settlement.purpose,
            settlement.protocol,
            settlement.application_name,
            settlement.statement_digest,
            settlement.duration_ms,
            settlement.queued_ms,
            settlement.rows_returned,
            settlement.outcome,
            settlement.sqlstate,
            settlement.statement,
            settlement.workload,
            settlement.tags,
        ])?;
        drop(written);
        let charge = match new {
            0 => Charge { cost: Cost::default(), month: Month::of_micros(settlement.started_at), is_new: false },
            _ => self.usage(settlement, false)?,
        };
        self.transaction.prepare_cached("DELETE FROM open WHERE query_id = ?1")?.execute([&settlement.query_id])?;
        Ok(charge)
    }

    /// Takes out some of the usage up to an entry, few enough that nobody waits for it. The newest row stays: the next one is numbered after it.
    pub(super) fn forget(&mut self, up_to: i64) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "DELETE FROM usage WHERE entry IN (
                     SELECT entry FROM usage WHERE entry <= ?1 AND entry < (SELECT max(entry) FROM usage) ORDER BY entry LIMIT 2000)",
            )?
            .execute([up_to])?;
        Ok(())
    }

    /// What a query read after it was settled.
    pub(super) fn late(&mut self, settlement: &Settlement) -> rusqlite::Result<Charge> {
        let outcome: Option<String> = self
            .transaction
            .prepare_cached("SELECT outcome FROM queries WHERE query_id = ?1")?
            .query_row([&settlement.query_id], |row| row.get(0))
            .optional()?;
        let mut settlement = settlement.clone();
        settlement.outcome = outcome.unwrap_or_else(|| Outcome::Cancelled.label().to_owned());
        settlement.ports.retain(|port| port.reading != Reading::default());
        self.usage(&settlement, true)
    }

    fn usage(&mut self, settlement: &Settlement, late: bool) -> rusqlite::Result<Charge> {
        let month = self.open_month(Month::of_micros(settlement.started_at))?;
        let mut charge = Charge { cost: Cost::default(), month, is_new: true };
        for (port, bytes) in settlement.ports.iter().zip(settlement.charged(late)) {
            let (volume, cost) = self.price(month, &settlement.consumer_domain, port.price.as_ref(), bytes)?;
            charge.cost = charge.cost.plus(cost);
            self.usage_row(settlement, port, month, (bytes, volume, cost))?;
        }
        Ok(charge)
    }

    /// The month itself, or the first open one after it.
    fn open_month(&self, month: Month) -> rusqlite::Result<Month> {
        let mut closed = self.transaction.prepare_cached("SELECT max(month) FROM closes")?;
        let closed: Option<String> = closed.query_row([], |row| row.get(0))?;
        Ok(closed.and_then(|closed| closed.parse::<Month>().ok()).map_or(month, |closed| month.max(closed.next())))
    }

    /// What the month's volume was before, where that counts, and what the bytes cost.
    fn price(&mut self, month: Month, consumer: &str, price: Option<&PriceRecord>, bytes: u64) -> rusqlite::Result<(Option<u64>, Cost)> {
        let Some(price) = price else { return Ok((None, Cost::default())) };
        if !price.counts_volume() {
            return Ok((None, Cost::of(bytes, price.rate())));
        }
        let volume = match self.volumes.entry((month, consumer.to_owned(), price.id.clone())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut sum = self.transaction.prepare_cached(
                    "SELECT coalesce(sum(bytes_charged), 0) FROM usage
                     WHERE month = ?1 AND consumer_domain = ?2 AND price_id = ?3 AND volume_before IS NOT NULL",
                )?;
                let sum: i64 = sum.query_row(params![month.to_string(), consumer, price.id], |row| row.get(0))?;
                unknown.insert(u64::try_from(sum).unwrap_or_default())
            }
        };
        let before = *volume;
        *volume = before.saturating_add(bytes);
        Ok((Some(before), price.rates().cost(before, bytes)))
    }

    fn usage_row(
        &mut self,
        settlement: &Settlement,
        port: &PortRecord,
        month: Month,
        (bytes, volume, cost): (u64, Option<u64>, Cost),
    ) -> rusqlite::Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO usage (boot, seq, query_id, started_at, ended_at, principal, consumer_domain, cost_center, purpose, protocol,
                 application_name, producer_domain, product, port, product_version, table_version, bytes_from_storage, bytes_from_cache,
                 bytes_metadata, storage_requests, rows_returned, outcome, price_id, unit_price, currency, cost_micros, cost_rest, month,
                 bytes_charged, volume_before, workload, tags)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25,
                 ?26, ?27, ?28, ?29, ?30, ?31, ?32)",
        )?;
        self.seq += 1;
        let price = port.price.as_ref();
        let (micros, rest) = cost.halves();
        statement.execute(params![
            self.boot,
            self.seq,
            settlement.query_id,
            settlement.started_at,
            settlement.ended_at,
            settlement.principal,
            settlement.consumer_domain,
            settlement.cost_center,
            settlement.purpose,
            settlement.protocol,
            settlement.application_name,
            port.producer_domain,
            port.product,
            port.port,
            port.product_version,
            port.table_version,
            whole(port.reading.bytes_from_storage),
            whole(port.reading.bytes_from_cache),
            whole(port.reading.bytes_metadata),
            whole(port.reading.storage_requests),
            settlement.rows_returned,
            settlement.outcome,
            price.map(|price| &price.id),
            price.map(|price| &price.per_tib),
            price.map(|price| &price.currency),
            micros,
            rest,
            month.to_string(),
            whole(bytes),
            volume.map(whole),
            settlement.workload,
            settlement.tags,
        ])?;
        Ok(())
    }

    /// How a running query stands.
    pub(super) fn progress(&mut self, settlement: &Settlement) -> rusqlite::Result<()> {
        let record = serde_json::to_string(settlement).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        self.transaction
            .prepare_cached(
                "INSERT INTO open (query_id, boot, record) VALUES (?1, ?2, ?3) ON CONFLICT (query_id) DO UPDATE SET record = excluded.record",
            )?
            .execute(params![settlement.query_id, self.boot, record])?;
        Ok(())
    }

    pub(super) fn decision(&mut self, decision: &DecisionRecord) -> rusqlite::Result<()> {
        let texts = |list: &[String]| serde_json::to_string(list).unwrap_or_else(|_| "[]".to_owned());
        self.transaction
            .prepare_cached(
                "INSERT INTO decisions (decided_at, query_id, principal, consumer_domain, product, permitted, reasons, row_filters, masks,
                     policy_revision, request)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                decision.decided_at.timestamp_micros(),
                decision.query_id.to_string(),
                decision.principal.as_str(),
                decision.consumer_domain.as_str(),
                decision.product,
                decision.permitted,
                texts(&decision.reasons),
                texts(&decision.row_filters),
                texts(&decision.masks),
                decision.policy_revision,
                serde_json::to_string(&decision.request).ok(),
            ])?;
        Ok(())
    }
}
