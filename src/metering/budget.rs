//! Monthly budgets of consumer domains, held to while queries run.
//!
//! Each domain has a purse a month: what its settled queries cost, and what running ones hold for the bytes that they were allowed to read.
//! A read is allowed only where both and its own price fit the budget, so queries that run at once cannot pass it together. What a query
//! holds is what it would be charged if it ended now, rounding and minimum included; it is exchanged for the true cost when it is settled.
//!
//! The purses begin with what the ledger has, and from then on follow the settlements of this gateway.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use parking_lot::Mutex;
use rust_decimal::{Decimal, RoundingStrategy};

use super::price::{COST_SCALE, Cost, Rules};
use super::scan::LimitReached;
use super::{Budget, QueryStart};
use crate::id::{DomainName, ProductId};

/// A month (UTC) by its first day.
pub(super) type Month = NaiveDate;

/// The month that a moment lies in.
pub(super) fn month_of(at: DateTime<Utc>) -> Month {
    let day = at.date_naive();
    day.with_day(1).unwrap_or(day)
}

/// Whose purse, of which month, in which currency.
pub(super) type Whose = (DomainName, Month, String);

/// All purses.
#[derive(Debug, Default)]
pub(super) struct Purses(Mutex<HashMap<Whose, Arc<Purse>>>);

/// What a domain has spent and promised in a month.
#[derive(Debug, Default)]
struct Purse(Mutex<Money>);

/// In units of [`Cost`].
#[derive(Debug, Default)]
struct Money {
    spent: i128,
    held: i128,
}

impl Purses {
    /// Purses with what was spent before.
    pub(super) fn new(spent: impl IntoIterator<Item = (Whose, Cost)>) -> Self {
        let purse = |cost: Cost| Arc::new(Purse(Mutex::new(Money { spent: cost.units(), held: 0 })));
        Self(Mutex::new(spent.into_iter().map(|(whose, cost)| (whose, purse(cost))).collect()))
    }

    /// What a query of a domain with a budget may spend; `None` where there is none, or nothing costs anything.
    pub(super) fn open(&self, start: &QueryStart) -> Option<Spending> {
        let (budget, (price, currency)) = (start.budget.clone()?, start.price.as_ref()?);
        let month = month_of(start.started_at);
        let mut purses = self.0.lock();
        // Queries of the month before may still run at its turn; what is older is history.
        purses.retain(|(_, known, _), _| (month - *known).num_days() <= 62);
        let purse = Arc::clone(purses.entry((start.consumer_domain.clone(), month, currency.clone())).or_default());
        Some(Spending {
            purse,
            domain: start.consumer_domain.clone(),
            month,
            currency: currency.clone(),
            limit: units(budget.monthly),
            budget,
            rules: Rules { round_to: price.round_to, minimum: price.minimum_per_query },
            per_tib: price.per_tib,
            reads: Mutex::default(),
        })
    }
}

/// What one query holds of its domain's purse.
#[derive(Debug)]
pub(super) struct Spending {
    purse: Arc<Purse>,
    domain: DomainName,
    month: Month,
    currency: String,
    budget: Budget,
    limit: i128,
    rules: Rules,
    per_tib: Decimal,
    /// Bytes that each product was allowed to be read for.
    reads: Mutex<BTreeMap<ProductId, u64>>,
}

impl Spending {
    /// Takes the price of `bytes` more of a product, before they are read.
    pub(super) fn take(&self, product: &ProductId, bytes: u64) -> Result<(), LimitReached> {
        let mut reads = self.reads.lock();
        let before = reads.get(product).copied().unwrap_or_default();
        let after = before.saturating_add(bytes);
        self.purse.hold(self.cost(after) - self.cost(before), self.budget.block.then_some(self.limit)).map_err(|Exhausted| {
            LimitReached::Budget {
                domain: self.domain.clone(),
                month: self.month,
                monthly: self.budget.monthly,
                currency: self.currency.clone(),
            }
        })?;
        reads.insert(product.clone(), after);
        Ok(())
    }

    /// Gives back what was taken and not read.
    pub(super) fn give_back(&self, product: &ProductId, bytes: u64) {
        let mut reads = self.reads.lock();
        if let Some(held) = reads.get_mut(product) {
            let after = held.saturating_sub(bytes);
            self.purse.0.lock().held -= self.cost(*held) - self.cost(after);
            *held = after;
        }
    }

    /// Exchanges what is held for what was charged, and tells of the thresholds that this passed.
    pub(super) fn settle(&self, charged: Cost) {
        let held: i128 = std::mem::take(&mut *self.reads.lock()).values().map(|bytes| self.cost(*bytes)).sum();
        let (before, after) = {
            let mut money = self.purse.0.lock();
            let before = money.spent;
            money.held -= held;
            money.spent = before.saturating_add(charged.units());
            (before, money.spent)
        };
        for percent in &self.budget.alerts {
            let threshold = self.limit / 100 * i128::from(*percent);
            if before < threshold && after >= threshold {
                tracing::warn!(
                    domain = %self.domain,
                    month = %self.month.format("%Y-%m"),
                    percent,
                    spent = %Cost::from_units(after).decimal(),
                    budget = %self.budget.monthly,
                    currency = %self.currency,
                    "a domain has spent a share of its monthly budget"
                );
            }
        }
    }

    fn cost(&self, bytes: u64) -> i128 {
        Cost::of(self.rules.charged(bytes), self.per_tib).units()
    }
}

/// Nothing is left for the read.
struct Exhausted;

impl Purse {
    fn hold(&self, more: i128, limit: Option<i128>) -> Result<(), Exhausted> {
        let mut money = self.0.lock();
        let sum = money.spent.saturating_add(money.held).saturating_add(more);
        if more > 0 && limit.is_some_and(|limit| sum > limit) {
            return Err(Exhausted);
        }
        money.held = money.held.saturating_add(more);
        Ok(())
    }
}

/// An amount in units of [`Cost`]. One that is too large for them is too large to be reached.
pub(crate) fn units(amount: Decimal) -> i128 {
    let mut amount = amount.round_dp_with_strategy(COST_SCALE, RoundingStrategy::MidpointNearestEven);
    amount.rescale(COST_SCALE);
    let missing = COST_SCALE.saturating_sub(amount.scale());
    amount.mantissa().saturating_mul(10_i128.saturating_pow(missing))
}

#[cfg(test)]
mod tests;
