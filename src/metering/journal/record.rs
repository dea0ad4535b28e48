//! What the journal writes for one query: plain values, so that a progress record can hold it whole and recovery can finish it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::catalog::{Price, Workload};
use crate::id::{DomainName, PortId, PrincipalName, ProductId, ProductName};
use crate::metering::price::{Rates, Rules};
use crate::metering::{Outcome, PriceList, QueryStart, Reading};

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
    #[serde(default)]
    pub(super) workload: Option<String>,
    #[serde(default)]
    pub(super) tags: Option<String>,
    pub(super) statement_digest: String,
    pub(super) rows_returned: i64,
    pub(super) outcome: String,
    pub(super) sqlstate: Option<String>,
    #[serde(default)]
    pub(super) statement: Option<String>,
    /// Of all ports, in records of before there were prices for products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<PriceRecord>,
    pub(super) ports: Vec<PortRecord>,
}

/// Who ran a query.
#[derive(Debug)]
pub(in crate::metering) struct Reader {
    pub(in crate::metering) principal: PrincipalName,
    pub(in crate::metering) consumer: DomainName,
    /// What kind of work it was; of before that was told there is nothing.
    pub(in crate::metering) workload: Option<Workload>,
    /// When it began.
    pub(in crate::metering) began: DateTime<Utc>,
}

/// The price of a product when the query began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PriceRecord {
    pub(super) id: String,
    pub(super) currency: String,
    pub(super) per_tib: String,
    round_to: u64,
    minimum: u64,
    charge_failed: bool,
    #[serde(default)]
    free: u64,
    /// What a tebibyte costs above so many bytes of the month.
    #[serde(default)]
    tiers: Vec<(u64, String)>,
}

impl PriceRecord {
    fn new(price: &Price, currency: &str) -> Self {
        Self {
            id: price.id.clone(),
            currency: currency.to_owned(),
            per_tib: price.per_tib.to_string(),
            round_to: price.round_to,
            minimum: price.minimum_per_query,
            charge_failed: price.charge_failed,
            free: price.free_per_month,
            tiers: price.tiers.iter().map(|tier| (tier.above, tier.per_tib.to_string())).collect(),
        }
    }

    /// Whether what a row costs depends on the month's volume.
    pub(super) fn counts_volume(&self) -> bool {
        self.free > 0 || !self.tiers.is_empty()
    }

    /// What a tebibyte costs before any tier.
    pub(super) fn rate(&self) -> Decimal {
        decimal(&self.per_tib)
    }

    pub(super) fn rates(&self) -> Rates {
        let tiers = self.tiers.iter().map(|(above, per_tib)| (*above, decimal(per_tib)));
        Rates { free: self.free, tiers: std::iter::once((0, self.rate())).chain(tiers).collect() }
    }
}

fn decimal(text: &str) -> Decimal {
    // Written from a decimal.
    text.parse().unwrap_or(Decimal::ZERO)
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
    #[serde(default)]
    pub(super) price: Option<PriceRecord>,
}

impl PortRecord {
    pub(in crate::metering) fn new(
        port: &PortId,
        prices: &PriceList,
        product_version: &str,
        table_version: &str,
        reading: Reading,
    ) -> Self {
        Self {
            producer_domain: port.product.domain.as_str().to_owned(),
            product: port.product.product.as_str().to_owned(),
            major: port.major,
            port: port.port.as_str().to_owned(),
            product_version: product_version.to_owned(),
            table_version: table_version.to_owned(),
            reading,
            price: prices.price_of(&port.product).map(|price| PriceRecord::new(price, prices.currency())),
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
        Self {
            query_id: start.query_id.to_string(),
            started_at: start.started_at.timestamp_micros(),
            // Clocks are set back.
            ended_at: ended_at.max(start.started_at).timestamp_micros(),
            duration_ms: i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX),
            queued_ms: whole(start.queued_ms),
            principal: start.principal.as_str().to_owned(),
            consumer_domain: start.consumer_domain.as_str().to_owned(),
            cost_center: start.cost_center.clone(),
            purpose: start.purpose.clone(),
            protocol: start.protocol.label().to_owned(),
            application_name: start.application_name.clone(),
            workload: Some(start.workload.label().to_owned()),
            tags: start.tags.clone(),
            statement_digest: start.statement_digest.clone(),
            rows_returned: whole(rows_returned),
            outcome: outcome.label().to_owned(),
            sqlstate: sqlstate.map(str::to_owned),
            statement: start.statement.clone(),
            price: None,
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

    /// Gives its ports the price that an earlier version wrote once for all of them.
    pub(super) fn inherit_price(&mut self) {
        if let Some(price) = self.price.take() {
            self.ports.iter_mut().for_each(|port| port.price = Some(price.clone()));
        }
    }

    /// Whether anything was read at all.
    pub(super) fn has_read(&self) -> bool {
        self.ports.iter().any(|port| port.reading != Reading::default())
    }

    /// Bytes that each port is charged for. The minimum and the rounding are the product's, so ports of one product share them; `late` rows
    /// were preceded by rows that carry these already.
    pub(super) fn charged(&self, late: bool) -> Vec<u64> {
        let mut charged = vec![0; self.ports.len()];
        for members in self.by_product().into_values() {
            let Some(price) = members.first().and_then(|at| self.ports.get(*at)?.price.as_ref()) else { continue };
            if !price.charge_failed && self.outcome != Outcome::Completed.label() {
                continue;
            }
            let rules = if late { Rules { round_to: 1, minimum: 0 } } else { Rules { round_to: price.round_to, minimum: price.minimum } };
            let read: Vec<u64> = members.iter().filter_map(|at| self.ports.get(*at)).map(|port| port.reading.bytes_scanned()).collect();
            for (at, share) in members.iter().zip(rules.shares(&read)) {
                if let Some(bytes) = charged.get_mut(*at) {
                    *bytes = share;
                }
            }
        }
        charged
    }

    /// Who read it, and when their query began. A name that is none cannot ask for anything either.
    pub(in crate::metering) fn reader(&self) -> Option<Reader> {
        Some(Reader {
            principal: PrincipalName::new(&self.principal),
            consumer: DomainName::new(&self.consumer_domain).ok()?,
            workload: self.workload.as_deref().and_then(Workload::of_label),
            began: DateTime::from_timestamp_micros(self.started_at)?,
        })
    }

    /// What was read of each product.
    pub(in crate::metering) fn scanned(&self) -> BTreeMap<ProductId, u64> {
        let mut scanned: BTreeMap<ProductId, u64> = BTreeMap::new();
        for port in &self.ports {
            let (Ok(domain), Ok(product)) = (DomainName::new(&port.producer_domain), ProductName::new(&port.product)) else { continue };
            let bytes = scanned.entry(ProductId { domain, product }).or_default();
            *bytes = bytes.saturating_add(port.reading.bytes_scanned());
        }
        scanned
    }

    /// The currency of what it is charged, where anything has a price.
    pub(in crate::metering) fn currency(&self) -> Option<String> {
        self.ports.iter().find_map(|port| port.price.as_ref()).map(|price| price.currency.clone())
    }

    fn by_product(&self) -> BTreeMap<(&str, &str), Vec<usize>> {
        let mut products: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, port) in self.ports.iter().enumerate() {
            products.entry((port.producer_domain.as_str(), port.product.as_str())).or_default().push(at);
        }
        products
    }
}

/// SQLite's integers are signed.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
