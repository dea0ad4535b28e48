//! Budgets and limits, held to while queries run.
//!
//! Each budget (a consumer domain's money of a month) and each number of bytes that a limit counts (of a principal, a domain, a product, in a
//! day or a month) has a purse: what settled queries took from it, and what running ones hold for the bytes that they were allowed to read. A read
//! is allowed only where it fits every purse that it is taken from. All purses are behind one lock, and a read takes from all of its purses or from
//! none, so queries that run at once cannot pass any of them together, not by a byte.
//!
//! Of money a query holds the most that it could be charged if it ended now, rounding and minimum included: an allowance or a cheaper tier of the
//! month's volume is counted once the journal has it. Then what is held is exchanged for the true cost.
//!
//! The purses begin with what the ledger has, and from then on follow the settlements of this gateway, whether anything is limited or not: so a
//! budget or a limit that is new counts what was before it.

mod purse;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rust_decimal::{Decimal, RoundingStrategy};

use super::price::{COST_SCALE, Cost, Rules};
use super::scan::LimitReached;
use super::{Budget, Journal, Month, PriceList, QueryStart};
use crate::catalog::{Each, Per, ScanLimit};
use crate::id::{DomainName, PrincipalName, ProductId};

pub use purse::Share;
pub(super) use purse::{Held, Period, Purses, Whose};
use purse::{Subject, Want};
pub(crate) use state::BudgetState;

/// What one query holds.
#[derive(Debug)]
pub(super) struct Spending {
    purses: Arc<Purses>,
    principal: PrincipalName,
    consumer: DomainName,
    began: DateTime<Utc>,
    budget: Option<Budget>,
    limits: Vec<Arc<ScanLimit>>,
    prices: PriceList,
    reads: Mutex<BTreeMap<ProductId, Read>>,
}

/// What a query was allowed to read of a product, and what that is taken from.
#[derive(Debug)]
struct Read {
    bytes: u64,
    rules: Rules,
    per_tib: Decimal,
    sources: Vec<Source>,
}

/// A purse that reads of a product are taken from.
#[derive(Debug)]
struct Source {
    whose: Whose,
    /// The limits that count its bytes; without any it is the budget, which counts money.
    limits: Vec<Arc<ScanLimit>>,
}

/// What comes after a settlement is charged without rounding and minimum.
const LATE: Rules = Rules { round_to: 1, minimum: 0 };

impl Read {
    fn cost(&self, bytes: u64) -> i128 {
        Cost::of(self.rules.charged(bytes), self.per_tib).units()
    }

    /// Holds `after` bytes under `rules` from now on: what each purse then holds less.
    fn shrink(&mut self, after: u64, rules: Rules) -> Vec<(Whose, i128)> {
        let (before, bytes) = (self.cost(self.bytes), i128::from(self.bytes) - i128::from(after));
        (self.bytes, self.rules) = (after, rules);
        let money = before - self.cost(after);
        self.sources.iter().map(|source| (source.whose.clone(), if source.limits.is_empty() { money } else { bytes })).collect()
    }
}

impl Spending {
    /// What a query may spend and scan; `None` where nothing holds it.
    pub(super) fn open(purses: &Arc<Purses>, start: &QueryStart) -> Option<Self> {
        purses.tidy(start.started_at.date_naive());
        let budget = start.budget.clone().filter(|_| !start.prices.is_empty());
        (budget.is_some() || !start.limits.is_empty()).then(|| Self {
            purses: Arc::clone(purses),
            principal: start.principal.clone(),
            consumer: start.consumer_domain.clone(),
            began: start.started_at,
            budget,
            limits: start.limits.clone(),
            prices: start.prices.clone(),
            reads: Mutex::default(),
        })
    }

    /// Takes `added` bytes of a product from all that holds them, before they are read.
    pub(super) fn take(&self, product: &ProductId, added: u64) -> Result<(), LimitReached> {
        let mut reads = self.reads.lock();
        let all = reads.values().fold(added, |sum, read| sum.saturating_add(read.bytes));
        let read = match reads.get_mut(product) {
            Some(read) => read,
            None => reads.entry(product.clone()).or_insert_with(|| self.first(product)),
        };
        let after = read.bytes.saturating_add(added);
        self.within_query(product, all, after)?;
        let more = read.cost(after) - read.cost(read.bytes);
        let wants = read.sources.iter().map(|source| {
            let (amount, ceiling) = match self.strictest(source, product) {
                Some((_, bytes)) => (i128::from(added), Some(i128::from(bytes))),
                None => (more, self.ceiling()),
            };
            Want { whose: &source.whose, amount, ceiling }
        });
        let wants: Vec<Want<'_>> = wants.collect();
        self.purses.hold(&wants).map_err(|refused| self.refusal(read.sources.get(refused.at), product, refused.used))?;
        read.bytes = after;
        Ok(())
    }

    /// Gives back what was taken and not read.
    pub(super) fn give_back(&self, product: &ProductId, bytes: u64) {
        let mut reads = self.reads.lock();
        if let Some(read) = reads.get_mut(product) {
            let (after, rules) = (read.bytes.saturating_sub(bytes), read.rules);
            self.purses.release(read.shrink(after, rules));
        }
    }

    /// What it holds for what it has `read`, for whoever writes what it is charged. What is under way stays held.
    pub(super) fn held_for(&self, read: &BTreeMap<ProductId, u64>) -> Held {
        let mut reads = self.reads.lock();
        let settled = |(product, held): (&ProductId, &mut Read)| {
            held.shrink(held.bytes.saturating_sub(read.get(product).copied().unwrap_or_default()), LATE)
        };
        Held(reads.iter_mut().flat_map(settled).collect())
    }

