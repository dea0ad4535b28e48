//! Which price holds: of those in force on the day, the most particular.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::NaiveDate;

use super::{Cost, Rules};
use crate::catalog::Price;
use crate::id::{DomainName, ProductId};

/// What rounding can do to a row that lies in several tiers, each of which is rounded by itself: in units of [`Cost`], and of no meaning otherwise.
const ROUNDING: i128 = 100;

/// What a read would cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quote {
    /// By which price; `None` where it costs nothing.
    pub price_id: Option<String>,
    /// At least.
    pub least: Cost,
    /// At most; `None` where there is no bound.
    pub most: Option<Cost>,
}

/// The prices that one query is charged by: those in force for its consumer domain on the day (UTC) on which it began.
#[derive(Debug, Clone, Default)]
pub struct PriceList {
    currency: String,
    /// The most particular first.
    prices: Vec<Arc<Price>>,
}

impl PriceList {
    /// Those of a mesh's `prices`, in any order, that hold for a consumer domain on a day.
    pub fn new(currency: &str, prices: &[Arc<Price>], consumer: &DomainName, day: NaiveDate) -> Self {
        let mut prices: Vec<Arc<Price>> = prices.iter().filter(|price| price.holds(consumer, day)).cloned().collect();
        prices.sort_by_key(|price| Reverse(price.rank()));
        Self { currency: currency.to_owned(), prices }
    }

    /// One price for everything.
    pub fn of_one(currency: &str, price: Price) -> Self {
        Self { currency: currency.to_owned(), prices: vec![Arc::new(price)] }
    }

    /// The price of a product; `None` where reading it costs nothing.
    pub fn price_of(&self, product: &ProductId) -> Option<&Price> {
        self.prices.iter().find(|price| price.covers(product)).map(AsRef::as_ref)
    }

    /// What reading at least and at most so many bytes of a product costs, rounding step and minimum included. What the month's volume does to it is not
    /// known before: an allowance is at best whole, a tier at worst the dearest.
    pub fn quote(&self, product: &ProductId, least: u64, most: Option<u64>) -> Quote {
        let Some(price) = self.price_of(product) else { return Quote { most: most.map(|_| Cost::default()), ..Quote::default() } };
        let rules = Rules { round_to: price.round_to, minimum: price.minimum_per_query };
        let cost = |bytes, per_tib, rounding: i128| Cost::from_units((Cost::of(rules.charged(bytes), per_tib).units() + rounding).max(0));
        let rounding = if price.is_flat() { 0 } else { ROUNDING };
        Quote {
            price_id: Some(price.id.clone()),
            least: cost(least, price.lowest(), -rounding),
            most: most.map(|bytes| cost(bytes, price.highest(), rounding)),
        }
    }

    /// ISO 4217 code of all of them.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Whether nothing costs anything.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }
}
