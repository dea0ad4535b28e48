//! Monthly budgets of consumer domains, held to while queries run.
//!
//! Each domain has a purse a month: what its settled queries cost, and what running ones hold for the bytes that they were allowed to read.
//! A read is allowed only where both and its own price fit the budget, so queries that run at once cannot pass it together. What a query
//! holds is the most that it could be charged if it ended now, rounding and minimum included: an allowance or a cheaper tier of the month's
//! volume is counted once the journal has it. Then what is held is exchanged for the true cost.
//!
//! The purses begin with what the ledger has, and from then on follow the settlements of this gateway.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use rust_decimal::{Decimal, RoundingStrategy};

use super::price::{COST_SCALE, Cost, Rules};
use super::scan::LimitReached;
use super::{Budget, Month, PriceList, QueryStart};
use crate::id::{DomainName, ProductId};

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
        let budget = start.budget.clone().filter(|_| !start.prices.is_empty())?;
        let month = Month::of(start.started_at);
        let whose = (start.consumer_domain.clone(), month, start.prices.currency().to_owned());
        Some(Spending {
            purse: self.purse(&whose),
            whose,
            limit: units(budget.monthly),
            budget,
            prices: start.prices.clone(),
            reads: Mutex::default(),
        })
    }

    fn purse(&self, whose: &Whose) -> Arc<Purse> {
        let mut purses = self.0.lock();
        // Queries of the month before may still run at its turn; what is older is history.
        purses.retain(|(_, known, _), _| (whose.1.first_day() - known.first_day()).num_days() <= 62);
        Arc::clone(purses.entry(whose.clone()).or_default())
    }

    /// Exchanges what a query held for what it was charged in a month, which is a later one than its own where that was closed, and tells of
    /// the thresholds that this passed.
    pub(super) fn exchange(&self, held: Held, charged: Cost, month: Month) {
        let Held { spending, amount } = held;
        let (domain, own, currency) = &spending.whose;
        if *own != month {
            spending.purse.0.lock().held -= amount;
            let later = self.purse(&(domain.clone(), month, currency.clone()));
            spending.alert(month, later.pay(charged));
            return;
        }
        let paid = {
            let mut money = spending.purse.0.lock();
            money.held -= amount;
            money.pay(charged)
        };
        spending.alert(month, paid);
    }
}

/// What one query holds of its domain's purse.
#[derive(Debug)]
pub(super) struct Spending {
    purse: Arc<Purse>,
    whose: Whose,
    budget: Budget,
    limit: i128,
    prices: PriceList,
    reads: Mutex<BTreeMap<ProductId, Read>>,
}

/// What a query was allowed to read of a product, and what that costs at most.
#[derive(Debug)]
struct Read {
    bytes: u64,
    rules: Rules,
    per_tib: Decimal,
}

impl Read {
    fn cost(&self, bytes: u64) -> i128 {
        Cost::of(self.rules.charged(bytes), self.per_tib).units()
    }
}

/// What a query held when it ended, until the journal has what it is charged.
#[derive(Debug)]
pub(super) struct Held {
    spending: Arc<Spending>,
    amount: i128,
}

impl Spending {
    /// Takes the price of `bytes` more of a product, before they are read.
    pub(super) fn take(&self, product: &ProductId, bytes: u64) -> Result<(), LimitReached> {
        let mut reads = self.reads.lock();
        let Some(price) = self.prices.price_of(product) else { return Ok(()) };
        let read = reads.entry(product.clone()).or_insert_with(|| Read {
            bytes: 0,
            rules: Rules { round_to: price.round_to, minimum: price.minimum_per_query },
            per_tib: price.highest(),
        });
        let after = read.bytes.saturating_add(bytes);
        let more = read.cost(after) - read.cost(read.bytes);
        self.purse.hold(more, self.budget.block.then_some(self.limit)).map_err(|Exhausted| {
            let (domain, month, currency) = self.whose.clone();
            LimitReached::Budget { domain, month, monthly: self.budget.monthly, currency }
        })?;
        read.bytes = after;
        Ok(())
    }

    /// Gives back what was taken and not read.
    pub(super) fn give_back(&self, product: &ProductId, bytes: u64) {
        let mut reads = self.reads.lock();
        if let Some(read) = reads.get_mut(product) {
            let after = read.bytes.saturating_sub(bytes);
            self.purse.0.lock().held -= read.cost(read.bytes) - read.cost(after);
            read.bytes = after;
        }
    }

    /// What it holds, for whoever writes what it is charged.
    pub(super) fn held(self: &Arc<Self>) -> Held {
        let amount = std::mem::take(&mut *self.reads.lock()).values().map(|read| read.cost(read.bytes)).sum();
        Held { spending: Arc::clone(self), amount }
    }

    fn alert(&self, month: Month, (before, after): (i128, i128)) {
        for percent in &self.budget.alerts {
            let threshold = self.limit / 100 * i128::from(*percent);
            if before < threshold && after >= threshold {
                let (domain, _, currency) = &self.whose;
                tracing::warn!(
                    %domain,
                    %month,
                    percent,
                    spent = %Cost::from_units(after).decimal(),
                    budget = %self.budget.monthly,
                    currency,
                    "a domain has spent a share of its monthly budget"
                );
            }
        }
    }
}

impl Money {
    /// What was spent before and after a charge.
    fn pay(&mut self, charged: Cost) -> (i128, i128) {
        let before = self.spent;
        self.spent = before.saturating_add(charged.units());
        (before, self.spent)
    }
}

/// Nothing is left for the read.
struct Exhausted;

impl Purse {
    fn pay(&self, charged: Cost) -> (i128, i128) {
        self.0.lock().pay(charged)
    }

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