    /// All that it holds.
    pub(super) fn held(&self) -> Held {
        Held(self.reads.lock().values_mut().flat_map(|read| read.shrink(0, LATE)).collect())
    }

    /// What the reads of a product are taken from.
    fn first(&self, product: &ProductId) -> Read {
        let price = self.prices.price_of(product);
        let month = Month::of(self.began);
        let mut sources = Vec::new();
        if self.budget.is_some() && price.is_some() {
            let whose = Whose::Budget(self.consumer.clone(), month, self.prices.currency().to_owned());
            sources.push(Source { whose, limits: Vec::new() });
        }
        for limit in self.limits.iter().filter(|limit| limit.covers(product)) {
            let Some(period) = Period::of(limit.per, self.began) else { continue };
            let whose = Whose::Scanned(Subject::of(limit.each, &self.principal, &self.consumer, product), limit.workload, period);
            match sources.iter_mut().find(|source| source.whose == whose) {
                Some(source) => source.limits.push(Arc::clone(limit)),
                None => sources.push(Source { whose, limits: vec![Arc::clone(limit)] }),
            }
        }
        Read {
            bytes: 0,
            rules: price.map_or(LATE, |price| Rules { round_to: price.round_to, minimum: price.minimum_per_query }),
            per_tib: price.map_or(Decimal::ZERO, crate::catalog::Price::highest),
            sources,
        }
    }

    /// The limits of one query need no purse: nobody else takes from them.
    fn within_query(&self, product: &ProductId, all: u64, of_product: u64) -> Result<(), LimitReached> {
        let passed = |limit: &&Arc<ScanLimit>| {
            let bytes = if limit.each.is_of_product() { of_product } else { all };
            limit.per == Per::Query && limit.covers(product) && bytes > self.allowed(limit, product)
        };
        match self.limits.iter().find(passed) {
            Some(limit) => {
                Err(LimitReached::Limit { limit: Arc::clone(limit), bytes: self.allowed(limit, product), used: None, until: None })
            }
            None => Ok(()),
        }
    }

    /// The bytes that a limit allows, with what it was raised by.
    fn allowed(&self, limit: &ScanLimit, product: &ProductId) -> u64 {
        limit.bytes.saturating_add(self.purses.raised_limit(&limit.id, &self.consumer, product, Month::of(self.began)))
    }

    /// The limit of a purse that leaves least, and the bytes that it allows.
    fn strictest<'s>(&self, source: &'s Source, product: &ProductId) -> Option<(&'s Arc<ScanLimit>, u64)> {
        source.limits.iter().map(|limit| (limit, self.allowed(limit, product))).min_by_key(|(_, bytes)| *bytes)
    }

    /// The budget with what it was raised by.
    fn monthly(&self) -> Cost {
        let raised = self.purses.raised_budget(&self.consumer, Month::of(self.began), self.prices.currency());
        let monthly = self.budget.as_ref().map_or(0, |budget| units(budget.monthly));
        Cost::from_units(monthly.saturating_add(raised))
    }

    /// What may be spent, where the budget blocks.
    fn ceiling(&self) -> Option<i128> {
        self.budget.as_ref().filter(|budget| budget.block).map(|_| self.monthly().units())
    }

    fn refusal(&self, source: Option<&Source>, product: &ProductId, used: i128) -> LimitReached {
        if let Some(Source { whose: Whose::Scanned(_, _, period), .. }) = source
            && let Some((limit, bytes)) = source.and_then(|source| self.strictest(source, product))
        {
            // What others read is not told.
            let used = (limit.each != Each::Product).then(|| Share::of(used, i128::from(bytes), i128::from(limit.bytes)));
            return LimitReached::Limit { limit: Arc::clone(limit), bytes, used, until: Some(period.end()) };
        }
        let monthly = self.monthly();
        LimitReached::Budget {
            domain: self.consumer.clone(),
            month: Month::of(self.began),
            monthly: monthly.decimal(),
            currency: self.prices.currency().to_owned(),
            used: Share::of(used, monthly.units(), self.budget.as_ref().map_or(0, |budget| units(budget.monthly))),
        }
    }
}

/// How many bytes a limit leaves to a query that begins now, as its reader may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Room {
    /// That of `limit` for what a principal of a consumer domain reads of a product. What was used is known in steps, as a refusal tells it; what
    /// others used, not at all.
    pub(crate) fn of(journal: &Journal, limit: &ScanLimit, who: (&PrincipalName, &DomainName), product: &ProductId) -> Self {
        let (purses, now) = (journal.purses(), journal.now());
        let allowed = limit.bytes.saturating_add(purses.raised_limit(&limit.id, who.1, product, Month::of(now)));
        let Some(period) = Period::of(limit.per, now) else { return Self { least: allowed, most: allowed } };
        if limit.each == Each::Product {
            return Self { least: 0, most: allowed };
        }
        let (used, _) = purses.spent(&Whose::Scanned(Subject::of(limit.each, who.0, who.1, product), limit.workload, period));
        let (granted, left) =
            (i128::from(limit.bytes), |used: i128| u64::try_from((i128::from(allowed) - used).max(0)).unwrap_or(u64::MAX));
        let told = Share::told(used, granted);
        Self { least: left(told + Share::step(granted)), most: left(told) }
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
