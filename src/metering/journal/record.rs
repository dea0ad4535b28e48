//! What the journal writes for one query: plain values, so that a progress record can hold it whole and recovery can finish it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::id::PortId;
use crate::metering::price::{Cost, Rules};
use crate::metering::{Outcome, QueryStart, Reading};

/// One query with all that is owed for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::metering) struct Settlement {
    pub(super) query_id: String,
    pub(super) started_at: i64,
    pub(super) ended_at: i64,
    pub(super) duration_ms: i64,
    pub(super) queued_ms: i64,
    pub(super) principal: String,
    pub(super) consumer_domain: String,
    pub(super) cost_center: Option<String>,
    pub(super) purpose: Option<String>,
    pub(super) protocol: String,
    pub(super) application_name: Option<String>,
    pub(super) statement_digest: String,
    pub(super) rows_returned: i64,
    pub(super) outcome: String,
    pub(super) sqlstate: Option<String>,
    #[serde(default)]
    pub(super) statement: Option<String>,
    pub(super) price: Option<PriceRecord>,
    pub(super) ports: Vec<PortRecord>,
}

/// The price that the query began under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PriceRecord {
    pub(super) id: String,
    pub(super) currency: String,
    pub(super) per_tib: String,
    round_to: u64,
    minimum: u64,
    charge_failed: bool,
}

/// What the query read of one port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::metering) struct PortRecord {
    pub(super) producer_domain: String,
    pub(super) product: String,
    pub(super) major: u64,
    pub(super) port: String,
    pub(super) product_version: String,
    pub(super) table_version: String,
    pub(super) reading: Reading,
}

impl PortRecord {
    pub(in crate::metering) fn new(port: &PortId, product_version: &str, table_version: &str, reading: Reading) -> Self {
        Self {
            producer_domain: port.product.domain.as_str().to_owned(),
            product: port.product.product.as_str().to_owned(),
            major: port.major,
            port: port.port.as_str().to_owned(),
            product_version: product_version.to_owned(),
            table_version: table_version.to_owned(),
            reading,
        }
    }
}

impl Settlement {
    pub(in crate::metering) fn new(
        start: &QueryStart,
        (ended_at, lasted): (DateTime<Utc>, Duration),
        outcome: Outcome,
        sqlstate: Option<&'static str>,
        rows_returned: u64,
        ports: Vec<PortRecord>,
    ) -> Self {
        let price = start.price.as_ref().map(|(price, currency)| PriceRecord {
            id: price.id.clone(),
            currency: currency.clone(),
            per_tib: price.per_tib.to_string(),
            round_to: price.round_to,
            minimum: price.minimum_per_query,
            charge_failed: price.charge_failed,
        });
        Self {
            query_id: start.query_id.to_string(),
            started_at: start.started_at.timestamp_micros(),
            ended_at: ended_at.timestamp_micros(),
            duration_ms: i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX),
            queued_ms: whole(start.queued_ms),
            principal: start.principal.as_str().to_owned(),
            consumer_domain: start.consumer_domain.as_str().to_owned(),
            cost_center: start.cost_center.clone(),
            purpose: start.purpose.clone(),
            protocol: start.protocol.label().to_owned(),
            application_name: start.application_name.clone(),
            statement_digest: start.statement_digest.clone(),
            rows_returned: whole(rows_returned),
            outcome: outcome.label().to_owned(),
            sqlstate: sqlstate.map(str::to_owned),
            statement: start.statement.clone(),
            price,
            ports,
        }
    }

    /// The same, for a client that had to be told that its usage could not be written.
    pub(super) fn unacknowledged(&mut self) {
        if self.outcome == Outcome::Completed.label() {
            Outcome::Failed.label().clone_into(&mut self.outcome);
            self.sqlstate = Some("58030".to_owned());
        }
    }

    /// What each port costs. The minimum and the rounding are the product's, so ports of one product share them; `late` rows were
    /// preceded by rows that carry these already.
    pub(in crate::metering) fn costs(&self, late: bool) -> Vec<Cost> {
        let Some(price) = &self.price else { return vec![Cost::default(); self.ports.len()] };
        if !price.charge_failed && self.outcome != Outcome::Completed.label() {
            return vec![Cost::default(); self.ports.len()];
        }
        let rules = if late { Rules { round_to: 1, minimum: 0 } } else { Rules { round_to: price.round_to, minimum: price.minimum } };
        let per_tib = price.per_tib.parse().unwrap_or(Decimal::ZERO);
        let mut costs = vec![Cost::default(); self.ports.len()];
        for (product, members) in self.by_product() {
            debug_assert!(!product.is_empty());
            let read: Vec<u64> = members.iter().filter_map(|at| self.ports.get(*at)).map(|port| port.reading.bytes_scanned()).collect();
            for (at, share) in members.iter().zip(rules.shares(&read)) {
                if let Some(cost) = costs.get_mut(*at) {
                    *cost = Cost::of(share, per_tib);
                }
            }
        }
        costs
    }

    fn by_product(&self) -> std::collections::BTreeMap<String, Vec<usize>> {
        let mut products: std::collections::BTreeMap<String, Vec<usize>> = std::collections::BTreeMap::new();
        for (at, port) in self.ports.iter().enumerate() {
            products.entry(format!("{}.{}", port.producer_domain, port.product)).or_default().push(at);
        }
        products
    }
}

/// SQLite's integers are signed.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
